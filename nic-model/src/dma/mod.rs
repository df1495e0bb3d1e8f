//! PCIe and the DMA engine.
//!
//! The link has two directions, each a server in bytes; the engine has one server for reads and one for writes, each with
//! a time a command and a time for every 64 bytes. A transfer occupies its engine and its direction of the link side by
//! side, and is done when the slower of them is, plus latencies. That is the model of pcie-bench (Neugebauer et al.,
//! SIGCOMM 2018): headers of 24 bytes for each write and read request, 20 for each completion, payloads cut at the
//! largest payload size, requests at the largest read request size.

mod link;

pub use link::{Dma, DmaCounters};
