//! Encoding: instructions become words.

use nic_model::isa::{self, Op};

/// The words of instructions, without parity.
pub(crate) fn encode(ops: &[Op]) -> Vec<u64> {
    ops.iter()
        .map(|op| {
            isa::encode(op).unwrap_or_else(|error| unreachable!("lowering emitted {op}, which has no word: {error}"))
        })
        .collect()
}
