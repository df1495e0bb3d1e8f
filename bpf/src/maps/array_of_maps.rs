//! `BPF_MAP_TYPE_ARRAY_OF_MAPS`: maps of one shape, by index. A slot holds a map's number; 0 is none.

use super::kind::{Holds, MapKind};
use super::reference::check_inner;
use super::slots::{self, Slots};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::ARRAY_OF_MAPS,
    per_cpu: false,
    holds: Holds::Maps,
    // map_lookup_elem
    helpers: &[1],
    check: |spec| {
        slots::check(spec, 0)?;
        check_inner(spec)
    },
    region_size: slots::region_size,
    elements: slots::elements,
    ops: &Slots,
};
