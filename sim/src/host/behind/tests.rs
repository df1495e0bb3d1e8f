use std::collections::VecDeque;
use std::sync::Arc;

use bpf::insn::{Callee, Endian, Insn, Operand, Reg, Size, Wide, Width};
use bpf::program::{Attach, MapIndex, MapSpec, MapType, ProgType, Program};
use nic_model::des::{Component, Outbox, Priority, Source};
use nic_model::device::{CardToHost, PacketId, PortId};

use super::super::component::{Host, In, Inner, Out};
use super::super::hooks::{Attachment, Place, Surroundings};
use super::super::profile::{builtin_value, from_value};
use super::super::redirect::network_of_ports;
use super::super::user::{Content, Write};
use super::*;

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Mov { width: Width::W64, dst, src, sext: None }
}

fn number(dst: Reg, imm: i32) -> Insn {
    mov(dst, Operand::Imm(imm))
}

/// A program that redirects by key 1 of its map.
fn sender(map: &MapSpec, flags: i32) -> Program {
    let mut insns = vec![Insn::LoadImm64 { dst: Reg::R1, value: Wide::Map(MapIndex(0)) }, Insn::Pad];
    insns.extend([number(Reg::R2, 1), number(Reg::R3, flags), Insn::Call { callee: Callee::Helper(51) }, Insn::Exit]);
    Program::from_insns("sender", ProgType::Xdp, insns, vec![map.clone()])
}

/// A program of an entry, which writes the number of the device ahead to the frame's start and says `verdict`.
fn behind(attach: Attach, verdict: i32) -> Program {
    let load = |dst, off| Insn::Load { size: Size::W, sext: false, dst, base: Reg::R1, off };
    let insns = vec![
        load(Reg::R2, 0),
        load(Reg::R3, 20),
        Insn::Store { size: Size::B, base: Reg::R2, off: 0, src: Operand::Reg(Reg::R3) },
        number(Reg::R0, verdict),
        Insn::Exit,
    ];
    Program { attach, ..Program::from_insns("behind", ProgType::Xdp, insns, Vec::new()) }
}

fn costs() -> HostCosts {
    from_value(builtin_value("xeon-e5-1650v4").expect("the profile comes with the project"))
        .expect("and is sound")
        .costs()
}

/// Hooks of a host of four ports, the last of which is down, with entries of (key, word, whether with a program).
fn hooks(ty: MapType, flags: i32, verdict: i32, entries: &[(u32, u32, bool)]) -> Hooks {
    let map = MapSpec { ty, key_size: 4, value_size: 8, max_entries: 8, ..MapSpec::default() };
    let attach = if ty == MapType::CPUMAP { Attach::XdpCpumap } else { Attach::XdpDevmap };
    let programs = vec![(sender(&map, flags), vec![0]), (behind(attach, verdict), vec![])];
    let xdp = Attachment { maps: vec![map], programs, object: None };
    let mut network = network_of_ports(4);
    for device in network.devices.iter_mut().filter(|device| device.ifindex == FIRST_IFINDEX + 3) {
        device.up = false;
    }
    let around = Surroundings { byte_order: Endian::Little, network: Arc::new(network), seed: 1 };
    let mut hooks = Hooks::new(&costs(), Some(&xdp), None, 2, 4, around).expect("the host takes the programs");
    for (key, word, program) in entries {
        let content = match program {
            true => Content::Behind { word: *word, program: 1 },
            false => Content::Bytes([word.to_le_bytes(), [0; 4]].concat()),
        };
        let write = Write { map: 0, key: key.to_le_bytes().to_vec(), content: Some(content) };
        hooks.write(Place::Xdp, &write).expect("the map takes the entry");
    }
    hooks
}

fn frame(id: u64) -> Frame {
    Frame { id: PacketId(id), bytes: vec![0xee; 60] }
}

fn received() -> RxMeta {
    RxMeta { port: PortId(0), hash: None, timestamp: Time::ZERO }
}

fn process(hooks: &mut Hooks) -> (Processed, Frame) {
    let mut frame = frame(0);
    let done = hooks.process(Time::ZERO, QueueId(0), &mut frame, &received(), &costs());
    (done, frame)
}

fn out(port: u8) -> Verdict {
    Verdict::Send { by: Sent::Xdp, port: PortId(port) }
}

#[test]
fn a_program_of_an_entry_runs_before_the_wire() {
    use Behind::Device as Entry;
    for (verdict, end) in [
        (2, out(1)),
        (1, Verdict::End(Fate::DroppedBehind(Entry))),
        (0, Verdict::End(Fate::AbortedBehind(Entry))),
        (3, Verdict::End(Fate::AbortedBehind(Entry))),
        (4, Verdict::End(Fate::AbortedBehind(Entry))),
        (99, Verdict::End(Fate::AbortedBehind(Entry))),
    ] {
        let (done, frame) = process(&mut hooks(MapType::DEVMAP, 0, verdict, &[(1, 3, true)]));
        assert_eq!(done.verdict, end, "verdict {verdict}");
        assert_eq!(frame.bytes[0], if verdict == 2 { 3 } else { 0xee }, "verdict {verdict}");
    }
    let plain = process(&mut hooks(MapType::DEVMAP, 0, 1, &[(1, 3, false)])).0;
    let with = process(&mut hooks(MapType::DEVMAP, 0, 2, &[(1, 3, true)])).0;
    assert_eq!(plain.verdict, out(1));
    assert!(with.cost > plain.cost, "a program takes its time");
    let down = process(&mut hooks(MapType::DEVMAP, 0, 2, &[(1, 5, true)])).0;
    assert_eq!(down.verdict, Verdict::End(Fate::DeviceDown));
}

#[test]
fn a_broadcast_sends_copies_and_at_last_the_packet() {
    const EXCLUDE: i32 = 24;
    // Port 0, where the packet came in; port 1 with a program; one that is down; port 2; no device.
    let entries = [(0, 2, false), (1, 3, true), (2, 5, false), (3, 4, false), (4, 77, false)];
    let (done, last) = process(&mut hooks(MapType::DEVMAP, EXCLUDE, 2, &entries));
    let copies: Vec<_> = done.copies.iter().map(|copy| (copy.verdict, copy.bytes[0])).collect();
    assert_eq!((copies, done.copies_lost), (vec![(out(1), 3)], 0));
    assert_eq!((done.verdict, last.bytes[0]), (out(2), 0xee));

    let (done, last) = process(&mut hooks(MapType::DEVMAP, 8, 1, &entries));
    let copies: Vec<_> = done.copies.iter().map(|copy| copy.verdict).collect();
    assert_eq!(copies, [out(0), Verdict::End(Fate::DroppedBehind(Behind::Device))]);
    assert_eq!((done.verdict, last.bytes.len()), (out(2), 60));

    let (done, _) = process(&mut hooks(MapType::DEVMAP, EXCLUDE, 2, &entries[..1]));
    assert_eq!((done.verdict, done.copies), (Verdict::End(Fate::Nobody), vec![]));
}

/// What a host has told and wants to be woken for, by time and then by order.
#[derive(Default)]
struct Told {
    outs: Vec<Out>,
    wakes: VecDeque<(Time, Inner)>,
}

impl Outbox<Inner, Out> for Told {
    fn send(&mut self, _: Source, out: Out) {
        self.outs.push(out);
    }

    fn wake(&mut self, at: Time, _: Priority, _: Source, event: Inner) {
        let place = self.wakes.partition_point(|(other, _)| *other <= at);
        self.wakes.insert(place, (at, event));
    }
}

/// Fates of packets that a host's queue 0 gets at once, and how long each core has worked.
fn fates(hooks: Hooks, packets: u64) -> (Vec<(u64, Fate)>, Vec<Time>) {
    let mut host = Host::new(costs(), hooks, 4, 2, Source(0));
    let mut told = Told::default();
    for id in 0..packets {
        let message = CardToHost::RxPacket { queue: QueueId(0), frame: frame(id), meta: received() };
        host.handle(Time::ZERO, In::Pcie(message), &mut told);
    }
    host.handle(Time::ZERO, In::Pcie(CardToHost::Interrupt { queue: QueueId(0) }), &mut told);
    while let Some((now, event)) = told.wakes.pop_front() {
        host.wake(now, event, &mut told);
    }
    let fate = |out: &Out| match out {
        Out::Fate { packet, fate } => Some((packet.0, *fate)),
        _ => None,
    };
    (told.outs.iter().filter_map(fate).collect(), host.core_busy())
}

#[test]
fn another_core_goes_on() {
    let (ends, busy) = fates(hooks(MapType::CPUMAP, 0, 1, &[(1, 64, false)]), 3);
    assert_eq!(ends, [0, 1, 2].map(|id| (id, Fate::ToCpu)));
    assert!(busy[1] > busy[0], "the stack's work is the other core's: {busy:?}");
    for (verdict, fate) in [
        (2, Fate::ToCpu),
        (1, Fate::DroppedBehind(Behind::Processor)),
        (0, Fate::AbortedBehind(Behind::Processor)),
        (3, Fate::AbortedBehind(Behind::Processor)),
        // It asks for a redirect and has said none.
        (4, Fate::NoDevice),
    ] {
        assert_eq!(fates(hooks(MapType::CPUMAP, 0, verdict, &[(1, 64, true)]), 1).0, [(0, fate)], "verdict {verdict}");
    }
}

#[test]
fn a_core_lets_no_more_wait_than_the_entry_says() {
    // The thread wakes up once the first few are there.
    let (ends, _) = fates(hooks(MapType::CPUMAP, 0, 1, &[(1, 2, true)]), 40);
    let full = ends.iter().filter(|(_, fate)| *fate == Fate::CpuQueueFull).count();
    assert!(ends.len() == 40 && full > 0, "{ends:?}");
    let taken = ends.iter().filter(|(_, fate)| *fate == Fate::DroppedBehind(Behind::Processor)).count();
    assert_eq!(full + taken, 40);
}
