//! Helpers that find sockets and hand packets to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;
use crate::network::{Ends, Socket, SocketState, TCP_SOCK, Transport};

/// Bytes of `struct bpf_sock_tuple` with IPv4 and IPv6 addresses.
const TUPLE_V4: u32 = 12;
const TUPLE_V6: u32 = 36;

fn look_up(cx: &mut dyn HelperCx, transport: Transport, [_, tuple, size, netns, flags]: [u64; 5]) -> HelperOutcome {
    let size = size as u32;
    // A negative number is the packet's own namespace; others have none that is known here.
    if !matches!(size, TUPLE_V4 | TUPLE_V6) || flags != 0 || (netns as i32) >= 0 {
        return Ok(0);
    }
    let mut bytes = [0; TUPLE_V6 as usize];
    cx.read(tuple, &mut bytes[..size as usize])?;
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let v4 = |at: usize| -> IpAddr { Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]).into() };
    let v6 = |at: usize| -> IpAddr {
        Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).expect("16 bytes of the tuple")).into()
    };
    let device = cx.ifindex();
    let ends = match size {
        TUPLE_V4 => Ends { source: (v4(0), port(8)), destination: (v4(4), port(10)), device },
        _ => Ends { source: (v6(0), port(32)), destination: (v6(16), port(34)), device },
    };
    let found = cx.env().network().socket_for(transport, &ends);
    Ok(found.and_then(|number| cx.socket_address(number)).unwrap_or(0))
}

pub(super) fn sk_lookup_tcp(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    look_up(cx, Transport::Tcp, args)
}

pub(super) fn sk_lookup_udp(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    look_up(cx, Transport::Udp, args)
}

/// Sockets of the world outlive every run.
pub(super) fn sk_release(_: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(0)
}

/// A socket by its address.
pub(super) fn socket_of(cx: &mut dyn HelperCx, address: u64) -> Option<Socket> {
    let number = cx.socket_at(address)?;
    cx.env().network().sockets.get(number as usize).cloned()
}

/// All sockets here are full ones: no requests, none that wait for their end.
pub(super) fn sk_fullsock(_: &mut dyn HelperCx, [socket, ..]: [u64; 5]) -> HelperOutcome {
    Ok(socket)
}

pub(super) fn tcp_sock(cx: &mut dyn HelperCx, [socket, ..]: [u64; 5]) -> HelperOutcome {
    let tcp = socket_of(cx, socket).is_some_and(|socket| socket.transport == Transport::Tcp);
    Ok(if tcp { socket + u64::from(TCP_SOCK) } else { 0 })
}

pub(super) fn get_listener_sock(cx: &mut dyn HelperCx, [socket, ..]: [u64; 5]) -> HelperOutcome {
    let listens = socket_of(cx, socket).is_some_and(|socket| socket.state == SocketState::Listen);
    Ok(if listens { socket } else { 0 })
}

pub(super) fn sk_assign(cx: &mut dyn HelperCx, [_, socket, flags, ..]: [u64; 5]) -> HelperOutcome {
    if socket == 0 || flags != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    if !cx.skb().ingress {
        return Ok(Errno::EOPNOTSUPP.as_return());
    }
    match cx.socket_at(socket) {
        Some(number) => {
            cx.set_socket(number);
            Ok(0)
        }
        None => Ok(Errno::EINVAL.as_return()),
    }
}
