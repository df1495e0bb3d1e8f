//! Slots → instructions → slots and text.

use bpf::insn::{decode, decode_bytes, encode};

/// What decodes encodes, to what decodes to the same; and has a text.
pub fn check(data: &[u8]) {
    let Ok(insns) = decode_bytes(data) else { return };
    let slots = encode(&insns).expect("what was decoded has an encoding");
    assert_eq!(decode(&slots).expect("what was encoded decodes"), insns);
    for insn in &insns {
        let _ = (insn.verifier(&()).to_string(), insn.objdump().to_string());
    }
}
