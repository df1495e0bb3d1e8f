//! When a state is covered by one that was walked before, and when a loop makes no progress.
//!
//! Every number counts as one that matters: a state is covered only if each of its ranges lies within the older one's.
//! That is sound without knowing how the continuation uses the number.

use super::explored::Kind;
use super::liveness::Reads;
use super::state::{Added, Frame, StackByte, StackSlot, State, Value};
use crate::insn::Reg;

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
}

impl Compare {
    /// Whether everything that `new` may do after this point, `old` may do too, given what is read after it.
    pub(super) fn covers(&mut self, old: &State, new: &State, reads: &Reads) -> bool {
        if !same_calls(old, new) {
            return false;
        }
        self.ids.start();
        (0..old.frames.len()).all(|depth| {
            let (o, n) = (&*old.frames[depth], &*new.frames[depth]);
            let regs = reads.regs[depth];
            Reg::all().filter(|r| regs & 1 << r.index() != 0).all(|r| self.value(o.reg(r), n.reg(r)))
                && self.stack(o, n, reads.slots[depth])
        })
    }

    fn value(&mut self, old: &Value, new: &Value) -> bool {
        match old.kind {
            Kind::Uninit => true,
            kind if kind != new.kind => false,
            Kind::Scalar => {
                old.added == new.added
                    && (old.added == Added::No || old.off == new.off)
                    && old.var.includes(&new.var)
                    && self.ids.numbers_agree(old.id, new.id)
            }
            Kind::Packet | Kind::PacketMeta => {
                let enough = match (old.range.bytes(), new.range.bytes()) {
                    (Some(o), Some(n)) => o <= n,
                    _ => old.range == new.range,
                };
                enough && old.off == new.off && self.ids.agree(old.id, new.id) && old.var.includes(&new.var)
            }
            Kind::MapValue(_) | Kind::MapValueOrNull(_) | Kind::Mem { .. } | Kind::MemOrNull { .. } => {
                old.off == new.off && old.var.includes(&new.var) && self.ids.agree(old.id, new.id)
            }
            Kind::Ctx | Kind::PacketEnd | Kind::Stack { .. } | Kind::MapPtr(_) => {
                old.off == new.off && old.var == new.var && self.ids.agree(old.id, new.id)
            }
        }
    }

    /// Whether two states are the same but for what ids are called, so that a loop between them never ends.
    pub(super) fn no_progress(&mut self, old: &State, new: &State) -> bool {
        if !same_calls(old, new) {
            return false;
        }
        self.ids.start();
        old.frames.iter().zip(&new.frames).all(|(o, n)| {
            let slots = o.stack.len().max(n.stack.len());
            o.regs.iter().zip(&n.regs).all(|(o, n)| self.identical(o, n))
                && (0..slots).all(|i| {
                    let (o, n) = (o.slot(i), n.slot(i));
                    o.bytes == n.bytes && (!o.is_spill() || self.identical(&o.spilled, &n.spilled))
                })
        })
    }

    fn identical(&mut self, old: &Value, new: &Value) -> bool {
        let what = |v: &Value| (v.kind, v.off, v.range, v.added);
        what(old) == what(new) && old.var == new.var && self.ids.agree(old.id, new.id)
    }

    fn stack(&mut self, old: &Frame, new: &Frame, read: u64) -> bool {
        old.stack.iter().enumerate().filter(|(i, _)| read >> i & 1 == 1).all(|(i, o)| self.slot(o, new.slot(i)))
    }

    fn slot(&mut self, old: &StackSlot, new: &StackSlot) -> bool {
        // A slot of unknown bytes and a spilled number say the same when the number may be anything.
        let as_number = |slot: &StackSlot| {
            let unknown = slot.bytes.iter().all(|b| matches!(b, StackByte::Misc | StackByte::Invalid));
            if unknown { Some(Value::ANY_NUMBER) } else { slot.whole_number().copied() }
        };
        if let (Some(o), Some(n)) = (as_number(old), as_number(new)) {
            return self.value(&o, &n);
        }
        let bytes = old.bytes.iter().zip(&new.bytes).all(|(o, n)| match (o, n) {
            // A privileged program may read what was never written, and finds anything.
            (StackByte::Invalid | StackByte::Misc, _) => true,
            (o, n) => o == n,
        });
        bytes && (!old.is_spill() || self.value(&old.spilled, &new.spilled))
    }
}

/// The same calls on the way, and so the same function.
fn same_calls(old: &State, new: &State) -> bool {
    old.frames.len() == new.frames.len()
        && old.frames.iter().zip(&new.frames).skip(1).all(|(o, n)| o.callsite == n.callsite)
}
