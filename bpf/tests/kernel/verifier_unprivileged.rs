//! Verdicts for loaders who are not allowed everything agree with those of the running kernel.

use crate::support;

use std::collections::BTreeMap;

use bpf::insn::encode;
use bpf::program::{MapSpec, ProgType, Program};
use bpf::verifier::{Options, Privileges, Unprivileged, Verdict, verify};
use support::asm::*;
use support::kernel::{Kernel, KernelMap};
use support::{both, capabilities, generate, kernel, seeds};

const NONE: Privileges = Privileges::NONE;
/// What a service is given that loads network programs and need not see addresses.
const NETWORK: Privileges = Privileges { bpf: true, perfmon: false, net_admin: true };
const BPF: Privileges = Privileges { bpf: true, perfmon: false, net_admin: false };
const NO_BPF: Privileges = Privileges { bpf: false, perfmon: true, net_admin: true };
const TRACING: Privileges = Privileges { bpf: true, perfmon: true, net_admin: false };

/// The last line of a log that is a sentence about the program.
fn reason(log: &str) -> &str {
    let tail = ["processed ", "cur state:", "old state:"];
    log.lines().rfind(|l| !l.is_empty() && !tail.iter().any(|t| l.starts_with(t))).unwrap_or("")
}

fn options(privileges: Privileges) -> Options {
    Options { privileges, processors: Some(kernel::possible_cpus() as u32), ..Options::default() }
}

fn maps(kernel: Kernel, specs: &[MapSpec]) -> Vec<KernelMap> {
    specs.iter().map(|spec| kernel.create(spec).expect("anybody may make plain maps")).collect()
}

#[derive(Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    too_strict: BTreeMap<String, u64>,
    worded: BTreeMap<(String, String), u64>,
    counts: Vec<(String, String, String)>,
}

impl Tally {
    fn count(&mut self, kernel: Kernel, maps: &[KernelMap], privileges: Privileges, program: Program, name: &str) {
        if encode(&program.insns).is_err() {
            return;
        }
        let bytes = both::kernel_bytes(&program.insns, maps);
        // A log that is too long for its buffer is an error of its own.
        let loaded = kernel.verify(program.ty.number(), &bytes, 0, 0).0;
        let log = kernel.verify(program.ty.number(), &bytes, 1, 0).1;
        match (loaded, verify(program, &options(privileges))) {
            (Err(errno), Verdict::Accepted(_)) => panic!("{name} is accepted, but the kernel says {errno}:\n{log}"),
            (Ok(_), Verdict::Accepted(verified)) => {
                self.accepted += 1;
                let theirs = log.lines().last().unwrap_or("").split(" mark_read").next().unwrap_or("").to_owned();
                let ours = verified.explored().statistics().to_string();
                if theirs != ours {
                    self.counts.push((name.to_owned(), theirs, ours));
                }
            }
            (Ok(_), Verdict::Rejected(r)) => {
                *self.too_strict.entry(format!("{name}: {}", r.reason())).or_default() += 1
            }
            (Err(errno), Verdict::Rejected(r)) => {
                self.refused += 1;
                let (theirs, ours) = (format!("{errno} {}", reason(&log)), format!("{} {}", r.errno.0, r.reason()));
                let behind = theirs.ends_with(r.reason()) && errno == i32::from(r.errno.0);
                if theirs != ours && !behind && !log.is_empty() {
                    *self.worded.entry((theirs, ours)).or_default() += 1;
                }
            }
            (_, Verdict::Unsupported(d)) => panic!("{name}: {d:?}"),
        }
    }

    fn done(self, what: &str) {
        let Tally { accepted, refused, too_strict, worded, counts } = self;
        println!("{what}: {accepted} accepted and {refused} refused by both");
        println!("refused here alone: {too_strict:#?}\nworded differently (kernel, here): {worded:#?}");
        println!("closing lines that differ: {}: {:#?}", counts.len(), counts.iter().take(6).collect::<Vec<_>>());
        assert!(accepted * 20 > refused, "{what}: the generator makes programs of both kinds");
        let alone: u64 = too_strict.values().sum();
        assert!(alone * 200 <= accepted, "{what}: {alone} are refused here alone");
        let otherwise: u64 = worded.values().sum();
        assert!(otherwise * 50 <= refused, "{what}: {otherwise} are refused in other words");
    }
}

#[test]
fn filters_of_the_unprivileged() {
    let test = "filters_of_the_unprivileged";
    let Some(kernel) = kernel::kernel(test) else { return };
    if !capabilities::unprivileged_may_load(test) {
        return;
    }
    for (privileges, what) in [(NONE, "nothing allowed"), (BPF, "CAP_BPF alone")] {
        capabilities::with(privileges, || {
            let (maps, mut tally) = (maps(kernel, &generate::maps()), Tally::default());
            for seed in seeds(10) {
                let program = generate::filter(seed);
                for mutation in 1..4 {
                    let mutated = generate::mutated(seed * 16 + mutation, &program);
                    tally.count(kernel, &maps, privileges, mutated, &format!("{what}: {seed} mutation {mutation}"));
                }
                tally.count(kernel, &maps, privileges, program, &format!("{what}: {seed}"));
            }
            tally.done(what);
        });
    }
}

#[test]
fn network_programs_that_may_not_see_addresses() {
    let Some(kernel) = kernel::kernel("network_programs_that_may_not_see_addresses") else { return };
    capabilities::with(NETWORK, || {
        let (maps, mut tally) = (maps(kernel, &generate::maps()), Tally::default());
        for seed in seeds(10) {
            for ty in [ProgType::Xdp, ProgType::SchedCls] {
                let program = generate::program(seed, ty);
                for mutation in 1..3 {
                    let mutated = generate::mutated(seed * 16 + mutation, &program);
                    tally.count(kernel, &maps, NETWORK, mutated, &format!("{ty} {seed} mutation {mutation}"));
                }
                tally.count(kernel, &maps, NETWORK, program, &format!("{ty} {seed}"));
            }
        }
        tally.done("CAP_BPF and CAP_NET_ADMIN");
    });
}

#[test]
fn types_sizes_and_helpers_by_capability() {
    let test = "types_sizes_and_helpers_by_capability";
    let Some(kernel) = kernel::kernel(test) else { return };
    let anybody = capabilities::unprivileged_may_load(test);
    let mut differ = Vec::new();
    for privileges in [NONE, BPF, NO_BPF, NETWORK, TRACING, Privileges::ALL] {
        let setting = if anybody { Unprivileged::Allowed } else { Unprivileged::Disabled };
        let options = Options { unprivileged: setting, ..options(privileges) };
        let mut same = |ty: ProgType, insns: Vec<bpf::insn::Insn>, name: &str| {
            let bytes = both::kernel_bytes(&insns, &[]);
            let (loaded, log) = kernel.verify(ty.number(), &bytes, 1, 0);
            let errno = loaded.err();
            let (ours, words) = match verify(Program::from_insns("p", ty, insns, Vec::new()), &options) {
                Verdict::Accepted(_) => (None, String::new()),
                Verdict::Rejected(r) => (Some(i32::from(r.errno.0)), r.reason().to_owned()),
                Verdict::Unsupported(_) => return,
            };
            let worded = errno.is_none() || log.is_empty() || reason(&log).ends_with(&words);
            if errno != ours || !worded {
                differ.push(format!("{privileges:?} {ty} {name}: {errno:?} {}, not {ours:?} {words}", reason(&log)));
            }
        };
        capabilities::with(privileges, || {
            for ty in ProgType::ALL {
                for slots in [2, 4096, 4097] {
                    let insns = [vec![mov(R0, 0); slots - 1], vec![exit()]].concat();
                    same(ty, insns, &format!("{slots} instructions"));
                }
                same(ty, vec![mov(R0, 0), call(1), exit(), mov(R0, 1), exit()], "a function");
                same(ty, vec![mov(R0, 0), add(R0, 1), branch(bpf::insn::Cond::Lt, R0, 4, -2), exit()], "a loop");
                for id in 1..212 {
                    same(ty, vec![mov(R1, 0), helper(id), mov(R0, 0), exit()], &format!("helper {id}"));
                }
            }
        });
    }
    assert!(differ.is_empty(), "{differ:#?}");
}
