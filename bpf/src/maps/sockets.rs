//! What arrays of sockets share (net/core/sock_map.c, net/xdp/xskmap.c): a socket's number a slot (`slots.rs`).
//!
//! Values of user space have 4 bytes, or 8 to read a socket's cookie, which here is its number.

use super::slots::{self, SLOT, Slots};
use super::{BPF_EXIST, BPF_NOEXIST, CreateCheck, Holds, MapKind};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

/// A row, but for what the kinds differ in.
pub(super) const fn kind(ty: MapType) -> MapKind {
    slots::row(ty, Holds::Sockets, check, &SOCKETS)
}

/// What Linux checks of arrays of sockets (`sock_map_alloc`).
pub(super) fn check(spec: &MapSpec) -> CreateCheck {
    slots::check_keys(spec)?;
    check_values(spec)
}

/// What it checks of values and flags.
pub(super) fn check_values(spec: &MapSpec) -> CreateCheck {
    slots::check_values(spec, "value_size of 4, or of 8 to read cookies")
}

const SOCKETS: Slots = Slots {
    most_flags: BPF_EXIST,
    put: |_, tape, index, value, flags| {
        let off = index * SLOT;
        match tape.read_u32(off) {
            0 if flags == BPF_EXIST => return Err(Errno::ENOENT),
            1.. if flags == BPF_NOEXIST => return Err(Errno::EEXIST),
            _ => {}
        }
        tape.write(off, &slots::padded(value), false);
        Ok(())
    },
    beyond: Errno::EINVAL,
    take: |map, tape, off| {
        let [was, _] = tape.atomic::<2>(off, false, |_| [0, 0]);
        // An empty slot of AF_XDP sockets may be emptied again.
        if was == 0 && map.spec().ty != MapType::XSKMAP { Err(Errno::EINVAL) } else { Ok(()) }
    },
};
