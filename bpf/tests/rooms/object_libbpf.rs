//! What the loader makes of objects, held against libbpf: `tests/data/object/*.libbpf.txt` were written by the program
//! beside them, as root, from the objects there.

use bpf::insn::{Insn, Wide, encode};
use bpf::object::{Kernel, Object};
use bpf::program::{MapSpec, Pinning, Program, SlotInit};

struct Golden {
    maps: Vec<MapSpec>,
    /// What the kernel finds in slots: map, slot, name of what is there.
    slots: Vec<(String, u32, String)>,
    programs: Vec<GoldenProgram>,
}

struct GoldenProgram {
    name: String,
    section: String,
    ty: u32,
    /// Bytes of each slot, and the map it names; none where libbpf could not load the program.
    slots: Option<Vec<(String, Option<String>)>>,
}

/// The words after the first, in pairs of name and value.
fn value<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|w| *w == name)?;
    words.get(at + 1).copied()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn golden(text: &str) -> Golden {
    let mut golden = Golden { maps: Vec::new(), slots: Vec::new(), programs: Vec::new() };
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |name| value(&words, name).unwrap().parse().unwrap();
        let map = || MapSpec {
            name: words[1].to_owned(),
            ty: bpf::program::MapType(number("type")),
            key_size: number("key"),
            value_size: number("value"),
            max_entries: number("entries"),
            flags: u32::from_str_radix(value(&words, "flags").unwrap().trim_start_matches("0x"), 16).unwrap(),
            initial: value(&words, "initial").map(hex),
            ..MapSpec::default()
        };
        match words[0] {
            "map" => golden.maps.push(map()),
            "inner" => golden.maps.last_mut().unwrap().inner = Some(Box::new(map())),
            "slot" => golden.slots.push((words[1].to_owned(), words[2].parse().unwrap(), words[3].to_owned())),
            "program" if line.ends_with("not loaded") => golden.programs.push(GoldenProgram {
                name: words[1].to_owned(),
                section: String::new(),
                ty: 0,
                slots: None,
            }),
            "program" => golden.programs.push(GoldenProgram {
                name: words[1].to_owned(),
                section: value(&words, "section").unwrap().to_owned(),
                ty: number("type"),
                slots: Some(Vec::new()),
            }),
            bytes => {
                let slots = golden.programs.last_mut().unwrap().slots.as_mut().unwrap();
                slots.push((bytes.to_owned(), words.get(1).map(|s| (*s).to_owned())));
            }
        }
    }
    golden
}

/// What libbpf can say of a map; it does not tell what it puts into slots, and types are numbered anew.
fn shape(map: &MapSpec) -> MapSpec {
    let inner = map.inner.as_ref().map(|inner| Box::new(shape(inner)));
    MapSpec { inner, slots: Vec::new(), pinning: Pinning::None, key_type: None, value_type: None, ..map.clone() }
}

/// Slots of a program's maps in the form of the golden text.
fn filled(program: &Program) -> Vec<(String, u32, String)> {
    let named = |init: &SlotInit| match init {
        SlotInit::Map(map) => program.maps[map.0 as usize].name.clone(),
        SlotInit::Program(name) => name.clone(),
    };
    let slots =
        |m: &MapSpec| m.slots.iter().map(|(slot, init)| (m.name.clone(), *slot, named(init))).collect::<Vec<_>>();
    program.maps.iter().flat_map(slots).collect()
}

/// A program in the form of the golden text.
fn slots(program: &Program) -> Vec<(String, Option<String>)> {
    let raw = encode(&program.insns).unwrap();
    let names = program.insns.iter().map(|insn| match insn {
        Insn::LoadImm64 { value: Wide::Map(map) | Wide::MapValue { map, .. }, .. } => {
            Some(program.maps[map.0 as usize].name.clone())
        }
        _ => None,
    });
    raw.into_iter()
        .zip(names)
        .map(|(mut raw, name)| {
            if name.is_some() {
                raw.imm = 0;
            }
            (raw.to_le_bytes().iter().map(|b| format!("{b:02x}")).collect(), name)
        })
        .collect()
}

/// Compares all programs that libbpf could load; those in `refused` are not supported here, with the code.
fn compare(name: &str, bytes: &[u8], text: &str, refused: &[(&str, &str)]) {
    compare_for(name, bytes, text, refused, &Kernel::default());
}

fn compare_for(name: &str, bytes: &[u8], text: &str, refused: &[(&str, &str)], kernel: &Kernel) {
    let object = Object::parse(bytes).unwrap().named(name);
    let golden = golden(text);
    let mut loaded = 0;
    for theirs in &golden.programs {
        let ours = object.program_for(Some(&theirs.name), None, kernel);
        if let Some((_, code)) = refused.iter().find(|(n, _)| *n == theirs.name) {
            assert_eq!(ours.unwrap_err().code, *code, "{name} {}", theirs.name);
            continue;
        }
        let Some(their_slots) = &theirs.slots else { continue };
        let ours = ours.unwrap_or_else(|e| panic!("{name} {}: {e}", theirs.name));
        assert_eq!((&ours.name, &ours.section, ours.ty.number()), (&theirs.name, &theirs.section, theirs.ty));
        assert_eq!(&slots(&ours), their_slots, "{name} {}", theirs.name);
        // The maps that the program names, and those in their slots, in libbpf's order.
        let names: Vec<&String> = their_slots.iter().filter_map(|(_, n)| n.as_ref()).collect();
        let slots = golden.slots.iter().filter(|(map, ..)| names.contains(&map)).cloned();
        let slots: Vec<(String, u32, String)> = slots.collect();
        let used = |m: &&MapSpec| names.contains(&&m.name) || slots.iter().any(|(.., n)| *n == m.name);
        let maps: Vec<MapSpec> = golden.maps.iter().filter(used).cloned().collect();
        assert_eq!(ours.maps.iter().map(shape).collect::<Vec<_>>(), maps, "{name} {}", theirs.name);
        assert_eq!(filled(&ours), slots, "{name} {}", theirs.name);
        loaded += 1;
    }
    assert_eq!(object.programs().len(), golden.programs.len());
    assert!(loaded > 0 || golden.programs.iter().all(|p| p.slots.is_none()));
}

macro_rules! objects {
    ($($test:ident $name:literal $refused:expr;)*) => {$(
        #[test]
        fn $test() {
            let bytes = include_bytes!(concat!("../data/object/", $name, ".bpf.o"));
            let text = include_str!(concat!("../data/object/", $name, ".libbpf.txt"));
            compare($name, bytes, text, &$refused);
        }
    )*};
}

objects! {
    functions_that_are_called_are_put_where_libbpf_puts_them "calls" [];
    global_data_becomes_the_maps_that_libbpf_makes "data" [];
    maps_are_described_as_libbpf_describes_them "maps" [];
    programs_are_put_into_slots_as_libbpf_does "jumps" [];
    maps_are_put_into_slots_as_libbpf_does "nested" [];
    every_kind_of_type_is_read "types" [];
    relocations_are_answered_as_libbpf_does "relocated" [];
    relocations_of_known_layouts_are_answered "core" [];
    symbols_from_outside_are_refused "externs" [
        ("symbol", "object-kconfig"), ("function", "object-extern")];
}

/// With the configuration that libbpf was given.
#[test]
fn the_kernels_configuration_is_laid_out_as_libbpf_does() {
    let mut kernel = Kernel::default();
    kernel.read_config(include_str!("../data/object/weak.config")).unwrap();
    let bytes = include_bytes!("../data/object/weak.bpf.o");
    compare_for("weak", bytes, include_str!("../data/object/weak.libbpf.txt"), &[], &kernel);
}
