//! Placing: labels become addresses counted from the program's start, and the program's length is known.
//!
//! In driver mode the order of instructions is the order of lowering.

use nic_model::isa::{CodeAddress, Op};

use crate::asm::{Assembly, External, Fixup, Goal, Origin};
use crate::image::{Relocation, RelocationKind};
use crate::refusal::{Refusal, Rule};

/// What an open branch holds before it is relocated, so that a reader of a dump can tell it from one inside the program
/// (Linux nfp driver, `BR_OFF_RELO`); helpers add their number.
const OPEN: u16 = 15000;

/// A program whose instructions stand where they will.
#[derive(Debug)]
pub(crate) struct Placed {
    pub ops: Vec<Op>,
    pub origins: Vec<Origin>,
    pub relocations: Vec<Relocation>,
    /// Addresses of the parts behind the body.
    pub entries: Vec<(External, u16)>,
}

/// Holds a program against the code store: at most `limit` instructions, and no more than addresses can name.
pub(crate) fn check_length(asm: &Assembly, name: &str, limit: u32) -> Option<Refusal> {
    let (length, limit) = (asm.ops.len(), limit.min(OPEN.into()));
    (length > limit as usize).then(|| {
        Refusal::new(Rule::Length, "the translated program is longer than the card's code store allows")
            .named(name)
            .limit(format!("{limit} instructions"), format!("{length} instructions"))
            .help("split the program, or leave out what it does not need on the card")
    })
}

/// Places a program that [`check_length`] has nothing against.
pub(crate) fn place(asm: Assembly) -> Placed {
    let entries = asm.entries.iter().map(|(part, label)| (*part, asm.address_of(*label) as u16)).collect();
    let relocations: Vec<_> = asm.fixups.iter().map(|fixup| relocation(&asm, fixup)).collect();
    let mut ops = asm.ops;
    for relocation in &relocations {
        set_address(&mut ops[relocation.at as usize], relocation.address);
    }
    Placed { ops, origins: asm.origins, relocations, entries }
}

fn relocation(asm: &Assembly, fixup: &Fixup) -> Relocation {
    let (kind, address) = match fixup.goal {
        Goal::Label(label) => {
            let kind = if matches!(asm.ops[fixup.at], Op::Immed(_)) {
                RelocationKind::Address
            } else {
                RelocationKind::Branch
            };
            (kind, asm.address_of(label) as u16)
        }
        Goal::External(External::Helper(id)) => (RelocationKind::External(External::Helper(id)), OPEN + id as u16),
        Goal::External(External::Routine(id)) => (RelocationKind::External(External::Routine(id)), OPEN + id as u16),
        Goal::External(part) => (RelocationKind::External(part), OPEN),
        Goal::Value(half) => (RelocationKind::Value(half), 0),
    };
    Relocation { at: fixup.at as u32, kind, address }
}

/// Writes a code address, or half of a value's, into the instruction that names one.
pub(crate) fn set_address(op: &mut Op, address: u16) {
    match op {
        Op::Br(br) => br.to = CodeAddress(address),
        Op::BrCond(br) => br.to = CodeAddress(address),
        Op::BrBit(br) => br.to = CodeAddress(address),
        Op::BrByte(br) => br.to = CodeAddress(address),
        Op::Immed(immed) => immed.load.value = address,
        Op::ImmedW(immed) => immed.load.value = address,
        other => unreachable!("{other} names no code address"),
    }
}
