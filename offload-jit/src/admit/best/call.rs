//! Calls: the helpers that have a translation, and what it asks of their arguments.

use bpf::facts::{Kinds, Maps};
use bpf::helpers;
use bpf::insn::{Callee, Reg};

use super::{Best, opcode};
use crate::action::{Action, MapHelper};
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
        match id {
            1 | 2 | 3 | 7 | 44 | 65 if !self.visit.firmware_has(id) => {
                self.visit.firmware_lacks(self.origin[index], id)
            }
            1 => self.map_helper(index, MapHelper::Lookup),
            2 => self.map_helper(index, MapHelper::Update),
            3 => self.map_helper(index, MapHelper::Delete),
            7 => Action::CallRandom,
            44 => {
                if !self.delta(index).is_some_and(|by| self.visit.guaranteed().contains(&by)) {
                    self.visit.note(self.origin[index], Fault::HeadRoom);
                }
                Action::AdjustHead { certain: false }
            }
            65 => {
                if self.delta(index).is_none_or(|by| by >= 0) {
                    self.visit.note(self.origin[index], Fault::TailNeverGrows);
                }
                Action::AdjustTail
            }
            _ => self.refuse(
                index,
                Refusal::new(Rule::Helper, "the translator does not know this helper")
                    .limit(
                        "map_lookup_elem, map_update_elem, map_delete_elem, get_prandom_u32, xdp_adjust_head, \
                         xdp_adjust_tail",
                        helpers::call_text(id),
                    )
                    .help("do without it, or run the program on the host"),
            ),
        }
    }

    /// By how much the packet is to change, where that is constant.
    fn delta(&self, index: usize) -> Option<i64> {
        self.facts.before(index, Reg::R2).constant().map(|by| i64::from(by as i32))
    }

    fn map_helper(&mut self, index: usize, helper: MapHelper) -> Action {
        let key = self.stack_argument(index, "the key", Reg::R2);
        if helper == MapHelper::Update {
            self.stack_argument(index, "the value", Reg::R3);
            // What the value holds is not followed; counters of a map that is updated here may begin with anything.
            let maps = self.facts.before(index, Reg::R1).maps;
            let program = self.visit.program;
            for (n, spec) in (0..).zip(&program.maps) {
                let map = bpf::program::MapIndex(n);
                if !matches!(maps, Maps::One(one) if one != map) {
                    self.visit.words.note(map, self.origin[index], 0..spec.value_size, Use::NonZero);
                }
            }
        }
        Action::CallMap { helper, key }
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
