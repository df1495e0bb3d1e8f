//! What the kinds that are kept in a table (`hash_table.rs`) do by key.

use super::hash_table::{self, Found, Shape};
use super::{Map, MapOps, Side, Tape, hash_key};
use crate::errno::Errno;

/// What such kinds differ in.
pub(super) trait Table: Sync {
    /// The table's parts.
    fn shape(map: &Map) -> Shape;

    /// What says which bucket a key is in.
    fn hash(_: &Map, key: &[u8]) -> u32 {
        hash_key(key)
    }

    /// Offset of the value of an entry, on a processor.
    fn value(_: &Map, shape: &Shape, found: &Found, _cpu: u32) -> Option<u32> {
        Some(found.entry + shape.value_off)
    }

    /// A program looked an entry up.
    fn used(_: &mut Tape<'_>, _: &Found) {}

    /// Creates or replaces an entry, as [`MapOps::update`].
    fn update(map: &Map, tape: &mut Tape<'_>, side: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;

    /// Removes an entry.
    fn delete(map: &Map, tape: &mut Tape<'_>, key: &[u8]) -> Result<(), Errno> {
        hash_table::delete(tape, map, &Self::shape(map), Self::hash(map, key), key)
    }
}

impl<T: Table> MapOps for T {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
        let shape = T::shape(map);
        let found = hash_table::find(tape, &shape, T::hash(map, key), key)?;
        T::used(tape, &found);
        T::value(map, &shape, &found, cpu)
    }

    fn find(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
        let shape = T::shape(map);
        let found = hash_table::find(tape, &shape, T::hash(map, key), key)?;
        T::value(map, &shape, &found, cpu)
    }

    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        side: Side,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        T::update(map, tape, side, key, value, flags)
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        T::delete(map, tape, key)
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        hash_table::next_key(tape, &T::shape(map), key.map(|key| (T::hash(map, key), key)), next)
    }
}
