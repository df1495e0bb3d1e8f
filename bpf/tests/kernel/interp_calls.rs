//! Calls and contexts against the running kernel.

use crate::support;

use bpf::env::FixedEnv;
use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Reg, Size};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, SkbFields, XdpFields};
use bpf::program::{ProgType, Program};
use support::asm::*;
use support::both::{Both, kernel_bytes};
use support::kernel::kernel;

fn agree(insns: Vec<Insn>) -> u32 {
    let Some(kernel) = kernel("calls") else { return u32::MAX };
    let mut both = Both::load(kernel, ProgType::Xdp, insns, &[]).unwrap_or_else(|error| panic!("{}", error.log));
    let (outcome, ours) = both.ours(&[0; 64]);
    assert_eq!(outcome.fault, None);
    assert_eq!(ours, both.kernel(&[0; 64]));
    ours.retval
}

#[test]
fn callee_saved_registers_come_back() {
    // main: r6..r9 = 1..4; r0 = f(); r0 += r6 + r7 + r8 + r9.  f: r6..r9 = 100; return 7.
    let mut insns: Vec<_> = (6..10).map(|n| mov(Reg::new(n).unwrap(), i32::from(n) - 5)).collect();
    insns.push(call(5));
    insns.extend((6..10).map(|n| add(R0, Reg::new(n).unwrap())));
    insns.push(exit());
    insns.extend((6..10).map(|n| mov(Reg::new(n).unwrap(), 100)));
    insns.extend([mov(R0, 7), exit()]);
    let retval = agree(insns);
    assert!(retval == 17 || retval == u32::MAX);
}

#[test]
fn a_callee_reaches_its_callers_stack_and_has_its_own() {
    // main: [r10-8] = 5; r1 = r10-8; r0 = f(r1); r0 += [r10-8].
    // f: [r10-8] = 40; r2 = [r1]; [r1] = 6; r0 = [r10-8] + r2.
    let insns = vec![
        store(Size::D, R10, -8, 5),
        mov(R1, R10),
        add(R1, -8),
        call(3),
        load(Size::D, R1, R10, -8),
        add(R0, R1),
        exit(),
        store(Size::D, R10, -8, 40),
        load(Size::D, R2, R1, 0),
        store(Size::D, R1, 0, 6),
        load(Size::D, R0, R10, -8),
        add(R0, R2),
        exit(),
    ];
    let retval = agree(insns);
    assert!(retval == 51 || retval == u32::MAX);
}

#[test]
fn eight_frames_deep() {
    // Each of seven functions adds its number and calls the next; the eighth frame returns.
    let mut insns = vec![mov(R1, 0), call(1), exit()];
    for depth in 1..=6 {
        insns.extend([add(R1, depth), call(1), exit()]);
    }
    insns.extend([mov(R0, R1), exit()]);
    let retval = agree(insns);
    assert!(retval == 21 || retval == u32::MAX);
}

/// A loop around `may_goto`, left by it or by `leave`: the count of its rounds.
fn patient(leave: i32) -> Vec<Insn> {
    vec![mov(R0, 0), Insn::MayGoto { off: 3 }, add(R0, 1), branch(Cond::Eq, R0, leave, 1), jump(-4), exit()]
}

#[test]
fn may_goto_lets_loops_run_as_the_kernel_does() {
    for leave in [1, 7, 100_000] {
        let retval = agree(patient(leave));
        assert!(retval == leave as u32 || retval == u32::MAX);
    }
}

#[test]
fn may_goto_is_taken_after_eight_mebi_rounds() {
    let run = |insns| {
        let code = Code::new(&Program::from_insns("loop", ProgType::Xdp, insns, vec![])).unwrap();
        let mut engine = Engine::new(EngineConfig::default(), &[]).unwrap();
        let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &[0; 64] };
        engine.run(&code, input, &mut FixedEnv::default(), &mut NoObserver).retval
    };
    assert_eq!(run(patient(-1)), 8 << 20);
}

/// Sums fields of the context with distinct weights, so that one read wrongly shows.
fn sum_of_fields(offsets: &[i16], wide: &[i16]) -> Vec<Insn> {
    let mut insns = vec![mov(R6, R1), mov(R0, 0)];
    let fields = offsets.iter().map(|&off| (Size::W, off)).chain(wide.iter().map(|&off| (Size::D, off)));
    for (size, off) in fields {
        insns.extend([alu64(AluOp::Mul, R0, 31), load(size, R1, R6, off), add(R0, R1)]);
    }
    insns.push(exit());
    insns
}

#[test]
fn skb_fields_are_read_and_written_where_the_kernel_has_them() {
    let Some(kernel) = kernel("skb_fields_are_read_and_written_where_the_kernel_has_them") else { return };
    let packet = [[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0].as_slice(), &[0x45; 50]].concat();
    // What test runs accept in a struct __sk_buff: mark, priority, cb, tstamp, gso_segs, gso_size, wire_len.
    let mut given = [0u8; 192];
    let mut put = |at: usize, word: u32| given[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(8, 0xaabb);
    put(32, 77);
    (0..5).for_each(|i| put(48 + 4 * i, 1000 + i as u32));
    put(152, 0x1234);
    put(156, 0x5);
    put(160, 1500);
    put(164, 3);
    put(176, 900);
    let fields = SkbFields {
        mark: 0xaabb,
        priority: 77,
        cb: [1000, 1001, 1002, 1003, 1004],
        tstamp: 0x5_0000_1234,
        wire_len: 1500,
        gso_segs: 3,
        gso_size: 900,
        protocol: 8,
        ifindex: 1,
        // The destination is not the device's own address.
        pkt_type: 3,
        ..SkbFields::default()
    };
    // len, pkt_type, mark, queue_mapping, protocol, vlan (3), priority, ingress_ifindex, tc_index, cb, hash, tc_classid,
    // wire_len, gso_segs, gso_size; tstamp.
    let offsets = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 44, 48, 52, 56, 60, 64, 68, 72, 160, 164, 176];
    let mut insns = sum_of_fields(&offsets, &[152]);
    insns.pop();
    // Now change what a classifier may change.
    for (off, value) in [(8, 5), (32, 6), (48, 7), (64, 8), (44, 0x1_2345), (72, 0x1_0002)] {
        insns.push(store(Size::W, R6, off, value));
    }
    insns.push(exit());
    let program = kernel.load(ProgType::SchedCls.number(), &kernel_bytes(&insns, &[]), "GPL");
    let theirs = program.unwrap_or_else(|e| panic!("{}", e.log)).run(&packet, Some(&given)).unwrap();

    let code = Code::new(&Program::from_insns("fields", ProgType::SchedCls, insns, vec![])).unwrap();
    let mut engine = Engine::new(EngineConfig::default(), &[]).unwrap();
    let input = RunInput { context: ContextInput::Skb(fields), packet: &packet };
    let ours = engine.run(&code, input, &mut FixedEnv::default(), &mut NoObserver);
    assert_eq!(ours.fault, None);
    assert_eq!(ours.retval as u32, theirs.retval);
    let after = engine.skb();
    let word = |at: usize| u32::from_le_bytes(theirs.context[at..at + 4].try_into().unwrap());
    assert_eq!((after.mark, after.priority, after.cb[0], after.cb[4]), (word(8), word(32), word(48), word(64)));
    assert_eq!((after.tc_index, after.tc_classid), (0x2345, 2));
}

#[test]
fn xdp_fields_are_read_where_the_kernel_has_them() {
    let Some(kernel) = kernel("xdp_fields_are_read_where_the_kernel_has_them") else { return };
    // data_end - data, data - data_meta, ingress_ifindex (1, the loopback device), rx_queue_index.
    let insns = vec![
        load(Size::W, R0, R1, 4),
        load(Size::W, R2, R1, 0),
        alu64(AluOp::Sub, R0, R2),
        load(Size::W, R3, R1, 8),
        alu64(AluOp::Sub, R2, R3),
        alu64(AluOp::Mul, R0, 31),
        add(R0, R2),
        alu64(AluOp::Mul, R0, 31),
        load(Size::W, R2, R1, 12),
        add(R0, R2),
        alu64(AluOp::Mul, R0, 31),
        load(Size::W, R2, R1, 16),
        add(R0, R2),
        exit(),
    ];
    let mut both = Both::load(kernel, ProgType::Xdp, insns, &[]).unwrap_or_else(|error| panic!("{}", error.log));
    let (_, ours) = both.ours(&[0; 100]);
    assert_eq!(ours, both.kernel(&[0; 100]));
}

#[test]
fn stack_frames_start_as_zeros() {
    // Linux leaves there what was; this machine promises zeros, so that engines agree. RFC 9669 says nothing.
    let read = vec![
        load(Size::D, R6, R10, -512),
        call(3),
        add(R0, R6),
        exit(),
        exit(),
        load(Size::D, R0, R10, -512),
        load(Size::D, R1, R10, -8),
        add(R0, R1),
        exit(),
    ];
    let fill = || {
        let mut insns: Vec<_> = (1..=64).map(|word| store(Size::D, R10, -8 * word, -1)).collect();
        insns.extend([mov(R2, 0), atomic(AtomicOp::Add, false, Size::D, R10, -8, R2)]);
        insns
    };
    let mut dirty = fill();
    dirty.extend([call(2), mov(R0, 0), exit()]);
    dirty.extend(fill());
    dirty.extend([mov(R0, 0), exit()]);
    let mut engine = Engine::new(EngineConfig::default(), &[]).unwrap();
    let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &[0; 64] };
    let mut run = |insns: Vec<Insn>| {
        let code = Code::new(&Program::from_insns("frames", ProgType::Xdp, insns, vec![])).unwrap();
        engine.run(&code, input, &mut FixedEnv::default(), &mut NoObserver)
    };
    assert_eq!(run(dirty).fault, None);
    let after = run(read);
    assert_eq!((after.retval, after.fault), (0, None));
}
