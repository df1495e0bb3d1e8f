//! The same instructions in other slots: where an encoding has several ways to say one thing, any of them.

use bpf::insn::{Insn, RawInsn, encode};

use super::rng::Rng;

/// Slots for the instructions: maps named by descriptor or by place in the load's list, exits with something in a field
/// that Linux does not look at.
pub fn spelled(seed: u64, insns: &[Insn]) -> Vec<RawInsn> {
    let mut rng = Rng::new(seed);
    let mut slots = encode(insns).expect("test programs have an encoding");
    for (slot, insn) in slots.iter_mut().zip(insns) {
        match insn {
            Insn::LoadImm64 { .. } if matches!(slot.src, 1 | 2) && rng.once_in(3) => slot.src += 4,
            Insn::Exit if rng.once_in(3) => slot.off = rng.pick(&[1, 2, -1]),
            _ => {}
        }
    }
    slots
}
