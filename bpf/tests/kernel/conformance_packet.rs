//! The group of packet loads, in the form of bpf_conformance's files, which have none: interpreter and running kernel
//! answer what `-- result` says. `BLESS=1` writes the kernel's answers.

use crate::support;

#[path = "../../examples/suite/mod.rs"]
mod suite;

use std::path::PathBuf;

use bpf::program::ProgType;
use suite::file::{self, Expected};
use suite::run::{Entry, run};
use support::kernel::kernel;

fn files() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/packet");
    let mut files: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn packet_loads_answer_as_written_down() {
    assert!(files().len() >= 12);
    for path in files() {
        let test = file::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let ours = run(&test.program, &test.memory, Entry::Packet).unwrap();
        assert_eq!(Expected::Result(ours), test.expected, "{}", path.display());
    }
}

#[test]
fn what_is_written_down_is_the_kernels_answer() {
    let Some(kernel) = kernel("what_is_written_down_is_the_kernels_answer") else { return };
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let test = file::parse(&text).unwrap();
        let answer = |shift: bool| {
            let mut slots = test.program.clone();
            if shift {
                // The upper half, which a test run does not give: shifted down in place of every exit that is written.
                slots = shifted(&slots);
            }
            let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
            let program =
                kernel.load(ProgType::SchedCls.number(), &bytes, "GPL").unwrap_or_else(|e| panic!("{}", e.log));
            u64::from(program.run(&test.memory, None).unwrap().retval)
        };
        let theirs = answer(false) | answer(true) << 32;
        if std::env::var_os("BLESS").is_some() {
            let end = text.find("-- result\n").unwrap() + "-- result\n".len();
            std::fs::write(&path, format!("{}{theirs:#x}\n", &text[..end])).unwrap();
        } else {
            assert_eq!(Expected::Result(theirs), test.expected, "{}", path.display());
        }
    }
}

/// `R0 >>= 32` before the last slot, which is the only `exit` of these programs.
fn shifted(slots: &[bpf::insn::RawInsn]) -> Vec<bpf::insn::RawInsn> {
    let mut slots = slots.to_vec();
    let shift = bpf::insn::RawInsn { opcode: 0x77, dst: 0, src: 0, off: 0, imm: 32 };
    slots.insert(slots.len() - 1, shift);
    slots
}
