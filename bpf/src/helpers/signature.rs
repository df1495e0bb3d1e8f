//! What Linux 6.18 demands of the calls of every helper that programs of the types known here may call.
//!
//! The table says who may call, what each argument must be and what comes back, for helpers with and without a body
//! here: the verdict on a program does not depend on whether this project can run it. Columns are those of the kernel's
//! `struct bpf_func_proto`; types are those that its running 6.18 answered for.

use crate::insn::{Reg, RegSet};
use crate::program::ProgType;

/// What a call demands of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// Any initialised value.
    Any,
    /// The program's context, unmodified.
    Ctx,
    /// The context, or null.
    CtxOrNull,
    /// A map, as a wide load names it.
    Map,
    /// Readable memory of the map's `key_size`.
    Key,
    /// Readable memory of the map's `value_size`.
    Value,
    /// The same, or null.
    ValueOrNull,
    /// Memory of the map's `value_size` that the helper fills.
    ValueOut,
    /// Readable memory; its size is the next argument.
    Mem,
    /// The same, or null where the size may be 0.
    MemOrNull,
    /// Initialised memory that the helper reads and writes; its size is the next argument.
    MemInOut,
    /// Memory that the helper fills; its size is the next argument.
    MemOut,
    /// Initialised memory that the helper writes, or null.
    MemInOutOrNull,
    /// Size of the memory before it, at least 1.
    Size,
    /// Size of the memory before it.
    SizeOrZero,
    /// Readable memory of so many bytes.
    Fixed(u32),
    /// Aligned memory of so many bytes that the helper fills.
    FixedOut(u32),
    /// Aligned, initialised memory of so many bytes that the helper reads and writes.
    FixedInOut(u32),
    /// A constant number of bytes to be lent.
    AllocSize,
    /// Memory that was lent, which is given back.
    Lent,
    /// A socket of any kind that was found or looked up.
    Sock,
    /// The same, or what kernel BTF calls a socket.
    SockOrBtf,
    /// The same, given back if it was acquired.
    SockReleased,
    /// A spin lock in a map's value.
    SpinLock,
    /// A timer in a map's value.
    Timer,
    /// A function of the program.
    Func,
    /// Stack of the program, or null.
    StackOrNull,
    /// A string in a map whose contents cannot change.
    ConstStr,
    /// A dynamic pointer on the stack.
    Dynptr,
    /// Two slots of stack in which the helper makes a dynamic pointer.
    DynptrOut(DynptrKind),
    /// A dynamic pointer to a record, which is given back.
    DynptrReleased,
    /// What only kernel BTF can describe: not modelled.
    Unmodelled,
}

/// What a dynamic pointer leads to (`enum bpf_dynptr_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DynptrKind {
    /// Bytes of a map's value.
    Local,
    /// A record of a ring buffer, which must be submitted or discarded.
    RingBuffer,
}

impl DynptrKind {
    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            DynptrKind::Local => "local",
            DynptrKind::RingBuffer => "ringbuf",
        }
    }
}

/// What R0 holds after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// A number.
    Integer,
    /// Nothing.
    Void,
    /// The address of a value of the map, or null; of a map of maps, a map or null.
    ValueOrNull,
    /// A socket's common part, or null.
    SockCommonOrNull,
    /// A full socket, or null.
    SocketOrNull,
    /// A TCP socket, or null.
    TcpSockOrNull,
    /// Memory of the size asked for, or null.
    LentOrNull,
    /// Memory of the size asked for that a dynamic pointer leads to, or null.
    SliceOrNull,
    /// What only kernel BTF can describe: not modelled.
    Unmodelled,
}

/// A capability, beyond those that loading asks for, without which a helper cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// None.
    Nothing,
    /// `CAP_BPF`.
    Bpf,
    /// `CAP_BPF` and `CAP_PERFMON`.
    Perfmon,
    /// `CAP_PERFMON`, which a socket filter may have without `CAP_BPF`.
    PerfmonAlone,
}

/// One helper's row.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Number in the call instruction.
    pub id: u32,
    /// Types that may call it: a bit each, XDP, classifier, action, socket filter, from the lowest.
    types: u8,
    /// What it takes, R1 first.
    pub args: &'static [Arg],
    /// What it gives.
    pub returns: Returns,
    /// Only programs with a licence compatible with the GPL may call it.
    pub gpl_only: bool,
    /// Pointers into the packet may be passed as memory.
    pub packet_args: bool,
    /// Pointers into the packet found before are not valid after it.
    pub changes_packet: bool,
    /// It may sleep, which programs of these types may not.
    pub sleeps: bool,
    /// What the loader must be allowed.
    pub needs: Needs,
}

impl Signature {
    const fn gpl(mut self) -> Self {
        self.gpl_only = true;
        self
    }

    const fn packet(mut self) -> Self {
        self.packet_args = true;
        self
    }

    const fn moves(mut self) -> Self {
        self.changes_packet = true;
        self
    }

    const fn sleeps(mut self) -> Self {
        self.sleeps = true;
        self
    }

    const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    const fn gives(mut self, returns: Returns) -> Self {
        self.returns = returns;
        self
    }

    /// Whether programs of a type may call it.
    pub const fn allows(&self, ty: ProgType) -> bool {
        let bit = match ty {
            ProgType::Xdp => X,
            ProgType::SchedCls => 0b10,
            ProgType::SchedAct => 0b100,
            ProgType::SocketFilter => F,
        };
        self.types & bit != 0
    }

    /// Whether it calls a function of the program back before it returns, any number of times.
    pub const fn calls_back(&self) -> bool {
        matches!(self.id, FOR_EACH_MAP_ELEM | LOOP | FIND_VMA | USER_RINGBUF_DRAIN)
    }
}

/// `bpf_tail_call`.
pub const TAIL_CALL: u32 = 12;
/// `bpf_for_each_map_elem`.
pub const FOR_EACH_MAP_ELEM: u32 = 164;
/// `bpf_timer_set_callback`.
pub const TIMER_SET_CALLBACK: u32 = 170;
/// `bpf_find_vma`.
pub const FIND_VMA: u32 = 180;
/// `bpf_loop`.
pub const LOOP: u32 = 181;
/// `bpf_dynptr_from_mem`.
pub const DYNPTR_FROM_MEM: u32 = 197;
/// Bytes of a dynamic pointer (`struct bpf_dynptr`).
pub const DYNPTR_BYTES: u32 = 16;
/// `bpf_user_ringbuf_drain`.
pub const USER_RINGBUF_DRAIN: u32 = 209;

const X: u8 = 1;
const T: u8 = 0b110;
const F: u8 = 0b1000;
const XT: u8 = X | T;
const TF: u8 = T | F;
const ALL: u8 = X | T | F;

const fn row(id: u32, types: u8, args: &'static [Arg]) -> Signature {
    Signature {
        id,
        types,
        args,
        returns: Returns::Integer,
        gpl_only: false,
        packet_args: false,
        changes_packet: false,
        sleeps: false,
        needs: Needs::Nothing,
    }
}

use Arg::*;
use Needs::{Bpf, Perfmon, PerfmonAlone};
use Returns::{LentOrNull, SockCommonOrNull, SocketOrNull, TcpSockOrNull, Void};

/// Helpers by number.
#[rustfmt::skip]
static SIGNATURES: [Signature; 146] = [
    row(1, ALL, &[Map, Key]).packet().gives(Returns::ValueOrNull),
    row(2, ALL, &[Map, Key, Value, Any]).packet(),
    row(3, ALL, &[Map, Key]).packet(),
    row(5, ALL, &[]),
    row(6, ALL, &[Mem, Size]).gpl().needs(Perfmon),
    row(7, ALL, &[]),
    row(8, ALL, &[]),
    row(9, T, &[Ctx, Any, Mem, Size, Any]).moves(),
    row(10, T, &[Ctx, Any, Any, Any, Any]).moves(),
    row(11, T, &[Ctx, Any, Any, Any, Any]).moves(),
    row(TAIL_CALL, ALL, &[Ctx, Map, Any]).moves().gives(Void),
    row(13, T, &[Ctx, Any, Any]).moves(),
    row(14, ALL, &[]),
    row(15, ALL, &[]),
    row(16, ALL, &[MemOut, Size]).needs(Perfmon),
    row(17, ALL, &[Ctx]),
    row(18, T, &[Ctx, Any, Any]).moves(),
    row(19, T, &[Ctx]).moves(),
    row(20, T, &[Ctx, MemOut, Size, Any]),
    row(21, T, &[Ctx, Mem, Size, Any]),
    row(22, ALL, &[Map, Any]).gpl().needs(Perfmon),
    row(23, XT, &[Any, Any]),
    row(24, T, &[Ctx]),
    row(25, ALL, &[Ctx, Map, Any, Mem, SizeOrZero]).gpl(),
    row(26, TF, &[Ctx, Any, MemOut, Size]),
    row(28, XT, &[MemOrNull, SizeOrZero, MemOrNull, SizeOrZero, Any]).packet(),
    row(29, T, &[Ctx, MemOut, Size]),
    row(30, T, &[Ctx, Mem, Size]),
    row(31, T, &[Ctx, Any, Any]).moves(),
    row(32, T, &[Ctx, Any]),
    row(33, T, &[Ctx, Map, Any]),
    row(34, T, &[Ctx]),
    row(35, ALL, &[]).gpl().needs(Perfmon),
    row(37, ALL, &[Map, Any]).needs(Bpf),
    row(38, T, &[Ctx, Any, Any]).moves(),
    row(39, T, &[Ctx, Any]).moves(),
    row(40, T, &[Ctx, Any]),
    row(41, T, &[Ctx]),
    row(42, ALL, &[]),
    row(43, T, &[Ctx, Any, Any]).moves(),
    row(44, X, &[Ctx, Any]).moves(),
    row(46, TF, &[Ctx]),
    row(47, TF, &[Ctx]),
    row(48, T, &[Ctx, Any]),
    row(50, T, &[Ctx, Any, Any, Any]).moves(),
    row(51, X, &[Map, Any, Any]),
    row(54, X, &[Ctx, Any]).moves(),
    row(55, ALL, &[Map, Any, MemOut, Size]).gpl().needs(Perfmon),
    row(65, X, &[Ctx, Any]).moves(),
    row(66, T, &[Ctx, Any, MemOut, Size, Any]),
    row(68, TF, &[Ctx, Any, MemOut, Size, Any]),
    row(69, XT, &[Ctx, MemInOut, Size, Any]).gpl(),
    row(79, T, &[Ctx]),
    row(80, ALL, &[]).needs(Bpf),
    row(83, T, &[Ctx, Any]),
    row(84, XT, &[Ctx, Mem, Size, Any, Any]).packet().gives(SocketOrNull),
    row(85, XT, &[Ctx, Mem, Size, Any, Any]).packet().gives(SocketOrNull),
    row(86, XT, &[SockReleased]),
    row(87, ALL, &[Map, Value, Any]).packet(),
    row(88, ALL, &[Map, ValueOut]),
    row(89, ALL, &[Map, ValueOut]),
    row(93, ALL, &[SpinLock]).gives(Void).needs(Bpf),
    row(94, ALL, &[SpinLock]).gives(Void).needs(Bpf),
    row(95, T, &[Sock]).gives(SocketOrNull),
    row(96, T, &[Sock]).gives(TcpSockOrNull),
    row(97, T, &[Ctx]),
    row(98, T, &[Sock]).gives(SocketOrNull),
    row(99, XT, &[Ctx, Mem, Size, Any, Any]).packet().gives(SockCommonOrNull),
    row(100, XT, &[SockOrBtf, Mem, Size, Mem, Size]).packet().gpl(),
    row(105, ALL, &[Mem, Size, Any, FixedOut(8)]),
    row(106, ALL, &[Mem, Size, Any, FixedOut(8)]),
    row(107, T, &[Map, SockOrBtf, ValueOrNull, Any]).gives(Returns::ValueOrNull),
    row(108, T, &[Map, SockOrBtf]),
    row(109, ALL, &[Any]).needs(Perfmon),
    row(110, XT, &[SockOrBtf, Mem, Size, Mem, Size]).packet().gpl(),
    row(112, ALL, &[MemOut, SizeOrZero, Any]).gpl().needs(Perfmon),
    row(113, ALL, &[MemOut, SizeOrZero, Any]).gpl().needs(Perfmon),
    row(114, ALL, &[MemOut, SizeOrZero, Any]).gpl().needs(Perfmon),
    row(115, ALL, &[MemOut, SizeOrZero, Any]).gpl().needs(Perfmon),
    row(117, ALL, &[Any]).needs(Perfmon),
    row(118, ALL, &[]).needs(Bpf),
    row(120, ALL, &[Any, Any, MemOut, Size]),
    row(122, TF, &[CtxOrNull]),
    row(123, ALL, &[Any]).needs(Bpf),
    row(124, T, &[Ctx, SockOrBtf, Any]),
    row(125, ALL, &[]),
    row(130, ALL, &[Map, Mem, SizeOrZero, Any]),
    row(131, ALL, &[Map, AllocSize, Any]).gives(LentOrNull),
    row(132, ALL, &[Lent, Any]).gives(Void),
    row(133, ALL, &[Lent, Any]).gives(Void),
    row(134, ALL, &[Map, Any]),
    row(135, T, &[Ctx, Any]),
    row(136, ALL, &[SockOrBtf]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(137, ALL, &[SockOrBtf]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(138, ALL, &[SockOrBtf]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(139, ALL, &[SockOrBtf]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(140, ALL, &[SockOrBtf]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(141, ALL, &[Unmodelled, MemOut, SizeOrZero, Any]).needs(Perfmon),
    row(148, ALL, &[MemOut, SizeOrZero, Any]).sleeps().needs(Perfmon),
    row(149, ALL, &[MemInOut, Size, Mem, Size, Any]).needs(Perfmon),
    row(151, T, &[Ctx]),
    row(152, T, &[Any, MemOrNull, SizeOrZero, Any]),
    row(153, ALL, &[Unmodelled, Any]).gives(Returns::Unmodelled).needs(Bpf),
    row(154, ALL, &[Unmodelled]).gives(Returns::Unmodelled).needs(Bpf),
    row(155, T, &[Any, Any]),
    row(156, ALL, &[Map, Unmodelled, ValueOrNull, Any]).gives(Returns::ValueOrNull).needs(Bpf),
    row(157, ALL, &[Map, Unmodelled]).needs(Bpf),
    row(158, ALL, &[]).gives(Returns::Unmodelled).gpl().needs(Perfmon),
    row(160, ALL, &[]),
    row(163, XT, &[Ctx, Any, FixedInOut(4), Any, Any]).gpl(),
    row(FOR_EACH_MAP_ELEM, ALL, &[Map, Func, StackOrNull, Any]).needs(Bpf),
    row(165, ALL, &[MemInOutOrNull, SizeOrZero, ConstStr, MemOrNull, SizeOrZero]).gpl().needs(Perfmon),
    row(169, ALL, &[Timer, Map, Any]).gpl().needs(Bpf),
    row(TIMER_SET_CALLBACK, ALL, &[Timer, Func]).gpl().needs(Bpf),
    row(171, ALL, &[Timer, Any, Any]).gpl().needs(Bpf),
    row(172, ALL, &[Timer]).gpl().needs(Bpf),
    row(175, ALL, &[Unmodelled]).gives(Returns::Unmodelled).gpl().needs(Perfmon),
    row(176, ALL, &[MemOut, SizeOrZero]).gpl().needs(Perfmon),
    row(177, ALL, &[Mem, Size, MemOrNull, SizeOrZero]).gpl().needs(Perfmon),
    row(178, ALL, &[SockOrBtf]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(FIND_VMA, ALL, &[Unmodelled, Any, Func, StackOrNull, Any]).needs(Perfmon),
    row(LOOP, ALL, &[Any, Func, StackOrNull, Any]).needs(Bpf),
    row(182, ALL, &[Mem, Size, ConstStr]),
    row(188, X, &[Ctx]),
    row(189, X, &[Ctx, Any, MemOut, Size]),
    row(190, X, &[Ctx, Any, Mem, Size]),
    row(191, ALL, &[MemOut, SizeOrZero, Any, Unmodelled]).gpl().sleeps().needs(Perfmon),
    row(192, T, &[Ctx, Any, Any]),
    row(194, ALL, &[Unmodelled, Unmodelled]).gives(Returns::Unmodelled).needs(Bpf),
    row(195, ALL, &[Map, Key, Any]).packet().gives(Returns::ValueOrNull),
    row(196, ALL, &[Sock]).gives(Returns::Unmodelled).needs(PerfmonAlone),
    row(DYNPTR_FROM_MEM, ALL, &[MemOut, SizeOrZero, Any, DynptrOut(DynptrKind::Local)]).needs(Bpf),
    row(198, ALL, &[Map, Any, Any, DynptrOut(DynptrKind::RingBuffer)]).needs(Bpf),
    row(199, ALL, &[DynptrReleased, Any]).gives(Void).needs(Bpf),
    row(200, ALL, &[DynptrReleased, Any]).gives(Void).needs(Bpf),
    row(201, ALL, &[MemOut, SizeOrZero, Dynptr, Any, Any]).needs(Bpf),
    row(202, ALL, &[Dynptr, Any, Mem, SizeOrZero, Any]).needs(Bpf),
    row(203, ALL, &[Dynptr, Any, AllocSize]).gives(Returns::SliceOrNull).needs(Bpf),
    row(204, XT, &[Fixed(20), Mem, SizeOrZero]).packet().gpl(),
    row(205, XT, &[Fixed(40), Mem, SizeOrZero]).packet().gpl(),
    row(206, XT, &[Fixed(20), Fixed(20)]).packet().gpl(),
    row(207, XT, &[Fixed(40), Fixed(20)]).packet().gpl(),
    row(208, ALL, &[]),
    row(USER_RINGBUF_DRAIN, ALL, &[Map, Func, StackOrNull, Any]).needs(Bpf),
    row(210, ALL, &[Map, Unmodelled, ValueOrNull, Any]).gives(Returns::ValueOrNull).needs(Bpf),
    row(211, ALL, &[Map, Unmodelled]).needs(Bpf),
];

/// The class of the calling process's control group, which takes no argument outside tc.
static CLASSID_OF_CURRENT: Signature = row(17, X | F, &[]).needs(Bpf);

/// What a call of a helper by a program of a type demands; `None` for helpers that none of the types may call.
pub fn signature(id: u32, ty: ProgType) -> Option<&'static Signature> {
    if id == CLASSID_OF_CURRENT.id && CLASSID_OF_CURRENT.allows(ty) {
        return Some(&CLASSID_OF_CURRENT);
    }
    SIGNATURES.get(usize::from(*ROW_OF.get(id as usize)?))
}

/// The registers that a call of a helper by a program of a type reads: all that pass arguments, where it has no row.
pub fn arguments(id: u32, ty: ProgType) -> RegSet {
    signature(id, ty).map_or(RegSet::ARGS, |row| (1..=row.args.len()).filter_map(|n| Reg::new(n as u8)).collect())
}

/// Numbers up to the highest that has a row.
const NUMBERS: usize = SIGNATURES[SIGNATURES.len() - 1].id as usize + 1;

/// The row of each number up to the highest, and one past the last where there is none: engines look up at every call.
static ROW_OF: [u8; NUMBERS] = {
    let mut rows = [SIGNATURES.len() as u8; NUMBERS];
    let mut at = 0;
    while at < SIGNATURES.len() {
        rows[SIGNATURES[at].id as usize] = at as u8;
        at += 1;
    }
    rows
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::HELPERS;

    #[test]
    fn rows_ascend_and_are_found() {
        assert!(SIGNATURES.is_sorted_by(|a, b| a.id < b.id));
        for id in 0..300 {
            let row = SIGNATURES.iter().find(|row| row.id == id);
            assert_eq!(signature(id, ProgType::SchedCls).map(|row| row.id), row.map(|row| row.id));
        }
        assert!(signature(u32::MAX, ProgType::Xdp).is_none());
    }

    #[test]
    fn every_body_has_a_signature() {
        for row in &HELPERS {
            let callers = ProgType::ALL.into_iter().filter(|&ty| signature(row.id, ty).is_some_and(|s| s.allows(ty)));
            assert_ne!(callers.count(), 0, "{row:?}");
        }
    }
}
