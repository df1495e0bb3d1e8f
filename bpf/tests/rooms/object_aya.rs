//! Programs put together here, held against those of aya-obj, another loader: relocations against maps, variables and
//! functions, and CO-RE against the same types.
//!
//! What it cannot read is skipped and said: it knows fewer names of sections, no map symbols without a size, no variables
//! of the kernel's configuration, and it takes apart machine-order objects alone here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::support::objects::objects;
use aya_obj::generated::bpf_insn;
use bpf::insn::{RawInsn, encode};
use bpf::object::{Kernel, Object};
use bpf::program::{Endian, ProgType, Program};

/// Descriptor of the first map; the others follow by name.
const FIRST_FD: i32 = 1000;

/// What it makes of an object: each program's instructions, its functions behind it, and the descriptors of maps.
struct Theirs {
    programs: BTreeMap<String, Vec<bpf_insn>>,
    fds: BTreeMap<String, i32>,
}

fn theirs(bytes: &[u8], types: &[u8]) -> Result<Theirs, String> {
    let target = aya_obj::btf::Btf::parse(types, Default::default()).map_err(|e| e.to_string())?;
    let mut object = aya_obj::Object::parse(bytes).map_err(|e| e.to_string())?;
    object
        .relocate_btf(&target)
        .map_err(|e| format!("CO-RE: {:?}", std::error::Error::source(&e).map(ToString::to_string)))?;
    let names: BTreeSet<String> = object.maps.keys().cloned().collect();
    let fds: BTreeMap<String, i32> = names.into_iter().zip(FIRST_FD..).collect();
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let maps = object.maps.clone();
    let list = maps.iter().map(|(name, map)| (name.as_str(), fds[name], map));
    let reason = |e: &dyn std::error::Error| e.source().map_or_else(|| e.to_string(), ToString::to_string);
    object.relocate_maps(list, &text).map_err(|e| reason(&e))?;
    object.relocate_calls(&text).map_err(|e| reason(&e))?;
    let code = |key| object.functions.get(&key).map(|f| f.instructions.clone()).unwrap_or_default();
    let programs = object.programs.iter().map(|(name, p)| (name.clone(), code(p.function_key()))).collect();
    Ok(Theirs { programs, fds })
}

/// Walks both programs from the main function on; functions may stand in another order. Says how many instructions
/// there are.
fn same(program: &Program, theirs: &Theirs, code: &[bpf_insn], at: &str) -> usize {
    let ours = encode(&program.insns).unwrap();
    let (mut open, mut seen, mut count) = (vec![(0usize, 0usize)], BTreeSet::new(), 0);
    while let Some((a, b)) = open.pop() {
        if !seen.insert((a, b)) {
            continue;
        }
        let function =
            program.functions.iter().position(|f| f.start == a).unwrap_or_else(|| panic!("{at}: no function at {a}"));
        let end = program.functions.get(function + 1).map_or(ours.len(), |f| f.start);
        let mut second = false;
        for i in 0..end - a {
            let (x, y) = (ours[a + i], code.get(b + i).unwrap_or_else(|| panic!("{at}: slot {} is missing", b + i)));
            let mut expected = RawInsn { opcode: y.code, dst: y.dst_reg(), src: y.src_reg(), off: y.off, imm: y.imm };
            if std::mem::take(&mut second) {
                assert_eq!(x, expected, "{at} slot {}", a + i);
                continue;
            }
            let is_wide = x.opcode == 0x18;
            second = is_wide && x.src != 4;
            if is_wide && matches!(x.src, 1 | 2) {
                let name = &program.maps[x.imm as usize].name;
                assert_eq!(expected.imm, theirs.fds[name], "{at} slot {}: map {name}", a + i);
                expected.imm = x.imm;
            }
            if is_wide && x.src == 4 || x.opcode == 0x85 && x.src == 1 {
                let to = |from: usize, imm: i32| (from + i + 1).wrapping_add_signed(imm as isize);
                open.push((to(a, x.imm), to(b, expected.imm)));
                expected.imm = x.imm;
            }
            assert_eq!(x, expected, "{at} slot {}", a + i);
            count += 1;
        }
    }
    count
}

#[test]
fn programs_are_put_together_alike() {
    let kernel = Kernel::default();
    let types = kernel.types.to_bytes(Endian::Little).unwrap();
    let (mut programs, mut insns) = (0, 0);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for file in objects() {
        let bytes = std::fs::read(&file).unwrap();
        let Ok(object) = Object::parse(&bytes) else { continue };
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if object.byte_order() == Endian::Big {
            *skipped.entry("big-endian".to_owned()).or_default() += 1;
            continue;
        }
        // It has assertions of its own that some objects break.
        let read =
            catch_unwind(AssertUnwindSafe(|| theirs(&bytes, &types))).unwrap_or_else(|_| Err("panics".to_owned()));
        let theirs = match read {
            Ok(theirs) => theirs,
            Err(why) => {
                println!("{name}: {why}");
                *skipped.entry(why.split('`').next().unwrap_or_default().to_owned()).or_default() += 1;
                continue;
            }
        };
        for entry in object.programs() {
            let (Some(code), Ok(program)) =
                (theirs.programs.get(&entry.name), object.program_for(Some(&entry.name), Some(ProgType::Xdp), &kernel))
            else {
                *skipped.entry("a program that one of the two refuses".to_owned()).or_default() += 1;
                continue;
            };
            // It leaves what the kernel may not have as it is.
            if program.unresolved.iter().any(|(_, why)| !why.ends_with("(CO-RE)")) {
                *skipped.entry("a program with weak symbols of the kernel's".to_owned()).or_default() += 1;
                continue;
            }
            insns += same(&program, &theirs, code, &format!("{} {}", file.display(), entry.name));
            programs += 1;
        }
    }
    for (why, count) in &skipped {
        println!("skipped {count}: {why}");
    }
    println!("{programs} programs, {insns} instructions");
    assert!(programs >= 14 && insns >= 700, "{programs} programs, {insns} instructions; skipped: {skipped:#?}");
}
