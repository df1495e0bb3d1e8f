//! What must hold before an instruction: the instruction alone decides, no state is looked at.
//!
//! The demands of an instruction stand in the order in which Linux looks at them, so that the first that cannot be
//! proved gives Linux's reason.

use super::tnum::Tnum;
use crate::errno::Errno;
use crate::helpers::{self, ArgKind, HelperProto};
use crate::insn::{AluOp, AtomicOp, Callee, Insn, Kfunc, Operand, PacketMode, Reg, Wide, Width};
use crate::program::{ProgType, Program};

/// Which way memory is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// What a store puts into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Whole or part of a register.
    Reg(Reg),
    /// An immediate.
    Imm(i32),
    /// Something the program does not see: an atomic operation's result.
    Unknown,
}

/// An access to memory at a register plus a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub base: Reg,
    pub off: i64,
    pub size: u32,
    pub dir: Direction,
    /// Reads: a register takes the value. Otherwise it must be a number.
    pub to_register: bool,
    /// Writes.
    pub stored: Stored,
    /// It must be aligned wherever it goes.
    pub aligned: bool,
    /// A read that sign-extends.
    pub sign_extends: bool,
}

/// One thing that must hold.
#[derive(Debug, Clone)]
pub(super) enum Demand {
    /// The register was written on this path.
    Readable(Reg),
    /// It is not the frame pointer.
    Writable(Reg),
    /// If a side is a pointer, the operation is one that pointers allow, and the result stays in reach.
    PointerMath { width: Width, op: AluOp, dst: Reg, src: Operand },
    /// The memory may be accessed this way.
    Memory(Access),
    /// The memory behind the register is not the context or the packet, which atomic operations must not touch.
    AtomicTarget(Reg),
    /// The register is the context, for packet access of classic heritage.
    SkbIn(Reg),
    /// A helper's argument, counted from 0.
    Argument { proto: &'static HelperProto, index: usize },
    /// The map in the first argument is one this helper takes.
    MapFits(&'static HelperProto),
    /// A function may be entered: there is a frame left for it.
    FrameLeft,
    /// A result may be returned from the running function.
    Return,
    /// Cannot hold.
    Never(Errno, String),
    /// We cannot say whether it holds.
    Unmodelled(&'static str, String),
}

/// What `insn` demands in `program`.
pub(super) fn demands(program: &Program, insn: &Insn) -> Vec<Demand> {
    match *insn {
        Insn::Alu { width, op, dst, src } => alu(width, op, dst, src),
        Insn::Mov { dst, src, .. } => {
            let mut out = readable(src);
            out.push(Demand::Writable(dst));
            out
        }
        Insn::Neg { dst, .. } | Insn::End { dst, .. } => vec![Demand::Readable(dst), Demand::Writable(dst)],
        Insn::LoadImm64 { dst, value } => {
            let mut out = vec![Demand::Writable(dst)];
            match value {
                Wide::Func { .. } => {
                    let reason = "a function's address is taken, for a helper that calls it back";
                    out.push(Demand::Unmodelled("verifier-callback", reason.to_owned()));
                }
                Wide::Variable { id, .. } => {
                    let reason = format!("the address of kernel variable {id} is taken, and those are not modelled");
                    out.push(Demand::Unmodelled("verifier-variable", reason));
                }
                Wide::Value(_) | Wide::Map(_) | Wide::MapValue { .. } => {}
            }
            out
        }
        Insn::Pad | Insn::Jump { .. } => Vec::new(),
        Insn::LoadAcquire { .. } => unmodelled("load_acquire"),
        Insn::StoreRelease { .. } => unmodelled("store_release"),
        Insn::AddrSpaceCast { .. } => unmodelled("addr_space_cast"),
        Insn::MayGoto { .. } => unmodelled("may_goto"),
        Insn::Load { size, sext, dst, base, off } => vec![
            Demand::Readable(base),
            Demand::Writable(dst),
            Demand::Memory(Access {
                base,
                off: i64::from(off),
                size: size.bytes(),
                dir: Direction::Read,
                to_register: true,
                stored: Stored::Unknown,
                aligned: false,
                sign_extends: sext,
            }),
        ],
        Insn::Store { size, base, off, src } => {
            let mut out = readable(src);
            out.push(Demand::Readable(base));
            let stored = match src {
                Operand::Reg(r) => Stored::Reg(r),
                Operand::Imm(i) => Stored::Imm(i),
            };
            out.push(Demand::Memory(write(base, off, size.bytes(), stored, false)));
            out
        }
        Insn::LoadPacket { mode, .. } => load_packet(program.ty, mode),
        Insn::Atomic { op, fetch, size, base, off, src } => atomic(op, fetch, size.bytes(), base, off, src),
        Insn::Branch { dst, src, .. } => {
            let mut out = vec![Demand::Readable(dst)];
            out.extend(readable(src));
            out
        }
        Insn::Call { callee } => call(program, callee),
        Insn::Exit => vec![Demand::Return],
    }
}

fn unmodelled(name: &str) -> Vec<Demand> {
    vec![Demand::Unmodelled("verifier-instruction", format!("{name} is used, an instruction that is not modelled"))]
}

fn readable(src: Operand) -> Vec<Demand> {
    src.reg().map(Demand::Readable).into_iter().collect()
}

fn write(base: Reg, off: i16, size: u32, stored: Stored, aligned: bool) -> Access {
    let (dir, off) = (Direction::Write, i64::from(off));
    Access { base, off, size, dir, to_register: false, stored, aligned, sign_extends: false }
}

fn alu(width: Width, op: AluOp, dst: Reg, src: Operand) -> Vec<Demand> {
    let mut out = readable(src);
    out.push(Demand::Readable(dst));
    if let Operand::Imm(imm) = src {
        let bits = if width == Width::W64 { 64 } else { 32 };
        match op {
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod if imm == 0 => {
                out.push(Demand::Never(Errno::EINVAL, "div by zero".to_owned()));
            }
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits).contains(&imm) => {
                out.push(Demand::Never(Errno::EINVAL, format!("invalid shift {imm}")));
            }
            _ => {}
        }
    }
    out.push(Demand::Writable(dst));
    out.push(Demand::PointerMath { width, op, dst, src });
    out
}

fn load_packet(ty: ProgType, mode: PacketMode) -> Vec<Demand> {
    if !ty.is_skb() {
        let line = "BPF_LD_[ABS|IND] instructions not allowed for this program type";
        return vec![Demand::Never(Errno::EINVAL, line.to_owned())];
    }
    let mut out = vec![Demand::Readable(Reg::R6), Demand::SkbIn(Reg::R6)];
    if let PacketMode::Ind(reg) = mode {
        out.push(Demand::Readable(reg));
    }
    out
}

fn atomic(op: AtomicOp, fetch: bool, size: u32, base: Reg, off: i16, src: Reg) -> Vec<Demand> {
    let mut out = vec![Demand::Readable(src), Demand::Readable(base)];
    if op == AtomicOp::Cmpxchg {
        out.push(Demand::Readable(Reg::R0));
    }
    out.push(Demand::AtomicTarget(base));
    if fetch {
        let result = if op == AtomicOp::Cmpxchg { Reg::R0 } else { src };
        out.push(Demand::Writable(result));
        if result == base {
            // The result is taken for the address before it is used.
            let line = format!("misaligned access off {}+0+{off} size {size}", Tnum::UNKNOWN);
            out.push(Demand::Never(Errno::EACCES, line));
        }
    }
    let store = write(base, off, size, Stored::Unknown, true);
    out.push(Demand::Memory(Access { dir: Direction::Read, ..store }));
    out.push(Demand::Memory(store));
    out
}

fn call(program: &Program, callee: Callee) -> Vec<Demand> {
    let one = |d| vec![d];
    match callee {
        Callee::Local(_) => one(Demand::FrameLeft),
        Callee::Reg(_) => one(Demand::Never(Errno::EINVAL, "unknown opcode 8d".to_owned())),
        Callee::Kfunc(Kfunc { id, .. }) => {
            let reason = format!("kernel function {id} is called, and kernel functions are not modelled");
            one(Demand::Unmodelled("verifier-kfunc", reason))
        }
        Callee::Helper(id) => match helpers::proto(id) {
            Some(proto) => helper(program, proto),
            None => match helpers::name(id) {
                Some(name) => {
                    let reason = format!("{name}#{id} is called, a helper that is not modelled");
                    one(Demand::Unmodelled("verifier-helper", reason))
                }
                None if id == 0 => {
                    let line = "program of this type cannot use helper bpf_unspec#0";
                    one(Demand::Never(Errno::EINVAL, line.to_owned()))
                }
                None => one(Demand::Never(Errno::EINVAL, format!("invalid func unknown#{id}"))),
            },
        },
    }
}

fn helper(program: &Program, proto: &'static HelperProto) -> Vec<Demand> {
    if !proto.types.contains(program.ty) {
        let line = format!("program of this type cannot use helper {}#{}", proto.name(), proto.id);
        return vec![Demand::Never(Errno::EINVAL, line)];
    }
    if proto.gpl_only && !is_gpl(&program.license) {
        let line = "cannot call GPL-restricted function from non-GPL compatible program";
        return vec![Demand::Never(Errno::EINVAL, line.to_owned())];
    }
    let args = proto.args.iter().take_while(|k| **k != ArgKind::None);
    let mut out: Vec<_> = args.enumerate().map(|(index, _)| Demand::Argument { proto, index }).collect();
    out.push(Demand::MapFits(proto));
    out
}

/// Licences the kernel takes as compatible with the GPL.
fn is_gpl(license: &str) -> bool {
    const COMPATIBLE: [&str; 6] =
        ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
    COMPATIBLE.contains(&license)
}
