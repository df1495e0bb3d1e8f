//! What of the machine the body of a helper sees, and what it asks of the engine.

use super::context;
use super::decode::Code;
use super::machine::{Machine, XDP_FRAME_HEADER};
use super::rounds::Rounds;
use crate::env::Env;
use crate::errno::Errno;
use crate::helpers::{HelperCx, Redirect, Room, SkbState, SkbWord};
use crate::maps::{Holds, MapId, RingState};
use crate::memory::{Fault, FaultKind};
use crate::program::{Endian, ProgId, ProgType};

/// What happens after a helper's body instead of the next instruction.
#[derive(Debug)]
pub(super) enum Transfer {
    /// The program takes the place of the running function.
    Tail(ProgId),
    /// The helper calls back.
    Rounds(Rounds),
}

/// A machine during the call of a helper.
pub(super) struct Call<'a> {
    pub machine: &'a mut Machine,
    pub env: &'a mut dyn Env,
    pub retired: u64,
    pub ty: ProgType,
    /// The program that runs.
    pub code: &'a Code,
    pub transfer: Option<Transfer>,
}

impl Call<'_> {
    /// The operation that a function's address stands for.
    fn function(&self, callback: u64) -> Result<usize, Fault> {
        self.code.function_at(callback).ok_or(Fault::of(FaultKind::BadCallback))
    }
}

impl HelperCx for Call<'_> {
    fn prog_type(&self) -> ProgType {
        self.ty
    }

    fn env(&mut self) -> &mut dyn Env {
        self.env
    }

    fn byte_order(&self) -> Endian {
        self.machine.byte_order
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

    fn packet_linear(&self) -> u32 {
        self.machine.packet_len - self.machine.frags
    }

    fn packet_read(&mut self, off: u32, buf: &mut [u8]) -> bool {
        let part = self.machine.packet_part(off, buf.len());
        let there = part.is_some();
        if let Some(part) = part {
            buf.copy_from_slice(part);
        }
        there
    }

    fn packet_peek(&mut self, off: i32, buf: &mut [u8]) -> bool {
        let part = self.machine.packet_around(off, buf.len());
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
            head: self.machine.packet_off.saturating_sub(XDP_FRAME_HEADER + self.machine.meta_len),
            tail: self.machine.tailroom(),
        }
    }

    fn packet_move(&mut self, head: i32, tail: i32) {
        self.machine.move_packet(head, tail);
    }

    fn packet_headroom(&mut self, bytes: u32) -> bool {
        self.machine.make_headroom(bytes)
    }

    fn meta_len(&self) -> u32 {
        self.machine.meta_len
    }

    fn set_meta_len(&mut self, len: u32) {
        self.machine.set_meta(len);
    }

    fn skb(&mut self) -> &mut SkbState {
        &mut self.machine.skb
    }

    fn skb_word(&self, word: SkbWord) -> u32 {
        context::word(self.machine.byte_order, self.machine.context_bytes(), word)
    }

    fn set_skb_word(&mut self, word: SkbWord, value: u32) {
        context::set_word(self.machine.byte_order, self.machine.context_bytes_mut(), word, value);
    }

    fn set_skb_tstamp(&mut self, tstamp: u64, clock: u8) {
        context::set_tstamp(self.machine.byte_order, self.machine.context_bytes_mut(), tstamp, clock);
    }

    fn set_socket(&mut self, number: u32) {
        self.machine.set_socket(Some(number));
    }

    fn ifindex(&self) -> u32 {
        context::ifindex(self.machine.byte_order, self.machine.context_bytes(), self.ty == ProgType::Xdp)
    }

    fn socket_address(&self, number: u32) -> Option<u64> {
        self.machine.socket_address(number)
    }

    fn socket_at(&self, address: u64) -> Option<u32> {
        self.machine.socket_at(address)
    }

    fn send_copy(&mut self, ifindex: u32, ingress: bool) {
        let tag = context::tag(self.machine.byte_order, self.machine.context_bytes());
        self.env.send_copy(ifindex, ingress, self.machine.packet_bytes(), tag);
    }

    fn cgroup_in(&mut self, map: u64, slot: u32) -> Result<Option<Option<u32>>, Fault> {
        self.machine.cgroup_in(map, slot)
    }

    fn redirect(&mut self, target: Option<Redirect>) {
        self.machine.redirect = target;
    }

    fn map_lookup_on(&mut self, map: u64, key: u64, cpu: u32) -> Result<u64, Fault> {
        self.machine.map_lookup(cpu, map, key)
    }

    fn map_push(&mut self, map: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault> {
        self.machine.map_push(map, value, flags)
    }

    fn map_pop(&mut self, map: u64, value: u64, keep: bool) -> Result<Result<(), Errno>, Fault> {
        self.machine.map_pop(map, value, keep)
    }

    fn map_id(&self, map: u64) -> Result<MapId, Fault> {
        self.machine.map_of(map)
    }

    fn map_holds_devices(&self, map: u64) -> Result<bool, Fault> {
        let id = self.machine.map_of(map)?;
        Ok(self.machine.maps[id].kind().holds == Holds::Devices)
    }

    fn map_target(&mut self, map: u64, index: u32) -> Result<Option<u32>, Fault> {
        self.machine.map_target(map, index)
    }

    fn ring_reserve(&mut self, map: u64, len: u64) -> Result<u64, Fault> {
        self.machine.ring_reserve(map, len)
    }

    fn ring_commit(&mut self, record: u64, flags: u64, discard: bool) -> Result<(), Fault> {
        self.machine.ring_commit(record, flags, discard)
    }

    fn ring_state(&mut self, map: u64) -> Result<RingState, Fault> {
        self.machine.ring_state(map)
    }

    fn perf_output(
        &mut self,
        map: u64,
        index: u32,
        data: u64,
        size: u64,
        packet: u32,
    ) -> Result<Result<(), Errno>, Fault> {
        let cpu = self.env.cpu();
        self.machine.perf_output(cpu, map, index, (data, size), packet)
    }

    fn timer_init(&mut self, timer: u64, map: u64) -> Result<Result<(), Errno>, Fault> {
        self.machine.timer_init(timer, map)
    }

    fn timer_call(&mut self, timer: u64, callback: u64) -> Result<Result<(), Errno>, Fault> {
        let target = self.function(callback)?;
        self.machine.timer_call(timer, self.code, target)
    }

    fn timer_start(&mut self, timer: u64, due: u64) -> Result<Result<(), Errno>, Fault> {
        self.machine.timer_start(timer, due)
    }

    fn timer_cancel(&mut self, timer: u64) -> Result<Result<bool, Errno>, Fault> {
        self.machine.timer_cancel(timer)
    }

    fn tail_call(&mut self, map: u64, slot: u32) -> Result<(), Fault> {
        self.transfer = self.machine.program_in(map, slot)?.map(Transfer::Tail);
        Ok(())
    }

    fn call_back(&mut self, callback: u64, times: u64, context: u64) -> Result<(), Fault> {
        let target = self.function(callback)?;
        self.transfer = Some(Transfer::Rounds(Rounds::numbers(target, context, times)));
        Ok(())
    }

    fn call_back_each(&mut self, map: u64, callback: u64, context: u64) -> Result<Result<(), Errno>, Fault> {
        let target = self.function(callback)?;
        let id = self.machine.map_of(map)?;
        let Some(rounds) = Rounds::elements(target, context, id, map, self.machine)? else {
            return Ok(Err(Errno::EINVAL));
        };
        self.transfer = Some(Transfer::Rounds(rounds));
        Ok(Ok(()))
    }

    fn call_back_records(&mut self, map: u64, callback: u64, context: u64) -> Result<Result<(), Errno>, Fault> {
        let target = self.function(callback)?;
        let rounds = Rounds::records(target, context, map, self.machine)?;
        Ok(rounds.map(|rounds| self.transfer = Some(Transfer::Rounds(rounds))))
    }
}
