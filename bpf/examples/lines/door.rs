//! Lines in, answers out: what every door for cases does around its own answers.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::answer::Judged;
use super::case::{self, Case};

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Answers every line of a file, `-` for standard input, and says how the process ends: with 1 if a case is answered
/// otherwise than it expects, with 2 if the file cannot be read. `answer` gets the case and the whole line.
pub fn answer_all(file: &str, mut answer: impl FnMut(&Case, &Value) -> Answered) -> ExitCode {
    match all(file, &mut answer) {
        Ok(tally) => {
            eprintln!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
            if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => refused(&why),
    }
}

/// The end of a process whose command line or file is of no use.
pub fn refused(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

/// An answer and whether it is the expected one; or why the line is malformed.
pub type Answered = Result<(Map<String, Value>, Judged), String>;

fn all(file: &str, answer: &mut impl FnMut(&Case, &Value) -> Answered) -> Result<Tally, String> {
    let reader: Box<dyn BufRead> = match file {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        path => Box::new(BufReader::new(std::fs::File::open(path).map_err(|e| format!("{path}: {e}"))?)),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut tally = Tally::default();
    for line in reader.split(b'\n') {
        let line = line.map_err(|e| format!("{file}: {e}"))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (answer, judged) = one(&line, answer);
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
fn one(line: &[u8], answer: &mut impl FnMut(&Case, &Value) -> Answered) -> (Map<String, Value>, Judged) {
    let mut name = Value::Null;
    let answered = serde_json::from_slice::<Value>(line).map_err(|e| format!("JSON: {e}")).and_then(|line| {
        name = line.get("name").cloned().unwrap_or_default();
        let case = case::parse(&line)?;
        catch_unwind(AssertUnwindSafe(|| answer(&case, &line)))
            .unwrap_or_else(|_| Err("a mistake of ours: this case ended in a panic".to_owned()))
    });
    answered.unwrap_or_else(|why| {
        let mut answer = Map::new();
        answer.insert("name".to_owned(), name);
        answer.insert("error".to_owned(), json!(why));
        (answer, Judged::Failed(why))
    })
}
