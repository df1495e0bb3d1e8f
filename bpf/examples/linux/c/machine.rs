//! Runs functions.

use std::collections::HashMap;
use std::rc::Rc;

use super::definitions::Definitions;
use super::expression::{Expr, Fallible, Node, Op, apply};
use super::function::{Function, Statement, expanded};
use super::parser::Parser;
use super::types::Type;

/// Cells of all frames together.
const STACK: usize = 1 << 16;
/// Most cells that may be allocated.
const MOST: usize = 1 << 26;

/// Where a statement leads to.
enum Flow {
    Next,
    Break,
    Return(u64),
}

/// The cells of a value; those not named are 0.
pub type Image = HashMap<usize, u64>;

/// Memory and the functions that work on it. A pointer is the number of a cell; no object lies in cell 0.
pub struct Machine<'a> {
    definitions: &'a Definitions,
    functions: HashMap<usize, Rc<Function>>,
    memory: Vec<u64>,
    /// The first cell of the running function's frame, and the first behind it.
    frame: usize,
    top: usize,
}

impl<'a> Machine<'a> {
    pub fn new(definitions: &'a Definitions) -> Machine<'a> {
        Machine { definitions, functions: HashMap::new(), memory: vec![0; STACK], frame: 1, top: 1 }
    }

    /// Forgets everything allocated.
    pub fn clear(&mut self) {
        self.memory.truncate(STACK);
        self.memory.shrink_to_fit();
    }

    /// So many fresh cells.
    ///
    /// # Errors
    /// More than there may be.
    pub fn allocate(&mut self, cells: usize) -> Fallible<usize> {
        let at = self.memory.len();
        if cells > MOST || at + cells > MOST {
            return Err(format!("{cells} cells are asked for"));
        }
        self.memory.resize(at + cells, 0);
        Ok(at)
    }

    pub fn load(&self, at: usize) -> Fallible<u64> {
        self.memory.get(at).copied().filter(|_| at > 0).ok_or_else(|| format!("there is no cell {at}"))
    }

    pub fn store(&mut self, at: usize, value: u64) -> Fallible<()> {
        let cell = self.memory.get_mut(at).filter(|_| at > 0).ok_or_else(|| format!("there is no cell {at}"))?;
        *cell = value;
        Ok(())
    }

    /// A constant initialiser's cells.
    ///
    /// # Errors
    /// One that needs running functions for.
    pub fn image(&mut self, cells: &[(usize, Expr)]) -> Fallible<Image> {
        cells.iter().map(|(at, value)| Ok((*at, self.value(value)?))).collect()
    }

    /// Calls the function that a pointer points to.
    ///
    /// # Errors
    /// What it does that C leaves open, or this C does not have.
    pub fn call(&mut self, pointer: u64, given: &[u64]) -> Fallible<u64> {
        let place = (pointer as usize).checked_sub(1).ok_or("a call to nowhere")?;
        let function = self.function(place)?;
        let (frame, top) = (self.top, self.top + function.cells);
        if top > STACK {
            return Err("the frames do not fit".to_owned());
        }
        for (at, (value, ty)) in given.iter().zip(&function.params).enumerate() {
            let fits = if let Type::Int(int) = ty { int.fit(*value) } else { *value };
            self.store(frame + at, fits)?;
        }
        let outside = (std::mem::replace(&mut self.frame, frame), std::mem::replace(&mut self.top, top));
        let flow = self.all(&function.body);
        (self.frame, self.top) = outside;
        let Flow::Return(value) = flow? else { return Ok(0) };
        Ok(if let Type::Int(int) = function.returns { int.fit(value) } else { value })
    }

    fn function(&mut self, place: usize) -> Fallible<Rc<Function>> {
        if let Some(function) = self.functions.get(&place) {
            return Ok(function.clone());
        }
        let (name, source) = self.definitions.function(place).ok_or("a call to nowhere")?;
        let [params, returns, body] = expanded(source, |tokens| self.definitions.expand(tokens));
        let mut parser = Parser::new(self.definitions, &body);
        let function = Function::read(&mut parser, &params, &returns).map_err(|why| format!("{name}: {why}"))?;
        let function = Rc::new(function);
        self.functions.insert(place, function.clone());
        Ok(function)
    }

    fn all(&mut self, statements: &[Statement]) -> Fallible<Flow> {
        for statement in statements {
            match self.statement(statement)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Statement) -> Fallible<Flow> {
        match statement {
            Statement::Expr(expr) => {
                self.value(expr)?;
                Ok(Flow::Next)
            }
            Statement::Block(inner) => self.all(inner),
            Statement::If(condition, yes, no) => {
                if self.value(condition)? != 0 {
                    self.statement(yes)
                } else {
                    no.as_ref().map_or(Ok(Flow::Next), |no| self.statement(no))
                }
            }
            Statement::Loop(before, condition, after, body) => {
                self.all(before)?;
                while condition.as_ref().map_or(Ok(1), |condition| self.value(condition))? != 0 {
                    match self.statement(body)? {
                        Flow::Next => {}
                        Flow::Break => break,
                        flow => return Ok(flow),
                    }
                    if let Some(after) = after {
                        self.value(after)?;
                    }
                }
                Ok(Flow::Next)
            }
            Statement::Switch(of, cases, body) => {
                let value = self.value(of)?;
                let named = cases.iter().find(|(case, _)| *case == Some(value));
                let Some((_, first)) = named.or(cases.iter().find(|(case, _)| case.is_none())) else {
                    return Ok(Flow::Next);
                };
                match self.all(&body[*first..])? {
                    Flow::Break => Ok(Flow::Next),
                    flow => Ok(flow),
                }
            }
            Statement::Break => Ok(Flow::Break),
            Statement::Return(value) => {
                let value = value.as_ref().map_or(Ok(0), |value| self.value(value))?;
                Ok(Flow::Return(value))
            }
        }
    }

    /// The cell where something lies.
    fn place(&mut self, expr: &Expr) -> Fallible<usize> {
        match &expr.node {
            Node::Local(at) => Ok(self.frame + at),
            Node::At(pointer) => Ok(self.value(pointer)? as usize),
            Node::Member(of, at) => Ok(self.place(of)? + at),
            Node::Index(base, index, cells) => {
                let by = (self.value(index)? as i64).wrapping_mul(*cells as i64);
                Ok((self.value(base)? as i64).wrapping_add(by) as usize)
            }
            Node::Assign(to, _) => {
                self.value(expr)?;
                self.place(to)
            }
            other => Err(format!("{other:?} is no place")),
        }
    }

    fn value(&mut self, expr: &Expr) -> Fallible<u64> {
        match &expr.node {
            Node::Constant(value) => Ok(*value),
            Node::Local(_) | Node::At(_) | Node::Member(..) | Node::Index(..) => {
                let at = self.place(expr)?;
                self.load(at)
            }
            Node::AddressOf(of) => Ok(self.place(of)? as u64),
            Node::Cast(of) => {
                let value = self.value(of)?;
                Ok(expr.ty.int().fit(value))
            }
            Node::Binary(op, int, left, right) => {
                let (a, b) = (self.value(left)?, self.value(right)?);
                apply(*op, *int, a, b).ok_or_else(|| format!("C leaves {a} {op:?} {b} open"))
            }
            Node::AndThen(one, two) => Ok(u64::from(self.value(one)? != 0 && self.value(two)? != 0)),
            Node::OrElse(one, two) => Ok(u64::from(self.value(one)? != 0 || self.value(two)? != 0)),
            Node::Condition(condition, yes, no) => {
                if self.value(condition)? != 0 {
                    self.value(yes)
                } else {
                    self.value(no)
                }
            }
            Node::Sequence(one, two) => {
                self.value(one)?;
                self.value(two)
            }
            Node::Assign(to, from) => self.assign(to, from),
            Node::Update(place, op, int, by, before) => self.update(place, (*op, *int), by, *before),
            Node::Call(function, given) => {
                let pointer = self.value(function)?;
                let given = given.iter().map(|value| self.value(value)).collect::<Fallible<Vec<_>>>()?;
                self.call(pointer, &given)
            }
            Node::Allocate(cells) => {
                let cells = self.value(cells)?;
                Ok(self.allocate(cells as usize)? as u64)
            }
            Node::Copy(to, from, cells) => {
                let (to, from, cells) = (self.value(to)?, self.value(from)? as usize, self.value(cells)? as usize);
                self.copy(to as usize, from, cells)?;
                Ok(to)
            }
            Node::Never(condition) => match self.value(condition)? {
                0 => Ok(0),
                _ => Err("what must not be true is".to_owned()),
            },
            // Nothing reads what a text says but what shows an entry's name.
            Node::Text(_) => Ok(0),
            Node::Aggregate(_) => Err("a structure stands where a number should".to_owned()),
        }
    }

    fn assign(&mut self, to: &Expr, from: &Expr) -> Fallible<u64> {
        let at = self.place(to)?;
        let cells = to.ty.cells();
        match &from.node {
            Node::Aggregate(given) => {
                // The values may be made of what lies there.
                let mut values = [0; 8];
                if cells > values.len() {
                    for cell in at..at + cells {
                        self.store(cell, 0)?;
                    }
                    for (own, value) in given {
                        let value = self.value(value)?;
                        self.store(at + own, value)?;
                    }
                    return Ok(0);
                }
                for (own, value) in given {
                    values[*own] = self.value(value)?;
                }
                for (own, value) in values[..cells].iter().enumerate() {
                    self.store(at + own, *value)?;
                }
                Ok(0)
            }
            _ if matches!(to.ty, Type::Struct(_) | Type::Array(..)) => {
                let from = self.place(from)?;
                self.copy(at, from, cells)?;
                Ok(0)
            }
            _ => {
                let value = self.value(from)?;
                self.store(at, value)?;
                Ok(value)
            }
        }
    }

    fn update(&mut self, place: &Expr, (op, int): (Op, super::types::Int), by: &Expr, before: bool) -> Fallible<u64> {
        let at = self.place(place)?;
        let old = self.load(at)?;
        let by = self.value(by)?;
        let new = apply(op, int, int.fit(old), by).ok_or("an update that C leaves open")?;
        let new = place.ty.int().fit(new);
        self.store(at, new)?;
        Ok(if before { old } else { new })
    }

    fn copy(&mut self, to: usize, from: usize, cells: usize) -> Fallible<()> {
        for cell in 0..cells {
            let value = self.load(from + cell)?;
            self.store(to + cell, value)?;
        }
        Ok(())
    }
}
