//! What a card's firmware offers to programs: what an offload may use, and how much of it.

use bpf::program::{MapSpec, MapType, ProgType};
use serde::{Deserialize, Serialize};

use super::Sourced;
use crate::quantity::Bytes;

/// Limits and features that decide what can be offloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Whose rules decide which program is accepted.
    pub rules: Sourced<Rules>,
    /// Program types, by libbpf's names.
    pub program_types: Sourced<Vec<String>>,
    /// Helpers, by kernel names without `bpf_`; `*` is every one this project has.
    pub helpers: Sourced<Vec<String>>,
    /// Map types, by bpftool's names; `*` is every one this project has.
    pub map_types: Sourced<Vec<String>>,
    /// Flags that a map may be created with, `BPF_F_...` bits ored.
    pub map_flags: Sourced<u32>,
    /// Maps a card holds at once.
    pub max_maps: Sourced<u32>,
    /// Entries of all maps together.
    pub max_elements: Sourced<u64>,
    /// Bytes of a key.
    pub max_key: Sourced<Bytes>,
    /// Bytes of a value.
    pub max_value: Sourced<Bytes>,
    /// Bytes of key and value together, each rounded up to 8.
    pub max_element: Sourced<Bytes>,
    /// Bytes of internal memory, at its end, that the firmware keeps maps in; the others lie in external memory. Nothing of a
    /// program's reaches the islands' local scratch by address, and packets fill their other memory, so no map lies there.
    pub imem_maps: Sourced<Bytes>,
    /// Address of a program's first instruction in the code store; the firmware's lie before it.
    pub code_start: Sourced<u16>,
    /// Longest program, in instructions of the card.
    pub max_instructions: Sourced<u32>,
    /// Stack of all frames together.
    pub stack: Sourced<Bytes>,
    /// Bytes from the packet's start that a program may reach; what lies behind is not in the packet buffer.
    pub packet_reach: Sourced<Bytes>,
    /// Moving the packet's start; none where the firmware cannot.
    pub adjust_head: Option<Sourced<AdjustHead>>,
    /// Moving the packet's end.
    pub adjust_tail: Sourced<bool>,
    /// A random number register.
    pub random: Sourced<bool>,
    /// Writing the receive queue in the context.
    pub queue_select: Sourced<bool>,
    /// Plain stores to map values; without them a value changes by atomic addition and update only.
    pub map_stores: Sourced<bool>,
    /// Addresses of map values in the program, as global data needs them.
    pub map_value_addresses: Sourced<bool>,
    /// Atomic operations, by their names: `add`, `and`, `or`, `xor`, `fetch-add`, `fetch-and`, `fetch-or`, `fetch-xor`,
    /// `xchg`, `cmpxchg`.
    pub atomics: Sourced<Vec<String>>,
    /// Replacing a program while packets flow.
    pub live_reload: Sourced<bool>,
    /// Version of the interface for control messages: 2 has slots of 64 bytes, 3 of [`Capabilities::max_key`] and
    /// [`Capabilities::max_value`], 4, this project's, of the map's own sizes.
    pub control_abi: Sourced<u32>,
    /// Answers that walk a map may hold several entries.
    pub control_entries: Sourced<bool>,
}

/// Whose rules decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rules {
    /// The Linux driver's verifier hook and translator.
    Driver,
    /// What this project's translator can express.
    Best,
}

/// How far a packet's start may move, as the firmware announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdjustHead {
    /// Least offset of the packet in its buffer afterwards.
    pub offset_min: u8,
    /// Greatest.
    pub offset_max: u8,
    /// Bytes by which the packet can always grow.
    pub guaranteed_sub: u8,
    /// Bytes by which it can always shrink.
    pub guaranteed_add: u8,
    /// No metadata may stand before the packet.
    pub no_meta: bool,
}

/// A size of a map that a card bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapSize {
    /// [`Capabilities::max_key`].
    Key,
    /// [`Capabilities::max_value`].
    Value,
    /// [`Capabilities::max_element`].
    Element,
}

/// A size that is beyond a card's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversize {
    /// Bytes it would take, those of rounding among them.
    pub actual: u64,
    /// Bytes the card has for it.
    pub limit: u64,
}

/// In a list of names: everything this project has.
pub(super) const ANY: &str = "*";

/// Whether a list names something, or names everything and the project has it.
fn lists(names: &[String], name: Option<&str>, exists: bool) -> bool {
    names.iter().any(|n| if n == ANY { exists } else { Some(n.as_str()) == name })
}

impl Capabilities {
    /// Whether programs of this type are taken.
    pub fn takes_program(&self, ty: ProgType) -> bool {
        lists(&self.program_types, Some(ty.name()), true)
    }

    /// Whether this helper is there, by the kernel's number.
    pub fn takes_helper(&self, id: u32) -> bool {
        let name = bpf::helpers::name(id);
        let name = name.as_deref().map(|n| n.strip_prefix("bpf_").unwrap_or(n));
        lists(&self.helpers, name, bpf::helpers::proto(id).is_some())
    }

    /// Whether the firmware has every helper of this project, by routines over whatever memory their arguments are in.
    pub fn takes_every_helper(&self) -> bool {
        self.helpers.iter().any(|name| name == ANY)
    }

    /// Whether maps of this type are there.
    pub fn takes_map(&self, ty: MapType) -> bool {
        lists(&self.map_types, ty.name(), bpf::maps::KINDS.iter().any(|kind| kind.ty == ty))
    }

    /// Which of a map's flags the card does not take.
    pub fn map_flags_refused(&self, spec: &MapSpec) -> u32 {
        spec.flags & !*self.map_flags
    }

    /// A map's size, where the card does not take so much.
    pub fn map_oversize(&self, spec: &MapSpec, size: MapSize) -> Option<Oversize> {
        let (key, value) = (u64::from(spec.key_size), u64::from(spec.value_size));
        let (actual, limit) = match size {
            MapSize::Key => (key, &self.max_key),
            MapSize::Value => (value, &self.max_value),
            MapSize::Element => (key.next_multiple_of(8) + value.next_multiple_of(8), &self.max_element),
        };
        (actual > limit.0).then_some(Oversize { actual, limit: limit.0 })
    }

    /// Whether this atomic operation is there, by the names of [`Capabilities::atomics`].
    pub fn takes_atomic(&self, name: &str) -> bool {
        lists(&self.atomics, Some(name), true)
    }
}
