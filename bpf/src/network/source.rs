//! Which of a machine's IPv6 addresses it sends from (RFC 6724 §5, as `ipv6_dev_get_saddr` has it).

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use super::{Network, Prefix};

/// Labels of prefixes, the longest first (RFC 6724 §2.1, as Linux begins with them); the last is of everything else.
const LABELS: [(u128, u32, u32); 7] = [
    (1, 128, 0),
    (0xffff << 32, 96, 4),
    (0, 96, 3),
    (0x2001_0000 << 96, 32, 6),
    (0x2001_0010 << 96, 28, 7),
    (0x2002 << 112, 16, 2),
    (0xfc << 120, 7, 5),
];
const OTHER: u32 = 1;

fn label(address: Ipv6Addr) -> u32 {
    let bits = address.to_bits();
    LABELS.iter().find(|(prefix, len, _)| (bits ^ prefix) >> (128 - len) == 0).map_or(OTHER, |(.., label)| *label)
}

/// How far an address reaches, as multicast addresses say it (RFC 4291 §2.7).
fn scope(address: Ipv6Addr) -> i32 {
    const LINK: i32 = 2;
    const GLOBAL: i32 = 14;
    match address {
        Ipv6Addr::UNSPECIFIED => 0,
        a if a.is_multicast() => i32::from(a.octets()[1] & 15),
        a if a.is_loopback() || a.is_unicast_link_local() => LINK,
        _ => GLOBAL,
    }
}

/// How good an address is to send from: rules 1, 2, 5, 6 and 8 of RFC 6724.
fn rank(own: &Prefix, address: Ipv6Addr, leaves_here: bool, destination: Ipv6Addr) -> impl Ord + use<> {
    let (reach, needed) = (scope(address), scope(destination));
    let enough = reach >= needed;
    let common = (address.to_bits() ^ destination.to_bits()).leading_zeros();
    (
        address == destination,
        // The smallest that is enough, else the largest.
        (enough, if enough { Reverse(reach) } else { Reverse(-reach) }),
        leaves_here,
        label(address) == label(destination),
        common.min(u32::from(own.len)),
    )
}

impl Network {
    /// The address for packets that leave by a device to a destination, of all the machine has; the first of equals.
    pub fn source_v6(&self, device: u32, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        let mut best = None;
        for candidate in self.devices.iter().filter(|candidate| candidate.up) {
            for own in &candidate.addresses {
                let IpAddr::V6(address) = own.address else { continue };
                let rank = rank(own, address, candidate.ifindex == device, destination);
                if best.as_ref().is_none_or(|(than, _)| rank > *than) {
                    best = Some((rank, address));
                }
            }
        }
        best.map(|(_, address)| address)
    }
}
