//! What an skb is besides its bytes and the fields a program reads.

use std::net::IpAddr;

/// Words of a `struct __sk_buff` that helpers read or change, by offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum SkbWord {
    /// `pkt_type`.
    PktType = 4,
    /// `protocol`: the EtherType as it stands in memory.
    Protocol = 16,
    /// `vlan_present`.
    VlanPresent = 20,
    /// `vlan_tci`.
    VlanTci = 24,
    /// `vlan_proto`: as `protocol`.
    VlanProto = 28,
    /// `ifindex`.
    Ifindex = 40,
    /// `hash`.
    Hash = 68,
    /// `gso_segs`.
    GsoSegs = 164,
    /// `gso_size`.
    GsoSize = 176,
}

/// What is known of a packet's checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checked {
    /// Nothing (`CHECKSUM_NONE`).
    #[default]
    Nothing,
    /// The first `0` and that many more, from the outermost, are right (`CHECKSUM_UNNECESSARY`).
    Further(u8),
    /// The device has summed all that follows the link-layer header (`CHECKSUM_COMPLETE`).
    Whole,
}

/// An skb's headers and what travels with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkbState {
    /// Link-layer header, from `data`.
    pub mac: i32,
    /// Bytes of the link-layer header as they were last counted (`mac_len`); 0 where they were not.
    pub mac_len: u32,
    /// Network header, from `data`.
    pub network: i32,
    /// Transport header, from `data`, where somebody has set it.
    pub transport: Option<i32>,
    /// Whether a program has put headers around it.
    pub encapsulated: bool,
    /// What is known of its checksums.
    pub checked: Checked,
    /// The device's sum, and what it was last where it is worth nothing any more (`skb->csum`).
    pub sum: u32,
    /// Whether its hash is one over the flow.
    pub hash_of_flow: bool,
    /// Whether the hook is one of reception.
    pub ingress: bool,
    /// Number of its socket in the world's list.
    pub socket: Option<u32>,
    /// The tunnel it is to go into.
    pub tunnel: Option<Box<Tunnel>>,
}

/// A tunnel that `bpf_skb_set_tunnel_key` has chosen for a packet (`struct ip_tunnel_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its number (`tun_id`).
    pub id: u32,
    /// Source of the outer header.
    pub local: IpAddr,
    /// Destination of the outer header.
    pub remote: IpAddr,
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Flow label.
    pub label: u32,
    /// `TUNNEL_...`, as a number in host order.
    pub flags: u16,
    /// Options, at most 255 bytes.
    pub options: Vec<u8>,
}
