//! Functions and macros of headers that are not read.

use super::expression::{Expr, Fallible, Node, Op, assign, choice};
use super::types::{Int, Type};

/// A call of one of them.
pub fn builtin(name: &str, given: Vec<Expr>) -> Fallible<Expr> {
    let long = Type::Int(Int::UNSIGNED_LONG);
    let zero = || Expr::number(0, Int::INT);
    match (name, <[Expr; 3]>::try_from(given.clone()), <[Expr; 2]>::try_from(given.clone())) {
        ("kmalloc_array", Ok([count, size, _]), _) => {
            let cells = Expr::binary(Op::Mul, count.to(&long), size.to(&long));
            Ok(Expr { ty: Type::Void.pointer(), node: Node::Allocate(Box::new(cells)) })
        }
        ("memcpy", Ok([to, from, cells]), _) => {
            let node = Node::Copy(Box::new(to), Box::new(from), Box::new(cells));
            Ok(Expr { ty: Type::Void.pointer(), node })
        }
        ("div64_u64_rem", Ok([a, b, rest]), _) => {
            let rem = assign(rest.at()?, Expr::binary(Op::Rem, a.clone().to(&long), b.clone().to(&long)));
            let div = Expr::binary(Op::Div, a.to(&long), b.to(&long));
            Ok(Expr { ty: long, node: Node::Sequence(Box::new(rem), Box::new(div)) })
        }
        ("div64_u64", _, Ok([a, b])) => Ok(Expr::binary(Op::Div, a.to(&long), b.to(&long))),
        ("max", _, Ok([a, b])) => Ok(choice(Expr::binary(Op::Gt, a.clone(), b.clone()), a, b)),
        ("min", _, Ok([a, b])) => Ok(choice(Expr::binary(Op::Lt, a.clone(), b.clone()), a, b)),
        ("abs", ..) if given.len() == 1 => {
            let of = given[0].clone();
            let minus = Expr::binary(Op::Sub, zero(), of.clone());
            Ok(choice(Expr::binary(Op::Lt, of.clone(), zero()), minus, of))
        }
        ("cpu_to_le16" | "cpu_to_le32" | "cpu_to_le64" | "cpu_to_be16" | "cpu_to_be32" | "cpu_to_be64", ..)
            if given.len() == 1 =>
        {
            let Node::Constant(value) = given[0].node else { return Err(format!("{name} of a variable")) };
            let bits: u32 = if name.ends_with("16") {
                16
            } else if name.ends_with("32") {
                32
            } else {
                64
            };
            let swapped = value.swap_bytes() >> (64 - bits);
            let int = Int { bits, signed: false };
            Ok(Expr::number(if name.contains("be") { swapped } else { value }, int))
        }
        ("BUG_ON", ..) if given.len() == 1 => {
            Ok(Expr { ty: Type::Void, node: Node::Never(Box::new(given[0].clone())) })
        }
        _ => Err(format!("{name} is not known")),
    }
}
