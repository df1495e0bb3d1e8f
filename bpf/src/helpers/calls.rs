//! Helpers that transfer control: their bodies check the arguments, the engine does the rest.

use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;
use crate::maps::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};

/// Most rounds of `bpf_loop` (kernel: `BPF_MAX_LOOPS`).
const MAX_LOOPS: u64 = 8 << 20;

pub(super) fn tail_call(cx: &mut dyn HelperCx, [_, map, slot, ..]: [u64; 5]) -> HelperOutcome {
    cx.tail_call(map, slot as u32)?;
    Ok(0)
}

pub(super) fn for_each_map_elem(cx: &mut dyn HelperCx, [map, callback, context, flags, _]: [u64; 5]) -> HelperOutcome {
    if flags != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    Ok(cx.call_back_each(map, callback, context)?.map_or_else(Errno::as_return, |()| 0))
}

pub(super) fn user_ringbuf_drain(cx: &mut dyn HelperCx, [map, callback, context, flags, _]: [u64; 5]) -> HelperOutcome {
    // Whether the writer is woken is no business of the program's.
    if flags & !(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP) != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    Ok(cx.call_back_records(map, callback, context)?.map_or_else(Errno::as_return, |()| 0))
}

pub(super) fn bpf_loop(cx: &mut dyn HelperCx, [times, callback, context, flags, _]: [u64; 5]) -> HelperOutcome {
    if flags != 0 {
        return Ok(Errno::EINVAL.as_return());
    }
    // Linux's verifier writes the loop out where it knows the flags, which is the rule; that code looks at all 64 bits and
    // does not extend the sign. Where the flags are known only now, Linux would look at 32 and extend it.
    if times > MAX_LOOPS {
        return Ok(u64::from(Errno::E2BIG.as_return() as u32));
    }
    // The function may have been taken out with the dead code where there is no turn.
    if times > 0 {
        cx.call_back(callback, times, context)?;
    }
    Ok(0)
}
