//! One program, or one card, for every rule, and nothing but that rule broken.

use bpf::facts::Facts;
use bpf::insn::{AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{self, Options, Verdict};
use nic_model::profile::{self, Capabilities};
use offload_jit::{Mode, Refusal, Rule, compile};

use Reg as R;

const LOOKUP: Insn = Insn::Call { callee: Callee::Helper(1) };

fn mov(dst: Reg, imm: i32) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Imm(imm), sext: None }
}

fn copy(dst: Reg, src: Reg) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Reg(src), sext: None }
}

fn alu(op: AluOp, dst: Reg, imm: i32) -> Insn {
    Insn::Alu { width: Width::W64, op, dst, src: Operand::Imm(imm) }
}

fn alu_reg(op: AluOp, dst: Reg, src: Reg) -> Insn {
    Insn::Alu { width: Width::W64, op, dst, src: Operand::Reg(src) }
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, sext: false, dst, base, off }
}

fn store(size: Size, base: Reg, off: i16, src: Reg) -> Insn {
    Insn::Store { size, base, off, src: Operand::Reg(src) }
}

fn branch(cond: Cond, dst: Reg, src: Operand, off: i16) -> Insn {
    Insn::Branch { width: Width::W64, cond, dst, src, off }
}

fn add(base: Reg, off: i16, src: Reg, op: AtomicOp, fetch: bool) -> Insn {
    Insn::Atomic { op, fetch, size: Size::D, base, off, src }
}

fn map(ty: MapType) -> MapSpec {
    MapSpec { name: "table".into(), ty, key_size: 4, value_size: 16, max_entries: 16, flags: 0, ..MapSpec::default() }
}

fn xdp(insns: Vec<Insn>) -> Program {
    Program::from_insns("case", ProgType::Xdp, insns, vec![map(MapType::ARRAY)])
}

fn tc(insns: Vec<Insn>) -> Program {
    Program { ty: ProgType::SchedCls, ..xdp(insns) }
}

/// R0 = value or end of the program with R0 = 0; R7 = a number that nothing is known of.
fn looked_up(rest: &[Insn]) -> Vec<Insn> {
    let mut insns = vec![
        mov(R::R7, 0),
        store(Size::W, R::R10, -4, R::R7),
        copy(R::R2, R::R10),
        alu(AluOp::Add, R::R2, -4),
        Insn::LoadImm64 { dst: R::R1, value: Wide::Map(MapIndex(0)) },
        Insn::Pad,
        LOOKUP,
        branch(Cond::Ne, R::R0, Operand::Imm(0), 1),
        Insn::Exit,
        load(Size::D, R::R7, R::R0, 8),
    ];
    insns.extend_from_slice(rest);
    insns.extend([mov(R::R0, 2), Insn::Exit]);
    insns
}

/// R2 = start of the packet, of which 14 bytes are there, or end of the program.
fn parsed(rest: &[Insn]) -> Vec<Insn> {
    let mut insns = vec![
        load(Size::W, R::R2, R::R1, 0),
        load(Size::W, R::R3, R::R1, 4),
        mov(R::R0, 1),
        copy(R::R4, R::R2),
        alu(AluOp::Add, R::R4, 14),
        branch(Cond::Le, R::R4, Operand::Reg(R::R3), 1),
        Insn::Exit,
    ];
    insns.extend_from_slice(rest);
    insns.push(Insn::Exit);
    insns
}

/// A program that calls nothing and returns `XDP_PASS`, with `first` in front.
fn short(first: &[Insn]) -> Program {
    xdp([first, &[mov(R::R0, 2), Insn::Exit]].concat())
}

fn agilio() -> Capabilities {
    profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities
}

fn refusals(program: Program, card: &Capabilities) -> Vec<Refusal> {
    let options = Options { device_bound: true, constant_array_keys: false, ..Options::default() };
    match verifier::verify(program, &options) {
        Verdict::Accepted(program) => {
            compile(&program, &Facts::of(&program), card, Mode::Driver).err().unwrap_or_default()
        }
        Verdict::Rejected(rejection) => panic!("{}", rejection.diagnostic),
        Verdict::Unsupported(diagnostic) => panic!("{diagnostic}"),
    }
}

/// Programs that a rule stands against on the card as it is.
fn programs() -> Vec<(Rule, Program)> {
    let exit = Insn::Exit;
    let unknown = load(Size::D, R::R5, R::R2, 0);
    let update = |value: i32| {
        let mut insns = looked_up(&[mov(R::R1, 1), add(R::R0, 0, R::R1, AtomicOp::Add, false)]);
        insns.truncate(insns.len() - 2);
        insns.extend([
            mov(R::R1, value),
            store(Size::D, R::R10, -24, R::R1),
            store(Size::D, R::R10, -16, R::R1),
            copy(R::R2, R::R10),
            alu(AluOp::Add, R::R2, -4),
            copy(R::R3, R::R10),
            alu(AluOp::Add, R::R3, -24),
            mov(R::R4, 0),
            Insn::LoadImm64 { dst: R::R1, value: Wide::Map(MapIndex(0)) },
            Insn::Pad,
            Insn::Call { callee: Callee::Helper(2) },
            mov(R::R0, 2),
            exit,
        ]);
        xdp(insns)
    };
    let random = Insn::Call { callee: Callee::Helper(7) };
    vec![
        (Rule::ProgramType, Program { ty: ProgType::SocketFilter, ..short(&[]) }),
        (Rule::Opcode, short(&[mov(R::R1, 9), alu(AluOp::Mod, R::R1, 4)])),
        (Rule::Opcode, short(&[mov(R::R1, 9), Insn::End { order: ByteOrder::Le, dst: R::R1, bits: 32 }])),
        (Rule::Opcode, short(&[mov(R::R1, 9), Insn::End { order: ByteOrder::Swap, dst: R::R1, bits: 16 }])),
        (Rule::Opcode, short(&[mov(R::R1, 9), alu(AluOp::Sdiv, R::R1, 4)])),
        (
            Rule::Opcode,
            xdp(parsed(&[
                unknown,
                branch(Cond::Eq, R::R5, Operand::Imm(0), 1),
                Insn::Jump { off: 1, long: true },
                mov(R::R1, 1),
            ])),
        ),
        (
            Rule::SignExtension,
            short(&[
                mov(R::R1, 9),
                Insn::Mov { width: Width::W64, dst: R::R1, src: Operand::Reg(R::R1), sext: Some(8) },
            ]),
        ),
        (
            Rule::FramePointer,
            short(&[
                mov(R::R2, 1),
                mov(R::R1, -8),
                alu_reg(AluOp::Add, R::R1, R::R10),
                store(Size::D, R::R1, 0, R::R2),
            ]),
        ),
        (
            Rule::PacketOffset,
            tc(vec![
                copy(R::R6, R::R1),
                Insn::LoadPacket { size: Size::W, mode: PacketMode::Abs, imm: 0x1_0000 },
                mov(R::R0, 2),
                exit,
            ]),
        ),
        (Rule::Helper, short(&[Insn::Call { callee: Callee::Helper(5) }])),
        (
            Rule::HelperArgument,
            xdp(looked_up(&[
                copy(R::R2, R::R0),
                Insn::LoadImm64 { dst: R::R1, value: Wide::Map(MapIndex(0)) },
                Insn::Pad,
                LOOKUP,
            ])),
        ),
        (
            Rule::HelperArgument,
            xdp(looked_up(&[
                mov(R::R1, 0),
                store(Size::D, R::R10, -16, R::R1),
                copy(R::R2, R::R10),
                alu(AluOp::Add, R::R2, -13),
                Insn::LoadImm64 { dst: R::R1, value: Wide::Map(MapIndex(0)) },
                Insn::Pad,
                LOOKUP,
            ])),
        ),
        (
            Rule::PointerChanges,
            xdp(looked_up(&[
                mov(R::R1, 1),
                store(Size::D, R::R10, -16, R::R1),
                copy(R::R2, R::R10),
                alu(AluOp::Add, R::R2, -16),
                branch(Cond::Eq, R::R7, Operand::Imm(5), 1),
                copy(R::R2, R::R0),
                load(Size::W, R::R1, R::R2, 0),
            ])),
        ),
        (
            Rule::StackOffset,
            xdp(looked_up(&[
                mov(R::R1, 1),
                store(Size::D, R::R10, -16, R::R1),
                store(Size::D, R::R10, -24, R::R1),
                alu(AluOp::And, R::R7, 8),
                copy(R::R2, R::R10),
                alu_reg(AluOp::Add, R::R2, R::R7),
                load(Size::B, R::R1, R::R2, -24),
            ])),
        ),
        (Rule::Context, short(&[load(Size::W, R::R2, R::R1, 12)])),
        (Rule::StoreImmediate, short(&[Insn::Store { size: Size::D, base: R::R10, off: -8, src: Operand::Imm(3) }])),
        (Rule::MapStore, xdp(looked_up(&[mov(R::R1, 1), store(Size::D, R::R0, 0, R::R1)]))),
        (
            Rule::MapOffset,
            xdp(looked_up(&[
                alu(AluOp::And, R::R7, 8),
                alu_reg(AluOp::Add, R::R0, R::R7),
                load(Size::B, R::R1, R::R0, 0),
            ])),
        ),
        (Rule::MapWordUse, xdp(looked_up(&[mov(R::R1, 1), add(R::R0, 8, R::R1, AtomicOp::Add, false)]))),
        (Rule::AtomicInitial, update(7)),
        (Rule::Atomic, xdp(looked_up(&[mov(R::R1, 1), add(R::R0, 0, R::R1, AtomicOp::Or, false)]))),
        (Rule::Atomic, xdp(looked_up(&[mov(R::R1, 1), add(R::R0, 0, R::R1, AtomicOp::Add, true)]))),
        (Rule::Multiply, xdp(parsed(&[unknown, alu(AluOp::Mul, R::R5, 3)]))),
        (Rule::Multiply, xdp(parsed(&[unknown, mov(R::R4, 3), alu_reg(AluOp::Mul, R::R4, R::R5)]))),
        (Rule::Divide, xdp(parsed(&[unknown, alu(AluOp::Div, R::R5, 3)]))),
        (Rule::Divide, xdp(parsed(&[unknown, mov(R::R4, 3), alu_reg(AluOp::Div, R::R4, R::R5)]))),
        (Rule::TcExit, tc(vec![mov(R::R0, 0), exit])),
        (Rule::TcExit, tc(vec![random, exit])),
        (Rule::MapType, Program { maps: vec![map(MapType::PERCPU_ARRAY)], ..xdp(looked_up(&[])) }),
        (Rule::MapFlags, Program { maps: vec![MapSpec { flags: 1, ..map(MapType::HASH) }], ..xdp(looked_up(&[])) }),
    ]
}

/// Cards that cannot take what the Agilio can.
fn cards() -> Vec<(Rule, Program, Capabilities)> {
    let narrow = |change: &dyn Fn(&mut Capabilities)| {
        let mut card = agilio();
        card.random.value = true;
        change(&mut card);
        card
    };
    let random = short(&[Insn::Call { callee: Callee::Helper(7) }]);
    let head = |by: i32| short(&[mov(R::R2, by), Insn::Call { callee: Callee::Helper(44) }]);
    let tail = short(&[mov(R::R2, -4), Insn::Call { callee: Callee::Helper(65) }]);
    let queue = short(&[mov(R::R2, 1), store(Size::W, R::R1, 16, R::R2)]);
    let lookup = xdp(looked_up(&[]));
    vec![
        (Rule::FirmwareHelper, random, narrow(&|card| card.random.value = false)),
        (Rule::FirmwareHelper, head(4), narrow(&|card| card.adjust_head = None)),
        (Rule::FirmwareHelper, tail, narrow(&|card| card.adjust_tail.value = false)),
        (Rule::FirmwareHelper, queue, narrow(&|card| card.queue_select.value = false)),
        (Rule::FirmwareHelper, lookup.clone(), narrow(&|card| card.helpers.value.clear())),
        (Rule::StackSize, lookup.clone(), narrow(&|card| card.stack.value.0 = 0)),
        (Rule::Length, lookup.clone(), narrow(&|card| card.max_instructions.value = 40)),
        (
            Rule::PacketReach,
            xdp(parsed(&[load(Size::B, R::R5, R::R2, 13)])),
            narrow(&|card| card.packet_reach.value.0 = 12),
        ),
        (Rule::MapKey, lookup.clone(), narrow(&|card| card.max_key.value.0 = 3)),
        (Rule::MapValue, lookup.clone(), narrow(&|card| card.max_value.value.0 = 15)),
        (Rule::MapElement, lookup.clone(), narrow(&|card| card.max_element.value.0 = 23)),
        (Rule::MapEntries, lookup.clone(), narrow(&|card| card.max_elements.value = 15)),
        (Rule::MapCount, lookup, narrow(&|card| card.max_maps.value = 0)),
    ]
}

/// Rules that nothing breaks here: the verifier does not take kernel functions, events and addresses of functions yet;
/// the others come with a second one, below and in the scenarios' programs.
const NOT_ALONE: [Rule; 5] =
    [Rule::KernelFunction, Rule::EventFlags, Rule::FunctionAddress, Rule::PointerKind, Rule::MapValueAddress];

#[test]
fn every_rule_refuses_by_its_name_alone() {
    let card = agilio();
    let programs = programs().into_iter().map(|(rule, program)| (rule, program, card.clone()));
    let mut seen: Vec<Rule> = NOT_ALONE.to_vec();
    for (rule, program, card) in programs.chain(cards()) {
        let text: Vec<String> = program.insns.iter().map(|insn| insn.objdump().to_string()).collect();
        let found = refusals(program, &card);
        assert!(!found.is_empty() && found.iter().all(|refusal| refusal.rule == rule), "{rule}: {found:#?}\n{text:#?}");
        for refusal in &found {
            assert!(refusal.diagnostic.at.is_some(), "{refusal}");
            assert!(refusal.diagnostic.help.is_some(), "{refusal}");
        }
        seen.push(rule);
    }
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !seen.contains(rule)).collect();
    assert!(missing.is_empty(), "no program breaks {missing:?}");
}

#[test]
fn all_reasons_come_at_once() {
    // Metadata in front of the packet: neither its address nor its bytes are on the card.
    let program = xdp(vec![
        load(Size::W, R::R2, R::R1, 8),
        load(Size::W, R::R3, R::R1, 0),
        mov(R::R0, 2),
        copy(R::R4, R::R2),
        alu(AluOp::Add, R::R4, 4),
        branch(Cond::Le, R::R4, Operand::Reg(R::R3), 1),
        Insn::Exit,
        load(Size::W, R::R5, R::R2, 0),
        Insn::Exit,
    ]);
    let found: Vec<_> = refusals(program, &agilio()).iter().map(|refusal| (refusal.rule, refusal.slot())).collect();
    assert_eq!(found, [(Rule::Context, Some(0)), (Rule::PointerKind, Some(7))]);
}

#[test]
fn an_instruction_is_named_with_its_text() {
    let found = refusals(short(&[Insn::Call { callee: Callee::Helper(5) }]), &agilio());
    let headline = found[0].diagnostic.headline();
    assert_eq!(headline, "case:0: offload-helper: the translator does not know this helper");
    assert!(found[0].to_string().contains("At: 0: call bpf_ktime_get_ns#5"), "{}", found[0]);
    assert_eq!(found[0].slot(), Some(0));
}

#[test]
fn faults_of_the_driver_are_noted_where_they_show() {
    let by = |op, reg| looked_up(&[load(Size::D, R::R8, R::R0, 0), alu_reg(op, R::R7, reg)]);
    let below = |op, reg, limit| {
        let masked = alu(AluOp::And, reg, limit);
        looked_up(&[load(Size::D, R::R8, R::R0, 0), masked, alu_reg(op, R::R7, reg)])
    };
    let cases: [(&str, Vec<Insn>, Option<&str>); 9] = [
        ("right by itself", by(AluOp::Rsh, R::R7), Some("right-shift-by-itself")),
        ("right by itself, signed", by(AluOp::Arsh, R::R7), Some("right-shift-by-itself")),
        ("right by itself, of 32 bits", below(AluOp::Rsh, R::R7, 63), None),
        ("right by another", by(AluOp::Rsh, R::R8), None),
        ("signed, by what may be negative", by(AluOp::Arsh, R::R8), Some("amounts-sign")),
        ("signed, by what may not", below(AluOp::Arsh, R::R8, 63), None),
        ("left by what may be 0", below(AluOp::Lsh, R::R8, 63), Some("left-shift-by-zero")),
        ("-2^31", looked_up(&[alu(AluOp::Add, R::R7, i32::MIN)]), Some("least-constant")),
        ("-2^31 and 1", looked_up(&[alu(AluOp::Add, R::R7, i32::MIN + 1)]), None),
    ];
    let options = Options { device_bound: true, constant_array_keys: false, ..Options::default() };
    for (what, insns, code) in cases {
        let Verdict::Accepted(verified) = verifier::verify(xdp(insns), &options) else {
            panic!("{what}: not accepted")
        };
        let image = compile(&verified, &Facts::of(&verified), &agilio(), Mode::Driver)
            .unwrap_or_else(|e| panic!("{what}: {e:?}"));
        let codes: Vec<&str> =
            image.notes().iter().map(|note| note.fault.code()).filter(|c| *c != "unseen-range").collect();
        assert_eq!(codes, Vec::from_iter(code), "{what}");
    }
}
