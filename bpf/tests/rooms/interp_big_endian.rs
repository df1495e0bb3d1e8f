//! Programs compiled for big-endian machines: words in memory have their highest byte first, whatever machine this is.

use crate::support;

use std::path::{Path, PathBuf};
use std::process::Command;

use bpf::env::FixedEnv;
use bpf::insn::{AtomicOp, ByteOrder, Endian, Insn, Size};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, Outcome, RunInput, SkbFields, XdpFields};
use bpf::maps::MapId;
use bpf::memory::FaultKind;
use bpf::object::Object;
use bpf::program::{MapSpec, MapType, ProgType, Program};
use support::asm::*;
use support::both::spec;

fn machine(maps: &[MapSpec]) -> Engine {
    Engine::new(EngineConfig { byte_order: Endian::Big, ..EngineConfig::default() }, maps).unwrap()
}

fn big(ty: ProgType, insns: Vec<Insn>, maps: &[MapSpec]) -> Code {
    let program = Program::from_insns("big", ty, insns, maps.to_vec());
    Code::new(&Program { byte_order: Endian::Big, ..program }).unwrap()
}

fn run(engine: &mut Engine, code: &Code, packet: &[u8]) -> Outcome {
    let context = match code.prog_type().is_skb() {
        true => {
            ContextInput::Skb(SkbFields { mark: 0x0102_0304, tstamp: 0x1122_3344_5566_7788, ..SkbFields::default() })
        }
        false => ContextInput::Xdp(XdpFields { rx_queue_index: 0x0a0b_0c0d, ..XdpFields::default() }),
    };
    engine.run(code, RunInput { context, packet }, &mut FixedEnv::default(), &mut NoObserver)
}

/// R0 of a program without maps.
fn result(insns: Vec<Insn>) -> u64 {
    let outcome = run(&mut machine(&[]), &big(ProgType::Xdp, insns, &[]), &[0; 64]);
    assert_eq!(outcome.fault, None);
    outcome.retval
}

#[test]
fn the_highest_byte_comes_first() {
    let [first, second] = wide(R1, 0x0102_0304_0506_0708);
    let stored = |rest: &[Insn]| [&[first, second, store(Size::D, R10, -8, R1)], rest, &[exit()]].concat();
    for (size, off, wanted) in [
        (Size::B, -8, 0x01),
        (Size::B, -1, 0x08),
        (Size::H, -8, 0x0102),
        (Size::W, -4, 0x0506_0708),
        (Size::D, -8, 0x0102_0304_0506_0708),
    ] {
        assert_eq!(result(stored(&[load(size, R0, R10, off)])), wanted);
        assert_eq!(result(stored(&[Insn::LoadAcquire { size, dst: R0, base: R10, off }])), wanted);
    }
    let halves =
        [store(Size::H, R10, -8, 0x8081), Insn::Load { size: Size::H, sext: true, dst: R0, base: R10, off: -8 }];
    assert_eq!(result(stored(&halves)), 0xffff_ffff_ffff_8081);
    let added = [mov(R2, 1), atomic(AtomicOp::Add, true, Size::W, R10, -8, R2), load(Size::B, R0, R10, -5)];
    assert_eq!(result(stored(&added)), 5);
}

/// RFC 9669 §4.2: to the machine's own order nothing moves.
#[test]
fn byte_order_is_that_of_the_machine() {
    let [first, second] = wide(R0, 0x0102_0304_0506_0708);
    for (order, bits, wanted) in [
        (ByteOrder::Be, 16, 0x0708),
        (ByteOrder::Be, 32, 0x0506_0708),
        (ByteOrder::Be, 64, 0x0102_0304_0506_0708),
        (ByteOrder::Le, 16, 0x0807),
        (ByteOrder::Le, 32, 0x0807_0605),
        (ByteOrder::Le, 64, 0x0807_0605_0403_0201),
        (ByteOrder::Swap, 32, 0x0807_0605),
    ] {
        assert_eq!(result(vec![first, second, Insn::End { order, dst: R0, bits }, exit()]), wanted, "{order:?} {bits}");
    }
}

#[test]
fn contexts_and_packets_are_in_the_machines_order() {
    assert_eq!(result(vec![load(Size::W, R0, R1, 16), exit()]), 0x0a0b_0c0d);
    let packet: Vec<u8> = (0..64).collect();
    let words = vec![load(Size::W, R2, R1, 0), load(Size::W, R0, R2, 4), exit()];
    assert_eq!(run(&mut machine(&[]), &big(ProgType::Xdp, words, &[]), &packet).retval, 0x0405_0607);

    let skb = |insns| run(&mut machine(&[]), &big(ProgType::SchedCls, insns, &[]), &packet).retval;
    assert_eq!(skb(vec![load(Size::B, R0, R1, 8), exit()]), 1);
    assert_eq!(skb(vec![load(Size::D, R0, R1, 152), exit()]), 0x1122_3344_5566_7788);
    let load_half = Insn::LoadPacket { size: Size::H, mode: bpf::insn::PacketMode::Abs, imm: 6 };
    assert_eq!(skb(vec![mov(R6, R1), load_half, exit()]), 0x0607);

    let mut engine = machine(&[]);
    run(&mut engine, &big(ProgType::SchedCls, vec![store(Size::W, R1, 8, 7), exit()], &[]), &packet);
    assert_eq!(engine.skb().mark, 7);
}

#[test]
fn keys_of_arrays_are_in_the_machines_order() {
    let maps = [spec(MapType::ARRAY, 4, 8, 4, 0)];
    let mut engine = machine(&maps);
    engine.map(MapId(0)).unwrap().update(&3u32.to_be_bytes(), &9u64.to_be_bytes(), 0).unwrap();
    let [wide, pad] = map(R1, 0);
    let insns = vec![
        store(Size::W, R10, -4, 3),
        mov(R2, R10),
        add(R2, -4),
        wide,
        pad,
        helper(1),
        branch(bpf::insn::Cond::Eq, R0, 0, 1),
        load(Size::D, R0, R0, 0),
        exit(),
    ];
    assert_eq!(run(&mut engine, &big(ProgType::Xdp, insns, &maps), &[0; 64]).retval, 9);
    let keys: Vec<_> = engine.map(MapId(0)).unwrap().entries().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, (0..4u32).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

#[test]
fn a_program_of_the_other_order_does_not_begin() {
    let code = Code::new(&Program::from_insns("little", ProgType::Xdp, vec![exit()], vec![])).unwrap();
    let outcome = run(&mut machine(&[]), &code, &[0; 64]);
    assert_eq!((outcome.fault.map(|fault| fault.kind), outcome.retired), (Some(FaultKind::ByteOrder), 0));
}

/// The committed programs, compiled for both orders, give the same verdicts over the committed trace.
#[test]
fn compiled_programs_agree_in_both_orders() {
    let clang = Command::new("clang-19").arg("--version").output().is_ok_and(|output| output.status.success());
    if !clang {
        assert!(std::env::var_os("REQUIRE_LLVM").is_none(), "clang-19 is not installed");
        return eprintln!("SKIPPED compiled_programs_agree_in_both_orders: clang-19 is not installed");
    }
    let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for name in ["firewall", "firewall_tc", "l4lb", "l4lb_tc"] {
        let [(mut little, little_code), (mut big, big_code)] = ["bpfel", "bpfeb"].map(|target| {
            let object = compiled(&scenarios.join("programs"), name, target);
            let program = Object::parse(&object).unwrap().program(None, None).unwrap();
            let config = EngineConfig { byte_order: program.byte_order, ..EngineConfig::default() };
            (Engine::new(config, &program.maps).unwrap(), Code::new(&program).unwrap())
        });
        assert_eq!((little_code.byte_order(), big_code.byte_order()), (Endian::Little, Endian::Big));
        for (number, frame) in frames(&scenarios.join("traces/mixed.pcap")).iter().enumerate().step_by(23) {
            let (ours, theirs) = (run(&mut little, &little_code, frame), run(&mut big, &big_code, frame));
            assert_eq!((ours.fault, ours.retval), (None, theirs.retval), "{name}, packet {number}: {:?}", theirs.fault);
            assert_eq!(little.packet(), big.packet(), "{name}, packet {number}");
        }
    }
}

fn compiled(programs: &Path, name: &str, target: &str) -> Vec<u8> {
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{target}.o"));
    let args = ["-target", target, "-O2", "-g", "-mcpu=v3", "-I/usr/include/x86_64-linux-gnu", "-c", "-o"];
    let source = programs.join(format!("{name}.bpf.c"));
    let output = Command::new("clang-19").args(args).args([&object, &source]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(object).unwrap()
}

/// The frames of a classic pcap file in little-endian byte order.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let (mut frames, mut rest) = (Vec::new(), &file[24..]);
    while rest.len() >= 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}
