//! Logs of generated programs, good and bad, at every level: as the files in `data/logs` have them, and as the running
//! kernel writes them. With `BLESS` set the files are written.

use crate::support;

use std::path::PathBuf;

use bpf::program::{MapSpec, ProgType, Program};
use bpf::verifier::{Options, Privileges, Verdict, verify_logged};
use support::logs::plain;
use support::{both, capabilities, generate, kernel};

/// A log is golden if it is short enough to be read.
const LONGEST: usize = 6000;

/// Kind of log, what is loaded, and how many of them.
struct Kind {
    name: &'static str,
    ty: ProgType,
    level: u8,
    accepted: bool,
    privileges: Privileges,
    count: usize,
}

const NETWORK: Privileges = Privileges { bpf: true, perfmon: false, net_admin: true };

const fn kind(name: &'static str, ty: ProgType, level: u8, accepted: bool, privileges: Privileges) -> Kind {
    Kind { name, ty, level, accepted, privileges, count: 6 }
}

const KINDS: [Kind; 7] = [
    kind("xdp-refused-1", ProgType::Xdp, 1, false, Privileges::ALL),
    kind("tc-refused-1", ProgType::SchedCls, 1, false, Privileges::ALL),
    kind("xdp-refused-2", ProgType::Xdp, 2, false, Privileges::ALL),
    kind("xdp-accepted-2", ProgType::Xdp, 2, true, Privileges::ALL),
    kind("tc-accepted-4", ProgType::SchedCls, 4, true, Privileges::ALL),
    kind("xdp-speculated-2", ProgType::Xdp, 2, true, NETWORK),
    kind("filter-refused-1", ProgType::SocketFilter, 1, false, Privileges::NONE),
];

/// Maps without names: the kernel's have none here.
fn maps() -> Vec<MapSpec> {
    generate::maps().into_iter().map(|spec| MapSpec { name: String::new(), ..spec }).collect()
}

/// The programs of a kind, each with its name and our log.
fn logs(kind: &Kind) -> Vec<(String, Program, String)> {
    let mut out = Vec::new();
    for seed in 0..4000 {
        let program =
            if kind.ty == ProgType::SocketFilter { generate::filter(seed) } else { generate::program(seed, kind.ty) };
        let program = if kind.accepted { program } else { generate::mutated(seed * 16 + 1, &program) };
        let program = Program { maps: maps(), ..program };
        if bpf::insn::encode(&program.insns).is_err() {
            continue;
        }
        let options = Options { log_level: kind.level, privileges: kind.privileges, ..Options::default() };
        let (verdict, log) = verify_logged(program.clone(), &options);
        let wanted = match verdict {
            Verdict::Accepted(_) => kind.accepted,
            Verdict::Rejected(_) => !kind.accepted && log.lines().count() > 8,
            Verdict::Unsupported(_) => false,
        };
        if wanted && log.len() < LONGEST {
            out.push((format!("{}-{seed}", kind.name), program, log));
        }
        if out.len() == kind.count {
            break;
        }
    }
    out
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/logs")
}

/// Holds a log against the file of that name.
pub fn golden(name: &str, log: &str) {
    let path = directory().join(format!("{name}.log"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(directory()).and_then(|()| std::fs::write(&path, log)).expect("it can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}; BLESS=1 writes it"));
    assert_eq!(golden, log, "{name}; BLESS=1 writes it anew");
}

#[test]
fn logs_are_as_they_were() {
    let mut count = 0;
    for (name, _, log) in KINDS.iter().flat_map(logs) {
        golden(&name, &log);
        count += 1;
    }
    assert!(count >= 40, "only {count} logs");
}

#[test]
fn logs_are_the_kernels() {
    let Some(kernel) = kernel::kernel("logs_are_the_kernels") else { return };
    let (mut same, mut differ) = (0, Vec::new());
    for kind in &KINDS {
        if kind.privileges == Privileges::NONE && !capabilities::unprivileged_may_load("logs of the unprivileged") {
            continue;
        }
        capabilities::with(kind.privileges, || {
            let maps: Vec<_> = maps().iter().map(|m| kernel.create(m).expect("anybody may make plain maps")).collect();
            for (name, program, ours) in logs(kind) {
                let bytes = both::kernel_bytes(&program.insns, &maps);
                let (_, theirs) = kernel.verify(kind.ty.number(), &bytes, u32::from(kind.level), 0);
                let (ours, theirs) = (plain(&ours), plain(&theirs));
                if ours == theirs {
                    same += 1;
                    continue;
                }
                let at = ours.iter().zip(&theirs).position(|(o, t)| o != t).unwrap_or(ours.len().min(theirs.len()));
                differ.push((name, at, theirs.get(at).cloned(), ours.get(at).cloned()));
            }
        });
    }
    println!("{same} logs are the kernel's; others (name, line, kernel, here): {differ:#?}");
    assert!(same >= 20, "only {same} logs are the kernel's own: {differ:#?}");
}
