//! References in maps: programs and maps by number.
//!
//! Linux takes a descriptor when a slot is filled and gives a number when it is read. Here both are the number: 1 and up,
//! 0 for none. That of a map is its [`MapId`] plus one; that of a program is whatever the owner of the programs says.

use super::{BPF_F_INNER_MAP, CreateCheck, Map, MapSet};
use crate::errno::Errno;
use crate::memory::MapId;
use crate::program::{MapSpec, MapType};

use super::kind::Holds;

/// Who knows what the numbers in slots stand for.
pub trait References {
    /// Whether a slot of `map` may hold the object of that number, as Linux decides it for a descriptor.
    ///
    /// # Errors
    /// `EBADF` where there is no such object; `EINVAL` where it does not fit.
    fn admit(&self, map: &Map, number: u32) -> Result<(), Errno>;
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

/// Maps are those of the set. Of other objects it knows only that 0 is none.
impl References for MapSet {
    fn admit(&self, map: &Map, number: u32) -> Result<(), Errno> {
        admit(map, number, |id| self.get(id))
    }
}

/// [`References::admit`] for whoever has maps by their ids, and no other objects.
///
/// # Errors
/// As there.
pub fn admit<'a>(map: &Map, number: u32, inner: impl FnOnce(MapId) -> Option<&'a Map>) -> Result<(), Errno> {
    match map.kind().holds {
        Holds::Values => Ok(()),
        Holds::Programs if number == 0 => Err(Errno::EBADF),
        Holds::Programs => Ok(()),
        Holds::Maps => {
            let inner = MapId::from_reference(number).and_then(inner).ok_or(Errno::EBADF)?;
            let template = map.spec().inner.as_deref().ok_or(Errno::EINVAL)?;
            if fits(template, inner.spec()) { Ok(()) } else { Err(Errno::EINVAL) }
        }
    }
}

/// Whether a map may stand where `template` is declared (`bpf_map_meta_equal`, `array_map_meta_equal`): type, sizes and
/// flags are the same, for arrays max_entries too unless the template's flags lift that.
pub fn fits(template: &MapSpec, map: &MapSpec) -> bool {
    let shape = |spec: &MapSpec| (spec.ty, spec.key_size, spec.value_size, spec.flags);
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
        Some(kind) if kind.holds == Holds::Programs => Err((Errno::ENOTSUPP, "maps of maps hold no program arrays")),
        Some(kind) => (kind.check)(inner),
        None => Err((Errno::EINVAL, "a template of a kind there is")),
    }
}
