//! Linking: the words of a code store, read back.

use std::collections::BTreeMap;

use bpf::facts::Facts;
use bpf::insn::{AluOp, Callee, Insn, Operand, Reg, Size, Wide, Width};
use bpf::program::{Function, MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{self, Options};
use nic_model::isa::{self, Op};
use nic_model::profile;
use offload_jit::{External, Firmware, Image, Mode, Origin, RelocationKind, compile};

const START: u16 = 3072;

fn firmware() -> Firmware {
    Firmware {
        start: START,
        done: 1,
        helpers: BTreeMap::from([(1, 100)]),
        routines: BTreeMap::new(),
        atomic: None,
        values: BTreeMap::new(),
    }
}

fn image(program: Program) -> Image {
    let program = verifier::verify(program, &Options { device_bound: true, ..Options::default() });
    let program = program.accepted().expect("the program is good");
    let card = profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities;
    compile(&program, &Facts::of(&program), &card, Mode::Driver).expect("the card takes it")
}

const fn mov(dst: Reg, imm: i32) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Imm(imm), sext: None }
}

const fn mov_reg(dst: Reg, src: Reg) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Reg(src), sext: None }
}

/// Looks a key up at the stack's bottom, then calls a function that uses R6.
fn lookup_and_call() -> Program {
    let insns = vec![
        mov(Reg::R1, 1),
        Insn::Store { size: Size::D, base: Reg::R10, off: -8, src: Operand::Reg(Reg::R1) },
        mov_reg(Reg::R2, Reg::R10),
        Insn::Alu { width: Width::W64, op: AluOp::Add, dst: Reg::R2, src: Operand::Imm(-8) },
        Insn::LoadImm64 { dst: Reg::R1, value: Wide::Map(MapIndex(0)) },
        Insn::Pad,
        Insn::Call { callee: Callee::Helper(1) },
        mov(Reg::R1, 2),
        Insn::Call { callee: Callee::Local(1) },
        Insn::Exit,
        mov_reg(Reg::R6, Reg::R1),
        mov_reg(Reg::R0, Reg::R6),
        Insn::Exit,
    ];
    let map = MapSpec {
        name: "flows".into(),
        ty: MapType::HASH,
        key_size: 8,
        value_size: 8,
        max_entries: 16,
        flags: 0,
        ..MapSpec::default()
    };
    let mut program = Program::from_insns("calls", ProgType::Xdp, insns, vec![map]);
    program.functions.push(Function::new("callee", 10));
    program
}

fn ops(words: &[u64]) -> Vec<Op> {
    let payloads = words.iter().map(|word| isa::check_ecc(*word).expect("parity is right"));
    payloads.map(|payload| isa::decode(payload).expect("every word is an instruction")).collect()
}

fn branch(op: &Op) -> Option<u16> {
    match op {
        Op::Br(br) => Some(br.to.0),
        Op::BrCond(br) => Some(br.to.0),
        Op::BrBit(br) => Some(br.to.0),
        _ => None,
    }
}

#[test]
fn every_address_is_filled_in() {
    let image = image(lookup_and_call());
    let linked = ops(&image.link(&firmware()).expect("the firmware has the routine"));
    let end = START + linked.len() as u16;
    for relocation in image.relocations() {
        let op = &linked[relocation.at as usize];
        let address = match op {
            Op::Immed(immed) => immed.load.value,
            op => branch(op).expect("relocations are of branches and constants"),
        };
        match relocation.kind {
            RelocationKind::External(External::Done) => assert_eq!(address, 1),
            RelocationKind::External(External::Helper(1)) => assert_eq!(address, 100),
            RelocationKind::External(part) => {
                let origin = image.origins()[usize::from(address - START)];
                assert_eq!(origin, Origin::Epilogue, "{part:?}");
            }
            _ => assert!((START..end).contains(&address), "{op} outside of {START} to {end}"),
        }
    }
    // What is not relocated stays.
    let relocated: Vec<usize> = image.relocations().iter().map(|relocation| relocation.at as usize).collect();
    for (at, (linked, op)) in linked.iter().zip(image.ops()).enumerate() {
        assert!(relocated.contains(&at) || linked == op, "{at}: {linked}");
    }
}

#[test]
fn a_called_function_gets_its_frame_and_its_registers_back() {
    let image = image(lookup_and_call());
    let parts: Vec<_> = image.relocations().iter().map(|relocation| relocation.kind).collect();
    for part in [External::Save, External::Restore] {
        assert!(parts.contains(&RelocationKind::External(part)), "{part:?}");
    }
    // Eight bytes of the main function and 36 of the callee, in frames of 64.
    assert_eq!(image.stack_bytes(), 128);
    let [map] = image.maps() else { panic!("{:?}", image.maps()) };
    assert_eq!((map.table, map.on_card), (1, true));
}

#[test]
fn a_routine_the_firmware_lacks_is_named() {
    let image = image(lookup_and_call());
    let error = image.link(&Firmware { helpers: BTreeMap::new(), ..firmware() }).expect_err("there is no routine");
    assert_eq!(error.code, "link-helper");
    assert!(error.reason.contains("bpf_map_lookup_elem#1"), "{error}");
}

#[test]
fn a_program_beyond_the_code_store_is_refused() {
    let image = image(lookup_and_call());
    let error = image.link(&Firmware { start: 16380, ..firmware() }).expect_err("it ends behind 16384");
    assert_eq!(error.code, "link-address");
}
