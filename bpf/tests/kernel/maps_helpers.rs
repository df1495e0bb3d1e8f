//! Programs that use maps through every helper, beside the running kernel: what each call answers, what the maps hold at
//! the end. `MAPS_PROGRAMS` sets how many programs a test makes (default 150).

use crate::support;

use bpf::btf::SpecialFields;
use bpf::env::FixedEnv;
use bpf::insn::{Cond, Insn, Size, Wide};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, XdpFields};
use bpf::maps::{BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, MapId, PerfRecord, PerfRing};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use support::asm::*;
use support::both::{Both, spec};
use support::kernel::{Kernel, kernel, stay_on_cpu_0};
use support::rng::Rng;

const OPERATIONS: usize = 14;

fn programs() -> u64 {
    std::env::var("MAPS_PROGRAMS").map_or(150, |n| n.parse().expect("a number"))
}

/// Where operands lie on the stack: keys, and values of 64 bytes.
const KEY: i16 = -32;
const VALUE: i16 = -96;

/// The head of a program: R9 is the packet, R6 the context; the operands are zero.
fn head() -> Vec<Insn> {
    let mut insns = vec![
        mov(R6, R1),
        load(Size::W, R9, R1, 0),
        load(Size::W, R2, R1, 4),
        mov(R3, R9),
        add(R3, 8 * OPERATIONS as i32),
        branch(Cond::Le, R3, R2, 2),
        mov(R0, -1),
        exit(),
    ];
    insns.extend((1..=12).map(|at| store(Size::D, R10, -8 * at, 0)));
    insns
}

/// R0 goes to the packet as the answer to operation `at`.
fn answer(insns: &mut Vec<Insn>, at: usize) {
    insns.push(store(Size::D, R9, 8 * at as i16, R0));
}

fn pointer(insns: &mut Vec<Insn>, reg: bpf::insn::Reg, off: i16) {
    insns.extend([mov(reg, R10), add(reg, i32::from(off))]);
}

fn fill(insns: &mut Vec<Insn>, byte: u8, bytes: u32) {
    let word = i32::from_le_bytes([byte; 4]);
    insns.extend((0..bytes.div_ceil(4) as i16).map(|at| store(Size::W, R10, VALUE + 4 * at, word)));
}

/// Runs a program a few times on both sides. Returns what the last run answered.
fn compare(both: &mut Both, runs: usize, what: &dyn Fn() -> String) -> Vec<u64> {
    let mut last = Vec::new();
    for _ in 0..runs {
        let packet = vec![0; 8 * OPERATIONS];
        let (outcome, ours) = both.ours(&packet);
        assert_eq!(outcome.fault, None, "{}", what());
        let words = |bytes: &[u8]| -> Vec<i64> {
            bytes.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word)).collect()
        };
        let theirs = both.kernel(&packet);
        assert_eq!(words(&ours.packet), words(&theirs.packet), "{}", what());
        assert_eq!(ours.retval, theirs.retval, "{}", what());
        last = words(&ours.packet).into_iter().map(|word| word as u64).collect();
    }
    last
}

fn load_both(kernel: Kernel, insns: Vec<Insn>, specs: &[MapSpec]) -> Both {
    match Both::load(kernel, ProgType::Xdp, insns, specs) {
        Ok(both) => both,
        Err(error) => panic!("{specs:?}\n{}", error.log),
    }
}

fn keyed(rng: &mut Rng) -> MapSpec {
    let (value, max) = (rng.pick(&[1u32, 4, 8, 24]), rng.below(9) as u32 + 1);
    match rng.below(8) {
        6 | 7 => {
            let fields = SpecialFields { lock: Some(rng.pick(&[4, 8, 20])), timer: None };
            let ty = rng.pick(&[MapType::ARRAY, MapType::HASH]);
            let flags = if ty == MapType::HASH { rng.pick(&[0, BPF_F_NO_PREALLOC]) } else { 0 };
            MapSpec { fields, ..spec(ty, 4, 24, max, flags) }
        }
        0 => spec(MapType::HASH, 4, value, max, rng.pick(&[0, BPF_F_NO_PREALLOC])),
        1 => spec(MapType::PERCPU_HASH, 4, value, max, rng.pick(&[0, BPF_F_NO_PREALLOC])),
        2 => spec(MapType::LRU_HASH, 4, value, max, rng.pick(&[0, BPF_F_NO_COMMON_LRU])),
        3 => spec(MapType::LRU_PERCPU_HASH, 4, value, max, rng.pick(&[0, BPF_F_NO_COMMON_LRU])),
        4 => spec(MapType::LPM_TRIE, 8, value, max, BPF_F_NO_PREALLOC),
        _ => spec(rng.pick(&[MapType::ARRAY, MapType::PERCPU_ARRAY]), 4, value, max, 0),
    }
}

/// Look-ups that change what they find, under its lock if it has one; updates through every flag, deletions. LRU maps fill and evict.
#[test]
fn keyed_maps() {
    let Some(kernel) = kernel("keyed_maps") else { return };
    stay_on_cpu_0();
    for seed in 0..programs() {
        let rng = &mut Rng::new(seed);
        let made = keyed(rng);
        let mut insns = head();
        let lpm = made.ty == MapType::LPM_TRIE;
        for at in 0..OPERATIONS {
            let key = rng.below(u64::from(made.max_entries) + 3) as i32;
            // Of a trie, a prefix's length and its bits.
            let length = if rng.once_in(8) { 33 } else { rng.below(33) as i32 };
            insns.push(store(Size::W, R10, KEY, if lpm { length } else { key }));
            insns.push(store(Size::W, R10, KEY + 4, if lpm { rng.pick(&[0, 0x80, 0xc0, 0x80c0, -1]) } else { 0 }));
            insns.extend(map(R1, 0));
            pointer(&mut insns, R2, KEY);
            match rng.below(8) {
                0..4 => {
                    fill(&mut insns, rng.word() as u8, made.value_size);
                    pointer(&mut insns, R3, VALUE);
                    insns.extend(wide(R4, rng.pick(&[0u64, 0, 0, 1, 2, 3, 4, 4, 5, 6, 8, u64::MAX])));
                    insns.push(helper(2));
                }
                4..7 => match made.fields.lock {
                    None => {
                        insns.extend([helper(1), branch(Cond::Eq, R0, 0, 3)]);
                        insns.extend([load(Size::B, R1, R0, 0), store(Size::B, R0, 0, 77), mov(R0, R1)]);
                    }
                    Some(lock) => {
                        insns.extend([helper(1), branch(Cond::Eq, R0, 0, 10), mov(R8, R0)]);
                        insns.extend([mov(R1, R8), add(R1, lock as i32), helper(93)]);
                        insns.extend([load(Size::B, R7, R8, 0), store(Size::B, R8, 0, 77)]);
                        insns.extend([mov(R1, R8), add(R1, lock as i32), helper(94), mov(R0, R7)]);
                    }
                },
                _ => insns.push(helper(3)),
            }
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let mut both = load_both(kernel, insns, std::slice::from_ref(&made));
        compare(&mut both, 5, &|| format!("seed {seed}: {made:?}"));
        both.same_maps();
    }
}

/// A function that a timer calls: adds to the value's count, says what stopping itself answers, and comes again until it has
/// been there three times.
fn on_timer() -> Vec<Insn> {
    let mut insns = vec![mov(R6, R3), load(Size::W, R7, R2, 0), load(Size::W, R0, R6, 0), add(R0, 1)];
    insns.extend([store(Size::W, R6, 0, R0), mov(R8, R0), store(Size::W, R6, 4, R7), mov(R1, R6), add(R1, TIMER)]);
    insns.extend([helper(172), store(Size::D, R6, 24, R0), branch(Cond::Ge, R8, 3, 5)]);
    insns.extend([mov(R1, R6), add(R1, TIMER), mov(R2, 1_000_000), mov(R3, 0), helper(171)]);
    insns.extend([mov(R0, 0), exit()]);
    insns
}

/// Where the timer lies in a value.
const TIMER: i32 = 8;

/// Timers made, set, stopped and replaced at random; what their functions leave in the values once all have run.
#[test]
fn timers_in_values() {
    let Some(kernel) = kernel("timers_in_values") else { return };
    stay_on_cpu_0();
    let mut fired = 0;
    for seed in 0..programs().div_ceil(20) {
        let rng = &mut Rng::new(seed);
        let ty = rng.pick(&[MapType::ARRAY, MapType::HASH, MapType::LRU_HASH]);
        let fields = SpecialFields { lock: None, timer: Some(TIMER as u32) };
        let made = MapSpec { fields, ..spec(ty, 4, 32, 8, 0) };
        let mut insns = head();
        let mut functions = Vec::new();
        for at in 0..OPERATIONS {
            insns.push(store(Size::W, R10, KEY, rng.below(3) as i32));
            if rng.once_in(8) {
                fill(&mut insns, rng.word() as u8, 32);
                insns.extend(map(R1, 0));
                pointer(&mut insns, R2, KEY);
                pointer(&mut insns, R3, VALUE);
                insns.extend([mov(R4, 0), helper(if rng.once_in(4) { 3 } else { 2 })]);
                answer(&mut insns, at);
                continue;
            }
            insns.extend(map(R1, 0));
            pointer(&mut insns, R2, KEY);
            let mut act = vec![mov(R1, R0), add(R1, TIMER)];
            match rng.below(5) {
                0 | 1 => {
                    act.extend(map(R2, 0));
                    act.extend([mov(R3, rng.pick(&[1, 1, 1, 0, 7, 2, 16])), helper(169)]);
                }
                2 => {
                    functions.push(insns.len() + 2 + act.len());
                    act.extend([Insn::Pad, Insn::Pad, helper(170)]);
                }
                3 => {
                    // Long enough that none is due before the program has ended; or a time long ago.
                    let (time, flags) =
                        rng.pick(&[(20_000_000, 0), (20_000_000, 0), (1_000, 1), (20_000_000, 2), (1, 4)]);
                    act.extend([mov(R2, time), mov(R3, flags), helper(171)]);
                }
                _ => act.push(helper(172)),
            }
            insns.extend([helper(1), branch(Cond::Eq, R0, 0, act.len() as i16)]);
            insns.extend(act);
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let start = insns.len();
        for &at in &functions {
            insns[at] = Insn::LoadImm64 { dst: R2, value: Wide::Func { off: (start - at - 1) as i32 } };
        }
        if !functions.is_empty() {
            insns.extend(on_timer());
        }
        let mut both = load_both(kernel, insns, std::slice::from_ref(&made));
        for key in 0..3u32 {
            both.write_at(0, &key.to_le_bytes(), &[0; 32]);
        }
        let mut env = FixedEnv { now_ns: 1_000_000_000, ..FixedEnv::default() };
        for _ in 0..3 {
            let packet = vec![0; 8 * OPERATIONS];
            let theirs = both.kernel(&packet);
            let ours = both.ours_in(&packet, &mut env).1;
            // A timer takes memory that is there at once or not at all.
            let no_memory = (-i64::from(libc::ENOMEM)).to_le_bytes();
            if theirs.packet.chunks(8).any(|word| word == no_memory) {
                break;
            }
            assert_eq!(ours.packet, theirs.packet, "seed {seed}: {made:?}");
            std::thread::sleep(std::time::Duration::from_millis(80));
            let until = env.now_ns + 80_000_000;
            while let Some(due) = both.engine.next_timer().filter(|due| *due <= until) {
                env.now_ns = env.now_ns.max(due);
                let Some((_, outcome)) = both.engine.fire_timer(until, &mut env, &mut NoObserver) else { break };
                assert_eq!((outcome.fault, outcome.retval), (None, 0));
                fired += 1;
            }
            env.now_ns = until;
            both.same_maps();
        }
    }
    assert!(fired > 0, "no timer was due");
}

#[test]
fn maps_without_keys() {
    let Some(kernel) = kernel("maps_without_keys") else { return };
    for seed in 0..programs() {
        let rng = &mut Rng::new(seed);
        let (ty, value) =
            (rng.pick(&[MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER]), rng.pick(&[1u32, 8, 24]));
        // Large enough that a filter takes no stranger for a member.
        let bloom = ty == MapType::BLOOM_FILTER;
        let made = spec(ty, 0, value, if bloom { 10_000 } else { rng.below(5) as u32 + 1 }, 0);
        let mut insns = head();
        for at in 0..OPERATIONS {
            let push = rng.once_in(2);
            if push || bloom {
                fill(&mut insns, rng.below(12) as u8, value);
            }
            insns.extend(map(R1, 0));
            pointer(&mut insns, R2, VALUE);
            if push {
                insns.extend(wide(R3, rng.pick(&[0u64, 0, 0, 1, 2, 3, 1 << 33])));
                insns.push(helper(87));
            } else {
                insns.push(helper(if bloom || rng.once_in(3) { 89 } else { 88 }));
            }
            // What was read is part of the answer.
            insns.extend([load(Size::B, R1, R10, VALUE), alu64(bpf::insn::AluOp::Lsh, R1, 16)]);
            insns.push(alu64(bpf::insn::AluOp::Xor, R0, R1));
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let mut both = load_both(kernel, insns, std::slice::from_ref(&made));
        compare(&mut both, 3, &|| format!("seed {seed}: {made:?}"));
        loop {
            let ours = both.engine.map(MapId(0)).unwrap().take(&[]).map_err(|errno| i32::from(errno.0));
            assert_eq!(ours, both.kernel_maps[0].take(&[], 0), "seed {seed}: {made:?}");
            if ours.is_err() {
                break;
            }
        }
    }
}

/// Records reserved, filled, handed over or taken back; a reader that comes by now and then.
#[test]
fn ring_buffers() {
    let Some(kernel) = kernel("ring_buffers") else { return };
    const SIZE: u32 = 4096;
    for seed in 0..programs() {
        let rng = &mut Rng::new(seed);
        let mut insns = head();
        for at in 0..OPERATIONS {
            let len = rng.pick(&[0, 1, 8, 20, 24, 64, 700, 1500, 4080, 4088, 5000]);
            let flags = rng.pick(&[0, 0, 0, 1, 2]);
            match rng.below(4) {
                0 => {
                    fill(&mut insns, rng.word() as u8, 64);
                    insns.extend(map(R1, 0));
                    pointer(&mut insns, R2, VALUE);
                    insns.extend([mov(R3, len.min(64)), mov(R4, rng.pick(&[0, 1, 2, 4])), helper(130)]);
                }
                1 => {
                    insns.extend(map(R1, 0));
                    insns.extend([mov(R2, rng.below(6) as i32), helper(134)]);
                }
                _ => {
                    insns.extend(map(R1, 0));
                    insns.extend([mov(R2, len), mov(R3, if rng.once_in(8) { 1 } else { 0 }), helper(131)]);
                    let fills = if len >= 8 { 2 } else { 0 };
                    // Answers 1 for a record, 0 for none.
                    insns.push(branch(Cond::Eq, R0, 0, 5 + fills));
                    if fills > 0 {
                        let last = (len - 8) as i16 & !7;
                        insns.extend([store(Size::D, R0, 0, at as i32), store(Size::D, R0, last, 7 + at as i32)]);
                    }
                    insns.extend([mov(R1, R0), mov(R2, flags), helper(if rng.once_in(3) { 133 } else { 132 })]);
                    insns.extend([mov(R0, 1), jump(0)]);
                }
            }
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let made = spec(MapType::RINGBUF, 0, 0, SIZE, 0);
        let mut both = load_both(kernel, insns, std::slice::from_ref(&made));
        for _ in 0..4 {
            let runs = 1 + rng.below(3) as usize;
            compare(&mut both, runs, &|| format!("seed {seed}"));
            let mut open = both.engine.map(MapId(0)).unwrap();
            let ours: Vec<Vec<u8>> = std::iter::from_fn(|| open.ring_read()).collect();
            let theirs = both.kernel_maps[0].ring_records(SIZE as usize);
            let shape = |records: &[Vec<u8>]| records.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(shape(&ours), shape(&theirs), "seed {seed}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                // What a program did not write is what the ring held.
                assert_eq!(ours, theirs, "seed {seed}");
            }
        }
    }
}

/// Targets in maps, and what a look-up that finds none answers.
#[test]
fn redirects_through_maps() {
    let Some(kernel) = kernel("redirects_through_maps") else { return };
    for seed in 0..programs() {
        let rng = &mut Rng::new(seed);
        let ty = rng.pick(&[MapType::DEVMAP, MapType::DEVMAP_HASH, MapType::CPUMAP, MapType::XSKMAP]);
        let made = spec(ty, 4, 4, 4, 0);
        let mut insns = head();
        for at in 0..OPERATIONS {
            insns.extend(map(R1, 0));
            insns.extend(wide(R2, rng.pick(&[0u64, 1, 2, 3, 4, 1 << 32, u64::from(u32::MAX)])));
            insns.extend(wide(R3, rng.pick(&[0u64, 1, 2, 3, 4, 8, 16, 24, 11, 1 << 40])));
            insns.push(helper(51));
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let mut both = load_both(kernel, insns, std::slice::from_ref(&made));
        if ty != MapType::XSKMAP {
            // The loopback device; a queue on a processor there is.
            both.write_at(0, &1u32.to_le_bytes(), &1u32.to_le_bytes());
        }
        compare(&mut both, 2, &|| format!("seed {seed}: {made:?}"));
    }
}

/// Maps of sockets that hold none.
#[test]
fn sockets_that_nobody_put_there() {
    let Some(kernel) = kernel("sockets_that_nobody_put_there") else { return };
    for ty in [MapType::SOCKMAP, MapType::SOCKHASH] {
        let mut insns = head();
        for at in 0..OPERATIONS {
            insns.push(store(Size::W, R10, KEY, at as i32 / 2));
            insns.extend(map(R1, 0));
            pointer(&mut insns, R2, KEY);
            if at % 2 == 0 {
                insns.extend([helper(1), branch(Cond::Ne, R0, 0, 1), jump(3)]);
                insns.extend([mov(R1, R0), helper(86), mov(R0, 1)]);
            } else {
                insns.push(helper(3));
            }
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let mut both = load_both(kernel, insns, &[spec(ty, 4, 4, 4, 0)]);
        compare(&mut both, 1, &|| ty.to_string());
    }
}

/// Slots of an array of control groups that hold none.
#[test]
fn groups_that_nobody_named() {
    let Some(kernel) = kernel("groups_that_nobody_named") else { return };
    let mut insns = head();
    for (at, slot) in [0, 1, 3, 4, -1].into_iter().enumerate() {
        insns.extend(map(R1, 0));
        insns.extend([mov(R2, slot), helper(37)]);
        answer(&mut insns, at);
    }
    insns.extend([mov(R0, 2), exit()]);
    let mut both = load_both(kernel, insns, &[spec(MapType::CGROUP_ARRAY, 4, 4, 4, 0)]);
    compare(&mut both, 1, &|| "groups".to_owned());
}

#[test]
fn values_of_other_processors() {
    let Some(kernel) = kernel("values_of_other_processors") else { return };
    stay_on_cpu_0();
    for ty in [MapType::PERCPU_ARRAY, MapType::PERCPU_HASH, MapType::LRU_PERCPU_HASH] {
        let mut insns = head();
        for at in 0..OPERATIONS {
            insns.push(store(Size::W, R10, KEY, at as i32 % 4));
            insns.extend(map(R1, 0));
            pointer(&mut insns, R2, KEY);
            insns.extend([mov(R3, at as i32 / 4), helper(195), branch(Cond::Eq, R0, 0, 1), load(Size::D, R0, R0, 0)]);
            answer(&mut insns, at);
        }
        insns.extend([mov(R0, 2), exit()]);
        let mut both = load_both(kernel, insns, &[spec(ty, 4, 8, 3, 0)]);
        for key in 0..2u32 {
            let cpus = support::kernel::possible_cpus() as u64;
            let value: Vec<u8> = (0..cpus).flat_map(|cpu| (10 * u64::from(key) + cpu).to_le_bytes()).collect();
            both.write_at(0, &key.to_le_bytes(), &value);
        }
        let seen = compare(&mut both, 1, &|| ty.to_string());
        assert_eq!((seen[0], seen[1], seen[4]), (0, 10, 1));
    }
}

/// An event array without events answers by its flags, its slots and the packet's length.
#[test]
fn events_that_nobody_reads() {
    let Some(kernel) = kernel("events_that_nobody_reads") else { return };
    let mut insns = head();
    let flags = [0u64, 1, 2, 3, 0xffff_ffff, 10 << 32, 112 << 32, 113 << 32, 0xf_ffff << 32, 1 << 52, 1 << 63, 4, 5, 6];
    for (at, flags) in flags.into_iter().enumerate() {
        insns.push(mov(R1, R6));
        insns.extend(map(R2, 0));
        insns.extend(wide(R3, flags));
        pointer(&mut insns, R4, VALUE);
        insns.extend([mov(R5, 16), helper(25)]);
        answer(&mut insns, at);
    }
    insns.extend([mov(R0, 2), exit()]);
    stay_on_cpu_0();
    let mut both = load_both(kernel, insns, &[spec(MapType::PERF_EVENT_ARRAY, 4, 4, 3, 0)]);
    compare(&mut both, 1, &|| "events".to_owned());
}

/// A reader of the ring in a slot gets the data, the packet's beginning behind it, and word of what was lost.
#[test]
fn events_that_somebody_reads() {
    let mut insns = head();
    for at in 0..4 {
        insns.extend([mov(R1, R6), store(Size::D, R10, VALUE, at)]);
        insns.extend(map(R2, 0));
        // The running processor's ring, and two bytes of the packet.
        insns.extend(wide(R3, 2 << 32 | 0xffff_ffff));
        pointer(&mut insns, R4, VALUE);
        insns.extend([mov(R5, 16), helper(25)]);
        answer(&mut insns, at as usize);
    }
    insns.extend([mov(R0, 2), exit()]);
    let made = spec(MapType::PERF_EVENT_ARRAY, 4, 4, 3, 0);
    let program = Program::from_insns("events", ProgType::Xdp, insns, vec![made.clone()]);
    let code = Code::new(&program).unwrap();
    let mut engine = Engine::new(EngineConfig { cpus: 2, ..EngineConfig::default() }, &[made]).unwrap();
    // A record takes 8 + 4 + 18 bytes, rounded to 32; one byte of a ring stays free.
    let ring = engine.open_perf(PerfRing::new(1, 65));
    let key = 1u32.to_le_bytes();
    engine.map(MapId(0)).unwrap().update(&key, &ring.to_le_bytes(), 0).unwrap();
    let run = |engine: &mut Engine, cpu| {
        let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &[0xab; 8 * OPERATIONS] };
        let mut env = FixedEnv { cpu, ..FixedEnv::default() };
        let outcome = engine.run(&code, input, &mut env, &mut NoObserver);
        assert_eq!((outcome.retval, outcome.fault), (2, None));
        let answers = engine.packet().as_chunks::<8>().0;
        [0, 1, 2, 3].map(|at| i64::from_le_bytes(answers[at]))
    };
    assert_eq!(run(&mut engine, 0), [-i64::from(libc::ENOENT); 4], "the slot of processor 0 is empty");
    let full = -i64::from(libc::ENOSPC);
    assert_eq!(run(&mut engine, 1), [0, 0, full, full]);
    let ring = engine.perf_ring(ring).unwrap();
    assert_eq!(ring.lost(), 2);
    for at in 0..2u8 {
        let Some(PerfRecord::Sample(bytes)) = ring.read() else { panic!("there are two records") };
        // The first call sees the packet as it came; its answer, 0, then stands where the second reads.
        let packet = if at == 0 { [0xab; 2] } else { [0; 2] };
        assert_eq!((bytes.len(), bytes[0], &bytes[16..18], &bytes[18..]), (20, at, &packet[..], &[0; 2][..]));
    }
    assert_eq!(ring.read(), None);
    // The notice takes room too: with it only one record fits.
    assert_eq!(run(&mut engine, 1), [0, full, full, full]);
    let ring = engine.perf_ring(1).unwrap();
    assert_eq!(ring.read(), Some(PerfRecord::Lost(2)));
    assert!(matches!(ring.read(), Some(PerfRecord::Sample(_))));
    assert_eq!((ring.read(), ring.lost()), (None, 5));
}
