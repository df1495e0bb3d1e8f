//! A device's sum where packets are received: after any helpers that keep it, it is that of the packet, computed afresh. The
//! running kernel, whose test runs are at no hook, holds the rest (`kernel::skb_helpers`).

use crate::support;

use bpf::env::FixedEnv;
use bpf::helpers::Checked;
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, IpSummed, NoObserver, RunInput, SkbFields};
use bpf::program::{ProgType, Program};
use proptest::prelude::*;
use support::calls::{Step, buffer, call, of, program};
use support::slice;

/// The sum of a packet's 16-bit words in the machine's order, without its complement (RFC 1071).
fn rfc1071(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u64::from(u16::from_le_bytes([word[0], word.get(1).copied().unwrap_or(0)])));
    let mut sum: u64 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Steps after which Linux holds the sum to be right, and those that forget it.
fn step() -> BoxedStrategy<Step> {
    let minus = |n: i64| n as u64;
    prop_oneof![
        3 => call(18, vec![of(&[0x0081, 0xa888]), of(&[7, 0x2005])]),
        3 => call(19, vec![]),
        2 => call(9, vec![of(&[72, 73, 75, 80, 90, 101]), buffer(), of(&[1, 2, 7, 16]), of(&[1])]),
        1 => call(31, vec![of(&[0x0008, 0xdd86]), of(&[0])]),
        1 => call(43, vec![of(&[0, 4, 8]), of(&[0])]),
        1 => call(50, vec![of(&[8, 20, minus(-8), minus(-20)]), of(&[0, 1]), of(&[0, 0x20])]),
        1 => call(97, vec![]),
        1 => call(135, vec![of(&[0, 1, 2, 3])]),
        1 => call(38, vec![of(&[100, 120, 64]), of(&[0])]),
    ]
    .prop_filter("stores stay behind the link-layer header, as long as it may become, and in the buffer", |step| {
        let number = |arg: &support::calls::Arg| if let support::calls::Arg::Num(n) = arg { *n } else { 0 };
        match step {
            Step::Call(9, args) => (72..200).contains(&number(&args[0])) && (1..17).contains(&number(&args[2])),
            _ => true,
        }
    })
    .boxed()
}

/// Frames whose outer tag stands beside them; behind it IP, or another tag and then IP.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let head = prop::sample::select(vec![
        vec![0x08, 0, 0x45, 1, 0, 40],
        vec![0x86, 0xdd, 0x60, 0x10],
        vec![0x81, 0, 0x20, 0x05, 0x08, 0, 0x45, 2],
        vec![0x88, 0xa8, 0x20, 0x05, 0x81, 0, 0, 7, 0x86, 0xdd, 0x60, 0x20],
    ]);
    (head, prop::collection::vec(any::<u8>(), 80..140)).prop_map(|(head, mut bytes)| {
        bytes[12..12 + head.len()].copy_from_slice(&head);
        bytes
    })
}

#[test]
fn sums_hold_at_ingress() {
    let tag = prop_oneof![Just(None), Just(Some(5u32))];
    proptest!(slice(2000), |(steps in prop::collection::vec(step(), 1..8), frame in frame(), tag in tag)| {
        let insns = program(&steps);
        let code = Code::new(&Program::from_insns("test", ProgType::SchedCls, insns, vec![])).unwrap();
        let mut engine = Engine::new(EngineConfig { strict: true, ..EngineConfig::default() }, &[]).unwrap();
        let fields = SkbFields {
            protocol: u32::from(u16::from_le_bytes([frame[12], frame[13]])),
            vlan_present: u32::from(tag.is_some()),
            vlan_tci: tag.unwrap_or(0),
            vlan_proto: tag.map_or(0, |_| 0x0081),
            ingress: true,
            summed: IpSummed::Complete,
            ifindex: 1,
            ..SkbFields::default()
        };
        let input = RunInput { context: ContextInput::Skb(fields), packet: &frame };
        let outcome = engine.run(&code, input, &mut FixedEnv::default(), &mut NoObserver);
        prop_assert_eq!(outcome.fault, None);
        let state = engine.skb_state();
        if state.checked == Checked::Whole {
            let sum = (state.sum & 0xffff) + (state.sum >> 16);
            let folded = ((sum & 0xffff) + (sum >> 16)) as u16;
            let afresh = rfc1071(&engine.packet()[state.network as usize..]);
            // Both stand for zero.
            let same = folded == afresh || folded.is_multiple_of(0xffff) && afresh.is_multiple_of(0xffff);
            prop_assert!(same, "{:?}: {:#06x}, not {:#06x}", steps, folded, afresh);
        }
    });
}
