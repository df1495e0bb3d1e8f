//! Instructions as text, in the two dialects people know: the kernel verifier's log and `llvm-objdump`.
//!
//! | | verifier log | `llvm-objdump --mcpu=v4 -d` |
//! |---|---|---|
//! | immediates | signed decimal, in branches 32-bit hexadecimal | signed hexadecimal |
//! | 32-bit loads and stores | `r1 = *(u32 *)(r6 +4)` | `w1 = *(u32 *)(r6 + 0x4)` |
//! | branches | `if w1 > 0x5 goto pc+3` | `if w1 > 0x5 goto +0x3` |
//! | calls | `call bpf_map_lookup_elem#1`, `call pc+2` | `call 0x1`, `call 0x2` |

use std::fmt;

use super::{AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Kfunc, Operand, PacketMode, Reg, Size, Wide, Width};
use crate::insn::MapIndex;

/// Looks up what the text may call by name; `None` makes it print the number.
pub trait Names {
    /// Name of a helper.
    fn helper(&self, id: u32) -> Option<&str>;

    /// Name of a kernel function.
    fn kfunc(&self, id: i32) -> Option<&str> {
        let _ = id;
        None
    }

    /// Name of a map.
    fn map(&self, map: MapIndex) -> Option<&str> {
        let _ = map;
        None
    }
}

/// Knows no name.
impl Names for () {
    fn helper(&self, _: u32) -> Option<&str> {
        None
    }
}

/// Knows helpers.
impl<F: Fn(u32) -> Option<&'static str>> Names for F {
    fn helper(&self, id: u32) -> Option<&str> {
        self(id)
    }
}

/// An instruction as the kernel's verifier prints it, without the opcode in parentheses before it.
///
/// Where the kernel prints an address (maps, functions) this prints what is behind it, in bpftool's words:
/// `r1 = map[flows]`, `r1 = map[.rodata][0]+8`, `r1 = subprog[+3]`.
#[derive(Clone, Copy)]
pub struct Verifier<'a>(pub &'a Insn, pub &'a dyn Names);

/// An instruction as `llvm-objdump --mcpu=v4 -d` prints it, without the label after a branch.
#[derive(Debug, Clone, Copy)]
pub struct Objdump<'a>(pub &'a Insn);

impl Insn {
    /// The instruction as the kernel's verifier prints it.
    pub fn verifier<'a>(&'a self, names: &'a dyn Names) -> Verifier<'a> {
        Verifier(self, names)
    }

    /// The instruction as `llvm-objdump` prints it.
    pub fn objdump(&self) -> Objdump<'_> {
        Objdump(self)
    }
}

/// A register by the name that fits the width.
struct Named(Width, Reg);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.0 == Width::W32 { 'w' } else { 'r' };
        write!(f, "{letter}{}", self.1.index())
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.index())
    }
}

/// Signed hexadecimal: `0x10`, `-0x5`.
struct Hex(i64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// Signed hexadecimal with its sign always: `+0x10`, `-0x5`.
struct Jump(i64);

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// An address in `llvm-objdump`'s way: `r10 - 0x8`.
struct Address(Reg, i16);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.1 < 0 { '-' } else { '+' };
        write!(f, "{} {sign} {:#x}", self.0, self.1.unsigned_abs())
    }
}

const fn assign(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::Sdiv => "s/=",
        AluOp::Mod => "%=",
        AluOp::Smod => "s%=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Xor => "^=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Arsh => "s>>=",
    }
}

const fn compare(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => "==",
        Cond::Ne => "!=",
        Cond::Gt => ">",
        Cond::Ge => ">=",
        Cond::Lt => "<",
        Cond::Le => "<=",
        Cond::Set => "&",
        Cond::Sgt => "s>",
        Cond::Sge => "s>=",
        Cond::Slt => "s<",
        Cond::Sle => "s<=",
    }
}

const fn order_name(order: ByteOrder) -> &'static str {
    match order {
        ByteOrder::Le => "le",
        ByteOrder::Be => "be",
        ByteOrder::Swap => "bswap",
    }
}

/// Assignment operator and name of an atomic operation.
const fn atomic(op: AtomicOp) -> (&'static str, &'static str) {
    match op {
        AtomicOp::Add => ("+=", "fetch_add"),
        AtomicOp::Or => ("|=", "fetch_or"),
        AtomicOp::And => ("&=", "fetch_and"),
        AtomicOp::Xor => ("^=", "fetch_xor"),
        AtomicOp::Xchg => ("=", "xchg"),
        AtomicOp::Cmpxchg => ("=", "cmpxchg"),
    }
}

const fn bits(size: Size) -> u32 {
    size.bytes() * 8
}

impl fmt::Display for Verifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verifier(insn, names) = *self;
        match *insn {
            Insn::Alu { width, op, dst, src } => {
                write!(f, "{} {} ", Named(width, dst), assign(op))?;
                decimal(f, width, src)
            }
            Insn::Mov { width, dst, src, sext } => {
                write!(f, "{} = ", Named(width, dst))?;
                if let Some(bits) = sext {
                    write!(f, "(s{bits})")?;
                }
                decimal(f, width, src)
            }
            Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(width, dst)),
            Insn::End { order, dst, bits } => write!(f, "{dst} = {}{bits} {dst}", order_name(order)),
            Insn::LoadImm64 { dst, value } => match value {
                Wide::Value(v) => write!(f, "{dst} = {v:#x}"),
                Wide::Map(map) => {
                    write!(f, "{dst} = ")?;
                    map_name(f, map, names)
                }
                Wide::MapValue { map, off } => {
                    write!(f, "{dst} = ")?;
                    map_name(f, map, names)?;
                    write!(f, "[0]+{off}")
                }
                Wide::Variable { id, btf } => write!(f, "{dst} = variable[btf:{btf}, id:{id}]"),
                Wide::Func { off } => write!(f, "{dst} = subprog[{off:+}]"),
            },
            // The log has no line for it.
            Insn::Pad => Ok(()),
            Insn::Load { size, sext, dst, base, off } => {
                let sign = if sext { 's' } else { 'u' };
                write!(f, "{dst} = *({sign}{} *)({base} {off:+})", bits(size))
            }
            Insn::Store { size, base, off, src } => {
                write!(f, "*(u{} *)({base} {off:+}) = ", bits(size))?;
                decimal(f, Width::W64, src)
            }
            Insn::LoadPacket { size, mode: PacketMode::Abs, imm } => write!(f, "r0 = *(u{} *)skb[{imm}]", bits(size)),
            Insn::LoadPacket { size, mode: PacketMode::Ind(r), imm } => {
                write!(f, "r0 = *(u{} *)skb[{r} + {imm}]", bits(size))
            }
            Insn::Atomic { op, fetch: false, size, base, off, src } => {
                write!(f, "lock *(u{} *)({base} {off:+}) {} {src}", bits(size), atomic(op).0)
            }
            Insn::Atomic { op, fetch: true, size, base, off, src } => {
                let prefix = if size == Size::D { "atomic64" } else { "atomic" };
                let name = atomic(op).1;
                let (result, expected) = if op == AtomicOp::Cmpxchg { (Reg::R0, "r0, ") } else { (src, "") };
                write!(f, "{result} = {prefix}_{name}((u{} *)({base} {off:+}), {expected}{src})", bits(size))
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                write!(f, "{dst} = load_acquire((u{} *)({base} {off:+}))", bits(size))
            }
            Insn::StoreRelease { size, base, off, src } => {
                write!(f, "store_release((u{} *)({base} {off:+}), {src})", bits(size))
            }
            Insn::AddrSpaceCast { dst, src, to, from } => write!(f, "{dst} = addr_space_cast({src}, {to}, {from})"),
            Insn::MayGoto { off } => write!(f, "may_goto pc{off:+}"),
            Insn::Jump { off, long } => write!(f, "goto{} pc{off:+}", if long { "l" } else { "" }),
            Insn::Branch { width, cond, dst, src, off } => {
                write!(f, "if {} {} ", Named(width, dst), compare(cond))?;
                match src {
                    Operand::Reg(r) => write!(f, "{}", Named(width, r))?,
                    Operand::Imm(imm) => write!(f, "{imm:#x}")?,
                }
                write!(f, " goto pc{off:+}")
            }
            Insn::Call { callee } => match callee {
                Callee::Helper(id) => write!(f, "call {}#{}", names.helper(id).unwrap_or("unknown"), id as i32),
                Callee::Local(off) => write!(f, "call pc{off:+}"),
                Callee::Kfunc(Kfunc { id, .. }) => write!(f, "call {}#{id}", names.kfunc(id).unwrap_or("unknown")),
                Callee::Reg(r) => write!(f, "callx {r}"),
            },
            Insn::Exit => f.write_str("exit"),
        }
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, width: Width, src: Operand) -> fmt::Result {
    match src {
        Operand::Reg(r) => write!(f, "{}", Named(width, r)),
        Operand::Imm(imm) => write!(f, "{imm}"),
    }
}

fn map_name(f: &mut fmt::Formatter<'_>, map: MapIndex, names: &dyn Names) -> fmt::Result {
    match names.map(map) {
        Some(name) => write!(f, "map[{name}]"),
        None => write!(f, "map[idx:{}]", map.0),
    }
}

impl fmt::Display for Objdump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = |width, src: Operand| match src {
            Operand::Reg(r) => Named(width, r).to_string(),
            Operand::Imm(imm) => Hex(i64::from(imm)).to_string(),
        };
        // What is 4 bytes or less, and not sign-extended, goes through the 32-bit half of a register.
        let half = |size| if size == Size::D { Width::W64 } else { Width::W32 };
        match *self.0 {
            Insn::Alu { width, op, dst, src } => {
                write!(f, "{} {} {}", Named(width, dst), assign(op), operand(width, src))
            }
            Insn::Mov { width, dst, src, sext: None } => {
                write!(f, "{} = {}", Named(width, dst), operand(width, src))
            }
            Insn::Mov { width, dst, src, sext: Some(bits) } => {
                write!(f, "{} = (s{bits}){}", Named(width, dst), operand(width, src))
            }
            Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(width, dst)),
            Insn::End { order, dst, bits } => write!(f, "{dst} = {}{bits} {dst}", order_name(order)),
            Insn::LoadImm64 { dst, value } => match value {
                Wide::Value(v) => write!(f, "{dst} = {} ll", Hex(v as i64)),
                Wide::Map(map) => write!(f, "ld_pseudo\t{dst}, 0x1, {:#x}", map.0),
                // The second slot's immediate, the offset, is left out there.
                Wide::MapValue { map, .. } => write!(f, "ld_pseudo\t{dst}, 0x2, {:#x}", map.0),
                Wide::Variable { id, .. } => write!(f, "ld_pseudo\t{dst}, 0x3, {id:#x}"),
                Wide::Func { off } => write!(f, "ld_pseudo\t{dst}, 0x4, {:#x}", off as u32),
            },
            Insn::Pad => Ok(()),
            Insn::Load { size, sext, dst, base, off } => {
                let (sign, width) = if sext { ('s', Width::W64) } else { ('u', half(size)) };
                write!(f, "{} = *({sign}{} *)({})", Named(width, dst), bits(size), Address(base, off))
            }
            Insn::Store { size, base, off, src } => {
                write!(f, "*(u{} *)({}) = {}", bits(size), Address(base, off), operand(half(size), src))
            }
            Insn::LoadPacket { size, mode: PacketMode::Abs, imm } => {
                write!(f, "r0 = *(u{} *)skb[{}]", bits(size), Hex(i64::from(imm)))
            }
            // The immediate is left out there.
            Insn::LoadPacket { size, mode: PacketMode::Ind(r), .. } => {
                write!(f, "r0 = *(u{} *)skb[{r}]", bits(size))
            }
            Insn::Atomic { op: op @ (AtomicOp::Xchg | AtomicOp::Cmpxchg), size, base, off, src, .. } => {
                let width = half(size);
                let suffix = if size == Size::D { "_64" } else { "32_32" };
                let (name, at, src) = (atomic(op).1, Address(base, off), Named(width, src));
                if op == AtomicOp::Xchg {
                    write!(f, "{src} = {name}{suffix}({at}, {src})")
                } else {
                    let r0 = Named(width, Reg::R0);
                    write!(f, "{r0} = {name}{suffix}({at}, {r0}, {src})")
                }
            }
            Insn::Atomic { op, fetch, size, base, off, src } => {
                let (src, at, bits) = (Named(half(size), src), Address(base, off), bits(size));
                if fetch {
                    write!(f, "{src} = atomic_{}((u{bits} *)({at}), {src})", atomic(op).1)
                } else {
                    write!(f, "lock *(u{bits} *)({at}) {} {src}", atomic(op).0)
                }
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                let dst = Named(half(size), dst);
                write!(f, "{dst} = load_acquire((u{} *)({}))", bits(size), Address(base, off))
            }
            Insn::StoreRelease { size, base, off, src } => {
                let src = Named(half(size), src);
                write!(f, "store_release((u{} *)({}), {src})", bits(size), Address(base, off))
            }
            Insn::AddrSpaceCast { dst, src, to, from } => {
                write!(f, "{dst} = addr_space_cast({src}, {to:#x}, {from:#x})")
            }
            Insn::MayGoto { off } => write!(f, "may_goto {}", Jump(i64::from(off))),
            Insn::Jump { off, long } => write!(f, "goto{} {}", if long { "l" } else { "" }, Jump(i64::from(off))),
            Insn::Branch { width, cond, dst, src, off } => {
                let (dst, src) = (Named(width, dst), operand(width, src));
                write!(f, "if {dst} {} {src} goto {}", compare(cond), Jump(i64::from(off)))
            }
            Insn::Call { callee } => match callee {
                Callee::Helper(imm) => write!(f, "call {}", Hex(i64::from(imm as i32))),
                Callee::Local(imm) | Callee::Kfunc(Kfunc { id: imm, .. }) => write!(f, "call {}", Hex(i64::from(imm))),
                Callee::Reg(r) => write!(f, "callx {r}"),
            },
            Insn::Exit => f.write_str("exit"),
        }
    }
}
