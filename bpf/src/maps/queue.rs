//! `BPF_MAP_TYPE_QUEUE` (`queue_stack.rs`): first in, first out.

use super::MapKind;
use super::queue_stack::{End, Ring, kind};
use crate::program::MapType;

pub(super) const KIND: MapKind = kind(MapType::QUEUE, &Ring(End::Tail));
