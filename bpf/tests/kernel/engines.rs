//! Generated programs on the interpreter and on the running kernel: results, packets and maps are equal.
//!
//! `ENGINES_CASES` sets how many are made, `ENGINES_SEED` where to begin, `ENGINES_THREADS` how many share the work. The
//! closing lines say how many sets of programs both our verifier and the kernel's accept, and what those were made of and
//! went through: every row of the legality table and every form of call, or the test fails.
//! With `ENGINES_LOG` 1 or 2 our verifier's log is shown for those that it refuses alone.

use crate::support;

use std::collections::BTreeMap;

use bpf::engines::{Interpreter, Packet, Place, Runner, compare};
use bpf::env::FixedEnv;
use bpf::insn::decode;
use bpf::interp::EngineConfig;
use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::coverage::{Coverage, Executed};
use support::executed::{self, Made};
use support::functions;
use support::kernel::{Kernel, kernel, possible_cpus};
use support::kernel_runner::KernelRunner;
use support::lines::context;
use support::progress;
use support::rng::Rng;
use support::spelling::spelled;

/// Sets of programs by default, which are enough to meet every row and every form.
const CASES: u64 = 600;
/// Instructions walked of a program up to which both verifiers answer in no time. Linux's marks of what it needs to know
/// exactly may cost it minutes for some that are far from its limit.
const PATIENCE: u32 = 50_000;
/// Differences after which nobody wants to see more.
const ENOUGH: usize = 20;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[derive(Default)]
struct Tally {
    /// By the kernel.
    accepted: u64,
    /// By the kernel, by the last line of its log.
    refused: BTreeMap<String, u64>,
    runs: u64,
    /// Too long to walk, so not tried.
    long: u64,
    /// By our verifier too.
    by_both: u64,
    /// Why our verifier does not accept what the kernel does, how often, and the first seed.
    ours: BTreeMap<String, (u64, u64)>,
    /// Of what both accept.
    covered: Coverage,
    /// Where engines parted.
    differences: Vec<String>,
}

impl Tally {
    fn merge(&mut self, other: Tally) {
        self.accepted += other.accepted;
        self.runs += other.runs;
        self.long += other.long;
        self.by_both += other.by_both;
        other.refused.into_iter().for_each(|(why, n)| *self.refused.entry(why).or_default() += n);
        for (why, (n, seed)) in other.ours {
            let known = self.ours.entry(why).or_insert((0, seed));
            *known = (known.0 + n, known.1.min(seed));
        }
        self.covered.merge(other.covered);
        self.differences.extend(other.differences);
    }
}

/// What our verifier says of a program: the reason, where it does not accept it, and instructions walked otherwise. The same
/// reason at another place is one reason.
fn judged(program: &Program) -> Result<u32, String> {
    let log_level = number("ENGINES_LOG", 0) as u8;
    let options = Options { processors: Some(possible_cpus() as u32), log_level, ..Options::default() };
    let (verdict, log) = verify_logged(functions::typed(program), &options);
    if log_level > 0 && !matches!(verdict, Verdict::Accepted(_)) {
        println!("{log}");
    }
    match verdict {
        Verdict::Accepted(accepted) => Ok(accepted.explored().processed()),
        Verdict::Rejected(rejection) => {
            Err(rejection.reason().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
        }
        Verdict::Unsupported(diagnostic) => Err(format!("unsupported: {}", diagnostic.code)),
    }
}

/// Random bytes of a few protocols; a test run refuses packets that end inside an IP header.
fn packet(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|_| if rng.once_in(4) { 0 } else { rng.word() as u8 }).collect();
    let types: &[[u8; 2]] = if len >= 54 { &[[8, 0], [0x86, 0xdd], [0x12, 0x34], [0, 5]] } else { &[[0x12, 0x34]] };
    bytes[12..14].copy_from_slice(&rng.pick(types));
    bytes
}

/// A set of programs of one seed on both engines.
fn one(seed: u64, ours: &mut Interpreter, theirs: &mut KernelRunner, tally: &mut Tally) {
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
    let programs: Vec<&Program> = std::iter::once(&set.main).chain(&set.parts).collect();
    let slots: Vec<_> = programs.iter().map(|program| spelled(seed, &program.insns)).collect();
    for (slots, program) in slots.iter().zip(&programs) {
        assert_eq!(decode(slots).as_ref(), Ok(&program.insns), "seed {seed}");
    }
    let judged: Result<Vec<u32>, String> = programs.iter().map(|program| judged(program)).collect();
    if judged.as_ref().is_ok_and(|walked| walked.iter().any(|walked| *walked > PATIENCE))
        || judged.as_ref().is_err_and(|reason| reason.starts_with("BPF program is too large"))
    {
        tally.long += 1;
        return;
    }
    theirs.spelling = seed;
    let packets: Vec<Vec<u8>> = [64, 64, 55, 33].map(|len| packet(&mut rng, len)).into();
    let packets: Vec<Packet<'_>> =
        packets.iter().map(|bytes| Packet { context: context::of(ty, bytes, None), bytes }).collect();
    match compare(&set, &packets, ours, theirs) {
        Ok(()) => {}
        Err(difference) if difference.place == Place::Load && theirs.refusal.is_some() => {
            let error = theirs.refusal.take().expect("just looked at");
            let line = error.log.lines().rev().find(|line| !line.starts_with("processed")).unwrap_or_default();
            let line = line.replace(|c: char| c.is_ascii_digit(), "#");
            *tally.refused.entry(format!("{} {line}", error.errno)).or_default() += 1;
            return;
        }
        Err(difference) => return tally.differences.push(format!("seed {seed}, {ty}: {difference}")),
    }
    tally.accepted += 1;
    tally.runs += packets.len() as u64;
    if let Err(reason) = judged {
        tally.ours.entry(reason).or_insert((0, seed)).0 += 1;
        return;
    }
    tally.by_both += 1;
    ours.load(&set).expect("it was loaded before");
    let mut executed = Executed::default();
    for packet in &packets {
        executed.begin();
        ours.run_observed(packet, &mut executed);
    }
    tally.covered.add(&slots, &executed, &forms);
}

/// Every so many seeds from the first.
fn some(kernel: Kernel, seeds: impl Iterator<Item = u64>) -> Tally {
    let config = EngineConfig { strict: true, ..EngineConfig::default() };
    let (mut ours, mut theirs) = (Interpreter::new(config, FixedEnv::default()), KernelRunner::new(kernel));
    let mut tally = Tally::default();
    for seed in seeds {
        one(seed, &mut ours, &mut theirs, &mut tally);
        progress::one_more("sets");
        if tally.differences.len() >= ENOUGH {
            break;
        }
    }
    tally
}

#[test]
fn generated_programs_do_what_they_do_in_the_kernel() {
    let Some(kernel) = kernel("generated_programs_do_what_they_do_in_the_kernel") else { return };
    let (first, cases) = (number("ENGINES_SEED", 0), number("ENGINES_CASES", CASES));
    let threads = number("ENGINES_THREADS", 1).max(1);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let work = |at| some(kernel, (first + at..first + cases).step_by(threads as usize));
        let shares: Vec<_> = (0..threads).map(|at| scope.spawn(move || work(at))).collect();
        shares.into_iter().for_each(|share| tally.merge(share.join().expect("a thread does not panic")));
    });
    println!("accepted by the kernel {} with {} runs, refused {:?}", tally.accepted, tally.runs, tally.refused);
    println!("refused by our verifier alone {:?}; too long to be tried {}", tally.ours, tally.long);
    println!("{}", tally.covered.report());
    println!("{} sets from seed {first}: {} accepted by both and equal", cases, tally.by_both);
    let refused: u64 = tally.refused.values().sum();
    assert!(tally.differences.is_empty(), "{}", tally.differences.join("\n"));
    assert!(tally.by_both * 100 >= tally.accepted * 99, "our verifier refuses too many: {:?}", tally.ours);
    assert!(refused * 10 <= tally.accepted, "the generator makes programs that are accepted: {:?}", tally.refused);
    assert!(cases < CASES || tally.covered.missing().is_empty(), "never executed: {:?}", tally.covered.missing());
}
