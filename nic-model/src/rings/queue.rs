//! One pair of rings.

use std::collections::VecDeque;

use crate::profile::Rings;

/// The card's side of a receive and a transmit ring and their interrupt.
#[derive(Debug, Clone)]
pub struct Queue {
    rx_fetch: u32,
    rx_prefetch: u32,
    tx_fetch: u32,
    completion_batch: u32,
    /// Receive descriptors: announced by doorbells and not asked for, asked for, at hand.
    rx_announced: u32,
    rx_asked: u32,
    rx_at_hand: u32,
    /// Transmit descriptors: announced and not asked for, asked for, at hand by length of their frames.
    tx_announced: u32,
    tx_asked: u32,
    tx_at_hand: VecDeque<u32>,
    /// Frames whose data was asked for and has not come.
    tx_reading: u32,
    tx_done: u32,
    rx_written: u64,
    tx_written: u64,
    armed: bool,
}

/// Whether there was a receive descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// There was.
    Taken,
    /// There is none at hand.
    Empty,
}

impl Queue {
    /// Empty rings.
    pub fn new(rings: &Rings) -> Self {
        Queue {
            rx_fetch: *rings.rx_fetch,
            rx_prefetch: *rings.rx_prefetch,
            tx_fetch: *rings.tx_fetch,
            completion_batch: *rings.tx_completion_batch,
            rx_announced: 0,
            rx_asked: 0,
            rx_at_hand: 0,
            tx_announced: 0,
            tx_asked: 0,
            tx_at_hand: VecDeque::new(),
            tx_reading: 0,
            tx_done: 0,
            rx_written: 0,
            tx_written: 0,
            armed: false,
        }
    }

    /// The host has put up receive buffers.
    pub fn rx_doorbell(&mut self, count: u32) {
        self.rx_announced = self.rx_announced.saturating_add(count);
    }

    /// How many receive descriptors to ask for now, if any; counts them as asked for.
    pub fn ask_rx(&mut self) -> Option<u32> {
        let kept = self.rx_at_hand + self.rx_asked;
        let count = self.rx_fetch.min(self.rx_announced).min(self.rx_prefetch.saturating_sub(kept));
        // Less than a full read only when the host has no more.
        if count == 0 || (count < self.rx_fetch && count < self.rx_announced) {
            return None;
        }
        self.rx_announced -= count;
        self.rx_asked += count;
        Some(count)
    }

    /// Receive descriptors have come; no more than were asked for count.
    pub fn rx_came(&mut self, count: u32) {
        let count = count.min(self.rx_asked);
        self.rx_asked -= count;
        self.rx_at_hand += count;
    }

    /// Takes a receive descriptor for a packet, which will be written.
    pub fn take_rx(&mut self) -> Take {
        if self.rx_at_hand == 0 {
            return Take::Empty;
        }
        self.rx_at_hand -= 1;
        self.rx_written += 1;
        Take::Taken
    }

    /// The host has frames to send.
    pub fn tx_doorbell(&mut self, count: u32) {
        self.tx_announced = self.tx_announced.saturating_add(count);
    }

    /// How many transmit descriptors to ask for now, if any; counts them as asked for. One read at a time.
    pub fn ask_tx(&mut self) -> Option<u32> {
        let count = self.tx_fetch.min(self.tx_announced);
        if count == 0 || self.tx_asked > 0 || self.tx_at_hand.len() >= self.tx_fetch as usize {
            return None;
        }
        self.tx_announced -= count;
        self.tx_asked += count;
        Some(count)
    }

    /// Transmit descriptors have come; no more than were asked for count.
    pub fn tx_came(&mut self, lengths: &[u32]) {
        let count = lengths.len().min(self.tx_asked as usize);
        self.tx_asked = 0;
        self.tx_at_hand.extend(&lengths[..count]);
    }

    /// Whether there are frames of the host's whose data has not been asked for.
    pub fn wants_tx(&self) -> bool {
        self.tx_announced > 0 || self.tx_asked > 0 || !self.tx_at_hand.is_empty()
    }

    /// Bytes of the next frame to read, if its descriptor is at hand.
    pub fn next_tx(&self) -> Option<u32> {
        self.tx_at_hand.front().copied()
    }

    /// Asks for the data of the next frame.
    pub fn read_tx(&mut self) {
        if self.tx_at_hand.pop_front().is_some() {
            self.tx_reading += 1;
        }
    }

    /// The data of a frame has come. Says for how many frames to write a completion now, if any.
    ///
    /// # Errors
    /// When nobody asked for data.
    pub fn tx_data(&mut self) -> Result<Option<u32>, Unasked> {
        self.tx_reading = self.tx_reading.checked_sub(1).ok_or(Unasked)?;
        self.tx_done += 1;
        let idle = self.tx_reading == 0 && self.tx_at_hand.is_empty() && self.tx_asked == 0;
        if self.tx_done < self.completion_batch && !idle {
            return Ok(None);
        }
        let done = std::mem::take(&mut self.tx_done);
        self.tx_written += u64::from(done);
        Ok(Some(done))
    }

    /// The host arms the interrupt, having seen that much. Says whether it fires at once.
    pub fn arm(&mut self, rx_seen: u64, tx_seen: u64) -> bool {
        self.armed = self.rx_written <= rx_seen && self.tx_written <= tx_seen;
        !self.armed
    }

    /// Something was written for the host. Says whether the interrupt fires.
    pub fn notify(&mut self) -> bool {
        std::mem::take(&mut self.armed)
    }

    /// Receive descriptors the card could still use: announced, asked for or at hand.
    pub fn rx_known(&self) -> u64 {
        u64::from(self.rx_announced) + u64::from(self.rx_asked) + u64::from(self.rx_at_hand)
    }
}

/// Data of a frame that the card had not asked for: the host broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unasked;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::builtin;

    fn queue() -> Queue {
        Queue::new(&builtin("agilio-cx-2x40").unwrap().rings)
    }

    #[test]
    fn receive_descriptors_are_fetched_ahead_and_run_out() {
        let mut queue = queue();
        assert_eq!((queue.ask_rx(), queue.take_rx()), (None, Take::Empty));
        queue.rx_doorbell(200);
        let asked: Vec<u32> = std::iter::from_fn(|| queue.ask_rx()).collect();
        assert_eq!(asked, [16; 8]);
        queue.rx_came(128);
        queue.rx_came(128);
        assert_eq!(queue.rx_known(), 200);
        for _ in 0..15 {
            assert_eq!((queue.take_rx(), queue.ask_rx()), (Take::Taken, None));
        }
        queue.take_rx();
        assert_eq!(queue.ask_rx(), Some(16));
        assert_eq!((0..200).filter(|_| queue.take_rx() == Take::Taken).count(), 112);
        let asked: Vec<u32> = std::iter::from_fn(|| queue.ask_rx()).collect();
        assert_eq!(asked, [16, 16, 16, 8]);
    }

    #[test]
    fn frames_are_read_and_completed_in_batches() {
        let mut queue = queue();
        queue.tx_doorbell(20);
        assert_eq!((queue.ask_tx(), queue.ask_tx()), (Some(16), None));
        queue.tx_came(&[100; 16]);
        for _ in 0..16 {
            assert_eq!(queue.next_tx(), Some(100));
            queue.read_tx();
        }
        assert_eq!(queue.ask_tx(), Some(4));
        for _ in 0..15 {
            assert_eq!(queue.tx_data(), Ok(None));
        }
        assert_eq!(queue.tx_data(), Ok(Some(16)));
        queue.tx_came(&[60; 4]);
        queue.read_tx();
        assert_eq!(queue.tx_data(), Ok(None));
        for _ in 0..3 {
            queue.read_tx();
        }
        assert_eq!((queue.tx_data(), queue.tx_data(), queue.tx_data()), (Ok(None), Ok(None), Ok(Some(4))));
        assert_eq!(queue.tx_data(), Err(Unasked));
    }

    #[test]
    fn an_interrupt_fires_once_and_is_never_missed() {
        let mut queue = queue();
        queue.rx_doorbell(16);
        queue.ask_rx();
        queue.rx_came(16);
        queue.take_rx();
        assert!(!queue.notify());
        assert!(queue.arm(0, 0));
        assert!(!queue.notify());
        assert!(!queue.arm(1, 0));
        queue.take_rx();
        assert!(queue.notify());
        assert!(!queue.notify());
    }
}
