//! Transfers over the link.

use crate::des::{Server, Time};
use crate::profile::{CardProfile, DmaEngine, Pcie};

/// Bytes that the engine counts a transfer in.
const UNIT: u64 = 64;
/// Bytes of a doorbell and of an interrupt message.
const DOORBELL: u64 = 4;

/// Link and engine of one card.
#[derive(Debug, Clone)]
pub struct Dma {
    link: Pcie,
    engine: DmaEngine,
    up: Server,
    down: Server,
    reads: Server,
    writes: Server,
    /// Transfers of a direction end in the order they began, though a short one would be copied sooner.
    written: Time,
    completed: Time,
    read_bytes: u64,
    write_bytes: u64,
}

/// What link and engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaCounters {
    /// Link towards the host in use.
    pub up_busy: Time,
    /// Link towards the card in use.
    pub down_busy: Time,
    /// Read engine in use.
    pub read_busy: Time,
    /// Write engine in use.
    pub write_busy: Time,
    /// Read commands.
    pub reads: u64,
    /// Write commands.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

impl Dma {
    /// An idle link.
    pub fn new(card: &CardProfile) -> Self {
        Dma {
            link: card.pcie.clone(),
            engine: card.dma.clone(),
            up: Server::default(),
            down: Server::default(),
            reads: Server::default(),
            writes: Server::default(),
            written: Time::ZERO,
            completed: Time::ZERO,
            read_bytes: 0,
            write_bytes: 0,
        }
    }

    /// A payload cut into packets of at most `most`, each with `header`, takes so long on the link.
    fn wire_time(&self, bytes: u64, most: u64, header: u64) -> Time {
        let packets = bytes.div_ceil(most).max(1);
        self.link.rate.time_of((bytes + packets * header) * 8)
    }

    fn write_time(&self, bytes: u64) -> Time {
        self.wire_time(bytes, self.link.max_payload.0, self.link.write_header.0)
    }

    /// How long the engine copies between link and card memory.
    fn copy_time(&self, bytes: u64) -> Time {
        self.engine.copy_rate.time_of(bytes * 8)
    }

    fn units(bytes: u64) -> u64 {
        bytes.div_ceil(UNIT).max(1)
    }

    /// Writes `bytes` into the host's memory, and `note` bytes more as a write of their own that shares its engine
    /// command with `share` others. Says when all is visible there.
    pub fn write(&mut self, now: Time, bytes: u64, note: u64, share: u32) -> Time {
        let e = &self.engine;
        let mut span = e.write_op.0 + e.write_unit.0 * Self::units(bytes);
        let mut on_link = self.write_time(bytes);
        if note > 0 {
            span += (e.write_op.0 + e.write_unit.0 * Self::units(note)) / u64::from(share.max(1));
            on_link += self.write_time(note);
        }
        let (_, issued) = self.writes.take(now, Time::from_ps(span));
        let (_, sent) = self.up.take(now, on_link);
        self.write_bytes += bytes + note;
        let done = issued.max(sent) + e.write_latency.time() + self.copy_time(bytes) + self.link.propagation.time();
        self.written = self.written.max(done);
        self.written
    }

    /// Interrupts the host: a small write from outside the engine, behind all that is on the link.
    pub fn interrupt(&mut self, now: Time) -> Time {
        let (_, sent) = self.up.take(now, self.write_time(DOORBELL));
        sent + self.link.propagation.time()
    }

    /// Asks the host for `bytes`. Says when the request is there.
    pub fn request(&mut self, now: Time, bytes: u64) -> Time {
        let e = &self.engine;
        let span = Time::from_ps(e.read_op.0 + e.read_unit.0 * Self::units(bytes));
        let requests = bytes.div_ceil(self.link.max_read_request.0).max(1);
        let on_link = self.link.rate.time_of(requests * self.link.read_header.0 * 8);
        let (issued, _) = self.reads.take(now, span);
        let (_, sent) = self.up.take(now, on_link);
        self.read_bytes += bytes;
        issued.max(sent) + Time::from_ps(e.read_latency.0 / 2) + self.link.propagation.time()
    }

    /// The host answers a read of `bytes`, now. Says when they are in the card's memory.
    pub fn completion(&mut self, now: Time, bytes: u64) -> Time {
        let on_link = self.wire_time(bytes, self.link.max_payload.0, self.link.completion_header.0);
        let (_, there) = self.down.take(now, on_link);
        let latency = self.engine.read_latency.0;
        let done = there + self.link.propagation.time() + Time::from_ps(latency - latency / 2) + self.copy_time(bytes);
        self.completed = self.completed.max(done);
        self.completed
    }

    /// The host writes a register, now. Says when the card sees it.
    pub fn doorbell(&mut self, now: Time) -> Time {
        let (_, there) = self.down.take(now, self.write_time(DOORBELL));
        there + self.link.propagation.time()
    }

    /// What happened until `now`.
    pub fn counters(&self, now: Time) -> DmaCounters {
        DmaCounters {
            up_busy: self.up.busy_until(now),
            down_busy: self.down.busy_until(now),
            read_busy: self.reads.busy_until(now),
            write_busy: self.writes.busy_until(now),
            reads: self.reads.jobs(),
            writes: self.writes.jobs(),
            read_bytes: self.read_bytes,
            write_bytes: self.write_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::builtin;

    fn dma() -> Dma {
        Dma::new(&builtin("agilio-cx-2x40").unwrap())
    }

    /// Latency of one read through an idle link, with the host the profile was fitted to.
    fn read_latency(bytes: u64) -> Time {
        let card = builtin("agilio-cx-2x40").unwrap();
        let mut dma = Dma::new(&card);
        let at_host = dma.request(Time::ZERO, bytes);
        dma.completion(at_host + card.pcie.reference_host_read.time(), bytes)
    }

    fn within(measured: u64, published: u64, percent: u64) -> bool {
        measured.abs_diff(published) * 100 <= published * percent
    }

    /// pcie-bench, Haswell E5, warm cache: median latency of a DMA read in ns. Within 4 %.
    #[test]
    fn read_latency_is_the_published_one() {
        for (bytes, ns) in [(8, 586), (64, 600), (256, 666), (512, 746), (1_024, 906), (1_520, 1_040), (2_048, 1_173)] {
            let measured = read_latency(bytes).ns();
            assert!(within(measured, ns, 4), "{bytes} B: {measured} ns, published {ns} ns");
        }
    }

    /// pcie-bench, same host: a write, then a read of the same address, which waits for it. Within 3 %.
    #[test]
    fn a_write_delays_a_read_behind_it_as_published() {
        for (bytes, ns) in
            [(8, 786), (64, 800), (256, 906), (512, 1_040), (1_024, 1_306), (1_520, 1_600), (2_048, 1_880)]
        {
            let mut dma = dma();
            let propagation = builtin("agilio-cx-2x40").unwrap().pcie.propagation.time();
            let written = dma.write(Time::ZERO, bytes, 0, 1) - propagation;
            let measured = (written + read_latency(bytes)).ns();
            assert!(within(measured, ns, 3), "{bytes} B: {measured} ns, published {ns} ns");
        }
    }

    /// pcie-bench, same host: transfers as fast as the card issues them, in Mbit/s. Writes within 7 %, reads within
    /// 19 %: the published reads of 256 and 1024 bytes lie below what their neighbours lead one to expect.
    #[test]
    fn bandwidth_is_the_published_one() {
        const N: u64 = 10_000;
        for (bytes, read, write) in [
            (64, 28_650, 24_269),
            (128, 42_962, 42_402),
            (256, 46_892, 50_545),
            (512, 55_110, 54_443),
            (1_024, 49_103, 54_444),
            (2_048, 55_248, 54_444),
        ] {
            let mut dma = dma();
            let done = (0..N).map(|_| dma.write(Time::ZERO, bytes, 0, 1)).max().unwrap();
            let measured = N * bytes * 8 * 1_000_000 / done.ps();
            assert!(within(measured, write, 7), "write {bytes} B: {measured} Mbit/s, published {write}");

            let mut dma = self::dma();
            let mut done = Time::ZERO;
            for _ in 0..N {
                let asked = dma.request(Time::ZERO, bytes);
                done = dma.completion(asked, bytes);
            }
            let measured = N * bytes * 8 * 1_000_000 / done.ps();
            assert!(within(measured, read, 19), "read {bytes} B: {measured} Mbit/s, published {read}");
        }
    }

    /// pcie-bench, same host: reads and writes at once, Mbit/s of each. The model shares nothing between the two but the
    /// link, and is up to a quarter too fast.
    #[test]
    fn reads_and_writes_together_are_at_most_a_quarter_too_fast() {
        const N: u64 = 10_000;
        for (bytes, both) in
            [(64, 22_950), (128, 33_823), (256, 42_078), (512, 42_672), (1_024, 43_841), (2_048, 49_169)]
        {
            let mut dma = dma();
            let (mut written, mut read) = (Time::ZERO, Time::ZERO);
            for _ in 0..N {
                written = dma.write(Time::ZERO, bytes, 0, 1);
                let asked = dma.request(Time::ZERO, bytes);
                read = dma.completion(asked, bytes);
            }
            let measured = N * bytes * 8 * 1_000_000 / written.max(read).ps();
            assert!(
                measured * 100 >= both * 95 && measured * 100 <= both * 125,
                "{bytes} B: {measured}, published {both}"
            );
        }
    }

    #[test]
    fn both_directions_have_their_own_bandwidth() {
        let mut dma = dma();
        for _ in 0..1_000 {
            dma.write(Time::ZERO, 256, 0, 1);
        }
        assert!(dma.doorbell(Time::ZERO) < Time::from_ns(110));
        assert!(dma.interrupt(Time::ZERO) > Time::from_us(30));
        let counters = dma.counters(Time::from_us(10));
        assert_eq!((counters.up_busy, counters.writes, counters.write_bytes), (Time::from_us(10), 1_000, 256_000));
    }
}
