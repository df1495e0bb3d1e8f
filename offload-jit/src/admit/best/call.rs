//! Calls: the helpers that have a translation, and what it asks of their arguments.

use bpf::facts::{Kinds, Maps};
use bpf::helpers;
use bpf::helpers::signature::signature;
use bpf::insn::{Callee, Reg};

use super::helpers::{OnCard, on_card};
use super::{Best, opcode};
use crate::action::{Action, MapHelper};
use crate::admit::Hook;
use crate::admit::maps::Use;
use crate::image::Fault;
use crate::refusal::{Refusal, Rule};

impl Best<'_> {
    pub(super) fn call(&mut self, index: usize, callee: Callee) -> Action {
        match callee {
            Callee::Local(_) => match self.running.insns[index].function(index) {
                Some(to) => Action::CallLocal { to: self.slot(to) },
                None => Action::Nothing,
            },
            Callee::Kfunc(_) => self.refuse(
                index,
                Refusal::new(Rule::KernelFunction, "there is no kernel on the card")
                    .help("do without kernel functions, or run the program on the host"),
            ),
            Callee::Reg(_) => self.refuse(index, opcode("a call through a register").help("call the helper directly")),
            Callee::Helper(id) => self.helper(index, id),
        }
    }

    fn helper(&mut self, index: usize, id: u32) -> Action {
        let slot = self.origin[index];
        let Some(how) = on_card(id) else {
            return self.no_helper(index, id, "the translator does not know this helper");
        };
        let has = match how {
            OnCard::Routine(_) => self.visit.card.takes_every_helper(),
            OnCard::Not(_) => true,
            _ => self.visit.firmware_has(id),
        };
        if !has {
            return self.visit.firmware_lacks(slot, id);
        }
        match how {
            OnCard::MapDoor(helper) if self.is_plain_map(index, id) => self.map_helper(index, helper),
            OnCard::Random => Action::CallRandom,
            OnCard::AdjustHead if self.calls.metadata || self.visit.hook == Hook::Tc => {
                self.visit.note(slot, Fault::HeadRoom);
                self.routine(index, id)
            }
            OnCard::AdjustHead => {
                if !self.delta(index).is_some_and(|by| self.visit.guaranteed().contains(&by)) {
                    self.visit.note(slot, Fault::HeadRoom);
                }
                Action::AdjustHead { certain: false }
            }
            OnCard::AdjustTail => {
                if self.delta(index).is_none_or(|by| by >= 0) {
                    self.visit.note(slot, Fault::TailNeverGrows);
                }
                Action::AdjustTail
            }
            OnCard::Routine(note) => {
                note.into_iter().for_each(|fault| self.visit.note(slot, fault));
                self.routine(index, id)
            }
            OnCard::MapDoor(_) => self.routine(index, id),
            OnCard::Not(reason) => self.no_helper(index, id, reason),
        }
    }

    fn no_helper(&mut self, index: usize, id: u32, reason: &str) -> Action {
        let refusal = Refusal::new(Rule::Helper, reason)
            .limit(self.known_helpers(), helpers::call_text(id))
            .help("do without it, or run the program on the host");
        self.refuse(index, refusal)
    }

    /// The helpers that have a translation, in words.
    fn known_helpers(&self) -> &'static str {
        match self.visit.card.takes_every_helper() {
            true => "helpers on packets, maps, the clock, checksums, texts, events, redirects and routes",
            false => {
                "map_lookup_elem, map_update_elem, map_delete_elem, get_prandom_u32, xdp_adjust_head, xdp_adjust_tail"
            }
        }
    }

    /// A helper that the firmware carries out wherever its arguments are.
    fn routine(&mut self, index: usize, id: u32) -> Action {
        let signature = signature(id, self.visit.program.ty);
        let taken = signature.map_or(0, |signature| signature.args.len());
        for reg in (1..).filter_map(Reg::new).take(taken) {
            let known = *self.facts.before(index, reg);
            if known.readable().intersects(Kinds::MAP_VALUE) {
                // What a routine reads and writes of a value is not followed.
                let access = self.facts.access(index, reg, 0);
                self.use_all_words(index, &access);
            }
        }
        if id == 2 {
            self.note_update(index);
        }
        // Whatever may have moved the packet's ends has the verifier take pointers for stale.
        let changes_packet = signature.is_some_and(|signature| signature.changes_packet);
        Action::CallHelper { id, changes_packet }
    }

    /// Whether a call of a map helper is one for the map's own door: of a map of values, with its operands on the stack at
    /// multiples of 4.
    fn is_plain_map(&self, index: usize, id: u32) -> bool {
        let Maps::One(map) = self.facts.before(index, Reg::R1).maps else {
            return !self.visit.card.takes_every_helper();
        };
        let holds = self.visit.program.maps.get(map.0 as usize).is_some_and(|spec| spec.ty.holds_values());
        let on_stack = |reg: Reg| {
            let facts = self.facts.before(index, reg);
            facts.readable() == Kinds::STACK && facts.alignment() >= 4
        };
        holds && on_stack(Reg::R2) && (id != 2 || on_stack(Reg::R3)) || !self.visit.card.takes_every_helper()
    }

    /// By how much the packet is to change, where that is constant.
    fn delta(&self, index: usize) -> Option<i64> {
        self.facts.before(index, Reg::R2).constant().map(|by| i64::from(by as i32))
    }

    fn map_helper(&mut self, index: usize, helper: MapHelper) -> Action {
        let key = self.stack_argument(index, "the key", Reg::R2);
        if helper == MapHelper::Update {
            self.stack_argument(index, "the value", Reg::R3);
            self.note_update(index);
        }
        Action::CallMap { helper, key }
    }

    /// What the value holds is not followed; counters of a map that is updated may begin with anything.
    fn note_update(&mut self, index: usize) {
        let maps = self.facts.before(index, Reg::R1).maps;
        let program = self.visit.program;
        for (n, spec) in (0..).zip(&program.maps) {
            let map = bpf::program::MapIndex(n);
            if !matches!(maps, Maps::One(one) if one != map) {
                self.visit.words.note(map, self.origin[index], 0..spec.value_size, Use::NonZero);
            }
        }
    }

    /// A pointer the firmware reads through local memory: on the stack and aligned. Returns its place in the running
    /// function's frame if that is known.
    fn stack_argument(&mut self, index: usize, what: &str, reg: Reg) -> Option<i32> {
        let facts = *self.facts.before(index, reg);
        let actual = match facts.readable() {
            Kinds::STACK if facts.alignment() >= 4 => {
                let fixed = self.in_main(index);
                return facts.constant_offset().filter(|_| fixed).map(|at| at as i32);
            }
            Kinds::STACK => "an address that may not be a multiple of 4".to_owned(),
            other => format!("{other:?}"),
        };
        self.refuse(
            index,
            Refusal::new(Rule::HelperArgument, format!("the firmware reads {what} from the stack, word by word"))
                .limit("a stack address that is a multiple of 4", actual)
                .help(format!("copy {what} to an aligned variable on the stack")),
        );
        None
    }
}
