//! Kinds of pointers that the verifier's exploration met, where they were the same at all visits.
//!
//! Linux prunes a path only into states whose live registers are of the same kinds, so that what exploration saw of kinds
//! holds in every run; ranges do not.

use super::value::Kinds;
use crate::helpers::signature::signature;
use crate::insn::{Insn, Reg};
use crate::verifier::{Detail, Kind, Lender, PointerSeen, VerifiedProgram};

/// By slot of the program that runs, the registers that hold pointers of certain kinds there.
pub(super) fn kinds(verified: &VerifiedProgram) -> Vec<Vec<(Reg, Kinds)>> {
    let explored = verified.explored();
    let insns = verified.xlated().insns.iter().zip(verified.origin());
    let of = |(insn, origin): (&Insn, &usize)| {
        let Some(seen) = explored.slot(*origin) else { return Vec::new() };
        let base = |base: Reg, pointer: &PointerSeen| match pointer.conflict {
            None => vec![(base, of_kind(pointer.last.kind))],
            Some(_) => Vec::new(),
        };
        match (*insn, &seen.detail) {
            (Insn::Load { base: reg, .. }, Detail::Load(pointer))
            | (Insn::Store { base: reg, .. }, Detail::Store(pointer)) => base(reg, pointer),
            (Insn::Atomic { base: reg, .. }, Detail::Atomic(atomic)) => base(reg, &atomic.pointer),
            (Insn::Call { .. }, Detail::Call(call)) => {
                // Of registers that the helper does not take nothing is said: nobody reads them.
                let taken = signature(call.helper, verified.program().ty).map_or(0, |signature| signature.args.len());
                let args = (1..).filter_map(Reg::new).zip(&call.args).take(taken);
                args.filter(|(_, arg)| arg.kind_changed.is_none())
                    .map(|(reg, arg)| (reg, of_kind(arg.last.kind)))
                    .collect()
            }
            _ => Vec::new(),
        }
    };
    insns.map(of).collect()
}

fn of_kind(kind: Kind) -> Kinds {
    match kind {
        // What is never read says nothing of what stands there.
        Kind::Uninit => Kinds::UNDEFINED.union(Kinds::NUMBER).union(Kinds::POINTERS),
        Kind::Scalar => Kinds::NUMBER,
        Kind::Ctx => Kinds::CTX,
        Kind::Packet => Kinds::PACKET,
        Kind::PacketMeta => Kinds::PACKET_META,
        Kind::PacketEnd => Kinds::PACKET_END,
        Kind::Stack { .. } => Kinds::STACK,
        Kind::MapPtr(_) => Kinds::MAP,
        Kind::MapValue(_) => Kinds::MAP_VALUE,
        Kind::MapValueOrNull(_) => Kinds::MAP_VALUE.union(Kinds::NUMBER),
        // What the caller of a function lends may lie anywhere.
        Kind::Mem { lender: Lender::Caller, .. } | Kind::Dynptr(_) => Kinds::POINTERS,
        Kind::MemOrNull { lender: Lender::Caller, .. } => Kinds::POINTERS.union(Kinds::NUMBER),
        Kind::MapKey(_) | Kind::Mem { .. } | Kind::Sock(_) => Kinds::OTHER,
        Kind::Func(_) => Kinds::FUNCTION,
        Kind::MemOrNull { .. } | Kind::SockOrNull(_) => Kinds::OTHER.union(Kinds::NUMBER),
    }
}
