//! A program of a scenario with all that belongs to it: the programs it may tail-call, their maps, what is in them before
//! the first packet, and what user space does to them while packets flow.
//!
//! Programs that are put into slots are of the same object, and share its maps, as those of one object do that is loaded
//! as a whole.

use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};
use bpf::insn::Endian;
use bpf::maps::{Holds, Map};
use bpf::object::Object;
use bpf::program::{Attach, MapSpec, MapType, ProgType, Program, SlotInit};
use bpf::verifier::{self, Verdict, VerifiedProgram};
use nic_model::des::Time;
use nic_model::quantity::Duration;
use serde_yaml::Value;

use super::checked::Checker;
use super::{preload, written};
use crate::files;
use crate::host::user::{Act, Action, Content, Reader, Write};

/// Keys and values by map.
pub type Preload = Vec<Vec<(Vec<u8>, Vec<u8>)>>;

/// A verified program with what belongs to it.
pub struct LoadedProgram {
    /// The program.
    pub verified: VerifiedProgram,
    /// The object's file: programs of one object share its maps where they run on the host together.
    pub object: PathBuf,
    /// Whether it is only good for a card: it, or one of the others, chooses the receive queue.
    pub device_bound: bool,
    /// Others of its object that slots name, or may at some time.
    pub parts: Vec<Part>,
    /// Maps: the program's, in its order, then those that only others name.
    pub maps: Vec<MapSpec>,
    /// Entries of bytes by map, in the order of `maps`.
    pub preload: Preload,
    /// What slots hold at first: what the object puts there, then what the scenario does. Program 0 is the program
    /// itself, the others follow.
    pub slots: Vec<Write>,
    /// How many of `slots` the object fills; they come first.
    pub slots_of_object: usize,
    /// What user space does while packets flow, by time; of one time in the order written.
    pub actions: Vec<Action>,
    /// Who reads its ring buffers meanwhile.
    pub readers: Vec<Reader>,
}

impl LoadedProgram {
    /// Whether it shares maps of one name with `other` where both run on the host.
    pub fn shares(&self, other: &LoadedProgram) -> bool {
        self.object == other.object
    }
}

/// A program that may be tail-called.
pub struct Part {
    /// The program.
    pub verified: VerifiedProgram,
    /// Places of its maps.
    pub maps: Vec<usize>,
}

/// Most programs of one object that slots name.
const MAX_PROGRAMS: usize = 256;
/// Most actions of user space.
const MAX_ACTIONS: usize = 100_000;
/// Processes of user space.
const MAX_PROCESSES: u16 = 1_024;
/// Latest action: an hour.
const MAX_AT: Duration = Duration(3_600_000_000_000_000);
/// Least time between two looks of a reader: ten microseconds, a few times what a wake-up takes.
const MIN_EVERY: Duration = Duration(10_000_000);

/// Programs of an object that belong together, while they are found.
struct Group<'a> {
    object: &'a Object,
    /// The object's file.
    path: &'a Path,
    ty: Option<ProgType>,
    /// By place: each with the places of its maps.
    programs: Vec<(VerifiedProgram, Vec<usize>)>,
    maps: Vec<MapSpec>,
    /// Whether one of them is verified for a card.
    device_bound: bool,
    /// What objects put into slots: map, slot, what. Names are looked up one after the other, which may add more.
    initial: Vec<(usize, u32, Named)>,
}

/// What a slot is to hold, by name.
#[derive(Clone)]
enum Named {
    Program(String),
    Map(String),
    /// A device or a queue's length, and the program behind a redirect to it.
    Behind(u32, String),
}

impl Group<'_> {
    /// A refusal with the command that says everything about it.
    fn refused(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let log = format!("sim check {} --log 1 prints the verifier's log", self.path.display());
        diagnostic.help = Some(diagnostic.help.map_or(log.clone(), |help| format!("{help}; {log}")));
        diagnostic
    }

    /// Takes a program in that has been put together; gives its place.
    fn take(&mut self, program: Program) -> Result<usize, Diagnostic> {
        let mut places = Vec::new();
        for spec in &program.maps {
            let known = self.maps.iter().position(|map| map.name == spec.name);
            places.push(known.unwrap_or_else(|| {
                let place = self.maps.len();
                for (slot, init) in &spec.slots {
                    let what = match init {
                        SlotInit::Program(name) => Named::Program(name.clone()),
                        SlotInit::Map(map) => match program.maps.get(map.0 as usize) {
                            Some(spec) => Named::Map(spec.name.clone()),
                            None => continue,
                        },
                    };
                    self.initial.push((place, *slot, what));
                }
                self.maps.push(spec.clone());
                place
            }));
        }
        let options = verifier::Options { device_bound: self.device_bound, ..verifier::Options::default() };
        let verified = match verifier::verify(program.clone(), &options) {
            Verdict::Accepted(verified) => verified,
            // What chooses the receive queue is only good for a card.
            Verdict::Rejected(rejection) if program.ty == ProgType::Xdp && !self.device_bound => {
                let options = verifier::Options { device_bound: true, ..options };
                let Verdict::Accepted(verified) = verifier::verify(program, &options) else {
                    return Err(self.refused(rejection.diagnostic));
                };
                self.device_bound = true;
                verified
            }
            // The place is the instruction, which the scenario's line could not show.
            Verdict::Rejected(rejection) => return Err(self.refused(rejection.diagnostic)),
            Verdict::Unsupported(diagnostic) => return Err(diagnostic),
        };
        self.programs.push((verified, places));
        Ok(self.programs.len() - 1)
    }

    /// The place of a program by its function's name.
    fn program(&mut self, name: &str) -> Result<usize, Diagnostic> {
        if let Some(place) = self.programs.iter().position(|(known, _)| known.program().name == name) {
            return Ok(place);
        }
        if self.programs.len() == MAX_PROGRAMS {
            return Err(Diagnostic::new("scenario-slot", "slots name too many programs")
                .limit(format!("{MAX_PROGRAMS} programs"), "one more"));
        }
        let program = self.object.program(Some(name), self.ty)?;
        let main = self.programs.first().map(|(main, _)| main.program().ty);
        if let Some(ty) = main.filter(|ty| *ty != program.ty) {
            return Err(Diagnostic::new("scenario-slot", format!("program {name} cannot be tail-called from here"))
                .limit(format!("programs of type {ty}"), program.ty));
        }
        self.take(program)
    }

    /// The place of a map by its name; one of the object's that no program names is taken in.
    fn map(&mut self, name: &str) -> Result<usize, Diagnostic> {
        if let Some(place) = self.maps.iter().position(|map| map.name == name) {
            return Ok(place);
        }
        let found = self.object.maps().iter().find(|map| map.spec.name == name && map.spec.initial.is_none());
        let Some(map) = found else {
            let reason = format!("the object has no map `{name}`");
            return Err(Diagnostic::new("scenario-slot", reason));
        };
        // Slots of a map that only slots name stay empty: maps of maps cannot stand in slots.
        self.maps.push(MapSpec { slots: Vec::new(), ..map.spec.clone() });
        Ok(self.maps.len() - 1)
    }

    /// What a slot of a map is to hold. Linux takes programs only where they were loaded for.
    fn place_of(&mut self, map: usize, what: &Named) -> Result<Content, Diagnostic> {
        let main = self.programs.first().map(|(main, _)| (main.program().attach, main.program().frags));
        let (attach, frags) = main.unwrap_or_default();
        let (name, wanted) = match what {
            Named::Map(name) => return Ok(Content::Map(self.map(name)?)),
            Named::Program(name) => (name, attach),
            Named::Behind(_, name) => match Map::kind_of(self.maps[map].ty).map(|kind| kind.holds) {
                Some(Holds::Cpus) => (name, Attach::XdpCpumap),
                _ => (name, Attach::XdpDevmap),
            },
        };
        let program = self.program(name)?;
        let found = self.programs[program].0.program();
        if found.attach != wanted || found.frags != frags {
            let words = |attach, frags| format!("{}{}", attached(attach), if frags { ", for fragments" } else { "" });
            let reason = format!("program {name} cannot stand in map `{}`", self.maps[map].name);
            return Err(Diagnostic::new("scenario-slot", reason)
                .limit(words(wanted, frags), words(found.attach, found.frags))
                .help(
                    "sections xdp, xdp/devmap and xdp/cpumap, and xdp.frags in their place, say what a program is for",
                ));
        }
        Ok(match what {
            Named::Behind(word, _) => Content::Behind { word: *word, program },
            _ => Content::Program(program),
        })
    }

    /// What the object puts into slots, and with it all programs that it names.
    fn initial(&mut self, order: Endian) -> Result<Vec<Write>, Diagnostic> {
        let mut writes = Vec::new();
        while let Some((map, slot, what)) = (writes.len() < self.initial.len()).then(|| {
            let (map, slot, what) = &self.initial[writes.len()];
            (*map, *slot, what.clone())
        }) {
            let content = Some(self.place_of(map, &what)?);
            writes.push(Write { map, key: order.bytes(slot).to_vec(), content });
        }
        Ok(writes)
    }

    /// What a value of a map stands for; only maps of objects hold what has a name.
    fn content(&mut self, map: usize, value: &Value) -> Result<Option<Content>, Diagnostic> {
        let spec = &self.maps[map];
        let (field, what) = match Map::kind_of(spec.ty).map(|kind| kind.holds) {
            Some(Holds::Programs) => ("program", "a program of the object: {program: NAME}"),
            Some(Holds::Maps) => ("map", "a map of the object: {map: NAME}"),
            Some(Holds::Devices) if value.get("program").is_some() => return self.behind(map, "ifindex", value),
            Some(Holds::Cpus) if value.get("program").is_some() => return self.behind(map, "qsize", value),
            _ => return Ok(None),
        };
        let name = match value {
            Value::Mapping(fields) if fields.len() == 1 => value.get(field).and_then(Value::as_str),
            _ => None,
        };
        let Some(name) = name else {
            let reason = format!("a value of map `{}` is {what}", spec.name);
            return Err(Diagnostic::new("scenario-slot", reason));
        };
        let named = if field == "program" { Named::Program(name.to_owned()) } else { Named::Map(name.to_owned()) };
        self.place_of(map, &named).map(Some)
    }

    /// A device or the length of a queue, with a program.
    fn behind(&mut self, map: usize, field: &str, value: &Value) -> Result<Option<Content>, Diagnostic> {
        let word = value.get(field).and_then(Value::as_u64).and_then(|word| u32::try_from(word).ok());
        let name = value.get("program").and_then(Value::as_str);
        let few = value.as_mapping().is_some_and(|fields| fields.len() == 2);
        let (Some(word), Some(name), true) = (word, name, few && self.maps[map].value_size == 8) else {
            let map = &self.maps[map];
            let reason = format!("a value of map `{}` with a program is {{{field}: NUMBER, program: NAME}}", map.name);
            return Err(Diagnostic::new("scenario-slot", reason)
                .limit("value_size of 8", format!("value_size of {}", map.value_size)));
        };
        self.place_of(map, &Named::Behind(word, name.to_owned())).map(Some)
    }
}

impl Checker {
    /// Loads a program and everything that belongs to it.
    pub(super) fn program(&self, name: &str, p: &written::Program, host: Endian) -> Result<LoadedProgram, Diagnostic> {
        let at = |field: &str| format!("programs.{name}.{field}");
        let ty = match &p.ty {
            None => None,
            Some(word) => Some(prog_type(word).ok_or_else(|| {
                self.wrong("scenario-program-type", &at("type"), format!("`{word}` is no program type"))
                    .help("use xdp, tc or socket")
            })?),
        };
        let path = self.directory.join(&p.object);
        let bytes = files::read(&path).map_err(|d| self.place(d, &at("object")))?;
        let object = Object::parse(&bytes).map_err(|d| self.place(name_file(d, &p.object), &at("object")))?;
        let field = if p.program.is_some() { "program" } else { "object" };
        let main = object.program(p.program.as_deref(), ty).map_err(|d| self.place(d, &at(field)))?;
        if main.byte_order != host {
            let (has, help) = match main.byte_order {
                Endian::Big => ("big-endian", "build it with -target bpfel, or give the host byte_order: big"),
                Endian::Little => ("little-endian", "build it with -target bpfeb, or give the host byte_order: little"),
            };
            let reason = format!("the object is {has}, and the host is not");
            return Err(self.wrong("scenario-byte-order", &at("object"), reason).help(help));
        }
        if main.attach != Attach::Hook {
            let reason = format!("program {} runs at no hook", main.name);
            return Err(self
                .wrong("scenario-program-type", &at(field), reason)
                .limit(attached(Attach::Hook), attached(main.attach))
                .help("name it in an entry of a device or processor map, behind a program that redirects"));
        }
        let order = main.byte_order;
        let mut group = Group {
            object: &object,
            path: &path,
            ty,
            programs: Vec::new(),
            maps: Vec::new(),
            device_bound: false,
            initial: Vec::new(),
        };
        group.take(main)?;
        let mut slots = group.initial(order).map_err(|d| self.place(d, &at("object")))?;
        let (mut preload, mut slots_of_object) = (Vec::new(), slots.len());
        for (map, contents) in &p.maps {
            self.contents(&mut group, &at(&format!("maps.{map}")), map, contents, &mut preload, &mut slots)?;
        }
        let actions = self.actions(&mut group, &at("actions"), &p.actions)?;
        let readers = self.readers(&mut group, &at("readers"), &p.readers)?;
        // What user space names has slots of its own.
        let more = group.initial(order).map_err(|d| self.place(d, &at("object")))?;
        let more: Vec<_> = more.into_iter().filter(|write| !slots.contains(write)).collect();
        slots_of_object += more.len();
        slots.splice(..0, more);
        preload.resize(group.maps.len(), Vec::new());
        let device_bound = group.device_bound;
        let mut programs = group.programs.into_iter();
        let (verified, _) = programs.next().expect("the main program was taken in first");
        let parts = programs.map(|(verified, maps)| Part { verified, maps }).collect();
        let (maps, object) = (group.maps, path);
        Ok(LoadedProgram {
            verified,
            object,
            device_bound,
            parts,
            maps,
            preload,
            slots,
            slots_of_object,
            actions,
            readers,
        })
    }

    fn map(&self, group: &Group<'_>, at: &str, name: &str) -> Result<usize, Diagnostic> {
        group.maps.iter().position(|map| map.name == name).ok_or_else(|| {
            let names: Vec<_> = group.maps.iter().map(|map| map.name.as_str()).collect();
            self.wrong("scenario-map", at, format!("the program has no map `{name}`"))
                .help(format!("its maps are: {}", names.join(", ")))
        })
    }

    fn contents(
        &self,
        group: &mut Group<'_>,
        at: &str,
        name: &str,
        contents: &written::MapContents,
        preload: &mut Preload,
        slots: &mut Vec<Write>,
    ) -> Result<(), Diagnostic> {
        let map = self.map(group, at, name)?;
        preload.resize(preload.len().max(map + 1), Vec::new());
        let program = group.programs[0].0.program();
        if let Some(file) = &contents.file {
            let at = format!("{at}.file");
            let text = files::read_text(&self.directory.join(file)).map_err(|d| self.place(d, &at))?;
            let entries = preload::file(program, &group.maps[map], file, &text);
            preload[map] = entries.map_err(|e| self.wrong("scenario-map-file", &at, format!("{file}: {e}")))?;
        }
        for (i, entry) in contents.entries.iter().enumerate() {
            let write = self.write(group, &format!("{at}.entries[{i}]"), map, &entry.key, Some(&entry.value))?;
            match write.content {
                Some(Content::Bytes(value)) => preload[map].push((write.key, value)),
                _ => slots.push(write),
            }
        }
        Ok(())
    }

    /// An update, or without a value a deletion, as a scenario writes it.
    fn write(
        &self,
        group: &mut Group<'_>,
        at: &str,
        map: usize,
        key: &Value,
        value: Option<&Value>,
    ) -> Result<Write, Diagnostic> {
        let wrong = |side: &str, e| self.wrong("scenario-map-bytes", &format!("{at}.{side}"), e);
        let referred = match value {
            Some(value) => group.content(map, value).map_err(|d| self.place(d, &format!("{at}.value")))?,
            None => None,
        };
        let (program, spec) = (group.programs[0].0.program(), &group.maps[map]);
        let key = preload::key(program, spec, key).map_err(|e| wrong("key", e))?;
        let content = match (referred, value) {
            (None, Some(value)) => {
                let bytes = preload::value(program, spec, value).map_err(|e| wrong("value", e))?;
                Some(Content::Bytes(bytes))
            }
            (referred, _) => referred,
        };
        Ok(Write { map, key, content })
    }

    fn readers(&self, group: &mut Group<'_>, at: &str, written: &[written::Reader]) -> Result<Vec<Reader>, Diagnostic> {
        let mut readers: Vec<Reader> = Vec::new();
        for (i, reader) in written.iter().enumerate() {
            let at = format!("{at}[{i}]");
            let map = self.map(group, &format!("{at}.map"), &reader.map)?;
            let spec = &group.maps[map];
            if spec.ty != MapType::RINGBUF || readers.iter().any(|other| other.map == map) {
                return Err(self
                    .wrong("scenario-readers", &format!("{at}.map"), "user space does not read this map so")
                    .limit("a ring buffer, named once", format!("{} ({})", spec.name, spec.ty)));
            }
            if reader.every < MIN_EVERY || reader.every > MAX_AT {
                return Err(self
                    .wrong("scenario-readers", &format!("{at}.every"), "no reader looks so often, or so rarely")
                    .limit(format!("{MIN_EVERY} to 3600 s"), reader.every));
            }
            readers.push(Reader { map, every: reader.every.time() });
        }
        Ok(readers)
    }

    fn actions(&self, group: &mut Group<'_>, at: &str, written: &[written::Action]) -> Result<Vec<Action>, Diagnostic> {
        if written.len() > MAX_ACTIONS {
            return Err(self
                .wrong("scenario-actions", at, "too much for user space to do")
                .limit(format!("{MAX_ACTIONS} actions"), written.len()));
        }
        let mut actions = Vec::new();
        for (i, action) in written.iter().enumerate() {
            let at = format!("{at}[{i}]");
            if action.at.0 > MAX_AT.0 {
                return Err(self
                    .wrong("scenario-actions", &format!("{at}.at"), "the run is over by then")
                    .limit("at most 3600 s", action.at));
            }
            let map = self.map(group, &format!("{at}.map"), &action.map)?;
            if action.process >= MAX_PROCESSES {
                return Err(self
                    .wrong("scenario-actions", &format!("{at}.process"), "too many processes")
                    .limit(format!("0 to {}", MAX_PROCESSES - 1), action.process));
            }
            let act = match (&action.update, &action.delete, &action.lookup, action.dump) {
                (Some(entry), None, None, false) => {
                    Act::Write(self.write(group, &format!("{at}.update"), map, &entry.key, Some(&entry.value))?)
                }
                (None, Some(entry), None, false) => {
                    Act::Write(self.write(group, &format!("{at}.delete"), map, &entry.key, None)?)
                }
                (None, None, Some(entry), false) => {
                    Act::Lookup(map, self.write(group, &format!("{at}.lookup"), map, &entry.key, None)?.key)
                }
                (None, None, None, true) => Act::Dump(map),
                _ => {
                    let reason = "an action updates an entry, deletes one, reads one or reads all";
                    return Err(self.wrong("scenario-actions", &at, reason).help(
                        "write update: {key: KEY, value: VALUE}, delete: {key: KEY}, lookup: {key: KEY} or dump: true",
                    ));
                }
            };
            actions.push(Action { at: Time::from_ps(action.at.0), process: action.process, act });
        }
        actions.sort_by_key(|action| action.at);
        Ok(actions)
    }
}

fn attached(attach: Attach) -> &'static str {
    match attach {
        Attach::Hook => "a program for a hook",
        Attach::XdpDevmap => "a program for entries of device maps",
        Attach::XdpCpumap => "a program for entries of processor maps",
    }
}

fn prog_type(word: &str) -> Option<ProgType> {
    match word {
        "xdp" => Some(ProgType::Xdp),
        "tc" | "sched_cls" | "classifier" => Some(ProgType::SchedCls),
        "action" | "sched_act" => Some(ProgType::SchedAct),
        "socket" | "socket_filter" => Some(ProgType::SocketFilter),
        _ => None,
    }
}

/// Says which file a loader's diagnostic is about.
fn name_file(mut diagnostic: Diagnostic, file: &str) -> Diagnostic {
    diagnostic.at = Some(match diagnostic.at.take() {
        Some(At::Bytes { of, offset }) => At::Bytes { of: format!("{file} {of}"), offset },
        Some(At::Named(what)) if !what.contains(file) => At::Named(format!("{file} {what}")),
        Some(at) => at,
        None => At::Named(file.to_owned()),
    });
    diagnostic
}
