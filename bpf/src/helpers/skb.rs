//! What helpers do to an skb's length and headers.
//!
//! The skb is linear. Its head and tail grow as far as Linux lets them; a new buffer is found where the old one has no room.

use super::{Checked, HelperCx, HelperOutcome, SkbWord, skb_sum};
use crate::errno::Errno;

/// EtherTypes.
pub(super) mod ether {
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
    pub const VLAN: u16 = 0x8100;
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// What the kernel calls IEEE 802.3 frames without and with an 802.2 header.
    pub const RAW_802_3: u16 = 1;
    pub const P_802_2: u16 = 4;
    /// Least number that is a protocol and no length.
    pub const LEAST: u16 = 0x0600;
}

const ETH_HLEN: u32 = 14;
const VLAN_HLEN: u32 = 4;
/// Longest packet that helpers make, segmented ones apart: what the kernel allocates for an skb of one piece on x86-64
/// (`SKB_MAX_ALLOC`: four pages less `struct skb_shared_info`).
const MAX_LEN: u32 = 4 * 4096 - 320;
/// Bytes moved at a time.
const CHUNK: u32 = 256;

fn fails(errno: Errno) -> HelperOutcome {
    Ok(errno.as_return())
}

fn done(result: Result<(), Errno>) -> HelperOutcome {
    Ok(result.map_or_else(Errno::as_return, |()| 0))
}

/// The EtherType in a word of the context.
pub(super) fn ether_type(cx: &dyn HelperCx, word: SkbWord) -> u16 {
    u16::from_be_bytes(cx.byte_order().half_bytes(cx.skb_word(word) as u16))
}

fn set_ether_type(cx: &mut dyn HelperCx, word: SkbWord, value: u16) {
    let half = cx.byte_order().half(value.to_be_bytes());
    cx.set_skb_word(word, u32::from(half));
}

fn is_segmented(cx: &dyn HelperCx) -> bool {
    cx.skb_word(SkbWord::GsoSize) != 0
}

pub(super) fn clear_hash(cx: &mut dyn HelperCx) {
    cx.set_skb_word(SkbWord::Hash, 0);
    cx.skb().hash_of_flow = false;
}

/// Moves `len` packet bytes from one offset to another, as far as there are any.
fn shift(cx: &mut dyn HelperCx, from: u32, to: u32, len: u32) {
    let len = len.min(cx.packet_len().saturating_sub(from.max(to)));
    let mut buf = [0; CHUNK as usize];
    let chunks = len.div_ceil(CHUNK);
    for chunk in 0..chunks {
        // Upwards from the last piece, downwards from the first, as the two may overlap.
        let at = CHUNK * if to > from { chunks - 1 - chunk } else { chunk };
        let part = &mut buf[..CHUNK.min(len - at) as usize];
        cx.packet_read(from + at, part);
        cx.packet_write(to + at, part);
    }
}

fn zero(cx: &mut dyn HelperCx, off: u32, len: u32) {
    for at in (0..len).step_by(CHUNK as usize) {
        cx.packet_write(off + at, &[0; CHUNK as usize][..CHUNK.min(len - at) as usize]);
    }
}

/// Adds bytes before the packet; headers stay at their bytes.
fn push(cx: &mut dyn HelperCx, len: u32) -> Result<(), Errno> {
    if !cx.packet_headroom(len) {
        return Err(Errno::ENOMEM);
    }
    // A program's metadata does not survive that.
    cx.set_meta_len(0);
    cx.packet_move(-(len as i32), 0);
    move_headers(cx, len as i32);
    Ok(())
}

/// Takes bytes from before the packet; headers stay at their bytes.
fn pull(cx: &mut dyn HelperCx, len: u32) {
    cx.set_meta_len(0);
    cx.packet_move(len as i32, 0);
    move_headers(cx, -(len as i32));
}

fn move_headers(cx: &mut dyn HelperCx, by: i32) {
    let skb = cx.skb();
    skb.mac += by;
    skb.network += by;
    skb.transport = skb.transport.map(|at| at + by);
}

fn transport_is_network(cx: &mut dyn HelperCx) -> bool {
    let skb = cx.skb();
    skb.transport == Some(skb.network)
}

/// Puts `len` zeros behind the first `off` bytes (`bpf_skb_net_hdr_push`): the headers before them move down.
fn insert(cx: &mut dyn HelperCx, off: u32, len: u32) -> Result<(), Errno> {
    let same = transport_is_network(cx);
    push(cx, len)?;
    shift(cx, len, 0, off);
    zero(cx, off, len);
    follow(cx, -(len as i32), same);
    Ok(())
}

/// Takes `len` bytes from behind the first `off` (`bpf_skb_net_hdr_pop`).
fn remove(cx: &mut dyn HelperCx, off: u32, len: u32) -> Result<(), Errno> {
    if u64::from(off) + u64::from(len) > u64::from(cx.packet_len()) {
        return Err(Errno::ENOMEM);
    }
    let same = transport_is_network(cx);
    skb_sum::leave(cx, off, len);
    shift(cx, 0, len, off);
    pull(cx, len);
    follow(cx, len as i32, same);
    Ok(())
}

/// Link-layer and network header have moved with the bytes before the gap.
fn follow(cx: &mut dyn HelperCx, by: i32, transport_too: bool) {
    let skb = cx.skb();
    skb.mac += by;
    skb.network += by;
    if transport_too {
        skb.transport = Some(skb.network);
    }
}

/// Bytes of the link-layer header.
fn mac_header_len(cx: &mut dyn HelperCx) -> u32 {
    (cx.skb().network - cx.skb().mac).max(0) as u32
}

fn count_mac(cx: &mut dyn HelperCx) {
    cx.skb().mac_len = mac_header_len(cx);
}

pub(super) fn pull_data(cx: &mut dyn HelperCx, [_, len, ..]: [u64; 5]) -> HelperOutcome {
    if len as u32 > cx.packet_len() { fails(Errno::ENOMEM) } else { Ok(0) }
}

pub(super) fn change_type(cx: &mut dyn HelperCx, [_, ty, ..]: [u64; 5]) -> HelperOutcome {
    const OTHERHOST: u32 = 3;
    let (ty, now) = (ty as u32, cx.skb_word(SkbWord::PktType));
    if ty > OTHERHOST || now > OTHERHOST {
        return fails(Errno::EINVAL);
    }
    cx.set_skb_word(SkbWord::PktType, ty);
    Ok(0)
}

pub(super) fn change_proto(cx: &mut dyn HelperCx, [_, proto, flags, ..]: [u64; 5]) -> HelperOutcome {
    // How much longer the fixed header of IPv6 is.
    const DIFFERENCE: u32 = 20;
    if flags != 0 {
        return fails(Errno::EINVAL);
    }
    let to = u16::from_be_bytes(cx.byte_order().half_bytes(proto as u16));
    let from = ether_type(cx, SkbWord::Protocol);
    let off = mac_header_len(cx);
    let changed = match (from, to) {
        (ether::IPV4, ether::IPV6) => insert(cx, off, DIFFERENCE),
        (ether::IPV6, ether::IPV4) => remove(cx, off, DIFFERENCE),
        _ => return fails(Errno::ENOTSUPP),
    };
    if changed.is_ok() {
        set_ether_type(cx, SkbWord::Protocol, to);
        clear_hash(cx);
    }
    done(changed)
}

/// The shortest an skb may become: up to the last header that is known.
fn min_len(cx: &mut dyn HelperCx) -> u32 {
    let skb = cx.skb();
    skb.transport.filter(|at| *at > 0).unwrap_or(skb.network.max(0)) as u32
}

pub(super) fn change_tail(cx: &mut dyn HelperCx, [_, len, flags, ..]: [u64; 5]) -> HelperOutcome {
    let len = len as u32;
    if flags != 0 || len > MAX_LEN || len < min_len(cx) {
        return fails(Errno::EINVAL);
    }
    if cx.skb().encapsulated {
        return fails(Errno::ENOTSUPP);
    }
    let now = cx.packet_len();
    if len > cx.packet_room().tail.saturating_add(now) {
        return fails(Errno::ENOMEM);
    }
    if len != now {
        skb_sum::forget(cx);
    }
    cx.packet_move(0, len as i32 - now as i32);
    if is_segmented(cx) {
        cx.set_skb_word(SkbWord::GsoSize, 0);
        cx.set_skb_word(SkbWord::GsoSegs, 0);
    }
    Ok(0)
}

pub(super) fn change_head(cx: &mut dyn HelperCx, [_, more, flags, ..]: [u64; 5]) -> HelperOutcome {
    let more = more as u32;
    let new = cx.packet_len().checked_add(more);
    let fits = new.is_some_and(|new| new <= MAX_LEN || is_segmented(cx));
    if flags != 0 || more > i32::MAX as u32 || !fits {
        return fails(Errno::EINVAL);
    }
    if let Err(errno) = push(cx, more) {
        return fails(errno);
    }
    zero(cx, 0, more);
    cx.skb().mac = 0;
    count_mac(cx);
    Ok(0)
}

/// Flags of `bpf_skb_adjust_room`.
mod room {
    pub const FIXED_GSO: u64 = 1;
    pub const ENCAP_IPV4: u64 = 1 << 1;
    pub const ENCAP_IPV6: u64 = 1 << 2;
    pub const ENCAP_GRE: u64 = 1 << 3;
    pub const ENCAP_UDP: u64 = 1 << 4;
    pub const NO_CSUM_RESET: u64 = 1 << 5;
    pub const ENCAP_ETH: u64 = 1 << 6;
    pub const DECAP_IPV4: u64 = 1 << 7;
    pub const DECAP_IPV6: u64 = 1 << 8;
    pub const L2_LEN_SHIFT: u32 = 56;
    pub const L2_LEN: u64 = 0xff << L2_LEN_SHIFT;
    pub const ENCAP: u64 = ENCAP_IPV4 | ENCAP_IPV6;
    pub const DECAP: u64 = DECAP_IPV4 | DECAP_IPV6;
    pub const OF_SHRINKING: u64 = FIXED_GSO | DECAP | NO_CSUM_RESET;
    pub const ALL: u64 = OF_SHRINKING | ENCAP | ENCAP_GRE | ENCAP_UDP | ENCAP_ETH | L2_LEN;
    /// Modes: behind the network header, behind the link-layer header.
    pub const NET: u32 = 0;
    pub const MAC: u32 = 1;
}

pub(super) fn adjust_room(cx: &mut dyn HelperCx, [_, diff, mode, flags, _]: [u64; 5]) -> HelperOutcome {
    let diff = diff as i32;
    let (len, shrink) = (diff.unsigned_abs(), diff < 0);
    if flags & !room::ALL != 0 {
        return fails(Errno::EINVAL);
    }
    if len > 0xfff {
        return fails(Errno::EFAULT);
    }
    let base = match ether_type(cx, SkbWord::Protocol) {
        ether::IPV4 => 20,
        ether::IPV6 => 40,
        _ => return fails(Errno::ENOTSUPP),
    };
    let off = match mode as u32 {
        room::NET => mac_header_len(cx) + base,
        room::MAC => mac_header_len(cx),
        _ => return fails(Errno::ENOTSUPP),
    };
    let least = match flags & room::DECAP {
        0 => base,
        _ if !shrink => return fails(Errno::EINVAL),
        room::DECAP_IPV4 => 20,
        room::DECAP_IPV6 => 40,
        _ => return fails(Errno::EINVAL),
    };
    let now = i64::from(cx.packet_len()) - i64::from(cx.skb().network);
    let too_short = shrink && (i64::from(len) >= now || now - i64::from(len) < i64::from(least));
    let too_long = !shrink && cx.packet_len() + len > MAX_LEN && !is_segmented(cx);
    if too_short || too_long {
        return fails(Errno::ENOTSUPP);
    }
    let changed = if shrink { decapsulate(cx, off, len, flags) } else { encapsulate(cx, off, len, flags) };
    let level = matches!(cx.skb().checked, Checked::Further(_));
    if changed.is_ok() && flags & room::NO_CSUM_RESET == 0 && level {
        cx.skb().checked = Checked::Nothing;
    }
    done(changed)
}

fn encapsulate(cx: &mut dyn HelperCx, off: u32, len: u32, flags: u64) -> Result<(), Errno> {
    // What a segmented packet is of is not known here, and so not that it is TCP.
    if is_segmented(cx) {
        return Err(Errno::ENOTSUPP);
    }
    let both = |pair: u64| flags & pair == pair;
    let inner_mac = (flags >> room::L2_LEN_SHIFT) as u32;
    let encap = flags & room::ENCAP != 0;
    let mac_len = mac_header_len(cx);
    if encap {
        let short = flags & room::ENCAP_ETH != 0 && inner_mac < ETH_HLEN;
        if both(room::ENCAP) || both(room::ENCAP_GRE | room::ENCAP_UDP) || short {
            return Err(Errno::EINVAL);
        }
        if cx.skb().encapsulated {
            return Err(Errno::EALREADY);
        }
        if inner_mac > len {
            return Err(Errno::EINVAL);
        }
    }
    insert(cx, off, len)?;
    if encap {
        let v6 = flags & room::ENCAP_IPV6 != 0;
        let skb = cx.skb();
        skb.encapsulated = true;
        skb.network = mac_len as i32;
        if flags & (room::ENCAP_GRE | room::ENCAP_UDP) != 0 {
            skb.transport = Some(mac_len as i32 + if v6 { 40 } else { 20 });
        }
        set_ether_type(cx, SkbWord::Protocol, if v6 { ether::IPV6 } else { ether::IPV4 });
    }
    Ok(())
}

fn decapsulate(cx: &mut dyn HelperCx, off: u32, len: u32, flags: u64) -> Result<(), Errno> {
    if flags & !room::OF_SHRINKING != 0 {
        return Err(Errno::EINVAL);
    }
    if is_segmented(cx) {
        return Err(Errno::ENOTSUPP);
    }
    remove(cx, off, len)?;
    match flags & room::DECAP {
        room::DECAP_IPV4 => set_ether_type(cx, SkbWord::Protocol, ether::IPV4),
        room::DECAP_IPV6 => set_ether_type(cx, SkbWord::Protocol, ether::IPV6),
        _ => {}
    }
    Ok(())
}

fn is_vlan(protocol: u16) -> bool {
    matches!(protocol, ether::VLAN | ether::SERVICE_VLAN)
}

fn set_tag(cx: &mut dyn HelperCx, protocol: u16, tci: u16) {
    cx.set_skb_word(SkbWord::VlanPresent, 1);
    cx.set_skb_word(SkbWord::VlanTci, u32::from(tci));
    set_ether_type(cx, SkbWord::VlanProto, protocol);
}

fn clear_tag(cx: &mut dyn HelperCx) {
    for word in [SkbWord::VlanPresent, SkbWord::VlanTci, SkbWord::VlanProto] {
        cx.set_skb_word(word, 0);
    }
}

pub(super) fn vlan_push(cx: &mut dyn HelperCx, [_, protocol, tci, ..]: [u64; 5]) -> HelperOutcome {
    skb_sum::from_mac(cx, |cx| push_tag(cx, protocol as u16, tci as u16))
}

fn push_tag(cx: &mut dyn HelperCx, protocol: u16, tci: u16) -> HelperOutcome {
    let asked = u16::from_be_bytes(cx.byte_order().half_bytes(protocol));
    let protocol = if is_vlan(asked) { asked } else { ether::VLAN };
    if cx.skb_word(SkbWord::VlanPresent) != 0 {
        // The tag beside the packet goes into it.
        if cx.skb().mac != 0 {
            return fails(Errno::EINVAL);
        }
        let outer = ether_type(cx, SkbWord::VlanProto);
        let tag = cx.skb_word(SkbWord::VlanTci) as u16;
        if let Err(errno) = push(cx, VLAN_HLEN) {
            return fails(errno);
        }
        shift(cx, VLAN_HLEN, 0, ETH_HLEN - 2);
        cx.packet_write(ETH_HLEN - 2, &outer.to_be_bytes());
        cx.packet_write(ETH_HLEN, &tag.to_be_bytes());
        skb_sum::join(cx, ETH_HLEN - 2, VLAN_HLEN);
        let skb = cx.skb();
        skb.mac -= VLAN_HLEN as i32;
        skb.network -= VLAN_HLEN as i32;
        set_ether_type(cx, SkbWord::Protocol, outer);
    }
    set_tag(cx, protocol, tci);
    Ok(0)
}

/// Takes the tag behind both addresses out of the packet.
fn take_tag(cx: &mut dyn HelperCx) -> Result<u16, Errno> {
    let mut tag = [0; 4];
    if cx.skb().mac != 0 {
        return Err(Errno::EINVAL);
    }
    if !cx.packet_read(ETH_HLEN, &mut tag) {
        return Err(Errno::ENOMEM);
    }
    let inner = u16::from_be_bytes([tag[2], tag[3]]);
    let mut first = [0; 2];
    // The two bytes behind the tag may be the packet's end; what lies there is then no sign of anything.
    cx.packet_read(ETH_HLEN + VLAN_HLEN, &mut first);
    let protocol = match inner {
        ether::LEAST.. => inner,
        _ if first == [0xff; 2] => ether::RAW_802_3,
        _ => ether::P_802_2,
    };
    set_ether_type(cx, SkbWord::Protocol, protocol);
    skb_sum::leave(cx, ETH_HLEN - 2, VLAN_HLEN);
    shift(cx, 0, VLAN_HLEN, ETH_HLEN - 2);
    pull(cx, VLAN_HLEN);
    let skb = cx.skb();
    skb.mac += VLAN_HLEN as i32;
    skb.network = skb.network.max(ETH_HLEN as i32);
    count_mac(cx);
    Ok(u16::from_be_bytes([tag[0], tag[1]]))
}

pub(super) fn vlan_pop(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    skb_sum::from_mac(cx, pop_tag)
}

fn pop_tag(cx: &mut dyn HelperCx) -> HelperOutcome {
    if cx.skb_word(SkbWord::VlanPresent) != 0 {
        clear_tag(cx);
    } else {
        if !is_vlan(ether_type(cx, SkbWord::Protocol)) {
            return Ok(0);
        }
        if let Err(errno) = take_tag(cx) {
            return fails(errno);
        }
    }
    // The next one takes its place beside the packet.
    let protocol = ether_type(cx, SkbWord::Protocol);
    if is_vlan(protocol) {
        match take_tag(cx) {
            Ok(tci) => set_tag(cx, protocol, tci),
            Err(errno) => return fails(errno),
        }
    }
    Ok(0)
}
