//! Values with a spin lock or a timer in them: the types that Linux finds them by.

use bpf::btf::SpecialFields;
use bpf::program::MapSpec;

use super::kernel::{Kernel, KernelBtf, KernelMap};

const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;

/// Types for keys and values of those sizes, the value with these fields; and the numbers of the two.
pub fn types(key_size: u32, value_size: u32, fields: SpecialFields) -> (Vec<u8>, u32, u32) {
    let strings = b"\0int\0char\0bpf_spin_lock\0val\0bpf_timer\0opaque\0value\0data\0lock\0timer\0";
    let name = |name: &str| {
        let wanted = format!("\0{name}\0");
        strings.windows(wanted.len()).position(|at| at == wanted.as_bytes()).expect("the name is there") as u32 + 1
    };
    let info = |kind: u32, count: u32| kind << 24 | count;
    let mut words = Vec::new();
    let mut count = 0;
    let mut add = |ty: &[u32]| {
        words.extend_from_slice(ty);
        count += 1;
        count
    };
    let int = add(&[name("int"), info(INT, 0), 4, 32]);
    let char = add(&[name("char"), info(INT, 0), 1, 8]);
    let bytes = |add: &mut dyn FnMut(&[u32]) -> u32, len: u32| add(&[0, info(ARRAY, 0), 0, char, int, len]);
    let lock = add(&[name("bpf_spin_lock"), info(STRUCT, 1), 4, name("val"), int, 0]);
    let opaque = bytes(&mut add, 16);
    let timer = add(&[name("bpf_timer"), info(STRUCT, 1), 16, name("opaque"), opaque, 0]);
    let key = if key_size == 4 { int } else { bytes(&mut add, key_size) };
    let mut members = Vec::new();
    let mut from = 0;
    for (at, len) in fields.places().chain([(value_size as usize, 0)]) {
        let (at, len) = (at as u32, len as u32);
        if at > from {
            let data = bytes(&mut add, at - from);
            members.push([name("data"), data, 8 * from]);
        }
        match len {
            4 => members.push([name("lock"), lock, 8 * at]),
            16 => members.push([name("timer"), timer, 8 * at]),
            _ => {}
        }
        from = at + len;
    }
    let head = [name("value"), info(STRUCT, members.len() as u32), value_size];
    let value = add(&[&head[..], &members.concat()[..]].concat());
    let types: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        btf.extend(u32::to_le_bytes(word));
    }
    btf.extend(types);
    btf.extend(strings);
    (btf, key, value)
}

/// Creates a map, with types if its values have such fields.
pub fn create(kernel: Kernel, spec: &MapSpec) -> Result<KernelMap, i32> {
    if !spec.fields.any() {
        return kernel.create(spec);
    }
    let (bytes, key, value) = types(spec.key_size, spec.value_size, spec.fields);
    let btf: KernelBtf = kernel.load_btf(&bytes)?;
    kernel.create_typed(spec, Some((&btf, key, value)))
}
