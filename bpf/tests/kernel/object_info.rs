//! What a loader says of functions and lines, held against `BPF_PROG_LOAD`: the same answer, error number and reason.

use crate::support;

use std::sync::Arc;

use bpf::btf::info::{ProgramInfo, Records};
use bpf::btf::{Btf, FuncInfo, LineInfo, TypeId};
use bpf::insn::{self, Insn, RawInsn};
use bpf::object::{Object, TypeGuess};
use bpf::program::{Function, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify};
use support::kernel::{Kernel, KernelBtf, KernelMap, LoadRequest, RawInfo, kernel};
use support::objects::objects;
use support::rng::Rng;

/// Results that a function may be said to have: an int, 16 bytes, an enumeration, a pointer, a typedef of int, none.
const RESULTS: [u32; 6] = [1, 2, 3, 4, 5, 0];
const FIRST_PROTO: u32 = 6;
const FIRST_FUNC: u32 = 12;
/// The same as the first, with a linkage that lets others see it.
const MAIN: u32 = 18;
const STRINGS: &[u8] = b"\0int\0f\0e\0A\0wide\0t\0a.c\0return 0;\0";

fn types() -> Vec<u8> {
    let (int, func, proto) = (1 << 24, 12 << 24, 13 << 24);
    let mut words = vec![1, int, 4, 1 << 24 | 32, 11, int, 16, 128];
    words.extend([7, 6 << 24 | 1, 4, 9, 0]);
    words.extend([0, 2 << 24, 1, 16, 8 << 24, 1]);
    for result in RESULTS {
        words.extend([0, proto, result]);
    }
    for i in 0..RESULTS.len() as u32 {
        words.extend([5, func, FIRST_PROTO + i]);
    }
    words.extend([5, func | 1, FIRST_PROTO]);
    let len = words.len() as u32 * 4;
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, len, len, STRINGS.len() as u32].into_iter().chain(words) {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend(STRINGS);
    bytes
}

/// Instructions of a main function that calls one to three others, some of which do what only typed functions may.
fn code(rng: &mut Rng, map: i32) -> (Vec<RawInsn>, Vec<u32>) {
    let mov = |dst, imm| RawInsn { opcode: 0xb7, dst, src: 0, off: 0, imm };
    let wide = |src, imm| {
        [RawInsn { opcode: 0x18, dst: 2, src, off: 0, imm }, RawInsn { opcode: 0, dst: 0, src: 0, off: 0, imm: 0 }]
    };
    let call = |src, imm| RawInsn { opcode: 0x85, dst: 0, src, off: 0, imm };
    let exit = RawInsn { opcode: 0x95, dst: 0, src: 0, off: 0, imm: 0 };
    let copy = |dst, src| RawInsn { opcode: 0xbf, dst, src, off: 0, imm: 0 };
    let count = 1 + rng.below(3) as usize;
    let mut bodies: Vec<Vec<RawInsn>> = Vec::new();
    for _ in 0..count {
        let mut body = vec![mov(0, 1)];
        match rng.below(8) {
            0 => body.extend([copy(6, 1), RawInsn { opcode: 0x30, dst: 0, src: 0, off: 0, imm: 0 }]),
            1 => body.extend(wide(1, map).into_iter().chain([mov(3, 0), call(0, 12), mov(0, 0)])),
            2 | 3 => body.extend(wide(0, 7)),
            _ => {}
        }
        body.extend((0..rng.below(3)).map(|i| mov(0, i as i32)));
        body.push(exit);
        bodies.push(body);
    }
    let mut main = vec![copy(6, 1)];
    if rng.once_in(3) {
        main.extend(wide(0, 1));
    }
    let first = main.len();
    main.extend((0..count).flat_map(|_| [copy(1, 6), call(1, 0)]));
    main.extend([mov(0, 0), exit]);
    let mut starts = vec![0];
    for (i, body) in bodies.into_iter().enumerate() {
        let at = first + 2 * i + 1;
        main[at].imm = (main.len() - at - 1) as i32;
        starts.push(main.len() as u32);
        main.extend(body);
    }
    (main, starts)
}

fn records<T>(record_size: u32, list: Vec<T>) -> Records<T> {
    Records { record_size, list, tail: None }
}

/// Records that are fine, then changed here and there.
fn info(rng: &mut Rng, insns: &[RawInsn], starts: &[u32]) -> ProgramInfo {
    let function = |(i, &offset): (usize, &u32)| {
        let ty = if i == 0 { MAIN } else { FIRST_FUNC };
        FuncInfo { offset, ty: TypeId(ty) }
    };
    let mut functions: Vec<FuncInfo> = starts.iter().enumerate().map(function).collect();
    for function in functions.iter_mut().skip(1) {
        let results = if rng.once_in(2) { RESULTS.len() as u64 } else { 1 };
        function.ty.0 += rng.below(results) as u32;
    }
    let line = |offset| LineInfo { offset, file: 18, text: 22, line: 3, column: 2 };
    let fits = |slot: u32| insns[slot as usize].opcode != 0;
    let mut lines: Vec<LineInfo> = (0..insns.len() as u32)
        .filter(|slot| starts.contains(slot) || fits(*slot) && rng.once_in(2))
        .map(line)
        .collect();
    let slots = insns.len() as u64;
    for _ in 0..rng.below(3) {
        let (f, l) = (rng.below(functions.len().max(1) as u64) as usize, rng.below(lines.len().max(1) as u64) as usize);
        let near = |rng: &mut Rng, n: u32| match rng.below(4) {
            0 => n.wrapping_add(1),
            1 => n.wrapping_sub(1),
            2 => rng.below(slots + 2) as u32,
            _ => rng.below(1 << 32) as u32,
        };
        match rng.below(14) {
            0 | 1 if !functions.is_empty() => functions[f].offset = near(rng, functions[f].offset),
            2 | 3 if !functions.is_empty() => functions[f].ty.0 = rng.below(21) as u32,
            4 if !functions.is_empty() => drop(functions.remove(f)),
            5 if !functions.is_empty() => functions.insert(f, functions[f]),
            6 => functions.clear(),
            7 | 8 if !lines.is_empty() => lines[l].offset = near(rng, lines[l].offset),
            9 if !lines.is_empty() => drop(lines.remove(l)),
            10 if !lines.is_empty() => lines.insert(l, lines[l]),
            11 => lines.clear(),
            12 if !lines.is_empty() => {
                let off = rng.pick(&[0, 1, STRINGS.len() as u32 - 1, STRINGS.len() as u32, u32::MAX]);
                if rng.once_in(2) { lines[l].file = off } else { lines[l].text = off }
            }
            _ => {}
        }
    }
    let size = |rng: &mut Rng, usual: u32| {
        if rng.once_in(8) { rng.pick(&[0, 4, 8, 12, 16, 20, 24, 252, 255, 256]) } else { usual }
    };
    let mut info = ProgramInfo { functions: records(size(rng, 8), functions), lines: records(size(rng, 16), lines) };
    let tail = |rng: &mut Rng, more: bool, len: usize| {
        (more && len > 0 && rng.once_in(2)).then(|| rng.below(len as u64) as usize)
    };
    info.functions.tail = tail(rng, info.functions.record_size > 8, info.functions.list.len());
    info.lines.tail = tail(rng, info.lines.record_size > 16, info.lines.list.len());
    info
}

/// Records as bytes; there is room for records of any size.
fn bytes<T: Copy, const N: usize>(of: &Records<T>, words: impl Fn(T) -> [u32; N]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, record) in of.list.iter().enumerate() {
        let mut one: Vec<u8> = words(*record).into_iter().flat_map(u32::to_le_bytes).collect();
        one.resize(of.record_size as usize, 0);
        if of.tail.is_some_and(|tail| i >= tail) {
            *one.last_mut().unwrap() = 1;
        }
        out.extend(one);
    }
    out.resize(out.len() + 512, 0);
    out
}

struct Asked<'a> {
    ty: ProgType,
    raw: &'a [u8],
    types: &'a KernelBtf,
    info: &'a ProgramInfo,
}

/// What the kernel says: nothing, or its error number and its log.
fn ask(kernel: Kernel, program: &Asked<'_>) -> Result<(), (i32, String)> {
    let ProgramInfo { functions, lines } = program.info;
    let function_bytes = bytes(functions, |f| [f.offset, f.ty.0]);
    let line_bytes = bytes(lines, |l| [l.offset, l.file, l.text, l.line << 10 | l.column]);
    let request = LoadRequest {
        prog_type: program.ty.number(),
        bytes: program.raw,
        types: Some(program.types),
        info: Some(RawInfo {
            functions: (functions.record_size, functions.list.len() as u32, &function_bytes),
            lines: (lines.record_size, lines.list.len() as u32, &line_bytes),
        }),
        ..LoadRequest::default()
    };
    kernel.explained(&request).map(drop).map_err(|e| (e.errno, e.log))
}

/// Compares two answers; says whether both accept, or nothing where it is not modelled here.
fn same(ours: &Verdict, theirs: &Result<(), (i32, String)>, what: &str) -> Option<bool> {
    match (ours, theirs) {
        (Verdict::Unsupported(_), _) => None,
        (Verdict::Accepted(_), Ok(())) => Some(true),
        (Verdict::Rejected(ours), Err((errno, log))) => {
            assert_eq!(i32::from(ours.errno.0), *errno, "{what}: {}\n{log}", ours.reason());
            let sentence = log.split("processed ").next().unwrap_or("").trim();
            assert!(sentence.is_empty() || sentence.contains(ours.reason()), "{what}: {}\n{log}", ours.reason());
            Some(false)
        }
        (Verdict::Accepted(_), Err((errno, log))) => panic!("{what}: accepted here, the kernel {errno}\n{log}"),
        (Verdict::Rejected(ours), Ok(())) => panic!("{what}: the kernel accepts, here {}", ours.reason()),
    }
}

#[test]
fn generated_records_are_taken_as_the_kernel_does() {
    let Some(kernel) = kernel("generated_records_are_taken_as_the_kernel_does") else { return };
    let bytes = types();
    let (types, btf) = (kernel.load_btf(&bytes).unwrap(), Arc::new(Btf::parse(&bytes).unwrap()));
    // A program array belongs to the type of program that uses it first.
    let array = || kernel.create_map(3, 4, 4, 1, 0).unwrap();
    let maps = [(ProgType::SocketFilter, array()), (ProgType::SchedCls, array())];
    let spec = MapSpec { ty: MapType::PROG_ARRAY, key_size: 4, value_size: 4, max_entries: 1, ..MapSpec::default() };
    let (mut taken, mut refused) = (0, std::collections::BTreeSet::new());
    let seeds = support::seeds(20000);
    let cases = seeds.end - seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let (ty, map) = &maps[rng.below(2) as usize];
        let ty = *ty;
        let (raw, starts) = code(&mut rng, 0);
        let info = info(&mut rng, &raw, &starts);
        let insns: Vec<Insn> = insn::decode(&raw).unwrap();
        let mut program = Program::from_insns("f", ty, insns, vec![spec.clone()]);
        program.functions = starts.iter().map(|&s| Function::new(format!("f{s}"), s as usize)).collect();
        for function in &mut program.functions {
            let record = info.functions.list.iter().find(|f| f.offset as usize == function.start);
            function.btf = record.map(|f| f.ty);
            function.global = function.btf == Some(TypeId(MAIN));
        }
        program.btf = Some(btf.clone());
        program.info = Some(Arc::new(info.clone()));
        let with_map = raw
            .iter()
            .map(|&insn| if insn.opcode == 0x18 && insn.src == 1 { RawInsn { imm: map.fd(), ..insn } } else { insn });
        let raw: Vec<u8> = with_map.flat_map(RawInsn::to_le_bytes).collect();
        let theirs = ask(kernel, &Asked { ty, raw: &raw, types: &types, info: &info });
        let ours = verify(program, &Options::default());
        if let Verdict::Rejected(why) = &ours {
            refused.insert(why.reason().split(|c: char| c.is_ascii_digit()).next().unwrap_or("").to_owned());
        }
        taken += u64::from(same(&ours, &theirs, &format!("seed {seed}")) == Some(true));
    }
    assert!(
        taken * 5 > cases && (cases < 20000 || refused.len() >= 15),
        "{taken} of {cases} are fine; refused: {refused:#?}"
    );
}

/// A program as the kernel is given it: maps created, and named by their descriptors.
fn given(kernel: Kernel, program: &Program) -> Option<(Vec<u8>, Vec<KernelMap>)> {
    let small = |spec: &MapSpec| MapSpec { max_entries: spec.max_entries.min(64), ..spec.clone() };
    let maps: Vec<KernelMap> = program.maps.iter().map(|m| kernel.create(&small(m)).ok()).collect::<Option<_>>()?;
    let raw = insn::encode(&program.insns).ok()?;
    let named = raw.into_iter().map(|insn| match insn {
        RawInsn { opcode: 0x18, src: 1 | 2, imm, .. } => RawInsn { imm: maps[imm as usize].fd(), ..insn },
        _ => insn,
    });
    Some((named.flat_map(RawInsn::to_le_bytes).collect(), maps))
}

#[test]
fn types_and_records_of_objects_are_fine() {
    let Some(kernel) = kernel("types_and_records_of_objects_are_fine") else { return };
    let (mut with_types, mut programs) = (0, 0);
    for file in objects() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(object) = Object::parse(&std::fs::read(&file).unwrap()) else { continue };
        let Some(bytes) = object.kernel_btf() else { continue };
        kernel.check_btf(bytes).unwrap_or_else(|e| panic!("{}: {} {}", file.display(), e.errno, e.log));
        let types = kernel.load_btf(bytes).unwrap();
        with_types += 1;
        if object.byte_order() == bpf::program::Endian::Big {
            continue;
        }
        for entry in object.programs() {
            let TypeGuess::Known(ty) = entry.ty else { continue };
            let Ok(program) = object.program(Some(&entry.name), None) else { continue };
            let Some(info) = program.info.clone() else { continue };
            let Some((raw, _maps)) = given(kernel, &program) else { continue };
            let theirs = ask(kernel, &Asked { ty, raw: &raw, types: &types, info: &info });
            // Whatever else the kernel says of the program, it says nothing of its records.
            if let Err((errno, log)) = &theirs {
                let about_records = ["func info", "func_info", "line_info", "in BPF program"];
                assert!(!about_records.iter().any(|w| log.contains(w)), "{name} {}: {errno} {log}", entry.name);
            }
            let told = bpf::btf::info::early(&info, program.btf.as_deref().unwrap());
            told.unwrap_or_else(|e| panic!("{name} {}: {e}", entry.name));
            programs += 1;
        }
    }
    println!("{with_types} objects, {programs} programs");
    assert!(with_types >= 10 && programs >= 20, "{with_types} objects, {programs} programs");
}

/// Objects of which a bit of the types is changed: what is read the kernel takes, and the rest ends in one line.
#[test]
fn damaged_types_end_in_one_line() {
    let Some(kernel) = kernel("damaged_types_end_in_one_line") else { return };
    let (mut rng, mut read, mut refused) = (Rng::new(7), 0, 0);
    for file in objects() {
        let whole = std::fs::read(&file).unwrap();
        let Some(start) = whole.windows(4).position(|w| w == [0x9f, 0xeb, 1, 0]) else { continue };
        let word = |at: usize| u32::from_le_bytes(whole[start + at..start + at + 4].try_into().unwrap()) as u64;
        for _ in 0..30 {
            let mut bytes = whole.clone();
            bytes[start + rng.below(24 + word(12)) as usize] ^= 1 << rng.below(8);
            match Object::parse(&bytes) {
                Ok(object) => {
                    let types = object.kernel_btf().unwrap();
                    kernel.check_btf(types).unwrap_or_else(|e| panic!("{}: {} {}", file.display(), e.errno, e.log));
                    read += 1;
                }
                Err(why) => {
                    assert_eq!(why.headline().lines().count(), 1, "{why}");
                    refused += u32::from(why.code == "btf-refused");
                }
            }
        }
    }
    assert!(read > 50 && refused > 20, "{read} read, {refused} refused");
}
