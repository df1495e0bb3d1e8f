//! Numbers whose tie to others is cut, and what is left beside them: verdict and log are the running kernel's.

use crate::support;

use bpf::insn::{AluOp, Cond, Insn, Operand, Size, Width};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::asm::*;
use support::logs::plain;
use support::rng::Rng;
use support::{both, kernel, seeds};

fn maps() -> Vec<MapSpec> {
    vec![MapSpec { name: String::new(), ..both::spec(MapType::ARRAY, 4, 64, 4, 0) }]
}

/// R6 is the value of an array, R7 and R8 are numbers of which little is known, R9 is the context.
fn setup() -> Vec<Insn> {
    let mut out = vec![mov(R9, R1), load(Size::W, R7, R9, 12), load(Size::W, R8, R9, 16), store(Size::W, R10, -4, 0)];
    out.extend([mov(R2, R10), add(R2, -4)]);
    out.extend(map(R1, 0));
    out.extend([helper(1), branch(Cond::Ne, R0, 0, 2), mov(R0, 0), exit(), mov(R6, R0)]);
    out
}

fn generated(seed: u64) -> Vec<Insn> {
    let rng = &mut Rng::new(seed);
    let mut out = setup();
    let numbers = [R7, R8, R3];
    out.push(mov(R3, R7));
    for _ in 0..rng.between(3, 14) {
        let (dst, src) = (rng.pick(&numbers), rng.pick(&numbers));
        let far = rng.pick(&[1, 4, 30, 1 << 29, i32::MIN, i32::MAX]);
        match rng.below(9) {
            0 => out.push(mov(dst, src)),
            1 => out.push(add(dst, far)),
            2 => out.push(alu64(AluOp::Sub, dst, rng.pick(&[3, 30, 1 << 29]))),
            3 => out.push(alu64(AluOp::And, dst, rng.pick(&[3, 7, 0x1f]))),
            4 => out.push(alu64(rng.pick(&[AluOp::Rsh, AluOp::Or, AluOp::Mul]), dst, rng.between(0, 3) as i32)),
            5 => out.push(store(Size::D, R10, -16, src)),
            6 => out.extend([store(Size::D, R10, -24, src), load(rng.pick(&[Size::W, Size::D]), dst, R10, -24)]),
            7 => out.push(branch(rng.pick(&[Cond::Gt, Cond::Ne, Cond::Slt]), dst, rng.between(0, 40) as i32, 1)),
            _ => out.push(Insn::Mov { width: Width::W32, dst, src: Operand::Reg(src), sext: None }),
        }
        if matches!(out.last(), Some(Insn::Branch { .. })) {
            out.push(alu64(AluOp::And, dst, 7));
        }
    }
    if rng.once_in(2) {
        let dst = rng.pick(&numbers);
        out.extend([alu64(AluOp::And, dst, 15), add(R6, dst), store(Size::B, R6, 0, 1)]);
    }
    out.extend([mov(R0, 0), exit()]);
    out
}

/// Holds a program against the kernel; tells whether it is accepted.
fn same(kernel: kernel::Kernel, name: &str, insns: Vec<Insn>, made: &[kernel::KernelMap]) -> bool {
    let (loaded, theirs) = kernel.verify(ProgType::Xdp.number(), &both::kernel_bytes(&insns, made), 2, 0);
    let program = Program::from_insns("leftovers", ProgType::Xdp, insns, maps());
    let options = Options { log_level: 2, processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
    let (verdict, ours) = verify_logged(program, &options);
    let accepted = matches!(verdict, Verdict::Accepted(_));
    assert_eq!(accepted, loaded.is_ok(), "{name}: {verdict:?}\n{theirs}");
    // Linux looks at what matters before it refuses.
    let said = |log: &str| -> Vec<String> {
        plain(log).into_iter().filter(|l| accepted || !l.starts_with("mark_precise:")).collect()
    };
    let (theirs, ours) = (said(&theirs), said(&ours));
    let at = ours.iter().zip(&theirs).position(|(o, t)| o != t);
    assert!(ours == theirs, "{name}: kernel {:?}\nhere {:?}", at.map(|at| &theirs[at]), at.map(|at| &ours[at]));
    accepted
}

#[test]
fn what_is_left_of_a_tie() {
    let Some(kernel) = kernel::kernel("what_is_left_of_a_tie") else { return };
    let made: Vec<_> = maps().iter().map(|spec| kernel.create(spec).expect("plain maps")).collect();
    // Nothing is left of how far it was from others, which would be an offset.
    let cut = [mov(R3, R7), add(R3, 1 << 29), alu64(AluOp::And, R3, 7), add(R6, R3), mov(R0, 0), exit()];
    assert!(same(kernel, "a cut tie", [setup(), cut.to_vec()].concat(), &made));
    // While it is tied, how far is taken for one.
    let tied = [alu64(AluOp::And, R7, 7), mov(R3, R7), add(R3, 1 << 29), add(R6, R3), mov(R0, 0), exit()];
    assert!(!same(kernel, "a tie", [setup(), tied.to_vec()].concat(), &made));
    let (mut accepted, seeds) = (0, seeds(300));
    let count = seeds.end - seeds.start;
    for seed in seeds {
        accepted += u64::from(same(kernel, &format!("seed {seed}"), generated(seed), &made));
    }
    println!("{accepted} of {count} accepted");
    assert!(count < 20 || accepted * 10 > count);
}
