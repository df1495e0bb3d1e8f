//! Facts of the program as bits of the card's registers.

use bpf::facts::{Facts, Kinds};
use bpf::insn::Reg;
use bpf::verifier::VerifiedProgram;

use crate::code::{Bits, Hint, Hints};

/// Registers that have a home: R0 to R9.
const HOMES: u8 = 10;
/// Pointers that have 32 bits on the card: into the packet, to its end, into the stack. Arithmetic that the verifier takes
/// moves none of them as far as to 2^32.
const NARROW: Kinds = Kinds::PACKET.union(Kinds::PACKET_META).union(Kinds::PACKET_END).union(Kinds::STACK);

/// What is known of registers before the instructions of a program, by slot of the original one.
pub(crate) fn hints(program: &VerifiedProgram, facts: &Facts) -> Hints {
    let mut hints = Hints::default();
    for (index, slot) in program.origin().iter().enumerate() {
        hints.begin(*slot as u32);
        before(facts, index, &mut hints);
    }
    hints
}

fn before(facts: &Facts, index: usize, hints: &mut Hints) {
    for reg in (0..HOMES).filter_map(Reg::new).filter(|reg| facts.live(index).contains(*reg)) {
        let known = facts.before(index, reg);
        let kinds = known.readable();
        if kinds.is_empty() || !kinds.minus(NARROW.union(Kinds::NUMBER)).is_empty() {
            continue;
        }
        let mut halves = [Bits::UNKNOWN; 2];
        if kinds == Kinds::NUMBER {
            let bits = known.number.bits;
            let part = |shift: u32| {
                let (value, mask) = ((bits.value() >> shift) as u32, (bits.mask() >> shift) as u32);
                Bits { zero: !value & !mask, one: value & !mask }
            };
            halves = [part(0), part(32)];
        }
        // A pointer of 32 bits, or null or another small number.
        if !kinds.intersects(Kinds::NUMBER) || known.number.wide.umax <= u64::from(u32::MAX) {
            halves[1] = Bits::constant(0);
        }
        let register = 2 * reg.index() as u8;
        for (register, bits) in [register, register + 1].into_iter().zip(halves) {
            if bits != Bits::UNKNOWN {
                hints.push(Hint { register, bits });
            }
        }
    }
}
