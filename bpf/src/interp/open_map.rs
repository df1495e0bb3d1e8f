//! A device's maps as user space reaches them, and the objects that maps may refer to.

use std::sync::Arc;

use super::decode::Code;
use crate::errno::Errno;
use crate::maps::{AccessLog, BPF_ANY, Holds, Linear, Map, MapId, MapSet, References};
use crate::program::{Attach, ProgId, ProgType};

/// What numbers in maps stand for: the engine's maps and programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Objects<'a> {
    pub maps: &'a MapSet,
    pub programs: &'a [Arc<Code>],
    /// The type that the map at hand belongs to.
    pub owner: Option<ProgType>,
}

impl Objects<'_> {
    /// The type of a program.
    fn type_of(&self, id: ProgId) -> Option<ProgType> {
        self.programs.get(id.0 as usize).map(|code| code.prog_type())
    }
}

impl References for Objects<'_> {
    fn map(&self, id: MapId) -> Option<&Map> {
        self.maps.get(id)
    }

    fn program(&self, map: &Map, number: u32) -> Result<(), Errno> {
        let code = ProgId::from_reference(number).and_then(|id| self.programs.get(id.0 as usize));
        let code = code.ok_or(Errno::EBADF)?;
        // What an entry of a device or processor map runs was loaded for that.
        let place = match map.kind().holds {
            Holds::Devices => Some(Attach::XdpDevmap),
            Holds::Cpus => Some(Attach::XdpCpumap),
            _ => None,
        };
        if let Some(place) = place {
            let fits = code.prog_type() == ProgType::Xdp && code.attach() == place;
            return if fits { Ok(()) } else { Err(Errno::EINVAL) };
        }
        let ty = code.prog_type();
        // `bpf_prog_map_compatible`: all programs of an array are of one type, which the first decides.
        if self.owner.is_none_or(|owner| owner == ty) { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// A map of an engine, open for user space's operations. The accesses of the last one are in [`OpenMap::log`].
#[derive(Debug)]
pub struct OpenMap<'a> {
    pub(super) map: &'a Map,
    pub(super) objects: Objects<'a>,
    /// The type of programs that the map has taken, if it is of those that do.
    pub(super) owner: &'a mut Option<ProgType>,
    pub(super) memory: Linear<'a>,
    pub(super) log: &'a mut AccessLog,
}

impl OpenMap<'_> {
    /// The map's definition and kind.
    pub fn definition(&self) -> &Map {
        self.map
    }

    /// `BPF_MAP_LOOKUP_ELEM`; see [`Map::user_lookup`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.map.user_lookup(&mut self.memory, self.log, key, 0)
    }

    /// The same with flags.
    ///
    /// # Errors
    /// Linux's number.
    pub fn lookup_with(&mut self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        self.map.user_lookup(&mut self.memory, self.log, key, flags)
    }

    /// `BPF_MAP_UPDATE_ELEM`; see [`Map::user_update`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.map.user_update(&mut self.memory, self.log, &self.objects, key, value, flags)?;
        if self.owner.is_none() && self.map.kind().holds == Holds::Programs {
            let number = self.map.user_number(value);
            *self.owner = number.and_then(ProgId::from_reference).and_then(|id| self.objects.type_of(id));
            self.objects.owner = *self.owner;
        }
        Ok(())
    }

    /// Puts a program into a slot of a program array, or empties the slot. A run that is under way sees one or the other.
    ///
    /// # Errors
    /// Linux's number: `E2BIG` for a slot that is not there, `EINVAL` for a program of another type than the map's others
    /// and for a map of another kind, `ENOENT` for emptying an empty slot.
    pub fn set_program(&mut self, slot: u32, program: Option<ProgId>) -> Result<(), Errno> {
        if self.map.kind().holds != Holds::Programs {
            return Err(Errno::EINVAL);
        }
        let order = self.map.byte_order();
        match program {
            Some(program) => self.update(&order.bytes(slot), &order.bytes(program.reference()), BPF_ANY),
            None => self.delete(&order.bytes(slot)),
        }
    }

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// Linux's number.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        self.map.user_delete(&mut self.memory, self.log, key)
    }

    /// `BPF_MAP_GET_NEXT_KEY`; see [`Map::user_next_key`].
    ///
    /// # Errors
    /// Linux's number; `ENOENT` at the end.
    pub fn next_key(&mut self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.map.user_next_key(&mut self.memory, self.log, key, next)
    }

    /// `BPF_MAP_LOOKUP_ELEM` of a kind without keys; see [`Map::user_peek`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn peek(&mut self, value: &[u8]) -> Result<Vec<u8>, Errno> {
        self.map.user_peek(&mut self.memory, self.log, value)
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`; see [`Map::user_take`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn take(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.map.user_take(&mut self.memory, self.log, key, 0)
    }

    /// The next record of a ring buffer; see [`Map::ring_read`].
    pub fn ring_read(&mut self) -> Option<Vec<u8>> {
        self.map.ring_read(&mut self.memory, self.log)
    }

    /// A record for the programs that drain the ring; see [`Map::user_ring_write`].
    ///
    /// # Errors
    /// libbpf's number.
    pub fn ring_write(&mut self, record: &[u8], discard: bool) -> Result<(), Errno> {
        self.map.user_ring_write(&mut self.memory, self.log, record, discard)
    }

    /// All keys and values, in the map's order.
    pub fn entries(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.map.user_entries(&mut self.memory)
    }

    /// The accesses of the last operation.
    pub fn log(&self) -> &AccessLog {
        self.log
    }
}
