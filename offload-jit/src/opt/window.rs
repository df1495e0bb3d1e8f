//! Packet loads that share a read command.
//!
//! Loads through pointers of one variable and one constant part, with nothing between them that could change the packet or
//! the transfer registers, are served by one read of up to 64 bytes: the first of them fills the transfer registers, each
//! takes its bytes from there.

use std::ops::Range;

use crate::action::{Action, PacketAt, Sink, Source, Step, Window};

/// Bytes the transfer registers hold for a window.
const LARGEST_WINDOW: i32 = 64;

/// A window that is still growing.
struct Open {
    /// Slots of its loads.
    loads: Vec<usize>,
    /// Which pointers it serves.
    of: PacketAt,
    /// Bytes.
    bytes: Range<i32>,
    /// No later load may join.
    closed: bool,
}

/// Gives every packet load its window.
pub(super) fn open_windows(steps: &mut [Step]) {
    let mut open: Option<Open> = None;
    for slot in 0..steps.len() {
        let step = &steps[slot];
        if step.target {
            close(&mut open);
        }
        match step.action {
            Action::Load { from: Source::Packet(at), off, size, .. } => {
                let start = i32::from(off);
                let bytes = start..start + size.bytes() as i32;
                match open.as_mut().filter(|open| open.joins(at, &bytes)) {
                    Some(open) => open.add(slot, &bytes),
                    None => {
                        let new = Open { loads: vec![slot], of: at, bytes, closed: false };
                        if let Some(old) = open.replace(new) {
                            settle(steps, &old);
                        }
                    }
                }
            }
            // Other memory is read through the same transfer registers; a call may change the packet.
            Action::Load { .. }
            | Action::Store { to: Sink::Packet(_) | Sink::MapValue, .. }
            | Action::StoreConstant { to: Sink::Packet(_) | Sink::MapValue, .. }
            | Action::Copy(_)
            | Action::Sequence(_)
            | Action::Classic { .. }
            | Action::CallLocal { .. }
            | Action::CallMap { .. }
            | Action::Choose { .. }
            | Action::CallHelper { .. }
            | Action::AtomicCall { .. }
            | Action::CallRandom
            | Action::CallEvent { .. }
            | Action::AdjustHead { .. }
            | Action::AdjustTail => close(&mut open),
            _ => {}
        }
    }
    if let Some(open) = open {
        settle(steps, &open);
    }
}

fn close(open: &mut Option<Open>) {
    if let Some(open) = open {
        open.closed = true;
    }
}

impl Open {
    /// Whether a load can be served as well.
    fn joins(&self, at: PacketAt, bytes: &Range<i32>) -> bool {
        let (start, end) = (self.bytes.start.min(bytes.start), self.bytes.end.max(bytes.end));
        !self.closed && at.id == self.of.id && at.off == self.of.off && end - start <= LARGEST_WINDOW
    }

    fn add(&mut self, slot: usize, bytes: &Range<i32>) {
        self.loads.push(slot);
        self.bytes = self.bytes.start.min(bytes.start)..self.bytes.end.max(bytes.end);
    }
}

/// Writes a finished window into its loads. One that ends at offset 0 is none: the driver reads its loads one by one.
fn settle(steps: &mut [Step], open: &Open) {
    if open.bytes.end == 0 {
        return;
    }
    let (Ok(start), Ok(end)) = (i16::try_from(open.bytes.start), i16::try_from(open.bytes.end)) else { return };
    for (n, &slot) in open.loads.iter().enumerate() {
        if let Action::Load { from: Source::Packet(at), .. } = &mut steps[slot].action {
            at.window = Some(Window { start, end, fill: n == 0 });
        }
    }
}
