//! `sim prog`, `sim map`, `sim net` and `sim bpffs`: commands on a saved state.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};
use serde_json::Value;

use super::Ending;
use crate::bpftool::{Answer, Session};
use crate::files;
use crate::state;
use crate::trouble::Trouble;

/// Arguments of the nouns that work on a state.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The state; it is made where it is not there.
    #[arg(long, value_name = "FILE", default_value = "bpf-state.json")]
    state: PathBuf,
    /// Processors of a state that is made, each with its values in per-CPU maps.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    processors: u32,
    /// Print JSON.
    #[arg(long, short)]
    json: bool,
    /// Print JSON over several lines.
    #[arg(long, short)]
    pretty: bool,
    /// Show the paths that objects are pinned at.
    #[arg(long, short = 'f')]
    bpffs: bool,
    /// The verb and what it takes, in bpftool's words; `docs/state.md` lists them.
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// What runs a noun's verb.
pub(super) type Noun = fn(&mut Session<'_>, &[String]) -> Result<Answer, Diagnostic>;

pub(super) fn run(args: &Args, noun: Noun) -> Result<Ending, Trouble> {
    let json = args.json || args.pretty;
    match on_state(args, noun, json) {
        Ok(ending) => Ok(ending),
        Err(diagnostic) => {
            if json {
                let said = serde_json::json!({ "error": diagnostic.headline() });
                let _ = writeln!(std::io::stdout().lock(), "{}", shown(&said, args.pretty));
            }
            Err(diagnostic.into())
        }
    }
}

fn shown(json: &Value, pretty: bool) -> String {
    if pretty { format!("{json:#}") } else { json.to_string() }
}

fn on_state(args: &Args, noun: Noun, json: bool) -> Result<Ending, Diagnostic> {
    let mut system = state::read(&args.state)?.unwrap_or_else(|| state::new(args.processors));
    let actor = system.actor();
    let mut session = Session { system: &mut system, actor, json, pins: args.bpffs, read: &read };
    let answer = noun(&mut session, &args.words)?;
    system.exit(actor);
    if answer.changed {
        state::write(&args.state, system)?;
    }
    for (file, bytes) in &answer.files {
        write(file, bytes)?;
    }
    let mut out = std::io::stdout().lock();
    // A closed pipe is no trouble of ours.
    let _ = match json {
        true => writeln!(out, "{}", shown(&answer.json, args.pretty)),
        false => out.write_all(answer.text.as_bytes()),
    };
    Ok(if answer.missing { Ending::Failed } else { Ending::Good })
}

fn read(file: &str) -> Result<Vec<u8>, Diagnostic> {
    if file != "-" {
        return files::read(Path::new(file));
    }
    let mut bytes = Vec::new();
    let all = std::io::stdin().lock().take(files::MAX_FILE).read_to_end(&mut bytes);
    all.map_err(|error| {
        Diagnostic::new("file-unreadable", format!("cannot read: {error}")).at(At::Named("standard input".to_owned()))
    })?;
    Ok(bytes)
}

fn write(file: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
    let written = match file {
        "-" => std::io::stdout().lock().write_all(bytes),
        _ => std::fs::write(file, bytes),
    };
    written.map_err(|error| {
        Diagnostic::new("file-unwritable", format!("cannot write the file: {error}")).at(At::Named(file.to_owned()))
    })
}
