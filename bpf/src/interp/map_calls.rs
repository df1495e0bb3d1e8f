//! What helpers do to the machine's maps beyond look-up, update and delete.

use super::machine::Machine;
use super::observer::{MapOp, MapOpKind};
use crate::errno::Errno;
use crate::helpers::CURRENT_CPU;
use crate::maps::{Drained, Holds, Linear, MapId, PerfRing, RingState};
use crate::memory::{Fault, FaultKind, RegionKind};
use crate::program::MapType;

impl Machine {
    fn operated(&mut self, map: MapId, kind: MapOpKind, ok: bool) {
        self.map_op = Some(MapOp { map, kind, ok });
    }

    pub fn map_push(&mut self, handle: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault> {
        let id = self.map_of(handle)?;
        let value = self.arena.slice(value, self.maps[id].spec().value_size)?.to_vec();
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let done = self.maps[id].push(&mut memory, &mut self.log, &value, flags);
        self.operated(id, MapOpKind::Push, done.is_ok());
        Ok(done)
    }

    pub fn map_pop(&mut self, handle: u64, to: u64, keep: bool) -> Result<Result<(), Errno>, Fault> {
        let id = self.map_of(handle)?;
        let size = self.maps[id].spec().value_size;
        // A bloom filter reads what is asked for; the others overwrite it.
        let mut value = self.arena.slice_mut(to, size)?.to_vec();
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let done = self.maps[id].pop(&mut memory, &mut self.log, &mut value, keep);
        self.operated(id, if keep { MapOpKind::Peek } else { MapOpKind::Pop }, done.is_ok());
        self.arena.slice_mut(to, size)?.copy_from_slice(&value);
        Ok(done)
    }

    pub fn map_target(&mut self, handle: u64, index: u32) -> Result<Option<u32>, Fault> {
        let id = self.map_of(handle)?;
        let map = &self.maps[id];
        if !matches!(map.kind().holds, Holds::Devices | Holds::Cpus | Holds::Sockets) || map.spec().key_size != 4 {
            return Err(Fault::of(FaultKind::BadMap));
        }
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let key = map.byte_order().bytes(index);
        let found = map.lookup(&mut memory, &mut self.log, 0, &key).map(|off| map.reference_at(&mut memory, off));
        self.operated(id, MapOpKind::Lookup, found.is_some());
        Ok(found)
    }

    /// What a slot of a cgroup array holds; the outer `None` for a slot that is out of range.
    pub fn cgroup_in(&mut self, handle: u64, slot: u32) -> Result<Option<Option<u32>>, Fault> {
        let id = self.map_of(handle)?;
        let map = &self.maps[id];
        if map.spec().ty != MapType::CGROUP_ARRAY {
            return Err(Fault::of(FaultKind::BadMap));
        }
        if slot >= map.spec().max_entries {
            return Ok(None);
        }
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let key = map.byte_order().bytes(slot);
        let found = map.lookup(&mut memory, &mut self.log, 0, &key).map(|off| map.reference_at(&mut memory, off));
        self.operated(id, MapOpKind::Lookup, found.is_some());
        Ok(Some(found))
    }

    pub fn ring_reserve(&mut self, handle: u64, len: u64) -> Result<u64, Fault> {
        let id = self.map_of(handle)?;
        let region = self.map_regions[id.0 as usize];
        let base = self.arena.region(region).base;
        let mut memory = Linear(self.arena.bytes_of_mut(region));
        let found = self.maps[id].ring_reserve(&mut memory, &mut self.log, len);
        self.operated(id, MapOpKind::Push, found.is_some());
        Ok(found.map_or(0, |off| u64::from(base + off)))
    }

    pub fn ring_commit(&mut self, record: u64, flags: u64, discard: bool) -> Result<(), Fault> {
        let region = self.arena.guard().region_at(record).copied();
        let Some((RegionKind::Map(id), region)) = region.map(|region| (region.kind, region)) else {
            return Err(Fault::of(FaultKind::BadMap));
        };
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let off = (record as u32).wrapping_sub(region.base);
        // Whether the reader is woken is no business of the program's.
        self.maps[id].ring_commit(&mut memory, &mut self.log, off, flags, discard);
        self.operated(id, MapOpKind::Commit, !discard);
        Ok(())
    }

    pub fn ring_state(&mut self, handle: u64) -> Result<RingState, Fault> {
        let id = self.map_of(handle)?;
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let state = self.maps[id].ring_state(&mut memory, &mut self.log).ok_or(Fault::of(FaultKind::BadMap))?;
        self.operated(id, MapOpKind::Peek, true);
        Ok(state)
    }

    /// Takes a ring that user space writes for draining.
    pub fn drain_begin(&mut self, handle: u64) -> Result<Result<MapId, Errno>, Fault> {
        let id = self.map_of(handle)?;
        if self.maps[id].spec().ty != MapType::USER_RINGBUF {
            return Err(Fault::of(FaultKind::BadMap));
        }
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let begun = self.maps[id].drain_begin(&mut memory, &mut self.log);
        self.operated(id, MapOpKind::Peek, begun.is_ok());
        Ok(begun.map(|()| id))
    }

    /// Goes on to the next record of such a ring ([`crate::maps::Map::drain_next`]): how many were passed over, its address and bytes.
    pub fn drain_next(&mut self, id: MapId, seen: Option<u32>, most: u64) -> (u64, Result<Option<(u64, u32)>, Errno>) {
        let region = self.map_regions[id.0 as usize];
        let base = self.arena.region(region).base;
        let mut memory = Linear(self.arena.bytes_of_mut(region));
        let Drained { passed, next } = self.maps[id].drain_next(&mut memory, &mut self.log, seen, most);
        self.operated(id, MapOpKind::Pop, matches!(next, Ok(Some(_))));
        (passed, next.map(|found| found.map(|(off, len)| (u64::from(base + off), len))))
    }

    /// Writes a record to the ring whose event stands in a slot of an event array. The slot of a ring is that of the
    /// processor it belongs to: an event of another processor takes no record.
    pub fn perf_output(
        &mut self,
        cpu: u32,
        handle: u64,
        index: u32,
        (data, size): (u64, u64),
        packet: u32,
    ) -> Result<Result<(), Errno>, Fault> {
        let id = self.map_of(handle)?;
        let map = &self.maps[id];
        if map.kind().holds != Holds::Events {
            return Err(Fault::of(FaultKind::BadMap));
        }
        let index = if index == CURRENT_CPU { cpu } else { index };
        if index >= map.spec().max_entries {
            return Ok(Err(Errno::E2BIG));
        }
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let key = map.byte_order().bytes(index);
        let event = map.lookup(&mut memory, &mut self.log, cpu, &key).map(|off| map.reference_at(&mut memory, off));
        self.operated(id, MapOpKind::Lookup, event.is_some());
        let Some(event) = event else { return Ok(Err(Errno::ENOENT)) };
        let mut record = self.arena.slice(data, u32::try_from(size).unwrap_or(u32::MAX))?.to_vec();
        record.extend_from_slice(&self.packet_bytes()[..packet.min(self.packet_len) as usize]);
        let Some(ring) = self.perf_rings.get_mut(event as usize - 1) else { return Ok(Err(Errno::ENOENT)) };
        if ring.cpu() != cpu {
            return Ok(Err(Errno::EOPNOTSUPP));
        }
        Ok(ring.write(&record))
    }

    /// Opens a ring for a processor and returns the number of its event.
    pub fn open_perf(&mut self, ring: PerfRing) -> u32 {
        self.perf_rings.push(ring);
        self.perf_rings.len() as u32
    }
}
