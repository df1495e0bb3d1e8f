//! Functions: from tokens to statements.

use super::definitions::Source;
use super::expression::{Expr, Fallible, Node, assign};
use super::parser::Parser;
use super::tokens::{Token, split};
use super::types::{Int, Type};

use Token::Name;

/// A function whose arguments lie in the first cells of its frame.
#[derive(Debug)]
pub struct Function {
    /// Types of the arguments, each of one cell.
    pub params: Vec<Type>,
    /// Cells of the frame.
    pub cells: usize,
    pub returns: Type,
    pub body: Vec<Statement>,
}

#[derive(Debug)]
pub enum Statement {
    Expr(Expr),
    Block(Vec<Statement>),
    If(Expr, Box<Statement>, Option<Box<Statement>>),
    /// Before the first round, condition, after each round, what is done.
    Loop(Vec<Statement>, Option<Expr>, Option<Expr>, Box<Statement>),
    /// Of what, where each value leads to (none: all others), the statements.
    Switch(Expr, Vec<(Option<u64>, usize)>, Vec<Statement>),
    Break,
    Return(Option<Expr>),
}

impl Function {
    /// Reads a function.
    ///
    /// # Errors
    /// What is no C of this kind.
    pub fn read(parser: &mut Parser<'_>, params: &[Token], returns: &[Token]) -> Fallible<Function> {
        let mut types = Vec::new();
        for param in split(params) {
            let mut own = Parser::new(parser.definitions, param);
            let Some(base) = own.specifiers()? else { return Err(format!("{param:?} is no parameter")) };
            let (name, ty) = own.declarator(&base)?;
            let ty = match ty {
                Type::Array(of, _) => Type::Pointer(of),
                Type::Void => continue,
                ty => ty,
            };
            parser.variable(name, ty.clone());
            types.push(ty);
        }
        let mut own = Parser::new(parser.definitions, returns);
        let returns = own.specifiers()?.unwrap_or(Type::Int(Int::INT));
        parser.expect("{")?;
        let body = parser.block()?;
        Ok(Function { params: types, cells: parser.cells, returns, body })
    }
}

/// A function's own tokens with macros replaced.
pub fn expanded(source: &Source, expand: impl Fn(&[Token]) -> Vec<Token>) -> [Vec<Token>; 3] {
    [expand(&source.params), expand(&source.returns), expand(&source.body)]
}

impl Parser<'_> {
    /// Statements up to the closing brace.
    fn block(&mut self) -> Fallible<Vec<Statement>> {
        let outside = self.variables.len();
        let mut out = Vec::new();
        while !self.take("}") {
            if self.ended() {
                return Err("a block is not closed".to_owned());
            }
            self.statement(&mut out)?;
        }
        self.variables.truncate(outside);
        Ok(out)
    }

    fn one(&mut self) -> Fallible<Box<Statement>> {
        let mut out = Vec::new();
        self.statement(&mut out)?;
        Ok(Box::new(Statement::Block(out)))
    }

    fn in_brackets(&mut self) -> Fallible<Expr> {
        self.expect("(")?;
        let inner = self.expression()?;
        self.expect(")")?;
        Ok(inner)
    }

    fn statement(&mut self, out: &mut Vec<Statement>) -> Fallible<()> {
        if self.take("{") {
            out.push(Statement::Block(self.block()?));
        } else if self.word("if") {
            let condition = self.in_brackets()?;
            let yes = self.one()?;
            let no = if self.word("else") { Some(self.one()?) } else { None };
            out.push(Statement::If(condition, yes, no));
        } else if self.word("while") {
            let condition = self.in_brackets()?;
            out.push(Statement::Loop(Vec::new(), Some(condition), None, self.one()?));
        } else if self.word("for") {
            self.expect("(")?;
            let mut before = Vec::new();
            self.simple(&mut before)?;
            let condition = self.unless(";")?;
            let after = self.unless(")")?;
            out.push(Statement::Loop(before, condition, after, self.one()?));
        } else if self.word("switch") {
            let of = self.in_brackets()?;
            out.push(self.switch(of)?);
        } else if self.word("break") {
            self.expect(";")?;
            out.push(Statement::Break);
        } else if self.word("return") {
            out.push(Statement::Return(self.unless(";")?));
        } else {
            self.simple(out)?;
        }
        Ok(())
    }

    /// An expression up to a sign, or nothing.
    fn unless(&mut self, sign: &str) -> Fallible<Option<Expr>> {
        if self.take(sign) {
            return Ok(None);
        }
        let value = self.expression()?;
        self.expect(sign)?;
        Ok(Some(value))
    }

    fn switch(&mut self, of: Expr) -> Fallible<Statement> {
        self.expect("{")?;
        let (mut cases, mut body) = (Vec::new(), Vec::new());
        while !self.take("}") {
            if self.word("default") {
                self.expect(":")?;
                cases.push((None, body.len()));
            } else if self.word("case") {
                let value = self.expression()?.to(&of.ty);
                self.expect(":")?;
                let Node::Constant(value) = value.node else { return Err("a case that is not constant".to_owned()) };
                cases.push((Some(value), body.len()));
            } else {
                self.statement(&mut body)?;
            }
        }
        Ok(Statement::Switch(of, cases, body))
    }

    /// A declaration or an expression, and its semicolon.
    fn simple(&mut self, out: &mut Vec<Statement>) -> Fallible<()> {
        if self.take(";") {
            return Ok(());
        }
        let is_variable = matches!(self.peek(), Some(Name(name)) if self.variables.iter().any(|v| v.0 == *name));
        let base = if is_variable { None } else { self.specifiers()? };
        let Some(base) = base else {
            out.push(Statement::Expr(self.expression()?));
            return self.expect(";");
        };
        loop {
            let (name, ty) = self.declarator(&base)?;
            if self.take("=") {
                let value =
                    if self.peek() == Some(&Token::Sign("{")) { self.braces(ty.clone())? } else { self.assignment()? };
                let ty = if matches!(ty, Type::Array(..)) { value.ty.clone() } else { ty };
                let place = self.variable(name, ty);
                out.push(Statement::Expr(assign(place, value)));
            } else {
                self.variable(name, ty);
            }
            if !self.take(",") {
                return self.expect(";");
            }
        }
    }
}
