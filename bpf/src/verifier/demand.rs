//! What must hold before an instruction: the instruction alone decides, no state is looked at.
//!
//! The demands of an instruction stand in the order in which Linux looks at them, so that the first that cannot be
//! proved gives Linux's reason.

use super::cfg;
use super::class::Class;
use super::privileges::Privileges;
use super::prove::is_static;
use super::tnum::Tnum;
use crate::errno::Errno;
use crate::helpers::{self, signature, signature::Needs, signature::Signature};
use crate::insn::{AluOp, AtomicOp, Callee, Cond, Insn, Kfunc, Operand, PacketMode, Reg, Wide, Width};
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
    /// If it is a pointer, the loader may see addresses.
    NoAddress(Reg, &'static str),
    /// The loader may compare the two.
    Comparison { width: Width, cond: Cond, dst: Reg, src: Operand },
    /// The memory may be accessed this way.
    Memory(Access),
    /// The memory behind the register is not the context or the packet, which atomic operations must not touch.
    AtomicTarget(Reg),
    /// The register is the context, for packet access of classic heritage.
    SkbIn(Reg),
    /// A helper gets what it takes.
    Call(&'static Signature),
    /// No lock is held.
    Unlocked,
    /// Nothing is held that must be given back, where this may end the program.
    NothingHeld(&'static str),
    /// A function that is verified on its own gets what it takes.
    Global(usize),
    /// A function may be entered: there is a frame left for it.
    FrameLeft,
    /// A result may be returned from the running function.
    Return,
    /// Cannot hold.
    Never(Class, Errno, String),
    /// We cannot say whether it holds.
    Unmodelled(&'static str, String),
}

/// What `insn` demands in `program`.
pub(super) fn demands(program: &Program, privileges: Privileges, slot: usize) -> Vec<Demand> {
    match program.insns[slot] {
        Insn::Alu { width, op, dst, src } => alu(width, op, dst, src),
        Insn::Mov { width, dst, src, sext } => {
            let mut out = readable(src);
            out.push(Demand::Writable(dst));
            let what = match (width, sext) {
                (Width::W32, _) => Some("partial copy of pointer"),
                (Width::W64, Some(_)) => Some("sign-extension part of pointer"),
                (Width::W64, None) => None,
            };
            out.extend(src.reg().zip(what).map(|(reg, what)| Demand::NoAddress(reg, what)));
            out
        }
        Insn::Neg { dst, .. } | Insn::End { dst, .. } => {
            let no_address = Demand::NoAddress(dst, "pointer arithmetic prohibited");
            vec![Demand::Readable(dst), no_address, Demand::Writable(dst)]
        }
        Insn::LoadImm64 { dst, value } => {
            let mut out = vec![Demand::Writable(dst)];
            match value {
                Wide::Func { .. } => out.extend(function_address(program, slot)),
                Wide::Variable { id, .. } => {
                    let reason = format!("the address of kernel variable {id} is taken, and those are not modelled");
                    out.push(Demand::Unmodelled("verifier-variable", reason));
                }
                Wide::Value(_) | Wide::Map(_) | Wide::MapValue { .. } => {}
            }
            out
        }
        Insn::Pad | Insn::Jump { .. } => Vec::new(),
        Insn::LoadAcquire { size, dst, base, off } => {
            let read = Access {
                dir: Direction::Read,
                to_register: true,
                ..write(base, off, size.bytes(), Stored::Unknown, true)
            };
            vec![
                Demand::Readable(base),
                Demand::AtomicTarget(base),
                Demand::Readable(base),
                Demand::Writable(dst),
                Demand::Memory(read),
            ]
        }
        Insn::StoreRelease { size, base, off, src } => {
            let store = write(base, off, size.bytes(), Stored::Reg(src), true);
            vec![Demand::Readable(src), Demand::Readable(base), Demand::AtomicTarget(base), Demand::Memory(store)]
        }
        Insn::AddrSpaceCast { .. } => unmodelled("addr_space_cast"),
        Insn::MayGoto { .. } => Vec::new(),
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
        Insn::Branch { width, cond, dst, src, .. } => {
            let mut out = vec![Demand::Readable(dst)];
            out.extend(readable(src));
            out.push(Demand::Comparison { width, cond, dst, src });
            out
        }
        Insn::Call { callee } => call(program, privileges, slot, callee),
        Insn::Exit => vec![Demand::Return],
    }
}

/// A function whose address is taken must be one that its types say is static.
fn function_address(program: &Program, slot: usize) -> Option<Demand> {
    let start = program.insns[slot].function(slot)? as usize;
    let function = cfg::function_at(program, start);
    if program.btf.is_none() || program.functions[function].btf.is_none() {
        return Some(Demand::Never(Class::TypeInformation, Errno::EINVAL, "missing btf func_info".to_owned()));
    }
    let line = "callback function not static";
    (!is_static(program, function)).then(|| Demand::Never(Class::TypeInformation, Errno::EINVAL, line.to_owned()))
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
                out.push(Demand::Never(Class::Arithmetic, Errno::EINVAL, "div by zero".to_owned()));
            }
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits).contains(&imm) => {
                out.push(Demand::Never(Class::Arithmetic, Errno::EINVAL, format!("invalid shift {imm}")));
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
        return vec![Demand::Never(Class::NotAvailable, Errno::EINVAL, line.to_owned())];
    }
    let mut out = vec![Demand::Readable(Reg::R6), Demand::NothingHeld("BPF_LD_[ABS|IND]"), Demand::SkbIn(Reg::R6)];
    if let PacketMode::Ind(reg) = mode {
        out.push(Demand::Readable(reg));
    }
    out
}

fn atomic(op: AtomicOp, fetch: bool, size: u32, base: Reg, off: i16, src: Reg) -> Vec<Demand> {
    let mut out = vec![Demand::Readable(src), Demand::Readable(base)];
    if op == AtomicOp::Cmpxchg {
        out.extend([Demand::Readable(Reg::R0), Demand::NoAddress(Reg::R0, "leaks addr into mem")]);
    }
    out.extend([Demand::NoAddress(src, "leaks addr into mem"), Demand::AtomicTarget(base)]);
    if fetch {
        let result = if op == AtomicOp::Cmpxchg { Reg::R0 } else { src };
        out.push(Demand::Writable(result));
        if result == base {
            // The result is taken for the address before it is used.
            let line = format!("misaligned access off {}+0+{off} size {size}", Tnum::UNKNOWN);
            out.push(Demand::Never(Class::Alignment, Errno::EACCES, line));
        }
    }
    let store = write(base, off, size, Stored::Unknown, true);
    out.push(Demand::Memory(Access { dir: Direction::Read, ..store }));
    out.push(Demand::Memory(store));
    out
}

fn call(program: &Program, privileges: Privileges, slot: usize, callee: Callee) -> Vec<Demand> {
    let one = |d| vec![d];
    match callee {
        Callee::Local(_) => match program.insns[slot].function(slot) {
            Some(start) if cfg::is_global_call(program, slot) => {
                one(Demand::Global(cfg::function_at(program, start as usize)))
            }
            _ => vec![Demand::Unlocked, Demand::FrameLeft],
        },
        Callee::Reg(_) => one(Demand::Never(Class::Encoding, Errno::EINVAL, "unknown opcode 8d".to_owned())),
        Callee::Kfunc(Kfunc { id, .. }) => {
            let reason = format!("kernel function {id} is called, and kernel functions are not modelled");
            one(Demand::Unmodelled("verifier-kfunc", reason))
        }
        Callee::Helper(id) => helper(program, privileges, id),
    }
}

/// `bpf_spin_unlock` and `bpf_kptr_xchg`, the only helpers that may be called while a lock is held.
const WHILE_LOCKED: [u32; 2] = [94, 194];

fn helper(program: &Program, privileges: Privileges, id: u32) -> Vec<Demand> {
    let mut out = Vec::new();
    if !WHILE_LOCKED.contains(&id) {
        out.push(Demand::Unlocked);
    }
    let name = helpers::name(id);
    let Some(signature) = helper_for(id, program.ty, privileges) else {
        let line = match name {
            Some(name) => format!("program of this type cannot use helper {name}#{id}"),
            None if id == 0 => "program of this type cannot use helper bpf_unspec#0".to_owned(),
            None => format!("invalid func unknown#{}", id as i32),
        };
        out.push(Demand::Never(Class::NotAvailable, Errno::EINVAL, line));
        return out;
    };
    if signature.gpl_only && !is_gpl(&program.license) {
        let line = "cannot call GPL-restricted function from non-GPL compatible program";
        out.push(Demand::Never(Class::Licence, Errno::EINVAL, line.to_owned()));
    }
    if signature.sleeps {
        out.push(Demand::Never(
            Class::NotAvailable,
            Errno::EINVAL,
            "helper call might sleep in a non-sleepable prog".to_owned(),
        ));
    }
    out.push(Demand::Call(signature));
    out
}

/// The helper of a number, if the loader's programs of a type may call it.
pub(super) fn helper_for(id: u32, ty: ProgType, privileges: Privileges) -> Option<&'static Signature> {
    signature::signature(id, ty).filter(|s| s.allows(ty) && permitted(s, privileges))
}

/// Whether the loader is allowed what a helper takes.
fn permitted(signature: &Signature, privileges: Privileges) -> bool {
    match signature.needs {
        Needs::Nothing => true,
        Needs::Bpf => privileges.bpf,
        Needs::Perfmon => privileges.bpf && privileges.perfmon,
        Needs::PerfmonAlone => privileges.perfmon,
    }
}

/// Licences the kernel takes as compatible with the GPL.
fn is_gpl(license: &str) -> bool {
    const COMPATIBLE: [&str; 6] =
        ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
    COMPATIBLE.contains(&license)
}
