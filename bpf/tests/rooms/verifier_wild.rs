//! Programs far from sense get an answer, and never a panic.

use crate::support;

use bpf::facts::Facts;
use bpf::insn::{Insn, RawInsn, decode};
use bpf::program::{ProgType, Program};
use bpf::verifier::{Options, Verdict, verify};
use support::generate;
use support::rng::Rng;

fn answer(program: Program) -> &'static str {
    let options = Options { log_level: 2, ..Options::default() };
    match verify(program, &options) {
        Verdict::Accepted(verified) => {
            Facts::of(&verified);
            "accepted"
        }
        Verdict::Rejected(_) => "rejected",
        Verdict::Unsupported(_) => "unsupported",
    }
}

/// Opcodes of all classes; the fields beside them are mostly small.
fn word(rng: &mut Rng, len: i64) -> RawInsn {
    let small = |rng: &mut Rng| if rng.once_in(8) { rng.word() as i32 } else { rng.between(-16, 16) as i32 };
    RawInsn {
        opcode: rng.word() as u8,
        dst: rng.below(11) as u8,
        src: rng.below(11) as u8,
        off: if rng.once_in(2) { 0 } else { rng.between(-len, len) as i16 },
        imm: small(rng),
    }
}

#[test]
fn random_words_get_an_answer() {
    let mut answers = 0;
    for seed in 0..4000 {
        let mut rng = Rng::new(seed);
        let len = rng.between(1, 24);
        // Words that are no instructions are left out, or nearly no program would get past the decoder.
        let mut insns: Vec<Insn> = Vec::new();
        while (insns.len() as i64) < len {
            if let Ok(some) = decode(&[word(&mut rng, len), RawInsn::default()][..1]) {
                insns.extend(some);
            }
        }
        insns.push(Insn::Exit);
        let ty = rng.pick(&ProgType::ALL);
        answer(Program::from_insns("words", ty, insns, generate::maps()));
        answers += 1;
    }
    assert_eq!(answers, 4000);
}

#[test]
fn programs_mutated_out_of_shape_get_an_answer() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in support::seeds(60) {
        let mut program = generate::program(seed, ProgType::ALL[seed as usize % 4]);
        for round in 0..6 {
            program = generate::mutated(seed * 32 + round, &program);
            *seen.entry(answer(program.clone())).or_insert(0) += 1;
        }
    }
    assert!(seen.contains_key("accepted") && seen.contains_key("rejected"), "{seen:?}");
}
