//! Expressions: trees in which every conversion is written out.

use std::rc::Rc;

use super::types::{Int, Type};

/// What cannot be read, or is not there.
pub type Fallible<T> = Result<T, String>;

/// An expression and its type.
#[derive(Debug, Clone)]
pub struct Expr {
    pub ty: Type,
    pub node: Node,
}

/// Operators of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Or,
    Xor,
    And,
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    Shl,
    Shr,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// What an expression does. The first five are places, whose value is what lies there.
#[derive(Debug, Clone)]
pub enum Node {
    /// A cell of the function's frame.
    Local(usize),
    /// What a pointer points to.
    At(Box<Expr>),
    /// So many cells behind a place.
    Member(Box<Expr>, usize),
    /// An element behind a pointer: pointer, index, cells of each.
    Index(Box<Expr>, Box<Expr>, usize),
    /// A structure or an array given by its cells; those not named are 0.
    Aggregate(Vec<(usize, Expr)>),
    Constant(u64),
    Text(String),
    AddressOf(Box<Expr>),
    /// To the type's width and sign.
    Cast(Box<Expr>),
    /// Two numbers of this type.
    Binary(Op, Int, Box<Expr>, Box<Expr>),
    AndThen(Box<Expr>, Box<Expr>),
    OrElse(Box<Expr>, Box<Expr>),
    Condition(Box<Expr>, Box<Expr>, Box<Expr>),
    /// One, then the other, whose value it has.
    Sequence(Box<Expr>, Box<Expr>),
    Assign(Box<Expr>, Box<Expr>),
    /// Place, operator, type it is done in, operand, and whether the value is the one before.
    Update(Box<Expr>, Op, Int, Box<Expr>, bool),
    /// A function, by a pointer to it.
    Call(Box<Expr>, Vec<Expr>),
    /// So many cells of fresh memory.
    Allocate(Box<Expr>),
    /// To, from, cells.
    Copy(Box<Expr>, Box<Expr>, Box<Expr>),
    /// Must not be true.
    Never(Box<Expr>),
}

/// Two numbers of a type; nothing where C leaves it open.
pub fn apply(op: Op, ty: Int, a: u64, b: u64) -> Option<u64> {
    let truth = |unsigned: bool, signed: bool| Some(u64::from(if ty.signed { signed } else { unsigned }));
    let (x, y) = (a as i64, b as i64);
    let value = match op {
        Op::Or => a | b,
        Op::Xor => a ^ b,
        Op::And => a & b,
        Op::Eq => return Some(u64::from(a == b)),
        Op::Ne => return Some(u64::from(a != b)),
        Op::Lt => return truth(a < b, x < y),
        Op::Gt => return truth(a > b, x > y),
        Op::Le => return truth(a <= b, x <= y),
        Op::Ge => return truth(a >= b, x >= y),
        Op::Shl | Op::Shr if b >= u64::from(ty.bits) => return None,
        Op::Shl => a << b,
        Op::Shr if ty.signed => (x >> b) as u64,
        Op::Shr => a >> b,
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::Mul => a.wrapping_mul(b),
        Op::Div if ty.signed => x.checked_div(y)? as u64,
        Op::Div => a.checked_div(b)?,
        Op::Rem if ty.signed => x.checked_rem(y)? as u64,
        Op::Rem => a.checked_rem(b)?,
    };
    Some(ty.fit(value))
}

impl Expr {
    pub fn number(value: u64, ty: Int) -> Expr {
        Expr { ty: Type::Int(ty), node: Node::Constant(ty.fit(value)) }
    }

    pub fn binary(op: Op, left: Expr, right: Expr) -> Expr {
        let shift = matches!(op, Op::Shl | Op::Shr);
        let compares = matches!(op, Op::Eq | Op::Ne | Op::Lt | Op::Gt | Op::Le | Op::Ge);
        let int = if shift { left.ty.int().promoted() } else { left.ty.int().common(right.ty.int()) };
        let ty = Type::Int(if compares { Int::INT } else { int });
        let (left, right) = (left.to(&Type::Int(int)), if shift { right } else { right.to(&Type::Int(int)) });
        if let (Node::Constant(a), Node::Constant(b)) = (&left.node, &right.node)
            && let Some(value) = apply(op, int, *a, *b)
        {
            return Expr { ty, node: Node::Constant(value) };
        }
        Expr { ty, node: Node::Binary(op, int, Box::new(left), Box::new(right)) }
    }

    /// Converted as an assignment does.
    pub fn to(self, ty: &Type) -> Expr {
        let (Type::Int(int), from) = (ty, self.ty.int()) else { return Expr { ty: ty.clone(), ..self } };
        if int.bits == 1 && from.bits > 1 {
            let zero = Expr::number(0, from);
            return Expr { ty: ty.clone(), ..Expr::binary(Op::Ne, self, zero) };
        }
        if let Node::Constant(value) = self.node {
            return Expr { ty: ty.clone(), node: Node::Constant(int.fit(value)) };
        }
        if from == *int {
            return Expr { ty: ty.clone(), ..self };
        }
        Expr { ty: ty.clone(), node: Node::Cast(Box::new(self)) }
    }

    /// Where it lies, as a pointer to its type; of an array to the first element.
    pub fn address(self) -> Expr {
        let to = match &self.ty {
            Type::Array(of, _) => of.clone(),
            ty => Rc::new(ty.clone()),
        };
        Expr { ty: Type::Pointer(to), node: Node::AddressOf(Box::new(self)) }
    }

    /// An array becomes a pointer.
    pub fn decayed(self) -> Expr {
        if let Type::Array(..) = self.ty { self.address() } else { self }
    }

    pub fn at(self) -> Fallible<Expr> {
        match self.decayed() {
            Expr { ty: Type::Pointer(of), node } => {
                let pointer = Expr { ty: Type::Pointer(of.clone()), node };
                Ok(Expr { ty: of.as_ref().clone(), node: Node::At(Box::new(pointer)) })
            }
            other => Err(format!("{:?} points to nothing", other.ty)),
        }
    }

    pub fn member(self, name: &str) -> Fallible<Expr> {
        let Type::Struct(of) = &self.ty else { return Err(format!("{:?} has no member {name}", self.ty)) };
        let (at, ty) = of.member(name).ok_or_else(|| format!("there is no member {name}"))?;
        Ok(Expr { ty, node: Node::Member(Box::new(self), at) })
    }

    pub fn update(self, op: Op, by: Expr, before: bool) -> Expr {
        let ty = self.ty.clone();
        let int = if matches!(op, Op::Shl | Op::Shr) { ty.int().promoted() } else { ty.int().common(by.ty.int()) };
        let by = by.to(&Type::Int(int));
        Expr { ty, node: Node::Update(Box::new(self), op, int, Box::new(by), before) }
    }
}

/// An assignment, or what a declaration begins with.
pub fn assign(place: Expr, value: Expr) -> Expr {
    let ty = place.ty.clone();
    let value = if matches!(ty, Type::Struct(_) | Type::Array(..)) { value } else { value.decayed().to(&ty) };
    Expr { ty, node: Node::Assign(Box::new(place), Box::new(value)) }
}

pub fn choice(condition: Expr, yes: Expr, no: Expr) -> Expr {
    let ty = match (&yes.ty, &no.ty) {
        (Type::Int(one), Type::Int(two)) => Type::Int(one.common(*two)),
        (ty, _) => ty.clone(),
    };
    let (yes, no) = (yes.to(&ty), no.to(&ty));
    match condition.node {
        Node::Constant(0) => no,
        Node::Constant(_) => yes,
        _ => Expr { ty, node: Node::Condition(Box::new(condition), Box::new(yes), Box::new(no)) },
    }
}
