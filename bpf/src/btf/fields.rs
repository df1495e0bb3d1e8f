//! What a map's value holds besides data: spin locks and timers, found by their types' names (kernel: `btf_parse_fields`).

use super::{Btf, Kind, TypeId};

/// Where the special fields of a value lie, in bytes from its start. Only helpers touch them; what user space reads has
/// zeros there, and what is written there is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SpecialFields {
    /// `struct bpf_spin_lock`, 4 bytes.
    pub lock: Option<u32>,
    /// `struct bpf_timer`, 16 bytes.
    pub timer: Option<u32>,
}

/// Deeper structures than Linux looks into.
const MAX_DEPTH: u32 = 8;
/// Members looked at: types that hold each other many times over end there.
const MAX_MEMBERS: u32 = 1 << 16;

impl SpecialFields {
    /// Those of a type.
    pub fn of(btf: &Btf, ty: TypeId) -> SpecialFields {
        let mut found = SpecialFields::default();
        found.find(btf, ty, 0, MAX_DEPTH, &mut MAX_MEMBERS.clone());
        found
    }

    fn find(&mut self, btf: &Btf, ty: TypeId, at: u32, depth: u32, budget: &mut u32) {
        let Some(left) = budget.checked_sub(1) else { return };
        *budget = left;
        let Some(t) = btf.resolve(ty).map(|id| btf.get(id)) else { return };
        let members = match &t.kind {
            Kind::Struct { members, .. } => members,
            Kind::DataSec { vars, .. } if depth > 0 => {
                for var in vars {
                    if let Kind::Var { ty, .. } = btf.get(var.var).kind {
                        self.find(btf, ty, at.saturating_add(var.offset), depth - 1, budget);
                    }
                }
                return;
            }
            _ => return,
        };
        match &*btf.name(t.name) {
            "bpf_spin_lock" => self.lock = Some(at),
            "bpf_timer" => self.timer = Some(at),
            _ if depth > 0 => {
                for member in members {
                    self.find(btf, member.ty, at.saturating_add(member.bit_offset / 8), depth - 1, budget);
                }
            }
            _ => {}
        }
    }

    /// Whether there is any.
    pub fn any(self) -> bool {
        self != SpecialFields::default()
    }

    /// Their places: first byte and length, ascending.
    pub fn places(self) -> impl Iterator<Item = (usize, usize)> {
        let mut places = [self.lock.map(|at| (at, 4)), self.timer.map(|at| (at, 16))];
        places.sort_unstable();
        places.into_iter().flatten().map(|(at, len)| (at as usize, len))
    }

    /// Zeroes them in the bytes of a value.
    pub fn clear(self, value: &mut [u8]) {
        for (at, len) in self.places() {
            if let Some(field) = value.get_mut(at..at + len) {
                field.fill(0);
            }
        }
    }

    /// What lies between them: offset and bytes of each piece, ascending.
    pub fn around(self, value: &[u8]) -> Vec<(u32, &[u8])> {
        let (mut pieces, mut from) = (Vec::new(), 0);
        for (at, len) in self.places().chain([(value.len(), 0)]) {
            if let Some(piece) = value.get(from..at).filter(|piece| !piece.is_empty()) {
                pieces.push((from as u32, piece));
            }
            from = at + len;
        }
        pieces
    }
}
