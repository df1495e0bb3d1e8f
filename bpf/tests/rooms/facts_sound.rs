//! Every accepted program runs without a fault, every register lies within its facts at every step, and the program without
//! its dead code does what the whole one does.

use crate::support;

use std::ops::Range;

use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Verdict, verify};
use support::rng::Rng;
use support::seeds;
use support::{callbacks, generate, inside};

/// Checks those of some programs and of so many mutations of each that the verifier accepts.
fn check_all(seeds: Range<u64>, mutations: u64, programs_of: impl Fn(u64) -> Vec<Program>) {
    let (mut programs, mut steps) = (0, 0);
    for seed in seeds.clone() {
        for program in programs_of(seed) {
            for mutation in 0..mutations {
                let mutated = match mutation {
                    0 => program.clone(),
                    n => generate::mutated(seed * 16 + n, &program),
                };
                if let Verdict::Accepted(verified) = verify(mutated, &Options::default()) {
                    programs += 1;
                    let mut rng = Rng::new(seed ^ 0xfac7);
                    steps += inside::check(&verified, &mut rng)
                        .unwrap_or_else(|why| panic!("{} {seed} mutation {mutation}: {why:?}", program.ty));
                }
            }
        }
    }
    println!("{programs} programs, {steps} steps");
    assert!(programs > (seeds.end - seeds.start) / 2, "only {programs} programs were accepted");
}

#[test]
fn registers_lie_within_their_facts() {
    check_all(seeds(60), 5, |seed| [ProgType::Xdp, ProgType::SchedCls].map(|ty| generate::program(seed, ty)).to_vec());
}

#[test]
fn so_they_do_in_functions_that_are_called_back() {
    check_all(seeds(30), 4, |seed| vec![callbacks::program(seed)]);
}
