//! Verifies programs that come as JSON lines, asks whether a card takes them, and runs those that it takes on a core of
//! the card, one packet in flight: one answer a line, in the same order, and on standard error one line of summary.
//!
//! ```text
//! cases FILE --card NAME|FILE [--mode driver|best] [--log 0|1|2]
//! ```
//!
//! FILE may be `-` for standard input. The mode is the card's own if none is named. A line that is malformed is answered
//! with `error`. Of a run, `insns` are instructions of the card, `cycles` those of the core's clock from the packet's arrival
//! at the context to its end; both count the firmware around the program. Exit code 1 if a case is answered otherwise than
//! it expects, other words than its own included; 2 for a wrong command line or a file that cannot be read.

#[path = "../../../bpf/examples/lines/mod.rs"]
mod lines;

mod answer;
mod bench;
mod loaded;

use std::process::ExitCode;

use answer::{Recorded, Setting, answer};
use lines::door::{answer_all, refused};
use nic_model::profile::{self, CardProfile};
use offload_jit::Mode;

const USAGE: &str = "usage: cases FILE --card NAME|FILE [--mode driver|best] [--log 0|1|2]";

struct Args {
    file: String,
    setting: Setting,
}

fn arguments() -> Result<Args, String> {
    let (mut file, mut card, mut mode, mut log_level) = (None, None, None, 0);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--card" => card = Some(read_card(&args.next().ok_or("--card: a card's name, or a file")?)?),
            "--mode" => {
                let name = args.next().unwrap_or_default();
                let known = Mode::ALL.into_iter().find(|mode| mode.id() == name);
                mode = Some(known.ok_or_else(|| format!("--mode: driver or best, not {name:?}"))?);
            }
            "--log" => match args.next().and_then(|level| level.parse().ok()) {
                Some(level @ 0..=2) => log_level = level,
                _ => return Err("--log: 0, 1 or 2".to_owned()),
            },
            option if option.starts_with("--") => return Err(format!("there is no option {option}\n{USAGE}")),
            path if file.is_none() => file = Some(path.to_owned()),
            more => return Err(format!("one file, not {more:?} too\n{USAGE}")),
        }
    }
    let card = card.ok_or(USAGE)?;
    let mode = mode.unwrap_or(Mode::of(&card.capabilities));
    Ok(Args { file: file.ok_or(USAGE)?, setting: Setting { card, mode, log_level } })
}

/// A card that comes with the project, or one of a file.
fn read_card(name: &str) -> Result<CardProfile, String> {
    if profile::builtin_text(name).is_err() && std::path::Path::new(name).exists() {
        let text = std::fs::read_to_string(name).map_err(|e| format!("{name}: {e}"))?;
        return profile::parse(name, &text).map_err(|d| d.to_string());
    }
    profile::builtin(name).map_err(|d| d.to_string())
}

fn main() -> ExitCode {
    let args = match arguments() {
        Ok(args) => args,
        Err(why) => return refused(&why),
    };
    answer_all(&args.file, |case, line| Ok(answer(case, &Recorded::parse(line)?, &args.setting)))
}
