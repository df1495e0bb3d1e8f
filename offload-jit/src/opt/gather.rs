//! Loads and stores that together copy memory into the packet.
//!
//! A run is pairs of a load and the store of what it loaded, one behind the other, of one width, through one register,
//! between two address registers, each pair right behind (or right in front of) the one before. No jump goes into it, and
//! no load reads what an earlier store of it wrote.

use bpf::insn::{Reg, Size};

use crate::action::{Action, CopyRun, PacketAt, Sink, Source, Step};

/// Bytes one command can move.
const LARGEST_COPY: u16 = 128;

/// A load and the store of what it loaded.
#[derive(Debug, Clone, Copy)]
struct Pair {
    size: Size,
    through: Reg,
    src: Reg,
    src_off: i16,
    /// The packet pointer of the source; `None` for a map's value.
    src_at: Option<PacketAt>,
    dst: Reg,
    dst_off: i16,
    dst_at: PacketAt,
}

/// Replaces each run of two and more pairs that `take` has nothing against by one copy at its first load. Returns the runs: where each ends, and what it
/// became.
pub(super) fn gather_copies(steps: &mut [Step], take: &dyn Fn(usize, &CopyRun) -> bool) -> Vec<(usize, CopyRun)> {
    let mut copies = Vec::new();
    let mut at = 0;
    while at + 1 < steps.len() {
        let run = run_at(steps, at);
        let end = at + 2 * run.len();
        if let [first, .., last] = run.as_slice() {
            let descending = last.src_off < first.src_off;
            let lowest = if descending { last } else { first };
            let copy = CopyRun {
                len: run.len() as u16 * first.size.bytes() as u16,
                size: first.size,
                through: first.through,
                from_map: first.src_at.is_none(),
                src: first.src,
                src_off: lowest.src_off,
                dst: first.dst,
                dst_off: lowest.dst_off,
                descending,
            };
            if !take(end - 1, &copy) {
                at = end;
                continue;
            }
            copies.push((end - 1, copy));
            steps[at..end].iter_mut().for_each(|step| step.action = Action::Nothing);
            steps[at].action = Action::Copy(Box::new(copy));
        }
        at = end.max(at + 1);
    }
    copies
}

/// The pairs of the run that starts at `at`; empty where no pair starts.
fn run_at(steps: &[Step], at: usize) -> Vec<Pair> {
    let mut run: Vec<Pair> = Vec::new();
    while let Some(pair) = pair_at(steps, at + 2 * run.len()) {
        if let Some(head) = run.first() {
            let full = run.len() as u16 * pair.size.bytes() as u16 >= LARGEST_COPY;
            let entered = steps[at + 2 * run.len()].target;
            if full || entered || !continues(&run, &pair) || reads_back(head, &pair) {
                break;
            }
        }
        run.push(pair);
    }
    run
}

fn pair_at(steps: &[Step], at: usize) -> Option<Pair> {
    let (load, store) = (steps.get(at)?, steps.get(at + 1)?);
    let Action::Load { size, dst: through, base: src, off: src_off, from, .. } = load.action else { return None };
    let Action::Store { size: stored, base: dst, off: dst_off, src: value, to: Sink::Packet(dst_at) } = store.action
    else {
        return None;
    };
    let src_at = match from {
        Source::Packet(at) => Some(at),
        Source::MapValue => None,
        Source::Context(_) | Source::Stack(_) => return None,
    };
    let matches = size == stored && through == value && !store.target;
    // A load into one of the address registers would move the run's addresses.
    let steady = through != src && through != dst;
    (matches && steady).then_some(Pair { size, through, src, src_off, src_at, dst, dst_off, dst_at })
}

/// Whether a pair goes on where the run stands, in the run's direction.
fn continues(run: &[Pair], next: &Pair) -> bool {
    let Some(last) = run.last() else { return true };
    let alike = next.size == last.size && next.through == last.through && next.src == last.src && next.dst == last.dst;
    let bytes = next.size.bytes() as i32;
    let step = |before: &Pair, after: &Pair| {
        let src = i32::from(after.src_off) - i32::from(before.src_off);
        let dst = i32::from(after.dst_off) - i32::from(before.dst_off);
        (src == dst && src.abs() == bytes).then_some(src)
    };
    let direction = step(last, next);
    let before = run.len().checked_sub(2).map(|n| step(&run[n], last));
    alike && direction.is_some() && before.is_none_or(|before| before == direction)
}

/// Whether a load of the run would read bytes that an earlier store of it wrote. What is not known to lie in one packet
/// at a known distance may.
fn reads_back(head: &Pair, next: &Pair) -> bool {
    let Some(src_at) = head.src_at else { return false };
    if src_at.id != head.dst_at.id {
        return true;
    }
    let place = |at: PacketAt, off: i16| at.off + i32::from(off);
    let bytes = next.size.bytes() as i32;
    let (load, first_load) = (place(src_at, next.src_off), place(src_at, head.src_off));
    let first_store = place(head.dst_at, head.dst_off);
    if load > first_load {
        // So far the stores cover, from the first one up, as many bytes as lie between the loads.
        first_store > first_load && first_store < load + bytes
    } else {
        first_store < first_load && first_store + bytes > load
    }
}
