//! Every packet from its arrival to its one fate.

use std::collections::{BTreeMap, VecDeque};

use nic_model::des::Time;
use nic_model::device::{self, LossPlace, PacketId};

use super::Latencies;
use crate::host::{self, Behind, COPIES, Sent};

/// How a packet ended, in the order of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// A program dropped it.
    Dropped(Place),
    /// A program sent it back out, and its last bit has left.
    Transmitted(Place),
    /// The host's stack has it.
    Delivered,
    /// A program failed and the packet was dropped for it.
    Aborted(Place),
    /// A redirect gave it to somebody else than a port.
    Taken(Taker),
    /// It was lost at a place with a name.
    Lost(Loss),
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// On the card.
    Card,
    /// At the host's XDP hook.
    Xdp,
    /// At the host's tc hook.
    Tc,
    /// Behind a redirect, on the way to a device.
    Device,
    /// Behind a redirect, on another processor.
    Processor,
}

/// Where a packet was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// On the card.
    Card(LossPlace),
    /// The host's transmit ring was full.
    HostTxRing,
    /// It was redirected to a device that does not exist.
    NoDevice,
    /// It was redirected into a port's receive path, which is not modelled.
    RedirectIngress,
    /// It was redirected to a device that is down.
    DeviceDown,
    /// It was longer than the device takes that it was redirected to.
    TooLong,
    /// Nothing is known of the station it was redirected to.
    NoNeighbour,
    /// As many packets as a processor map's entry allows waited for that processor.
    CpuQueue,
    /// Programs of processor maps handed it round.
    HandedRound,
    /// It was to go to all devices of a map, and none took it.
    Nobody,
}

/// Who has a packet that a redirect did not send out by a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Taker {
    /// Another processor's stack.
    Cpu,
    /// A socket in user space.
    Socket,
    /// The other end of a pair of virtual devices.
    Peer,
    /// A virtual device, which has received it.
    Ingress,
    /// A virtual device, which has sent it.
    Virtual,
}

impl Place {
    /// Name for reports; stable.
    pub const fn name(self) -> &'static str {
        match self {
            Place::Card => "card program",
            Place::Xdp => "xdp program",
            Place::Tc => "tc program",
            Place::Device => "devmap program",
            Place::Processor => "cpumap program",
        }
    }
}

impl Fate {
    /// What became of it, and where; stable names for reports.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Fate::Dropped(place) => ("dropped", place.name()),
            Fate::Transmitted(place) => ("transmitted", place.name()),
            Fate::Delivered => ("delivered", "host stack"),
            Fate::Aborted(place) => ("aborted", place.name()),
            Fate::Lost(Loss::Card(place)) => ("lost", place.name()),
            Fate::Lost(Loss::HostTxRing) => ("lost", "host.tx-ring-full"),
            Fate::Lost(Loss::RedirectIngress) => ("lost", "host.redirect-ingress-not-modelled"),
            Fate::Lost(Loss::NoDevice) => ("lost", "host.redirect-no-device"),
            Fate::Lost(Loss::DeviceDown) => ("lost", "host.redirect-device-down"),
            Fate::Lost(Loss::TooLong) => ("lost", "host.redirect-too-long"),
            Fate::Lost(Loss::NoNeighbour) => ("lost", "host.redirect-no-neighbour"),
            Fate::Lost(Loss::CpuQueue) => ("lost", "host.cpumap-queue-full"),
            Fate::Lost(Loss::HandedRound) => ("lost", "host.cpumap-round"),
            Fate::Lost(Loss::Nobody) => ("lost", "host.broadcast-nobody"),
            Fate::Taken(Taker::Cpu) => ("delivered", "cpumap"),
            Fate::Taken(Taker::Socket) => ("delivered", "xskmap"),
            Fate::Taken(Taker::Peer) => ("delivered", "peer device"),
            Fate::Taken(Taker::Ingress) => ("delivered", "virtual device"),
            Fate::Taken(Taker::Virtual) => ("transmitted", "virtual device"),
        }
    }

    /// Whether a program or the stack decided on the packet.
    pub const fn is_handled(self) -> bool {
        !matches!(self, Fate::Lost(_))
    }
}

impl From<device::Fate> for Fate {
    fn from(fate: device::Fate) -> Self {
        match fate {
            device::Fate::Dropped => Fate::Dropped(Place::Card),
            device::Fate::Aborted => Fate::Aborted(Place::Card),
            device::Fate::Lost(place) => Fate::Lost(Loss::Card(place)),
        }
    }
}

impl From<host::Fate> for Fate {
    fn from(fate: host::Fate) -> Self {
        match fate {
            host::Fate::XdpDropped => Fate::Dropped(Place::Xdp),
            host::Fate::XdpAborted => Fate::Aborted(Place::Xdp),
            host::Fate::TcDropped => Fate::Dropped(Place::Tc),
            host::Fate::TcAborted => Fate::Aborted(Place::Tc),
            host::Fate::Delivered => Fate::Delivered,
            host::Fate::TxRingFull => Fate::Lost(Loss::HostTxRing),
            host::Fate::RedirectIngress => Fate::Lost(Loss::RedirectIngress),
            host::Fate::NoDevice => Fate::Lost(Loss::NoDevice),
            host::Fate::DeviceDown => Fate::Lost(Loss::DeviceDown),
            host::Fate::TooLong => Fate::Lost(Loss::TooLong),
            host::Fate::NoNeighbour => Fate::Lost(Loss::NoNeighbour),
            host::Fate::CpuQueueFull => Fate::Lost(Loss::CpuQueue),
            host::Fate::HandedRound => Fate::Lost(Loss::HandedRound),
            host::Fate::Nobody => Fate::Lost(Loss::Nobody),
            host::Fate::DroppedBehind(which) => Fate::Dropped(which.into()),
            host::Fate::AbortedBehind(which) => Fate::Aborted(which.into()),
            host::Fate::ToCpu => Fate::Taken(Taker::Cpu),
            host::Fate::ToSocket => Fate::Taken(Taker::Socket),
            host::Fate::ToPeer => Fate::Taken(Taker::Peer),
            host::Fate::ToIngress => Fate::Taken(Taker::Ingress),
            host::Fate::ToVirtual => Fate::Taken(Taker::Virtual),
        }
    }
}

impl From<Sent> for Place {
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Xdp => Place::Xdp,
            Sent::Tc => Place::Tc,
        }
    }
}

impl From<Behind> for Place {
    fn from(behind: Behind) -> Self {
        match behind {
            Behind::Device => Place::Device,
            Behind::Processor => Place::Processor,
        }
    }
}

/// A packet that has arrived and not ended.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    arrived: Time,
    sender: Place,
}

/// Packets numbered in a row.
#[derive(Debug, Default)]
struct Window {
    /// Packets from number `first` on; the ended ones are empty.
    open: VecDeque<Option<InFlight>>,
    first: u64,
}

impl Window {
    /// How many there have been.
    fn count(&self) -> u64 {
        self.first + self.open.len() as u64
    }

    fn slot(&mut self, number: u64) -> Option<&mut Option<InFlight>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.open.get_mut(index)
    }

    fn take(&mut self, number: u64) -> Option<InFlight> {
        let flight = self.slot(number)?.take()?;
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.first += 1;
        }
        Some(flight)
    }
}

/// The packets in flight, and what became of the others.
#[derive(Debug, Default)]
pub struct Tracker {
    arrived: Window,
    /// Packets that programs made of others.
    copies: Window,
    copies_lost: u64,
    offered_bytes: u64,
    offered_line_bytes: u64,
    first_bit: Option<Time>,
    last_arrival: Time,
    last_end: Time,
    fates: BTreeMap<Fate, (u64, Latencies)>,
    copy_fates: BTreeMap<Fate, u64>,
    all: Latencies,
    ended: u64,
}

impl Tracker {
    /// A packet's last bit arrives; `bytes` are its frame's, without FCS, which took `line` to arrive.
    pub fn arrive(&mut self, now: Time, bytes: usize, line: Time) -> PacketId {
        let id = PacketId(self.arrived.count());
        self.arrived.open.push_back(Some(InFlight { arrived: now, sender: Place::Card }));
        self.offered_bytes += bytes as u64 + device::FCS;
        self.offered_line_bytes += device::line_bytes(bytes);
        self.first_bit.get_or_insert(now - line);
        self.last_arrival = self.last_arrival.max(now);
        id
    }

    /// A program has made a packet out of another. Numbers go up from [`COPIES`].
    pub fn copied(&mut self, now: Time, packet: PacketId) {
        debug_assert_eq!(packet.0, COPIES.0 + self.copies.count(), "the host numbers copies in their order");
        self.copies.open.push_back(Some(InFlight { arrived: now, sender: Place::Xdp }));
    }

    /// Programs made copies that there was no room for.
    pub fn copies_lost(&mut self, count: u64) {
        self.copies_lost += count;
        *self.copy_fates.entry(Fate::Lost(Loss::HostTxRing)).or_default() += count;
    }

    /// A hook of the host's has sent the packet.
    pub fn sent(&mut self, packet: PacketId, by: Sent) {
        if let Some(flight) = self.flight(packet) {
            flight.sender = by.into();
        }
    }

    /// The packet's last bit leaves.
    pub fn transmitted(&mut self, at: Time, packet: PacketId) {
        if let Some(sender) = self.flight(packet).map(|f| f.sender) {
            self.end(at, packet, Fate::Transmitted(sender));
        }
    }

    /// The packet has ended. A packet that has ended before keeps its first fate and shows up in [`Tracker::audit`].
    pub fn end(&mut self, at: Time, packet: PacketId, fate: Fate) {
        self.ended += 1;
        if let Some(copy) = packet.0.checked_sub(COPIES.0) {
            if self.copies.take(copy).is_some() {
                *self.copy_fates.entry(fate).or_default() += 1;
                self.last_end = self.last_end.max(at);
            }
            return;
        }
        let Some(flight) = self.arrived.take(packet.0) else { return };
        let latency = at - flight.arrived;
        let (count, latencies) = self.fates.entry(fate).or_default();
        *count += 1;
        latencies.record(latency);
        if fate.is_handled() {
            self.all.record(latency);
        }
        self.last_end = self.last_end.max(at);
    }

    fn flight(&mut self, packet: PacketId) -> Option<&mut InFlight> {
        match packet.0.checked_sub(COPIES.0) {
            Some(copy) => self.copies.slot(copy)?.as_mut(),
            None => self.arrived.slot(packet.0)?.as_mut(),
        }
    }

    /// Packets that have arrived.
    pub fn offered(&self) -> u64 {
        self.arrived.count()
    }

    /// Packets that have arrived or were made and not ended.
    pub fn open(&self) -> u64 {
        (self.offered() + self.copies.count()).saturating_sub(self.ended)
    }

    /// What became of the packets that programs made of others, in the order of reports.
    pub fn copy_fates(&self) -> impl Iterator<Item = (Fate, u64)> {
        self.copy_fates.iter().map(|(fate, count)| (*fate, *count))
    }

    /// Bytes of all that have arrived, with FCS, and with preamble and gap too.
    pub fn offered_bytes(&self) -> (u64, u64) {
        (self.offered_bytes, self.offered_line_bytes)
    }

    /// From the first bit of the first packet to the last bit of the last.
    pub fn offered_span(&self) -> Time {
        self.last_arrival - self.first_bit.unwrap_or(self.last_arrival)
    }

    /// From the first bit of the first packet to the end of the last fate.
    pub fn whole_span(&self) -> Time {
        self.last_end - self.first_bit.unwrap_or(self.last_end)
    }

    /// When the last packet ended.
    pub fn last_end(&self) -> Time {
        self.last_end
    }

    /// Packets by fate, with their latencies, in the order of reports.
    pub fn fates(&self) -> impl Iterator<Item = (Fate, u64, &Latencies)> {
        self.fates.iter().map(|(fate, (count, latencies))| (*fate, *count, latencies))
    }

    /// Latencies of all handled packets.
    pub fn latencies(&self) -> &Latencies {
        &self.all
    }

    /// The law of the house: every packet offered has exactly one fate, and so has every packet that a program made of one.
    ///
    /// # Errors
    /// The sums that do not agree, for a report of our own mistake.
    pub fn audit(&self) -> Result<(), String> {
        let fates: u64 = self.fates.values().map(|(count, _)| count).sum();
        let of_copies = self.copy_fates.values().sum::<u64>() - self.copies_lost;
        let (offered, copies) = (self.offered(), self.copies.count());
        if fates == offered && of_copies == copies && self.ended == offered + copies {
            return Ok(());
        }
        let open = self.arrived.open.iter().chain(&self.copies.open).filter(|slot| slot.is_some()).count();
        let copies =
            if copies > 0 { format!(", {copies} copies were made, {of_copies} have one") } else { String::new() };
        Err(format!(
            "{offered} packets arrived, {fates} have a fate{copies}, {} ends were told, {open} are open",
            self.ended
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fate_each_and_the_sum_holds() {
        let mut tracker = Tracker::default();
        let ids: Vec<_> = (1..=3).map(|us| tracker.arrive(Time::from_us(us), 60, Time::from_ns(67))).collect();
        assert!(tracker.audit().is_err());
        tracker.end(Time::from_us(5), ids[1], Fate::Delivered);
        tracker.sent(ids[0], Sent::Xdp);
        tracker.transmitted(Time::from_us(6), ids[0]);
        tracker.end(Time::from_us(7), ids[2], Fate::Lost(Loss::Card(LossPlace::NoRxDescriptor)));
        assert_eq!(tracker.audit(), Ok(()));
        let fates: Vec<_> = tracker.fates().map(|(fate, count, _)| (fate.names(), count)).collect();
        assert_eq!(
            fates,
            [
                (("transmitted", "xdp program"), 1),
                (("delivered", "host stack"), 1),
                (("lost", "card.no-rx-descriptor"), 1)
            ]
        );
        assert_eq!(tracker.latencies().summary().map(|s| s.count), Some(2));
        assert_eq!(tracker.whole_span(), Time::from_ns(6_067));
    }

    #[test]
    fn a_copy_has_a_fate_of_its_own() {
        let mut tracker = Tracker::default();
        let id = tracker.arrive(Time::from_us(1), 60, Time::ZERO);
        let copy = PacketId(COPIES.0);
        tracker.copied(Time::from_us(2), copy);
        tracker.copies_lost(3);
        tracker.end(Time::from_us(2), id, Fate::Delivered);
        assert!(tracker.audit().unwrap_err().contains("1 copies were made, 0 have one"));
        tracker.sent(copy, Sent::Xdp);
        tracker.transmitted(Time::from_us(4), copy);
        assert_eq!(tracker.audit(), Ok(()));
        let copies: Vec<_> = tracker.copy_fates().map(|(fate, count)| (fate.names(), count)).collect();
        assert_eq!(copies, [(("transmitted", "xdp program"), 1), (("lost", "host.tx-ring-full"), 3)]);
        assert_eq!((tracker.offered(), tracker.fates().count()), (1, 1));
    }

    #[test]
    fn a_second_fate_is_found_out() {
        let mut tracker = Tracker::default();
        let id = tracker.arrive(Time::from_us(1), 60, Time::ZERO);
        tracker.end(Time::from_us(2), id, Fate::Delivered);
        tracker.end(Time::from_us(3), id, Fate::Delivered);
        assert!(tracker.audit().unwrap_err().contains("1 packets arrived, 1 have a fate, 2 ends"));
    }
}
