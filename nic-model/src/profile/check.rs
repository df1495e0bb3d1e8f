//! What no card can be. Each rule names the path a scenario would set.

use bpf::diag::Diagnostic;
use bpf::helpers;
use bpf::program::{MapType, ProgType};

use super::capabilities::ANY;
use super::{CardProfile, Memory};
use crate::memory::MemoryKind;
use crate::packet_pointer::NUMBERS;
use crate::yaml::{ValueError, nearest};

/// Most cores: their number is part of event sources.
const MAX_CORES: u64 = 4_096;
/// Most bytes of one memory: what a simulation could not hold in its own.
const MAX_MEMORY: u64 = 16 << 30;
/// Longest latency or occupation, in picoseconds: a second.
const MAX_TIME: u64 = 1_000_000_000_000;
/// Most bytes of a descriptor.
const MAX_DESCRIPTOR: u64 = 4_096;
/// Words a code store can have: branches have 14 bits of address.
const MAX_WORDS: u64 = 1 << 14;
/// Fastest port: a frame must take at least a few picoseconds.
const MAX_RATE: u64 = 10_000_000_000_000;

/// Collects the first broken rule.
struct Rules(Result<(), ValueError>);

impl Rules {
    fn broken(&mut self, path: &str, reason: String, limit: String, actual: String) {
        if self.0.is_ok() {
            let diagnostic = Diagnostic::new("nic-bad-value", format!("{path}: {reason}")).limit(limit, actual);
            self.0 = Err(ValueError { path: path.to_owned(), key: false, diagnostic });
        }
    }

    fn within(&mut self, path: &str, value: u64, least: u64, most: u64) {
        if value < least || value > most {
            self.broken(path, "outside what a card can have".into(), format!("{least} to {most}"), value.to_string());
        }
    }

    fn power_of_two(&mut self, path: &str, value: u64) {
        if !value.is_power_of_two() {
            self.broken(path, "must be a power of two".into(), "a power of two".into(), value.to_string());
        }
    }

    fn multiple(&mut self, path: &str, value: u64, of: u64) {
        if of == 0 || value == 0 || !value.is_multiple_of(of) {
            let limit = format!("a multiple of {of}, not 0");
            self.broken(path, "does not divide evenly".into(), limit, value.to_string());
        }
    }

    fn known<'a>(
        &mut self,
        path: &str,
        names: &[String],
        known: impl Fn(&str) -> bool,
        all: impl Iterator<Item = &'a str>,
    ) {
        if let Some(name) = names.iter().find(|n| *n != ANY && !known(n)) {
            let near = nearest(name, all).map_or("a name the kernel has".to_owned(), |n| format!("such as `{n}`"));
            self.broken(path, format!("nothing is called `{name}`"), near, name.clone());
        }
    }
}

/// Atomic operations of BPF, by the names profiles use.
const ATOMICS: [&str; 10] =
    ["add", "and", "or", "xor", "fetch-add", "fetch-and", "fetch-or", "fetch-xor", "xchg", "cmpxchg"];

/// Whether a card can be like this.
pub(super) fn check(card: &CardProfile) -> Result<(), ValueError> {
    let mut rules = Rules(Ok(()));
    let r = &mut rules;
    r.within("islands", u64::from(*card.islands), 1, 64);
    r.within("cores", u64::from(*card.cores), 1, MAX_CORES);
    if !matches!(*card.contexts, 4 | 8) {
        r.broken("contexts", "a core has four or eight".into(), "4 or 8".into(), card.contexts.to_string());
    }
    r.within("clock", card.clock.hz(), 1_000_000, 100_000_000_000);
    r.within("instruction_budget", *card.instruction_budget, 1, 1 << 40);
    let costs = &card.core_costs;
    r.within("core_costs.instruction", u64::from(*costs.instruction), 1, 1_000);
    for (path, cost) in [
        ("core_costs.branch", *costs.branch),
        ("core_costs.branch_bit", *costs.branch_bit),
        ("core_costs.jump", *costs.jump),
        ("core_costs.switch", *costs.switch),
        ("core_costs.wake", *costs.wake),
        ("core_costs.pull", *costs.pull),
    ] {
        r.within(path, u64::from(cost), 0, 10_000);
    }
    r.within("core_costs.command_queue", u64::from(*costs.command_queue), 1, 1_024);
    let m = &card.memories;
    for (name, memory) in [("cls", &m.cls), ("ctm", &m.ctm), ("imem", &m.imem), ("emem", &m.emem)] {
        check_memory(r, &format!("memories.{name}"), memory);
    }
    r.within("memories.map_base", m.map_base.0, 0, m.emem.size.0);
    // The firmware's counters and the maps' descriptors come first.
    let map = &card.firmware.map;
    let slots = u64::from(*card.capabilities.max_maps).saturating_add(1);
    let descriptors = slots.saturating_mul(map.descriptor_bytes.into()).saturating_add(map.descriptor_offset);
    let room = m.imem.size.0.saturating_sub(if map.descriptors == MemoryKind::Imem { descriptors } else { 4096 });
    r.within("capabilities.imem_maps", card.capabilities.imem_maps.value.0, 0, room);
    check_buffers(r, card);
    r.within("mac.ports", u64::from(*card.mac.ports), 1, 16);
    r.within("mac.rate", card.mac.rate.0, 1_000_000, MAX_RATE);
    r.within("mac.mtu", card.mac.mtu.0, 46, 16_000);
    r.within("mac.rx_fifo", card.mac.rx_fifo.0, card.mac.mtu.0 + 18, 1 << 30);
    r.within("ingress.rate", card.ingress.rate.0, 1, 1_000_000_000_000);
    r.within("ingress.bandwidth", card.ingress.bandwidth.0, 1_000_000, 8 * MAX_RATE);
    r.within("reorder.window", u64::from(*card.reorder.window), 1, 1 << 20);
    r.within("egress.queue", u64::from(*card.egress.queue), 1, 1 << 20);
    r.within("pcie.rate", card.pcie.rate.0, 1_000_000, MAX_RATE);
    r.within("pcie.max_payload", card.pcie.max_payload.0, 64, 4_096);
    r.within("pcie.max_read_request", card.pcie.max_read_request.0, 64, 4_096);
    for (path, bytes) in [
        ("pcie.write_header", *card.pcie.write_header),
        ("pcie.read_header", *card.pcie.read_header),
        ("pcie.completion_header", *card.pcie.completion_header),
    ] {
        r.within(path, bytes.0, 0, 256);
    }
    r.within("dma.copy_rate", card.dma.copy_rate.0, 1_000_000, MAX_RATE);
    r.within("dma.reads", u64::from(*card.dma.reads), 1, 65_536);
    let rings = &card.rings;
    r.within("rings.queues", u64::from(*rings.queues), 1, 1_024);
    r.within("rings.rx_fetch", u64::from(*rings.rx_fetch), 1, 4_096);
    r.within("rings.rx_prefetch", u64::from(*rings.rx_prefetch), u64::from(*rings.rx_fetch), 65_536);
    r.within("rings.tx_fetch", u64::from(*rings.tx_fetch), 1, 4_096);
    r.within("rings.rx_write_back_batch", u64::from(*rings.rx_write_back_batch), 1, 4_096);
    r.within("rings.tx_completion_batch", u64::from(*rings.tx_completion_batch), 1, 4_096);
    for (path, bytes) in [
        ("rings.rx_descriptor", &rings.rx_descriptor),
        ("rings.rx_write_back", &rings.rx_write_back),
        ("rings.tx_descriptor", &rings.tx_descriptor),
    ] {
        r.within(path, bytes.0, 0, MAX_DESCRIPTOR);
    }
    check_times(r, card);
    r.power_of_two("rings.rss_table", u64::from(*rings.rss_table));
    let c = &card.capabilities;
    let types = || ProgType::ALL.iter().map(|t| t.name());
    r.known("capabilities.program_types", &c.program_types, |n| types().any(|t| t == n), types());
    r.known("capabilities.helpers", &c.helpers, |n| helpers::number(n).is_some(), [].into_iter());
    r.known("capabilities.map_types", &c.map_types, |n| MapType::NAMES[1..].contains(&n), MapType::NAMES.into_iter());
    r.known("capabilities.atomics", &c.atomics, |n| ATOMICS.contains(&n), ATOMICS.into_iter());
    r.within("capabilities.code_start", u64::from(*c.code_start), 16, MAX_WORDS - 1);
    let room = MAX_WORDS.saturating_sub(u64::from(*c.code_start));
    r.within("capabilities.max_instructions", u64::from(*c.max_instructions), 1, room);
    r.within("capabilities.control_abi", u64::from(*c.control_abi), 2, 4);
    r.multiple("capabilities.stack", c.stack.0, 64);
    r.within("capabilities.stack", c.stack.0, 64, 1 << 16);
    rules.0
}

fn check_times(r: &mut Rules, card: &CardProfile) {
    for (path, time) in [
        ("mac.rx_latency", &card.mac.rx_latency),
        ("mac.tx_latency", &card.mac.tx_latency),
        ("ingress.latency", &card.ingress.latency),
        ("reorder.latency", &card.reorder.latency),
        ("egress.latency", &card.egress.latency),
        ("pcie.propagation", &card.pcie.propagation),
        ("pcie.reference_host_read", &card.pcie.reference_host_read),
        ("dma.read_op", &card.dma.read_op),
        ("dma.read_unit", &card.dma.read_unit),
        ("dma.write_op", &card.dma.write_op),
        ("dma.write_unit", &card.dma.write_unit),
        ("dma.read_latency", &card.dma.read_latency),
        ("dma.write_latency", &card.dma.write_latency),
    ] {
        r.within(path, time.0, 0, MAX_TIME);
    }
}

fn check_memory(r: &mut Rules, path: &str, memory: &Memory) {
    r.within(&format!("{path}.size"), memory.size.0, 1_024, MAX_MEMORY);
    r.within(&format!("{path}.banks"), u64::from(*memory.banks), 1, 1_024);
    for (name, time) in [
        ("transit", &memory.transit),
        ("read", &memory.read),
        ("write", &memory.write),
        ("atomic", &memory.atomic),
        ("service", &memory.service),
        ("atomic_service", &memory.atomic_service),
        ("beat", &memory.beat),
    ] {
        r.within(&format!("{path}.{name}"), time.0, 0, MAX_TIME);
    }
    r.power_of_two(&format!("{path}.interleave"), memory.interleave.0);
    r.within(&format!("{path}.interleave"), memory.interleave.0, 8, 1 << 30);
    if let Some(cache) = &memory.cache {
        r.power_of_two(&format!("{path}.cache.line"), cache.line.0);
        r.within(&format!("{path}.cache.line"), cache.line.0, 8, 4_096);
        r.within(&format!("{path}.cache.ways"), u64::from(*cache.ways), 1, 1_024);
        r.within(&format!("{path}.cache.size"), cache.size.0, 1_024, 1 << 30);
        r.within(&format!("{path}.cache.miss"), cache.miss.0, 0, MAX_TIME);
        r.within(&format!("{path}.cache.line_service"), cache.line_service.0, 0, MAX_TIME);
        let set = cache.line.0.saturating_mul(u64::from(*cache.ways));
        r.multiple(&format!("{path}.cache.size"), cache.size.0, set);
    }
}

fn check_buffers(r: &mut Rules, card: &CardProfile) {
    let b = &card.packet_buffers;
    r.power_of_two("packet_buffers.granule", b.granule.0);
    r.within("packet_buffers.granule", b.granule.0, 64, 1 << 16);
    r.power_of_two("packet_buffers.largest", b.largest.0);
    r.within("packet_buffers.largest", b.largest.0, b.granule.0.max(256), 8_192);
    r.within("packet_buffers.largest", b.largest.0 / b.granule.0.max(1), 1, 64);
    r.multiple("packet_buffers.bytes", b.bytes.0, b.largest.0);
    r.within("packet_buffers.bytes", b.bytes.0, b.largest.0, card.memories.ctm.size.0);
    r.within("packet_buffers.bytes", b.bytes.0 / b.granule.0.max(1), 1, u64::from(NUMBERS));
    r.within("packet_buffers.headroom", b.headroom.0, 0, b.largest.0 / 2);
    r.within("packet_buffers.host", u64::from(*b.host), 1, 65_536);
}
