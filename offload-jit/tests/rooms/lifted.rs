//! Refusals name what lifts them: a card with that takes the program.
//!
//! [`Rule::lifted_by`] is the table, by names of a card's capabilities. The programs are those of the scenarios and generated
//! ones, on a card that is short of everything and on the Agilio, and with `OBJECTS` in the environment those of the objects
//! below that directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bpf::facts::Facts;
use bpf::object::{Object, ProgramEntry};
use bpf::program::ProgType;
use bpf::verifier::VerifiedProgram;
use nic_model::profile::{self, Capabilities, Rules};
use offload_jit::{Cause, Mode, Rule, judge};

use crate::differential::generate;
use crate::passes::{objects, verified};

/// Generated programs of either kind.
const GENERATED: u64 = 6;

fn card(name: &str) -> Capabilities {
    profile::builtin(name).expect("it comes with the project").capabilities
}

/// Gives a card more of a capability than any program asks for, or what the widest firmware has of it.
fn lift(card: &mut Capabilities, name: &str) {
    let open = self::card("open-npu");
    match name {
        "rules" => card.rules.value = Rules::Best,
        "program_types" => card.program_types = open.program_types,
        "helpers" => card.helpers = open.helpers,
        "random" => card.random.value = true,
        "adjust_head" => card.adjust_head = open.adjust_head,
        "adjust_tail" => card.adjust_tail.value = true,
        "queue_select" => card.queue_select.value = true,
        "map_types" => card.map_types = open.map_types,
        "map_flags" => card.map_flags = open.map_flags,
        "map_stores" => card.map_stores.value = true,
        "map_value_addresses" => card.map_value_addresses.value = true,
        "atomics" => card.atomics = open.atomics,
        "max_maps" => card.max_maps.value = u32::MAX,
        "max_elements" => card.max_elements.value = u64::MAX,
        "max_key" => card.max_key.value.0 = 1 << 30,
        "max_value" => card.max_value.value.0 = 1 << 30,
        "max_element" => card.max_element.value.0 = 1 << 31,
        "max_instructions" => card.max_instructions = open.max_instructions,
        "stack" => card.stack.value.0 = 4096,
        "packet_reach" => card.packet_reach.value.0 = 1 << 20,
        other => panic!("a card has no capability `{other}`"),
    }
}

/// What became of a program.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// After what these rules name had been lifted.
    Lifted(BTreeSet<Rule>),
    /// Rules left when everything that was named had been lifted, and what they say.
    Refused(BTreeMap<Rule, String>),
}

fn outcome(program: &VerifiedProgram, card: &Capabilities) -> Outcome {
    let facts = Facts::of(program);
    let (mut card, mut lifted, mut given) = (card.clone(), BTreeSet::new(), BTreeSet::<&str>::new());
    loop {
        let Err(refusals) = judge(program, &facts, &card, Mode::of(&card)).image else {
            return if lifted.is_empty() { Outcome::Taken } else { Outcome::Lifted(lifted) };
        };
        let names: BTreeSet<&str> = refusals.iter().flat_map(|refusal| refusal.rule.lifted_by()).copied().collect();
        let before = given.len();
        given.extend(names.iter().copied());
        if given.len() == before {
            let what = |refusal: &offload_jit::Refusal| {
                let diagnostic = &refusal.diagnostic;
                (refusal.rule, format!("{} ({})", diagnostic.reason, diagnostic.actual.clone().unwrap_or_default()))
            };
            return Outcome::Refused(refusals.iter().map(what).collect());
        }
        names.into_iter().for_each(|name| lift(&mut card, name));
        lifted.extend(refusals.iter().map(|refusal| refusal.rule));
    }
}

/// Rules by which the widest card still refuses, and of what: that no number or feature of a card's lifts.
const LEFT: [(Rule, &str); 9] = [
    (Rule::Opcode, "instructions that have no translation, as may_goto"),
    (Rule::Helper, "helpers of the host's stack, sockets and tags, and those that call the program"),
    (Rule::KernelFunction, "functions of the kernel"),
    (Rule::FunctionAddress, "functions that are called by address"),
    (Rule::PointerKind, "memory of the host's"),
    (Rule::Context, "fields that are known behind the program only"),
    (Rule::MapType, "maps of what is the host's, as its sockets"),
    (Rule::TcExit, "verdicts that classify again"),
    (Rule::Length, "more words than branches can address"),
];

/// Every XDP and tc program of an object that the verifier accepts.
fn programs(path: &Path) -> Vec<(String, VerifiedProgram)> {
    let Some(object) = std::fs::read(path).ok().and_then(|bytes| Object::parse(&bytes).ok()) else { return Vec::new() };
    let file = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let program = |entry: &ProgramEntry| {
        let program = object.program(Some(&entry.name), None).ok()?;
        let hook = matches!(program.ty, ProgType::Xdp | ProgType::SchedCls | ProgType::SchedAct);
        Some((format!("{file} {}", entry.name), verified(program).filter(|_| hook)?))
    };
    object.programs().iter().filter_map(program).collect()
}

/// A card that has nothing.
fn short() -> Capabilities {
    let mut short = card("open-npu");
    short.program_types.value.clear();
    short.helpers.value.clear();
    short.map_types.value.clear();
    short.map_flags.value = 0;
    (short.max_maps.value, short.max_elements.value) = (0, 0);
    (short.max_key.value.0, short.max_value.value.0, short.max_element.value.0) = (0, 0, 0);
    (short.max_instructions.value, short.stack.value.0, short.packet_reach.value.0) = (1, 0, 0);
    (short.map_stores.value, short.map_value_addresses.value) = (false, false);
    short.atomics.value.clear();
    short
}

/// Lifts what is refused of each program on each card; says how many were taken, lifted and left.
fn lift_all(programs: &[(String, VerifiedProgram)], cards: &[(&str, Capabilities)]) -> BTreeSet<Rule> {
    let mut counts: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    let (mut rules, mut unnamed) = (BTreeSet::new(), Vec::new());
    for (name, program) in programs {
        let hook = if program.program().ty == ProgType::Xdp { "xdp" } else { "tc" };
        for (on, card) in cards {
            let count = counts.entry((on, hook)).or_default();
            match outcome(program, card) {
                Outcome::Taken => count[0] += 1,
                Outcome::Lifted(by) => {
                    count[1] += 1;
                    println!("{on}, {name}: lifted {by:?}");
                    rules.extend(by);
                }
                Outcome::Refused(left) => {
                    count[2] += 1;
                    println!("{on}, {name}: {left:?}");
                    if left.keys().any(|rule| LEFT.iter().all(|(known, _)| known != rule)) {
                        unnamed.push(format!("{on}, {name}: {left:?}"));
                    }
                }
            }
        }
    }
    for ((on, hook), [taken, lifted, refused]) in counts {
        println!("{on}, {hook}: {taken} taken, {lifted} with what is named lifted, {refused} not by any card");
    }
    assert!(unnamed.is_empty(), "what is named lifts nothing:\n{}", unnamed.join("\n"));
    rules
}

#[test]
fn what_a_refusal_names_lifts_it() {
    let mut paths: Vec<PathBuf> = Vec::new();
    objects(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs"), &mut paths);
    let mut all: Vec<_> = paths.iter().flat_map(|path| programs(path)).collect();
    for (seed, wide) in (0..GENERATED).flat_map(|seed| [(seed, false), (seed, true)]) {
        all.extend(verified(generate::program(seed, wide)).map(|program| (format!("seed {seed}, {wide}"), program)));
    }
    let rules = lift_all(&all, &[("short", short()), ("agilio-cx-2x40", card("agilio-cx-2x40"))]);
    let sizes = Rule::ALL.iter().filter(|rule| rule.cause() == Cause::Size);
    let missing: Vec<_> = sizes.filter(|rule| !rules.contains(rule)).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
    assert!(rules.len() >= 20, "only these were met: {rules:?}");
}

#[test]
fn rules_name_capabilities() {
    for rule in Rule::ALL {
        rule.lifted_by().iter().for_each(|name| lift(&mut short(), name));
        assert!(rule.cause() == Cause::Feature || rule.lifted_by().len() == 1, "{rule} is about one number");
    }
}

#[test]
fn objects_of_others() {
    let Some(dir) = std::env::var_os("OBJECTS") else {
        println!("objects_of_others: skipped, OBJECTS is not set");
        return;
    };
    let mut paths = Vec::new();
    objects(Path::new(&dir), &mut paths);
    let all: Vec<_> = paths.iter().flat_map(|path| programs(path)).collect();
    lift_all(&all, &["agilio-cx-2x40", "open-npu"].map(|name| (name, card(name))));
}
