//! Rings that user space writes and programs drain, beside the running kernel: what each record shows to the function that is
//! called back, what it writes, when it stops, and where the ring then stands; records that are being written, taken back, or
//! nothing a writer should write. `MAPS_PROGRAMS` sets how many programs (default 150).

use crate::support;

use bpf::insn::{AluOp, Cond, Insn, Reg, Size, Wide};
use bpf::maps::MapId;
use bpf::program::{MapType, ProgType};
use support::asm::*;
use support::both::{Both, spec};
use support::kernel::kernel;
use support::rng::Rng;

const SIZE: u32 = 4096;
const DRAIN: u32 = 209;

/// R2 = the address of a function, whose place is filled in at the end.
fn function(out: &mut Vec<Insn>) -> usize {
    out.extend([Insn::Pad, Insn::Pad]);
    out.len() - 2
}

fn lead(out: &mut [Insn], at: usize, to: usize) {
    out[at] = Insn::LoadImm64 { dst: R2, value: Wide::Func { off: to as i32 - at as i32 - 1 } };
}

/// Mixes R0 into the second word at R7.
fn mix(out: &mut Vec<Insn>) {
    let sum = Reg::R9;
    out.extend([load(Size::D, sum, R7, 8), alu64(AluOp::Mul, sum, 31), add(sum, R0), store(Size::D, R7, 8, sum)]);
}

/// The packet gets what the drain answers, how many calls there were and what they saw.
fn program(rng: &mut Rng) -> Vec<Insn> {
    let mut out = vec![load(Size::W, R8, R1, 0), load(Size::W, R2, R1, 4), mov(R3, R8), add(R3, 24)];
    out.extend([branch(Cond::Le, R3, R2, 2), mov(R0, 1), exit()]);
    // The count begins with a word of the packet, 0: from a number it knows the verifier would follow every count.
    out.extend([store(Size::D, R10, -8, 0), load(Size::D, R1, R8, 0), store(Size::D, R10, -16, R1)]);
    out.extend(map(R1, 0));
    let outer = function(&mut out);
    out.extend([mov(R3, R10), add(R3, -16), mov(R4, rng.pick(&[0, 0, 0, 0, 1, 2, 3, 4, 8])), helper(DRAIN)]);
    out.extend([store(Size::D, R8, 0, R0), load(Size::D, R1, R10, -16), store(Size::D, R8, 8, R1)]);
    out.extend([load(Size::D, R1, R10, -8), store(Size::D, R8, 16, R1), mov(R0, 2), exit()]);

    let start = out.len();
    lead(&mut out, outer, start);
    out.extend([mov(R6, R1), mov(R7, R2), load(Size::D, R8, R7, 0), add(R8, 1), store(Size::D, R7, 0, R8)]);
    let mut inner = Vec::new();
    for _ in 0..rng.between(1, 5) {
        let off = rng.pick(&[0, 0, 1, 8, 40, 1000]);
        out.push(store(Size::D, R10, -8, 5));
        match rng.below(5) {
            0 => {
                out.extend([mov(R1, R10), add(R1, -8), mov(R2, 8), mov(R3, R6), mov(R4, off), mov(R5, 0), helper(201)]);
                mix(&mut out);
                out.push(load(Size::D, R0, R10, -8));
            }
            1 => out.extend([
                mov(R1, R6),
                mov(R2, off),
                mov(R3, R10),
                add(R3, -8),
                mov(R4, 8),
                mov(R5, rng.pick(&[0, 0, 0, 1])),
                helper(202),
            ]),
            2 | 3 => {
                out.extend([mov(R1, R6), mov(R2, off), mov(R3, 8), helper(203), branch(Cond::Eq, R0, 0, 3)]);
                out.extend([load(Size::D, R1, R0, 0), store(Size::B, R0, 7, 9), mov(R0, R1)]);
            }
            // A ring that is being drained is not drained once more.
            _ => {
                out.extend(map(R1, 0));
                inner.push(function(&mut out));
                out.extend([mov(R3, 0), mov(R4, 0), helper(DRAIN)]);
            }
        }
        mix(&mut out);
    }
    out.extend([mov(R0, 0), branch(Cond::Ne, R8, rng.pick(&[-1, -1, 1, 3]), 1), mov(R0, 1), exit()]);
    let leaf = out.len();
    for at in &inner {
        lead(&mut out, *at, leaf);
    }
    if !inner.is_empty() {
        out.extend([mov(R0, 0), exit()]);
    }
    out
}

/// What a writer does to the memory it has of the ring: a record's head where it stands, and how far it goes on.
fn scribble(both: &mut Both, head: u32, by: u64) {
    // Positions first, the writer's behind the readers'; data from byte 32, twice.
    let memory = both.engine.map_memory_mut(MapId(0)).expect("there is a map");
    let producer = u64::from_le_bytes(memory[8..16].try_into().expect("eight bytes"));
    let at = 32 + (producer as u32 & (SIZE - 1)) as usize;
    for copy in [at, at + SIZE as usize] {
        memory[copy..copy + 4].copy_from_slice(&head.to_le_bytes());
    }
    memory[8..16].copy_from_slice(&producer.wrapping_add(by).to_le_bytes());
}

#[test]
fn programs_drain_what_user_space_writes() {
    let Some(kernel) = kernel("programs_drain_what_user_space_writes") else { return };
    let programs: u64 = std::env::var("MAPS_PROGRAMS").map_or(150, |n| n.parse().expect("a number"));
    let (mut seen, mut stuck) = (0, 0);
    for seed in 0..programs {
        let rng = &mut Rng::new(seed);
        let made = spec(MapType::USER_RINGBUF, 0, 0, SIZE, 0);
        let insns = program(rng);
        let mut both = Both::load(kernel, ProgType::Xdp, insns, std::slice::from_ref(&made))
            .unwrap_or_else(|error| panic!("seed {seed}: {}", error.log));
        let ring = both.kernel_maps[0].user_ring(SIZE as usize);
        for round in 0..8 {
            for _ in 0..rng.below(6) {
                let len = rng.pick(&[0u32, 1, 8, 20, 24, 64, 700, 1500, 4080, 4088, 4089, 5000]);
                let record: Vec<u8> = (0..len).map(|at| (seed + u64::from(at) * 7) as u8).collect();
                let discard = rng.once_in(5);
                let ours = both.engine.map(MapId(0)).unwrap().ring_write(&record, discard);
                assert_eq!(ours.map_err(|e| i32::from(e.0)), ring.write(&record, discard), "seed {seed}: {len} bytes");
            }
            let bad = round == 7 && rng.once_in(2);
            if bad {
                let head = rng.pick(&[1 << 31, 1 << 31 | 8, 3 << 30 | 8, 4089, 8, (1 << 30) - 1, 1 << 24]);
                let by = rng.pick(&[0, 8, 16, 16, 4, 4104, 1 << 30, 1 << 31]);
                scribble(&mut both, head, by);
                ring.scribble(head, by);
            }
            for _ in 0..2 {
                let (outcome, ours) = both.ours(&[0; 64]);
                assert_eq!(outcome.fault, None, "seed {seed}");
                assert_eq!(ours, both.kernel(&[0; 64]), "seed {seed}, round {round}");
                let memory = both.engine.map_memory_mut(MapId(0)).expect("there is a map");
                assert_eq!(memory[..8], ring.consumer().to_le_bytes(), "seed {seed}, round {round}");
                assert_eq!(memory[24..28], [0; 4], "seed {seed}: the ring is left");
                seen += u64::from(ours.packet[8]);
                stuck += u64::from(bad && ours.packet[7] != 0);
            }
        }
    }
    assert!(seen > programs && stuck > 0, "{seen} records seen, {stuck} drains of a spoilt ring");
}
