//! Word for word against what the Linux nfp driver emitted.
//!
//! `reference/nfp-driver-words.jsonl` in the directory that `SHARED_DIR` names has small programs, one form each, with the
//! words of the driver's translator before relocation and parity, or the reason of its refusal. The test is skipped, by
//! name, where the variable is not set.

use crate::common;

use std::fmt::Write as _;

use bpf::facts::Facts;
use bpf::insn::Insn;
use bpf::verifier::{self, Options, Verdict};
use common::Case;
use nic_model::isa;
use nic_model::profile::Capabilities;
use offload_jit::{Fault, Image, Mode, Note, compile_for_tables};

/// Programs whose words all agree. May only rise.
const SAME_WORDS: usize = 698;
/// Programs that both refuse. May only rise.
const SAME_REFUSALS: usize = 33;
/// What the names of programs begin with that do something else on the card; the core's tests see them do so.
const FAULTY: [&str; 10] = [
    "add64_ri_-2147483648",
    "sub64_ri_-2147483648",
    "jlt64_ri_-2147483648",
    "jslt64_ri_-2147483648",
    "jslt32_ri_-2147483648",
    "lsh64_rr_",
    "div64_ri_1",
    "memcpy_",
    "adjust_head_",
    "adjust_tail_",
];
/// How many differences are printed.
const SHOWN: usize = 5;

/// What came of one program.
enum Outcome {
    Translated(Box<Image>),
    Refused(String),
    Unsupported(String),
}

fn translate(case: &Case, card: &Capabilities) -> Outcome {
    // The driver ran in Linux 6.12, whose verifier does not yet know that a constant key finds its array's entry.
    let options = Options { device_bound: true, constant_array_keys: false, ..Options::default() };
    match verifier::verify(case.program(), &options) {
        Verdict::Accepted(program) => {
            match compile_for_tables(&program, &Facts::of(&program), card, Mode::Driver, &case.table_ids) {
                Ok(image) => Outcome::Translated(Box::new(image)),
                Err(refusals) => Outcome::Refused(refusals[0].diagnostic.headline()),
            }
        }
        Verdict::Rejected(rejection) => Outcome::Refused(rejection.reason().to_owned()),
        Verdict::Unsupported(diagnostic) => Outcome::Unsupported(diagnostic.headline()),
    }
}

fn text(word: u64) -> String {
    isa::decode(word & isa::PAYLOAD).map_or_else(|error| error.to_string(), |op| op.to_string())
}

/// The first word that differs, with a few around it.
fn difference(image: &Image, expected: &[u64]) -> Option<String> {
    let actual = image.tagged_words();
    let at = (0..actual.len().max(expected.len())).find(|&at| actual.get(at) != expected.get(at))?;
    let mut report = format!("{} words, the driver {}; slot {:?}\n", actual.len(), expected.len(), image.slot_of(at));
    for at in at.saturating_sub(2)..at + 4 {
        let show = |words: &[u64]| words.get(at).map_or_else(String::new, |w| format!("{w:016x} {}", text(*w)));
        let _ = writeln!(report, "{at:>5} driver {}\n      here   {}", show(expected), show(&actual));
    }
    let _ = write!(report, "{}", image.listing());
    Some(report)
}

/// Slots whose first word is another than the driver's.
fn misplaced(case: &Case, image: &Image) -> Vec<usize> {
    let origins: Vec<_> = (0..image.words().len()).map(|word| image.slot_of(word)).collect();
    let starts = &case.first_word_of_insn;
    let ends = starts.iter().skip(1).map(|(_, word)| Some(*word)).chain([None]);
    let mut wrong = Vec::new();
    for ((slot, start), end) in starts.iter().zip(ends) {
        // The driver emits a wide load at its second slot, we name the first.
        let own = if image.program().insns[*slot] == Insn::Pad { slot - 1 } else { *slot };
        let end = end.unwrap_or(*start);
        if origins[*start..end].iter().any(|origin| *origin != Some(own)) {
            wrong.push(*slot);
        }
    }
    wrong
}

#[test]
fn words_are_those_of_the_linux_driver() {
    let Some(cases) = common::shared_cases("words_are_those_of_the_linux_driver") else { return };
    let card = common::generous_card();
    let (mut same, mut refused, mut reports) = (0, 0, Vec::new());
    for case in &cases {
        match (translate(case, &card), &case.refused) {
            (Outcome::Refused(_), Some(_)) => refused += 1,
            (Outcome::Refused(reason), None) => reports.push(format!("{}: refused: {reason}", case.name)),
            (Outcome::Unsupported(reason), _) => reports.push(format!("{}: not verified: {reason}", case.name)),
            (Outcome::Translated(_), Some(reason)) => {
                reports.push(format!("{}: translated; the driver refused: {reason}", case.name));
            }
            (Outcome::Translated(image), None) => match difference(&image, &case.words()) {
                Some(report) => reports.push(format!("{}: {report}", case.name)),
                None => {
                    same += 1;
                    let faulty = FAULTY.iter().any(|name| case.name.starts_with(name));
                    let doubts = |note: &Note| matches!(note.fault, Fault::UnseenRange { .. });
                    assert!(image.notes().iter().all(doubts) || faulty, "{}: {:?}", case.name, image.notes());
                    assert_eq!(
                        misplaced(case, &image),
                        [0; 0],
                        "{}: words of other slots\n{}",
                        case.name,
                        image.listing()
                    );
                }
            },
        }
    }
    println!("{} programs: {same} with the driver's words, {refused} refused by both", cases.len());
    for report in reports.iter().take(SHOWN) {
        println!("{report}");
    }
    println!("{} differ", reports.len());
    assert!(same >= SAME_WORDS, "{same} programs have the driver's words, once {SAME_WORDS} had");
    assert!(refused >= SAME_REFUSALS, "{refused} programs are refused by both, once {SAME_REFUSALS} were");
}
