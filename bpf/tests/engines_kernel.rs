//! Generated programs on the interpreter and on the running kernel: results, packets and maps are equal.
//!
//! `ENGINES_CASES` sets how many are made, `ENGINES_SEED` where to begin; what they were made of is printed, and how many
//! sets of programs both our verifier and the kernel's accept. With `ENGINES_LOG` 1 or 2 our verifier's log is shown for
//! those that it refuses alone.

mod support;

use std::collections::BTreeMap;

use bpf::engines::{Interpreter, Packet, Place, Runner, compare};
use bpf::env::FixedEnv;
use bpf::insn::{encode, legality};
use bpf::interp::{EngineConfig, Observer};
use bpf::program::{ProgId, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::executed::{self, Made};
use support::functions;
use support::kernel::{kernel, possible_cpus};
use support::kernel_runner::KernelRunner;
use support::lines::context;
use support::rng::Rng;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Which slots of which program were executed.
#[derive(Default)]
struct Executed {
    running: Option<ProgId>,
    slots: BTreeMap<(Option<u32>, usize), ()>,
}

impl Observer for Executed {
    const INSNS: bool = true;

    fn program(&mut self, program: Option<ProgId>) {
        self.running = program;
    }

    fn insn(&mut self, slot: usize) {
        self.slots.insert((self.running.map(|id| id.0), slot), ());
    }
}

#[derive(Default)]
struct Tally {
    /// By the kernel.
    accepted: u64,
    refused: BTreeMap<String, u64>,
    runs: u64,
    /// By our verifier too.
    by_both: u64,
    /// Why our verifier does not accept what the kernel does, how often, and the first seed.
    ours: BTreeMap<String, (u64, u64)>,
    /// Sets accepted by both with each form of call.
    forms: BTreeMap<executed::Form, u64>,
    /// Those that executed each form of instruction.
    insns: BTreeMap<String, u64>,
}

/// A row of the legality table: the opcode, and what other fields must hold to tell it from others.
fn name(form: &legality::Form) -> String {
    let mut name = format!("{:#04x}", form.opcode);
    for (field, rule) in [("src", form.src), ("off", form.off), ("imm", form.imm)] {
        if let legality::Rule::Is(value) = rule
            && value != 0
        {
            name += &format!(" {field} {value:#x}");
        }
    }
    name
}

/// Rows of the legality table that none of these is.
fn not_executed(executed: &BTreeMap<String, u64>) -> Vec<String> {
    legality::FORMS.iter().map(name).filter(|name| !executed.contains_key(name)).collect()
}

/// Why our verifier does not accept a program. The same reason at another place is one reason.
fn refusal(program: &Program) -> Option<String> {
    let log_level = number("ENGINES_LOG", 0) as u8;
    let options = Options { processors: Some(possible_cpus() as u32), log_level, ..Options::default() };
    let (verdict, log) = verify_logged(functions::typed(program), &options);
    if log_level > 0 && !matches!(verdict, Verdict::Accepted(_)) {
        println!("{log}");
    }
    match verdict {
        Verdict::Accepted(_) => None,
        Verdict::Rejected(rejection) => {
            Some(rejection.reason().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
        }
        Verdict::Unsupported(diagnostic) => Some(format!("unsupported: {}", diagnostic.code)),
    }
}

/// The rows of the legality table that an execution went through.
fn rows(programs: &[&Program], executed: &Executed, into: &mut BTreeMap<String, u64>) {
    let mut seen = BTreeMap::new();
    for (at, program) in programs.iter().enumerate() {
        let raw = encode(&program.insns).expect("generated programs have an encoding");
        // The main program runs without a number first; the list of those with numbers begins with it again.
        let own = executed.slots.keys().filter(|(id, _)| id.map_or(at == 0, |id| id as usize == at));
        for (_, slot) in own {
            let form = legality::form(raw[*slot]).expect("generated programs are legal");
            seen.insert(name(form), ());
        }
    }
    for name in seen.into_keys() {
        *into.entry(name).or_default() += 1;
    }
}

/// Random bytes of a few protocols; a test run refuses packets that end inside an IP header.
fn packet(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|_| if rng.once_in(4) { 0 } else { rng.word() as u8 }).collect();
    let types: &[[u8; 2]] = if len >= 54 { &[[8, 0], [0x86, 0xdd], [0x12, 0x34], [0, 5]] } else { &[[0x12, 0x34]] };
    bytes[12..14].copy_from_slice(&rng.pick(types));
    bytes
}

#[test]
fn generated_programs_do_what_they_do_in_the_kernel() {
    let Some(kernel) = kernel("generated_programs_do_what_they_do_in_the_kernel") else { return };
    let config = EngineConfig { strict: true, ..EngineConfig::default() };
    let mut ours = Interpreter::new(config, FixedEnv::default());
    let mut theirs = KernelRunner::new(kernel);
    let mut tally = Tally::default();
    let first = number("ENGINES_SEED", 0);
    for seed in first..first + number("ENGINES_CASES", 600) {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let ty = rng.pick(&[
            ProgType::Xdp,
            ProgType::Xdp,
            ProgType::SchedCls,
            ProgType::SchedCls,
            ProgType::SchedAct,
            ProgType::SocketFilter,
        ]);
        let Made { set, forms } = executed::set(seed, ty);
        let packets: Vec<Vec<u8>> = [64, 64, 55, 33].map(|len| packet(&mut rng, len)).into();
        let packets: Vec<Packet<'_>> =
            packets.iter().map(|bytes| Packet { context: context::of(ty, bytes, None), bytes }).collect();
        match compare(&set, &packets, &mut ours, &mut theirs) {
            Ok(()) => {}
            Err(difference) if difference.place == Place::Load && theirs.refusal.is_some() => {
                let error = theirs.refusal.take().expect("just looked at");
                let line = error.log.lines().rev().find(|line| !line.starts_with("processed")).unwrap_or_default();
                let line = line.replace(|c: char| c.is_ascii_digit(), "#");
                *tally.refused.entry(format!("{} {line}", error.errno)).or_default() += 1;
                continue;
            }
            Err(difference) => panic!("seed {seed}, {ty}: {difference}"),
        }
        tally.accepted += 1;
        tally.runs += packets.len() as u64;
        let programs: Vec<&Program> = std::iter::once(&set.main).chain(&set.parts).collect();
        let mut reasons = programs.iter().filter_map(|program| refusal(program)).peekable();
        if reasons.peek().is_some() {
            reasons.for_each(|reason| tally.ours.entry(reason).or_insert((0, seed)).0 += 1);
            continue;
        }
        tally.by_both += 1;
        let mut forms = forms;
        forms.sort();
        forms.dedup();
        forms.into_iter().for_each(|form| *tally.forms.entry(form).or_default() += 1);
        ours.load(&set).expect("it was loaded before");
        let mut executed = Executed::default();
        for packet in &packets {
            executed.running = None;
            ours.run_observed(packet, &mut executed);
        }
        rows(&programs, &executed, &mut tally.insns);
    }
    println!("accepted {} with {} runs, refused {:?}", tally.accepted, tally.runs, tally.refused);
    println!("accepted by both {}; refused by our verifier alone {:?}", tally.by_both, tally.ours);
    println!("of those accepted by both: forms of calls {:?}", tally.forms);
    println!("{} forms of instructions executed: {:?}", tally.insns.len(), tally.insns);
    println!("not executed: {:?}", not_executed(&tally.insns));
    let refused: u64 = tally.refused.values().sum();
    assert!(tally.by_both * 10 >= tally.accepted * 9, "our verifier refuses too many: {:?}", tally.ours);
    assert!(refused * 10 <= tally.accepted, "the generator makes programs that are accepted: {:?}", tally.refused);
}
