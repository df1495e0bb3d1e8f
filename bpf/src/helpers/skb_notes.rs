//! What helpers read and change beside an skb's bytes: checksum state, hash, time stamp, socket, control group.

use super::siphash::siphash;
use super::skb::{clear_hash, ether, ether_type};
use super::{Checked, HelperCx, HelperOutcome, SkbWord, checksum, skb_sum};
use crate::errno::Errno;

const CHUNK: usize = 256;

fn fails(errno: Errno) -> HelperOutcome {
    Ok(errno.as_return())
}

pub(super) fn csum_update(cx: &mut dyn HelperCx, [_, more, ..]: [u64; 5]) -> HelperOutcome {
    let skb = cx.skb();
    if skb.checked != Checked::Whole {
        return fails(Errno::ENOTSUPP);
    }
    skb.sum = checksum::add32(skb.sum, more as u32);
    Ok(u64::from(skb.sum))
}

pub(super) fn csum_level(cx: &mut dyn HelperCx, [_, what, ..]: [u64; 5]) -> HelperOutcome {
    const MOST: u8 = 3;
    let (query, more, fewer, reset) = (0, 1, 2, 3);
    let checked = &mut cx.skb().checked;
    *checked = match (what, *checked) {
        (w, Checked::Nothing | Checked::Whole) if w == query => return fails(Errno::EACCES),
        (w, Checked::Whole) if w == more || w == fewer || w == reset => Checked::Whole,
        (w, Checked::Further(level)) if w == query => return Ok(u64::from(level)),
        (w, Checked::Further(level)) if w == more => Checked::Further((level + 1).min(MOST)),
        (w, Checked::Nothing) if w == more => Checked::Further(0),
        (w, Checked::Further(level)) if w == fewer && level > 0 => Checked::Further(level - 1),
        (w, _) if w == fewer || w == reset => Checked::Nothing,
        _ => return fails(Errno::EINVAL),
    };
    Ok(0)
}

pub(super) fn set_hash_invalid(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    clear_hash(cx);
    Ok(0)
}

pub(super) fn set_hash(cx: &mut dyn HelperCx, [_, hash, ..]: [u64; 5]) -> HelperOutcome {
    cx.set_skb_word(SkbWord::Hash, hash as u32);
    cx.skb().hash_of_flow = true;
    Ok(0)
}

pub(super) fn get_hash_recalc(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    if !cx.skb().hash_of_flow {
        let hash = flow_hash(cx);
        cx.set_skb_word(SkbWord::Hash, hash);
        cx.skb().hash_of_flow = true;
    }
    Ok(u64::from(cx.skb_word(SkbWord::Hash)))
}

/// A hash over addresses, protocol and ports, the same in both directions (`__skb_get_hash`): Linux's is SipHash of what its
/// dissector finds, under a key of its own; so is this one.
fn flow_hash(cx: &mut dyn HelperCx) -> u32 {
    let network = cx.skb().network.max(0) as u32;
    let protocol = ether_type(cx, SkbWord::Protocol);
    let mut header = [0; 40];
    let (source, destination, next, len) = match protocol {
        ether::IPV4 if cx.packet_read(network, &mut header[..20]) => {
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
            let ports = (!fragment).then_some(u32::from(header[0] & 15) * 4);
            (&header[12..16], &header[16..20], header[9], ports)
        }
        ether::IPV6 if cx.packet_read(network, &mut header) => (&header[8..24], &header[24..40], header[6], Some(40)),
        _ => (&header[..0], &header[..0], 0, None),
    };
    let mut ports = [0; 4];
    if let Some(len) = len
        && matches!(next, 6 | 17 | 33 | 132 | 136)
    {
        cx.packet_read(network + len, &mut ports);
    }
    let mut from = [source, &ports[..2]].concat();
    let mut to = [destination, &ports[2..]].concat();
    if to < from {
        std::mem::swap(&mut from, &mut to);
    }
    let key = [&from[..], &to[..], &[next], &protocol.to_be_bytes()].concat();
    // No flow has 0, which stands for none.
    (siphash(cx.env().secret(), &key) as u32).max(1)
}

/// No received packet has the entry of the routing cache that would name a realm.
pub(super) fn get_route_realm(_: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(0)
}

pub(super) fn skb_load_bytes_relative(cx: &mut dyn HelperCx, [_, off, to, len, from]: [u64; 5]) -> HelperOutcome {
    let (off, len) = (off as u32, len as u32);
    let start = match from {
        0 => Some(cx.skb().mac),
        1 => Some(cx.skb().network),
        _ => None,
    };
    let at = start.filter(|_| off <= 0xffff).map(|start| i64::from(start) + i64::from(off));
    let there = at.is_some_and(|at| at + i64::from(len) <= i64::from(cx.packet_len()));
    let mut buf = [0; CHUNK];
    for done in (0..len).step_by(CHUNK) {
        let part = &mut buf[..CHUNK.min((len - done) as usize)];
        if let Some(at) = at.filter(|_| there) {
            cx.packet_peek((at + i64::from(done)) as i32, part);
        }
        cx.write(to.wrapping_add(u64::from(done)), part)?;
    }
    if there { Ok(0) } else { fails(Errno::EFAULT) }
}

pub(super) fn set_tstamp(cx: &mut dyn HelperCx, [_, tstamp, clock, ..]: [u64; 5]) -> HelperOutcome {
    let (realtime, monotonic, atomic) = (0, 1, 2);
    if !matches!(ether_type(cx, SkbWord::Protocol), ether::IPV4 | ether::IPV6) {
        return fails(Errno::EOPNOTSUPP);
    }
    let clock = clock as u32;
    let good = clock == realtime || ((clock == monotonic || clock == atomic) && tstamp != 0);
    if !good {
        return fails(Errno::EINVAL);
    }
    cx.set_skb_tstamp(tstamp, clock as u8);
    Ok(0)
}

pub(super) fn clone_redirect(cx: &mut dyn HelperCx, [_, ifindex, flags, ..]: [u64; 5]) -> HelperOutcome {
    const INGRESS: u64 = 1;
    let ifindex = ifindex as u32;
    let known = cx.env().network().device(ifindex).map(|device| device.up);
    match known {
        _ if flags & !INGRESS != 0 => fails(Errno::EINVAL),
        None => fails(Errno::EINVAL),
        Some(false) => fails(Errno::ENETDOWN),
        Some(true) => {
            cx.send_copy(ifindex, flags & INGRESS != 0);
            Ok(0)
        }
    }
}

pub(super) fn ecn_set_ce(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    const CE: u8 = 3;
    let network = cx.skb().network.max(0) as u32;
    match protocol_behind_tags(cx) {
        ether::IPV4 => {
            let mut header = [0; 20];
            if !cx.packet_read(network, &mut header) {
                return Ok(0);
            }
            let now = header[1] & CE;
            if now == 0 || now == CE {
                return Ok(u64::from(now == CE));
            }
            // The field gains what the header's sum loses (RFC 1624).
            let check = u16::from_be_bytes([header[10], header[11]]);
            let (sum, carry) = check.overflowing_add(0xfffc + u16::from(now));
            cx.packet_write(network + 10, &sum.wrapping_add(u16::from(carry)).to_be_bytes());
            cx.packet_write(network + 1, &[header[1] | CE]);
            Ok(1)
        }
        ether::IPV6 => {
            let mut header = [0; 40];
            if !cx.packet_read(network, &mut header) || header[1] >> 4 & CE == 0 {
                return Ok(0);
            }
            let from = [header[0], header[1], header[2], header[3]];
            let to = [header[0], header[1] | CE << 4, header[2], header[3]];
            cx.packet_write(network, &to);
            let order = cx.byte_order();
            skb_sum::replace(cx, order.word(from), order.word(to));
            Ok(1)
        }
        _ => Ok(0),
    }
}

/// The protocol behind any tags (`skb_protocol`, `__vlan_get_protocol`): at most eight.
fn protocol_behind_tags(cx: &mut dyn HelperCx) -> u16 {
    let mut protocol = ether_type(cx, SkbWord::Protocol);
    // Tags are looked for in the last four bytes of the header, where the EtherType of the first is.
    let mut at = cx.skb().mac_len.checked_sub(4).unwrap_or(14);
    for _ in 0..8 {
        let mut tag = [0; 4];
        if !matches!(protocol, ether::VLAN | ether::SERVICE_VLAN) {
            return protocol;
        }
        if !cx.packet_read(at, &mut tag) {
            return 0;
        }
        protocol = u16::from_be_bytes([tag[2], tag[3]]);
        at += 4;
    }
    0
}

pub(super) fn get_socket_cookie(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    let socket = cx.skb().socket;
    Ok(socket.and_then(|at| cx.env().network().sockets.get(at as usize)).map_or(0, |socket| socket.cookie))
}

pub(super) fn get_socket_uid(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    /// Who owns what nobody owns (kernel: `overflowuid`).
    const NOBODY: u32 = 65_534;
    let socket = cx.skb().socket;
    let uid = socket.and_then(|at| cx.env().network().sockets.get(at as usize)).map_or(NOBODY, |socket| socket.uid);
    Ok(u64::from(uid))
}

/// There is one network namespace, the first (`init_net`), whose cookie is 1.
pub(super) fn get_netns_cookie(_: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(1)
}

/// The control group of the skb's socket.
fn cgroup(cx: &mut dyn HelperCx) -> Option<u64> {
    let socket = cx.skb().socket?;
    cx.env().network().sockets.get(socket as usize).map(|socket| socket.cgroup)
}

pub(super) fn skb_cgroup_id(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(cgroup(cx).unwrap_or(0))
}

pub(super) fn skb_ancestor_cgroup_id(cx: &mut dyn HelperCx, [_, level, ..]: [u64; 5]) -> HelperOutcome {
    let group = cgroup(cx);
    let line = group.map_or_else(Vec::new, |id| cx.env().network().ancestors(id));
    let level = usize::try_from(level as i32).ok();
    Ok(level.and_then(|level| line.get(level).copied()).unwrap_or(0))
}

/// The class of the packet's socket. Where there is none Linux asks the task at work, which on the way in is none in
/// particular.
pub(super) fn skb_cgroup_classid(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    let group = cgroup(cx);
    let class = group.and_then(|id| cx.env().network().cgroup(id).map(|group| group.classid));
    Ok(u64::from(class.unwrap_or(0)))
}

pub(super) fn skb_under_cgroup(cx: &mut dyn HelperCx, [_, map, slot, ..]: [u64; 5]) -> HelperOutcome {
    let Some(own) = cgroup(cx) else { return fails(Errno::ENOENT) };
    match cx.cgroup_in(map, slot as u32)? {
        None => fails(Errno::E2BIG),
        Some(None) => fails(Errno::EAGAIN),
        Some(Some(group)) => Ok(u64::from(cx.env().network().ancestors(own).contains(&u64::from(group)))),
    }
}

/// The task at work on the way in is the processor's idle one: in the root group, below nothing.
pub(super) fn current_task_under_cgroup(cx: &mut dyn HelperCx, [map, slot, ..]: [u64; 5]) -> HelperOutcome {
    match cx.cgroup_in(map, slot as u32)? {
        None => fails(Errno::E2BIG),
        Some(None) => fails(Errno::EAGAIN),
        Some(Some(group)) => {
            let root = cx.env().network().cgroups.iter().find(|group| group.parent.is_none()).map(|group| group.id);
            Ok(u64::from(root == Some(u64::from(group))))
        }
    }
}
