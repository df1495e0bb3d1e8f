//! Sockets: which of their fields a program may read (`struct bpf_sock`, `struct bpf_tcp_sock`, `struct bpf_xdp_sock` of
//! the kernel's user API).

use super::memory;
use crate::verifier::class::Class;
use crate::verifier::demand::{Access, Direction};
use crate::verifier::explored::SockKind;
use crate::verifier::log::kind_name;
use crate::verifier::state::Value;
use crate::verifier::verdict::{Proof, Stop};

/// Bytes of `struct bpf_sock`.
const SOCK: i64 = 80;
/// Bytes of `struct bpf_tcp_sock`, padding at the end left out.
const TCP_SOCK: i64 = 112;

fn sock_field(off: i64, size: i64) -> bool {
    if !(0..SOCK).contains(&off) || off % size != 0 {
        return false;
    }
    match off {
        // state, family, type, protocol, src_port, rx_queue_mapping
        72 | 4 | 8 | 12 | 44 | 76 => size <= 4,
        24..44 | 52..72 => size <= 4,
        48..50 => size == 4 || size <= 2,
        50..52 => false,
        _ => size == 4,
    }
}

fn field(kind: SockKind, off: i64, size: i64) -> bool {
    match kind {
        SockKind::Full => sock_field(off, size),
        // type, protocol, mark and priority are not there.
        SockKind::Common => !(8..24).contains(&off) && sock_field(off, size),
        SockKind::Tcp => {
            // bytes_received and bytes_acked are 8 bytes long.
            let whole = if matches!(off, 80 | 88) { 8 } else { 4 };
            (0..TCP_SOCK).contains(&off) && off % size == 0 && size == whole
        }
        SockKind::Xdp => off == 0 && size == 4,
    }
}

/// Proves a load of a socket's field.
pub(super) fn accessible(kind: SockKind, ptr: &Value, access: &Access) -> Proof {
    let r = access.base.index();
    let name = kind_name(ptr.kind);
    if access.dir == Direction::Write {
        return Err(Stop::denied(Class::Access, format!("R{r} cannot write into {name}")));
    }
    if ptr.var.wide.smin < 0 {
        return Err(memory::negative(Class::Field, access.base, ptr.var.wide.smin));
    }
    let off = access.off + i64::from(ptr.off);
    if field(kind, off, i64::from(access.size)) {
        return Ok(());
    }
    Err(Stop::denied(Class::Field, format!("R{r} invalid {name} access off={off} size={}", access.size)))
}
