//! `fanout` in Linux: frames of the trace go where the programs send them, over pairs of devices, and what arrives at the far
//! ends and is counted is what leaves the simulated host and is counted there. `FANOUT_FRAMES` sets how many (default 1,500).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bpf::insn::{Insn, Size};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use serde_json::Value;
use sim::host::user::Content;
use sim::scenario::{LoadedProgram, Scenario};

use super::linux::{build, on_maps};
use crate::support::asm::*;
use crate::support::both::{kernel_bytes, spec};
use crate::support::kernel::{self, Kernel, KernelMap, KernelProg, LoadRequest, kernel};
use crate::support::scenario::{self, scenarios};

/// Bytes of a frame that a far end writes down, and of its record: device, length, those.
const SEEN: usize = 60;
const RECORD: u32 = 72;
/// The other end of device *n*, as the tests' networks have it.
const FAR: u32 = 100;
/// The device of port 0.
const INGRESS: u32 = 2;

/// Slots of `counters`: what was handed to another processor, and what became of it there.
const HANDED: u32 = 2;
const ARRIVED: u32 = 7;
const RESET: u32 = 8;

/// A frame that arrived: at the other end of a device, so long, beginning so.
type Arrived = (u32, u32, Vec<u8>);

/// Writes down what arrives, and drops it.
fn witness() -> Vec<Insn> {
    let mut code: Vec<Insn> = (1..=RECORD as i16 / 8).map(|i| store(Size::D, R10, -8 * i, 0)).collect();
    code.extend([mov(R6, R1), load(Size::W, R1, R6, 12), store(Size::W, R10, -72, R1)]);
    code.extend([mov(R1, R6), helper(188), store(Size::W, R10, -68, R0)]);
    code.extend([mov(R1, R6), mov(R2, 0), mov(R3, R10), add(R3, -64), mov(R4, SEEN as i32), helper(189)]);
    code.extend(map(R1, 0));
    code.extend([mov(R2, R10), add(R2, -72), mov(R3, 0), helper(87), mov(R0, 1), exit()]);
    code
}

fn loaded_by(kernel: Kernel, program: &Program, maps: &[KernelMap]) -> KernelProg {
    let attach_type = [0, 33, 35][program.attach as usize];
    let bytes = kernel_bytes(&program.insns, maps);
    let request =
        LoadRequest { prog_type: ProgType::Xdp.number(), bytes: &bytes, attach_type, ..LoadRequest::default() };
    kernel.explained(&request).unwrap_or_else(|error| panic!("{}", error.log))
}

/// The first frames of the trace, as a card gets them.
fn frames(scenario: &Scenario, count: usize) -> Vec<Vec<u8>> {
    let mut frames = scenario::frames(&scenario.plays[0].path);
    frames.truncate(count);
    frames.iter_mut().for_each(|frame| frame.resize(frame.len().max(60), 0));
    frames
}

/// Frames between two looks whether the processors' threads keep up: fewer than their queues take.
const AHEAD: usize = 64;

/// Waits until the processors' threads have had all that was handed to them. A busy machine runs them late, and what finds
/// their queues full is lost.
fn caught_up(counted: &dyn Fn() -> BTreeMap<u32, [u64; 2]>) {
    let begun = Instant::now();
    loop {
        let counted = counted();
        let packets = |slot: u32| counted.get(&slot).map_or(0, |traffic| traffic[0]);
        if packets(HANDED) == packets(ARRIVED) + packets(RESET) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the processors' threads do not run: {counted:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What Linux does: frames that arrived, and the counters over all processors.
fn in_linux(kernel: Kernel, loaded: &LoadedProgram, frames: &[Vec<u8>]) -> (Vec<Arrived>, BTreeMap<u32, [u64; 2]>) {
    let mut specs: Vec<MapSpec> = Vec::new();
    let own = on_maps(loaded.verified.program(), &mut specs);
    let parts: Vec<_> = loaded.parts.iter().map(|part| on_maps(part.verified.program(), &mut specs)).collect();
    let maps: Vec<_> = specs.iter().map(|spec| kernel.create(spec).expect("the kernel makes the maps")).collect();
    let named = |name: &str| &maps[specs.iter().position(|spec| spec.name == name).expect("programs name it")];
    let parts: Vec<_> = parts.iter().map(|part| loaded_by(kernel, part, &maps)).collect();
    let own = loaded_by(kernel, &own, &maps);
    for (spec, entries) in loaded.maps.iter().zip(&loaded.preload) {
        for (key, value) in entries {
            named(&spec.name).update(key, value, 0).expect("the kernel takes the entry");
        }
    }
    for slot in &loaded.slots {
        let Some(Content::Behind { word, program }) = slot.content else { panic!("only such slots are filled") };
        let value = [word.to_le_bytes(), parts[program - 1].fd().to_le_bytes()].concat();
        named(&loaded.maps[slot.map].name).update(&slot.key, &value, 0).expect("the kernel takes the slot");
    }
    let log = kernel.create(&spec(MapType::QUEUE, 0, RECORD, 1 << 14, 0)).expect("the kernel makes queues");
    let log = [log];
    let far = loaded_by(kernel, &Program::from_insns("far", ProgType::Xdp, witness(), vec![]), &log);
    let links = [2, 3, 9].map(|device| far.attach_xdp(device + FAR).expect("a veth takes XDP"));

    let mut arrived = Vec::new();
    let take = |arrived: &mut Vec<Arrived>| {
        while let Ok(record) = log[0].take(&[], 0) {
            let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes"));
            arrived.push((word(0) - FAR, word(4), record[8..8 + SEEN].to_vec()));
        }
    };
    let counted = || -> BTreeMap<u32, [u64; 2]> {
        let sum = |value: Vec<u8>| {
            let words = value.chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
            words.enumerate().fold([0; 2], |mut sum, (at, word)| {
                sum[at % 2] += word;
                sum
            })
        };
        let entries = named("counters").entries().into_iter();
        let slots = entries.map(|(key, value)| (u32::from_le_bytes(key.try_into().expect("a slot")), sum(value)));
        slots.filter(|(_, traffic)| *traffic != [0; 2]).collect()
    };
    for (number, frame) in frames.iter().enumerate() {
        let mut context = [0u8; 24];
        context[4..8].copy_from_slice(&(frame.len() as u32).to_le_bytes());
        context[12..16].copy_from_slice(&INGRESS.to_le_bytes());
        own.run_live(frame, &context).expect("the kernel runs it");
        take(&mut arrived);
        if number % AHEAD == 0 {
            caught_up(&counted);
        }
    }
    caught_up(&counted);
    // What devices have queued comes a moment later.
    let (begun, mut last) = (Instant::now(), (arrived.len(), counted()));
    while begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(100));
        take(&mut arrived);
        let now = (arrived.len(), counted());
        if now == last {
            break;
        }
        last = now;
    }
    drop(links);
    (arrived, counted())
}

/// What the simulated host does: frames that left by its ports, its report.
fn simulated(frames: usize) -> (Vec<Arrived>, Value) {
    let changes = [
        ("pcap: ", format!("limit: {frames}, pcap: ")),
        ("  offload: {attach: {xdp-offload: fanout}}\n", String::new()),
    ];
    let text = scenario::changed("fanout", &changes.each_ref().map(|(from, to)| (*from, to.as_str())));
    // What a short run shows is not what the whole one is expected to.
    let text = scenario::without_expectations(&text);
    let run = scenario::run_in(scenario::directory(), text, &["--capture", "."]).ended(&[0]);
    let sent = [0, 1].map(|port| {
        let capture = run.directory.path().join(format!("native.port{port}.pcap"));
        let arrived = |frame: Vec<u8>| (INGRESS + port, frame.len() as u32, frame[..SEEN].to_vec());
        scenario::frames(&capture).into_iter().map(arrived).collect::<Vec<_>>()
    });
    (sent.concat(), run.placements()[0]["measured"].clone())
}

fn counters(measured: &Value) -> BTreeMap<u32, [u64; 2]> {
    let maps = measured["maps"].as_array().expect("maps");
    let counters = maps.iter().find(|map| map["name"] == "counters").expect("the program counts");
    let bytes = |text: &Value| -> Vec<u8> {
        let text = text.as_str().expect("digits");
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex digits")).collect()
    };
    let entries = counters["contents"].as_array().expect("contents").iter();
    let slots = entries.map(|entry| {
        let words = bytes(&entry["value"]);
        let words = words.chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        let sum = words.enumerate().fold([0; 2], |mut sum, (at, word)| {
            sum[at % 2] += word;
            sum
        });
        (u32::from(bytes(&entry["key"])[0]), sum)
    });
    slots.collect()
}

pub fn agree() {
    let Some(kernel) = kernel("fanout_in_linux") else { return };
    let held = std::thread::spawn(move || {
        let path = scenarios().join("fanout.yaml");
        let scenario = Scenario::load(&path).unwrap_or_else(|why| panic!("{why}"));
        let count = std::env::var("FANOUT_FRAMES").map_or(1_500, |count| count.parse().expect("a number"));
        let frames = frames(&scenario, count);
        kernel::stay_on_cpu_0();
        // A veth takes no XDP program whose peer may send frames of more than a page; the trace has none.
        let mut network = scenario.network.as_ref().clone();
        network.devices.iter_mut().filter(|device| device.ifindex != 1).for_each(|device| device.mtu = 1_500);
        if !build(&network) {
            eprintln!("SKIPPED fanout_in_linux: no network namespace or no iproute2");
            return;
        }
        // No frames but those of the trace: devices without IPv6 say nothing of themselves.
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").expect("the namespace is the thread's own");
        let (arrived, counted) = in_linux(kernel, &scenario.programs["fanout"], &frames);
        let (sent, measured) = simulated(frames.len());
        assert_eq!(counters(&measured), counted, "counters");
        let by_port = |device: u32| {
            let mut frames: Vec<_> = arrived.iter().filter(|(at, ..)| *at == device).cloned().collect();
            frames.sort();
            frames
        };
        for device in [INGRESS, INGRESS + 1] {
            let mut ours: Vec<_> = sent.iter().filter(|(at, ..)| *at == device).cloned().collect();
            ours.sort();
            assert_eq!(ours.len(), by_port(device).len(), "frames by device {device}");
            assert!(!ours.is_empty());
            for (ours, theirs) in ours.iter().zip(by_port(device)) {
                assert_eq!(*ours, theirs, "device {device}");
            }
        }
        let fates = measured["fates"].as_array().expect("fates").iter();
        let virtually =
            fates.filter(|fate| fate["place"] == "virtual device").filter_map(|fate| fate["packets"].as_u64());
        assert_eq!(virtually.sum::<u64>(), by_port(9).len() as u64, "frames by the virtual device");
    });
    held.join().unwrap_or_else(|why| std::panic::resume_unwind(why));
}
