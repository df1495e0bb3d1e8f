//! Sockets: who listens and who is connected, and their structures as programs read them.

use std::net::IpAddr;

use super::Network;
use crate::program::Endian;

/// Bytes between the structures of two sockets in a guest's memory.
pub const SOCKET: u32 = 256;
/// Where, in those bytes, `struct bpf_tcp_sock` begins; `struct bpf_sock` begins at 0.
pub const TCP_SOCK: u32 = 128;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// State of a socket (`BPF_TCP_...`), as far as the world has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// Connected.
    Established = 1,
    /// Bound, not connected: UDP.
    Closed = 7,
    /// Listening.
    Listen = 10,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Protocol.
    pub transport: Transport,
    /// State.
    pub state: SocketState,
    /// Its own address and port; an unspecified address takes any.
    pub local: (IpAddr, u16),
    /// Whom it is connected to.
    pub remote: Option<(IpAddr, u16)>,
    /// The device it is bound to.
    pub device: Option<u32>,
    /// Mark of what it sends.
    pub mark: u32,
    /// Priority of what it sends.
    pub priority: u32,
    /// Its number for `bpf_get_socket_cookie`.
    pub cookie: u64,
    /// Its owner.
    pub uid: u32,
    /// Its control group.
    pub cgroup: u64,
}

/// Both ends of a packet, seen from the one who receives it.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Who sent it.
    pub source: (IpAddr, u16),
    /// Whom it is for.
    pub destination: (IpAddr, u16),
    /// The device it came in by.
    pub device: u32,
}

impl Socket {
    /// Writes `struct bpf_sock` and `struct bpf_tcp_sock` (a connection that nothing has been sent on: its first window).
    pub(crate) fn write(&self, order: Endian, bytes: &mut [u8]) {
        bytes.fill(0);
        let mut word = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&order.bytes(value));
        let (stream, datagram) = (1, 2);
        let (kind, protocol) = match self.transport {
            Transport::Tcp => (stream, 6),
            Transport::Udp => (datagram, 17),
        };
        word(0, self.device.unwrap_or(0));
        word(4, if self.local.0.is_ipv4() { 2 } else { 10 });
        word(8, kind);
        word(12, protocol);
        word(16, self.mark);
        word(20, self.priority);
        word(44, u32::from(self.local.1));
        word(72, self.state as u32);
        word(76, u32::MAX);
        // The congestion window a connection begins with (RFC 6928) and the slow start threshold of none.
        word(TCP_SOCK as usize, 10);
        word(TCP_SOCK as usize + 12, i32::MAX as u32);
        let mut address = |v4: usize, v6: usize, address: IpAddr| match address {
            IpAddr::V4(a) => bytes[v4..v4 + 4].copy_from_slice(&a.octets()),
            IpAddr::V6(a) => {
                bytes[v6..v6 + 16].copy_from_slice(&a.octets());
                if !a.is_unspecified() {
                    // What the kernel puts where a socket of IPv6 has no IPv4 address (`LOOPBACK4_IPV6`).
                    bytes[v4..v4 + 4].copy_from_slice(&[127, 0, 0, 6]);
                }
            }
        };
        address(24, 28, self.local.0);
        if let Some((remote, port)) = self.remote {
            address(52, 56, remote);
            bytes[48..50].copy_from_slice(&port.to_be_bytes());
        }
    }

    /// How well it fits a packet; `None` if it does not (`compute_score`).
    fn score(&self, ends: &Ends) -> Option<u32> {
        let (address, port) = self.local;
        let any = address.is_unspecified();
        // A socket of IPv6 that is bound to no address takes IPv4 too.
        let family = address.is_ipv4() == ends.destination.0.is_ipv4() || (any && address.is_ipv6());
        if port != ends.destination.1 || !family || !(any || address == ends.destination.0) {
            return None;
        }
        if self.remote.is_some_and(|remote| remote != ends.source) || self.device.is_some_and(|d| d != ends.device) {
            return None;
        }
        let same_family = address.is_ipv4() == ends.destination.0.is_ipv4();
        Some(
            8 * u32::from(self.remote.is_some())
                + 4 * u32::from(!any)
                + 2 * u32::from(self.device.is_some())
                + u32::from(same_family),
        )
    }
}

impl Network {
    /// The number of the socket that gets a packet: the connected one, else that which listens most closely; of equals the
    /// first.
    pub fn socket_for(&self, transport: Transport, ends: &Ends) -> Option<u32> {
        let candidates = self.sockets.iter().enumerate().filter(|(_, socket)| socket.transport == transport);
        let scored = candidates.filter_map(|(at, socket)| Some((socket.score(ends)?, at as u32)));
        scored.max_by_key(|(score, at)| (*score, std::cmp::Reverse(*at))).map(|(_, at)| at)
    }
}
