//! A card as data: every size, time and cost that the model reads, each with its unit, kind and source.

use serde::{Deserialize, Serialize};

use super::{Capabilities, Sourced};
use crate::core::CoreCosts;
use crate::des::Frequency;
use crate::firmware::{ControlRoutine, MapRoutine, Routine};
use crate::memory::{CacheConfig, EngineTiming, MemoriesConfig, MemoryConfig};
use crate::quantity::{BitRate, Bytes, Duration, PacketRate};

/// One card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardProfile {
    /// Name, as scenarios give it.
    pub name: String,
    /// One sentence about it.
    pub description: String,
    /// Cores that work on packets.
    pub cores: Sourced<u16>,
    /// Islands the cores are spread over, evenly.
    pub islands: Sourced<u16>,
    /// Contexts of a core: 4 or 8.
    pub contexts: Sourced<u8>,
    /// Clock of the cores.
    pub clock: Sourced<Frequency>,
    /// Instructions a packet may take, firmware included, before the firmware gives it up.
    pub instruction_budget: Sourced<u64>,
    /// What instructions cost.
    pub core_costs: CoreTiming,
    /// Memories that cores reach by command.
    pub memories: MemorySet,
    /// Buffers in CTM that hold packets in work.
    pub packet_buffers: PacketBuffers,
    /// Ports.
    pub mac: Mac,
    /// The way from a port into packet memory and to a core.
    pub ingress: Ingress,
    /// What brings packets back into order.
    pub reorder: Reorder,
    /// The way from packet memory to a port.
    pub egress: Egress,
    /// The PCIe link.
    pub pcie: Pcie,
    /// The DMA engine behind it.
    pub dma: DmaEngine,
    /// Host rings as the card sees them.
    pub rings: Rings,
    /// Fixed routines around a program.
    pub firmware: Firmware,
    /// What programs may use.
    pub capabilities: Capabilities,
}

/// Costs of a core's instructions, in cycles: [`CoreCosts`] with sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreTiming {
    /// An instruction.
    pub instruction: Sourced<u32>,
    /// A taken branch, beyond its own cycle.
    pub branch: Sourced<u32>,
    /// A taken branch on a bit or byte.
    pub branch_bit: Sourced<u32>,
    /// A jump to an address in a register.
    pub jump: Sourced<u32>,
    /// From one context's last instruction to the next one's first.
    pub switch: Sourced<u32>,
    /// From a signal at an idle core to the first instruction.
    pub wake: Sourced<u32>,
    /// From a command's issue to its write data having been pulled.
    pub pull: Sourced<u32>,
    /// Commands the core's queue holds.
    pub command_queue: Sourced<u32>,
}

/// The four memories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySet {
    /// Cluster local scratch, one an island.
    pub cls: Memory,
    /// Cluster target memory, one an island.
    pub ctm: Memory,
    /// Internal memory.
    pub imem: Memory,
    /// External memory.
    pub emem: Memory,
    /// First byte of EMEM that maps are kept in.
    pub map_base: Sourced<Bytes>,
}

/// One memory: [`MemoryConfig`] with sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Size; of each island's where it is per island.
    pub size: Sourced<Bytes>,
    /// Banks side by side.
    pub banks: Sourced<u32>,
    /// Consecutive bytes of one bank.
    pub interleave: Sourced<Bytes>,
    /// From a core's command queue to the engine, and the same back.
    pub transit: Sourced<Duration>,
    /// Engine's start on a read to its data.
    pub read: Sourced<Duration>,
    /// The same of a write.
    pub write: Sourced<Duration>,
    /// The same of an atomic.
    pub atomic: Sourced<Duration>,
    /// Bank occupied by a read or write.
    pub service: Sourced<Duration>,
    /// Bank occupied by an atomic.
    pub atomic_service: Sourced<Duration>,
    /// Bank occupied by each further 8 bytes.
    pub beat: Sourced<Duration>,
    /// The cache in front of it.
    pub cache: Option<Cache>,
}

/// A cache in front of DRAM: [`CacheConfig`] with sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Size.
    pub size: Sourced<Bytes>,
    /// A line.
    pub line: Sourced<Bytes>,
    /// Lines of a set.
    pub ways: Sourced<u32>,
    /// Added to an access that misses.
    pub miss: Sourced<Duration>,
    /// DRAM occupied by one line.
    pub line_service: Sourced<Duration>,
}

/// Packet buffers in CTM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketBuffers {
    /// Bytes of each island's CTM that hold packets from the wire.
    pub bytes: Sourced<Bytes>,
    /// Smallest buffer; a packet number names so many bytes. A buffer is a power of two of them.
    pub granule: Sourced<Bytes>,
    /// Largest buffer. What of a packet does not fit stays in EMEM, out of a program's reach.
    pub largest: Sourced<Bytes>,
    /// Where in its buffer a packet starts.
    pub headroom: Sourced<Bytes>,
    /// Buffers of an island for packets from the host, of the largest size.
    pub host: Sourced<u32>,
}

/// Ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mac {
    /// Ports of the card.
    pub ports: Sourced<u8>,
    /// Rate of each.
    pub rate: Sourced<BitRate>,
    /// Largest payload of a frame; with Ethernet header and one VLAN tag 18 bytes more, without FCS.
    pub mtu: Sourced<Bytes>,
    /// Receive FIFO of each port.
    pub rx_fifo: Sourced<Bytes>,
    /// Last bit at the port to frame in the FIFO.
    pub rx_latency: Sourced<Duration>,
    /// Frame taken from the queue to first bit on the line.
    pub tx_latency: Sourced<Duration>,
}

/// From a port to a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Frames that enter packet memory, all ports together.
    pub rate: Sourced<PacketRate>,
    /// Bytes that enter packet memory, all ports together.
    pub bandwidth: Sourced<BitRate>,
    /// From the FIFO to a context, beyond what rate and bandwidth take.
    pub latency: Sourced<Duration>,
}

/// Restoring order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// Packets of a port between the oldest unfinished one and the youngest begun. The port waits beyond that.
    pub window: Sourced<u32>,
    /// From a packet's turn to its leaving.
    pub latency: Sourced<Duration>,
}

/// From packet memory to a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Frames a port's queue holds, the one being sent included.
    pub queue: Sourced<u32>,
    /// From the traffic manager's queue to the MAC.
    pub latency: Sourced<Duration>,
}

/// The PCIe link, in each direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pcie {
    /// What is left for transaction layer packets after encoding, acknowledgements, credits and skips.
    pub rate: Sourced<BitRate>,
    /// Largest payload of a write or completion.
    pub max_payload: Sourced<Bytes>,
    /// Largest read request.
    pub max_read_request: Sourced<Bytes>,
    /// Framing, data link and transaction header of a write.
    pub write_header: Sourced<Bytes>,
    /// The same of a read request.
    pub read_header: Sourced<Bytes>,
    /// The same of a completion.
    pub completion_header: Sourced<Bytes>,
    /// From one end of the link to the other, beyond serialisation.
    pub propagation: Sourced<Duration>,
    /// What a host takes from a read request to its answer, for which the latencies of this profile were fitted.
    pub reference_host_read: Sourced<Duration>,
}

/// The DMA engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DmaEngine {
    /// Engine occupied by a read, whatever its size.
    pub read_op: Sourced<Duration>,
    /// Engine occupied by each 64 bytes of a read, rounded up.
    pub read_unit: Sourced<Duration>,
    /// Engine occupied by a write, whatever its size.
    pub write_op: Sourced<Duration>,
    /// Engine occupied by each 64 bytes of a write, rounded up.
    pub write_unit: Sourced<Duration>,
    /// From a command to its request on the link and from its last completion to data in card memory, together, without
    /// the copying.
    pub read_latency: Sourced<Duration>,
    /// From a command to its data on the link, without the copying.
    pub write_latency: Sourced<Duration>,
    /// Copying between link and card memory, which a transfer waits for.
    pub copy_rate: Sourced<BitRate>,
    /// Reads under way at once.
    pub reads: Sourced<u32>,
}

/// Host rings as the card sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rings {
    /// Most queues of a port.
    pub queues: Sourced<u16>,
    /// A receive descriptor in a free list.
    pub rx_descriptor: Sourced<Bytes>,
    /// Receive descriptors of a queue that the card keeps at hand.
    pub rx_prefetch: Sourced<u32>,
    /// Receive descriptors fetched by one read.
    pub rx_fetch: Sourced<u32>,
    /// What is written to a ring for a packet received.
    pub rx_write_back: Sourced<Bytes>,
    /// Write-backs that share a command of the DMA engine.
    pub rx_write_back_batch: Sourced<u32>,
    /// A transmit descriptor.
    pub tx_descriptor: Sourced<Bytes>,
    /// Transmit descriptors fetched by one read.
    pub tx_fetch: Sourced<u32>,
    /// Frames after which a transmit completion is written; earlier when none is left to send.
    pub tx_completion_batch: Sourced<u32>,
    /// Entries of the receive-side-scaling indirection table.
    pub rss_table: Sourced<u16>,
}

/// Fixed routines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// From work assigned to the program's first instruction.
    pub receive: Sourced<Routine>,
    /// In place of a program.
    pub plain: Sourced<Routine>,
    /// After a pass.
    pub pass: Sourced<Routine>,
    /// After a drop.
    pub drop: Sourced<Routine>,
    /// After sending back.
    pub tx: Sourced<Routine>,
    /// A packet from the host.
    pub transmit: Sourced<Routine>,
    /// A map helper.
    pub map: Sourced<MapRoutine>,
    /// A control message of the host's.
    pub control: Sourced<ControlRoutine>,
}

impl CardProfile {
    /// What instructions cost, for the core.
    pub fn core_costs(&self) -> CoreCosts {
        let c = &self.core_costs;
        CoreCosts {
            instruction: *c.instruction,
            branch: *c.branch,
            branch_bit: *c.branch_bit,
            jump: *c.jump,
            switch: *c.switch,
            wake: *c.wake,
            pull: *c.pull,
            command_queue: *c.command_queue,
        }
    }

    /// The island a core stands in: cores are dealt to islands in turn.
    pub fn island_of(&self, core: u16) -> u16 {
        core % *self.islands
    }

    /// First byte of IMEM in which maps may be kept: behind the maps' descriptors, if those are there, and at most so far
    /// before its end as programs' maps may take.
    pub fn imem_map_base(&self) -> u64 {
        self.memories.imem.size.0.saturating_sub(self.capabilities.imem_maps.value.0)
    }

    /// Sizes and times of the memories, for their engines.
    pub fn memories(&self) -> MemoriesConfig {
        let m = &self.memories;
        MemoriesConfig {
            islands: *self.islands,
            cls: m.cls.config(),
            ctm: m.ctm.config(),
            ctm_packet_bytes: self.packet_buffers.bytes.0,
            packet_granule: self.packet_buffers.granule.0 as u32,
            imem: m.imem.config(),
            emem: m.emem.config(),
            imem_map_base: self.imem_map_base(),
            map_base: m.map_base.0,
        }
    }
}

impl Memory {
    fn config(&self) -> MemoryConfig {
        MemoryConfig {
            bytes: self.size.0,
            banks: *self.banks,
            interleave: self.interleave.0 as u32,
            timing: EngineTiming {
                request: self.transit.time(),
                read: self.read.time(),
                write: self.write.time(),
                atomic: self.atomic.time(),
                response: self.transit.time(),
                service: self.service.time(),
                atomic_service: self.atomic_service.time(),
                beat: self.beat.time(),
            },
            cache: self.cache.as_ref().map(|c| CacheConfig {
                bytes: c.size.0,
                line: c.line.0 as u32,
                ways: *c.ways,
                miss: c.miss.time(),
                line_service: c.line_service.time(),
            }),
        }
    }
}
