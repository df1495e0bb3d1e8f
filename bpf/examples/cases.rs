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

use std::process::ExitCode;

use bpf::engines::Interpreter;
use bpf::env::FixedEnv;
use bpf::interp::EngineConfig;
use lines::answer::{answer, judge};
use lines::door::{answer_all, refused};

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

fn main() -> ExitCode {
    let args = match arguments() {
        Ok(args) => args,
        Err(why) => return refused(&why),
    };
    // Each case gets machines of its own, so that none sees what another left.
    let config = EngineConfig { strict: true, ..EngineConfig::default() };
    let mut engine = Interpreter::new(config, FixedEnv::default());
    answer_all(&args.file, |case, _| {
        let answer = answer(case, &mut engine, args.log_level);
        let judged = judge(case.expect.as_ref(), &answer);
        Ok((answer, judged))
    })
}
