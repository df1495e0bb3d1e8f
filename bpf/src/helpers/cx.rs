//! The machine as a helper sees it.

use std::net::IpAddr;

use super::{SkbState, SkbWord};
use crate::env::Env;
use crate::errno::Errno;
use crate::maps::{MapId, RingState};
use crate::memory::Fault;
use crate::program::{Endian, ProgType};

/// How a packet is handed to the device it is redirected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Delivery {
    /// As it is.
    #[default]
    AsIs,
    /// With a link-layer header for this station, or where there is none for the next hop on the way to its destination
    /// (`bpf_redirect_neigh`).
    Neighbour(Option<IpAddr>),
    /// At the other end of a pair of virtual devices, as if it had been sent through it (`bpf_redirect_peer`).
    Peer,
}

/// Where a program asked for the packet to go (`bpf_redirect`, `bpf_redirect_map`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// Device by `ifindex`; 0 where the target is no single device.
    pub ifindex: u32,
    /// `BPF_F_INGRESS` (1) of `bpf_redirect`: into its receive path, for tc programs. `BPF_F_BROADCAST` (8) of
    /// `bpf_redirect_map`: to all devices of the map, with `BPF_F_EXCLUDE_INGRESS` (16) but the packet's own.
    pub flags: u64,
    /// The map the target was found in, and its key.
    pub map: Option<(MapId, u32)>,
    /// How it is handed over.
    pub delivery: Delivery,
}

/// Index of `bpf_perf_event_output` that stands for the processor at work (`BPF_F_CURRENT_CPU`).
pub const CURRENT_CPU: u32 = u32::MAX;

/// How far a packet's ends may move, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How far its start may move down.
    pub head: u32,
    /// How far its end may move up.
    pub tail: u32,
}

/// What an engine offers the bodies of helpers.
///
/// Methods that take guest addresses return `Err` for the guest's fault; it ends the run as data.
pub trait HelperCx {
    /// The type of the running program, as far as its context tells: XDP, or one of those with an skb.
    fn prog_type(&self) -> ProgType;

    /// The outside.
    fn env(&mut self) -> &mut dyn Env;

    /// The machine's byte order.
    fn byte_order(&self) -> Endian;

    /// Instructions this run has executed, this call included.
    fn retired(&self) -> u64;

    /// Copies guest memory.
    ///
    /// # Errors
    /// The guest's fault.
    fn read(&mut self, address: u64, buf: &mut [u8]) -> Result<(), Fault>;

    /// Writes guest memory.
    ///
    /// # Errors
    /// The guest's fault.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// The address of the value under the key at `key`, or 0. `map` is what a wide load of a map put into a register.
    ///
    /// # Errors
    /// The guest's fault.
    fn map_lookup(&mut self, map: u64, key: u64) -> Result<u64, Fault>;

    /// Creates or replaces the value under the key at `key` with the one at `value`.
    ///
    /// # Errors
    /// The guest's fault. The inner result is the map's answer.
    fn map_update(&mut self, map: u64, key: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault>;

    /// Removes the entry under the key at `key`.
    ///
    /// # Errors
    /// The guest's fault. The inner result is the map's answer.
    fn map_delete(&mut self, map: u64, key: u64) -> Result<Result<(), Errno>, Fault>;

    /// Bytes of the packet, fragments included.
    fn packet_len(&self) -> u32;

    /// Bytes from `data` to `data_end`.
    fn packet_linear(&self) -> u32;

    /// Copies packet bytes from offset `off`; `false`, and nothing copied, if they are not all there.
    fn packet_read(&mut self, off: u32, buf: &mut [u8]) -> bool;

    /// As [`HelperCx::packet_read`] from an offset that may be negative: a link-layer header may stand before the packet.
    fn packet_peek(&mut self, off: i32, buf: &mut [u8]) -> bool;

    /// Overwrites packet bytes from offset `off`; `false`, and nothing written, if they are not all there.
    fn packet_write(&mut self, off: u32, bytes: &[u8]) -> bool;

    /// How far the packet's ends may move.
    fn packet_room(&self) -> Room;

    /// Moves `data` by `head` and `data_end` by `tail` bytes, both positive towards higher addresses. The body has
    /// checked them against [`HelperCx::packet_room`]; bytes the packet gains at its end are zeroed. Those it
    /// gains at its start are what the run left there; a run starts with headroom of zeros. Metadata moves with the start.
    fn packet_move(&mut self, head: i32, tail: i32);

    /// Sees to room for so many bytes before an skb, whose bytes may be moved for that; `false` if there can be none.
    fn packet_headroom(&mut self, bytes: u32) -> bool;

    /// Bytes of metadata before the packet.
    fn meta_len(&self) -> u32;

    /// Makes that many bytes before the packet metadata.
    fn set_meta_len(&mut self, len: u32);

    /// What the skb is besides its bytes and fields.
    fn skb(&mut self) -> &mut SkbState;

    /// A word of the skb's context.
    fn skb_word(&self, word: SkbWord) -> u32;

    /// Changes a word of the skb's context.
    fn set_skb_word(&mut self, word: SkbWord, value: u32);

    /// Sets the skb's time stamp and its clock.
    fn set_skb_tstamp(&mut self, tstamp: u64, clock: u8);

    /// Gives the packet to a socket of the world's list.
    fn set_socket(&mut self, number: u32);

    /// The device the packet came in by, or for an skb is at.
    fn ifindex(&self) -> u32;

    /// The address of a socket's `struct bpf_sock`; `None` where the machine shows none.
    fn socket_address(&self, number: u32) -> Option<u64>;

    /// The socket at an address.
    fn socket_at(&self, address: u64) -> Option<u32>;

    /// Sends a copy of the packet to a device.
    fn send_copy(&mut self, ifindex: u32, ingress: bool);

    /// The control group in a slot of a cgroup array; the outer `None` for a slot that is out of range.
    ///
    /// # Errors
    /// The guest's fault.
    fn cgroup_in(&mut self, map: u64, slot: u32) -> Result<Option<Option<u32>>, Fault>;

    /// Notes where the packet is to go if the program's verdict is a redirect; `None` forgets what was noted.
    fn redirect(&mut self, target: Option<Redirect>);

    /// As [`HelperCx::map_lookup`] on another processor; 0 where there is no such processor.
    ///
    /// # Errors
    /// The guest's fault.
    fn map_lookup_on(&mut self, map: u64, key: u64, cpu: u32) -> Result<u64, Fault>;

    /// Puts the value at `value` into a map without keys.
    ///
    /// # Errors
    /// The guest's fault. The inner result is the map's answer.
    fn map_push(&mut self, map: u64, value: u64, flags: u64) -> Result<Result<(), Errno>, Fault>;

    /// Takes a value out of a map without keys and writes it to `value`; with `keep` it stays. Of a bloom filter asks for
    /// the value at `value`.
    ///
    /// # Errors
    /// The guest's fault. The inner result is the map's answer.
    fn map_pop(&mut self, map: u64, value: u64, keep: bool) -> Result<Result<(), Errno>, Fault>;

    /// The id of a map.
    ///
    /// # Errors
    /// The guest's fault.
    fn map_id(&self, map: u64) -> Result<MapId, Fault>;

    /// Whether a map holds devices.
    ///
    /// # Errors
    /// The guest's fault.
    fn map_holds_devices(&self, map: u64) -> Result<bool, Fault>;

    /// What a device, processor or socket map holds under an index: its first word.
    ///
    /// # Errors
    /// The guest's fault.
    fn map_target(&mut self, map: u64, index: u32) -> Result<Option<u32>, Fault>;

    /// The address of a new record of `len` bytes in a ring buffer, or 0.
    ///
    /// # Errors
    /// The guest's fault.
    fn ring_reserve(&mut self, map: u64, len: u64) -> Result<u64, Fault>;

    /// Hands a reserved record over to the reader, or with `discard` takes it back.
    ///
    /// # Errors
    /// The guest's fault: `record` is no address in a ring buffer.
    fn ring_commit(&mut self, record: u64, flags: u64, discard: bool) -> Result<(), Fault>;

    /// Where a ring buffer's reader and writers stand.
    ///
    /// # Errors
    /// The guest's fault.
    fn ring_state(&mut self, map: u64) -> Result<RingState, Fault>;

    /// Writes a record of the `size` bytes at `data` and the packet's first `packet` bytes to the ring in slot `index` of
    /// an event array; [`CURRENT_CPU`] is the slot of the processor at work.
    ///
    /// # Errors
    /// The guest's fault. The inner result is the array's answer.
    fn perf_output(
        &mut self,
        map: u64,
        index: u32,
        data: u64,
        size: u64,
        packet: u32,
    ) -> Result<Result<(), Errno>, Fault>;

    /// Makes the timer at an address, in a value of `map`, one that can be set.
    ///
    /// # Errors
    /// The guest's fault. The inner result: `EBUSY` where it is one already.
    fn timer_init(&mut self, timer: u64, map: u64) -> Result<Result<(), Errno>, Fault>;

    /// Says which function a timer calls.
    ///
    /// # Errors
    /// The guest's fault. The inner result: `EINVAL` for a timer that is not initialised.
    fn timer_call(&mut self, timer: u64, callback: u64) -> Result<Result<(), Errno>, Fault>;

    /// Sets a timer to a time in nanoseconds since boot.
    ///
    /// # Errors
    /// The guest's fault. The inner result: `EINVAL` for a timer that has no function.
    fn timer_start(&mut self, timer: u64, due: u64) -> Result<Result<(), Errno>, Fault>;

    /// Stops a timer and takes its function away: whether it was running.
    ///
    /// # Errors
    /// The guest's fault. The inner result: `EINVAL` for a timer that is not initialised, `EDEADLK` for the one whose
    /// function calls.
    fn timer_cancel(&mut self, timer: u64) -> Result<Result<bool, Errno>, Fault>;

    /// Asks for the program in a slot of a program array to take the place of the running function once the body has
    /// returned. Where the slot is empty or out of range, or too many tail calls went before, the program goes on.
    ///
    /// # Errors
    /// The guest's fault.
    fn tail_call(&mut self, map: u64, slot: u32) -> Result<(), Fault>;

    /// Asks for a function of the program to be called with the numbers from 0 up to but not including `times`, each with
    /// `context` behind it, until it answers something else than 0. How often it was called then replaces what the body
    /// returned. `callback` is what a wide load of a function put into a register.
    ///
    /// # Errors
    /// The guest's fault.
    fn call_back(&mut self, callback: u64, times: u64, context: u64) -> Result<(), Fault>;

    /// The same for each element of a map: the function gets the map, the addresses of key and value, and `context`.
    ///
    /// # Errors
    /// The guest's fault. The inner error is for a kind of map that has no such walk.
    fn call_back_each(&mut self, map: u64, callback: u64, context: u64) -> Result<Result<(), Errno>, Fault>;

    /// The same for each record of a ring that user space writes: the function gets a dynamic pointer to it, and `context`.
    ///
    /// # Errors
    /// The guest's fault. The inner error, `EBUSY`, is for a ring that is being drained.
    fn call_back_records(&mut self, map: u64, callback: u64, context: u64) -> Result<Result<(), Errno>, Fault>;
}
