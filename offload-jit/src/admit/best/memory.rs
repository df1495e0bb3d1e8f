//! Loads, stores, atomic operations, by where their addresses may lie in any run.

use bpf::facts::{AccessFacts, Kinds, Maps};
use bpf::insn::{AtomicOp, Operand, Reg, Size, Width};
use bpf::program::MapIndex;

use super::alu::sign_extension;
use super::{Best, UNNAMED, opcode};
use crate::action::{Action, Addend, Sink, Source, StackAt};
use crate::admit::maps::Use;
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
        let from = match self.reach(index, base, off) {
            Some(Reach::Context(at)) => self.visit.context_field(self.origin[index], at, size).map(Source::Context),
            Some(Reach::Packet) => Some(Source::Packet(UNNAMED)),
            Some(Reach::Stack(at)) => Some(Source::Stack(at)),
            Some(Reach::Value(access)) => {
                self.use_words(index, &access, size, Use::Read);
                Some(Source::MapValue)
            }
            None => None,
        };
        let Some(from) = from else { return Action::Nothing };
        let load = Action::Load { size, dst, base, off, from, zext: size != Size::D };
        match sext {
            false => load,
            true => Action::Sequence(vec![load, sign_extension(dst, Width::W64, 64 - 8 * size.bytes() as u8)]),
        }
    }

    pub(super) fn store(&mut self, index: usize, size: Size, base: Reg, off: i16, src: Operand) -> Action {
        if self.visit.operands(self.origin[index], Reg::R0, src).is_none() {
            return Action::Nothing;
        }
        let to = match self.reach(index, base, off) {
            Some(Reach::Context(at)) => {
                return match src {
                    Operand::Reg(src) => self.visit.store_context(self.origin[index], at, size, src),
                    Operand::Imm(_) => self.refuse(index, opcode("a constant stored to the context")),
                };
            }
            Some(Reach::Packet) => Sink::Packet(UNNAMED),
            Some(Reach::Stack(at)) => Sink::Stack(at),
            Some(Reach::Value(access)) => {
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
            None => return Action::Nothing,
        };
        match src {
            Operand::Reg(src) => Action::Store { size, base, off, src, to },
            Operand::Imm(imm) => Action::StoreConstant { size, base, off, value: Self::constant(imm), to },
        }
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
        if op != AtomicOp::Add || fetch {
            let actual = format!("{}{op:?}", if fetch { "fetching " } else { "" }).to_lowercase();
            return self.refuse(index, refusal("the card's memory has no such atomic operation for programs", actual));
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
        let range = addend.number.wide;
        let addend = match u64::from(u16::MAX) {
            short if range.umax <= short => Addend::Short,
            short if range.umin > short => Addend::Long,
            _ => Addend::Either,
        };
        Action::AtomicAdd { wide: size == Size::D, base, off, src, addend }
    }
}
