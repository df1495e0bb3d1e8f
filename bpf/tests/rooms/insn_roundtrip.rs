//! Instructions and slots, back and forth.

use crate::support;

use bpf::insn::{Insn, RawInsn, Reg, Wide, decode, decode_bytes, encode, encode_bytes};
use proptest::prelude::*;
use support::insns::{has_encoding, insn};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn instructions_survive(list in prop::collection::vec(insn(), 0..12)) {
        let mut insns = Vec::new();
        for insn in list {
            insns.push(insn);
            if matches!(insn, Insn::LoadImm64 { .. }) {
                insns.push(Insn::Pad);
            }
        }
        let first_bad = insns.iter().position(|i| !has_encoding(i));
        match encode(&insns) {
            Ok(slots) => {
                prop_assert_eq!(first_bad, None);
                prop_assert_eq!(slots.len(), insns.len());
                prop_assert_eq!(decode(&slots).unwrap(), insns.clone());
                prop_assert_eq!(decode_bytes(&encode_bytes(&insns).unwrap()).unwrap(), insns);
            }
            Err(e) => prop_assert_eq!(Some(e.slot), first_bad),
        }
    }

    #[test]
    fn bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(insns) = decode_bytes(&bytes) {
            prop_assert_eq!(insns.len() * 8, bytes.len());
        }
    }

    /// Random fields under each opcode, so that most slots are legal or nearly so.
    #[test]
    fn slots_survive(
        opcode in any::<u8>(),
        dst in 0..12u8,
        src in 0..12u8,
        off in prop_oneof![Just(0), Just(1), any::<i16>()],
        imm in prop_oneof![Just(0), Just(16), Just(0x41), any::<i32>()],
    ) {
        let raw = RawInsn { opcode, dst, src, off, imm };
        prop_assert_eq!(RawInsn::from_le_bytes(raw.to_le_bytes()), raw);
        prop_assert_eq!(RawInsn::from_be_bytes(raw.to_be_bytes()), raw);
        if let Ok(insns) = decode(&[raw]) {
            let written = match raw.opcode {
                0x8d => RawInsn { dst: dst | imm as u8, imm: 0, ..raw },
                0x95 => RawInsn { off: 0, ..raw },
                _ => raw,
            };
            prop_assert_eq!(encode(&insns).unwrap(), [written]);
        }
    }
}

#[test]
fn halves_of_a_wide_load_must_be_together() {
    let load = Insn::LoadImm64 { dst: Reg::R1, value: Wide::Value(7) };
    assert_eq!(encode(&[load]).unwrap_err().slot, 0);
    assert_eq!(encode(&[load, Insn::Exit]).unwrap_err().slot, 0);
    assert_eq!(encode(&[Insn::Exit, Insn::Pad]).unwrap_err().slot, 1);
}

#[test]
fn a_partial_slot_is_refused() {
    let error = decode_bytes(&[0x95, 0, 0, 0, 0, 0, 0, 0, 0xb7, 0]).unwrap_err();
    assert_eq!((error.slot, error.opcode), (1, 0xb7));
    let diagnostic = bpf::diag::Diagnostic::from(error);
    assert_eq!(
        diagnostic.headline(),
        "instructions+0x8: insn-partial: slot 1, opcode 0xb7: the program ends 2 bytes into a slot"
    );
}
