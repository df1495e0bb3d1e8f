//! The engine: runs programs on a machine.

use std::sync::Arc;

use super::burst::Cpu;
use super::context::{ContextInput, SkbFields, XdpFields};
use super::decode::Code;
use super::machine::Machine;
use super::observer::Observer;
use super::open_map::{Objects, OpenMap};
use super::run::{Caller, Run};
use crate::diag::Diagnostic;
use crate::env::Env;
use crate::helpers::{Redirect, SkbState};
use crate::maps::{Linear, MapId, MapSet, PerfRing};
use crate::memory::{Arena, Fault, FaultKind, RegionId};
use crate::program::{Endian, MapSpec, ProgId, ProgType};

/// What a machine is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Processors (contexts, on a card), each with its own values of per-CPU maps; at least 1. On a processor beyond them
    /// per-CPU look-ups find nothing and updates fail with `EINVAL`.
    pub cpus: u32,
    /// Bytes before an XDP packet (kernel: `XDP_PACKET_HEADROOM`, 256).
    pub xdp_headroom: u32,
    /// Bytes before an skb's (x86 kernel: `NET_SKB_PAD`, 64).
    pub skb_headroom: u32,
    /// Longest packet in bytes.
    pub packet_max: u32,
    /// Bytes of the buffer an XDP packet lies in; with the kernel's page of 4,096 its longest packet is 3,520 bytes. A
    /// longer packet takes as much as it needs and cannot grow.
    pub frame_size: u32,
    /// Instructions a run may retire. It is held against the count at taken jumps and calls, so that a run may exceed
    /// it by the program's length, but never loops on.
    pub budget: u64,
    /// Hold every access to a map's memory to one value, so that running from value `i` into value `i + 1` faults. For
    /// tests: it slows such accesses down.
    pub strict: bool,
    /// Most sockets of the world outside that programs can be shown.
    pub sockets: u32,
    /// Byte order of words in memory, of the machine's own and of what programs load and store.
    pub byte_order: Endian,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            cpus: 1,
            xdp_headroom: 256,
            skb_headroom: 64,
            packet_max: 65_535,
            frame_size: 4096,
            budget: 100_000_000,
            strict: false,
            sockets: 0,
            byte_order: Endian::Little,
        }
    }
}

/// What one run gets.
#[derive(Debug, Clone, Copy)]
pub struct RunInput<'a> {
    /// The context, but for the packet's place.
    pub context: ContextInput,
    /// The packet.
    pub packet: &'a [u8],
}

/// How one run ended. The packet and the context are the engine's to show until the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// R0 at the end; 0 after a fault.
    pub retval: u64,
    /// Instructions completed; a wide load counts as one, and a call that faulted counts.
    pub retired: u64,
    /// Why the run ended before its exit.
    pub fault: Option<Fault>,
    /// Where `bpf_redirect` asked for the packet to go; of consequence only if the verdict is a redirect.
    pub redirect: Option<Redirect>,
}

/// The machine of one device, and the engine that runs programs on it.
#[derive(Debug, Clone)]
pub struct Engine {
    config: EngineConfig,
    machine: Machine,
    /// Programs that others may tail-call, by number.
    programs: Vec<Arc<Code>>,
    /// The type of programs that each map has taken.
    owners: Vec<Option<ProgType>>,
    /// Callers of the frames in use; empty between runs.
    callers: Vec<Caller>,
}

impl Engine {
    /// A machine with maps of these definitions: map `i` gets id `i`.
    ///
    /// # Errors
    /// A map that cannot be created, or what does not fit the address space (`arena-full`).
    pub fn new(config: EngineConfig, maps: &[MapSpec]) -> Result<Engine, Diagnostic> {
        let machine = Machine::new(&config, maps)?;
        let owners = vec![None; machine.maps.len()];
        Ok(Engine { config, machine, programs: Vec::new(), owners, callers: Vec::new() })
    }

    /// Runs a program on a packet.
    pub fn run<O: Observer>(
        &mut self,
        code: &Code,
        input: RunInput<'_>,
        env: &mut dyn Env,
        observer: &mut O,
    ) -> Outcome {
        if code.byte_order != self.config.byte_order {
            return self.refused(FaultKind::ByteOrder);
        }
        if !self.machine.load(&self.config, &input.context, input.packet, code) {
            return self.refused(FaultKind::PacketTooLong);
        }
        if self.config.sockets > 0 {
            self.machine.load_sockets(&env.network().sockets);
        }
        let ty = match input.context {
            ContextInput::Xdp(_) => ProgType::Xdp,
            ContextInput::Skb(_) if code.prog_type().is_skb() => code.prog_type(),
            ContextInput::Skb(_) => ProgType::SchedCls,
        };
        self.callers.clear();
        let mut cpu = Cpu::new();
        cpu.r[1] = u64::from(self.machine.context_address());
        cpu.r[10] = u64::from(self.machine.frame_pointer(0));
        let mut run = Run {
            config: &self.config,
            machine: &mut self.machine,
            callers: &mut self.callers,
            programs: &self.programs,
            main: code,
            code,
            program: None,
            first: 0,
            tail_calls: 0,
            ty,
            cpu: &mut cpu,
            env,
            observer,
        };
        let end = run.execute();
        let retval = if end.is_ok() { cpu.r[0] } else { 0 };
        Outcome { retval, retired: cpu.retired(), fault: end.err(), redirect: self.machine.redirect }
    }

    /// When the next timer in a map is due, in nanoseconds since boot; one whose value has gone may be counted too.
    pub fn next_timer(&self) -> Option<u64> {
        self.machine.next_timer()
    }

    /// Runs the function of the first timer that is due by `now`: when it was due, and how it ended. `None` where none is.
    ///
    /// The function sees `env`, no packet and no context. It may set its timer again, to a time that has come already: it is
    /// the caller who sees to it that time goes on.
    pub fn fire_timer<O: Observer>(&mut self, now: u64, env: &mut dyn Env, observer: &mut O) -> Option<(u64, Outcome)> {
        let fired = self.machine.take_timer(now)?;
        let (code, at) = (&fired.code, fired.at);
        let context = match code.prog_type() {
            ProgType::Xdp => ContextInput::Xdp(XdpFields::default()),
            _ => ContextInput::Skb(SkbFields::default()),
        };
        self.machine.load(&self.config, &context, &[], code);
        let arguments = self.machine.timer_arguments(&fired)?;
        self.callers.clear();
        let mut cpu = Cpu::new();
        cpu.r[1..4].copy_from_slice(&arguments);
        let mut run = Run {
            config: &self.config,
            machine: &mut self.machine,
            callers: &mut self.callers,
            programs: &self.programs,
            main: code,
            code,
            program: None,
            first: 0,
            tail_calls: 0,
            ty: code.prog_type(),
            cpu: &mut cpu,
            env,
            observer,
        };
        run.begin(fired.target);
        let end = run.execute();
        self.machine.timers.returned();
        self.machine.end_walk();
        let retval = if end.is_ok() { cpu.r[0] } else { 0 };
        Some((at, Outcome { retval, retired: cpu.retired(), fault: end.err(), redirect: None }))
    }

    /// The outcome of a run that did not begin.
    fn refused(&self, kind: FaultKind) -> Outcome {
        Outcome { retval: 0, retired: 0, fault: Some(Fault::of(kind)), redirect: None }
    }

    /// Makes a program one that others of this engine may tail-call, once it is put into a slot of a program array
    /// ([`OpenMap::set_program`]). It stays for as long as the engine does.
    pub fn add_program(&mut self, code: Arc<Code>) -> ProgId {
        self.programs.push(code);
        ProgId(self.programs.len() as u32 - 1)
    }

    /// The program of a number.
    pub fn program(&self, id: ProgId) -> Option<&Code> {
        self.programs.get(id.0 as usize).map(Arc::as_ref)
    }

    pub(super) fn program_list(&self) -> &[Arc<Code>] {
        &self.programs
    }

    /// How much further on than it was received the packet's start stands, after a run with an XDP context.
    pub fn moved(&self) -> i32 {
        self.machine.moved(&self.config)
    }

    /// What the machine is like.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The packet as the last run left it.
    pub fn packet(&self) -> &[u8] {
        self.machine.packet_bytes()
    }

    /// The packet's metadata as the last run left it.
    pub fn metadata(&self) -> &[u8] {
        self.machine.meta_bytes()
    }

    /// What the skb is besides bytes and fields, as the last run left it; meaningless after a run with an XDP context.
    pub fn skb_state(&self) -> &SkbState {
        &self.machine.skb
    }

    /// The skb's fields as the last run left them; meaningless after a run with an XDP context.
    pub fn skb(&self) -> SkbFields {
        SkbFields::read(self.config.byte_order, self.machine.context_bytes())
    }

    /// The whole address space.
    pub fn arena(&self) -> &Arena {
        &self.machine.arena
    }

    /// The device's maps.
    pub fn maps(&self) -> &MapSet {
        &self.machine.maps
    }

    /// The region of a map's memory.
    pub fn map_region(&self, id: MapId) -> Option<RegionId> {
        self.machine.map_regions.get(id.0 as usize).copied()
    }

    /// All bytes of a map, to put a state into it that the same definition had on another machine.
    pub fn map_memory_mut(&mut self, id: MapId) -> Option<&mut [u8]> {
        let region = self.map_region(id)?;
        Some(self.machine.arena.bytes_of_mut(region))
    }

    /// Opens a ring for records of programs on one processor and returns the number that a slot of an event array takes.
    pub fn open_perf(&mut self, ring: PerfRing) -> u32 {
        self.machine.open_perf(ring)
    }

    /// A ring by its number, to read it.
    pub fn perf_ring(&mut self, number: u32) -> Option<&mut PerfRing> {
        self.machine.perf_rings.get_mut((number as usize).checked_sub(1)?)
    }

    /// A map as user space reaches it.
    pub fn map(&mut self, id: MapId) -> Option<OpenMap<'_>> {
        let region = self.map_region(id)?;
        let Machine { maps, arena, log, .. } = &mut self.machine;
        let owner = self.owners.get_mut(id.0 as usize)?;
        let objects = Objects { maps, programs: &self.programs, owner: *owner };
        Some(OpenMap { map: maps.get(id)?, objects, owner, memory: Linear(arena.bytes_of_mut(region)), log })
    }
}
