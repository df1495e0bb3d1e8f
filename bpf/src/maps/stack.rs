//! `BPF_MAP_TYPE_STACK` (`queue_stack.rs`): last in, first out.

use super::MapKind;
use super::queue_stack::{End, Ring, kind};
use crate::program::MapType;

pub(super) const KIND: MapKind = kind(MapType::STACK, &Ring(End::Head));
