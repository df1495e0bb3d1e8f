//! Verifies programs that come as JSON lines, and runs those that are accepted: one answer a line, in the same order, and
//! on standard error one line of summary.
//!
//! ```text
//! cases FILE [--engine interp] [--log 0|1|2]
//! ```
//!
//! FILE may be `-` for standard input. A line that is malformed is answered with `error`. Exit code 1 if a case is
//! answered otherwise than it expects, 2 for a wrong command line or a file that cannot be read.

mod lines;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use bpf::engines::{Interpreter, Runner};
use bpf::env::FixedEnv;
use bpf::interp::EngineConfig;
use lines::answer::{Judged, answer, judge};
use lines::case;
use serde_json::{Map, Value, json};

struct Args {
    file: String,
    log_level: u8,
}

fn arguments() -> Result<Args, String> {
    let (mut file, mut log_level) = (None, 0);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--engine" => match args.next().as_deref() {
                Some("interp") => {}
                other => return Err(format!("--engine: interp, not {}", other.unwrap_or("nothing"))),
            },
            "--log" => match args.next().and_then(|level| level.parse().ok()) {
                Some(level @ 0..=2) => log_level = level,
                _ => return Err("--log: 0, 1 or 2".to_owned()),
            },
            option if option.starts_with("--") => return Err(format!("there is no option {option}")),
            path => file = Some(path.to_owned()),
        }
    }
    Ok(Args { file: file.ok_or("usage: cases FILE [--engine interp] [--log 0|1|2]")?, log_level })
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

fn main() -> ExitCode {
    let answered = arguments().and_then(|args| all(&args));
    match answered {
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
    // Each case gets machines of its own, so that none sees what another left.
    let config = EngineConfig { strict: true, ..EngineConfig::default() };
    let mut engine = Interpreter::new(config, FixedEnv::default());
    let mut tally = Tally::default();
    for line in reader.split(b'\n') {
        let line = line.map_err(|e| format!("{}: {e}", args.file))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (answer, judged) = one(&line, &mut engine, args.log_level);
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
fn one(line: &[u8], engine: &mut dyn Runner, log_level: u8) -> (Map<String, Value>, Judged) {
    let mut name = Value::Null;
    let answered = serde_json::from_slice::<Value>(line).map_err(|e| format!("JSON: {e}")).and_then(|line| {
        name = line.get("name").cloned().unwrap_or_default();
        let case = case::parse(&line)?;
        let done = catch_unwind(AssertUnwindSafe(|| {
            let answer = answer(&case, engine, log_level);
            let judged = judge(case.expect.as_ref(), &answer);
            (answer, judged)
        }));
        done.map_err(|_| "a mistake of ours: this case ended in a panic".to_owned())
    });
    answered.unwrap_or_else(|why| {
        let mut answer = Map::new();
        answer.insert("name".to_owned(), name);
        answer.insert("error".to_owned(), json!(why));
        (answer, Judged::Failed(why))
    })
}
