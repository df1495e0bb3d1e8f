//! From tokens to expressions and types.

use std::rc::Rc;

use super::builtin::builtin;
use super::definitions::Definitions;
use super::expression::{Expr, Fallible, Node, Op, assign, choice};
use super::tokens::{Token, closed, split};
use super::types::{Int, Struct, Type};

use Token::{Name, Number, Sign, Text};

/// Operators by how loosely they bind, below `||` and `&&`.
const LEVELS: [&[(&str, Op)]; 8] = [
    &[("|", Op::Or)],
    &[("^", Op::Xor)],
    &[("&", Op::And)],
    &[("==", Op::Eq), ("!=", Op::Ne)],
    &[("<", Op::Lt), (">", Op::Gt), ("<=", Op::Le), (">=", Op::Ge)],
    &[("<<", Op::Shl), (">>", Op::Shr)],
    &[("+", Op::Add), ("-", Op::Sub)],
    &[("*", Op::Mul), ("/", Op::Div), ("%", Op::Rem)],
];

const UPDATES: [(&str, Op); 8] = [
    ("+=", Op::Add),
    ("-=", Op::Sub),
    ("*=", Op::Mul),
    ("|=", Op::Or),
    ("&=", Op::And),
    ("^=", Op::Xor),
    ("<<=", Op::Shl),
    (">>=", Op::Shr),
];

/// Words before a type that say nothing here.
const QUALIFIERS: [&str; 7] = ["const", "static", "inline", "volatile", "__init", "__user", "__percpu"];

/// Reads expanded tokens.
pub struct Parser<'a> {
    pub definitions: &'a Definitions,
    tokens: &'a [Token],
    at: usize,
    /// Variables in sight: name, first cell in the frame, type.
    pub variables: Vec<(String, usize, Type)>,
    /// Cells of the frame so far.
    pub cells: usize,
}

impl<'a> Parser<'a> {
    pub fn new(definitions: &'a Definitions, tokens: &'a [Token]) -> Parser<'a> {
        Parser { definitions, tokens, at: 0, variables: Vec::new(), cells: 0 }
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub fn ended(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    pub fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Name(name)) if name == word);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, sign: &str) -> Fallible<()> {
        if self.take(sign) { Ok(()) } else { Err(format!("{:?} stands where {sign} should", self.peek())) }
    }

    pub fn name(&mut self) -> Fallible<String> {
        match self.next() {
            Some(Name(name)) => Ok(name.clone()),
            other => Err(format!("{other:?} stands where a name should")),
        }
    }

    pub fn variable(&mut self, name: String, ty: Type) -> Expr {
        let at = self.cells;
        self.cells += ty.cells();
        self.variables.push((name, at, ty.clone()));
        Expr { ty, node: Node::Local(at) }
    }

    /// The words of a type, without what belongs to a declared name.
    pub fn specifiers(&mut self) -> Fallible<Option<Type>> {
        let mut found: Option<Type> = None;
        let mut unsigned = false;
        while let Some(Name(name)) = self.peek() {
            if QUALIFIERS.contains(&name.as_str()) {
                self.at += 1;
            } else if name == "struct" || name == "union" {
                self.at += 1;
                let tag = if let Some(Name(tag)) = self.peek() { Some(tag.clone()) } else { None };
                self.at += usize::from(tag.is_some());
                found = Some(if self.take("{") {
                    Type::Struct(Rc::new(self.members()?))
                } else {
                    // One that is not known can be pointed to.
                    let known = tag.and_then(|tag| self.definitions.structure(&tag).cloned());
                    known.unwrap_or(Type::Struct(Rc::new(Struct::default())))
                });
            } else if let Some(ty) = Type::named(name) {
                self.at += 1;
                unsigned |= name == "unsigned";
                found = match found {
                    // `unsigned int`, `long unsigned`: another word says the width.
                    Some(before) if name == "int" || name == "unsigned" => Some(before),
                    _ => Some(ty),
                };
            } else {
                break;
            }
        }
        if let (Some(Type::Int(int)), true) = (&mut found, unsigned) {
            int.signed = false;
        }
        Ok(found)
    }

    /// Pointers, a name or none, and what stands behind it.
    pub fn declarator(&mut self, base: &Type) -> Fallible<(String, Type)> {
        let mut ty = base.clone();
        while self.take("*") {
            ty = ty.pointer();
            while self.word("const") {}
        }
        if self.take("(") {
            // A pointer to a function.
            self.expect("*")?;
            let name = self.name()?;
            self.expect(")")?;
            self.at = closed(self.tokens, self.at);
            return Ok((name, Type::Function.pointer()));
        }
        let name = if let Some(Name(_)) = self.peek() { self.name()? } else { String::new() };
        let mut counts = Vec::new();
        while self.take("[") {
            counts.push(if self.take("]") {
                0
            } else {
                let count = self.expression()?;
                self.expect("]")?;
                let Node::Constant(count) = count.node else { return Err("an array of unknown length".to_owned()) };
                count as usize
            });
        }
        for count in counts.into_iter().rev() {
            ty = Type::Array(Rc::new(ty), count);
        }
        Ok((name, ty))
    }

    /// Members of a structure up to the closing brace or the end.
    pub fn members(&mut self) -> Fallible<Struct> {
        let mut out = Struct::default();
        while !self.ended() && !self.take("}") {
            let Some(base) = self.specifiers()? else { return Err(format!("{:?} is no type", self.peek())) };
            loop {
                let (name, mut ty) = self.declarator(&base)?;
                if self.take(":")
                    && let (Some(Number(bits, _)), Type::Int(int)) = (self.next(), &mut ty)
                {
                    int.bits = *bits as u32;
                }
                out.push(name, ty);
                if !self.take(",") {
                    break;
                }
            }
            self.expect(";")?;
        }
        Ok(out)
    }

    /// The whole of the tokens as a constant.
    pub fn constant(&mut self) -> Option<(u64, Int)> {
        let expr = self.assignment().ok().filter(|_| self.ended())?;
        let Node::Constant(value) = expr.node else { return None };
        Some((value, expr.ty.int()))
    }

    pub fn expression(&mut self) -> Fallible<Expr> {
        let mut first = self.assignment()?;
        while self.take(",") {
            let second = self.assignment()?;
            first = Expr { ty: second.ty.clone(), node: Node::Sequence(Box::new(first), Box::new(second)) };
        }
        Ok(first)
    }

    pub fn assignment(&mut self) -> Fallible<Expr> {
        let left = self.conditional()?;
        if self.take("=") {
            let right = self.assignment()?;
            return Ok(assign(left, right));
        }
        let update = UPDATES.iter().find(|(sign, _)| self.take(sign));
        let Some((_, op)) = update else { return Ok(left) };
        let right = self.assignment()?;
        Ok(left.update(*op, right, false))
    }

    fn conditional(&mut self) -> Fallible<Expr> {
        let condition = self.or_else()?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.expression()?.decayed();
        self.expect(":")?;
        let no = self.conditional()?.decayed();
        Ok(choice(condition, yes, no))
    }

    fn or_else(&mut self) -> Fallible<Expr> {
        let mut left = self.and_then()?;
        while self.take("||") {
            let right = self.and_then()?;
            left = match (&left.node, &right.node) {
                (Node::Constant(a), Node::Constant(b)) => Expr::number(u64::from(*a != 0 || *b != 0), Int::INT),
                _ => Expr { ty: Type::Int(Int::INT), node: Node::OrElse(Box::new(left), Box::new(right)) },
            };
        }
        Ok(left)
    }

    fn and_then(&mut self) -> Fallible<Expr> {
        let mut left = self.binary(0)?;
        while self.take("&&") {
            let right = self.binary(0)?;
            left = match (&left.node, &right.node) {
                (Node::Constant(a), Node::Constant(b)) => Expr::number(u64::from(*a != 0 && *b != 0), Int::INT),
                _ => Expr { ty: Type::Int(Int::INT), node: Node::AndThen(Box::new(left), Box::new(right)) },
            };
        }
        Ok(left)
    }

    fn binary(&mut self, level: usize) -> Fallible<Expr> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some((_, op)) = signs.iter().find(|(sign, _)| self.take(sign)) {
            let right = self.binary(level + 1)?;
            left = Expr::binary(*op, left, right);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Fallible<Expr> {
        let one = || Expr::number(1, Int::INT);
        match self.peek() {
            Some(Sign(sign @ ("-" | "~" | "!" | "+" | "*" | "&" | "++" | "--"))) => {
                self.at += 1;
                let of = self.unary()?;
                let int = of.ty.int().promoted();
                match *sign {
                    "-" => Ok(Expr::binary(Op::Sub, Expr::number(0, int), of)),
                    "~" => Ok(Expr::binary(Op::Xor, Expr::number(u64::MAX, int), of)),
                    "!" => Ok(Expr::binary(Op::Eq, of, Expr::number(0, Int::INT))),
                    "+" => Ok(of.to(&Type::Int(int))),
                    "*" if of.ty == Type::Function.pointer() => Ok(of),
                    "*" => of.at(),
                    "&" if of.ty == Type::Function.pointer() => Ok(of),
                    "&" => Ok(Expr { ty: of.ty.clone().pointer(), node: Node::AddressOf(Box::new(of)) }),
                    "++" => Ok(of.update(Op::Add, one(), false)),
                    _ => Ok(of.update(Op::Sub, one(), false)),
                }
            }
            Some(Sign("(")) => {
                let open = self.at;
                self.at += 1;
                let Some(base) = self.specifiers()? else {
                    self.at = open;
                    return self.postfix();
                };
                let (_, ty) = self.declarator(&base)?;
                self.expect(")")?;
                if self.peek() == Some(&Sign("{")) {
                    return self.braces(ty);
                }
                let of = self.unary()?.decayed();
                Ok(of.to(&ty))
            }
            _ => self.postfix(),
        }
    }

    fn postfix(&mut self) -> Fallible<Expr> {
        let mut of = self.primary()?;
        loop {
            of = if self.take("[") {
                let index = self.expression()?.to(&Type::Int(Int::LONG));
                self.expect("]")?;
                let base = of.decayed();
                let Type::Pointer(to) = &base.ty else { return Err(format!("{:?} has no elements", base.ty)) };
                let (ty, cells) = (to.as_ref().clone(), to.cells());
                Expr { ty, node: Node::Index(Box::new(base), Box::new(index), cells) }
            } else if self.take(".") {
                let name = self.name()?;
                of.member(&name)?
            } else if self.take("->") {
                let name = self.name()?;
                of.at()?.member(&name)?
            } else if self.take("++") {
                of.update(Op::Add, Expr::number(1, Int::INT), true)
            } else if self.take("--") {
                of.update(Op::Sub, Expr::number(1, Int::INT), true)
            } else if self.take("(") {
                let given = self.arguments()?;
                let ty = Type::Int(Int::LONG);
                Expr { ty, node: Node::Call(Box::new(of), given) }
            } else {
                return Ok(of);
            };
        }
    }

    /// What is given to a function, behind its open bracket.
    fn arguments(&mut self) -> Fallible<Vec<Expr>> {
        let mut out = Vec::new();
        while !self.take(")") {
            out.push(self.assignment()?.decayed());
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(out)
    }

    fn primary(&mut self) -> Fallible<Expr> {
        match self.next() {
            Some(Number(value, ty)) => Ok(Expr::number(*value, *ty)),
            Some(Text(text)) => {
                let mut text = text.clone();
                while let Some(Text(more)) = self.peek() {
                    text += more;
                    self.at += 1;
                }
                Ok(Expr { ty: Type::Void.pointer(), node: Node::Text(text) })
            }
            Some(Sign("(")) => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Name(name)) => self.named(name),
            other => Err(format!("{other:?} is no expression")),
        }
    }

    fn named(&mut self, name: &str) -> Fallible<Expr> {
        if let Some((_, at, ty)) = self.variables.iter().rev().find(|(own, _, _)| own == name) {
            return Ok(Expr { ty: ty.clone(), node: Node::Local(*at) });
        }
        if matches!(name, "offsetof" | "offsetofend" | "sizeof" | "sizeof_field") {
            return self.size(name);
        }
        if let Some(place) = self.definitions.function_named(name) {
            return Ok(Expr { ty: Type::Function.pointer(), node: Node::Constant(place as u64 + 1) });
        }
        if self.take("(") {
            let given = self.arguments()?;
            return builtin(name, given);
        }
        let value = self.definitions.constant(name).ok_or_else(|| format!("{name} is not known"))?;
        let int = i32::try_from(value).map_or(Int::LONG, |_| Int::INT);
        Ok(Expr::number(value as u64, int))
    }

    /// Of types in bytes, of objects in cells.
    fn size(&mut self, what: &str) -> Fallible<Expr> {
        let end = closed(self.tokens, self.at);
        let inner = &self.tokens[(self.at + 1).min(end - 1)..end - 1];
        let given = split(inner);
        let (ty, member) = (given.first().copied().unwrap_or_default(), given.get(1).copied());
        let bytes = self.definitions.place(ty, member);
        let value = match bytes {
            Some((off, size)) => match what {
                "offsetof" => off,
                "offsetofend" => off + size,
                _ => size,
            },
            None if what == "sizeof" => {
                self.at += 1;
                self.expression()?.ty.cells() as i128
            }
            None => return Err(format!("{what} of {inner:?}")),
        };
        self.at = end;
        Ok(Expr::number(value as u64, Int::UNSIGNED_LONG))
    }

    /// An initialiser in braces, as a value of its own.
    pub fn braces(&mut self, ty: Type) -> Fallible<Expr> {
        let mut cells = Vec::new();
        let count = self.initializer(&ty, 0, &mut cells)?;
        let ty = match ty {
            Type::Array(of, 0) => Type::Array(of, count),
            ty => ty,
        };
        Ok(Expr { ty, node: Node::Aggregate(cells) })
    }

    /// What a value of a type begins with at a cell. Returns how many elements were given.
    fn initializer(&mut self, ty: &Type, at: usize, cells: &mut Vec<(usize, Expr)>) -> Fallible<usize> {
        if !self.take("{") {
            let value = self.assignment()?;
            match (ty, value.node) {
                (Type::Struct(_) | Type::Array(..), Node::Aggregate(given)) => {
                    cells.extend(given.into_iter().map(|(own, value)| (at + own, value)));
                }
                (Type::Struct(_) | Type::Array(..), other) => return Err(format!("{other:?} begins {ty:?}")),
                (_, node) => cells.push((at, Expr { ty: value.ty, node }.decayed().to(ty))),
            }
            return Ok(1);
        }
        let (mut next, mut most) = (0, 0);
        while !self.take("}") {
            let mut place = (at, ty.clone());
            let mut designated = false;
            while self.take(".") {
                let Type::Struct(of) = &place.1 else { return Err(format!("{:?} has no members", place.1)) };
                let name = self.name()?;
                if !designated {
                    next = of.members.iter().position(|member| member.name == name).map_or(next, |own| own + 1);
                }
                let (own, inner) = of.member(&name).ok_or_else(|| format!("there is no member {name}"))?;
                place = (place.0 + own, inner);
                designated = true;
            }
            if self.take("[") {
                let index = self.conditional()?;
                self.expect("]")?;
                let (Type::Array(of, _), Node::Constant(index)) = (ty, index.node) else {
                    return Err("an element that is not known".to_owned());
                };
                place = (at + index as usize * of.cells(), of.as_ref().clone());
                (next, designated) = (index as usize + 1, true);
            }
            if designated {
                self.expect("=")?;
            } else {
                place = match ty {
                    Type::Array(of, _) => (at + next * of.cells(), of.as_ref().clone()),
                    Type::Struct(of) => {
                        let member = of.members.get(next).ok_or("more values than members")?;
                        (at + member.at, member.ty.clone())
                    }
                    ty => (at, ty.clone()),
                };
                next += 1;
            }
            self.initializer(&place.1, place.0, cells)?;
            most = most.max(next);
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(most)
    }
}
