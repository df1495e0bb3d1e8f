//! The card as one component.
//!
//! ```text
//! wire ─▶ mac ─▶ ingress ─▶ packet buffer ─▶ context of a core ─▶ verdict ─▶ reorder ─┬▶ traffic manager ─▶ mac ─▶ wire
//!                               ▲             │      ▲                 └▶ drop        │
//!                               │             ▼      │                                └▶ dma ─▶ pcie ─▶ host ring
//! host ring ─▶ pcie ─▶ dma ─────┘            memory engines
//! ```
//! [`port`] is what the world sees. Inside, an event is scheduled only where something must be decided at its time: when a
//! packet is in its buffer, when a core goes on, when a command reaches its memory, when a context is done. Lines, links
//! and engines that serve in order know at once when a job will be done, and need none.

mod card;
mod control;
mod counters;
mod held;
mod host;
mod inner;
mod leave;
mod packets;
pub mod port;
mod reload;
mod workers;

pub use crate::ethernet::line_bytes;
pub use card::{Device, PacketCounts};
pub use counters::{Counter, Measure};
pub use host::HostSetup;
pub use inner::Slot;
pub use port::{
    CardToHost, ControlToCard, ControlToHost, FCS, Fate, Frame, HostToCard, In, Inner, LossPlace, MIN_FRAME, Out,
    PREAMBLE_AND_GAP, PacketId, PortId, QueueId, RssHash, RxMeta,
};

pub use reload::Reloaded;

#[cfg(test)]
mod tests;
