//! The words of the Linux driver's translator, run on the core, against the programs they were translated from.
//!
//! Nobody who wrote the core had a hand in the words: what flags, shifts, multiplication steps and commands do is seen
//! here. Each program runs on random packets, one in flight, and is held against the interpreter: R0, the result word,
//! packet and maps.

use crate::bench;
use crate::driver_case;

use bench::{Bench, core_config};
use bpf::interp::RunInput;
use bpf::maps::MapId;
use driver_case::{Case, Out, Replay, action, cases, known, link};
use nic_model::core::{ContextId, CoreCosts, Fate, Outcome, TrapKind};
use nic_model::firmware::Firmware;
use nic_model::isa::Bank;
use nic_model::memory::EngineTiming;
use std::collections::BTreeMap;

/// Packets a program is run on; the maps go from one to the next.
const PACKETS: usize = 8;

/// One packet on one side of the comparison.
#[derive(Debug, PartialEq)]
struct Seen {
    r0: u64,
    action: u8,
    packet: Vec<u8>,
    maps: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// A card with a core that runs these words.
fn card(case: &Case, words: &[u64], atomics: &BTreeMap<usize, Vec<u32>>) -> Bench {
    let config = core_config(0, CoreCosts::UNIT);
    let (mut bench, _) = Bench::new(config, EngineTiming::NONE, Firmware::default(), &[]).expect("a card");
    case.fill(&mut bench.memories, atomics);
    let shapes = bench.memories.maps().shapes();
    bench.cores[0].set_maps(&shapes);
    bench.cores[0].start_random_log();
    bench.load(words).expect("room");
    bench
}

fn run(bench: &mut Bench, id: u64, packet: &[u8]) -> Outcome {
    let vector = bench.put_packet(8, packet);
    bench.begin(0, 0, id, vector);
    bench.run();
    let (_, _, outcome) = bench.finished.pop().expect("the packet is done");
    outcome
}

/// The first difference, if there is one.
fn compare(case: &Case) -> Result<(), String> {
    let layout = bench::layout();
    let with_epilogue = link(&case.words, &layout, Out::Epilogue).map_err(|helper| format!("SKIP helper {helper}"))?;
    let without = link(&case.words, &layout, Out::Firmware).map_err(|helper| format!("SKIP helper {helper}"))?;
    let packets = case.packets(PACKETS);
    let atomics = case.atomics(&packets);
    let mut engine = case.filled_engine(&atomics);
    let mut card = card(case, &with_epilogue, &atomics);
    let mut bare = self::card(case, &without, &atomics);
    for (i, packet) in packets.iter().enumerate() {
        let outcome = run(&mut card, i as u64, packet);
        let word = match outcome.fate {
            Fate::Verdict(verdict) => verdict.word,
            Fate::Trapped(trap) => return Err(format!("packet {i}: {trap}")),
        };
        let bare_outcome = run(&mut bare, i as u64, packet);
        let r0_low = match bare_outcome.fate {
            Fate::Verdict(verdict) => verdict.word,
            Fate::Trapped(trap) => match trap.kind {
                TrapKind::NoAction { result } => result,
                _ => return Err(format!("packet {i}: {trap}")),
            },
        };
        let r0_high = bare.cores[0].gpr(ContextId(0), Bank::A, 1);
        let on_card = Seen {
            r0: u64::from(r0_high) << 32 | u64::from(r0_low),
            action: (word >> 16) as u8,
            packet: card.packet(&outcome.vector),
            maps: case.tables.iter().map(|table| card.memories.user_entries(*table)).collect(),
        };
        let randoms = card.cores[0].take_random_log().into_iter().map(|(_, value)| value).collect();
        let input = RunInput { context: case.context(), packet };
        let end = engine.run(&case.code, input, &mut Replay(randoms), &mut bpf::interp::NoObserver);
        if let Some(fault) = end.fault {
            return Err(format!("packet {i}: interpreter: {fault}"));
        }
        let expected = Seen {
            r0: end.retval,
            action: action(case.ty, end.retval as u32),
            packet: engine.packet().to_vec(),
            maps: (0..case.specs.len())
                .map(|map| engine.map(MapId(map as u32)).expect("it exists").entries())
                .collect(),
        };
        if on_card != expected {
            return Err(format!("packet {i}: {}", difference(&expected, &on_card)));
        }
    }
    Ok(())
}

fn difference(expected: &Seen, on_card: &Seen) -> String {
    let mut text = Vec::new();
    if expected.r0 != on_card.r0 {
        text.push(format!("R0 {:#x}, on the card {:#x}", expected.r0, on_card.r0));
    }
    if expected.action != on_card.action {
        text.push(format!("action {:#x}, on the card {:#x}", expected.action, on_card.action));
    }
    if expected.packet != on_card.packet {
        let at = expected.packet.iter().zip(&on_card.packet).position(|(a, b)| a != b);
        text.push(format!("packets of {} and {} bytes differ at {at:?}", expected.packet.len(), on_card.packet.len()));
    }
    if expected.maps != on_card.maps {
        let mut entries = expected.maps.iter().flatten().zip(on_card.maps.iter().flatten());
        text.push(format!("maps differ: {:x?}", entries.find(|(a, b)| a != b)));
    }
    text.join(", ")
}

#[test]
fn the_words_do_what_the_programs_say() {
    let Some(cases) = cases("the_words_do_what_the_programs_say") else { return };
    let mut failures = Vec::new();
    let (mut run, mut differ, mut skipped) = (0, 0, Vec::new());
    for case in &cases {
        match compare(case) {
            Ok(()) if known(&case.name) => failures.push(format!("{}: agrees, but KNOWN says otherwise", case.name)),
            Ok(()) => run += 1,
            Err(_) if known(&case.name) => differ += 1,
            Err(reason) if reason.starts_with("SKIP") => skipped.push(&case.name),
            Err(reason) => failures.push(format!("{}: {reason}", case.name)),
        }
    }
    eprintln!("{run} programs agree, {differ} differ as known, {} need other helpers: {skipped:?}", skipped.len());
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(run > 650, "the file has 698 translated programs, {run} were run");
}
