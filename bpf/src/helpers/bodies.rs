//! The bodies of the helpers.

use super::{Delivery, HelperCx, HelperOutcome, Redirect, checksum, skb_sum};
use crate::errno::Errno;
use crate::program::ProgType;

/// Shortest packet a program may leave: an Ethernet header.
const ETH_HLEN: u32 = 14;
/// Longest memory a body reads or writes at a time.
const CHUNK: usize = 256;

fn answer(result: Result<(), Errno>) -> u64 {
    result.map_or_else(Errno::as_return, |()| 0)
}

pub(super) fn map_lookup_elem(cx: &mut dyn HelperCx, [map, key, ..]: [u64; 5]) -> HelperOutcome {
    cx.map_lookup(map, key)
}

pub(super) fn map_update_elem(cx: &mut dyn HelperCx, [map, key, value, flags, _]: [u64; 5]) -> HelperOutcome {
    cx.map_update(map, key, value, flags).map(answer)
}

pub(super) fn map_delete_elem(cx: &mut dyn HelperCx, [map, key, ..]: [u64; 5]) -> HelperOutcome {
    cx.map_delete(map, key).map(answer)
}

pub(super) fn ktime_get_ns(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    let retired = cx.retired();
    Ok(cx.env().now_ns(retired))
}

pub(super) fn get_prandom_u32(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(u64::from(cx.env().random_u32()))
}

pub(super) fn get_smp_processor_id(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(u64::from(cx.env().cpu()))
}

/// `BPF_F_RECOMPUTE_CSUM`: the sum that the device has made follows.
const RECOMPUTE_CSUM: u64 = 1;
const INVALIDATE_HASH: u64 = 1 << 1;

pub(super) fn skb_store_bytes(cx: &mut dyn HelperCx, [_, off, from, len, flags]: [u64; 5]) -> HelperOutcome {
    let (off, len) = (off as u32, len as u32);
    if flags & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    if off > i32::MAX as u32 || u64::from(off) + u64::from(len) > u64::from(cx.packet_len()) {
        return Ok(Errno::EFAULT.as_return());
    }
    let write = |cx: &mut dyn HelperCx| {
        let mut buf = [0; CHUNK];
        for at in (0..len).step_by(CHUNK) {
            let part = &mut buf[..CHUNK.min((len - at) as usize)];
            cx.read(from.wrapping_add(u64::from(at)), part)?;
            cx.packet_write(off + at, part);
        }
        Ok(())
    };
    if flags & RECOMPUTE_CSUM != 0 {
        skb_sum::exchange(cx, off, len, write)?
    } else {
        write(cx)?
    }
    if flags & INVALIDATE_HASH != 0 {
        super::skb::clear_hash(cx);
    }
    Ok(0)
}

pub(super) fn skb_load_bytes(cx: &mut dyn HelperCx, [_, off, to, len, _]: [u64; 5]) -> HelperOutcome {
    let (off, len) = (off as u32, len as u32);
    let there = off <= i32::MAX as u32 && u64::from(off) + u64::from(len) <= u64::from(cx.packet_len());
    let mut buf = [0; CHUNK];
    for at in (0..len).step_by(CHUNK) {
        let part = &mut buf[..CHUNK.min((len - at) as usize)];
        if there {
            cx.packet_read(off + at, part);
        }
        cx.write(to.wrapping_add(u64::from(at)), part)?;
    }
    Ok(if there { 0 } else { Errno::EFAULT.as_return() })
}

/// Low bits of the flags of the checksum helpers: size of the field that changed, 0 for a difference.
const HDR_FIELD_MASK: u64 = 0xf;
/// The field is the pseudo-header's, which the device's sum does not cover: the sum follows the checksum alone.
const PSEUDO_HDR: u64 = 1 << 4;
/// A checksum of 0 means that there is none (UDP): leave it, and write 0xffff for a sum that comes out as 0.
const MARK_MANGLED_0: u64 = 1 << 5;
/// With `MARK_MANGLED_0`: change a checksum of 0 nevertheless.
const MARK_ENFORCE: u64 = 1 << 6;
/// The packet is IPv6: with a difference the change of the address, which the sum covers, makes up for that of the checksum.
const IPV6: u64 = 1 << 7;

/// The checksum field at `off`, if it is one that may be replaced.
fn checksum_field(cx: &mut dyn HelperCx, off: u64) -> Option<(u32, u16)> {
    let off = off as u32;
    let mut field = [0; 2];
    let good = off <= 0xffff && off & 1 == 0 && cx.packet_read(off, &mut field);
    good.then(|| (off, cx.byte_order().half(field)))
}

/// The field after the change. `replace2` is how 16-bit words are exchanged: the two layers differ in which zero comes out.
fn replaced(field: u16, from: u64, to: u64, size: u64, replace2: impl Fn(u16, u16, u16) -> u16) -> Option<u16> {
    match size {
        0 if from == 0 => Some(checksum::replace_by_diff(field, to as u32)),
        2 => Some(replace2(field, from as u16, to as u16)),
        4 => Some(checksum::replace4(field, from as u32, to as u32)),
        _ => None,
    }
}

pub(super) fn l3_csum_replace(cx: &mut dyn HelperCx, [_, off, from, to, flags]: [u64; 5]) -> HelperOutcome {
    if flags & !HDR_FIELD_MASK != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    let Some((off, field)) = checksum_field(cx, off) else { return Ok(Errno::EFAULT.as_return()) };
    let Some(new) = replaced(field, from, to, flags, checksum::replace2) else { return Ok(Errno::EINVAL.as_return()) };
    let new = cx.byte_order().half_bytes(new);
    cx.packet_write(off, &new);
    Ok(0)
}

pub(super) fn l4_csum_replace(cx: &mut dyn HelperCx, [_, off, from, to, flags]: [u64; 5]) -> HelperOutcome {
    if flags & !(HDR_FIELD_MASK | PSEUDO_HDR | MARK_MANGLED_0 | MARK_ENFORCE | IPV6) != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    let Some((off, field)) = checksum_field(cx, off) else { return Ok(Errno::EFAULT.as_return()) };
    let mangled_0 = flags & MARK_MANGLED_0 != 0;
    if mangled_0 && flags & MARK_ENFORCE == 0 && field == 0 {
        return Ok(0);
    }
    let as_words = |field, from, to| checksum::replace4(field, u32::from(from), u32::from(to));
    let Some(new) = replaced(field, from, to, flags & HDR_FIELD_MASK, as_words) else {
        return Ok(Errno::EINVAL.as_return());
    };
    if flags & PSEUDO_HDR != 0 {
        match flags & HDR_FIELD_MASK {
            0 if flags & IPV6 == 0 => skb_sum::follow_diff(cx, to as u32),
            0 => {}
            2 => skb_sum::follow_word(cx, u32::from(from as u16), u32::from(to as u16)),
            _ => skb_sum::follow_word(cx, from as u32, to as u32),
        }
    }
    let new = if mangled_0 && new == 0 { 0xffff } else { new };
    let new = cx.byte_order().half_bytes(new);
    cx.packet_write(off, &new);
    Ok(0)
}

/// The sum of the bytes and `seed`.
fn sum(cx: &mut dyn HelperCx, address: u64, len: u32, seed: u32) -> Result<u32, crate::memory::Fault> {
    let mut buf = [0; CHUNK];
    let mut acc = seed;
    for at in (0..len).step_by(CHUNK) {
        let part = &mut buf[..CHUNK.min((len - at) as usize)];
        cx.read(address.wrapping_add(u64::from(at)), part)?;
        acc = checksum::partial(cx.byte_order(), part, acc);
    }
    Ok(acc)
}

pub(super) fn csum_diff(cx: &mut dyn HelperCx, [from, from_size, to, to_size, seed]: [u64; 5]) -> HelperOutcome {
    let (from_size, to_size, seed) = (from_size as u32, to_size as u32, seed as u32);
    let total = match (from_size, to_size) {
        (0, 0) => seed,
        (0, _) => sum(cx, to, to_size, seed)?,
        (_, 0) => !sum(cx, from, from_size, !seed)?,
        _ => {
            let added = sum(cx, to, to_size, seed)?;
            checksum::sub32(added, sum(cx, from, from_size, 0)?)
        }
    };
    Ok(u64::from(checksum::fold16(total)))
}

/// Verdicts `bpf_redirect` answers with.
mod verdict {
    pub const XDP_ABORTED: u64 = 0;
    pub const XDP_REDIRECT: u64 = 4;
    pub const TC_ACT_SHOT: u64 = 2;
    pub const TC_ACT_REDIRECT: u64 = 7;
}

const INGRESS: u64 = 1;

pub(super) fn redirect(cx: &mut dyn HelperCx, [ifindex, flags, ..]: [u64; 5]) -> HelperOutcome {
    let (allowed, refused, accepted) = match cx.prog_type() {
        ProgType::Xdp => (0, verdict::XDP_ABORTED, verdict::XDP_REDIRECT),
        _ => (INGRESS, verdict::TC_ACT_SHOT, verdict::TC_ACT_REDIRECT),
    };
    if flags & !allowed != 0 {
        return Ok(refused);
    }
    cx.redirect(Some(Redirect { ifindex: ifindex as u32, flags, map: None, delivery: Delivery::AsIs }));
    Ok(accepted)
}

pub(super) fn xdp_adjust_head(cx: &mut dyn HelperCx, [_, delta, ..]: [u64; 5]) -> HelperOutcome {
    let delta = delta as i32;
    let (up, down) = (i64::from(delta), -i64::from(delta));
    // Metadata goes along and needs its place; what lies in fragments is no part that the start may move over.
    if down > i64::from(cx.packet_room().head) || up > i64::from(cx.packet_linear()) - i64::from(ETH_HLEN) {
        return Ok(Errno::EINVAL.as_return());
    }
    cx.packet_move(delta, 0);
    Ok(0)
}

pub(super) fn xdp_adjust_tail(cx: &mut dyn HelperCx, [_, delta, ..]: [u64; 5]) -> HelperOutcome {
    let delta = delta as i32;
    let up = i64::from(delta);
    if up > i64::from(cx.packet_room().tail) || i64::from(cx.packet_len()) + up < i64::from(ETH_HLEN) {
        return Ok(Errno::EINVAL.as_return());
    }
    cx.packet_move(0, delta);
    Ok(0)
}
