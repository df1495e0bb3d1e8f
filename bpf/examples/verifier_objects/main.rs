//! Real objects, here and on the running kernel: verdicts, counts and time.
//!
//! ```text
//! cargo run --release -p bpf --example verifier_objects -- DIRECTORY [NAME]
//! ```
//!
//! `NAME` picks programs whose name contains it, and shows both logs.
//!
//! Every XDP, tc and socket filter program of every object under a directory is put together here, verified here, and
//! loaded on the running kernel as the same instructions with the same maps, types and functions. Time is that which a
//! processor spends, or for the kernel what it says it took to verify, if that is less: its load has the JIT compiler in
//! it. Of four times the least.

#[path = "../../tests/support/kernel.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod kernel;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bpf::insn::encode;
use bpf::object::{Object, TypeGuess};
use bpf::program::{Attach, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify, verify_logged};
use kernel::{Kernel, KernelBtf, KernelMap, LoadRequest};
use object::{Object as _, ObjectSection as _};

/// Verifications that are timed.
const TIMES: u32 = 4;
/// Most entries of a map that is made for nothing but a verdict.
const MOST_ENTRIES: u32 = 1024;

fn find(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() && !path.is_symlink() {
            find(&path, found);
        } else if path.extension().is_some_and(|e| e == "o" || e == "elf") {
            found.push(path);
        }
    }
}

#[derive(Default)]
struct Tally {
    both_accept: u32,
    both_reject: u32,
    same_counts: u32,
    /// By program type, verdicts that are equal and all that were compared.
    verdicts: BTreeMap<String, (u32, u32)>,
    differ: Vec<(String, String, String)>,
    skipped: BTreeMap<String, u32>,
    kernel: Duration,
    here: Duration,
    slowest: Vec<(Duration, Duration, String)>,
}

/// The last line of a log that is a sentence about the program.
fn reason(log: &str) -> &str {
    let tail = ["processed ", "cur state:", "old state:"];
    log.lines().rfind(|l| !l.is_empty() && !tail.iter().any(|t| l.starts_with(t))).unwrap_or("")
}

struct Both<'a> {
    /// Whether to show both logs.
    show: bool,
    kernel: Kernel,
    types: Option<&'a KernelBtf>,
}

impl Both<'_> {
    fn compare(&self, name: &str, mut program: Program, tally: &mut Tally) -> Result<(), String> {
        for map in &mut program.maps {
            if map.ty.0 != 27 {
                map.max_entries = map.max_entries.min(MOST_ENTRIES);
            }
            if map.ty == MapType::PERF_EVENT_ARRAY && map.max_entries == 0 {
                // Loaders put the number of processors here.
                map.max_entries = kernel::possible_cpus() as u32;
            }
            if let Some(inner) = &mut map.inner {
                inner.max_entries = inner.max_entries.min(MOST_ENTRIES);
            }
            if matches!(map.ty.0, 12 | 13) && map.inner.is_none() {
                return Err("a map of maps of which the object does not say what it holds".to_owned());
            }
        }
        if self.types.is_none() {
            program.btf = None;
        }
        let mut maps: Vec<KernelMap> = Vec::new();
        for spec in &program.maps {
            let typed =
                self.types.zip(spec.value_type).map(|(btf, value)| (btf, spec.key_type.map_or(0, |k| k.0), value.0));
            let map = self.kernel.create_typed(spec, typed).or_else(|_| self.kernel.create_typed(spec, None));
            let map = map.map_err(|errno| format!("the kernel does not make a {}: errno {errno}", spec.ty))?;
            if let Some(initial) = &spec.initial
                && initial.len() == map.user_value_size
            {
                map.update(&[0; 4], initial, 0)
                    .map_err(|errno| format!("the kernel does not take data: errno {errno}"))?;
                if spec.flags & (1 << 7) != 0 {
                    map.freeze().map_err(|errno| format!("the kernel does not freeze data: errno {errno}"))?;
                }
            }
            maps.push(map);
        }
        let raw = encode(&program.insns).map_err(|e| format!("no encoding: {}", e.reason))?;
        let bytes: Vec<u8> = raw
            .into_iter()
            .flat_map(|mut raw| {
                if raw.opcode == 0x18 && matches!(raw.src, 1 | 2) {
                    raw.imm = maps.get(raw.imm as usize).map_or(-1, KernelMap::fd);
                }
                raw.to_le_bytes()
            })
            .collect();
        let functions: Vec<[u32; 2]> =
            program.functions.iter().filter_map(|f| f.btf.map(|id| [f.start as u32, id.0])).collect();
        let license = std::ffi::CString::new(program.license.clone()).map_err(|e| e.to_string())?;
        let whole = functions.len() == program.functions.len();
        let request = LoadRequest {
            prog_type: program.ty.number(),
            bytes: &bytes,
            license: &license,
            attach_type: attach_type(program.attach),
            types: self.types.filter(|_| whole),
            functions: if whole { &functions } else { &[] },
            ..LoadRequest::default()
        };
        if !whole {
            program.btf = None;
        }
        if self.show {
            let log = self.kernel.request(&LoadRequest { log_level: 2, ..request }).1;
            let options =
                Options { log_level: 2, processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
            println!("{name}, kernel:\n{log}\n{name}, here:\n{}", verify_logged(program.clone(), &options).1);
        }
        let (mut loaded, mut kernel_time) = (Err(0), Duration::MAX);
        for _ in 0..TIMES {
            let start = kernel::thread_time();
            loaded = self.kernel.request(&request).0;
            kernel_time = kernel_time.min(kernel::thread_time() - start);
        }
        let log_level = if loaded.is_ok() { 4 } else { 1 };
        let mut log = String::new();
        for _ in 0..TIMES {
            log = self.kernel.request(&LoadRequest { log_level, ..request }).1;
            let took =
                log.lines().find_map(|l| l.strip_prefix("verification time ")?.strip_suffix(" usec")?.parse().ok());
            kernel_time = kernel_time.min(took.map_or(Duration::MAX, Duration::from_micros));
        }
        let options = Options { processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
        let (ty, mut our_time, mut verdict) = (program.ty.to_string(), Duration::MAX, None);
        for _ in 0..TIMES {
            let program = program.clone();
            let start = kernel::thread_time();
            verdict = Some(verify(program, &options));
            our_time = our_time.min(kernel::thread_time() - start);
        }
        let Some(verdict) = verdict else { return Ok(()) };
        match (&loaded, &verdict) {
            (_, Verdict::Unsupported(d)) => return Err(format!("not modelled: {}", d.code)),
            (Ok(_), Verdict::Accepted(verified)) => {
                tally.both_accept += 1;
                let counts = verified.explored().statistics().to_string();
                let theirs = log.lines().last().unwrap_or("").split(" mark_read").next().unwrap_or("");
                if counts == theirs {
                    tally.same_counts += 1;
                } else {
                    println!("counts of {name}\n    here:   {counts}\n    kernel: {theirs}");
                }
            }
            (Err(_), Verdict::Rejected(_)) => tally.both_reject += 1,
            (Ok(_), Verdict::Rejected(r)) => {
                tally.differ.push((name.to_owned(), format!("{} {}", r.errno.0, r.reason()), "accepted".to_owned()));
            }
            (Err(errno), Verdict::Accepted(_)) => {
                tally.differ.push((name.to_owned(), "accepted".to_owned(), format!("{errno} {}", reason(&log))));
            }
        }
        let (equal, all) = tally.verdicts.entry(ty).or_default();
        *equal += u32::from(loaded.is_ok() == matches!(verdict, Verdict::Accepted(_)));
        *all += 1;
        tally.kernel += kernel_time;
        tally.here += our_time;
        tally.slowest.push((our_time, kernel_time, name.to_owned()));
        Ok(())
    }
}

/// As bpf(2) numbers it.
fn attach_type(attach: Attach) -> u32 {
    match attach {
        Attach::Hook => 0,
        Attach::XdpDevmap => 33,
        Attach::XdpCpumap => 35,
    }
}

/// The types of an object, if the kernel takes them.
fn types(kernel: Kernel, bytes: &[u8]) -> Option<KernelBtf> {
    let file = object::File::parse(bytes).ok()?;
    let section = file.section_by_name(".BTF")?;
    kernel.load_btf(section.data().ok()?).ok()
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: verifier_objects DIRECTORY");
        return ExitCode::from(2);
    };
    let wanted = std::env::args().nth(2);
    let Some(kernel) = kernel::kernel("verifier_objects") else { return ExitCode::from(2) };
    let mut files = Vec::new();
    find(Path::new(&dir), &mut files);
    files.sort();
    let mut tally = Tally::default();
    for file in &files {
        let Ok(bytes) = std::fs::read(file) else { continue };
        let object = match Object::parse(&bytes) {
            Ok(object) => object,
            Err(why) => {
                *tally.skipped.entry(format!("object: {}", why.code)).or_default() += 1;
                continue;
            }
        };
        let types = types(kernel, &bytes);
        for entry in object.programs() {
            let TypeGuess::Known(ty) = entry.ty else {
                *tally.skipped.entry("type other than XDP, tc and socket filter".to_owned()).or_default() += 1;
                continue;
            };
            let name = format!("{} {}", file.strip_prefix(&dir).unwrap_or(file).display(), entry.name);
            let program = match object.program(Some(&entry.name), Some::<ProgType>(ty)) {
                Ok(program) => program,
                Err(why) => {
                    *tally.skipped.entry(format!("program: {}", why.code)).or_default() += 1;
                    continue;
                }
            };
            if wanted.as_deref().is_some_and(|w| !name.contains(w)) {
                continue;
            }
            let both = Both { show: wanted.is_some(), kernel, types: types.as_ref() };
            if let Err(why) = both.compare(&name, program, &mut tally) {
                *tally.skipped.entry(why).or_default() += 1;
            }
        }
    }
    for (name, ours, theirs) in &tally.differ {
        println!("DIFFERS {name}\n    here:   {ours}\n    kernel: {theirs}");
    }
    for (why, count) in &tally.skipped {
        println!("SKIPPED {count}: {why}");
    }
    tally.slowest.sort();
    for (ours, theirs, name) in tally.slowest.iter().rev().take(8) {
        println!("{ours:>12.3?} here, {theirs:>12.3?} kernel: {name}");
    }
    for (ours, theirs, name) in tally.slowest.iter().filter(|(ours, theirs, _)| ours > theirs) {
        println!("SLOWER {ours:.3?} here, {theirs:.3?} kernel: {name}");
    }
    let Tally { both_accept, both_reject, same_counts, differ, kernel, here, .. } = &tally;
    for (ty, (equal, all)) in &tally.verdicts {
        println!("Verdicts equal, {ty}: {equal} of {all}");
    }
    println!("Counts the same: {same_counts} of {both_accept} accepted by both");
    println!("Time: {here:?} here, {kernel:?} kernel");
    let skipped: u32 = tally.skipped.values().sum();
    println!("Summary: {} PASSED, {skipped} SKIPPED, {} FAILED", both_accept + both_reject, differ.len());
    if differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
