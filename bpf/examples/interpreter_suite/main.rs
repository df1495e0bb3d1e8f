//! The test tables of Linux's interpreter and translators, here.
//!
//! ```text
//! cargo run --release -p bpf --example interpreter_suite -- [DIRECTORY|ARCHIVE] [NAME]
//! ```
//!
//! Reads `lib/test_bpf.c` of Debian's package `linux-source-6.1` (or another tree), as data: initialisers are parsed, and
//! the functions that fill in long programs are walked through; nothing is compiled. Each classic filter is checked and
//! converted, each extended program is run as it stands, unverified, on each of its packets. An entry passes when it
//! returns what the table says, every time. `NAME` picks entries whose name contains it, and lists what they ran.

mod entries;
#[path = "../linux/mod.rs"]
mod linux;
mod run;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use linux::c::{Definitions, Machine};
use linux::tree::{self, Tree};
use run::Outcome;

/// What macros, enumerations, structures and functions are taken from.
const HEADERS: [&str; 8] = [
    "include/uapi/linux/bpf_common.h",
    "include/uapi/linux/filter.h",
    "include/uapi/linux/bpf.h",
    "include/linux/bpf.h",
    "include/linux/filter.h",
    "include/linux/prandom.h",
    "include/uapi/linux/if_ether.h",
    "lib/random32.c",
];
const TABLE: &str = "lib/test_bpf.c";

fn definitions(tree: &Path) -> Result<Definitions, String> {
    let mut definitions = Definitions::default();
    for name in HEADERS.iter().chain([&TABLE]) {
        let path = tree.join(name);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let text = definitions.preprocess(&text);
        definitions.declarations(&text);
        if name.ends_with(".c") || name.ends_with("prandom.h") {
            definitions.outline(&text);
        }
    }
    Ok(definitions)
}

/// How the entries of one table ended.
#[derive(Default)]
struct Tally {
    passed: u32,
    runs: u32,
    skipped: BTreeMap<String, Vec<String>>,
    failed: u32,
}

impl Tally {
    fn take(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Equal(runs) => {
                self.passed += 1;
                self.runs += runs;
            }
            Outcome::Skipped(why) => self.skipped.entry(why).or_default().push(name.to_owned()),
            Outcome::Differs(how) => {
                self.failed += 1;
                println!("FAILED {name}: {how}");
            }
        }
    }

    fn close(&self, table: &str) {
        for (why, names) in &self.skipped {
            println!("SKIPPED {}: {why}: {}", names.len(), names.join(", "));
        }
        let skipped: usize = self.skipped.values().map(Vec::len).sum();
        println!(
            "{table}: {} of {} entries equal in {} runs, {skipped} skipped, {} failed",
            self.passed,
            self.passed as usize + skipped + self.failed as usize,
            self.runs,
            self.failed
        );
    }
}

fn suite() -> Result<bool, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given = args.first().map_or(tree::ARCHIVE, String::as_str);
    let wanted = args.get(1);
    let tree = Tree::open(Path::new(given), &[&HEADERS[..], &[TABLE]].concat())?;
    let definitions = definitions(tree.path())?;
    let mut machine = Machine::new(&definitions);
    let mut plain = Tally::default();
    for (at, entry) in entries::plain(&definitions).into_iter().enumerate() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(why) => {
                plain.take(&format!("number {at}"), Outcome::Differs(format!("cannot be read: {why}")));
                continue;
            }
        };
        if wanted.is_some_and(|wanted| !entry.name.contains(wanted.as_str())) {
            continue;
        }
        plain.take(&entry.name, run::plain(&entry, &definitions, &mut machine, wanted.is_some()));
    }
    plain.close("tests");
    let mut linked = Tally::default();
    let entries = entries::linked(&definitions)?;
    for (at, entry) in entries.iter().enumerate() {
        if wanted.is_none_or(|wanted| entry.name.contains(wanted.as_str())) {
            linked.take(&entry.name, run::linked(&entries, at));
        }
    }
    linked.close("tail_call_tests");
    Ok(plain.failed + linked.failed == 0)
}

fn main() -> ExitCode {
    match suite() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
