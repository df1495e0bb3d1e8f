//! Programs to the compiler: what verifies is translated for every card in every mode, or refused by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bpf::facts::Facts;
use bpf::insn::decode_bytes;
use bpf::program::{MapSpec, MapType, ProgType, Program};
use bpf::verifier::{self, Options};
use nic_model::isa::{PAYLOAD, assemble, decode, disassemble};
use nic_model::profile::{self, Capabilities};
use offload_jit::{Firmware, Image, Mode, Refusal, compile, compile_unoptimised};

static CARDS: LazyLock<Vec<Capabilities>> = LazyLock::new(|| {
    ["agilio-cx-2x40", "open-npu"]
        .map(|name| profile::builtin(name).expect("it comes with the project").capabilities)
        .into()
});

/// Instructions of a program that is looked at.
const LONGEST: usize = 256;

/// Maps that programs may name, by their place.
fn maps() -> Vec<MapSpec> {
    let map = |ty, key_size, value_size, max_entries| MapSpec {
        name: format!("map{ty}"),
        ty,
        key_size,
        value_size,
        max_entries,
        ..MapSpec::default()
    };
    vec![
        map(MapType::ARRAY, 4, 16, 8),
        map(MapType::HASH, 8, 16, 16),
        map(MapType::HASH, 8, 8, 16),
        map(MapType::ARRAY, 4, 32, 1),
        MapSpec { flags: bpf::maps::BPF_F_NO_PREALLOC, ..map(MapType::LPM_TRIE, 8, 8, 32) },
        map(MapType::LRU_HASH, 8, 8, 8),
        map(MapType::PERCPU_ARRAY, 4, 8, 4),
        map(MapType::PERF_EVENT_ARRAY, 4, 4, 4),
        map(MapType::RINGBUF, 0, 0, 65536),
        map(MapType::DEVMAP, 4, 4, 8),
        map(MapType::PROG_ARRAY, 4, 4, 4),
    ]
}

/// The first byte says the program's type, the others are slots; a map is named by its place.
pub fn program(data: &[u8]) {
    let Some((&first, slots)) = data.split_first() else { return };
    let Ok(insns) = decode_bytes(slots) else { return };
    if insns.len() > LONGEST {
        return;
    }
    let ty = [ProgType::Xdp, ProgType::SchedCls, ProgType::SchedAct, ProgType::SocketFilter][usize::from(first) % 4];
    let options = Options { device_bound: ty == ProgType::Xdp, ..Options::default() };
    let program = Program::from_insns("fuzzed", ty, insns, maps());
    let Some(verified) = verifier::verify(program, &options).accepted() else { return };
    let facts = Facts::of(&verified);
    for card in CARDS.iter() {
        for mode in Mode::ALL {
            judge(compile(&verified, &facts, card, mode));
        }
        judge(compile_unoptimised(&verified, &facts, card, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    }
}

fn judge(compiled: Result<Image, Vec<Refusal>>) {
    let image = match compiled {
        Ok(image) => image,
        Err(refusals) => {
            assert!(!refusals.is_empty(), "a refusal has a reason");
            refusals.iter().for_each(|refusal| drop(refusal.to_string()));
            return;
        }
    };
    drop(image.listing().to_string());
    for word in image.words() {
        decode(*word).unwrap_or_else(|e| panic!("{e}"));
    }
    let words = image.words().to_vec();
    let text = disassemble(&words).to_string();
    assert_eq!(assemble(&text, "listing").unwrap_or_else(|e| panic!("{text}{e}")), words);
    let linked = image.link(&doors()).unwrap_or_else(|e| panic!("{e}"));
    assert!(linked.iter().all(|word| decode(word & PAYLOAD).is_ok()));
}

/// A firmware that has every door.
fn doors() -> Firmware {
    let ids = || 1..300u32;
    Firmware {
        start: 1_000,
        done: 1,
        helpers: ids().map(|id| (id, 2)).collect::<BTreeMap<_, _>>(),
        routines: ids().map(|id| (id, 3)).collect(),
        atomic: Some(4),
        values: ids().map(|table| (table, 0x1000 * u64::from(table))).collect(),
    }
}
