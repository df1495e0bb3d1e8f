//! Instructions that end the function they stand in, or do not: tail calls, whose caller goes on with whatever the other
//! program returns, and packet loads of classic heritage, which return 0 where there are no such bytes. Verdict, sentence
//! and whole log are the running kernel's, its mistakes included.

use crate::support;

use bpf::insn::{AluOp, Cond, Insn, PacketMode, Reg, Size, Wide};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::asm::*;
use support::kernel::LoadRequest;
use support::logs::plain;
use support::{both, functions, kernel};

const PROGRAMS: u32 = 0;
const ARRAY: u32 = 1;

fn maps() -> Vec<MapSpec> {
    let spec = |ty, key, value, entries| MapSpec { name: String::new(), ..both::spec(ty, key, value, entries, 0) };
    vec![spec(MapType::PROG_ARRAY, 4, 4, 4), spec(MapType::ARRAY, 4, 64, 1)]
}

struct Case {
    name: &'static str,
    ty: ProgType,
    insns: Vec<Insn>,
    accepted: bool,
}

/// A main function, one that it calls in place of the instruction `call(0)`, and a function behind both.
fn case(name: &'static str, ty: ProgType, accepted: bool, main: &[&[Insn]], function: &[&[Insn]]) -> Case {
    let (mut main, function) = (main.concat(), function.concat());
    let start = main.len() as i32;
    for (slot, insn) in main.iter_mut().enumerate() {
        let off = start - slot as i32 - 1;
        match insn {
            insn if *insn == call(0) => *insn = call(off),
            Insn::LoadImm64 { value: value @ Wide::Func { .. }, .. } => *value = Wide::Func { off },
            _ => {}
        }
    }
    Case { name, ty, insns: [main, function].concat(), accepted }
}

/// R7 = the array's value, which is there.
fn value() -> Vec<Insn> {
    let key = [store(Size::W, R10, -4, 0), mov(R2, R10), add(R2, -4)];
    let found = [helper(1), branch(Cond::Ne, R0, 0, 2), mov(R0, 0), exit(), mov(R7, R0)];
    [&key[..], &map(R1, ARRAY), &found].concat()
}

/// R1 is the context; goes on if there is no program.
fn tail_call() -> Vec<Insn> {
    [&map(R2, PROGRAMS)[..], &[mov(R3, 1), helper(12)]].concat()
}

fn packet_load(imm: i32) -> [Insn; 2] {
    [mov(R6, R1), Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm }]
}

/// R7 = packet, of which 8 bytes may be read; R6 = context.
fn packet() -> Vec<Insn> {
    let bounds = [mov(R6, R1), load(Size::W, R7, R1, 0), load(Size::W, R8, R1, 4), mov(R9, R7), add(R9, 8)];
    [&bounds[..], &[branch(Cond::Le, R9, R8, 2), mov(R0, 0), exit()]].concat()
}

fn function_address(dst: Reg) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::Func { off: 0 } }, Insn::Pad]
}

/// `bpf_loop` over the function, which gets a pointer to the context at the stack's top.
fn called_back() -> Vec<Insn> {
    let context = [store(Size::D, R10, -8, R1), mov(R1, 4)];
    let call = [mov(R3, R10), add(R3, -8), mov(R4, 0), helper(181), mov(R0, 0), exit()];
    [&context[..], &function_address(R2), &call].concat()
}

fn tail_calls() -> Vec<Case> {
    let xdp =
        |name, accepted, main: &[&[Insn]], function: &[&[Insn]]| case(name, ProgType::Xdp, accepted, main, function);
    let index =
        |bound: &[Insn]| [&[mov(R6, R1)][..], &value(), &[mov(R1, R6), call(0)], bound, &[add(R7, R0)]].concat();
    let one = [&tail_call()[..], &[mov(R0, 1), exit()]].concat();
    let read = [load(Size::B, R0, R7, 0), exit()];
    vec![
        xdp("the result is returned", true, &[&[mov(R6, R1), call(0), exit()]], &[&one]),
        xdp("the result is an index", false, &[&index(&[]), &read], &[&one]),
        xdp("the result is an index that is masked", true, &[&index(&[alu64(AluOp::And, R0, 7)]), &read], &[&one]),
        xdp(
            "the result is an index that is compared",
            true,
            &[&index(&[branch(Cond::Lt, R0, 64, 1), exit()]), &read],
            &[&one],
        ),
        xdp("the result decides a branch", true, &[&index(&[branch(Cond::Eq, R0, 1, 1), mov(R0, 0)]), &read], &[&one]),
        xdp(
            "the callee goes on with its packet",
            true,
            &[&[call(0), exit()]],
            &[&packet(), &[mov(R1, R6)], &tail_call(), &[load(Size::B, R0, R7, 0), exit()]],
        ),
        xdp("the caller goes on with its packet", false, &[&packet(), &[mov(R1, R6), call(0)], &read], &[&one]),
        xdp(
            "a number of the caller's matters",
            true,
            &[&[mov(R6, R1)], &value(), &[mov(R8, 3), mov(R1, R6), call(0), add(R7, R8)], &read],
            &[&one],
        ),
        xdp(
            "a number on the caller's stack matters",
            true,
            &[
                &[mov(R6, R1)],
                &value(),
                &[store(Size::D, R10, -16, 5), mov(R1, R6), call(0), load(Size::D, R2, R10, -16), add(R7, R2)],
                &read,
            ],
            &[&one],
        ),
        xdp(
            "a number on the callee's stack matters",
            true,
            &[&index(&[]), &read],
            &[&[store(Size::D, R10, -8, 3), load(Size::D, R0, R10, -8), alu64(AluOp::And, R0, 7), exit()]],
        ),
        xdp(
            "in a callback",
            false,
            &[&called_back()],
            &[&[load(Size::D, R1, R2, 0)], &tail_call(), &[mov(R0, 0), exit()]],
        ),
        xdp("twice", true, &[&[mov(R6, R1), call(0), mov(R1, R6), call(0), exit()]], &[&one]),
    ]
}

fn packet_loads() -> Vec<Case> {
    let filter = |name, accepted, main: &[&[Insn]], function: &[&[Insn]]| {
        case(name, ProgType::SocketFilter, accepted, main, function)
    };
    let small = |imm| [&packet_load(imm)[..], &[alu64(AluOp::And, R0, 7), add(R0, 1), exit()]].concat();
    let add_five = [&[mov(R6, R1), call(0), add(R0, 5), exit()][..]];
    let index =
        |bound: &[Insn]| [&[mov(R6, R1)][..], &value(), &[mov(R1, R6), call(0)], bound, &[add(R7, R0)]].concat();
    let read = [load(Size::B, R0, R7, 0), exit()];
    vec![
        filter("bytes that are there", true, &add_five, &[&small(13)]),
        filter("bytes that are not there", true, &add_five, &[&small(100)]),
        filter(
            "the result is at least 1, it seems",
            false,
            &[&[&index(&[])[..], &[load(Size::B, R0, R7, -1), exit()]].concat()],
            &[&small(13)],
        ),
        filter("the result is an index", true, &[&index(&[]), &read], &[&small(13)]),
        filter(
            "the result is an index beside a number",
            false,
            &[&[mov(R6, R1)], &value(), &[mov(R8, 3), mov(R1, R6), call(0), add(R7, R0), add(R7, R8)], &read],
            &[&small(13)],
        ),
        filter(
            "twice",
            true,
            &add_five,
            &[&packet_load(3), &[mov(R7, R0)], &packet_load(200)[1..], &[add(R0, R7), exit()]],
        ),
        filter(
            "in a callback",
            false,
            &[&called_back()],
            &[&[load(Size::D, R1, R2, 0)], &packet_load(90), &[mov(R0, 0), exit()]],
        ),
    ]
}

#[test]
fn the_kernel_says_the_same() {
    let Some(kernel) = kernel::kernel("the_kernel_says_the_same") else { return };
    let maps = maps();
    let made: Vec<_> = maps.iter().map(|m| kernel.create(m).expect("plain maps")).collect();
    let mut wrong = Vec::new();
    for Case { name, ty, insns, accepted } in tail_calls().into_iter().chain(packet_loads()) {
        let starts = functions::starts(&insns);
        let (types, numbers) = functions::types(kernel, starts.len());
        let records: Vec<[u32; 2]> = starts.iter().zip(&numbers).map(|(start, id)| [*start, *id]).collect();
        let bytes = both::kernel_bytes(&insns, &made);
        let request = LoadRequest {
            prog_type: ty.number(),
            bytes: &bytes,
            log_level: 2,
            types: Some(&types),
            functions: &records,
            ..LoadRequest::default()
        };
        let (loaded, log) = kernel.request(&request);
        assert_eq!(loaded.is_ok(), accepted, "{name}: the kernel's log is\n{log}");
        let program = functions::typed(&Program::from_insns("early", ty, insns, maps.clone()));
        let (verdict, ours) = verify_logged(program, &Options { log_level: 2, ..Options::default() });
        let errno = match verdict {
            Verdict::Accepted(_) => None,
            Verdict::Rejected(r) => Some(i32::from(r.errno.0)),
            Verdict::Unsupported(d) => panic!("{name}: {d}"),
        };
        let theirs = loaded.as_ref().err().copied();
        // Linux looks at what matters before it refuses, which is then said first.
        let is_said = |l: &String| {
            (accepted || !l.starts_with("mark_precise:"))
                && !l.contains("falling back")
                && !l.starts_with("force_precise:")
        };
        let said = |log: &str| -> Vec<String> { plain(log).into_iter().filter(is_said).collect() };
        let (ours, log) = (said(&ours), said(&log));
        let at = ours.iter().zip(&log).position(|(o, t)| o != t).unwrap_or(ours.len().min(log.len()));
        if errno != theirs || ours != log {
            let lines = |log: &[String]| log[at.saturating_sub(3)..(at + 3).min(log.len())].join("\n    ");
            wrong.push(format!(
                "{name}: kernel {theirs:?}\n    {}\n  here {errno:?}\n    {}",
                lines(&log),
                lines(&ours)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
