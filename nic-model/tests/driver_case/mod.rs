//! The programs of the Linux driver's translator: BPF, maps, and the words that were made of it.
//!
//! `$SHARED_DIR/reference/nfp-driver-words.jsonl` has a program a line: its BPF bytes, its maps, and the words the driver
//! emitted before relocation.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bpf::env::Env;
use bpf::insn::{self, Insn, Wide};
use bpf::interp::{
    Code, ContextInput, Engine, EngineConfig, MemAccess, MemAccessKind, Observer, RunInput, SkbFields, XdpFields,
};
use bpf::maps::MapId;
use bpf::memory::RegionKind;
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use nic_model::firmware::{CodeLayout, Entry};
use nic_model::isa::{Op, decode, encode, with_ecc};
use nic_model::memory::{Memories, TableId};
use serde_json::Value;

const FILE: &str = "reference/nfp-driver-words.jsonl";
/// Words after the program that are no part of it (Linux nfp driver, `jit.c`).
const TRAILING_NOPS: usize = 8;

/// Programs whose words do something else than the program says, with what the words show to be the cause. A name that
/// ends in `x` stands for all that begin so.
const KNOWN: [(&str, &str); 10] = [
    ("add64_ri_-2147483648", "the driver turns adding -2^31 into subtracting it: it has no positive counterpart"),
    ("sub64_ri_-2147483648", "likewise"),
    ("jlt64_ri_-2147483648", "likewise: it adds -2^31 instead of subtracting it"),
    ("jslt32_ri_-2147483648", "likewise"),
    ("lsh64_rr_unknown", "the high half is shifted by 32 - n, of which the shifter sees five bits: 0 for n = 0"),
    ("lsh64_rr_lt32", "likewise"),
    ("adjust_head_-100", "the firmware leaves less room in front of a packet than the kernel"),
    ("adjust_tail_0", "growing by 0 carries nothing, which the words take for an overflow"),
    ("memcpy_4x", "after a copy of 4-byte loads the last load's register gets the first word, not the last"),
    ("memcpy_map_4x", "likewise"),
];

/// Whether a program is one of [`KNOWN`].
pub fn known(name: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == name || known.ends_with('x') && name.starts_with(known))
}

/// The programs that the driver has translated; `None` where they are not at hand, and then `test` is said to be skipped.
pub fn cases(test: &str) -> Option<Vec<Case>> {
    let Some(dir) = std::env::var_os("SHARED_DIR") else {
        println!("skipped: {test}: SHARED_DIR is not set, the words of the Linux driver are not at hand");
        return None;
    };
    let path = std::path::Path::new(&dir).join(FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    Some(lines.filter(|line| line.get("refused").is_none_or(Value::is_null)).map(|line| Case::new(&line)).collect())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().expect("a number")).expect("32 bits")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A small generator of test data; what it yields does not matter, only that it repeats.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        // Now and then bytes that sit at the edges of comparisons and carries.
        (0..len)
            .map(|_| match self.next() >> 61 {
                0 => 0,
                1 => 0xff,
                2 => 0x80,
                _ => (self.next() >> 40) as u8,
            })
            .collect()
    }
}

fn map_spec(i: usize, map: &Value) -> MapSpec {
    MapSpec {
        name: format!("map{i}"),
        ty: MapType(number(&map["type"])),
        key_size: number(&map["key_size"]),
        value_size: number(&map["value_size"]),
        max_entries: number(&map["max_entries"]),
        flags: 0,
        ..MapSpec::default()
    }
}

/// The program, with its map references resolved.
fn program(line: &Value, specs: &[MapSpec]) -> Program {
    let mut insns = insn::decode_bytes(&bytes(line["insns"].as_str().expect("text"))).expect("the driver took it");
    for fixup in list(&line["fixups"]) {
        let (slot, map) = (number(&fixup["insn"]) as usize, number(&fixup["map"]));
        if let Insn::LoadImm64 { value, .. } = &mut insns[slot] {
            *value = Wide::Map(MapIndex(map));
        }
    }
    let ty = if line["prog_type"] == 6 { ProgType::Xdp } else { ProgType::SchedCls };
    Program::from_insns(line["name"].as_str().expect("text"), ty, insns, specs.to_vec())
}

/// Where a branch out of the body goes.
#[derive(Clone, Copy, PartialEq)]
pub enum Out {
    /// To the program's own epilogue.
    Epilogue,
    /// Straight to the firmware, which then sees R0 where the result word would be.
    Firmware,
}

/// Relocation by the tags in bits 56 to 63 (Linux nfp driver, `main.h`); `Err` names a helper that this firmware has no door for.
pub fn link(words: &[u64], layout: &CodeLayout, out: Out) -> Result<Vec<u64>, u32> {
    let done = layout.address(Entry::Done).expect("firmware has it");
    let tag = |word: u64| word >> 56;
    // The epilogue begins with the abort path: a branch to the firmware and its two deferred slots. The normal exit
    // follows, up to its own such branch; behind that stand the subroutines that save and restore registers.
    let mut ends = words.iter().enumerate().filter(|(_, word)| tag(**word) == 6).map(|(i, _)| i);
    let abort = ends.next().expect("an epilogue");
    let exit = abort + 3;
    let push = ends.next().expect("a normal exit") + 3;
    let pop = push + (words.len() - TRAILING_NOPS - push) / 2;
    let branch = |word: u64| (word >> 22 & 0x1fff | (word >> 40 & 1) << 13) as u16;
    let to = |word: u64, address: u16| {
        let address = u64::from(address);
        word & !(0x1fff << 22 | 1 << 40) | (address & 0x1fff) << 22 | (address >> 13 & 1) << 40
    };
    let own = |index: usize| layout.start + index as u16;
    let mut linked = Vec::new();
    for &word in words {
        let payload = word & ((1 << 56) - 1);
        linked.push(with_ecc(match tag(word) {
            0 => payload,
            1 => to(payload, own(branch(payload).into())),
            2 if out == Out::Epilogue => to(payload, own(exit)),
            2 | 6 => to(payload, done),
            3 => to(payload, own(abort)),
            4 => to(payload, own(push)),
            5 => to(payload, own(pop)),
            7 => {
                let helper = u32::from(branch(payload)) - 15_000;
                let door = Entry::of_helper(helper).and_then(|entry| layout.address(entry)).ok_or(helper)?;
                to(payload, door)
            }
            8 => {
                // A return address, relative to the program.
                let Ok(Op::Immed(mut immed)) = decode(payload) else { panic!("no immed: {payload:#x}") };
                immed.load.value += layout.start;
                encode(&immed.into()).expect("two bytes")
            }
            other => panic!("relocation {other}"),
        }));
    }
    Ok(linked)
}

/// Notes which bytes of maps are changed by atomic operations.
#[derive(Default)]
struct Atomics(BTreeSet<(MapId, u32)>);

impl Observer for Atomics {
    const ACCESSES: bool = true;
    fn access(&mut self, access: &MemAccess, _: u64) {
        if let (MemAccessKind::Atomic, RegionKind::Map(map)) = (access.kind, access.region) {
            self.0.extend((0..access.size.bytes() / 4).map(|word| (map, access.off + 4 * word)));
        }
    }
}

/// The result word that the driver's epilogue makes of R0 (Linux nfp driver, `jit.c`), its action byte.
pub fn action(ty: ProgType, r0: u32) -> u8 {
    match (ty, r0) {
        (ProgType::Xdp, 1) => 0x22,
        (ProgType::Xdp, 2) => 0x11,
        (ProgType::Xdp, 3) => 0x44,
        (ProgType::Xdp, _) => 0x82,
        (_, 2) => 0x22,
        (_, 4 | 5) => 0x02,
        (_, 7) => 0x44,
        _ => 0x11,
    }
}

/// A translated program.
pub struct Case {
    pub name: String,
    pub ty: ProgType,
    pub code: Code,
    pub specs: Vec<MapSpec>,
    /// What the driver's device called the maps.
    pub tables: Vec<TableId>,
    pub words: Vec<u64>,
}

impl Case {
    fn new(line: &Value) -> Self {
        let specs: Vec<_> = list(&line["maps"]).iter().enumerate().map(|(i, map)| map_spec(i, map)).collect();
        let program = program(line, &specs);
        let word = |word: &Value| u64::from_str_radix(word.as_str().expect("text"), 16).expect("hex");
        Case {
            name: line["name"].as_str().expect("text").to_owned(),
            ty: program.ty,
            specs,
            code: Code::new(&program).expect("a program that the kernel took"),
            tables: list(&line["table_ids"]).iter().map(|id| TableId(number(id))).collect(),
            words: list(&line["words"]).iter().map(word).collect(),
        }
    }

    pub fn engine(&self) -> Engine {
        Engine::new(EngineConfig::default(), &self.specs).expect("maps that the kernel took")
    }

    pub fn context(&self) -> ContextInput {
        match self.ty {
            ProgType::Xdp => ContextInput::Xdp(XdpFields::default()),
            _ => ContextInput::Skb(SkbFields::default()),
        }
    }

    /// Entries that both sides start with: some keys, and zero wherever a program counts atomically.
    fn entries(&self, atomics: &BTreeMap<usize, Vec<u32>>) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
        let mut random = Random(0x1234_5678_9abc_def1);
        let mut entries = Vec::new();
        for (i, spec) in self.specs.iter().enumerate() {
            for n in 0..spec.max_entries.min(8) {
                let mut key = vec![0; spec.key_size as usize];
                key[..4].copy_from_slice(&n.to_le_bytes());
                let mut value = random.bytes(spec.value_size as usize);
                for &at in atomics.get(&i).into_iter().flatten() {
                    value[at as usize..at as usize + 4].fill(0);
                }
                entries.push((i, key, value));
            }
        }
        entries
    }

    /// Packets of all sorts of bytes; the first is too short for the programs.
    pub fn packets(&self, count: usize) -> Vec<Vec<u8>> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        (0..count)
            .map(|i| {
                let len = if i == 0 { 60 } else { 256 + (random.next() % 256) as usize };
                random.bytes(len)
            })
            .collect()
    }

    /// For each map the words of a value that the program changes atomically, found by running it on these packets.
    pub fn atomics(&self, packets: &[Vec<u8>]) -> BTreeMap<usize, Vec<u32>> {
        let mut seen = Atomics::default();
        let mut engine = self.engine();
        for (i, key, value) in self.entries(&BTreeMap::new()) {
            engine.map(MapId(i as u32)).expect("it exists").update(&key, &value, 0).expect("a key of the map");
        }
        for packet in packets {
            let mut env = Replay(VecDeque::from([1; 64]));
            engine.run(&self.code, RunInput { context: self.context(), packet }, &mut env, &mut seen);
        }
        let mut atomics: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (map, off) in seen.0 {
            let elements = engine.map(map).expect("it exists").definition().elements();
            let within = (off - elements.first) % elements.stride;
            atomics.entry(map.0 as usize).or_default().push(within);
        }
        atomics
    }

    /// The interpreter's machine with the maps filled.
    pub fn filled_engine(&self, atomics: &BTreeMap<usize, Vec<u32>>) -> Engine {
        let mut engine = self.engine();
        for (i, key, value) in self.entries(atomics) {
            engine.map(MapId(i as u32)).expect("it exists").update(&key, &value, 0).expect("a key of the map");
        }
        engine
    }

    /// Creates the maps on a card at the table ids that the driver's device gave them, and fills them.
    pub fn fill(&self, memories: &mut Memories, atomics: &BTreeMap<usize, Vec<u32>>) {
        for (i, (spec, table)) in self.specs.iter().zip(&self.tables).enumerate() {
            while memories.maps().iter().count() as u32 + 1 < table.0 {
                let filler = MapSpec { name: "other".to_owned(), ty: MapType::ARRAY, ..spec.clone() };
                let filler = MapSpec { key_size: 4, value_size: 4, max_entries: 1, ..filler };
                memories.create_map(filler, &[]).expect("room");
            }
            let words = atomics.get(&i).map_or(&[][..], Vec::as_slice);
            assert_eq!(memories.create_map(spec.clone(), words).expect("room"), *table);
        }
        for (i, key, value) in self.entries(atomics) {
            memories.user_update(self.tables[i], &key, &value, 0).expect("a key of the map");
        }
    }
}

/// Hands the interpreter the random numbers that the core has read.
#[derive(Default)]
pub struct Replay(pub VecDeque<u32>);

impl Env for Replay {
    fn now_ns(&mut self, _: u64) -> u64 {
        0
    }
    fn random_u32(&mut self) -> u32 {
        self.0.pop_front().expect("the core has read as many")
    }
    fn cpu(&self) -> u32 {
        0
    }
}
