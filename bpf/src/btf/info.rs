//! What `BPF_PROG_LOAD` is told of a program's functions and lines (`func_info`, `line_info`), checked as Linux does.
//!
//! The order is the kernel's: [`early`] comes before anything else is looked at, [`check`] when it is known where the
//! program's functions begin.

use std::ops::Range;

use super::check::{Checked, Refused, refuse, refuse_as};
use super::{Btf, ExtSection, FuncInfo, Kind, LineInfo, TypeId};
use crate::errno::Errno;

/// Records of one kind. Offsets in them count slots of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records<T> {
    /// Bytes of a record, as the loader says it.
    pub record_size: u32,
    /// The records, without what is behind the bytes that are known.
    pub list: Vec<T>,
    /// The first with something other than zeroes behind those.
    pub tail: Option<usize>,
}

impl<T: Copy> Records<T> {
    fn none(record_size: u32) -> Self {
        Self { record_size, list: Vec::new(), tail: None }
    }

    /// Takes over those records of a section of an object that libbpf takes for the code in a range of bytes: from the
    /// first that is in it to the last, and none behind one that is after it. `moved` says a record's byte, and
    /// gives it with its slot. Says whether there are any.
    pub fn take(&mut self, section: &ExtSection<T>, range: &Range<usize>, moved: impl Fn(T) -> (u32, T)) -> bool {
        let offset = |record: &T| moved(*record).0 as usize;
        let before_end = section.records.iter().take_while(|r| offset(r) < range.end).count();
        let inside = |r: &T| offset(r) >= range.start;
        let Some(first) = section.records[..before_end].iter().position(inside) else { return false };
        let last = section.records[..before_end].iter().rposition(inside).map_or(first, |last| last + 1);
        if self.tail.is_none() {
            let tail = section.tails.iter().find(|at| (first..last).contains(*at));
            self.tail = tail.map(|at| self.list.len() + at - first);
        }
        self.record_size = section.record_size;
        self.list.extend(section.records[first..last].iter().map(|r| moved(*r).1));
        true
    }
}

impl Default for ProgramInfo {
    fn default() -> Self {
        Self { functions: Records::none(FUNC_INFO), lines: Records::none(LINE_INFO) }
    }
}

/// What a loader says of a program's functions and lines. Types and strings are those of the program's [`Btf`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Types of functions.
    pub functions: Records<FuncInfo>,
    /// Lines of source.
    pub lines: Records<LineInfo>,
}

/// What the check asks about a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subprogram {
    /// First slot.
    pub start: usize,
    /// It holds packet access of classic heritage (`BPF_LD_ABS`, `BPF_LD_IND`).
    pub packet_load: bool,
    /// It calls `bpf_tail_call`.
    pub tail_call: bool,
}

/// Sizes that records may have, in bytes: those of `struct bpf_func_info` and `struct bpf_line_info`, up to the kernel's
/// `MAX_FUNCINFO_REC_SIZE` and `MAX_LINEINFO_REC_SIZE`.
const FUNC_INFO: u32 = 8;
const LINE_INFO: u32 = 16;
const RECORD_MAX: u32 = 252;

/// Bits of a number that C's arithmetic keeps whole (`btf_type_is_small_int`): bytes of an `int`-like result.
const SMALL_INT: u32 = 8;

fn fits(size: u32, least: u32) -> bool {
    (least..=RECORD_MAX).contains(&size) && size.is_multiple_of(4)
}

/// Checks what can be said of the records by themselves.
///
/// # Errors
/// What Linux would say.
pub fn early(info: &ProgramInfo, btf: &Btf) -> Result<(), Refused> {
    let records = &info.functions;
    if records.list.is_empty() {
        return Ok(());
    }
    if !fits(records.record_size, FUNC_INFO) {
        return refuse(0, format!("invalid func info rec size {}", records.record_size));
    }
    let mut before = None;
    for (i, record) in records.list.iter().enumerate() {
        if records.tail == Some(i) {
            return refuse_as(Errno::E2BIG, 0, "nonzero tailing record in func info");
        }
        let at = record.offset;
        match before {
            None if at != 0 => {
                return refuse(0, format!("nonzero insn_off {at} for the first func info record"));
            }
            Some(before) if at <= before => {
                let reason = format!("same or smaller insn offset ({at}) than previous func info record ({before})");
                return refuse(0, reason);
            }
            _ => {}
        }
        let Kind::Func { proto, .. } = btf.get(record.ty).kind else {
            return refuse(0, format!("invalid type id {} in func info", record.ty.0 as i32));
        };
        if !matches!(btf.get(proto).kind, Kind::FuncProto { .. }) {
            return refuse(0, format!("type {} in func info has no prototype", record.ty.0));
        }
        before = Some(at);
    }
    Ok(())
}

/// Checks the records against the program: its functions by first slot, the main one first; its slots; and which of them
/// are the second of a wide load.
///
/// # Errors
/// What Linux would say.
pub fn check(
    info: &ProgramInfo,
    btf: &Btf,
    functions: &[Subprogram],
    slots: usize,
    is_second: impl Fn(usize) -> bool,
) -> Result<(), Refused> {
    if info.functions.list.is_empty() {
        without_types(functions)?;
    } else {
        check_functions(&info.functions, btf, functions)?;
    }
    check_lines(&info.lines, btf, functions, slots, is_second)
}

/// Functions other than the main one that may end the program need a type that says what they return.
///
/// # Errors
/// What Linux would say.
pub fn without_types(functions: &[Subprogram]) -> Checked {
    for function in functions.iter().skip(1) {
        if function.packet_load {
            return refuse(0, "LD_ABS is not allowed in subprogs without BTF");
        }
        if function.tail_call {
            return refuse(0, "tail_call is not allowed in subprogs without BTF");
        }
    }
    Ok(())
}

fn check_functions(records: &Records<FuncInfo>, btf: &Btf, functions: &[Subprogram]) -> Checked {
    if records.list.len() != functions.len() {
        return refuse(0, "number of funcs in func_info doesn't match number of subprogs");
    }
    for (i, (record, function)) in records.list.iter().zip(functions).enumerate() {
        if record.offset as usize != function.start {
            return refuse(0, "func_info BTF section doesn't match subprog layout in BPF program");
        }
        if i == 0 || returns_number(btf, record.ty) {
            continue;
        }
        if function.packet_load {
            return refuse(0, "LD_ABS is only allowed in functions that return 'int'.");
        }
        if function.tail_call {
            return refuse(0, "tail_call is only allowed in functions that return 'int'.");
        }
    }
    Ok(())
}

/// Whether a function returns an integer of a register's size at most, or an enumeration.
fn returns_number(btf: &Btf, function: TypeId) -> bool {
    let Kind::Func { proto, .. } = btf.get(function).kind else { return false };
    let Kind::FuncProto { result, .. } = btf.get(proto).kind else { return false };
    match btf.resolve(result).map(|id| &btf.get(id).kind) {
        Some(Kind::Int { size, .. }) => *size <= SMALL_INT,
        Some(Kind::Enum { .. }) => true,
        _ => false,
    }
}

fn check_lines(
    records: &Records<LineInfo>,
    btf: &Btf,
    functions: &[Subprogram],
    slots: usize,
    is_second: impl Fn(usize) -> bool,
) -> Checked {
    if records.list.is_empty() {
        return Ok(());
    }
    if !fits(records.record_size, LINE_INFO) {
        return refuse(0, format!("invalid line info record size {}", records.record_size));
    }
    let (mut before, mut next) = (0, 0);
    for (i, record) in records.list.iter().enumerate() {
        if records.tail == Some(i) {
            return refuse_as(Errno::E2BIG, 0, "nonzero tailing record in line_info");
        }
        let at = record.offset;
        if i > 0 && at <= before || at as usize >= slots {
            let reason = format!("Invalid line_info[{i}].insn_off:{at} (prev_offset:{before} prog->len:{slots})");
            return refuse(0, reason);
        }
        if is_second(at as usize) {
            return refuse(0, format!("Invalid insn code at line_info[{i}].insn_off"));
        }
        let has = |off: u32| (off as usize) < btf.strings.len();
        if !has(record.text) || !has(record.file) {
            return refuse(0, format!("Invalid line_info[{i}].line_off or .file_name_off"));
        }
        if let Some(function) = functions.get(next) {
            match (at as usize).cmp(&function.start) {
                std::cmp::Ordering::Equal => next += 1,
                std::cmp::Ordering::Greater => return refuse(0, format!("missing bpf_line_info for func#{next}")),
                std::cmp::Ordering::Less => {}
            }
        }
        before = at;
    }
    if next != functions.len() {
        let missing = functions.len() - next;
        return refuse(0, format!("missing bpf_line_info for {missing} funcs starting from func#{next}"));
    }
    Ok(())
}
