//! What stands around every program: the prologue, and the epilogue that turns R0 into the firmware's verdict word.
//!
//! | bits of the verdict word | meaning |
//! |---|---|
//! | 16, 17, 18 | pass, drop, send back |
//! | 20 to 23 | which statistic counts the packet: passed, dropped, sent, aborted |
//!
//! The word's other bits are flags, all 0. Return codes are turned into the byte at bits 16 to 23 by shifting a constant
//! that holds one field for each code.

use nic_model::isa::{AluOp, Cond, Dst, Reg, Shift, ShiftOp};

use super::Lowering;
use super::home::{Gpr, PACKET_LENGTH, VECTOR_LENGTH};
use crate::admit::Hook;
use crate::asm::{External, Operand};

/// Bits of the vector's length word that are the length.
const LENGTH_MASK: u32 = 0x3fff;
/// Words after the last instruction that the core may fetch ahead.
const PREFETCH: usize = 8;

/// XDP_ABORTED, and what is no return code at all: drop, count as aborted.
const ABORTED: u8 = 0x82;
/// XDP_ABORTED, XDP_DROP (drop), XDP_PASS (pass), XDP_TX (send back), a byte each from the lowest.
const XDP_ACTIONS: u32 = 0x4411_2282;
/// XDP_REDIRECT.
const XDP_REDIRECT: u8 = 4;
/// Sent where a helper has said, counted as sent.
const REDIRECTED: u8 = 0x48;
/// The largest XDP return code with an action.
const XDP_LARGEST: u8 = 3;

/// What tc calls "unspecified", and what is no return code at all: pass.
const PASSED: u8 = 0x11;
/// Low nibbles for the tc return codes 0 to 7: 2 (drop), 4 and 5 (drop, uncounted), 7 (send on), else pass.
const TC_ACTIONS: u32 = 0x4122_1211;
/// High nibbles: which statistic, 0 for none.
const TC_STATISTICS: u32 = 0x4100_1211;
/// The largest tc return code with an action.
const TC_LARGEST: u8 = 7;

/// Word of the verdict, register 0 of bank A.
const VERDICT: Gpr = Gpr(0);
/// R0's low half is register 0 too; it is read from bank B while bank A already holds the verdict.
const CODE: Gpr = Gpr(0);
const AMOUNT: Gpr = Gpr(1);
const TABLE: Gpr = Gpr(2);
const SECOND_TABLE: Gpr = Gpr(3);

/// The verdict word of a return code, as the epilogue makes it.
pub(crate) fn verdict(hook: Hook, redirects: bool, code: u32) -> u32 {
    let field = |table: u32, at: u32, bits: u32| u32::from((table >> (at * bits)) as u8) & ((1 << bits) - 1);
    let action = match hook {
        Hook::Xdp if redirects && code == XDP_REDIRECT.into() => REDIRECTED.into(),
        Hook::Tc if redirects && code == TC_LARGEST.into() => REDIRECTED.into(),
        Hook::Xdp if code <= XDP_LARGEST.into() => field(XDP_ACTIONS, code, 8),
        Hook::Xdp => ABORTED.into(),
        Hook::Tc if code <= TC_LARGEST.into() => field(TC_ACTIONS, code, 4) | field(TC_STATISTICS, code, 4) << 4,
        Hook::Tc => PASSED.into(),
    };
    action << 16
}

impl Lowering<'_> {
    /// Takes the packet's length out of the vector.
    pub(super) fn prologue(&mut self) {
        self.asm.constant(Dst::to(PACKET_LENGTH), LENGTH_MASK);
        self.asm.alu(Dst::to(PACKET_LENGTH), PACKET_LENGTH, AluOp::And, VECTOR_LENGTH);
    }

    /// Where a program that must not go on, and then one that is finished, goes.
    pub(super) fn epilogue_xdp(&mut self) {
        self.abort(ABORTED);
        self.redirect(XDP_REDIRECT);
        self.refuse_above(XDP_LARGEST);
        self.asm.constant(Dst::to(TABLE.b()), XDP_ACTIONS);
        self.asm.shift(Dst::to(AMOUNT.a()), CODE.b(), Shift::Left(3));
        self.pick(TABLE.b(), 0xff, TABLE);
        self.asm.branch_external(None, External::Done, 2);
        self.asm.copy(Dst::to(VERDICT.a()), 0u8);
        self.verdict(TABLE.b());
    }

    /// The same for tc.
    pub(super) fn epilogue_tc(&mut self) {
        self.abort(PASSED);
        self.redirect(TC_LARGEST);
        self.refuse_above(TC_LARGEST);
        self.asm.copy(Dst::to(VERDICT.a()), 0u8);
        self.asm.constant(Dst::to(TABLE.b()), TC_ACTIONS);
        self.asm.constant(Dst::to(SECOND_TABLE.b()), TC_STATISTICS);
        self.asm.shift(Dst::to(AMOUNT.a()), CODE.b(), Shift::Left(2));
        self.pick(TABLE.a(), 0xf, TABLE);
        self.pick(TABLE.b(), 0xf, SECOND_TABLE);
        self.asm.branch_external(None, External::Done, 2);
        self.asm.shift_into(Dst::to(TABLE.b()), TABLE.a(), ShiftOp::Or, TABLE.b(), Shift::Left(4));
        self.verdict(TABLE.b());
    }

    fn abort(&mut self, action: u8) {
        self.asm.entry(External::Abort);
        self.asm.branch_external(None, External::Done, 2);
        self.asm.copy(Dst::to(VERDICT.a()), 0u8);
        self.verdict(action);
        self.asm.entry(External::Out);
    }

    /// The return code of a redirect, in programs that ask for one.
    fn redirect(&mut self, code: u8) {
        if !self.redirects {
            return;
        }
        let other = self.asm.label();
        self.asm.alu(Dst::NONE, code, AluOp::Xor, CODE.b());
        self.asm.branch(Cond::Ne, other, 0);
        self.asm.branch_external(None, External::Done, 2);
        self.asm.copy(Dst::to(VERDICT.a()), 0u8);
        self.verdict(REDIRECTED);
        self.asm.bind(other);
    }

    fn refuse_above(&mut self, largest: u8) {
        let abort = self.asm.entry_label(External::Abort);
        self.asm.alu(Dst::NONE, largest, AluOp::Sub, CODE.b());
        self.asm.branch(Cond::CarryClear, abort, 0);
    }

    /// `to` = the field of `table` that the amount selects.
    fn pick(&mut self, to: Reg, mask: u8, table: Gpr) {
        self.note(AMOUNT.a());
        self.asm.shift_into(Dst::to(to), mask, ShiftOp::And, table.b(), Shift::RightIndirect);
    }

    /// Puts the action's byte in its place.
    fn verdict(&mut self, action: impl Into<Operand>) {
        self.asm.field(Dst::to(VERDICT.a()), 0b1100, action, Shift::Left(16));
    }

    /// Instructions for the core to fetch ahead.
    pub(super) fn padding(&mut self) {
        self.asm.nops(PREFETCH);
    }
}
