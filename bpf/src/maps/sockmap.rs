//! `BPF_MAP_TYPE_SOCKMAP` (`sockets.rs`): sockets, by index.

use super::sockets;
use super::{Holds, MapKind};
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Sockets,
    // map_lookup_elem, map_delete_elem, sk_redirect_map, sock_map_update, msg_redirect_map, sk_select_reuseport
    helpers: &[1, 3, 52, 53, 60, 82],
    ..sockets::kind(MapType::SOCKMAP)
};
