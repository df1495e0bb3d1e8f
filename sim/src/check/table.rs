//! A check as text: one table of all programs, and under it every reason, object by object.

use std::fmt::Write;

use bpf::diag::show_path;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, CellAlignment, Table};
use nic_model::quantity::Bytes;
use offload_jit::Mode;

use super::report::{Answer, Error, MapBytes, ObjectReport, ProgramReport, Report};
use crate::report::grouped;

/// The report as text.
pub fn render(report: &Report) -> String {
    let mut text = format!("{}, mode {}\n", report.nic, report.mode);
    programs(&mut text, report);
    for object in report.objects.iter().filter(|object| has_reasons(object)) {
        let _ = write!(text, "\n{}\n", object.object);
        if let Some(error) = &object.error {
            describe(&mut text, "not read", error);
        }
        for program in &object.programs {
            reasons(&mut text, program);
        }
    }
    let s = &report.summary;
    let _ = writeln!(
        text,
        "\n{} of {} programs offloadable; {} refused ({} by size alone), {} rejected by the verifier, {} not supported",
        s.offloadable, s.programs, s.refused, s.refused_by_size, s.rejected, s.unsupported
    );
    if s.unreadable > 0 {
        let _ = writeln!(text, "{} of {} files could not be read", s.unreadable, s.objects);
    }
    text
}

/// Whether there is more to say of an object than its rows.
fn has_reasons(object: &ObjectReport) -> bool {
    let program =
        |program: &ProgramReport| program.error.is_some() || !program.refusals.is_empty() || !program.notes.is_empty();
    object.error.is_some() || object.programs.iter().any(program)
}

fn programs(text: &mut String, report: &Report) {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).force_no_tty();
    table.set_header(head(report));
    for object in &report.objects {
        for (n, program) in object.programs.iter().enumerate() {
            // An object is named where its rows begin.
            let name = if n == 0 { object.object.as_str() } else { "" };
            table.add_row([Cell::new(name)].into_iter().chain(row(program)));
        }
    }
    if table.is_empty() {
        return;
    }
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Bytes in the largest unit that they fill, a tenth of it at most too many.
fn rounded(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    let fills = |(_, shift): &&(&str, u32)| bytes >> shift > 0;
    let Some(&(unit, shift)) = UNITS.iter().find(fills) else { return "0 B".to_owned() };
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << shift);
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// Bytes of each memory, nearest first.
fn levels(bytes: MapBytes, show: impl Fn(u64) -> String) -> String {
    [bytes.cls, bytes.ctm, bytes.imem, bytes.emem].map(show).join(" / ")
}

/// The limits stand here, so that the rows hold what is needed of them.
fn head(report: &Report) -> Vec<String> {
    let limits = &report.limits;
    let mut head = ["object", "program", "type", "verdict", "offload"].map(str::to_owned).to_vec();
    let modes = Mode::ALL.map(Mode::id).join(" / ");
    head.extend([
        format!("words: {modes}\nof {}", grouped(limits.words)),
        format!("stack\nof {}", Bytes(limits.stack_bytes)),
        format!("packet\nof {}", Bytes(limits.packet_bytes)),
        format!("maps\nof {}", grouped(limits.maps)),
        format!("entries\nof {}", grouped(limits.map_entries)),
        format!("maps in cls / ctm / imem / emem\nof {}", levels(limits.map_bytes, |bytes| Bytes(bytes).to_string())),
        "also\ntaken by".to_owned(),
    ]);
    head
}

fn row(program: &ProgramReport) -> Vec<Cell> {
    let right = |s: String| Cell::new(s).set_alignment(CellAlignment::Right);
    let verdict = match (program.verdict, program.device_only) {
        (Answer::Accepted, true) => "accepted, device only",
        (answer, _) => answer.word(),
    };
    let offload = match (program.verdict, program.offloadable, program.refusals.len()) {
        (Answer::Accepted, true, _) => "yes".to_owned(),
        (Answer::Accepted, false, 1) => "no: 1 reason".to_owned(),
        (Answer::Accepted, false, n) => format!("no: {n} reasons"),
        _ => "-".to_owned(),
    };
    let mut cells = vec![
        Cell::new(&program.program),
        Cell::new(program.ty.as_deref().unwrap_or("-")),
        Cell::new(verdict),
        Cell::new(offload),
    ];
    let Some(need) = &program.budget else { return cells };
    let number = |n: Option<u64>| n.map_or("-".to_owned(), grouped);
    let bytes = |n: Option<u64>| right(n.map_or("-".to_owned(), rounded));
    let taken: Vec<_> = program.others.iter().filter(|card| card.offloadable).map(|card| card.nic.as_str()).collect();
    cells.extend([
        right(Mode::ALL.map(|mode| number(need.words.get(mode.id()).copied())).join(" / ")),
        bytes(Some(need.stack_bytes)),
        bytes(Some(need.packet_bytes)),
        right(grouped(need.maps)),
        right(grouped(need.map_entries)),
        right(need.map_bytes.map_or("-".to_owned(), |bytes| levels(bytes, rounded))),
        Cell::new(if taken.is_empty() { "-".to_owned() } else { taken.join(", ") }),
    ]);
    cells
}

fn reasons(text: &mut String, program: &ProgramReport) {
    let name = &program.program;
    if let Some(error) = &program.error {
        describe(text, &format!("{name}: {}", program.verdict.word()), error);
    }
    for reason in &program.refusals {
        describe(text, &format!("{name}: refused by {}", reason.cause), &reason.what);
    }
    for note in &program.notes {
        let _ = writeln!(text, "{name}: note: on the card {}, at {}", note.what, note.at);
    }
    for card in program.others.iter().filter(|card| !card.offloadable && !program.offloadable) {
        let _ =
            writeln!(text, "{name}: {} refuses it too: {} by feature, {} by size", card.nic, card.features, card.sizes);
    }
}

fn describe(text: &mut String, what: &str, error: &Error) {
    let _ = writeln!(text, "{what}: {}: {}", error.code, error.reason);
    if let Some(at) = &error.at {
        let _ = match (&at.name, at.slot, &at.instruction) {
            (_, Some(slot), Some(instruction)) => writeln!(text, "  At: {slot}: {instruction}"),
            (Some(name), ..) => writeln!(text, "  At: {name}"),
            _ => Ok(()),
        };
        if let (Some(file), Some(line), Some(c)) = (&at.file, at.line, &at.text) {
            let _ = writeln!(text, "      {file}:{line}: {c}");
        }
    }
    if let Some(rule) = &error.rule {
        let _ = writeln!(text, "  Rule: {rule}");
    }
    let _ = show_path(text, &error.path);
    let parts = [("Limit", &error.limit), ("Actual", &error.actual), ("Suggestion", &error.help)];
    for (title, part) in parts {
        if let Some(part) = part {
            let _ = writeln!(text, "  {title}: {part}");
        }
    }
}
