//! The state of one path: what registers and stack hold, frame by frame.

use std::rc::Rc;

use super::bounds::Bounds;
use super::explored::{Kind, Pointer, SockKind};
use super::trail::Home;
use crate::insn::Reg;
use crate::program::MapIndex;

/// Bytes of a stack slot.
pub const SLOT_BYTES: i64 = 8;
/// Bytes of stack a function may have, and a chain of calls together.
pub const MAX_STACK: i64 = 512;
/// Frames a chain of calls may have, the main function's included.
pub const MAX_FRAMES: usize = 8;
/// Offsets of pointers stay below this, in either direction.
pub const MAX_OFFSET: i64 = 1 << 29;
/// The largest offset into a packet that a comparison with its end can vouch for.
pub const MAX_PACKET_OFFSET: u64 = 0xffff;

/// What a packet pointer is known to leave free up to the packet's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketRange {
    /// This many bytes from the variable part of the pointer on may be accessed.
    Bytes(u16),
    /// The pointer is at the end or beyond.
    AtEnd,
    /// The pointer is beyond the end.
    BeyondEnd,
}

impl PacketRange {
    /// Nothing is known.
    pub const NONE: PacketRange = PacketRange::Bytes(0);

    /// Bytes that may be accessed, if the comparison was that way round.
    pub const fn bytes(self) -> Option<u16> {
        match self {
            PacketRange::Bytes(n) => Some(n),
            _ => None,
        }
    }
}

/// How a constant was added to a number that shares its id with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// None was: it is the number itself.
    No,
    /// To all 64 bits.
    Wide,
    /// To the low 32 bits of a number that fits them; the sum is zero-extended.
    Low,
}

/// What a register or a spilled register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// Its kind.
    pub kind: Kind,
    /// Pointers: the part of the offset that constants added. Numbers: how far it lies from the number whose `id` it
    /// shares, if `added`.
    pub off: i32,
    /// The value of a number, or the variable part of a pointer's offset.
    pub var: Bounds,
    /// Values with one id belong together: numbers are equal (but for `off`), packet pointers have one variable part,
    /// pointers that may be null are null together. 0 is none.
    pub id: u32,
    /// Whether and how `off` was added to a number after it took its id.
    pub added: Added,
    /// Packet pointers.
    pub range: PacketRange,
    /// The reference that was acquired with it; 0 is none.
    pub reference: u32,
    /// What it belongs to: maps found in a map of maps, and their values, to the look-up that found the map; memory that
    /// a dynamic pointer lends, to that. 0 is none.
    pub owner: u32,
    /// Numbers: an instruction after the remembered state relies on its value.
    pub precise: bool,
    /// The slot of the 32-bit operation that defined it plus one, while its upper half was not read; else 0.
    pub def32: u32,
}

impl Value {
    /// Nothing was written yet.
    pub const UNINIT: Value = Value::of(Kind::Uninit, Bounds::UNKNOWN);

    /// A number of which nothing is known.
    pub const ANY_NUMBER: Value = Value::number(Bounds::UNKNOWN);

    /// A value of a kind, without offset or ties.
    pub const fn of(kind: Kind, var: Bounds) -> Self {
        Self {
            kind,
            off: 0,
            var,
            id: 0,
            added: Added::No,
            range: PacketRange::NONE,
            reference: 0,
            owner: 0,
            precise: false,
            def32: 0,
        }
    }

    /// A number.
    pub const fn number(var: Bounds) -> Self {
        Self::of(Kind::Scalar, var)
    }

    /// A pointer to the start of what its kind names.
    pub const fn pointer(kind: Kind) -> Self {
        Self::of(kind, Bounds::ZERO)
    }

    /// Cuts a number's ties to others.
    pub const fn untie(&mut self) {
        self.id = 0;
        self.added = Added::No;
        if self.is_number() {
            self.off = 0;
        }
    }

    /// Whether it is a number.
    pub const fn is_number(&self) -> bool {
        matches!(self.kind, Kind::Scalar)
    }

    /// Whether it is a pointer.
    pub const fn is_pointer(&self) -> bool {
        !matches!(self.kind, Kind::Scalar | Kind::Uninit)
    }

    /// Whether it is the number 0.
    pub fn is_zero(&self) -> bool {
        self.is_number() && self.var.constant() == Some(0)
    }

    /// The number, if it is one and constant.
    pub fn constant(&self) -> Option<u64> {
        if self.is_number() { self.var.constant() } else { None }
    }

    /// The whole offset of a pointer, if it is constant.
    pub fn fixed_offset(&self) -> Option<i64> {
        self.var.constant().map(|v| (v as i64).wrapping_add(i64::from(self.off)))
    }

    /// As a record of exploration shows it.
    pub fn seen(&self) -> Pointer {
        let off = if self.is_number() { 0 } else { self.off };
        Pointer { kind: self.kind, off, var: self.var.bits, id: self.id, range: self.range.bytes().unwrap_or(0) }
    }
}

impl Kind {
    /// Whether it is a pointer into packet data or metadata.
    pub const fn is_packet(self) -> bool {
        matches!(self, Kind::Packet | Kind::PacketMeta)
    }

    /// Whether it is one of the pointers that a packet's bounds are made of.
    pub const fn is_packet_bound(self) -> bool {
        matches!(self, Kind::Packet | Kind::PacketMeta | Kind::PacketEnd)
    }

    /// Whether it may still be null.
    pub const fn may_be_null(self) -> bool {
        matches!(self, Kind::MapValueOrNull(_) | Kind::MemOrNull { .. } | Kind::SockOrNull(_))
    }

    /// Whether it is known not to be null, as far as Linux concludes that from the kind.
    pub const fn is_never_null(self) -> bool {
        matches!(
            self,
            Kind::MapValue(_)
                | Kind::Mem { .. }
                | Kind::MapPtr(_)
                | Kind::MapKey(_)
                | Kind::Sock(SockKind::Common | SockKind::Full | SockKind::Tcp)
        )
    }
}

/// What a byte of the stack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StackByte {
    /// Nothing was written yet.
    #[default]
    Invalid,
    /// Something unknown.
    Misc,
    /// Zero.
    Zero,
    /// Its part of a spilled register.
    Spill,
    /// Its part of a dynamic pointer, which always has all of two slots.
    Dynptr,
}

/// Eight aligned bytes of stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackSlot {
    /// By address, lowest first.
    pub bytes: [StackByte; 8],
    /// The register that [`StackByte::Spill`] bytes belong to, or the dynamic pointer that [`StackByte::Dynptr`] bytes do.
    pub spilled: Value,
}

impl StackSlot {
    const EMPTY: StackSlot = StackSlot { bytes: [StackByte::Invalid; 8], spilled: Value::UNINIT };

    /// Whether a register was spilled here, of any size: spills start at the lowest byte.
    pub fn is_spill(&self) -> bool {
        self.bytes[0] == StackByte::Spill
    }

    /// The half of a dynamic pointer that lies here: of a kind of [`Kind::Dynptr`], with the offset of this half.
    pub fn dynptr(&self) -> Option<&Value> {
        (self.bytes[0] == StackByte::Dynptr).then_some(&self.spilled)
    }

    /// Whether a number was spilled here.
    pub fn is_number_spill(&self) -> bool {
        self.is_spill() && self.spilled.is_number()
    }

    /// Bytes of the spill at the lowest address.
    pub fn spill_size(&self) -> usize {
        self.bytes.iter().take_while(|b| **b == StackByte::Spill).count()
    }

    /// The spilled number when the slot is one of all eight bytes.
    pub fn whole_number(&self) -> Option<&Value> {
        (self.spill_size() == 8 && self.spilled.is_number()).then_some(&self.spilled)
    }

    /// Forgets what it holds.
    pub fn clear(&mut self) {
        *self = Self::EMPTY;
    }

    /// Makes all bytes of a slot with a spill unknown ones, as Linux does, those beside the spill as well.
    pub fn scrub(&mut self) {
        for b in &mut self.bytes {
            if *b != StackByte::Invalid {
                *b = StackByte::Misc;
            }
        }
    }
}

/// A byte's place in a frame's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackPlace {
    /// Slot, 0 for the highest eight bytes.
    pub slot: usize,
    /// Byte in the slot, by address.
    pub byte: usize,
}

impl StackPlace {
    /// The place of the byte at `off` from the frame's top, -512 to -1.
    pub fn of(off: i64) -> Self {
        debug_assert!((-MAX_STACK..0).contains(&off), "stack offsets are checked before they are used");
        Self { slot: ((-off - 1) / SLOT_BYTES) as usize, byte: off.rem_euclid(SLOT_BYTES) as usize }
    }
}

/// One function's registers and stack.
#[derive(Debug, Clone)]
pub struct Frame {
    /// R0 to R10.
    pub regs: [Value; Reg::COUNT],
    /// Slots down to the lowest that was touched.
    pub stack: Rc<Vec<StackSlot>>,
    /// Index into the program's functions.
    pub function: usize,
    /// The call that made it; unused in the main function's frame.
    pub callsite: usize,
    /// Its function in its chain of calls, for what is alive on the stack.
    pub instance: usize,
    /// How many times the call it waits at has called back.
    pub callback_depth: u32,
    /// It was called back by a helper.
    pub callback: Option<Callback>,
    /// It, or a frame above it, is called back at a later time.
    pub is_async: bool,
    /// How many asynchronous callbacks led here.
    pub async_entries: u32,
}

/// What a function that is called back must return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callback {
    /// Smallest.
    pub min: i64,
    /// Largest.
    pub max: i64,
}

/// A reference that must be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The id that values got with it.
    pub id: u32,
    /// The instruction that acquired it.
    pub slot: usize,
}

/// A spin lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Of the value it lies in.
    pub id: u32,
    /// The map it lies in.
    pub map: MapIndex,
}

impl Lock {
    /// What must be the same of two locks, but for the id.
    pub fn same(&self) -> MapIndex {
        self.map
    }
}

impl Frame {
    /// A frame in which only the frame pointer is set.
    pub fn new(depth: u8, function: usize, callsite: usize) -> Self {
        let mut regs = [Value::UNINIT; Reg::COUNT];
        regs[Reg::R10.index()] = Value::pointer(Kind::Stack { frame: depth });
        Self {
            regs,
            stack: Rc::default(),
            function,
            callsite,
            instance: 0,
            callback_depth: 0,
            callback: None,
            is_async: false,
            async_entries: 0,
        }
    }

    /// A register.
    pub fn reg(&self, reg: Reg) -> &Value {
        &self.regs[reg.index()]
    }

    /// A slot as far as it was touched.
    pub fn slot(&self, slot: usize) -> &StackSlot {
        self.stack.get(slot).unwrap_or(&StackSlot::EMPTY)
    }

    /// What a byte of stack holds.
    pub fn stack_byte(&self, off: i64) -> StackByte {
        let place = StackPlace::of(off);
        self.slot(place.slot).bytes[place.byte]
    }

    /// Its numbers in registers and spilled ones, with their homes.
    pub fn numbers(&self, frame: usize) -> impl Iterator<Item = (Home, &Value)> {
        let home = move |is_slot, index: usize| Home { frame: frame as u8, is_slot, index: index as u8 };
        let regs = self.regs.iter().enumerate().map(move |(i, v)| (home(false, i), v));
        let slots = self.stack.iter().enumerate().filter(|(_, s)| s.is_spill());
        regs.chain(slots.map(move |(i, s)| (home(true, i), &s.spilled))).filter(|(_, v)| v.is_number())
    }

    /// A slot to change; the stack grows down to it.
    pub fn slot_mut(&mut self, slot: usize) -> &mut StackSlot {
        self.grow(slot + 1);
        &mut Rc::make_mut(&mut self.stack)[slot]
    }

    /// Makes the stack at least so many slots deep.
    pub fn grow(&mut self, slots: usize) {
        if self.stack.len() < slots {
            Rc::make_mut(&mut self.stack).resize(slots, StackSlot::EMPTY);
        }
    }
}

/// The state of one path. The last frame is the running function's.
#[derive(Debug, Clone)]
pub struct State {
    /// From the main function down; never empty.
    pub frames: Vec<Rc<Frame>>,
    /// References acquired and not yet released, in the order in which they were acquired.
    pub references: Vec<Reference>,
    /// The lock that is held.
    pub lock: Option<Lock>,
    /// The path is one that a processor may take speculatively, though no run does.
    pub speculative: bool,
    /// How many times a bounded jump was not taken.
    pub may_goto_depth: u32,
    /// How many times functions were called back.
    pub unrolled: u32,
}

impl State {
    /// The state at a program's first instruction.
    pub fn entry() -> Self {
        let mut frame = Frame::new(0, 0, 0);
        frame.regs[Reg::R1.index()] = Value::pointer(Kind::Ctx);
        Self::of(frame)
    }

    /// A state of one frame.
    pub fn of(frame: Frame) -> Self {
        Self {
            frames: vec![Rc::new(frame)],
            references: Vec::new(),
            lock: None,
            speculative: false,
            may_goto_depth: 0,
            unrolled: 0,
        }
    }

    /// Makes every number in registers and spilled registers one that matters, or one that does not.
    pub fn set_precise(&mut self, precise: bool) {
        self.update_where(|v| v.is_number() && v.precise != precise, |v| v.precise = precise);
    }

    /// Depth of the running function's frame.
    pub fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// The running function's frame.
    pub fn frame(&self) -> &Frame {
        &self.frames[self.depth()]
    }

    /// The running function's frame, to change.
    pub fn frame_mut(&mut self) -> &mut Frame {
        let depth = self.depth();
        self.frame_at_mut(depth)
    }

    /// A frame, to change.
    pub fn frame_at_mut(&mut self, depth: usize) -> &mut Frame {
        Rc::make_mut(&mut self.frames[depth])
    }

    /// The value at a home.
    pub fn at_home(&mut self, home: Home) -> &mut Value {
        let frame = self.frame_at_mut(usize::from(home.frame));
        let index = usize::from(home.index);
        if home.is_slot { &mut frame.slot_mut(index).spilled } else { &mut frame.regs[index] }
    }

    /// A register of the running function.
    pub fn reg(&self, reg: Reg) -> &Value {
        self.frame().reg(reg)
    }

    /// Sets a register of the running function.
    pub fn set(&mut self, reg: Reg, value: Value) {
        self.frame_mut().regs[reg.index()] = value;
    }

    /// Changes every register and spilled register of all frames for which `pick` is true.
    pub fn update_where(&mut self, pick: impl Fn(&Value) -> bool, mut change: impl FnMut(&mut Value)) {
        for frame in &mut self.frames {
            let in_regs = frame.regs.iter().any(&pick);
            let in_stack = frame.stack.iter().any(|s| s.is_spill() && pick(&s.spilled));
            if !in_regs && !in_stack {
                continue;
            }
            let frame = Rc::make_mut(frame);
            frame.regs.iter_mut().filter(|v| pick(v)).for_each(&mut change);
            if in_stack {
                let slots = Rc::make_mut(&mut frame.stack);
                slots.iter_mut().filter(|s| s.is_spill() && pick(&s.spilled)).for_each(|s| change(&mut s.spilled));
            }
        }
    }
}
