//! The maps that entries name, as the suite's own tool makes them.

use std::sync::Arc;

use bpf::btf::{Btf, TypeId};
use bpf::insn::{RawInsn, decode};
use bpf::program::{MapSpec, MapType};

use crate::kernel::{Kernel, KernelMap, KernelProg};

/// Bytes of the suite's `struct test_val`: a number and eleven more.
const TEST_VAL: u32 = 48;

/// Types of values with special fields, as an object's `.BTF` section has them.
pub struct Types {
    pub bytes: Vec<u8>,
    pub btf: Arc<Btf>,
}

/// Numbers of the types in [`types`].
const INT: u32 = 1;
const LOCKED: u32 = 3;
const TIMED: u32 = 5;

/// `int`, `struct bpf_spin_lock { int val; }`, `struct val { int cnt; struct bpf_spin_lock l; }`, `struct bpf_timer` of
/// 16 bytes, `struct timer { struct bpf_timer t; }`.
pub fn types() -> Types {
    let strings = b"\0int\0bpf_spin_lock\0val\0cnt\0l\0bpf_timer\0timer\0t\0";
    let name = |wanted: &str| {
        let at = strings
            .windows(wanted.len() + 2)
            .position(|w| w[0] == 0 && w[w.len() - 1] == 0 && &w[1..w.len() - 1] == wanted.as_bytes());
        at.map_or(0, |at| at as u32 + 1)
    };
    let structure = |members: u32| 4 << 24 | members;
    #[rustfmt::skip]
    let words = [
        name("int"), 1 << 24, 4, 1 << 24 | 32,
        name("bpf_spin_lock"), structure(1), 4, name("val"), INT, 0,
        name("val"), structure(2), 8, name("cnt"), INT, 0, name("l"), 2, 32,
        name("bpf_timer"), structure(0), 16,
        name("timer"), structure(1), 16, name("t"), 4, 0,
    ];
    let types: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(types);
    bytes.extend(strings);
    let btf = Arc::new(Btf::parse(&bytes).expect("the types are well formed"));
    Types { bytes, btf }
}

/// What a kind of map is; none for kinds that need more than a definition.
pub fn spec(kind: &str) -> Option<MapSpec> {
    let plain = |ty, key_size, value_size, max_entries| {
        Some(MapSpec { ty: MapType(ty), key_size, value_size, max_entries, ..MapSpec::default() })
    };
    let typed = |spec: Option<MapSpec>, value| {
        spec.map(|s| MapSpec { key_type: Some(TypeId(INT)), value_type: Some(TypeId(value)), ..s })
    };
    match kind {
        "map_hash_8b" => plain(1, 8, 8, 1),
        "map_hash_16b" => plain(1, 8, 16, 1),
        "map_hash_48b" => plain(1, 8, TEST_VAL, 1),
        "map_array_48b" => plain(2, 4, TEST_VAL, 1),
        "prog1" => plain(3, 4, 4, 4),
        "prog2" => plain(3, 4, 4, 8),
        "map_in_map" => plain(12, 4, 4, 1).map(|s| MapSpec { inner: plain(2, 4, 4, 1).map(Box::new), ..s }),
        "map_sockmap" => plain(15, 4, 4, 1),
        "map_sockhash" => plain(18, 4, 4, 1),
        "map_xskmap" => plain(17, 4, 4, 1),
        "map_stacktrace" => plain(7, 4, 8, 1),
        "map_spin_lock" => typed(plain(2, 4, 8, 1), LOCKED),
        "map_array_ro" => plain(2, 4, TEST_VAL, 1).map(|s| MapSpec { flags: 1 << 7, ..s }),
        "map_array_wo" => plain(2, 4, TEST_VAL, 1).map(|s| MapSpec { flags: 1 << 8, ..s }),
        "map_array_small" => plain(2, 4, 1, 1),
        "sk_storage_map" => typed(plain(24, 4, 8, 0), LOCKED).map(|s| MapSpec { flags: 1, ..s }),
        "map_event_output" => plain(4, 4, 4, 1),
        "map_reuseport_array" => plain(20, 4, 8, 1),
        "map_ringbuf" => plain(27, 0, 0, 4096),
        "map_timer" => typed(plain(2, 4, 16, 1), TIMED),
        _ => None,
    }
}

/// What the suite puts into a map before it loads a program.
pub fn initial(kind: &str) -> Option<Vec<u8>> {
    if !matches!(kind, "map_array_48b" | "map_array_ro" | "map_array_wo" | "map_array_small") {
        return None;
    }
    if kind == "map_array_small" {
        return None;
    }
    let mut value = vec![0; TEST_VAL as usize];
    // (6 + 1) * sizeof(int), and foo[6].
    value[..4].copy_from_slice(&28u32.to_le_bytes());
    value[28..32].copy_from_slice(&0xabcd_ef12u32.to_le_bytes());
    Some(value)
}

/// Programs that a program array holds, kept while it is used.
pub fn fill(kernel: Kernel, kind: &str, ty: u32, map: &KernelMap) -> Vec<KernelProg> {
    let Some((simple, looping, other)) = (match kind {
        "prog1" => Some((0u32, 1u32, 2u32)),
        "prog2" => Some((7, 1, 2)),
        _ => None,
    }) else {
        return Vec::new();
    };
    let returning = |n: i32| vec![RawInsn { opcode: 0xb7, imm: n, ..RawInsn::default() }, EXIT];
    let again = vec![
        RawInsn { opcode: 0xb7, dst: 3, imm: looping as i32, ..RawInsn::default() },
        RawInsn { opcode: 0x18, dst: 2, src: 1, imm: map.fd(), ..RawInsn::default() },
        RawInsn::default(),
        RawInsn { opcode: 0x85, imm: 12, ..RawInsn::default() },
        RawInsn { opcode: 0xb7, imm: 41, ..RawInsn::default() },
        EXIT,
    ];
    debug_assert!(decode(&again).is_ok(), "the program is well formed");
    let mut kept = Vec::new();
    for (key, insns) in [(simple, returning(42)), (looping, again), (other, returning(24))] {
        let bytes: Vec<u8> = insns.iter().flat_map(|i| i.to_le_bytes()).collect();
        if let Ok(prog) = kernel.load(ty, &bytes, "GPL") {
            let _ = map.update(&key.to_le_bytes(), &prog.fd().to_le_bytes(), 0);
            kept.push(prog);
        }
    }
    kept
}

const EXIT: RawInsn = RawInsn { opcode: 0x95, dst: 0, src: 0, off: 0, imm: 0 };
