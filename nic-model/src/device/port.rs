//! What crosses the card's edges: frames on the wire, messages over PCIe, and the fate of packets.
//!
//! ```text
//!            In::Wire                                  Out::Pcie {at}
//!   cable ───────────────▶ ┌────────────────────────┐ ───────────────▶ host memory,
//!   cable ◀─────────────── │         Device         │ ◀─────────────── driver
//!            Out::Wire     └────────────────────────┘   In::Pcie
//!                                    │ Out::Fate: a packet ends inside the card
//! ```
//!
//! Who models which delay:
//! - **Wire.** [`In::Wire`] comes when the *last* bit of the frame reaches the card's MAC. Whoever sends serialises; the
//!   cable's delay is the world's. [`Out::Wire`] is said as soon as the frame's place on the line is known, which may be
//!   before its first bit leaves: it names both instants.
//! - **PCIe.** The link is the card's, in both directions: TLPs, credits of the DMA engine, propagation. A
//!   [`HostToCard`] message is handed over when the host *issues* it; the card takes it across. A [`CardToHost`] message
//!   carries the instant at which it has arrived in the host ([`Out::Pcie`]`::at`). Between a read request's arrival and
//!   its completion being handed over lies the host's memory latency, and nothing else: that is the host's to model.
//!
//! A packet that entered by [`In::Wire`] leaves exactly once: by [`Out::Wire`], by [`CardToHost::RxPacket`] or by
//! [`Out::Fate`]. A packet of the host's that entered by [`HostToCard::TxData`] leaves by [`Out::Wire`] or [`Out::Fate`].

use crate::des::Time;
use crate::ethernet::line_bytes;
pub use crate::ethernet::{FCS, MIN_FRAME, PREAMBLE_AND_GAP};
pub use crate::rings::RssHash;

pub use super::inner::Inner;
pub use crate::ids::PacketId;

/// A physical port of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u8);

/// A pair of host rings, RX and TX, with one interrupt. Port `p` of a card with `n` queues a port owns the queues
/// `p * n .. (p + 1) * n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u16);

/// An Ethernet frame, from destination address to the end of the payload; moved, never shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which packet it is.
    pub id: PacketId,
    /// Its bytes, without preamble and FCS.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Bytes of line time it takes, with padding, FCS, preamble and gap: what a line rate is counted in.
    pub fn line_bytes(&self) -> u64 {
        line_bytes(self.bytes.len())
    }
}

/// What can happen to a card.
#[derive(Debug, Clone, PartialEq)]
pub enum In {
    /// The last bit of a frame has reached a port.
    Wire {
        /// The port.
        port: PortId,
        /// The frame, as received; padded by its sender.
        frame: Frame,
    },
    /// The host issues a message.
    Pcie(HostToCard),
    /// The host issues something about control messages.
    Control(ControlToCard),
}

/// What a card tells the outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// A frame leaves by a port. Said once its place on the line is certain; both instants are now or later, and
    /// ascend for each port.
    Wire {
        /// The port.
        port: PortId,
        /// The frame, padded to [`MIN_FRAME`].
        frame: Frame,
        /// When the first bit of the destination address leaves.
        first_bit: Time,
        /// When the last bit leaves: what the other end of the cable counts from.
        last_bit: Time,
    },
    /// A message reaches the host. Packets and completions ascend in `at`, and so do read requests; an interrupt comes
    /// after what it speaks of.
    Pcie {
        /// When it is there: its data visible in host memory, a request at the root complex. Now or later.
        at: Time,
        /// The message.
        message: CardToHost,
    },
    /// The same of control messages.
    Control {
        /// When it is there.
        at: Time,
        /// What is there.
        message: ControlToHost,
    },
    /// A packet ended in the card, now.
    Fate {
        /// Which.
        packet: PacketId,
        /// How.
        fate: Fate,
    },
}

/// What the host's driver and memory say to the card.
#[derive(Debug, Clone, PartialEq)]
pub enum HostToCard {
    /// Doorbell: `count` more receive buffers are on the queue's free list.
    RxDoorbell {
        /// The queue.
        queue: QueueId,
        /// How many more.
        count: u32,
    },
    /// Doorbell: `count` more descriptors are on the queue's TX ring.
    TxDoorbell {
        /// The queue.
        queue: QueueId,
        /// How many more.
        count: u32,
    },
    /// The queue's interrupt may fire once. The host says what it has seen, so that nothing is missed between its last
    /// look and this message: the card fires at once when it has written more.
    ArmInterrupt {
        /// The queue.
        queue: QueueId,
        /// RX packets of this queue that the host has taken, since the beginning.
        rx_seen: u64,
        /// TX completions of this queue that the host has taken, since the beginning.
        tx_seen: u64,
    },
    /// Answers [`CardToHost::ReadRxDescriptors`].
    RxDescriptors {
        /// The queue.
        queue: QueueId,
        /// As many as were asked for.
        count: u32,
    },
    /// Answers [`CardToHost::ReadTxDescriptors`].
    TxDescriptors {
        /// The queue.
        queue: QueueId,
        /// Bytes of each frame, in ring order, as many as were asked for.
        lengths: Vec<u32>,
    },
    /// Answers [`CardToHost::ReadTxData`]: the next frame of the queue, in ring order.
    TxData {
        /// The queue.
        queue: QueueId,
        /// The frame.
        frame: Frame,
    },
}

/// What the card says to the host.
#[derive(Debug, Clone, PartialEq)]
pub enum CardToHost {
    /// DMA read of receive descriptors. The host answers with [`HostToCard::RxDescriptors`].
    ReadRxDescriptors {
        /// The queue.
        queue: QueueId,
        /// How many; never more than doorbells have announced.
        count: u32,
    },
    /// A packet and its descriptor have been written into the next buffer of the queue.
    RxPacket {
        /// The queue.
        queue: QueueId,
        /// The packet.
        frame: Frame,
        /// What the descriptor says of it.
        meta: RxMeta,
    },
    /// DMA read of transmit descriptors. The host answers with [`HostToCard::TxDescriptors`].
    ReadTxDescriptors {
        /// The queue.
        queue: QueueId,
        /// How many; never more than doorbells have announced.
        count: u32,
    },
    /// DMA read of the next frame of the queue. The host answers with [`HostToCard::TxData`].
    ReadTxData {
        /// The queue.
        queue: QueueId,
        /// Bytes of the frame, as its descriptor says.
        bytes: u32,
    },
    /// The data of `count` more frames of the queue has been read: their buffers are the driver's again.
    TxComplete {
        /// The queue.
        queue: QueueId,
        /// How many more.
        count: u32,
    },
    /// The queue's interrupt (MSI-X). Disarms it. What comes of it, and when, is for the host's moderation.
    Interrupt {
        /// The queue.
        queue: QueueId,
    },
}

/// What the host's driver and memory say on the queue of control messages, which is no port's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlToCard {
    /// Doorbell: so many more messages wait.
    Doorbell(u32),
    /// Answers [`ControlToHost::ReadDescriptors`]: bytes of each message.
    Descriptors(Vec<u32>),
    /// Answers [`ControlToHost::ReadMessage`].
    Message(Vec<u8>),
}

/// What the card says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlToHost {
    /// DMA read of so many descriptors; never more than doorbells have announced.
    ReadDescriptors(u32),
    /// DMA read of the next message, of so many bytes.
    ReadMessage(u32),
    /// A message and its descriptor have been written into the next buffer. There is always one: the driver puts up as many
    /// as there may be requests.
    Message(Vec<u8>),
    /// The queue's interrupt: behind the message it speaks of.
    Interrupt,
}

/// A receive descriptor's news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RxMeta {
    /// Port the packet came from.
    pub port: PortId,
    /// Hash by which the queue was chosen; `None` when the packet has none (not IP) or the program chose the queue.
    pub hash: Option<RssHash>,
    /// When the last bit reached the MAC.
    pub timestamp: Time,
}

/// How a packet ended inside the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The program said so.
    Dropped,
    /// The program said that it failed (`XDP_ABORTED`, or a verdict that does not exist).
    Aborted,
    /// The card could not go on with it.
    Lost(LossPlace),
}

/// `ifindex` of the card's first port on the host; the others follow it (the loopback device is 1).
pub const FIRST_IFINDEX: u32 = 2;

/// Where a card loses packets, in the order a packet meets the places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossPlace {
    /// Shorter than the least frame.
    Runt,
    /// Longer than the card takes.
    Oversize,
    /// The MAC's receive FIFO was full: frames came faster than they can be moved into packet memory.
    MacRxFifo,
    /// The MAC's receive FIFO was full while its head waited for a packet buffer, or for room in the order of its port:
    /// packets in work held them.
    NoPacketBuffer,
    /// The program trapped; the firmware gives the packet up.
    ProgramTrap,
    /// The port's transmit queue was full.
    TxQueueFull,
    /// Longer than the host's receive buffers.
    RxBufferTooSmall,
    /// The host had put up no receive buffer.
    NoRxDescriptor,
}

impl LossPlace {
    /// Every place, in the order a packet meets them.
    pub const ALL: [LossPlace; 8] = [
        LossPlace::Runt,
        LossPlace::Oversize,
        LossPlace::MacRxFifo,
        LossPlace::NoPacketBuffer,
        LossPlace::ProgramTrap,
        LossPlace::TxQueueFull,
        LossPlace::RxBufferTooSmall,
        LossPlace::NoRxDescriptor,
    ];

    /// Name for reports; stable.
    pub const fn name(self) -> &'static str {
        match self {
            LossPlace::Runt => "card.mac.runt",
            LossPlace::Oversize => "card.mac.oversize",
            LossPlace::MacRxFifo => "card.mac.rx-fifo",
            LossPlace::NoPacketBuffer => "card.no-packet-buffer",
            LossPlace::ProgramTrap => "card.program-trap",
            LossPlace::TxQueueFull => "card.tx-queue-full",
            LossPlace::RxBufferTooSmall => "card.rx-buffer-too-small",
            LossPlace::NoRxDescriptor => "card.no-rx-descriptor",
        }
    }
}
