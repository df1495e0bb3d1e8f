use std::sync::LazyLock;

use bpf::btf::SpecialFields;
use bpf::insn::{AluOp, Callee, Cond, Insn, Operand, Reg, Size, Wide, Width};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use nic_model::device::PacketId;

use super::super::profile::{builtin_value, from_value};
use super::super::redirect::network_of_ports;
use super::*;

const TIMER: i32 = 8;

static COSTS: LazyLock<HostCosts> = LazyLock::new(|| {
    let value = builtin_value("xeon-e5-1650v4").expect("the profile comes with the project");
    from_value(value).expect("and is sound").costs()
});

/// The program, with a slot for each of its maps.
fn attached(program: Program) -> Attachment {
    let maps = (0..program.maps.len()).collect();
    Attachment { maps: program.maps.clone(), programs: vec![(program, maps)], object: None }
}

/// Hooks of a host with one processor and one queue.
fn hooks(xdp: Option<Program>, tc: Option<Program>, network: Network) -> Hooks {
    let [xdp, tc] = [xdp, tc].map(|program| program.map(attached));
    let around = Surroundings { byte_order: Endian::Little, network: Arc::new(network), seed: 1 };
    Hooks::new(&COSTS, xdp.as_ref(), tc.as_ref(), 1, 1, around).expect("the host takes the programs")
}

/// Hands the hooks a frame that came in at port 0.
fn process(hooks: &mut Hooks, now: Time, bytes: Vec<u8>) -> Processed {
    let mut frame = Frame { id: PacketId(0), bytes };
    let meta = RxMeta { port: PortId(0), hash: None, timestamp: now };
    hooks.process(now, QueueId(0), &mut frame, &meta, &COSTS)
}

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Mov { width: Width::W64, dst, src, sext: None }
}

fn add(dst: Reg, imm: i32) -> Insn {
    Insn::Alu { width: Width::W64, op: AluOp::Add, dst, src: Operand::Imm(imm) }
}

fn helper(id: u32) -> Insn {
    Insn::Call { callee: Callee::Helper(id) }
}

fn wide(dst: Reg, value: Wide) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value }, Insn::Pad]
}

/// A program that sets a timer of 10 us in the value of its array, and the function that counts there and sets it again.
fn ticking() -> Program {
    let own = |reg: Reg| [mov(Reg::R1, Operand::Reg(reg)), add(Reg::R1, TIMER)];
    let number = |dst: Reg, imm: i32| mov(dst, Operand::Imm(imm));
    let mut insns = vec![Insn::Store { size: Size::W, base: Reg::R10, off: -4, src: Operand::Imm(0) }];
    insns.extend(wide(Reg::R1, Wide::Map(MapIndex(0))));
    insns.extend([mov(Reg::R2, Operand::Reg(Reg::R10)), add(Reg::R2, -4), helper(1)]);
    // init, set_callback, start: 4, 4 and 5 slots, and the moves between them.
    let mut act = vec![mov(Reg::R6, Operand::Reg(Reg::R0))];
    act.extend(own(Reg::R6));
    act.extend(wide(Reg::R2, Wide::Map(MapIndex(0))));
    act.extend([number(Reg::R3, 1), helper(169)]);
    act.extend(own(Reg::R6));
    let at = insns.len() + 1 + act.len();
    act.extend([Insn::Pad, Insn::Pad, helper(170)]);
    act.extend(own(Reg::R6));
    act.extend([number(Reg::R2, 10_000), number(Reg::R3, 0), helper(171)]);
    let skip = act.len() as i16;
    insns.push(Insn::Branch { width: Width::W64, cond: Cond::Eq, dst: Reg::R0, src: Operand::Imm(0), off: skip });
    insns.extend(act);
    insns.extend([number(Reg::R0, 2), Insn::Exit]);
    insns[at] = Insn::LoadImm64 { dst: Reg::R2, value: Wide::Func { off: (insns.len() - at - 1) as i32 } };
    insns.extend([mov(Reg::R6, Operand::Reg(Reg::R3)), number(Reg::R1, 1)]);
    insns.push(Insn::Load { size: Size::W, sext: false, dst: Reg::R1, base: Reg::R6, off: 0 });
    insns.push(add(Reg::R1, 1));
    insns.push(Insn::Store { size: Size::W, base: Reg::R6, off: 0, src: Operand::Reg(Reg::R1) });
    insns.extend(own(Reg::R6));
    insns.extend([number(Reg::R2, 10_000), number(Reg::R3, 0), helper(171), number(Reg::R0, 0), Insn::Exit]);
    let fields = SpecialFields { lock: None, timer: Some(TIMER as u32) };
    let map = MapSpec {
        name: "ticks".to_owned(),
        ty: MapType::ARRAY,
        key_size: 4,
        value_size: 24,
        max_entries: 1,
        fields,
        ..MapSpec::default()
    };
    Program::from_insns("ticking", ProgType::Xdp, insns, vec![map])
}

/// The first packet sets the timer; those behind it find as many ticks as time has gone by.
#[test]
fn timers_tick_in_simulated_time() {
    let mut hooks = hooks(Some(ticking()), None, network_of_ports(1));
    let mut ticks = |us: u64| {
        let now = Time::from_ns(1_000 * us);
        // The program sets the timer anew: it is due 10 us from then.
        process(&mut hooks, now, vec![0; 64]);
        let map = hooks.maps(Place::Xdp)[0];
        let value = hooks.engine_mut().map(map).expect("the map is there").lookup(&[0; 4]).expect("as is its value");
        assert_eq!(value[TIMER as usize..], [0; 16], "user space sees no timer");
        u32::from_le_bytes([value[0], value[1], value[2], value[3]])
    };
    assert_eq!([0, 5].map(&mut ticks), [0, 0]);
    // Due at about 15 us, 25, 35 and so on: eight or nine of them, as each takes its time.
    let seen = ticks(100);
    assert!((7..=9).contains(&seen), "{seen} ticks");
    assert_eq!(ticks(105), seen);
}

/// A program at tc that keeps what `bpf_csum_update` answers.
fn asking() -> Program {
    let mut insns = vec![mov(Reg::R2, Operand::Imm(0)), helper(40), mov(Reg::R6, Operand::Reg(Reg::R0))];
    insns.push(Insn::Store { size: Size::W, base: Reg::R10, off: -4, src: Operand::Imm(0) });
    insns.extend(wide(Reg::R1, Wide::Map(MapIndex(0))));
    insns.extend([mov(Reg::R2, Operand::Reg(Reg::R10)), add(Reg::R2, -4), helper(1)]);
    insns.push(Insn::Branch { width: Width::W64, cond: Cond::Eq, dst: Reg::R0, src: Operand::Imm(0), off: 1 });
    insns.push(Insn::Store { size: Size::D, base: Reg::R0, off: 0, src: Operand::Reg(Reg::R6) });
    insns.extend([mov(Reg::R0, Operand::Imm(0)), Insn::Exit]);
    let spec = MapSpec { name: "said".into(), ty: MapType::ARRAY, key_size: 4, value_size: 8, ..MapSpec::default() };
    Program::from_insns("asking", ProgType::SchedCls, insns, vec![MapSpec { max_entries: 1, ..spec }])
}

/// A device hands up the sum of what follows the Ethernet header, a tag aside, unless its driver has run an XDP program.
#[test]
fn sums_are_handed_up() {
    let pass = Program::from_insns("pass", ProgType::Xdp, vec![mov(Reg::R0, Operand::Imm(2)), Insn::Exit], vec![]);
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0, 0, 5, 8, 0]);
    frame.extend((0..61u8).map(|byte| byte.wrapping_mul(7)));
    let folded = |mut sum: u64| {
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    };
    let words = frame[18..].chunks(2).map(|word| u64::from(word[0]) | u64::from(*word.get(1).unwrap_or(&0)) << 8);
    let expected = folded(words.sum());
    for (sums, xdp, answer) in [(true, None, Some(expected)), (true, Some(pass), None), (false, None, None)] {
        let mut network = network_of_ports(1);
        let port = network.devices.iter_mut().find(|device| device.ifindex == FIRST_IFINDEX).expect("there is a port");
        port.sums = sums;
        let mut hooks = hooks(xdp, Some(asking()), network);
        process(&mut hooks, Time::ZERO, frame.clone());
        let map = hooks.maps(Place::Tc)[0];
        let said = hooks.engine_mut().map(map).expect("the map is there").lookup(&[0; 4]).expect("as is its value");
        let said = i64::from_le_bytes(said.try_into().expect("eight bytes"));
        match answer {
            Some(sum) => assert_eq!(folded(said as u64), sum),
            None => assert_eq!(said, -i64::from(Errno::ENOTSUPP.0)),
        }
    }
}

/// A program that drains a ring and drops where that gave a record; else it aborts, which costs a packet as much.
fn draining() -> Program {
    let map = MapSpec { name: "orders".into(), ty: MapType::USER_RINGBUF, max_entries: 4096, ..MapSpec::default() };
    let mut insns = wide(Reg::R1, Wide::Map(MapIndex(0))).to_vec();
    insns.extend(wide(Reg::R2, Wide::Func { off: 7 }));
    insns.extend([mov(Reg::R3, Operand::Imm(0)), mov(Reg::R4, Operand::Imm(0)), helper(209)]);
    insns.push(Insn::Branch { width: Width::W64, cond: Cond::Eq, dst: Reg::R0, src: Operand::Imm(1), off: 1 });
    insns.extend([mov(Reg::R0, Operand::Imm(0)), Insn::Exit]);
    insns.extend([mov(Reg::R0, Operand::Imm(0)), Insn::Exit]);
    Program::from_insns("draining", ProgType::Xdp, insns, vec![map])
}

/// A program sees what user space has written to its ring, once.
#[test]
fn records_of_user_space_are_drained() {
    let mut hooks = hooks(Some(draining()), None, network_of_ports(1));
    let process = |hooks: &mut Hooks| process(hooks, Time::ZERO, vec![0; 64]);
    // The second finds the ring's positions in the cache.
    let [_, empty] = [(); 2].map(|()| process(&mut hooks));
    let write = |len| Write { map: 0, key: vec![], content: Some(Content::Bytes(vec![7; len])) };
    assert_eq!(hooks.write(Place::Xdp, &write(5000)), Err(Errno::E2BIG));
    assert_eq!(hooks.write(Place::Xdp, &write(100)), Ok(()));
    assert_eq!(hooks.write(Place::Xdp, &Write { content: None, ..write(0) }), Err(Errno::ENOTSUPP));
    let one = process(&mut hooks);
    assert_eq!(one.verdict, Verdict::End(Fate::XdpDropped));
    assert_ne!(empty.verdict, one.verdict);
    assert!(one.cost > empty.cost, "a record takes its time");
    assert_eq!(process(&mut hooks).verdict, empty.verdict);
}
