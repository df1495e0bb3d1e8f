//! Loads, stores, atomic operations: which memory a pointer reaches, and whether the card takes it.

use bpf::insn::{AtomicOp, Operand, Reg, Size};
use bpf::program::MapIndex;
use bpf::verifier::{AtomicSeen, Conflict, Detail, Kind, Pointer, PointerSeen, SlotSeen};

use super::maps::Use;
use super::{Hook, Visit, opcode};
use crate::action::{Action, Addend, Field, PacketAt, Sink, Source, StackAt};
use crate::refusal::{Refusal, Rule};

/// Fields of `struct xdp_md` by byte offset.
const XDP_FIELDS: &[(i64, Field)] = &[(0, Field::Data), (4, Field::DataEnd)];
/// Fields of `struct __sk_buff` by byte offset.
const SKB_FIELDS: &[(i64, Field)] = &[(0, Field::Length), (76, Field::Data), (80, Field::DataEnd)];
/// `rx_queue_index` of `struct xdp_md`.
const XDP_QUEUE: i64 = 16;

impl Visit<'_> {
    #[allow(clippy::too_many_arguments, reason = "the fields of one instruction, and where it stands")]
    pub(super) fn load(
        &mut self,
        slot: usize,
        size: Size,
        sext: bool,
        dst: Reg,
        base: Reg,
        off: i16,
        seen: &SlotSeen,
    ) -> Action {
        if sext {
            return self.refuse(slot, opcode("a sign-extending load").help("build for -mcpu=v3 or below"));
        }
        let Detail::Load(pointer) = &seen.detail else { return self.unseen(slot) };
        let from = match self.reach(slot, pointer) {
            Some(Reach::Context(at)) => self.context_field(slot, at + i64::from(off), size).map(Source::Context),
            Some(Reach::Packet(at)) => Some(Source::Packet(at)),
            Some(Reach::Stack(at)) => Some(Source::Stack(at)),
            Some(Reach::Value(map)) => {
                self.use_value(slot, map, &pointer.last, off, size, Use::Read).map(|()| Source::MapValue)
            }
            None => None,
        };
        match from {
            Some(from) => Action::Load { size, dst, base, off, from, zext: seen.zext && size != Size::D },
            None => Action::Nothing,
        }
    }

    pub(super) fn store(
        &mut self,
        slot: usize,
        size: Size,
        base: Reg,
        off: i16,
        src: Operand,
        seen: &SlotSeen,
    ) -> Action {
        let src = match src {
            Operand::Reg(src) => src,
            Operand::Imm(imm) => {
                return self.refuse(
                    slot,
                    Refusal::new(Rule::StoreImmediate, "the translator is not told where a constant is stored to")
                        .limit("stores of registers", format!("a store of {imm}"))
                        .help("build for -mcpu=v3 or below, which stores constants through a register"),
                );
            }
        };
        if self.operands(slot, Reg::R0, Operand::Reg(src)).is_none() {
            return Action::Nothing;
        }
        let Detail::Store(pointer) = &seen.detail else { return self.unseen(slot) };
        let to = match self.reach(slot, pointer) {
            Some(Reach::Context(at)) => return self.store_context(slot, at + i64::from(off), size, src),
            Some(Reach::Packet(at)) => Sink::Packet(at),
            Some(Reach::Stack(at)) => Sink::Stack(at),
            Some(Reach::Value(_)) => {
                return self.refuse(
                    slot,
                    Refusal::new(Rule::MapStore, "values of maps are only read, updated and added to on the card")
                        .limit("bpf_map_update_elem, or an atomic addition", "a plain store")
                        .help("count with __sync_fetch_and_add, or write the whole value with bpf_map_update_elem"),
                );
            }
            None => return Action::Nothing,
        };
        Action::Store { size, base, off, src, to }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one instruction, and where it stands")]
    pub(super) fn atomic(
        &mut self,
        slot: usize,
        (op, fetch): (AtomicOp, bool),
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
        seen: &SlotSeen,
    ) -> Action {
        let refusal = |reason: &str, actual: String| {
            Refusal::new(Rule::Atomic, reason)
                .limit("addition of a number to a map's value, without fetching it", actual)
                .help("use __sync_fetch_and_add on a map's value and ignore its result")
        };
        if op != AtomicOp::Add || fetch {
            let actual = format!("{}{op:?}", if fetch { "fetching " } else { "" }).to_lowercase();
            return self.refuse(slot, refusal("the card's memory has no such atomic operation for programs", actual));
        }
        let Detail::Atomic(AtomicSeen { pointer, scalar, over_16bit, maybe_16bit }) = &seen.detail else {
            return self.unseen(slot);
        };
        let Kind::MapValue(map) = pointer.last.kind else {
            let actual = format!("an addition to {}", kind_name(pointer.last.kind));
            return self.refuse(slot, refusal("the card adds atomically in its external memory only", actual));
        };
        if !scalar || src == Reg::R10 {
            return self.refuse(slot, refusal("only a number can be added", "a pointer".to_owned()));
        }
        if let Some(conflict) = pointer.conflict {
            return self.refuse_conflict(slot, conflict);
        }
        if self.use_value(slot, map, &pointer.last, off, size, Use::Atomic).is_none() {
            return Action::Nothing;
        }
        let addend = match (maybe_16bit, over_16bit) {
            (true, false) => Addend::Short,
            (false, _) => Addend::Long,
            (true, true) => Addend::Either,
        };
        Action::AtomicAdd { wide: size == Size::D, base, off, src, addend }
    }

    /// An access that was walked without its pointer being recorded cannot be translated.
    fn unseen(&mut self, slot: usize) -> Action {
        self.refuse(slot, Refusal::new(Rule::PointerKind, "nothing is known of the memory this reaches"))
    }

    /// Which memory a pointer reaches, if it is one the card has, and one and the same at every visit.
    fn reach(&mut self, slot: usize, seen: &PointerSeen) -> Option<Reach> {
        let pointer = &seen.last;
        let reach = match pointer.kind {
            Kind::Ctx => Reach::Context(pointer.constant().unwrap_or(i64::MAX / 2)),
            Kind::Packet => Reach::Packet(PacketAt { id: pointer.id, off: pointer.off, window: None }),
            Kind::Stack { .. } => Reach::Stack(stack_at(seen)),
            Kind::MapValue(map) => Reach::Value(map),
            kind => {
                self.refuse(
                    slot,
                    Refusal::new(Rule::PointerKind, "the card cannot reach this memory")
                        .limit("the context, the packet, the stack, values of maps", kind_name(kind))
                        .help("keep the data in the packet, on the stack or in a map"),
                );
                return None;
            }
        };
        if let Some(conflict) = seen.conflict {
            self.refuse_conflict(slot, conflict);
            return None;
        }
        Some(reach)
    }

    fn refuse_conflict(&mut self, slot: usize, conflict: Conflict) -> Action {
        let refusal = match conflict {
            Conflict::KindChanged { was, is } => {
                Refusal::new(Rule::PointerChanges, "one instruction reaches different memories on different paths")
                    .limit(kind_name(was), kind_name(is))
                    .help("write the access once for each path, so that each instruction reaches one memory")
            }
            Conflict::VariableStack => {
                Refusal::new(Rule::StackOffset, "the stack is local memory, reached at constant offsets only")
                    .limit("a constant offset", "a variable offset")
                    .help("unroll the loop or spell out the cases, so that each access has a constant offset")
            }
            Conflict::StackMoved { was, is } => {
                Refusal::new(Rule::StackOffset, "stack offsets on different paths differ modulo 4")
                    .limit(format!("{was} modulo 4"), is)
                    .help("align what the paths access to 4 bytes")
            }
        };
        self.refuse(slot, refusal)
    }

    /// A context field the card can compute; its size must be the field's.
    pub(super) fn context_field(&mut self, slot: usize, at: i64, size: Size) -> Option<Field> {
        let fields = if self.hook == Hook::Xdp { XDP_FIELDS } else { SKB_FIELDS };
        let found = fields.iter().find(|(off, _)| *off == at && size == Size::W);
        if found.is_none() {
            let names = if self.hook == Hook::Xdp { "data, data_end" } else { "len, data, data_end" };
            self.refuse(
                slot,
                Refusal::new(Rule::Context, "the card has no such context field")
                    .limit(format!("{names}, 4 bytes each"), format!("{} bytes at offset {at}", size.bytes()))
                    .help("do without the field, or run the program on the host"),
            );
        }
        found.map(|(_, field)| *field)
    }

    pub(super) fn store_context(&mut self, slot: usize, at: i64, size: Size, src: Reg) -> Action {
        if self.hook == Hook::Xdp && at == XDP_QUEUE && size == Size::W {
            if *self.card.queue_select {
                return Action::SelectQueue { src };
            }
            return self.refuse(
                slot,
                Refusal::new(Rule::FirmwareHelper, "the card's firmware does not let a program pick the receive queue")
                    .help("leave rx_queue_index alone"),
            );
        }
        self.refuse(
            slot,
            Refusal::new(Rule::Context, "the card lets programs write one context field only")
                .limit("rx_queue_index of XDP, 4 bytes", format!("{} bytes at offset {at}", size.bytes()))
                .help("do without the store"),
        )
    }

    /// Notes what the words of a value are used for.
    fn use_value(
        &mut self,
        slot: usize,
        map: MapIndex,
        pointer: &Pointer,
        off: i16,
        size: Size,
        what: Use,
    ) -> Option<()> {
        // A value of a map that stands in another one: that other one is refused.
        let value_size = self.program.maps.get(map.0 as usize)?.value_size;
        let at = pointer.constant().map(|at| at + i64::from(off));
        let end = at.map(|at| at + i64::from(size.bytes()));
        let refusal = match (at, end) {
            (Some(at @ 0..), Some(end)) if end <= i64::from(value_size) => {
                self.words.note(map, slot, at as u32..end as u32, what);
                return Some(());
            }
            (Some(at), _) => Refusal::new(Rule::MapOffset, "the access leaves the value")
                .limit(format!("{value_size} B"), format!("{} bytes at {at}", size.bytes())),
            (None, _) => Refusal::new(Rule::MapOffset, "the offset in the value is variable")
                .limit("a constant offset", pointer.var)
                .help("make one entry of each element, so that the key does the indexing"),
        };
        self.refuse(slot, refusal);
        None
    }
}

/// Memory the card has.
enum Reach {
    /// The context, at an offset.
    Context(i64),
    /// The packet.
    Packet(PacketAt),
    /// The stack.
    Stack(StackAt),
    /// A map's value.
    Value(MapIndex),
}

fn stack_at(seen: &PointerSeen) -> StackAt {
    let at = seen.last.constant().map_or(0, |at| at as i32);
    if seen.moved || seen.caller_frame { StackAt::Register(at) } else { StackAt::Own(at) }
}

/// A kind of pointer in words.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Uninit => "nothing",
        Kind::Scalar => "a number",
        Kind::Ctx => "the context",
        Kind::Packet => "the packet",
        Kind::PacketMeta => "metadata in front of the packet",
        Kind::PacketEnd => "the packet's end",
        Kind::Stack { .. } => "the stack",
        Kind::MapPtr(_) => "a map",
        Kind::MapValue(_) => "a map's value",
        Kind::MapValueOrNull(_) => "a map's value or null",
        Kind::Mem { .. } => "memory lent by a helper",
        Kind::MemOrNull { .. } => "memory lent by a helper, or null",
        Kind::MapKey(_) => "a map's key",
        Kind::Sock(_) => "a socket",
        Kind::SockOrNull(_) => "a socket or null",
        Kind::Func(_) => "a function",
        Kind::Dynptr(_) => "a dynamic pointer",
    }
}
