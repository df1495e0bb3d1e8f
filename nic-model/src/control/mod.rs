//! Control messages: how the host's driver works on the maps of a card (Linux nfp driver,
//! `fw.h` and `cmsg.c`).
//!
//! ```text
//!  driver ──request──▶ (doorbell, two reads over PCIe) ──▶ MapServer ──commands──▶ memory engines
//!         ◀──answer─── (write over PCIe, interrupt) ◀─────────┘ one core of the card, one request at a time
//! ```
//!
//! [`message`](Request) has the layouts, which driver and card share; [`Status`] the results; [`MapServer`] is the card's
//! side, a fixed routine around the maps' own operations.

mod answer;
mod layout;
mod message;
mod server;
mod status;

#[cfg(test)]
mod tests;

pub use answer::{Answer, EntryAnswer};
pub use layout::{MAX_ENTRIES, Slots, entries_an_answer, mtu};
pub use message::{Body, EntryOp, EntryRequest, Event, Header, Kind, Malformed, NewTable, REPLY, Request, VERSION};
pub use server::{MapServer, ServerCounters, Step};
pub use status::Status;
