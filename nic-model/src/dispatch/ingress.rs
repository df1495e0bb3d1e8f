//! The way from the ports' FIFOs into packet memory.

use crate::des::{Server, Time};
use crate::profile::CardProfile;
use crate::quantity::BitRate;

/// Takes one frame after the other, each for its share of the card's packet rate or of its bandwidth, whichever is longer.
#[derive(Debug, Clone)]
pub struct Ingress {
    gap: Time,
    bandwidth: BitRate,
    latency: Time,
    server: Server,
}

/// A frame on its way into packet memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entering {
    /// When it has left the FIFO.
    pub left: Time,
    /// When it is in its buffer and a context may work on it.
    pub there: Time,
}

impl Ingress {
    /// Idle.
    pub fn new(card: &CardProfile) -> Self {
        // Rounded up, so that the rate is never exceeded.
        let gap = Time::from_ps(1_000_000_000_000u64.div_ceil(card.ingress.rate.0));
        let latency = card.mac.rx_latency.time() + card.ingress.latency.time();
        Ingress { gap, bandwidth: *card.ingress.bandwidth, latency, server: Server::default() }
    }

    /// When the next frame may enter.
    pub fn free_at(&self) -> Time {
        self.server.free_at()
    }

    /// A frame of `len` bytes enters.
    pub fn enter(&mut self, now: Time, len: usize) -> Entering {
        let copy = self.bandwidth.time_of(len as u64 * 8);
        let (start, left) = self.server.take(now, copy.max(self.gap));
        Entering { left, there: start + copy + self.latency }
    }

    /// How long it has been in use until `now`.
    pub fn busy_until(&self, now: Time) -> Time {
        self.server.busy_until(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::builtin;

    #[test]
    fn small_frames_enter_at_the_packet_rate_and_large_ones_at_the_bandwidth() {
        let card = builtin("agilio-cx-2x40").unwrap();
        let mut ingress = Ingress::new(&card);
        let latency = Time::from_ns(600);
        assert_eq!(
            ingress.enter(Time::ZERO, 60),
            Entering { left: Time::from_ps(31_250), there: Time::from_ps(604_800) }
        );
        let second = ingress.enter(Time::ZERO, 1_514);
        assert_eq!(second.left, Time::from_ps(31_250 + 121_120));
        assert_eq!(second.there, second.left + latency);
        assert_eq!(ingress.free_at(), second.left);
    }
}
