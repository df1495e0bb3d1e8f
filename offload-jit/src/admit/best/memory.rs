//! Loads, stores, atomic operations, by where their addresses may lie in any run.

use bpf::facts::{AccessFacts, Kinds, Maps};
use bpf::insn::{AtomicOp, Operand, Reg, Size, Width};
use bpf::program::MapIndex;
use bpf::verifier::{Detail, Kind, Lender};

use super::alu::sign_extension;
use super::{Best, UNNAMED, opcode};
use crate::action::{Action, Addend, Among, Field, Sink, Source, StackAt, Step};
use crate::admit::Hook;
use crate::admit::maps::Use;
use crate::image::Fault;
use crate::refusal::{Refusal, Rule};

/// Bytes of a word of local memory.
const WORD: i64 = 4;

/// Memory the card has.
enum Reach {
    Context(i64),
    Packet,
    Stack(StackAt),
    Value(AccessFacts),
}

/// Kinds of pointers in words, the first that is there.
fn kind_name(kinds: Kinds) -> &'static str {
    const NAMES: [(Kinds, &str); 9] = [
        (Kinds::PACKET_META, "metadata in front of the packet"),
        (Kinds::PACKET_END, "the packet's end"),
        (Kinds::MAP, "a map"),
        (Kinds::OTHER, "memory lent by a helper or a caller"),
        (Kinds::CTX, "the context"),
        (Kinds::PACKET, "the packet"),
        (Kinds::STACK, "the stack"),
        (Kinds::MAP_VALUE, "a map's value"),
        (Kinds::NUMBER, "a number"),
    ];
    NAMES.into_iter().find(|(kind, _)| kinds.intersects(*kind)).map_or("nothing", |(_, name)| name)
}

impl Best<'_> {
    fn reach(&mut self, index: usize, base: Reg, off: i16) -> Option<Reach> {
        let access = self.facts.access(index, base, off);
        // Null is not reached: the verifier has seen to it.
        let kinds = access.kinds.pointers();
        let refusal = match kinds {
            Kinds::CTX if access.min == access.max => return Some(Reach::Context(access.min)),
            Kinds::PACKET => return Some(Reach::Packet),
            Kinds::PACKET_META if self.visit.card.takes_every_helper() => return Some(Reach::Packet),
            _ if kinds.minus(Kinds::PACKET.union(Kinds::PACKET_META)).is_empty()
                && !kinds.is_empty()
                && self.visit.card.takes_every_helper() =>
            {
                return Some(Reach::Packet);
            }
            // A record of a ring buffer lies in the map's region.
            Kinds::OTHER if self.is_record(index) => return Some(Reach::Value(access)),
            Kinds::STACK => return self.stack(index, base, off).map(Reach::Stack),
            Kinds::MAP_VALUE => return Some(Reach::Value(access)),
            _ => {
                let one = [Kinds::CTX, Kinds::PACKET, Kinds::STACK, Kinds::MAP_VALUE].into_iter();
                if one.clone().any(|kind| kinds == kind) || one.filter(|kind| kinds.intersects(*kind)).count() < 2 {
                    Refusal::new(Rule::PointerKind, "the card cannot reach this memory")
                        .limit("the context, the packet, the stack, values of maps", kind_name(kinds))
                        .help("keep the data in the packet, on the stack or in a map")
                } else {
                    Refusal::new(Rule::PointerChanges, "one instruction reaches different memories on different paths")
                        .help("write the access once for each path, so that each instruction reaches one memory")
                }
            }
        };
        self.refuse(index, refusal);
        None
    }

    /// Whether what is reached has been reserved in a ring buffer.
    fn is_record(&self, index: usize) -> bool {
        let seen = self.explored.slot(self.origin[index]).map(|seen| &seen.detail);
        let pointer = match seen {
            Some(Detail::Load(pointer) | Detail::Store(pointer)) => pointer,
            Some(Detail::Atomic(atomic)) => &atomic.pointer,
            _ => return false,
        };
        pointer.conflict.is_none() && matches!(pointer.last.kind, Kind::Mem { lender: Lender::RingBuffer, .. })
    }

    /// Notes that all words of the values which an access may reach are read, and written otherwise than atomically.
    pub(super) fn use_all_words(&mut self, index: usize, access: &AccessFacts) {
        let program = self.visit.program;
        for (n, spec) in (0..).zip(&program.maps) {
            if !matches!(access.maps, Maps::One(map) if map != MapIndex(n)) {
                self.visit.words.note(MapIndex(n), self.origin[index], 0..spec.value_size, Use::Read);
            }
        }
    }

    /// A field of the context that this card's firmware keeps, as the place a load or store of it goes to.
    fn field_block(&self, at: i64, size: Size, write: bool) -> Option<i16> {
        /// Fields of `struct __sk_buff` in the block behind the packet vector: first byte, bytes, and whether a program may
        /// store there.
        const FIELDS: [(i64, i64, bool); 18] = [
            (4, 4, false),
            (8, 4, true),
            (12, 4, false),
            (16, 4, false),
            (20, 4, false),
            (24, 4, false),
            (28, 4, false),
            (32, 4, true),
            (36, 4, false),
            (40, 4, false),
            (44, 4, true),
            (48, 20, true),
            (68, 4, false),
            (72, 4, true),
            (152, 8, true),
            (160, 4, false),
            (164, 4, false),
            (176, 4, false),
        ];
        if self.visit.hook != Hook::Tc || !self.visit.card.takes_every_helper() {
            return None;
        }
        let end = at + i64::from(size.bytes());
        let inside =
            |(first, bytes, stores): &(i64, i64, bool)| at >= *first && end <= first + bytes && (*stores || !write);
        FIELDS.iter().any(inside).then_some(at as i16)
    }

    /// Fields that are computed rather than kept.
    fn computed_field(&mut self, index: usize, at: i64, size: Size) -> Option<Field> {
        if size != Size::W || !self.visit.card.takes_every_helper() {
            return None;
        }
        match (self.visit.hook, at) {
            (Hook::Xdp, 8) | (Hook::Tc, 140) => Some(Field::Metadata),
            (Hook::Xdp, 12) => Some(Field::Device),
            // Receive queues are chosen behind the program.
            (Hook::Xdp, 16) => {
                self.visit.note(self.origin[index], Fault::QueueUnknown);
                Some(Field::Zero)
            }
            _ => None,
        }
    }

    /// In the main function there is one frame only; a called one may have got its caller's addresses. What is at no
    /// constant place must be at a known one within its word.
    fn stack(&mut self, index: usize, base: Reg, off: i16) -> Option<StackAt> {
        let offset = &self.facts.before(index, base).offset;
        let constant = offset.constant().map(|at| at as i64 as i32);
        if base == Reg::R10 {
            return Some(StackAt::Own(0));
        }
        if let Some(at) = constant {
            return Some(if self.in_main(index) { StackAt::Own(at) } else { StackAt::Register(at) });
        }
        let known = !offset.bits.mask() & (WORD as u64 - 1) == WORD as u64 - 1;
        if known {
            return Some(StackAt::Register((offset.bits.value() & (WORD as u64 - 1)) as i32));
        }
        let at = self.facts.access(index, base, off);
        self.refuse(
            index,
            Refusal::new(Rule::StackOffset, "the stack is local memory, which has words of 4 bytes")
                .limit("an offset that is known modulo 4", format!("offsets from {} to {}", at.min, at.max))
                .help("align what the program addresses with a variable offset to 4 bytes"),
        );
        None
    }

    /// Notes what the words of values that an access may reach are used for.
    fn use_words(&mut self, index: usize, access: &AccessFacts, size: Size, what: Use) {
        let program = self.visit.program;
        for (n, spec) in (0..).zip(&program.maps) {
            if matches!(access.maps, Maps::One(map) if map != MapIndex(n)) {
                continue;
            }
            let end = i64::from(spec.value_size);
            let first = access.min.clamp(0, end) as u32;
            let last = access.max.saturating_add(size.bytes().into()).clamp(0, end) as u32;
            self.visit.words.note(MapIndex(n), self.origin[index], first..last, what);
        }
    }

    pub(super) fn load(&mut self, index: usize, size: Size, sext: bool, dst: Reg, base: Reg, off: i16) -> Action {
        let load = match self.split(index, base, off) {
            Some(split) => {
                let mut one = |best: &mut Self, reach| best.load_from(index, size, dst, base, off, reach);
                self.choose(base, split, &mut one)
            }
            None => match self.reach(index, base, off) {
                Some(reach) => self.load_from(index, size, dst, base, off, reach),
                None => return Action::Nothing,
            },
        };
        match sext {
            false => load,
            true => Action::Sequence(vec![load, sign_extension(dst, Width::W64, 64 - 8 * size.bytes() as u8)]),
        }
    }

    fn load_from(&mut self, index: usize, size: Size, dst: Reg, base: Reg, off: i16, reach: Reach) -> Action {
        let zext = size != Size::D;
        let from = match reach {
            Reach::Context(at) => {
                if let Some(off) = self.field_block(at, size, false) {
                    return Action::Load { size, dst, base, off, from: Source::Stack(StackAt::Context), zext };
                }
                match self.computed_field(index, at, size) {
                    Some(field) => Some(Source::Context(field)),
                    None => self.visit.context_field(self.origin[index], at, size).map(Source::Context),
                }
            }
            Reach::Packet => Some(Source::Packet(UNNAMED)),
            Reach::Stack(at) => Some(Source::Stack(at)),
            Reach::Value(access) => {
                self.use_words(index, &access, size, Use::Read);
                Some(Source::MapValue)
            }
        };
        from.map_or(Action::Nothing, |from| Action::Load { size, dst, base, off, from, zext })
    }

    /// The memories that one access may go to, where they are several that addresses tell apart; values come first, then
    /// packets.
    fn split(&mut self, index: usize, base: Reg, off: i16) -> Option<(Vec<Among>, Vec<Reach>)> {
        let kinds = self.facts.before(index, base).readable().pointers();
        let packets = Kinds::PACKET.union(Kinds::PACKET_META);
        let all = packets.union(Kinds::STACK).union(Kinds::MAP_VALUE);
        let several =
            [packets, Kinds::STACK, Kinds::MAP_VALUE].iter().filter(|kind| kinds.intersects(**kind)).count() > 1;
        if !several || !kinds.minus(all).is_empty() || !self.visit.card.takes_every_helper() {
            return None;
        }
        let access = self.facts.access(index, base, off);
        let (mut among, mut reaches) = (Vec::new(), Vec::new());
        if kinds.intersects(Kinds::MAP_VALUE) {
            // What is known of the distance is not of the value alone.
            among.push(Among::Values);
            reaches.push(Reach::Value(AccessFacts { min: 0, max: i64::from(u32::MAX), ..access }));
        }
        if kinds.intersects(packets) {
            among.push(Among::Packets);
            reaches.push(Reach::Packet);
        }
        if kinds.intersects(Kinds::STACK) {
            reaches.push(self.stack(index, base, off).map(Reach::Stack)?);
        }
        Some((among, reaches))
    }

    fn choose(
        &mut self,
        base: Reg,
        (among, reaches): (Vec<Among>, Vec<Reach>),
        one: &mut dyn FnMut(&mut Self, Reach) -> Action,
    ) -> Action {
        let actions: Vec<Action> = reaches.into_iter().map(|reach| one(self, reach)).collect();
        // The last of them is what is left when all tests have failed.
        let tested = actions.len().saturating_sub(1);
        let mut actions = actions.into_iter();
        let parts: Vec<(Among, Action)> = among.into_iter().zip(actions.by_ref().take(tested)).collect();
        let last = actions.next().unwrap_or(Action::Nothing);
        parts.into_iter().rfold(last, |elsewhere, (among, there)| Action::Choose {
            base,
            among,
            there: Box::new(there),
            elsewhere: Box::new(elsewhere),
        })
    }

    pub(super) fn store(&mut self, index: usize, size: Size, base: Reg, off: i16, src: Operand) -> Action {
        if self.visit.operands(self.origin[index], Reg::R0, src).is_none() {
            return Action::Nothing;
        }
        if let Some(split) = self.split(index, base, off) {
            let mut one = |best: &mut Self, reach| best.store_to(index, size, base, off, src, reach);
            return self.choose(base, split, &mut one);
        }
        match self.reach(index, base, off) {
            Some(reach) => self.store_to(index, size, base, off, src, reach),
            None => Action::Nothing,
        }
    }

    fn store_to(&mut self, index: usize, size: Size, base: Reg, off: i16, src: Operand, reach: Reach) -> Action {
        let to = match reach {
            Reach::Context(at) => {
                if let Some(off) = self.field_to_store(index, at, size, src) {
                    // Some of them have 16 bits.
                    let size = if matches!(at, 12 | 44 | 72) && size == Size::W { Size::H } else { size };
                    if !(48..68).contains(&at) {
                        self.visit.note(self.origin[index], Fault::StaysOnCard);
                    }
                    let to = Sink::Stack(StackAt::Context);
                    return match src {
                        Operand::Reg(src) => Action::Store { size, base, off, src, to },
                        Operand::Imm(imm) => Action::StoreConstant { size, base, off, value: Self::constant(imm), to },
                    };
                }
                return match src {
                    Operand::Reg(src) => self.visit.store_context(self.origin[index], at, size, src),
                    Operand::Imm(_) => self.refuse(index, opcode("a constant stored to the context")),
                };
            }
            Reach::Packet => Sink::Packet(UNNAMED),
            Reach::Stack(at) => Sink::Stack(at),
            Reach::Value(access) => {
                if !*self.visit.card.map_stores {
                    let refusal =
                        Refusal::new(Rule::MapStore, "values of maps are only read, updated and added to on the card")
                            .limit("bpf_map_update_elem, or an atomic addition", "a plain store")
                            .help("count with __sync_fetch_and_add, or write the whole value with bpf_map_update_elem");
                    return self.refuse(index, refusal);
                }
                self.use_words(index, &access, size, Use::Read);
                Sink::MapValue
            }
        };
        match src {
            Operand::Reg(src) => Action::Store { size, base, off, src, to },
            Operand::Imm(imm) => Action::StoreConstant { size, base, off, value: Self::constant(imm), to },
        }
    }

    /// The place of a field that a program may store to. `queue_mapping` takes no number that stands for no queue.
    fn field_to_store(&self, index: usize, at: i64, size: Size, src: Operand) -> Option<i16> {
        const QUEUE_MAPPING: i64 = 12;
        const NO_QUEUE: u64 = 0xffff;
        let most = match src {
            Operand::Imm(imm) => u64::from(imm as u32),
            Operand::Reg(reg) => self.facts.before(index, reg).number.low.umax,
        };
        let queue = at == QUEUE_MAPPING && size == Size::W && most < NO_QUEUE;
        self.field_block(at, size, !queue)
    }

    pub(super) fn atomic(
        &mut self,
        index: usize,
        (op, fetch): (AtomicOp, bool),
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Action {
        let refusal = |reason: &str, actual: String| {
            Refusal::new(Rule::Atomic, reason)
                .limit("addition of a number to a map's value, without fetching it", actual)
                .help("use __sync_fetch_and_add on a map's value and ignore its result")
        };
        let name = match (op, fetch) {
            (AtomicOp::Add, false) => "add",
            (AtomicOp::And, false) => "and",
            (AtomicOp::Or, false) => "or",
            (AtomicOp::Xor, false) => "xor",
            (AtomicOp::Add, true) => "fetch-add",
            (AtomicOp::And, true) => "fetch-and",
            (AtomicOp::Or, true) => "fetch-or",
            (AtomicOp::Xor, true) => "fetch-xor",
            (AtomicOp::Xchg, _) => "xchg",
            (AtomicOp::Cmpxchg, _) => "cmpxchg",
        };
        if (op != AtomicOp::Add || fetch) && !self.visit.card.takes_atomic(name) {
            let actual = format!("{}{op:?}", if fetch { "fetching " } else { "" }).to_lowercase();
            return self.refuse(index, refusal("the card's memory has no such atomic operation for programs", actual));
        }
        let routine = self.visit.card.takes_atomic("fetch-add");
        let access = self.facts.access(index, base, off);
        let in_value = access.kinds.pointers() == Kinds::MAP_VALUE;
        if routine && (op != AtomicOp::Add || fetch || !in_value || access.min != access.max) {
            return self.atomic_routine(index, (op, fetch), size, base, off, src);
        }
        let addend = *self.facts.before(index, src);
        if !addend.is_number() || src == Reg::R10 {
            return self.refuse(index, refusal("only a number can be added", "a pointer".to_owned()));
        }
        let Some(Reach::Value(access)) = self.reach(index, base, off) else {
            let actual = format!("an addition to {}", kind_name(self.facts.access(index, base, off).kinds.pointers()));
            return self.refuse(index, refusal("the card adds atomically in its external memory only", actual));
        };
        if access.min != access.max {
            let actual = format!("{} to {}", access.min, access.max);
            return self.refuse(
                index,
                Refusal::new(Rule::MapOffset, "the offset of an atomic counter in the value is variable")
                    .limit("a constant offset", actual)
                    .help("make one entry of each counter, so that the key does the indexing"),
            );
        }
        self.use_words(index, &access, size, Use::Atomic);
        if routine {
            self.updates.push((index, Action::AtomicCall { op, fetch, wide: size == Size::D, base, off, src }));
        }
        let range = addend.number.wide;
        let addend = match u64::from(u16::MAX) {
            short if range.umax <= short => Addend::Short,
            short if range.umin > short => Addend::Long,
            _ => Addend::Either,
        };
        Action::AtomicAdd { wide: size == Size::D, base, off, src, addend }
    }

    /// An atomic operation for the firmware's routine, on numbers in the host's byte order.
    fn atomic_routine(
        &mut self,
        index: usize,
        (op, fetch): (AtomicOp, bool),
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Action {
        if self.visit.operands(self.origin[index], Reg::R0, Operand::Reg(src)).is_none() {
            return Action::Nothing;
        }
        match self.reach(index, base, off) {
            Some(Reach::Stack(_)) => {}
            Some(Reach::Value(_)) => self.atomics_called = true,
            Some(_) => {
                let refusal =
                    Refusal::new(Rule::Atomic, "the firmware changes numbers on the stack and in values of maps only")
                        .limit(
                            "the stack, values of maps",
                            kind_name(self.facts.access(index, base, off).kinds.pointers()),
                        )
                        .help("count in a map's value");
                return self.refuse(index, refusal);
            }
            None => return Action::Nothing,
        }
        Action::AtomicCall { op, fetch, wide: size == Size::D, base, off, src }
    }

    /// Where a word is read, written or changed by a routine besides being added to by the card's own engine, which has
    /// another byte order, the routine does all of it. Programs that call each other share maps, so theirs too.
    pub(super) fn settle_atomics(&mut self, steps: &mut [Step]) {
        if !(self.atomics_called || self.calls.tail_calls || self.visit.words.conflict()) {
            return;
        }
        if !self.visit.card.takes_atomic("fetch-add") {
            return;
        }
        for (index, action) in std::mem::take(&mut self.updates) {
            steps[self.origin[index]].action = action;
        }
        self.visit.words.forget_atomics();
    }
}
