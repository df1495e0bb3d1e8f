//! `BPF_MAP_TYPE_LPM_TRIE`: values by prefix, the longest that matches wins (kernel/bpf/lpm_trie.c).
//!
//! A key is `struct bpf_lpm_trie_key`: the prefix's length in bits, 32 bits in the machine's order, then the bits, most significant
//! first. Bits behind the prefix are kept as they were given and mean nothing.
//!
//! ```text
//! region  root, free list, nodes ever taken, entries    16 bytes, then a lock in 8
//!         node[2 n + 1]  child 0, child 1, length, kind, bits, value    bits and value rounded to 8; n = max_entries
//! ```
//!
//! A node without a value joins two subtrees; there are fewer of them than of others. As in Linux an update of a prefix
//! that is there replaces its node, so a pointer got before still reads the old value.

use super::kind::KEYED;
use super::map::round8;
use super::{
    BPF_EXIST, BPF_F_ACCESS_MASK, BPF_F_NO_PREALLOC, BPF_F_NUMA_NODE, BPF_NOEXIST, Batch, CreateCheck, Holds, Map,
    MapKind, MapOps, Side, Tape, UserLookup, array,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Bytes of a key's length.
const LENGTH: u32 = 4;
/// Most bytes of a key's bits.
const MAX_DATA: u32 = 256;
/// Largest value: one kernel allocation (4 MiB) less the longest key and the kernel's node (40).
const MAX_VALUE: u32 = (4 << 20) - MAX_DATA - 40;

const ROOT: u32 = 0;
const FREE: u32 = 4;
const ENTRIES: u32 = 12;
const LOCK: u32 = 16;
const NODES: u32 = 24;
const NODE_HEAD: u32 = 16;
/// Kind of a node that carries a value.
const VALUE: u32 = 1;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::LPM_TRIE,
    per_cpu: false,
    holds: Holds::Values,
    helpers: KEYED,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: false,
    batch: Batch::KeysAndDelete,
    adds_flags: 0,
    check,
    region_size: |spec, _| u64::from(NODES) + nodes(spec) * u64::from(stride(spec)),
    elements: |spec, _| Elements {
        first: NODES + value_off(spec),
        stride: stride(spec),
        size: spec.value_size,
        count: nodes(spec) as u32,
    },
    ops: &LpmTrie,
    queue: None,
};

fn check(spec: &MapSpec) -> CreateCheck {
    if spec.max_entries == 0 {
        return Err((Errno::EINVAL, "max_entries of at least 1"));
    }
    if spec.flags & BPF_F_NO_PREALLOC == 0 {
        return Err((Errno::EINVAL, "BPF_F_NO_PREALLOC"));
    }
    if spec.flags & !(BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)?;
    if !(LENGTH + 1..=LENGTH + MAX_DATA).contains(&spec.key_size) {
        return Err((Errno::EINVAL, "key_size of 5 to 260"));
    }
    if !(1..=MAX_VALUE).contains(&spec.value_size) {
        return Err((Errno::EINVAL, "value_size of 1 to 4 MiB - 296"));
    }
    Ok(())
}

fn nodes(spec: &MapSpec) -> u64 {
    2 * u64::from(spec.max_entries) + 1
}

fn value_off(spec: &MapSpec) -> u32 {
    NODE_HEAD + round8(spec.key_size - LENGTH)
}

fn stride(spec: &MapSpec) -> u32 {
    value_off(spec) + round8(spec.value_size)
}

/// A prefix as a key holds it.
#[derive(Clone, Copy)]
struct Prefix<'a> {
    len: u32,
    data: &'a [u8],
    /// The first 16 bytes, zeros behind shorter ones: a node is held against them in one step.
    lead: u128,
}

impl<'a> Prefix<'a> {
    /// The prefix of a key; `None` if it is longer than the key's bits.
    fn of(map: &Map, key: &'a [u8]) -> Option<Self> {
        let (len, data) = key.split_first_chunk::<4>()?;
        let len = map.byte_order().word(*len);
        let mut lead = [0; 16];
        let first = data.len().min(lead.len());
        lead[..first].copy_from_slice(&data[..first]);
        (len as usize <= data.len() * 8).then_some(Self { len, data, lead: u128::from_be_bytes(lead) })
    }

    /// Bit `at`, 0 beyond the end.
    fn bit(&self, at: u32) -> usize {
        if at < u128::BITS {
            return (self.lead >> (u128::BITS - 1 - at) & 1) as usize;
        }
        let byte = self.data.get(at as usize / 8).copied().unwrap_or(0);
        usize::from(byte >> (7 - at % 8) & 1)
    }
}

/// A node as read.
struct Node {
    link: u32,
    off: u32,
    child: [u32; 2],
    len: u32,
    has_value: bool,
    /// Leading bits it has in common with the key it was read for, up to the shorter one's length.
    common: u32,
}

impl Node {
    /// The link to a child. A choice of two: as an index it would take the node's way through memory, which walks wait for.
    fn below(&self, bit: usize) -> u32 {
        if bit == 0 { self.child[0] } else { self.child[1] }
    }

    /// Whether the node's prefix is one of the key's, and not the key's own.
    fn is_above(&self, key: &Prefix<'_>) -> bool {
        self.common == self.len && self.len != key.len
    }
}

fn offset(map: &Map, link: u32) -> Option<u32> {
    (1..=nodes(map.spec())).contains(&u64::from(link)).then(|| NODES + (link - 1) * stride(map.spec()))
}

/// Reads the node a link names and holds it against a key, in one access.
#[inline(always)]
fn node(map: &Map, tape: &mut Tape<'_>, link: u32, key: &Prefix<'_>) -> Option<Node> {
    let off = offset(map, link)?;
    let ([left, right, len, kind], same) = tape.follow_common(off, key.data, key.lead);
    let common = same.min(len).min(key.len);
    Some(Node { link, off, child: [left, right], len, has_value: kind == VALUE, common })
}

/// Where a link to a node is kept.
#[derive(Clone, Copy)]
struct Slot {
    off: u32,
    dependent: bool,
}

/// The way from the root to a prefix.
struct Way {
    /// Where the last link is kept.
    slot: Slot,
    /// The node it names, which differs from the prefix, equals it, or is longer; `None` for an empty place.
    node: Option<Node>,
    /// What is above.
    parent: Option<Parent>,
}

/// What is left of a node once its child was taken.
#[derive(Clone, Copy)]
struct Parent {
    link: u32,
    has_value: bool,
    /// Where its own link is kept.
    slot: Slot,
    /// The other child.
    sibling: u32,
}

/// Goes down as far as nodes are prefixes of `key`. A trie that a guest has bent into a ring ends after as many steps as a
/// key has bits.
fn descend(map: &Map, tape: &mut Tape<'_>, key: &Prefix<'_>) -> Way {
    let mut slot = Slot { off: ROOT, dependent: false };
    let (mut parent, mut link) = (None, tape.read_u32(ROOT));
    for _ in 0..=8 * MAX_DATA {
        let Some(at) = node(map, tape, link, key) else { break };
        if !at.is_above(key) {
            return Way { slot, node: Some(at), parent };
        }
        let bit = key.bit(at.len);
        let below = Slot { off: at.off + 4 * bit as u32, dependent: true };
        link = at.below(bit);
        parent = Some(Parent { link: at.link, has_value: at.has_value, slot, sibling: at.below(1 - bit) });
        slot = below;
    }
    Way { slot, node: None, parent }
}

fn set(tape: &mut Tape<'_>, slot: Slot, link: u32) {
    tape.write_u32(slot.off, link, slot.dependent);
}

/// Takes a node: the last one freed, else the next never used.
fn take(map: &Map, tape: &mut Tape<'_>) -> Option<u32> {
    let max = nodes(map.spec()) as u32;
    let [free, used] = tape.atomic::<2>(FREE, false, |[free, used]| match free {
        0 if used < max => [0, used + 1],
        _ => [free, used],
    });
    if free == 0 {
        return (used < max).then_some(used + 1);
    }
    let mut next = [0; 4];
    tape.follow(offset(map, free)?, &mut next);
    tape.write(FREE, &next, false);
    Some(free)
}

fn give(map: &Map, tape: &mut Tape<'_>, link: u32) {
    if let Some(off) = offset(map, link) {
        let [was] = tape.atomic::<1>(FREE, false, |_| [link]);
        tape.write_u32(off, was, true);
    }
}

/// Fills a node. Without a value it joins subtrees.
fn fill(map: &Map, tape: &mut Tape<'_>, link: u32, child: [u32; 2], prefix: &Prefix<'_>, value: Option<&[u8]>) {
    let Some(off) = offset(map, link) else { return };
    let mut head = [0; NODE_HEAD as usize];
    let kind = if value.is_some() { VALUE } else { 0 };
    for (part, word) in head.chunks_mut(4).zip([child[0], child[1], prefix.len, kind]) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    let value = value.unwrap_or(&[]);
    tape.write_parts(off, &[(0, &head), (NODE_HEAD, prefix.data), (value_off(map.spec()), value)]);
}

/// Counts one more entry, if the flags allow a new one and there is room.
fn admit(map: &Map, tape: &mut Tape<'_>, flags: u64) -> Result<(), Errno> {
    if flags == BPF_EXIST {
        return Err(Errno::ENOENT);
    }
    let max = map.spec().max_entries;
    let [was] = tape.atomic::<1>(ENTRIES, false, |[n]| [if n < max { n + 1 } else { n }]);
    if was < max { Ok(()) } else { Err(Errno::ENOSPC) }
}

fn insert(map: &Map, tape: &mut Tape<'_>, key: &Prefix<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
    let way = descend(map, tape, key);
    let old = way.node;
    let exact = old.as_ref().is_some_and(|old| old.common == old.len);
    if exact && old.as_ref().is_some_and(|old| old.has_value) {
        if flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
    } else {
        admit(map, tape, flags)?;
    }
    let new = take(map, tape).ok_or(Errno::ENOSPC)?;
    let Some(old) = old else {
        fill(map, tape, new, [0, 0], key, Some(value));
        set(tape, way.slot, new);
        return Ok(());
    };
    if exact {
        fill(map, tape, new, old.child, key, Some(value));
        set(tape, way.slot, new);
        give(map, tape, old.link);
        return Ok(());
    }
    let mut child = [0, 0];
    if old.common == key.len {
        // The new prefix is above the old one.
        let mut byte = [0];
        tape.follow(old.off + NODE_HEAD + old.common / 8, &mut byte);
        child[usize::from(byte[0] >> (7 - old.common % 8) & 1)] = old.link;
        fill(map, tape, new, child, key, Some(value));
        set(tape, way.slot, new);
        return Ok(());
    }
    let joint = take(map, tape).ok_or(Errno::ENOSPC)?;
    fill(map, tape, new, [0, 0], key, Some(value));
    let bit = key.bit(old.common);
    child[bit] = new;
    child[1 - bit] = old.link;
    fill(map, tape, joint, child, &Prefix { len: old.common, ..*key }, None);
    set(tape, way.slot, joint);
    Ok(())
}

fn remove(map: &Map, tape: &mut Tape<'_>, key: &Prefix<'_>) -> Result<(), Errno> {
    let way = descend(map, tape, key);
    let exact = way.node.filter(|old| old.common == old.len && old.len == key.len && old.has_value);
    let old = exact.ok_or(Errno::ENOENT)?;
    tape.atomic::<1>(ENTRIES, false, |[n]| [n.saturating_sub(1)]);
    match (old.child, way.parent) {
        // Two subtrees still need a joint.
        ([left, right], _) if left != 0 && right != 0 => {
            tape.write_u32(old.off + 12, 0, true);
            return Ok(());
        }
        // A joint above a leaf that goes has but one subtree left.
        ([0, 0], Some(parent)) if !parent.has_value => {
            set(tape, parent.slot, parent.sibling);
            give(map, tape, parent.link);
        }
        ([left, right], _) => set(tape, way.slot, left | right),
    }
    give(map, tape, old.link);
    Ok(())
}

/// The first node with a value below `link` in the order of walks: longer prefixes first, bit 0 before bit 1.
fn leftmost(map: &Map, tape: &mut Tape<'_>, link: u32) -> Option<Node> {
    const ANY: Prefix<'_> = Prefix { len: 0, data: &[], lead: 0 };
    let (mut link, mut found) = (link, None);
    for _ in 0..=8 * MAX_DATA {
        let Some(at) = node(map, tape, link, &ANY) else { break };
        link = if at.has_value && at.child[0] == 0 { at.child[1] } else { at.child[0] };
        if at.has_value {
            found = Some(at);
        }
    }
    found
}

/// The node after the one of `key`; the first if that is not there.
fn following(map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>) -> Option<Node> {
    let root = tape.read_u32(ROOT);
    let Some(key) = key.and_then(|key| Prefix::of(map, key)) else { return leftmost(map, tape, root) };
    let (mut above, mut link) = (Vec::new(), root);
    let mut at = loop {
        let Some(at) = node(map, tape, link, &key) else { return leftmost(map, tape, root) };
        if !at.is_above(&key) {
            if at.common != at.len || !at.has_value {
                return leftmost(map, tape, root);
            }
            break at;
        }
        link = at.child[key.bit(at.len)];
        if above.len() > 8 * MAX_DATA as usize {
            return None;
        }
        above.push(at);
    };
    while let Some(parent) = above.pop() {
        if parent.child[0] == at.link && parent.child[1] != 0 {
            return leftmost(map, tape, parent.child[1]);
        }
        if parent.has_value {
            return Some(parent);
        }
        at = parent;
    }
    None
}

struct LpmTrie;

fn locked<T>(tape: &mut Tape<'_>, work: impl FnOnce(&mut Tape<'_>) -> T) -> T {
    tape.atomic::<1>(LOCK, false, |_| [1]);
    let done = work(tape);
    tape.write_u32(LOCK, 0, false);
    done
}

impl MapOps for LpmTrie {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let key = Prefix::of(map, key)?;
        let (mut found, mut link) = (None, tape.read_u32(ROOT));
        for _ in 0..=8 * MAX_DATA {
            let Some(at) = node(map, tape, link, &key) else { break };
            if at.common < at.len {
                break;
            }
            if at.has_value {
                found = Some(at.off);
            }
            link = at.below(key.bit(at.len));
        }
        found.map(|off| off + value_off(map.spec()))
    }

    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        _: Side,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let key = Prefix::of(map, key).ok_or(Errno::EINVAL)?;
        locked(tape, |tape| insert(map, tape, &key, value, flags))
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let key = Prefix::of(map, key).ok_or(Errno::EINVAL)?;
        locked(tape, |tape| remove(map, tape, &key))
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let found = following(map, tape, key).ok_or(Errno::ENOENT)?;
        next[..4].copy_from_slice(&map.byte_order().bytes(found.len));
        tape.follow(found.off + NODE_HEAD, &mut next[4..]);
        Ok(())
    }
}
