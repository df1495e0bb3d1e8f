//! Timers in map values: which are set, and what runs when one is due.
//!
//! A timer that is initialised has a number, which stands in its field of the value; so it is gone as soon as the map clears
//! the field, as it does when the value is replaced or the entry goes. Time is whoever's who asks for what is due.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::Code;
use super::machine::Machine;
use crate::errno::Errno;
use crate::maps::MapId;
use crate::memory::{Fault, FaultKind, RegionKind};
use crate::program::MapType;

/// How many timers there may be before those that are gone are swept out; doubled where that many are in use.
const SWEEP: usize = 1024;

/// The timers of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    /// The number given last.
    last: u64,
    timers: BTreeMap<u64, Timer>,
    /// Those that are running: when each is due.
    due: BTreeSet<(u64, u64)>,
    /// The one whose function runs.
    calling: Option<u64>,
    sweep_at: usize,
}

#[derive(Debug, Clone)]
struct Timer {
    map: MapId,
    /// What a wide load of the map gives.
    handle: u64,
    /// Offset of the value in the map's region.
    value: u32,
    function: Option<(Code, usize)>,
    due: Option<u64>,
}

/// A timer that is due.
pub(super) struct Fired {
    pub code: Code,
    /// Operation that the function begins at.
    pub target: usize,
    /// When it was due, in nanoseconds.
    pub at: u64,
    map: MapId,
    handle: u64,
    value: u32,
}

/// A timer's field: its map, the offset of its value in the map's region, and the number in it.
struct Place {
    map: MapId,
    value: u32,
    number: u64,
}

impl Timers {
    fn stop(&mut self, number: u64) -> bool {
        let due = self.timers.get_mut(&number).and_then(|timer| timer.due.take());
        due.is_some_and(|due| self.due.remove(&(due, number)))
    }

    /// The function of the timer that was due has returned.
    pub fn returned(&mut self) {
        self.calling = None;
    }
}

impl Machine {
    fn timer_place(&mut self, address: u64) -> Result<Place, Fault> {
        let bad = Fault::of(FaultKind::BadMap);
        let region = self.arena.guard().region_at(address).copied().ok_or(bad)?;
        let RegionKind::Map(map) = region.kind else { return Err(bad) };
        let at = self.maps[map].spec().fields.timer.ok_or(bad)?;
        let value = (address as u32).wrapping_sub(region.base).checked_sub(at).ok_or(bad)?;
        let field: [u8; 8] = self.arena.slice(address, 8)?.try_into().expect("eight bytes were asked for");
        Ok(Place { map, value, number: u64::from_le_bytes(field) })
    }

    /// The number of the timer at an address, if it is initialised.
    fn timer_at(&mut self, address: u64) -> Result<Option<u64>, Fault> {
        let Place { map, value, number } = self.timer_place(address)?;
        let own = |timer: &Timer| timer.map == map && timer.value == value;
        Ok(self.timers.timers.get(&number).is_some_and(own).then_some(number))
    }

    /// Whether a timer's field still holds its number.
    fn timer_lives(&self, number: u64, timer: &Timer) -> bool {
        let field = self.maps[timer.map].spec().fields.timer.unwrap_or(0) as usize;
        let region = self.arena.bytes_of(self.map_regions[timer.map.0 as usize]);
        let at = timer.value as usize + field;
        region.get(at..at + 8) == Some(&number.to_le_bytes()[..])
    }

    fn sweep_timers(&mut self) {
        if self.timers.timers.len() < self.timers.sweep_at.max(SWEEP) {
            return;
        }
        let gone: Vec<u64> =
            self.timers.timers.iter().filter(|(n, t)| !self.timer_lives(**n, t)).map(|(n, _)| *n).collect();
        for number in gone {
            self.timers.stop(number);
            self.timers.timers.remove(&number);
        }
        self.timers.sweep_at = 2 * self.timers.timers.len();
    }

    pub fn timer_init(&mut self, address: u64, handle: u64) -> Result<Result<(), Errno>, Fault> {
        let map = self.map_of(handle)?;
        let place = self.timer_place(address)?;
        if map != place.map {
            return Err(Fault::of(FaultKind::BadMap));
        }
        if self.timer_at(address)?.is_some() {
            return Ok(Err(Errno::EBUSY));
        }
        self.sweep_timers();
        self.timers.last += 1;
        let number = self.timers.last;
        self.arena.slice_mut(address, 8)?.copy_from_slice(&number.to_le_bytes());
        let timer = Timer { map, handle, value: place.value, function: None, due: None };
        self.timers.timers.insert(number, timer);
        Ok(Ok(()))
    }

    pub fn timer_call(&mut self, address: u64, code: &Code, target: usize) -> Result<Result<(), Errno>, Fault> {
        let number = self.timer_at(address)?;
        let Some(timer) = number.and_then(|number| self.timers.timers.get_mut(&number)) else {
            return Ok(Err(Errno::EINVAL));
        };
        timer.function = Some((code.clone(), target));
        Ok(Ok(()))
    }

    pub fn timer_start(&mut self, address: u64, due: u64) -> Result<Result<(), Errno>, Fault> {
        let Some(number) = self.timer_at(address)? else { return Ok(Err(Errno::EINVAL)) };
        self.timers.stop(number);
        match self.timers.timers.get_mut(&number) {
            Some(timer) if timer.function.is_some() => timer.due = Some(due),
            _ => return Ok(Err(Errno::EINVAL)),
        }
        self.timers.due.insert((due, number));
        Ok(Ok(()))
    }

    /// Stops a timer and forgets its function: whether it was running.
    pub fn timer_cancel(&mut self, address: u64) -> Result<Result<bool, Errno>, Fault> {
        let Some(number) = self.timer_at(address)? else { return Ok(Err(Errno::EINVAL)) };
        if self.timers.calling == Some(number) {
            return Ok(Err(Errno::EDEADLK));
        }
        let ran = self.timers.stop(number);
        if let Some(timer) = self.timers.timers.get_mut(&number) {
            timer.function = None;
        }
        Ok(Ok(ran))
    }

    /// When the next timer is due, if any is running. It may be one that is gone.
    pub fn next_timer(&self) -> Option<u64> {
        self.timers.due.first().map(|(due, _)| *due)
    }

    /// Takes the first timer that is due by `now`.
    pub fn take_timer(&mut self, now: u64) -> Option<Fired> {
        while let Some((at, number)) = self.timers.due.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.stop(number);
            let Some(timer) = self.timers.timers.get(&number) else { continue };
            if !self.timer_lives(number, timer) {
                self.timers.timers.remove(&number);
                continue;
            }
            let &Timer { map, handle, value, ref function, .. } = timer;
            let Some((code, target)) = function.clone() else { continue };
            self.timers.calling = Some(number);
            return Some(Fired { code, target, at, map, handle, value });
        }
        None
    }

    /// R1 to R3 of the function of a timer: its map, the key of its value, the value.
    pub fn timer_arguments(&mut self, fired: &Fired) -> Option<[u64; 3]> {
        let region = self.map_regions[fired.map.0 as usize];
        let spec = self.maps[fired.map].spec();
        let elements = self.maps[fired.map].elements();
        let key = match spec.ty {
            MapType::ARRAY => {
                let index = fired.value.checked_sub(elements.first)? / elements.stride.max(1);
                self.byte_order.bytes(index).to_vec()
            }
            // Of a hash, the key stands before the value, in a multiple of eight bytes.
            _ => {
                let from = fired.value.checked_sub(spec.key_size.next_multiple_of(8))? as usize;
                self.arena.bytes_of(region).get(from..from + spec.key_size as usize)?.to_vec()
            }
        };
        let level = self.begin_walk()?;
        let key = self.show_key(level, &key);
        Some([fired.handle, key, u64::from(self.arena.region(region).base + fired.value)])
    }
}
