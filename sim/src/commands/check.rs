//! `sim check OBJ|DIR`.

use std::io::Write;
use std::path::{Path, PathBuf};

use bpf::diag::At;
use nic_model::profile;

use super::Ending;
use crate::check::{self, Card, Report};
use crate::files;
use crate::progress::Progress;
use crate::trouble::Trouble;

/// Arguments of `sim check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An object file, or a directory whose `*.o` files, also in directories below it, are objects.
    #[arg(value_name = "OBJ|DIR")]
    path: PathBuf,
    /// The card: the name of a built-in one, or a file that ends in `.yaml`.
    #[arg(long, value_name = "NAME", default_value = profile::NAMES[0])]
    nic: String,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Print the verifier's log of each program, in Linux's form, instead of tables: 1 the path that is refused, 2 every
    /// path; 4, which may be added, the stack that functions use.
    #[arg(long, value_name = "LEVEL", conflicts_with = "json", value_parser = clap::value_parser!(u8).range(1..=7))]
    log: Option<u8>,
    /// No progress on standard error.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<Ending, Trouble> {
    if let Some(level) = args.log {
        return logs(&args.path, level);
    }
    let card = card(&args.nic)?;
    let others = profile::NAMES.into_iter().filter(|name| *name != card.name);
    let others = others.map(self::card).collect::<Result<Vec<_>, _>>()?;
    let paths = check::walk(&args.path)?;
    let progress = Progress::of_objects(paths.len(), args.quiet);
    let objects = paths.iter().map(|path| {
        let object = check::judge(path, &card, &others);
        progress.advance(1);
        object
    });
    let report = Report::new(&card, objects.collect());
    progress.finish();
    let text = if args.json { report.to_json() } else { check::render(&report) };
    // A closed pipe is no trouble of ours.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let summary = &report.summary;
    Ok(match summary.unreadable {
        0 if summary.offloadable == summary.programs => Ending::Good,
        0 => Ending::Failed,
        _ => Ending::BadInput,
    })
}

fn logs(path: &Path, level: u8) -> Result<Ending, Trouble> {
    let mut ending = Ending::Good;
    for path in check::walk(path)? {
        match check::logs(&path, level) {
            // A closed pipe is no trouble of ours.
            Ok(text) => drop(std::io::stdout().lock().write_all(text.as_bytes())),
            Err(why) => {
                let named = why.at.is_some();
                let why = if named { why } else { why.at(At::Named(path.display().to_string())) };
                eprint!("error: {why}");
                ending = Ending::BadInput;
            }
        }
    }
    Ok(ending)
}

fn card(name: &str) -> Result<Card, Trouble> {
    let is_file = name.ends_with(".yaml") || name.ends_with(".yml");
    let profile = match is_file {
        true => profile::parse(name, &files::read_text(Path::new(name))?)?,
        false => profile::builtin(name)?,
    };
    Ok(Card { name: if is_file { profile.name.clone() } else { name.to_owned() }, profile })
}
