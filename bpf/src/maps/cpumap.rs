//! `BPF_MAP_TYPE_CPUMAP` (`ports.rs`): processors to hand frames to, by index, each with the length of its queue.

use super::ports;
use super::{Holds, MapKind};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Cpus,
    // redirect_map
    helpers: &[51],
    check: ports::check_cpus,
    ..ports::kind(MapType::CPUMAP)
};
