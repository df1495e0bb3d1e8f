//! What a map's values hold besides data: spin locks and timers, found by their types' names.

use crate::btf::{Btf, Kind, TypeId};
use crate::program::{MapSpec, Program};

/// Where the special fields of a map's value lie, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::verifier) struct ValueFields {
    /// The value has a type.
    pub typed: bool,
    /// `struct bpf_spin_lock`, 4 bytes.
    pub lock: Option<u32>,
    /// `struct bpf_timer`, 16 bytes.
    pub timer: Option<u32>,
}

/// Deeper structures than Linux looks into.
const MAX_DEPTH: u32 = 8;

impl ValueFields {
    /// Those of a program's maps, and behind them those of the maps found in them.
    pub(in crate::verifier) fn of(program: &Program) -> Vec<ValueFields> {
        let fields = |spec: Option<&MapSpec>| match (spec.and_then(|s| s.value_type), &program.btf) {
            (Some(ty), Some(btf)) => {
                let mut out = ValueFields { typed: true, ..ValueFields::default() };
                out.find(btf, ty, 0, MAX_DEPTH);
                out
            }
            _ => ValueFields::default(),
        };
        let inner = program.maps.iter().map(|map| fields(map.inner.as_deref()));
        program.maps.iter().map(|map| fields(Some(map))).chain(inner).collect()
    }

    fn find(&mut self, btf: &Btf, ty: TypeId, at: u32, depth: u32) {
        let Some(t) = btf.resolve(ty).map(|id| btf.get(id)) else { return };
        let members = match &t.kind {
            Kind::Struct { members, .. } => members,
            Kind::DataSec { vars, .. } if depth > 0 => {
                for var in vars {
                    if let Kind::Var { ty, .. } = btf.get(var.var).kind {
                        self.find(btf, ty, at + var.offset, depth - 1);
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
                    self.find(btf, member.ty, at + member.bit_offset / 8, depth - 1);
                }
            }
            _ => {}
        }
    }
}
