//! One object against the cards.

use std::path::Path;

use bpf::diag::{At, Diagnostic};
use bpf::facts::Facts;
use bpf::insn::Endian;
use bpf::maps::Map;
use bpf::object::{Object, ProgramEntry};
use bpf::program::Program;
use bpf::verifier::{self, Options, Verdict, VerifiedProgram};
use nic_model::memory::MemoryKind;
use nic_model::profile::CardProfile;
use offload_jit::{Cause, Image, Judgement, Mode};

use super::report::{Answer, Budget, CardAnswer, Error, Limits, MapBytes, ObjectReport, ProgramReport, Reason};
use crate::card;
use crate::files;

/// A card that programs are held against.
pub struct Card {
    /// Its name.
    pub name: String,
    /// Its profile.
    pub profile: CardProfile,
}

impl Card {
    /// Whose translation decides what it takes.
    pub fn mode(&self) -> Mode {
        Mode::of(&self.profile.capabilities)
    }

    /// What it has of what programs need.
    pub(super) fn limits(&self) -> Limits {
        let CardProfile { capabilities, memories, .. } = &self.profile;
        Limits {
            words: (*capabilities.max_instructions).into(),
            stack_bytes: capabilities.stack.value.0,
            packet_bytes: capabilities.packet_reach.value.0,
            maps: (*capabilities.max_maps).into(),
            map_entries: *capabilities.max_elements,
            map_memory_bytes: memories.emem.size.value.0,
            map_bytes: MapBytes {
                imem: capabilities.imem_maps.value.0,
                // Addresses have 32 bits within a memory.
                emem: memories.emem.size.value.0.min(1 << 32).saturating_sub(memories.map_base.value.0),
                ..MapBytes::default()
            },
        }
    }

    fn judge(&self, program: &VerifiedProgram, facts: &Facts) -> Judgement {
        offload_jit::judge(program, facts, &self.profile.capabilities, self.mode())
    }

    /// Bytes that the program's maps take, in external memory but for what its image has elsewhere: a per-CPU map has a slot
    /// for each context.
    fn map_bytes(&self, program: &Program, image: Option<&Image>) -> Option<MapBytes> {
        let contexts = u32::from(*self.profile.cores).saturating_mul(u32::from(*self.profile.contexts));
        let mut bytes = MapBytes::default();
        for (index, spec) in (0..).zip(&program.maps) {
            let placed = image.and_then(|image| image.maps().iter().find(|placed| placed.map.0 == index));
            let inside = placed.is_some_and(|placed| placed.on_card && placed.memory == MemoryKind::Imem);
            *if inside { &mut bytes.imem } else { &mut bytes.emem } +=
                u64::from(Map::new(spec.clone(), contexts).ok()?.region_size());
        }
        Some(bytes)
    }
}

/// Holds every program of the object at `path` against `card`, and asks `others` about each.
pub fn judge(path: &Path, card: &Card, others: &[Card]) -> ObjectReport {
    let object = path.display().to_string();
    match read(path) {
        Ok(read) => {
            let programs = read.programs().iter().map(|entry| program(&read, entry, card, others)).collect();
            ObjectReport { object, error: None, programs }
        }
        Err(diagnostic) => ObjectReport { object, error: Some(Error::from(&diagnostic)), programs: Vec::new() },
    }
}

/// The verifier's log of every program of the object at `path`, as Linux writes it, each behind a line that names it.
/// `level` is that of [`Options::log_level`].
///
/// # Errors
/// The object cannot be read.
pub fn logs(path: &Path, level: u8) -> Result<String, Diagnostic> {
    let object = read(path)?;
    let options = Options { log_level: level, ..Options::default() };
    let mut out = String::new();
    for entry in object.programs() {
        let log = match object.program(Some(&entry.name), None) {
            Ok(program) => match verifier::verify_logged(program, &options) {
                (Verdict::Unsupported(diagnostic), log) => format!("{log}{}\n", diagnostic.headline()),
                (_, log) => log,
            },
            Err(diagnostic) => format!("{}\n", diagnostic.headline()),
        };
        out += &format!("{}: {}:\n{log}", path.display(), entry.name);
    }
    Ok(out)
}

fn read(path: &Path) -> Result<Object, Diagnostic> {
    let object = Object::parse(&files::read(path)?)?;
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let object = object.named(name.split('.').next().unwrap_or(""));
    if object.programs().is_empty() {
        return Err(Diagnostic::new("object-program", "the object has no program").at(At::Named(name)));
    }
    if object.byte_order() != Endian::Little {
        return Err(Diagnostic::new(
            "object-byte-order",
            "the object is big-endian, and the hosts of these cards are not",
        )
        .at(At::Named(name))
        .help("build it with -target bpfel"));
    }
    Ok(object)
}

/// The verifier's answer, for the host first: what a device alone may do is found out only where the host says no.
fn verify(program: Program) -> (Verdict, bool) {
    let host = verifier::verify(program.clone(), &Options::default());
    if !matches!(host, Verdict::Rejected(_)) {
        return (host, false);
    }
    match verifier::verify(program, &Options { device_bound: true, ..Options::default() }) {
        device @ Verdict::Accepted(_) => (device, true),
        _ => (host, false),
    }
}

fn program(object: &Object, entry: &ProgramEntry, card: &Card, others: &[Card]) -> ProgramReport {
    let mut report = ProgramReport {
        program: entry.name.clone(),
        section: entry.section.clone(),
        ty: None,
        verdict: Answer::Unsupported,
        error: None,
        device_only: false,
        bpf_slots: None,
        offloadable: false,
        budget: None,
        refusals: Vec::new(),
        notes: Vec::new(),
        others: Vec::new(),
    };
    let program = match object.program(Some(&entry.name), None) {
        Ok(program) => program,
        Err(diagnostic) => {
            report.error = Some(Error::from(&diagnostic));
            return report;
        }
    };
    report.ty = Some(program.ty.to_string());
    report.bpf_slots = Some(program.insns.len());
    let (verdict, device_only) = verify(program);
    match verdict {
        Verdict::Accepted(verified) => {
            report.verdict = Answer::Accepted;
            report.device_only = device_only;
            accepted(&mut report, &verified, card, others);
        }
        Verdict::Rejected(rejection) => {
            report.verdict = Answer::Rejected;
            report.error = Some(Error::from(&rejection.diagnostic));
        }
        Verdict::Unsupported(diagnostic) => report.error = Some(Error::from(&diagnostic)),
    }
    report
}

fn accepted(report: &mut ProgramReport, verified: &VerifiedProgram, card: &Card, others: &[Card]) {
    let facts = Facts::of(verified);
    let judgement = card.judge(verified, &facts);
    report.budget = Some(budget(verified, &facts, card, &judgement));
    match judgement.image {
        Ok(image) => {
            report.offloadable = true;
            report.notes = card::notes(&image);
        }
        Err(mut refusals) => {
            refusals.sort_by_key(|refusal| refusal.rule.cause());
            report.refusals = refusals.iter().map(Reason::from).collect();
        }
    }
    for other in others {
        let refusals = other.judge(verified, &facts).image.err().unwrap_or_default();
        let count = |cause| refusals.iter().filter(|refusal| refusal.rule.cause() == cause).count();
        report.others.push(CardAnswer {
            nic: other.name.clone(),
            offloadable: refusals.is_empty(),
            features: count(Cause::Feature),
            sizes: count(Cause::Size),
        });
    }
}

fn budget(verified: &VerifiedProgram, facts: &Facts, card: &Card, judgement: &Judgement) -> Budget {
    let need = &judgement.budget;
    let capabilities = &card.profile.capabilities;
    let words = |mode: Mode| match mode == card.mode() {
        true => need.words,
        false => offload_jit::judge(verified, facts, capabilities, mode).budget.words,
    };
    let map_bytes = card.map_bytes(verified.program(), judgement.image.as_ref().ok());
    Budget {
        words: Mode::ALL.into_iter().filter_map(|mode| Some((mode.id(), words(mode)? as u64))).collect(),
        stack_bytes: need.stack.into(),
        packet_bytes: need.packet_reach.into(),
        maps: need.maps.into(),
        map_entries: need.map_entries,
        map_memory_bytes: map_bytes.map(MapBytes::total),
        map_bytes,
    }
}
