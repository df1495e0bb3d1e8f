//! Helpers on XDP packets, their metadata and fragments against the running kernel, and helpers that need no packet.

use crate::support;

use bpf::env::FixedEnv;
use bpf::insn::{Cond, Insn, Reg, Size, Wide};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, RunInput, XdpFields};
use bpf::maps::MapId;
use bpf::network::{Device, Network};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::syscall::{Config, NewProgram, System, TestRun};
use bpf::verifier::Options;
use proptest::prelude::*;
use support::asm::*;
use support::both::{self, Both};
use support::calls::{BUFFER, Step, bare, below, buffer, call, of, program, size};
use support::kernel::{Kernel, LoadRequest, kernel};
use support::ledger::Ledger;
use support::slice;

/// `BPF_F_XDP_HAS_FRAGS`.
const HAS_FRAGS: u32 = 1 << 5;

fn network() -> Network {
    let mut network = Network::default();
    // The loopback device, at which test runs begin.
    network.add_device(Device { mtu: 65_536, mac: [0; 6], ..Device::new(1, "lo") });
    network
}

fn xdp_step() -> BoxedStrategy<Step> {
    let minus = |n: i64| n as u64;
    let ends =
        || of(&[0, 4, 14, 40, minus(-4), minus(-14), minus(-100), minus(-216), minus(-217), 100, minus(-4000), 3000]);
    let meta = of(&[minus(-4), minus(-8), minus(-32), minus(-252), minus(-216), minus(-220), 4, 8, 1, minus(-2)]);
    prop_oneof![
        3 => call(44, vec![ends()]),
        3 => call(65, vec![ends()]),
        3 => call(54, vec![meta]),
        1 => call(188, vec![]),
        2 => call(189, vec![below(6000), buffer(), size()]),
        2 => call(190, vec![below(6000), buffer(), size()]),
        1 => any::<u64>().prop_map(Step::Fill),
        1 => prop::sample::select(vec![12i16, 16]).prop_map(|off| Step::Read(Size::W, off)),
        1 => (any::<[u8; 4]>(), any::<bool>()).prop_map(|(b, zero)| {
            Step::Set(0, if zero { vec![0; 4] } else { b.to_vec() })
        }),
        1 => call(163, vec![of(&[0, 1, 77_777]), buffer(), of(&[0, 4, minus(-4), 70_000, 65_536]), of(&[0, 0, 0, 1])]),
    ]
    .boxed()
}

fn agree(kernel: Kernel, frags: bool, steps: &[Step], inputs: &[(Vec<u8>, u32)]) -> Result<(), TestCaseError> {
    let insns = program(steps);
    let bytes = both::kernel_bytes(&insns, &[]);
    let flags = if frags { HAS_FRAGS } else { 0 };
    let request = LoadRequest { prog_type: 6, bytes: &bytes, flags, ..LoadRequest::default() };
    let loaded = kernel.explained(&request).unwrap_or_else(|error| panic!("{steps:?}\n{}", error.log));
    let code = Code::new(&Program { frags, ..Program::from_insns("test", ProgType::Xdp, insns, vec![]) }).unwrap();
    let mut engine = Engine::new(EngineConfig { strict: true, ..EngineConfig::default() }, &[]).unwrap();
    let mut ledger = Ledger::default();
    let mut env = FixedEnv { network: network(), ..FixedEnv::default() };
    for (packet, meta) in inputs {
        let mut context = [0u8; 24];
        context[..4].copy_from_slice(&meta.to_le_bytes());
        context[4..8].copy_from_slice(&(packet.len() as u32).to_le_bytes());
        context[12..16].copy_from_slice(&1u32.to_le_bytes());
        let theirs = loaded.run(packet, Some(&context)).unwrap_or_else(|errno| panic!("errno {errno}"));
        let fields = XdpFields { ingress_ifindex: 1, meta: *meta, ..XdpFields::default() };
        let input = RunInput { context: ContextInput::Xdp(fields), packet };
        let ledger = ledger.run(&engine);
        let ours = engine.run(&code, input, &mut env, ledger);
        prop_assert_eq!(ours.fault, None);
        prop_assert_eq!(ours.retval as u32, theirs.retval, "{} {}", packet.len(), meta);
        let all = [engine.metadata(), engine.packet()].concat();
        prop_assert!(all == theirs.packet, "{} and {} bytes", all.len(), theirs.packet.len());
        let word = |at: usize| u32::from_le_bytes(theirs.context[at..at + 4].try_into().unwrap());
        prop_assert_eq!(engine.metadata().len() as u32, word(0));
    }
    Ok(())
}

fn packets(longest: usize) -> impl Strategy<Value = Vec<(Vec<u8>, u32)>> {
    let len = prop_oneof![Just(64), 14..300usize, 3000..longest];
    let packet = len.prop_flat_map(|len| prop::collection::vec(any::<u8>(), len));
    let meta = prop_oneof![3 => Just(0), 1 => (0..50u32).prop_map(|words| 4 * words)];
    let one = (packet, meta).prop_map(|(mut packet, meta)| {
        packet.resize(packet.len().max(meta as usize + 14), 3);
        (packet, meta)
    });
    prop::collection::vec(one, 3)
}

#[test]
fn packets_change_as_in_linux() {
    let Some(kernel) = kernel("packets_change_as_in_linux") else { return };
    let steps = prop::collection::vec(xdp_step(), 1..10);
    proptest!(slice(300), |(steps in steps, packets in packets(3500))| {
        agree(kernel, false, &steps, &packets)?;
    });
}

#[test]
fn fragments_change_as_in_linux() {
    let Some(kernel) = kernel("fragments_change_as_in_linux") else { return };
    let steps = prop::collection::vec(xdp_step(), 1..10);
    proptest!(slice(200), |(steps in steps, packets in packets(20_000))| {
        agree(kernel, true, &steps, &packets)?;
    });
}

/// Metadata in front of a packet goes into a test run and comes out of it.
#[test]
fn test_runs_take_metadata() {
    let Some(kernel) = kernel("test_runs_take_metadata") else { return };
    // Four bytes more, filled where there is room for them; what asking for them answers.
    let mut insns = vec![mov(R6, R1), mov(R2, -4), helper(54), mov(R7, R0), load(Size::W, R1, R6, 8)];
    insns.extend([load(Size::W, R2, R6, 0), mov(R3, R1), add(R3, 4), branch(Cond::Gt, R3, R2, 1)]);
    insns.extend([store(Size::W, R1, 0, 0x5a), mov(R0, R7), exit()]);
    let theirs = both::load(kernel, ProgType::Xdp, &insns, &[]).unwrap_or_else(|error| panic!("{}", error.log));
    let mut system = System::new(Config::default());
    let actor = system.actor();
    let program = NewProgram {
        program: Program::from_insns("test", ProgType::Xdp, insns, vec![]),
        name: "test".to_owned(),
        maps: Vec::new(),
        btf: None,
        options: Options::default(),
        ifindex: 0,
    };
    let ours = system.prog_load(actor, program).unwrap_or_else(|why| panic!("{}", why.diagnostic));
    for len in [14usize, 18, 64, 400] {
        let packet: Vec<u8> = (0..len).map(|at| at as u8).collect();
        for data in [0u32, 4, 6, 8, 32, 48, 50, 52, 60, 64, 100, 212, 216, 220, 248, 252, 256] {
            for (end, meta) in [(len as u32, 0), (len as u32 + 1, 0), (len as u32, 4)] {
                let context = [data, end, meta, 0, 0, 0].map(u32::to_le_bytes).concat();
                let run = TestRun { data: &packet, context: Some(&context), repeat: 1 };
                let done = system.test_run(actor, ours, run, &mut FixedEnv::default());
                let done = done.map(|answer| (answer.retval, answer.data, answer.context));
                let done = done.map_err(|why| why.errno.map_or(0, |errno| i32::from(errno.0)));
                let expected = theirs.run(&packet, Some(&context)).map(|run| (run.retval, run.packet, run.context));
                assert_eq!(done, expected, "{len} bytes, data {data}, end {end}, meta {meta}");
            }
        }
    }
}

/// Numbers in texts, with what may stand around them.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "",
        " ",
        "\t",
        "-",
        "+",
        "0x",
        "0X",
        "0",
        "7",
        "9",
        "12345",
        "ffff",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "0000",
        "g",
        "\u{a0}",
        "z",
        "777",
    ];
    prop::collection::vec(prop::sample::select(pieces), 1..5).prop_map(|parts| {
        let mut text: Vec<u8> = parts.concat().bytes().filter(|byte| *byte != 0xc2).collect();
        text.push(0);
        text.truncate(100);
        text
    })
}

#[test]
fn numbers_are_read_as_in_linux() {
    let Some(kernel) = kernel("numbers_are_read_as_in_linux") else { return };
    let base = || of(&[0, 8, 10, 16, 0, 10, 2, 32]);
    let read = |id| {
        bare(
            id,
            vec![
                buffer(),
                below(BUFFER as u64 - 8)
                    .prop_filter("as long as the text", |arg| matches!(arg, support::calls::Arg::Num(1..=100)))
                    .boxed(),
                base(),
                Just(support::calls::Arg::Num(0)).boxed(),
            ],
        )
    };
    let step = (text(), prop_oneof![read(105), read(106)]);
    proptest!(slice(300), |(steps in prop::collection::vec(step, 1..6))| {
        let mut insns = vec![mov(R7, 0)];
        insns.extend((1..=16).map(|word| store(Size::D, R10, -8 * word, 0)));
        for (text, call) in &steps {
            let Step::Bare(id, args) = call else { unreachable!("both are such calls") };
            let (support::calls::Arg::Num(len), support::calls::Arg::Num(base)) = (args[1], args[2]) else { continue };
            for (at, byte) in text.iter().enumerate() {
                insns.push(store(Size::B, R10, at as i16 - 128, i32::from(*byte)));
            }
            insns.extend([mov(R1, R10), add(R1, -128), mov(R2, len as i32)]);
            insns.extend(wide(R3, base));
            insns.extend([mov(R4, R10), add(R4, -8), helper(*id)]);
            insns.extend([alu64(bpf::insn::AluOp::Mul, R7, 31), add(R7, R0), load(Size::D, R0, R10, -8)]);
            insns.extend([alu64(bpf::insn::AluOp::Mul, R7, 31), add(R7, R0)]);
        }
        insns.extend([mov(R0, R7), alu64(bpf::insn::AluOp::Rsh, R0, 32), add(R0, R7), exit()]);
        let mut both = Both::load(kernel, ProgType::Xdp, insns, &[]).unwrap_or_else(|error| panic!("{}", error.log));
        let (outcome, ours) = both.ours(&[0; 64]);
        prop_assert_eq!(outcome.fault, None);
        prop_assert_eq!(ours, both.kernel(&[0; 64]));
    });
}

/// A map of a text that no longer changes, and a place for what comes out.
fn text_maps(text: &[u8]) -> [MapSpec; 2] {
    let array = |name: &str, size: usize, flags: u32| MapSpec {
        name: name.to_owned(),
        ty: MapType::ARRAY,
        key_size: 4,
        value_size: size as u32,
        max_entries: 1,
        flags,
        ..MapSpec::default()
    };
    const RDONLY_PROG: u32 = 1 << 7;
    [MapSpec { initial: Some(text.to_vec()), ..array("text", text.len(), RDONLY_PROG) }, array("out", 256, 0)]
}

fn value(reg: Reg, map: u32, off: u32) -> [Insn; 2] {
    [Insn::LoadImm64 { dst: reg, value: Wide::MapValue { map: MapIndex(map), off } }, Insn::Pad]
}

/// Loads a program on both sides with its text frozen.
fn with_text(kernel: Kernel, text: &[u8], insns: Vec<Insn>) -> Option<(Both, i32)> {
    let specs = text_maps(text);
    let maps: Vec<_> = specs.iter().map(|spec| kernel.create(spec).unwrap()).collect();
    maps[0].update(&[0; 4], text, 0).unwrap();
    maps[0].freeze().unwrap();
    let program = both::load(kernel, ProgType::Xdp, &insns, &maps).ok()?;
    let mut both = Both::load(kernel, ProgType::Xdp, vec![mov(R0, 0), exit()], &specs).unwrap();
    both.code = Code::new(&Program::from_insns("test", ProgType::Xdp, insns, specs.to_vec())).unwrap();
    (both.program, both.kernel_maps) = (program, maps);
    both.engine.map(MapId(0)).unwrap().update(&[0; 4], text, 0).unwrap();
    Some((both, 0))
}

#[test]
fn texts_are_made_as_in_linux() {
    let Some(kernel) = kernel("texts_are_made_as_in_linux") else { return };
    let pieces = vec![
        "%d",
        "%i",
        "%u",
        "%x",
        "%X",
        "%ld",
        "%lu",
        "%llx",
        "%llu",
        "%5d",
        "%05d",
        "%-6u|",
        "%+d",
        "% d",
        "%08llx",
        "%lld",
        "%pi4",
        "%pI4",
        "%pI6",
        "%pi6",
        "%px",
        "%s",
        "%c",
        "%10s|",
        "%-10s|",
        "%%",
        "abc",
        " ",
        "%3c|",
        "%300u",
        "%p",
        "%+5x",
        "%q",
        "%hd",
        "%lq",
        "%pI5",
        "%pks",
        "%0-+ 12d|",
    ];
    let format = prop::collection::vec(prop::sample::select(pieces), 1..6);
    let args = prop::collection::vec(prop_oneof![any::<u64>(), 0..300u64, any::<i32>().prop_map(|n| n as u64)], 6);
    proptest!(slice(400), |(format in format, args in args, room in 1..256i32, given in 0..7i32)| {
        // Behind an address that there is no room for Linux takes the wrong bytes for the next argument.
        let addresses = format.iter().any(|piece| piece.starts_with("%p"));
        prop_assume!(!(addresses && format.contains(&"%300u")));
        let room = if addresses { 255 } else { room };
        let hashed = format.contains(&"%p");
        let mut text = format.concat().into_bytes();
        text.push(0);
        let specs: Vec<&str> = format.iter().copied().filter(|piece| piece.contains('%') && *piece != "%%").collect();
        let mut insns = vec![];
        // A text and addresses to show, behind the arguments.
        insns.extend(wide(R0, 0x0064_6c72_6f77_6968));
        insns.push(store(Size::D, R10, -16, R0));
        insns.extend(wide(R0, 0x1234_5678_9abc_def0));
        insns.push(store(Size::D, R10, -8, R0));
        for (at, arg) in args.iter().enumerate() {
            let to = -64 + 8 * at as i16;
            let takes = specs.get(at).copied().unwrap_or("");
            if takes.contains('s') || takes.contains("pi") || takes.contains("pI") {
                insns.extend([mov(R0, R10), add(R0, -16)]);
            } else {
                insns.extend(wide(R0, *arg));
            }
            insns.push(store(Size::D, R10, to, R0));
        }
        insns.extend(value(R1, 1, 0));
        insns.push(mov(R2, room));
        insns.extend(value(R3, 0, 0));
        insns.extend([mov(R4, R10), add(R4, -64), mov(R5, given * 8), helper(165), exit()]);
        // Linux looks at the format when it loads the program; so does the verifier here, and not the helper.
        let Some((mut both, _)) = with_text(kernel, &text, insns) else { return Ok(()) };
        let (outcome, ours) = both.ours(&[0; 64]);
        prop_assert_eq!(outcome.fault, None);
        prop_assert_eq!(&ours, &both.kernel(&[0; 64]), "{:?}", &format);
        if !hashed {
            let out = both.engine.map(MapId(1)).unwrap().lookup(&[0; 4]).unwrap();
            let theirs = both.kernel_maps[1].lookup(&[0; 4]).unwrap();
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            prop_assert_eq!(show(&out), show(&theirs), "{:?}", &format);
        }
    });
}

#[test]
fn strings_compare_as_in_linux() {
    let Some(kernel) = kernel("strings_compare_as_in_linux") else { return };
    let word = || prop::collection::vec(prop::sample::select(vec![0u8, b'a', b'b', 0xff]), 1..8);
    proptest!(slice(100), |(a in word(), b in word(), len in 1..8i32)| {
        let mut text = b.clone();
        text.push(0);
        let mut insns = vec![store(Size::D, R10, -8, 0)];
        insns.extend(a.iter().enumerate().map(|(at, byte)| store(Size::B, R10, at as i16 - 8, i32::from(*byte))));
        insns.extend([mov(R1, R10), add(R1, -8), mov(R2, len)]);
        insns.extend(value(R3, 0, 0));
        insns.extend([helper(182), exit()]);
        let (mut both, _) = with_text(kernel, &text, insns).expect("the program is good");
        let (_, ours) = both.ours(&[0; 64]);
        prop_assert_eq!(ours, both.kernel(&[0; 64]));
    });
}
