//! `BPF_MAP_TYPE_XSKMAP` (`sockets.rs`): sockets of a queue, by index.

use super::sockets;
use super::{Holds, MapKind, UserLookup};
use crate::errno::Errno;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Sockets,
    // map_lookup_elem, redirect_map
    helpers: &[1, 51],
    user_lookup: UserLookup::Refused(Errno::EOPNOTSUPP),
    check: |spec| {
        if spec.value_size != 4 {
            return Err((Errno::EINVAL, "value_size of 4"));
        }
        sockets::check(spec)
    },
    ..sockets::kind(MapType::XSKMAP)
};
