//! Redirects by device and processor maps against the running kernel, frames and all: which devices get one, what the
//! programs of entries see, what they do to the frame. Pairs of devices in a namespace of the test's own; a program at the
//! far end of each writes down what arrives.

use crate::support;

use std::process::Command;
use std::time::Duration;

use bpf::env::FixedEnv;
use bpf::helpers::Redirect;
use bpf::insn::{Cond, Insn, Size};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, Target, XdpFields, excluded};
use bpf::maps::MapId;
use bpf::program::{Attach, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify};
use support::asm::*;
use support::both::{kernel_bytes, spec};
use support::kernel::{self, Kernel, KernelMap, KernelProg, LoadRequest, kernel};
use support::progress;
use support::rng::Rng;

const DEVICES: [u32; 3] = [10, 12, 14];
/// Bytes of a record: words of [`word`].
const RECORD: usize = 48;
const XDP_PASS: i32 = 2;
const BROADCAST: u64 = 8;

/// Words of what a program writes down.
mod word {
    pub const WHO: i16 = 0;
    pub const INGRESS: i16 = 1;
    pub const QUEUE: i16 = 2;
    pub const EGRESS: i16 = 3;
    pub const LENGTH: i16 = 4;
    pub const META: i16 = 5;
    pub const MOVED: i16 = 6;
    pub const FIRST: i16 = 7;
    pub const SECOND: i16 = 8;
    pub const META_WORD: i16 = 9;
}

/// Where a record's word lies in the program's frame.
fn at(word: i16) -> i16 {
    4 * word - RECORD as i16
}

/// Map `index` of every program here.
const TARGETS: u32 = 0;
const LOG: u32 = 1;

/// Writes the frame's first bytes, which are nobody's where its start has moved.
fn begin(byte: i32) -> Vec<Insn> {
    vec![
        load(Size::W, R2, R6, 0),
        load(Size::W, R3, R6, 4),
        mov(R1, R2),
        add(R1, 8),
        branch(Cond::Gt, R1, R3, 1),
        store(Size::D, R2, 0, byte),
    ]
}

/// Puts down what the program sees. R6 is the context.
fn note(who: i32, attach: Attach) -> Vec<Insn> {
    let mut code: Vec<Insn> = (0..RECORD as i16 / 8).map(|i| store(Size::D, R10, 8 * i - RECORD as i16, 0)).collect();
    code.push(store(Size::W, R10, at(word::WHO), who));
    let mut fields = vec![(12, word::INGRESS), (16, word::QUEUE)];
    if attach == Attach::XdpDevmap {
        fields.push((20, word::EGRESS));
    }
    for (off, to) in fields {
        code.extend([load(Size::W, R1, R6, off), store(Size::W, R10, at(to), R1)]);
    }
    code
}

/// Writes down the frame and hands the record over; leaves its first byte changed by `touch`.
fn finish(touch: Option<i32>) -> Vec<Insn> {
    let mut code = vec![
        load(Size::W, R2, R6, 0),
        load(Size::W, R3, R6, 4),
        load(Size::W, R4, R6, 8),
        mov(R1, R3),
        alu64(bpf::insn::AluOp::Sub, R1, R2),
        store(Size::W, R10, at(word::LENGTH), R1),
        mov(R1, R2),
        alu64(bpf::insn::AluOp::Sub, R1, R4),
        store(Size::W, R10, at(word::META), R1),
    ];
    // The metadata's last word, if there is any.
    code.extend([
        mov(R1, R4),
        add(R1, 4),
        branch(Cond::Gt, R1, R2, 2),
        load(Size::W, R1, R4, 0),
        store(Size::W, R10, at(word::META_WORD), R1),
    ]);
    let mut frame = vec![
        load(Size::W, R1, R2, 0),
        store(Size::W, R10, at(word::FIRST), R1),
        load(Size::W, R1, R2, 4),
        store(Size::W, R10, at(word::SECOND), R1),
    ];
    frame.extend(touch.map(|byte| store(Size::B, R2, 5, byte)));
    code.extend([mov(R1, R2), add(R1, 8), branch(Cond::Gt, R1, R3, frame.len() as i16)]);
    code.extend(frame);
    code.extend(map(R1, LOG));
    code.extend([mov(R2, R10), add(R2, -(RECORD as i32)), mov(R3, 0), helper(87)]);
    code
}

/// A program of an entry, or at the far end of a pair.
fn witness(who: i32, attach: Attach, moves: i32, touch: Option<i32>, verdict: i32) -> Vec<Insn> {
    let mut code = vec![mov(R6, R1)];
    code.extend(note(who, attach));
    if moves != 0 {
        code.extend([mov(R1, R6), mov(R2, moves), helper(44), store(Size::W, R10, at(word::MOVED), R0)]);
        code.extend(begin(0x2000 + who));
    }
    code.extend(finish(touch));
    code.extend([mov(R0, verdict), exit()]);
    code
}

/// The program that redirects, having moved the frame's start and made metadata.
fn sender(moves: i32, meta: bool, key: u32, flags: u64) -> Vec<Insn> {
    let mut code = vec![mov(R6, R1)];
    if moves != 0 {
        code.extend([mov(R2, moves), helper(44)]);
        code.extend(begin(0x1000));
    }
    if meta {
        code.extend([mov(R1, R6), mov(R2, -4), helper(54)]);
        code.extend([load(Size::W, R2, R6, 8), load(Size::W, R3, R6, 0), mov(R1, R2), add(R1, 4)]);
        code.extend([branch(Cond::Gt, R1, R3, 1), store(Size::W, R2, 0, 0x5eed)]);
    }
    code.extend(map(R1, TARGETS));
    code.extend([mov(R2, key as i32), mov(R3, flags as i32), helper(51), exit()]);
    code
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().expect("iproute2 is there");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program on both sides.
struct Pair {
    kernel: KernelProg,
    code: Code,
}

fn pair(kernel: Kernel, insns: Vec<Insn>, attach: Attach, specs: &[MapSpec], maps: &[KernelMap]) -> Pair {
    let attach_type = [0, 33, 35][attach as usize];
    let bytes = kernel_bytes(&insns, maps);
    let request =
        LoadRequest { prog_type: ProgType::Xdp.number(), bytes: &bytes, attach_type, ..LoadRequest::default() };
    let loaded = kernel.explained(&request).unwrap_or_else(|error| panic!("{}", error.log));
    let program = Program { attach, ..Program::from_insns("p", ProgType::Xdp, insns, specs.to_vec()) };
    let verdict = verify(program, &Options::default());
    let Verdict::Accepted(verified) = verdict else { panic!("the kernel takes it") };
    Pair { kernel: loaded, code: Code::new(verified.xlated()).unwrap() }
}

/// What one round's programs wrote down, in any order.
fn records(mut pop: impl FnMut() -> Option<Vec<u8>>) -> Vec<Vec<u32>> {
    let words = |record: Vec<u8>| record.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect();
    let mut all: Vec<Vec<u32>> = std::iter::from_fn(&mut pop).map(words).collect();
    all.sort();
    all
}

/// Our side of what happens behind a redirect: the far ends are at `ifindex + 1`.
struct Ours {
    engine: Engine,
    far: Code,
}

impl Ours {
    fn run(&mut self, code: &Code, context: XdpFields, packet: &[u8]) -> (u64, Option<Redirect>) {
        let input = RunInput { context: ContextInput::Xdp(context), packet };
        let outcome = self.engine.run(code, input, &mut FixedEnv::default(), &mut NoObserver);
        assert_eq!(outcome.fault, None);
        (outcome.retval, outcome.redirect)
    }

    fn all(&self) -> Vec<u8> {
        [self.engine.metadata(), self.engine.packet()].concat()
    }

    /// A frame goes to a device, or to a processor.
    fn go(&mut self, target: Target, ingress: u32, behind: XdpFields, frame: &[u8], device: bool) {
        let egress = if device { target.word } else { 0 };
        let (mut frame, mut meta) = (frame.to_vec(), behind.meta);
        if let Some(program) = target.program {
            let code = self.engine.shared(program).unwrap();
            let (verdict, _) = self.run(&code, XdpFields { egress_ifindex: egress, ..behind }, &frame);
            assert_eq!(behind.ingress_ifindex, ingress);
            if verdict as i32 != XDP_PASS {
                return;
            }
            (frame, meta) = (self.all(), self.engine.metadata().len() as u32);
        }
        if device {
            let far = self.far.clone();
            let context = XdpFields { ingress_ifindex: target.word + 1, meta, ..XdpFields::default() };
            self.run(&far, context, &frame);
        }
    }

    fn send(&mut self, sender: &Code, ingress: u32, packet: &[u8]) {
        let context = XdpFields { ingress_ifindex: ingress, ..XdpFields::default() };
        let (verdict, redirect) = self.run(sender, context, packet);
        let Some(redirect) = redirect.filter(|_| verdict == 4) else { return };
        let (frame, behind) = (self.all(), self.engine.behind(ingress, 0));
        let (map, _) = redirect.map.unwrap();
        let device = self.engine.maps()[map].spec().ty != MapType::CPUMAP;
        let mut targets = match redirect.flags & BROADCAST != 0 {
            true => self.engine.targets(map),
            false => self.engine.target(&redirect).into_iter().collect(),
        };
        let out = excluded(&redirect, ingress);
        targets.retain(|target| !device || redirect.flags & BROADCAST == 0 || Some(target.word) != out);
        for target in targets {
            self.go(target, ingress, behind, &frame, device);
        }
    }
}

#[test]
fn frames_go_where_linux_sends_them() {
    let Some(kernel) = kernel("redirects") else { return };
    if !kernel::enter_new_network() || Command::new("ip").arg("-V").output().is_err() {
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "redirects: no network namespace");
        eprintln!("SKIPPED redirects: no network namespace or no iproute2");
        return;
    }
    kernel::stay_on_cpu_0();
    // No frames but ours: devices that have no addresses say nothing of themselves.
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    for device in DEVICES {
        ip(&format!("link add v{device} index {device} type veth peer name w{device} index {}", device + 1));
        ip(&format!("link set w{device} up"));
        ip(&format!("link set v{device} up"));
    }
    let rounds = std::env::var("REDIRECT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150u64);
    let mut rng = Rng::new(0x2ed1);
    let log = spec(MapType::QUEUE, 0, RECORD as u32, 64, 0);
    let far_log = kernel.create(&log).unwrap();
    let nothing = spec(MapType::ARRAY, 4, 4, 1, 0);
    let far_maps = [kernel.create(&nothing).unwrap(), far_log];
    let far_code = witness(9, Attach::Hook, 0, None, 1);
    let far = pair(kernel, far_code.clone(), Attach::Hook, &[nothing.clone(), log.clone()], &far_maps);
    let ends: Vec<u32> = DEVICES.iter().flat_map(|device| [*device, device + 1]).collect();
    let _links: Vec<_> = ends.iter().map(|device| far.kernel.attach_xdp(*device).expect("a veth takes XDP")).collect();
    let mut seen = 0;
    for round in 0..rounds {
        progress::one_more("rounds");
        seen += one_round(kernel, &mut rng, &log, &far_maps[1], &far_code, round);
    }
    assert!(2 * seen > rounds, "{seen} records in {rounds} rounds");
}

fn one_round(kernel: Kernel, rng: &mut Rng, log: &MapSpec, far_log: &KernelMap, far: &[Insn], round: u64) -> u64 {
    let ty = rng.pick(&[MapType::DEVMAP, MapType::DEVMAP_HASH, MapType::DEVMAP, MapType::CPUMAP]);
    let devices = ty != MapType::CPUMAP;
    let targets = spec(ty, 4, 8, 4, 0);
    let specs = [targets.clone(), log.clone()];
    let maps = [kernel.create(&targets).unwrap(), kernel.create(log).unwrap()];
    let attach = if devices { Attach::XdpDevmap } else { Attach::XdpCpumap };
    let mut random = |who| {
        let moves = rng.pick(&[0, 0, -20, -100, -190, -200, -210, -216, -240, 10]);
        // A frame that a processor's program lets go ends in the stack, where nobody looks.
        let verdict = rng.pick(&[2, 2, 2, 1, 0, 3, 4, 77]);
        witness(who, attach, moves, rng.once_in(2).then_some(who), verdict)
    };
    let behind = [random(1), random(2)].map(|insns| pair(kernel, insns, attach, &specs, &maps));
    let config = EngineConfig { cpus: kernel::possible_cpus() as u32, ..EngineConfig::default() };
    let mut engine = Engine::new(config, &[specs[0].clone(), specs[1].clone(), log.clone()]).unwrap();
    let numbers = behind.each_ref().map(|pair| engine.add_program(std::sync::Arc::new(pair.code.clone())).reference());
    let mut text = String::new();
    // A device has one program: Linux gathers frames for it and runs the first one's on all.
    let of_device = DEVICES.map(|_| rng.below(3) as usize);
    for _ in 0..2 + rng.below(4) {
        let key = rng.below(4) as u32;
        let word = if devices { rng.pick(&DEVICES) } else { 64 };
        let key = if devices { key } else { 0 };
        let which = of_device[DEVICES.iter().position(|device| *device == word).unwrap_or(0)];
        let value = |number: u32| [word.to_le_bytes(), number.to_le_bytes()].concat();
        let (theirs, ours) = if which == 2 { (0, 0) } else { (behind[which].kernel.fd() as u32, numbers[which]) };
        let flags = 0;
        let result = maps[0].update(&key.to_le_bytes(), &value(theirs), flags);
        let mine = engine.map(MapId(0)).unwrap().update(&key.to_le_bytes(), &value(ours), flags);
        assert_eq!(mine.map_err(|errno| i32::from(errno.0)), result);
        text += &format!("{key}: {word} program {which}; ");
    }
    let moves = rng.pick(&[0, 0, -20, -60, 14]);
    let flags = rng.pick(&[0, 1, 1, 1, if devices { 8 } else { 1 }, if devices { 24 } else { 1 }]);
    // Only a direction that the far ends see or a program notes; what is passed would go to the stack.
    let flags = if flags & BROADCAST == 0 { 1 } else { flags };
    let key = if devices { rng.below(5) as u32 } else { 0 };
    let insns = sender(moves, rng.once_in(2), key, flags);
    let send = pair(kernel, insns, Attach::Hook, &specs, &maps);
    let len = 60 + rng.below(40) as usize;
    let mut packet = rng.bytes(len);
    packet[12..14].copy_from_slice(&[0x88, 0xb5]);
    let ingress = rng.pick(&DEVICES);
    let mut context = [0u8; 24];
    context[4..8].copy_from_slice(&(packet.len() as u32).to_le_bytes());
    context[12..16].copy_from_slice(&ingress.to_le_bytes());
    send.kernel.run_live(&packet, &context).expect("the kernel runs it");

    // The far ends write to a log of their own, which is map 1 of their program.
    let far_program = Program::from_insns("far", ProgType::Xdp, far.to_vec(), specs.to_vec());
    let far_code = Code::bound(&far_program, &[MapId(0), MapId(2)]).unwrap();
    let mut ours = Ours { engine, far: far_code };
    ours.send(&send.code, ingress, &packet);
    let mut take = |id: u32| {
        let mut map = ours.engine.map(MapId(id)).unwrap();
        records(|| map.take(&[]).ok())
    };
    let (wanted, wanted_far) = (take(1), take(2));
    // Frames arrive a moment later, on this processor or by the thread of another.
    let (mut found, mut found_far) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        found.extend(records(|| maps[1].take(&[], 0).ok()));
        found_far.extend(records(|| far_log.take(&[], 0).ok()));
        if found.len() >= wanted.len() && found_far.len() >= wanted_far.len() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    found.sort();
    found_far.sort();
    let told = format!("round {round}: {ty} {text}key {key} flags {flags} moved {moves} from {ingress}");
    assert_eq!((&wanted, &wanted_far), (&found, &found_far), "{told}: ours, then Linux's");
    (found.len() + found_far.len()) as u64
}
