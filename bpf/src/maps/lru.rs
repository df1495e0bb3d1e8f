//! Which entry of a full LRU map goes: Linux's lists (kernel/bpf/bpf_lru_list.c), step by step, so that the same sequence
//! of operations on the same processors evicts the same keys.
//!
//! Entries in use stand in an active and an inactive list; a look-up by a program only sets the entry's reference mark. When
//! room is needed the lists rotate: a marked entry goes (back) to the active list and loses its mark, an unmarked one of the
//! active list becomes inactive if there are more active ones, and inactive ones without mark are evicted from the far end.
//!
//! * One list for all processors: each processor keeps a stock of free entries and the entries it filled since the stock
//!   was last renewed (pending). Renewal moves the pending ones to the common lists and takes up to 128 free ones, evicting
//!   where none are left. A processor that gets none takes from the stocks, then the pending entries, of the others.
//! * `BPF_F_NO_COMMON_LRU`: each processor has lists of its own and an equal share of the entries.
//!
//! ```text
//! header  lists[1 or cpus]  active, inactive, free: first, last; how many active, inactive; where rotation goes on;
//!                           lock; entries ever taken           48 bytes
//!         local[cpus]       free, pending: first, last; next to take from; lock    24 bytes (common lists only)
//! entry   next, hash, previous, following, kind and processor, mark    24 bytes, then key and value
//! ```

use super::hash_table::{self, HEADER, Shape, Variant, lock, unlock};
use super::{BPF_F_NO_COMMON_LRU, Map, Tape};
use crate::errno::Errno;
use crate::program::MapSpec;

/// Bytes of an entry before its key.
pub(super) const HEAD: u32 = 24;
const PREV: u32 = 8;
const NEXT: u32 = 12;
const STATE: u32 = 16;
const MARK: u32 = 20;

const LISTS: u32 = 48;
const LOCAL: u32 = 24;
const COUNT: u32 = 24;
const ROTATION: u32 = 32;
const LIST_LOCK: u32 = 36;
const TAKEN: u32 = 40;
const STEAL: u32 = 16;
const LOCAL_LOCK: u32 = 20;

/// Most free entries a processor takes at a time from the common list, and entries looked at in a rotation there.
const LOCAL_TARGET: u32 = 128;
/// The same for lists of one processor.
const OWN_TARGET: u32 = 4;

/// In which list an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Active,
    Inactive,
    Free,
    LocalFree,
    Pending,
}

const KINDS: [Kind; 5] = [Kind::Active, Kind::Inactive, Kind::Free, Kind::LocalFree, Kind::Pending];

/// The table of an LRU map with its lists.
pub(super) struct Lru<'m> {
    map: &'m Map,
    pub shape: Shape,
    common: bool,
}

/// The definition's variant of the hash table.
pub(super) fn variant(spec: &MapSpec, cpus: u32, per_cpu_values: bool) -> Variant {
    let lists = if common(spec) { LISTS + cpus * LOCAL } else { cpus * LISTS };
    Variant { header: HEADER + lists, head: HEAD, extra: 0, cpus: if per_cpu_values { cpus } else { 0 } }
}

fn common(spec: &MapSpec) -> bool {
    spec.flags & BPF_F_NO_COMMON_LRU == 0
}

/// Entries that Linux makes of `max_entries`: the same number for each processor, where each has lists of its own.
pub(super) fn rounded_entries(spec: &MapSpec, cpus: u32) -> u32 {
    match (common(spec), spec.max_entries.checked_next_multiple_of(cpus.max(1))) {
        (true, _) => spec.max_entries,
        (false, Some(up)) => up,
        (false, None) => spec.max_entries / cpus.max(1) * cpus.max(1),
    }
}

/// Marks an entry as used.
pub(super) fn mark(tape: &mut Tape<'_>, entry: u32) {
    if tape.follow_u32(entry + MARK) == 0 {
        tape.write_u32(entry + MARK, 1, true);
    }
}

impl<'m> Lru<'m> {
    pub fn of(map: &'m Map, per_cpu_values: bool) -> Self {
        let shape = Shape::of(map.spec(), variant(map.spec(), map.cpus(), per_cpu_values));
        Lru { map, shape, common: common(map.spec()) }
    }

    fn target(&self) -> u32 {
        if self.common { (self.shape.total / self.map.cpus().max(1) / 2).clamp(1, LOCAL_TARGET) } else { OWN_TARGET }
    }

    fn scans(&self) -> u32 {
        if self.common { LOCAL_TARGET } else { OWN_TARGET }
    }

    /// The lists a processor uses.
    fn lists(&self, cpu: u32) -> u32 {
        HEADER + if self.common { 0 } else { cpu * LISTS }
    }

    fn local(&self, cpu: u32) -> u32 {
        HEADER + LISTS + cpu * LOCAL
    }

    /// Offset of the first and last entry of a list.
    fn list(&self, cpu: u32, kind: Kind) -> u32 {
        match kind {
            Kind::Active | Kind::Inactive | Kind::Free => self.lists(cpu) + 8 * kind as u32,
            Kind::LocalFree => self.local(cpu),
            Kind::Pending => self.local(cpu) + 8,
        }
    }

    /// An entry's list and processor.
    fn state(&self, tape: &mut Tape<'_>, entry: u32) -> (Kind, u32) {
        let word = tape.follow_u32(entry + STATE);
        let kind = KINDS.get((word & 0xff) as usize).copied().unwrap_or(Kind::Free);
        (kind, (word >> 8).min(self.map.cpus().saturating_sub(1)))
    }

    /// Takes an entry out of its list.
    fn detach(&self, tape: &mut Tape<'_>, entry: u32, list: u32) {
        let (prev, next) = (tape.follow_u32(entry + PREV), tape.follow_u32(entry + NEXT));
        let before = self.shape.entry(prev).map_or(list, |off| off + NEXT);
        tape.write_u32(before, next, true);
        let after = self.shape.entry(next).map_or(list + 4, |off| off + PREV);
        tape.write_u32(after, prev, true);
    }

    /// Puts an entry at the front of a list, without its mark.
    fn push(&self, tape: &mut Tape<'_>, link: u32, entry: u32, kind: Kind, cpu: u32) {
        let list = self.list(cpu, kind);
        let first = tape.read_u32(list);
        tape.write_u32(entry + PREV, 0, true);
        tape.write_u32(entry + NEXT, first, true);
        tape.write_u32(entry + STATE, kind as u32 | cpu << 8, true);
        tape.write_u32(entry + MARK, 0, true);
        let after = self.shape.entry(first).map_or(list + 4, |off| off + PREV);
        tape.write_u32(after, link, true);
        tape.write_u32(list, link, false);
    }

    fn count(&self, tape: &mut Tape<'_>, cpu: u32, kind: Kind, by: i32) {
        if matches!(kind, Kind::Active | Kind::Inactive) {
            let off = self.lists(cpu) + COUNT + 4 * kind as u32;
            let was = tape.read_u32(off);
            tape.write_u32(off, was.wrapping_add_signed(by), false);
        }
    }

    /// Moves an entry between lists; rotation goes on before it if it was to go on there.
    fn shift(&self, tape: &mut Tape<'_>, link: u32, to: Kind, to_cpu: u32) {
        let Some(entry) = self.shape.entry(link) else { return };
        let (from, cpu) = self.state(tape, entry);
        if from != to {
            self.count(tape, cpu, from, -1);
            self.count(tape, cpu, to, 1);
        }
        let rotation = self.lists(cpu) + ROTATION;
        if tape.read_u32(rotation) == link {
            let before = tape.follow_u32(entry + PREV);
            tape.write_u32(rotation, before, false);
        }
        let list = self.list(cpu, from);
        self.detach(tape, entry, list);
        self.push(tape, link, entry, to, to_cpu);
    }

    fn marked(&self, tape: &mut Tape<'_>, link: u32) -> bool {
        self.shape.entry(link).is_some_and(|entry| tape.follow_u32(entry + MARK) != 0)
    }

    fn before(&self, tape: &mut Tape<'_>, link: u32) -> u32 {
        self.shape.entry(link).map_or(0, |entry| tape.follow_u32(entry + PREV))
    }

    /// Up to `most` entries from a list's end on, each with the one before it read first, while `visit` says so.
    fn backwards(&self, tape: &mut Tape<'_>, list: u32, most: u32, mut visit: impl FnMut(&mut Tape<'_>, u32) -> bool) {
        let mut link = tape.read_u32(list + 4);
        for _ in 0..most {
            if self.shape.entry(link).is_none() {
                return;
            }
            let before = self.before(tape, link);
            if !visit(tape, link) {
                return;
            }
            link = before;
        }
    }

    fn rotate(&self, tape: &mut Tape<'_>, cpu: u32) {
        let lists = self.lists(cpu);
        if tape.read_u32(lists + COUNT + 4) < tape.read_u32(lists + COUNT) {
            let active = self.list(cpu, Kind::Active);
            let first = tape.read_u32(active);
            self.backwards(tape, active, self.scans(), |tape, link| {
                let to = if self.marked(tape, link) { Kind::Active } else { Kind::Inactive };
                self.shift(tape, link, to, cpu);
                link != first
            });
        }
        self.rotate_inactive(tape, cpu);
    }

    fn rotate_inactive(&self, tape: &mut Tape<'_>, cpu: u32) {
        let (list, rotation) = (self.list(cpu, Kind::Inactive), self.lists(cpu) + ROTATION);
        if tape.read_u32(list) == 0 {
            return;
        }
        let mut at = tape.read_u32(rotation);
        // 0 stands for the list itself: behind it is its first entry, before it its last.
        let behind = self.shape.entry(at).map(|entry| tape.follow_u32(entry + NEXT)).unwrap_or(0);
        let last = if behind == 0 { tape.read_u32(list) } else { behind };
        let (mut seen, mut following, mut steps) = (0, 0, 0);
        while seen < self.scans() && steps < 2 * self.scans() {
            steps += 1;
            if self.shape.entry(at).is_none() {
                at = tape.read_u32(list + 4);
                continue;
            }
            following = self.before(tape, at);
            if self.marked(tape, at) {
                self.shift(tape, at, Kind::Active, cpu);
            }
            if at == last {
                break;
            }
            at = following;
            seen += 1;
        }
        tape.write_u32(rotation, following, false);
    }

    /// Takes an entry out of the table; `false` if it was not in it.
    fn evict(&self, tape: &mut Tape<'_>, link: u32) -> bool {
        let Some(entry) = self.shape.entry(link) else { return false };
        let hash = tape.follow_u32(entry + 4);
        let bucket = self.shape.bucket(hash);
        lock(tape, bucket);
        let found = hash_table::walk_to(tape, &self.shape, bucket, link);
        if let Some(found) = &found {
            hash_table::unlink(tape, bucket, found);
            hash_table::free_timer(tape, self.map, &self.shape, entry);
        }
        unlock(tape, bucket);
        found.is_some()
    }

    /// Evicts up to `wanted` entries to a free list.
    fn shrink(&self, tape: &mut Tape<'_>, cpu: u32, wanted: u32, to: Kind) {
        let mut shrunk = 0;
        let inactive = self.list(cpu, Kind::Inactive);
        self.backwards(tape, inactive, self.scans(), |tape, link| {
            if self.marked(tape, link) {
                self.shift(tape, link, Kind::Active, cpu);
            } else if self.evict(tape, link) {
                self.shift(tape, link, to, cpu);
                shrunk += 1;
            }
            shrunk < wanted
        });
        if shrunk > 0 {
            return;
        }
        // All that was looked at is in use: the oldest goes nevertheless.
        let list = if tape.read_u32(inactive) != 0 { inactive } else { self.list(cpu, Kind::Active) };
        self.backwards(tape, list, self.shape.total, |tape, link| {
            let evicted = self.evict(tape, link);
            if evicted {
                self.shift(tape, link, to, cpu);
            }
            !evicted
        });
    }

    /// An entry that no map operation has used yet, of those `cpu` may use.
    fn untouched(&self, tape: &mut Tape<'_>, cpu: u32) -> Option<u32> {
        let share = if self.common { self.shape.total } else { self.shape.total / self.map.cpus().max(1) };
        let first = if self.common { 0 } else { cpu * share };
        let off = self.lists(cpu) + TAKEN;
        let taken = tape.read_u32(off);
        (taken < share).then(|| {
            tape.write_u32(off, taken + 1, false);
            first + taken + 1
        })
    }

    /// Renews a processor's stock of free entries from the common lists.
    fn renew(&self, tape: &mut Tape<'_>, cpu: u32) {
        let lists = self.lists(cpu);
        tape.atomic::<1>(lists + LIST_LOCK, false, |_| [1]);
        let pending = self.list(cpu, Kind::Pending);
        self.backwards(tape, pending, self.shape.total, |tape, link| {
            let to = if self.marked(tape, link) { Kind::Active } else { Kind::Inactive };
            if let Some(entry) = self.shape.entry(link) {
                self.detach(tape, entry, pending);
                self.count(tape, cpu, to, 1);
                self.push(tape, link, entry, to, cpu);
            }
            true
        });
        self.rotate(tape, cpu);
        let (free, target) = (self.list(cpu, Kind::Free), self.target());
        let mut got = 0;
        while got < target {
            let link = tape.read_u32(free);
            if link != 0 {
                self.shift(tape, link, Kind::LocalFree, cpu);
            } else if let Some(link) = self.untouched(tape, cpu) {
                if let Some(entry) = self.shape.entry(link) {
                    self.push(tape, link, entry, Kind::LocalFree, cpu);
                }
            } else {
                break;
            }
            got += 1;
        }
        if got < target {
            self.shrink(tape, cpu, target - got, Kind::LocalFree);
        }
        tape.write_u32(lists + LIST_LOCK, 0, false);
    }

    fn pop_local(&self, tape: &mut Tape<'_>, cpu: u32) -> Option<u32> {
        let list = self.list(cpu, Kind::LocalFree);
        let link = tape.read_u32(list);
        let entry = self.shape.entry(link)?;
        self.detach(tape, entry, list);
        Some(link)
    }

    fn pop_pending(&self, tape: &mut Tape<'_>, cpu: u32) -> Option<u32> {
        let (list, mut found) = (self.list(cpu, Kind::Pending), None);
        for force in [false, true] {
            self.backwards(tape, list, self.shape.total, |tape, link| {
                if (force || !self.marked(tape, link)) && self.evict(tape, link) {
                    found = Some(link);
                }
                found.is_none()
            });
            if let Some(entry) = found.and_then(|link| self.shape.entry(link)) {
                self.detach(tape, entry, list);
                return found;
            }
        }
        None
    }

    /// An entry for a new key of that hash, which evicts another if there is no free one. It stands in a list, not in the
    /// table.
    pub fn pop(&self, tape: &mut Tape<'_>, cpu: u32, hash: u32) -> Option<u32> {
        let link = if self.common { self.pop_common(tape, cpu) } else { self.pop_own(tape, cpu) }?;
        tape.write_u32(self.shape.entry(link)? + 4, hash, true);
        Some(link)
    }

    fn pop_own(&self, tape: &mut Tape<'_>, cpu: u32) -> Option<u32> {
        let lists = self.lists(cpu);
        tape.atomic::<1>(lists + LIST_LOCK, false, |_| [1]);
        self.rotate(tape, cpu);
        let free = self.list(cpu, Kind::Free);
        let mut link = tape.read_u32(free);
        let untouched = if link == 0 { self.untouched(tape, cpu) } else { None };
        if let Some((link, entry)) = untouched.and_then(|link| Some((link, self.shape.entry(link)?))) {
            self.count(tape, cpu, Kind::Inactive, 1);
            self.push(tape, link, entry, Kind::Inactive, cpu);
            tape.write_u32(lists + LIST_LOCK, 0, false);
            return Some(link);
        }
        if link == 0 {
            self.shrink(tape, cpu, OWN_TARGET, Kind::Free);
            link = tape.read_u32(free);
        }
        self.shift(tape, link, Kind::Inactive, cpu);
        tape.write_u32(lists + LIST_LOCK, 0, false);
        (link != 0).then_some(link)
    }

    fn pop_common(&self, tape: &mut Tape<'_>, cpu: u32) -> Option<u32> {
        let local = self.local(cpu);
        tape.atomic::<1>(local + LOCAL_LOCK, false, |_| [1]);
        let mut found = self.pop_local(tape, cpu);
        if found.is_none() {
            self.renew(tape, cpu);
            found = self.pop_local(tape, cpu);
        }
        if found.is_none() {
            let cpus = self.map.cpus();
            let first = tape.read_u32(local + STEAL).min(cpus - 1);
            let mut from = first;
            loop {
                found = self.pop_local(tape, from).or_else(|| self.pop_pending(tape, from));
                from = (from + 1) % cpus;
                if found.is_some() || from == first {
                    break;
                }
            }
            tape.write_u32(local + STEAL, from, false);
        }
        if let Some((link, entry)) = found.and_then(|link| Some((link, self.shape.entry(link)?))) {
            self.push(tape, link, entry, Kind::Pending, cpu);
        }
        tape.write_u32(local + LOCAL_LOCK, 0, false);
        found
    }

    /// Gives back an entry that is no longer in the table.
    pub fn give(&self, tape: &mut Tape<'_>, link: u32) {
        let Some(entry) = self.shape.entry(link) else { return };
        hash_table::free_timer(tape, self.map, &self.shape, entry);
        let (kind, cpu) = self.state(tape, entry);
        match kind {
            Kind::Free | Kind::LocalFree => {}
            Kind::Pending => {
                let list = self.list(cpu, Kind::Pending);
                self.detach(tape, entry, list);
                self.push(tape, link, entry, Kind::LocalFree, cpu);
            }
            Kind::Active | Kind::Inactive => self.shift(tape, link, Kind::Free, cpu),
        }
    }

    /// Removes a key.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove(&self, tape: &mut Tape<'_>, hash: u32, key: &[u8]) -> Result<(), Errno> {
        let link = hash_table::change(tape, &self.shape, hash, key, |tape, held| {
            let found = held.old.ok_or(Errno::ENOENT)?;
            hash_table::unlink(tape, held.bucket, &found);
            Ok(found.link)
        })?;
        self.give(tape, link);
        Ok(())
    }
}
