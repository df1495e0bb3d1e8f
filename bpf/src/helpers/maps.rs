//! Helpers on maps beyond look-up, update and delete of one's own entries.

use super::{Delivery, HelperCx, HelperOutcome, Redirect};
use crate::errno::Errno;
use crate::maps::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use crate::memory::Fault;

/// Longest piece of memory a body copies at a time.
const CHUNK: usize = 256;

fn answer(result: Result<(), Errno>) -> u64 {
    result.map_or_else(Errno::as_return, |()| 0)
}

pub(super) fn map_push_elem(cx: &mut dyn HelperCx, [map, value, flags, ..]: [u64; 5]) -> HelperOutcome {
    cx.map_push(map, value, flags).map(answer)
}

pub(super) fn map_pop_elem(cx: &mut dyn HelperCx, [map, value, ..]: [u64; 5]) -> HelperOutcome {
    cx.map_pop(map, value, false).map(answer)
}

pub(super) fn map_peek_elem(cx: &mut dyn HelperCx, [map, value, ..]: [u64; 5]) -> HelperOutcome {
    cx.map_pop(map, value, true).map(answer)
}

pub(super) fn map_lookup_percpu_elem(cx: &mut dyn HelperCx, [map, key, cpu, ..]: [u64; 5]) -> HelperOutcome {
    cx.map_lookup_on(map, key, cpu as u32)
}

/// A lock is always free: a run is one piece, and no other sees what it does between lock and unlock.
pub(super) fn spin_lock(_: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(0)
}

/// Copies guest memory, which may overlap.
pub(super) fn copy(cx: &mut dyn HelperCx, to: u64, from: u64, len: u64) -> Result<(), Fault> {
    let mut buf = [0; CHUNK];
    let chunks = len.div_ceil(CHUNK as u64);
    for i in 0..chunks {
        let at = CHUNK as u64 * if to > from { chunks - 1 - i } else { i };
        let part = &mut buf[..CHUNK.min((len - at) as usize)];
        cx.read(from.wrapping_add(at), part)?;
        cx.write(to.wrapping_add(at), part)?;
    }
    Ok(())
}

pub(super) fn ringbuf_output(cx: &mut dyn HelperCx, [map, data, size, flags, _]: [u64; 5]) -> HelperOutcome {
    if flags & !(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP) != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    let record = cx.ring_reserve(map, size)?;
    if record == 0 {
        return Ok(Errno::EAGAIN.as_return());
    }
    copy(cx, record, data, size)?;
    cx.ring_commit(record, flags, false)?;
    Ok(0)
}

pub(super) fn ringbuf_reserve(cx: &mut dyn HelperCx, [map, size, flags, ..]: [u64; 5]) -> HelperOutcome {
    if flags != 0 { Ok(0) } else { cx.ring_reserve(map, size) }
}

pub(super) fn ringbuf_submit(cx: &mut dyn HelperCx, [record, flags, ..]: [u64; 5]) -> HelperOutcome {
    cx.ring_commit(record, flags, false).map(|()| 0)
}

pub(super) fn ringbuf_discard(cx: &mut dyn HelperCx, [record, flags, ..]: [u64; 5]) -> HelperOutcome {
    cx.ring_commit(record, flags, true).map(|()| 0)
}

pub(super) fn ringbuf_query(cx: &mut dyn HelperCx, [map, what, ..]: [u64; 5]) -> HelperOutcome {
    let state = cx.ring_state(map)?;
    Ok(match what {
        0 => state.available(),
        1 => u64::from(state.size),
        2 => state.consumer,
        3 => state.producer,
        _ => 0,
    })
}

/// The index of the ring in the low half of `bpf_perf_event_output`'s flags.
const INDEX: u64 = 0xffff_ffff;
/// Bytes of the packet that go behind the data, in bits 32 to 51.
const PACKET_LEN: u64 = 0xf_ffff << 32;

pub(super) fn perf_event_output(cx: &mut dyn HelperCx, [_, map, flags, data, size]: [u64; 5]) -> HelperOutcome {
    if flags & !(INDEX | PACKET_LEN) != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    let packet = ((flags & PACKET_LEN) >> 32) as u32;
    if packet > cx.packet_len() {
        return Ok(Errno::EFAULT.as_return());
    }
    cx.perf_output(map, (flags & INDEX) as u32, data, size, packet).map(answer)
}

/// What a look-up that found nothing may answer with: the low bits of `bpf_redirect_map`'s flags.
const ACTION: u64 = 3;
/// Send to all devices of the map.
const BROADCAST: u64 = 1 << 3;
/// But for the one the packet came from.
const EXCLUDE_INGRESS: u64 = 1 << 4;
const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;

pub(super) fn redirect_map(cx: &mut dyn HelperCx, [map, key, flags, ..]: [u64; 5]) -> HelperOutcome {
    let devices = cx.map_holds_devices(map)?;
    let known = ACTION | if devices { BROADCAST | EXCLUDE_INGRESS } else { 0 };
    if flags & !known != 0 {
        return Ok(XDP_ABORTED);
    }
    let (index, all) = (key as u32, flags & BROADCAST != 0);
    let found = cx.map_target(map, index)?;
    if found.is_none() && !all {
        // The last call decides: what an earlier one found is forgotten.
        cx.redirect(None);
        return Ok(flags & ACTION);
    }
    let (id, word) = (cx.map_id(map)?, found.unwrap_or(0));
    let ifindex = if devices && !all { word } else { 0 };
    let flags = if all { flags } else { 0 };
    cx.redirect(Some(Redirect { ifindex, flags, map: Some((id, index)), delivery: Delivery::AsIs }));
    Ok(XDP_REDIRECT)
}
