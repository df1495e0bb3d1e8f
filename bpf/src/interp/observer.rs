//! What may watch a run, and substitute what it reads.

use crate::insn::{AtomicOp, Reg, Size};
use crate::maps::{AccessLog, MapId};
use crate::memory::{Arena, RegionKind};
use crate::program::ProgId;

/// What an instruction does to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemAccessKind {
    /// A load.
    Load,
    /// A store.
    Store,
    /// An atomic operation.
    Atomic,
}

/// One access of an instruction to memory. Accesses inside helpers are not of this kind; maps record their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemAccess {
    /// Slot of the instruction.
    pub slot: usize,
    /// What it does.
    pub kind: MemAccessKind,
    /// Where.
    pub region: RegionKind,
    /// First byte, from the region's start (not its live part's).
    pub off: u32,
    /// Bytes.
    pub size: Size,
}

/// One call of a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelperCall {
    /// Slot of the call.
    pub slot: usize,
    /// Number of the helper.
    pub id: u32,
    /// R1 to R5.
    pub args: [u64; 5],
}

/// What a map operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapOpKind {
    /// `bpf_map_lookup_elem`.
    Lookup,
    /// `bpf_map_update_elem`.
    Update,
    /// `bpf_map_delete_elem`.
    Delete,
    /// One element of `bpf_for_each_map_elem`.
    Walk,
    /// `bpf_map_push_elem`, or the reservation of a record in a ring buffer.
    Push,
    /// `bpf_map_pop_elem`, or one record of `bpf_user_ringbuf_drain`.
    Pop,
    /// `bpf_map_peek_elem`, `bpf_ringbuf_query`, or the beginning of `bpf_user_ringbuf_drain`.
    Peek,
    /// A record of a ring buffer is handed over, or with `ok` false taken back.
    Commit,
}

/// One map operation of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapOp {
    /// The map.
    pub map: MapId,
    /// What was done.
    pub kind: MapOpKind,
    /// Whether it succeeded (a look-up: found something).
    pub ok: bool,
}

/// Watches runs. Every method has a default that does nothing, and the constants say which of them are called at all, so
/// that what is not asked for costs nothing.
pub trait Observer {
    /// Whether [`Observer::insn`] is called.
    const INSNS: bool = false;
    /// Whether [`Observer::registers`] is called.
    const REGISTERS: bool = false;
    /// Whether [`Observer::span`] is called.
    const SPANS: bool = false;
    /// Whether [`Observer::access`] and [`Observer::loaded`] are called.
    const ACCESSES: bool = false;

    /// A program goes on, or another begins: slots are its own from here on. `None` is the one the run began with, which
    /// is not announced then.
    #[inline(always)]
    fn program(&mut self, _program: Option<ProgId>) {}

    /// The instruction at `slot` is about to execute.
    #[inline(always)]
    fn insn(&mut self, _slot: usize) {}

    /// The instruction at `slot` is about to execute, with R0 to R10 like this.
    #[inline(always)]
    fn registers(&mut self, _slot: usize, _regs: &[u64; Reg::COUNT]) {}

    /// The instructions from slot `first` up to but not including slot `past` have executed one after the other. Spans
    /// cover every retired instruction once, in order: a cost model sums a weight per slot by the difference of two prefix
    /// sums.
    #[inline(always)]
    fn span(&mut self, _first: usize, _past: usize) {}

    /// An instruction has accessed memory. `value` is what was read from or written to memory, zero-extended; for an
    /// atomic operation what was there before.
    #[inline(always)]
    fn access(&mut self, _access: &MemAccess, _value: u64) {}

    /// What a load or an atomic operation yields to the program, instead of `value`: for a replayer that substitutes
    /// logged values of a map. Called before [`Observer::access`]. An atomic operation computes with the substitute too.
    #[inline(always)]
    fn loaded(&mut self, _access: &MemAccess, _atomic: Option<AtomicOp>, value: u64) -> u64 {
        value
    }

    /// An answer to a call of a helper instead of the helper's own. With `Some` the helper does not run: no function is
    /// called back, no program tail-called. `memory` is what its pointer arguments point into.
    #[inline(always)]
    fn answer(&mut self, _call: &HelperCall, _memory: &Arena) -> Option<u64> {
        None
    }

    /// A helper has answered. One that calls back does so after its last call; a tail call that succeeds never does.
    #[inline(always)]
    fn helper(&mut self, _call: &HelperCall, _result: u64) {}

    /// A helper has operated on a map; `log` holds the accesses, until the next operation. Called before
    /// [`Observer::helper`] for the same call.
    #[inline(always)]
    fn map_op(&mut self, _op: &MapOp, _log: &AccessLog) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
