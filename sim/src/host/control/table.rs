//! A map on the card as the driver knows it.

use bpf::errno::Errno;
use bpf::maps::Map;
use bpf::program::MapType;
use nic_model::control::{
    Answer, EntryAnswer, EntryOp, EntryRequest, MAX_ENTRIES, Slots, Status, entries_an_answer, mtu,
};
use nic_model::des::Time;
use nic_model::profile::CardProfile;

use super::cache::{Ask, Cache};
use super::process::Failure;

/// A map on the card.
#[derive(Debug, Clone)]
pub struct CardTable {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub ty: MapType,
    number: u32,
    key_size: u32,
    value_size: u32,
    slots: Slots,
    mtu: u32,
    entries: u32,
    /// Most entries that the map has.
    pub(super) most: u32,
    /// Byte offsets of the words of a value that the card's atomic engine works on, in its own order; a value of a per-CPU
    /// map is one processor's, `stride` bytes from the next.
    atomic_words: Vec<u32>,
    stride: usize,
    cache: Cache,
}

/// `BPF_EXIST`, the greatest flag of an update.
const BPF_EXIST: u64 = 2;

impl CardTable {
    /// The map of that number on a card; `atomic_words` are the byte offsets in a value of words that programs add to by the
    /// card's atomic engine.
    pub fn new(card: &CardProfile, map: &Map, number: u32, atomic_words: &[u32]) -> Self {
        let (capabilities, spec) = (&card.capabilities, map.spec());
        let (key_size, value_size) = (spec.key_size, map.user_value_size() as u32);
        let slots = Slots::of(capabilities, key_size, value_size);
        let mtu = mtu(capabilities, card.mac.mtu.0 as u32);
        CardTable {
            name: spec.name.clone(),
            ty: spec.ty,
            number,
            key_size,
            value_size,
            slots,
            mtu,
            entries: entries_an_answer(capabilities, slots, mtu).min(MAX_ENTRIES),
            atomic_words: atomic_words.to_vec(),
            most: spec.max_entries,
            stride: spec.value_size.next_multiple_of(8).max(8) as usize,
            cache: Cache::default(),
        }
    }

    /// Turns a value's atomic words round, from one order to the other.
    fn swap(&self, value: &mut [u8]) {
        for value in value.chunks_mut(self.stride) {
            for &at in &self.atomic_words {
                if let Some(word) = value.get_mut(at as usize..at as usize + 4) {
                    word.reverse();
                }
            }
        }
    }

    /// What Linux and the driver look at before the card is asked.
    ///
    /// # Errors
    /// Linux's number and the reason.
    pub fn check(&self, op: EntryOp, key: &[u8], value: &[u8], flags: u64) -> Result<(), Failure> {
        let fails = |errno, why: String| Err(Failure { errno, why });
        if op != EntryOp::First && key.len() != self.key_size as usize {
            return fails(Errno::EINVAL, format!("the key has {} bytes and not {}", key.len(), self.key_size));
        }
        if op == EntryOp::Update && value.len() != self.value_size as usize {
            return fails(Errno::EINVAL, format!("the value has {} bytes and not {}", value.len(), self.value_size));
        }
        if flags > BPF_EXIST {
            return fails(Errno::EINVAL, format!("an update of a map on a card has no flags like {flags:#x}"));
        }
        if op == EntryOp::Delete && self.ty == MapType::ARRAY {
            return fails(Errno::EINVAL, "entries of an array cannot be removed".to_owned());
        }
        if !self.slots.hold(self.key_size, self.value_size) {
            let slots = self.slots;
            let why = format!("a message has {} bytes for a key and {} for a value", slots.key, slots.value);
            return fails(Errno::E2BIG, why);
        }
        let bytes = self.slots.message(1);
        if bytes > self.mtu {
            return fails(Errno::E2BIG, format!("a message of {bytes} bytes is longer than {} bytes", self.mtu));
        }
        Ok(())
    }

    /// A request begins ([`Cache::ask`]); a value that is served is in the host's order.
    pub fn ask(&mut self, now: Time, op: EntryOp, key: &[u8]) -> Ask {
        match self.cache.ask(now, op, key, self.slots, self.value_size, self.entries) {
            Ask::Served(mut bytes) if op == EntryOp::Lookup => {
                self.swap(&mut bytes);
                Ask::Served(bytes)
            }
            ask => ask,
        }
    }

    /// The request as a message.
    pub fn request(&self, op: EntryOp, entries: u32, key: &[u8], value: &[u8], flags: u64) -> EntryRequest {
        let mut value = value.to_vec();
        self.swap(&mut value);
        EntryRequest::new(op, self.number, entries, flags as u32, self.slots, key, &value)
    }

    /// What an answer says of the first entry: what [`Ask::Served`] would have held, nothing of a write.
    ///
    /// # Errors
    /// Linux's number and the reason.
    pub fn judge(&self, op: EntryOp, entries: u32, bytes: &[u8]) -> Result<(Vec<u8>, EntryAnswer), Failure> {
        let unread = |why: String| Failure { errno: Errno::EIO, why };
        let answer = match Answer::decode(bytes) {
            Ok((_, Answer::Entry(answer))) if answer.kind == op.kind() => answer,
            Ok(_) => return Err(unread("the card's answer has another type than the request".to_owned())),
            Err(why) => return Err(unread(format!("the card's answer is none: {why}"))),
        };
        let status = if entries > 1 && answer.count > 0 { Status::SUCCESS } else { answer.status };
        status.to_errno().map_err(|errno| Failure { errno, why: status.words().to_owned() })?;
        if !answer.whole(self.slots) {
            let (bytes, count) = (answer.entries.len(), answer.count);
            return Err(unread(format!("{bytes} bytes in the card's answer are not {count} entries")));
        }
        let first = answer.entry(self.slots, 0);
        let found = match (op, first) {
            (EntryOp::Update | EntryOp::Delete, _) => vec![],
            (EntryOp::Lookup, Some((_, value))) => {
                let mut value = value[..self.value_size as usize].to_vec();
                self.swap(&mut value);
                value
            }
            (_, Some((key, _))) => key[..self.key_size as usize].to_vec(),
            (_, None) => return Err(unread("the card's answer holds no entry".to_owned())),
        };
        Ok((found, answer))
    }

    /// A request has ended ([`Cache::put`]).
    pub fn put(&mut self, now: Time, op: EntryOp, answer: Option<EntryAnswer>, generation: u32, life: Time) {
        self.cache.put(now, op, answer, generation, life);
    }
}
