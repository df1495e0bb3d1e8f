//! The few instructions of a path that matter.

use std::collections::{BTreeSet, VecDeque};

use super::Seen;
use crate::diag::Step;
use crate::helpers::signature;
use crate::insn::{Callee, Insn, Operand, Reg};
use crate::verifier::class::Class;
use crate::verifier::explored::Kind;
use crate::verifier::prove::Setting;
use crate::verifier::state::{State, Value};
use crate::verifier::trail::Home;
use crate::verifier::verdict::{About, Refusal};

/// Most steps that are shown; those nearest to the refusal are.
const MAX_STEPS: usize = 12;

/// `bpf_spin_lock` and `bpf_spin_unlock`.
const LOCKS: [u32; 2] = [93, 94];

/// What makes two values hang together, so that a comparison of one tells of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    Number(u32),
    Packet(u32),
    Metadata(u32),
    Null(u32),
}

impl Tie {
    fn of(value: &Value) -> Option<Tie> {
        match value.kind {
            Kind::Packet => Some(Tie::Packet(value.id)),
            Kind::PacketMeta => Some(Tie::Metadata(value.id)),
            Kind::Uninit | Kind::PacketEnd => None,
            _ if value.id == 0 => None,
            Kind::Scalar => Some(Tie::Number(value.id)),
            _ => Some(Tie::Null(value.id)),
        }
    }
}

/// What is looked for on the way back.
#[derive(Default)]
struct Wanted {
    homes: Vec<Home>,
    ties: Vec<Tie>,
}

impl Wanted {
    fn reg(&mut self, depth: usize, reg: Reg, value: &Value) {
        // R10 never changes.
        if reg == Reg::R10 {
            return;
        }
        self.home(home(depth, reg));
        self.tie(value);
    }

    fn home(&mut self, home: Home) {
        if !self.homes.contains(&home) {
            self.homes.push(home);
        }
    }

    fn tie(&mut self, value: &Value) {
        if let Some(tie) = Tie::of(value).filter(|tie| !self.ties.contains(tie)) {
            self.ties.push(tie);
        }
    }

    /// Takes a home off the list. Tells whether it was on it.
    fn take(&mut self, home: Home) -> bool {
        let before = self.homes.len();
        self.homes.retain(|other| *other != home);
        self.homes.len() < before
    }

    fn has(&self, depth: usize, reg: Option<Reg>) -> bool {
        reg.is_some_and(|reg| self.homes.contains(&home(depth, reg)))
    }

    fn tells_of(&self, value: &Value) -> bool {
        Tie::of(value).is_some_and(|tie| self.ties.contains(&tie))
    }
}

fn home(depth: usize, reg: Reg) -> Home {
    Home { frame: depth as u8, is_slot: false, index: reg.index() as u8 }
}

/// The steps of a path that led to the refusal of the instruction at `slot`, in the order in which they were walked.
pub(super) fn slice(
    setting: Setting<'_>,
    seen: &VecDeque<Seen>,
    end: &State,
    slot: usize,
    refusal: &Refusal,
) -> Vec<Step> {
    match refusal.class {
        Class::EndlessLoop => return round(setting, seen, slot),
        Class::Lock => return lock(setting, seen),
        // The instruction says it all.
        Class::NotAvailable | Class::Licence | Class::Privilege | Class::Arithmetic | Class::Field => {
            return Vec::new();
        }
        _ => {}
    }
    let depth = end.depth();
    let mut wanted = Wanted::default();
    let mut until = None;
    match refusal.about {
        About::Reg(reg) => wanted.reg(depth, reg, end.reg(reg)),
        About::Insn => {
            let insn = &setting.program.insns[slot];
            insn.uses().iter().for_each(|reg| wanted.reg(depth, reg, end.reg(reg)));
        }
        About::Call(call) => {
            let reference = end.references.iter().find(|r| r.slot == call);
            wanted.ties.extend(reference.map(|r| Tie::Null(r.id)));
            until = Some(call);
        }
    }
    let mut out = Vec::new();
    let mut shown = BTreeSet::new();
    for step in seen.iter().rev() {
        if out.len() == MAX_STEPS || wanted.homes.is_empty() && until.is_none() {
            break;
        }
        let note = back(setting, step, &mut wanted);
        let is_last = until == Some(step.slot);
        let note = if is_last { Some(note.unwrap_or_else(|| step.result(setting))) } else { note };
        // An instruction of a loop is shown as it was the last time.
        if let Some(note) = note
            && shown.insert(step.slot)
        {
            out.push(step.step(setting, note));
        }
        if is_last {
            break;
        }
    }
    out.reverse();
    out
}

/// Goes back over an instruction. Gives what is to be said of it if it matters.
fn back(setting: Setting<'_>, step: &Seen, wanted: &mut Wanted) -> Option<String> {
    let insn = &setting.program.insns[step.slot];
    let depth = step.depth;
    match *insn {
        Insn::Branch { dst, src, .. } => {
            let matters = wanted.has(depth, Some(dst))
                || wanted.has(depth, src.reg())
                || wanted.tells_of(&step.left)
                || wanted.tells_of(&step.right);
            let taken = insn.target(step.slot) == Some(step.next as i64);
            return matters.then(|| if taken { "taken".to_owned() } else { "not taken".to_owned() });
        }
        Insn::Call { callee } => return call(setting, step, callee, wanted),
        Insn::Exit => {
            // The callee's R0 is the caller's.
            let outer = depth.checked_sub(1)?;
            if !wanted.take(home(outer, Reg::R0)) {
                return None;
            }
            wanted.home(home(depth, Reg::R0));
            return Some(step.result(setting));
        }
        Insn::Store { src, .. } => {
            let (frame, index) = step.spill?;
            if !wanted.take(Home { frame, is_slot: true, index }) {
                return None;
            }
            add(wanted, depth, src, &step.right);
            return Some(String::new());
        }
        _ => {}
    }
    let (written, value) = step.result?;
    if !wanted.take(home(depth, written)) {
        return None;
    }
    wanted.tie(&value);
    match *insn {
        Insn::Mov { src, .. } => add(wanted, depth, src, &step.right),
        Insn::Alu { dst, src, .. } => {
            wanted.reg(depth, dst, &step.left);
            add(wanted, depth, src, &step.right);
        }
        Insn::Neg { dst, .. } | Insn::End { dst, .. } => wanted.home(home(depth, dst)),
        Insn::Load { .. } => {
            if let Some((frame, index)) = step.spill {
                wanted.home(Home { frame, is_slot: true, index });
            }
        }
        _ => {}
    }
    Some(step.result(setting))
}

fn add(wanted: &mut Wanted, depth: usize, src: Operand, value: &Value) {
    if let Operand::Reg(reg) = src {
        wanted.reg(depth, reg, value);
    }
}

fn call(setting: Setting<'_>, step: &Seen, callee: Callee, wanted: &mut Wanted) -> Option<String> {
    let depth = step.depth;
    let inner = (depth + 1) as u8;
    if let Callee::Local(_) = callee
        && step.result.is_none()
    {
        // The callee's arguments are the caller's.
        let mut passed = false;
        for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            if wanted.take(home(depth + 1, reg)) {
                wanted.home(home(depth, reg));
                passed = true;
            }
        }
        wanted.homes.retain(|home| home.frame != inner);
        return passed.then(String::new);
    }
    wanted.homes.retain(|home| home.frame < inner);
    let result = wanted.take(home(depth, Reg::R0));
    if result {
        return Some(step.result(setting));
    }
    let mut lost = false;
    for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
        lost |= wanted.take(home(depth, reg));
    }
    if lost {
        return Some("arguments are gone behind a call".to_owned());
    }
    let moves = match callee {
        Callee::Helper(id) => signature::signature(id, setting.program.ty).is_some_and(|s| s.changes_packet),
        _ => true,
    };
    let stale = wanted
        .homes
        .iter()
        .any(|home| usize::from(home.frame) == depth && !home.is_slot && step.changed >> home.index & 1 == 1);
    (moves && stale).then(|| "pointers into the packet are gone behind it".to_owned())
}

/// The branches and jumps of one round of a loop that comes back to `slot`.
fn round(setting: Setting<'_>, seen: &VecDeque<Seen>, slot: usize) -> Vec<Step> {
    let mut out = Vec::new();
    for step in seen.iter().rev() {
        let insn = &setting.program.insns[step.slot];
        if matches!(insn, Insn::Branch { .. } | Insn::Jump { .. }) && out.len() < MAX_STEPS {
            let taken = insn.target(step.slot) == Some(step.next as i64);
            out.push(step.step(setting, if taken { "taken".to_owned() } else { "not taken".to_owned() }));
        }
        if step.slot == slot {
            break;
        }
    }
    out.reverse();
    out
}

/// The call that took the lock last, or gave it back.
fn lock(setting: Setting<'_>, seen: &VecDeque<Seen>) -> Vec<Step> {
    let is_lock = |step: &&Seen| matches!(setting.program.insns[step.slot], Insn::Call { callee: Callee::Helper(id) } if LOCKS.contains(&id));
    seen.iter().rev().find(is_lock).map(|step| step.step(setting, String::new())).into_iter().collect()
}
