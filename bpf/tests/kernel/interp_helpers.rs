//! Helpers against the running kernel: what they answer and do to the packet, and what the prototype table says of them.

use crate::support;

use bpf::helpers::signature::{Arg, Returns, Signature, TAIL_CALL, signature};
use bpf::helpers::{HELPERS, name};
use bpf::insn::{AluOp, Cond, Insn, Reg, Size, Wide};
use bpf::maps::KINDS;
use bpf::program::{MapType, ProgType};
use proptest::prelude::*;
use support::asm::*;
use support::both::{self, Both};
use support::kernel::{Kernel, kernel};
use support::slice;

/// R7 collects what the calls answered.
fn collect() -> [Insn; 2] {
    [alu64(AluOp::Mul, R7, 31), add(R7, R0)]
}

fn agree(kernel: Kernel, ty: ProgType, insns: Vec<Insn>, packets: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let listing = insns.iter().map(|i| i.objdump().to_string()).collect::<Vec<_>>().join("\n");
    let mut both = Both::load(kernel, ty, insns, &[]).unwrap_or_else(|error| panic!("{listing}\n{}", error.log));
    for packet in packets {
        let (outcome, ours) = both.ours(packet);
        prop_assert_eq!(outcome.fault, None);
        prop_assert_eq!(ours, both.kernel(packet), "{}", &listing);
    }
    Ok(())
}

fn packet(len: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<u8>> {
    // Runs of one byte as well as noise: sums that come out as one of the two zeros.
    len.prop_flat_map(|len| {
        prop_oneof![
            prop::collection::vec(any::<u8>(), len),
            prop::sample::select(vec![0u8, 0xff]).prop_map(move |byte| vec![byte; len]),
        ]
    })
    .prop_map(|mut packet: Vec<u8>| {
        // A test run refuses what says that it is IP and has no whole header.
        if packet.len() < 14 + 40 && matches!(packet.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd])) {
            packet[12] = 0;
        }
        packet
    })
}

#[test]
fn xdp_head_and_tail() {
    let Some(kernel) = kernel("xdp_head_and_tail") else { return };
    let delta = prop_oneof![
        -20..20,
        prop::sample::select(vec![-216, -217, -200, -256, 50, 51, 100, 3456, 3457, 3520, i32::MIN, i32::MAX]),
        -4000..4000,
    ];
    let calls = prop::collection::vec((any::<bool>(), delta), 1..8);
    let packets = prop::collection::vec(packet(prop_oneof![Just(64), 14..300usize, 3000..3520usize]), 3);
    proptest!(slice(400), |(calls in calls, packets in packets)| {
        let mut insns = vec![mov(R6, R1), mov(R7, 0)];
        for (head, delta) in calls {
            insns.extend([mov(R1, R6), mov(R2, delta), helper(if head { 44 } else { 65 })]);
            insns.extend(collect());
        }
        insns.extend([mov(R0, R7), exit()]);
        agree(kernel, ProgType::Xdp, insns, &packets)?;
    });
}

#[test]
fn csum_diff() {
    let Some(kernel) = kernel("csum_diff") else { return };
    const LEN: i32 = 1100;
    let size = || prop_oneof![3 => (0..128i32).prop_map(|words| words * 4), 1 => 0..512i32, 2 => Just(0)];
    let seed = prop_oneof![any::<u64>(), Just(0), Just(0xffff_ffff), Just(0xffff)];
    let sides = ((size(), 0..500i32), (size(), 0..500i32), seed);
    let packets = prop::collection::vec(packet(Just(LEN as usize)), 4);
    proptest!(slice(400), |(((from, from_at), (to, to_at), seed) in sides, packets in packets)| {
        let mut insns = vec![load(Size::W, R9, R1, 0), load(Size::W, R2, R1, 4), mov(R1, R9), add(R1, LEN)];
        insns.extend([branch(Cond::Le, R1, R2, 2), mov(R0, -1), exit()]);
        for (address, size, at) in [(R1, from, from_at), (R3, to, to_at)] {
            match size {
                0 => insns.extend([mov(address, 0), mov(address, 0)]),
                _ => insns.extend([mov(address, R9), add(address, at)]),
            }
        }
        insns.extend([mov(R2, from), mov(R4, to)]);
        insns.extend(wide(R5, seed));
        insns.extend([helper(28), exit()]);
        agree(kernel, ProgType::Xdp, insns, &packets)?;
    });
}

/// A call of an skb helper.
#[derive(Debug, Clone)]
enum SkbCall {
    Store {
        off: i32,
        len: i32,
        fill: i32,
        flags: i32,
    },
    /// Loads to the stack, then stores that to the packet's start.
    Load {
        off: i32,
        len: i32,
    },
    L3 {
        off: i32,
        from: i32,
        to: i32,
        flags: i32,
    },
    L4 {
        off: i32,
        from: i32,
        to: i32,
        flags: i32,
    },
}

fn skb_call() -> impl Strategy<Value = SkbCall> {
    let off = || prop_oneof![4 => 0..64i32, 1 => 0..80i32, 1 => any::<i32>(), 1 => Just(0x10000)];
    let word = || prop_oneof![any::<i32>(), -1..2, Just(0)];
    let flags = || {
        prop_oneof![6 => prop::sample::select(vec![0, 2, 4, 0x12, 0x14, 0x10, 0x24, 0x22, 0x34, 0x62, 0x64]),
        1 => 0..0x200i32, 1 => any::<i32>()]
    };
    prop_oneof![
        (off(), 1..64i32, any::<i32>(), prop_oneof![3 => Just(0), 1 => 0..5])
            .prop_map(|(off, len, fill, flags)| SkbCall::Store { off, len, fill, flags }),
        (off(), 1..64i32).prop_map(|(off, len)| SkbCall::Load { off, len }),
        (off(), word(), word(), flags()).prop_map(|(off, from, to, flags)| SkbCall::L3 {
            off,
            from,
            to,
            flags: flags & !0x70
        }),
        (off(), word(), word(), flags()).prop_map(|(off, from, to, flags)| SkbCall::L4 { off, from, to, flags }),
    ]
}

#[test]
fn skb_bytes_and_checksums() {
    let Some(kernel) = kernel("skb_bytes_and_checksums") else { return };
    let calls = prop::collection::vec(skb_call(), 1..8);
    let packets = prop::collection::vec(packet(prop_oneof![Just(64), 40..200usize]), 4);
    proptest!(slice(600), |(calls in calls, packets in packets)| {
        let mut insns = vec![mov(R6, R1), mov(R7, 0)];
        insns.extend((1..=8).map(|word| store(Size::D, R10, -8 * word, 0)));
        for call in &calls {
            insns.push(mov(R1, R6));
            match *call {
                SkbCall::Store { off, len, fill, flags } => {
                    insns.extend((1..=16).map(|word| store(Size::W, R10, -4 * word, fill)));
                    insns.extend([mov(R2, off), mov(R3, R10), add(R3, -64), mov(R4, len), mov(R5, flags), helper(9)]);
                }
                SkbCall::Load { off, len } => {
                    insns.extend([mov(R2, off), mov(R3, R10), add(R3, -64), mov(R4, len), helper(26)]);
                    insns.extend(collect());
                    insns.extend([mov(R1, R6), mov(R2, 0), mov(R3, R10), add(R3, -64), mov(R4, len), mov(R5, 0)]);
                    insns.push(helper(9));
                }
                SkbCall::L3 { off, from, to, flags } | SkbCall::L4 { off, from, to, flags } => {
                    let id = if matches!(call, SkbCall::L3 { .. }) { 10 } else { 11 };
                    insns.extend([mov(R2, off), mov(R3, from), mov(R4, to), mov(R5, flags), helper(id)]);
                }
            }
            insns.extend(collect());
        }
        insns.extend([mov(R0, R7), exit()]);
        agree(kernel, ProgType::SchedCls, insns, &packets)?;
    });
}

#[test]
fn redirects() {
    let Some(kernel) = kernel("redirects") else { return };
    for ty in [ProgType::Xdp, ProgType::SchedCls, ProgType::SchedAct] {
        for flags in [0, 1, 2, 3, 1 << 20, -1] {
            let insns = vec![mov(R1, 1), mov(R2, flags), helper(23), exit()];
            let mut both = Both::load(kernel, ty, insns, &[]).unwrap();
            let (outcome, ours) = both.ours(&[0; 64]);
            assert_eq!(ours, both.kernel(&[0; 64]), "{ty} flags {flags:#x}");
            let accepted = matches!((ty, flags), (_, 0) | (ProgType::SchedCls | ProgType::SchedAct, 1));
            assert_eq!(outcome.redirect.map(|target| target.ifindex), accepted.then_some(1));
        }
    }
}

/// Loads from the packet in classic BPF's way.
#[test]
fn packet_loads() {
    use bpf::insn::PacketMode;
    let Some(kernel) = kernel("packet_loads") else { return };
    let size = prop::sample::select(vec![Size::B, Size::H, Size::W]);
    let offset =
        || prop_oneof![0..70i32, -0x20_0000..-0x1f_ffb0i32, -0x10_0000..-0x0f_ffb0i32, -0x10_0010..-0x0f_fff0i32];
    let loads = prop::collection::vec((size, offset(), prop::option::of(-80..80i32)), 1..6);
    let packets = prop::collection::vec(packet(prop_oneof![Just(64), 20..70usize]), 3);
    let types = prop::sample::select(vec![ProgType::SchedCls, ProgType::SocketFilter]);
    proptest!(slice(300), |(ty in types, loads in loads, packets in packets)| {
        let mut insns = vec![mov(R6, R1), mov(R7, 0)];
        for (size, imm, register) in loads {
            let mode = match register {
                None => PacketMode::Abs,
                Some(value) => {
                    insns.push(mov(R8, value));
                    PacketMode::Ind(R8)
                }
            };
            insns.push(Insn::LoadPacket { size, mode, imm });
            insns.extend(collect());
        }
        insns.extend([mov(R0, R7), exit()]);
        agree(kernel, ty, insns, &packets)?;
    });
}

/// A call with arguments of the right kinds but for one that `change` may replace, and more code behind it.
fn call_of(row: &Signature, change: impl Fn(usize, Arg) -> Option<Vec<Insn>>, after: &[Insn]) -> Vec<Insn> {
    let mut insns = vec![mov(R6, R1)];
    insns.extend((1..=8).map(|word| store(Size::D, R10, -8 * word, 0)));
    for (at, kind) in row.args.iter().enumerate() {
        let reg = Reg::new(at as u8 + 1).unwrap();
        let usual = match kind {
            Arg::Any => vec![mov(reg, 0)],
            Arg::Ctx => vec![mov(reg, R6)],
            Arg::Map => map(reg, map_of(row.id)).to_vec(),
            Arg::Key | Arg::Value | Arg::ValueOut | Arg::Mem | Arg::MemOrNull | Arg::MemOut => {
                vec![mov(reg, R10), add(reg, -64)]
            }
            Arg::Size | Arg::SizeOrZero => vec![mov(reg, 8)],
            Arg::Func => vec![Insn::LoadImm64 { dst: reg, value: Wide::Func { off: 0 } }, Insn::Pad],
            Arg::StackOrNull => vec![mov(reg, R10), add(reg, -8)],
            Arg::CtxOrNull => vec![mov(reg, R6)],
            Arg::Fixed(_) | Arg::FixedOut(_) | Arg::FixedInOut(_) => vec![mov(reg, R10), add(reg, -64)],
            _ => unreachable!("those rows are left out"),
        };
        insns.extend(change(at, *kind).unwrap_or(usual));
    }
    insns.push(helper(row.id));
    insns.extend_from_slice(after);
    insns.extend([mov(R0, 0), exit()]);
    // The function called back stands behind the end.
    let end = insns.len();
    for (slot, insn) in insns.iter_mut().enumerate() {
        if let Insn::LoadImm64 { value: Wide::Func { off }, .. } = insn {
            *off = (end - slot) as i32 - 1;
        }
    }
    if row.args.contains(&Arg::Func) {
        insns.extend([mov(R0, 0), exit()]);
    }
    insns
}

/// Which of [`MAPS`] a helper takes, as the table of kinds has it; those that no kind is alone with, the first.
fn map_of(helper: u32) -> u32 {
    let takes = |ty: MapType| KINDS.iter().any(|kind| kind.ty == ty && kind.helpers.contains(&helper));
    MAPS.iter().position(|(ty, ..)| takes(*ty)).unwrap_or(0) as u32
}

/// Type, bytes of key and value, entries.
const MAPS: [(MapType, u32, u32, u32); 9] = [
    (MapType::HASH, 8, 8, 4),
    (MapType::PROG_ARRAY, 4, 4, 4),
    (MapType::PERF_EVENT_ARRAY, 4, 4, 4),
    (MapType::DEVMAP, 4, 4, 4),
    (MapType::QUEUE, 0, 8, 4),
    (MapType::RINGBUF, 0, 0, 4096),
    (MapType::PERCPU_HASH, 8, 8, 4),
    (MapType::CGROUP_ARRAY, 4, 4, 4),
    (MapType::USER_RINGBUF, 0, 0, 4096),
];

/// Not helpers that belong together with others, or with types of values, that one call does not have.
/// `kernel::maps_helpers` and `kernel::verifier_dynptrs` run the first kind.
fn stands_alone(row: &Signature) -> bool {
    let alone = |kind: &Arg| {
        use Arg::*;
        !matches!(
            kind,
            AllocSize
                | Lent
                | SpinLock
                | Timer
                | Sock
                | SockOrBtf
                | SockReleased
                | ConstStr
                | MemInOut
                | MemInOutOrNull
                | Dynptr
                | DynptrOut(_)
                | DynptrReleased
        )
    };
    row.args.iter().all(alone) && matches!(row.returns, Returns::Integer | Returns::Void | Returns::ValueOrNull)
}

/// The same behind a check of 32 packet bytes at R9.
fn with_packet(ty: ProgType, insns: Vec<Insn>) -> Vec<Insn> {
    let (data, data_end) = if ty.is_skb() { (76, 80) } else { (0, 4) };
    let mut all = vec![load(Size::W, R9, R1, data), load(Size::W, R8, R1, data_end), mov(R7, R9), add(R7, 32)];
    all.extend([branch(Cond::Le, R7, R8, 2), mov(R0, 0), exit()]);
    all.extend(insns);
    all
}

#[test]
fn the_table_says_what_the_kernel_says() {
    let Some(kernel) = kernel("the_table_says_what_the_kernel_says") else { return };
    let accepted = |ty: ProgType, insns: &[Insn], license: &str| {
        // A program array belongs to the type of the first program that uses it.
        let maps = MAPS.map(|(ty, key, value, max)| kernel.create_map(ty.0, key, value, max, 0).unwrap());
        both::load_licensed(kernel, ty, insns, &maps, license).map_err(|error| error.log)
    };
    let usual = |_: usize, _: Arg| None;
    for body in &HELPERS {
        let calls = |ty: &ProgType| signature(body.id, *ty).is_some_and(|row| row.allows(*ty));
        let ty = ProgType::ALL.into_iter().rfind(calls).unwrap();
        let row = signature(body.id, ty).unwrap();
        if !stands_alone(row) {
            continue;
        }
        let name = name(body.id).unwrap();
        for ty in ProgType::ALL {
            // One takes the context in some types alone.
            let row = signature(body.id, ty).unwrap_or(row);
            let plain = accepted(ty, &call_of(row, usual, &[]), "GPL");
            assert_eq!(plain.is_ok(), row.allows(ty), "{name} in {ty}: {:?}", plain.err());
            let free = accepted(ty, &call_of(row, usual, &[]), "Proprietary");
            assert_eq!(free.is_ok(), row.allows(ty) && !row.gpl_only, "{name} in {ty}: {:?}", free.err());
        }

        // Every argument counts: left uninitialised, it is refused. None beyond them does.
        for at in 0..row.args.len() {
            let unset =
                |i: usize, _: Arg| (i == at).then(|| if at == 0 { vec![mov(R3, 0), helper(7)] } else { vec![] });
            let insns = call_of(row, unset, &[]);
            assert!(accepted(ty, &insns, "GPL").is_err(), "{name} without argument {at}");
        }

        // Sizes of 0, and null for memory.
        for (at, kind) in row.args.iter().enumerate() {
            let reg = Reg::new(at as u8 + 1).unwrap();
            let zero = |i: usize, _: Arg| (i == at).then(|| vec![mov(reg, 0)]);
            // Null memory is good only with a size of 0.
            let good = matches!(kind, Arg::SizeOrZero | Arg::Any | Arg::StackOrNull | Arg::CtxOrNull);
            assert_eq!(accepted(ty, &call_of(row, zero, &[]), "GPL").is_ok(), good, "{name} argument {at} of 0");
            if *kind == Arg::MemOrNull {
                let null = |i: usize, _: Arg| match i {
                    i if i == at => Some(vec![mov(reg, 0)]),
                    i if i == at + 1 => Some(vec![mov(Reg::new(at as u8 + 2).unwrap(), 0)]),
                    _ => None,
                };
                assert!(accepted(ty, &call_of(row, null, &[]), "GPL").is_ok(), "{name} argument {at} null");
            }
        }

        // Pointers into the packet as memory, and whether they outlive the call.
        if ty == ProgType::SocketFilter {
            continue;
        }
        for (at, kind) in row.args.iter().enumerate() {
            if matches!(kind, Arg::Key | Arg::Value | Arg::Mem | Arg::MemOrNull | Arg::MemOut) {
                let reg = Reg::new(at as u8 + 1).unwrap();
                let packet = |i: usize, _: Arg| (i == at).then(|| vec![mov(reg, R9)]);
                let loaded = accepted(ty, &with_packet(ty, call_of(row, packet, &[])), "GPL");
                assert_eq!(loaded.is_ok(), row.packet_args, "{name} argument {at} in the packet: {:?}", loaded.err());
            }
        }
        let after = with_packet(ty, call_of(row, usual, &[load(Size::B, R0, R9, 0)]));
        let loaded = accepted(ty, &after, "GPL");
        // A tail call that falls through leaves the packet as it was; the row says what the program called may do.
        let moved = row.changes_packet && row.id != TAIL_CALL;
        assert_eq!(loaded.is_ok(), !moved, "{name} and an old packet pointer: {:?}", loaded.err());
    }
}
