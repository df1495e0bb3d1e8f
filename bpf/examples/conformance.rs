//! Runs the test files of bpf_conformance (`*.data`) in directories, or single files, and says how many pass.
//!
//! ```text
//! conformance [--packet] PATH...
//! ```
//!
//! With `--packet` the memory of a test is the packet of a classifier, as the files of tests/data/packet want it. Exit
//! code 1 if a test fails.

mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use suite::file::{self, Expected};
use suite::run::{Entry, run};

fn main() -> ExitCode {
    let (mut entry, mut files) = (Entry::Memory, Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--packet" => entry = Entry::Packet,
            path => match tests_in(Path::new(path)) {
                Ok(found) => files.extend(found),
                Err(e) => {
                    eprintln!("{path}: {e}");
                    return ExitCode::from(2);
                }
            },
        }
    }
    let mut passed = 0;
    for path in &files {
        match check(path, entry) {
            Ok(()) => passed += 1,
            Err(why) => println!("{}: {why}", path.display()),
        }
    }
    println!("{passed} of {} passed", files.len());
    if passed == files.len() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tests_in(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = path.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<_> = entries.into_iter().filter(|path| path.extension().is_some_and(|e| e == "data")).collect();
    files.sort();
    Ok(files)
}

fn check(path: &Path, entry: Entry) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let test = file::parse(&text)?;
    match (test.expected, run(&test.program, &test.memory, entry)) {
        (Expected::Result(wanted), Ok(r0)) if r0 == wanted => Ok(()),
        (Expected::Result(wanted), Ok(r0)) => Err(format!("{r0:#x} instead of {wanted:#x}")),
        (Expected::Result(_), Err(why)) => Err(why),
        // In whose words is left to each runtime.
        (Expected::Error(_), Err(_)) => Ok(()),
        (Expected::Error(_), Ok(r0)) => Err(format!("{r0:#x} instead of an error")),
    }
}
