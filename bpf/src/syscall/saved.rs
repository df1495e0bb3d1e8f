//! What outlives every actor, as plain data: what pins, links and hooks hold.
//!
//! [`System::restore`] trusts nothing of it. Types are checked and programs verified again, definitions of maps are those
//! that Linux would take, every number is of an object, and references are counted anew. What is in a map's memory is taken as
//! it is: whatever it says, walks over it end ([`crate::maps`]), and slots only hold what a command could have put
//! there.

use std::sync::Arc;

use super::links::{Attached, Hook, Seat};
use super::map_commands::check_name;
use super::objects::{LinkObject, MapTypes, Object, Owner, contains_programs};
use super::offload::{Bound, OffloadDevice, OffloadDriver};
use super::programs::new_btf;
use super::references::{Numbers, held, keys};
use super::system::{Config, Refusal, System};
use crate::bpffs::{Bpffs, SavedTree};
use crate::btf::TypeId;
use crate::diag::{At, Diagnostic};
use crate::insn::{RawInsn, decode, encode};
use crate::maps::{AccessLog, Holds, Linear, MapId, References};
use crate::program::{Attach, Function, LineEntry, MapSpec, ProgType, Program};
use crate::verifier::Options;

/// All of a system that is kept.
#[derive(Debug, Clone)]
pub struct SavedSystem {
    /// What the machine is like.
    pub config: Config,
    /// Nanoseconds since boot.
    pub now_ns: u64,
    /// The numbers that were given last: of maps, programs, links, types. None is given again.
    pub last: [u32; 4],
    /// Cards by number.
    pub cards: Vec<SavedCard>,
    /// The number that was given last to a card.
    pub last_card: u32,
    /// Types by number.
    pub btfs: Vec<SavedBtf>,
    /// Maps by number.
    pub maps: Vec<SavedMap>,
    /// Programs by number.
    pub programs: Vec<SavedProgram>,
    /// Links by number.
    pub links: Vec<SavedLink>,
    /// What is attached without a link: device, hook, program.
    pub attached: Vec<(u32, Hook, u32)>,
    /// The bpf file systems.
    pub tree: SavedTree<Object>,
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCard {
    /// Number.
    pub id: u32,
    /// Name.
    pub name: String,
    /// What its driver is found by ([`OffloadDriver::name`]).
    pub driver: String,
    /// Its network devices, the last registered first.
    pub ports: Vec<u32>,
}

/// Types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedBtf {
    /// Number.
    pub id: u32,
    /// As they were loaded.
    pub bytes: Vec<u8>,
}

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedMap {
    /// Number.
    pub id: u32,
    /// Its definition; of a map of maps with the template.
    pub spec: MapSpec,
    /// Types of keys and values.
    pub types: Option<(u32, Option<TypeId>, Option<TypeId>)>,
    /// Whether user space may write no more.
    pub frozen: bool,
    /// Of a map that holds programs: their kind.
    pub owner: Option<Owner>,
    /// The card that holds it and the network device it is bound to, which an orphan has not.
    pub bound: Option<(u32, Option<u32>)>,
    /// Its memory, up to the last byte that is not zero.
    pub memory: Vec<u8>,
}

/// A program.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedProgram {
    /// Number.
    pub id: u32,
    /// Name as shown.
    pub name: String,
    /// Type.
    pub ty: ProgType,
    /// Where its type leaves that open, what it is for.
    pub attach: Attach,
    /// Whether it takes packets in fragments.
    pub frags: bool,
    /// Licence.
    pub license: String,
    /// Its main function's name.
    pub function: String,
    /// Instructions in eight bytes each, little-endian; maps by their place in `maps`.
    pub insns: Vec<u8>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Lines.
    pub lines: Vec<LineEntry>,
    /// What the loader could not resolve.
    pub unresolved: Vec<(usize, String)>,
    /// Numbers of its maps.
    pub maps: Vec<u32>,
    /// Number of its types.
    pub btf: Option<u32>,
    /// Nanoseconds since boot when it was loaded.
    pub loaded_at: u64,
    /// The card it is for and the network device it is bound to, which an orphan has not.
    pub bound: Option<(u32, Option<u32>)>,
    /// Whether it was verified for a device.
    pub device_bound: bool,
    /// Whether all accesses had to be aligned.
    pub strict_alignment: bool,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedLink {
    /// Number.
    pub id: u32,
    /// Its program's number.
    pub program: u32,
    /// The device it was made for.
    pub ifindex: u32,
    /// The hook.
    pub hook: Hook,
    /// Whether it is attached still.
    pub attached: bool,
}

fn wrong(what: impl Into<String>, at: impl Into<String>) -> Diagnostic {
    Diagnostic::new("state-object", what).at(At::Named(at.into())).help("use a state that this program wrote")
}

impl System {
    /// What is left once every actor has ended.
    pub fn save(mut self) -> SavedSystem {
        let actors: Vec<_> = self.actors.keys().copied().collect();
        actors.into_iter().for_each(|actor| self.exit(actor));
        let maps = self.maps.iter().map(|(id, object)| {
            let len = object.memory.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            SavedMap {
                id,
                spec: MapSpec { initial: None, slots: Vec::new(), ..object.spec.clone() },
                types: object.types.map(|types| (types.btf, types.key, types.value)),
                frozen: object.map.frozen(),
                owner: object.owner,
                bound: object.bound.as_ref().map(|bound| (bound.card, bound.ifindex)),
                memory: object.memory[..len].to_vec(),
            }
        });
        let maps = maps.collect();
        let programs = self.progs.iter().map(|(id, object)| {
            let program = object.verified.program();
            let slots = encode(&program.insns).expect("a loaded program was encoded for its tag");
            SavedProgram {
                id,
                name: object.name.clone(),
                ty: program.ty,
                attach: program.attach,
                frags: program.frags,
                license: program.license.clone(),
                function: program.name.clone(),
                insns: slots.into_iter().flat_map(RawInsn::to_le_bytes).collect(),
                functions: program.functions.clone(),
                lines: program.lines.clone(),
                unresolved: program.unresolved.clone(),
                maps: object.maps.clone(),
                btf: object.btf,
                loaded_at: object.loaded_at,
                bound: object.bound.as_ref().map(|bound| (bound.card, bound.ifindex)),
                device_bound: object.options.device_bound,
                strict_alignment: object.options.strict_alignment,
            }
        });
        let programs = programs.collect();
        let links = self.links.iter().map(|(id, link)| SavedLink {
            id,
            program: link.program,
            ifindex: link.made_for.ifindex,
            hook: link.made_for.hook,
            attached: link.seat.is_some(),
        });
        let links = links.collect();
        let unlinked = |(seat, there): (&Seat, &Vec<Attached>)| {
            let alone = there.iter().filter(|attached| attached.link.is_none());
            alone.map(|attached| (seat.ifindex, seat.hook, attached.program)).collect::<Vec<_>>()
        };
        let cards = self.cards.iter().map(|(id, card)| SavedCard {
            id: *id,
            name: card.name.clone(),
            driver: card.driver.name(),
            ports: card.ports.clone(),
        });
        SavedSystem {
            cards: cards.collect(),
            last_card: self.last_card,
            last: [self.maps.last, self.progs.last, self.links.last, self.btfs.last],
            btfs: self.btfs.iter().map(|(id, btf)| SavedBtf { id, bytes: btf.bytes.to_vec() }).collect(),
            maps,
            programs,
            links,
            attached: self.hooks.iter().flat_map(unlinked).collect(),
            tree: self.fs.save(),
            now_ns: self.now_ns,
            config: self.config,
        }
    }

    /// The system that was saved, without cards.
    ///
    /// # Errors
    /// As [`System::restore_with`]; a card.
    pub fn restore(saved: SavedSystem) -> Result<System, Diagnostic> {
        Self::restore_with(saved, &|_| None)
    }

    /// The system that was saved; `drivers` finds cards' drivers by their names.
    ///
    /// # Errors
    /// What is no state of a system: the object, and why.
    pub fn restore_with(
        saved: SavedSystem,
        drivers: &dyn Fn(&str) -> Option<Arc<dyn OffloadDriver>>,
    ) -> Result<System, Diagnostic> {
        let mut system = System::new(saved.config);
        system.last_card = saved.last_card;
        for card in saved.cards {
            system.restore_card(card, drivers)?;
        }
        system.now_ns = saved.now_ns;
        let [maps, progs, links, btfs] = saved.last;
        (system.maps.last, system.progs.last, system.links.last, system.btfs.last) = (maps, progs, links, btfs);
        for btf in saved.btfs {
            let at = || format!("btf {}", btf.id);
            let object = new_btf(&btf.bytes).map_err(|why| *why.at(&at()).diagnostic)?;
            if !system.btfs.put_back(btf.id, object) {
                return Err(wrong("its number is taken, or was never given", at()));
            }
        }
        for map in &saved.maps {
            system.restore_map(map).map_err(|why| *why.at(&format!("map {}", map.id)).diagnostic)?;
        }
        for program in saved.programs {
            let at = format!("program {}", program.id);
            system.restore_program(program).map_err(|why| *why.at(&at).diagnostic)?;
        }
        for map in &saved.maps {
            system.restore_contents(map)?;
        }
        for link in saved.links {
            system.restore_link(&link)?;
        }
        for (ifindex, hook, program) in saved.attached {
            let fits = system.progs.get(program).is_some_and(|object| {
                object.verified.program().ty == hook.prog_type() && system.config.devices.contains(&ifindex)
            });
            let seat = Seat { ifindex, hook };
            if !fits || system.hooks.contains_key(&seat) {
                return Err(wrong("what is attached there cannot be", format!("{} of device {ifindex}", hook.name())));
            }
            system.hooks.insert(seat, vec![Attached { program, link: None }]);
            system.get(Object::Prog(program));
        }
        system.fs = Bpffs::restore(&saved.tree)?;
        system.count_pins(&saved.tree)?;
        system.check_all_held()?;
        Ok(system)
    }

    fn restore_card(
        &mut self,
        saved: SavedCard,
        drivers: &dyn Fn(&str) -> Option<Arc<dyn OffloadDriver>>,
    ) -> Result<(), Diagnostic> {
        let SavedCard { id, name, driver, ports } = saved;
        let at = format!("card {id}");
        let driver = drivers(&driver).ok_or_else(|| wrong(format!("nobody knows a driver `{driver}`"), at.clone()))?;
        let known = |port: &u32| self.config.devices.contains(port) && self.card_of(*port).is_none();
        let distinct = ports.iter().enumerate().all(|(n, port)| !ports[..n].contains(port));
        if id == 0 || id > self.last_card || self.cards.contains_key(&id) {
            return Err(wrong("its number is taken, or was never given", at));
        }
        if ports.is_empty() || !distinct || !ports.iter().all(known) {
            return Err(wrong("its network devices are not its own", at));
        }
        self.cards.insert(id, OffloadDevice { name, driver, ports });
        Ok(())
    }

    /// What something was bound to: a network device of its card, or none where the card has gone.
    fn restore_bound(&self, saved: Option<(u32, Option<u32>)>, at: &str) -> Result<Option<Bound>, Refusal> {
        let own = |what: &str| Refusal { errno: None, diagnostic: Box::new(wrong(what, at)) };
        let Some((card, ifindex)) = saved else { return Ok(None) };
        let there = match (self.cards.get(&card), ifindex) {
            (Some(known), Some(port)) => known.ports.contains(&port),
            (None, None) => card > 0 && card <= self.last_card,
            _ => false,
        };
        if there { Ok(Some(Bound { card, ifindex })) } else { Err(own("it is bound to what is not its card's")) }
    }

    fn restore_map(&mut self, saved: &SavedMap) -> Result<(), Refusal> {
        check_name(&saved.spec.name)?;
        let own = |what: &str| Refusal { errno: None, diagnostic: Box::new(wrong(what, format!("map {}", saved.id))) };
        let fields = saved.types.map(|(btf, _, value)| self.fields_of(btf, value)).unwrap_or_default();
        let mut object = self.new_map(MapSpec { fields, ..saved.spec.clone() })?;
        if object.spec.flags != saved.spec.flags {
            return Err(own("its flags are a descriptor's"));
        }
        if let Some((btf, key, value)) = saved.types {
            self.check_types(btf, &object.spec, key, value)?;
            object.types = Some(MapTypes { btf, key, value });
        }
        if saved.memory.len() > object.memory.len() {
            return Err(own("it has more memory than its definition takes"));
        }
        object.memory[..saved.memory.len()].copy_from_slice(&saved.memory);
        object.bound = self.restore_bound(saved.bound, &format!("map {}", saved.id))?;
        if let Some(port) = object.bound.as_ref().and_then(|bound| bound.ifindex) {
            self.bind_map(&object.spec, port)?;
        }
        object.owner = saved.owner.filter(|_| contains_programs(&object.map));
        if saved.frozen {
            object.map.freeze()?;
        }
        let types = object.types;
        if !self.maps.put_back(saved.id, object) {
            return Err(own("its number is taken, or was never given"));
        }
        types.into_iter().for_each(|types| self.get(Object::Btf(types.btf)));
        Ok(())
    }

    fn restore_program(&mut self, saved: SavedProgram) -> Result<(), Refusal> {
        let at = format!("program {}", saved.id);
        let own = |what: &str| Refusal { errno: None, diagnostic: Box::new(wrong(what, at.clone())) };
        check_name(&saved.name)?;
        let (slots, rest) = saved.insns.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(own("its last instruction is cut off"));
        }
        let slots: Vec<RawInsn> = slots.iter().map(|slot| RawInsn::from_le_bytes(*slot)).collect();
        let insns = decode(&slots).map_err(|why| Refusal { errno: None, diagnostic: Box::new(why.into()) })?;
        let ascending = |starts: &mut dyn Iterator<Item = usize>| {
            let starts: Vec<usize> = starts.collect();
            starts.is_sorted_by(|a, b| a < b) && starts.last().is_none_or(|last| *last < insns.len())
        };
        let btf = match saved.btf {
            None => None,
            Some(id) => Some(self.btfs.get(id).ok_or_else(|| own("its types are not there"))?.btf.clone()),
        };
        let known = |ty: TypeId| btf.as_ref().is_some_and(|btf| btf.iter().any(|(id, _)| id == ty));
        let sound = saved.functions.first().is_some_and(|function| function.start == 0)
            && ascending(&mut saved.functions.iter().map(|function| function.start))
            && saved.functions.iter().all(|function| function.btf.is_none_or(known))
            && saved.functions.iter().all(|function| !function.global || function.btf.is_some())
            && ascending(&mut saved.lines.iter().map(|line| line.slot))
            && ascending(&mut saved.unresolved.iter().map(|(slot, _)| *slot));
        if !sound {
            return Err(own("its functions or lines are none of its instructions"));
        }
        let named = super::programs::named(&insns);
        if named.iter().any(|map| map.0 as usize >= saved.maps.len()) || named.len() != saved.maps.len() {
            return Err(own("its instructions name other maps than it has"));
        }
        let program = Program {
            license: saved.license,
            functions: saved.functions,
            lines: saved.lines,
            btf,
            attach: saved.attach,
            frags: saved.frags,
            unresolved: saved.unresolved,
            byte_order: self.config.byte_order,
            ..Program::from_insns(&saved.function, saved.ty, insns, Vec::new())
        };
        let options = Options {
            device_bound: saved.device_bound,
            strict_alignment: saved.strict_alignment,
            ..Options::default()
        };
        let bound = self.restore_bound(saved.bound, &at)?;
        if let Some(port) = bound.as_ref().and_then(|bound| bound.ifindex) {
            self.bind_program(&program, port)?;
        }
        let mut object = self.verified(program, saved.maps, saved.name, saved.btf, (&options, bound))?;
        object.loaded_at = saved.loaded_at;
        self.own_maps(&object)?;
        let (maps, btf) = (object.maps.clone(), object.btf);
        if !self.progs.put_back(saved.id, object) {
            return Err(own("its number is taken, or was never given"));
        }
        maps.into_iter().for_each(|map| self.get(Object::Map(map)));
        btf.into_iter().for_each(|btf| self.get(Object::Btf(btf)));
        Ok(())
    }

    /// What the slots of a map hold must be what a command could have put there; it counts as held.
    fn restore_contents(&mut self, saved: &SavedMap) -> Result<(), Diagnostic> {
        let object = self.maps.get(saved.id).expect("it was just put back");
        let mut memory = object.memory.clone();
        let held = held(object, &mut memory);
        let numbers = Numbers { system: self, owner: object.owner };
        let holds = object.map.kind().holds;
        let fits = |found: &Object| match (*found, holds) {
            (Object::Prog(number), _) => numbers.program(&object.map, number).is_ok(),
            (Object::Map(number), Holds::Maps) => MapId::from_reference(number)
                .and_then(|id| numbers.map(id))
                .zip(object.spec.inner.as_deref())
                .is_some_and(|(inner, template)| crate::maps::fits(template, inner.spec())),
            _ => false,
        };
        if !held.iter().all(fits) {
            return Err(wrong("a slot holds what it cannot", format!("map {}", saved.id)));
        }
        // Slots of sockets, events and control groups can only be empty.
        if matches!(holds, Holds::Sockets | Holds::Events | Holds::Cgroups) {
            let found = |key: &Vec<u8>| {
                object.map.lookup(&mut Linear(&mut memory.clone()), &mut AccessLog::new(), 0, key).is_some()
            };
            if keys(object, &mut memory.clone()).iter().take(1 << 10).any(found) {
                return Err(wrong("a slot holds what it cannot", format!("map {}", saved.id)));
            }
        }
        held.into_iter().for_each(|object| self.get(object));
        Ok(())
    }

    fn restore_link(&mut self, saved: &SavedLink) -> Result<(), Diagnostic> {
        let at = || format!("link {}", saved.id);
        let seat = Seat { ifindex: saved.ifindex, hook: saved.hook };
        let program = self.progs.get(saved.program).map(|object| object.verified.program());
        if program.is_none_or(|program| program.ty != seat.hook.prog_type() || program.attach != Attach::Hook) {
            return Err(wrong("its program cannot be attached there", at()));
        }
        let taken = seat.hook.is_xdp() && self.hooks.contains_key(&seat);
        if saved.attached && (taken || !self.config.devices.contains(&seat.ifindex)) {
            return Err(wrong("it cannot be attached there", at()));
        }
        let link = LinkObject { refs: 0, program: saved.program, seat: saved.attached.then_some(seat), made_for: seat };
        if !self.links.put_back(saved.id, link) {
            return Err(wrong("its number is taken, or was never given", at()));
        }
        self.get(Object::Prog(saved.program));
        if saved.attached {
            self.hooks.entry(seat).or_default().push(Attached { program: saved.program, link: Some(saved.id) });
        }
        Ok(())
    }

    /// Each pin is a reference; a pin of many names is one.
    fn count_pins(&mut self, tree: &SavedTree<Object>) -> Result<(), Diagnostic> {
        for (at, inode) in tree.inodes.iter().enumerate() {
            let crate::bpffs::SavedNode::Pin(object) = inode.node else { continue };
            let there = match object {
                Object::Map(id) => self.maps.get(id).is_some(),
                Object::Prog(id) => self.progs.get(id).is_some(),
                Object::Link(id) => self.links.get(id).is_some(),
                Object::Btf(_) => false,
            };
            if !there {
                return Err(wrong("it pins what is not there", format!("inode {}", at + 1)));
            }
            self.get_user(object);
        }
        Ok(())
    }

    /// Nothing is kept that nobody holds, and programs are in no array without a pin.
    fn check_all_held(&self) -> Result<(), Diagnostic> {
        let unheld = |refs: u32, what: &str, id: u32| match refs {
            0 => Err(wrong("nothing holds it", format!("{what} {id}"))),
            _ => Ok(()),
        };
        self.btfs.iter().try_for_each(|(id, btf)| unheld(btf.refs, "btf", id))?;
        self.progs.iter().try_for_each(|(id, program)| unheld(program.refs, "program", id))?;
        self.links.iter().try_for_each(|(id, link)| unheld(link.refs, "link", id))?;
        for (id, map) in self.maps.iter() {
            unheld(map.refs, "map", id)?;
            let programs = map.map.kind().holds == Holds::Programs && map.user_refs == 0;
            if programs && !held(map, &mut map.memory.clone()).is_empty() {
                return Err(wrong("programs stand in an array that no pin keeps", format!("map {id}")));
            }
        }
        Ok(())
    }
}
