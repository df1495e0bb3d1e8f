//! What is answered to a case, and whether it is what the case expects.

use bpf::engines::{Packet, Runner};
use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Privileges, Verdict, VerifiedProgram, verify_logged};
use serde_json::{Map, Value, json};

use super::case::{Case, Expect, RunCase};
use super::context::{self, ETH_HLEN};
use super::json::to_hex;

const EINVAL: u16 = 22;
/// `BPF_F_STRICT_ALIGNMENT`.
const STRICT_ALIGNMENT: u32 = 1;

/// Whether an answer is the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    Passed,
    Failed(String),
    /// The case expects nothing, or the program is one that this project does not know.
    Skipped,
}

/// The answer to a case: verified, and run if accepted.
pub fn answer(case: &Case, engine: &mut dyn Runner, log_level: u8) -> Map<String, Value> {
    let (mut out, verified) = verify(case, log_level, &Options::default());
    if let Some(verified) = verified {
        match run(case, verified.xlated(), engine) {
            Ok((runs, maps)) => {
                out.insert("runs".to_owned(), runs);
                out.insert("maps".to_owned(), maps);
            }
            Err(why) => {
                out.insert("error".to_owned(), json!(why));
            }
        }
    }
    out
}

/// What is answered of a case's verification, and the program if it is accepted. What the case says of the load goes
/// before what `options` say.
pub fn verify(case: &Case, log_level: u8, options: &Options) -> (Map<String, Value>, Option<VerifiedProgram>) {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(case.name));
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    let program = match &case.program {
        Err(refused) => {
            put("verdict", json!("REJECT"));
            put("errno", json!(refused.errno));
            put("errline", json!(refused.line));
            return (out, None);
        }
        Ok(program) => program.clone(),
    };
    let privileges = if case.unprivileged { Privileges::NONE } else { Privileges::ALL };
    let strict_alignment = case.flags & STRICT_ALIGNMENT != 0;
    let options = Options { strict_alignment, privileges, log_level, ..options.clone() };
    if let Some((line, log)) = malformed(case, &program, &options) {
        if log_level > 0 {
            put("log", json!(log));
        }
        put("verdict", json!("REJECT"));
        put("errno", json!(EINVAL));
        put("errline", json!(line));
        return (out, None);
    }
    let (verdict, log) = verify_logged(program, &options);
    if log_level > 0 {
        put("log", json!(log));
    }
    match verdict {
        Verdict::Rejected(rejection) => {
            put("verdict", json!("REJECT"));
            put("errno", json!(rejection.errno.0));
            put("errline", json!(rejection.reason()));
            put("processed", json!(rejection.statistics.processed));
        }
        Verdict::Unsupported(diagnostic) => {
            put("verdict", json!("UNSUPPORTED"));
            put("errline", json!(diagnostic.headline()));
        }
        Verdict::Accepted(verified) => {
            put("verdict", json!("ACCEPT"));
            put("errno", json!(0));
            put("processed", json!(verified.explored().processed()));
            return (out, Some(verified));
        }
    }
    (out, None)
}

/// What Linux says of the first malformed instruction that a path comes to, and the log up to it. The program has another
/// instruction there, and nothing behind it was walked before.
fn malformed(case: &Case, program: &Program, options: &Options) -> Option<(String, String)> {
    if case.malformed.is_empty() {
        return None;
    }
    let (_, log) = verify_logged(program.clone(), &Options { log_level: 2, ..options.clone() });
    let mut end = 0;
    for line in log.split_inclusive('\n') {
        let slot = line.split_once(": (").and_then(|(slot, _)| slot.parse::<usize>().ok());
        if let Some(said) = slot.and_then(|slot| case.malformed.get(&slot)) {
            return Some((said.clone(), format!("{}{said}\n", &log[..end])));
        }
        end += line.len();
    }
    None
}

fn run(case: &Case, main: &Program, engine: &mut dyn Runner) -> Result<(Value, Value), String> {
    let set = case.set(main.clone());
    engine.load(&set)?;
    let runs: Vec<Value> = case.runs.iter().map(|run| run_once(main.ty, run, engine)).collect();
    let contents = |(at, spec): (usize, &bpf::program::MapSpec)| {
        let entries = engine.contents(at)?;
        let entries: Vec<Value> =
            entries.iter().map(|(key, value)| json!({"key": to_hex(key), "value": to_hex(value)})).collect();
        Some(json!({"name": spec.name, "entries": entries}))
    };
    let maps: Vec<Value> = set.maps().iter().enumerate().filter_map(contents).collect();
    Ok((Value::Array(runs), Value::Array(maps)))
}

fn run_once(ty: ProgType, run: &RunCase, engine: &mut dyn Runner) -> Value {
    if run.data.len() < ETH_HLEN {
        return json!({"fault": "EINVAL: the packet is shorter than an Ethernet header"});
    }
    let context = context::of(ty, &run.data, run.context.as_deref());
    let seen = engine.run(&Packet { context, bytes: &run.data });
    // A test run hands back what it pulled as zeros.
    let pulled = if ty == ProgType::SocketFilter { ETH_HLEN } else { 0 };
    let packet = [vec![0; pulled], seen.packet].concat();
    let mut out = json!({"retval": seen.r0 as u32, "data_out": to_hex(&packet)});
    if let Some(retired) = seen.retired {
        out["insns"] = json!(retired);
    }
    if let Some(fault) = seen.fault {
        out["fault"] = json!(fault);
    }
    out
}

/// Holds an answer against what the case expects.
pub fn judge(expect: Option<&Expect>, answer: &Map<String, Value>) -> Judged {
    let Some(expect) = expect else { return Judged::Skipped };
    let verdict = answer.get("verdict").and_then(Value::as_str).unwrap_or_default();
    if verdict == "UNSUPPORTED" {
        return Judged::Skipped;
    }
    let fail = |what: &str, wanted: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug| {
        Judged::Failed(format!("{what}: expected {wanted:?}, not {got:?}"))
    };
    if let Some(wanted) = &expect.verdict
        && wanted != verdict
    {
        let line = answer.get("errline").and_then(Value::as_str).unwrap_or_default();
        return fail("verdict", wanted, &format!("{verdict} {line}"));
    }
    let errno = answer.get("errno").and_then(Value::as_u64);
    if let Some(wanted) = expect.errno
        && Some(wanted) != errno
    {
        return fail("errno", &wanted, &errno);
    }
    let line = answer.get("errline").and_then(Value::as_str).unwrap_or_default();
    if let Some(wanted) = &expect.errline
        && verdict == "REJECT"
        && !(line.contains(wanted.as_str()) || wanted.ends_with(line) && !line.is_empty())
    {
        return fail("errline", wanted, &line);
    }
    if let Some(wanted) = &expect.retvals
        && verdict == "ACCEPT"
    {
        let runs = answer.get("runs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let got: Vec<u64> = runs.iter().filter_map(|run| run.get("retval")?.as_u64()).collect();
        if *wanted != got {
            return fail("retvals", wanted, &got);
        }
    }
    Judged::Passed
}
