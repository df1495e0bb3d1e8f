//! Contexts as `BPF_PROG_TEST_RUN` makes them: the device is the loopback, whose address is all zeros.

use bpf::interp::{ContextInput, SkbFields, XdpFields};
use bpf::program::ProgType;

/// Bytes of an Ethernet header.
pub const ETH_HLEN: usize = 14;
/// EtherTypes below are lengths of IEEE 802.3 frames.
const ETH_P_802_3_MIN: u16 = 0x600;
const ETH_P_802_3: u32 = 0x0001;
const ETH_P_802_2: u32 = 0x0004;

/// The context of one run, with the structure that the case gives, if it does.
pub fn of(ty: ProgType, packet: &[u8], given: Option<&[u8]>) -> ContextInput {
    let word = |at: usize| {
        let bytes = given.and_then(|bytes| bytes.get(at..)?.first_chunk::<4>().copied());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let long = |at| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if ty == ProgType::Xdp {
        return ContextInput::Xdp(XdpFields { ingress_ifindex: 1, rx_queue_index: word(16), ..XdpFields::default() });
    }
    ContextInput::Skb(SkbFields {
        pkt_type: pkt_type(packet),
        mark: word(8),
        protocol: protocol(packet),
        priority: word(32),
        ifindex: 1,
        ingress_ifindex: word(36),
        cb: [48, 52, 56, 60, 64].map(word),
        tstamp: long(152),
        wire_len: word(160),
        gso_segs: word(164),
        gso_size: word(176),
        hwtstamp: long(184),
        // A socket filter gets what follows the link-layer header.
        pulled: if ty == ProgType::SocketFilter { ETH_HLEN.min(packet.len()) as u32 } else { 0 },
        ..SkbFields::default()
    })
}

/// `eth_type_trans`: for this device (0), several (2) or another (3). No frame is a broadcast on the loopback.
fn pkt_type(packet: &[u8]) -> u32 {
    match packet.first_chunk::<6>() {
        None | Some([0, 0, 0, 0, 0, 0]) => 0,
        Some([first, ..]) if first & 1 != 0 => 2,
        Some(_) => 3,
    }
}

/// In network byte order, as a little-endian machine reads it.
fn protocol(packet: &[u8]) -> u32 {
    let Some(&[high, low]) = packet.get(12..).and_then(|rest| rest.first_chunk()) else { return 0 };
    let in_order = |ty: u32| u32::from((ty as u16).swap_bytes());
    if u16::from_be_bytes([high, low]) >= ETH_P_802_3_MIN {
        return u32::from(u16::from_le_bytes([high, low]));
    }
    match packet.get(ETH_HLEN..ETH_HLEN + 2) {
        Some([0xff, 0xff]) => in_order(ETH_P_802_3),
        _ => in_order(ETH_P_802_2),
    }
}
