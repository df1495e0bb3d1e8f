//! Random programs with functions that helpers call back, on a few words of the caller's stack.
//!
//! Main function: R6 context, R9 a number. Functions called back: R6 the words, R7 a number, R8 free, R9 an element's value
//! where there is one.

use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Reg, Size, Wide};
use bpf::program::{ProgType, Program};

use super::asm::*;
use super::functions;
use super::generate;
use super::rng::Rng;

/// `bpf_for_each_map_elem` and `bpf_loop`.
const EACH: u32 = 164;
const LOOP: u32 = 181;
/// Words of the main function's stack that are handed over, from this offset up.
const WORDS: i32 = -32;

fn function_address(dst: Reg, off: i32) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::Func { off } }, Insn::Pad]
}

fn word(rng: &mut Rng) -> i16 {
    8 * rng.below(4) as i16
}

/// One thing done with the words at R`base`.
fn step(rng: &mut Rng, base: Reg, at: i16) -> Vec<Insn> {
    let off = at + word(rng);
    let number = rng.between(0, 40) as i32;
    match rng.below(8) {
        0 => vec![store(Size::D, base, off, number)],
        1 => vec![store(rng.pick(&[Size::B, Size::H, Size::W]), base, off, R7)],
        // A sum that never repeats keeps both verifiers busy up to their limit, so few do.
        2 => {
            let sum = alu64(AluOp::And, R8, if rng.once_in(12) { -1 } else { 3 });
            vec![load(Size::D, R8, base, off), add(R8, number), sum, store(Size::D, base, off, R8)]
        }
        3 => {
            let mask = rng.pick(&[7, 0xff, 0xfff0]);
            vec![load(Size::D, R8, base, off), alu64(AluOp::And, R8, mask), store(Size::D, base, at + word(rng), R8)]
        }
        4 => vec![mov(R8, number), atomic(AtomicOp::Add, rng.once_in(2), Size::D, base, off, R8)],
        5 => vec![store(Size::D, R10, -64, R7), load(Size::W, R8, R10, -64), store(Size::D, base, off, R8)],
        6 => vec![load(Size::B, R8, base, off), alu64(AluOp::Lsh, R8, 2), mov(R7, R8)],
        _ => vec![add(R7, number), alu64(AluOp::And, R7, 0xff)],
    }
}

/// Steps, some of them behind a comparison.
fn steps(rng: &mut Rng, base: Reg, at: i16) -> Vec<Insn> {
    let mut out = Vec::new();
    for _ in 0..1 + rng.below(4) {
        let body = step(rng, base, at);
        if rng.once_in(3) {
            let cond = rng.pick(&[Cond::Gt, Cond::Eq, Cond::Slt, Cond::Ne]);
            out.push(branch(cond, R7, rng.between(0, 12) as i32, body.len() as i16));
        }
        out.extend(body);
    }
    out
}

/// A few turns of the function that begins `start` slots into the program, with the same words; from slot `at` on.
fn loop_over(rng: &mut Rng, at: usize, start: usize) -> Vec<Insn> {
    let turns = mov(R1, rng.between(0, 3) as i32);
    let [low, high] = function_address(R2, start as i32 - at as i32 - 2);
    vec![turns, low, high, mov(R3, R6), mov(R4, 0), helper(LOOP)]
}

/// A function that `helper_id` calls back. With `inner` it calls back itself.
fn function(rng: &mut Rng, helper_id: u32, at: usize, inner: Option<usize>) -> Vec<Insn> {
    let mut out = match helper_id {
        LOOP => vec![mov(R6, R2), mov(R7, R1)],
        _ => vec![mov(R6, R4), mov(R9, R3), load(Size::W, R7, R2, 0)],
    };
    if helper_id == EACH && rng.once_in(2) {
        out.extend([load(Size::W, R8, R9, 8), store(Size::W, R9, 4, R7), store(Size::D, R6, 0, R8)]);
    }
    out.extend(steps(rng, R6, 0));
    if let Some(start) = inner {
        out.extend(loop_over(rng, at + out.len(), start));
        out.extend(steps(rng, R6, 0));
    }
    let last = [mov(R0, R7), alu64(AluOp::And, R0, i32::from(rng.once_in(2)))];
    out.extend(last);
    out.push(exit());
    out
}

/// A program from a seed.
pub fn program(seed: u64) -> Program {
    let rng = &mut Rng::new(seed ^ 0xca11_bac5);
    let first = rng.pick(&[LOOP, LOOP, EACH]);
    let turns = match rng.below(4) {
        0 => vec![load(Size::W, R1, R6, 12), alu64(AluOp::And, R1, 15)],
        1 => vec![load(Size::W, R1, R6, 12)],
        _ => vec![mov(R1, rng.between(0, 9) as i32)],
    };
    // How long the main function is decides where the others begin, so it is written twice.
    let mut lengths = [0; 2];
    loop {
        let mut again = rng.clone();
        let rng = &mut again;
        let mut out = vec![mov(R6, R1), load(Size::W, R9, R6, 12), mov(R7, 1), mov(R8, 0)];
        for off in [-32, -24, -16, -8] {
            out.push(if rng.once_in(4) { store(Size::D, R10, off, R9) } else { store(Size::D, R10, off, 3) });
        }
        out.extend(steps(rng, R10, WORDS as i16));
        out.extend(&turns);
        let mut call = Vec::new();
        if first == EACH {
            out.truncate(out.len() - turns.len());
            call.extend(map(R1, rng.below(2) as u32));
        }
        let off = lengths[0] as i32 - (out.len() + call.len()) as i32 - 1;
        call.extend(function_address(R2, off));
        call.extend([mov(R3, R10), add(R3, WORDS), mov(R4, 0), helper(first)]);
        out.extend(call);
        out.extend(steps(rng, R10, WORDS as i16));
        out.extend([load(Size::D, R0, R10, WORDS as i16), add(R0, R9), alu64(AluOp::And, R0, 3), exit()]);
        let main = out.len();
        let inner = rng.once_in(3).then_some(lengths[1]);
        out.extend(function(rng, first, main, inner));
        let outer = out.len();
        if inner.is_some() {
            out.extend(function(rng, LOOP, outer, None));
        }
        if lengths == [main, outer] {
            return functions::typed(&Program::from_insns("callbacks", ProgType::Xdp, out, generate::maps()));
        }
        lengths = [main, outer];
    }
}
