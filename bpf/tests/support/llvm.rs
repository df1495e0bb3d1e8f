//! LLVM 19's assembler and disassembler, where they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the tools are there; otherwise a line that names the skipped test. `REQUIRE_LLVM` says that this machine has
/// them: then a test that cannot run has failed.
pub fn installed(test: &str) -> bool {
    let runs = |tool| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    let all = ["llvm-mc-19", "llvm-objdump-19"].into_iter().all(runs);
    if !all {
        assert!(std::env::var_os("REQUIRE_LLVM").is_none(), "{test}: llvm-mc-19 and llvm-objdump-19 are not installed");
        eprintln!("SKIPPED {test}: llvm-mc-19 and llvm-objdump-19 are not installed");
    }
    all
}

/// Assembles a text with `llvm-mc` into an object of that name; what it complained of otherwise.
pub fn assemble(name: &str, source: &str) -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (text, object) = (dir.join(format!("{name}.s")), dir.join(format!("{name}.o")));
    std::fs::write(&text, source).unwrap();
    let args = ["-triple=bpfel", "-mcpu=v4", "-filetype=obj", "-o"];
    let output = Command::new("llvm-mc-19").args(args).args([&object, &text]).output().unwrap();
    if output.status.success() { Ok(object) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The bytes of a section.
pub fn section(object: &Path, name: &str) -> Vec<u8> {
    use object::{Object as _, ObjectSection as _};
    let bytes = std::fs::read(object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    file.section_by_name(name).unwrap().data().unwrap().to_vec()
}

/// `llvm-objdump`'s listing of an object.
pub fn listing(object: &Path, args: &[&str]) -> String {
    let output = Command::new("llvm-objdump-19").args(["-d", "--mcpu=v4"]).args(args).arg(object).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A copy of an object without DWARF, so that its lines are those of its BTF.
pub fn without_debug(object: &Path) -> PathBuf {
    let plain = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.plain", object.file_name().unwrap().display()));
    let status = Command::new("llvm-strip-19").arg("--strip-debug").arg(object).arg("-o").arg(&plain).status();
    assert!(status.is_ok_and(|status| status.success()), "llvm-strip-19 fails on {}", object.display());
    plain
}
