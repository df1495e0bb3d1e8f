//! The public suite of Linux's verifier, here and on the running kernel.
//!
//! ```text
//! cargo run --release -p bpf --example verifier_suite -- [--list] [DIRECTORY|ARCHIVE] [NAME]
//! ```
//!
//! Reads the tables of `tools/testing/selftests/bpf/verifier` in Debian's package `linux-source-6.1` (or another tree), as
//! data: the C initialisers are parsed, nothing of them is compiled. Each entry is verified here and loaded on the running
//! kernel, socket filters also as somebody without any capability. An entry passes when the verdicts agree, and if its
//! program, where it is accepted and there is what it needs, keeps to its facts on random packets. `NAME` picks entries
//! whose name contains it, and shows both logs.

#[path = "../../tests/support/capabilities.rs"]
mod capabilities;
mod entries;
mod generated;
#[path = "../../tests/support/inside.rs"]
mod inside;
#[path = "../../tests/support/kernel.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod kernel;
#[path = "../linux/mod.rs"]
mod linux;
mod maps;
#[path = "../../tests/support/rng.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod rng;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bpf::insn::{RawInsn, decode};
use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Privileges, Verdict, verify_logged};
use entries::Entry;
use inside::Strayed;
use kernel::{Kernel, KernelMap, LoadRequest};
use linux::c::Definitions;
use linux::tree::{self, Tree};
use rng::Rng;

/// Flags of the tables (`F_*`).
const NEEDS_UNALIGNED: u32 = 1;
const STRICT_ALIGNMENT: u32 = 2;

const EAGAIN: i32 = 11;
/// How often a program is loaded that the kernel puts off, as libbpf does.
const ATTEMPTS: u32 = 5;

/// Headers whose macros, enumerations and structures the tables use.
const HEADERS: [&str; 4] = [
    "include/uapi/linux/bpf_common.h",
    "include/uapi/linux/bpf.h",
    "tools/include/linux/filter.h",
    "tools/testing/selftests/bpf/test_verifier.c",
];
const TABLES: &str = "tools/testing/selftests/bpf/verifier";

/// How an entry ended.
enum Outcome {
    Passed,
    Skipped(String),
    /// Ours, the kernel's.
    Failed(String, String),
}

#[derive(Default)]
struct Tally {
    passed: u32,
    skipped: BTreeMap<String, u32>,
    failed: Vec<(String, String, String)>,
    /// Rejected by both: first lines that agree, and those that do not.
    worded: u32,
    otherwise: Vec<(String, String, String)>,
    unsupported: BTreeMap<String, u32>,
    /// Accepted by both: programs that were run and kept to their facts, their steps, and why others were not run.
    ran: u32,
    steps: u64,
    not_run: BTreeMap<String, u32>,
}

fn read(tree: &Path) -> Result<Vec<Entry>, String> {
    let file = |path: PathBuf| std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()));
    let mut definitions = Definitions::default();
    for header in HEADERS {
        let text = definitions.preprocess(&file(tree.join(header))?);
        definitions.declarations(&text);
    }
    let mut tables: Vec<PathBuf> = std::fs::read_dir(tree.join(TABLES))
        .map_err(|e| format!("{TABLES}: {e}"))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect();
    tables.sort();
    let mut out = Vec::new();
    for table in tables {
        let name = table.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        out.extend(entries::entries(&mut definitions, &name, &file(table)?));
    }
    Ok(out)
}

/// The sentence of a log that says why, without the instructions and states around it.
fn first_line(log: &str) -> String {
    let is_walk = |line: &&str| {
        let line = &line.trim_start();
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let row = |rest: &str| rest.get(2..12).is_some_and(|r| r.chars().all(|c| c.is_ascii_digit() || c == '.'));
        let state =
            rest.len() < line.len() && (rest.starts_with(": (") || rest.starts_with(": R") || rest == ":" || row(rest));
        let extra = [
            "from ",
            "processed ",
            "mark_precise",
            "cur state",
            "old state",
            "func#",
            "Live regs",
            "frame",
            "caller",
            "callee",
            "; ",
        ];
        !line.is_empty() && !state && !extra.iter().any(|e| line.starts_with(e))
    };
    log.lines().find(is_walk).unwrap_or_default().to_owned()
}

/// The sentence that our log says why with.
fn ours_first(log: &str, lines: &[String]) -> String {
    let first = lines.first().map_or("", String::as_str);
    if first.is_empty() { first_line(log) } else { first.to_owned() }
}

struct Suite {
    kernel: Kernel,
    types: maps::Types,
    types_fd: kernel::KernelBtf,
}

impl Suite {
    fn run(&self, entry: &Entry, privileges: Privileges, tally: &mut Tally, show: bool) -> Outcome {
        let skipped = |why: &str| Outcome::Skipped(why.to_owned());
        let Some(ty) = ProgType::ALL.into_iter().find(|ty| ty.number() == entry.ty) else {
            return skipped("program type other than XDP, tc and socket filter");
        };
        if let Some(why) = &entry.unread {
            return skipped(why);
        }
        let mut bytes = entry.insns.clone();
        let mut here = entry.insns.clone();
        let (mut specs, mut kernel_maps, mut kept): (Vec<_>, Vec<KernelMap>, Vec<_>) = Default::default();
        for (kind, slots) in &entry.maps {
            let Some(mut spec) = maps::spec(kind) else { return skipped(&format!("needs a map of kind {kind}")) };
            spec.name = String::new();
            let typed = spec.value_type.zip(spec.key_type).map(|(v, k)| (&self.types_fd, k.0, v.0));
            let Ok(map) = self.kernel.create_typed(&spec, typed) else {
                return skipped(&format!("the kernel does not make a map of kind {kind}"));
            };
            if let Some(value) = maps::initial(kind) {
                let _ = map.update(&[0; 4], &value, 0);
                if spec.flags & (1 << 7) != 0 {
                    // Not frozen: its contents are not known to the verifier.
                    spec.initial = None;
                }
            }
            kept.extend(maps::fill(self.kernel, kind, entry.ty, &map));
            for slot in slots {
                if let (Some(raw), Some(ours)) = (bytes.get_mut(*slot), here.get_mut(*slot)) {
                    raw[4..8].copy_from_slice(&map.fd().to_le_bytes());
                    ours[4..8].copy_from_slice(&(specs.len() as i32).to_le_bytes());
                }
            }
            specs.push(spec);
            kernel_maps.push(map);
        }
        let strict = entry.flags & STRICT_ALIGNMENT != 0;
        let any_alignment = entry.flags & NEEDS_UNALIGNED != 0 && !strict;
        let flags = u32::from(strict) | (u32::from(any_alignment) << 1);
        let bytes = bytes.concat();
        // The log of a program of a million instructions is too large.
        let log_level = if entry.generated.is_some() { 0 } else { 2 };
        let request = LoadRequest {
            prog_type: entry.ty,
            bytes: &bytes,
            log_level,
            flags,
            attach_type: entry.attach_type,
            ..LoadRequest::default()
        };
        // The kernel gives up a long verification where something waits for the thread, and asks to be asked again.
        let mut answer = self.kernel.request(&request);
        for _ in 1..ATTEMPTS {
            if !matches!(answer.0, Err(EAGAIN)) {
                break;
            }
            answer = self.kernel.request(&request);
        }
        let (loaded, log) = answer;
        let raw: Vec<RawInsn> = here.iter().map(|b| RawInsn::from_le_bytes(*b)).collect();
        let insns = match decode(&raw) {
            Ok(insns) => insns,
            // What is no instruction is refused before the verifier sees it.
            Err(e) if loaded.is_err() => {
                self.words(tally, entry, privileges, &log, &e.linux());
                return Outcome::Passed;
            }
            Err(e) => return Outcome::Failed(format!("cannot be decoded: {e}"), "accepted".to_owned()),
        };
        let mut program = Program::from_insns(&entry.name, ty, insns, specs);
        program.btf = Some(self.types.btf.clone());
        let options = Options {
            strict_alignment: strict,
            privileges,
            processors: Some(kernel::possible_cpus() as u32),
            log_level: log_level as u8,
            ..Options::default()
        };
        let (verdict, ours) = verify_logged(program, &options);
        if show {
            let accepted = matches!(verdict, Verdict::Accepted(_));
            println!("kernel, {:?}:\n{log}\nhere, accepted: {accepted}:\n{ours}", loaded.as_ref().map(|_| ()));
        }
        match (&loaded, verdict) {
            (_, Verdict::Unsupported(d)) => {
                *tally.unsupported.entry(d.reason.clone()).or_default() += 1;
                Outcome::Skipped(format!("not modelled: {}", d.code))
            }
            (Ok(_), Verdict::Accepted(verified)) => match inside::check(&verified, &mut Rng::new(entry.seed())) {
                Ok(steps) => {
                    tally.ran += 1;
                    tally.steps += steps;
                    Outcome::Passed
                }
                Err(Strayed::NotRun(why)) => {
                    *tally.not_run.entry(why).or_default() += 1;
                    Outcome::Passed
                }
                Err(Strayed::Outside(why)) => Outcome::Failed(why, "accepted".to_owned()),
            },
            (Err(_), Verdict::Rejected(r)) => {
                self.words(tally, entry, privileges, &log, &ours_first(&ours, &r.lines));
                Outcome::Passed
            }
            (Ok(_), Verdict::Rejected(r)) => Outcome::Failed(r.reason().to_owned(), "accepted".to_owned()),
            (Err(errno), Verdict::Accepted(_)) => {
                Outcome::Failed("accepted".to_owned(), format!("{errno} {}", first_line(&log)))
            }
        }
    }

    fn words(&self, tally: &mut Tally, entry: &Entry, privileges: Privileges, log: &str, ours: &str) {
        let theirs = first_line(log);
        if theirs == ours || theirs.ends_with(ours) && !ours.is_empty() || log.lines().any(|l| l == ours) {
            tally.worded += 1;
        } else {
            tally.otherwise.push((entry.title(privileges), ours.to_owned(), theirs));
        }
    }
}

fn run() -> Result<bool, String> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let list = args.iter().position(|a| a == "--list").map(|at| args.remove(at)).is_some();
    let given = args.first().map_or(tree::ARCHIVE, String::as_str);
    let wanted = args.get(1);
    let Some(kernel) = kernel::kernel("verifier_suite") else {
        return Err("the running kernel does not let us load programs".to_owned());
    };
    let all = format!("{TABLES}/*");
    let entries = read(Tree::open(Path::new(given), &[&HEADERS[..], &[&all]].concat())?.path())?;
    let types = maps::types();
    let types_fd = kernel.load_btf(&types.bytes).map_err(|e| format!("the kernel does not take types: errno {e}"))?;
    let suite = Suite { kernel, types, types_fd };
    let mut tally = Tally::default();
    let unprivileged = capabilities::unprivileged_may_load("entries as an unprivileged user");
    for entry in entries {
        if wanted.is_some_and(|w| !entry.name.contains(w.as_str())) {
            continue;
        }
        for privileges in entry.privileges() {
            if privileges == Privileges::NONE && !unprivileged {
                *tally.skipped.entry("the kernel takes nothing from the unprivileged".to_owned()).or_default() += 1;
                continue;
            }
            let outcome =
                capabilities::with(privileges, || suite.run(&entry, privileges, &mut tally, wanted.is_some()));
            match outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Skipped(why) => *tally.skipped.entry(why).or_default() += 1,
                Outcome::Failed(ours, theirs) => tally.failed.push((entry.title(privileges), ours, theirs)),
            }
        }
    }
    for (name, ours, theirs) in &tally.failed {
        println!("FAILED {name}\n    here:   {ours}\n    kernel: {theirs}");
    }
    if list {
        for (name, ours, theirs) in &tally.otherwise {
            println!("worded otherwise: {name}\n    here:   {ours}\n    kernel: {theirs}");
        }
    }
    for (why, count) in &tally.skipped {
        println!("SKIPPED {count}: {why}");
    }
    for (why, count) in &tally.unsupported {
        println!("    not modelled {count}: {why}");
    }
    for (why, count) in &tally.not_run {
        println!("NOT RUN {count}: {why}");
    }
    println!("Kept to their facts on random packets: {} programs, {} steps", tally.ran, tally.steps);
    let rejected = tally.worded + tally.otherwise.len() as u32;
    println!("First line of the reason the same: {} of {rejected} rejected by both", tally.worded);
    let skipped: u32 = tally.skipped.values().sum();
    println!("Summary: {} PASSED, {skipped} SKIPPED, {} FAILED", tally.passed, tally.failed.len());
    Ok(tally.failed.is_empty())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
