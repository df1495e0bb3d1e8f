//! Words of the card: decoded, listed, assembled, executed.

use std::sync::LazyLock;

use crate::bench::{Bench, core_config};
use nic_model::core::CoreCosts;
use nic_model::firmware::Firmware;
use nic_model::isa::{PAYLOAD, assemble, assemble_line, check_ecc, decode, disassemble, encode, with_ecc};
use nic_model::memory::EngineTiming;
use nic_model::profile;

/// Instructions that a run may take.
const BUDGET: u64 = 4_000;
/// Words of a program that is run.
const LONGEST: usize = 512;

static FIRMWARE: LazyLock<Firmware> = LazyLock::new(|| {
    let routines = profile::builtin("agilio-cx-2x40").expect("it comes with the project").firmware;
    Firmware {
        receive: routines.receive.value,
        plain: routines.plain.value,
        pass: routines.pass.value,
        drop: routines.drop.value,
        tx: routines.tx.value,
        transmit: routines.transmit.value,
        map: routines.map.value,
    }
});

/// What decodes encodes to the same word; a listing is assembled to the words it was made of; and a core that runs them
/// comes to an end.
pub fn words(data: &[u8]) {
    let words: Vec<u64> = data.chunks(8).map(word).collect();
    let payloads: Vec<u64> = words.iter().map(|word| check_ecc(*word).unwrap_or(*word)).collect();
    for word in payloads.iter().map(|word| word & PAYLOAD) {
        if let Ok(op) = decode(word) {
            assert_eq!(encode(&op), Ok(word), "{op}");
        }
    }
    let text = disassemble(&words).to_string();
    assert_eq!(assemble(&text, "listing").unwrap_or_else(|e| panic!("{text}{e}")), payloads);
    run(&words);
}

/// A word, its missing bytes zeros.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn run(words: &[u64]) {
    // Four contexts that run the same, each on a packet of its own.
    let mut config = core_config(0, CoreCosts::UNIT);
    config.budget = BUDGET;
    let (mut bench, _) = Bench::new(config, EngineTiming::NONE, FIRMWARE.clone(), &[]).expect("a core of the tests");
    let program: Vec<u64> = words.iter().take(LONGEST).map(|word| with_ecc(word & PAYLOAD)).collect();
    bench.load(&program).expect("it is short");
    for context in 0..config.contexts {
        let vector = bench.put_packet(8 * (1 + u32::from(context)), &[context; 64]);
        bench.begin(0, context, context.into(), vector);
    }
    bench.run();
    assert!(bench.finished.len() <= usize::from(config.contexts));
}

/// Any text is assembled, or told where it is wrong; what is assembled is listed as the same.
pub fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words = match assemble(&text, "text") {
        Ok(words) => words,
        Err(diagnostic) => return drop(diagnostic.to_string()),
    };
    for op in words.iter().filter_map(|word| decode(*word & PAYLOAD).ok()) {
        let again = assemble_line(&op.to_string()).unwrap_or_else(|e| panic!("{op}: {e}"));
        assert_eq!(again.to_string(), op.to_string());
    }
}
