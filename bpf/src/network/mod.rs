//! The network around a program: devices, addresses, routes, neighbours, sockets, control groups.
//!
//! Plain data that a scenario or a test fills in, and the look-ups Linux makes in it: routes by rules, tables, longest prefix
//! and metric ([`fib`]), sockets by their ends. Helpers reach it through [`crate::env::Env::network`]; nothing a program does
//! changes it.

pub mod fib;
mod socket;
mod source;

use std::net::IpAddr;

pub use fib::{NextHop, Prefix, Route, RouteKind, Rule};
pub use socket::{Ends, SOCKET, Socket, SocketState, TCP_SOCK, Transport};

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number, at least 1.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Longest packet in bytes, without link-layer header.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether packets that came in by it are forwarded: IPv4, IPv6 (`net.ipv4.conf.NAME.forwarding`).
    pub forwarding: [bool; 2],
    /// The other end of a pair of virtual devices.
    pub peer: Option<u32>,
    /// Whether it sums what it receives and hands the sum up (`CHECKSUM_COMPLETE`); it says nothing of checksums otherwise.
    pub sums: bool,
    /// Its addresses with the lengths of their networks.
    pub addresses: Vec<Prefix>,
}

impl Device {
    /// A device that is up and forwards, with Ethernet's MTU of 1,500 bytes and no address.
    pub fn new(ifindex: u32, name: impl Into<String>) -> Device {
        let [_, _, c, d] = ifindex.to_be_bytes();
        Device {
            ifindex,
            name: name.into(),
            mac: [2, 0, 0, 0, c, d],
            mtu: 1500,
            up: true,
            forwarding: [true; 2],
            peer: None,
            sums: false,
            addresses: Vec::new(),
        }
    }

    /// Bytes of its link-layer header.
    pub const fn header_len(&self) -> u32 {
        14
    }
}

/// What is known of a station on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The device whose link it is on.
    pub device: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// A control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cgroup {
    /// Its number, as a cgroup array's slot and `bpf_skb_cgroup_id` name it.
    pub id: u64,
    /// The number of the group it is in; `None` for the root.
    pub parent: Option<u64>,
    /// Its class (`net_cls.classid`); 0 is none.
    pub classid: u32,
}

/// Devices, routes, neighbours and sockets of one network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Devices, by ascending number.
    pub devices: Vec<Device>,
    /// Routes of all tables.
    pub routes: Vec<Route>,
    /// Rules beside the three that are always there.
    pub rules: Vec<Rule>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Sockets; a program names them by their place here.
    pub sockets: Vec<Socket>,
    /// Control groups.
    pub cgroups: Vec<Cgroup>,
    /// Whether listening sockets answer with SYN cookies always (`net.ipv4.tcp_syncookies` of 2) and not only when their
    /// queue is full, which it never is here.
    pub always_cookies: bool,
}

impl Network {
    /// A network without anything.
    pub const EMPTY: Network = Network {
        devices: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        neighbours: Vec::new(),
        sockets: Vec::new(),
        cgroups: Vec::new(),
        always_cookies: false,
    };

    /// Adds a device with the routes its addresses bring: to itself (`local`), to the broadcast address, to its network.
    pub fn add_device(&mut self, device: Device) {
        for address in &device.addresses {
            self.routes.extend(fib::routes_of(&device, address));
        }
        self.devices.push(device);
        self.devices.sort_by_key(|device| device.ifindex);
    }

    /// A device by its number.
    pub fn device(&self, ifindex: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.ifindex == ifindex)
    }

    /// The hardware address of a station on a device's link.
    pub fn neighbour(&self, device: u32, address: IpAddr) -> Option<[u8; 6]> {
        self.neighbours.iter().find(|n| n.device == device && n.address == address).map(|n| n.mac)
    }

    /// A control group by its number.
    pub fn cgroup(&self, id: u64) -> Option<&Cgroup> {
        self.cgroups.iter().find(|group| group.id == id)
    }

    /// The numbers of a group's ancestors, the root's first, its own last. A group that is in a ring of groups has none.
    pub fn ancestors(&self, id: u64) -> Vec<u64> {
        let mut line = vec![id];
        let mut at = self.cgroup(id);
        while let Some(parent) = at.and_then(|group| group.parent) {
            if line.len() > self.cgroups.len() {
                return Vec::new();
            }
            line.push(parent);
            at = self.cgroup(parent);
        }
        line.reverse();
        line
    }
}
