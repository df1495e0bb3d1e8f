//! Whether the runs beside the kernel's have called every helper and used every kind of map.
//!
//! With `COVERAGE=FILE` set those tests write down what they cover; then this one, with the same setting, prints the table and
//! fails for what is missing. `COVERAGE_RUNS` says how many runs there must be.

use std::collections::BTreeMap;

use bpf::helpers::signature::signature;
use bpf::helpers::{HELPERS, name, proto};
use bpf::maps::KINDS;
use bpf::program::ProgType;

/// Helpers whose answers are the machine's own: what a clock shows, what is random, who runs, what hangs on a secret drawn at
/// boot, what is printed. Tests of their own hold those.
const OWN: [(&str, &[u32]); 6] = [
    ("a clock", &[5, 118, 125, 160, 208]),
    ("random", &[7]),
    ("the task or processor at work", &[8, 14, 15, 16, 17, 42, 80]),
    ("a secret of the machine's", &[100, 110, 204, 205, 206, 207]),
    ("printed, not answered", &[6, 177]),
    ("a cookie or a group that a machine numbers", &[33, 46, 47, 79, 83, 122, 151]),
];

#[test]
fn every_helper_and_kind_has_run() {
    let Some(path) = std::env::var_os("COVERAGE") else {
        eprintln!("SKIPPED every_helper_and_kind_has_run: COVERAGE names no file of runs");
        return;
    };
    let text = std::fs::read_to_string(&path).expect("the file that COVERAGE names");
    let (mut runs, mut programs) = (0u64, 0u64);
    let (mut helpers, mut kinds): (BTreeMap<u32, u64>, BTreeMap<u32, u64>) = Default::default();
    for line in text.lines() {
        let mut parts = line.split('|');
        let mut part = || parts.next().expect("three parts");
        let times: u64 = part().parse().expect("a number of runs");
        (runs, programs) = (runs + times, programs + 1);
        for (id, times) in part().split_whitespace().filter_map(|word| word.split_once(':')) {
            *helpers.entry(id.parse().expect("a helper")).or_default() +=
                times.parse::<u64>().expect("a number of calls");
        }
        for kind in part().split_whitespace() {
            *kinds.entry(kind.parse().expect("a kind")).or_default() += times;
        }
    }
    println!("{programs} programs, {runs} runs beside the kernel's");
    let mut missing = Vec::new();
    for row in &HELPERS {
        let name = name(row.id).expect("rows have names");
        let own = OWN.iter().find(|(_, ids)| ids.contains(&row.id));
        let times = helpers.get(&row.id).copied().unwrap_or(0);
        println!("{times:>12}  {name}{}", own.map_or(String::new(), |(why, _)| format!("  ({why})")));
        if times == 0 && own.is_none() {
            missing.push(name);
        }
    }
    for kind in &KINDS {
        let times = kinds.get(&kind.ty.0).copied().unwrap_or(0);
        println!("{times:>12}  map {}", kind.ty);
        // No helper that takes a map of stack traces or sockets may be called by the types of programs here.
        let callable = |id: &u32| {
            proto(*id).is_some()
                && ProgType::ALL.iter().any(|ty| signature(*id, *ty).is_some_and(|row| row.allows(*ty)))
        };
        if times == 0 && kind.helpers.iter().any(callable) {
            missing.push(format!("map {}", kind.ty));
        }
    }
    let least = std::env::var("COVERAGE_RUNS").map_or(0, |text| text.parse().expect("a number"));
    assert!(missing.is_empty(), "never covered: {}", missing.join(", "));
    assert!(runs >= least, "{runs} runs of {least}");
}
