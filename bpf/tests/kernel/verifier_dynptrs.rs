//! Dynamic pointers: generated programs have verdict, log and counts of the running kernel, and do what they do there.

use crate::support;

use std::collections::BTreeMap;

use bpf::insn::{AluOp, Cond, Insn, Reg, Size, Wide};
use bpf::maps::MapId;
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify_logged};
use support::asm::*;
use support::both::Both;
use support::kernel::LoadRequest;
use support::logs::plain;
use support::rng::Rng;
use support::{both, kernel, seeds};

const VALUE: u32 = 0;
const RING: u32 = 1;
/// Bytes of the array's value.
const LEN: i32 = 64;

fn maps() -> Vec<MapSpec> {
    let spec = |ty, key, value, entries| MapSpec { name: String::new(), ..both::spec(ty, key, value, entries, 0) };
    vec![spec(MapType::ARRAY, 4, LEN as u32, 1), spec(MapType::RINGBUF, 0, 0, 4096)]
}

/// Writes programs of steps that are mostly good. R6 is the value, R7 what a dynamic pointer lent, or 0, R8 a sum,
/// R9 the context.
struct Writer {
    rng: Rng,
    out: Vec<Insn>,
    /// Offsets of records that are held.
    held: Vec<i32>,
    /// Once in so many times something is wrong.
    wrong: u64,
}

impl Writer {
    fn errs(&mut self) -> bool {
        self.rng.once_in(self.wrong)
    }

    /// R`reg` = an address on the stack where a dynamic pointer may be.
    fn place(&mut self, reg: Reg) -> i32 {
        let off = match self.errs() {
            true => self.rng.pick(&[0, 8, -8, -12, -24, -40, -512, -520]),
            false => -16 * self.rng.between(1, 4) as i32,
        };
        self.out.extend([mov(reg, R10), add(reg, off)]);
        off
    }

    fn number(&mut self, reg: Reg, most: i64) {
        let n =
            if self.errs() { self.rng.pick(&[-1, 65, 1 << 24, i32::MAX]) } else { self.rng.between(0, most) as i32 };
        self.out.push(mov(reg, n));
    }

    fn flags(&mut self, reg: Reg) {
        let flags = i32::from(self.rng.once_in(12));
        self.out.push(mov(reg, flags));
    }

    /// R`reg` = memory of so many bytes, which are written. What stands where dynamic pointers were is the machine's own: it
    /// may be overwritten, but not `read`.
    fn memory(&mut self, reg: Reg, bytes: i32, read: bool) {
        match self.rng.below(3) {
            0 => self.out.extend([mov(reg, R6), add(reg, LEN - bytes)]),
            1 if !read && self.errs() => self.out.extend([mov(reg, R10), add(reg, -40)]),
            _ => {
                let at = [-72, -80].map(|off| store(Size::D, R10, off, self.rng.between(0, 9) as i32));
                self.out.extend(at);
                self.out.extend([mov(reg, R10), add(reg, -80)]);
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(12) {
            0 | 1 => {
                self.out.extend([mov(R1, R6), add(R1, self.rng.between(0, 8) as i32)]);
                self.number(R2, 48);
                self.flags(R3);
                self.place(R4);
                self.out.push(helper(197));
            }
            2 => {
                self.out.extend(map(R1, RING));
                self.number(R2, 40);
                self.flags(R3);
                let off = self.place(R4);
                self.out.push(helper(198));
                self.held.push(off);
            }
            3 => {
                let held = self.held.pop();
                match held.filter(|_| !self.errs()) {
                    Some(off) => self.out.extend([mov(R1, R10), add(R1, off)]),
                    None => {
                        self.place(R1);
                    }
                }
                let id = self.rng.pick(&[199, 200]);
                self.out.extend([mov(R2, 0), helper(id)]);
                return;
            }
            4 | 5 => {
                let bytes = self.rng.between(0, 16) as i32;
                self.memory(R1, bytes, false);
                self.out.push(mov(R2, bytes));
                self.place(R3);
                self.number(R4, 12);
                self.flags(R5);
                self.out.push(helper(201));
            }
            6 | 7 => {
                self.place(R1);
                self.number(R2, 12);
                let bytes = self.rng.between(0, 16) as i32;
                self.memory(R3, bytes, true);
                self.out.push(mov(R4, bytes));
                self.flags(R5);
                self.out.push(helper(202));
            }
            8 | 9 => {
                self.place(R1);
                self.number(R2, 12);
                self.number(R3, 12);
                self.out.extend([helper(203), mov(R7, R0)]);
                if !self.errs() {
                    self.out.push(branch(Cond::Eq, R7, 0, 2));
                }
                let at = self.rng.between(0, 8) as i16;
                self.out.extend([store(Size::B, R7, at, 7), load(Size::B, R1, R7, at), mov(R0, 1)]);
            }
            10 if self.rng.once_in(3) => {
                let (size, off) = (self.rng.pick(&[Size::B, Size::D]), -8 * self.rng.between(1, 10) as i16);
                let insn = if self.rng.once_in(3) { load(size, R0, R10, off) } else { store(size, R10, off, 1) };
                // The same: what is loaded there must not be seen.
                self.out.extend([insn, mov(R0, 0)]);
            }
            10 => {
                // Perhaps on one way only.
                let at = self.out.len();
                let way = self.rng.pick(&[Cond::Gt, Cond::Le]);
                // The number of the device, 1 in a test run.
                self.out.extend([load(Size::W, R0, R9, 12), branch(way, R0, 9, 0), mov(R0, 1)]);
                let held = self.held.clone();
                self.step();
                if !self.errs() {
                    self.held = held;
                }
                let over = (self.out.len() - at - 2) as i16;
                self.out[at + 1] = branch(way, R0, 9, over);
                self.out.push(mov(R0, 0));
            }
            _ => self.out.extend([branch(Cond::Eq, R7, 0, 1), load(Size::B, R0, R7, 0), mov(R0, 0)]),
        }
        if self.rng.once_in(2) {
            self.out.push(add(R8, R0));
        }
    }
}

fn generated(seed: u64) -> Vec<Insn> {
    let mut rng = Rng::new(seed);
    let wrong = rng.pick(&[8, 40, 400]);
    let mut writer = Writer { rng, out: Vec::new(), held: Vec::new(), wrong };
    let value = Insn::LoadImm64 { dst: R6, value: Wide::MapValue { map: MapIndex(VALUE), off: 0 } };
    writer.out.extend([value, Insn::Pad, mov(R7, 0), mov(R8, 0), mov(R9, R1)]);
    if !writer.errs() {
        for off in [-16, -32, -48, -64] {
            let record = writer.rng.once_in(3);
            let setup = match record {
                true => [&map(R1, RING)[..], &[mov(R2, 16)]].concat(),
                false => vec![mov(R1, R6), mov(R2, 16)],
            };
            writer.out.extend(setup);
            writer.out.extend([mov(R3, 0), mov(R4, R10), add(R4, off), helper(if record { 198 } else { 197 })]);
            if record {
                writer.held.push(off);
            }
        }
    }
    for _ in 0..writer.rng.between(2, 12) {
        writer.step();
    }
    while let Some(off) = writer.held.pop() {
        if !writer.errs() {
            writer.out.extend([mov(R1, R10), add(R1, off), mov(R2, 0), helper(199)]);
        }
    }
    writer.out.extend([mov(R0, R8), alu64(AluOp::And, R0, 0xffff), exit()]);
    writer.out
}

#[test]
fn generated_programs() {
    let Some(kernel) = kernel::kernel("generated_programs") else { return };
    let specs = maps();
    let made: Vec<_> = specs.iter().map(|spec| kernel.create(spec).expect("plain maps")).collect();
    let options = Options { log_level: 2, processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
    let (mut accepted, mut reasons) = (0, BTreeMap::<String, u32>::new());
    let seeds = seeds(150);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let insns = generated(seed);
        let program = Program::from_insns("generated", ProgType::Xdp, insns.clone(), specs.clone());
        let bytes = both::kernel_bytes(&insns, &made);
        let prog_type = ProgType::Xdp.number();
        let request = LoadRequest { prog_type, bytes: &bytes, log_level: 2, ..LoadRequest::default() };
        let (theirs, log) = kernel.request(&request);
        let (verdict, ours) = verify_logged(program, &options);
        // Linux looks at what matters before it refuses.
        let said = |log: &str| -> Vec<String> {
            plain(log).into_iter().filter(|l| theirs.is_ok() || !l.starts_with("mark_precise:")).collect()
        };
        let (said_there, said_here) = (said(&log), said(&ours));
        if let Some((a, b)) = said_there.iter().zip(&said_here).find(|(a, b)| a != b) {
            panic!("seed {seed}:\nkernel {a}\nhere   {b}\n\n{log}\n\nhere:\n{ours}");
        }
        match (theirs.map(drop), verdict) {
            (Ok(()), Verdict::Accepted(_)) => accepted += 1,
            (Err(errno), Verdict::Rejected(r)) if errno == i32::from(r.errno.0) => {
                let words = r.reason().replace(|c: char| c.is_ascii_digit(), "");
                *reasons.entry(words).or_default() += 1;
                continue;
            }
            (theirs, _) => panic!("seed {seed}: kernel {theirs:?}\n{log}\nhere\n{ours}"),
        }
        let mut both = Both::load(kernel, ProgType::Xdp, insns, &specs).expect("it loads once more");
        let packet = [7; 64];
        let theirs = both.kernel(&packet);
        let (outcome, mine) = both.ours(&packet);
        assert_eq!(outcome.fault, None, "seed {seed}");
        assert_eq!(theirs, mine, "seed {seed}");
        let value = both.kernel_maps[0].lookup(&[0; 4]).expect("arrays have all their values");
        let entries = both.engine.map(MapId(0)).expect("it is there").entries();
        assert_eq!(vec![([0; 4].to_vec(), value)], entries, "seed {seed}");
    }
    println!("{accepted} accepted; {reasons:#?}");
    assert!(count < 20 || accepted > 0 && !reasons.is_empty());
}
