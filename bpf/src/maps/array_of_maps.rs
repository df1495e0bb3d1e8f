//! `BPF_MAP_TYPE_ARRAY_OF_MAPS`: maps of one shape, by index. A slot holds a map's number; 0 is none.

use super::reference::check_inner;
use super::slots;
use super::{Batch, Holds, MapKind, UserLookup};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Maps,
    // map_lookup_elem
    helpers: &[1],
    inner: false,
    batch: Batch::Keys,
    ..slots::kind(MapType::ARRAY_OF_MAPS, UserLookup::Value, |spec| {
        slots::check(spec, 0)?;
        check_inner(spec)
    })
};
