//! `BPF_MAP_TYPE_PROG_ARRAY`: programs to jump to, by index. A slot holds a program's number; 0 is none.

use super::slots;
use super::{Holds, MapKind, UserLookup};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Programs,
    // tail_call
    helpers: &[12],
    inner: false,
    ..slots::kind(MapType::PROG_ARRAY, UserLookup::Value, |spec| slots::check(spec, 0))
};
