//! From classic to extended BPF, in meaning what Linux does when a filter is attached (`bpf_convert_filter`).
//!
//! | classic | extended |
//! |---|---|
//! | A, X | R0, R7, always with the upper half clear |
//! | packet | the skb in R6, read by `LD_ABS` and `LD_IND`, which end the program with 0 beyond the packet's end |
//! | M\[0\] to M\[15\] | sixteen words of the stack from R10 - 64 on |
//! | beside the packet | fields of `struct __sk_buff`, two helpers |
//!
//! Instructions that nothing reaches are left out: a classic filter may have them, an extended program may not.

use super::check::CELLS;
use super::{Ancillary, Cond, Filter, Insn as Classic, Operand as Src, Reg as Classical, Verdict, reach};
use crate::diag::{At, Diagnostic, SourceLine};
use crate::insn::{AluOp, ByteOrder, Callee, Cond as Condition, Insn, Operand, PacketMode, Reg, Size, Width};
use crate::program::{LineEntry, ProgType, Program};

const A: Reg = Reg::R0;
const CONTEXT: Reg = Reg::R6;
const X: Reg = Reg::R7;
/// Survives calls and packet loads.
const SPARE: Reg = Reg::R8;

/// Offsets in `struct __sk_buff` (include/uapi/linux/bpf.h).
mod skb {
    pub const LEN: i16 = 0;
    pub const PKT_TYPE: i16 = 4;
    pub const MARK: i16 = 8;
    pub const QUEUE_MAPPING: i16 = 12;
    pub const PROTOCOL: i16 = 16;
    pub const VLAN_PRESENT: i16 = 20;
    pub const VLAN_TCI: i16 = 24;
    pub const VLAN_PROTO: i16 = 28;
    pub const IFINDEX: i16 = 40;
    pub const HASH: i16 = 68;
}

/// `bpf_get_prandom_u32`.
const RANDOM: u32 = 7;
/// `bpf_get_smp_processor_id`.
const PROCESSOR: u32 = 8;

impl Filter {
    /// The filter as a socket filter of extended BPF. Each instruction has, as its line of source, the classic one it comes
    /// from, numbered from 1.
    ///
    /// # Errors
    /// A reachable load of something that `struct __sk_buff` and the helpers do not tell: netlink attributes, the device's
    /// hardware type, the payload's offset. A jump that Linux cannot make when the filter is attached, since what lies
    /// between gets too long there.
    pub fn program(&self, name: &str) -> Result<Program, Diagnostic> {
        reach::check(self.insns(), name)?;
        let reachable = self.reachable();
        let mut code = Code::default();
        code.push(mov(Width::W64, CONTEXT, Operand::Reg(Reg::R1)));
        code.push(mov(Width::W32, A, Operand::Imm(0)));
        code.push(mov(Width::W32, X, Operand::Imm(0)));
        let mut lines = Vec::new();
        for (pc, insn) in self.insns().iter().enumerate() {
            code.start_of.push(code.insns.len());
            if !reachable[pc] {
                continue;
            }
            let text = insn.at(pc).to_string();
            let line = SourceLine { file: name.to_owned(), line: pc as u32 + 1, column: 0, text: text.clone() };
            lines.push(LineEntry { slot: if pc == 0 { 0 } else { code.insns.len() }, line });
            code.convert(pc, *insn).map_err(|what| {
                let reason = format!("{} of a packet is nothing that a socket filter can read here", what.name());
                Diagnostic::new("cbpf-unsupported", reason)
                    .at(At::Insn { program: name.to_owned(), slot: pc, text, source: None })
                    .help("leave this condition out of the filter")
            })?;
        }
        let insns = code.link();
        Ok(Program { lines, ..Program::from_insns(name, ProgType::SocketFilter, insns, Vec::new()) })
    }

    /// Instructions that some way through the filter comes to. Jumps only go forward, so one pass will do.
    fn reachable(&self) -> Vec<bool> {
        let mut reachable = vec![false; self.insns().len()];
        reachable[0] = true;
        for (pc, insn) in self.insns().iter().enumerate() {
            if !reachable[pc] {
                continue;
            }
            match *insn {
                Classic::Return(_) => {}
                Classic::Jump { k } => reachable[pc + 1 + k as usize] = true,
                Classic::Branch { jt, jf, .. } => {
                    reachable[pc + 1 + usize::from(jt)] = true;
                    reachable[pc + 1 + usize::from(jf)] = true;
                }
                _ => reachable[pc + 1] = true,
            }
        }
        reachable
    }
}

/// Extended instructions under construction.
#[derive(Default)]
struct Code {
    insns: Vec<Insn>,
    /// Where each classic instruction's code begins.
    start_of: Vec<usize>,
    /// Jumps to be linked: where they are, and the classic instruction they go to.
    jumps: Vec<(usize, usize)>,
}

const fn mov(width: Width, dst: Reg, src: Operand) -> Insn {
    Insn::Mov { width, dst, src, sext: None }
}

const fn field(dst: Reg, off: i16) -> Insn {
    Insn::Load { size: Size::W, sext: false, dst, base: CONTEXT, off }
}

const fn operand(src: Src) -> Operand {
    match src {
        Src::K(k) => Operand::Imm(k as i32),
        Src::X => Operand::Reg(X),
    }
}

const fn register(reg: Classical) -> Reg {
    match reg {
        Classical::A => A,
        Classical::X => X,
    }
}

/// Where a cell lies below the frame pointer.
const fn cell_at(cell: u32) -> i16 {
    4 * (cell as i16 - CELLS as i16)
}

impl Code {
    fn push(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    fn alu(&mut self, op: AluOp, src: Operand) {
        self.push(Insn::Alu { width: Width::W32, op, dst: A, src });
    }

    /// A jump to a classic instruction; its offset is filled in by [`Code::link`].
    fn jump(&mut self, insn: Insn, to: usize) {
        self.jumps.push((self.insns.len(), to));
        self.push(insn);
    }

    fn goto(&mut self, from: usize, to: usize) {
        if to != from + 1 {
            self.jump(Insn::Jump { off: 0, long: false }, to);
        }
    }

    fn convert(&mut self, pc: usize, insn: Classic) -> Result<(), Ancillary> {
        match insn {
            Classic::LoadAbs { size, k } => {
                self.push(Insn::LoadPacket { size, mode: PacketMode::Abs, imm: k as i32 });
            }
            Classic::LoadInd { size, k } => {
                self.push(Insn::LoadPacket { size, mode: PacketMode::Ind(X), imm: k as i32 });
            }
            Classic::LoadAncillary { what, .. } => self.ancillary(what)?,
            Classic::LoadMsh { k } => {
                self.push(mov(Width::W64, SPARE, Operand::Reg(A)));
                self.push(Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm: k as i32 });
                self.alu(AluOp::And, Operand::Imm(0xf));
                self.alu(AluOp::Lsh, Operand::Imm(2));
                self.push(mov(Width::W64, X, Operand::Reg(A)));
                self.push(mov(Width::W64, A, Operand::Reg(SPARE)));
            }
            Classic::LoadImm { to, k } => self.push(mov(Width::W32, register(to), Operand::Imm(k as i32))),
            Classic::LoadMem { to, cell } => self.push(Insn::Load {
                size: Size::W,
                sext: false,
                dst: register(to),
                base: Reg::R10,
                off: cell_at(cell),
            }),
            Classic::LoadLen { to } => self.push(field(register(to), skb::LEN)),
            Classic::Store { from, cell } => self.push(Insn::Store {
                size: Size::W,
                base: Reg::R10,
                off: cell_at(cell),
                src: Operand::Reg(register(from)),
            }),
            Classic::Alu { op, src } => self.arithmetic(op, src),
            Classic::Neg => self.push(Insn::Neg { width: Width::W32, dst: A }),
            Classic::Jump { k } => self.goto(pc, pc + 1 + k as usize),
            Classic::Branch { cond, src, jt, jf } => {
                self.branch(pc, cond, src, pc + 1 + usize::from(jt), pc + 1 + usize::from(jf));
            }
            Classic::Tax => self.push(mov(Width::W64, X, Operand::Reg(A))),
            Classic::Txa => self.push(mov(Width::W64, A, Operand::Reg(X))),
            Classic::Return(verdict) => {
                if let Verdict::K(k) = verdict {
                    self.push(mov(Width::W32, A, Operand::Imm(k as i32)));
                }
                self.push(Insn::Exit);
            }
        }
        Ok(())
    }

    fn arithmetic(&mut self, op: super::AluOp, src: Src) {
        use super::AluOp as Op;
        if matches!(op, Op::Div | Op::Mod) && src == Src::X {
            self.unless_zero(X, [mov(Width::W32, A, Operand::Imm(0)), Insn::Exit]);
        }
        let op = match op {
            Op::Add => AluOp::Add,
            Op::Sub => AluOp::Sub,
            Op::Mul => AluOp::Mul,
            Op::Div => AluOp::Div,
            Op::Or => AluOp::Or,
            Op::And => AluOp::And,
            Op::Lsh => AluOp::Lsh,
            Op::Rsh => AluOp::Rsh,
            Op::Mod => AluOp::Mod,
            Op::Xor => AluOp::Xor,
        };
        self.alu(op, operand(src));
    }

    /// Instructions that run only if the register is 0.
    fn unless_zero<const N: usize>(&mut self, reg: Reg, insns: [Insn; N]) {
        let (cond, src) = (Condition::Ne, Operand::Imm(0));
        self.push(Insn::Branch { width: Width::W32, cond, dst: reg, src, off: N as i16 });
        self.insns.extend(insns);
    }

    /// Only the way that is not the next instruction costs a jump.
    fn branch(&mut self, pc: usize, cond: Cond, src: Src, to: usize, otherwise: usize) {
        let (cond, inverse) = match cond {
            Cond::Eq => (Condition::Eq, Some(Condition::Ne)),
            Cond::Gt => (Condition::Gt, Some(Condition::Le)),
            Cond::Ge => (Condition::Ge, Some(Condition::Lt)),
            Cond::Set => (Condition::Set, None),
        };
        let when = |cond| Insn::Branch { width: Width::W32, cond, dst: A, src: operand(src), off: 0 };
        match inverse {
            _ if to == otherwise => self.goto(pc, to),
            Some(inverse) if to == pc + 1 => self.jump(when(inverse), otherwise),
            _ => {
                self.jump(when(cond), to);
                self.goto(pc, otherwise);
            }
        }
    }

    fn ancillary(&mut self, what: Ancillary) -> Result<(), Ancillary> {
        let network_order = Insn::End { order: ByteOrder::Be, dst: A, bits: 16 };
        let call = |id| Insn::Call { callee: Callee::Helper(id) };
        match what {
            Ancillary::Protocol => self.insns.extend([field(A, skb::PROTOCOL), network_order]),
            Ancillary::PacketType => self.push(field(A, skb::PKT_TYPE)),
            Ancillary::Ifindex => {
                // A packet without a device ends the filter with what A holds.
                self.push(field(SPARE, skb::IFINDEX));
                self.unless_zero(SPARE, [Insn::Exit]);
                self.push(mov(Width::W64, A, Operand::Reg(SPARE)));
            }
            Ancillary::Mark => self.push(field(A, skb::MARK)),
            Ancillary::Queue => self.push(field(A, skb::QUEUE_MAPPING)),
            Ancillary::Hash => self.push(field(A, skb::HASH)),
            Ancillary::Cpu => self.push(call(PROCESSOR)),
            Ancillary::XorX => self.alu(AluOp::Xor, Operand::Reg(X)),
            Ancillary::VlanTag => self.push(field(A, skb::VLAN_TCI)),
            Ancillary::VlanPresent => self.push(field(A, skb::VLAN_PRESENT)),
            Ancillary::Random => self.push(call(RANDOM)),
            Ancillary::VlanProtocol => self.insns.extend([field(A, skb::VLAN_PROTO), network_order]),
            Ancillary::Nlattr | Ancillary::NlattrNest | Ancillary::HardwareType | Ancillary::PayloadOffset => {
                return Err(what);
            }
        }
        Ok(())
    }

    fn link(mut self) -> Vec<Insn> {
        for (at, to) in self.jumps {
            let distance = i16::try_from(self.start_of[to] - at - 1).expect("at most 4,096 instructions become 6 each");
            match &mut self.insns[at] {
                Insn::Jump { off, .. } => *off = distance.into(),
                Insn::Branch { off, .. } => *off = distance,
                _ => unreachable!("only jumps are linked"),
            }
        }
        self.insns
    }
}
