//! Translated programs on the card's core against the interpreter: verdict, packet and maps after every packet, one packet
//! in flight. The scenarios' programs run on packets made to reach every branch of theirs, and generated programs on
//! random bytes.

#[path = "../../../../nic-model/tests/bench/mod.rs"]
mod bench;
pub mod generate;
pub mod packets;
mod pair;
#[path = "../../../../bpf/tests/support/rng.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod rng;
mod tail_calls;

use std::path::Path;

use bpf::facts::Facts;
use bpf::insn::{AluOp, Callee, Cond, Insn, Operand, Reg, Size, Wide, Width};
use bpf::object::Object;
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{self, Options, Verdict};
use nic_model::profile::{self, Capabilities};
use offload_jit::{Fault, Image, Mode, compile};
use packets::NamedEntry;
use pair::Entry;
pub use pair::Pair;
pub use rng::Rng;

/// Packets each scenario program is run on.
const SCENARIO_PACKETS: u64 = 3000;
/// Generated programs.
const PROGRAMS: u64 = 600;
/// Generated programs after which a long run says how far it is.
const LONG: u64 = 5000;
/// Words of the driver's that mode best may need, in percent, over all generated programs.
const MOST_WORDS: usize = 85;
/// Packets each generated program is run on.
const PROGRAM_PACKETS: u64 = 4;

/// The Agilio, with a random number register.
pub fn card() -> Capabilities {
    let mut card = profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities;
    card.random.value = true;
    card
}

fn scenario(name: &str, mode: Mode) -> (Program, Image) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs").join(name).with_extension("bpf.o");
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let program = Object::parse(&bytes).and_then(|object| object.program(None, None)).expect("the object is good");
    let options = Options { device_bound: true, ..Options::default() };
    let verified = verifier::verify(program, &options).accepted().expect("the program is good");
    let image =
        compile(&verified, &Facts::of(&verified), &card(), mode).unwrap_or_else(|refusals| panic!("{}", refusals[0]));
    (verified.program().clone(), image)
}

/// Runs a scenario's program; `entries` are what its maps begin with. Returns how often each return code came up.
fn agree(name: &str, mode: Mode, entries: &[NamedEntry]) -> [u64; 5] {
    let (program, image) = scenario(name, mode);
    let index = |name: &str| program.maps.iter().position(|map| map.name == name).expect("a map of the program");
    let entries: Vec<Entry> =
        entries.iter().map(|(map, key, value)| (index(map), key.clone(), value.clone())).collect();
    let mut pair = Pair::new(&program, &image, &entries).expect("maps that the card takes");
    let mut rng = Rng::new(7);
    let mut codes = [0; 5];
    for n in 0..SCENARIO_PACKETS {
        let packet = packets::packet(&mut rng);
        match pair.compare(&packet) {
            Ok(code) => codes[code.min(4) as usize] += 1,
            Err(difference) => panic!("{name}, packet {n} {packet:02x?}: {difference}"),
        }
    }
    codes
}

#[test]
fn drop_agrees() {
    for mode in Mode::ALL {
        assert_eq!(agree("drop", mode, &[]), [0, SCENARIO_PACKETS, 0, 0, 0]);
    }
}

#[test]
fn firewall_agrees() {
    for mode in Mode::ALL {
        let [_, dropped, passed, ..] = agree("firewall", mode, &packets::firewall_rules());
        assert!(dropped > 100 && passed > 100, "{dropped} dropped, {passed} passed");
    }
}

#[test]
fn load_balancer_agrees() {
    for mode in Mode::ALL {
        let [_, _, passed, sent, _] = agree("l4lb", mode, &packets::l4lb_services());
        assert!(passed > 100 && sent > 100, "{passed} passed, {sent} sent");
    }
}

#[test]
fn generated_programs_agree_in_driver_mode() {
    let faults =
        |image: &Image| image.notes().iter().all(|n| matches!(n.fault, Fault::HeadRoom | Fault::TailNeverGrows));
    generated_programs_agree(Mode::Driver, false, PROGRAMS, &faults);
}

#[test]
fn generated_programs_agree_in_mode_best() {
    generated_programs_agree(Mode::Best, false, PROGRAMS, &|_| true);
}

#[test]
fn generated_programs_of_what_the_driver_refuses_agree() {
    generated_programs_agree(Mode::Best, true, PROGRAMS, &|_| true);
}

/// Loads that acquire and stores that release, on the stack and in a map's value.
#[test]
fn ordered_accesses_agree() {
    let store = |size, base, off, src| Insn::StoreRelease { size, base, off, src };
    let load = |size, dst, base, off| Insn::LoadAcquire { size, dst, base, off };
    let set = |dst, src| Insn::Mov { width: Width::W64, dst, src, sext: None };
    let insns = vec![
        Insn::LoadImm64 { dst: Reg::R6, value: Wide::Value(0x1122_3344_5566_7781) },
        Insn::Pad,
        store(Size::D, Reg::R10, -8, Reg::R6),
        load(Size::W, Reg::R7, Reg::R10, -8),
        Insn::Store { size: Size::W, base: Reg::R10, off: -16, src: Operand::Imm(1) },
        set(Reg::R2, Operand::Reg(Reg::R10)),
        Insn::Alu { width: Width::W64, op: AluOp::Add, dst: Reg::R2, src: Operand::Imm(-16) },
        Insn::LoadImm64 { dst: Reg::R1, value: Wide::Map(MapIndex(0)) },
        Insn::Pad,
        Insn::Call { callee: Callee::Helper(1) },
        Insn::Branch { width: Width::W64, cond: Cond::Eq, dst: Reg::R0, src: Operand::Imm(0), off: 5 },
        load(Size::D, Reg::R8, Reg::R0, 0),
        Insn::Alu { width: Width::W64, op: AluOp::Add, dst: Reg::R8, src: Operand::Reg(Reg::R7) },
        store(Size::D, Reg::R0, 0, Reg::R8),
        store(Size::H, Reg::R0, 8, Reg::R8),
        load(Size::B, Reg::R7, Reg::R0, 8),
        set(Reg::R0, Operand::Reg(Reg::R7)),
        Insn::Alu { width: Width::W64, op: AluOp::And, dst: Reg::R0, src: Operand::Imm(3) },
        Insn::Exit,
    ];
    let (ty, key_size, value_size, max_entries) = (MapType::ARRAY, 4, 16, 2);
    let map = MapSpec { name: "values".to_owned(), ty, key_size, value_size, max_entries, ..MapSpec::default() };
    let program = Program::from_insns("ordered", ProgType::Xdp, insns, vec![map]);
    let verified = verifier::verify(program.clone(), &Options::default()).accepted().expect("the program is good");
    let card = profile::builtin("open-npu").expect("it comes with the project").capabilities;
    let image = compile(&verified, &Facts::of(&verified), &card, Mode::Best).unwrap_or_else(|why| panic!("{}", why[0]));
    let mut pair = Pair::new(&program, &image, &[]).expect("maps that the card takes");
    let codes: Vec<u64> = (0..4).map(|_| pair.compare(&[0; 60]).unwrap_or_else(|d| panic!("{d}"))).collect();
    assert_eq!(codes, [1, 2, 3, 0]);
    let card = profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities;
    let refusals = compile(&verified, &Facts::of(&verified), &card, Mode::Driver).expect_err("the driver is older");
    let named = |name: &str| refusals.iter().any(|refusal| refusal.diagnostic.reason.contains(name));
    assert!(named("load_acquire") && named("store_release"));
}

/// Programs of seeds from `PROGRAM_SEED` on, as many as `PROGRAMS` says in the environment.
fn generated_programs_agree(mode: Mode, wide: bool, programs: u64, sound: &dyn Fn(&Image) -> bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, programs) = (number("PROGRAM_SEED").unwrap_or(0), number("PROGRAMS").unwrap_or(programs));
    let mut card = card();
    if wide {
        card = profile::builtin("open-npu").expect("it comes with the project").capabilities;
        card.random.value = true;
    }
    let (mut run, mut refused, mut faulty) = (0, 0, 0);
    let (mut words, mut drivers) = (0, 0);
    for seed in first..first + programs {
        if seed > first && (seed - first).is_multiple_of(LONG) {
            eprintln!("{mode:?}: {} of {programs} programs", seed - first);
        }
        let program = generate::program(seed, wide);
        let text = || program.insns.iter().map(|insn| format!("{}\n", insn.objdump())).collect::<String>();
        let options = Options { device_bound: !wide, ..Options::default() };
        let verified = match verifier::verify(program.clone(), &options) {
            Verdict::Accepted(verified) => verified,
            Verdict::Rejected(rejection) => panic!("seed {seed}: {}\n{}", rejection.diagnostic, text()),
            Verdict::Unsupported(diagnostic) => panic!("seed {seed}: {diagnostic}\n{}", text()),
        };
        let image = match compile(&verified, &Facts::of(&verified), &card, mode) {
            // The generator keeps within the room that cards leave.
            Ok(image) if sound(&image) => image,
            Ok(_) => {
                faulty += 1;
                continue;
            }
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        if let Ok(driver) = compile(&verified, &Facts::of(&verified), &card, Mode::Driver) {
            words += image.body_words();
            drivers += driver.body_words();
        }
        let mut pair = Pair::new(&program, &image, &generate::entries()).expect("maps that the card takes");
        let mut rng = Rng::new(seed);
        for n in 0..PROGRAM_PACKETS {
            let len = 60 + rng.below(140) as usize;
            let packet = rng.bytes(len);
            if let Err(difference) = pair.compare(&packet) {
                panic!("seed {seed}, packet {n} {packet:02x?}: {difference}\n{}", image.listing());
            }
        }
        if let Err(difference) = pair.compare_events() {
            panic!("seed {seed}: {difference}\n{}", image.listing());
        }
        run += 1;
    }
    println!("{run} programs agree, {refused} are refused, {faulty} meet a fault of the driver's translator");
    println!("{words} body words where the driver has {drivers}");
    assert!(mode == Mode::Driver || words * 100 <= drivers * MOST_WORDS, "{words} of the driver's {drivers} words");
    assert!(run * 10 > programs * 8, "only {run} of {programs} were run");
}
