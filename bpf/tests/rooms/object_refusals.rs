//! Objects as they come: cut off, of the wrong kind, damaged, or with more than one answer.

use bpf::diag::{At, Diagnostic};
use bpf::object::{Object, TypeGuess};
use bpf::program::{MapType, ProgType};
use proptest::prelude::*;

const CALLS: &[u8] = include_bytes!("../data/object/calls.bpf.o");
const DATA: &[u8] = include_bytes!("../data/object/data.bpf.o");
const MAPS: &[u8] = include_bytes!("../data/object/maps.bpf.o");
const CORE: &[u8] = include_bytes!("../data/object/core.bpf.o");
const TYPES: &[u8] = include_bytes!("../data/object/types.bpf.o");
const EXTERNS: &[u8] = include_bytes!("../data/object/externs.bpf.o");
const LEGACY: &[u8] = include_bytes!("../data/object/legacy.bpf.o");
const SLOTS: &[u8] = include_bytes!("../data/object/slots.bpf.o");
const NESTED: &[u8] = include_bytes!("../data/object/nested.bpf.o");
const WEAK: &[u8] = include_bytes!("../data/object/weak.bpf.o");
const KFUNCS: &[u8] = include_bytes!("../data/object/kfuncs.bpf.o");
const UNSIZED: &[u8] = include_bytes!("../data/object/unsized.bpf.o");
const BIG: &[u8] = include_bytes!("../data/object/big.bpf.o");
const ALL: [&[u8]; 13] = [CALLS, DATA, MAPS, CORE, TYPES, EXTERNS, LEGACY, SLOTS, NESTED, WEAK, KFUNCS, UNSIZED, BIG];

fn refusal(bytes: &[u8]) -> Diagnostic {
    Object::parse(bytes).unwrap_err()
}

/// Everything that can be asked of an object; answers do not matter, only that they come.
fn exercise(bytes: &[u8]) {
    let Ok(object) = Object::parse(bytes) else { return };
    for program in object.programs() {
        for ty in [None, Some(ProgType::Xdp)] {
            match object.program(Some(&program.name), ty) {
                Ok(program) => {
                    assert_eq!(program.functions[0].start, 0);
                    assert!(program.lines.is_sorted_by(|a, b| a.slot < b.slot));
                    assert!(program.functions.iter().all(|f| f.start < program.insns.len()));
                }
                Err(e) => assert!(!e.to_string().is_empty()),
            }
        }
    }
}

fn patched(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// Places of the fields are those of the ELF specification, "ELF Header".
#[test]
fn files_of_another_kind_are_refused_by_name() {
    assert_eq!(refusal(b"").code, "object-not-elf");
    assert_eq!(refusal(b"#!/bin/sh\nexit 0\n".repeat(9).as_slice()).code, "object-not-elf");
    assert_eq!(refusal(&patched(CALLS, 4, &[1])).code, "object-class");
    assert_eq!(refusal(&patched(CALLS, 18, &[62, 0])).code, "object-machine");
    assert_eq!(refusal(&patched(CALLS, 16, &[2, 0])).code, "object-type");
    // What compilers before LLVM 5 wrote for the machine.
    assert!(Object::parse(&patched(CALLS, 18, &[0, 0])).is_ok());
    let text = refusal(&patched(CALLS, 18, &[62, 0])).to_string();
    assert_eq!(
        text,
        "object-machine: the file is for another machine\n  Limit: machine 247 (BPF)\n  Actual: machine 62\n  \
         Suggestion: compile with clang -target bpf -O2 -g -c\n"
    );
}

#[test]
fn files_that_are_cut_off_are_refused() {
    for object in ALL {
        for len in 0..object.len() {
            // The section table stands at the end: without its last byte nothing can be read.
            assert!(Object::parse(&object[..len]).is_err(), "{len} of {} bytes", object.len());
        }
    }
}

#[test]
fn a_program_is_asked_for_by_name_or_section() {
    let object = Object::parse(CALLS).unwrap();
    let names: Vec<_> = object.programs().iter().map(|p| (p.name.as_str(), p.section.as_str(), p.ty)).collect();
    assert_eq!(
        names,
        [
            ("one", "xdp", TypeGuess::Known(ProgType::Xdp)),
            ("two", "xdp", TypeGuess::Known(ProgType::Xdp)),
            ("looper", "tc", TypeGuess::Known(ProgType::SchedCls)),
        ]
    );
    assert_eq!(object.license(), "GPL");
    assert_eq!(object.program(Some("two"), None).unwrap().name, "two");
    assert_eq!(object.program(Some("tc"), None).unwrap().name, "looper");
    // One that is meant to be called can be asked for too.
    assert_eq!(object.program(Some("leaf"), Some(ProgType::Xdp)).unwrap().maps[0].name, "first");
    let several = object.program(None, None).unwrap_err();
    assert_eq!(several.code, "object-program");
    assert_eq!(several.actual.as_deref(), Some("one (in xdp), two (in xdp), looper (in tc)"));
    // Two programs are in that section.
    assert_eq!(object.program(Some("xdp"), None).unwrap_err().code, "object-program");
    assert_eq!(object.program(Some("none"), None).unwrap_err().code, "object-program");
    assert_eq!(object.program(Some("one"), Some(ProgType::SchedAct)).unwrap().ty, ProgType::SchedAct);
}

#[test]
fn maps_in_structures_are_read() {
    let object = Object::parse(LEGACY).unwrap();
    let spec = |i: usize| {
        let s = &object.maps()[i].spec;
        (s.name.as_str(), s.ty, s.key_size, s.value_size, s.max_entries, s.flags)
    };
    assert_eq!(spec(0), ("flows", MapType::HASH, 16, 8, 1024, 1));
    assert_eq!(spec(1), ("counts", MapType::PERCPU_ARRAY, 4, 8, 256, 0));
    assert_eq!(spec(2), ("routes", MapType(11), 8, 4, 64, 1));
    let program = object.program(Some("slot"), Some(ProgType::SchedCls)).unwrap();
    assert_eq!(program.maps.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["flows", "routes"]);
    assert_eq!(program.license, "Proprietary");
}

#[test]
fn symbols_without_type_and_size_are_read() {
    let object = Object::parse(UNSIZED).unwrap();
    let shapes: Vec<_> = object
        .maps()
        .iter()
        .map(|m| (m.spec.name.as_str(), m.spec.ty.0, m.spec.value_size, m.spec.max_entries))
        .collect();
    assert_eq!(shapes, [("first", 1, 8, 16), ("second", 2, 8, 32), ("third", 6, 16, 64)]);
    let main = object.program(Some("main_prog"), Some(ProgType::Xdp)).unwrap();
    assert_eq!((main.insns.len(), main.maps.len(), main.maps[0].name.as_str()), (10, 1, "second"));
    assert!(main.lines.is_empty());
    let other = object.program(Some("other_prog"), Some(ProgType::Xdp)).unwrap();
    assert_eq!((other.insns.len(), other.maps[0].name.as_str()), (8, "third"));
}

#[test]
fn a_type_that_the_section_does_not_say_must_be_given() {
    let object = Object::parse(LEGACY).unwrap();
    // The context of this one is struct xdp_md, which says it.
    assert_eq!(object.program(Some("by_context"), None).unwrap().ty, ProgType::Xdp);
    let slots = Object::parse(SLOTS).unwrap();
    let error = slots.program(Some("unsaid"), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsaid: object-program-type: section loadbalancer does not say the program's type; its context is struct \
         __sk_buff\n  Limit: socket_filter, sched_cls, sched_act, xdp\n  Actual: loadbalancer\n  \
         Suggestion: say the type: sched_cls for a tc classifier, sched_act for a tc action, or socket_filter\n"
    );
    let error = object.program(Some("probe"), None).unwrap_err();
    assert_eq!((error.code, error.actual.as_deref()), ("object-program-type", Some("kprobe")));
}

#[test]
fn what_is_refused_names_instruction_and_line() {
    let error = Object::parse(EXTERNS).unwrap().program(Some("function"), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "function:1: object-extern: function a_kfunc is not defined in the object\n  At: 1: call -0x1\n      \
         ./externs.bpf.c:18: return a_kfunc(3);\n  \
         Suggestion: kernel functions (kfuncs) are not supported; link libraries in with bpftool gen object\n"
    );
    let error = Object::parse(SLOTS).unwrap().program(Some("wrong"), None).unwrap_err();
    assert_eq!((error.code, error.at), ("object-map-in-map", Some(At::Named("shapeless".to_owned()))));
}

/// An instruction that is none, in a function that is called: slot and line are the program's.
#[test]
fn what_is_no_instruction_is_refused_where_it_is() {
    // The body of `leaf`: `w0 = w6` and `exit`.
    let leaf = [0xbc, 0x60, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let places: Vec<usize> = CALLS.windows(16).enumerate().filter(|(_, w)| *w == leaf).map(|(i, _)| i).collect();
    assert_eq!(places.len(), 1);
    let object = Object::parse(&patched(CALLS, places[0], &[0xff])).unwrap();
    let error = object.program(Some("one"), None).unwrap_err();
    assert_eq!(error.code, "insn-opcode");
    let one = Object::parse(CALLS).unwrap().program(Some("one"), None).unwrap();
    let start = one.functions.iter().find(|f| f.name == "leaf").unwrap().start;
    let Some(At::Insn { program, slot, text, source }) = error.at else { panic!("{:?}", error.at) };
    assert_eq!((program.as_str(), slot, text.as_str()), ("one", start + 12, "opcode 0xff"));
    assert_eq!(source.as_ref(), one.line_of(slot));
}

/// A `.bss` section says its size in its header alone.
#[test]
fn zeroes_are_limited() {
    let half = |at: usize| u16::from_le_bytes(DATA[at..at + 2].try_into().unwrap()) as usize;
    let word = |at: usize| u64::from_le_bytes(DATA[at..at + 8].try_into().unwrap());
    // The section's header is the one whose first word is its name's place in the table of names (ELF, "Sections").
    let header = |i: usize| word(40) as usize + i * 64;
    let names = word(header(half(62)) + 24) as usize;
    let name = DATA[names..].windows(6).position(|w| w == b"\0.bss\0").unwrap() + 1;
    let bss = (0..half(60)).map(header).find(|&h| DATA[h..h + 4] == (name as u32).to_le_bytes()).unwrap();
    assert_eq!(word(bss + 32), 44);
    let error = refusal(&patched(DATA, bss + 32, &u64::MAX.to_le_bytes()));
    assert_eq!(error.code, "object-bss");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_objects_are_read_or_refused(
        which in 0..ALL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = ALL[which].to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(&bytes);
    }

    /// Whole fields, with values that offsets, sizes and counts break on.
    #[test]
    fn objects_with_hostile_fields_are_read_or_refused(
        which in 0..ALL.len(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![0u64, 1, 7, 8, 0x7fff_ffff, 0xffff_ffff, 1 << 32, i64::MAX as u64, u64::MAX - 7, u64::MAX]), 0..3usize),
            1..4,
        ),
    ) {
        let mut bytes = ALL[which].to_vec();
        for (at, value, width) in changes {
            let width = [2, 4, 8][width];
            let at = at.index(bytes.len() / width) * width;
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        exercise(&bytes);
    }
}
