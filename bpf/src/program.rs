//! A program between the loader and the verifier: instructions, the maps they name, functions, lines, type, licence.

use std::fmt;

use crate::diag::SourceLine;
use crate::insn::Insn;
pub use crate::insn::MapIndex;

/// Program types this crate knows (`enum bpf_prog_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProgType {
    /// `BPF_PROG_TYPE_SOCKET_FILTER` (1).
    SocketFilter,
    /// `BPF_PROG_TYPE_SCHED_CLS` (3): a tc classifier.
    SchedCls,
    /// `BPF_PROG_TYPE_SCHED_ACT` (4): a tc action.
    SchedAct,
    /// `BPF_PROG_TYPE_XDP` (6).
    Xdp,
}

impl ProgType {
    /// All types, in the kernel's order.
    pub const ALL: [ProgType; 4] = [ProgType::SocketFilter, ProgType::SchedCls, ProgType::SchedAct, ProgType::Xdp];

    /// The kernel's number.
    pub const fn number(self) -> u32 {
        match self {
            ProgType::SocketFilter => 1,
            ProgType::SchedCls => 3,
            ProgType::SchedAct => 4,
            ProgType::Xdp => 6,
        }
    }

    /// The name libbpf and bpftool use.
    pub const fn name(self) -> &'static str {
        match self {
            ProgType::SocketFilter => "socket_filter",
            ProgType::SchedCls => "sched_cls",
            ProgType::SchedAct => "sched_act",
            ProgType::Xdp => "xdp",
        }
    }

    /// Whether the context is an skb (`struct __sk_buff`) rather than `struct xdp_md`.
    pub const fn is_skb(self) -> bool {
        !matches!(self, ProgType::Xdp)
    }
}

impl fmt::Display for ProgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Map types this crate can name (`enum bpf_map_type`); which of them work is the business of [`crate::maps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapType(pub u32);

impl MapType {
    /// `BPF_MAP_TYPE_HASH`.
    pub const HASH: MapType = MapType(1);
    /// `BPF_MAP_TYPE_ARRAY`.
    pub const ARRAY: MapType = MapType(2);
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    pub const PERCPU_ARRAY: MapType = MapType(6);

    /// Kernel names by number, from `BPF_MAP_TYPE_UNSPEC` on.
    pub const NAMES: [&'static str; 34] = [
        "unspec",
        "hash",
        "array",
        "prog_array",
        "perf_event_array",
        "percpu_hash",
        "percpu_array",
        "stack_trace",
        "cgroup_array",
        "lru_hash",
        "lru_percpu_hash",
        "lpm_trie",
        "array_of_maps",
        "hash_of_maps",
        "devmap",
        "sockmap",
        "cpumap",
        "xskmap",
        "sockhash",
        "cgroup_storage",
        "reuseport_sockarray",
        "percpu_cgroup_storage",
        "queue",
        "stack",
        "sk_storage",
        "devmap_hash",
        "struct_ops",
        "ringbuf",
        "inode_storage",
        "task_storage",
        "bloom_filter",
        "user_ringbuf",
        "cgrp_storage",
        "arena",
    ];

    /// The name bpftool prints, or `None` for a number the kernel does not have.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.get(self.0 as usize).copied()
    }
}

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "map type {}", self.0),
        }
    }
}

/// A map as its definition describes it: shape, not contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSpec {
    /// Symbol name in the object.
    pub name: String,
    /// Kind.
    pub ty: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, as declared (not rounded).
    pub value_size: u32,
    /// Most entries it may hold.
    pub max_entries: u32,
    /// `map_flags`, as `BPF_MAP_CREATE` takes them.
    pub flags: u32,
    /// Initial value bytes for maps made of global data (`.data`, `.rodata`, `.bss`); such a map is an array of one.
    pub initial: Option<Vec<u8>>,
}

/// A function of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Symbol name.
    pub name: String,
    /// First slot.
    pub start: usize,
}

/// Where a run of instructions came from: the line holds from `slot` up to the next entry's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineEntry {
    /// First slot.
    pub slot: usize,
    /// The line.
    pub line: SourceLine,
}

/// A program whose calls and maps are resolved.
///
/// `insns` has one element for each 8-byte slot, as the kernel counts; the second slot of a wide load holds
/// [`Insn::Pad`]. The main function starts at slot 0; other functions follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Symbol name of the main function.
    pub name: String,
    /// ELF section it was found in.
    pub section: String,
    /// Type it is loaded as.
    pub ty: ProgType,
    /// Licence string; decides on helpers marked `gpl_only`.
    pub license: String,
    /// Instructions by slot.
    pub insns: Vec<Insn>,
    /// Maps, in the order the object defines them.
    pub maps: Vec<MapSpec>,
    /// Functions by first slot, ascending; never empty.
    pub functions: Vec<Function>,
    /// Line information by first slot, ascending; empty where the object has none.
    pub lines: Vec<LineEntry>,
}

impl Program {
    /// The line of source that slot `slot` came from.
    pub fn line_of(&self, slot: usize) -> Option<&SourceLine> {
        let after = self.lines.partition_point(|l| l.slot <= slot);
        after.checked_sub(1).map(|i| &self.lines[i].line)
    }

    /// A program of bare instructions, for tests and for programs that come as words.
    pub fn from_insns(name: &str, ty: ProgType, insns: Vec<Insn>, maps: Vec<MapSpec>) -> Self {
        Self {
            name: name.to_owned(),
            section: String::new(),
            ty,
            license: "GPL".to_owned(),
            insns,
            maps,
            functions: vec![Function { name: name.to_owned(), start: 0 }],
            lines: Vec::new(),
        }
    }
}
