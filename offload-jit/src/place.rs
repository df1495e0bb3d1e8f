//! Placing: labels become addresses counted from the program's start, and the program's length is known.
//!
//! In driver mode the order of instructions is the order of lowering.
//!
//! Maps get their memories ([`maps`]). Internal memory answers sooner than external memory and needs no cache, but holds little of
//! it: so the maps with most accesses for their bytes lie there, as long as they fit, and large ones and seldom used ones
//! outside. What is counted is instructions that access a map, for nothing is known of the packets to come. Maps with a slot
//! for each processor are large on a card, where every context is one, and what the host reads while packets flow (rings)
//! is its business as much: they lie outside, too. No map lies in the islands' memories: what a program looks up it reaches
//! by address, and no address leads to their local scratch; packets fill the other.

use std::cmp::Reverse;

use bpf::facts::{Facts, Kinds, Maps};
use bpf::insn::{Callee, Insn, Reg};
use bpf::maps::Map;
use bpf::program::{MapSpec, MapType, Program};
use bpf::verifier::VerifiedProgram;
use nic_model::isa::{CodeAddress, Op};
use nic_model::memory::{MemoryKind, REGION_ALIGN};

use crate::asm::{Assembly, External, Fixup, Goal, Origin};
use crate::image::{Relocation, RelocationKind};
use crate::refusal::{Refusal, Rule};

/// What an open branch holds before it is relocated, so that a reader of a dump can tell it from one inside the program
/// (Linux nfp driver, `BR_OFF_RELO`); helpers add their number.
const OPEN: u16 = 15000;

/// A program whose instructions stand where they will.
#[derive(Debug)]
pub(crate) struct Placed {
    pub ops: Vec<Op>,
    pub origins: Vec<Origin>,
    pub relocations: Vec<Relocation>,
    /// Addresses of the parts behind the body.
    pub entries: Vec<(External, u16)>,
}

/// Holds a program against the code store: at most `limit` instructions, and no more than addresses can name.
pub(crate) fn check_length(asm: &Assembly, name: &str, limit: u32) -> Option<Refusal> {
    let (length, limit) = (asm.ops.len(), limit.min(OPEN.into()));
    (length > limit as usize).then(|| {
        Refusal::new(Rule::Length, "the translated program is longer than the card's code store allows")
            .named(name)
            .limit(format!("{limit} instructions"), format!("{length} instructions"))
            .help("split the program, or leave out what it does not need on the card")
    })
}

/// Places a program that [`check_length`] has nothing against.
pub(crate) fn place(asm: Assembly) -> Placed {
    let entries = asm.entries.iter().map(|(part, label)| (*part, asm.address_of(*label) as u16)).collect();
    let relocations: Vec<_> = asm.fixups.iter().map(|fixup| relocation(&asm, fixup)).collect();
    let mut ops = asm.ops;
    for relocation in &relocations {
        set_address(&mut ops[relocation.at as usize], relocation.address);
    }
    Placed { ops, origins: asm.origins, relocations, entries }
}

fn relocation(asm: &Assembly, fixup: &Fixup) -> Relocation {
    let (kind, address) = match fixup.goal {
        Goal::Label(label) => {
            let kind = if matches!(asm.ops[fixup.at], Op::Immed(_)) {
                RelocationKind::Address
            } else {
                RelocationKind::Branch
            };
            (kind, asm.address_of(label) as u16)
        }
        Goal::External(External::Helper(id)) => (RelocationKind::External(External::Helper(id)), OPEN + id as u16),
        Goal::External(External::Routine(id)) => (RelocationKind::External(External::Routine(id)), OPEN + id as u16),
        Goal::External(part) => (RelocationKind::External(part), OPEN),
        Goal::Value(half) => (RelocationKind::Value(half), 0),
    };
    Relocation { at: fixup.at as u32, kind, address }
}

/// Writes a code address, or half of a value's, into the instruction that names one.
pub(crate) fn set_address(op: &mut Op, address: u16) {
    match op {
        Op::Br(br) => br.to = CodeAddress(address),
        Op::BrCond(br) => br.to = CodeAddress(address),
        Op::BrBit(br) => br.to = CodeAddress(address),
        Op::BrByte(br) => br.to = CodeAddress(address),
        Op::Immed(immed) => immed.load.value = address,
        Op::ImmedW(immed) => immed.load.value = address,
        other => unreachable!("{other} names no code address"),
    }
}

/// The memory that each of a program's maps should lie in, where `room` bytes of internal memory are for maps.
pub(crate) fn maps(program: &VerifiedProgram, facts: &Facts, on_card: &[bool], room: u64) -> Vec<MemoryKind> {
    let specs = &program.program().maps;
    let mut memories = vec![MemoryKind::Emem; specs.len()];
    if room == 0 {
        return memories;
    }
    let accesses = accesses(program.xlated(), facts, specs.len());
    let wanted = specs.iter().zip(&accesses).zip(on_card).enumerate().filter_map(|(map, ((spec, count), on_card))| {
        let bytes = inside_bytes(spec).filter(|bytes| *on_card && *count > 0 && *bytes <= room)?;
        Some((map, *count, bytes))
    });
    let mut wanted: Vec<_> = wanted.collect();
    // Accesses a byte, in whole numbers of 2^-64.
    wanted.sort_by_key(|(map, count, bytes)| (Reverse((u128::from(*count) << 64) / u128::from((*bytes).max(1))), *map));
    let mut left = room;
    for (map, _, bytes) in wanted {
        if bytes <= left {
            left -= bytes;
            memories[map] = MemoryKind::Imem;
        }
    }
    memories
}

/// What a map's region takes of internal memory; none of maps that lie outside whatever their size.
fn inside_bytes(spec: &MapSpec) -> Option<u64> {
    const OUTSIDE: [MapType; 6] = [
        MapType::PERCPU_HASH,
        MapType::PERCPU_ARRAY,
        MapType::LRU_PERCPU_HASH,
        MapType::RINGBUF,
        MapType::USER_RINGBUF,
        MapType::PERF_EVENT_ARRAY,
    ];
    if OUTSIDE.contains(&spec.ty) {
        return None;
    }
    let bytes = Map::new(spec.clone(), 1).ok()?.region_size();
    Some(u64::from(bytes).next_multiple_of(REGION_ALIGN))
}

/// Instructions that access each map, by the program's index.
fn accesses(program: &Program, facts: &Facts, maps: usize) -> Vec<u64> {
    let mut counts = vec![0; maps];
    for (index, insn) in program.insns.iter().enumerate() {
        let reg = match *insn {
            Insn::Call { callee: Callee::Helper(_) } => Reg::R1,
            Insn::Load { base, .. }
            | Insn::LoadAcquire { base, .. }
            | Insn::Store { base, .. }
            | Insn::StoreRelease { base, .. }
            | Insn::Atomic { base, .. }
                if facts.before(index, base).kinds.intersects(Kinds::MAP_VALUE) =>
            {
                base
            }
            _ => continue,
        };
        if let Maps::One(map) = facts.before(index, reg).maps
            && let Some(count) = counts.get_mut(map.0 as usize)
        {
            *count += 1;
        }
    }
    counts
}
