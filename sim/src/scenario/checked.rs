//! A scenario whose every name has been looked up and every value judged: what can be run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bpf::diag::Diagnostic;
use bpf::insn::Endian;
use bpf::network::Network;
use bpf::program::{MapType, ProgType};
use indexmap::IndexMap;
use nic_model::device::PortId;
use nic_model::profile::CardProfile;
use nic_model::quantity::Duration;
use nic_model::yaml::{self, Positions};
use offload_jit::Mode;

use super::expect::Expect;
use super::profiles;
use super::program::LoadedProgram;
use super::{resolve, written};
use crate::files;
use crate::host::HostProfile;
use crate::traffic::{self, Pacing, Play};

/// A scenario that can be run.
pub struct Scenario {
    /// Name; the directory under the results.
    pub name: String,
    /// Description.
    pub description: String,
    /// Seed.
    pub seed: u64,
    /// What is played, each with the trace's name as written.
    pub plays: Vec<Play>,
    /// Traces as the scenario names them, in the order of `plays`.
    pub traces: Vec<String>,
    /// Programs that variants attach, by the scenario's names.
    pub programs: IndexMap<String, LoadedProgram>,
    /// The card.
    pub nic: CardProfile,
    /// The host.
    pub host: HostProfile,
    /// The network around the host.
    pub network: Arc<Network>,
    /// The placements.
    pub variants: Vec<Variant>,
    /// What must hold.
    pub expect: Vec<Expect>,
    /// Text of `resolved.yaml`.
    pub resolved: String,
}

/// A placement; programs by the scenario's names, all of which exist and fit their hooks.
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What is attached.
    pub attach: written::Attach,
    /// Receive queues, at least 1 and at most the host's cores.
    pub queues: u16,
    /// Whose translation puts the program on the card.
    pub mode: Mode,
    /// Whether user space does something to maps on the card.
    pub control: bool,
    /// What replaces the program on the card, ascending in time.
    pub replace: Vec<written::Replace>,
}

impl Variant {
    /// Whether a value of the host's profile, by its path, enters this placement's result.
    pub fn leans_on(&self, path: &str) -> bool {
        let written::Attach { xdp_native, tc_ingress, .. } = &self.attach;
        let (xdp, tc) = (xdp_native.is_some(), tc_ingress.is_some());
        match path.split('.').next().unwrap_or(path) {
            "helper" | "program" | "cache" => xdp || tc,
            "control" => self.control,
            "driver" if path.contains(".xdp") => xdp,
            "skb" if path.ends_with("tc_call") || path.ends_with("free") || path.ends_with("transmit") => tc,
            _ => true,
        }
    }
}

/// Most placements of a scenario, sources of traffic, and entries of a map: what a report still shows.
const MAX_VARIANTS: usize = 64;
const MAX_SOURCES: usize = 128;
/// Most replacements of a placement's program.
const MAX_REPLACEMENTS: usize = 64;
/// Longest gap between two frames that is replayed as recorded.
const MAX_GAP_NS: u64 = 3_600_000_000_000;
/// Latest beginning of a source: an hour.
const MAX_START: Duration = Duration(3_600_000_000_000_000);

impl Scenario {
    /// Reads, looks up and judges a scenario and everything it names.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the file.
    pub fn load(path: &Path) -> Result<Self, Diagnostic> {
        let text = files::read_text(path)?;
        let (scenario, positions) = yaml::parse::<written::Scenario>(&path.display().to_string(), &text)?;
        let checker = Checker { directory: path.parent().unwrap_or(Path::new("")).to_owned(), positions };
        checker.check(scenario)
    }
}

pub(super) struct Checker {
    pub(super) directory: PathBuf,
    pub(super) positions: Positions,
}

impl Checker {
    fn check(&self, s: written::Scenario) -> Result<Scenario, Diagnostic> {
        self.check_name(&s.name)?;
        let nic = profiles::card(&s.nic, &self.directory, &self.positions)?;
        let host = profiles::host(&s.host, &self.directory, &self.positions)?;
        let plays = self.plays(&s, *nic.mac.ports)?;
        let programs = self.programs(&s, host.byte_order.endian())?;
        let network = Arc::new(self.network(&s.environment, *nic.mac.ports)?);
        let variants = self.variants(&s, &programs, *host.cores, Mode::of(&nic.capabilities))?;
        let names: Vec<_> = variants.iter().map(|v| v.name.as_str()).collect();
        let expect = s.expect.iter().enumerate().map(|(i, text)| {
            Expect::parse(text, &names).map_err(|e| self.wrong("scenario-expectation", &format!("expect[{i}]"), e))
        });
        let expect = expect.collect::<Result<_, _>>()?;
        let resolved = resolve::text(&s, &nic, &host, &variants);
        Ok(Scenario {
            traces: s.traffic.iter().map(|t| t.pcap.clone()).collect(),
            name: s.name,
            description: s.description,
            seed: s.seed,
            plays,
            programs,
            nic,
            host,
            network,
            variants,
            expect,
            resolved,
        })
    }

    /// A diagnostic at a path of the file.
    pub(super) fn wrong(&self, code: &'static str, path: &str, reason: impl Into<String>) -> Diagnostic {
        self.place(Diagnostic::new(code, reason), path)
    }

    /// Puts a diagnostic about something the scenario names at the place that names it; what it was about before goes into
    /// the reason.
    pub fn place(&self, mut diagnostic: Diagnostic, path: &str) -> Diagnostic {
        if let Some(at) = self.positions.at(path) {
            if let Some(before) = diagnostic.at.take() {
                diagnostic.reason = format!("{before}: {}", diagnostic.reason);
            }
            diagnostic.at = Some(at);
        }
        diagnostic
    }

    fn check_name(&self, name: &str) -> Result<(), Diagnostic> {
        let good = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && name != "baseline";
        if good {
            return Ok(());
        }
        Err(self
            .wrong("scenario-name", "name", "the name is no name of a directory for results")
            .limit("1 to 64 letters, digits, - and _, and not `baseline`", name))
    }

    fn plays(&self, s: &written::Scenario, ports: u8) -> Result<Vec<Play>, Diagnostic> {
        if s.traffic.is_empty() || s.traffic.len() > MAX_SOURCES {
            return Err(self
                .wrong("scenario-traffic", "traffic", "the scenario needs traffic")
                .limit(format!("1 to {MAX_SOURCES} sources"), s.traffic.len()));
        }
        s.traffic.iter().enumerate().map(|(i, t)| self.play(i, t, ports)).collect()
    }

    fn play(&self, i: usize, t: &written::Traffic, ports: u8) -> Result<Play, Diagnostic> {
        if t.port >= ports {
            let at = format!("traffic[{i}].port");
            return Err(self
                .wrong("scenario-port", &at, "the card has no such port")
                .limit(format!("0 to {}", ports.saturating_sub(1)), t.port));
        }
        if t.repeat == 0 || t.limit == Some(0) {
            let at = format!("traffic[{i}].{}", if t.repeat == 0 { "loop" } else { "limit" });
            return Err(self.wrong("scenario-traffic", &at, "no frame would be sent").limit("at least 1", 0));
        }
        let start = t.start.unwrap_or_default();
        if start > MAX_START {
            return Err(self
                .wrong("scenario-traffic", &format!("traffic[{i}].start"), "the source begins too late")
                .limit(format!("0 to {MAX_START}"), start));
        }
        let at = format!("traffic[{i}].pcap");
        let path = self.directory.join(&t.pcap);
        let notes = traffic::survey(&path).map_err(|d| self.place(d, &at))?;
        let timed = matches!(t.pacing, Pacing::Recorded);
        if timed && notes.longest_gap_ns > MAX_GAP_NS {
            return Err(self
                .wrong("trace-gap", &at, "the trace has a gap that is too long to replay as recorded")
                .limit("3600 s between neighbouring frames", format!("{} s", notes.longest_gap_ns / 1_000_000_000))
                .help("scale it with pacing: {speed: 1000}, or use a rate"));
        }
        Ok(Play {
            path,
            port: PortId(t.port),
            start: start.time(),
            pacing: t.pacing,
            repeat: t.repeat,
            limit: t.limit.unwrap_or(u64::MAX),
            notes,
        })
    }

    fn programs(&self, s: &written::Scenario, order: Endian) -> Result<IndexMap<String, LoadedProgram>, Diagnostic> {
        let load = |(name, p): (&String, &written::Program)| Ok((name.clone(), self.program(name, p, order)?));
        s.programs.iter().map(load).collect()
    }

    fn variants(
        &self,
        s: &written::Scenario,
        programs: &IndexMap<String, LoadedProgram>,
        cores: u32,
        mode: Mode,
    ) -> Result<Vec<Variant>, Diagnostic> {
        if s.variants.is_empty() || s.variants.len() > MAX_VARIANTS {
            return Err(self
                .wrong("scenario-variants", "variants", "the scenario needs placements to run")
                .limit(format!("1 to {MAX_VARIANTS} variants"), s.variants.len()));
        }
        let mut variants = Vec::new();
        for (name, v) in &s.variants {
            for (hook, program) in v.attach.hooks() {
                let Some(program) = program else { continue };
                self.hook(&format!("variants.{name}.attach.{hook}"), hook, program, programs)?;
            }
            self.sharing(name, &v.attach, programs)?;
            let queues = v.queues.unwrap_or(1);
            if queues == 0 || queues > cores {
                return Err(self
                    .wrong("scenario-queues", &format!("variants.{name}.queues"), "each queue needs a core of its own")
                    .limit(format!("1 to {cores} queues"), queues));
            }
            let queues = u16::try_from(queues).expect("no host has that many cores");
            let mode = v.mode.map_or(mode, Mode::from);
            let offloaded = v.attach.xdp_offload.as_ref().map(|name| &programs[name]);
            let control = offloaded.is_some_and(|program| !program.actions.is_empty());
            let replace = self.replacements(name, v, programs)?;
            variants.push(Variant { name: name.clone(), attach: v.attach.clone(), queues, mode, control, replace });
        }
        Ok(variants)
    }

    /// What two hooks of the host may not do with the maps that they share.
    fn sharing(
        &self,
        variant: &str,
        attach: &written::Attach,
        programs: &IndexMap<String, LoadedProgram>,
    ) -> Result<(), Diagnostic> {
        let (Some(xdp), Some(tc)) = (&attach.xdp_native, &attach.tc_ingress) else { return Ok(()) };
        let (first, second) = (&programs[xdp], &programs[tc]);
        let at = format!("variants.{variant}.attach.tc-ingress");
        let shared = |name: &str| first.shares(second) && second.maps.iter().any(|map| map.name == name);
        if let Some(map) = first.maps.iter().find(|map| map.ty == MapType::PROG_ARRAY && shared(&map.name)) {
            let (ty, other) = (first.verified.program().ty, second.verified.program().ty);
            return Err(self
                .wrong("scenario-shared-map", &at, format!("`{xdp}` and `{tc}` share program array `{}`", map.name))
                .limit(format!("programs of one type, {ty}"), other)
                .help("Linux refuses it, too: give each type an array of its own"));
        }
        let read = |program: &LoadedProgram| -> Vec<String> {
            program.readers.iter().map(|reader| program.maps[reader.map].name.clone()).collect()
        };
        let also = read(second);
        if let Some(map) = read(first).into_iter().find(|map| shared(map) && also.contains(map)) {
            return Err(self
                .wrong("scenario-shared-map", &at, format!("ring `{map}` of `{xdp}` and `{tc}` has two readers"))
                .limit("one reader", 2)
                .help("they share the ring: leave one of the readers out"));
        }
        Ok(())
    }

    /// What replaces the program on the card: programs that fit there, in their order.
    fn replacements(
        &self,
        name: &str,
        v: &written::Variant,
        programs: &IndexMap<String, LoadedProgram>,
    ) -> Result<Vec<written::Replace>, Diagnostic> {
        let at = format!("variants.{name}.replace");
        if !v.replace.is_empty() && v.attach.xdp_offload.is_none() {
            return Err(self
                .wrong("scenario-replace", &at, "there is no program on the card to replace")
                .help("attach one to xdp-offload"));
        }
        if v.replace.len() > MAX_REPLACEMENTS {
            return Err(self
                .wrong("scenario-replace", &at, "too many programs")
                .limit(format!("{MAX_REPLACEMENTS} replacements"), v.replace.len()));
        }
        for (i, replace) in v.replace.iter().enumerate() {
            self.hook(&format!("{at}[{i}].with"), "xdp-offload", &replace.with, programs)?;
            if replace.at.0 > MAX_START.0 {
                return Err(self
                    .wrong("scenario-replace", &format!("{at}[{i}].at"), "the run is over by then")
                    .limit("at most 3600 s", replace.at));
            }
        }
        let mut replace = v.replace.clone();
        replace.sort_by_key(|replace| replace.at.0);
        Ok(replace)
    }

    fn hook(
        &self,
        at: &str,
        hook: &str,
        program: &str,
        programs: &IndexMap<String, LoadedProgram>,
    ) -> Result<(), Diagnostic> {
        let Some(loaded) = programs.get(program) else {
            let names: Vec<_> = programs.keys().map(String::as_str).collect();
            return Err(self
                .wrong("scenario-program", at, format!("the scenario has no program `{program}`"))
                .help(format!("its programs are: {}", names.join(", "))));
        };
        if loaded.device_bound && hook != "xdp-offload" {
            let reason = "the program chooses the receive queue, which only programs for a card may";
            return Err(self
                .wrong("scenario-hook", at, reason)
                .limit("xdp-offload", hook)
                .help("give the hook a program that leaves rx_queue_index alone"));
        }
        let ty = loaded.verified.program().ty;
        let fits = match hook {
            "tc-ingress" => matches!(ty, ProgType::SchedCls | ProgType::SchedAct),
            _ => ty == ProgType::Xdp,
        };
        if fits {
            return Ok(());
        }
        let wanted = if hook == "tc-ingress" { "sched_cls or sched_act" } else { "xdp" };
        Err(self
            .wrong("scenario-hook", at, format!("a program of this type does not attach to {hook}"))
            .limit(wanted, ty))
    }
}

#[cfg(test)]
mod tests {
    use bpf::insn::{Insn, Operand, Reg, Width};
    use bpf::program::{MapSpec, Program};
    use bpf::verifier::{self, Verdict};
    use nic_model::des::Time;

    use super::*;
    use crate::host::user::Reader;

    /// A program of that type whose object has one map, which somebody reads.
    fn loaded(ty: ProgType, kind: MapType, object: &str) -> LoadedProgram {
        let spec = MapSpec { name: "map".into(), ty: kind, key_size: 4, value_size: 4, ..MapSpec::default() };
        let zero = Insn::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Imm(0), sext: None };
        let pass = [zero, Insn::Exit];
        let program = Program::from_insns("pass", ty, pass.to_vec(), vec![]);
        let Verdict::Accepted(verified) = verifier::verify(program, &verifier::Options::default()) else {
            panic!("every verifier takes it")
        };
        LoadedProgram {
            verified,
            object: object.into(),
            device_bound: false,
            parts: vec![],
            maps: vec![spec],
            preload: vec![],
            slots: vec![],
            slots_of_object: 0,
            actions: vec![],
            readers: vec![Reader { map: 0, every: Time::from_ns(10_000) }],
        }
    }

    #[test]
    fn what_two_hooks_may_not_share() {
        let (_, positions) = yaml::parse::<serde_yaml::Value>("case", "a: 1").expect("it is YAML");
        let checker = Checker { directory: PathBuf::new(), positions };
        let attach = written::Attach {
            xdp_native: Some("gate".into()),
            tc_ingress: Some("judge".into()),
            ..written::Attach::default()
        };
        for (kind, other, part) in [
            (MapType::PROG_ARRAY, "a.o", Some("share program array `map`")),
            (MapType::RINGBUF, "a.o", Some("has two readers")),
            (MapType::RINGBUF, "b.o", None),
            (MapType::PROG_ARRAY, "b.o", None),
        ] {
            let both = [("gate", ProgType::Xdp, "a.o"), ("judge", ProgType::SchedCls, other)];
            let programs = both.map(|(name, ty, object)| (name.to_owned(), loaded(ty, kind, object))).into();
            let refusal = checker.sharing("native", &attach, &programs).err();
            assert_eq!(refusal.is_some(), part.is_some(), "{kind} of {other}");
            assert!(refusal.is_none_or(|why| why.code == "scenario-shared-map" && why.reason.contains(part.unwrap())));
        }
    }
}
