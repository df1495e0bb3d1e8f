//! All memories of a card behind one door.

use bpf::diag::Diagnostic;
use bpf::errno::Errno;
use bpf::maps::Access;
use bpf::network::Network;
use bpf::program::MapSpec;

use super::engine::{Engine, EngineCounters};
use super::helper::{self, CardEvent, HelperCall, World};
use super::maps::Stores;
use super::record::{Actor, Event, Record};
use super::store::Store;
use super::words::{self, MAX_WORDS};
use super::{
    Action, AddressMap, Answer, CardMaps, EngineId, HostOp, MapCall, MemCommand, MemoriesConfig, MemoryKind, TableId,
    TouchKind, atomic,
};
use crate::des::Time;

/// What travels with a command: the core keeps it, and lends it when the command reaches its engine.
#[derive(Debug)]
pub struct Cargo<'a> {
    /// Words from or for transfer registers. An atomic takes its operand from the first (and second, the high word).
    pub words: &'a mut [u32; MAX_WORDS],
    /// The call that an [`Action::Map`] or [`Action::Helper`] carries out.
    pub call: Option<Routine<'a>>,
}

/// A call of the firmware's.
#[derive(Debug)]
pub enum Routine<'a> {
    /// A map helper.
    Map(&'a mut MapCall),
    /// Any helper.
    Helper(&'a mut HelperCall),
}

/// The memories of a card.
#[derive(Debug)]
pub struct Memories {
    addresses: AddressMap,
    engines: Vec<Engine>,
    stores: Vec<Store>,
    maps: CardMaps,
    log: Option<Vec<Record>>,
    network: Network,
    events: Option<Vec<CardEvent>>,
    event_count: u64,
}

impl Memories {
    /// Empty memories; `cpus` is the number of contexts that get slots of their own in per-CPU maps.
    pub fn new(config: &MemoriesConfig, cpus: u32) -> Self {
        let addresses = AddressMap::new(config);
        let of = |engine| match addresses.memory(EngineId(engine)).0 {
            MemoryKind::Cls => config.cls,
            MemoryKind::Ctm => config.ctm,
            MemoryKind::Imem => config.imem,
            MemoryKind::Emem => config.emem,
        };
        Memories {
            engines: (0..addresses.engines()).map(|engine| Engine::new(of(engine))).collect(),
            stores: (0..addresses.engines()).map(|engine| Store::new(of(engine).bytes)).collect(),
            maps: CardMaps::new(config, cpus),
            addresses,
            log: None,
            network: Network::EMPTY,
            events: None,
            event_count: 0,
        }
    }

    /// The card's addresses.
    pub fn addresses(&self) -> &AddressMap {
        &self.addresses
    }

    /// From a core's command queue to an engine.
    pub fn request_time(&self, engine: EngineId) -> Time {
        self.engines[usize::from(engine.0)].config().timing.request
    }

    /// What an engine did so far.
    pub fn counters(&self, engine: EngineId) -> EngineCounters {
        self.engines[usize::from(engine.0)].counters()
    }

    /// What each engine did so far, with its memory and island.
    pub fn all_counters(&self) -> impl Iterator<Item = (MemoryKind, u16, EngineCounters)> {
        self.engines.iter().zip(0..).map(|(engine, id)| {
            let (memory, island) = self.addresses.memory(EngineId(id));
            (memory, island, engine.counters())
        })
    }

    /// Contents of a memory, for DMA and for tests; `island` matters where each has its own.
    pub fn store_mut(&mut self, memory: MemoryKind, island: u16) -> &mut Store {
        &mut self.stores[usize::from(self.addresses.engine(memory, island).0)]
    }

    /// Contents of a memory.
    pub fn store(&self, memory: MemoryKind, island: u16) -> &Store {
        &self.stores[usize::from(self.addresses.engine(memory, island).0)]
    }

    /// Takes a command that reaches its engine now: it acts, and the answer says when the core hears of it.
    pub fn serve(&mut self, now: Time, command: &MemCommand, cargo: Cargo<'_>) -> Answer {
        let MemCommand { offset, bytes, action, .. } = *command;
        let answer = self.engines[usize::from(command.engine.0)].take(now, action.touch(), offset, u32::from(bytes));
        // Most commands of the firmware only take time.
        if !matches!(action, Action::Touch(_)) {
            self.act(now, command, cargo);
        }
        answer
    }

    /// What a command does.
    #[inline(never)]
    fn act(&mut self, now: Time, command: &MemCommand, cargo: Cargo<'_>) {
        let index = usize::from(command.engine.0);
        let MemCommand { offset, bytes, action, .. } = *command;
        let len = usize::from(bytes).min(4 * MAX_WORDS);
        match action {
            Action::Read(order) => {
                let mut buf = [0; 4 * MAX_WORDS];
                let buf = &mut buf[..len];
                self.stores[index].read(offset, buf);
                words::from_bytes(buf, order, cargo.words);
                self.record(command, offset, |table, offset| Event::Read { table, offset, bytes: buf.to_vec() });
            }
            Action::Write(order) => {
                let mut buf = [0; 4 * MAX_WORDS];
                let buf = &mut buf[..len];
                words::to_bytes(cargo.words, order, buf);
                self.stores[index].write(offset, buf);
                self.record(command, offset, |table, offset| Event::Write { table, offset, bytes: buf.to_vec() });
            }
            Action::Atomic { op, wide, fetch } => {
                let words = if wide { 2 } else { 1 };
                for (number, offset) in cargo.words[..len / 4].chunks_exact_mut(words).zip((offset..).step_by(4)) {
                    let operand = number.iter().rev().fold(0, |n, &word| n << 32 | u64::from(word));
                    let before = atomic::change(&mut self.stores[index], offset, op, wide, operand);
                    if fetch {
                        number[0] = before as u32;
                        number[1..].fill((before >> 32) as u32);
                    }
                    self.record(command, offset, |table, offset| Event::Atomic {
                        table,
                        offset,
                        op,
                        wide,
                        operand,
                        before,
                    });
                }
            }
            Action::Touch(_) => {}
            Action::Map => {
                if let Some(Routine::Map(call)) = cargo.call {
                    self.call(command, call);
                }
            }
            Action::Helper(_) => {
                if let Some(Routine::Helper(call)) = cargo.call {
                    call.now_ns = now.ps() / 1000;
                    self.help(command, call);
                }
            }
        }
    }

    fn help(&mut self, command: &MemCommand, call: &mut HelperCall) {
        let world = World {
            stores: &mut self.stores,
            maps: &self.maps,
            addresses: self.addresses,
            network: &self.network,
            events: self.events.as_mut(),
            event_count: &mut self.event_count,
            log: self.log.as_mut(),
            actor: actor(command),
        };
        helper::run(call, Some(world));
    }

    fn call(&mut self, command: &MemCommand, call: &mut MapCall) {
        self.maps.call(Stores { stores: &mut self.stores, addresses: self.addresses }, call);
        if let Some(log) = &mut self.log {
            let MapCall { op, table, cpu, found, result, .. } = *call;
            let update = op == super::MapOp::Update;
            let event = Event::Call {
                op,
                table,
                cpu,
                key: call.key.clone(),
                value: if update { call.value.clone() } else { Vec::new() },
                flags: if update { call.flags } else { 0 },
                found,
                result,
            };
            log.push(Record { actor: actor(command), event });
        }
    }

    fn record(&mut self, command: &MemCommand, offset: u64, event: impl FnOnce(TableId, u32) -> Event) {
        if let Some(log) = &mut self.log
            && let Some((table, offset)) = self.maps.at(self.addresses.memory(command.engine).0, offset)
        {
            log.push(Record { actor: actor(command), event: event(table, offset) });
        }
    }

    /// Starts the log of what packets do to maps; without this call nothing is recorded.
    pub fn start_log(&mut self) {
        self.log = Some(Vec::new());
    }

    /// The log so far, which starts anew.
    pub fn take_log(&mut self) -> Vec<Record> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Gives the card the host's devices, routes and neighbours, as its driver offloads them.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// Starts the record of events and lines that programs send to the host; without this call they are only counted.
    pub fn start_events(&mut self) {
        self.events = Some(Vec::new());
    }

    /// The events so far; the record starts anew.
    pub fn take_events(&mut self) -> Vec<CardEvent> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Events that programs have sent to the host.
    pub fn events_sent(&self) -> u64 {
        self.event_count
    }

    /// The card's maps.
    pub fn maps(&self) -> &CardMaps {
        &self.maps
    }

    /// Creates a map in external memory. `atomic_words` are the byte offsets in a value of the words that programs use
    /// atomically.
    ///
    /// # Errors
    /// What [`bpf::maps::Map::new`] refuses, and `card-memory-full`.
    pub fn create_map(&mut self, spec: MapSpec, atomic_words: &[u32]) -> Result<TableId, Diagnostic> {
        self.create_map_in(MemoryKind::Emem, spec, atomic_words)
    }

    /// As [`Memories::create_map`], in another memory that holds maps, if it has room for this one.
    ///
    /// # Errors
    /// As [`Memories::create_map`].
    pub fn create_map_in(
        &mut self,
        memory: MemoryKind,
        spec: MapSpec,
        atomic_words: &[u32],
    ) -> Result<TableId, Diagnostic> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.create(stores, spec, atomic_words, memory)
    }

    /// `BPF_MAP_LOOKUP_ELEM` of the host, at this instant; atomic words come in the host's byte order.
    ///
    /// # Errors
    /// Linux's number; `ENOENT` also where there is no such map.
    pub fn user_lookup(&mut self, table: TableId, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.user_lookup(stores, table, key)
    }

    /// `BPF_MAP_UPDATE_ELEM` of the host, at this instant.
    ///
    /// # Errors
    /// As [`Memories::user_lookup`].
    pub fn user_update(&mut self, table: TableId, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.user_update(stores, table, key, value, flags)
    }

    /// `BPF_MAP_DELETE_ELEM` of the host, at this instant.
    ///
    /// # Errors
    /// As [`Memories::user_lookup`].
    pub fn user_delete(&mut self, table: TableId, key: &[u8]) -> Result<(), Errno> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.user_delete(stores, table, key)
    }

    /// An operation of the host's by control message, at this instant, in the card's byte order: the entry; what was
    /// accessed is added to `accesses`.
    ///
    /// # Errors
    /// Linux's number; `EBADFD` where there is no such map.
    pub fn host_operation(
        &mut self,
        table: TableId,
        op: HostOp<'_>,
        key: &[u8],
        accesses: &mut Vec<Access>,
    ) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.host_operation(stores, table, op, key, accesses)
    }

    /// Gives up a map; how many entries went with it. Programs that still name it find nothing there.
    ///
    /// # Errors
    /// `EBADFD` where there is no such map.
    pub fn free_map(&mut self, table: TableId) -> Result<u32, Errno> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.free(stores, table)
    }

    /// Takes a command of the card's own that only takes time, and reaches its engine now.
    pub fn touch(&mut self, now: Time, engine: EngineId, kind: TouchKind, offset: u64, bytes: u32) -> Answer {
        self.engines[usize::from(engine.0)].take(now, kind, offset, bytes)
    }

    /// All entries of a map in its order, as the host reads them.
    pub fn user_entries(&mut self, table: TableId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let stores = Stores { stores: &mut self.stores, addresses: self.addresses };
        self.maps.user_entries(stores, table)
    }
}

fn actor(command: &MemCommand) -> Actor {
    Actor { packet: command.packet, core: command.core, context: command.context }
}
