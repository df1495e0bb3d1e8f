//! References in maps: programs, maps, devices and sockets by number.
//!
//! Linux takes a descriptor when a slot is filled and gives a number when it is read. Here both are the number: 1 and up,
//! 0 for none. That of a map is its [`MapId`] plus one, that of a device its `ifindex`; those of programs, sockets, events
//! and control groups are whatever their owner says.

use super::{BPF_F_INNER_MAP, CreateCheck, Holds, Map, MapSet};
use crate::errno::Errno;
use crate::memory::MapId;
use crate::program::{MapSpec, MapType};

/// Who knows what the numbers in slots stand for. The methods with a default answer for a world in which every number but
/// 0 is an object that fits.
pub trait References {
    /// The map of an id.
    fn map(&self, id: MapId) -> Option<&Map>;

    /// Whether a slot of `map` may hold that program: `EBADF` where there is none, `EINVAL` where it does not fit.
    ///
    /// # Errors
    /// Linux's number.
    fn program(&self, _map: &Map, number: u32) -> Result<(), Errno> {
        if number == 0 { Err(Errno::EBADF) } else { Ok(()) }
    }

    /// Whether there is a device of that `ifindex`.
    fn device(&self, _ifindex: u32) -> bool {
        true
    }

    /// Whether there is that socket, event or control group, and `map` may hold it.
    ///
    /// # Errors
    /// Linux's number.
    fn object(&self, _map: &Map, number: u32) -> Result<(), Errno> {
        if number == 0 { Err(Errno::EBADF) } else { Ok(()) }
    }
}

impl References for MapSet {
    fn map(&self, id: MapId) -> Option<&Map> {
        self.get(id)
    }
}

impl MapId {
    /// What a slot that refers to this map holds.
    pub const fn reference(self) -> u32 {
        self.0 + 1
    }

    /// The map that a slot refers to.
    pub const fn from_reference(number: u32) -> Option<MapId> {
        match number.checked_sub(1) {
            Some(id) => Some(MapId(id)),
            None => None,
        }
    }
}

/// Whether a slot of `map` may hold what `value` refers to.
pub(super) fn admit(map: &Map, refs: &dyn References, value: &[u8]) -> Result<(), Errno> {
    let word = |at: usize| value.get(at..at + 4).map_or(0, |w| map.byte_order().word([w[0], w[1], w[2], w[3]]));
    let number = word(0);
    match map.kind().holds {
        Holds::Values => Ok(()),
        Holds::Programs => refs.program(map, number),
        Holds::Maps => {
            let inner = MapId::from_reference(number).and_then(|id| refs.map(id)).ok_or(Errno::EBADF)?;
            let template = map.spec().inner.as_deref().ok_or(Errno::EINVAL)?;
            if fits(template, inner.spec()) { Ok(()) } else { Err(Errno::EINVAL) }
        }
        // A negative number of a program is none.
        Holds::Devices if number == 0 => {
            if word(4) as i32 > 0 {
                Err(Errno::EINVAL)
            } else {
                Ok(())
            }
        }
        Holds::Cpus if number == 0 => Ok(()),
        Holds::Devices | Holds::Cpus if word(4) as i32 > 0 && refs.program(map, word(4)).is_err() => {
            // Of a processor map Linux only says that it could not make the entry.
            Err(if map.kind().holds == Holds::Cpus { Errno::ENOMEM } else { Errno::EINVAL })
        }
        Holds::Devices if !refs.device(number) => Err(Errno::EINVAL),
        Holds::Devices | Holds::Cpus => Ok(()),
        Holds::Sockets if word(4) != 0 || number > i32::MAX as u32 => Err(Errno::EINVAL),
        Holds::Sockets | Holds::Events | Holds::Cgroups => refs.object(map, number),
    }
}

/// Whether a map may stand where `template` is declared (`bpf_map_meta_equal`, `array_map_meta_equal`): type, sizes and
/// flags are the same, for arrays max_entries too unless the template's flags lift that.
pub fn fits(template: &MapSpec, map: &MapSpec) -> bool {
    let flags = |spec: &MapSpec| spec.flags | Map::kind_of(spec.ty).map_or(0, |kind| kind.adds_flags);
    let shape = |spec: &MapSpec| (spec.ty, spec.key_size, spec.value_size, flags(spec));
    let any_length = template.ty != MapType::ARRAY || template.flags & BPF_F_INNER_MAP != 0;
    shape(template) == shape(map) && (any_length || template.max_entries == map.max_entries)
}

/// What Linux checks of a map of maps' template (`bpf_map_meta_alloc`).
pub(super) fn check_inner(spec: &MapSpec) -> CreateCheck {
    let Some(inner) = spec.inner.as_deref() else {
        return Err((Errno::EBADF, "a template of the maps inside"));
    };
    match Map::kind_of(inner.ty) {
        Some(kind) if kind.holds == Holds::Maps => Err((Errno::EINVAL, "maps of maps hold no maps of maps")),
        Some(kind) if !kind.inner => Err((Errno::ENOTSUPP, "maps of maps hold no maps of that type")),
        Some(kind) => (kind.check)(inner),
        None => Err((Errno::EINVAL, "a template of a kind there is")),
    }
}
