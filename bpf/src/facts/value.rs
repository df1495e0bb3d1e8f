//! What is known of a register on every run.

use crate::program::MapIndex;
use crate::verifier::{Bounds, Range, Tnum};

/// A set of things a register may hold.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u16);

impl Kinds {
    /// None: no run comes here.
    pub const NONE: Kinds = Kinds(0);
    /// Something the program never reads: nothing was written, or a call left it undefined.
    pub const UNDEFINED: Kinds = Kinds(1);
    /// A number, null among them.
    pub const NUMBER: Kinds = Kinds(1 << 1);
    /// The context.
    pub const CTX: Kinds = Kinds(1 << 2);
    /// A pointer that started at the packet's first byte.
    pub const PACKET: Kinds = Kinds(1 << 3);
    /// A pointer that started at the first byte of metadata.
    pub const PACKET_META: Kinds = Kinds(1 << 4);
    /// The packet's end.
    pub const PACKET_END: Kinds = Kinds(1 << 5);
    /// A pointer that started at the top of a stack frame.
    pub const STACK: Kinds = Kinds(1 << 6);
    /// A map.
    pub const MAP: Kinds = Kinds(1 << 7);
    /// A pointer that started at the first byte of a map's value.
    pub const MAP_VALUE: Kinds = Kinds(1 << 8);
    /// A pointer to anything else: a socket, a map's key, memory that a helper or a caller lent.
    pub const OTHER: Kinds = Kinds(1 << 9);
    /// A function of the program. Its distance is that of its first slot from the program's.
    pub const FUNCTION: Kinds = Kinds(1 << 10);

    const NAMES: [&'static str; 11] = [
        "undefined",
        "number",
        "ctx",
        "packet",
        "packet_meta",
        "packet_end",
        "stack",
        "map",
        "map_value",
        "other",
        "function",
    ];

    /// All that are pointers.
    pub const POINTERS: Kinds = Kinds(0b111_1111_1100);
    /// Pointers into packet data, and its end: those that a helper which changes the packet makes stale.
    pub const OF_PACKET: Kinds = Kinds(Self::PACKET.0 | Self::PACKET_META.0 | Self::PACKET_END.0);

    /// Kinds in either set.
    pub const fn union(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Kinds in both sets.
    pub const fn intersection(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }

    /// Kinds in this set and not in the other.
    pub const fn minus(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    /// Whether it holds all of another set.
    pub const fn contains(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it has a kind in common with another set.
    pub const fn intersects(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The pointers in it.
    pub const fn pointers(self) -> Kinds {
        self.intersection(Self::POINTERS)
    }
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = Self::NAMES.iter().enumerate().filter(|(i, _)| self.0 >> i & 1 == 1).map(|(_, name)| name);
        f.debug_set().entries(names).finish()
    }
}

/// Which maps a pointer may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maps {
    /// None.
    #[default]
    None,
    /// One and no other.
    One(MapIndex),
    /// Several.
    Several,
}

impl Maps {
    fn join(self, other: Maps) -> Maps {
        match (self, other) {
            (Maps::None, m) | (m, Maps::None) => m,
            (a, b) if a == b => a,
            _ => Maps::Several,
        }
    }
}

/// What is known of a register before an instruction, on every run that comes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegFacts {
    /// What it may hold.
    pub kinds: Kinds,
    /// Its value, if it is a number.
    pub number: Bounds,
    /// Its distance in bytes from where a pointer of its kind starts, if it is a pointer; modulo 2^64.
    pub offset: Bounds,
    /// The maps it may be, or point into a value of.
    pub maps: Maps,
    /// Frames it may point into, a bit each, counted from the main function's; for [`Kinds::STACK`].
    pub(super) frames: u8,
    /// Registers and slots with one id hold the same; 0 is none.
    pub(super) id: u32,
}

impl RegFacts {
    /// No run comes here.
    pub(super) const NEVER: RegFacts = RegFacts::of(Kinds::NONE);
    /// Undefined.
    pub(super) const UNDEFINED: RegFacts = RegFacts::of(Kinds::UNDEFINED);
    /// Any number.
    pub(super) const ANY_NUMBER: RegFacts = RegFacts::number(Bounds::UNKNOWN);

    /// Nothing is known, not even the kind.
    pub(super) const ANYTHING: RegFacts = RegFacts {
        kinds: Kinds(0b111_1111_1111),
        number: Bounds::UNKNOWN,
        offset: Bounds::UNKNOWN,
        maps: Maps::Several,
        frames: u8::MAX,
        id: 0,
    };

    /// A value of some kind: at its start if a pointer, anything if a number.
    pub(super) const fn of(kinds: Kinds) -> Self {
        Self { kinds, number: Bounds::UNKNOWN, offset: Bounds::ZERO, maps: Maps::None, frames: 0, id: 0 }
    }

    /// A number.
    pub(super) const fn number(number: Bounds) -> Self {
        Self { number, ..Self::of(Kinds::NUMBER) }
    }

    /// A pointer that concerns a map.
    pub(super) const fn of_map(kinds: Kinds, map: MapIndex) -> Self {
        Self { maps: Maps::One(map), ..Self::of(kinds) }
    }

    /// A frame's top.
    pub(super) const fn stack(frame: usize) -> Self {
        Self { frames: 1 << frame, ..Self::of(Kinds::STACK) }
    }

    /// What may be read, given that the program reads it: a verified program reads nothing undefined.
    pub const fn readable(&self) -> Kinds {
        self.kinds.minus(Kinds::UNDEFINED)
    }

    /// Whether it can only be a number.
    pub fn is_number(&self) -> bool {
        self.readable() == Kinds::NUMBER
    }

    /// The value, if it can only be one number.
    pub fn constant(&self) -> Option<u64> {
        if self.is_number() { self.number.constant() } else { None }
    }

    /// The distance from where the pointer started, if it can only be a pointer and the distance only one.
    pub fn constant_offset(&self) -> Option<i64> {
        let pointer = !self.readable().intersects(Kinds::NUMBER);
        if pointer { self.offset.constant().map(|v| v as i64) } else { None }
    }

    /// The largest power of two up to 4096 that divides the pointer's distance from its start on every run. The starts of
    /// stack frames and map values are multiples of 8; that of a packet need not be a multiple of anything.
    pub fn alignment(&self) -> u32 {
        let maybe_set = self.offset.bits.umax();
        if maybe_set == 0 { 4096 } else { 1 << maybe_set.trailing_zeros().min(12) }
    }

    /// What holds of a register that is this on one run and that on another.
    pub(super) fn join(&self, other: &Self) -> Self {
        if self.kinds.is_empty() {
            return *other;
        }
        if other.kinds.is_empty() || self == other {
            return *self;
        }
        let either = |mine: Kinds, a: &Bounds, theirs: Kinds, b: &Bounds| match (mine.is_empty(), theirs.is_empty()) {
            (_, true) => *a,
            (true, _) => *b,
            _ => join_bounds(a, b),
        };
        let number = |v: &Self| v.kinds.intersection(Kinds::NUMBER);
        Self {
            kinds: self.kinds.union(other.kinds),
            number: either(number(self), &self.number, number(other), &other.number),
            offset: either(self.kinds.pointers(), &self.offset, other.kinds.pointers(), &other.offset),
            maps: self.maps.join(other.maps),
            frames: self.frames | other.frames,
            id: if self.id == other.id { self.id } else { 0 },
        }
    }
}

/// The smallest bounds around two.
pub(super) fn join_bounds(a: &Bounds, b: &Bounds) -> Bounds {
    fn join<const BITS: u32>(a: &Range<BITS>, b: &Range<BITS>) -> Range<BITS> {
        Range { umin: a.umin.min(b.umin), umax: a.umax.max(b.umax), smin: a.smin.min(b.smin), smax: a.smax.max(b.smax) }
    }
    Bounds { bits: Tnum::union(a.bits, b.bits), wide: join(&a.wide, &b.wide), low: join(&a.low, &b.low) }
}
