//! Verdicts agree with those of the running kernel on generated programs and mutations of them. `SHOW="xdp 7 mutation 2"`
//! shows both logs of one of them.

use crate::support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Verdict, verify, verify_logged};
use support::kernel::{Kernel, KernelMap};
use support::{both, generate, kernel, seeds};

const E2BIG: i32 = 7;

/// The last line of a log that is a sentence about the program.
fn reason(log: &str) -> &str {
    let tail = ["processed ", "cur state:", "old state:"];
    log.lines().rfind(|l| !l.is_empty() && !tail.iter().any(|t| l.starts_with(t))).unwrap_or("")
}

#[derive(Default)]
struct Tally {
    /// Kernel accepts, we say.
    pairs: BTreeMap<(bool, &'static str), u64>,
    /// Refused here alone, by our reason.
    too_strict: BTreeMap<String, u64>,
    /// Refused by both for reasons that read differently: kernel's and ours, with the first program of that kind.
    worded: BTreeMap<(String, String), (String, u64)>,
    /// Accepted by both.
    counted: usize,
    /// Those of which the closing lines differ: kernel's and ours.
    counts: Vec<(String, String, String)>,
    kernel_time: Duration,
    our_time: Duration,
}

impl Tally {
    fn count(&mut self, kernel: Kernel, maps: &[KernelMap], program: Program, name: &str) {
        let Ok(_) = bpf::insn::encode(&program.insns) else { return };
        let bytes = both::kernel_bytes(&program.insns, maps);
        let start = Instant::now();
        let loaded = kernel.verify(program.ty.number(), &bytes, 0, 0).0;
        self.kernel_time += start.elapsed();
        // The log of a program that is too large is too large as well.
        let log = match loaded {
            Err(errno) if errno != E2BIG => kernel.verify(program.ty.number(), &bytes, 1, 0).1,
            Err(_) => String::new(),
            Ok(_) => kernel.verify(program.ty.number(), &bytes, 4, 0).1,
        };
        let options = Options { processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
        let start = Instant::now();
        let verdict = verify(program.clone(), &options);
        self.our_time += start.elapsed();
        if std::env::var("SHOW").is_ok_and(|wanted| wanted == name) {
            let theirs = kernel.verify(program.ty.number(), &bytes, 2, 0).1;
            let ours = verify_logged(program, &Options { log_level: 2, ..options }).1;
            println!("{name}, kernel:\n{theirs}\n{name}, here:\n{ours}");
        }
        let ours = match &verdict {
            Verdict::Accepted(_) => "accepted",
            Verdict::Rejected(_) => "rejected",
            Verdict::Unsupported(_) => "unsupported",
        };
        *self.pairs.entry((loaded.is_ok(), ours)).or_default() += 1;
        match (loaded, verdict) {
            (Err(errno), Verdict::Accepted(_)) => panic!("{name} is accepted, but the kernel says {errno}:\n{log}"),
            (Ok(_), Verdict::Accepted(verified)) => {
                let theirs = log.lines().last().unwrap_or("").split(" mark_read").next().unwrap_or("").to_owned();
                let ours = verified.explored().statistics().to_string();
                self.counted += 1;
                if theirs != ours {
                    self.counts.push((name.to_owned(), theirs, ours));
                }
            }
            (Ok(_), Verdict::Rejected(r)) => *self.too_strict.entry(r.reason().to_owned()).or_default() += 1,
            (Err(errno), Verdict::Rejected(r)) => {
                let theirs = format!("{errno} {}", reason(&log));
                let ours = format!("{} {}", r.errno.0, if errno == E2BIG { "" } else { r.reason() });
                // Some sentences stand behind the instruction on one line.
                let behind = theirs.ends_with(r.reason()) && errno == i32::from(r.errno.0);
                if theirs != ours && !behind {
                    self.worded.entry((theirs, ours)).or_insert_with(|| (name.to_owned(), 0)).1 += 1;
                }
            }
            _ => {}
        }
    }
}

#[test]
fn nothing_is_accepted_that_the_kernel_refuses() {
    let Some(kernel) = kernel::kernel("nothing_is_accepted_that_the_kernel_refuses") else { return };
    let maps: Vec<_> = generate::maps()
        .iter()
        .map(|m| kernel.create_map(m.ty.0, m.key_size, m.value_size, m.max_entries, m.flags).expect("plain maps"))
        .collect();
    let mut tally = Tally::default();
    for seed in seeds(30) {
        // Socket filters may not touch the packet directly, so most of these programs are nothing for them.
        let types = [ProgType::Xdp, ProgType::SchedCls, ProgType::SocketFilter];
        for ty in types.into_iter().take(if seed % 8 == 0 { 3 } else { 2 }) {
            let program = generate::program(seed, ty);
            for mutation in 1..4 {
                let mutated = generate::mutated(seed * 16 + mutation, &program);
                tally.count(kernel, &maps, mutated, &format!("{ty} {seed} mutation {mutation}"));
            }
            tally.count(kernel, &maps, program, &format!("{ty} {seed}"));
        }
    }
    println!("(kernel accepts, we say): {:?}", tally.pairs);
    println!("time: kernel {:?}, here {:?}", tally.kernel_time, tally.our_time);
    println!(
        "closing lines that differ, {} of {}: {:#?}",
        tally.counts.len(),
        tally.counted,
        tally.counts.iter().take(12).collect::<Vec<_>>()
    );
    println!("refused here alone: {:#?}", tally.too_strict);
    println!("worded differently (kernel, here): {:#?}", tally.worded);
    let refused: u64 = tally.pairs.iter().filter(|((accepts, _), _)| !accepts).map(|(_, n)| n).sum();
    let accepted: u64 = tally.pairs.iter().filter(|((accepts, _), _)| *accepts).map(|(_, n)| n).sum();
    assert!(accepted * 5 > refused, "the generator makes programs of both kinds: {accepted} and {refused}");
    let too_strict: u64 = tally.too_strict.values().sum();
    assert!(too_strict * 100 <= accepted, "{too_strict} of {accepted} are refused here alone");
    let worded: u64 = tally.worded.values().map(|(_, n)| n).sum();
    assert!(worded * 50 <= refused, "{worded} of {refused} are refused in other words");
}
