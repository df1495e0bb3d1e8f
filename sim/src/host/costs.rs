//! What the host's parts cost, as the components use it: plain numbers, resolved from a profile.

use nic_model::des::{Frequency, Time};

use super::cache::LevelShape;

/// Costs and limits of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCosts {
    /// Cores there are.
    pub cores: u32,
    /// Core clock.
    pub clock: Frequency,
    /// Instructions of a program that 1,000 cycles retire.
    pub instructions_per_kilocycle: u64,
    /// Caches, nearest first.
    pub caches: [LevelShape; 3],
    /// A line from memory.
    pub memory: Time,
    /// First touch of a packet, whose first line the driver has prefetched.
    pub packet_touch: Time,
    /// From a read request's arrival at the root complex to its data.
    pub dma_read: Time,
    /// Receive descriptors of a ring.
    pub rx_descriptors: u32,
    /// Transmit descriptors of a ring.
    pub tx_descriptors: u32,
    /// Packets one poll takes at most.
    pub napi_budget: u32,
    /// From the interrupt message to the first instruction of the poll.
    pub interrupt: Time,
    /// Least time between two interrupts of a queue.
    pub moderation: Time,
    /// What a poll costs besides its packets.
    pub poll: Time,
    /// Driver's receive path for one packet: descriptor, page, recycling.
    pub rx_packet: Time,
    /// Calling a program at the XDP hook.
    pub xdp_call: Time,
    /// Driver's transmit path for a packet that XDP sends back.
    pub xdp_tx: Time,
    /// Building an skb around a received packet.
    pub skb_build: Time,
    /// From the skb to the clsact hook: aggregation, taps, dispatch.
    pub skb_receive: Time,
    /// Calling a program at the tc hook.
    pub tc_call: Time,
    /// Freeing an skb and its page.
    pub skb_free: Time,
    /// Sending an skb: queue discipline, driver, descriptor, doorbell.
    pub skb_transmit: Time,
    /// What the stack does with a packet it is handed.
    pub stack: Time,
    /// Helpers by class.
    pub helpers: HelperCosts,
}

/// What a call of a helper costs, by the helper table's cost class; for maps, besides the accesses the operation makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperCosts {
    /// Operation of an array: the verifier inlines its lookup.
    pub map_array: Time,
    /// Operation of any other map, whatever the key.
    pub map_hashed: Time,
    /// Hashing and comparing, per 8 bytes of key.
    pub map_key_word: Time,
    /// Reading the clock.
    pub clock: Time,
    /// Drawing a random number.
    pub random: Time,
    /// Reading or writing a word of machine state.
    pub state: Time,
    /// Copying packet bytes.
    pub copy: Time,
    /// Updating or computing a checksum.
    pub checksum: Time,
    /// Moving the packet's start or end.
    pub resize: Time,
    /// Sending a copy of the packet.
    pub transmit: Time,
    /// Looking for a route or a socket.
    pub lookup: Time,
}

impl HostCosts {
    /// How long `instructions` of a program take when every access hits the first level.
    pub fn execute(&self, instructions: u64) -> Time {
        let ps = u128::from(instructions) * 1_000_000_000_000_000
            / (u128::from(self.clock.hz()) * u128::from(self.instructions_per_kilocycle.max(1)));
        Time::from_ps(u64::try_from(ps).unwrap_or(u64::MAX))
    }
}
