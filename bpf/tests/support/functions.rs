//! The functions of a program, and the type information that Linux wants of them.
//!
//! Linux takes the address of a function, and packet loads or tail calls in functions other than the main one, only where
//! it knows the function's type.

use std::sync::Arc;

use bpf::btf::{Btf, TypeId};
use bpf::insn::Insn;
use bpf::program::{Function, Program};

use super::kernel::{Kernel, KernelBtf};

/// First slots of the functions, the main one's first.
pub fn starts(insns: &[Insn]) -> Vec<u32> {
    let called = insns.iter().enumerate().filter_map(|(slot, insn)| insn.function(slot));
    let mut starts: Vec<u32> = called.filter_map(|start| u32::try_from(start).ok()).chain([0]).collect();
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// A program with the types that the kernel gets with it, if it has more than one function.
pub fn typed(program: &Program) -> Program {
    let starts = starts(&program.insns);
    if starts.len() == 1 {
        return program.clone();
    }
    let (bytes, ids) = btf(starts.len());
    let function = |(start, id): (u32, u32)| {
        let name = if start == 0 { program.name.clone() } else { format!("function {start}") };
        Function { btf: Some(TypeId(id)), ..Function::new(name, start as usize) }
    };
    let functions = starts.into_iter().zip(ids).map(function).collect();
    let types = Btf::parse(&bytes).expect("the types of tests are read");
    Program { btf: Some(Arc::new(types)), functions, ..program.clone() }
}

/// Types for `count` functions as the kernel has them loaded, and their numbers.
pub fn types(kernel: Kernel, count: usize) -> (KernelBtf, Vec<u32>) {
    let (bytes, numbers) = btf(count);
    let btf = kernel.load_btf(&bytes).unwrap_or_else(|errno| panic!("the kernel takes the types: errno {errno}"));
    (btf, numbers)
}

/// Types for `count` functions, the first global and the others static, each returning an `int`; and their numbers.
pub fn btf(count: usize) -> (Vec<u8>, Vec<u32>) {
    const INT: u32 = 1;
    const FUNC: u32 = 12;
    const FUNC_PROTO: u32 = 13;
    let strings = b"\0int\0f\0";
    // Name, info (kind and linkage), then size or type: a number, a function type returning it, functions of that type.
    let mut words = vec![1, INT << 24, 4, 1 << 24 | 32, 0, FUNC_PROTO << 24, 1];
    for at in 0..count {
        words.extend([5, FUNC << 24 | u32::from(at == 0), 2]);
    }
    let types: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend(types);
    bytes.extend(strings);
    (bytes, (3..3 + count as u32).collect())
}
