//! Functions that are handed a dynamic pointer: those that `bpf_user_ringbuf_drain` calls back, and global ones. Verdict,
//! error number and whole log are the running kernel's.

use crate::support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::btf::build::Builder;
use bpf::btf::info::ProgramInfo;
use bpf::btf::{Btf, Encoding, FuncInfo, FuncLinkage, Kind, Param, TypeId};
use bpf::insn::{AluOp, Cond, Endian, Insn, Size, Wide};
use bpf::program::{Function, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::asm::*;
use support::kernel::LoadRequest;
use support::logs::plain;
use support::rng::Rng;
use support::{both, kernel, seeds};

const VALUE: u32 = 0;
const USER_RING: u32 = 2;
const DRAIN: u32 = 209;

fn maps() -> Vec<MapSpec> {
    let spec = |ty, key, value, entries| MapSpec { name: String::new(), ..both::spec(ty, key, value, entries, 0) };
    vec![spec(MapType::ARRAY, 4, 64, 1), spec(MapType::RINGBUF, 0, 0, 4096), spec(MapType::USER_RINGBUF, 0, 0, 4096)]
}

/// The main function, a static one that is called back, and a global one: `int f(const struct bpf_dynptr *, int)`.
fn types(declared: bool) -> (Btf, [TypeId; 3]) {
    let mut types = Builder::default();
    let mut name = |text: &str| types.name(text).expect("short names");
    let none = name("");
    let names = ["int", "bpf_dynptr", "a", "b", "main", "called_back", "global"].map(&mut name);
    let int = Kind::Int { size: 4, encoding: Encoding::Signed, bit_offset: 0, bits: 32 };
    let int = types.push(names[0], int);
    let what = if declared { Kind::Fwd { is_union: false } } else { Kind::Struct { size: 16, members: Vec::new() } };
    let dynptr = types.push(names[1], what);
    let constant = types.push(none, Kind::Const(dynptr));
    let ptr = types.push(none, Kind::Ptr(constant));
    let bare = types.push(none, Kind::FuncProto { result: int, params: Vec::new() });
    let params = vec![Param { name: names[2], ty: ptr }, Param { name: names[3], ty: int }];
    let takes = types.push(none, Kind::FuncProto { result: int, params });
    let functions = [(FuncLinkage::Global, bare), (FuncLinkage::Static, takes), (FuncLinkage::Global, takes)];
    let mut at = 4;
    let ids = functions.map(|(linkage, proto)| {
        at += 1;
        types.push(names[at - 1], Kind::Func { linkage, proto })
    });
    (types.finish(), ids)
}

/// A call of the function that begins `start` slots into the program, from slot `at`.
fn call_of(start: usize, at: usize) -> Insn {
    call(start as i32 - at as i32 - 1)
}

/// Steps of a function that was handed a dynamic pointer in R6 and a number in R7.
fn steps(rng: &mut Rng, out: &mut Vec<Insn>, global: usize, wrong: u64) {
    out.extend([store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 0)]);
    for _ in 0..rng.between(1, 5) {
        let number = rng.between(0, 12) as i32;
        let size = rng.pick(&[Size::B, Size::W, Size::D]);
        if !rng.once_in(wrong) {
            match rng.below(5) {
                0 => out.extend([
                    mov(R1, R10),
                    add(R1, -16),
                    mov(R2, 8),
                    mov(R3, R6),
                    mov(R4, number),
                    mov(R5, 0),
                    helper(201),
                ]),
                1 => out.extend([
                    mov(R1, R6),
                    mov(R2, number),
                    mov(R3, R10),
                    add(R3, -8),
                    mov(R4, 8),
                    mov(R5, 0),
                    helper(202),
                ]),
                2 => {
                    out.extend([mov(R1, R6), mov(R2, number), mov(R3, 8), helper(203), branch(Cond::Eq, R0, 0, 2)]);
                    out.extend([store(Size::B, R0, 7, 1), load(size, R7, R0, 0)]);
                }
                3 => out.extend([branch(Cond::Gt, R7, number, 1), add(R7, 1)]),
                _ => out.extend([mov(R1, R6), mov(R2, R7), call_of(global, out.len() + 2), mov(R7, R0)]),
            }
            continue;
        }
        match rng.below(11) {
            0 => out.extend([mov(R1, R6), mov(R2, 0), helper(rng.pick(&[199, 200]))]),
            1 => out.extend([mov(R1, R7), mov(R2, 8), mov(R3, 0), mov(R4, R6), helper(197)]),
            2 => out.push(load(size, R7, R6, number as i16)),
            3 => out.push(store(size, R6, number as i16, 1)),
            4 => out.push(add(R6, rng.pick(&[0, 8, -8]))),
            5 => out.extend([store(size, R10, -24, R6), load(size, R8, R10, -24)]),
            6 => out.extend([store(Size::D, R10, -24, R6), load(Size::D, R6, R10, -24)]),
            7 => out.extend([mov(R1, R6), mov(R2, 0), mov(R3, R7), helper(203)]),
            8 => out.extend([branch(Cond::Eq, R6, 0, 1), add(R7, 1)]),
            9 => out.extend([mov(R1, R10), add(R1, -16), mov(R2, R7), call_of(global, out.len() + 3)]),
            _ => out.extend([alu64(AluOp::Add, R7, R6), mov(R0, R6)]),
        }
    }
    let range = i32::from(!rng.once_in(wrong));
    out.extend([mov(R0, R7), alu64(AluOp::And, R0, range), exit()]);
}

/// The program, and where its functions begin.
fn generated(seed: u64, ids: [TypeId; 3]) -> Program {
    let mut starts = [0; 3];
    loop {
        let rng = &mut Rng::new(seed ^ 0x1e47);
        let wrong = rng.pick(&[3, 12, 400]);
        let wide = Wide::MapValue { map: bpf::program::MapIndex(VALUE), off: 0 };
        let mut out = vec![Insn::LoadImm64 { dst: R6, value: wide }, Insn::Pad, load(Size::W, R7, R1, 12)];
        out.extend([store(Size::D, R10, -24, R7), mov(R8, 0)]);
        if !rng.once_in(wrong) {
            out.extend([mov(R1, R6), mov(R2, 16), mov(R3, 0), mov(R4, R10), add(R4, -16), helper(197)]);
        }
        for _ in 0..rng.between(1, 3) {
            if rng.once_in(2) {
                out.extend([mov(R1, R10), add(R1, if rng.once_in(wrong) { -8 } else { -16 })]);
                match rng.below(2 * wrong) {
                    0 => out.push(mov(R1, R6)),
                    1 => out.push(mov(R2, R10)),
                    _ => out.push(mov(R2, R7)),
                }
                out.push(call_of(starts[2], out.len()));
                out.push(add(R8, R0));
                continue;
            }
            out.extend(map(R1, USER_RING));
            let off = starts[1] as i32 - out.len() as i32 - 1;
            out.extend([Insn::LoadImm64 { dst: R2, value: Wide::Func { off } }, Insn::Pad]);
            match rng.below(wrong) {
                0 => out.push(mov(R3, R6)),
                1 => out.push(mov(R3, 0)),
                _ => out.extend([mov(R3, R10), add(R3, -24)]),
            }
            out.extend([mov(R4, 0), helper(DRAIN), add(R8, R0)]);
        }
        out.extend([mov(R0, 0), exit()]);
        let back = out.len();
        out.extend([mov(R6, R1), mov(R9, R2), mov(R7, 1)]);
        if rng.once_in(2) {
            out.extend([branch(Cond::Eq, R9, 0, 1), store(Size::D, R9, 0, R7)]);
        }
        steps(rng, &mut out, starts[2], wrong);
        let global = out.len();
        out.extend([mov(R6, R1), mov(R7, R2)]);
        let mut own = Vec::new();
        steps(rng, &mut own, 0, wrong);
        // It calls nothing, which would be itself.
        for insn in &mut own {
            if matches!(insn, Insn::Call { callee: bpf::insn::Callee::Local(_) }) {
                *insn = mov(R0, 1);
            }
        }
        out.extend(own);
        if starts == [0, back, global] {
            let program = Program::from_insns("main", ProgType::Xdp, out, maps());
            let names = ["main", "called_back", "global"];
            let functions =
                (0..3).map(|i| Function { btf: Some(ids[i]), ..Function::new(names[i].to_owned(), starts[i]) });
            let mut told = ProgramInfo::default();
            told.functions.list.extend((0..3).map(|i| FuncInfo { offset: starts[i] as u32, ty: ids[i] }));
            return Program { functions: functions.collect(), info: Some(Arc::new(told)), ..program };
        }
        starts = [0, back, global];
    }
}

#[test]
fn functions_that_are_handed_dynamic_pointers() {
    let Some(kernel) = kernel::kernel("functions_that_are_handed_dynamic_pointers") else { return };
    let made: Vec<_> = maps().iter().map(|spec| kernel.create(spec).expect("plain maps")).collect();
    let options = Options { log_level: 2, processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
    let (mut accepted, mut reasons) = (0, BTreeMap::<String, u32>::new());
    let seeds = seeds(200);
    let count = seeds.end - seeds.start;
    let both_types = [true, false].map(|declared| {
        let (types, ids) = types(declared);
        let bytes = types.to_bytes(Endian::Little).expect("few types");
        let loaded = kernel.load_btf(&bytes).unwrap_or_else(|errno| panic!("the kernel takes the types: {errno}"));
        (Arc::new(types), ids, loaded)
    });
    for seed in seeds {
        let (types, ids, loaded) = &both_types[seed as usize % 2];
        let program = Program { btf: Some(types.clone()), ..generated(seed, *ids) };
        let bytes = both::kernel_bytes(&program.insns, &made);
        let functions: Vec<[u32; 2]> =
            program.functions.iter().zip(ids).map(|(f, id)| [f.start as u32, id.0]).collect();
        let request = LoadRequest {
            prog_type: ProgType::Xdp.number(),
            bytes: &bytes,
            log_level: 2,
            types: Some(loaded),
            functions: &functions,
            ..LoadRequest::default()
        };
        let (theirs, log) = kernel.request(&request);
        let (verdict, ours) = verify_logged(program, &options);
        // Linux looks at what matters before it refuses.
        let said = |log: &str| -> Vec<String> {
            plain(log).into_iter().filter(|l| theirs.is_ok() || !l.starts_with("mark_precise:")).collect()
        };
        let (said_there, said_here) = (said(&log), said(&ours));
        // Where it cannot follow a number it names all there are.
        let lost = log.contains("forcing all scalars precise");
        if said_there != said_here && !lost {
            let at = said_there
                .iter()
                .zip(&said_here)
                .position(|(a, b)| a != b)
                .unwrap_or(said_there.len().min(said_here.len()));
            panic!(
                "seed {seed}, line {at}:\nkernel {:?}\nhere   {:?}\n\n{log}\n\nhere:\n{ours}",
                said_there.get(at),
                said_here.get(at)
            );
        }
        match (theirs.map(drop), verdict) {
            (Ok(()), Verdict::Accepted(_)) => accepted += 1,
            (Err(errno), Verdict::Rejected(r)) if errno == i32::from(r.errno.0) => {
                *reasons.entry(r.reason().replace(|c: char| c.is_ascii_digit(), "")).or_default() += 1;
            }
            (theirs, _) => panic!("seed {seed}: kernel {theirs:?}\n{log}\nhere\n{ours}"),
        }
    }
    println!("{accepted} accepted; {reasons:#?}");
    assert!(count < 20 || accepted * 5 > count && !reasons.is_empty());
}
