//! Helpers that read the machine's state: clocks, processor, the task at work.

use super::{HelperCx, HelperOutcome};
use crate::program::ProgType;

/// What `jiffies` begins with: five minutes before it wraps in 32 bits (`INITIAL_JIFFIES`).
fn initial_jiffies(rate: u64) -> u64 {
    u64::from((300 * rate as u32).wrapping_neg())
}

fn now(cx: &mut dyn HelperCx) -> u64 {
    let retired = cx.retired();
    cx.env().now_ns(retired)
}

const SECOND: u64 = 1_000_000_000;

/// A simulated machine is never suspended: time since boot is time awake.
pub(super) fn ktime_get_boot_ns(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(now(cx))
}

pub(super) fn ktime_get_tai_ns(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(now(cx).wrapping_add(cx.env().atomic_time()))
}

/// The time of the last timer interrupt.
pub(super) fn ktime_get_coarse_ns(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    let tick = SECOND / u64::from(cx.env().tick_rate().max(1));
    Ok(now(cx) / tick * tick)
}

/// Timer interrupts of `ns` nanoseconds.
pub(super) fn jiffies_of(ns: u64, rate: u64) -> u64 {
    (u128::from(ns) * u128::from(rate) / u128::from(SECOND)) as u64
}

pub(super) fn jiffies64(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    let rate = u64::from(cx.env().tick_rate());
    Ok(initial_jiffies(rate).wrapping_add(jiffies_of(now(cx), rate)))
}

pub(super) fn get_numa_node_id(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(u64::from(cx.env().numa_node()))
}

/// Packets are received in interrupts of an idle processor, whose task has the numbers 0 and belongs to root.
pub(super) fn of_idle_task(_: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(0)
}

pub(super) fn get_current_comm(cx: &mut dyn HelperCx, [to, size, ..]: [u64; 5]) -> HelperOutcome {
    /// Bytes of a task's name (`TASK_COMM_LEN`).
    const NAME: usize = 16;
    let size = size as u32 as usize;
    let mut name = format!("swapper/{}", cx.env().cpu()).into_bytes();
    name.resize(NAME, 0);
    name.truncate(size.min(NAME));
    if let Some(last) = name.last_mut() {
        *last = 0;
    }
    cx.write(to, &name)?;
    for at in name.len()..size {
        cx.write(to.wrapping_add(at as u64), &[0])?;
    }
    Ok(0)
}

/// The group of the idle task: the root.
pub(super) fn get_current_cgroup_id(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    let groups = &cx.env().network().cgroups;
    Ok(groups.iter().find(|group| group.parent.is_none()).map_or(ROOT_CGROUP, |group| group.id))
}

/// The root group's number in a world that names no groups (kernel: the first inode of the file system).
const ROOT_CGROUP: u64 = 1;

/// The class of the packet's socket, for tc; elsewhere of the idle task, which is in none.
pub(super) fn get_cgroup_classid(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    if cx.prog_type() == ProgType::SchedCls || cx.prog_type() == ProgType::SchedAct {
        super::skb_notes::skb_cgroup_classid(cx, args)
    } else {
        Ok(0)
    }
}
