//! CO-RE relocations: places that depend on the layout of the running kernel's types.
//!
//! They are not applied. One whose answer is the same everywhere is already right as compiled: a number in the object's
//! own BTF, or a field of a structure whose layout is an ABI or a wire format. Any other is refused by name.

use crate::btf::{Btf, CoreKind, CoreRelocation, Kind, TypeId};

/// A structure whose layout does not depend on the kernel: name, and each field's name, first byte and bytes.
type Layout = (&'static str, &'static [(&'static str, u32, u32)]);

/// Contexts (`uapi/linux/bpf.h`) and headers on the wire.
const FIXED: &[Layout] = &[
    (
        "xdp_md",
        &[
            ("data", 0, 4),
            ("data_end", 4, 4),
            ("data_meta", 8, 4),
            ("ingress_ifindex", 12, 4),
            ("rx_queue_index", 16, 4),
            ("egress_ifindex", 20, 4),
        ],
    ),
    (
        "__sk_buff",
        &[
            ("len", 0, 4),
            ("pkt_type", 4, 4),
            ("mark", 8, 4),
            ("queue_mapping", 12, 4),
            ("protocol", 16, 4),
            ("vlan_present", 20, 4),
            ("vlan_tci", 24, 4),
            ("vlan_proto", 28, 4),
            ("priority", 32, 4),
            ("ingress_ifindex", 36, 4),
            ("ifindex", 40, 4),
            ("tc_index", 44, 4),
            ("cb", 48, 20),
            ("hash", 68, 4),
            ("tc_classid", 72, 4),
            ("data", 76, 4),
            ("data_end", 80, 4),
            ("napi_id", 84, 4),
            ("family", 88, 4),
            ("remote_ip4", 92, 4),
            ("local_ip4", 96, 4),
            ("remote_ip6", 100, 16),
            ("local_ip6", 116, 16),
            ("remote_port", 132, 4),
            ("local_port", 136, 4),
            ("data_meta", 140, 4),
            ("flow_keys", 144, 8),
            ("tstamp", 152, 8),
            ("wire_len", 160, 4),
            ("gso_segs", 164, 4),
            ("sk", 168, 8),
            ("gso_size", 176, 4),
            ("tstamp_type", 180, 1),
            ("hwtstamp", 184, 8),
        ],
    ),
    ("ethhdr", &[("h_dest", 0, 6), ("h_source", 6, 6), ("h_proto", 12, 2)]),
    ("vlan_hdr", &[("h_vlan_TCI", 0, 2), ("h_vlan_encapsulated_proto", 2, 2)]),
    (
        "iphdr",
        &[
            ("tos", 1, 1),
            ("tot_len", 2, 2),
            ("id", 4, 2),
            ("frag_off", 6, 2),
            ("ttl", 8, 1),
            ("protocol", 9, 1),
            ("check", 10, 2),
            ("saddr", 12, 4),
            ("daddr", 16, 4),
        ],
    ),
    (
        "ipv6hdr",
        &[
            ("flow_lbl", 1, 3),
            ("payload_len", 4, 2),
            ("nexthdr", 6, 1),
            ("hop_limit", 7, 1),
            ("saddr", 8, 16),
            ("daddr", 24, 16),
        ],
    ),
    (
        "tcphdr",
        &[
            ("source", 0, 2),
            ("dest", 2, 2),
            ("seq", 4, 4),
            ("ack_seq", 8, 4),
            ("window", 14, 2),
            ("check", 16, 2),
            ("urg_ptr", 18, 2),
        ],
    ),
    ("udphdr", &[("source", 0, 2), ("dest", 2, 2), ("len", 4, 2), ("check", 6, 2)]),
    ("icmphdr", &[("type", 0, 1), ("code", 1, 1), ("checksum", 2, 2)]),
];

/// A field that an access path leads to.
struct Field {
    /// The path with names, such as `iphdr.saddr`.
    path: String,
    /// Name of the last member that has one.
    name: String,
    /// First bit from the start of the type the path begins with.
    bit_offset: u64,
    /// Bytes; `None` where the type has no size.
    size: Option<u32>,
}

/// Follows an access path: the first index counts whole objects, each other one members or elements.
fn field(btf: &Btf, relocation: &CoreRelocation) -> Option<Field> {
    /// Members a path may go through; the kernel's limit (`BPF_CORE_SPEC_MAX_LEN`).
    const STEPS: usize = 64;
    let text = btf.string(relocation.access)?;
    let mut indices = text.split(':').take(STEPS).map(|i| i.parse::<u32>().ok());
    let mut ty = btf.resolve(relocation.ty)?;
    let mut found = Field {
        path: btf.type_name(ty).into_owned(),
        name: String::new(),
        bit_offset: u64::from(indices.next()??) * 8 * u64::from(btf.size_of(ty)?),
        size: btf.size_of(ty),
    };
    for index in indices {
        let index = index?;
        if let Some(members) = btf.members(ty) {
            let member = members.get(index as usize)?;
            let name = btf.name(member.name);
            if !name.is_empty() {
                found.path = format!("{}.{name}", found.path);
                found.name = name.into_owned();
            }
            found.bit_offset += u64::from(member.bit_offset);
            ty = btf.resolve(member.ty)?;
            // A bit-field is not the bytes of its type.
            found.size = if member.bits == 0 { btf.size_of(ty) } else { None };
        } else {
            let Kind::Array { element, .. } = btf.get(ty).kind else { return None };
            let size = btf.size_of(element)?;
            found.path = format!("{}[{index}]", found.path);
            found.bit_offset += u64::from(index) * u64::from(size) * 8;
            found.size = Some(size);
            ty = btf.resolve(element)?;
        }
    }
    Some(found)
}

/// Whether the instruction is right as it was compiled, on any kernel.
pub(super) fn is_fixed(btf: &Btf, relocation: &CoreRelocation) -> bool {
    match relocation.kind {
        CoreKind::TypeIdLocal => true,
        CoreKind::FieldOffset | CoreKind::FieldSize | CoreKind::FieldExists => {
            let root = btf.resolve(relocation.ty).map_or(TypeId::VOID, |id| id);
            let name = btf.type_name(root);
            // What follows three underscores only tells flavours of one structure apart.
            let name = name.split("___").next().unwrap_or_default();
            let Some((_, fields)) = FIXED.iter().find(|(fixed, _)| *fixed == name) else { return false };
            let Some(found) = field(btf, relocation) else { return false };
            fields.iter().any(|&(name, byte, bytes)| {
                let (first, last) = (u64::from(byte) * 8, u64::from(byte + bytes) * 8);
                let size = u64::from(found.size.unwrap_or(0)) * 8;
                let whole = found.bit_offset == first && size == u64::from(bytes) * 8;
                let element = relocation.kind == CoreKind::FieldOffset
                    && found.path.ends_with(']')
                    && found.bit_offset >= first
                    && found.bit_offset + size <= last;
                name == found.name && size != 0 && (whole || element)
            })
        }
        _ => false,
    }
}

/// What is asked, in words: `offset of field task_struct.pid`.
pub(super) fn describe(btf: &Btf, relocation: &CoreRelocation) -> String {
    let what = field(btf, relocation).map_or_else(|| btf.type_name(relocation.ty).into_owned(), |f| f.path);
    format!("{} {what}", relocation.kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte and bytes of a member, also of one inside anonymous structures and unions.
    fn place(btf: &Btf, ty: TypeId, name: &str, base: u32) -> Option<(u32, u32)> {
        btf.members(ty)?.iter().find_map(|m| {
            let at = base + m.bit_offset / 8;
            let known = btf.name(m.name);
            if known == name {
                Some((at, btf.size_of(m.ty)?))
            } else if known.is_empty() {
                place(btf, m.ty, name, at)
            } else {
                None
            }
        })
    }

    /// The running kernel has the layouts that are said to be the same everywhere.
    #[test]
    fn fixed_layouts_are_the_kernels() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: fixed_layouts_are_the_kernels: the kernel shows no BTF");
            return;
        };
        let btf = Btf::parse(&bytes).unwrap();
        for (name, fields) in FIXED {
            let is_it = |ty: &crate::btf::Type| matches!(ty.kind, Kind::Struct { .. }) && btf.name(ty.name) == *name;
            let (id, _) = btf.iter().find(|(_, ty)| is_it(ty)).unwrap_or_else(|| panic!("no {name}"));
            for &(field, byte, bytes) in *fields {
                assert_eq!(place(&btf, id, field, 0), Some((byte, bytes)), "{name}.{field}");
            }
        }
    }
}
