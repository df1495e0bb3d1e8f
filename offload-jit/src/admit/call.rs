//! Calls: the helpers the translator knows and the firmware has, and what it asks of their arguments.

use std::ops::RangeInclusive;

use bpf::helpers;
use bpf::insn::Callee;
use bpf::verifier::{ArgSeen, CallSeen, Detail, Kind, SlotSeen};
use nic_model::profile::Rules;

use super::maps::Use;
use super::memory::kind_name;
use super::{Visit, opcode};
use crate::action::{Action, EventData, MapHelper, Step};
use crate::image::Fault;
use crate::refusal::{Refusal, Rule};

/// Flags of `bpf_perf_event_output` that pick the buffer: the low 32 bits, all ones for the running processor's.
const CURRENT_CPU: u64 = 0xffff_ffff;
/// A packet must stay as long as the least frame minus what was in front of its header: an adjustment by more is not
/// certain (Linux, `ETH_ZLEN - ETH_HLEN`).
const LARGEST_CERTAIN_CUT: i64 = 60 - 14;

impl MapHelper {
    /// The kernel's number.
    pub(crate) const fn number(self) -> u32 {
        match self {
            MapHelper::Lookup => 1,
            MapHelper::Update => 2,
            MapHelper::Delete => 3,
        }
    }
}

/// Calls of `bpf_xdp_adjust_head`: with a single one by a constant the firmware guarantees success.
#[derive(Debug, Default)]
pub(super) struct HeadCalls {
    /// Slot and constant.
    calls: Vec<(usize, Option<i64>)>,
}

impl Visit<'_> {
    pub(super) fn call(&mut self, slot: usize, callee: Callee, seen: &SlotSeen) -> Action {
        match callee {
            Callee::Local(_) => match self.program.insns[slot].function(slot).and_then(|to| usize::try_from(to).ok()) {
                Some(to) => Action::CallLocal { to },
                None => Action::Nothing,
            },
            Callee::Kfunc(_) => self.refuse(
                slot,
                Refusal::new(Rule::KernelFunction, "there is no kernel on the card")
                    .help("do without kernel functions, or run the program on the host"),
            ),
            Callee::Reg(_) => self.refuse(slot, opcode("a call through a register").help("call the helper directly")),
            Callee::Helper(id) => match &seen.detail {
                Detail::Call(call) => self.helper(slot, id, call),
                _ => self.unknown_helper(slot, id),
            },
        }
    }

    fn helper(&mut self, slot: usize, id: u32, call: &CallSeen) -> Action {
        match id {
            1 | 2 | 3 | 7 | 25 | 44 | 65 if !self.firmware_has(id) => self.firmware_lacks(slot, id),
            1 => self.map_helper(slot, MapHelper::Lookup, call),
            2 => self.map_helper(slot, MapHelper::Update, call),
            3 => self.map_helper(slot, MapHelper::Delete, call),
            7 => Action::CallRandom,
            25 => self.event(slot, call),
            44 => self.adjust_head(slot, &call.args[1]),
            65 => {
                if constant(&call.args[1]).is_none_or(|by| by >= 0) {
                    self.note(slot, Fault::TailNeverGrows);
                }
                Action::AdjustTail
            }
            _ => self.unknown_helper(slot, id),
        }
    }

    /// Whether the firmware has a helper, with what the translation of it needs.
    pub(super) fn firmware_has(&self, id: u32) -> bool {
        let card = self.card;
        let feature = match id {
            7 => *card.random,
            44 => card.adjust_head.as_ref().is_some_and(|limits| limits.no_meta),
            65 => *card.adjust_tail,
            // The driver's way to hand an event over is known to the firmware it was written for.
            25 => self.best || *card.rules == Rules::Driver,
            _ => true,
        };
        feature && card.takes_helper(id)
    }

    pub(super) fn firmware_lacks(&mut self, slot: usize, id: u32) -> Action {
        let limit = self.card.helpers.join(", ");
        let reason = match driver_name(id).filter(|_| !self.best) {
            Some(name) => format!("{name}: not supported by FW"),
            None => "the card's firmware does not have this helper".to_owned(),
        };
        self.refuse(
            slot,
            Refusal::new(Rule::FirmwareHelper, reason)
                .limit(limit, helpers::call_text(id))
                .help("use a card whose firmware has it, or do without"),
        )
    }

    fn unknown_helper(&mut self, slot: usize, id: u32) -> Action {
        self.refuse(
            slot,
            Refusal::new(Rule::Helper, "the translator does not know this helper")
                .limit(
                    "map_lookup_elem, map_update_elem, map_delete_elem, get_prandom_u32, perf_event_output, \
                     xdp_adjust_head, xdp_adjust_tail",
                    helpers::call_text(id),
                )
                .help("do without it, or run the program on the host"),
        )
    }

    fn map_helper(&mut self, slot: usize, helper: MapHelper, call: &CallSeen) -> Action {
        let key = self.stack_argument(slot, "the key", &call.args[1]);
        if helper == MapHelper::Update {
            self.stack_argument(slot, "the value", &call.args[2]);
            if let Kind::MapPtr(map) = call.args[0].last.kind {
                for (word, _) in (0..).zip(&call.nonzero_words).filter(|(_, nonzero)| **nonzero) {
                    self.words.note(map, slot, word * 4..word * 4 + 4, Use::NonZero);
                }
            }
        }
        Action::CallMap { helper, key }
    }

    /// A pointer the firmware reads through local memory: on the stack, constant, aligned. Returns its place in the
    /// running function's frame if that is known.
    fn stack_argument(&mut self, slot: usize, what: &str, arg: &ArgSeen) -> Option<i32> {
        let refusal = |actual: &str| {
            Refusal::new(Rule::HelperArgument, format!("the firmware reads {what} from the stack, word by word"))
                .limit("a stack address with a constant offset that is a multiple of 4", actual)
                .help(format!("copy {what} to an aligned variable on the stack"))
        };
        let kind = arg.kind_changed.map_or(arg.last.kind, |(was, is)| if is_stack(was) { is } else { was });
        if !is_stack(kind) {
            self.refuse(slot, refusal(kind_name(kind)));
        } else if arg.variable_stack {
            self.refuse(slot, refusal("a variable offset"));
        } else if arg.unaligned_stack {
            let at = arg.last.constant().unwrap_or(0);
            self.refuse(slot, refusal(&format!("offset {at}")));
        }
        // In a called function the base of the frame holds the return address, never a key.
        let in_main = slot < self.callees;
        let fixed = in_main && !arg.varies && is_stack(arg.last.kind);
        arg.last.constant().filter(|_| fixed).map(|at| at as i32)
    }

    fn event(&mut self, slot: usize, call: &CallSeen) -> Action {
        let flags = call.args[2].last.var;
        if flags.mask() & CURRENT_CPU != 0 || flags.value() & CURRENT_CPU != CURRENT_CPU {
            return self.refuse(
                slot,
                Refusal::new(Rule::EventFlags, "the host decides where an event of the card is put")
                    .limit("BPF_F_CURRENT_CPU", flags)
                    .help("pass BPF_F_CURRENT_CPU"),
            );
        }
        let data = &call.args[3];
        if let Some((was, is)) = data.kind_changed {
            return self.refuse(
                slot,
                Refusal::new(Rule::PointerChanges, "the data of an event is in different memories on different paths")
                    .limit(kind_name(was), kind_name(is))
                    .help("call the helper once for each path"),
            );
        }
        let data = match data.last.kind {
            Kind::Scalar => EventData::Null,
            Kind::MapValue(_) => EventData::MapValue,
            Kind::Packet => EventData::Packet,
            Kind::Stack { .. } => {
                self.stack_argument(slot, "the data", data);
                EventData::Stack
            }
            kind => {
                return self.refuse(
                    slot,
                    Refusal::new(Rule::HelperArgument, "the firmware cannot read an event's data from there")
                        .limit("nothing, the stack, a map's value, the packet", kind_name(kind))
                        .help("copy the data to the stack"),
                );
            }
        };
        Action::CallEvent { data }
    }

    fn adjust_head(&mut self, slot: usize, by: &ArgSeen) -> Action {
        let by = constant(by);
        if !by.is_some_and(|by| self.guaranteed().contains(&by)) {
            self.note(slot, Fault::HeadRoom);
        }
        self.head.calls.push((slot, by));
        Action::AdjustHead { certain: false }
    }

    /// By how many bytes a packet's start can always move.
    pub(super) fn guaranteed(&self) -> RangeInclusive<i64> {
        let limits = self.card.adjust_head.as_ref();
        limits.map_or(0..=0, |limits| -i64::from(limits.guaranteed_sub)..=i64::from(limits.guaranteed_add))
    }

    /// Lets the only call of `bpf_xdp_adjust_head` do without its checks, if the firmware guarantees that it succeeds.
    pub(super) fn settle_head(&mut self, steps: &mut [Step]) {
        if let [(slot, Some(by))] = self.head.calls.as_slice()
            && self.guaranteed().contains(by)
            && *by <= LARGEST_CERTAIN_CUT
        {
            steps[*slot].action = Action::AdjustHead { certain: true };
        }
    }
}

/// What the driver calls a helper when it says that the firmware lacks it.
fn driver_name(id: u32) -> Option<&'static str> {
    Some(match id {
        1 => "map_lookup",
        2 => "map_update",
        3 => "map_delete",
        7 => "get_prandom_u32",
        25 => "event_output",
        44 => "adjust_head",
        65 => "adjust_tail",
        _ => return None,
    })
}

fn is_stack(kind: Kind) -> bool {
    matches!(kind, Kind::Stack { .. })
}

/// A number that is the same constant at every visit, as the 32-bit number the helper takes.
fn constant(arg: &ArgSeen) -> Option<i64> {
    match arg.last.kind {
        Kind::Scalar if !arg.varies => arg.last.var.constant().map(|value| i64::from(value as i32)),
        _ => None,
    }
}
