//! The contexts of programs as they stand in memory: `struct xdp_md` and `struct __sk_buff` (include/uapi/linux/bpf.h).
//!
//! The kernel rewrites every access to them; here they are plain memory, and `data`, `data_end` and `data_meta` hold guest
//! addresses, so that a 32-bit load yields the pointer.

use crate::helpers::SkbWord;
use crate::program::Endian;

/// Bytes of `struct xdp_md`.
pub(super) const XDP_MD_LEN: u32 = 24;
/// Bytes of `struct __sk_buff`.
pub(super) const SK_BUFF_LEN: u32 = 192;

/// What the context of an XDP program says besides the packet's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XdpFields {
    /// Device the packet came in by.
    pub ingress_ifindex: u32,
    /// Receive queue.
    pub rx_queue_index: u32,
    /// Device the packet is about to leave by, for programs attached to a device map.
    pub egress_ifindex: u32,
    /// Bytes of metadata that the packet's bytes begin with, before the Ethernet header.
    pub meta: u32,
    /// How much further on the packet's start stands than it was received, as a program before left it: the room before it
    /// is as much more.
    pub moved: i32,
}

/// What the device that received a packet says of its checksums (`ip_summed`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IpSummed {
    /// Nothing (`CHECKSUM_NONE`).
    #[default]
    None,
    /// The first is right (`CHECKSUM_UNNECESSARY`).
    Unnecessary,
    /// The sum of all that follows the link-layer header (`CHECKSUM_COMPLETE`).
    Complete,
}

/// What the context of a program with an skb says besides the packet's place and length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SkbFields {
    /// `PACKET_HOST` (0), `PACKET_BROADCAST` (1), `PACKET_MULTICAST` (2), `PACKET_OTHERHOST` (3).
    pub pkt_type: u32,
    /// `skb->mark`.
    pub mark: u32,
    /// Queue.
    pub queue_mapping: u32,
    /// EtherType in network byte order, in the low 16 bits.
    pub protocol: u32,
    /// Whether a VLAN tag stands beside the packet.
    pub vlan_present: u32,
    /// That tag.
    pub vlan_tci: u32,
    /// Its EtherType in network byte order.
    pub vlan_proto: u32,
    /// `skb->priority`.
    pub priority: u32,
    /// Device the packet came in by.
    pub ingress_ifindex: u32,
    /// Device the packet is at.
    pub ifindex: u32,
    /// `skb->tc_index`.
    pub tc_index: u32,
    /// Words left to the program.
    pub cb: [u32; 5],
    /// Flow hash.
    pub hash: u32,
    /// Class a classifier chooses.
    pub tc_classid: u32,
    /// NAPI instance.
    pub napi_id: u32,
    /// Time stamp in nanoseconds.
    pub tstamp: u64,
    /// Bytes on the wire; 0 stands for the packet's length.
    pub wire_len: u32,
    /// Segments of a GSO packet.
    pub gso_segs: u32,
    /// Bytes of a segment.
    pub gso_size: u32,
    /// Hardware time stamp in nanoseconds.
    pub hwtstamp: u64,
    /// Bytes of link-layer header that stand before `data`: 0 at tc's hooks; 14, an Ethernet header, where a socket filter
    /// sees what its socket will get. No field of `struct __sk_buff`; loads from the packet with negative offsets
    /// reach it.
    pub pulled: u32,
    /// Bytes of metadata that the packet's bytes begin with, as an XDP program left them.
    pub meta: u32,
    /// Clock of `tstamp` (`BPF_SKB_CLOCK_...`).
    pub tstamp_type: u8,
    /// What the device says of the packet's checksums.
    pub summed: IpSummed,
    /// Whether `hash` is over the flow's ports too, so that `bpf_get_hash_recalc` need not compute it.
    pub hash_of_flow: bool,
    /// Whether the hook is one of reception.
    pub ingress: bool,
    /// Number of the socket the packet belongs to, in the world's list, plus one; 0 is none.
    pub socket: u32,
}

impl SkbFields {
    /// The VLAN tag beside the packet, on a machine of that byte order: EtherType, and priority with number.
    pub fn tag(&self, order: Endian) -> Option<(u16, u16)> {
        let protocol = match order {
            Endian::Little => (self.vlan_proto as u16).swap_bytes(),
            Endian::Big => self.vlan_proto as u16,
        };
        (self.vlan_present != 0).then_some((protocol, self.vlan_tci as u16))
    }
}

/// The context of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextInput {
    /// For XDP programs.
    Xdp(XdpFields),
    /// For tc programs and socket filters.
    Skb(SkbFields),
}

/// Guest addresses that a context holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketPlace {
    pub data: u32,
    /// Bytes from `data` to `data_end`.
    pub linear: u32,
    /// Bytes of the whole packet.
    pub len: u32,
    /// Bytes of metadata before `data`.
    pub meta: u32,
}

/// Offsets of the words that follow the packet.
mod at {
    pub const XDP_DATA: usize = 0;
    pub const XDP_DATA_END: usize = 4;
    pub const XDP_DATA_META: usize = 8;
    pub const SKB_LEN: usize = 0;
    pub const SKB_QUEUE_MAPPING: usize = 12;
    pub const SKB_TC_INDEX: usize = 44;
    pub const SKB_TC_CLASSID: usize = 72;
    pub const SKB_DATA: usize = 76;
    pub const SKB_DATA_END: usize = 80;
    pub const SKB_DATA_META: usize = 140;
    pub const SKB_TSTAMP: usize = 152;
    pub const SKB_SK: usize = 168;
    pub const SKB_TSTAMP_TYPE: usize = 180;
    pub const SKB_HWTSTAMP: usize = 184;
}

/// A context's bytes, written and read word by word.
struct Words<'a> {
    bytes: &'a mut [u8],
    order: Endian,
}

impl Words<'_> {
    fn put(&mut self, at: usize, word: u32) {
        self.bytes[at..at + 4].copy_from_slice(&self.order.bytes(word));
    }

    fn put_long(&mut self, at: usize, long: u64) {
        let (low, high) = (long as u32, (long >> 32) as u32);
        let (first, second) = if self.order == Endian::Little { (low, high) } else { (high, low) };
        self.put(at, first);
        self.put(at + 4, second);
    }
}

fn get(order: Endian, bytes: &[u8], at: usize) -> u32 {
    order.word([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl ContextInput {
    /// Whether it is `struct xdp_md`.
    pub(super) fn is_xdp(&self) -> bool {
        matches!(self, ContextInput::Xdp(_))
    }

    /// Bytes of the structure.
    pub(super) fn len(&self) -> u32 {
        if self.is_xdp() { XDP_MD_LEN } else { SK_BUFF_LEN }
    }

    /// Writes the whole structure.
    pub(super) fn write(&self, order: Endian, bytes: &mut [u8], place: PacketPlace) {
        match self {
            ContextInput::Xdp(xdp) => {
                let mut words = Words { bytes, order };
                words.put(12, xdp.ingress_ifindex);
                words.put(16, xdp.rx_queue_index);
                words.put(20, xdp.egress_ifindex);
            }
            ContextInput::Skb(skb) => skb.write(order, bytes, place.len),
        }
        write_place(order, bytes, self.is_xdp(), place);
    }

    /// Bytes of the packet before `data`.
    pub(super) fn pulled(&self) -> u32 {
        match self {
            ContextInput::Xdp(_) => 0,
            ContextInput::Skb(skb) => skb.pulled,
        }
    }

    /// How far the packet's start has moved.
    pub(super) fn moved(&self) -> i32 {
        match self {
            ContextInput::Xdp(xdp) => xdp.moved,
            ContextInput::Skb(_) => 0,
        }
    }

    /// Bytes of metadata the packet begins with.
    pub(super) fn meta(&self) -> u32 {
        match self {
            ContextInput::Xdp(xdp) => xdp.meta,
            ContextInput::Skb(skb) => skb.meta,
        }
    }
}

/// Rewrites what follows the packet's place.
pub(super) fn write_place(order: Endian, bytes: &mut [u8], xdp: bool, place: PacketPlace) {
    let (meta, end) = (place.data - place.meta, place.data + place.linear);
    let mut words = Words { bytes, order };
    if xdp {
        words.put(at::XDP_DATA, place.data);
        words.put(at::XDP_DATA_END, end);
        words.put(at::XDP_DATA_META, meta);
    } else {
        words.put(at::SKB_LEN, place.len);
        words.put(at::SKB_DATA, place.data);
        words.put(at::SKB_DATA_END, end);
        words.put(at::SKB_DATA_META, meta);
    }
}

/// The VLAN tag beside an skb: EtherType, and priority with number.
pub(super) fn tag(order: Endian, bytes: &[u8]) -> Option<(u16, u16)> {
    SkbFields::read(order, bytes).tag(order)
}

/// The device that a context names.
pub(super) fn ifindex(order: Endian, bytes: &[u8], xdp: bool) -> u32 {
    get(order, bytes, if xdp { 12 } else { SkbWord::Ifindex as usize })
}

/// A word of a `struct __sk_buff`.
pub(super) fn word(order: Endian, bytes: &[u8], word: SkbWord) -> u32 {
    get(order, bytes, word as usize)
}

/// Changes a word of a `struct __sk_buff`.
pub(super) fn set_word(order: Endian, bytes: &mut [u8], word: SkbWord, value: u32) {
    Words { bytes, order }.put(word as usize, value);
}

/// Sets the time stamp of a `struct __sk_buff` and its clock.
pub(super) fn set_tstamp(order: Endian, bytes: &mut [u8], tstamp: u64, clock: u8) {
    Words { bytes, order }.put_long(at::SKB_TSTAMP, tstamp);
    bytes[at::SKB_TSTAMP_TYPE] = clock;
}

/// Sets the address in `sk` of a `struct __sk_buff`.
pub(super) fn set_sk(order: Endian, bytes: &mut [u8], address: u64) {
    Words { bytes, order }.put_long(at::SKB_SK, address);
}

/// A program's store to its context, as the kernel rewrites it: `queue_mapping`, `tc_index` and `tc_classid` of an skb have 16
/// bits, and the first ignores numbers that stand for no queue.
pub(super) fn store(order: Endian, context: &mut [u8], off: usize, bytes: &[u8]) {
    const NO_QUEUE: u32 = 0xffff;
    let narrow = matches!(off, at::SKB_QUEUE_MAPPING | at::SKB_TC_INDEX | at::SKB_TC_CLASSID);
    let skb = context.len() == SK_BUFF_LEN as usize;
    let field = &mut context[off..off + bytes.len()];
    match bytes.try_into() {
        Ok(word) if skb && narrow => {
            let word = order.word(word);
            if off != at::SKB_QUEUE_MAPPING || word < NO_QUEUE {
                field.copy_from_slice(&order.bytes(word & 0xffff));
            }
        }
        _ => field.copy_from_slice(bytes),
    }
}

impl SkbFields {
    /// The 32-bit fields and their offsets, but for `cb` and what needs more than a copy.
    fn words(&mut self) -> [(usize, &mut u32); 15] {
        [
            (4, &mut self.pkt_type),
            (8, &mut self.mark),
            (at::SKB_QUEUE_MAPPING, &mut self.queue_mapping),
            (16, &mut self.protocol),
            (20, &mut self.vlan_present),
            (24, &mut self.vlan_tci),
            (28, &mut self.vlan_proto),
            (32, &mut self.priority),
            (36, &mut self.ingress_ifindex),
            (40, &mut self.ifindex),
            (at::SKB_TC_INDEX, &mut self.tc_index),
            (68, &mut self.hash),
            (at::SKB_TC_CLASSID, &mut self.tc_classid),
            (84, &mut self.napi_id),
            (164, &mut self.gso_segs),
        ]
    }

    fn write(mut self, order: Endian, bytes: &mut [u8], packet_len: u32) {
        let bytes = &mut bytes[..SK_BUFF_LEN as usize];
        bytes.fill(0);
        let mut words = Words { bytes, order };
        for (off, word) in self.words() {
            words.put(off, *word);
        }
        for (i, word) in self.cb.into_iter().enumerate() {
            words.put(48 + 4 * i, word);
        }
        words.put_long(at::SKB_TSTAMP, self.tstamp);
        words.put(160, if self.wire_len == 0 { packet_len } else { self.wire_len });
        words.put(176, self.gso_size);
        words.put_long(at::SKB_HWTSTAMP, self.hwtstamp);
        bytes[at::SKB_TSTAMP_TYPE] = self.tstamp_type;
    }

    /// The fields as a run left them.
    pub(super) fn read(order: Endian, bytes: &[u8]) -> SkbFields {
        let bytes = &bytes[..SK_BUFF_LEN as usize];
        let get = |at| get(order, bytes, at);
        let mut fields = SkbFields::default();
        for (off, word) in fields.words() {
            *word = get(off);
        }
        for (i, word) in fields.cb.iter_mut().enumerate() {
            *word = get(48 + 4 * i);
        }
        let long = |at| match order {
            Endian::Little => u64::from(get(at)) | u64::from(get(at + 4)) << 32,
            Endian::Big => u64::from(get(at + 4)) | u64::from(get(at)) << 32,
        };
        (fields.tstamp, fields.hwtstamp) = (long(at::SKB_TSTAMP), long(at::SKB_HWTSTAMP));
        (fields.wire_len, fields.gso_size) = (get(160), get(176));
        fields.tstamp_type = bytes[at::SKB_TSTAMP_TYPE];
        fields
    }
}
