//! Instructions as text, in the dialects people know: the kernel verifier's log, `llvm-objdump`, `llvm-mc`.
//!
//! | | verifier log | `llvm-objdump --mcpu=v4 -d` | `llvm-mc -mcpu=v4` |
//! |---|---|---|---|
//! | immediates | signed decimal, in branches 32-bit hexadecimal | signed hexadecimal | signed decimal |
//! | 32-bit loads and stores | `r1 = *(u32 *)(r6 +4)` | `w1 = *(u32 *)(r6 + 0x4)` | `w1 = *(u32 *)(r6 + 4)` |
//! | branches | `if w1 > 0x5 goto pc+3` | `if w1 > 0x5 goto +0x3` | `if w1 > 5 goto +3` |
//! | calls | `call bpf_map_lookup_elem#1`, `call pc+2` | `call 0x1`, `call 0x2` | `call 1`, `call 2` |
//! | wide loads | `r1 = 0x5`, `r1 = map[flows]` | `r1 = 0x5 ll`, `ld_pseudo` | `r1 = 5 ll`, `ld_pseudo` |
//!
//! There is one walk over the tree; [`Dialect`]'s methods are where the dialects part. LLVM's leave out what a relocation
//! would say, and so [`super::asm`] cannot read it back: whether a call is of a helper, a function or a kernel function, the
//! offset in a map's value, the immediate of a packet load by index.

use std::fmt;

use super::{
    AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Kfunc, MapIndex, Operand, PacketMode, Reg, Size, Wide, Width,
};

/// A way to write instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The kernel verifier's log, and bpftool's listings.
    Verifier,
    /// `llvm-objdump -d`.
    Objdump,
    /// `llvm-mc`, `clang -S`, `llvm-objdump --no-print-imm-hex`.
    Mc,
}

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

/// An instruction in a dialect, ready to print.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    insn: &'a Insn,
    dialect: Dialect,
    names: &'a dyn Names,
}

impl Insn {
    /// The instruction in any dialect. Names are used by the verifier's alone.
    pub fn text<'a>(&'a self, dialect: Dialect, names: &'a dyn Names) -> Text<'a> {
        Text { insn: self, dialect, names }
    }

    /// The instruction as the kernel's verifier prints it, without the opcode in parentheses before it.
    ///
    /// Where the kernel prints an address (maps, functions) this prints what is behind it, in bpftool's words:
    /// `r1 = map[flows]`, `r1 = map[.rodata][0]+8`, `r1 = subprog[+3]`.
    pub fn verifier<'a>(&'a self, names: &'a dyn Names) -> Text<'a> {
        self.text(Dialect::Verifier, names)
    }

    /// The instruction as `llvm-objdump --mcpu=v4 -d` prints it, without the label after a branch.
    pub fn objdump(&self) -> Text<'_> {
        self.text(Dialect::Objdump, &())
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

impl AluOp {
    /// The assignment operator, in all dialects.
    pub(super) const ASSIGNMENTS: [(AluOp, &'static str); 13] = [
        (AluOp::Add, "+="),
        (AluOp::Sub, "-="),
        (AluOp::Mul, "*="),
        (AluOp::Div, "/="),
        (AluOp::Sdiv, "s/="),
        (AluOp::Mod, "%="),
        (AluOp::Smod, "s%="),
        (AluOp::Or, "|="),
        (AluOp::And, "&="),
        (AluOp::Xor, "^="),
        (AluOp::Lsh, "<<="),
        (AluOp::Rsh, ">>="),
        (AluOp::Arsh, "s>>="),
    ];
}

impl Cond {
    /// The operator, in all dialects.
    pub(super) const OPERATORS: [(Cond, &'static str); 11] = [
        (Cond::Eq, "=="),
        (Cond::Ne, "!="),
        (Cond::Gt, ">"),
        (Cond::Ge, ">="),
        (Cond::Lt, "<"),
        (Cond::Le, "<="),
        (Cond::Set, "&"),
        (Cond::Sgt, "s>"),
        (Cond::Sge, "s>="),
        (Cond::Slt, "s<"),
        (Cond::Sle, "s<="),
    ];
}

impl ByteOrder {
    /// The name, in all dialects; the bits follow it.
    pub(super) const NAMES: [(ByteOrder, &'static str); 3] =
        [(ByteOrder::Le, "le"), (ByteOrder::Be, "be"), (ByteOrder::Swap, "bswap")];
}

impl AtomicOp {
    /// Assignment operator of the form that fetches nothing, where there is one; name of the form that fetches.
    pub(super) const NAMES: [(AtomicOp, Option<&'static str>, &'static str); 6] = [
        (AtomicOp::Add, Some("+="), "fetch_add"),
        (AtomicOp::Or, Some("|="), "fetch_or"),
        (AtomicOp::And, Some("&="), "fetch_and"),
        (AtomicOp::Xor, Some("^="), "fetch_xor"),
        (AtomicOp::Xchg, None, "xchg"),
        (AtomicOp::Cmpxchg, None, "cmpxchg"),
    ];
}

/// The second column of the row that has the value in its first.
fn name<T: PartialEq + Copy>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|row| row.0 == value).map_or("", |row| row.1)
}

const fn bits(size: Size) -> u32 {
    size.bytes() * 8
}

/// A signed number: decimal or hexadecimal, with its sign always or only if negative.
struct Signed {
    value: i64,
    hex: bool,
    plus: bool,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.value {
            ..0 => "-",
            _ if self.plus => "+",
            _ => "",
        };
        let size = self.value.unsigned_abs();
        if self.hex { write!(f, "{sign}{size:#x}") } else { write!(f, "{sign}{size}") }
    }
}

impl Dialect {
    const fn is_llvm(self) -> bool {
        !matches!(self, Dialect::Verifier)
    }

    const fn number(self, value: i64) -> Signed {
        Signed { value, hex: matches!(self, Dialect::Objdump), plus: false }
    }

    /// A distance in slots.
    fn jump(self, off: i64) -> String {
        let distance = Signed { plus: true, ..self.number(off) };
        if self.is_llvm() { distance.to_string() } else { format!("pc{distance}") }
    }

    fn operand(self, width: Width, src: Operand) -> String {
        match src {
            Operand::Reg(r) => Named(width, r).to_string(),
            Operand::Imm(imm) => self.number(i64::from(imm)).to_string(),
        }
    }

    /// The right-hand side of a comparison.
    fn compared(self, width: Width, src: Operand) -> String {
        match src {
            Operand::Imm(imm) if !self.is_llvm() => format!("{imm:#x}"),
            src => self.operand(width, src),
        }
    }

    fn address(self, base: Reg, off: i16) -> String {
        if !self.is_llvm() {
            return format!("{base} {off:+}");
        }
        let sign = if off < 0 { '-' } else { '+' };
        format!("{base} {sign} {}", self.number(i64::from(off.unsigned_abs())))
    }

    /// Through which part of a register a value in memory goes: LLVM takes the lower half for 4 bytes or less.
    fn part(self, size: Size) -> Width {
        if self.is_llvm() && size != Size::D { Width::W32 } else { Width::W64 }
    }

    fn wide(self, f: &mut fmt::Formatter<'_>, dst: Reg, value: Wide, names: &dyn Names) -> fmt::Result {
        // LLVM: a number for what is loaded, and the first slot's immediate; the second slot's is left out.
        let (kind, imm) = match value {
            Wide::Value(v) if self.is_llvm() => return write!(f, "{dst} = {} ll", self.number(v as i64)),
            Wide::Value(v) => return write!(f, "{dst} = {v:#x}"),
            Wide::Map(map) => (1, map.0),
            Wide::MapValue { map, .. } => (2, map.0),
            Wide::Variable { id, .. } => (3, id),
            Wide::Func { off } => (4, off as u32),
        };
        if self.is_llvm() {
            return write!(f, "ld_pseudo\t{dst}, {}, {}", self.number(kind), self.number(imm.into()));
        }
        write!(f, "{dst} = ")?;
        match value {
            Wide::Map(map) => map_name(f, map, names),
            Wide::MapValue { map, off } => {
                map_name(f, map, names)?;
                write!(f, "[0]+{off}")
            }
            Wide::Variable { id, btf } => write!(f, "variable[btf:{btf}, id:{id}]"),
            Wide::Func { off } => write!(f, "subprog[{off:+}]"),
            Wide::Value(_) => Ok(()),
        }
    }

    fn call(self, f: &mut fmt::Formatter<'_>, callee: Callee, names: &dyn Names) -> fmt::Result {
        let imm = match callee {
            Callee::Reg(r) => return write!(f, "callx {r}"),
            Callee::Helper(id) => id as i32,
            Callee::Local(off) => off,
            Callee::Kfunc(Kfunc { id, .. }) => id,
        };
        let known = match callee {
            _ if self.is_llvm() => return write!(f, "call {}", self.number(imm.into())),
            Callee::Local(_) => return write!(f, "call pc{imm:+}"),
            Callee::Helper(id) => names.helper(id),
            _ => names.kfunc(imm),
        };
        write!(f, "call {}#{imm}", known.unwrap_or("unknown"))
    }

    fn atomic(self, f: &mut fmt::Formatter<'_>, insn: &Insn) -> fmt::Result {
        let Insn::Atomic { op, fetch, size, base, off, src } = *insn else { return Ok(()) };
        let (at, bits, part) = (self.address(base, off), bits(size), self.part(size));
        let src = Named(part, src);
        let row = AtomicOp::NAMES.iter().find(|row| row.0 == op);
        let Some(&(_, assign, name)) = row else { return Ok(()) };
        if let (false, Some(assign)) = (fetch, assign) {
            return write!(f, "lock *(u{bits} *)({at}) {assign} {src}");
        }
        let wide = size == Size::D;
        let (name, place) = match (self.is_llvm(), assign) {
            (false, _) => {
                (format!("{}_{name}", if wide { "atomic64" } else { "atomic" }), format!("(u{bits} *)({at})"))
            }
            (true, Some(_)) => (format!("atomic_{name}"), format!("(u{bits} *)({at})")),
            (true, None) => (format!("{name}{}", if wide { "_64" } else { "32_32" }), at),
        };
        match op {
            AtomicOp::Cmpxchg => {
                let r0 = Named(part, Reg::R0);
                write!(f, "{r0} = {name}({place}, {r0}, {src})")
            }
            _ => write!(f, "{src} = {name}({place}, {src})"),
        }
    }
}

fn map_name(f: &mut fmt::Formatter<'_>, map: MapIndex, names: &dyn Names) -> fmt::Result {
    match names.map(map) {
        Some(name) => write!(f, "map[{name}]"),
        None => write!(f, "map[idx:{}]", map.0),
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text { insn, dialect: d, names } = *self;
        match *insn {
            Insn::Alu { width, op, dst, src } => {
                let op = name(&AluOp::ASSIGNMENTS, op);
                write!(f, "{} {op} {}", Named(width, dst), d.operand(width, src))
            }
            Insn::Mov { width, dst, src, sext: None } => write!(f, "{} = {}", Named(width, dst), d.operand(width, src)),
            Insn::Mov { width, dst, src, sext: Some(bits) } => {
                write!(f, "{} = (s{bits}){}", Named(width, dst), d.operand(width, src))
            }
            Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(width, dst)),
            Insn::End { order, dst, bits } => write!(f, "{dst} = {}{bits} {dst}", name(&ByteOrder::NAMES, order)),
            Insn::LoadImm64 { dst, value } => d.wide(f, dst, value, names),
            // Neither the log nor a listing has a line for it.
            Insn::Pad => Ok(()),
            Insn::Load { size, sext, dst, base, off } => {
                let (sign, part) = if sext { ('s', Width::W64) } else { ('u', d.part(size)) };
                write!(f, "{} = *({sign}{} *)({})", Named(part, dst), bits(size), d.address(base, off))
            }
            Insn::Store { size, base, off, src } => {
                let src = d.operand(d.part(size), src);
                write!(f, "*(u{} *)({}) = {src}", bits(size), d.address(base, off))
            }
            Insn::LoadPacket { size, mode: PacketMode::Abs, imm } => {
                write!(f, "r0 = *(u{} *)skb[{}]", bits(size), d.number(imm.into()))
            }
            Insn::LoadPacket { size, mode: PacketMode::Ind(r), imm } => match d {
                Dialect::Verifier => write!(f, "r0 = *(u{} *)skb[{r} + {imm}]", bits(size)),
                // The immediate is left out there.
                Dialect::Objdump | Dialect::Mc => write!(f, "r0 = *(u{} *)skb[{r}]", bits(size)),
            },
            Insn::LoadAcquire { size, dst, base, off } => {
                let dst = Named(d.part(size), dst);
                write!(f, "{dst} = load_acquire((u{} *)({}))", bits(size), d.address(base, off))
            }
            Insn::StoreRelease { size, base, off, src } => {
                let src = Named(d.part(size), src);
                write!(f, "store_release((u{} *)({}), {src})", bits(size), d.address(base, off))
            }
            Insn::Atomic { .. } => d.atomic(f, insn),
            Insn::AddrSpaceCast { dst, src, to, from } => {
                let (to, from) = (d.number(to.into()), d.number(from.into()));
                write!(f, "{dst} = addr_space_cast({src}, {to}, {from})")
            }
            Insn::MayGoto { off } => write!(f, "may_goto {}", d.jump(off.into())),
            Insn::Jump { off, long } => write!(f, "goto{} {}", if long { "l" } else { "" }, d.jump(off.into())),
            Insn::Branch { width, cond, dst, src, off } => {
                let (dst, src) = (Named(width, dst), d.compared(width, src));
                write!(f, "if {dst} {} {src} goto {}", name(&Cond::OPERATORS, cond), d.jump(off.into()))
            }
            Insn::Call { callee } => d.call(f, callee, names),
            Insn::Exit => f.write_str("exit"),
        }
    }
}
