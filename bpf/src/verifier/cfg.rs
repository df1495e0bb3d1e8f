//! What is checked without walking: functions, jumps, reachability; and where walked paths may meet.

use std::collections::BTreeSet;

use super::class::Class;
use super::privileges::Privileges;
use super::prove::is_static;
use super::verdict::{Proof, Stop};
use crate::btf::info;
use crate::errno::Errno;
use crate::helpers::signature;
use crate::insn::{Callee, Insn, Wide, encode};
use crate::program::{Function, MapSpec, MapType, Program};

/// Most instructions a program may have, in slots (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub(super) const MAX_SLOTS: usize = 1_000_000;

/// Most maps a program may name (`MAX_USED_MAPS`).
const MAX_MAPS: usize = 64;

/// What is known of a slot from the shape of the program.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Point {
    /// Paths may be compared here.
    pub prune: bool,
    /// Control may come here other than from the slot before.
    pub jump: bool,
    /// States are always remembered here.
    pub forced: bool,
    /// A call whose callee may call a function of the program at once, any number of times.
    pub calls_back: bool,
    /// A bounded jump.
    pub may_goto: bool,
}

/// Whether the call at a slot is of a helper that may call a function of the program before it returns.
pub(super) fn calls_back(program: &Program, slot: usize) -> bool {
    matches!(program.insns[slot], Insn::Call { callee: Callee::Helper(id) }
        if signature::signature(id, program.ty).is_some_and(signature::Signature::calls_back))
}

/// Whether the call at a slot is of a function that is verified on its own.
pub(super) fn is_global_call(program: &Program, slot: usize) -> bool {
    let (insn, main) = (&program.insns[slot], 0);
    let Insn::Call { callee: Callee::Local(_) } = insn else { return false };
    let start = insn.function(slot).and_then(|s| usize::try_from(s).ok());
    start.is_some_and(|start| {
        let function = function_at(program, start);
        function != main && !is_static(program, function)
    })
}

/// By function, whether a call of it may change the packet, itself or through the functions it calls.
pub(super) fn changes_packet(program: &Program) -> Vec<bool> {
    let mut out = vec![false; program.functions.len()];
    let mut calls = Vec::new();
    for (slot, insn) in program.insns.iter().enumerate() {
        let own = function_at(program, slot);
        match *insn {
            Insn::Call { callee: Callee::Helper(id) } => {
                out[own] |= signature::signature(id, program.ty).is_some_and(|s| s.changes_packet);
            }
            _ => calls.extend(insn.function(slot).map(|start| (own, function_at(program, start as usize)))),
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (caller, callee) in &calls {
            if out[*callee] && !std::mem::replace(&mut out[*caller], true) {
                changed = true;
            }
        }
    }
    out
}

/// The function a slot belongs to.
pub(super) fn function_at(program: &Program, slot: usize) -> usize {
    program.functions.partition_point(|f| f.start <= slot) - 1
}

/// The slots of a function.
pub(super) fn extent(program: &Program, function: usize) -> std::ops::Range<usize> {
    let end = program.functions.get(function + 1).map_or(program.insns.len(), |f| f.start);
    program.functions[function].start..end
}

/// The program's functions by first slot: the main one, and those that are called.
pub(super) fn functions(program: &Program, privileges: Privileges) -> Result<Vec<Function>, Stop> {
    let mut starts = vec![0];
    for (slot, insn) in program.insns.iter().enumerate() {
        let kernel = matches!(insn, Insn::Call { callee: Callee::Kfunc(_) });
        if !privileges.bpf && (kernel || insn.function(slot).is_some()) {
            let line = "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN";
            return Err(Stop::refused(Class::Privilege, Errno::EPERM, line));
        }
        if let Some(start) = insn.function(slot) {
            let inside = usize::try_from(start).ok().filter(|s| *s < program.insns.len());
            starts.push(inside.ok_or_else(|| Stop::invalid(Class::ControlFlow, "call to invalid destination"))?);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let named = |start: usize| program.functions.iter().find(|f| f.start == start).cloned();
    Ok(starts
        .into_iter()
        .map(|start| named(start).unwrap_or_else(|| Function::new(format!("subprog_{start}"), start)))
        .collect())
}

/// Checks the shape of the program, whose functions are complete, and tells where paths may meet.
pub(super) fn check(program: &Program, privileges: Privileges) -> Result<Vec<Point>, Stop> {
    if let Err(e) = encode(&program.insns) {
        return Err(Stop::invalid(Class::Encoding, format!("insn {}: {}", e.slot, e.reason)));
    }
    functions_are_closed(program)?;
    type_info(program)?;
    references(program)?;
    if !privileges.bpf {
        no_way_back(program)?;
    }
    reachable(program)
}

/// The slots of each function.
fn extents(program: &Program) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..program.functions.len()).map(|function| extent(program, function))
}

/// Jumps stay in their function, and control does not run off its end.
fn functions_are_closed(program: &Program) -> Proof {
    for extent in extents(program) {
        for slot in extent.clone() {
            let insn = &program.insns[slot];
            if let Some(target) = insn.target(slot)
                && !usize::try_from(target).is_ok_and(|t| extent.contains(&t))
            {
                return Err(Stop::invalid(
                    Class::ControlFlow,
                    format!("jump out of range from insn {slot} to {target}"),
                ));
            }
        }
        if program.insns[extent.end - 1].falls_through() {
            return Err(Stop::invalid(Class::ControlFlow, "last insn is not an exit or jmp"));
        }
    }
    Ok(())
}

/// What the loader says of functions and lines fits the program. A program of bare instructions whose functions have
/// types is taken at their word.
fn type_info(program: &Program) -> Proof {
    let subprogram = |function: usize| {
        let insns = &program.insns[extent(program, function)];
        let calls = |insn: &Insn| matches!(insn, Insn::Call { callee: Callee::Helper(signature::TAIL_CALL) });
        info::Subprogram {
            start: program.functions[function].start,
            packet_load: insns.iter().any(|insn| matches!(insn, Insn::LoadPacket { .. })),
            tail_call: insns.iter().any(calls),
        }
    };
    let functions: Vec<_> = (0..program.functions.len()).map(subprogram).collect();
    let is_second = |slot: usize| program.insns.get(slot) == Some(&Insn::Pad);
    let checked = match (&program.info, &program.btf) {
        (Some(told), Some(btf)) => info::check(told, btf, &functions, program.insns.len(), is_second),
        _ if program.functions.iter().all(|f| f.btf.is_none()) => info::without_types(&functions),
        _ => Ok(()),
    };
    checked.map_err(|why| Stop::refused(Class::TypeInformation, why.errno, why.reason))
}

/// What the loader says of functions is sound in itself.
pub(super) fn type_info_early(program: &Program) -> Proof {
    match (&program.info, &program.btf) {
        (Some(told), Some(btf)) => {
            info::early(told, btf).map_err(|why| Stop::refused(Class::TypeInformation, why.errno, why.reason))
        }
        _ => Ok(()),
    }
}

/// Wide loads are whole and name maps that are there.
fn references(program: &Program) -> Proof {
    let mut named = BTreeSet::new();
    let mut slot = 0;
    while let Some(insn) = program.insns.get(slot) {
        if let Insn::LoadImm64 { value, .. } = *insn {
            if program.insns.get(slot + 1) != Some(&Insn::Pad) {
                return Err(Stop::invalid(Class::Encoding, "invalid bpf_ld_imm64 insn"));
            }
            if let Wide::Map(map) | Wide::MapValue { map, .. } = value {
                let Some(spec) = program.maps.get(map.0 as usize) else {
                    let line = format!("fd {} is not pointing to valid bpf_map", map.0);
                    return Err(Stop::refused(Class::MapReference, Errno(9), line));
                };
                if spec.ty == MapType(0) || spec.ty.name().is_none() || !template_is_sound(spec) {
                    let line = format!("fd {} is not pointing to valid bpf_map", map.0);
                    return Err(Stop::refused(Class::MapReference, Errno(9), line));
                }
                named.insert(map);
                if named.len() > MAX_MAPS {
                    let line = format!("The total number of maps per program has reached the limit of {MAX_MAPS}");
                    let stop = Stop::refused(Class::Limit, Errno::E2BIG, line);
                    return Err(stop.limit(format!("{MAX_MAPS} maps"), "one more"));
                }
                if let Wide::MapValue { off, .. } = value {
                    direct_value(spec.ty, spec.max_entries, spec.value_size, off)?;
                }
            }
        }
        slot += insn.slots();
    }
    Ok(())
}

/// A map of maps has a template, which is of no maps of maps; Linux creates no others.
fn template_is_sound(spec: &MapSpec) -> bool {
    let of_maps = |spec: &MapSpec| matches!(spec.ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    !of_maps(spec) || spec.inner.as_deref().is_some_and(|inner| !of_maps(inner))
}

/// Only an array of one entry has a value whose address is known when the program is loaded.
fn direct_value(ty: MapType, max_entries: u32, value_size: u32, off: u32) -> Proof {
    if off >= 1 << 29 {
        return Err(Stop::invalid(Class::MapReference, format!("direct value offset of {off} is not allowed")));
    }
    if ty != MapType::ARRAY {
        return Err(Stop::invalid(Class::MapReference, "no direct value access support for this map type"));
    }
    if max_entries != 1 || off >= value_size {
        let errno = if max_entries != 1 { Errno(524) } else { Errno::EINVAL };
        let line = format!("invalid access to map value pointer, value_size={value_size} off={off}");
        return Err(Stop::refused(Class::MapReference, errno, line));
    }
    Ok(())
}

/// No way leads back to where it came from. Slots are looked at depth first, the next one before a jump's target.
fn no_way_back(program: &Program) -> Proof {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        OnTheWay,
        Done,
    }
    let ways = |slot: usize| {
        let insn = &program.insns[slot];
        let next = insn.falls_through().then_some(slot + insn.slots());
        [next, insn.target(slot).map(|t| t as usize)].into_iter().flatten()
    };
    let mut seen = vec![Seen::No; program.insns.len()];
    seen[0] = Seen::OnTheWay;
    let mut way = vec![(0, ways(0))];
    while let Some((slot, rest)) = way.last_mut() {
        let slot = *slot;
        match rest.next() {
            None => {
                seen[slot] = Seen::Done;
                way.pop();
            }
            Some(next) if seen[next] == Seen::OnTheWay => {
                return Err(Stop::invalid(Class::EndlessLoop, format!("back-edge from insn {slot} to {next}")));
            }
            Some(next) if seen[next] == Seen::No => {
                seen[next] = Seen::OnTheWay;
                way.push((next, ways(next)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Every slot can be reached, and no jump goes into the middle of a wide load.
fn reachable(program: &Program) -> Result<Vec<Point>, Stop> {
    let mut points = vec![Point::default(); program.insns.len()];
    let mut seen = vec![false; program.insns.len()];
    let mut todo = vec![0];
    let mark = |points: &mut Vec<Point>, slot: usize| {
        points[slot].prune = true;
        points[slot].jump = true;
    };
    while let Some(slot) = todo.pop() {
        if std::mem::replace(&mut seen[slot], true) {
            continue;
        }
        let insn = &program.insns[slot];
        let target = insn.target(slot).map(|t| t as usize);
        match *insn {
            Insn::Pad => {}
            Insn::Exit => continue,
            Insn::Branch { .. } => points[slot].prune = true,
            Insn::Call { callee } => {
                if let (Callee::Local(_), Some(start)) = (callee, insn.function(slot)) {
                    points[slot].prune = true;
                    mark(&mut points, start as usize);
                    todo.push(start as usize);
                }
                mark(&mut points, slot + 1);
                if let Callee::Helper(signature::TIMER_SET_CALLBACK) = callee {
                    points[slot].prune = true;
                }
                if calls_back(program, slot) {
                    mark(&mut points, slot);
                    points[slot].forced = true;
                    points[slot].calls_back = true;
                }
            }
            Insn::MayGoto { .. } => {
                points[slot].prune = true;
                points[slot].forced = true;
                points[slot].may_goto = true;
            }
            Insn::LoadImm64 { value: Wide::Func { .. }, .. } => {
                let start = insn.function(slot).expect("Insn::function names one for every Wide::Func") as usize;
                points[slot].prune = true;
                mark(&mut points, start);
                todo.push(start);
                mark(&mut points, slot + 2);
            }
            _ => {}
        }
        if let Some(target) = target {
            mark(&mut points, target);
            todo.push(target);
        }
        if insn.falls_through() {
            todo.push(slot + insn.slots());
        }
    }
    let mut slot = 0;
    while let Some(insn) = program.insns.get(slot) {
        if !seen[slot] {
            return Err(Stop::invalid(Class::ControlFlow, format!("unreachable insn {slot}")));
        }
        if insn.slots() == 2 && seen[slot + 1] {
            return Err(Stop::invalid(Class::ControlFlow, format!("jump into the middle of ldimm64 insn {slot}")));
        }
        slot += insn.slots();
    }
    Ok(points)
}
