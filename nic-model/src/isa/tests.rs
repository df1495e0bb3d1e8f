//! The table against itself: every instruction that can be made either has a word that reads back, or is refused by
//! name.

use super::error::{DecodeReason, EncodeError};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A source of choices: the bytes that proptest made up, then zeros.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }
}

/// A field made from choices: mostly within its range, now and then just outside.
trait Sample: Sized {
    fn sample(c: &mut Choices<'_>) -> Self;
}

macro_rules! sample {
    ($( $ty:ty: |$c:ident| $make:expr; )*) => { $(
        impl Sample for $ty {
            fn sample($c: &mut Choices<'_>) -> Self { $make }
        }
    )* };
}

macro_rules! sample_listed {
    ($($ty:ty),*) => { $( impl Sample for $ty { fn sample(c: &mut Choices<'_>) -> Self { c.pick(Self::ALL) } } )* };
}
sample_listed!(AluOp, AluMove, ShiftMove, ShiftOp, CondCodes, LoadCc, Cond, Known, InputState, MulWidth, MulStepNo);
sample_listed!(MulHalf, ByteLane, WordLane, ImmedShift, CrcKind, CrcBytes);

sample! {
    bool: |c| c.below(4) == 0;
    u8: |c| c.below(17);
    u16: |c| u16::from_le_bytes([c.byte(), c.below(65)]);
    u32: |c| u32::from_le_bytes([c.byte(), c.byte(), c.below(65), 0]);
    Bank: |c| c.pick(&[Bank::A, Bank::B]);
    Step: |c| c.pick(&[Step::Hold, Step::Increment, Step::Decrement]);
    Idle: |c| c.pick(&[Idle::Zero, Idle::Constant]);
    Reg: |c| match c.below(10) {
        0..=2 => Reg::Gpr(Bank::sample(c), c.below(33)),
        3 => Reg::Absolute(Bank::sample(c), c.below(129)),
        4 => Reg::Xfer(c.below(65)),
        5 => Reg::XferIndex(Step::sample(c)),
        6 => Reg::Neighbour(c.below(33)),
        7 => Reg::NeighbourIndex(bool::sample(c)),
        8 => Reg::Local { pointer: c.below(5), offset: c.below(17) },
        _ => c.pick(&[Reg::LocalIncrement { pointer: 1 }, Reg::LocalDecrement { pointer: 2 }]),
    };
    Source: |c| if c.below(4) == 0 { Source::Imm(c.byte()) } else { Source::Reg(Reg::sample(c)) };
    Dst: |c| Dst { reg: (c.below(5) != 0).then(|| Reg::sample(c)), both: bool::sample(c) };
    Left: |c| if bool::sample(c) { Left::Reg(Reg::sample(c)) } else { Left::Idle(Idle::sample(c)) };
    Lookup: |c| Lookup((c.below(2) == 0).then(|| LookupPointer { pointer: c.below(5), index: c.below(5) }));
    CrcMode: |c| CrcMode {
        kind: CrcKind::sample(c),
        bytes: CrcBytes::sample(c),
        little: bool::sample(c),
        bit_swap: bool::sample(c),
    };
    Pair: |c| {
        let pair = Pair::new(Source::sample(c), Source::sample(c));
        Pair { swap: pair.swap ^ (c.below(8) == 0), ..pair }
    };
    Beside: |c| Beside { constant: c.byte(), ..Beside::new(Reg::sample(c), 0) };
    Twice: |c| Twice(c.byte());
    Merge: |c| {
        let pair = Pair::sample(c);
        Merge { dst: Reg::sample(c), both: bool::sample(c), src: pair.rhs, swap: pair.swap }
    };
    Load: |c| Load { dst: Dst::sample(c), value: u16::sample(c) };
    BitTest: |c| BitTest { rotation: c.below(35), ..BitTest::new(Reg::sample(c), 0) };
    JumpTo: |c| JumpTo::new(Reg::sample(c), u32::sample(c) >> c.below(20));
    Csr: |c| Csr(u16::from(c.byte()) << c.below(4));
    Shift: |c| match c.below(5) {
        0 => Shift::Rotate(c.below(33)),
        1 => Shift::Left(c.below(33)),
        2 => Shift::Right(c.below(33)),
        3 => Shift::LeftIndirect,
        _ => Shift::RightIndirect,
    };
    Amount: |c| if bool::sample(c) { Amount::Indirect } else { Amount::By(c.below(33)) };
    CodeAddress: |c| CodeAddress(u16::sample(c));
    Count: |c| Count(c.below(10));
    Swap: |c| if bool::sample(c) { Swap::No } else { Swap::After(c.below(4)) };
    Completion: |c| Completion { swap: Swap::sample(c), signal: c.below(17) };
    Wait: |c| match c.below(6) {
        0 => Wait::Voluntary,
        1 => Wait::Kill,
        2 => Wait::Breakpoint,
        3 => Wait::Armed,
        4 => Wait::All(u16::sample(c)),
        _ => Wait::Any(u16::sample(c) << 1),
    };
    Resume: |c| Resume(bool::sample(c).then(|| CodeAddress::sample(c)));
    Address: |c| {
        let mode = c.pick(&[AddressMode::Ab40, AddressMode::Ba40, AddressMode::Sum32]);
        Address { mode, high: Source::sample(c), low: Source::sample(c) }
    };
    Command: |c| Command { target: c.pick(&Target::ALL), action: c.below(33), token: c.below(5) };
    Indirect: |c| Indirect(bool::sample(c));
    Running: |_c| Running;
    Cam: |_c| Cam;
    Previous: |_c| Previous;
}

impl<X: Sample> Sample for One<X> {
    fn sample(c: &mut Choices<'_>) -> Self {
        let src = Source::sample(c);
        let one = One::new(src, X::sample(c));
        One { port: if c.below(8) == 0 { Bank::sample(c) } else { one.port }, ..one }
    }
}

macro_rules! define_sample {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $($pieces:tt)* ] )*) => {
        const MAKERS: &[fn(&mut Choices<'_>) -> Op] = &[ $(
            |_c| $name { $( $field: <$ty>::sample(_c) ),* }.into(),
        )* ];
    };
}
table::for_each_nic_op!(define_sample);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12_000))]

    #[test]
    fn what_encodes_decodes_to_itself(row in 0..MAKERS.len(), bytes in prop::collection::vec(any::<u8>(), 24)) {
        let op = MAKERS[row](&mut Choices(bytes.iter()));
        match encode(&op) {
            Ok(word) => {
                prop_assert_eq!(word & !PAYLOAD, 0);
                prop_assert_eq!(decode(word), Ok(op));
                prop_assert!(!op.to_string().is_empty());
                prop_assert_eq!(check_ecc(with_ecc(word)), Ok(word));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn what_decodes_encodes_to_itself(noise in any::<u64>(), row in 0..OPS.len(), shape in any::<bool>()) {
        let row = &OPS[row];
        let word = if shape { noise & PAYLOAD & !row.mask | row.base } else { noise };
        match decode(word) {
            Ok(op) => prop_assert_eq!(encode(&op), Ok(word)),
            Err(error) => prop_assert!(error.to_string().starts_with("undecodable word")),
        }
    }

    #[test]
    fn one_wrong_bit_is_never_valid_code(payload in 0..=PAYLOAD, bit in 0..52u32) {
        prop_assert!(check_ecc(with_ecc(payload) ^ 1 << bit).is_err());
    }
}

/// The generator is worth something: of each row it makes instructions that encode.
#[test]
fn every_row_can_be_made() {
    let mut made = BTreeSet::new();
    for seed in 0..10_000u32 {
        let bytes: Vec<u8> = (0..24).map(|i| (seed.wrapping_mul(0x9e37_79b9).rotate_left(i * 5) >> 11) as u8).collect();
        let op = MAKERS[seed as usize % MAKERS.len()](&mut Choices(bytes.iter()));
        if encode(&op).is_ok() {
            made.insert(op.row_name());
        }
    }
    let missing: Vec<_> = OPS.iter().map(|row| row.name).filter(|name| !made.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn instructions_are_compact() {
    assert!(size_of::<Op>() <= 20, "{} bytes", size_of::<Op>());
}

#[test]
fn rows_are_sound() {
    let names: BTreeSet<_> = OPS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), OPS.len());
    for row in OPS {
        assert!(!row.doc.is_empty(), "{} is not documented", row.name);
        assert_eq!((row.base | row.mask) & !PAYLOAD, 0, "{}", row.name);
        let mut free = 0u64;
        for field in row.fields {
            let span = (field.span)();
            assert_eq!(span & !PAYLOAD, 0, "{}.{}", row.name, field.name);
            // Operands share the flags for pointers and for both banks; nothing else overlaps.
            assert_eq!(span & free & !(0b111 << 41), 0, "{}.{} overlaps", row.name, field.name);
            free |= span;
        }
    }
}

fn gpr(bank: Bank, n: u8) -> Reg {
    Reg::Gpr(bank, n)
}

fn alu(lhs: impl Into<Source>, rhs: impl Into<Source>) -> Alu {
    let src = Pair::new(lhs, rhs);
    Alu { op: AluOp::Add, dst: Dst::both(3), src, cc: CondCodes::Set, predicate: false }
}

#[test]
fn rules_of_the_ports_are_named() {
    let refused = |op: Alu| encode(&op.into()).expect_err("breaks a rule");
    assert_eq!(refused(alu(gpr(Bank::A, 1), gpr(Bank::A, 2))), EncodeError::SameBank { bank: Bank::A });
    assert_eq!(refused(alu(Reg::Absolute(Bank::B, 1), gpr(Bank::B, 2))), EncodeError::SameBank { bank: Bank::B });
    assert_eq!(refused(alu(Source::Imm(1), Source::Imm(2))), EncodeError::SameKind { kind: "constant" });
    assert_eq!(
        refused(alu(Reg::Xfer(1), Reg::XferIndex(Step::Hold))),
        EncodeError::SameKind { kind: "transfer register" }
    );
    let local = |pointer| Reg::Local { pointer, offset: 0 };
    assert_eq!(refused(alu(local(0), local(2))), EncodeError::SameKind { kind: "local memory word" });
    let mut swapped = alu(gpr(Bank::A, 1), gpr(Bank::B, 2));
    swapped.src.swap = true;
    assert_eq!(refused(swapped), EncodeError::WrongPort { reg: gpr(Bank::A, 1), port: Bank::B });
    let mut both = alu(gpr(Bank::A, 1), gpr(Bank::B, 2));
    both.dst = Dst { reg: Some(Reg::Xfer(0)), both: true };
    assert_eq!(refused(both), EncodeError::WriteBothWithoutBank);
}

#[test]
fn restricted_operands_are_restricted() {
    let shift = |rhs: Source| {
        let src = Pair::new(gpr(Bank::A, 0), rhs);
        let op =
            AluShf { op: ShiftOp::Or, dst: Dst::NONE, src, shift: Shift::NONE, cc: CondCodes::Set, predicate: false };
        encode(&op.into())
    };
    assert!(shift(Source::Imm(255)).is_ok());
    assert_eq!(shift(Reg::Neighbour(1).into()), Err(EncodeError::NotRestricted { reg: Reg::Neighbour(1) }));
    let far = Reg::Local { pointer: 0, offset: 8 };
    assert!(matches!(shift(far.into()), Err(EncodeError::OutOfRange { value: 8, max: 7, .. })));

    let read = |address: Address| Cmd {
        xfer: 0,
        address,
        count: Count(1),
        completion: Completion::wait(1),
        indirect: Indirect(false),
        command: Command::MEM_READ32,
    };
    let refused = |address: Address| encode(&read(address).into()).expect_err("breaks a rule");
    let base = gpr(Bank::A, 0);
    assert_eq!(refused(Address::sum(base, Source::Imm(128))), EncodeError::ConstantTooLarge { value: 128, max: 127 });
    let pointer = Reg::Local { pointer: 2, offset: 0 };
    assert_eq!(refused(Address::sum(base, pointer)), EncodeError::NoPointerExtension { pointer: 2 });
    let unknown =
        Cmd { command: Command { target: Target::Mem, action: 27, token: 0 }, ..read(Address::sum(base, pointer)) };
    let unknown = Cmd { address: Address::sum(base, Source::Imm(0)), ..unknown };
    assert!(matches!(encode(&unknown.into()), Err(EncodeError::UnknownCommand { target_action: 0x5b, .. })));
}

#[test]
fn what_is_in_no_row_is_refused_by_name() {
    let reason = |word| decode(word).expect_err("is no instruction").reason;
    assert_eq!(reason(1 << 45), DecodeReason::BitsAbovePayload);
    // Both widths of `immed` at once.
    assert_eq!(reason(0x0f0_6000_0000), DecodeReason::UnknownFormat);
    assert_eq!(reason(0x0a1_0000_0000), DecodeReason::UnknownCode { what: "AluOp", code: 2 });
    // A nop with a bit that nothing uses.
    assert_eq!(reason(0x0f0_100c_0300), DecodeReason::Rule(EncodeError::ReadsAsNop));
    assert_eq!(reason(0x0d8_0000_8038 | 1 << 41), DecodeReason::StrayBits { bits: 1 << 41 });
    // The older core's way to write its code store.
    assert_eq!(reason(0x0fc_0060_0000), DecodeReason::UnknownCode { what: "local CSR", code: 1 });
    let message = decode(0x0a1_0000_0000).expect_err("is no instruction").to_string();
    assert_eq!(message, "undecodable word 0xa100000000 (looks like Alu): AluOp has no code 0x2");
}

#[test]
fn uses_and_definitions_follow_the_operands() {
    let op: Op = Alu { op: AluOp::AddCarry, ..alu(Reg::LocalIncrement { pointer: 2 }, gpr(Bank::B, 7)) }.into();
    let uses = op.uses();
    for place in [
        Place::Reg(Reg::LocalIncrement { pointer: 2 }),
        Place::LocalPointer(2),
        Place::Reg(gpr(Bank::B, 7)),
        Place::Flags,
    ] {
        assert!(uses.contains(&place), "{place:?} in {uses:?}");
    }
    let defs = op.defs();
    for place in [
        Place::Reg(gpr(Bank::A, 3)),
        Place::Reg(gpr(Bank::B, 3)),
        Place::LocalPointer(2),
        Place::Flags,
        Place::Previous,
    ] {
        assert!(defs.contains(&place), "{place:?} in {defs:?}");
    }
    let sum = alu(gpr(Bank::A, 0), Source::Imm(1));
    assert!(!Op::from(sum).uses().contains(&Place::Flags));
    assert!(Op::from(Alu { predicate: true, ..sum }).uses().contains(&Place::Flags));

    let merge = Merge::new(Dst::both(4), gpr(Bank::B, 5)).expect("has a destination");
    let field = LdField { merge, bytes: 1, shift: Shift::LeftIndirect, cc: LoadCc::Keep, predicate: false };
    let uses = Op::from(field).uses();
    assert!(uses.contains(&Place::Reg(gpr(Bank::A, 4))) && uses.contains(&Place::PreviousLeft), "{uses:?}");
    let clear = LdFieldClear { merge, bytes: 1, shift: Shift::NONE, cc: LoadCc::Keep, predicate: false };
    assert_eq!(Op::from(clear).uses(), [Place::Reg(gpr(Bank::B, 5))]);
    assert!(!Op::from(clear).defs().contains(&Place::Flags));

    let copy = |beside| {
        let rhs = One::new(Source::Imm(3), beside);
        Move { op: AluMove::Copy, dst: Dst::both(1), rhs, cc: CondCodes::Set, predicate: false }
    };
    let latching = Op::from(copy(Left::from(gpr(Bank::A, 9))));
    assert_eq!(latching.uses(), [Place::Reg(gpr(Bank::A, 9))]);
    assert_eq!(
        encode(&latching).map(|word| decode(word).map(|op| op.to_string())),
        Ok(Ok("alu[gprA_1, --, B, 0x3], gpr_wrboth".into()))
    );
    assert_eq!(copy(Left::from(gpr(Bank::A, 0))), copy(Left::Idle(Idle::Zero)));
}

#[test]
fn external_says_where_a_burst_ends() {
    let plain: Op = alu(gpr(Bank::A, 0), Source::Imm(1)).into();
    assert_eq!(plain.external(), External::NONE);
    assert_eq!(Op::from(alu(Reg::Xfer(3), Source::Imm(1))).external(), External::TRANSFER);
    assert_eq!(
        Op::from(alu(Reg::NeighbourIndex(true), Reg::Xfer(1))).external(),
        External::NEIGHBOUR | External::TRANSFER
    );
    let read = |csr| Op::from(CsrRead { csr, idle: Idle::Zero }).external();
    assert_eq!(read(Csr::TIMESTAMP_LOW), External::TIME);
    assert_eq!(read(Csr::LM_ADDR0), External::NONE);
    assert_eq!(read(Csr(0x7ff)), External::SHARED_CSR);
    let command = |completion| {
        let address = Address::wide(gpr(Bank::B, 1), gpr(Bank::A, 0));
        let command = Command::MEM_READ32_SWAP;
        Op::from(Cmd { xfer: 0, address, count: Count(2), completion, indirect: Indirect(false), command }).external()
    };
    assert_eq!(command(Completion::POSTED), External::QUEUE);
    assert_eq!(command(Completion::wait(1)), External::QUEUE | External::WAIT);
}
