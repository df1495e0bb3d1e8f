//! Which registers and stack slots the continuation of a state reads.
//!
//! Each checkpoint remembers what was read after it before being written, along any path walked from it. A state that
//! reaches a finished checkpoint need only agree with it on those. Reads of all 64 bits are kept apart: they decide where
//! a 32-bit result must be zero-extended, also along the paths that pruning spared us.
//!
//! A path is cut into segments, from one checkpoint to the next. A read climbs from the current segment to the
//! checkpoint it started from, and on to that one's segment, until some segment wrote the place first.

use super::state::MAX_FRAMES;
use crate::insn::Reg;

/// A checkpoint's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckpointId(u32);

/// What was written since a checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The checkpoint it started from.
    pub from: Option<CheckpointId>,
    /// Registers written, a bit each, by frame.
    regs: [u16; MAX_FRAMES],
    /// Stack slots written whole, a bit each, by frame.
    slots: [u64; MAX_FRAMES],
    /// Frames entered: their arguments are the caller's.
    entered: u8,
    /// Frames whose R0 is that of the frame below, which returned.
    returned: u8,
}

impl Segment {
    const fn starting(from: Option<CheckpointId>) -> Self {
        Self { from, regs: [0; MAX_FRAMES], slots: [0; MAX_FRAMES], entered: 0, returned: 0 }
    }
}

/// What was read after a checkpoint, by frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads {
    /// Registers, a bit each.
    pub regs: [u16; MAX_FRAMES],
    /// Registers of which all 64 bits were read.
    pub wide: [u16; MAX_FRAMES],
    /// Stack slots.
    pub slots: [u64; MAX_FRAMES],
}

#[derive(Debug)]
struct Checkpoint {
    /// The segment that ended here.
    before: Segment,
    reads: Reads,
    /// Paths from here that are not walked to their end.
    open: u32,
}

/// The tree of checkpoints, and the segment of the path being walked.
#[derive(Debug)]
pub(super) struct Liveness {
    checkpoints: Vec<Checkpoint>,
    current: Segment,
}

const ARGUMENTS: u16 = 0b11_1110;

impl Liveness {
    pub(super) fn new() -> Self {
        Self { checkpoints: Vec::new(), current: Segment::starting(None) }
    }

    /// A register was written.
    pub(super) fn wrote(&mut self, frame: usize, reg: Reg) {
        self.current.regs[frame] |= 1 << reg.index();
        if reg == Reg::R0 {
            self.current.returned &= !(1 << frame);
        }
    }

    /// All eight bytes of a stack slot were written.
    pub(super) fn wrote_slot(&mut self, frame: usize, slot: usize) {
        self.current.slots[frame] |= 1 << slot;
    }

    /// A function was entered, whose frame this is.
    pub(super) fn entered(&mut self, frame: usize) {
        let caller = self.current.regs[frame - 1];
        self.current.regs[frame] = !ARGUMENTS | (caller & ARGUMENTS);
        self.current.slots[frame] = u64::MAX;
        self.current.entered |= 1 << frame;
        self.current.returned &= !(1 << frame);
        self.current.regs[frame - 1] |= 0b11_1111;
        self.current.returned &= !(1 << (frame - 1));
    }

    /// The function of this frame returned.
    pub(super) fn left(&mut self, frame: usize) {
        let caller = frame - 1;
        let (r0, bit) = (self.current.regs[frame] & 1, 1 << caller);
        self.current.regs[caller] = self.current.regs[caller] & !1 | r0;
        self.current.returned = if r0 == 0 { self.current.returned | bit } else { self.current.returned & !bit };
    }

    /// A register was read, all of it where `wide`.
    pub(super) fn read(&mut self, frame: usize, reg: Reg, wide: bool) {
        let mut place = (frame, reg.index());
        let mut from = Self::climb(&self.current, &mut place);
        while let Some(id) = from {
            let at = &mut self.checkpoints[id.0 as usize];
            let bit = 1u16 << place.1;
            let (read, read_wide) = (at.reads.regs[place.0] & bit != 0, at.reads.wide[place.0] & bit != 0);
            if read && (read_wide || !wide) {
                return;
            }
            at.reads.regs[place.0] |= bit;
            if wide {
                at.reads.wide[place.0] |= bit;
            }
            from = Self::climb(&at.before, &mut place);
        }
    }

    /// The checkpoint before a segment, unless the segment wrote the place; and the place's name there.
    fn climb(segment: &Segment, place: &mut (usize, usize)) -> Option<CheckpointId> {
        let (frame, reg) = *place;
        if segment.regs[frame] & (1 << reg) != 0 {
            return None;
        }
        if reg == 0 && segment.returned & (1 << frame) != 0 {
            place.0 = frame + 1;
        } else if segment.entered & (1 << frame) != 0 {
            place.0 = frame - 1;
        }
        segment.from
    }

    /// A stack slot was read.
    pub(super) fn read_slot(&mut self, frame: usize, slot: usize) {
        let bit = 1u64 << slot;
        if self.current.slots[frame] & bit != 0 {
            return;
        }
        let mut from = self.current.from;
        while let Some(id) = from {
            let at = &mut self.checkpoints[id.0 as usize];
            if at.reads.slots[frame] & bit != 0 {
                return;
            }
            at.reads.slots[frame] |= bit;
            if at.before.slots[frame] & bit != 0 {
                return;
            }
            from = at.before.from;
        }
    }

    /// Makes the current point a checkpoint; the path goes on from it.
    pub(super) fn checkpoint(&mut self) -> CheckpointId {
        let id =
            CheckpointId(u32::try_from(self.checkpoints.len()).expect("there is at most one an instruction walked"));
        let before = std::mem::replace(&mut self.current, Segment::starting(Some(id)));
        self.checkpoints.push(Checkpoint { before, reads: Reads::default(), open: 1 });
        id
    }

    /// A second path starts here, to be walked later from the segment returned.
    pub(super) fn fork(&mut self) -> Segment {
        if let Some(id) = self.current.from {
            self.checkpoints[id.0 as usize].open += 1;
        }
        self.current.clone()
    }

    /// The current path ends.
    pub(super) fn finish(&mut self) {
        let mut from = self.current.from;
        while let Some(id) = from {
            let at = &mut self.checkpoints[id.0 as usize];
            at.open -= 1;
            if at.open > 0 {
                return;
            }
            from = at.before.from;
        }
    }

    /// Goes on with a path that was put off.
    pub(super) fn resume(&mut self, segment: Segment) {
        self.current = segment;
    }

    /// Whether all paths from a checkpoint were walked to their end.
    pub(super) fn is_complete(&self, id: CheckpointId) -> bool {
        self.checkpoints[id.0 as usize].open == 0
    }

    /// What is read after a checkpoint; final once it is complete.
    pub(super) fn reads(&self, id: CheckpointId) -> &Reads {
        &self.checkpoints[id.0 as usize].reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_stops_at_the_segment_that_wrote() {
        let mut live = Liveness::new();
        let first = live.checkpoint();
        live.wrote(0, Reg::R1);
        let second = live.checkpoint();
        live.read(0, Reg::R1, true);
        live.read(0, Reg::R2, false);
        live.read_slot(0, 3);
        assert_eq!((live.reads(first).regs[0], live.reads(first).slots[0]), (0b100, 0b1000));
        assert_eq!((live.reads(second).regs[0], live.reads(second).wide[0]), (0b110, 0b010));
    }

    #[test]
    fn arguments_are_the_callers_and_the_result_the_callees() {
        let mut live = Liveness::new();
        let start = live.checkpoint();
        live.wrote(0, Reg::R2);
        live.entered(1);
        live.read(1, Reg::R1, true);
        live.read(1, Reg::R2, true);
        live.read(1, Reg::R6, true);
        assert_eq!(live.reads(start).wide[0], 0b10);
        let inside = live.checkpoint();
        live.left(1);
        live.read(0, Reg::R0, false);
        assert_eq!((live.reads(inside).regs[1], live.reads(inside).regs[0]), (1, 0));
        live.wrote(0, Reg::R0);
        live.read(0, Reg::R0, true);
        assert_eq!(live.reads(inside).wide[1], 0);
    }

    #[test]
    fn a_checkpoint_is_complete_when_every_path_from_it_ended() {
        let mut live = Liveness::new();
        let id = live.checkpoint();
        let later = live.fork();
        let inner = live.checkpoint();
        live.finish();
        assert!(live.is_complete(inner) && !live.is_complete(id));
        live.resume(later);
        live.finish();
        assert!(live.is_complete(id));
    }
}
