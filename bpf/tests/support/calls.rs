//! Programs of helper calls with the context first: what they answer, what they leave in a buffer, what context fields hold.

use bpf::insn::{AluOp, Insn, Reg, Size};
use proptest::prelude::*;

use super::asm::*;

/// Bytes of the buffer on the stack.
pub const BUFFER: i16 = 128;

/// An argument behind the context.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// A number.
    Num(u64),
    /// The buffer.
    Buffer,
}

/// A step of a program.
#[derive(Debug, Clone)]
pub enum Step {
    /// A helper.
    Call(u32, Vec<Arg>),
    /// A helper whose first argument is not the context.
    Bare(u32, Vec<Arg>),
    /// A field of the context, or a part of one, is read.
    Read(Size, i16),
    /// A field of the context is written.
    Write(Size, i16, u64),
    /// The buffer is filled from a number.
    Fill(u64),
    /// Bytes of the buffer are set.
    Set(i16, Vec<u8>),
}

/// R7 collects R0.
fn collect(insns: &mut Vec<Insn>) {
    insns.extend([alu64(AluOp::Mul, R7, 31), add(R7, R0)]);
}

fn fill(insns: &mut Vec<Insn>, seed: u64) {
    for word in 1..=BUFFER / 8 {
        insns.extend(wide(R0, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(word as u32)));
        insns.push(store(Size::D, R10, -8 * word, R0));
    }
}

/// The program: R0 is a sum over all that was seen.
pub fn program(steps: &[Step]) -> Vec<Insn> {
    let mut insns = vec![mov(R6, R1), mov(R7, 0)];
    fill(&mut insns, 1);
    for step in steps {
        match step {
            Step::Call(id, args) | Step::Bare(id, args) => {
                let first = match step {
                    Step::Call(..) => {
                        insns.push(mov(R1, R6));
                        2
                    }
                    _ => 1,
                };
                for (at, arg) in args.iter().enumerate() {
                    let reg = Reg::new(first + at as u8).unwrap();
                    match arg {
                        Arg::Num(value) => insns.extend(wide(reg, *value)),
                        Arg::Buffer => insns.extend([mov(reg, R10), add(reg, -i32::from(BUFFER))]),
                    }
                }
                insns.push(helper(*id));
                collect(&mut insns);
                if args.iter().any(|arg| matches!(arg, Arg::Buffer)) {
                    for word in 1..=BUFFER / 8 {
                        insns.push(load(Size::D, R0, R10, -8 * word));
                        collect(&mut insns);
                    }
                }
            }
            Step::Read(size, off) => {
                insns.push(load(*size, R0, R6, *off));
                collect(&mut insns);
            }
            Step::Write(size, off, value) => {
                insns.extend(wide(R0, *value));
                insns.push(store(*size, R6, *off, R0));
            }
            Step::Fill(seed) => fill(&mut insns, *seed),
            Step::Set(at, bytes) => {
                let set = |(i, byte): (usize, &u8)| store(Size::B, R10, at - BUFFER + i as i16, i32::from(*byte));
                insns.extend(bytes.iter().enumerate().map(set));
            }
        }
    }
    // All 64 bits count.
    insns.extend([mov(R0, R7), alu64(AluOp::Rsh, R0, 32), alu64(AluOp::Xor, R0, R7), exit()]);
    insns
}

/// Numbers near what bounds them, and any.
pub fn number(usual: Vec<u64>) -> impl Strategy<Value = Arg> {
    prop_oneof![6 => prop::sample::select(usual), 1 => any::<u64>(), 1 => any::<i32>().prop_map(|n| n as u64)]
        .prop_map(Arg::Num)
}

/// One of these.
pub fn of(numbers: &[u64]) -> BoxedStrategy<Arg> {
    number(numbers.to_vec()).boxed()
}

/// A number below.
pub fn below(limit: u64) -> BoxedStrategy<Arg> {
    prop_oneof![8 => 0..limit, 1 => any::<u64>()].prop_map(Arg::Num).boxed()
}

/// A size of the buffer: no more than it has, which the verifier would not let pass.
pub fn size() -> BoxedStrategy<Arg> {
    prop_oneof![1..=BUFFER as u64, prop::sample::select(vec![8, 12, 20, 22, 24, 28, 36, 44, 64])]
        .prop_map(Arg::Num)
        .boxed()
}

pub fn buffer() -> BoxedStrategy<Arg> {
    Just(Arg::Buffer).boxed()
}

/// A call with the context first.
pub fn call(id: u32, args: Vec<BoxedStrategy<Arg>>) -> BoxedStrategy<Step> {
    args.prop_map(move |args| Step::Call(id, args)).boxed()
}

/// A call without.
pub fn bare(id: u32, args: Vec<BoxedStrategy<Arg>>) -> BoxedStrategy<Step> {
    args.prop_map(move |args| Step::Bare(id, args)).boxed()
}
