//! What the tests of this crate share.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bpf::insn::{Insn, Wide, decode_bytes};
use bpf::program::{Function, MapIndex, MapSpec, MapType, ProgType, Program};
use nic_model::profile::{self, Capabilities};
use serde::Deserialize;

/// A line of the recorded words.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub name: String,
    prog_type: u32,
    insns: String,
    maps: Vec<CaseMap>,
    fixups: Vec<CaseFixup>,
    words: Option<Vec<String>>,
    pub refused: Option<String>,
    #[serde(default)]
    pub table_ids: Vec<u32>,
    #[serde(default)]
    pub first_word_of_insn: Vec<(usize, usize)>,
}

#[derive(Debug, Deserialize)]
struct CaseMap {
    name: String,
    #[serde(rename = "type")]
    ty: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[derive(Debug, Deserialize)]
struct CaseFixup {
    insn: usize,
    map: u32,
}

impl Case {
    /// The program.
    pub fn program(&self) -> Program {
        let mut insns = decode_bytes(&unhex(&self.insns)).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        for fixup in &self.fixups {
            if let Insn::LoadImm64 { value, .. } = &mut insns[fixup.insn] {
                *value = Wide::Map(MapIndex(fixup.map));
            }
        }
        let maps = self.maps.iter().map(|map| MapSpec {
            name: map.name.clone(),
            ty: MapType(map.ty),
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            flags: 0,
            ..MapSpec::default()
        });
        let ty = ProgType::ALL.into_iter().find(|ty| ty.number() == self.prog_type).expect("a known type");
        let mut program = Program::from_insns(&self.name, ty, insns, maps.collect());
        let callees = program.insns.iter().enumerate().filter_map(|(slot, insn)| insn.function(slot));
        let callees: BTreeSet<usize> = callees.filter_map(|slot| usize::try_from(slot).ok()).collect();
        program.functions.extend(callees.into_iter().map(|start| Function::new(format!("at_{start}"), start)));
        program
    }

    /// The driver's words.
    pub fn words(&self) -> Vec<u64> {
        let words = self.words.iter().flatten();
        words.map(|word| u64::from_str_radix(word, 16).expect("words are hexadecimal")).collect()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("bytes are hexadecimal") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The recorded programs, or `None` where they are not at hand, which is said by the test's name.
pub fn shared_cases(test: &str) -> Option<Vec<Case>> {
    let Some(dir) = std::env::var_os("SHARED_DIR") else {
        println!("{test}: skipped, SHARED_DIR is not set");
        return None;
    };
    let path = PathBuf::from(dir).join("reference/nfp-driver-words.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect())
}

/// The card whose words were recorded: every helper of the driver, room for everything.
pub fn generous_card() -> Capabilities {
    let mut card = profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities;
    let helpers = [
        "map_lookup_elem",
        "map_update_elem",
        "map_delete_elem",
        "get_prandom_u32",
        "perf_event_output",
        "xdp_adjust_head",
        "xdp_adjust_tail",
    ];
    card.helpers.value = helpers.map(str::to_owned).to_vec();
    card.max_maps.value = u32::MAX;
    card.max_elements.value = u64::MAX;
    card.max_key.value.0 = 4096;
    card.max_value.value.0 = 4096;
    card.max_element.value.0 = 8192;
    card.max_instructions.value = 65535;
    card.stack.value.0 = 4096;
    card.packet_reach.value.0 = 1 << 20;
    card.random.value = true;
    card.adjust_tail.value = true;
    card.queue_select.value = true;
    let head = card.adjust_head.as_mut().expect("the card can move a packet's start");
    head.value =
        profile::AdjustHead { offset_min: 44, offset_max: 248, guaranteed_sub: 84, guaranteed_add: 112, no_meta: true };
    card
}
