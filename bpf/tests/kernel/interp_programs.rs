//! The committed programs over the committed trace: what the running kernel does packet by packet, and the counts that
//! their README gives.

use crate::support;

use std::path::PathBuf;

use bpf::env::FixedEnv;
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, SkbFields, XdpFields};
use bpf::maps::MapId;
use bpf::object::Object;
use bpf::program::Program;
use support::both::Both;
use support::kernel::{kernel, stay_on_cpu_0};

fn scenarios() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn program(object: &str) -> Program {
    let bytes = std::fs::read(scenarios().join("programs").join(object)).unwrap();
    Object::parse(&bytes).unwrap().program(None, None).unwrap()
}

/// The frames of a classic pcap file in little-endian byte order.
fn trace() -> Vec<Vec<u8>> {
    let file = std::fs::read(scenarios().join("traces/mixed.pcap")).unwrap();
    let (mut frames, mut rest) = (Vec::new(), &file[24..]);
    while rest.len() >= 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

type Entry = (&'static str, Vec<u8>, Vec<u8>);

/// Rules of the firewall: key, action, hits.
const RULES: [(&str, u8, u32); 12] = [
    ("00000000 00000000 0000ffff c000020a 00351100", 1, 331),
    ("00000000 00000000 0000ffff c000020b 00000000", 0, 759),
    ("00000000 00000000 0000ffff c000020c 00000000", 1, 321),
    ("00000000 00000000 0000ffff c000020c 00500600", 0, 226),
    ("00000000 00000000 0000ffff c000020d 00000000", 1, 695),
    ("00000000 00000000 0000ffff c000021a 00000100", 1, 61),
    ("00000000 00000000 0000ffff c0000225 00170600", 1, 64),
    ("00000000 00000000 0000ffff c0000263 00000000", 1, 0),
    ("00000000 00000000 0000ffff cb00710c 00000000", 1, 792),
    ("00000000 00000000 0000ffff cb00718c 00000000", 1, 141),
    ("20010db8 00010000 00000000 00000010 00500600", 1, 712),
    ("20010db8 00020000 00000000 00000010 00003a00", 1, 7),
];

/// Counters of the firewall: packets, bytes.
const FIREWALL: [(u64, u64); 8] = [
    (16_103, 1_997_769),
    (5_265, 677_018),
    (968, 147_487),
    (71, 34_001),
    (44, 2_640),
    (0, 0),
    (3_124, 339_114),
    (0, 0),
];

/// Counters of the load balancer: packets, bytes.
const BALANCER: [(u64, u64); 8] =
    [(12_323, 1_416_231), (6_068, 907_911), (842, 237_489), (2_326, 229_728), (892, 67_556), (0, 0), (0, 0), (0, 0)];

/// Backends: slot, packets, bytes.
const BACKENDS: [(u32, u64, u64); 19] = [
    (0, 1117, 170_261),
    (1, 1230, 187_471),
    (2, 1116, 147_169),
    (3, 1050, 128_504),
    (8, 89, 7571),
    (9, 168, 13_853),
    (10, 119, 9647),
    (11, 155, 13_007),
    (12, 197, 16_681),
    (13, 170, 14_390),
    (14, 154, 12_559),
    (15, 162, 13_343),
    (16, 747, 101_490),
    (17, 988, 172_853),
    (20, 784, 69_742),
    (21, 806, 71_624),
    (22, 804, 71_856),
    (23, 783, 69_950),
    (32, 1684, 124_260),
];

fn firewall_entries() -> Vec<Entry> {
    RULES.iter().map(|&(key, action, _)| ("blocked", hex(key), vec![action, 0, 0, 0, 0, 0, 0, 0])).collect()
}

fn balancer_entries() -> Vec<Entry> {
    let services = [
        ("c633640a 00500600", "00000000 03000000 00000000"),
        ("c633640a 1f900600", "08000000 07000000 00000000"),
        ("c633640a 00070600", "20000000 00000000 00000000"),
        ("c633640b 00500600", "10000000 01000000 01000000"),
        ("c6336435 00351100", "14000000 03000000 00000000"),
        ("c6336435 00350600", "28000000 00000000 00000000"),
    ];
    let mut entries: Vec<Entry> = services.iter().map(|&(key, value)| ("services", hex(key), hex(value))).collect();
    entries.extend(BACKENDS.iter().map(|&(slot, ..)| {
        let backend = [203, 0, 113, 200 + slot as u8, 0, 0, 0x5e, 0, 0x53, 0x10 + slot as u8, 0, 0];
        ("backends", slot.to_le_bytes().to_vec(), backend.to_vec())
    }));
    entries
}

/// Each committed program, its entries, and the verdicts that let pass.
fn cases() -> [(&'static str, Vec<Entry>, u64); 7] {
    [
        ("drop.bpf.o", vec![], 2),
        ("drop_tc.bpf.o", vec![], 0),
        ("firewall.bpf.o", firewall_entries(), 2),
        ("firewall_tc.bpf.o", firewall_entries(), 0),
        ("l4lb.bpf.o", balancer_entries(), 2),
        ("l4lb_legacy.bpf.o", balancer_entries(), 2),
        ("l4lb_tc.bpf.o", balancer_entries(), 0),
    ]
}

#[test]
fn the_kernel_agrees_packet_by_packet() {
    let Some(kernel) = kernel("the_kernel_agrees_packet_by_packet") else { return };
    stay_on_cpu_0();
    let frames = trace();
    for (object, entries, _) in cases() {
        let program = program(object);
        let mut both = Both::load(kernel, program.ty, program.insns, &program.maps)
            .unwrap_or_else(|error| panic!("{object}: {}", error.log));
        for (map, key, value) in entries {
            both.write(map, &key, &value);
        }
        // A prime step, so that every kind of packet comes by.
        for (number, frame) in frames.iter().enumerate().step_by(7) {
            let (outcome, ours) = both.ours(frame);
            assert_eq!(outcome.fault, None, "{object}, packet {number}");
            assert_eq!(ours, both.kernel(frame), "{object}, packet {number}");
        }
        for (at, theirs) in both.kernel_maps.iter().enumerate() {
            let mut entries = both.engine.map(MapId(at as u32)).unwrap().entries();
            entries.sort();
            assert_eq!(entries, theirs.entries(), "{object}, map {at}");
        }
    }
}

/// A machine after the whole trace, and how many packets passed.
struct Ran {
    engine: Engine,
    passed: usize,
    dropped: usize,
}

impl Ran {
    fn new(object: &str) -> Ran {
        let (_, entries, pass) = cases().into_iter().find(|case| case.0 == object).unwrap();
        let program = program(object);
        let mut engine = Engine::new(EngineConfig { cpus: 2, ..EngineConfig::default() }, &program.maps).unwrap();
        let code = Code::new(&program).unwrap();
        for (map, key, value) in entries {
            engine.map(id(&engine, map)).unwrap().update(&key, &value, 0).unwrap();
        }
        let context = match program.ty.is_skb() {
            true => ContextInput::Skb(SkbFields { ifindex: 1, ..SkbFields::default() }),
            false => ContextInput::Xdp(XdpFields::default()),
        };
        let (mut passed, mut dropped) = (0, 0);
        for (number, frame) in trace().iter().enumerate() {
            // Packets take turns between the processors; per-CPU counters sum up all the same.
            let mut env = FixedEnv { cpu: number as u32 % 2, ..FixedEnv::default() };
            let outcome = engine.run(&code, RunInput { context, packet: frame }, &mut env, &mut NoObserver);
            assert_eq!(outcome.fault, None, "{object}, packet {number}");
            if outcome.retval == pass { passed += 1 } else { dropped += 1 }
        }
        Ran { engine, passed, dropped }
    }

    /// The two 64-bit counters under a slot, summed over processors.
    fn counters(&mut self, map: &str, slot: u32) -> (u64, u64) {
        let id = id(&self.engine, map);
        let value = self.engine.map(id).unwrap().lookup(&slot.to_le_bytes()).unwrap();
        let words: Vec<u64> = value.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        words.chunks(2).fold((0, 0), |sum, pair| (sum.0 + pair[0], sum.1 + pair[1]))
    }
}

fn id(engine: &Engine, name: &str) -> MapId {
    engine.maps().iter().find(|(_, map)| map.spec().name == name).expect("the map is there").0
}

#[test]
fn the_firewall_counts_what_its_readme_says() {
    for object in ["firewall.bpf.o", "firewall_tc.bpf.o"] {
        let mut ran = Ran::new(object);
        assert_eq!((ran.dropped, ran.passed), (3_124, 19_327), "{object}");
        for (slot, wanted) in FIREWALL.into_iter().enumerate() {
            assert_eq!(ran.counters("counters", slot as u32), wanted, "{object}, slot {slot}");
        }
        let blocked = id(&ran.engine, "blocked");
        for (key, _, hits) in RULES {
            let value = ran.engine.map(blocked).unwrap().lookup(&hex(key)).unwrap();
            assert_eq!(value[4..], hits.to_le_bytes(), "{object}, rule {key}");
        }
    }
}

#[test]
fn the_load_balancer_counts_what_its_readme_says() {
    for object in ["l4lb.bpf.o", "l4lb_legacy.bpf.o", "l4lb_tc.bpf.o"] {
        let mut ran = Ran::new(object);
        assert_eq!((ran.dropped, ran.passed), (12_323, 10_128), "{object}");
        for (slot, wanted) in BALANCER.into_iter().enumerate() {
            assert_eq!(ran.counters("counters", slot as u32), wanted, "{object}, slot {slot}");
        }
        for (slot, packets, bytes) in BACKENDS {
            assert_eq!(ran.counters("backend_traffic", slot), (packets, bytes), "{object}, backend {slot}");
        }
    }
}
