//! What user space does to maps: the commands of bpf(2), with Linux's checks in Linux's order (kernel/bpf/syscall.c).
//!
//! Values of per-CPU kinds are those of all processors, each rounded to 8 bytes. Where a kind holds references they are
//! numbers ([`super::References`]).

use super::map::round8;
use super::{
    AccessLog, BPF_ANY, BPF_EXIST, BPF_F_LOCK, BPF_F_RDONLY, BPF_F_WRONLY, BPF_NOEXIST, Holds, Map, MapMemory,
    References, Side, Tape, UserLookup, admit, array, ports,
};
use crate::errno::Errno;
use crate::program::MapType;

/// What a command does to a map's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    ReadAndWrite,
}

impl Map {
    /// Bytes that one value takes for user space: of all processors, each rounded to 8, for per-CPU kinds.
    pub fn user_value_size(&self) -> usize {
        match self.kind().per_cpu {
            true => round8(self.spec().value_size) as usize * self.cpus() as usize,
            false => self.spec().value_size as usize,
        }
    }

    /// Whether the flags of creation, and freezing, leave user space that access.
    pub(super) fn permit(&self, access: Access) -> Result<(), Errno> {
        let read = self.spec().flags & BPF_F_WRONLY == 0;
        let write = self.spec().flags & BPF_F_RDONLY == 0 && !self.frozen();
        let good = match access {
            Access::Read => read,
            Access::Write => write,
            Access::ReadAndWrite => read && write,
        };
        if good { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// `BPF_MAP_FREEZE`: user space may write no more.
    ///
    /// # Errors
    /// `ENOTSUPP` where values hold locks or timers; `EPERM` if user space may not write, or no more.
    pub fn freeze(&mut self) -> Result<(), Errno> {
        if self.spec().fields.any() {
            return Err(Errno::ENOTSUPP);
        }
        self.permit(Access::Write)?;
        self.set_frozen();
        Ok(())
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    ///
    /// # Errors
    /// `ENOENT` where there is none; `EINVAL` for a key of another length or flags that need a lock the value has not;
    /// `EPERM`; what the kind refuses.
    pub fn user_lookup(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        key: &[u8],
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        self.may_look_up(Access::Read, key, flags)?;
        self.value_of(mem, log, key)
    }

    /// What Linux checks of a look-up by key, in its order.
    fn may_look_up(&self, access: Access, key: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.permit(access)?;
        self.check_lock(flags)?;
        self.check_key(key)
    }

    /// What a look-up finds, whoever may ask.
    pub(super) fn value_of(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, key: &[u8]) -> Result<Vec<u8>, Errno> {
        match self.kind().user_lookup {
            UserLookup::Refused(errno) => return Err(errno),
            UserLookup::Peek => return self.user_peek(mem, log, &vec![0; self.spec().value_size as usize]),
            UserLookup::Value => {}
        }
        let mut value = vec![0; self.user_value_size()];
        let (slots, slot) = self.user_slots();
        let len = if self.kind().per_cpu { slot } else { value.len() };
        for cpu in 0..slots {
            let found = self.kind().ops.find(self, &mut Tape::new(mem, log), cpu, key);
            // Sockets are shown as 8 bytes or not at all.
            if self.kind().holds == Holds::Sockets && value.len() != 8 {
                return Err(Errno::ENOSPC);
            }
            mem.read(found.ok_or(Errno::ENOENT)?, &mut value[cpu as usize * slot..][..len]);
        }
        // Locks and timers are the kernel's own.
        self.spec().fields.clear(&mut value);
        Ok(value)
    }

    /// The same for kinds without keys: the value that would be popped; of a bloom filter, whether `value` may be in it.
    ///
    /// # Errors
    /// As [`Map::user_lookup`]; `EOPNOTSUPP` for kinds with keys.
    pub fn user_peek(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, value: &[u8]) -> Result<Vec<u8>, Errno> {
        self.permit(Access::Read)?;
        let queue = self.kind().queue.ok_or(Errno::EOPNOTSUPP)?;
        let mut value = self.checked_value(value)?.to_vec();
        queue.peek(self, &mut Tape::new(mem, log), &mut value)?;
        Ok(value)
    }

    fn checked_value<'v>(&self, value: &'v [u8]) -> Result<&'v [u8], Errno> {
        if value.len() == self.user_value_size() { Ok(value) } else { Err(Errno::EINVAL) }
    }

    /// `BPF_MAP_UPDATE_ELEM`: as [`Map::update`], but for per-CPU kinds `value` holds those of all processors, and kinds
    /// that hold references take numbers that `refs` admits. Kinds without keys take the value in.
    ///
    /// # Errors
    /// Linux's number; `EINVAL` for a key or value of another length.
    pub fn user_update(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        refs: &dyn References,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        self.permit(Access::Write)?;
        // The system call looks for a spin lock before the map does.
        self.check_lock(flags)?;
        self.check_key(key)?;
        let value = self.checked_value(value)?;
        let mut tape = Tape::new(mem, log);
        if let Some(queue) = self.kind().queue {
            return queue.push(self, &mut tape, value, flags);
        }
        self.check_before_reference(&mut tape, key, value, flags)?;
        admit(self, refs, value)?;
        self.kind().ops.update(self, &mut tape, Side::User, key, &self.data_of(value), flags)
    }

    /// What kinds that hold references check before they look at the object.
    fn check_before_reference(&self, tape: &mut Tape<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let index = || array::index(self, key).ok_or(Errno::E2BIG);
        match self.kind().holds {
            Holds::Values => Ok(()),
            Holds::Maps if self.spec().ty == MapType::HASH_OF_MAPS => Ok(()),
            Holds::Programs | Holds::Maps | Holds::Events | Holds::Cgroups if flags != BPF_ANY => Err(Errno::EINVAL),
            Holds::Programs | Holds::Maps | Holds::Events | Holds::Cgroups => index().map(|_| ()),
            Holds::Sockets if self.spec().ty != MapType::XSKMAP => Ok(()),
            _ if flags > BPF_EXIST => Err(Errno::EINVAL),
            Holds::Devices if self.spec().ty == MapType::DEVMAP_HASH => {
                let there = flags == BPF_NOEXIST && self.kind().ops.find(self, tape, 0, key).is_some();
                match value.starts_with(&[0; 4]) {
                    true => Err(Errno::EINVAL),
                    false if there => Err(Errno::EEXIST),
                    false => Ok(()),
                }
            }
            Holds::Devices | Holds::Cpus => {
                index()?;
                match self.kind().holds {
                    _ if flags == BPF_NOEXIST => Err(Errno::EEXIST),
                    Holds::Cpus => ports::check_cpu(self, index()?, value),
                    _ => Ok(()),
                }
            }
            Holds::Sockets => index().map(|_| ()),
        }
    }

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// Linux's number; `EINVAL` for a key of another length.
    pub fn user_delete(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, key: &[u8]) -> Result<(), Errno> {
        self.permit(Access::Write)?;
        self.check_key(key)?;
        self.kind().ops.delete(self, &mut Tape::new(mem, log), 0, key)
    }

    /// `BPF_MAP_GET_NEXT_KEY`.
    ///
    /// # Errors
    /// As [`Map::next_key`]; `EPERM`.
    pub fn user_next_key(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        key: Option<&[u8]>,
        next: &mut [u8],
    ) -> Result<(), Errno> {
        self.permit(Access::Read)?;
        self.next_key(mem, log, key, next)
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`.
    ///
    /// # Errors
    /// Linux's number; `ENOTSUPP` for kinds that have no such thing.
    pub fn user_take(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        key: &[u8],
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        self.may_look_up(Access::ReadAndWrite, key, flags)?;
        if !self.kind().user_take {
            return Err(Errno::ENOTSUPP);
        }
        if let Some(queue) = self.kind().queue {
            let mut value = vec![0; self.spec().value_size as usize];
            queue.pop(self, &mut Tape::new(mem, log), &mut value)?;
            return Ok(value);
        }
        let value = self.value_of(mem, log, key)?;
        self.kind().ops.delete(self, &mut Tape::new(mem, log), 0, key)?;
        Ok(value)
    }

    /// How many values user space sees under one key, and the bytes from one to the next.
    fn user_slots(&self) -> (u32, usize) {
        if self.kind().per_cpu { (self.cpus(), round8(self.spec().value_size) as usize) } else { (1, 0) }
    }

    /// All entries in the map's order, whatever user space may read; no more than the map can hold, whatever a guest has
    /// done to its links. Nothing of kinds without keys.
    pub fn user_entries(&self, mem: &mut dyn MapMemory) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut log = AccessLog::new();
        let mut entries = Vec::new();
        if self.spec().key_size == 0 {
            return entries;
        }
        let mut key = vec![0; self.spec().key_size as usize];
        let mut next = self.next_key(mem, &mut log, None, &mut key);
        for _ in 0..self.spec().max_entries {
            if next.is_err() {
                break;
            }
            if let Ok(value) = self.value_of(mem, &mut log, &key) {
                entries.push((key.clone(), value));
            }
            let at = key.clone();
            next = self.next_key(mem, &mut log, Some(&at), &mut key);
        }
        entries
    }
}
