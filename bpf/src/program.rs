//! A program between the loader and the verifier: instructions, the maps they name, functions, lines, type, licence.

use std::fmt;
use std::sync::Arc;

use crate::btf::info::ProgramInfo;
use crate::btf::{Btf, SpecialFields, TypeId};
use crate::diag::SourceLine;
use crate::insn::Insn;
pub use crate::insn::{Endian, MapIndex};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MapType(pub u32);

impl MapType {
    /// `BPF_MAP_TYPE_HASH`.
    pub const HASH: MapType = MapType(1);
    /// `BPF_MAP_TYPE_ARRAY`.
    pub const ARRAY: MapType = MapType(2);
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    pub const PROG_ARRAY: MapType = MapType(3);
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`.
    pub const PERF_EVENT_ARRAY: MapType = MapType(4);
    /// `BPF_MAP_TYPE_PERCPU_HASH`.
    pub const PERCPU_HASH: MapType = MapType(5);
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    pub const PERCPU_ARRAY: MapType = MapType(6);
    /// `BPF_MAP_TYPE_STACK_TRACE`.
    pub const STACK_TRACE: MapType = MapType(7);
    /// `BPF_MAP_TYPE_CGROUP_ARRAY`.
    pub const CGROUP_ARRAY: MapType = MapType(8);
    /// `BPF_MAP_TYPE_LRU_HASH`.
    pub const LRU_HASH: MapType = MapType(9);
    /// `BPF_MAP_TYPE_LRU_PERCPU_HASH`.
    pub const LRU_PERCPU_HASH: MapType = MapType(10);
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    pub const LPM_TRIE: MapType = MapType(11);
    /// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
    pub const ARRAY_OF_MAPS: MapType = MapType(12);
    /// `BPF_MAP_TYPE_HASH_OF_MAPS`.
    pub const HASH_OF_MAPS: MapType = MapType(13);
    /// `BPF_MAP_TYPE_DEVMAP`.
    pub const DEVMAP: MapType = MapType(14);
    /// `BPF_MAP_TYPE_SOCKMAP`.
    pub const SOCKMAP: MapType = MapType(15);
    /// `BPF_MAP_TYPE_CPUMAP`.
    pub const CPUMAP: MapType = MapType(16);
    /// `BPF_MAP_TYPE_XSKMAP`.
    pub const XSKMAP: MapType = MapType(17);
    /// `BPF_MAP_TYPE_SOCKHASH`.
    pub const SOCKHASH: MapType = MapType(18);
    /// `BPF_MAP_TYPE_QUEUE`.
    pub const QUEUE: MapType = MapType(22);
    /// `BPF_MAP_TYPE_STACK`.
    pub const STACK: MapType = MapType(23);
    /// `BPF_MAP_TYPE_DEVMAP_HASH`.
    pub const DEVMAP_HASH: MapType = MapType(25);
    /// `BPF_MAP_TYPE_RINGBUF`.
    pub const RINGBUF: MapType = MapType(27);
    /// `BPF_MAP_TYPE_BLOOM_FILTER`.
    pub const BLOOM_FILTER: MapType = MapType(30);
    /// `BPF_MAP_TYPE_USER_RINGBUF`.
    pub const USER_RINGBUF: MapType = MapType(31);

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

    /// Whether a look-up of a program gives the address of a value, and not a map or a socket.
    pub const fn holds_values(self) -> bool {
        !matches!(self.0, 12 | 13 | 15 | 17 | 18)
    }

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

/// A map as its definition describes it: shape, and what the object itself puts in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// `map_extra`, as `BPF_MAP_CREATE` takes it: hash functions of a bloom filter, address of an arena.
    pub extra: u64,
    /// Shape of the maps that a map of maps holds; `None` for other kinds, and where the definition does not say it.
    pub inner: Option<Box<MapSpec>>,
    /// What the object puts into slots of a map of maps or of a program array, by index, ascending.
    pub slots: Vec<(u32, SlotInit)>,
    /// Whether a loader pins the map, and where it then looks for one that is there already.
    pub pinning: Pinning,
    /// Type of a key in [`Program::btf`], where the definition says it.
    pub key_type: Option<TypeId>,
    /// Type of a value in [`Program::btf`]; for global data its section of variables.
    pub value_type: Option<TypeId>,
    /// Locks and timers in a value, as its type says them.
    pub fields: SpecialFields,
}

/// What an object puts into a slot of a map (`__array(values, ...)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotInit {
    /// A map of the same program.
    Map(MapIndex),
    /// The program of the same object whose function has that name.
    Program(String),
}

/// Where a map is kept for others to find (`LIBBPF_PIN_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pinning {
    /// Nowhere.
    #[default]
    None,
    /// Under its name in the bpf file system; maps pinned under one name are one map.
    ByName,
    /// In iproute2's directory of the object (`PIN_OBJECT_NS` of `struct bpf_elf_map`).
    ByObject,
    /// Where a loader of the object's own knows, by its number.
    Other(u32),
}

/// A function of the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Function {
    /// Symbol name.
    pub name: String,
    /// First slot.
    pub start: usize,
    /// Its `Func` in [`Program::btf`], where the object says it.
    pub btf: Option<TypeId>,
    /// Whether Linux verifies the function on its own, with any arguments of the types it declares: BTF says that it is
    /// global, and its symbol is not hidden (`__hidden` makes it static, as libbpf does).
    pub global: bool,
}

impl Function {
    /// A function without types.
    pub fn new(name: impl Into<String>, start: usize) -> Self {
        Self { name: name.into(), start, btf: None, global: false }
    }
}

/// What a program is attached to, where its type leaves that open (`expected_attach_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Attach {
    /// The hook that the type has.
    #[default]
    Hook,
    /// An entry of a device map (`BPF_XDP_DEVMAP`): runs on the way out and sees `egress_ifindex`.
    XdpDevmap,
    /// An entry of a CPU map (`BPF_XDP_CPUMAP`).
    XdpCpumap,
}

/// A program of one device, by number: what a slot of a program array names. Every engine has such a list of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgId(pub u32);

impl ProgId {
    /// What a slot that refers to this program holds; 0 is none.
    pub const fn reference(self) -> u32 {
        self.0 + 1
    }

    /// The program that a slot refers to.
    pub const fn from_reference(number: u32) -> Option<ProgId> {
        match number.checked_sub(1) {
            Some(id) => Some(ProgId(id)),
            None => None,
        }
    }
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
    /// Lines of source by first slot, ascending; empty where the object has none. They come from `.BTF.ext`, and for
    /// functions of which it says nothing from DWARF, which has no text.
    pub lines: Vec<LineEntry>,
    /// Types of functions and maps, where the object has them.
    pub btf: Option<Arc<Btf>>,
    /// What the loader tells the kernel of functions and lines, as the object has it, for the kernel to check.
    pub info: Option<Arc<ProgramInfo>>,
    /// What it is attached to.
    pub attach: Attach,
    /// Whether it takes packets in fragments (`BPF_F_XDP_HAS_FRAGS`).
    pub frags: bool,
    /// What the loader could not resolve and made an invalid call of, by slot, ascending: Linux refuses the program only if such an
    /// instruction can be reached. The text is the reason in words.
    pub unresolved: Vec<(usize, String)>,
    /// Byte order of its loads and stores, and of the maps' initial values.
    pub byte_order: Endian,
}

impl Program {
    /// The line of source that slot `slot` came from.
    pub fn line_of(&self, slot: usize) -> Option<&SourceLine> {
        let after = self.lines.partition_point(|l| l.slot <= slot);
        after.checked_sub(1).map(|i| &self.lines[i].line)
    }

    /// Why the instruction in slot `slot` is an invalid call, if the loader made it one.
    pub fn unresolved_at(&self, slot: usize) -> Option<&str> {
        let at = self.unresolved.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        Some(&self.unresolved[at].1)
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
            functions: vec![Function::new(name, 0)],
            lines: Vec::new(),
            btf: None,
            info: None,
            attach: Attach::Hook,
            frags: false,
            unresolved: Vec::new(),
            byte_order: Endian::Little,
        }
    }
}
