//! The machine that programs run on: arena, maps, packet, stack; and what of it helpers see.

use super::burst::{MapPlace, PacketSpan, View};
use super::context::{self, ContextInput, PacketPlace, SK_BUFF_LEN};
use super::engine::{EngineConfig, MAX_FRAMES, STACK_FRAME};
use super::observer::{MapOp, MapOpKind};
use crate::diag::Diagnostic;
use crate::env::Env;
use crate::errno::Errno;
use crate::helpers::{HelperCx, Redirect, Room};
use crate::maps::{AccessLog, Holds, Linear, Map, MapId, MapSet};
use crate::memory::{Arena, Fault, FaultKind, Layout, RegionId, RegionKind};
use crate::program::{MapSpec, ProgType};

/// Distance between two map handles.
const HANDLE: u32 = 8;
/// Bytes at a packet buffer's start that hold the kernel's `struct xdp_frame` and that a packet may not grow into.
const XDP_FRAME_HEADER: u32 = 40;
/// Bytes at a frame's end that hold the kernel's `struct skb_shared_info`, rounded to a cache line.
const SHARED_INFO: u32 = 320;

#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub arena: Arena,
    pub maps: MapSet,
    pub map_regions: Vec<RegionId>,
    places: Vec<MapPlace>,
    stack: RegionId,
    context: RegionId,
    packet: RegionId,
    handles: RegionId,
    /// Packet bytes, from the packet region's start.
    packet_off: u32,
    packet_len: u32,
    /// End of the room a packet may grow into, from the region's start.
    hard_end: u32,
    /// Every byte before this one, from the region's start, is zero.
    clean_until: u32,
    xdp: bool,
    pub redirect: Option<Redirect>,
    /// The map operation of the helper that ran last, if it was one; its accesses are in `log`.
    pub map_op: Option<MapOp>,
    pub log: AccessLog,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Machine {
    pub fn new(config: &EngineConfig, specs: &[MapSpec]) -> Result<Machine, Diagnostic> {
        let maps = MapSet::new(specs, config.cpus)?;
        let mut layout = Layout::default();
        let stack = layout.add(RegionKind::Stack, u64::from(STACK_FRAME) * MAX_FRAMES as u64)?;
        let context = layout.add(RegionKind::Context, u64::from(SK_BUFF_LEN))?;
        let headroom = config.xdp_headroom.max(config.skb_headroom);
        let buffer = u64::from(headroom) + u64::from(config.packet_max) + u64::from(config.frame_size);
        let packet = layout.add(RegionKind::Packet, buffer)?;
        let handles = layout.add(RegionKind::MapHandles, u64::from(HANDLE) * maps.len().max(1) as u64)?;
        let mut map_regions = Vec::with_capacity(maps.len());
        for (id, map) in maps.iter() {
            map_regions.push(layout.add(RegionKind::Map(id), u64::from(map.region_size()))?);
        }
        let place = |(id, map): (MapId, &Map)| MapPlace {
            handle: layout.base(handles) + HANDLE * id.0,
            values: layout.base(map_regions[id.0 as usize]) + map.elements().first,
        };
        let places = maps.iter().map(place).collect();
        let mut arena = layout.build();
        arena.set_live(handles, 0, 0);
        for (id, map) in maps.iter() {
            let region = map_regions[id.0 as usize];
            map.initialise(&mut Linear(arena.bytes_of_mut(region)));
            let elements = map.elements();
            arena.set_live(region, elements.first, elements.span());
            if config.strict {
                arena.set_elements(region, Some(elements));
            }
        }
        Ok(Machine {
            arena,
            maps,
            map_regions,
            places,
            stack,
            context,
            packet,
            handles,
            packet_off: 0,
            packet_len: 0,
            hard_end: 0,
            clean_until: 0,
            xdp: true,
            redirect: None,
            map_op: None,
            log: AccessLog::new(),
            key: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Makes the machine ready for one run: packet, context, an empty stack. `false` if the packet is too long.
    pub fn load(&mut self, config: &EngineConfig, context: &ContextInput, packet: &[u8], stack: bool) -> bool {
        if packet.len() > config.packet_max as usize {
            return false;
        }
        self.xdp = context.is_xdp();
        self.packet_off = if self.xdp { config.xdp_headroom } else { config.skb_headroom };
        self.packet_len = packet.len() as u32;
        let end = self.packet_off + self.packet_len;
        self.hard_end = end.max(config.frame_size.saturating_sub(SHARED_INFO));
        self.redirect = None;
        let (off, clean) = (self.packet_off as usize, self.clean_until as usize);
        let buffer = self.arena.bytes_of_mut(self.packet);
        // What an earlier packet left in this one's headroom must not be seen.
        if clean < off {
            buffer[clean..off].fill(0);
        }
        buffer[off..off + packet.len()].copy_from_slice(packet);
        self.clean_until = self.packet_off;
        self.arena.set_live(self.packet, self.packet_off, self.packet_len);
        let place = self.packet_place();
        context.write(self.arena.bytes_of_mut(self.context), place);
        self.arena.set_live(self.context, 0, context.len());
        self.enter_frame(0, stack);
        true
    }

    fn packet_place(&self) -> PacketPlace {
        PacketPlace { data: self.arena.region(self.packet).base + self.packet_off, len: self.packet_len }
    }

    /// Address of the context.
    pub fn context_address(&self) -> u32 {
        self.arena.region(self.context).base
    }

    /// The frame pointer at a call depth. Frame 0 is the highest; each has [`STACK_FRAME`] bytes.
    pub fn frame_pointer(&self, depth: usize) -> u32 {
        let region = self.arena.region(self.stack);
        region.base + region.len - STACK_FRAME * depth as u32
    }

    /// Makes the frames down to `depth` live, and with `clear` the lowest one zero.
    pub fn enter_frame(&mut self, depth: usize, clear: bool) {
        self.live_frames(depth);
        if clear {
            let from = STACK_FRAME as usize * (MAX_FRAMES - 1 - depth);
            self.arena.bytes_of_mut(self.stack)[from..from + STACK_FRAME as usize].fill(0);
        }
    }

    /// Makes the frames down to `depth` live.
    pub fn live_frames(&mut self, depth: usize) {
        let low = STACK_FRAME * (MAX_FRAMES - 1 - depth) as u32;
        self.arena.set_live(self.stack, low, STACK_FRAME * (depth as u32 + 1));
    }

    pub fn view(&mut self) -> View<'_> {
        let PacketPlace { data, len } = self.packet_place();
        let (mem, guard) = self.arena.parts();
        View { mem, guard, maps: &self.places, packet: PacketSpan { data, len } }
    }

    pub fn packet_bytes(&self) -> &[u8] {
        &self.arena.bytes_of(self.packet)[self.packet_off as usize..][..self.packet_len as usize]
    }

    pub fn context_bytes(&self) -> &[u8] {
        self.arena.bytes_of(self.context)
    }

    fn map_of(&self, handle: u64) -> Result<MapId, Fault> {
        let off = handle.wrapping_sub(u64::from(self.arena.region(self.handles).base));
        let id = MapId((off / u64::from(HANDLE)) as u32);
        if off % u64::from(HANDLE) != 0 || off / u64::from(HANDLE) >= self.maps.len() as u64 {
            return Err(Fault::of(FaultKind::BadMap));
        }
        Ok(id)
    }

    /// Copies the key and, for `Some`, the value of a map operation out of guest memory.
    fn take_operands(&mut self, handle: u64, key: u64, value: Option<u64>) -> Result<MapId, Fault> {
        let id = self.map_of(handle)?;
        let spec = self.maps[id].spec();
        let bytes = self.arena.slice(key, spec.key_size)?;
        self.key.clear();
        self.key.extend_from_slice(bytes);
        self.value.clear();
        if let Some(value) = value {
            self.value.extend_from_slice(self.arena.slice(value, spec.value_size)?);
        }
        Ok(id)
    }

    pub fn map_lookup(&mut self, cpu: u32, handle: u64, key: u64) -> Result<u64, Fault> {
        let id = self.take_operands(handle, key, None)?;
        let region = self.map_regions[id.0 as usize];
        let base = self.arena.region(region).base;
        let mut memory = Linear(self.arena.bytes_of_mut(region));
        let map = &self.maps[id];
        let found = map.lookup(&mut memory, &mut self.log, cpu, &self.key);
        self.map_op = Some(MapOp { map: id, kind: MapOpKind::Lookup, ok: found.is_some() });
        Ok(match found {
            None => 0,
            // A map inside a map: its handle, as a wide load of that map would have put it into a register.
            Some(off) if map.kind().holds == Holds::Maps => {
                let inner = MapId::from_reference(map.reference_at(&mut memory, off));
                inner.and_then(|id| self.places.get(id.0 as usize)).map_or(0, |place| u64::from(place.handle))
            }
            Some(off) => u64::from(base + off),
        })
    }

    pub fn map_update(
        &mut self,
        cpu: u32,
        handle: u64,
        key: u64,
        value: u64,
        flags: u64,
    ) -> Result<Result<(), Errno>, Fault> {
        let id = self.take_operands(handle, key, Some(value))?;
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let done = self.maps[id].update(&mut memory, &mut self.log, cpu, &self.key, &self.value, flags);
        self.map_op = Some(MapOp { map: id, kind: MapOpKind::Update, ok: done.is_ok() });
        Ok(done)
    }

    pub fn map_delete(&mut self, cpu: u32, handle: u64, key: u64) -> Result<Result<(), Errno>, Fault> {
        let id = self.take_operands(handle, key, None)?;
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let done = self.maps[id].delete(&mut memory, &mut self.log, cpu, &self.key);
        self.map_op = Some(MapOp { map: id, kind: MapOpKind::Delete, ok: done.is_ok() });
        Ok(done)
    }

    fn move_packet(&mut self, head: i32, tail: i32) {
        let old_end = self.packet_off + self.packet_len;
        let end = old_end.saturating_add_signed(tail).min(self.hard_end);
        self.packet_off = self.packet_off.saturating_add_signed(head).min(end);
        self.packet_len = end - self.packet_off;
        self.clean_until = self.clean_until.min(self.packet_off);
        if end > old_end {
            self.arena.bytes_of_mut(self.packet)[old_end as usize..end as usize].fill(0);
        }
        self.arena.set_live(self.packet, self.packet_off, self.packet_len);
        let place = self.packet_place();
        context::write_place(self.arena.bytes_of_mut(self.context), self.xdp, place);
    }

    fn packet_part(&mut self, off: u32, len: usize) -> Option<&mut [u8]> {
        let start = self.packet_off as usize;
        let packet = &mut self.arena.bytes_of_mut(self.packet)[start..start + self.packet_len as usize];
        packet.get_mut(off as usize..)?.get_mut(..len)
    }
}

/// A machine during the call of a helper.
pub(super) struct Call<'a> {
    pub machine: &'a mut Machine,
    pub env: &'a mut dyn Env,
    pub retired: u64,
    pub ty: ProgType,
}

impl HelperCx for Call<'_> {
    fn prog_type(&self) -> ProgType {
        self.ty
    }

    fn env(&mut self) -> &mut dyn Env {
        self.env
    }

    fn retired(&self) -> u64 {
        self.retired
    }

    fn read(&mut self, address: u64, buf: &mut [u8]) -> Result<(), Fault> {
        buf.copy_from_slice(self.machine.arena.slice(address, buf.len() as u32)?);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.machine.arena.slice_mut(address, bytes.len() as u32)?.copy_from_slice(bytes);
        Ok(())
    }

    fn map_lookup(&mut self, map: u64, key: u64) -> Result<u64, Fault> {
        let cpu = self.env.cpu();
        self.machine.map_lookup(cpu, map, key)
    }

    fn map_update(&mut self, map: u64, key: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault> {
        let cpu = self.env.cpu();
        self.machine.map_update(cpu, map, key, value, flags)
    }

    fn map_delete(&mut self, map: u64, key: u64) -> Result<Result<(), Errno>, Fault> {
        let cpu = self.env.cpu();
        self.machine.map_delete(cpu, map, key)
    }

    fn packet_len(&self) -> u32 {
        self.machine.packet_len
    }

    fn packet_read(&mut self, off: u32, buf: &mut [u8]) -> bool {
        let part = self.machine.packet_part(off, buf.len());
        let there = part.is_some();
        if let Some(part) = part {
            buf.copy_from_slice(part);
        }
        there
    }

    fn packet_write(&mut self, off: u32, bytes: &[u8]) -> bool {
        let part = self.machine.packet_part(off, bytes.len());
        let there = part.is_some();
        if let Some(part) = part {
            part.copy_from_slice(bytes);
        }
        there
    }

    fn packet_room(&self) -> Room {
        Room {
            head: self.machine.packet_off.saturating_sub(XDP_FRAME_HEADER),
            tail: self.machine.hard_end - (self.machine.packet_off + self.machine.packet_len),
        }
    }

    fn packet_move(&mut self, head: i32, tail: i32) {
        self.machine.move_packet(head, tail);
    }

    fn skb_clear_hash(&mut self) {
        let context = self.machine.context;
        context::clear_hash(self.machine.arena.bytes_of_mut(context));
    }

    fn redirect(&mut self, target: Redirect) {
        self.machine.redirect = Some(target);
    }
}
