//! `BPF_MAP_TYPE_DEVMAP` (`ports.rs`): devices to send to, by index.

use super::ports;
use super::{Holds, MapKind};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Devices,
    // map_lookup_elem, redirect_map
    helpers: &[1, 51],
    adds_flags: super::BPF_F_RDONLY_PROG,
    check: ports::check_devices,
    ..ports::kind(MapType::DEVMAP)
};
