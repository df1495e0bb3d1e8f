//! What the bodies of helpers see of the card.

use bpf::env::Env;
use bpf::errno::Errno;
use bpf::helpers::{HelperCx, Redirect, Room, SkbState, SkbWord};
use bpf::maps::{Holds, MapId, RingState};
use bpf::memory::{Fault, FaultKind};
use bpf::program::{Endian, ProgType};

use super::super::record::Event;
use super::{CardCx, CardEnv, MapOp, TableId, TouchKind, Where};
use crate::packet_vector::{CONTEXT_BLOCK_OFFSET, LENGTH_MASK, VECTOR_META, VECTOR_PORT};

impl HelperCx for CardCx<'_> {
    fn prog_type(&self) -> ProgType {
        self.call.ty
    }

    fn env(&mut self) -> &mut dyn Env {
        // The trait's methods borrow it for one call.
        let env: &mut CardEnv<'_> = &mut self.env;
        env
    }

    fn byte_order(&self) -> Endian {
        Endian::Little
    }

    fn retired(&self) -> u64 {
        0
    }

    fn read(&mut self, address: u64, buf: &mut [u8]) -> Result<(), Fault> {
        if buf.is_empty() {
            return Ok(());
        }
        match self.locate(address, buf.len() as u32)? {
            Where::Local(at) => {
                self.local_bytes(at, buf);
                self.call.local_words += buf.len().div_ceil(4) as u32;
            }
            Where::Memory(kind, at) => {
                self.world()?.stores[usize::from(at.engine.0)].read(at.offset, buf);
                self.touch(kind, at.offset, buf.len() as u32, TouchKind::Read, true);
            }
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.locate(address, bytes.len() as u32)? {
            Where::Local(at) => {
                self.set_local_bytes(at, bytes);
                self.call.local_words += bytes.len().div_ceil(4) as u32;
            }
            Where::Memory(kind, at) => {
                self.world()?.stores[usize::from(at.engine.0)].write(at.offset, bytes);
                self.touch(kind, at.offset, bytes.len() as u32, TouchKind::Write, false);
            }
        }
        Ok(())
    }

    fn map_lookup(&mut self, map: u64, key: u64) -> Result<u64, Fault> {
        let key = self.operand(map, key, false)?;
        let cpu = self.call.cpu;
        self.look_up(map, key, cpu)
    }

    fn map_update(&mut self, map: u64, key: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault> {
        let (key, value, cpu) = (self.operand(map, key, false)?, self.operand(map, value, true)?, self.call.cpu);
        let (result, _) = self.with_map(map, |it, region, log| it.update(region, log, cpu, &key, &value, flags))?;
        let table = TableId(map as u32);
        self.note(Event::Call { op: MapOp::Update, table, cpu, key, value, flags, found: None, result });
        Ok(result)
    }

    fn map_delete(&mut self, map: u64, key: u64) -> Result<Result<(), Errno>, Fault> {
        let (key, cpu) = (self.operand(map, key, false)?, self.call.cpu);
        let (result, _) = self.with_map(map, |it, region, log| it.delete(region, log, cpu, &key))?;
        let table = TableId(map as u32);
        let value = Vec::new();
        self.note(Event::Call { op: MapOp::Delete, table, cpu, key, value, flags: 0, found: None, result });
        Ok(result)
    }

    fn packet_len(&self) -> u32 {
        self.vector().length()
    }

    fn packet_linear(&self) -> u32 {
        self.vector().length()
    }

    fn packet_read(&mut self, off: u32, buf: &mut [u8]) -> bool {
        self.packet_peek(off.min(i32::MAX as u32) as i32, buf)
    }

    fn packet_peek(&mut self, off: i32, buf: &mut [u8]) -> bool {
        let Some(at) = self.packet_at(off.max(0).into(), buf.len()).filter(|_| off >= 0) else { return false };
        if !buf.is_empty() {
            self.packet_bytes(at, buf);
        }
        true
    }

    fn packet_write(&mut self, off: u32, bytes: &[u8]) -> bool {
        let Some(at) = self.packet_at(off.into(), bytes.len()) else { return false };
        if !bytes.is_empty() {
            self.set_packet_bytes(at, bytes);
        }
        true
    }

    fn packet_room(&self) -> Room {
        let vector = self.vector();
        Room { head: vector.offset().saturating_sub(self.meta_len()), tail: 0 }
    }

    fn packet_move(&mut self, head: i32, tail: i32) {
        let mut vector = self.vector();
        let (meta, start) = (self.meta_len() as usize, i64::from(vector.offset()));
        let new_start = (start + i64::from(head)).max(0);
        let length = (i64::from(vector.length()) + i64::from(tail) - (new_start - start)).max(0);
        if meta > 0 && head != 0 {
            // Metadata stays before the packet.
            let mut bytes = vec![0; meta];
            if let Some(from) = self.packet_at(-(meta as i64), meta) {
                self.packet_bytes(from, &mut bytes);
                let to = from.wrapping_add_signed(i64::from(head));
                self.set_packet_bytes(to, &bytes);
            }
        }
        vector.words[2] = vector.words[2] & !0xffff | new_start as u32 & 0xffff;
        let mask = LENGTH_MASK;
        vector.words[0] = vector.words[0] & !mask | length as u32 & mask;
        self.set_vector(&vector);
        if tail > 0 {
            let zeros = vec![0; tail as usize];
            self.packet_write(length as u32 - tail as u32, &zeros);
        }
    }

    fn packet_headroom(&mut self, bytes: u32) -> bool {
        bytes <= self.packet_room().head
    }

    fn meta_len(&self) -> u32 {
        self.vector().words[VECTOR_META] & 0xff
    }

    fn set_meta_len(&mut self, len: u32) {
        let mut vector = self.vector();
        vector.words[VECTOR_META] = len & 0xff;
        self.set_vector(&vector);
    }

    fn skb(&mut self) -> &mut SkbState {
        &mut self.call.skb
    }

    fn skb_word(&self, word: SkbWord) -> u32 {
        let at = (self.call.vector_at + CONTEXT_BLOCK_OFFSET) as usize + word as usize;
        self.call.local.get(at / 4).copied().unwrap_or(0)
    }

    fn set_skb_word(&mut self, word: SkbWord, value: u32) {
        let at = (self.call.vector_at + CONTEXT_BLOCK_OFFSET) as usize + word as usize;
        self.set_local_bytes(at, &value.to_le_bytes());
    }

    fn set_skb_tstamp(&mut self, tstamp: u64, clock: u8) {
        let at = (self.call.vector_at + CONTEXT_BLOCK_OFFSET) as usize;
        self.set_local_bytes(at + 152, &tstamp.to_le_bytes());
        self.set_local_bytes(at + 180, &[clock]);
    }

    fn set_socket(&mut self, _: u32) {}

    fn ifindex(&self) -> u32 {
        match self.call.ty {
            ProgType::Xdp => self.vector().words[VECTOR_PORT],
            _ => self.skb_word(SkbWord::Ifindex),
        }
    }

    fn socket_address(&self, _: u32) -> Option<u64> {
        None
    }

    fn socket_at(&self, _: u64) -> Option<u32> {
        None
    }

    fn send_copy(&mut self, _: u32, _: bool) {}

    fn cgroup_in(&mut self, _: u64, _: u32) -> Result<Option<Option<u32>>, Fault> {
        Err(Fault::of(FaultKind::BadMap))
    }

    fn redirect(&mut self, target: Option<Redirect>) {
        self.call.redirect = target;
    }

    fn map_lookup_on(&mut self, map: u64, key: u64, cpu: u32) -> Result<u64, Fault> {
        let key = self.operand(map, key, false)?;
        self.look_up(map, key, cpu)
    }

    fn map_push(&mut self, map: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault> {
        let value = self.operand(map, value, true)?;
        Ok(self.with_map(map, |it, region, log| it.push(region, log, &value, flags))?.0)
    }

    fn map_pop(&mut self, map: u64, value: u64, keep: bool) -> Result<Result<(), Errno>, Fault> {
        // A bloom filter reads what is asked for; the others overwrite it.
        let mut bytes = self.operand(map, value, true)?;
        let (done, _) = self.with_map(map, |it, region, log| it.pop(region, log, &mut bytes, keep))?;
        self.write(value, &bytes)?;
        Ok(done)
    }

    fn map_id(&self, map: u64) -> Result<MapId, Fault> {
        u32::try_from(map).map(MapId).map_err(|_| Fault::of(FaultKind::BadMap))
    }

    fn map_holds_devices(&self, map: u64) -> Result<bool, Fault> {
        let found = self.world.as_ref().and_then(|world| world.maps.get(TableId(map as u32)));
        found.map(|map| map.map().kind().holds == Holds::Devices).ok_or(Fault::of(FaultKind::BadMap))
    }

    fn map_target(&mut self, map: u64, index: u32) -> Result<Option<u32>, Fault> {
        let (found, _) = self.with_map(map, |map, region, log| {
            let targets = matches!(map.kind().holds, Holds::Devices | Holds::Cpus | Holds::Sockets);
            (targets && map.spec().key_size == 4).then(|| {
                let found = map.lookup(region, log, 0, &index.to_le_bytes());
                found.map(|off| map.reference_at(region, off))
            })
        })?;
        found.ok_or(Fault::of(FaultKind::BadMap))
    }

    fn ring_reserve(&mut self, map: u64, len: u64) -> Result<u64, Fault> {
        let (found, place) = self.with_map(map, |map, region, log| map.ring_reserve(region, log, len))?;
        Ok(found.map_or(0, |off| place.pointer(off)))
    }

    fn ring_commit(&mut self, record: u64, flags: u64, discard: bool) -> Result<(), Fault> {
        let bad = Fault::of(FaultKind::BadMap);
        let Where::Memory(memory, at) = self.locate(record, 1)? else { return Err(bad) };
        let (table, off) = self.world()?.maps.at(memory, at.offset).ok_or(bad)?;
        self.with_map(table.0.into(), |map, region, log| map.ring_commit(region, log, off, flags, discard))?;
        Ok(())
    }

    fn ring_state(&mut self, map: u64) -> Result<RingState, Fault> {
        let (state, _) = self.with_map(map, |map, region, log| map.ring_state(region, log))?;
        state.ok_or(Fault::of(FaultKind::BadMap))
    }

    /// The host's driver puts an event where its slot says.
    fn perf_output(
        &mut self,
        map: u64,
        index: u32,
        data: u64,
        size: u64,
        packet: u32,
    ) -> Result<Result<(), Errno>, Fault> {
        let mut record = vec![0; usize::try_from(size.min(1 << 16)).unwrap_or(0)];
        self.read(data, &mut record)?;
        let mut bytes = vec![0; packet.min(self.packet_len()) as usize];
        self.packet_read(0, &mut bytes);
        record.extend_from_slice(&bytes);
        self.send_event(map as u32, index, record);
        Ok(Ok(()))
    }

    /// A card has no timers: nothing of it runs but for a packet.
    fn timer_init(&mut self, _: u64, _: u64) -> Result<Result<(), Errno>, Fault> {
        Err(Fault::of(FaultKind::BadMap))
    }

    fn timer_call(&mut self, _: u64, _: u64) -> Result<Result<(), Errno>, Fault> {
        Err(Fault::of(FaultKind::BadMap))
    }

    fn timer_start(&mut self, _: u64, _: u64) -> Result<Result<(), Errno>, Fault> {
        Err(Fault::of(FaultKind::BadMap))
    }

    fn timer_cancel(&mut self, _: u64) -> Result<Result<bool, Errno>, Fault> {
        Err(Fault::of(FaultKind::BadMap))
    }

    fn tail_call(&mut self, map: u64, slot: u32) -> Result<(), Fault> {
        self.call.tail = self.with_map(map, |map, region, log| map.program(region, log, slot))?.0;
        Ok(())
    }

    fn call_back(&mut self, _: u64, _: u64, _: u64) -> Result<(), Fault> {
        Err(Fault::of(FaultKind::BadCallback))
    }

    fn call_back_each(&mut self, _: u64, _: u64, _: u64) -> Result<Result<(), Errno>, Fault> {
        Err(Fault::of(FaultKind::BadCallback))
    }

    fn call_back_records(&mut self, _: u64, _: u64, _: u64) -> Result<Result<(), Errno>, Fault> {
        Err(Fault::of(FaultKind::BadCallback))
    }
}
