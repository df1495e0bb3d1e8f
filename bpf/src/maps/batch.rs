//! The commands of bpf(2) on many entries at once.

use super::hash_table::Shape;
use super::kind::Batch;
use super::user::Access;
use super::{AccessLog, BPF_F_LOCK, Map, MapMemory, References, Tape};
use crate::errno::Errno;

/// What a look-up of many entries gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchAnswer {
    /// Keys and values, in the map's order.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next one is to go on: a key, or of hash kinds the number of a bucket. `None` where nothing was read.
    pub next: Option<Vec<u8>>,
    /// How it ended: `ENOENT` at the end of the map, `ENOSPC` where not even one bucket fits.
    pub end: Result<(), Errno>,
}

impl BatchAnswer {
    fn refused(errno: Errno) -> Self {
        BatchAnswer { entries: Vec::new(), next: None, end: Err(errno) }
    }
}

/// Unknown ones, and a lock that values do not have: the same number.
fn check_flags(map: &Map, flags: u64) -> Result<(), Errno> {
    if flags & !BPF_F_LOCK != 0 { Err(Errno::EINVAL) } else { map.check_lock(flags) }
}

impl Map {
    /// `BPF_MAP_LOOKUP_BATCH`, with `take` `BPF_MAP_LOOKUP_AND_DELETE_BATCH`: up to `count` entries from where an earlier
    /// one ended, or from the start.
    pub fn user_lookup_batch(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        from: Option<&[u8]>,
        count: u32,
        take: bool,
        flags: u64,
    ) -> BatchAnswer {
        let access = if take { Access::ReadAndWrite } else { Access::Read };
        if let Err(errno) = self.permit(access) {
            return BatchAnswer::refused(errno);
        }
        let shape = match self.kind().batch {
            Batch::None => return BatchAnswer::refused(Errno::ENOTSUPP),
            Batch::Keys | Batch::KeysAndDelete if take => return BatchAnswer::refused(Errno::ENOTSUPP),
            Batch::Keys | Batch::KeysAndDelete => None,
            Batch::Buckets(shape) => Some(shape(self)),
        };
        if let Err(errno) = check_flags(self, flags) {
            return BatchAnswer::refused(errno);
        }
        if count == 0 {
            return BatchAnswer { entries: Vec::new(), next: None, end: Ok(()) };
        }
        match shape {
            Some(shape) => self.buckets(mem, log, &shape, from, count as usize, take),
            None => self.keys(mem, log, from, count as usize),
        }
    }

    fn keys(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, from: Option<&[u8]>, count: usize) -> BatchAnswer {
        let mut answer = BatchAnswer { entries: Vec::new(), next: from.map(<[u8]>::to_vec), end: Ok(()) };
        // A slot without a value is passed over, so count the steps: no walk is longer than the map.
        for _ in 0..=self.spec().max_entries {
            if answer.entries.len() == count {
                break;
            }
            let mut key = vec![0; self.spec().key_size as usize];
            if let Err(errno) = self.next_key(mem, log, answer.next.as_deref(), &mut key) {
                answer.end = Err(errno);
                break;
            }
            match self.value_of(mem, log, &key) {
                Ok(value) => answer.entries.push((key.clone(), value)),
                Err(Errno::ENOENT) => {}
                Err(errno) => return BatchAnswer::refused(errno),
            }
            answer.next = Some(key);
        }
        if answer.entries.is_empty() {
            answer.next = None;
        }
        answer
    }

    fn buckets(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        shape: &Shape,
        from: Option<&[u8]>,
        count: usize,
        take: bool,
    ) -> BatchAnswer {
        let mut bucket = match from.map(|from| from.first_chunk::<4>()) {
            None => 0,
            Some(Some(from)) => u32::from_le_bytes(*from),
            Some(None) => return BatchAnswer::refused(Errno::EINVAL),
        };
        if bucket >= shape.buckets() {
            return BatchAnswer::refused(Errno::ENOENT);
        }
        let mut answer = BatchAnswer { entries: Vec::new(), next: None, end: Err(Errno::ENOENT) };
        while bucket < shape.buckets() {
            let keys = shape.keys_of(&mut Tape::new(mem, log), bucket, self.spec().key_size);
            if keys.len() > count - answer.entries.len() {
                answer.end = if answer.entries.is_empty() { Err(Errno::ENOSPC) } else { Ok(()) };
                break;
            }
            for key in keys {
                let Ok(value) = self.value_of(mem, log, &key) else { continue };
                if take {
                    let gone = self.kind().ops.delete(self, &mut Tape::new(mem, log), 0, &key);
                    debug_assert!(gone.is_ok(), "the key was just found");
                }
                answer.entries.push((key, value));
            }
            bucket += 1;
        }
        answer.next = Some(bucket.to_le_bytes().to_vec());
        answer
    }

    /// `BPF_MAP_UPDATE_BATCH`: how many were done, and how it ended.
    pub fn user_update_batch(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        refs: &dyn References,
        entries: &[(Vec<u8>, Vec<u8>)],
        flags: u64,
    ) -> (usize, Result<(), Errno>) {
        let good = self.permit(Access::Write).and_then(|()| match self.kind().batch {
            Batch::None => Err(Errno::ENOTSUPP),
            _ => check_flags(self, flags),
        });
        if let Err(errno) = good {
            return (0, Err(errno));
        }
        for (done, (key, value)) in entries.iter().enumerate() {
            if let Err(errno) = self.user_update(mem, log, refs, key, value, flags) {
                return (done, Err(errno));
            }
        }
        (entries.len(), Ok(()))
    }

    /// `BPF_MAP_DELETE_BATCH`: how many were done, and how it ended.
    pub fn user_delete_batch(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        keys: &[Vec<u8>],
        flags: u64,
    ) -> (usize, Result<(), Errno>) {
        let good = self.permit(Access::Write).and_then(|()| match self.kind().batch {
            Batch::None | Batch::Keys => Err(Errno::ENOTSUPP),
            _ => check_flags(self, flags),
        });
        if let Err(errno) = good {
            return (0, Err(errno));
        }
        for (done, key) in keys.iter().enumerate() {
            if let Err(errno) = self.user_delete(mem, log, key) {
                return (done, Err(errno));
            }
        }
        (keys.len(), Ok(()))
    }
}
