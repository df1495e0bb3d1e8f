//! Slots that are no program: what Linux says of them, and when.
//!
//! Before it walks a path Linux looks at all slots: where functions begin and jumps go, which opcodes and wide loads there
//! are, what can be reached. Whether the fields of an instruction mean anything it sees only when a path comes to it.

use std::collections::{BTreeMap, BTreeSet};

use bpf::insn::legality::Field;
use bpf::insn::{DecodeError, DecodeReason, Insn, RawInsn, decode};

use super::case::Refused;

const E2BIG: u16 = 7;
const EBADF: u16 = 9;
const EINVAL: u16 = 22;
const EPROTO: u16 = 71;

/// Most slots of a program (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_SLOTS: usize = 1_000_000;

const WIDE: u8 = 0x18;
const CALL: u8 = 0x85;
/// Compilers write it, and Linux does not know it.
const CALL_REGISTER: u8 = 0x8d;
const EXIT: u8 = 0x95;
const JUMP: u8 = 0x05;
const LONG_JUMP: u8 = 0x06;
/// Pseudo sources: of calls, and of wide loads.
const LOCAL: u8 = 1;
const FUNCTION: u8 = 4;

/// Instructions, and by slot what Linux says where a path comes to one that it does not take.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    pub insns: Vec<Insn>,
    pub malformed: BTreeMap<usize, String>,
}

fn refuse<T>(errno: u16, line: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { errno, line: line.into() })
}

/// The instructions, or how Linux refuses them before it looks at a path. `fixed` are the slots whose map is known.
///
/// # Errors
/// What Linux answers.
pub fn decoded(slots: &[RawInsn], fixed: &[bool]) -> Result<Decoded, Refused> {
    if slots.is_empty() || slots.len() > MAX_SLOTS {
        return refuse(E2BIG, "");
    }
    functions(slots)?;
    opcodes(slots, fixed)?;
    let mut slots = slots.to_vec();
    let mut malformed = BTreeMap::new();
    loop {
        match decode(&slots) {
            Ok(insns) => {
                if !malformed.is_empty() {
                    reachable(&slots)?;
                }
                return Ok(Decoded { insns, malformed });
            }
            Err(error) => {
                malformed.entry(error.slot).or_insert_with(|| error.linux());
                mend(&mut slots[error.slot], &error);
            }
        }
    }
}

/// Takes out what is wrong with a slot, so that the walk gets as far as it.
fn mend(slot: &mut RawInsn, error: &DecodeError) {
    match error.reason {
        DecodeReason::Reserved { field: Field::Dst, .. } | DecodeReason::Register { field: Field::Dst, .. } => {
            slot.dst = 0;
        }
        DecodeReason::Reserved { field: Field::Src, .. } | DecodeReason::Register { field: Field::Src, .. } => {
            slot.src = 0;
        }
        DecodeReason::Reserved { field: Field::Off, .. } if slot.off != 0 => slot.off = 0,
        DecodeReason::Reserved { field: Field::Imm, .. } if slot.imm != 0 => slot.imm = 0,
        _ => *slot = RawInsn { opcode: 0xb7, ..RawInsn::default() },
    }
}

const fn is_jump(slot: RawInsn) -> bool {
    matches!(slot.opcode & 7, 5 | 6) && !matches!(slot.opcode & 0xf0, 0x80 | 0x90)
}

/// Where a jump at a slot goes.
const fn target(at: usize, slot: RawInsn) -> i64 {
    let off = if slot.opcode == LONG_JUMP { slot.imm as i64 } else { slot.off as i64 };
    at as i64 + off + 1
}

/// Functions begin in the program, jumps stay in them, and none runs off its end.
fn functions(slots: &[RawInsn]) -> Result<(), Refused> {
    let mut starts = BTreeSet::from([0]);
    for (at, slot) in slots.iter().enumerate() {
        if slot.opcode == CALL && slot.src == LOCAL || slot.opcode == WIDE && slot.src == FUNCTION {
            let start = at as i64 + i64::from(slot.imm) + 1;
            match usize::try_from(start).ok().filter(|start| *start < slots.len()) {
                Some(start) => starts.insert(start),
                None => return refuse(EINVAL, "call to invalid destination"),
            };
        }
    }
    let ends = starts.iter().copied().skip(1).chain([slots.len()]);
    for (start, end) in starts.iter().copied().zip(ends) {
        for (at, slot) in slots.iter().enumerate().take(end).skip(start) {
            let to = target(at, *slot);
            if is_jump(*slot) && !(start as i64..end as i64).contains(&to) {
                return refuse(EINVAL, format!("jump out of range from insn {at} to {to}"));
            }
        }
        if !matches!(slots[end - 1].opcode, EXIT | JUMP | LONG_JUMP) {
            return refuse(EINVAL, "last insn is not an exit or jmp");
        }
    }
    Ok(())
}

/// All opcodes are known, and wide loads are whole and name maps that are there.
fn opcodes(slots: &[RawInsn], fixed: &[bool]) -> Result<(), Refused> {
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        let second = slots.get(at + 1).copied();
        match slot.opcode {
            opcode if opcode & 7 == 1 && (!matches!(opcode & 0xe0, 0x60 | 0x80) || slot.imm != 0) => {
                return refuse(EINVAL, "BPF_LDX uses reserved fields");
            }
            WIDE => {
                let Some(second) = second.filter(|s| (s.opcode, s.dst, s.src, s.off) == (0, 0, 0, 0)) else {
                    return refuse(EINVAL, "invalid bpf_ld_imm64 insn");
                };
                map_reference(*slot, second, fixed[at])?;
                at += 1;
            }
            opcode => {
                let bare = decode(&[RawInsn { opcode, ..RawInsn::default() }]);
                let unknown = |error: &DecodeError| {
                    let is = |reason| matches!(reason, DecodeReason::UnknownOpcode | DecodeReason::StrayPad);
                    is(error.reason) || matches!(error.reason, DecodeReason::Unsupported(_))
                };
                if opcode == CALL_REGISTER || bare.is_err_and(|error| unknown(&error)) {
                    return refuse(EINVAL, format!("unknown opcode {opcode:02x}"));
                }
            }
        }
        at += 1;
    }
    Ok(())
}

fn map_reference(slot: RawInsn, second: RawInsn, fixed: bool) -> Result<(), Refused> {
    match slot.src {
        0 | 3 | FUNCTION => Ok(()),
        1 | 5 if second.imm != 0 => refuse(EINVAL, "unrecognized bpf_ld_imm64 insn"),
        5 | 6 => refuse(EPROTO, "fd_idx without fd_array is invalid"),
        // A map that nobody has named is a descriptor that nobody has opened.
        1 | 2 if !fixed => refuse(EBADF, format!("fd {} is not pointing to valid bpf_map", slot.imm)),
        1 | 2 => Ok(()),
        _ => refuse(EINVAL, "unrecognized bpf_ld_imm64 insn"),
    }
}

/// Every slot is reached from the main function or one that is called.
fn reachable(slots: &[RawInsn]) -> Result<(), Refused> {
    let mut seen = vec![false; slots.len()];
    let mut todo = vec![0];
    while let Some(at) = todo.pop() {
        let Some(slot) = slots.get(at).filter(|_| !std::mem::replace(&mut seen[at], true)) else { continue };
        let next = at + if slot.opcode == WIDE { 2 } else { 1 };
        if is_jump(*slot) {
            todo.extend(usize::try_from(target(at, *slot)));
        }
        let calls = slot.opcode == CALL && slot.src == LOCAL || slot.opcode == WIDE && slot.src == FUNCTION;
        if calls {
            todo.extend(usize::try_from(at as i64 + i64::from(slot.imm) + 1));
        }
        if !matches!(slot.opcode, EXIT | JUMP | LONG_JUMP) && next < slots.len() {
            todo.push(next);
        }
    }
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        if !seen[at] {
            return refuse(EINVAL, format!("unreachable insn {at}"));
        }
        if slot.opcode == WIDE {
            at += 1;
            if seen.get(at) == Some(&true) {
                return refuse(EINVAL, format!("jump into the middle of ldimm64 insn {}", at - 1));
            }
        }
        at += 1;
    }
    Ok(())
}
