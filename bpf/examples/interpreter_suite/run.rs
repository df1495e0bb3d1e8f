//! Runs entries.

use std::sync::Arc;

use bpf::cbpf::{RawFilter, check};
use bpf::env::FixedEnv;
use bpf::insn::{Dialect, Insn, Operand, RawInsn, Reg, Wide, Width, decode};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, SkbFields};
use bpf::maps::MapId;
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};

use crate::entries::{Asked, Entry, Linked, Slot};
use crate::linux::c::{Definitions, Machine};

/// How an entry ended.
pub enum Outcome {
    /// So many runs.
    Equal(u32),
    Skipped(String),
    Differs(String),
}

/// Flags of the table.
const NO_DATA: u64 = 1 << 0;
const FRAGMENT: u64 = 1 << 2;
const LARGE_MEMORY: u64 = 1 << 4;
/// Bytes of a fragment.
const FRAGMENT_LEN: usize = 128;
/// How often each program runs that others call, on one state.
const RUNS: u32 = 1000;
/// The mark of what is put in when the table's programs are linked.
const MARKER: u64 = 0x7a11_ca11;
/// Instead of a distance: an empty slot, and one beyond the last.
const EMPTY: u64 = 0x7fff;
const BEYOND: u64 = 0x7ffe;

const TAIL_CALL: u32 = 12;
const PROGRAMS: u32 = 0;
const STATE: u32 = 1;

/// The packet that the table's runner makes: values of fields as it sets them.
fn skb() -> SkbFields {
    SkbFields {
        pkt_type: 3,
        mark: 0x1234_aaaa,
        hash: 0x1234_aaab,
        queue_mapping: 123,
        vlan_tci: 0xffff,
        vlan_present: 1,
        vlan_proto: u32::from(0x0800u16.to_be()),
        protocol: u32::from(0x0800u16.to_be()),
        ifindex: 577,
        ..SkbFields::default()
    }
}

fn raw(slot: &Slot) -> RawInsn {
    let mut imm = slot[4] as i32;
    // A move that the verifier marks as an extension is a move.
    if slot[0] == 0xbc && imm == 1 {
        imm = 0;
    }
    RawInsn { opcode: slot[0] as u8, dst: slot[1] as u8, src: slot[2] as u8, off: slot[3] as i16, imm }
}

fn constant(dst: Reg, value: i32) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Imm(value), sext: None }
}

fn memory(dst: Reg, map: u32) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::MapValue { map: MapIndex(map), off: 0 } }, Insn::Pad]
}

fn map(ty: MapType, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec { name: ty.to_string(), ty, key_size: 4, value_size, max_entries, ..MapSpec::default() }
}

/// Classic filters as programs, or what refuses them.
fn converted(asked: &Asked) -> Result<Program, bpf::diag::Diagnostic> {
    let word =
        |slot: &Slot| RawFilter { code: slot[0] as u16, jt: slot[1] as u8, jf: slot[2] as u8, k: slot[3] as u32 };
    let words: Vec<RawFilter> = asked.slots.iter().map(word).collect();
    check(&words, "filter")?.program("filter")
}

/// Runs an entry of the table of plain programs.
pub fn plain(entry: &Entry, definitions: &Definitions, machine: &mut Machine<'_>, show: bool) -> Outcome {
    let asked = match entry.asked(definitions, machine) {
        Ok(asked) => asked,
        Err(why) => return Outcome::Differs(format!("cannot be read: {why}")),
    };
    let program = if asked.classic {
        match (converted(&asked), asked.errno) {
            (Err(_), Some(_)) => return Outcome::Equal(0),
            (Ok(_), Some(errno)) => return Outcome::Differs(format!("taken, where errno {errno} is wanted")),
            (Err(why), None) if why.code == "cbpf-unsupported" => return Outcome::Skipped(why.reason),
            (Err(why), None) => return Outcome::Differs(why.headline()),
            (Ok(program), None) => program,
        }
    } else {
        match extended(&asked) {
            Ok(program) => program,
            Err(why) => return Outcome::Differs(why),
        }
    };
    if show {
        println!("{}", entry.name);
        for (slot, insn) in program.insns.iter().enumerate().filter(|(_, insn)| **insn != Insn::Pad) {
            println!("{slot:4}: {}", insn.text(Dialect::Verifier, &()));
        }
    }
    match all_runs(&asked, &program) {
        Ok(runs) => Outcome::Equal(runs),
        Err(why) => Outcome::Differs(why),
    }
}

/// An extended program, with its first argument: memory, nothing, or the packet's context.
fn extended(asked: &Asked) -> Result<Program, String> {
    let slots: Vec<RawInsn> = asked.slots.iter().map(raw).collect();
    let own = decode(&slots).map_err(|e| e.to_string())?;
    let (mut insns, mut maps) = (Vec::new(), Vec::new());
    if asked.flags & LARGE_MEMORY != 0 {
        let most = asked.runs.iter().map(|run| run.0).max().unwrap_or(0);
        maps.push(map(MapType::ARRAY, most as u32, 1));
        insns.extend(memory(Reg::R1, 0));
    } else if asked.flags & NO_DATA != 0 {
        insns.push(constant(Reg::R1, 0));
    }
    insns.extend(own);
    Ok(Program::from_insns("program", ProgType::SocketFilter, insns, maps))
}

fn all_runs(asked: &Asked, program: &Program) -> Result<u32, String> {
    let headline = |d: bpf::diag::Diagnostic| d.headline();
    let code = Code::new(program).map_err(headline)?;
    let mut engine = Engine::new(EngineConfig::default(), &program.maps).map_err(headline)?;
    for (len, wanted) in &asked.runs {
        let mut packet = if asked.flags & (NO_DATA | LARGE_MEMORY) != 0 { Vec::new() } else { asked.data.clone() };
        packet.truncate(*len);
        if asked.flags & FRAGMENT != 0 {
            packet.extend_from_slice(&asked.more[..FRAGMENT_LEN]);
        }
        let input = RunInput { context: ContextInput::Skb(skb()), packet: &packet };
        let outcome = engine.run(&code, input, &mut FixedEnv::default(), &mut NoObserver);
        if let Some(fault) = outcome.fault {
            return Err(fault.to_string());
        }
        let got = outcome.retval as u32;
        if got != *wanted {
            return Err(format!("{got:#x} for {wanted:#x} on {len} bytes"));
        }
    }
    Ok(asked.runs.len() as u32)
}

/// A program of the table of those that call each other, linked as the table's runner does.
fn linked_program(entries: &[Linked], at: usize) -> Result<Vec<Insn>, String> {
    let link = |slot: &Slot| {
        let mut slot = slot.clone();
        match (slot[0], slot[4]) {
            (0x18, MARKER) => (slot[2], slot[4]) = (1, u64::from(PROGRAMS)),
            (0xb4, MARKER) => {
                let to = match slot[3] {
                    EMPTY => entries.len() as u64,
                    BEYOND => entries.len() as u64 + 1,
                    off => (at as u64).wrapping_add(off),
                };
                (slot[3], slot[4]) = (0, to);
            }
            // The opcode that Linux has for the helper's call.
            (0xf5, _) => (slot[0], slot[4]) = (0x85, u64::from(TAIL_CALL)),
            // A call of a helper; one that is out of reach is left out.
            (0x85, id) if slot[2] == 1 => {
                slot[2] = 0;
                if bpf::helpers::proto(id as u32).is_none() {
                    slot = vec![0x05, 0, 0, 0, 0];
                }
            }
            _ => {}
        }
        raw(&slot)
    };
    let slots: Vec<RawInsn> = entries[at].slots.iter().map(link).collect();
    decode(&slots).map_err(|e| e.to_string())
}

/// Runs an entry of the table of programs that call each other.
pub fn linked(entries: &[Linked], at: usize) -> Outcome {
    match run_linked(entries, at) {
        Ok(got) if got == entries[at].result => Outcome::Equal(RUNS),
        Ok(got) => Outcome::Differs(format!("{got:#x} for {:#x}", entries[at].result)),
        Err(why) => Outcome::Differs(why),
    }
}

fn run_linked(entries: &[Linked], at: usize) -> Result<u32, String> {
    let headline = |d: bpf::diag::Diagnostic| d.headline();
    let maps = vec![map(MapType::PROG_ARRAY, 4, entries.len() as u32 + 1), map(MapType::ARRAY, 4, 1)];
    let code = |insns| {
        Code::new(&Program::from_insns("program", ProgType::SocketFilter, insns, maps.clone())).map_err(headline)
    };
    let mut engine = Engine::new(EngineConfig::default(), &maps).map_err(headline)?;
    for slot in 0..entries.len() {
        let id = engine.add_program(Arc::new(code(linked_program(entries, slot)?)?));
        let mut array = engine.map(MapId(PROGRAMS)).ok_or("no program array")?;
        array.set_program(slot as u32, Some(id)).map_err(|errno| errno.to_string())?;
    }
    let entry = &entries[at];
    let mut insns = if entry.state { memory(Reg::R1, STATE).to_vec() } else { vec![constant(Reg::R1, 0)] };
    insns.extend(linked_program(entries, at)?);
    let main = code(insns)?;
    let mut last = 0;
    for _ in 0..RUNS {
        let input = RunInput { context: ContextInput::Skb(skb()), packet: &[] };
        let outcome = engine.run(&main, input, &mut FixedEnv::default(), &mut NoObserver);
        if let Some(fault) = outcome.fault {
            return Err(fault.to_string());
        }
        last = outcome.retval as u32;
    }
    if !entry.in_state {
        return Ok(last);
    }
    let state = engine.map(MapId(STATE)).ok_or("no state")?.entries();
    let word = state.first().and_then(|(_, value)| value.first_chunk().copied());
    word.map(u32::from_le_bytes).ok_or("no state".to_owned())
}
