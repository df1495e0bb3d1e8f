//! Reads every object under a directory and prints one line for each: what it holds, or why it is refused; then a
//! summary. Programs whose type is not said or not supported are put together as if it were XDP: only the loader is
//! asked here.
//!
//!     cargo run -p bpf --example objects -- DIRECTORY

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bpf::diag::Diagnostic;
use bpf::object::{Object, TypeGuess};
use bpf::program::ProgType;

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
    refused: Vec<(String, Diagnostic)>,
}

fn read(bytes: &[u8]) -> Result<Read, Diagnostic> {
    let object = Object::parse(bytes)?;
    let mut read = Read { programs: object.programs().len(), other: 0, maps: object.maps().len(), refused: Vec::new() };
    for entry in object.programs() {
        let known = matches!(entry.ty, TypeGuess::Known(_));
        read.other += usize::from(!known);
        if let Err(why) = object.program(Some(&entry.name), (!known).then_some(ProgType::Xdp)) {
            read.refused.push((entry.name.clone(), why));
        }
    }
    Ok(read)
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
    ExitCode::SUCCESS
}
