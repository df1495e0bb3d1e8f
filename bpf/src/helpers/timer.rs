//! Timers in map values.

use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;

/// Clocks a timer may follow: real time, monotonic, since boot. All three run alike here.
const CLOCKS: [u64; 3] = [0, 1, 7];
/// `BPF_F_TIMER_ABS`: the time is no distance.
const ABSOLUTE: u64 = 1;
/// `BPF_F_TIMER_CPU_PIN`: on this processor.
const PINNED: u64 = 2;

pub(super) fn init(cx: &mut dyn HelperCx, [timer, map, flags, ..]: [u64; 5]) -> HelperOutcome {
    if !CLOCKS.contains(&flags) {
        return Ok(Errno::EINVAL.as_return());
    }
    Ok(cx.timer_init(timer, map)?.map_or_else(Errno::as_return, |()| 0))
}

pub(super) fn set_callback(cx: &mut dyn HelperCx, [timer, callback, ..]: [u64; 5]) -> HelperOutcome {
    Ok(cx.timer_call(timer, callback)?.map_or_else(Errno::as_return, |()| 0))
}

pub(super) fn start(cx: &mut dyn HelperCx, [timer, nanoseconds, flags, ..]: [u64; 5]) -> HelperOutcome {
    if flags & !(ABSOLUTE | PINNED) != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    // Linux's times have a sign: what lies in the past is due at once.
    let (retired, time) = (cx.retired(), nanoseconds as i64);
    let due = match flags & ABSOLUTE {
        0 => cx.env().now_ns(retired).saturating_add_signed(time),
        _ => time.max(0) as u64,
    };
    Ok(cx.timer_start(timer, due)?.map_or_else(Errno::as_return, |()| 0))
}

pub(super) fn cancel(cx: &mut dyn HelperCx, [timer, ..]: [u64; 5]) -> HelperOutcome {
    Ok(cx.timer_cancel(timer)?.map_or_else(Errno::as_return, u64::from))
}
