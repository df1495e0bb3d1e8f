//! The card of a placement: a device with a program on it, and what it has to say afterwards.

use std::collections::{BTreeMap, BTreeSet};

use bpf::diag::{At, Diagnostic};
use bpf::facts::Facts;
use bpf::insn::Endian;
use bpf::maps::{Holds, Map};
use bpf::program::MapSpec;
use bpf::verifier::VerifiedProgram;
use nic_model::des::Source;
use nic_model::device::{Device, HostSetup, Measure, PortId};
use nic_model::firmware::Entry;
use nic_model::memory::{CardMap, MemoryKind, TableId};
use nic_model::profile::CardProfile;
use nic_model::quantity::{Bytes, Duration};
use offload_jit::{Firmware, Image, MapPlacement, Mode, Note};

use crate::contents::{map_result, preload_refused};
use crate::host::control::{CardTable, Operation, Verb};
use crate::host::user::{Act, Action, Content, Write, value_for_user};
use crate::measure::Tracker;
use crate::report::{CardNote, MapResult, Refusal, Resource, Work};
use crate::scenario::LoadedProgram;

/// Bytes of a receive buffer the host puts up: a page less head- and tailroom, as native XDP leaves it.
const RX_BUFFER: Bytes = Bytes(3_520);

/// A program on a card.
pub struct Offloaded {
    /// Its words.
    pub words: usize,
    /// Maps of the program that live on the card.
    pub maps: Vec<(MapSpec, TableId)>,
    /// For each of them, bytes in a value at which words begin that the program adds to atomically.
    pub atomic_words: Vec<Vec<u32>>,
    /// What its instructions do otherwise than on the host.
    pub notes: Vec<CardNote>,
    /// What user space does to its maps; those by their places in `maps`.
    pub operations: Vec<Operation>,
}

/// A card of that profile, with nothing on it.
///
/// # Errors
/// A profile that no card can have.
pub fn device(profile: &CardProfile, queues: u16, seed: u64, first: Source) -> Result<Device, Diagnostic> {
    Device::new(profile.clone(), HostSetup { queues, rx_buffer: RX_BUFFER }, seed, first)
}

/// Translates a program for the card and puts it there, on all ports, with its maps and what they begin with. The inner
/// error is every reason why the card does not take it.
///
/// # Errors
/// What is wrong with the preload, or a limit of the simulated card itself.
pub fn offload(
    device: &mut Device,
    program: &LoadedProgram,
    mode: Mode,
) -> Result<Result<Offloaded, Vec<Refusal>>, Diagnostic> {
    let translated = match translate(device, program, mode, &[])? {
        Ok(translated) => translated,
        Err(refusals) => return Ok(Err(refusals)),
    };
    let ports: Vec<_> = (0..*device.profile().mac.ports).map(PortId).collect();
    device.attach_programs(&ports, &translated.words, &translated.starts)?;
    Ok(Ok(translated.offloaded))
}

/// A program as the card's code store takes it.
pub struct Translated {
    /// Its words, and those of the programs it may tail-call.
    pub words: Vec<u64>,
    /// Where each begins, by the numbers that program arrays hold.
    pub starts: BTreeMap<u32, u16>,
    /// What else there is to say.
    pub offloaded: Offloaded,
}

/// Translates a program that will replace another while packets flow. Maps of the other's that have its map's name and shape
/// are kept, with what is in them; the rest is made and filled now. The inner error is every reason against it.
///
/// # Errors
/// As [`offload`].
pub fn replacement(
    device: &mut Device,
    program: &LoadedProgram,
    mode: Mode,
    replaced: &Offloaded,
) -> Result<Result<Translated, Vec<Refusal>>, Diagnostic> {
    if !*device.profile().capabilities.live_reload {
        let diagnostic = Diagnostic::new("card-no-live-reload", "EBUSY: FW does not support live reload")
            .at(At::Named(program.verified.program().name.clone()))
            .help("leave replace out, or use a card with capabilities.live_reload");
        return Ok(Err(vec![refusal(&diagnostic)]));
    }
    let both = replaced.maps.iter().zip(&replaced.atomic_words);
    let kept: Vec<Kept> = both.map(|((spec, table), words)| (spec.clone(), *table, words.clone())).collect();
    translate(device, program, mode, &kept)
}

/// A map that stays: definition, number, atomic words.
type Kept = (MapSpec, TableId, Vec<u32>);

/// The map that stays for one of a program's. Arrays of programs hold numbers of the program that goes.
fn kept_for<'k>(kept: &'k [Kept], spec: &MapSpec) -> Option<&'k Kept> {
    let shape = |m: &MapSpec| (m.ty, m.key_size, m.value_size, m.max_entries, m.flags);
    let programs = Map::kind_of(spec.ty).is_some_and(|kind| kind.holds == Holds::Programs);
    kept.iter().find(|(other, ..)| !programs && other.name == spec.name && shape(other) == shape(spec))
}

fn translate(
    device: &mut Device,
    program: &LoadedProgram,
    mode: Mode,
    kept: &[Kept],
) -> Result<Result<Translated, Vec<Refusal>>, Diagnostic> {
    if program.verified.program().byte_order != Endian::Little {
        let diagnostic = Diagnostic::new("card-byte-order", "the program is big-endian, and the card's cores are not")
            .at(At::Named(program.verified.program().name.clone()))
            .help("attach it to a hook of the host, or build it with -target bpfel for a little-endian host");
        return Ok(Err(vec![refusal(&diagnostic)]));
    }
    let capabilities = device.profile().capabilities.clone();
    let group = programs(program);
    let mut named = Named::default();
    let mut refusals: Vec<Refusal> = Vec::new();
    for (verified, maps, facts) in &group {
        match offload_jit::compile(verified, facts, &capabilities, mode) {
            Ok(image) => named.note(image.maps(), maps),
            Err(reasons) => {
                for reason in reasons.iter().map(|r| refusal(&r.diagnostic)) {
                    // What one part says of a map that they share, the others say again.
                    if !refusals.contains(&reason) {
                        refusals.push(reason);
                    }
                }
            }
        }
    }
    refusals.extend(actions(program, &named).as_ref().map(refusal));
    refusals.extend(readers(program).as_ref().map(refusal));
    refusals.extend(behind(program).as_ref().map(refusal));
    if !refusals.is_empty() {
        return Ok(Err(refusals));
    }
    let first = device.memories().maps().iter().count() as u32 + 1;
    let numbers = named.numbers(program, kept, first);
    let mut images = Vec::new();
    for (verified, maps, facts) in &group {
        let tables: Vec<u32> = maps.iter().map(|map| numbers.get(map).copied().unwrap_or(0)).collect();
        match offload_jit::compile_for_tables(verified, facts, &capabilities, mode, &tables) {
            Ok(image) => images.push(image),
            Err(reasons) => return Ok(Err(reasons.iter().map(|r| refusal(&r.diagnostic)).collect())),
        }
    }
    let Created { maps, atomic_words, operations } =
        match create_maps(device, program, &named, (&images, kept), &group)? {
            Ok(created) => created,
            Err(diagnostic) => return Ok(Err(vec![refusal(&diagnostic)])),
        };
    let (mut words, mut starts) = (Vec::new(), BTreeMap::new());
    for (number, image) in (1..).zip(&images) {
        let mut doors = doors(device, &maps);
        doors.start = doors.start.saturating_add(words.len().min(usize::from(u16::MAX)) as u16);
        starts.insert(number, doors.start);
        words.extend(image.link(&doors)?);
    }
    let notes = images.iter().flat_map(notes).collect();
    let offloaded = Offloaded { words: words.len(), maps, atomic_words, notes, operations };
    Ok(Ok(Translated { words, starts, offloaded }))
}

/// A program with the places of its maps.
type Member<'a> = (&'a VerifiedProgram, Vec<usize>, Facts);

/// A program and those it may tail-call.
fn programs(program: &LoadedProgram) -> Vec<Member<'_>> {
    let own = (&program.verified, (0..program.verified.program().maps.len()).collect::<Vec<_>>());
    let parts = program.parts.iter().map(|part| (&part.verified, part.maps.clone()));
    [own].into_iter().chain(parts).map(|(verified, maps)| (verified, maps, Facts::of(verified))).collect()
}

/// Maps that programs of a group name, by place.
#[derive(Default)]
struct Named {
    on_card: BTreeSet<usize>,
    on_host: BTreeSet<usize>,
}

impl Named {
    fn note(&mut self, placed: &[MapPlacement], maps: &[usize]) {
        for placed in placed {
            let place = maps[placed.map.0 as usize];
            if placed.on_card { &mut self.on_card } else { &mut self.on_host }.insert(place);
        }
    }

    /// The card's numbers: maps that live there first, with those that stand in slots of theirs; new ones from `first` on.
    fn numbers(&mut self, program: &LoadedProgram, kept: &[Kept], first: u32) -> BTreeMap<usize, u32> {
        let later = program.actions.iter().filter_map(|action| match &action.act {
            Act::Write(write) => Some(write),
            _ => None,
        });
        for write in program.slots.iter().chain(later) {
            if !self.on_card.contains(&write.map) {
                continue;
            }
            if let Some(Content::Map(inner)) = write.content {
                self.on_card.insert(inner);
            }
        }
        let mut next = first..;
        let mut number = |place: &usize| {
            let kept = kept_for(kept, &program.maps[*place]).filter(|_| self.on_card.contains(place));
            let number = kept.map_or_else(|| next.next().expect("numbers go on"), |(_, table, _)| table.0);
            (*place, number)
        };
        let places = self.on_card.iter().chain(self.on_host.difference(&self.on_card));
        places.map(&mut number).collect()
    }
}

/// What user space does that no control message says: the first of it.
fn actions(program: &LoadedProgram, named: &Named) -> Option<Diagnostic> {
    let wrong = |action: &Action, reason: &str, limit: &str| {
        Diagnostic::new("card-map-actions", reason)
            .at(At::Named(program.maps[action.act.map()].name.clone()))
            .limit(limit, format!("an action at {}", Duration(action.at.ps())))
            .help("attach the program to a hook of the host, or leave its actions out")
    };
    program.actions.iter().find_map(|action| match &action.act {
        act if !named.on_card.contains(&act.map()) => {
            Some(wrong(action, "the map is not on the card", "maps that the card holds"))
        }
        Act::Write(Write { content: Some(Content::Behind { .. }), .. }) => {
            Some(wrong(action, "nothing runs behind a redirect on the card", "devices and processors without programs"))
        }
        _ => None,
    })
}

/// What user space does to maps on the card, as the driver's processes do it; maps by their places in `tables`.
fn operations(device: &mut Device, program: &LoadedProgram, tables: &BTreeMap<usize, TableId>) -> Vec<Operation> {
    let operation = |action: &Action| {
        let place = tables.keys().position(|place| *place == action.act.map())?;
        let map = device.memories().maps().get(tables[&action.act.map()])?.map();
        let verb = match &action.act {
            Act::Lookup(_, key) => Verb::Lookup(key.clone()),
            Act::Dump(_) => Verb::Dump,
            Act::Write(Write { key, content: None, .. }) => Verb::Delete(key.clone()),
            Act::Write(Write { key, content: Some(content), .. }) => {
                let value = match content {
                    Content::Bytes(value) => value_for_user(map, value),
                    // Programs have the numbers of their order.
                    Content::Program(at) => (*at as u32 + 1).to_le_bytes().to_vec(),
                    Content::Map(at) => tables.get(at)?.0.to_le_bytes().to_vec(),
                    Content::Behind { .. } => return None,
                };
                Verb::Update(key.clone(), value)
            }
        };
        Some(Operation { at: action.at, process: action.process, table: place, verb })
    };
    program.actions.iter().filter_map(operation).collect()
}

/// The maps on the card as the driver knows them.
pub fn tables(device: &mut Device, offloaded: &Offloaded) -> Vec<CardTable> {
    let profile = device.profile().clone();
    let maps = device.memories().maps();
    let both = offloaded.maps.iter().zip(&offloaded.atomic_words);
    both.filter_map(|((_, number), words)| Some(CardTable::new(&profile, maps.get(*number)?.map(), number.0, words)))
        .collect()
}

/// What would run behind a redirect on the card: the first.
fn behind(program: &LoadedProgram) -> Option<Diagnostic> {
    program.slots.iter().find_map(|write| {
        let Some(Content::Behind { program: at, .. }) = write.content else { return None };
        let part = program.parts.get(at.checked_sub(1)?)?;
        let diagnostic = Diagnostic::new("card-redirect-programs", "nothing runs behind a redirect on the card")
            .at(At::Named(program.maps[write.map].name.clone()))
            .limit("devices and processors without programs", format!("program {}", part.verified.program().name))
            .help("attach the program to a hook of the host, or leave the entries' programs out");
        Some(diagnostic)
    })
}

/// Who would read rings on the card: the first.
fn readers(program: &LoadedProgram) -> Option<Diagnostic> {
    program.readers.first().map(|reader| {
        Diagnostic::new("card-map-readers", "rings on the card are not read while packets flow")
            .at(At::Named(program.maps[reader.map].name.clone()))
            .limit("nobody reads", format!("a reader every {}", Duration(reader.every.ps())))
            .help("attach the program to a hook of the host, or leave its readers out")
    })
}

/// What a translated program does otherwise than on the host, as reports show it.
pub fn notes(image: &Image) -> Vec<CardNote> {
    let note = |note: &Note| CardNote {
        code: note.fault.code().to_owned(),
        what: note.fault.to_string(),
        at: place(&image.place(note.slot)),
    };
    image.notes().iter().map(note).collect()
}

/// A place as reports show it.
fn place(at: &At) -> String {
    match at {
        At::Insn { slot, text, source, .. } => match source {
            Some(line) => format!("{slot}: {text} ({}:{}: {})", line.file, line.line, line.text.trim()),
            None => format!("{slot}: {text}"),
        },
        other => other.to_string(),
    }
}

/// A refusal as reports show it.
pub fn refusal(diagnostic: &Diagnostic) -> Refusal {
    Refusal {
        code: diagnostic.code.to_owned(),
        reason: diagnostic.reason.clone(),
        at: diagnostic.at.as_ref().map(place),
        limit: diagnostic.limit.clone(),
        actual: diagnostic.actual.clone(),
        help: diagnostic.help.clone(),
    }
}

/// What [`Offloaded`] says of maps.
struct Created {
    maps: Vec<(MapSpec, TableId)>,
    atomic_words: Vec<Vec<u32>>,
    operations: Vec<Operation>,
}

fn create_maps(
    device: &mut Device,
    program: &LoadedProgram,
    named: &Named,
    (images, kept): (&[Image], &[Kept]),
    group: &[Member<'_>],
) -> Result<Result<Created, Diagnostic>, Diagnostic> {
    let (mut created, mut words) = (Vec::new(), Vec::new());
    let mut tables = BTreeMap::new();
    for &place in &named.on_card {
        let spec = &program.maps[place];
        let placed = || {
            images.iter().zip(group).flat_map(|(image, (_, maps, _))| {
                image.maps().iter().filter(|placed| maps[placed.map.0 as usize] == place)
            })
        };
        let atomic: BTreeSet<u32> = placed().flat_map(|placed| placed.atomic_words.iter().map(|w| w * 4)).collect();
        let atomic: Vec<u32> = atomic.into_iter().collect();
        if let Some((_, table, words_before)) = kept_for(kept, spec) {
            if atomic != *words_before {
                // What is there lies in another order (the driver refuses the use, or that it may not be zero).
                let list = |words: &[u32]| words.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
                let reason = "the program adds atomically to other words of a map that is kept";
                return Ok(Err(Diagnostic::new("card-replace-map", reason)
                    .at(At::Named(spec.name.clone()))
                    .limit(format!("bytes {}", list(words_before)), format!("bytes {}", list(&atomic)))
                    .help("give the map another name, which makes it a new one")));
            }
            tables.insert(place, *table);
            created.push((spec.clone(), *table));
            words.push(atomic);
            continue;
        }
        // Where programs want it in different memories, in the nearest.
        let memory = placed().map(|placed| placed.memory).min().unwrap_or(MemoryKind::Emem);
        let table = device.memories().create_map_in(memory, spec.clone(), &atomic)?;
        tables.insert(place, table);
        for (key, value) in program.preload.get(place).into_iter().flatten() {
            let updated = device.memories().user_update(table, key, value, 0);
            updated.map_err(|errno| preload_refused(&spec.name, key, &errno.to_string()))?;
        }
        created.push((spec.clone(), table));
        words.push(atomic);
    }
    for write in &program.slots {
        let Some(&table) = tables.get(&write.map) else { continue };
        if kept_for(kept, &program.maps[write.map]).is_some() {
            continue;
        }
        let number = match write.content {
            // Programs have the numbers of their order.
            Some(Content::Program(place)) => Some(place as u32 + 1),
            Some(Content::Map(place)) => tables.get(&place).map(|table| table.0),
            _ => None,
        };
        if let Some(number) = number {
            let updated = device.memories().user_update(table, &write.key, &number.to_le_bytes(), 0);
            let name = &program.maps[write.map].name;
            updated.map_err(|errno| preload_refused(name, &write.key, &errno.to_string()))?;
        }
    }
    let operations = operations(device, program, &tables);
    Ok(Ok(Created { maps: created, atomic_words: words, operations }))
}

/// The firmware's doors as the linker wants them.
fn doors(device: &mut Device, maps: &[(MapSpec, TableId)]) -> Firmware {
    let tables = device.memories().maps();
    let value = |table: TableId| tables.get(table).map(CardMap::first_value);
    let values = maps.iter().filter_map(|(_, table)| Some((table.0, value(*table)?))).collect();
    let layout = device.code_layout();
    let helper = |id: u32| Some((id, layout.address(Entry::of_helper(id)?)?));
    let routine = |id: u32| Some((id, layout.address(Entry::Helper(id))?));
    Firmware {
        start: layout.start,
        done: layout.address(Entry::Done).expect("every firmware has an end of programs"),
        routines: bpf::helpers::HELPERS.iter().filter_map(|row| routine(row.id)).collect(),
        atomic: layout.address(Entry::Atomic),
        helpers: bpf::helpers::HELPERS.iter().filter_map(|row| helper(row.id)).collect::<BTreeMap<_, _>>(),
        values,
    }
}

/// Contents of the card's maps.
pub fn maps(device: &mut Device, offloaded: &Offloaded) -> Vec<MapResult> {
    let entries = |(spec, table): &(MapSpec, TableId)| {
        let memory = device.memories().maps().get(*table).map(|map| map.place().memory.name());
        MapResult { memory, ..map_result(spec, device.memories().user_entries(*table)) }
    };
    offloaded.maps.iter().map(entries).collect()
}

/// How busy the card's parts were.
pub fn resources(device: &Device, tracker: &Tracker) -> Vec<Resource> {
    let counters = device.counters(tracker.last_end());
    let shares = counters.into_iter().filter_map(|counter| match counter.measure {
        Measure::Share { .. } => {
            Some(Resource { busy_ppm: counter.measure.ppm()?, name: format!("card.{}", counter.name) })
        }
        _ => None,
    });
    shares.collect()
}

/// Exact counts of the card's work.
pub fn work(device: &Device, tracker: &Tracker) -> Vec<Work> {
    let counters = device.counters(tracker.last_end());
    let counts = counters.into_iter().filter_map(|counter| match counter.measure {
        Measure::Count(total) => Some(Work { name: format!("card.{}", counter.name), total }),
        _ => None,
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf::insn::{AluOp, Callee, Insn, Operand, Reg, Width};
    use bpf::program::{ProgType, Program};
    use bpf::verifier::{Options, Verdict, verify};

    #[test]
    fn a_fault_of_the_translation_is_noted_with_its_instruction() {
        let random = Insn::Call { callee: Callee::Helper(7) };
        let shift = Insn::Alu { width: Width::W64, op: AluOp::Lsh, dst: Reg::R0, src: Operand::Reg(Reg::R6) };
        let mov = |dst, src| Insn::Mov { width: Width::W64, dst, src, sext: None };
        let amount = Insn::Alu { width: Width::W64, op: AluOp::And, dst: Reg::R0, src: Operand::Imm(31) };
        let one = mov(Reg::R0, Operand::Imm(1));
        let insns = vec![random, amount, mov(Reg::R6, Operand::Reg(Reg::R0)), one, shift, one, Insn::Exit];
        let program = Program::from_insns("shifts", ProgType::Xdp, insns, vec![]);
        let Verdict::Accepted(verified) = verify(program, &Options::default()) else { panic!("it is a sound program") };
        let mut card = nic_model::profile::builtin("open-npu").expect("it comes with the project").capabilities;
        card.random.value = true;
        let image = offload_jit::compile(&verified, &Facts::of(&verified), &card, Mode::Driver);
        let notes = notes(&image.expect("the card has random numbers and shifts"));
        let expected = CardNote {
            code: "left-shift-by-zero".to_owned(),
            what: "a left shift by r6 copies the low half to the high one where r6 is 0".to_owned(),
            at: "4: r0 <<= r6".to_owned(),
        };
        assert_eq!(notes, [expected]);
    }
}
