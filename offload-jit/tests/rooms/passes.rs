//! What mode best's passes bring: words of the program's own instructions, beside the Linux driver's, and cycles a packet.
//!
//! The programs are those of the scenarios, generated ones, and with `OBJECTS` in the environment those of the objects below
//! that directory. `docs/passes.md` has the table that comes out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bpf::facts::Facts;
use bpf::object::Object;
use bpf::program::{ProgType, Program};
use bpf::verifier::{self, Options, Verdict, VerifiedProgram};
use nic_model::profile::Capabilities;
use offload_jit::{Gains, Image, Mode, judge};

use crate::common;
use crate::differential::{self, Pair, Rng, generate, packets};

/// Words of the driver's that mode best may need, in percent, over all programs.
const MOST_WORDS: usize = 85;
/// Generated programs beside the real ones.
const GENERATED: u64 = 60;
/// Packets each program is timed on.
const PACKETS: u64 = 50;

/// A program that both modes take.
struct Row {
    name: String,
    slots: usize,
    driver: usize,
    gains: Gains,
    /// Cycles of a core on the packets, in both modes; nothing for what is not run here.
    cycles: Option<[u64; 2]>,
}

/// Objects below a directory, in order.
pub fn objects(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            objects(&path, found);
        } else if path.extension().is_some_and(|end| end == "o" || end == "elf") {
            found.push(path);
        }
    }
}

pub fn verified(program: Program) -> Option<VerifiedProgram> {
    [false, true].into_iter().find_map(|device_bound| {
        match verifier::verify(program.clone(), &Options { device_bound, ..Options::default() }) {
            Verdict::Accepted(verified) => Some(verified),
            _ => None,
        }
    })
}

/// Cycles of a core on a few packets, where every memory answers at once.
fn cycles(program: &VerifiedProgram, images: [&Image; 2]) -> Option<[u64; 2]> {
    if program.program().ty != ProgType::Xdp {
        return None;
    }
    let mut sums = [0; 2];
    for (sum, image) in sums.iter_mut().zip(images) {
        let mut pair = Pair::new(program.program(), image, &[]).ok()?;
        let mut rng = Rng::new(11);
        for _ in 0..PACKETS {
            pair.compare(&packets::packet(&mut rng)).ok()?;
        }
        *sum = pair.cycles();
    }
    Some(sums)
}

fn row(name: String, program: &VerifiedProgram, card: &Capabilities) -> Option<Row> {
    let facts = Facts::of(program);
    let [driver, best] = Mode::ALL.map(|mode| judge(program, &facts, card, mode));
    let (driver, image) = (driver.image.ok()?, best.image.ok()?);
    let gains = best.gains.expect("what has an image has been through the passes");
    assert_eq!(gains.words, image.body_words(), "{name}: the passes count what the image has");
    let cycles = cycles(program, [&driver, &image]);
    Some(Row { name, slots: program.program().insns.len(), driver: driver.body_words(), gains, cycles })
}

/// The programs of an object that both modes take, each once.
fn rows(path: &Path, card: &Capabilities, seen: &mut BTreeSet<Vec<u8>>) -> Vec<Row> {
    let Ok(object) = std::fs::read(path).map_err(|_| ()).and_then(|bytes| Object::parse(&bytes).map_err(|_| ())) else {
        return Vec::new();
    };
    let stem = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let stem = stem.trim_end_matches(".o").trim_end_matches(".bpf").to_owned();
    let mut rows = Vec::new();
    for entry in object.programs() {
        let Ok(program) = object.program(Some(&entry.name), None) else { continue };
        let text: String = program.insns.iter().map(|insn| format!("{insn:?}")).collect();
        if !seen.insert(text.into_bytes()) {
            continue;
        }
        if let Some(verified) = verified(program) {
            rows.extend(row(format!("{stem} {}", entry.name), &verified, card));
        }
    }
    rows
}

fn table(rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.gains.passes) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let mut text = String::from("| program | slots | driver | plain |");
    for name in &names {
        let _ = write!(text, " {name} |");
    }
    let _ = writeln!(text, " best | of driver | cycles, driver | cycles, best |");
    let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len() + 7));
    for row in rows {
        let _ = write!(text, "| {} | {} | {} | {} |", row.name, row.slots, row.driver, row.gains.plain);
        for name in &names {
            let change = row.gains.passes.iter().find(|(known, _)| known == name).map_or(0, |(_, change)| *change);
            let _ = write!(text, " {change} |");
        }
        let per = |cycles: u64| format!("{}.{}", cycles / PACKETS, cycles * 10 / PACKETS % 10);
        let [driver, best] = row.cycles.map_or(["-".to_owned(), "-".to_owned()], |both| both.map(per));
        let share = row.gains.words * 1000 / row.driver.max(1);
        let _ = writeln!(text, " {} | {}.{:03} | {driver} | {best} |", row.gains.words, share / 1000, share % 1000);
    }
    text
}

fn sum(rows: &[Row]) -> (usize, usize) {
    (rows.iter().map(|row| row.gains.words).sum(), rows.iter().map(|row| row.driver).sum())
}

/// Holds the table of `docs/passes.md` against the programs of the scenarios, and the sums below it against those and the
/// generated ones; with `BLESS` set, writes them.
fn documented(rows: &[Row], generated: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/passes.md");
    let text = std::fs::read_to_string(&path).expect("it is part of the project");
    let part = |text: &str, begin: &str, end: &str| {
        let begin = text.find(begin).unwrap_or_else(|| panic!("docs/passes.md has no line `{begin}`"));
        begin..begin + text[begin..].find(end).expect("the line has an end") + 1
    };
    let mut now = text.clone();
    now.replace_range(part(&now, "| program |", "\n\n"), &table(rows));
    for (name, rows) in [("scenarios, as above", rows), (&format!("generated, {GENERATED}"), generated)] {
        let ((words, drivers), line) = (sum(rows), format!("| {name} |"));
        let share = words as f64 / drivers as f64;
        now.replace_range(part(&now, &line, "\n"), &format!("{line} {words} | {drivers} | {share:.2} |\n"));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, now).expect("the project can be written");
    } else {
        assert_eq!(text, now, "docs/passes.md says otherwise; set BLESS to write it anew");
    }
}

#[test]
fn passes_bring_what_is_asked() {
    let card = common::generous_card();
    let mut paths = Vec::new();
    objects(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs"), &mut paths);
    let others = std::env::var_os("OBJECTS");
    if let Some(dir) = &others {
        objects(Path::new(dir), &mut paths);
    }
    let mut seen = BTreeSet::new();
    let real: Vec<Row> = paths.iter().flat_map(|path| rows(path, &card, &mut seen)).collect();
    let generated: Vec<Row> = (0..GENERATED)
        .filter_map(|seed| {
            let program = verified(generate::program(seed, false))?;
            let mut row = row(format!("seed {seed}"), &program, &differential::card())?;
            // What random instructions cost is no measure.
            row.cycles = None;
            Some(row)
        })
        .collect();
    if others.is_none() {
        documented(&real, &generated);
    }
    for (what, rows) in [("real", &real), ("generated", &generated)] {
        let (words, drivers) = sum(rows);
        println!("{}{} {what} programs: {words} words where the driver has {drivers}\n", table(rows), rows.len());
        assert!(words * 100 <= drivers * MOST_WORDS, "{what}: {words} words where the driver has {drivers}");
    }
    assert!(real.len() + generated.len() >= 50, "{} programs", real.len() + generated.len());
}
