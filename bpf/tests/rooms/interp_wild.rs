//! Programs without any regard to sense: the machine ends every one of them, and an observer changes nothing.

use crate::support;

use std::cell::RefCell;

use bpf::env::FixedEnv;
use bpf::insn::{AluOp, AtomicOp, Callee, Cond, Insn, Operand, PacketMode, Reg, Size, Wide};
use bpf::interp::*;
use bpf::maps::{AccessLog, MapId};
use bpf::program::{MapIndex, MapType, ProgType, Program};
use proptest::prelude::*;
use support::asm::*;
use support::both::spec;
use support::slice;

fn any_reg() -> impl Strategy<Value = Reg> {
    (0..11u8).prop_map(|n| Reg::new(n).unwrap())
}

fn any_size() -> impl Strategy<Value = Size> {
    prop::sample::select(vec![Size::B, Size::H, Size::W, Size::D])
}

/// Instructions without any regard to sense.
fn any_insn() -> impl Strategy<Value = Insn> {
    let operand = || prop_oneof![any_reg().prop_map(Operand::Reg), (-70..70i32).prop_map(Operand::Imm)];
    let alu = prop::sample::select(vec![AluOp::Add, AluOp::Sub, AluOp::Mul, AluOp::Smod, AluOp::Lsh, AluOp::And]);
    let wide = prop_oneof![
        (0..3u32).prop_map(|map| Wide::Map(MapIndex(map))),
        (0..3u32, 0..40u32).prop_map(|(map, off)| Wide::MapValue { map: MapIndex(map), off }),
        any::<u64>().prop_map(Wide::Value),
    ];
    let helpers = prop::sample::select(vec![1u32, 2, 3, 5, 7, 8, 9, 10, 11, 23, 26, 28, 44, 65, 4, 300]);
    prop_oneof![
        4 => (alu, any_reg(), operand()).prop_map(|(op, dst, src)| alu64(op, dst, src)),
        3 => (any_reg(), operand()).prop_map(|(dst, src)| mov(dst, src)),
        3 => (any_size(), any_reg(), any_reg(), -600..600i16).prop_map(|(size, dst, base, off)| load(size, dst, base, off)),
        3 => (any_size(), any_reg(), operand(), -600..600i16).prop_map(|(size, base, src, off)| store(size, base, off, src)),
        2 => (any_reg(), any_reg(), -40..40i16).prop_map(|(base, src, off)| atomic(AtomicOp::Xchg, true, Size::W, base, off, src)),
        2 => (any_reg(), operand(), -10..10i16).prop_map(|(dst, src, off)| branch(Cond::Sgt, dst, src, off)),
        1 => (-10..10i32).prop_map(jump),
        1 => (-10..10i32).prop_map(call),
        3 => helpers.prop_map(helper),
        1 => any_reg().prop_map(|reg| Insn::Call { callee: Callee::Reg(reg) }),
        3 => (any_reg(), wide).prop_map(|(dst, value)| Insn::LoadImm64 { dst, value }),
        1 => Just(Insn::Pad),
        1 => (any_reg(), any::<i32>()).prop_map(|(reg, imm)| Insn::LoadPacket { size: Size::W, mode: PacketMode::Ind(reg), imm }),
        1 => Just(exit()),
    ]
}

/// Asks for everything and looks at it.
#[derive(Default)]
struct Curious {
    insns: u64,
    covered: u64,
    bytes: u64,
    map_bytes: u64,
}

impl Observer for Curious {
    const INSNS: bool = true;
    const SPANS: bool = true;
    const ACCESSES: bool = true;

    fn insn(&mut self, _: usize) {
        self.insns += 1;
    }

    fn span(&mut self, first: usize, past: usize) {
        assert!(first < past);
        self.covered += (past - first) as u64;
    }

    fn access(&mut self, access: &MemAccess, _: u64) {
        self.bytes += u64::from(access.size.bytes());
    }

    fn map_op(&mut self, _: &MapOp, log: &AccessLog) {
        self.map_bytes += log.accesses().iter().map(|access| u64::from(access.len)).sum::<u64>();
    }
}

const BUDGET: u64 = 2000;

#[test]
fn no_program_is_too_wild() {
    let maps =
        [spec(MapType::HASH, 4, 8, 4, 0), spec(MapType::ARRAY, 4, 8, 4, 0), spec(MapType::PERCPU_ARRAY, 4, 24, 4, 0)];
    let config = EngineConfig { budget: BUDGET, cpus: 2, packet_max: 200, ..EngineConfig::default() };
    let engine = RefCell::new(Engine::new(config, &maps).unwrap());
    let config = slice(1000);
    proptest!(config, |(insns in prop::collection::vec(any_insn(), 1..60), skb in any::<bool>(), seed in 1u64..)| {
        let (ty, data) = if skb { (ProgType::SchedCls, 76) } else { (ProgType::Xdp, 0) };
        // Sensible registers to begin with get further.
        let insns = [vec![mov(R9, R1), mov(R8, R10), load(Size::W, R7, R1, data)], insns].concat();
        let slots = insns.len() as u64;
        let code = Code::new(&Program::from_insns("wild", ty, insns, maps.to_vec())).unwrap();
        let context = match skb {
            true => ContextInput::Skb(SkbFields::default()),
            false => ContextInput::Xdp(XdpFields::default()),
        };
        let input = RunInput { context, packet: &[3; 100] };
        let env = FixedEnv { seed, ..FixedEnv::default() };
        let mut engine = engine.borrow_mut();
        let mut twin = engine.clone();
        let mut curious = Curious::default();
        let outcome = engine.run(&code, input, &mut env.clone(), &mut curious);
        prop_assert!(outcome.retired <= BUDGET + slots);
        // The one that faulted was announced; a call that faulted is in its span.
        prop_assert!(curious.insns - outcome.retired <= 1 && curious.covered >= outcome.retired);
        prop_assert_eq!(twin.run(&code, input, &mut env.clone(), &mut NoObserver), outcome);
        prop_assert_eq!(twin.packet(), engine.packet());
        // Whatever guests have done to them, maps answer.
        for id in 0..3 {
            let mut map = engine.map(MapId(id)).unwrap();
            let entries = map.entries();
            prop_assert_eq!(&entries, &twin.map(MapId(id)).unwrap().entries());
            prop_assert!(entries.len() <= 4);
            if let Some((key, _)) = entries.first() {
                let _ = map.delete(key);
            }
        }
    });
}
