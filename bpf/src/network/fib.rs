//! Routes: which way to an address, as Linux chooses it.
//!
//! Rules in order of preference name tables; in a table the longest prefix wins, among equals the one for the type of service,
//! then the lowest metric. Where nothing in a table fits, the next rule is asked.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Device, Network};

/// Table of addresses that are the machine's own.
pub const LOCAL: u32 = 255;
/// Table of routes that name none.
pub const MAIN: u32 = 254;
/// Table that is asked last.
pub const DEFAULT: u32 = 253;
/// Metric of IPv6 routes that name none (`IP6_RT_PRIO_USER`).
pub const IPV6_METRIC: u32 = 1024;
/// Metric of IPv6 routes that the kernel makes (`IP6_RT_PRIO_KERN`).
pub const IPV6_KERNEL_METRIC: u32 = 256;

/// An address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Bits.
    pub len: u8,
}

impl Prefix {
    /// All addresses of a family.
    pub const fn any(v6: bool) -> Prefix {
        let address = match v6 {
            true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        Prefix { address, len: 0 }
    }

    /// One address.
    pub const fn host(address: IpAddr) -> Prefix {
        Prefix { address, len: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The bits that count and, above them, how many the family has.
    fn network(&self, address: IpAddr) -> Option<u128> {
        let (bits, width) = match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(a)) => (u128::from(a.to_bits()), 32),
            (IpAddr::V6(_), IpAddr::V6(a)) => (a.to_bits(), 128),
            _ => return None,
        };
        let host = width - u32::from(self.len).min(width);
        Some(bits.checked_shr(host).unwrap_or(0))
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network(address).is_some_and(|bits| Some(bits) == self.network(self.address))
    }

    /// The address of all routers of an IPv6 network: its first.
    fn routers(&self) -> Option<Ipv6Addr> {
        let IpAddr::V6(address) = self.address else { return None };
        (1..127).contains(&self.len).then(|| Ipv6Addr::from_bits(address.to_bits() & u128::MAX << (128 - self.len)))
    }

    /// The last address, to which IPv4 sends what is for all.
    fn broadcast(&self) -> Option<Ipv4Addr> {
        let IpAddr::V4(address) = self.address else { return None };
        (self.len < 31).then(|| Ipv4Addr::from_bits(address.to_bits() | u32::MAX >> self.len))
    }
}

/// What is done with packets of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// Sent on.
    Unicast,
    /// Taken in: the machine's own.
    Local,
    /// Taken in: for all.
    Broadcast,
    /// Dropped without a word.
    Blackhole,
    /// Dropped with the word that there is no way.
    Unreachable,
    /// Dropped with the word that it is not allowed.
    Prohibit,
    /// As if the table had no route.
    Throw,
}

/// One way of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// The device it leaves by.
    pub device: u32,
    /// The station it goes to, if that is not the destination.
    pub gateway: Option<IpAddr>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Table it is in.
    pub table: u32,
    /// Where it leads.
    pub to: Prefix,
    /// Type of service it is for; 0 is any.
    pub tos: u8,
    /// The lower, the better.
    pub metric: u32,
    /// What is done.
    pub kind: RouteKind,
    /// The way; kinds that send nothing may have none.
    pub hop: Option<NextHop>,
    /// Longest packet, if it says so.
    pub mtu: Option<u32>,
    /// Whether that is final (`mtu lock`); IPv4 forwards by the device's otherwise.
    pub mtu_locked: bool,
    /// Address to send from.
    pub source: Option<IpAddr>,
}

impl Route {
    /// A route in table `main` by a device.
    pub fn new(to: Prefix, hop: NextHop) -> Route {
        Route {
            table: MAIN,
            to,
            tos: 0,
            metric: if to.address.is_ipv6() { IPV6_METRIC } else { 0 },
            kind: RouteKind::Unicast,
            hop: Some(hop),
            mtu: None,
            mtu_locked: false,
            source: None,
        }
    }
}

/// A rule beside the three that are always there: 0 asks `local`, 32766 `main`, 32767 (IPv4 alone) `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The lower, the sooner it is asked.
    pub preference: u32,
    /// Whether it is for IPv6.
    pub v6: bool,
    /// Sources it is for.
    pub from: Prefix,
    /// Destinations it is for.
    pub to: Prefix,
    /// The device packets came in by; `None` is any.
    pub device: Option<u32>,
    /// Mark, and the bits of it that count; a mask of 0 is any.
    pub mark: (u32, u32),
    /// Table to ask.
    pub table: u32,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Where from, if rules may ask for it.
    pub source: Option<IpAddr>,
    /// Where to.
    pub destination: IpAddr,
    /// The device it came in by.
    pub input: u32,
    /// The device it must leave by.
    pub output: Option<u32>,
    /// Type of service.
    pub tos: u8,
    /// Mark.
    pub mark: u32,
}

/// The routes that a device's address brings (`fib_add_ifaddr`, `addrconf_prefix_route`).
pub(super) fn routes_of(device: &Device, address: &Prefix) -> Vec<Route> {
    let hop = NextHop { device: device.ifindex, gateway: None };
    let own = Prefix::host(address.address);
    let source = address.address.is_ipv4().then_some(address.address);
    let kernel = |to, table, kind, metric| Route { table, kind, metric, source, ..Route::new(to, hop) };
    let metric = if address.address.is_ipv6() { IPV6_KERNEL_METRIC } else { 0 };
    let mut routes = vec![kernel(own, LOCAL, RouteKind::Local, 0)];
    if *address != own && address.address.is_loopback() {
        routes.push(kernel(*address, LOCAL, RouteKind::Local, 0));
    } else if *address != own {
        routes.push(kernel(*address, MAIN, RouteKind::Unicast, metric));
    }
    // Where it forwards, a station also answers to the address of all routers of a network (RFC 4291 §2.6.1).
    if let (Some(routers), true) = (address.routers(), device.forwarding[1]) {
        routes.push(kernel(Prefix::host(routers.into()), LOCAL, RouteKind::Local, 0));
    }
    if let Some(last) = address.broadcast() {
        routes.push(kernel(Prefix::host(last.into()), LOCAL, RouteKind::Broadcast, 0));
    }
    routes
}

impl Network {
    /// Whether a table has any route of a family. `local`, `main` and `default` are always there.
    pub fn has_table(&self, table: u32, v6: bool) -> bool {
        // Without rules of its own a machine keeps one table for `local` and `main` both.
        matches!(table, LOCAL | MAIN)
            || self.routes.iter().any(|route| route.table == table && route.to.address.is_ipv6() == v6)
            || self.rules.iter().any(|rule| rule.table == table && rule.v6 == v6)
            || (table == DEFAULT && !self.rules.is_empty())
    }

    /// The route of one table; one of the kind `throw` is found like any other.
    ///
    /// As long as nobody adds a rule of IPv4, `local` and `main` of that family are one table: the longest prefix of both
    /// wins. The device that a packet must leave by decides in IPv4 alone.
    pub fn route_in(&self, table: u32, query: &Query) -> Option<&Route> {
        let v6 = query.destination.is_ipv6();
        let merged = !v6 && !self.rules.iter().any(|rule| !rule.v6) && matches!(table, LOCAL | MAIN);
        let fits = |route: &&Route| {
            (route.table == table || (merged && matches!(route.table, LOCAL | MAIN)))
                && route.to.contains(query.destination)
                && (route.tos == 0 || route.tos == query.tos)
                && route.hop.is_none_or(|hop| {
                    self.device(hop.device).is_some_and(|device| device.up)
                        && (v6 || query.output.is_none_or(|output| output == hop.device))
                })
        };
        let better = |a: &&Route, b: &&Route| {
            let rank = |route: &Route| (Reverse(route.to.len), Reverse(route.table), Reverse(route.tos), route.metric);
            rank(a).cmp(&rank(b))
        };
        self.routes.iter().filter(fits).min_by(better)
    }

    /// The route by rules: the first that does not throw.
    pub fn route(&self, query: &Query) -> Option<&Route> {
        self.routes_by_rules(query).find(|route| route.kind != RouteKind::Throw)
    }

    /// What each table says that a rule for the packet names, in the order they are asked.
    pub fn routes_by_rules(&self, query: &Query) -> impl Iterator<Item = &Route> {
        let v6 = query.destination.is_ipv6();
        let always = [(0, LOCAL), (32_766, MAIN), (32_767, DEFAULT)];
        let mut tables: Vec<(u32, u32)> = always[..if v6 { 2 } else { 3 }].to_vec();
        let own = self.rules.iter().filter(|rule| {
            rule.v6 == v6
                && (rule.from.len == 0 || query.source.is_some_and(|source| rule.from.contains(source)))
                && rule.to.contains(query.destination)
                && rule.device.is_none_or(|device| device == query.input)
                && (query.mark ^ rule.mark.0) & rule.mark.1 == 0
        });
        tables.extend(own.map(|rule| (rule.preference, rule.table)));
        tables.sort_by_key(|(preference, _)| *preference);
        let query = *query;
        tables.into_iter().filter_map(move |(_, table)| self.route_in(table, &query))
    }
}
