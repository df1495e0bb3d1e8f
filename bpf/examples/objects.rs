//! Reads every object under a directory and prints one line for each: what it holds, or why it is refused; then a
//! summary. Programs whose type is not said or not supported are put together as if it were XDP: only the loader is
//! asked here. Behind that the share of XDP and of tc programs whose every helper and kind of map is there, and what the
//! others miss; a program that cannot be put together misses what its refusal says.
//!
//!     cargo run -p bpf --example objects -- DIRECTORY

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bpf::diag::Diagnostic;
use bpf::helpers;
use bpf::insn::{Callee, Insn, Wide};
use bpf::maps::Map;
use bpf::object::{Object, TypeGuess};
use bpf::program::{ProgType, Program};

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

/// What one object came to.
struct Read {
    programs: usize,
    /// Programs of types that are not supported, and such as do not say theirs.
    other: usize,
    maps: usize,
    /// Of each XDP and tc program: whether it is XDP, and what it uses that is not there.
    missing: Vec<(bool, BTreeSet<String>)>,
    refused: Vec<(String, Diagnostic)>,
}

fn read(bytes: &[u8]) -> Result<Read, Diagnostic> {
    let object = Object::parse(bytes)?;
    let mut read = Read {
        programs: object.programs().len(),
        other: 0,
        maps: object.maps().len(),
        missing: Vec::new(),
        refused: Vec::new(),
    };
    for entry in object.programs() {
        let known = matches!(entry.ty, TypeGuess::Known(_));
        read.other += usize::from(!known);
        match object.program(Some(&entry.name), (!known).then_some(ProgType::Xdp)) {
            Err(why) => {
                if let TypeGuess::Known(ty) = entry.ty
                    && ty != ProgType::SocketFilter
                {
                    read.missing
                        .push((ty == ProgType::Xdp, BTreeSet::from([format!("a whole object ({})", why.code)])));
                }
                read.refused.push((entry.name.clone(), why));
            }
            Ok(program) if known && program.ty != ProgType::SocketFilter => {
                read.missing.push((program.ty == ProgType::Xdp, missing(&program)));
            }
            Ok(_) => {}
        }
    }
    Ok(read)
}

/// Helpers and kinds of maps that a program uses and that are not there; kernel functions, of which there are none.
fn missing(program: &Program) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for insn in &program.insns {
        match insn {
            Insn::Call { callee: Callee::Helper(id) } if helpers::proto(*id).is_none() => {
                missing.insert(helpers::call_text(*id));
            }
            Insn::Call { callee: Callee::Kfunc(_) } => {
                missing.insert("a kernel function".to_owned());
            }
            _ => {}
        }
    }
    for insn in &program.insns {
        let (Insn::LoadImm64 { value: Wide::Map(map), .. } | Insn::LoadImm64 { value: Wide::MapValue { map, .. }, .. }) =
            insn
        else {
            continue;
        };
        if let Some(spec) = program.maps.get(map.0 as usize)
            && Map::kind_of(spec.ty).is_none()
        {
            missing.insert(format!("map {}", spec.ty));
        }
    }
    missing
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: objects DIRECTORY");
        return ExitCode::from(2);
    };
    let mut files = Vec::new();
    find(Path::new(&dir), &mut files);
    files.sort();
    let (mut whole, mut partly, mut none, mut programs, mut refused) = (0, 0, 0, 0, 0);
    let mut shares = [(0, 0); 2];
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for file in &files {
        let name = file.strip_prefix(&dir).unwrap_or(file).display();
        let Ok(bytes) = std::fs::read(file) else {
            println!("{name}: cannot be read");
            continue;
        };
        match read(&bytes) {
            Err(why) => {
                none += 1;
                *codes.entry(why.code).or_default() += 1;
                println!("{name}: refused: {}", why.headline());
            }
            Ok(read) => {
                programs += read.programs;
                for (xdp, missing) in &read.missing {
                    let share = &mut shares[usize::from(!xdp)];
                    share.0 += usize::from(missing.is_empty());
                    share.1 += 1;
                    for what in missing {
                        *wanted.entry(what.clone()).or_default() += 1;
                    }
                }
                refused += read.refused.len();
                let count = if read.refused.is_empty() { &mut whole } else { &mut partly };
                *count += 1;
                println!("{name}: {} programs ({} of other types), {} maps", read.programs, read.other, read.maps);
                for (program, why) in &read.refused {
                    *codes.entry(why.code).or_default() += 1;
                    println!("  {program}: refused: {}", why.headline());
                }
            }
        }
    }
    println!(
        "{} objects: {whole} whole, {partly} with a program refused, {none} refused; {refused} of {programs} programs refused",
        files.len()
    );
    for (code, count) in codes {
        println!("  {code}: {count}");
    }
    for ((served, all), what) in shares.into_iter().zip(["XDP", "tc"]) {
        println!("{served} of {all} {what} programs have every helper and kind of map they use");
    }
    for (what, count) in wanted {
        println!("  without {what}: {count}");
    }
    ExitCode::SUCCESS
}
