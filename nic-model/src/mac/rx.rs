//! The receiving half of a port.

use std::collections::VecDeque;

use crate::des::Time;
use crate::ethernet::MIN_FRAME;
use crate::profile::Mac;

/// Bytes of Ethernet header and one VLAN tag around a payload of the MTU.
const HEADER_AND_TAG: u64 = 18;

/// Why a port does not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Shorter than the least frame.
    Runt,
    /// Longer than the port takes.
    Oversize,
    /// The FIFO has no room.
    Full,
}

/// The receive FIFO of a port, in bytes. Frames leave it for packet memory at times that are known when they begin to.
#[derive(Debug, Clone)]
pub struct RxPort {
    capacity: u64,
    longest: u64,
    held: u64,
    peak: u64,
    leaving: VecDeque<(Time, u64)>,
    frames: u64,
    bytes: u64,
}

impl RxPort {
    /// An empty FIFO.
    pub fn new(mac: &Mac) -> Self {
        RxPort {
            capacity: mac.rx_fifo.0,
            longest: mac.mtu.0 + HEADER_AND_TAG,
            held: 0,
            peak: 0,
            leaving: VecDeque::new(),
            frames: 0,
            bytes: 0,
        }
    }

    /// Takes a frame of `len` bytes (without FCS) into the FIFO, or says why not.
    ///
    /// # Errors
    /// The frame is lost for that reason.
    pub fn take(&mut self, now: Time, len: usize) -> Result<(), Refusal> {
        let len_bytes = len as u64;
        self.frames += 1;
        self.bytes += len_bytes;
        if len < MIN_FRAME {
            return Err(Refusal::Runt);
        }
        if len_bytes > self.longest {
            return Err(Refusal::Oversize);
        }
        while self.leaving.front().is_some_and(|(at, _)| *at <= now) {
            self.held -= self.leaving.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        if self.held + len_bytes > self.capacity {
            return Err(Refusal::Full);
        }
        self.held += len_bytes;
        self.peak = self.peak.max(self.held);
        Ok(())
    }

    /// The oldest frame that is still whole in the FIFO will have left it at `at`; calls come with ascending times.
    pub fn leave(&mut self, at: Time, len: usize) {
        self.leaving.push_back((at, len as u64));
    }

    /// Longest frame it takes, without FCS.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// Frames and bytes that came, lost ones included.
    pub fn received(&self) -> (u64, u64) {
        (self.frames, self.bytes)
    }

    /// Most bytes it held at once.
    pub fn peak(&self) -> u64 {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Kind, Sourced, builtin};
    use crate::quantity::Bytes;

    #[test]
    fn what_does_not_fit_is_refused_by_reason() {
        let mut mac = builtin("agilio-cx-2x40").unwrap().mac;
        mac.rx_fifo = Sourced { value: Bytes(10_000), kind: Kind::Assumed, source: String::new() };
        let mut port = RxPort::new(&mac);
        let ns = Time::from_ns;
        assert_eq!(port.take(ns(0), 59), Err(Refusal::Runt));
        assert_eq!(port.take(ns(0), 60), Ok(()));
        assert_eq!(port.take(ns(0), 9_235), Err(Refusal::Oversize));
        assert_eq!(port.take(ns(1), 9_234), Ok(()));
        assert_eq!(port.take(ns(2), 707), Err(Refusal::Full));
        assert_eq!(port.take(ns(2), 706), Ok(()));
        port.leave(ns(10), 60);
        assert_eq!(port.take(ns(9), 60), Err(Refusal::Full));
        assert_eq!(port.take(ns(10), 60), Ok(()));
        assert_eq!(port.peak(), 10_000);
        assert_eq!(port.received().0, 8);
    }
}
