//! Hosts as data: every cost with its unit, kind and source.

use bpf::diag::{At, Diagnostic};
use bpf::insn::Endian;
use nic_model::des::Frequency;
use nic_model::profile::Sourced;
use nic_model::quantity::{Bytes, Duration};
use nic_model::yaml::{self, Value, ValueError};
use serde::{Deserialize, Serialize};

use super::cache::LevelShape;
use super::control::ControlCosts;
use super::costs::{HelperCosts, HostCosts};

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostProfile {
    /// Name, as scenarios give it.
    pub name: String,
    /// One sentence about it.
    pub description: String,
    /// Cores.
    pub cores: Sourced<u32>,
    /// The order of bytes in their memory. Costs do not depend on it.
    pub byte_order: Sourced<ByteOrder>,
    /// Their clock.
    pub clock: Sourced<Frequency>,
    /// What programs cost.
    pub program: Program,
    /// Data caches.
    pub cache: Caches,
    /// The root complex.
    pub pcie: Pcie,
    /// Descriptor rings and polls.
    pub ring: Ring,
    /// Interrupts.
    pub interrupt: Interrupt,
    /// The driver's paths.
    pub driver: Driver,
    /// From the driver to the stack.
    pub skb: Skb,
    /// Helpers by cost class.
    pub helper: Helper,
    /// What user space does to maps on a card.
    pub control: Control,
}

/// An order of bytes, as profiles write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    /// The least significant first.
    Little,
    /// The most significant first.
    Big,
}

impl ByteOrder {
    /// The same as programs know it.
    pub const fn endian(self) -> Endian {
        match self {
            ByteOrder::Little => Endian::Little,
            ByteOrder::Big => Endian::Big,
        }
    }
}

macro_rules! group {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Sourced<$ty>,)*
        }
    };
}

group! {
    /// What programs cost besides helpers and caches.
    Program {
        /// Instructions that 1,000 cycles retire.
        instructions_per_kilocycle: u64,
    }
}

group! {
    /// One cache.
    Cache {
        /// Bytes it holds.
        bytes: Bytes,
        /// Lines of a set.
        ways: u32,
        /// What a hit costs.
        latency: Duration,
    }
}

/// The data caches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// First level.
    pub l1: Cache,
    /// Second level.
    pub l2: Cache,
    /// Last level, which the card writes into.
    pub l3: Cache,
    /// A line from memory.
    pub memory: Sourced<Duration>,
    /// First touch of a packet whose first line the driver has prefetched.
    pub packet_touch: Sourced<Duration>,
}

group! {
    /// The root complex.
    Pcie {
        /// From a read request's arrival at the root complex to its data.
        dma_read: Duration,
    }
}

group! {
    /// Descriptor rings and polls.
    Ring {
        /// Receive descriptors of a queue.
        rx_descriptors: u32,
        /// Transmit descriptors of a queue.
        tx_descriptors: u32,
        /// Packets of one poll.
        napi_budget: u32,
    }
}

group! {
    /// Interrupts.
    Interrupt {
        /// From the message to the first instruction of the poll.
        latency: Duration,
        /// Least time between two of a queue.
        moderation: Duration,
        /// A poll, besides its packets.
        poll: Duration,
    }
}

group! {
    /// The driver's paths.
    Driver {
        /// Receiving one packet: descriptor, page, recycling.
        rx_packet: Duration,
        /// Calling a program at the XDP hook.
        xdp_call: Duration,
        /// Sending a packet back by XDP.
        xdp_tx: Duration,
    }
}

group! {
    /// From the driver to the stack.
    Skb {
        /// Building an skb.
        build: Duration,
        /// From the skb to the clsact hook.
        receive: Duration,
        /// Calling a program at the tc hook.
        tc_call: Duration,
        /// Freeing an skb.
        free: Duration,
        /// Sending an skb.
        transmit: Duration,
        /// The stack's work on a packet it is handed.
        stack: Duration,
    }
}

group! {
    /// Helpers by cost class; maps besides the accesses an operation makes.
    Helper {
        /// An operation of an array.
        map_array: Duration,
        /// An operation of another map.
        map_hashed: Duration,
        /// Per 8 bytes of key.
        map_key_word: Duration,
        /// Reading the clock.
        clock: Duration,
        /// Drawing a random number.
        random: Duration,
        /// A word of machine state.
        state: Duration,
        /// Copying packet bytes.
        copy: Duration,
        /// A checksum.
        checksum: Duration,
        /// Moving the packet's start or end.
        resize: Duration,
        /// Sending a copy of the packet.
        transmit: Duration,
        /// Looking for a route or a socket.
        lookup: Duration,
    }
}

group! {
    /// What user space does to maps on a card.
    Control {
        /// A system call there and back, with the copies of key and value.
        call: Duration,
        /// A message made and put on its ring.
        message: Duration,
        /// Time between two looks for an answer.
        poll: Duration,
        /// Looks before the process sleeps.
        polls: u32,
        /// A process that sleeps woken.
        wake: Duration,
        /// How long it sleeps at most.
        timeout: Duration,
        /// The driver's tasklet takes a message.
        receive: Duration,
        /// How long the driver keeps an answer that walks a map.
        keep: Duration,
    }
}

/// Names of the hosts that come with the project.
pub const NAMES: [&str; 1] = ["xeon-e5-1650v4"];

const TEXTS: [&str; NAMES.len()] = [include_str!("../../profiles/xeon-e5-1650v4.yaml")];

/// A host that comes with the project, as a tree of values.
///
/// # Errors
/// `host-unknown` for a name that is not in [`NAMES`].
pub fn builtin_value(name: &str) -> Result<Value, Diagnostic> {
    let Some(index) = NAMES.iter().position(|n| *n == name) else {
        let near = yaml::nearest(name, NAMES).map_or(String::new(), |n| format!("did you mean {n}? "));
        return Err(Diagnostic::new("host-unknown", format!("no host is called \"{name}\""))
            .at(At::Named(name.to_owned()))
            .help(format!("{near}The hosts are: {}", NAMES.join(", "))));
    };
    Ok(yaml::parse_value(NAMES[index], TEXTS[index]).expect("the profiles that come with the project are tested").0)
}

/// A host from a tree of values.
///
/// # Errors
/// The path and what is wrong with its value.
pub fn from_value(value: Value) -> Result<HostProfile, ValueError> {
    let profile: HostProfile = yaml::from_value(value)?;
    let positive = [
        ("cores", u64::from(*profile.cores)),
        ("program.instructions_per_kilocycle", *profile.program.instructions_per_kilocycle),
        ("ring.napi_budget", u64::from(*profile.ring.napi_budget)),
        ("cache.l1.ways", u64::from(*profile.cache.l1.ways)),
        ("cache.l2.ways", u64::from(*profile.cache.l2.ways)),
        ("cache.l3.ways", u64::from(*profile.cache.l3.ways)),
        ("control.poll", profile.control.poll.0),
    ];
    let limits = [
        ("cores", u64::from(*profile.cores), MAX_CORES),
        ("cache.l1.bytes", profile.cache.l1.bytes.0, MAX_CACHE),
        ("cache.l2.bytes", profile.cache.l2.bytes.0, MAX_CACHE),
        ("cache.l3.bytes", profile.cache.l3.bytes.0, MAX_CACHE),
        ("cache.l1.ways", u64::from(*profile.cache.l1.ways), MAX_WAYS),
        ("cache.l2.ways", u64::from(*profile.cache.l2.ways), MAX_WAYS),
        ("cache.l3.ways", u64::from(*profile.cache.l3.ways), MAX_WAYS),
        ("ring.rx_descriptors", u64::from(*profile.ring.rx_descriptors), MAX_DESCRIPTORS),
        ("ring.tx_descriptors", u64::from(*profile.ring.tx_descriptors), MAX_DESCRIPTORS),
        ("control.call", profile.control.call.0, MAX_CONTROL),
        ("control.message", profile.control.message.0, MAX_CONTROL),
        ("control.poll", profile.control.poll.0, MAX_CONTROL),
        ("control.polls", u64::from(*profile.control.polls), MAX_POLLS),
        ("control.wake", profile.control.wake.0, MAX_CONTROL),
        ("control.timeout", profile.control.timeout.0, MAX_CONTROL),
        ("control.receive", profile.control.receive.0, MAX_CONTROL),
        ("control.keep", profile.control.keep.0, MAX_CONTROL),
    ];
    let bad = |path: &str, diagnostic: Diagnostic| ValueError { path: path.to_owned(), key: false, diagnostic };
    if let Some((path, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return Err(bad(path, Diagnostic::new("host-bad-value", format!("{path} is zero")).limit("at least 1", 0)));
    }
    if let Some((path, value, limit)) = limits.iter().find(|(_, value, limit)| value > limit) {
        let reason = format!("{path} is more than any host has");
        return Err(bad(path, Diagnostic::new("host-bad-value", reason).limit(limit, value)));
    }
    Ok(profile)
}

const MAX_CORES: u64 = 256;
const MAX_CACHE: u64 = 1 << 32;
const MAX_WAYS: u64 = 64;
const MAX_DESCRIPTORS: u64 = 1 << 16;
/// A minute.
const MAX_CONTROL: u64 = 60_000_000_000_000;
const MAX_POLLS: u64 = 1_000_000;

impl HostProfile {
    /// What maps on a card cost user space.
    pub fn control_costs(&self) -> ControlCosts {
        let c = &self.control;
        ControlCosts {
            call: c.call.time(),
            message: c.message.time(),
            poll: c.poll.time(),
            polls: *c.polls,
            wake: c.wake.time(),
            timeout: c.timeout.time(),
            receive: c.receive.time(),
            keep: c.keep.time(),
            interrupt: self.interrupt.latency.time(),
            dma_read: self.pcie.dma_read.time(),
        }
    }

    /// The costs as components use them.
    pub fn costs(&self) -> HostCosts {
        let level = |c: &Cache| LevelShape { bytes: c.bytes.0, ways: *c.ways as usize, latency: c.latency.time() };
        HostCosts {
            cores: *self.cores,
            clock: *self.clock,
            instructions_per_kilocycle: *self.program.instructions_per_kilocycle,
            caches: [level(&self.cache.l1), level(&self.cache.l2), level(&self.cache.l3)],
            memory: self.cache.memory.time(),
            packet_touch: self.cache.packet_touch.time(),
            dma_read: self.pcie.dma_read.time(),
            rx_descriptors: *self.ring.rx_descriptors,
            tx_descriptors: *self.ring.tx_descriptors,
            napi_budget: *self.ring.napi_budget,
            interrupt: self.interrupt.latency.time(),
            moderation: self.interrupt.moderation.time(),
            poll: self.interrupt.poll.time(),
            rx_packet: self.driver.rx_packet.time(),
            xdp_call: self.driver.xdp_call.time(),
            xdp_tx: self.driver.xdp_tx.time(),
            skb_build: self.skb.build.time(),
            skb_receive: self.skb.receive.time(),
            tc_call: self.skb.tc_call.time(),
            skb_free: self.skb.free.time(),
            skb_transmit: self.skb.transmit.time(),
            stack: self.skb.stack.time(),
            helpers: HelperCosts {
                map_array: self.helper.map_array.time(),
                map_hashed: self.helper.map_hashed.time(),
                map_key_word: self.helper.map_key_word.time(),
                clock: self.helper.clock.time(),
                random: self.helper.random.time(),
                state: self.helper.state.time(),
                copy: self.helper.copy.time(),
                checksum: self.helper.checksum.time(),
                resize: self.helper.resize.time(),
                transmit: self.helper.transmit.time(),
                lookup: self.helper.lookup.time(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_comes_with_the_project_is_sound() {
        for name in NAMES {
            let profile = from_value(builtin_value(name).unwrap()).unwrap();
            assert_eq!(profile.name, name);
            assert!(profile.costs().rx_packet > profile.costs().packet_touch);
        }
    }

    #[test]
    fn a_value_no_host_has_is_refused_with_its_path() {
        let mut value = builtin_value(NAMES[0]).unwrap();
        yaml::set(&mut value, "ring.napi_budget", Value::from(0)).unwrap();
        let error = from_value(value).unwrap_err();
        assert_eq!(error.path, "ring.napi_budget");
        assert!(builtin_value("xeon-e5-1650v3").unwrap_err().help.unwrap().contains("xeon-e5-1650v4"));
    }
}
