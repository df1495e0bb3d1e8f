//! The engine: runs programs on a machine.

use super::burst::{Cpu, Stop, burst};
use super::context::{ContextInput, SkbFields};
use super::decode::{Code, row};
use super::machine::{Call, Machine};
use super::observer::{HelperCall, Observer};
use super::op::Lane;
use crate::diag::Diagnostic;
use crate::env::Env;
use crate::errno::Errno;
use crate::helpers::{HELPERS, Redirect};
use crate::maps::{AccessLog, Linear, Map, MapId, MapSet};
use crate::memory::{Arena, Fault, FaultKind, RegionId};
use crate::program::{MapSpec, ProgType};

/// Bytes of a stack frame (kernel: `MAX_BPF_STACK`).
pub const STACK_FRAME: u32 = 512;
/// Frames that may be live, the main function's included (kernel: `MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;

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

/// A caller's place, to come back to.
#[derive(Debug, Clone, Copy, Default)]
struct Frame {
    pc: usize,
    /// R6 to R9.
    saved: [u64; 4],
}

/// The machine of one device, and the engine that runs programs on it.
#[derive(Debug, Clone)]
pub struct Engine {
    config: EngineConfig,
    machine: Machine,
    /// Callers of the frames in use.
    frames: [Frame; MAX_FRAMES - 1],
}

impl Engine {
    /// A machine with maps of these definitions: map `i` gets id `i`.
    ///
    /// # Errors
    /// A map that cannot be created, or what does not fit the address space (`arena-full`).
    pub fn new(config: EngineConfig, maps: &[MapSpec]) -> Result<Engine, Diagnostic> {
        let machine = Machine::new(&config, maps)?;
        Ok(Engine { config, machine, frames: Default::default() })
    }

    /// Runs a program on a packet.
    pub fn run<O: Observer>(
        &mut self,
        code: &Code,
        input: RunInput<'_>,
        env: &mut dyn Env,
        observer: &mut O,
    ) -> Outcome {
        let mut cpu = Cpu { r: [0; Lane::COUNT], pc: 0, skew: 0 };
        let end = if self.machine.load(&self.config, &input.context, input.packet, code.uses_stack) {
            cpu.r[1] = u64::from(self.machine.context_address());
            cpu.r[10] = u64::from(self.machine.frame_pointer(0));
            let ty = match input.context {
                ContextInput::Xdp(_) => ProgType::Xdp,
                ContextInput::Skb(_) if code.prog_type().is_skb() => code.prog_type(),
                ContextInput::Skb(_) => ProgType::SchedCls,
            };
            self.execute(code, ty, &mut cpu, env, observer)
        } else {
            Err(Fault::of(FaultKind::PacketTooLong))
        };
        let retval = if end.is_ok() { cpu.r[0] } else { 0 };
        Outcome { retval, retired: cpu.retired(), fault: end.err(), redirect: self.machine.redirect }
    }

    fn execute<O: Observer>(
        &mut self,
        code: &Code,
        ty: ProgType,
        cpu: &mut Cpu,
        env: &mut dyn Env,
        observer: &mut O,
    ) -> Result<(), Fault> {
        let mut depth = 0;
        loop {
            match burst(code, cpu, self.machine.view(), self.config.budget, observer) {
                Stop::Exit if depth == 0 => return Ok(()),
                Stop::Exit => {
                    depth -= 1;
                    let frame = self.frames[depth];
                    cpu.r[6..10].copy_from_slice(&frame.saved);
                    cpu.r[10] = u64::from(self.machine.frame_pointer(depth));
                    cpu.jump(frame.pc);
                    self.machine.live_frames(depth);
                }
                Stop::Call(target) => {
                    let fault = |kind| Err(Fault::of(kind).at(code.slot_of(cpu.pc - 1)));
                    let Some(frame) = self.frames.get_mut(depth) else { return fault(FaultKind::CallDepth) };
                    if cpu.retired() > self.config.budget {
                        return fault(FaultKind::Budget);
                    }
                    *frame = Frame { pc: cpu.pc, saved: [cpu.r[6], cpu.r[7], cpu.r[8], cpu.r[9]] };
                    depth += 1;
                    cpu.r[10] = u64::from(self.machine.frame_pointer(depth));
                    cpu.jump(target as usize);
                    self.machine.enter_frame(depth, code.uses_stack);
                }
                Stop::Helper(row) => self.helper(code, ty, row as usize, cpu, env, observer)?,
                Stop::HelperIn(register) => {
                    let id = cpu.r[register as usize];
                    let unknown = || Fault::of(FaultKind::UnknownHelper(id as u32)).at(code.slot_of(cpu.pc - 1));
                    let row = u32::try_from(id).ok().and_then(row).ok_or_else(unknown)?;
                    self.helper(code, ty, row as usize, cpu, env, observer)?;
                }
                Stop::Fault(fault) => return Err(fault),
            }
        }
    }

    fn helper<O: Observer>(
        &mut self,
        code: &Code,
        ty: ProgType,
        row: usize,
        cpu: &mut Cpu,
        env: &mut dyn Env,
        observer: &mut O,
    ) -> Result<(), Fault> {
        let proto = &HELPERS[row];
        let slot = code.slot_of(cpu.pc - 1);
        if !proto.types.contains(ty) {
            return Err(Fault::of(FaultKind::WrongContext(proto.id)).at(slot));
        }
        let call = HelperCall { slot, id: proto.id, args: [cpu.r[1], cpu.r[2], cpu.r[3], cpu.r[4], cpu.r[5]] };
        let result = match observer.answer(&call, &self.machine.arena) {
            Some(result) => result,
            None => {
                self.machine.map_op = None;
                let mut cx = Call { machine: &mut self.machine, env, retired: cpu.retired(), ty };
                let result = (proto.body)(&mut cx, call.args).map_err(|fault| fault.at(slot))?;
                if let Some(op) = &self.machine.map_op {
                    observer.map_op(op, &self.machine.log);
                }
                result
            }
        };
        observer.helper(&call, result);
        cpu.r[0] = result;
        Ok(())
    }

    /// What the machine is like.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The packet as the last run left it.
    pub fn packet(&self) -> &[u8] {
        self.machine.packet_bytes()
    }

    /// The skb's fields as the last run left them; meaningless after a run with an XDP context.
    pub fn skb(&self) -> SkbFields {
        SkbFields::read(self.machine.context_bytes())
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

    /// A map as user space reaches it.
    pub fn map(&mut self, id: MapId) -> Option<OpenMap<'_>> {
        let region = self.map_region(id)?;
        let map = self.machine.maps.get(id)?;
        let memory = Linear(self.machine.arena.bytes_of_mut(region));
        Some(OpenMap { map, maps: &self.machine.maps, memory, log: &mut self.machine.log })
    }
}

/// A map of an engine, open for user space's operations. The accesses of the last one are in [`OpenMap::log`].
#[derive(Debug)]
pub struct OpenMap<'a> {
    map: &'a Map,
    maps: &'a MapSet,
    memory: Linear<'a>,
    log: &'a mut AccessLog,
}

impl OpenMap<'_> {
    /// The map's definition and kind.
    pub fn definition(&self) -> &Map {
        self.map
    }

    /// `BPF_MAP_LOOKUP_ELEM`; see [`Map::user_lookup`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.map.user_lookup(&mut self.memory, self.log, key)
    }

    /// `BPF_MAP_UPDATE_ELEM`; see [`Map::user_update`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.map.user_update(&mut self.memory, self.log, self.maps, key, value, flags)
    }

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// Linux's number.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        self.map.delete(&mut self.memory, self.log, 0, key)
    }

    /// `BPF_MAP_GET_NEXT_KEY`; see [`Map::next_key`].
    ///
    /// # Errors
    /// Linux's number; `ENOENT` at the end.
    pub fn next_key(&mut self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.map.next_key(&mut self.memory, self.log, key, next)
    }

    /// All keys and values, in the map's order.
    pub fn entries(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.map.user_entries(&mut self.memory)
    }

    /// The accesses of the last operation.
    pub fn log(&self) -> &AccessLog {
        self.log
    }
}
