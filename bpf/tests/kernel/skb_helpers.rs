//! Helpers on skbs and every field of their context against the running kernel: answers, packet, context.

use crate::support;

use std::cell::Cell;

use bpf::env::FixedEnv;
use bpf::insn::Size;
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, IpSummed, RunInput, SkbFields};
use bpf::program::{Endian, ProgType, Program};
use bpf::verifier::{Field, Holds, Options, Verdict, verify};
use proptest::prelude::*;
use support::both;
use support::calls::{Step, below, buffer, call, number, of, program, size};
use support::kernel::{Kernel, kernel};
use support::ledger::Ledger;
use support::slice;

/// What a test run makes of a frame that came in by the loopback device, whose address is all zeros (`eth_type_trans`).
fn received(frame: &[u8]) -> SkbFields {
    let kind = u16::from_be_bytes([frame[12], frame[13]]);
    let protocol: u16 = match kind {
        0x600.. => kind,
        _ if frame.get(14..16) == Some(&[0xff; 2]) => 1,
        _ => 4,
    };
    let pkt_type = match frame[..6] {
        [0, 0, 0, 0, 0, 0] => 0,
        [first, ..] if first & 1 != 0 => 2,
        _ => 3,
    };
    SkbFields { pkt_type, protocol: u32::from(protocol.swap_bytes()), ifindex: 1, ..SkbFields::default() }
}

/// The fields that a test run takes, as `struct __sk_buff`.
fn structure(fields: &SkbFields) -> Vec<u8> {
    let mut bytes = vec![0; 192];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(8, &fields.mark.to_le_bytes());
    put(32, &fields.priority.to_le_bytes());
    put(36, &fields.ingress_ifindex.to_le_bytes());
    put(40, &fields.ifindex.to_le_bytes());
    for (at, word) in fields.cb.iter().enumerate() {
        put(48 + 4 * at, &word.to_le_bytes());
    }
    put(152, &fields.tstamp.to_le_bytes());
    put(160, &fields.wire_len.to_le_bytes());
    put(164, &fields.gso_segs.to_le_bytes());
    put(176, &fields.gso_size.to_le_bytes());
    put(184, &fields.hwtstamp.to_le_bytes());
    bytes
}

/// A frame that prints as hex digits.
#[derive(Clone)]
struct Frame(Vec<u8>);

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes ", self.0.len())?;
        self.0.iter().take(80).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Frames of IPv4 and IPv6, tagged or not, and noise.
fn frame() -> impl Strategy<Value = Frame> {
    let head = prop::sample::select(vec![
        vec![0x08, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6],
        vec![0x08, 0, 0x45, 1, 0, 40, 0, 0, 0, 0, 64, 17],
        vec![0x86, 0xdd, 0x60, 0x10, 0, 0, 0, 20, 6, 64],
        vec![0x86, 0xdd, 0x60, 0x20, 0, 0, 0, 20, 17, 64],
        vec![0x81, 0, 0x20, 0x05, 0x08, 0, 0x45, 2],
        vec![0x88, 0xa8, 0x20, 0x05, 0x81, 0, 0, 7, 0x86, 0xdd, 0x60],
        vec![0x81, 0, 0x20, 0x05, 0, 7, 0xff, 0xff],
        vec![0x81, 0, 0x20, 0x05, 0, 7, 1, 1],
        vec![0x08, 0x06],
        vec![0, 40, 0xff, 0xff],
    ]);
    let to = prop::sample::select(vec![[0u8; 6], [0xff; 6], [2, 0, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1]]);
    let len = prop_oneof![4 => 60..200usize, 1 => 14..60usize, 1 => 1000..3000usize];
    let body = len.prop_flat_map(|len| prop::collection::vec(any::<u8>(), len));
    (to, head, body, any::<bool>()).prop_map(|(to, head, mut bytes, noise)| {
        bytes[..6].copy_from_slice(&to);
        let end = bytes.len().min(12 + head.len());
        if !noise || head[0] != 8 {
            bytes[12..end].copy_from_slice(&head[..end - 12]);
        }
        // A test run refuses packets whose network header is not all there.
        let least = match bytes[12..14] {
            [0x08, 0x00] => 34,
            [0x86, 0xdd] => 54,
            // Behind tags too: Linux moves headers also where they reach beyond the packet.
            [0x81, 0x00] | [0x88, 0xa8] => 70,
            _ => 14,
        };
        bytes.resize(bytes.len().max(least), 7);
        Frame(bytes)
    })
}

fn fields() -> impl Strategy<Value = SkbFields> {
    let gso = prop_oneof![4 => Just(0u32), 1 => 1..2000u32];
    (any::<[u32; 3]>(), any::<[u32; 5]>(), any::<[u64; 2]>(), gso, 0..65_536u32).prop_map(
        |([mark, priority, iif], cb, [tstamp, hwtstamp], gso_size, gso_segs)| SkbFields {
            mark,
            priority,
            ingress_ifindex: iif >> 1,
            cb,
            tstamp,
            hwtstamp,
            gso_size,
            gso_segs,
            ..SkbFields::default()
        },
    )
}

/// What programs of a type may read of their context, fields that hold addresses aside: all, and parts where they may.
fn reads(ty: ProgType) -> Vec<Step> {
    let of = |field: &'static Field| match (field.holds, field.size) {
        (Holds::Pointer(_) | Holds::Socket, _) => vec![],
        (Holds::Whole, 1) => vec![(Size::B, 0)],
        (Holds::Whole, 8) => vec![(Size::D, 0)],
        (Holds::Whole, size) => panic!("a whole field of {size} bytes is new"),
        (Holds::Parts, _) => {
            vec![(Size::W, 0), (Size::W, 0), (Size::H, 0), (Size::H, 2), (Size::B, 0), (Size::B, 1), (Size::B, 3)]
        }
        (Holds::Words, size) => (0..size / 4).map(|word| (Size::W, 4 * word)).collect(),
    };
    let readable = bpf::verifier::fields(ty).filter(|field| field.read.contains(ty));
    readable
        .flat_map(|field| of(field).into_iter().map(|(size, at)| Step::Read(size, (field.off + at) as i16)))
        .collect()
}

/// What they may write.
fn writes(ty: ProgType) -> impl Strategy<Value = Step> {
    let of = |field: &'static Field| match field.size {
        8 => vec![(Size::D, field.off)],
        size => (0..size / 4).map(|word| (Size::W, field.off + 4 * word)).collect(),
    };
    let places: Vec<_> = bpf::verifier::fields(ty).filter(|field| field.write.contains(ty)).flat_map(of).collect();
    let value = prop_oneof![any::<u64>(), 0..0x2_0000u64, Just(0xffff), Just(0xfffe)];
    (prop::sample::select(places), value).prop_map(|((size, off), value)| Step::Write(size, off as i16, value))
}

fn field_step(ty: ProgType) -> BoxedStrategy<Step> {
    prop_oneof![4 => prop::sample::select(reads(ty)), 3 => writes(ty)].boxed()
}

fn room_flags() -> BoxedStrategy<support::calls::Arg> {
    let known = (0..512u64, prop::sample::select(vec![0u64, 14, 18, 4, 50])).prop_map(|(low, l2)| low | l2 << 56);
    let single = prop::sample::select(vec![0u64, 1, 2, 4, 0xa, 0xc, 0x12, 0x14, 0x20, 0x80, 0x100, 0x52 | 14 << 56]);
    prop_oneof![3 => single, 1 => known, 1 => any::<u64>()].prop_map(support::calls::Arg::Num).boxed()
}

fn skb_step() -> BoxedStrategy<Step> {
    let minus = |n: i64| n as u64;
    // Linux moves bytes behind a packet's end where that is shorter than its headers.
    let lengths = number(vec![60, 64, 100, 200, 1000, 16_064, 16_065, 3000])
        .prop_filter(
            "no headers are cut",
            |arg| !matches!(arg, support::calls::Arg::Num(len) if (14..60).contains(&(*len as u32))),
        )
        .boxed();
    let tags = of(&[0x0081, 0xa888, 0, 0x0008]);
    let diffs = of(&[
        4,
        8,
        20,
        28,
        40,
        100,
        0xfff,
        0x1000,
        minus(-4),
        minus(-8),
        minus(-20),
        minus(-28),
        minus(-40),
        minus(-60),
        0,
    ]);
    prop_oneof![
        call(18, vec![tags, below(0x1_0000)]),
        call(19, vec![]),
        call(31, vec![of(&[0x0008, 0xdd86, 0x0608]), of(&[0, 0, 0, 1])]),
        call(32, vec![below(6)]),
        call(38, vec![lengths.clone(), of(&[0, 0, 0, 0, 1])]),
        call(39, vec![lengths.clone()]),
        call(40, vec![below(u64::MAX)]),
        call(41, vec![]),
        call(43, vec![of(&[0, 4, 14, 50, 64, 200, 4000, 16_000]), of(&[0, 0, 0, 0, 1])]),
        call(48, vec![below(u64::MAX)]),
        call(50, vec![diffs, of(&[0, 0, 1, 1, 2]), room_flags()]),
        call(68, vec![below(120), buffer(), size(), of(&[0, 1, 0, 1, 2])]),
        call(97, vec![]),
        call(135, vec![below(5)]),
        call(192, vec![below(1000), below(4)]),
        call(26, vec![below(200), buffer(), size()]),
        call(9, vec![below(200), buffer(), size(), below(4)]),
        call(24, vec![]),
        call(34, vec![]).prop_map(|step| step),
        field_step(ProgType::SchedCls),
        field_step(ProgType::SchedCls),
    ]
    .boxed()
}

fn tunnel_step() -> BoxedStrategy<Step> {
    let label = prop_oneof![Just(vec![0u8; 6]), any::<[u8; 6]>().prop_map(|b| b.to_vec())];
    let flags = of(&[0, 1, 0, 1, 2, 4, 8, 16, 17, 32, 0x2e, 0x2f]);
    let sizes = of(&[44, 44, 44, 8, 22, 24, 28, 40, 100])
        .prop_filter("the buffer has no more", |arg| matches!(arg, support::calls::Arg::Num(1..=128)));
    prop_oneof![
        3 => label.prop_map(|bytes| Step::Set(22, bytes)),
        1 => any::<u64>().prop_map(Step::Fill),
        4 => call(21, vec![buffer(), sizes.clone().boxed(), flags.clone()]),
        4 => call(20, vec![buffer(), sizes.boxed(), flags]),
        2 => call(29, vec![buffer(), size()]),
        2 => call(30, vec![buffer(), size()]),
    ]
    .boxed()
}

/// Runs a program of these steps on both sides. How many runs ended with the packet's right sum, where there was one.
fn agree(kernel: Kernel, ty: ProgType, steps: &[Step], inputs: &[(Frame, SkbFields)]) -> Result<u64, TestCaseError> {
    let mut right = 0;
    let insns = program(steps);
    let loaded = both::load(kernel, ty, &insns, &[]).unwrap_or_else(|error| panic!("{steps:?}\n{}", error.log));
    let verified = match verify(Program::from_insns("test", ty, insns, vec![]), &Options::default()) {
        Verdict::Accepted(verified) => verified,
        refused => panic!("{steps:?}: {refused:?}"),
    };
    let code = Code::new(verified.xlated()).unwrap();
    let mut engine = Engine::new(EngineConfig { strict: true, ..EngineConfig::default() }, &[]).unwrap();
    let mut ledger = Ledger::default();
    for (Frame(frame), given) in inputs {
        let seen = received(frame);
        let fields = SkbFields { pkt_type: seen.pkt_type, protocol: seen.protocol, ifindex: 1, ..*given };
        let context = structure(&fields);
        let summed = fields.summed == IpSummed::Complete;
        let theirs = if summed { loaded.run_summed(frame, Some(&context)) } else { loaded.run(frame, Some(&context)) };
        let pulled = if ty == ProgType::SocketFilter { 14 } else { 0 };
        let input = RunInput { context: ContextInput::Skb(SkbFields { pulled, ..fields }), packet: frame };
        let ledger = ledger.run(&engine);
        let ours = engine.run(&code, input, &mut FixedEnv::default(), ledger);
        prop_assert_eq!(ours.fault, None);
        if summed && !engine.skb_state().sum_holds(Endian::Little, engine.packet()) {
            prop_assert_eq!(theirs.err(), Some(libc::EBADMSG), "{:?} {:?}", frame.len(), fields);
            continue;
        }
        right += u64::from(summed);
        let theirs = theirs.unwrap_or_else(|errno| panic!("errno {errno}: {steps:?} {fields:?} {frame:?}"));
        prop_assert_eq!(ours.retval as u32, theirs.retval, "{:?} {:?}", frame.len(), fields);
        prop_assert_eq!(engine.packet(), &theirs.packet[pulled as usize..]);
        let left = engine.skb();
        let kept = SkbFields { wire_len: 0, ..left };
        let mut back = theirs.context;
        back[160..164].fill(0);
        let words = |bytes: &[u8], ranges: &[std::ops::Range<usize>]| -> Vec<u8> {
            ranges.iter().flat_map(|range| bytes[range.clone()].to_vec()).collect()
        };
        let compared = [8..12, 32..44, 48..68, 152..160];
        prop_assert_eq!(words(&structure(&kept), &compared), words(&back, &compared));
    }
    Ok(right)
}

fn inputs() -> impl Strategy<Value = Vec<(Frame, SkbFields)>> {
    prop::collection::vec((frame(), fields()), 3)
}

#[test]
fn skbs_change_as_in_linux() {
    let Some(kernel) = kernel("skbs_change_as_in_linux") else { return };
    let types = prop::sample::select(vec![ProgType::SchedCls, ProgType::SchedAct]);
    // A hash that nobody has set is one under a key of the kernel's.
    let known = |steps: &Vec<Step>| {
        let mut set = false;
        steps.iter().all(|step| match step {
            Step::Call(48, _) => {
                set = true;
                true
            }
            Step::Call(41 | 31 | 9, _) => {
                set = false;
                true
            }
            Step::Call(34, _) => set,
            _ => true,
        })
    };
    let steps = prop::collection::vec(skb_step(), 1..10).prop_filter("a hash that was set", known);
    proptest!(slice(500), |(ty in types, steps in steps, inputs in inputs())| {
        agree(kernel, ty, &steps, &inputs)?;
    });
}

/// What helpers do to the sum that a device has made: `bpf_csum_update` answers with it, and whether it holds at the end is
/// what Linux's own test run asks.
#[test]
fn sums_follow_as_in_linux() {
    let Some(kernel) = kernel("sums_follow_as_in_linux") else { return };
    let sum = || call(40, vec![of(&[0])]);
    let stored = call(9, vec![below(200), buffer(), size(), of(&[1, 1, 1, 3, 0])]);
    let field = of(&[0x10, 0x12, 0x14, 0x90, 0x92, 0x94, 0x30, 0x34, 4, 2, 0]);
    let word = || prop_oneof![Just(0u64), Just(0xffff_ffff), any::<u64>()].prop_map(support::calls::Arg::Num).boxed();
    let replaced = call(11, vec![of(&[24, 26, 36, 40, 50, 60]), of(&[0, 0, 1, 0x0102_0304]), word(), field]);
    let header = call(10, vec![of(&[24, 30]), of(&[0, 0, 7]), word(), of(&[0, 2, 4])]);
    let step = prop_oneof![
        3 => sum(),
        3 => stored,
        2 => replaced,
        1 => header,
        1 => call(40, vec![word()]),
        4 => skb_step(),
    ];
    let quiet = |steps: &Vec<Step>| !steps.iter().any(|step| matches!(step, Step::Call(34, _)));
    let steps = prop::collection::vec(step, 1..8).prop_filter("no hash", quiet);
    let (runs, right) = (Cell::new(0), Cell::new(0));
    proptest!(slice(500), |(steps in steps, inputs in inputs())| {
        let summed = |(frame, fields): (Frame, SkbFields)| (frame, SkbFields { summed: IpSummed::Complete, ..fields });
        let inputs: Vec<_> = inputs.into_iter().map(summed).collect();
        right.set(right.get() + agree(kernel, ProgType::SchedCls, &steps, &inputs)?);
        runs.set(runs.get() + inputs.len() as u64);
    });
    let (runs, right) = (runs.get(), right.get());
    println!("{right} of {runs} sums were right at the end");
    assert!(right * 3 > runs && right < runs, "{right} of {runs}");
}

#[test]
fn tunnels_are_chosen_as_in_linux() {
    let Some(kernel) = kernel("tunnels_are_chosen_as_in_linux") else { return };
    let steps = prop::collection::vec(tunnel_step(), 1..8);
    proptest!(slice(300), |(steps in steps, inputs in inputs())| {
        agree(kernel, ProgType::SchedCls, &steps, &inputs)?;
    });
}

#[test]
fn socket_filters_read_what_they_may() {
    let Some(kernel) = kernel("socket_filters_read_what_they_may") else { return };
    let step = prop_oneof![
        field_step(ProgType::SocketFilter),
        field_step(ProgType::SocketFilter),
        call(68, vec![below(120), buffer(), size(), of(&[0, 1, 0, 1, 2])]),
        call(26, vec![below(200), buffer(), size()]),
    ];
    proptest!(slice(200), |(steps in prop::collection::vec(step, 1..10), inputs in inputs())| {
        let inputs: Vec<_> = inputs.into_iter().filter(|(frame, _)| frame.0.len() > 14).collect();
        agree(kernel, ProgType::SocketFilter, &steps, &inputs)?;
    });
}
