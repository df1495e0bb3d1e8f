//! The first thing that two engines do differently.

use std::fmt;

use super::{Contents, Packet, ProgramSet, Runner, Seen};
use crate::insn::Insn;
use crate::program::Program;

/// Where engines part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One of them does not take the set.
    Load,
    /// The result of a run, by the packet's number.
    Result(usize),
    /// The packet after a run.
    Packet(usize),
    /// The instructions executed in a run.
    Count(usize),
    /// How a run ended.
    Fault(usize),
    /// A map's contents after all runs, by its index.
    Map(usize),
}

/// Two engines that differ, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// The first engine's name, and what it shows there.
    pub reference: (String, String),
    /// The other's.
    pub other: (String, String),
    /// The programs of the set.
    pub listing: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.place {
            Place::Load => "one takes the program, the other does not".to_owned(),
            Place::Result(n) => format!("packet {n}: another result"),
            Place::Packet(n) => format!("packet {n}: another packet"),
            Place::Count(n) => format!("packet {n}: another number of instructions"),
            Place::Fault(n) => format!("packet {n}: ended otherwise"),
            Place::Map(n) => format!("map {n}: other contents"),
        };
        writeln!(f, "{what}")?;
        for (name, shown) in [&self.reference, &self.other] {
            writeln!(f, "  {name}: {shown}")?;
        }
        f.write_str(&self.listing)
    }
}

/// Runs the set on both engines, packet by packet, and holds what they show against each other.
///
/// # Errors
/// The first difference.
pub fn compare(
    set: &ProgramSet,
    packets: &[Packet<'_>],
    reference: &mut dyn Runner,
    other: &mut dyn Runner,
) -> Result<(), Box<Difference>> {
    let names = (reference.name().to_owned(), other.name().to_owned());
    let differ = |place, ours: String, theirs: String| {
        let listing = listing(set);
        Err(Box::new(Difference {
            place,
            reference: (names.0.clone(), ours),
            other: (names.1.clone(), theirs),
            listing,
        }))
    };
    match (reference.load(set), other.load(set)) {
        (Ok(()), Ok(())) => {}
        // What both refuse, each for its reasons, is no difference.
        (Err(_), Err(_)) => return Ok(()),
        (ours, theirs) => {
            let say = |answer: Result<(), String>| answer.err().unwrap_or_else(|| "taken".to_owned());
            return differ(Place::Load, say(ours), say(theirs));
        }
    }
    for (number, packet) in packets.iter().enumerate() {
        let (ours, theirs) = (reference.run(packet), other.run(packet));
        if let Some(place) = parting(number, &ours, &theirs) {
            return differ(place, show(&ours), show(&theirs));
        }
    }
    for map in 0..set.maps().len() {
        if let (Some(ours), Some(theirs)) = (reference.contents(map), other.contents(map))
            && ours != theirs
        {
            return differ(Place::Map(map), entries(&ours, &theirs), entries(&theirs, &ours));
        }
    }
    Ok(())
}

fn parting(number: usize, a: &Seen, b: &Seen) -> Option<Place> {
    let mask = if a.whole && b.whole { u64::MAX } else { u64::from(u32::MAX) };
    if a.fault != b.fault {
        return Some(Place::Fault(number));
    }
    if a.r0 & mask != b.r0 & mask {
        return Some(Place::Result(number));
    }
    if a.packet != b.packet {
        return Some(Place::Packet(number));
    }
    let counts = a.retired.zip(b.retired);
    counts.is_some_and(|(a, b)| a != b).then_some(Place::Count(number))
}

fn show(seen: &Seen) -> String {
    let count = seen.retired.map_or(String::new(), |n| format!(", {n} instructions"));
    let fault = seen.fault.as_ref().map_or(String::new(), |fault| format!(", {fault}"));
    format!("r0 {:#x}{count}{fault}, packet {}", seen.r0, hex(&seen.packet))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entries of `of` that `beside` has not.
fn entries(of: &Contents, beside: &Contents) -> String {
    let own = of.iter().filter(|entry| !beside.contains(entry));
    let own: Vec<String> = own.map(|(key, value)| format!("{}: {}", hex(key), hex(value))).collect();
    if own.is_empty() { "nothing besides".to_owned() } else { own.join(", ") }
}

/// The programs of a set, as text.
pub(super) fn listing(set: &ProgramSet) -> String {
    let mut text = listing_of(&set.main);
    for (at, part) in set.parts.iter().enumerate() {
        text += &format!("part {at}:\n{}", listing_of(part));
    }
    text
}

fn listing_of(program: &Program) -> String {
    let lines = program.insns.iter().enumerate().filter(|(_, insn)| **insn != Insn::Pad);
    lines.map(|(slot, insn)| format!("{slot:5}: {}\n", insn.objdump())).collect()
}
