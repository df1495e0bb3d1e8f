//! From a program to its pre-decoded form.

use std::sync::Arc;

use super::op::{Op, Opcode};
use crate::diag::{At, Diagnostic};
use crate::helpers::HELPERS;
use crate::insn::{self, AtomicOp, Callee, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use crate::maps::MapId;
use crate::memory::{FaultKind, IMAGE};
use crate::program::{Attach, Endian, MapIndex, ProgType, Program};

/// A program ready to run: wide loads are one operation, jump targets are resolved.
///
/// It belongs to no engine; any whose maps have the ids it names may run it. A copy shares what is in it.
#[derive(Debug, Clone)]
pub struct Code {
    pub(super) ops: Arc<[Op]>,
    /// Slot of each operation.
    pub(super) slots: Arc<[u32]>,
    pub(super) faults: Arc<[FaultKind]>,
    pub(super) uses_stack: bool,
    /// Whether it takes packets in fragments.
    pub(super) frags: bool,
    pub(super) byte_order: Endian,
    /// Functions whose address is taken: slot, operation; ascending.
    functions: Arc<[(u32, u32)]>,
    name: Arc<str>,
    ty: ProgType,
    attach: Attach,
}

/// Operations a program may have: twice what the kernel lets the verifier walk through.
const MAX_SLOTS: usize = 2_000_000;

impl Code {
    /// Pre-decodes a program for a device whose map `i` is the program's map `i`.
    ///
    /// # Errors
    /// As [`Code::bound`].
    pub fn new(program: &Program) -> Result<Code, Diagnostic> {
        let maps: Vec<MapId> = (0..program.maps.len() as u32).map(MapId).collect();
        Code::bound(program, &maps)
    }

    /// Pre-decodes a program whose map `i` is the device's map `maps[i]`.
    ///
    /// # Errors
    /// `program-too-long`, `map-not-bound`, `kfunc-unsupported`, `variable-unsupported`, `arena-unsupported`. What a program does
    /// wrong when it runs is no error: it faults.
    pub fn bound(program: &Program, maps: &[MapId]) -> Result<Code, Diagnostic> {
        if program.insns.len() > MAX_SLOTS {
            return Err(Diagnostic::new("program-too-long", "the program has more slots than any kernel would take")
                .at(At::Named(program.name.clone()))
                .limit(format!("{MAX_SLOTS} slots"), format!("{} slots", program.insns.len())));
        }
        let mut decoder = Decoder::new(program, maps);
        for (slot, insn) in program.insns.iter().enumerate() {
            decoder.insn(slot, insn)?;
        }
        Ok(decoder.finish())
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's type.
    pub fn prog_type(&self) -> ProgType {
        self.ty
    }

    /// What the program is attached to.
    pub fn attach(&self) -> Attach {
        self.attach
    }

    /// The byte order it was compiled for.
    pub fn byte_order(&self) -> Endian {
        self.byte_order
    }

    /// The operation that a function begins with, by what a wide load of its address put into a register.
    pub(super) fn function_at(&self, address: u64) -> Option<usize> {
        let slot = address.checked_sub(IMAGE).and_then(|slot| u32::try_from(slot).ok())?;
        let at = self.functions.binary_search_by_key(&slot, |function| function.0).ok()?;
        Some(self.functions[at].1 as usize)
    }

    /// The slot of an operation.
    pub(super) fn slot_of(&self, op: usize) -> usize {
        self.slots.get(op).map_or(0, |&slot| slot as usize)
    }
}

/// The operand of an atomic opcode: which operation, and whether the old value comes back.
pub(super) fn atomic_of(imm: u64) -> (AtomicOp, bool) {
    (AtomicOp::ALL[(imm >> 1) as usize % AtomicOp::ALL.len()], imm & 1 != 0)
}

fn atomic_imm(op: AtomicOp, fetch: bool) -> u64 {
    let at = AtomicOp::ALL.iter().position(|&row| row == op).expect("the list has all atomic operations");
    (at as u64) << 1 | u64::from(fetch)
}

/// In [`Decoder::op_of`]: the second half of a wide load, which has no operation of its own.
const NO_OP: u32 = u32::MAX;

struct Decoder<'a> {
    program: &'a Program,
    maps: &'a [MapId],
    /// Operation of each slot, or [`NO_OP`].
    op_of: Vec<u32>,
    /// Operations the instructions become. One trap follows for running past them, then one for each of `bad_jumps`.
    instructions: u32,
    ops: Vec<Op>,
    slots: Vec<u32>,
    faults: Vec<FaultKind>,
    /// Slots of jumps to nowhere.
    bad_jumps: Vec<usize>,
    functions: Vec<(u32, u32)>,
}

impl<'a> Decoder<'a> {
    fn new(program: &'a Program, maps: &'a [MapId]) -> Self {
        let mut op_of = Vec::with_capacity(program.insns.len());
        let (mut instructions, mut wide) = (0, false);
        for insn in &program.insns {
            let padding = wide && *insn == Insn::Pad;
            op_of.push(if padding { NO_OP } else { instructions });
            instructions += u32::from(!padding);
            wide = matches!(insn, Insn::LoadImm64 { .. });
        }
        Decoder {
            program,
            maps,
            op_of,
            instructions,
            ops: Vec::with_capacity(instructions as usize + 1),
            slots: Vec::with_capacity(instructions as usize + 1),
            faults: Vec::new(),
            bad_jumps: Vec::new(),
            functions: Vec::new(),
        }
    }

    fn finish(mut self) -> Code {
        self.trap(FaultKind::FellOff, self.program.insns.len());
        for slot in std::mem::take(&mut self.bad_jumps) {
            self.trap(FaultKind::BadJump, slot);
        }
        let uses_stack = self.program.insns.iter().any(|insn| insn.uses().contains(Reg::R10));
        self.functions.sort_unstable();
        self.functions.dedup();
        Code {
            ops: self.ops.into(),
            slots: self.slots.into(),
            faults: self.faults.into(),
            uses_stack,
            frags: self.program.frags,
            byte_order: self.program.byte_order,
            functions: self.functions.into(),
            name: self.program.name.as_str().into(),
            ty: self.program.ty,
            attach: self.program.attach,
        }
    }

    fn push(&mut self, slot: usize, op: Op) {
        self.ops.push(op);
        self.slots.push(slot as u32);
    }

    fn trap(&mut self, kind: FaultKind, slot: usize) {
        let at = self.faults.len() as u32;
        self.faults.push(kind);
        self.push(slot, Op { at, ..Op::new(Opcode::Trap) });
    }

    /// The operation a jump goes to; a trap for a slot that is none.
    fn target(&mut self, slot: usize, to: Option<i64>) -> u32 {
        let op = to.and_then(|to| usize::try_from(to).ok()).and_then(|to| self.op_of.get(to).copied());
        match op {
            Some(op) if op != NO_OP => op,
            _ => {
                self.bad_jumps.push(slot);
                self.instructions + self.bad_jumps.len() as u32
            }
        }
    }

    fn unsupported(&self, slot: usize, code: &'static str, reason: &str, help: &str) -> Diagnostic {
        let insn = &self.program.insns[slot];
        Diagnostic::new(code, reason)
            .at(At::Insn {
                program: self.program.name.clone(),
                slot,
                text: insn.objdump().to_string(),
                source: self.program.line_of(slot).cloned(),
            })
            .help(help)
    }

    fn map(&self, slot: usize, index: MapIndex) -> Result<u32, Diagnostic> {
        self.maps.get(index.0 as usize).map(|id| id.0).ok_or_else(|| {
            let reason = "the program names a map that it was not given";
            self.unsupported(slot, "map-not-bound", reason, "bind every map of the program")
                .limit(format!("{} maps", self.maps.len()), format!("map {}", index.0))
        })
    }

    fn insn(&mut self, slot: usize, insn: &Insn) -> Result<(), Diagnostic> {
        let op = match *insn {
            Insn::Alu { width, op, dst, src } => Op::with(Opcode::alu(op, width, src), dst, src, width),
            Insn::Mov { width, dst, src: src @ Operand::Imm(_), .. } => Op::with(Opcode::Const, dst, src, width),
            Insn::Mov { width, dst, src, sext: Some(bits) } => {
                let code = if width == Width::W64 { Opcode::Movsx64 } else { Opcode::Movsx32 };
                Op { at: u32::from(bits), ..Op::with(code, dst, src, width) }
            }
            Insn::Mov { width: Width::W64, dst, src, sext: None } => Op::with(Opcode::Mov64R, dst, src, Width::W64),
            Insn::Mov { width: Width::W32, dst, src, sext: None } => Op::with(Opcode::Mov32R, dst, src, Width::W32),
            Insn::Neg { width: Width::W64, dst } => Op::new(Opcode::Neg64).dst(dst),
            Insn::Neg { width: Width::W32, dst } => Op::new(Opcode::Neg32).dst(dst),
            Insn::End { order, dst, bits } => end(self.program.byte_order, order, dst, bits),
            Insn::LoadImm64 { dst, value } => self.wide(slot, dst, value)?,
            Insn::Pad if self.op_of[slot] == NO_OP => return Ok(()),
            Insn::Pad => {
                self.trap(FaultKind::BadJump, slot);
                return Ok(());
            }
            Insn::Load { size, sext, dst, base, off } => {
                Op { at: i32::from(off) as u32, ..Op::new(load(size, sext)).dst(dst).src(base) }
            }
            Insn::Store { size, base, off, src } => {
                Op { at: i32::from(off) as u32, ..Op::with(store(size, src), base, src, Width::W64) }
            }
            Insn::Atomic { op, fetch, size, base, off, src } => {
                let code = if size == Size::D { Opcode::Atomic64 } else { Opcode::Atomic32 };
                Op { at: i32::from(off) as u32, imm: atomic_imm(op, fetch), ..Op::new(code).dst(base).src(src) }
            }
            Insn::LoadPacket { size, mode, imm } => {
                let (at, imm) = (size.bytes(), i64::from(imm) as u64);
                match mode {
                    PacketMode::Abs => Op { at, imm, ..Op::new(Opcode::PacketAbs) },
                    PacketMode::Ind(src) => Op { at, imm, ..Op::new(Opcode::PacketInd).src(src) },
                }
            }
            // One instruction follows another here: nothing overtakes it that would have to wait.
            Insn::LoadAcquire { size, dst, base, off } => {
                Op { at: i32::from(off) as u32, ..Op::new(load(size, false)).dst(dst).src(base) }
            }
            Insn::StoreRelease { size, base, off, src } => {
                let src = Operand::Reg(src);
                Op { at: i32::from(off) as u32, ..Op::with(store(size, src), base, src, Width::W64) }
            }
            Insn::AddrSpaceCast { .. } => {
                let reason = "there are no arenas that pointers could be cast from or to";
                return Err(self.unsupported(
                    slot,
                    "arena-unsupported",
                    reason,
                    "keep the data in a map of another kind",
                ));
            }
            Insn::MayGoto { .. } => Op { at: self.target(slot, insn.target(slot)), ..Op::new(Opcode::MayGoto) },
            Insn::Jump { .. } => Op { at: self.target(slot, insn.target(slot)), ..Op::new(Opcode::Ja) },
            Insn::Branch { width, cond, dst, src, .. } => {
                let at = self.target(slot, insn.target(slot));
                Op { at, ..Op::with(Opcode::branch(cond, width, src), dst, src, width) }
            }
            Insn::Call { callee } => match self.call(slot, insn, callee)? {
                Some(op) => op,
                None => return Ok(()),
            },
            Insn::Exit => Op::new(Opcode::Exit),
        };
        self.push(slot, op);
        Ok(())
    }

    fn wide(&mut self, slot: usize, dst: Reg, value: Wide) -> Result<Op, Diagnostic> {
        Ok(match value {
            Wide::Value(imm) => Op { imm, ..Op::new(Opcode::Const).dst(dst) },
            Wide::Map(map) => Op { at: self.map(slot, map)?, ..Op::new(Opcode::MapHandle).dst(dst) },
            Wide::MapValue { map, off } => {
                Op { at: self.map(slot, map)?, imm: u64::from(off), ..Op::new(Opcode::MapValue).dst(dst) }
            }
            Wide::Variable { .. } => {
                let reason = "there is no kernel whose variables could be addressed";
                return Err(self.unsupported(slot, "variable-unsupported", reason, "use a map instead"));
            }
            Wide::Func { .. } => {
                let to = self.program.insns[slot].function(slot);
                let function = to.and_then(|to| u32::try_from(to).ok()).unwrap_or(u32::MAX);
                // One that is never called was taken out with the dead code.
                if (function as usize) < self.program.insns.len() {
                    let target = self.target(slot, to);
                    self.functions.push((function, target));
                }
                Op { imm: IMAGE + u64::from(function), ..Op::new(Opcode::Const).dst(dst) }
            }
        })
    }

    /// The operation of a call; `None` when a trap has been laid in its place.
    fn call(&mut self, slot: usize, insn: &Insn, callee: Callee) -> Result<Option<Op>, Diagnostic> {
        Ok(Some(match callee {
            Callee::Local(_) => Op { at: self.target(slot, insn.function(slot)), ..Op::new(Opcode::CallLocal) },
            Callee::Reg(src) => Op::new(Opcode::CallReg).src(src),
            Callee::Helper(id) => match row(id) {
                Some(at) => Op { at, ..Op::new(Opcode::CallHelper) },
                None => {
                    self.trap(FaultKind::UnknownHelper(id), slot);
                    return Ok(None);
                }
            },
            Callee::Kfunc(_) => {
                let reason = "calls of kernel functions are not there yet";
                let help = "use a helper instead";
                return Err(self.unsupported(slot, "kfunc-unsupported", reason, help));
            }
        }))
    }
}

/// The row of a helper, as an index into [`HELPERS`].
pub(super) fn row(id: u32) -> Option<u32> {
    HELPERS.iter().position(|row| row.id == id).map(|at| at as u32)
}

/// To the byte order that the machine has, nothing moves and the bits above are cleared.
fn end(machine: Endian, order: insn::ByteOrder, dst: Reg, bits: u8) -> Op {
    let stays = matches!((machine, order), (Endian::Little, insn::ByteOrder::Le) | (Endian::Big, insn::ByteOrder::Be));
    let code = match (stays, bits) {
        (true, 16) => Opcode::Low16,
        (true, 32) => Opcode::Mov32R,
        (true, _) => Opcode::Mov64R,
        (_, 16) => Opcode::Swap16,
        (_, 32) => Opcode::Swap32,
        _ => Opcode::Swap64,
    };
    Op::new(code).dst(dst).src(dst)
}

fn load(size: Size, sext: bool) -> Opcode {
    match (size, sext) {
        (Size::B, false) => Opcode::Load8,
        (Size::H, false) => Opcode::Load16,
        (Size::W, false) => Opcode::Load32,
        (Size::B, true) => Opcode::LoadS8,
        (Size::H, true) => Opcode::LoadS16,
        (Size::W, true) => Opcode::LoadS32,
        (Size::D, _) => Opcode::Load64,
    }
}

fn store(size: Size, src: Operand) -> Opcode {
    match (size, src) {
        (Size::B, Operand::Reg(_)) => Opcode::Store8R,
        (Size::H, Operand::Reg(_)) => Opcode::Store16R,
        (Size::W, Operand::Reg(_)) => Opcode::Store32R,
        (Size::D, Operand::Reg(_)) => Opcode::Store64R,
        (Size::B, Operand::Imm(_)) => Opcode::Store8I,
        (Size::H, Operand::Imm(_)) => Opcode::Store16I,
        (Size::W, Operand::Imm(_)) => Opcode::Store32I,
        (Size::D, Operand::Imm(_)) => Opcode::Store64I,
    }
}
