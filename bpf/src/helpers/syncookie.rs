//! SYN cookies: a connection's parameters in the sequence number of its answer, by SipHash as Linux computes them
//! (net/ipv4/syncookies.c); the keys are the environment's.

use std::net::IpAddr;

use super::siphash::siphash;
use super::sockets::socket_of;
use super::state::jiffies_of;
use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;
use crate::memory::Fault;
use crate::network::{SocketState, Transport};

/// Bytes of a TCP header without options.
const TCP: usize = 20;
/// Segment sizes that a cookie can name: IPv4, IPv6.
const SIZES: [[u16; 4]; 2] = [[536, 1300, 1440, 1460], [1220, 1420, 1440, 8940]];
/// What is taken for a peer that says none: IPv4 (RFC 1122), IPv6 (RFC 8200).
const USUAL: [u16; 2] = [536, 1220];
/// How long a cookie is good: less than that many minutes.
const AGE: u32 = 2;
/// Bits of a cookie below its minute.
const BITS: u32 = 24;
const MASK: u32 = (1 << BITS) - 1;

/// Flags of a TCP header.
mod tcp_flag {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
}

/// The headers a cookie is about.
struct Headers {
    v6: bool,
    /// Source, then destination.
    addresses: Vec<u8>,
    tcp: [u8; TCP],
}

impl Headers {
    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.tcp[at], self.tcp[at + 1], self.tcp[at + 2], self.tcp[at + 3]])
    }

    fn flags(&self) -> u8 {
        self.tcp[13]
    }

    fn len(&self) -> u32 {
        u32::from(self.tcp[12] >> 4) * 4
    }

    /// Reads them; a header of IPv6 where `v6`.
    fn read(cx: &mut dyn HelperCx, ip: u64, tcp: u64, v6: bool) -> Result<Headers, Fault> {
        let (from, len) = if v6 { (8, 32) } else { (12, 8) };
        let mut headers = Headers { v6, addresses: vec![0; len], tcp: [0; TCP] };
        cx.read(ip.wrapping_add(from), &mut headers.addresses)?;
        cx.read(tcp, &mut headers.tcp)?;
        Ok(headers)
    }

    /// `cookie_hash`: two keys, one for what never changes and one for the minute.
    fn hash(&self, cx: &mut dyn HelperCx, count: u32, key: u64) -> u32 {
        let ports = &self.tcp[..4];
        let count = count.to_le_bytes();
        let bytes = if self.v6 {
            [&self.addresses[..], &count, ports].concat()
        } else {
            [&self.addresses[..], &[ports[2], ports[3], ports[0], ports[1]], &count].concat()
        };
        let [k0, k1] = cx.env().secret();
        siphash([k0 ^ key, k1], &bytes) as u32
    }

    /// The cookie that answers a SYN from a peer that takes segments of `size`, and the size it names.
    fn cookie(&self, cx: &mut dyn HelperCx, size: u16) -> (u32, u16) {
        let sizes = &SIZES[usize::from(self.v6)];
        let index = sizes.iter().rposition(|known| size >= *known).unwrap_or(0);
        let count = minute(cx);
        let dated = self.hash(cx, count, 1).wrapping_add(index as u32) & MASK;
        let fixed = self.hash(cx, 0, 0).wrapping_add(self.word(4));
        (fixed.wrapping_add(count << BITS).wrapping_add(dated), sizes[index])
    }

    /// The segment size in the cookie that an ACK brings back, if it is one.
    fn size_in_cookie(&self, cx: &mut dyn HelperCx) -> Option<u16> {
        let sequence = self.word(4).wrapping_sub(1);
        let cookie = self.word(8).wrapping_sub(1);
        let cookie = cookie.wrapping_sub(self.hash(cx, 0, 0).wrapping_add(sequence));
        let count = minute(cx);
        let age = count.wrapping_sub(cookie >> BITS) & (u32::MAX >> BITS);
        if age >= AGE {
            return None;
        }
        let index = cookie.wrapping_sub(self.hash(cx, count.wrapping_sub(age), 1)) & MASK;
        SIZES[usize::from(self.v6)].get(index as usize).copied()
    }
}

/// Minutes since the machine was started.
fn minute(cx: &mut dyn HelperCx) -> u32 {
    let retired = cx.retired();
    let (now, rate) = (cx.env().now_ns(retired), u64::from(cx.env().tick_rate().max(1)));
    (jiffies_of(now, rate) / (60 * rate)) as u32
}

/// The segment size that a header's options name (`tcp_parse_mss_option`).
fn size_option(cx: &mut dyn HelperCx, tcp: u64, len: u32) -> Result<Option<u16>, Fault> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SIZE: u8 = 2;
    let mut options = [0; 40];
    let options = &mut options[..(len as usize).saturating_sub(TCP).min(40)];
    cx.read(tcp.wrapping_add(TCP as u64), options)?;
    let (mut at, mut size) = (0, None);
    while let Some(&kind) = options.get(at) {
        match (kind, options.get(at + 1).map(|len| usize::from(*len))) {
            (END, _) => break,
            (NOTHING, _) => at += 1,
            (_, Some(len)) if len >= 2 && at + len <= options.len() => {
                if kind == SIZE && len == 4 {
                    let named = u16::from_be_bytes([options[at + 2], options[at + 3]]);
                    size = Some(named).filter(|named| *named != 0).or(size);
                }
                at += len;
            }
            _ => break,
        }
    }
    Ok(size)
}

fn fails(errno: Errno) -> HelperOutcome {
    Ok(errno.as_return())
}

fn raw_gen(cx: &mut dyn HelperCx, [ip, tcp, len, ..]: [u64; 5], v6: bool) -> HelperOutcome {
    let len = len as u32;
    if (len as usize) < TCP {
        return fails(Errno::EINVAL);
    }
    let headers = Headers::read(cx, ip, tcp, v6)?;
    if len != headers.len() {
        return fails(Errno::EINVAL);
    }
    let size = size_option(cx, tcp, len)?.unwrap_or(USUAL[usize::from(v6)]);
    let (cookie, size) = headers.cookie(cx, size);
    Ok(u64::from(cookie) | u64::from(size) << 32)
}

pub(super) fn raw_gen_v4(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    raw_gen(cx, args, false)
}

pub(super) fn raw_gen_v6(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    raw_gen(cx, args, true)
}

fn raw_check(cx: &mut dyn HelperCx, [ip, tcp, ..]: [u64; 5], v6: bool) -> HelperOutcome {
    let headers = Headers::read(cx, ip, tcp, v6)?;
    if headers.size_in_cookie(cx).is_some() { Ok(0) } else { fails(Errno::EACCES) }
}

pub(super) fn raw_check_v4(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    raw_check(cx, args, false)
}

pub(super) fn raw_check_v6(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    raw_check(cx, args, true)
}

/// The headers of a packet for a socket that listens.
fn for_listener(
    cx: &mut dyn HelperCx,
    [socket, ip, ip_len, tcp, tcp_len]: [u64; 5],
) -> Result<Result<Headers, Errno>, Fault> {
    let (ip_len, tcp_len) = (ip_len as u32, tcp_len as u32);
    let listener = socket_of(cx, socket)
        .filter(|socket| socket.transport == Transport::Tcp && socket.state == SocketState::Listen);
    let Some(listener) = listener.filter(|_| tcp_len as usize >= TCP) else { return Ok(Err(Errno::EINVAL)) };
    if ip_len < 20 {
        return Ok(Err(Errno::EINVAL));
    }
    let mut version = [0];
    cx.read(ip, &mut version)?;
    let v6_socket = matches!(listener.local.0, IpAddr::V6(_));
    match version[0] >> 4 {
        4 => Headers::read(cx, ip, tcp, false).map(Ok),
        6 if ip_len >= 40 && v6_socket => Headers::read(cx, ip, tcp, true).map(Ok),
        6 => Ok(Err(Errno::EINVAL)),
        _ => Ok(Err(Errno::EPROTONOSUPPORT)),
    }
}

pub(super) fn tcp_gen_syncookie(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    let headers = match for_listener(cx, args)? {
        Ok(headers) => headers,
        Err(errno) => return fails(errno),
    };
    let flags = headers.flags();
    let others = tcp_flag::ACK | tcp_flag::FIN | tcp_flag::RST;
    if args[4] as u32 != headers.len() || flags & tcp_flag::SYN == 0 || flags & others != 0 {
        return fails(Errno::EINVAL);
    }
    // Unless a machine is told to send cookies always, it does so when the queue of a socket is full.
    if !cx.env().network().always_cookies {
        return fails(Errno::ENOENT);
    }
    let size = size_option(cx, args[3], headers.len())?.unwrap_or(USUAL[usize::from(headers.v6)]);
    let (cookie, size) = headers.cookie(cx, size);
    Ok(u64::from(cookie) | u64::from(size) << 32)
}

pub(super) fn tcp_check_syncookie(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    let headers = match for_listener(cx, args)? {
        Ok(headers) => headers,
        Err(errno) => return fails(errno),
    };
    let flags = headers.flags();
    let plain = flags & (tcp_flag::ACK | tcp_flag::RST | tcp_flag::SYN) == tcp_flag::ACK;
    let good = plain && cx.env().network().always_cookies && headers.size_in_cookie(cx).is_some();
    if good { Ok(0) } else { fails(Errno::ENOENT) }
}
