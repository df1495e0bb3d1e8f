//! What a row of the helper table says.

use super::HelperCx;
use crate::memory::Fault;
use crate::program::ProgType;

/// What the verifier demands of an argument, and what the body may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArgKind {
    /// There is no such argument.
    None,
    /// Any initialised value.
    Anything,
    /// The program's context, unmodified.
    Context,
    /// A map, as a wide load names it.
    ConstMap,
    /// Readable memory of the map's `key_size`.
    MapKey,
    /// Readable memory of the map's `value_size`.
    MapValue,
    /// Writable memory of the map's `value_size` that need not be initialised; for a bloom filter as `MapValue`.
    UninitMapValue,
    /// A known number of bytes, which the memory that is returned has.
    ConstSize,
    /// A record that `bpf_ringbuf_reserve` gave, which is given back.
    RingRecord,
    /// The spin lock in a value.
    SpinLock,
    /// Readable memory; its size is the next argument.
    Mem,
    /// As `Mem`, or null when the size is 0.
    MemOrNull,
    /// Writable memory that need not be initialised; its size is the next argument.
    UninitMem,
    /// Size of the memory before it, at least 1.
    Size,
    /// Size of the memory before it; may be 0.
    SizeOrZero,
    /// The address of a function of the program, which the helper calls back.
    Callback,
    /// The address of stack memory, for the function called back, or null.
    StackOrNull,
}

/// What R0 holds after the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnKind {
    /// A number: a result, or a negated error number.
    Integer,
    /// The address of a value of the map in the first argument, or null.
    MapValueOrNull,
    /// The address of a record of the size the `ConstSize` argument says, or null.
    RingRecordOrNull,
    /// Nothing a program may read.
    Void,
}

/// What kind of work a helper is, for cost models; profiles give the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CostClass {
    /// A map operation; its memory accesses are priced from the [`crate::maps::AccessLog`].
    Map,
    /// Reads the clock.
    Clock,
    /// Draws a random number.
    Random,
    /// Reads or writes a word of machine state (processor number, redirect target).
    State,
    /// Copies packet bytes.
    Copy,
    /// Sums bytes.
    Checksum,
    /// Moves the packet's start or end.
    Resize,
    /// Goes on elsewhere: what is called there is priced as what it is.
    Transfer,
}

/// A set of program types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgTypes(u8);

impl ProgTypes {
    /// XDP alone.
    pub const XDP: ProgTypes = ProgTypes(1 << 3);
    /// tc classifiers and actions.
    pub const TC: ProgTypes = ProgTypes(1 << 1 | 1 << 2);
    /// Socket filters.
    pub const SOCKET_FILTER: ProgTypes = ProgTypes(1);
    /// XDP and tc.
    pub const XDP_AND_TC: ProgTypes = ProgTypes(Self::XDP.0 | Self::TC.0);
    /// Every type whose context is an skb.
    pub const SKB: ProgTypes = ProgTypes(Self::TC.0 | Self::SOCKET_FILTER.0);
    /// Every type this crate knows.
    pub const ALL: ProgTypes = ProgTypes(Self::XDP.0 | Self::SKB.0);

    /// Whether it holds a type.
    pub const fn contains(self, ty: ProgType) -> bool {
        let bit = match ty {
            ProgType::SocketFilter => 1,
            ProgType::SchedCls => 1 << 1,
            ProgType::SchedAct => 1 << 2,
            ProgType::Xdp => 1 << 3,
        };
        self.0 & bit != 0
    }
}

/// How a call ends: what R0 becomes, or the guest's fault, which ends the run and is data like any other fault. The
/// engine fills in the slot.
pub type HelperOutcome = Result<u64, Fault>;

/// A helper's code. Arguments are R1 to R5.
pub type HelperBody = fn(&mut dyn HelperCx, [u64; 5]) -> HelperOutcome;

/// One helper: a row of [`super::HELPERS`].
#[derive(Clone, Copy)]
pub struct HelperProto {
    /// Number in the call instruction.
    pub id: u32,
    /// Whether only programs with a GPL-compatible licence may call it.
    pub gpl_only: bool,
    /// Whether pointers into the packet may be passed as memory.
    pub packet_args: bool,
    /// Whether it may move or write packet data, so that pointers into the packet found before are no longer valid.
    pub changes_packet: bool,
    /// Arguments.
    pub args: [ArgKind; 5],
    /// Result.
    pub ret: ReturnKind,
    /// Types that may call it.
    pub types: ProgTypes,
    /// Kind of work.
    pub cost: CostClass,
    /// What it does.
    pub body: HelperBody,
}

impl HelperProto {
    /// The kernel's name.
    pub fn name(&self) -> String {
        super::name(self.id).unwrap_or_else(|| unreachable!("rows have numbers of the list"))
    }

    /// How many arguments it takes.
    pub fn arity(&self) -> usize {
        self.args.iter().take_while(|kind| **kind != ArgKind::None).count()
    }
}

impl std::fmt::Debug for HelperProto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::call_text(self.id))
    }
}
