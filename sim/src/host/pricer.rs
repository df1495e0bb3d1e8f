//! What a run of a program costs on the host: instructions, caches, helpers.

use bpf::helpers::{self, CostClass};
use bpf::interp::{HelperCall, MapOp, MemAccess, Observer};
use bpf::maps::{AccessLog, Map, MapId};
use bpf::memory::RegionKind;
use bpf::program::{MapType, ProgId, Program};
use nic_model::des::Time;

use super::cache::{Cache, LINE};
use super::costs::HostCosts;
use super::x86;

/// What a program's instructions become on the host's processor.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Host instructions of all slots before each slot, so that a span costs one subtraction.
    before: Box<[u64]>,
    per_run: u64,
}

impl Weights {
    pub(super) fn of(program: &Program) -> Self {
        let executed = x86::executed(program);
        let sums = executed.slots.iter().scan(0, |sum, slot| {
            *sum += u64::from(*slot);
            Some(*sum)
        });
        Self { before: [0].into_iter().chain(sums).collect(), per_run: u64::from(executed.per_run) }
    }

    fn span(&self, first: usize, past: usize) -> u64 {
        let at = |slot: usize| self.before[slot.min(self.before.len() - 1)];
        at(past) - at(first)
    }
}

/// What map operations cost, and where the maps lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapCost {
    /// Address of the map's region.
    pub base: u64,
    /// An operation without its accesses.
    pub operation: Time,
}

impl MapCost {
    pub(super) fn of(map: &Map, base: u64, costs: &HostCosts) -> Self {
        let helpers = &costs.helpers;
        let operation = match map.spec().ty {
            MapType::ARRAY | MapType::PERCPU_ARRAY | MapType::PROG_ARRAY | MapType::ARRAY_OF_MAPS => helpers.map_array,
            _ => {
                let words = u64::from(map.spec().key_size.div_ceil(8));
                helpers.map_hashed + Time::from_ps(helpers.map_key_word.ps() * words)
            }
        };
        Self { base, operation }
    }
}

/// Prices one run.
pub(super) struct Pricer<'a> {
    pub costs: &'a HostCosts,
    /// By program of the engine, and of the one that runs.
    programs: &'a [Weights],
    first: ProgId,
    weights: &'a Weights,
    pub maps: &'a [MapCost],
    pub cache: &'a mut Cache,
    /// Host instructions of the program.
    pub instructions: u64,
    /// Time beyond what the instructions take with every access in the first level.
    pub beyond: Time,
    /// Lines of the packet touched; the first 128 are told apart.
    touched: u128,
}

impl<'a> Pricer<'a> {
    pub(super) fn new(
        costs: &'a HostCosts,
        programs: &'a [Weights],
        first: ProgId,
        maps: &'a [MapCost],
        cache: &'a mut Cache,
        touched: u128,
    ) -> Self {
        let weights = &programs[first.0 as usize];
        let (instructions, beyond) = (weights.per_run, Time::ZERO);
        Self { costs, programs, first, weights, maps, cache, instructions, beyond, touched }
    }

    /// What the run took, and which lines of the packet it left in the first level.
    pub(super) fn finish(self) -> (Time, u64, u128) {
        (self.costs.execute(self.instructions) + self.beyond, self.instructions, self.touched)
    }

    fn line(&mut self, address: u64) {
        let (_, latency) = self.cache.access(address);
        self.beyond += latency - self.costs.caches[0].latency;
    }

    /// The card has written the packet into the last level; the driver has prefetched its first line.
    fn packet(&mut self, off: u32, len: u32) {
        for line in off / LINE as u32..(off + len.max(1)).div_ceil(LINE as u32) {
            let bit = 1u128 << line.min(127);
            if self.touched & bit != 0 {
                continue;
            }
            self.beyond += match self.touched {
                0 => self.costs.packet_touch,
                _ => self.costs.caches[2].latency - self.costs.caches[0].latency,
            };
            self.touched |= bit;
        }
    }
}

impl Observer for Pricer<'_> {
    const SPANS: bool = true;
    const ACCESSES: bool = true;

    fn program(&mut self, program: Option<ProgId>) {
        self.weights = &self.programs[program.unwrap_or(self.first).0 as usize];
    }

    fn span(&mut self, first: usize, past: usize) {
        self.instructions += self.weights.span(first, past);
    }

    fn access(&mut self, access: &MemAccess, _value: u64) {
        match access.region {
            RegionKind::Packet => self.packet(access.off, access.size.bytes()),
            RegionKind::Map(MapId(id)) => {
                let address = self.maps[id as usize].base + u64::from(access.off);
                self.line(address);
            }
            _ => {}
        }
    }

    fn map_op(&mut self, op: &MapOp, log: &AccessLog) {
        let MapCost { base, operation } = self.maps[op.map.0 as usize];
        self.beyond += operation;
        for access in log.accesses() {
            let first = base + u64::from(access.off);
            let last = first + u64::from(access.len.max(1)) - 1;
            for line in first / LINE..=last / LINE {
                self.line(line * LINE);
            }
        }
    }

    fn helper(&mut self, call: &HelperCall, _result: u64) {
        let costs = &self.costs.helpers;
        self.beyond += match helpers::proto(call.id).map(|row| row.cost) {
            // Priced as the operation it is, or as what it goes on to.
            Some(CostClass::Map | CostClass::Transfer) | None => Time::ZERO,
            Some(CostClass::Clock) => costs.clock,
            Some(CostClass::Random) => costs.random,
            Some(CostClass::State) => costs.state,
            Some(CostClass::Copy) => costs.copy,
            Some(CostClass::Checksum) => costs.checksum,
            Some(CostClass::Resize) => costs.resize,
            Some(CostClass::Transmit) => costs.transmit,
            Some(CostClass::Lookup) => costs.lookup,
        };
    }
}
