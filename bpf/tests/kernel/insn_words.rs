//! What is said of slots that are no instructions is what the running kernel says.

use crate::support;

use std::collections::BTreeMap;

use bpf::insn::{RawInsn, decode};
use support::kernel;

const SCHED_CLS: u32 = 3;

/// A program around a slot: registers hold numbers before it, and wide loads find a second half behind it.
fn around(slot: RawInsn) -> Vec<RawInsn> {
    let plain = |opcode, dst| RawInsn::from_le_bytes([opcode, dst, 0, 0, 0, 0, 0, 0]);
    let mut out: Vec<RawInsn> = (0..10).map(|reg| plain(0xb7, reg)).collect();
    out.push(slot);
    if slot.opcode == 0x18 {
        out.push(plain(0, 0));
    }
    out.push(plain(0x95, 0));
    out
}

#[test]
fn the_kernel_says_the_same_of_what_is_no_instruction() {
    let Some(kernel) = kernel::kernel("the_kernel_says_the_same_of_what_is_no_instruction") else { return };
    let (mut same, mut differ) = (0, BTreeMap::new());
    for opcode in 0..=255u8 {
        for (regs, off, imm) in
            [(0x00u8, 0u8, 0u8), (0x00, 0, 9), (0x00, 9, 0), (0x0b, 0, 0), (0xb0, 0, 0), (0x90, 0, 0), (0x91, 9, 9)]
        {
            let program = around(RawInsn::from_le_bytes([opcode, regs, off, 0, imm, 0, 0, 0]));
            let Err(error) = decode(&program) else { continue };
            let bytes: Vec<u8> = program.iter().flat_map(|slot| slot.to_le_bytes()).collect();
            let (loaded, log) = kernel.verify(SCHED_CLS, &bytes, 1, 0);
            assert!(loaded.is_err(), "{error}: the kernel takes it");
            let said = log.lines().rfind(|l| !l.is_empty() && !l.starts_with("processed ")).unwrap_or_default();
            if said.ends_with(&error.linux()) {
                same += 1;
            } else {
                differ.entry((said.to_owned(), error.linux())).or_insert_with(|| error.to_string());
            }
        }
    }
    println!("{same} the same; others (kernel, here): {differ:#?}");
    assert!(same > 1000, "only {same} are the same: {differ:#?}");
    assert!(differ.len() * 20 < same, "{same} are the same, {} differ: {differ:#?}", differ.len());
}
