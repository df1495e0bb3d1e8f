//! `sim btf dump file FILE [format raw|c]`, in bpftool's words and JSON; and `sim btf layout FILE [NAME...]`, structures
//! with the places of their members, as `pahole` shows them.
//!
//! Types come from `.BTF`, from a file of BTF alone, or from DWARF.

mod json;

use std::io::Write;
use std::path::PathBuf;

use bpf::btf::{Btf, Kind, dump};
use bpf::diag::{At, Diagnostic};
use bpf::object::{TypeSource, types};

use super::Ending;
use crate::files;
use crate::trouble::Trouble;

/// Commands about types.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// JSON.
    #[arg(long, short, global = true)]
    json: bool,
    /// JSON over several lines.
    #[arg(long, short, global = true)]
    pretty: bool,
    /// Where in an object the types are looked for: by default in .BTF, else in DWARF.
    #[arg(long, global = true, value_enum)]
    source: Option<Source>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// All types of a file.
    Dump {
        /// What the types are of: `file`. Those of the running kernel's objects (`id`, `map`, `prog`) are bpftool's to show.
        of: String,
        /// An object, or a file of BTF alone, such as /sys/kernel/btf/vmlinux.
        file: PathBuf,
        /// `format raw`, a list, which is the default; or `format c`, a header.
        format: Vec<String>,
    },
    /// Structures and unions with offset and size of every member, holes and padding.
    Layout {
        /// An object, or a file of BTF alone.
        file: PathBuf,
        /// Their names, or those of typedefs of them; all that have a name if none is given.
        names: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Source {
    Btf,
    Dwarf,
}

pub(super) fn run(args: &Args) -> Result<Ending, Trouble> {
    let (Command::Dump { file, .. } | Command::Layout { file, .. }) = &args.command;
    let as_json = args.json || args.pretty;
    if let Command::Dump { of, .. } = &args.command
        && of != "file"
    {
        return Err(words(of, "file"));
    }
    let source = args.source.map(|source| match source {
        Source::Btf => TypeSource::Btf,
        Source::Dwarf => TypeSource::Dwarf,
    });
    let btf = types(&files::read(file)?, source)?.btf;
    let text = match &args.command {
        Command::Dump { format, .. } => match format.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["format", "raw"] if as_json => json::text(&json::dump(&btf), args.pretty),
            [] | ["format", "raw"] => dump::raw(&btf),
            ["format", "c"] if as_json => {
                return Err(Diagnostic::new("btf-json-c", "a header has no JSON form")
                    .help("leave out -j, or format c")
                    .into());
            }
            ["format", "c"] => dump::c(&btf).map_err(Diagnostic::from)?,
            _ => return Err(words(&format.join(" "), "format raw, or format c")),
        },
        Command::Layout { names, .. } => {
            let found = structures(&btf, names)?;
            if as_json {
                json::text(&json::layouts(&btf, &found), args.pretty)
            } else {
                let texts = found.iter().map(|&id| dump::offsets_text(&btf, id));
                texts.collect::<Result<Vec<_>, _>>().map_err(Diagnostic::from)?.join("\n")
            }
        }
    };
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(Ending::Good)
}

fn words(said: &str, expected: &str) -> Trouble {
    Diagnostic::new("btf-usage", format!("{said:?} is not understood here"))
        .limit(expected, said)
        .help("sim btf dump file FILE [format raw|c]")
        .into()
}

/// The structures and unions of those names, or all that have one.
fn structures(btf: &Btf, names: &[String]) -> Result<Vec<bpf::btf::TypeId>, Diagnostic> {
    let is_one = |id| matches!(btf.get(id).kind, Kind::Struct { .. } | Kind::Union { .. });
    if names.is_empty() {
        let named = btf.iter().map(|(id, _)| id).filter(|&id| is_one(id) && !btf.type_name(id).is_empty());
        return Ok(named.collect());
    }
    let mut found = Vec::new();
    for name in names {
        let of_name = |resolved: bool| {
            let mut ids = btf.iter().map(|(id, _)| id).filter(|&id| btf.type_name(id) == name.as_str());
            ids.find_map(|id| {
                if resolved { btf.resolve(id).filter(|&to| is_one(to)) } else { Some(id).filter(|&id| is_one(id)) }
            })
        };
        found.push(of_name(false).or_else(|| of_name(true)).ok_or_else(|| {
            Diagnostic::new("btf-no-such-type", format!("there is no structure or union {name}"))
                .at(At::Named(name.clone()))
                .help("sim btf dump file FILE lists all types")
        })?);
    }
    Ok(found)
}
