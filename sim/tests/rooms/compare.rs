//! Card against interpreter on the packets of the trace: every program of the project that a real card takes, and maps that all
//! contexts of a card change at once.

use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Size};
use bpf::program::{MapType, ProgType, Program};
use bpf::verifier::{self, Options, Verdict};
use nic_model::profile;
use offload_jit::Mode;
use sim::compare::{self, Compared};
use sim::scenario::{LoadedProgram, Scenario};

use crate::support::asm::*;
use crate::support::both::spec;
use crate::support::scenario::{frames, scenarios};

fn scenario(name: &str) -> Scenario {
    Scenario::load(&scenarios().join(name)).unwrap_or_else(|d| panic!("{d}"))
}

/// Both ways and in both modes, and the verdicts (dropped, passed, transmitted, aborted) that an independent count of the trace gives.
fn compare(name: &str, program: &str, verdicts: [u64; 4]) {
    let scenario = scenario(name);
    let packets = frames(&scenario.plays[0].path);
    let program = &scenario.programs[program];
    let slices = || packets.iter().map(Vec::as_slice);
    let expected = Compared { packets: 22_451, verdicts, events: 0 };
    for mode in Mode::ALL {
        let name = format!("{name}, mode {}", mode.id());
        let alone = compare::alone(&scenario.nic, program, mode, slices());
        assert_eq!(alone.unwrap_or_else(|d| panic!("{name}, alone: {d}")), expected, "{name}");
        let together = compare::together(&scenario.nic, program, mode, slices());
        let together = together.unwrap_or_else(|d| panic!("{name}, together: {d}"));
        assert_eq!(Compared { events: 0, ..together }, expected, "{name}");
    }
}

#[test]
fn drop() {
    compare("drop.yaml", "drop", [22_451, 0, 0, 0]);
}

#[test]
fn firewall() {
    compare("quickstart.yaml", "fw", [3_124, 19_327, 0, 0]);
}

#[test]
fn load_balancer() {
    compare("l4lb.yaml", "lb", [0, 10_128, 12_323, 0]);
}

/// Counters, a hash whose entries come and go, and an LRU map of that size, shared by all packets: which are sent back depends on
/// who wrote entries last.
fn shared(recent: u32) -> LoadedProgram {
    let at =
        |map_number, key: i16| [map(R1, map_number).to_vec(), vec![mov(R2, R10), add(R2, i32::from(key))]].concat();
    let lookup = |map_number, key| [at(map_number, key), vec![helper(1)]].concat();
    let update = |map_number, key, flags: i32| {
        let value = [mov(R3, R10), add(R3, -16), mov(R4, flags), helper(2)];
        [at(map_number, key), value.to_vec()].concat()
    };
    let and = |dst, mask: i32| alu64(AluOp::And, dst, mask);
    // Jumped over where the register is 0 (`Eq`), or where it is not (`Ne`).
    let only = |cond, dst, then: Vec<Insn>| [vec![branch(cond, dst, 0, then.len() as i16)], then].concat();
    let body = [
        // A number of the flow: addresses, ports. And what a packet writes into maps.
        vec![load(Size::W, R9, R6, 26), load(Size::W, R1, R6, 34), alu64(AluOp::Xor, R9, R1)],
        vec![mov(R1, R9), alu64(AluOp::Rsh, R1, 16), alu64(AluOp::Xor, R9, R1)],
        vec![load(Size::W, R1, R6, 38), store(Size::D, R10, -16, R1), mov(R7, 0)],
        vec![mov(R1, R9), and(R1, 127), store(Size::W, R10, -4, R1)],
        vec![mov(R1, R9), and(R1, 7), store(Size::W, R10, -8, R1)],
        lookup(0, -8),
        only(Cond::Eq, R0, [mov(R1, 1), atomic(AtomicOp::Add, false, Size::D, R0, 0, R1)].to_vec()),
        // The first packet of a flow enters it, some packets remove it.
        update(1, -4, 1),
        lookup(1, -4),
        only(Cond::Eq, R0, vec![load(Size::W, R7, R0, 0)]),
        vec![mov(R8, R9), and(R8, 31), alu64(AluOp::Xor, R8, 7)],
        only(Cond::Ne, R8, [at(1, -4), vec![helper(3)]].concat()),
        // The latest packet of a flow is looked for by those of another.
        update(2, -4, 0),
        vec![load(Size::W, R1, R10, -4), alu64(AluOp::Xor, R1, 1), store(Size::W, R10, -4, R1)],
        lookup(2, -4),
        only(Cond::Eq, R0, vec![load(Size::W, R1, R0, 0), alu64(AluOp::Xor, R7, R1)]),
        vec![mov(R0, R7), and(R0, 1), alu64(AluOp::Lsh, R0, 1), add(R0, 1), exit()],
    ]
    .concat();
    let head = [
        load(Size::W, R6, R1, 0),
        load(Size::W, R7, R1, 4),
        mov(R1, R6),
        add(R1, 42),
        branch(Cond::Le, R1, R7, 2),
        mov(R0, 2),
        exit(),
    ];
    let maps = vec![
        spec(MapType::ARRAY, 4, 8, 8, 0),
        spec(MapType::HASH, 4, 8, 128, 0),
        spec(MapType::LRU_HASH, 4, 8, recent, 0),
    ];
    let program = Program::from_insns("shared", ProgType::Xdp, [head.to_vec(), body].concat(), maps.clone());
    let verified = match verifier::verify(program, &Options::default()) {
        Verdict::Accepted(verified) => verified,
        refused => panic!("{refused:?}"),
    };
    LoadedProgram {
        verified,
        object: "shared.o".into(),
        device_bound: false,
        parts: Vec::new(),
        preload: vec![Vec::new(); maps.len()],
        maps,
        slots: Vec::new(),
        slots_of_object: 0,
        actions: Vec::new(),
        readers: Vec::new(),
    }
}

#[test]
fn shared_maps() {
    let packets = frames(&scenarios().join("traces/mixed.pcap"));
    let slices = || packets.iter().take(4_000).map(Vec::as_slice);
    let card = profile::builtin("open-npu").expect("a card of the project's");
    // Room for what every context keeps to itself, so that nothing is evicted; then less than there are keys.
    let (roomy, tight) = (shared(1 << 16), shared(64));
    for mode in Mode::ALL {
        let name = mode.id();
        let alone = compare::alone(&card, &roomy, mode, slices()).unwrap_or_else(|d| panic!("{name}, alone: {d}"));
        for program in [&roomy, &tight] {
            let together = compare::together(&card, program, mode, slices());
            let together = together.unwrap_or_else(|d| panic!("{name}, together: {d}"));
            assert_eq!(together.packets, 4_000);
            assert!(together.events > 7 * 3_500, "most packets come to every map: {together:?}");
            assert_ne!(together.verdicts, alone.verdicts, "packets meet what others have written meanwhile");
        }
    }
}
