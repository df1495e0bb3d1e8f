//! The table in the terminal: which placement, how fast, how late, what limits it.

use std::fmt::Write;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use nic_model::quantity::{BitRate, Duration, PacketRate, Ratio};

use super::results::{Measured, Results, VariantResult};

/// How the table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colours and bold, for a terminal.
    pub colour: bool,
    /// Columns there are; nothing for as many as it takes.
    pub width: Option<u16>,
}

/// The report as text.
pub fn render(results: &Results, style: Style) -> String {
    let mut text = String::new();
    let mut line = |s: String| writeln!(text, "{s}").expect("a string takes everything");
    line(format!("{} · {} · {}", results.scenario, results.nic, results.host));
    if !results.description.is_empty() {
        line(results.description.clone());
    }
    for t in &results.traffic {
        let times = if t.repeat == 1 { String::new() } else { format!(" × {}", t.repeat) };
        line(format!("{}: {} packets{times}, {}", t.pcap, grouped(t.records), t.pacing));
        for note in notes(t) {
            line(format!("  note: {note}"));
        }
    }
    line(String::new());
    for row in placements(results, style).lines() {
        line(row.trim_end().to_owned());
    }
    for v in &results.variants {
        details(v, &mut line);
    }
    if !results.expectations.is_empty() {
        line(String::new());
        for e in &results.expectations {
            let mark = if e.holds { "holds " } else { "BROKEN" };
            line(format!("{mark}  {}   (found {})", e.text, e.found));
        }
    }
    text
}

fn placements(results: &Results, style: Style) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = style.width {
        table.set_width(width);
    }
    if !style.colour {
        table.force_no_tty();
    }
    let bold = |s: &str| if style.colour { Cell::new(s).add_attribute(Attribute::Bold) } else { Cell::new(s) };
    table.set_header(["placement", "runs", "handled", "lost", "p50", "p99", "max", "limited by"].map(&bold));
    let fastest = results.variants.iter().filter_map(|v| v.measured.as_ref()).map(|m| m.throughput_pps).max();
    for v in &results.variants {
        let runs = match &v.attach[..] {
            [] => "no program".to_owned(),
            attached => attached.iter().map(|a| a.program.clone()).collect::<Vec<_>>().join(" + "),
        };
        match &v.measured {
            Some(m) => {
                let speed = PacketRate(rounded(m.throughput_pps)).to_string();
                let speed = match style.colour && Some(m.throughput_pps) == fastest {
                    true => Cell::new(speed).fg(Color::Green),
                    false => Cell::new(speed),
                };
                let right = |s: String| Cell::new(s).set_alignment(CellAlignment::Right);
                let late = |f: fn(&super::results::Latency) -> u64| {
                    right(m.latency.as_ref().map_or("-".to_owned(), |l| Duration(rounded(f(l))).to_string()))
                };
                table.add_row(vec![
                    bold(&v.name),
                    Cell::new(runs),
                    speed.set_alignment(CellAlignment::Right),
                    right(loss(v, m)),
                    late(|l| l.p50_ps),
                    late(|l| l.p99_ps),
                    late(|l| l.max_ps),
                    Cell::new(&m.bottleneck.resource),
                ]);
            }
            None => {
                let n = v.refusals.len();
                let why = format!("refused: {n} reason{}", if n == 1 { "" } else { "s" });
                table.add_row(vec![bold(&v.name), Cell::new(runs), Cell::new(why)]);
            }
        }
    }
    table
}

fn details(v: &VariantResult, line: &mut impl FnMut(String)) {
    for r in &v.refusals {
        line(format!("{}: refused: {}: {}", v.name, r.code, r.reason));
        let parts = [("At", &r.at), ("Limit", &r.limit), ("Actual", &r.actual), ("Suggestion", &r.help)];
        for (title, part) in parts {
            if let Some(part) = part {
                line(format!("  {title}: {part}"));
            }
        }
    }
    for attached in &v.attach {
        for note in &attached.card_notes {
            line(format!("{}: note: {} on the card: {}, at {}", v.name, attached.program, note.what, note.at));
        }
    }
    let Some(m) = &v.measured else { return };
    let fates: Vec<_> = m.fates.iter().map(|f| format!("{} {} ({})", grouped(f.packets), f.outcome, f.place)).collect();
    line(format!("{}: {}", v.name, fates.join(", ")));
    line(format!("  {}", m.bottleneck.why));
    for operations in &m.operations {
        for failed in &operations.failed {
            let times = if failed.count == 1 { String::new() } else { format!(", {} times", grouped(failed.count)) };
            let (what, map) = (&operations.operation, &operations.map);
            line(format!("  {what} of {map} failed: {}: {}{times}", failed.errno, failed.why));
        }
    }
    if !m.assumed.is_empty() {
        let n = m.assumed.len();
        let plural = if n == 1 { "" } else { "s" };
        line(format!("  rests on {n} assumed value{plural} of the profiles; report.json names them"));
    }
}

fn notes(t: &super::results::TrafficResult) -> Vec<String> {
    let mut notes = Vec::new();
    if t.records_cut > 0 {
        notes.push(format!("{} records were cut when captured; their missing bytes are zero", grouped(t.records_cut)));
    }
    if t.records_backwards > 0 {
        let n = grouped(t.records_backwards);
        notes.push(format!("{n} records are stamped earlier than the one before; they were sent right after it"));
    }
    if t.file_truncated {
        notes.push("the file ends inside a record; the records before it were sent".to_owned());
    }
    notes
}

fn loss(v: &VariantResult, m: &Measured) -> String {
    match v.packets("lost") {
        0 => "none".to_owned(),
        lost => {
            let ppm = lost.saturating_mul(1_000_000) / m.offered_packets.max(1);
            if ppm < 100 { format!("{} packets", grouped(lost)) } else { Ratio(ppm / 100 * 100_000).to_string() }
        }
    }
}

/// Three significant digits: what a reader of a table takes in.
fn rounded(value: u64) -> u64 {
    let mut unit = 1;
    while value / unit >= 1_000 {
        unit *= 10;
    }
    value / unit * unit + if value % unit * 2 >= unit && unit > 1 { unit } else { 0 }
}

/// Digits in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(d);
    }
    text
}

/// The offered load in words.
pub fn offered(m: &Measured) -> String {
    format!("{} ({})", PacketRate(rounded(m.offered_pps)), BitRate(rounded(m.offered_bps)))
}

#[cfg(test)]
mod tests {
    use super::super::results::{Attached, CardNote};
    use super::*;

    #[test]
    fn three_digits_are_kept() {
        assert_eq!([0, 7, 999, 1_000, 1_234, 1_235, 123_456].map(rounded), [0, 7, 999, 1_000, 1_230, 1_240, 123_000]);
    }

    #[test]
    fn what_a_card_does_otherwise_has_its_line() {
        let note =
            |slot| CardNote { code: "c".to_owned(), what: "shifts".to_owned(), at: format!("{slot}: r0 <<= r6") };
        let attached = Attached {
            hook: "xdp-offload".to_owned(),
            program: "fw".to_owned(),
            bpf_slots: 9,
            card_words: Some(20),
            card_notes: vec![note(4), note(5)],
        };
        let variant =
            VariantResult { name: "offload".to_owned(), attach: vec![attached], refusals: vec![], measured: None };
        let mut lines = Vec::new();
        details(&variant, &mut |line| lines.push(line));
        let expected = [4, 5].map(|slot| format!("offload: note: fw on the card: shifts, at {slot}: r0 <<= r6"));
        assert_eq!(lines, expected);
    }

    #[test]
    fn digits_in_threes() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
