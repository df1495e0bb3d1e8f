//! Helpers that ask for the way of a packet: `bpf_fib_lookup`, `bpf_check_mtu`, redirects by neighbour and to the other end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Delivery, HelperCx, HelperOutcome, Redirect};
use crate::errno::Errno;
use crate::network::fib::{MAIN, Prefix, Query};
use crate::network::{Network, Route, RouteKind};
use crate::program::{Endian, ProgType};

/// Bytes of `struct bpf_fib_lookup`.
const PARAMS: usize = 64;

/// Flags of `bpf_fib_lookup`.
mod flag {
    pub const DIRECT: u32 = 1;
    pub const OUTPUT: u32 = 1 << 1;
    pub const SKIP_NEIGH: u32 = 1 << 2;
    pub const TBID: u32 = 1 << 3;
    pub const SRC: u32 = 1 << 4;
    pub const MARK: u32 = 1 << 5;
    pub const ALL: u32 = DIRECT | OUTPUT | SKIP_NEIGH | TBID | SRC | MARK;
}

/// Offsets in the parameters.
mod at {
    pub const FAMILY: usize = 0;
    /// On the way in `tot_len`, on the way out `mtu_result`.
    pub const LEN: usize = 6;
    pub const IFINDEX: usize = 8;
    /// On the way in the type of service, on the way out the metric.
    pub const TOS: usize = 12;
    pub const SRC: usize = 16;
    pub const DST: usize = 32;
    /// On the way in the table, on the way out the tag.
    pub const TABLE: usize = 48;
    /// On the way in the mark, on the way out both hardware addresses.
    pub const MARK: usize = 52;
    pub const SMAC: usize = 52;
    pub const DMAC: usize = 58;
}

/// What a look-up answers (`BPF_FIB_LKUP_RET_...`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Success = 0,
    Blackhole = 1,
    Unreachable = 2,
    Prohibit = 3,
    NotForwarded = 4,
    ForwardingDisabled = 5,
    NoNeighbour = 7,
    FragmentationNeeded = 8,
    NoSource = 9,
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Longest packet of IPv4 (`IP_MAX_MTU`).
const LONGEST: u32 = 0xffff;

/// The parameters.
struct Params {
    bytes: [u8; PARAMS],
    order: Endian,
}

impl Params {
    fn half(&self, at: usize) -> u16 {
        self.order.half([self.bytes[at], self.bytes[at + 1]])
    }

    fn word(&self, at: usize) -> u32 {
        let b = &self.bytes;
        self.order.word([b[at], b[at + 1], b[at + 2], b[at + 3]])
    }

    fn put_half(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&self.order.half_bytes(value));
    }

    fn put_word(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&self.order.bytes(value));
    }

    fn address(&self, at: usize, v6: bool) -> IpAddr {
        let bytes: [u8; 16] = self.bytes[at..at + 16].try_into().expect("16 bytes of the parameters");
        if v6 { Ipv6Addr::from(bytes).into() } else { Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into() }
    }

    fn put_address(&mut self, at: usize, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.bytes[at..at + 4].copy_from_slice(&a.octets()),
            IpAddr::V6(a) => self.bytes[at..at + 16].copy_from_slice(&a.octets()),
        }
    }
}

pub(super) fn fib_lookup(cx: &mut dyn HelperCx, [_, params, size, flags, _]: [u64; 5]) -> HelperOutcome {
    let (size, flags) = (size as u32, flags as u32);
    if (size as usize) < PARAMS || flags & !flag::ALL != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    let mut p = Params { bytes: [0; PARAMS], order: cx.byte_order() };
    cx.read(params, &mut p.bytes)?;
    let v6 = match p.bytes[at::FAMILY] {
        AF_INET => false,
        AF_INET6 => true,
        _ => return Ok(Errno::EAFNOSUPPORT.as_return()),
    };
    let skb = cx.prog_type().is_skb();
    let (check_mtu, len) = (!skb || p.half(at::LEN) != 0, cx.packet_len());
    let network = cx.env().network();
    let mut answer = look_up(network, &mut p, v6, flags, check_mtu);
    if skb && !check_mtu && answer == Ok(Answer::Success) {
        // The packet itself is held against the device it would leave by (`is_skb_forwardable`).
        if let Some(device) = network.device(p.word(at::IFINDEX)) {
            const VLAN_HLEN: u32 = 4;
            if !device.up || len > device.mtu.saturating_add(device.header_len() + VLAN_HLEN) {
                answer = Ok(Answer::FragmentationNeeded);
            }
            p.put_half(at::LEN, device.mtu as u16);
        }
    }
    cx.write(params, &p.bytes)?;
    Ok(answer.map_or_else(Errno::as_return, |answer| answer as u64))
}

/// Whether an address is never forwarded: of one link, of many, or the station itself (`rt6_need_strict`).
fn stays_on_link(address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    address.is_multicast() || address.is_unicast_link_local() || address.is_loopback()
}

fn look_up(network: &Network, p: &mut Params, v6: bool, flags: u32, check_mtu: bool) -> Result<Answer, Errno> {
    let source_given = p.address(at::SRC, v6);
    let query = Query {
        // What leaves by a device has no source yet for rules of IPv6 (`RT6_LOOKUP_F_HAS_SADDR`).
        source: (!v6 || flags & flag::OUTPUT == 0).then_some(source_given),
        destination: p.address(at::DST, v6),
        input: if flags & flag::OUTPUT != 0 { 1 } else { p.word(at::IFINDEX) },
        output: (flags & flag::OUTPUT != 0).then(|| p.word(at::IFINDEX)),
        // IPv6 takes a flow label there, which no route asks for; of IPv4 the six bits of the service count.
        tos: if v6 { 0 } else { p.bytes[at::TOS] & 0xfc },
        mark: if flags & flag::MARK != 0 { p.word(at::MARK) } else { 0 },
    };
    if stays_on_link(query.destination) || stays_on_link(source_given) {
        return Ok(Answer::NotForwarded);
    }
    let device = network.device(p.word(at::IFINDEX)).ok_or(Errno::ENODEV)?;
    if !device.forwarding[usize::from(v6)] {
        return Ok(Answer::ForwardingDisabled);
    }
    let route = if flags & flag::DIRECT != 0 {
        let mut table = MAIN;
        if flags & flag::TBID != 0 {
            table = Some(p.word(at::TABLE)).filter(|table| *table != 0).unwrap_or(MAIN);
            p.put_word(at::TABLE, 0);
        }
        network.has_table(table, v6).then(|| network.route_in(table, &query)).flatten()
    } else if v6 {
        // For programs a route that throws ends an IPv6 look-up (`fib6_rule_action_alt` takes any route as found).
        network.routes_by_rules(&query).next()
    } else {
        network.route(&query)
    };
    let Some(route) = route else { return Ok(Answer::NotForwarded) };
    match route.kind {
        RouteKind::Unicast => {}
        RouteKind::Blackhole => return Ok(Answer::Blackhole),
        RouteKind::Unreachable => return Ok(Answer::Unreachable),
        RouteKind::Prohibit => return Ok(Answer::Prohibit),
        RouteKind::Local | RouteKind::Broadcast | RouteKind::Throw => return Ok(Answer::NotForwarded),
    }
    let Some(hop) = route.hop else { return Ok(Answer::NotForwarded) };
    let Some(device) = network.device(hop.device) else { return Ok(Answer::NotForwarded) };
    let mtu = mtu_of(route, device.mtu, v6);
    if check_mtu && u32::from(p.half(at::LEN)) > mtu {
        p.put_half(at::LEN, mtu as u16);
        return Ok(Answer::FragmentationNeeded);
    }
    if v6 {
        // IPv6 has the way before the metric and the device.
        put_gateway(p, hop.gateway);
    }
    p.put_word(at::TOS, route.metric);
    p.put_word(at::IFINDEX, hop.device);
    if flags & flag::SRC != 0 {
        match source(network, route, query.destination) {
            Some(address) => p.put_address(at::SRC, address),
            None if v6 => return Ok(Answer::NoSource),
            None => p.put_address(at::SRC, Ipv4Addr::UNSPECIFIED.into()),
        }
    }
    if !v6 {
        put_gateway(p, hop.gateway);
    }
    if flags & flag::SKIP_NEIGH == 0 {
        let station = p.address(at::DST, p.bytes[at::FAMILY] == AF_INET6);
        let Some(mac) = network.neighbour(hop.device, station) else { return Ok(Answer::NoNeighbour) };
        p.bytes[at::DMAC..at::DMAC + 6].copy_from_slice(&mac);
        p.bytes[at::SMAC..at::SMAC + 6].copy_from_slice(&device.mac);
    }
    p.put_word(at::TABLE, 0);
    if check_mtu {
        p.put_half(at::LEN, mtu as u16);
    }
    Ok(Answer::Success)
}

fn put_gateway(p: &mut Params, gateway: Option<IpAddr>) {
    if let Some(gateway) = gateway {
        if gateway.is_ipv6() {
            p.bytes[at::FAMILY] = AF_INET6;
        }
        p.put_address(at::DST, gateway);
    }
}

/// The longest packet that goes by a route (`ip_mtu_from_fib_result`, `ip6_mtu_from_fib6`): what a route says counts only
/// where it is final.
fn mtu_of(route: &Route, device: u32, v6: bool) -> u32 {
    match route.mtu {
        Some(mtu) if route.mtu_locked && v6 => mtu,
        Some(mtu) if route.mtu_locked => mtu.min(LONGEST),
        _ => device.min(LONGEST),
    }
}

/// The address to send from by a route (`fib_result_prefsrc`): the route's own, else the device's first of the gateway's
/// network, or first of all; of IPv6, the one that goes best with the destination.
fn source(network: &Network, route: &Route, destination: IpAddr) -> Option<IpAddr> {
    if route.source.is_some() {
        return route.source;
    }
    let hop = route.hop?;
    if let IpAddr::V6(destination) = destination {
        return network.source_v6(hop.device, destination).map(IpAddr::V6);
    }
    let own = || network.device(hop.device).into_iter().flat_map(|device| &device.addresses);
    let same = || own().filter(|prefix| prefix.address.is_ipv4());
    let near = |prefix: &&Prefix| hop.gateway.is_some_and(|gateway| prefix.contains(gateway));
    same().find(near).or_else(|| same().next()).map(|prefix| prefix.address)
}

pub(super) fn check_mtu(cx: &mut dyn HelperCx, [_, ifindex, len_at, diff, flags]: [u64; 5]) -> HelperOutcome {
    const SEGMENTS: u64 = 1;
    let (fits, too_long) = (0, 1);
    let skb = cx.prog_type() != ProgType::Xdp;
    let mut bytes = [0; 4];
    cx.read(len_at, &mut bytes)?;
    let (order, diff) = (cx.byte_order(), diff as i32);
    let asked = order.word(bytes);
    let known = if skb { SEGMENTS } else { 0 };
    if flags & !known != 0 || (flags & SEGMENTS != 0 && (diff != 0 || asked != 0)) {
        return Ok(Errno::EINVAL.as_return());
    }
    let ifindex = if ifindex as u32 == 0 { cx.ifindex() } else { ifindex as u32 };
    let packet = cx.packet_len();
    let Some(device) = cx.env().network().device(ifindex) else { return Ok(Errno::ENODEV.as_return()) };
    let (mtu, header) = (device.mtu, device.header_len());
    let len = if asked != 0 { asked.wrapping_add(header) } else { packet } as i32;
    let longer = len.wrapping_add(diff) > mtu.saturating_add(header) as i32;
    let segmented = skb && cx.skb_word(super::SkbWord::GsoSize) != 0;
    cx.write(len_at, &order.bytes(mtu))?;
    Ok(if longer && !segmented { too_long } else { fits })
}

/// Verdicts of tc.
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;

pub(super) fn redirect_neigh(cx: &mut dyn HelperCx, [ifindex, params, size, flags, _]: [u64; 5]) -> HelperOutcome {
    /// Bytes of `struct bpf_redir_neigh`: family, address.
    const PARAMS: usize = 20;
    let size = size as u32 as usize;
    if (size != 0 && size < PARAMS) || flags != 0 {
        return Ok(TC_ACT_SHOT);
    }
    let mut next = None;
    if size != 0 {
        let mut p = Params { bytes: [0; 64], order: cx.byte_order() };
        cx.read(params, &mut p.bytes[..PARAMS])?;
        next = match p.word(0) {
            family if family == u32::from(AF_INET) => Some(p.address(4, false)),
            family if family == u32::from(AF_INET6) => Some(p.address(4, true)),
            _ => None,
        };
    }
    let delivery = Delivery::Neighbour(next);
    cx.redirect(Some(Redirect { ifindex: ifindex as u32, flags: 0, map: None, delivery }));
    Ok(TC_ACT_REDIRECT)
}

pub(super) fn redirect_peer(cx: &mut dyn HelperCx, [ifindex, flags, ..]: [u64; 5]) -> HelperOutcome {
    if flags != 0 {
        return Ok(TC_ACT_SHOT);
    }
    cx.redirect(Some(Redirect { ifindex: ifindex as u32, flags: 0, map: None, delivery: Delivery::Peer }));
    Ok(TC_ACT_REDIRECT)
}
