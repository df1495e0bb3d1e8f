//! Receive-side scaling: which queue a packet goes to.

/// A receive-side-scaling hash and what it was computed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RssHash {
    /// The Toeplitz hash.
    pub value: u32,
    /// Whether ports were part of it, or addresses only.
    pub l4: bool,
}

/// The key of Microsoft's specification ("Verifying the RSS Hash Calculation"), which drivers start with.
pub const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

/// Most bytes that are hashed: two IPv6 addresses and two ports.
const MOST: usize = 36;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// Toeplitz hash and indirection table.
#[derive(Debug, Clone)]
pub struct Rss {
    /// For each position and value of a byte, what it adds to the hash.
    bytes: Vec<[u32; 256]>,
    table: Vec<u16>,
}

impl Rss {
    /// With that many entries in the indirection table, which deals them to `queues` in turn.
    pub fn new(entries: u16, queues: u16) -> Self {
        let bit = |position: usize| -> u32 {
            let (byte, shift) = (position / 8, position % 8);
            let window = (0..5).fold(0u64, |w, i| w << 8 | u64::from(KEY[byte + i]));
            (window >> (8 - shift)) as u32
        };
        let of = |position: usize, value: usize| {
            (0..8).filter(|b| value & (0x80 >> b) != 0).fold(0, |hash, b| hash ^ bit(8 * position + b))
        };
        Rss {
            bytes: (0..MOST).map(|p| std::array::from_fn(|v| of(p, v))).collect(),
            table: (0..entries).map(|entry| entry % queues.max(1)).collect(),
        }
    }

    /// Toeplitz hash of at most 36 bytes.
    fn toeplitz(&self, parts: [&[u8]; 2]) -> u32 {
        let bytes = parts.into_iter().flatten();
        self.bytes.iter().zip(bytes).fold(0, |hash, (row, byte)| hash ^ row[usize::from(*byte)])
    }

    /// Hash of a frame: addresses and, of TCP and UDP that is no fragment, ports. Up to two VLAN tags are stepped over.
    /// `None` for what is no IP packet, or none whole enough.
    pub fn hash(&self, frame: &[u8]) -> Option<RssHash> {
        let u16_at = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
        let mut at = 12;
        let mut ethertype = u16_at(at)?;
        for _ in 0..2 {
            if matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_QINQ) {
                at += 4;
                ethertype = u16_at(at)?;
            }
        }
        let ip = frame.get(at + 2..)?;
        let (addresses, protocol, l4) = match ethertype {
            ETHERTYPE_IPV4 => {
                let header = usize::from(*ip.first()? & 0xf) * 4;
                let fragment = u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x3fff != 0;
                (ip.get(12..20)?, *ip.get(9)?, ip.get(header.max(20)..).filter(|_| !fragment))
            }
            ETHERTYPE_IPV6 => (ip.get(8..40)?, *ip.get(6)?, ip.get(40..)),
            _ => return None,
        };
        let ports = l4.filter(|_| matches!(protocol, PROTOCOL_TCP | PROTOCOL_UDP)).and_then(|l4| l4.get(..4));
        Some(RssHash { value: self.toeplitz([addresses, ports.unwrap_or(&[])]), l4: ports.is_some() })
    }

    /// The queue of a hash; packets without one go to the first.
    pub fn queue(&self, hash: Option<RssHash>) -> u16 {
        let entry = hash.map_or(0, |h| h.value as usize) & (self.table.len() - 1);
        self.table[entry]
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn ipv4(src: &str, dst: &str, ports: Option<(u16, u16)>) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ETHERTYPE_IPV4.to_be_bytes());
        frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, if ports.is_some() { PROTOCOL_TCP } else { 1 }, 0, 0]);
        frame.extend(src.parse::<Ipv4Addr>().unwrap().octets());
        frame.extend(dst.parse::<Ipv4Addr>().unwrap().octets());
        let (from, to) = ports.unwrap_or_default();
        frame.extend(from.to_be_bytes());
        frame.extend(to.to_be_bytes());
        frame.resize(60, 0);
        frame
    }

    fn ipv6(src: &str, dst: &str, ports: (u16, u16), protocol: u8) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ETHERTYPE_IPV6.to_be_bytes());
        frame.extend([0x60, 0, 0, 0, 0, 20, protocol, 64]);
        frame.extend(src.parse::<Ipv6Addr>().unwrap().octets());
        frame.extend(dst.parse::<Ipv6Addr>().unwrap().octets());
        frame.extend(ports.0.to_be_bytes());
        frame.extend(ports.1.to_be_bytes());
        frame.resize(74, 0);
        frame
    }

    /// The verification suite of Microsoft's specification.
    #[test]
    fn the_hash_is_the_published_one() {
        let rss = Rss::new(128, 8);
        for (dst, dst_port, src, src_port, addresses, with_ports) in [
            ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e_8fc2, 0x51cc_c178),
            ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718_262a, 0xc626_b0ea),
            ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0_a5de, 0x5c2b_394a),
            ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x8298_9176, 0xafc7_327f),
            ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d18_09c5, 0x10e8_28a2),
        ] {
            let hash = rss.hash(&ipv4(src, dst, Some((src_port, dst_port)))).unwrap();
            assert_eq!(hash, RssHash { value: with_ports, l4: true });
            assert_eq!(rss.hash(&ipv4(src, dst, None)).unwrap(), RssHash { value: addresses, l4: false });
        }
        for (dst, dst_port, src, src_port, addresses, with_ports) in [
            ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc1_8cd5, 0x4020_7d3d),
            ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c_461c, 0xdde5_1bbf),
            ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61_e985, 0x02d1_feef),
        ] {
            let hash = rss.hash(&ipv6(src, dst, (src_port, dst_port), PROTOCOL_TCP)).unwrap();
            assert_eq!(hash, RssHash { value: with_ports, l4: true });
            assert_eq!(rss.hash(&ipv6(src, dst, (src_port, dst_port), 58)).unwrap().value, addresses);
        }
    }

    #[test]
    fn tags_fragments_and_other_packets() {
        let rss = Rss::new(128, 8);
        let plain = ipv4("66.9.149.187", "161.142.100.80", Some((2794, 1766)));
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]);
        assert_eq!(rss.hash(&tagged), rss.hash(&plain));
        let mut fragment = plain.clone();
        fragment[20] = 0x20;
        assert_eq!(rss.hash(&fragment).unwrap(), RssHash { value: 0x323e_8fc2, l4: false });
        assert_eq!(rss.hash(&[0; 60]), None);
        for len in 0..plain.len() {
            let _ = rss.hash(&plain[..len]);
        }
        assert_eq!(rss.queue(None), 0);
        assert_eq!(rss.queue(Some(RssHash { value: 0x87, l4: true })), 7);
    }
}
