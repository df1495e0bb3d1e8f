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

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use answer::{Setting, answer};
use lines::answer::Judged;
use nic_model::profile::{self, CardProfile};
use offload_jit::Mode;
use serde_json::{Map, Value, json};

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

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

fn main() -> ExitCode {
    match arguments().and_then(|args| all(&args)) {
        Ok(tally) => {
            eprintln!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
            if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn all(args: &Args) -> Result<Tally, String> {
    let reader: Box<dyn BufRead> = match args.file.as_str() {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        path => Box::new(BufReader::new(std::fs::File::open(path).map_err(|e| format!("{path}: {e}"))?)),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut tally = Tally::default();
    for line in reader.split(b'\n') {
        let line = line.map_err(|e| format!("{}: {e}", args.file))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (answer, judged) = one(&line, &args.setting);
        match judged {
            Judged::Passed => tally.passed += 1,
            Judged::Skipped => tally.skipped += 1,
            Judged::Failed(why) => {
                tally.failed += 1;
                eprintln!("{}: {why}", answer.get("name").and_then(Value::as_str).unwrap_or_default());
            }
        }
        writeln!(out, "{}", Value::Object(answer)).map_err(|e| format!("standard output: {e}"))?;
    }
    out.flush().map_err(|e| format!("standard output: {e}"))?;
    Ok(tally)
}

/// A case of somebody else's must not end those behind it, not even by a mistake of ours.
fn one(line: &[u8], setting: &Setting) -> (Map<String, Value>, Judged) {
    let mut name = Value::Null;
    let answered = serde_json::from_slice::<Value>(line).map_err(|e| format!("JSON: {e}")).and_then(|line| {
        name = line.get("name").cloned().unwrap_or_default();
        let case = lines::case::parse(&line)?;
        let recorded = answer::Recorded::parse(&line)?;
        let done = catch_unwind(AssertUnwindSafe(|| answer(&case, &recorded, setting)));
        done.map_err(|_| "a mistake of ours: this case ended in a panic".to_owned())
    });
    answered.unwrap_or_else(|why| {
        let mut answer = Map::new();
        answer.insert("name".to_owned(), name);
        answer.insert("error".to_owned(), json!(why));
        (answer, Judged::Failed(why))
    })
}
