//! The states of registers, as the log prints them, agree with those of the running kernel's verifier on random arithmetic
//! and branches.

use crate::support;

use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::rng::Rng;
use support::{arith, both, kernel, seeds};

/// A state without what need not agree: how ids are numbered, and which numbers Linux found to matter.
fn plain(state: &str) -> String {
    let mut out = String::new();
    let mut rest = state;
    while let Some(at) = rest.find("id=") {
        out += &rest[..at];
        rest = &rest[at + 3..];
        let end = rest.find([',', ')']).unwrap_or(rest.len());
        rest = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]);
    }
    (out + rest).replace("=P", "=").replace(",)", ")")
}

/// The instructions walked, each with the state printed behind it.
fn walked(log: &str) -> Vec<(&str, String)> {
    let is_insn = |line: &&str| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < line.len() && rest.starts_with(": (")
    };
    log.lines()
        .filter(is_insn)
        .map(|line| match line.split_once(" ; ") {
            Some((insn, state)) => (insn.trim(), plain(state.trim())),
            None => (line.trim(), String::new()),
        })
        .collect()
}

#[test]
fn states_agree_with_the_kernels() {
    let Some(kernel) = kernel::kernel("states_agree_with_the_kernels") else { return };
    for seed in seeds(1500) {
        let insns = arith::program(&mut Rng::new(seed));
        let (loaded, theirs) = kernel.verify(6, &both::kernel_bytes(&insns, &[]), 2, 0);
        let program = Program::from_insns("states", ProgType::Xdp, insns, Vec::new());
        let (verdict, ours) = verify_logged(program, &Options { log_level: 2, ..Options::default() });
        let accepted = matches!(verdict, Verdict::Accepted(_));
        assert_eq!(accepted, loaded.is_ok(), "seed {seed}: {verdict:?}\n{theirs}");
        for (wanted, got) in walked(&theirs).iter().zip(walked(&ours)) {
            // Behind a decided branch the kernel may print what it found to matter instead of the state.
            let unsaid = wanted.0 == got.0 && wanted.1.is_empty();
            assert!(unsaid || *wanted == got, "seed {seed}\nkernel {wanted:?}\nours   {got:?}\n{theirs}");
        }
    }
}
