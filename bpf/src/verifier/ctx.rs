//! The contexts programs are given, field by field: `struct xdp_md` and `struct __sk_buff` of the kernel's user API.
//!
//! A table of rows, and one function that holds an access against them. Which program type may read or write a field
//! follows `xdp_is_valid_access`, `tc_cls_act_is_valid_access` and `sk_filter_is_valid_access` of Linux 6.18.

use super::explored::Kind;
use crate::program::{Attach, Endian, ProgType};

/// A set of program types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types {
    xdp: bool,
    tc: bool,
    filter: bool,
}

impl Types {
    const NONE: Types = Types { xdp: false, tc: false, filter: false };
    const XDP: Types = Types { xdp: true, ..Self::NONE };
    const TC: Types = Types { tc: true, ..Self::NONE };
    const SKB: Types = Types { tc: true, filter: true, ..Self::NONE };

    /// Whether a type is in the set.
    pub const fn contains(self, ty: ProgType) -> bool {
        match ty {
            ProgType::Xdp => self.xdp,
            ProgType::SchedCls | ProgType::SchedAct => self.tc,
            ProgType::SocketFilter => self.filter,
        }
    }
}

/// What a load of a field gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A number of which any aligned part may be read.
    Parts,
    /// A number that is read whole.
    Whole,
    /// An array of words whose aligned words, parts or pairs may be accessed.
    Words,
    /// A pointer that is read whole.
    Pointer(Kind),
    /// A pointer to a socket, which this verifier does not model.
    Socket,
}

/// A field of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the kernel's headers.
    pub name: &'static str,
    /// First byte.
    pub off: u32,
    /// Bytes.
    pub size: u32,
    /// Types that may read it.
    pub read: Types,
    /// Types that may write it, whole unless it holds words.
    pub write: Types,
    /// What it holds.
    pub holds: Holds,
}

const fn field(name: &'static str, off: u32, size: u32, read: Types, write: Types, holds: Holds) -> Field {
    Field { name, off, size, read, write, holds }
}

/// `struct xdp_md`, 24 bytes. `egress_ifindex` belongs to programs of entries of device maps; `rx_queue_index` is writable
/// for a program bound to a device.
#[rustfmt::skip]
pub static XDP_MD: [Field; 6] = [
    field("data",            0,  4, Types::XDP, Types::NONE, Holds::Pointer(Kind::Packet)),
    field("data_end",        4,  4, Types::XDP, Types::NONE, Holds::Pointer(Kind::PacketEnd)),
    field("data_meta",       8,  4, Types::XDP, Types::NONE, Holds::Pointer(Kind::PacketMeta)),
    field("ingress_ifindex", 12, 4, Types::XDP, Types::NONE, Holds::Whole),
    field("rx_queue_index",  16, 4, Types::XDP, Types::NONE, Holds::Whole),
    field("egress_ifindex",  20, 4, Types::XDP, Types::NONE, Holds::Whole),
];

/// `struct __sk_buff`, 192 bytes.
#[rustfmt::skip]
pub static SK_BUFF: [Field; 31] = [
    field("len",             0,   4,  Types::SKB, Types::NONE, Holds::Parts),
    field("pkt_type",        4,   4,  Types::SKB, Types::NONE, Holds::Parts),
    field("mark",            8,   4,  Types::SKB, Types::TC,   Holds::Parts),
    field("queue_mapping",   12,  4,  Types::SKB, Types::TC,   Holds::Parts),
    field("protocol",        16,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("vlan_present",    20,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("vlan_tci",        24,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("vlan_proto",      28,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("priority",        32,  4,  Types::SKB, Types::TC,   Holds::Parts),
    field("ingress_ifindex", 36,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("ifindex",         40,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("tc_index",        44,  4,  Types::SKB, Types::TC,   Holds::Parts),
    field("cb",              48,  20, Types::SKB, Types::SKB,  Holds::Words),
    field("hash",            68,  4,  Types::SKB, Types::NONE, Holds::Parts),
    field("tc_classid",      72,  4,  Types::TC,  Types::TC,   Holds::Parts),
    field("data",            76,  4,  Types::TC,  Types::NONE, Holds::Pointer(Kind::Packet)),
    field("data_end",        80,  4,  Types::TC,  Types::NONE, Holds::Pointer(Kind::PacketEnd)),
    field("napi_id",         84,  4,  Types::SKB, Types::NONE, Holds::Parts),
    // Fields of sockets that none of these types may touch.
    field("family",          88,  4,  Types::NONE, Types::NONE, Holds::Parts),
    field("remote_ip4",      92,  4,  Types::NONE, Types::NONE, Holds::Parts),
    field("local_ip4",       96,  4,  Types::NONE, Types::NONE, Holds::Parts),
    field("remote_ip6",      100, 16, Types::NONE, Types::NONE, Holds::Words),
    field("local_ip6",       116, 16, Types::NONE, Types::NONE, Holds::Words),
    field("ports",           132, 8,  Types::NONE, Types::NONE, Holds::Words),
    field("data_meta",       140, 4,  Types::TC,  Types::NONE, Holds::Pointer(Kind::PacketMeta)),
    field("flow_keys",       144, 8,  Types::NONE, Types::NONE, Holds::Whole),
    field("tstamp",          152, 8,  Types::TC,  Types::TC,   Holds::Whole),
    field("wire_len",        160, 4,  Types::TC,  Types::NONE, Holds::Parts),
    field("gso_segs",        164, 4,  Types::SKB, Types::NONE, Holds::Parts),
    field("sk",              168, 8,  Types::SKB, Types::NONE, Holds::Socket),
    field("gso_size",        176, 4,  Types::SKB, Types::NONE, Holds::Parts),
];

/// `tstamp_type` and `hwtstamp`, which lie behind padding that may not be touched.
#[rustfmt::skip]
pub static SK_BUFF_TAIL: [Field; 2] = [
    field("tstamp_type", 180, 1, Types::TC, Types::NONE, Holds::Whole),
    field("hwtstamp",    184, 8, Types::TC, Types::NONE, Holds::Whole),
];

/// The fields of a type's context, ascending.
pub fn fields(ty: ProgType) -> impl Iterator<Item = &'static Field> {
    let (first, second): (&[Field], &[Field]) = if ty.is_skb() { (&SK_BUFF, &SK_BUFF_TAIL) } else { (&XDP_MD, &[]) };
    first.iter().chain(second)
}

/// Fields of which Linux keeps fewer bytes than the structure has, and how many (`bpf_convert_ctx_access`).
const KEPT: [(&str, u32); 9] = [
    ("pkt_type", 1),
    ("queue_mapping", 2),
    ("protocol", 2),
    ("vlan_tci", 2),
    ("vlan_proto", 2),
    ("tc_index", 2),
    ("tc_classid", 2),
    ("gso_segs", 2),
    ("gso_size", 2),
];

/// Where a load of a context finds what Linux gives it. It moves a part into place only where the load is smaller than what is
/// kept of the field (`convert_ctx_accesses`): any other gets the lowest bytes, wherever in the field it stands.
pub(super) fn found_at(ty: ProgType, order: Endian, off: i16, size: u32) -> i16 {
    let field = u32::try_from(off).ok().and_then(|off| fields(ty).find(|f| f.off <= off && off < f.off + f.size));
    let kept = |field: &Field| KEPT.iter().find(|(name, _)| *name == field.name).map(|(_, kept)| *kept);
    match field.and_then(|field| Some((field, kept(field)?))) {
        Some((field, kept)) if kept <= size && size < field.size => match order {
            Endian::Little => field.off as i16,
            Endian::Big => (field.off + field.size - size) as i16,
        },
        _ => off,
    }
}

/// An access to a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtxAccess {
    /// First byte.
    pub off: i64,
    /// Bytes.
    pub size: u32,
    /// A store.
    pub write: bool,
    /// A load that sign-extends.
    pub sign_extends: bool,
}

/// The field an access touches, if a program of type `ty` that is attached so may do that. `bound` is a program bound to a
/// device.
pub fn access(ty: ProgType, attach: Attach, bound: bool, a: CtxAccess) -> Option<&'static Field> {
    let off = u32::try_from(a.off).ok()?;
    if !off.is_multiple_of(a.size) {
        return None;
    }
    let field = fields(ty).find(|f| f.off <= off && off < f.off + f.size)?;
    let steers = bound && ty == ProgType::Xdp && field.name == "rx_queue_index";
    let leaves = ty != ProgType::Xdp || field.name != "egress_ifindex" || attach == Attach::XdpDevmap;
    let allowed = if a.write { field.write.contains(ty) || steers } else { field.read.contains(ty) && leaves };
    let whole = off == field.off && a.size == field.size;
    let fits = match field.holds {
        Holds::Parts if a.write => whole,
        Holds::Parts => a.size <= field.size,
        Holds::Words => off + a.size <= field.off + field.size,
        Holds::Whole | Holds::Socket => whole,
        Holds::Pointer(_) => whole && !a.sign_extends,
    };
    (allowed && fits).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ty: ProgType, off: i64, size: u32) -> bool {
        access(ty, Attach::Hook, false, CtxAccess { off, size, write: false, sign_extends: false }).is_some()
    }

    fn write(ty: ProgType, off: i64, size: u32) -> bool {
        access(ty, Attach::Hook, false, CtxAccess { off, size, write: true, sign_extends: false }).is_some()
    }

    #[test]
    fn fields_lie_side_by_side() {
        for ty in ProgType::ALL {
            let all: Vec<_> = fields(ty).collect();
            for pair in all.windows(2) {
                let end = pair[0].off + pair[0].size;
                let padding = pair[0].name == "tstamp_type";
                assert!(end == pair[1].off || padding, "{} {}", pair[0].name, pair[1].name);
            }
        }
    }

    #[test]
    fn parts_of_numbers_but_not_of_pointers_are_read() {
        assert!(read(ProgType::SchedCls, 16, 2) && read(ProgType::SchedCls, 18, 1));
        assert!(!read(ProgType::SchedCls, 17, 2) && !read(ProgType::SchedCls, 16, 8));
        assert!(!read(ProgType::SchedCls, 76, 2) && read(ProgType::SchedCls, 76, 4));
        assert!(!read(ProgType::Xdp, 12, 2) && !read(ProgType::Xdp, 0, 8) && !read(ProgType::Xdp, 24, 4));
        assert!(!read(ProgType::Xdp, -4, 4) && !read(ProgType::Xdp, 20, 4));
    }

    #[test]
    fn writing_depends_on_the_type() {
        assert!(write(ProgType::SchedCls, 8, 4) && !write(ProgType::SchedCls, 8, 2));
        assert!(!write(ProgType::SocketFilter, 8, 4) && write(ProgType::SocketFilter, 48, 8));
        assert!(write(ProgType::SchedCls, 50, 2) && !write(ProgType::SchedCls, 64, 8));
        assert!(!write(ProgType::Xdp, 16, 4));
        let queue = CtxAccess { off: 16, size: 4, write: true, sign_extends: false };
        assert!(access(ProgType::Xdp, Attach::Hook, true, queue).is_some());
    }

    #[test]
    fn the_way_out_is_known_on_the_way_out() {
        let egress = CtxAccess { off: 20, size: 4, write: false, sign_extends: false };
        for (attach, known) in [(Attach::Hook, false), (Attach::XdpCpumap, false), (Attach::XdpDevmap, true)] {
            assert_eq!(access(ProgType::Xdp, attach, false, egress).is_some(), known, "{attach:?}");
            assert!(access(ProgType::Xdp, attach, true, CtxAccess { write: true, ..egress }).is_none());
        }
    }
}
