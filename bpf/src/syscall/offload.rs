//! Devices that run programs themselves: binding, orphans, and what a driver is asked (kernel/bpf/offload.c).
//!
//! An offload device is one card; its network devices share programs and maps. Programs and maps are bound to a network
//! device before anything else is looked at, and from then on belong to the card: a program uses no maps but the card's, and
//! goes to no hook but the card's. When a network device goes, what is bound to it moves to another of the card; with the last
//! it is an orphan, which has no number any more and answers `ENODEV`.

use std::fmt;
use std::sync::Arc;

use super::objects::{MapObject, Object, ProgObject};
use super::system::{Refusal, System};
use crate::errno::Errno;
use crate::maps::Map;
use crate::program::{MapSpec, MapType, ProgType, Program};
use crate::verifier::VerifiedProgram;

/// What is in use of a card's maps, by everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MapsInUse {
    /// Maps.
    pub maps: u32,
    /// The most entries they may have, together.
    pub entries: u64,
}

/// What Linux asks of a card's driver (`struct bpf_prog_offload_ops`, `ndo_bpf`). It keeps nothing of its own.
pub trait OffloadDriver: fmt::Debug + Send + Sync {
    /// What the driver is found by when a system is restored.
    fn name(&self) -> String;

    /// Network devices of the card.
    fn ports(&self) -> u8 {
        1
    }

    /// Whether it takes maps of every kind. Linux hands hash maps and arrays to drivers, and no others.
    fn takes_every_map(&self) -> bool {
        false
    }

    /// A program was bound to the card and will be verified.
    ///
    /// # Errors
    /// The driver's number and sentence.
    fn prepare(&self, program: &Program) -> Result<(), Refusal> {
        let _ = program;
        Ok(())
    }

    /// Translates a program that the verifier has found good: the card's instructions.
    ///
    /// # Errors
    /// Every reason why the card does not take it, as one.
    fn translate(&self, program: &VerifiedProgram) -> Result<Vec<u8>, Refusal>;

    /// A map is to be made on the card.
    ///
    /// # Errors
    /// The driver's number and sentence.
    fn map_alloc(&self, spec: &MapSpec, used: MapsInUse) -> Result<(), Refusal>;

    /// A program is to run on packets, in place of another if there is one.
    ///
    /// # Errors
    /// The driver's number and sentence.
    fn attach(&self, program: &VerifiedProgram, replaces: bool) -> Result<(), (Errno, String)> {
        let _ = (program, replaces);
        Ok(())
    }
}

/// A card.
#[derive(Debug, Clone)]
pub(super) struct OffloadDevice {
    pub name: String,
    pub driver: Arc<dyn OffloadDriver>,
    /// Its network devices, the last registered first.
    pub ports: Vec<u32>,
}

/// What a program or map is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// The card's number.
    pub card: u32,
    /// The network device; none of an orphan.
    pub ifindex: Option<u32>,
}

/// A bound program's or map's device, as `struct bpf_prog_info` and `struct bpf_map_info` have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Number of the network device.
    pub ifindex: u32,
    /// Name of the card.
    pub card: String,
}

/// A card and its network devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardInfo {
    /// Number; never used again.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Numbers of its network devices, ascending.
    pub ports: Vec<u32>,
}

impl System {
    /// Adds a card with these network devices, which must be new; gives its number.
    ///
    /// # Errors
    /// `EEXIST` for a number that a network device has, `EINVAL` for 0, `ENOSPC` when there are no more numbers.
    pub fn add_card(&mut self, name: &str, driver: Arc<dyn OffloadDriver>, ports: &[u32]) -> Result<u32, Errno> {
        for (at, ifindex) in ports.iter().enumerate() {
            if *ifindex == 0 {
                return Err(Errno::EINVAL);
            }
            if self.config.devices.contains(ifindex) || ports[..at].contains(ifindex) {
                return Err(Errno::EEXIST);
            }
        }
        let id = self.last_card.checked_add(1).ok_or(Errno::ENOSPC)?;
        self.last_card = id;
        self.config.devices.extend(ports);
        self.config.devices.sort_unstable();
        let ports = ports.iter().rev().copied().collect();
        self.cards.insert(id, OffloadDevice { name: name.to_owned(), driver, ports });
        Ok(id)
    }

    /// The cards there are.
    pub fn cards(&self) -> Vec<CardInfo> {
        let info = |(id, card): (&u32, &OffloadDevice)| {
            let mut ports = card.ports.clone();
            ports.sort_unstable();
            CardInfo { id: *id, name: card.name.clone(), ports }
        };
        self.cards.iter().map(info).collect()
    }

    /// A network device goes (`unregister_netdevice`): nothing is attached there any more, links stay and are attached
    /// nowhere, and what is bound to it moves to another network device of its card or is an orphan.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn remove_device(&mut self, ifindex: u32) -> Result<(), Errno> {
        let at = self.config.devices.iter().position(|device| *device == ifindex).ok_or(Errno::ENODEV)?;
        self.config.devices.remove(at);
        self.uninstall(ifindex);
        let Some((id, card)) = self.cards.iter_mut().find(|(_, card)| card.ports.contains(&ifindex)) else {
            return Ok(());
        };
        let id = *id;
        card.ports.retain(|port| *port != ifindex);
        let other = card.ports.first().copied();
        if other.is_none() {
            self.cards.remove(&id);
        }
        let moves = |bound: &mut Option<Bound>| {
            if let Some(bound) = bound.as_mut().filter(|bound| bound.ifindex == Some(ifindex)) {
                bound.ifindex = other;
            }
        };
        self.progs.iter_mut().for_each(|(_, program)| moves(&mut program.bound));
        self.maps.iter_mut().for_each(|(_, map)| moves(&mut map.bound));
        Ok(())
    }

    /// The card that a network device is of.
    pub(super) fn card_of(&self, ifindex: u32) -> Option<(u32, &OffloadDevice)> {
        self.cards.iter().find(|(_, card)| card.ports.contains(&ifindex)).map(|(id, card)| (*id, card))
    }

    /// What a program or map is bound to that asks for a network device; 0 is none.
    ///
    /// # Errors
    /// `EINVAL` where there is no such device, `EOPNOTSUPP` where it runs no programs.
    pub(super) fn bind_to(&self, ifindex: u32) -> Result<Option<Bound>, Refusal> {
        if ifindex == 0 {
            return Ok(None);
        }
        if !self.config.devices.contains(&ifindex) {
            return Err(Refusal::new(Errno::EINVAL, format!("there is no network device {ifindex}")));
        }
        match self.card_of(ifindex) {
            Some((card, _)) => Ok(Some(Bound { card, ifindex: Some(ifindex) })),
            None => Err(Refusal::new(Errno::EOPNOTSUPP, format!("network device {ifindex} runs no programs itself"))),
        }
    }

    /// `bpf_prog_dev_bound_init`: which programs may be bound.
    pub(super) fn bind_program(&self, program: &Program, ifindex: u32) -> Result<Option<Bound>, Refusal> {
        if ifindex == 0 {
            return Ok(None);
        }
        if !matches!(program.ty, ProgType::Xdp | ProgType::SchedCls) {
            return Err(Refusal::new(Errno::EINVAL, format!("programs of type {} run on no card", program.ty)));
        }
        if program.frags {
            return Err(Refusal::new(Errno::EINVAL, "programs for packets in fragments run on no card"));
        }
        self.bind_to(ifindex)
    }

    /// `bpf_map_offload_map_alloc`: which maps may be bound, and what the driver says.
    pub(super) fn bind_map(&self, spec: &MapSpec, ifindex: u32) -> Result<Option<Bound>, Refusal> {
        if ifindex == 0 {
            return Ok(None);
        }
        let every = self.card_of(ifindex).is_some_and(|(_, card)| card.driver.takes_every_map());
        if !every && !matches!(spec.ty, MapType::ARRAY | MapType::HASH) {
            return Err(Refusal::new(Errno::EINVAL, format!("maps of type {} are on no card", spec.ty)));
        }
        let bound = self.bind_to(ifindex)?;
        if let Some(card) = bound.as_ref().and_then(|bound| self.cards.get(&bound.card)) {
            card.driver.map_alloc(spec, self.maps_in_use(ifindex))?;
        }
        Ok(bound)
    }

    fn maps_in_use(&self, ifindex: u32) -> MapsInUse {
        let card = self.card_of(ifindex).map(|(id, _)| id);
        let bound = |map: &&MapObject| {
            map.bound.as_ref().is_some_and(|bound| Some(bound.card) == card && bound.ifindex.is_some())
        };
        let maps = self.maps.iter().map(|(_, map)| map).filter(bound);
        maps.fold(MapsInUse::default(), |used, map| MapsInUse {
            maps: used.maps + 1,
            entries: used.entries + u64::from(map.spec.max_entries),
        })
    }

    /// `bpf_offload_prog_map_match` for every map of a program: those of its card alone, but for what is neutral.
    pub(super) fn maps_match(&self, bound: Option<&Bound>, maps: &[u32]) -> Result<(), Refusal> {
        let fits = |id: &u32| {
            let map = self.maps.get(*id);
            match (bound, map.and_then(|map| map.bound.as_ref())) {
                (None, None) => true,
                (Some(_), None) => map.is_some_and(|map| neutral(&map.map)),
                (None, Some(_)) => false,
                (Some(program), Some(map)) => program.card == map.card,
            }
        };
        match maps.iter().find(|id| !fits(id)) {
            None => Ok(()),
            Some(id) => {
                let name = self.maps.get(*id).map_or("", |map| map.spec.name.as_str());
                Err(Refusal::new(Errno::EINVAL, "offload device mismatch between prog and map")
                    .at(&format!("map {id} {name}")))
            }
        }
    }

    /// Whether a program is bound to the card of a network device (`bpf_offload_dev_match`).
    pub(super) fn bound_to(&self, program: &ProgObject, ifindex: u32) -> bool {
        let card = self.card_of(ifindex).map(|(id, _)| id);
        program.bound.as_ref().is_some_and(|bound| bound.ifindex.is_some() && Some(bound.card) == card)
    }

    /// The device that something is bound to; nothing of an orphan.
    pub(super) fn device_info(&self, bound: Option<&Bound>) -> Option<DeviceInfo> {
        let bound = bound?;
        let card = self.cards.get(&bound.card)?;
        Some(DeviceInfo { ifindex: bound.ifindex?, card: card.name.clone() })
    }

    /// Whether an object is an orphan: it has no number, and nothing can be done with it but to let go of it.
    pub fn is_orphan(&self, object: Object) -> bool {
        let bound = match object {
            Object::Map(id) => self.maps.get(id).and_then(|map| map.bound.as_ref()),
            Object::Prog(id) => self.progs.get(id).and_then(|program| program.bound.as_ref()),
            Object::Link(_) | Object::Btf(_) => None,
        };
        bound.is_some_and(|bound| bound.ifindex.is_none())
    }
}

/// Maps that programs on a card use where they are (`bpf_map_offload_neutral`).
fn neutral(map: &Map) -> bool {
    map.spec().ty == MapType::PERF_EVENT_ARRAY
}
