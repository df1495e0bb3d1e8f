//! Lowering: actions become instructions of the card, one family a file.
//!
//! Every action is translated by itself, in the program's order; what crosses instructions was settled before
//! ([`crate::opt`]). The order and choice of instructions is the Linux driver's, whose words driver mode has; where the
//! driver is wrong or knows no way, mode best has one of its own. What it finds to shorten, it shortens afterwards
//! ([`crate::code`]).

mod alu;
mod atomic;
mod call;
mod context;
mod frame;
mod function;
mod home;
mod jump;
mod long;
mod map;
mod mul;
mod packet;
mod reciprocal;
mod shift;
mod stack;

use bpf::insn::Reg;
use bpf::program::MapIndex;
pub(crate) use frame::verdict;
use nic_model::isa::Cond;

use crate::action::{Action, Among, Sink, Source};
use crate::admit::{Admitted, Frame, HeadLimits, Hook};
use crate::asm::{Assembly, External, Label, Origin};
use crate::mode::Mode;
use home::{CONSTANT, Home};

/// A translation under way.
struct Lowering<'a> {
    asm: Assembly,
    /// The function being translated.
    frame: Frame,
    frames: &'a [Frame],
    /// A label for every slot, and one after the last.
    slots: Vec<Label>,
    head: HeadLimits,
    hook: Hook,
    /// The program asks for redirects.
    redirects: bool,
    mode: Mode,
    /// The subroutine that divides, once something has.
    divide: Option<Label>,
    /// Number of each map on the card, by the program's index.
    tables: &'a [u32],
}

/// Translates a program. `tables` has the card's number for each of the program's maps.
pub(crate) fn lower(program: &Admitted, tables: &[u32], mode: Mode) -> Assembly {
    let mut asm = Assembly::default();
    let slots = (0..=program.steps.len()).map(|_| asm.label()).collect();
    let main = Frame { start: 0, depth: 0, saves: false };
    let mut lowering = Lowering {
        asm,
        frame: program.frames.first().copied().unwrap_or(main),
        frames: &program.frames,
        slots,
        head: program.head,
        hook: program.hook,
        redirects: program.redirects,
        mode,
        divide: None,
        tables,
    };
    lowering.asm.set_origin(Origin::Prologue);
    lowering.prologue();
    for (slot, step) in program.steps.iter().enumerate() {
        lowering.asm.set_origin(Origin::Slot(slot as u32));
        lowering.asm.bind(lowering.slots[slot]);
        lowering.enter(slot);
        lowering.action(&step.action);
    }
    lowering.asm.bind(lowering.slots[program.steps.len()]);
    lowering.asm.set_origin(Origin::Epilogue);
    match program.hook {
        Hook::Xdp => lowering.epilogue_xdp(),
        Hook::Tc => lowering.epilogue_tc(),
    }
    if program.frames.iter().skip(1).any(|frame| frame.saves) {
        lowering.save_and_restore();
    }
    lowering.division();
    lowering.asm.set_origin(Origin::Padding);
    lowering.padding();
    lowering.asm
}

/// The card's number of a map; a map without one is no map the program names.
pub(crate) fn table(tables: &[u32], map: MapIndex) -> u32 {
    tables.get(map.0 as usize).copied().unwrap_or(0)
}

impl Lowering<'_> {
    /// A constant in registers of its own.
    fn constant_home(&mut self, value: u64) -> Home {
        for (half, value) in CONSTANT.halves().into_iter().zip([value as u32, (value >> 32) as u32]) {
            self.asm.constant(half.both(), value);
        }
        CONSTANT
    }

    /// One action or another, by what an address says of itself.
    fn choose(&mut self, base: Reg, among: Among, there: &Action, elsewhere: &Action) {
        /// Set in addresses of packet memory.
        const PACKET_BIT: u8 = 31;
        let (other, end) = (self.asm.label(), self.asm.label());
        let base = Home::of(base);
        let (first, second) = match among {
            Among::Values => {
                self.note(base.high.a());
                self.asm.branch(Cond::Eq, other, 0);
                (there, elsewhere)
            }
            Among::Packets => {
                self.asm.branch_bit_set(base.low.a(), PACKET_BIT, other);
                (elsewhere, there)
            }
        };
        self.action(first);
        self.asm.jump(end, 0);
        self.asm.bind(other);
        self.action(second);
        self.asm.bind(end);
    }

    /// Goes over to another function where one begins.
    fn enter(&mut self, slot: usize) {
        if slot == 0 {
            return;
        }
        if let Some(frame) = self.frames.iter().find(|frame| frame.start == slot) {
            self.frame = *frame;
            self.enter_function();
        }
    }

    fn slot_label(&self, slot: usize) -> Label {
        // Verified jumps stay inside.
        self.slots[slot.min(self.slots.len() - 1)]
    }

    /// Whether the function at `slot` saves R6 to R9.
    fn saves_registers(&self, slot: usize) -> bool {
        self.frames.iter().any(|frame| frame.start == slot && frame.saves)
    }

    fn action(&mut self, action: &Action) {
        match *action {
            Action::Nothing => {}
            Action::Sequence(ref actions) => actions.iter().for_each(|action| self.action(action)),
            Action::Move { width, dst, src } => self.move_register(width, dst, src),
            Action::FrameTop { dst } => self.frame_top(dst),
            Action::Constant { dst, value } => self.constant(dst, value),
            Action::Wide { dst, value } => self.wide_constant(dst, value),
            Action::Table { dst, map } => {
                self.wide_constant(dst, table(self.tables, map).into());
            }
            Action::ValueAddress { dst, map, offset } => self.value_pointer(dst, table(self.tables, map), offset),
            Action::Alu { width, op, dst, src, zext } => self.arithmetic(width, op, dst, src, zext),
            Action::Negate { width, dst, zext } => self.negate(width, dst, zext),
            Action::Shift { width, kind, dst, amount, zext } => self.shift(width, kind, dst, amount, zext),
            Action::Multiply { dst, by, product } => self.multiply(dst, by, product),
            Action::Divide { dst, by } => self.divide(dst, by),
            Action::MultiplyLong { dst, by } => self.multiply_long(dst, by),
            Action::DivideLong { division, width, dst, by } => self.divide_long(division, width, dst, by),
            Action::ToBig { dst, bits } => self.big_endian(dst, bits),
            Action::Classic { size, index, offset, zext } => self.load_classic(size, index, offset, zext),
            Action::Load { size, dst, base, off, from, zext } => match from {
                Source::Context(field) => self.load_field(dst, field),
                Source::Packet(at) => match at.window {
                    Some(window) => self.load_window(size, dst, base, off, window, zext),
                    None => self.load_packet(size, dst, base, off, zext),
                },
                Source::Stack(at) => self.load_stack(size, dst, base, off, at, zext),
                Source::MapValue => self.load_value(size, dst, base, off, zext),
            },
            Action::Store { size, base, off, src, to } => match to {
                Sink::Packet(_) => self.store_packet(size, base, off, Home::of(src)),
                Sink::Stack(at) => self.store_stack(size, base, off, Home::of(src), at),
                Sink::MapValue => self.store_value(size, base, off, Home::of(src)),
            },
            Action::StoreConstant { size, base, off, value, to } => {
                let value = self.constant_home(value);
                match to {
                    Sink::Packet(_) => self.store_packet(size, base, off, value),
                    Sink::Stack(at) => self.store_stack(size, base, off, value, at),
                    Sink::MapValue => self.store_value(size, base, off, value),
                }
            }
            Action::Copy(ref run) => self.copy_run(run),
            Action::SelectQueue { src } => self.select_queue(src),
            Action::AtomicAdd { wide, base, off, src, addend } => self.atomic_add(wide, base, off, src, addend),
            Action::Jump { to } => self.asm.jump(self.slot_label(to), 0),
            Action::Branch { width, cond, dst, src, negated, to } => self.branch(width, cond, dst, src, negated, to),
            Action::CallLocal { to } => self.call_local(to),
            Action::CallMap { helper, key } => self.call_map(helper, key),
            Action::Choose { base, among, ref there, ref elsewhere } => self.choose(base, among, there, elsewhere),
            Action::CallHelper { id, changes_packet } => self.call_helper(id, changes_packet),
            Action::AtomicCall { op, fetch, wide, base, off, src } => {
                self.atomic_call(op, fetch, wide, base, off, src);
            }
            Action::CallRandom => self.call_random(),
            Action::CallEvent { data } => self.call_event(data),
            Action::AdjustHead { certain } => self.adjust_head(certain),
            Action::AdjustTail => self.adjust_tail(),
            Action::Exit => self.exit(),
        }
    }

    /// The main function goes to the epilogue, others back to their caller.
    fn exit(&mut self) {
        if self.frame.start == 0 {
            self.asm.branch_external(None, External::Out, 0);
        } else {
            self.leave_function();
        }
    }
}
