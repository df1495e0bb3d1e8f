//! `BPF_MAP_TYPE_PROG_ARRAY`: programs to jump to, by index. A slot holds a program's number; 0 is none.

use super::kind::{Holds, MapKind};
use super::slots::{self, Slots};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::PROG_ARRAY,
    per_cpu: false,
    holds: Holds::Programs,
    // tail_call
    helpers: &[12],
    check: |spec| slots::check(spec, 0),
    region_size: slots::region_size,
    elements: slots::elements,
    ops: &Slots,
};
