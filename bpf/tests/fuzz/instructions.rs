//! Slots → instructions → slots, text, and back.

use bpf::insn::{Dialect, Insn, asm, decode, decode_bytes, encode};

/// What decodes encodes, to what decodes to the same; and what its text says is read back.
pub fn slots(data: &[u8]) {
    let Ok(insns) = decode_bytes(data) else { return };
    let slots = encode(&insns).expect("what was decoded has an encoding");
    assert_eq!(decode(&slots).expect("what was encoded decodes"), insns);
    for dialect in [Dialect::Verifier, Dialect::Objdump, Dialect::Mc] {
        reread(&insns, dialect);
    }
}

/// Text in each dialect: what is read is printed to what is read as the same.
pub fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for dialect in [Dialect::Verifier, Dialect::Objdump, Dialect::Mc] {
        match asm::assemble(&text, "text", dialect, &()) {
            Ok(insns) => reread(&insns, dialect),
            Err(diagnostic) => drop(diagnostic.to_string()),
        }
    }
}

/// Not all of an instruction is in its text, but the text of what is read from it is the same.
fn reread(insns: &[Insn], dialect: Dialect) {
    let print = |insns: &[Insn]| -> String {
        let line = |insn: &Insn| format!("{}\n", insn.text(dialect, &()));
        insns.iter().filter(|insn| **insn != Insn::Pad).map(line).collect()
    };
    let text = print(insns);
    let again = asm::assemble(&text, "text", dialect, &()).unwrap_or_else(|e| panic!("{text}{e}"));
    assert_eq!(again.len(), insns.len());
    assert_eq!(print(&again), text);
}
