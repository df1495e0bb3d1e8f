//! The tunnel a packet is to go into: key and options (`struct bpf_tunnel_key`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HelperCx, HelperOutcome, Tunnel};
use crate::errno::Errno;
use crate::program::Endian;

/// Bytes of `struct bpf_tunnel_key`.
const KEY: usize = 44;
/// Bytes of its earlier forms: up to `remote_ipv4`, `tunnel_tos` and `ttl`, `tunnel_ext`, `tunnel_label`.
const EARLIER: [usize; 4] = [8, 22, 24, 28];
/// Most bytes of options.
const OPTIONS: usize = 255;

/// Offsets in the key.
mod at {
    pub const ID: usize = 0;
    pub const REMOTE: usize = 4;
    pub const TOS: usize = 20;
    pub const TTL: usize = 21;
    pub const EXT: usize = 22;
    pub const LABEL: usize = 24;
    pub const LOCAL: usize = 28;
}

/// Flags of the helpers.
const IPV6: u64 = 1;
const ZERO_CSUM_TX: u64 = 1 << 1;
const DONT_FRAGMENT: u64 = 1 << 2;
const SEQ_NUMBER: u64 = 1 << 3;
/// Of the one that sets a key; the same bit means the next of the one that gets it.
const NO_TUNNEL_KEY: u64 = 1 << 4;
const TUNINFO_FLAGS: u64 = 1 << 4;

/// `TUNNEL_...` of the kernel's user API.
mod flag {
    pub const CSUM: u16 = 0x01;
    pub const KEY: u16 = 0x04;
    pub const SEQ: u16 = 0x08;
    pub const DONT_FRAGMENT: u16 = 0x0100;
    pub const NOCACHE: u16 = 0x2000;
    /// Options of Geneve, VXLAN, ERSPAN and GTP: which of them they are depends on the device.
    pub const OPTIONS: u16 = 0x0800 | 0x1000 | 0x4000 | 0x8000;
}

fn word(order: Endian, key: &[u8; KEY], at: usize) -> u32 {
    order.word([key[at], key[at + 1], key[at + 2], key[at + 3]])
}

/// An address in a key: IPv4 as a number of the machine's, IPv6 as bytes.
fn address(order: Endian, key: &[u8; KEY], at: usize, v6: bool) -> IpAddr {
    if v6 {
        let bytes: [u8; 16] = key[at..at + 16].try_into().expect("16 bytes of the key");
        Ipv6Addr::from(bytes).into()
    } else {
        Ipv4Addr::from_bits(word(order, key, at)).into()
    }
}

fn put_address(order: Endian, key: &mut [u8; KEY], at: usize, address: IpAddr) {
    match address {
        IpAddr::V4(a) => key[at..at + 4].copy_from_slice(&order.bytes(a.to_bits())),
        IpAddr::V6(a) => key[at..at + 16].copy_from_slice(&a.octets()),
    }
}

pub(super) fn set_tunnel_key(cx: &mut dyn HelperCx, [_, from, size, flags, _]: [u64; 5]) -> HelperOutcome {
    let (order, size) = (cx.byte_order(), size as u32 as usize);
    let known = IPV6 | ZERO_CSUM_TX | DONT_FRAGMENT | SEQ_NUMBER | NO_TUNNEL_KEY;
    if flags & !known != 0 || (size != KEY && !EARLIER.contains(&size)) {
        return Ok(Errno::EINVAL.as_return());
    }
    let mut key = [0; KEY];
    cx.read(from, &mut key[..size])?;
    let v6 = flags & IPV6 != 0;
    let label = word(order, &key, at::LABEL);
    if (!v6 && label != 0) || key[at::EXT..at::LABEL] != [0; 2] {
        return Ok(Errno::EINVAL.as_return());
    }
    let set = [
        (true, flag::NOCACHE),
        (flags & DONT_FRAGMENT != 0, flag::DONT_FRAGMENT),
        (flags & ZERO_CSUM_TX == 0, flag::CSUM),
        (flags & SEQ_NUMBER != 0, flag::SEQ),
        (flags & NO_TUNNEL_KEY == 0, flag::KEY),
    ];
    cx.skb().tunnel = Some(Box::new(Tunnel {
        id: word(order, &key, at::ID),
        local: address(order, &key, at::LOCAL, v6),
        remote: address(order, &key, at::REMOTE, v6),
        tos: key[at::TOS],
        ttl: key[at::TTL],
        label: label & 0xf_ffff,
        flags: set.into_iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag),
        options: Vec::new(),
    }));
    Ok(0)
}

pub(super) fn get_tunnel_key(cx: &mut dyn HelperCx, [_, to, size, flags, _]: [u64; 5]) -> HelperOutcome {
    let (order, size) = (cx.byte_order(), size as u32 as usize);
    let mut key = [0; KEY];
    let answer = match &cx.skb().tunnel {
        None => Err(Errno::EINVAL),
        Some(_) if flags & !(IPV6 | TUNINFO_FLAGS) != 0 => Err(Errno::EINVAL),
        Some(tunnel) if tunnel.local.is_ipv6() != (flags & IPV6 != 0) => Err(Errno::EPROTO),
        // The oldest form has no room for an IPv6 address.
        Some(tunnel) if size != KEY && (!EARLIER.contains(&size) || (size == 8 && tunnel.local.is_ipv6())) => {
            Err(Errno::EINVAL)
        }
        Some(tunnel) => {
            key[at::ID..at::ID + 4].copy_from_slice(&order.bytes(tunnel.id));
            (key[at::TOS], key[at::TTL]) = (tunnel.tos, tunnel.ttl);
            if flags & TUNINFO_FLAGS != 0 {
                key[at::EXT..at::LABEL].copy_from_slice(&tunnel.flags.to_be_bytes());
            }
            // Seen from the receiver: the remote station is who sent it.
            put_address(order, &mut key, at::REMOTE, tunnel.local);
            put_address(order, &mut key, at::LOCAL, tunnel.remote);
            key[at::LABEL..at::LOCAL].copy_from_slice(&order.bytes(tunnel.label));
            Ok(())
        }
    };
    give(cx, to, size, &key)?;
    Ok(answer.map_or_else(Errno::as_return, |()| 0))
}

/// Writes bytes and zeros behind them, `size` in all.
fn give(cx: &mut dyn HelperCx, to: u64, size: usize, bytes: &[u8]) -> Result<(), crate::memory::Fault> {
    const CHUNK: usize = 256;
    let there = bytes.len().min(size);
    cx.write(to, &bytes[..there])?;
    for at in (there..size).step_by(CHUNK) {
        cx.write(to.wrapping_add(at as u64), &[0; CHUNK][..CHUNK.min(size - at)])?;
    }
    Ok(())
}

pub(super) fn get_tunnel_opt(cx: &mut dyn HelperCx, [_, to, size, ..]: [u64; 5]) -> HelperOutcome {
    let size = size as u32 as usize;
    let options = cx.skb().tunnel.as_ref().filter(|tunnel| tunnel.flags & flag::OPTIONS != 0);
    let answer = match options.map(|tunnel| tunnel.options.clone()) {
        None => Err(Errno::ENOENT),
        Some(options) if size < options.len() => Err(Errno::ENOMEM),
        Some(options) => Ok(options),
    };
    give(cx, to, size, answer.as_deref().unwrap_or(&[]))?;
    Ok(answer.map_or_else(Errno::as_return, |options| options.len() as u64))
}

pub(super) fn set_tunnel_opt(cx: &mut dyn HelperCx, [_, from, size, ..]: [u64; 5]) -> HelperOutcome {
    let size = size as u32 as usize;
    if cx.skb().tunnel.is_none() || !size.is_multiple_of(4) {
        return Ok(Errno::EINVAL.as_return());
    }
    if size > OPTIONS {
        return Ok(Errno::ENOMEM.as_return());
    }
    let mut options = vec![0; size];
    cx.read(from, &mut options)?;
    if let Some(tunnel) = &mut cx.skb().tunnel {
        tunnel.options = options;
        tunnel.flags |= flag::OPTIONS;
    }
    Ok(0)
}
