//! When a state is covered by one that was walked before, and when a loop makes no progress.
//!
//! A number that was not found to matter on the paths from the older state may be any number in the newer one.

use super::explored::Kind;
use super::live_regs::LiveRegs;
use super::privileges::Privileges;
use super::state::{Added, Frame, StackByte, StackSlot, State, Value};
use crate::insn::Reg;

/// How exactly two states must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exactness {
    /// In what mattered on the paths from the older one.
    Needed,
    /// In everything, but ranges may be narrower: what matters is not known yet.
    Within,
    /// In everything: a loop between them does nothing.
    Same,
}

/// Which ids of two states name the same thing: pairs found so far.
#[derive(Default)]
struct Ids {
    pairs: Vec<(u32, u32)>,
    /// Numbers without an id get one of their own, above all that are in use.
    spare: u32,
}

impl Ids {
    fn start(&mut self) {
        self.pairs.clear();
        self.spare = 1 << 31;
    }

    fn agree(&mut self, old: u32, new: u32) -> bool {
        if (old == 0) != (new == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for (o, n) in &self.pairs {
            if *o == old || *n == new {
                return (*o, *n) == (old, new);
            }
        }
        self.pairs.push((old, new));
        true
    }

    /// Numbers tied together in the old state must be so in the new one, and not the other way round.
    fn numbers_agree(&mut self, old: u32, new: u32) -> bool {
        let mut named = |id| {
            if id != 0 {
                return id;
            }
            self.spare += 1;
            self.spare
        };
        let (old, new) = (named(old), named(new));
        self.agree(old, new)
    }
}

/// Compares states.
#[derive(Default)]
pub(super) struct Compare {
    ids: Ids,
    /// A privileged program may read stack it never wrote.
    pub uninit_stack: bool,
    /// Every number matters.
    pub everything_matters: bool,
    /// Ranges must be equal: what a program may do speculatively depends on them.
    pub exact_numbers: bool,
}

impl Compare {
    pub(super) fn new(privileges: Privileges) -> Self {
        let (uninit_stack, everything_matters) = (privileges.leaks_pointers(), !privileges.bpf);
        Self { uninit_stack, everything_matters, ..Self::default() }
    }

    /// Whether everything that `new` may do from `slot` on, `old` may do too.
    pub(super) fn covers(&mut self, old: &State, new: &State, slot: usize, live: &[LiveRegs], how: Exactness) -> bool {
        if old.frames.len() != new.frames.len() || old.speculative && !new.speculative {
            return false;
        }
        self.ids.start();
        if !self.references(old, new) {
            return false;
        }
        (0..old.frames.len()).all(|depth| {
            let (o, n) = (&*old.frames[depth], &*new.frames[depth]);
            let at = old.frames.get(depth + 1).map_or(slot, |inner| inner.callsite);
            let regs = live[at].any;
            (depth == 0 || o.callsite == n.callsite)
                && o.callback_depth <= n.callback_depth
                && Reg::all().filter(|r| regs & 1 << r.index() != 0).all(|r| self.value(o.reg(r), n.reg(r), how))
                && self.stack(o, n, how)
        })
    }

    /// Whether the running function's registers are the same to the last id, so that it may be in a loop that does
    /// nothing.
    pub(super) fn may_loop(old: &State, new: &State) -> bool {
        let what = |v: &Value| (v.kind, v.off, v.range, v.added, v.id, v.reference, v.owner);
        old.frames.len() == new.frames.len()
            && old.frame().regs.iter().zip(&new.frame().regs).all(|(o, n)| what(o) == what(n) && o.var == n.var)
    }

    fn references(&mut self, old: &State, new: &State) -> bool {
        old.references.len() == new.references.len()
            && old.lock.map(|l| l.same()) == new.lock.map(|l| l.same())
            && old.references.iter().zip(&new.references).all(|(o, n)| self.ids.agree(o.id, n.id))
            && match (old.lock, new.lock) {
                (Some(o), Some(n)) => self.ids.agree(o.id, n.id),
                _ => true,
            }
    }

    fn value(&mut self, old: &Value, new: &Value, how: Exactness) -> bool {
        if how == Exactness::Same {
            return self.identical(old, new);
        }
        match old.kind {
            Kind::Uninit => how == Exactness::Needed || new.kind == Kind::Uninit,
            kind if kind != new.kind => false,
            Kind::Scalar if self.exact_numbers => {
                (old.off, old.added, old.var) == (new.off, new.added, new.var) && self.ids.numbers_agree(old.id, new.id)
            }
            Kind::Scalar if !old.precise && !self.everything_matters && how == Exactness::Needed => true,
            Kind::Scalar => {
                // What is tied to nothing in the old state may be tied in the new one, which says only more.
                let tied_alike = |ids: &mut Ids| {
                    old.added == new.added
                        && (old.added == Added::No || old.off == new.off)
                        && ids.numbers_agree(old.id, new.id)
                };
                old.var.includes(&new.var) && (old.id == 0 || tied_alike(&mut self.ids))
            }
            Kind::Packet | Kind::PacketMeta => {
                let enough = match (old.range.bytes(), new.range.bytes()) {
                    (Some(o), Some(n)) => o <= n,
                    _ => old.range == new.range,
                };
                enough && old.off == new.off && self.ids.agree(old.id, new.id) && old.var.includes(&new.var)
            }
            Kind::MapKey(_)
            | Kind::MapValue(_)
            | Kind::MapValueOrNull(_)
            | Kind::Mem { .. }
            | Kind::MemOrNull { .. } => {
                old.off == new.off
                    && old.owner == new.owner
                    && old.var.includes(&new.var)
                    && self.ids.agree(old.id, new.id)
                    && self.ids.agree(old.reference, new.reference)
            }
            _ => self.identical(old, new),
        }
    }

    fn identical(&mut self, old: &Value, new: &Value) -> bool {
        let what = |v: &Value| (v.kind, v.off, v.range, v.added, v.owner);
        what(old) == what(new)
            && old.var == new.var
            && self.ids.agree(old.id, new.id)
            && self.ids.agree(old.reference, new.reference)
    }

    fn stack(&mut self, old: &Frame, new: &Frame, how: Exactness) -> bool {
        if how == Exactness::Same && old.stack.len() > new.stack.len() {
            return false;
        }
        old.stack.iter().enumerate().all(|(i, o)| self.slot(o, new.stack.get(i), how))
    }

    /// Halves of dynamic pointers.
    fn dynptr(&mut self, old: &Value, new: &Value) -> bool {
        (old.kind, old.off) == (new.kind, new.off) && self.ids.agree(old.reference, new.reference)
    }

    fn slot(&mut self, old: &StackSlot, new: Option<&StackSlot>, how: Exactness) -> bool {
        let needed = |b: StackByte| match b {
            StackByte::Invalid => false,
            StackByte::Misc => !self.uninit_stack,
            _ => true,
        };
        let exact = how != Exactness::Needed;
        let Some(new) = new else { return !exact && !old.bytes.iter().any(|b| needed(*b)) };
        if exact && old.bytes != new.bytes {
            return false;
        }
        // A slot of unknown bytes and a spilled number say the same when the number may be anything.
        let as_number = |slot: &StackSlot| {
            let unknown = slot.bytes.iter().all(|b| match b {
                StackByte::Misc => true,
                StackByte::Invalid => self.uninit_stack,
                _ => false,
            });
            if unknown { Some(Value::ANY_NUMBER) } else { slot.whole_number().copied() }
        };
        if old.bytes.iter().all(|b| !needed(*b)) {
            return true;
        }
        if let (Some(o), Some(n)) = (as_number(old), as_number(new)) {
            return self.value(&o, &n, how);
        }
        let bytes = old.bytes.iter().zip(&new.bytes).all(|(o, n)| match (*o, *n) {
            (o, _) if !needed(o) => true,
            (StackByte::Misc, StackByte::Zero) => true,
            (o, n) => o == n,
        });
        bytes
            && (!old.is_spill() || self.value(&old.spilled, &new.spilled, how))
            && old.dynptr().is_none_or(|o| self.dynptr(o, &new.spilled))
    }
}

/// Numbers of `new` that differ from those of an earlier turn of a loop, or are tied to others than there, and mattered in
/// neither, may be any.
pub(super) fn widen(old: &State, new: &mut State) {
    let mut ids = Ids::default();
    for depth in (0..old.frames.len().min(new.frames.len())).rev() {
        let olds: Vec<_> = old.frames[depth].numbers(depth).map(|(home, value)| (home, *value)).collect();
        for (home, old) in olds {
            let is_there = !home.is_slot || new.frames[depth].slot(usize::from(home.index)).is_number_spill();
            if !is_there || old.precise {
                continue;
            }
            let value = new.at_home(home);
            let same = |ids: &mut Ids| {
                (old.var, old.added, old.off) == (value.var, value.added, value.off) && ids.agree(old.id, value.id)
            };
            if value.is_number() && !value.precise && !same(&mut ids) {
                *value = Value { def32: value.def32, ..Value::ANY_NUMBER };
            }
        }
    }
}
