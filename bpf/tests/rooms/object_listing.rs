//! Programs, held against `llvm-objdump`'s listing of the object: instructions, the line each came from, and the symbol
//! that each relocation names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bpf::insn::{Callee, Insn, Wide};
use bpf::object::{Kernel, Object};
use bpf::program::{ProgType, Program};

/// What the listing says of an instruction.
#[derive(Debug, Default, Clone)]
struct Listed {
    text: String,
    /// `file:line`.
    line: Option<String>,
    /// Symbol of its relocation.
    symbol: Option<String>,
}

/// Instructions by function and slot in it.
type Listing = BTreeMap<(String, usize), Listed>;

/// The listing of an object without DWARF, so that lines come from BTF; `None` where the tools are not installed.
fn listing(file: &Path) -> Option<Listing> {
    let plain = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_name()?);
    let strip = Command::new("llvm-strip-19").arg("--strip-debug").arg(file).arg("-o").arg(&plain).status().ok()?;
    assert!(strip.success());
    whole_listing(&plain, false)
}

/// The listing of an object as it is: with DWARF, lines come from there.
fn whole_listing(file: &Path, dwarf: bool) -> Option<Listing> {
    let args = ["-d", "-r", "-l", "--no-show-raw-insn", "--mcpu=v4"];
    let output = Command::new("llvm-objdump-19").args(args).arg(file).output().ok()?;
    assert!(output.status.success());

    let mut listing = Listing::new();
    let (mut function, mut start, mut line, mut last) = (String::new(), 0, None, None);
    for text in String::from_utf8(output.stdout).unwrap().lines() {
        if let Some((address, name)) = text.strip_suffix(">:").and_then(|t| t.split_once(" <")) {
            // Labels inside a function are listed like functions.
            if !name.starts_with("LBB") {
                function = name.to_owned();
                start = usize::from_str_radix(address, 16).unwrap() / 8;
                line = None;
            }
        } else if let Some(place) = text.strip_prefix("; ") {
            // A function's name stands there, too: without line information nothing else, with DWARF in any case, and
            // without a line where the code comes from none.
            match place.ends_with("():") {
                true if !dwarf => line = None,
                true => {}
                false => line = Some(place.to_owned()),
            }
        } else if text.starts_with("\t\t") {
            // CO-RE relocations are listed too.
            if !text.contains("R_BPF_") {
                continue;
            }
            let symbol = text.rsplit('\t').next().unwrap().to_owned();
            let entry: &mut Listed = listing.get_mut(last.as_ref().unwrap()).unwrap();
            entry.symbol = Some(symbol);
        } else if let Some((slot, text)) = text.trim_start().split_once(":\t") {
            let Ok(slot) = slot.parse::<usize>() else { continue };
            // A branch's target is named after it.
            let label = text.rfind(" <").filter(|_| text.ends_with('>'));
            let text = text[..label.unwrap_or(text.len())].trim().to_owned();
            last = Some((function.clone(), slot - start));
            listing.insert(last.clone().unwrap(), Listed { text, line: line.clone(), symbol: None });
        }
    }
    Some(listing)
}

/// The name by which a relocation's symbol is known here.
fn named(program: &Program, slot: usize, insn: &Insn) -> Option<String> {
    let map = match insn {
        Insn::LoadImm64 { value: Wide::Map(map) | Wide::MapValue { map, .. }, .. } => map,
        Insn::LoadImm64 { value: Wide::Func { .. }, .. } | Insn::Call { callee: Callee::Local(_) } => {
            let start = insn.function(slot).unwrap() as usize;
            return program.functions.iter().find(|f| f.start == start).map(|f| f.name.clone());
        }
        _ => return None,
    };
    Some(program.maps[map.0 as usize].name.clone())
}

fn compare(file: &Path, program: &Program, listing: &Listing) -> usize {
    let mut lines = 0;
    for (slot, insn) in program.insns.iter().enumerate().filter(|(_, i)| **i != Insn::Pad) {
        let place = program.functions.partition_point(|f| f.start <= slot) - 1;
        let function = &program.functions[place];
        let at = format!("{} {} slot {}", file.display(), function.name, slot - function.start);
        let listed = &listing[&(function.name.clone(), slot - function.start)];
        match (named(program, slot, insn), &listed.symbol) {
            // A variable, or a static function, may be named by its section and place.
            (Some(ours), Some(theirs)) => {
                let by_place = theirs.starts_with('.') || ours.starts_with('.');
                assert!(by_place || ours == *theirs, "{at}: {ours}, {theirs}");
            }
            // A call in its own section has no relocation.
            (Some(_), None) => assert!(matches!(insn, Insn::Call { .. }), "{at}"),
            // A weak symbol that is not there: zero, or an invalid call.
            (None, Some(_)) => {
                let absent = matches!(insn, Insn::LoadImm64 { value: Wide::Value(0), .. });
                assert!(absent || program.unresolved.iter().any(|(at, _)| *at == slot), "{at}");
            }
            (None, theirs) => {
                assert_eq!(*theirs, None, "{at}");
                assert_eq!(insn.objdump().to_string(), listed.text, "{at}");
            }
        }
        let ours = program.line_of(slot).map(|l| format!("{}:{}", l.file, l.line));
        assert_eq!(ours, listed.line, "{at}");
        lines += usize::from(ours.is_some());
    }
    lines
}

#[test]
fn instructions_lines_and_symbols_are_those_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dirs = [root.join("tests/data/object"), root.join("../scenarios/programs")];
    let files = dirs.iter().flat_map(|d| std::fs::read_dir(d).unwrap()).map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|p| p.to_string_lossy().ends_with(".bpf.o")).collect();
    files.sort();
    let (mut programs, mut lines) = (0, 0);
    for file in files {
        let Ok(object) = Object::parse(&std::fs::read(&file).unwrap()) else { continue };
        let Some(listing) = listing(&file) else {
            eprintln!("skipped: instructions_lines_and_symbols_are_those_listed: LLVM 19's tools are not installed");
            return;
        };
        for entry in object.programs() {
            // libbpf and clang do not load bit-fields alike.
            if entry.name == "bit_fields" {
                continue;
            }
            // To the types that it was compiled with, CO-RE relocations change nothing.
            let types = object.btf().cloned().map_or_else(|| Kernel::default().types, Arc::new);
            let kernel = Kernel { types, ..Kernel::default() };
            let Ok(program) = object.program_for(Some(&entry.name), Some(ProgType::Xdp), &kernel) else { continue };
            lines += compare(&file, &program, &listing);
            programs += 1;
        }
    }
    assert!(programs >= 20 && lines >= 500, "{programs} programs, {lines} instructions with a line");
}

/// A section by another name: nobody looks for it then.
fn without(mut object: Vec<u8>, section: &str) -> Vec<u8> {
    let name: Vec<u8> = format!("\0{section}\0").into_bytes();
    // Names may share their ends: the section of relocations for this one keeps its own.
    let rel: Vec<u8> = format!("\0.rel{section}\0").into_bytes();
    let at = object.windows(rel.len()).position(|w| w == rel).map(|at| at + 5);
    let at = at.or_else(|| object.windows(name.len()).position(|w| w == name).map(|at| at + 1));
    object[at.expect("the section is there")] = b'X';
    object
}

/// Without lines in BTF they come from DWARF, of version 5 in the objects that are here, and of 4 and for both orders of
/// bytes where there is a compiler.
#[test]
fn lines_come_from_dwarf_where_btf_has_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("../scenarios/programs"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with(".bpf.o"))
        .collect();
    files.sort();
    for (version, target) in [("-gdwarf-4", "bpfel"), ("-gdwarf-5", "bpfeb")] {
        let source = root.join("tests/data/object/calls.bpf.c");
        let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("calls{version}.{target}.o"));
        let flags =
            ["-O2", "-g", "-mcpu=v3", "-std=gnu11", "-idirafter", "/usr/include/x86_64-linux-gnu", version, "-c"];
        let mut built = Command::new("clang-19");
        built.args(["-target", target]).args(flags).arg(&source).arg("-o").arg(&object);
        if built.status().is_ok_and(|status| status.success()) {
            files.push(object);
        }
    }
    let (mut programs, mut lines) = (0, 0);
    for file in files {
        let Some(listing) = whole_listing(&file, true) else {
            eprintln!("skipped: lines_come_from_dwarf_where_btf_has_none: LLVM 19's tools are not installed");
            return;
        };
        let object = Object::parse(&without(std::fs::read(&file).unwrap(), ".BTF.ext")).unwrap();
        for entry in object.programs() {
            let Ok(program) = object.program(Some(&entry.name), Some(ProgType::Xdp)) else { continue };
            assert!(program.info.is_none());
            lines += compare(&file, &program, &listing);
            programs += 1;
        }
    }
    assert!(programs >= 7 && lines >= 500, "{programs} programs, {lines} instructions with a line");
}

/// The committed scenarios' programs need no word about which program or type is meant, where there is one in an object.
#[test]
fn objects_of_the_scenarios_need_no_help() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".bpf.o") {
            continue;
        }
        let object = Object::parse(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let [entry] = object.programs() else { continue };
        let program = object.program(None, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Their functions are called after their hooks.
        let ty = if entry.name.starts_with("tc_") { ProgType::SchedCls } else { ProgType::Xdp };
        assert_eq!(program.ty, ty, "{name}");
    }
}
