//! The interpreter as a plugin of bpf_conformance.
//!
//! ```text
//! conformance_plugin [MEMORY] [--program PROGRAM] [--elf]
//! ```
//!
//! MEMORY is hexadecimal bytes with blanks between them, as is PROGRAM, which otherwise comes from standard input; with
//! `--elf` it is an object. R0 is printed in hexadecimal. Exit code 1 says that there is no result, and why on standard
//! error.

mod suite;

use std::io::Read;
use std::process::ExitCode;

use bpf::insn::{RawInsn, encode};
use bpf::object::Object;
use bpf::program::ProgType;
use suite::run::Entry;

fn main() -> ExitCode {
    match answer(std::env::args().skip(1)) {
        Ok(r0) => {
            println!("{r0:x}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn answer(mut args: impl Iterator<Item = String>) -> Result<u64, String> {
    let (mut memory, mut program, mut elf) = (Vec::new(), None, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--elf" => elf = true,
            "--program" => program = Some(args.next().ok_or("--program wants a program")?),
            option if option.starts_with("--") => return Err(format!("no option {option}")),
            bytes => memory = suite::file::bytes(bytes)?,
        }
    }
    let program = match program {
        Some(program) => program,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|e| format!("standard input: {e}"))?;
            text
        }
    };
    let bytes = suite::file::bytes(&program)?;
    let slots = if elf { of_object(&bytes)? } else { of_bytes(&bytes)? };
    suite::run::run(&slots, &memory, Entry::Memory)
}

fn of_bytes(bytes: &[u8]) -> Result<Vec<RawInsn>, String> {
    match bytes.as_chunks() {
        (slots, []) => Ok(slots.iter().map(|&slot| RawInsn::from_le_bytes(slot)).collect()),
        (_, rest) => Err(format!("the program ends {} bytes into a slot", rest.len())),
    }
}

/// The program of an object, or, as the suite writes it, a `.text` section that is one.
fn of_object(bytes: &[u8]) -> Result<Vec<RawInsn>, String> {
    use object::{Object as _, ObjectSection as _};
    let object = Object::parse(bytes).map_err(|d| d.headline())?;
    if let Ok(program) = object.program(None, Some(ProgType::Xdp)) {
        return encode(&program.insns).map_err(|e| e.to_string());
    }
    let file = object::File::parse(bytes).map_err(|e| e.to_string())?;
    let text = file.section_by_name(".text").ok_or("the object has neither a program nor a .text section")?;
    of_bytes(text.data().map_err(|e| e.to_string())?)
}
