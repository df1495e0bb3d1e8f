//! Tail calls within the code store: into other programs and back into the same one, past empty slots, up to the limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::facts::Facts;
use bpf::insn::{AluOp, Callee, Cond, Insn, Operand, Reg, Size, Wide, Width};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, XdpFields};
use bpf::maps::MapId;
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{self, Options, VerifiedProgram};
use nic_model::core::{CoreCosts, Fate};
use nic_model::firmware;
use nic_model::memory::EngineTiming;
use offload_jit::{Mode, compile};

use super::bench::{Bench, core_config};
use super::pair::{FixedEnvironment, action, doors};
use super::rng::Rng;

/// Slots of the program array; those behind the programs are empty.
const SLOTS: u32 = 8;
/// Packet bytes that are checked to be there.
const CHECKED: i32 = 16;

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Mov { width: Width::W64, dst, src, sext: None }
}

fn alu(op: AluOp, dst: Reg, src: Operand) -> Insn {
    Insn::Alu { width: Width::W64, op, dst, src }
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, sext: false, dst, base, off }
}

/// Adds to byte 1 of the packet, calls the program in the slot that byte 0 names after `step` has been added to it, and where
/// there is none returns `code`.
fn program(name: &str, add: i32, step: i32, code: i32) -> Program {
    let mut insns = vec![
        mov(Reg::R6, Operand::Reg(Reg::R1)),
        load(Size::W, Reg::R7, Reg::R6, 0),
        load(Size::W, Reg::R2, Reg::R6, 4),
        mov(Reg::R0, Operand::Imm(1)),
        mov(Reg::R3, Operand::Reg(Reg::R7)),
        alu(AluOp::Add, Reg::R3, Operand::Imm(CHECKED)),
        Insn::Branch { width: Width::W64, cond: Cond::Le, dst: Reg::R3, src: Operand::Reg(Reg::R2), off: 1 },
        Insn::Exit,
    ];
    for (at, by) in [(1, add), (0, step)] {
        insns.push(load(Size::B, Reg::R3, Reg::R7, at));
        insns.push(alu(AluOp::Add, Reg::R3, Operand::Imm(by)));
        insns.push(alu(AluOp::And, Reg::R3, Operand::Imm(if at == 0 { 15 } else { 255 })));
        insns.push(Insn::Store { size: Size::B, base: Reg::R7, off: at, src: Operand::Reg(Reg::R3) });
    }
    insns.extend([
        // Something on the stack, which the next program must not mind.
        Insn::Store { size: Size::D, base: Reg::R10, off: -64, src: Operand::Reg(Reg::R3) },
        mov(Reg::R1, Operand::Reg(Reg::R6)),
        Insn::LoadImm64 { dst: Reg::R2, value: Wide::Map(MapIndex(0)) },
        Insn::Pad,
        Insn::Call { callee: Callee::Helper(12) },
        mov(Reg::R0, Operand::Imm(code)),
        Insn::Exit,
    ]);
    let map = MapSpec {
        name: "programs".into(),
        ty: MapType::PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: SLOTS,
        ..MapSpec::default()
    };
    Program::from_insns(name, ProgType::Xdp, insns, vec![map])
}

fn verified(program: Program) -> VerifiedProgram {
    verifier::verify(program, &Options::default()).accepted().expect("the program is good")
}

#[test]
fn tail_calls_agree() {
    let card = nic_model::profile::builtin("open-npu").expect("it comes with the project").capabilities;
    // Slot 0 calls itself until the limit, slot 1 goes up by two, slot 2 by three, into the empty ones.
    let programs: Vec<VerifiedProgram> = [("main", 1, 0, 2), ("again", 2, 0, 3), ("next", 4, 2, 1), ("far", 8, 3, 0)]
        .map(|(name, add, step, code)| verified(program(name, add, step, code)))
        .into();
    let maps = programs[0].program().maps.clone();
    let mut engine = Engine::new(EngineConfig::default(), &maps).expect("a program array");
    let main = Code::new(programs[0].xlated()).expect("it has been verified");
    let (mut bench, tables) =
        Bench::new(core_config(0, CoreCosts::UNIT), EngineTiming::NONE, firmware::Firmware::default(), &maps)
            .expect("a program array");
    let (mut words, mut starts) = (Vec::new(), BTreeMap::new());
    for (number, verified) in (1..).zip(&programs) {
        let image = compile(verified, &Facts::of(verified), &card, Mode::Best).expect("the card takes it");
        let mut doors = doors(BTreeMap::new());
        doors.start += words.len() as u16;
        starts.insert(number, doors.start);
        words.extend(image.link(&doors).expect("every door is there"));
        if number > 1 {
            let slot = number - 2;
            let id = engine.add_program(Arc::new(Code::new(verified.xlated()).expect("it has been verified")));
            engine.map(MapId(0)).expect("it exists").set_program(slot, Some(id)).expect("a slot");
            bench.memories.user_update(tables[0], &slot.to_le_bytes(), &number.to_le_bytes(), 0).expect("a slot");
        }
    }
    bench.load_programs(&words, starts).expect("room");
    let mut rng = Rng::new(5);
    let mut seen = [0u32; 4];
    for n in 0..400 {
        let mut packet = rng.bytes(64);
        packet[0] = rng.below(16) as u8;
        let vector = bench.put_packet(8, &packet);
        bench.begin(0, 0, n, vector);
        bench.run();
        let (_, _, outcome) = bench.finished.pop().expect("the packet is done");
        let Fate::Verdict(verdict) = outcome.fate else { panic!("{:?}", outcome.fate) };
        let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &packet };
        let end = engine.run(&main, input, &mut FixedEnvironment, &mut NoObserver);
        assert_eq!(end.fault, None);
        assert_eq!((verdict.word >> 16) as u8, action(end.retval), "packet {packet:02x?}");
        assert_eq!(bench.packet(&outcome.vector), engine.packet(), "packet {packet:02x?}");
        seen[end.retval as usize & 3] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "every program ends some packet: {seen:?}");
}
