//! What a map's values hold besides data: spin locks and timers, found by their types' names.

use crate::btf::SpecialFields;
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

impl ValueFields {
    /// Those of a program's maps, and behind them those of the maps found in them.
    pub(in crate::verifier) fn of(program: &Program) -> Vec<ValueFields> {
        let fields = |spec: Option<&MapSpec>| match (spec.and_then(|s| s.value_type), &program.btf) {
            (Some(ty), Some(btf)) => {
                let SpecialFields { lock, timer } = SpecialFields::of(btf, ty);
                ValueFields { typed: true, lock, timer }
            }
            _ => ValueFields::default(),
        };
        let inner = program.maps.iter().map(|map| fields(map.inner.as_deref()));
        program.maps.iter().map(|map| fields(Some(map))).chain(inner).collect()
    }
}
