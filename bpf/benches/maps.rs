//! Map operations: alone, called by a program in the interpreter, and called by the same program in the running kernel.
//!
//! Prints a table: how many times as long as Linux's call the operation alone takes, and the interpreter's call; then
//! nanoseconds an operation, the least of several rounds. A program makes 64 calls with different keys of a map of 1,024
//! entries that is full; its columns hold what surrounds a call too, seven instructions. Where bpf(2) may not be called the
//! ratios and the kernel's column are empty.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use bpf::env::FixedEnv;
use bpf::insn::{Insn, Size};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, XdpFields};
use bpf::maps::{AccessLog, BPF_F_NO_PREALLOC, Linear, Map, MapId};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use support::asm::*;
use support::both::{kernel_bytes, spec};
use support::kernel::{Kernel, kernel, stay_on_cpu_0};

const ENTRIES: u32 = 1024;
const CALLS: u32 = 64;
const ROUNDS: usize = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Lookup,
    Update,
    Push,
    Pop,
    Peek,
    Redirect,
    Output,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Op::Lookup => "look-up",
            Op::Update => "update",
            Op::Push => "push",
            Op::Pop => "push and pop",
            Op::Peek => "peek",
            Op::Redirect => "redirect",
            Op::Output => "output",
        }
    }

    fn helper(self) -> u32 {
        match self {
            Op::Lookup => 1,
            Op::Update => 2,
            Op::Push => 87,
            Op::Pop => 88,
            Op::Peek => 89,
            Op::Redirect => 51,
            Op::Output => 130,
        }
    }
}

/// A key of the map: an index, or for a trie a prefix of 24 bits.
fn key(spec: &MapSpec, at: u32) -> Vec<u8> {
    match spec.ty {
        MapType::LPM_TRIE => [24u32.to_le_bytes(), (at << 14).to_be_bytes()].concat(),
        _ if spec.key_size == 0 => Vec::new(),
        _ => at.to_le_bytes().to_vec(),
    }
}

/// A value of the map; a device is the loopback device.
fn value(spec: &MapSpec) -> Vec<u8> {
    if spec.value_size == 4 { vec![1, 0, 0, 0] } else { vec![1; 8] }
}

/// Keys of a program's calls, spread over the map.
fn keys(spec: &MapSpec) -> Vec<Vec<u8>> {
    (0..CALLS).map(|call| key(spec, call * 389 % ENTRIES)).collect()
}

fn program(spec: &MapSpec, op: Op) -> Vec<Insn> {
    let mut insns: Vec<Insn> = (1..=4).map(|at| store(Size::D, R10, -8 * at, 0)).collect();
    for key in keys(spec) {
        for (word, at) in key.chunks(4).zip(0..) {
            let word = i32::from_le_bytes(word.try_into().expect("keys are of whole words"));
            insns.push(store(Size::W, R10, -16 + 4 * at, word));
        }
        insns.extend(map(R1, 0));
        match op {
            Op::Lookup => insns.extend([mov(R2, R10), add(R2, -16)]),
            Op::Update => {
                insns.extend([mov(R2, R10), add(R2, -16), mov(R3, R10), add(R3, -24), mov(R4, 0)]);
            }
            Op::Push => insns.extend([mov(R2, R10), add(R2, -24), mov(R3, if hashed(spec) { 0 } else { 2 })]),
            // A bloom filter is asked for the key.
            Op::Peek => insns.extend([mov(R2, R10), add(R2, -24)]),
            Op::Redirect => insns.extend([load(Size::W, R2, R10, -16), mov(R3, 2)]),
            Op::Pop => {
                insns.extend([mov(R2, R10), add(R2, -24), mov(R3, 2), helper(Op::Push.helper())]);
                insns.extend(map(R1, 0));
                insns.extend([mov(R2, R10), add(R2, -24)]);
            }
            Op::Output => insns.extend([mov(R2, R10), add(R2, -24), mov(R3, 8), mov(R4, 1)]),
        }
        insns.push(helper(op.helper()));
    }
    insns.extend([mov(R0, 2), exit()]);
    insns
}

/// Whether a map without keys holds a set, in which nothing makes room.
fn hashed(spec: &MapSpec) -> bool {
    spec.ty == MapType::BLOOM_FILTER
}

/// The least nanoseconds a call over the rounds.
fn least(mut round: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn timed(calls: u32, repeat: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..repeat {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(repeat * calls)
}

/// Operations on the map alone, over a plain slice.
fn alone(spec: &MapSpec, op: Op) -> f64 {
    let map = Map::new(spec.clone(), 1).expect("the bench's maps can be made");
    let mut bytes = vec![0; map.region_size() as usize];
    let (mut memory, mut log) = (Linear(&mut bytes), AccessLog::new());
    for at in 0..ENTRIES {
        let _ = map.update(&mut memory, &mut log, 0, &key(spec, at), &[1; 8][..spec.value_size.min(8) as usize], 0);
        let _ = map.push(&mut memory, &mut log, &[1; 8], if hashed(spec) { 0 } else { 2 });
    }
    let flags = if hashed(spec) { 0 } else { 2 };
    let keys = keys(spec);
    let mut value = [1; 8];
    least(|| {
        timed(CALLS, 300, || {
            for key in &keys {
                match op {
                    Op::Lookup | Op::Redirect => {
                        black_box(map.lookup(&mut memory, &mut log, 0, key));
                    }
                    Op::Update => {
                        let _ = black_box(map.update(&mut memory, &mut log, 0, key, &[1; 8], 0));
                    }
                    Op::Push => {
                        let _ = black_box(map.push(&mut memory, &mut log, &[1; 8], flags));
                    }
                    Op::Peek => {
                        let _ = black_box(map.pop(&mut memory, &mut log, &mut value, true));
                    }
                    Op::Pop => {
                        let _ = map.push(&mut memory, &mut log, &[1; 8], 2);
                        let _ = black_box(map.pop(&mut memory, &mut log, &mut value, false));
                    }
                    Op::Output => {
                        if let Some(record) = map.ring_reserve(&mut memory, &mut log, 8) {
                            map.ring_commit(&mut memory, &mut log, record, 1, false);
                        }
                    }
                }
            }
        })
    })
}

fn interpreted(spec: &MapSpec, op: Op) -> f64 {
    let program = Program::from_insns("bench", ProgType::Xdp, program(spec, op), vec![spec.clone()]);
    let code = Code::new(&program).expect("the bench's programs decode");
    let mut engine = Engine::new(EngineConfig::default(), std::slice::from_ref(spec)).expect("its maps fit");
    let mut map = engine.map(MapId(0)).expect("there is one map");
    for at in 0..ENTRIES {
        let _ = map.update(&key(spec, at), &value(spec), 0);
    }
    let (mut env, packet) = (FixedEnv::default(), [0; 64]);
    let mut run = || {
        let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &packet };
        let outcome = engine.run(&code, input, &mut env, &mut NoObserver);
        assert_eq!((outcome.retval, outcome.fault), (2, None), "{} {}", spec.ty, op.name());
    };
    least(|| timed(CALLS, 300, &mut run))
}

fn in_kernel(kernel: Kernel, spec: &MapSpec, op: Op) -> f64 {
    let map = kernel.create(spec).expect("the kernel makes the map");
    for at in 0..ENTRIES {
        let value = if spec.value_size == 4 { value(spec) } else { vec![1; map.user_value_size] };
        let _ = map.update(&key(spec, at), &value, 0);
    }
    let maps = [map];
    let program =
        kernel.load(6, &kernel_bytes(&program(spec, op), &maps), "GPL").unwrap_or_else(|e| panic!("{}", e.log));
    least(|| f64::from(program.nanoseconds(&[0; 64], 2000)) / f64::from(CALLS))
}

fn main() {
    let keyed = |ty, flags| spec(ty, 4, 8, ENTRIES, flags);
    let both = [Op::Lookup, Op::Update];
    let cases: [(MapSpec, &[Op]); 13] = [
        (keyed(MapType::ARRAY, 0), &both),
        (keyed(MapType::PERCPU_ARRAY, 0), &both),
        (keyed(MapType::HASH, 0), &both),
        (keyed(MapType::PERCPU_HASH, 0), &both),
        (keyed(MapType::LRU_HASH, 0), &both),
        (keyed(MapType::LRU_PERCPU_HASH, 0), &both),
        (spec(MapType::LPM_TRIE, 8, 8, ENTRIES, BPF_F_NO_PREALLOC), &both),
        (spec(MapType::QUEUE, 0, 8, ENTRIES, 0), &[Op::Push, Op::Pop]),
        (spec(MapType::STACK, 0, 8, ENTRIES, 0), &[Op::Push, Op::Pop]),
        (spec(MapType::BLOOM_FILTER, 0, 8, ENTRIES, 0), &[Op::Push, Op::Peek]),
        (spec(MapType::DEVMAP, 4, 4, ENTRIES, 0), &[Op::Lookup, Op::Redirect]),
        (spec(MapType::DEVMAP_HASH, 4, 4, ENTRIES, 0), &[Op::Lookup, Op::Redirect]),
        (spec(MapType::RINGBUF, 0, 0, 1 << 25, 0), &[Op::Output]),
    ];
    stay_on_cpu_0();
    let kernel = kernel("the bench of maps");
    println!(
        "| map | operation | alone / Linux | interpreter / Linux | alone, ns | in the interpreter, ns | in Linux, ns |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (spec, ops) in &cases {
        for &op in *ops {
            let (alone, ours) = (alone(spec, op), interpreted(spec, op));
            let theirs = kernel.map(|kernel| in_kernel(kernel, spec, op));
            let ratio = |of: f64| theirs.map_or(String::new(), |theirs| format!("{:.1}", of / theirs));
            let (first, second) = (ratio(alone), ratio(ours));
            let theirs = theirs.map_or(String::new(), |theirs| format!("{theirs:.0}"));
            println!("| {} | {} | {first} | {second} | {alone:.0} | {ours:.0} | {theirs} |", spec.ty, op.name());
        }
    }
}
