//! The machine that programs run on: arena, maps, packet, stack.

use super::burst::{MapPlace, PacketSpan, View};
use super::context::{self, ContextInput, IpSummed, PacketPlace, SK_BUFF_LEN, SkbFields};
use super::decode::Code;
use super::engine::EngineConfig;
use super::observer::{MapOp, MapOpKind};
use super::run::{MAX_DEPTH, MAX_FRAMES, STACK_FRAME};
use super::timers::Timers;
use crate::diag::Diagnostic;
use crate::errno::Errno;
use crate::helpers::{Checked, Redirect, SkbState};
use crate::maps::{AccessLog, Holds, Linear, Map, MapId, MapSet, PerfRing};
use crate::memory::{Arena, Fault, FaultKind, Layout, RegionId, RegionKind};
use crate::network::{SOCKET, Socket};
use crate::program::{Endian, MapSpec, ProgId};

/// Distance between two map handles.
const HANDLE: u32 = 8;
/// Bytes at a packet buffer's start that hold the kernel's `struct xdp_frame` and that a packet may not grow into.
pub(super) const XDP_FRAME_HEADER: u32 = 40;
/// Bytes at a frame's end that hold the kernel's `struct skb_shared_info`, rounded to a cache line.
const SHARED_INFO: u32 = 320;
/// What the room before an skb grows by (kernel: `NET_SKB_PAD`).
const HEADROOM: u32 = 64;
/// Bytes of an Ethernet header.
const ETH_HLEN: i32 = 14;
/// Bytes of a copy of a map's key: the longest that a map of plain keys has (kernel: `MAX_BPF_STACK`).
const KEY_COPY: u32 = 512;

#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub arena: Arena,
    pub maps: MapSet,
    pub map_regions: Vec<RegionId>,
    places: Vec<MapPlace>,
    pub byte_order: Endian,
    stack: RegionId,
    pub context: RegionId,
    packet: RegionId,
    handles: RegionId,
    /// One copy of a key for each walk over a map under way.
    key_copies: RegionId,
    walks: usize,
    /// Packet bytes, from the packet region's start.
    pub packet_off: u32,
    pub packet_len: u32,
    /// How many of them, at the end, lie in fragments that pointers do not reach.
    pub frags: u32,
    /// Bytes of metadata before the packet.
    pub meta_len: u32,
    pub skb: SkbState,
    /// Bytes of a fragment.
    frame_size: u32,
    sockets: Option<RegionId>,
    /// Bytes of link-layer header before the packet.
    pulled: u32,
    /// End of the room a packet may grow into, from the region's start.
    pub hard_end: u32,
    /// Every byte before this one, from the region's start, is zero.
    clean_until: u32,
    xdp: bool,
    pub redirect: Option<Redirect>,
    /// Rings of performance events, by number less one.
    pub perf_rings: Vec<PerfRing>,
    pub timers: Timers,
    /// The map operation of the helper that ran last, if it was one; its accesses are in `log`.
    pub map_op: Option<MapOp>,
    pub log: AccessLog,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Machine {
    pub fn new(config: &EngineConfig, specs: &[MapSpec]) -> Result<Machine, Diagnostic> {
        let maps = MapSet::new(specs, config.cpus)?.in_byte_order(config.byte_order);
        let mut layout = Layout::default();
        let stack = layout.add(RegionKind::Stack, u64::from(STACK_FRAME) * MAX_DEPTH as u64)?;
        let context = layout.add(RegionKind::Context, u64::from(SK_BUFF_LEN))?;
        let headroom = config.xdp_headroom.max(config.skb_headroom);
        let buffer = u64::from(headroom) + u64::from(config.packet_max) + u64::from(config.frame_size);
        let packet = layout.add(RegionKind::Packet, buffer)?;
        let handles = layout.add(RegionKind::MapHandles, u64::from(HANDLE) * maps.len().max(1) as u64)?;
        let sockets = match config.sockets {
            0 => None,
            count => Some(layout.add(RegionKind::Sockets, u64::from(count) * u64::from(SOCKET))?),
        };
        let key_copies = layout.add(RegionKind::MapKeys, u64::from(KEY_COPY) * MAX_FRAMES as u64)?;
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
        arena.set_live(key_copies, 0, 0);
        arena.set_writable(key_copies, false);
        arena.set_watched(context, true);
        if let Some(sockets) = sockets {
            arena.set_writable(sockets, false);
        }
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
            byte_order: config.byte_order,
            stack,
            context,
            packet,
            handles,
            key_copies,
            walks: 0,
            packet_off: 0,
            packet_len: 0,
            frags: 0,
            meta_len: 0,
            skb: SkbState::default(),
            frame_size: config.frame_size,
            sockets,
            pulled: 0,
            hard_end: 0,
            clean_until: 0,
            xdp: true,
            redirect: None,
            perf_rings: Vec::new(),
            timers: Timers::default(),
            map_op: None,
            log: AccessLog::new(),
            key: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Makes the machine ready for one run: packet, context, an empty stack. `false` if the packet is too long.
    pub fn load(&mut self, config: &EngineConfig, context: &ContextInput, packet: &[u8], code: &Code) -> bool {
        if packet.len() > config.packet_max as usize {
            return false;
        }
        self.xdp = context.is_xdp();
        self.meta_len = context.meta().min(packet.len() as u32);
        let headroom = if self.xdp { config.xdp_headroom } else { config.skb_headroom };
        let headroom = headroom.saturating_add_signed(context.moved()).min(headroom + config.frame_size);
        let start = headroom.saturating_sub(self.meta_len);
        let end = start + packet.len() as u32;
        self.pulled = context.pulled().min(packet.len() as u32 - self.meta_len);
        self.packet_off = start + self.meta_len + self.pulled;
        self.packet_len = end - self.packet_off;
        let frame_end = config.frame_size.saturating_sub(SHARED_INFO);
        self.frags = if code.frags { end.saturating_sub(frame_end).min(self.packet_len) } else { 0 };
        self.hard_end = match self.xdp {
            true if self.frags > 0 => frame_end,
            true => end.max(frame_end),
            false => self.arena.region(self.packet).len,
        };
        self.redirect = None;
        let (off, clean) = (start as usize, self.clean_until as usize);
        let buffer = self.arena.bytes_of_mut(self.packet);
        // What an earlier packet left in this one's headroom must not be seen.
        if clean < off {
            buffer[clean..off].fill(0);
        }
        buffer[off..off + packet.len()].copy_from_slice(packet);
        self.clean_until = start;
        let place = self.packet_place();
        context.write(self.byte_order, self.arena.bytes_of_mut(self.context), place);
        self.arena.set_live(self.context, 0, context.len());
        if let ContextInput::Skb(fields) = context {
            self.load_skb(fields, packet);
        }
        self.live_packet();
        self.enter_frame(0, code.uses_stack);
        if self.walks != 0 {
            self.live_walks(0);
        }
        true
    }

    fn load_skb(&mut self, fields: &SkbFields, packet: &[u8]) {
        let pulled = self.pulled as i32;
        self.skb = SkbState {
            mac: -pulled,
            network: ETH_HLEN - pulled,
            // The receive path counts the link-layer header and takes what follows for the transport's until it knows better.
            mac_len: if fields.ingress { ETH_HLEN as u32 } else { 0 },
            transport: fields.ingress.then_some(ETH_HLEN - pulled),
            checked: if fields.summed == IpSummed::Unnecessary { Checked::Further(0) } else { Checked::Nothing },
            hash_of_flow: fields.hash_of_flow,
            ingress: fields.ingress,
            ..SkbState::default()
        };
        if fields.summed == IpSummed::Complete {
            let packet = packet.get((fields.meta + self.pulled) as usize..).unwrap_or_default();
            self.skb = std::mem::take(&mut self.skb).summed(self.byte_order, packet);
        }
        self.set_socket(fields.socket.checked_sub(1));
    }

    /// Gives the skb to a socket.
    pub fn set_socket(&mut self, socket: Option<u32>) {
        self.skb.socket = socket;
        let address = socket.and_then(|number| self.socket_address(number)).unwrap_or(0);
        context::set_sk(self.byte_order, self.arena.bytes_of_mut(self.context), address);
    }

    /// Shows programs the sockets of the world outside.
    pub fn load_sockets(&mut self, sockets: &[Socket]) {
        let Some(region) = self.sockets else { return };
        let order = self.byte_order;
        for (socket, bytes) in sockets.iter().zip(self.arena.bytes_of_mut(region).chunks_exact_mut(SOCKET as usize)) {
            socket.write(order, bytes);
        }
        self.arena.set_live(region, 0, SOCKET * sockets.len() as u32);
    }

    /// The address of a socket's structure; behind it, at [`TCP_SOCK`], stands that of a TCP socket.
    pub fn socket_address(&self, number: u32) -> Option<u64> {
        let region = self.arena.region(self.sockets?);
        let off = number.checked_mul(SOCKET).filter(|off| *off < region.len)?;
        Some(u64::from(region.base + off))
    }

    /// The number of the socket at an address.
    pub fn socket_at(&self, address: u64) -> Option<u32> {
        let region = self.arena.region(self.sockets?);
        let off = u32::try_from(address.checked_sub(u64::from(region.base))?).ok().filter(|off| *off < region.len)?;
        Some(off / SOCKET)
    }

    /// Makes metadata and the linear part of the packet live, and the context say where they are.
    fn live_packet(&mut self) {
        let linear = self.packet_len - self.frags;
        self.arena.set_live(self.packet, self.packet_off - self.meta_len, self.meta_len + linear);
        let place = self.packet_place();
        context::write_place(self.byte_order, self.arena.bytes_of_mut(self.context), self.xdp, place);
    }

    fn packet_place(&self) -> PacketPlace {
        PacketPlace {
            data: self.arena.region(self.packet).base + self.packet_off,
            linear: self.packet_len - self.frags,
            len: self.packet_len,
            meta: self.meta_len,
        }
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
            let from = STACK_FRAME as usize * (MAX_DEPTH - 1 - depth);
            self.arena.bytes_of_mut(self.stack)[from..from + STACK_FRAME as usize].fill(0);
        }
    }

    /// Makes the frames down to `depth` live.
    pub fn live_frames(&mut self, depth: usize) {
        let low = STACK_FRAME * (MAX_DEPTH - 1 - depth) as u32;
        self.arena.set_live(self.stack, low, STACK_FRAME * (depth as u32 + 1));
    }

    pub fn view(&mut self) -> View<'_> {
        let PacketPlace { data, len, .. } = self.packet_place();
        let packet = PacketSpan { link: data - self.pulled, data, end: data + len };
        View { arena: &mut self.arena, maps: &self.places, packet: (!self.xdp).then_some(packet) }
    }

    pub fn packet_bytes(&self) -> &[u8] {
        &self.arena.bytes_of(self.packet)[self.packet_off as usize..][..self.packet_len as usize]
    }

    pub fn context_bytes(&self) -> &[u8] {
        self.arena.bytes_of(self.context)
    }

    pub fn context_bytes_mut(&mut self) -> &mut [u8] {
        self.arena.bytes_of_mut(self.context)
    }

    pub fn map_of(&self, handle: u64) -> Result<MapId, Fault> {
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

    /// The program in a slot of a program array; `None` for an empty slot and one out of range.
    pub fn program_in(&mut self, handle: u64, slot: u32) -> Result<Option<ProgId>, Fault> {
        let id = self.map_of(handle)?;
        if self.maps[id].kind().holds != Holds::Programs {
            return Err(Fault::of(FaultKind::BadMap));
        }
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let number = self.maps[id].program(&mut memory, &mut self.log, slot);
        Ok(number.and_then(ProgId::from_reference))
    }

    /// All keys of a map, one after the other.
    pub fn keys(&mut self, id: MapId) -> Vec<u8> {
        let map = &self.maps[id];
        let mut memory = Linear(self.arena.bytes_of_mut(self.map_regions[id.0 as usize]));
        let (mut keys, mut key) = (Vec::new(), vec![0; map.spec().key_size as usize]);
        let mut next = map.next_key(&mut memory, &mut self.log, None, &mut key);
        // A guest may have tied the map's links into a ring.
        for _ in 0..map.spec().max_entries {
            if next.is_err() {
                break;
            }
            keys.extend_from_slice(&key);
            let at = key.clone();
            next = map.next_key(&mut memory, &mut self.log, Some(&at), &mut key);
        }
        keys
    }

    /// The address of the value under a key on a processor, for a walk.
    pub fn element(&mut self, cpu: u32, id: MapId, key: &[u8]) -> Option<u64> {
        let region = self.map_regions[id.0 as usize];
        let base = self.arena.region(region).base;
        let mut memory = Linear(self.arena.bytes_of_mut(region));
        let found = self.maps[id].lookup(&mut memory, &mut self.log, cpu, key);
        self.map_op = Some(MapOp { map: id, kind: MapOpKind::Walk, ok: found.is_some() });
        found.map(|off| u64::from(base + off))
    }

    /// Takes a copy of a key for one more walk; `None` if there are too many.
    pub fn begin_walk(&mut self) -> Option<usize> {
        let level = self.walks;
        (level < MAX_FRAMES).then(|| self.live_walks(level + 1))?;
        Some(level)
    }

    /// Gives the last one back.
    pub fn end_walk(&mut self) {
        self.live_walks(self.walks.saturating_sub(1));
    }

    fn live_walks(&mut self, walks: usize) {
        self.walks = walks;
        self.arena.set_live(self.key_copies, 0, KEY_COPY * walks as u32);
    }

    /// Copies a key to where the function called back may read it.
    pub fn show_key(&mut self, level: usize, key: &[u8]) -> u64 {
        let off = KEY_COPY as usize * level;
        let len = key.len().min(KEY_COPY as usize);
        self.arena.bytes_of_mut(self.key_copies)[off..off + len].copy_from_slice(&key[..len]);
        u64::from(self.arena.region(self.key_copies).base) + off as u64
    }

    pub fn move_packet(&mut self, head: i32, tail: i32) {
        let old_end = self.packet_off + self.packet_len;
        let limit = if self.frags > 0 { self.arena.region(self.packet).len } else { self.hard_end };
        let end = old_end.saturating_add_signed(tail).min(limit);
        let start = self.packet_off.saturating_add_signed(head).clamp(self.meta_len, end);
        if self.meta_len > 0 && start != self.packet_off {
            // Metadata stays before the packet.
            let from = (self.packet_off - self.meta_len) as usize..self.packet_off as usize;
            self.arena.bytes_of_mut(self.packet).copy_within(from, (start - self.meta_len) as usize);
        }
        self.packet_off = start;
        self.packet_len = end - start;
        // Fragments are at the end: what is lost there comes from them first, and they grow where there are any.
        self.frags = match self.frags {
            0 => 0,
            frags => frags.saturating_add_signed(end as i32 - old_end as i32).min(self.packet_len),
        };
        self.clean_until = self.clean_until.min(start - self.meta_len);
        if end > old_end {
            self.arena.bytes_of_mut(self.packet)[old_end as usize..end as usize].fill(0);
        }
        self.live_packet();
    }

    /// Makes `len` bytes before the packet metadata.
    pub fn set_meta(&mut self, len: u32) {
        self.meta_len = len.min(self.packet_off);
        self.clean_until = self.clean_until.min(self.packet_off - self.meta_len);
        self.live_packet();
    }

    /// Sees to room for so many bytes before an skb, as the kernel does by a larger buffer. `false` if no buffer is that large.
    pub fn make_headroom(&mut self, bytes: u32) -> bool {
        if bytes <= self.packet_off {
            return true;
        }
        let (from, len) = (self.packet_off as usize, self.packet_len as usize);
        let more = (bytes - self.packet_off).next_multiple_of(HEADROOM);
        let start = self.packet_off + more;
        if u64::from(start) + u64::from(self.packet_len) > u64::from(self.hard_end) {
            return false;
        }
        self.arena.bytes_of_mut(self.packet).copy_within(from..from + len, start as usize);
        self.packet_off = start;
        // Where no transport header is set its place is a number that the kernel moves all the same, and so makes one.
        self.skb.transport.get_or_insert(more as i32 - 1 - start as i32);
        self.live_packet();
        true
    }

    /// How many bytes an XDP packet may gain at its end.
    pub fn tailroom(&self) -> u32 {
        match self.frags {
            0 => self.hard_end - (self.packet_off + self.packet_len),
            // What the last fragment's page has left.
            frags => self.frame_size - ((frags - 1) % self.frame_size + 1),
        }
    }

    /// How much further on than it was received an XDP packet's start stands.
    pub fn moved(&self, config: &EngineConfig) -> i32 {
        self.packet_off as i32 - config.xdp_headroom as i32
    }

    /// The metadata before the packet.
    pub fn meta_bytes(&self) -> &[u8] {
        &self.arena.bytes_of(self.packet)[(self.packet_off - self.meta_len) as usize..self.packet_off as usize]
    }

    /// Packet bytes from an offset that may reach back to the link-layer header before the packet.
    pub fn packet_around(&self, off: i32, len: usize) -> Option<&[u8]> {
        let start = self.packet_off.checked_add_signed(off).filter(|start| *start >= self.packet_off - self.pulled)?;
        let end = (self.packet_off + self.packet_len) as usize;
        self.arena.bytes_of(self.packet)[..end].get(start as usize..)?.get(..len)
    }

    pub fn packet_part(&mut self, off: u32, len: usize) -> Option<&mut [u8]> {
        let start = self.packet_off as usize;
        let packet = &mut self.arena.bytes_of_mut(self.packet)[start..start + self.packet_len as usize];
        packet.get_mut(off as usize..)?.get_mut(..len)
    }
}
