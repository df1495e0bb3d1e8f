//! What follows the register on the left.

use super::Place;
use super::lex::{Kind, Token};
use super::parser::Parser;
use crate::diag::Diagnostic;
use crate::insn::text::Dialect;
use crate::insn::{AluOp, AtomicOp, ByteOrder, Insn, MapIndex, Operand, PacketMode, Reg, Size, Wide, Width};

impl<'a> Parser<'a, '_> {
    /// The assignment.
    pub(super) fn assignment(&mut self, width: Width, dst: Reg) -> Result<Insn, Diagnostic> {
        if let Some(op) = self.operator(&AluOp::ASSIGNMENTS) {
            return Ok(Insn::Alu { width, op, dst, src: self.operand(width)? });
        }
        if !self.eat("=") {
            return Err(self.expected("an assignment"));
        }
        let Some(next) = self.peek() else { return Err(self.expected("a value")) };
        match (next.kind, next.text) {
            (Kind::Mark, "*") => self.load(width, dst),
            (Kind::Mark, "(") => self.extended(width, dst),
            (Kind::Mark, "-") if self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Word) => {
                self.at += 1;
                self.same(width, dst)?;
                Ok(Insn::Neg { width, dst })
            }
            (Kind::Number(..) | Kind::Mark, _) => self.constant(width, dst),
            _ => match self.maybe_register() {
                Some(_) => {
                    self.at -= 1;
                    Ok(Insn::Mov { width, dst, src: Operand::Reg(self.register_of(width)?), sext: None })
                }
                None => self.named(width, dst),
            },
        }
    }

    /// The register on the left, again.
    fn same(&mut self, width: Width, dst: Reg) -> Result<(), Diagnostic> {
        let place = self.place();
        match self.register("the register on the left")? {
            found if found == (width, dst) => Ok(()),
            _ => {
                Err(place
                    .error("asm-same-register", "this instruction has one register: it must be the one on the left"))
            }
        }
    }

    fn whole(&self, width: Width, place: Place<'a>) -> Result<(), Diagnostic> {
        match width {
            Width::W64 => Ok(()),
            Width::W32 => Err(place.error("asm-width", "this instruction has 64-bit registers only")),
        }
    }

    fn constant(&mut self, width: Width, dst: Reg) -> Result<Insn, Diagnostic> {
        let number = self.number()?;
        // The verifier prints wide loads in hexadecimal, moves in decimal.
        let wide = self.eat("ll") || self.dialect == Dialect::Verifier && number.hex && width == Width::W64;
        if !wide {
            return Ok(Insn::Mov { width, dst, src: Operand::Imm(number.imm()?), sext: None });
        }
        self.whole(width, number.place)?;
        let value = number.within(i64::MIN.into(), u64::MAX.into())? as u64;
        Ok(Insn::LoadImm64 { dst, value: Wide::Value(value) })
    }

    /// `(s8)r2`
    fn extended(&mut self, width: Width, dst: Reg) -> Result<Insn, Diagnostic> {
        self.want("(")?;
        let word = self.word("s8, s16 or s32")?;
        let bits = match word.text {
            "s8" => 8,
            "s16" => 16,
            "s32" => 32,
            other => return Err(word.place.error("asm-size", format!("`{other}` is not s8, s16 or s32"))),
        };
        self.want(")")?;
        Ok(Insn::Mov { width, dst, src: Operand::Reg(self.register_of(width)?), sext: Some(bits) })
    }

    /// `*(u32 *)(r1 + 4)`, `*(u32 *)skb[4]`
    fn load(&mut self, width: Width, dst: Reg) -> Result<Insn, Diagnostic> {
        let place = self.place();
        self.want("*")?;
        let (size, sext) = self.cast()?;
        if self.eat("skb") {
            if dst != Reg::R0 {
                return Err(place.error("asm-packet-load", "packet loads go to r0"));
            }
            return self.load_packet(size);
        }
        let (base, off) = self.in_brackets()?;
        if width == Width::W32 && (sext || size == Size::D) {
            return Err(place.error("asm-width", "this load goes to a 64-bit register"));
        }
        Ok(Insn::Load { size, sext, dst, base, off })
    }

    fn load_packet(&mut self, size: Size) -> Result<Insn, Diagnostic> {
        self.want("[")?;
        let is_register = self.peek().is_some_and(|token| token.kind == Kind::Word);
        let mode = if is_register { PacketMode::Ind(self.whole_register()?) } else { PacketMode::Abs };
        let bare = is_register && !self.peek().is_some_and(|token| matches!(token.text, "+" | "-"));
        // The verifier writes `r1 + -4`.
        if is_register
            && self.eat("+")
            && !self.peek().is_some_and(|t| t.text == "-" || matches!(t.kind, Kind::Number(..)))
        {
            return Err(self.expected("a number"));
        }
        let imm = if bare { 0 } else { self.number()?.imm()? };
        self.want("]")?;
        Ok(Insn::LoadPacket { size, mode, imm })
    }

    /// Right-hand sides that begin with a name.
    fn named(&mut self, width: Width, dst: Reg) -> Result<Insn, Diagnostic> {
        let name = self.word("a value")?;
        for (order, prefix) in ByteOrder::NAMES {
            let bits = name.text.strip_prefix(prefix).and_then(|bits| bits.parse().ok());
            if let Some(bits @ (16 | 32 | 64)) = bits {
                self.same(Width::W64, dst)?;
                self.whole(width, name.place)?;
                return Ok(Insn::End { order, dst, bits });
            }
        }
        if let Some(insn) = self.atomic(name, width, dst)? {
            return Ok(insn);
        }
        match name.text {
            "load_acquire" => {
                self.want("(")?;
                let size = self.unsigned_cast()?;
                let (base, off) = self.in_brackets()?;
                self.want(")")?;
                if size == Size::D {
                    self.whole(width, name.place)?;
                }
                Ok(Insn::LoadAcquire { size, dst, base, off })
            }
            "addr_space_cast" => {
                self.whole(width, name.place)?;
                self.want("(")?;
                let src = self.whole_register()?;
                let mut space = || {
                    self.want(",")?;
                    self.number()?.within(0, u16::MAX.into()).map(|v| v as u16)
                };
                let (to, from) = (space()?, space()?);
                self.want(")")?;
                Ok(Insn::AddrSpaceCast { dst, src, to, from })
            }
            "map" | "subprog" | "variable" => {
                self.whole(width, name.place)?;
                Ok(Insn::LoadImm64 { dst, value: self.reference(name)? })
            }
            other if self.eat("ll") => {
                let reason = format!("the address of `{other}` is for a loader to fill in");
                Err(name.place.error("asm-symbol", reason).help("load a number, or use ld_pseudo"))
            }
            other => Err(name.place.error("asm-value", format!("`{other}` is no value"))),
        }
    }

    /// Atomic operations that bring the old value back, in either way of writing.
    fn atomic(&mut self, name: Token<'a>, width: Width, dst: Reg) -> Result<Option<Insn>, Diagnostic> {
        let (text, by_name) = match name.text.strip_prefix("atomic64_").map(|t| (t, Size::D)) {
            Some((text, size)) => (text, Some(size)),
            None => match name.text.strip_prefix("atomic_") {
                Some(text) => (text, None),
                None => match (name.text.strip_suffix("32_32"), name.text.strip_suffix("_64")) {
                    (Some(text), _) => (text, Some(Size::W)),
                    (None, Some(text)) => (text, Some(Size::D)),
                    (None, None) => return Ok(None),
                },
            },
        };
        let Some(&(op, ..)) = AtomicOp::NAMES.iter().find(|row| row.2 == text) else { return Ok(None) };
        self.want("(")?;
        // LLVM's exchanges have no cast.
        let cast = if self.peek().is_some_and(|token| token.text == "(") { Some(self.unsigned_cast()?) } else { None };
        let (base, off) = if cast.is_some() { self.in_brackets()? } else { self.address()? };
        let Some(size) = cast.or(by_name) else { return Err(name.place.error("asm-size", "the size is missing")) };
        if by_name.is_some_and(|by_name| by_name != size) {
            return Err(name.place.error("asm-size", "the name and the cast speak of different sizes"));
        }
        self.want(",")?;
        if op == AtomicOp::Cmpxchg {
            let place = self.place();
            if self.register_for(size)? != Reg::R0 {
                return Err(place.error("asm-cmpxchg", "r0 holds what is compared"));
            }
            self.want(",")?;
        }
        let src = self.register_for(size)?;
        self.want(")")?;
        let result = if op == AtomicOp::Cmpxchg { Reg::R0 } else { src };
        if result != dst || (width == Width::W32 && size == Size::D) {
            let reason = format!("the old value comes back in {result}");
            return Err(name.place.error("asm-same-register", reason));
        }
        Ok(Some(Insn::Atomic { op, fetch: true, size, base, off, src }))
    }

    /// `map[flows]`, `map[idx:3][0]+8`, `subprog[+3]`, `variable[btf:0, id:7]`
    fn reference(&mut self, name: Token<'a>) -> Result<Wide, Diagnostic> {
        let field = |parser: &mut Self, key: &str| {
            parser.want(key)?;
            parser.want(":")?;
            parser.number()?.unsigned()
        };
        self.want("[")?;
        let value = match name.text {
            "subprog" => Wide::Func { off: self.number()?.long()? },
            "variable" => {
                let btf = field(self, "btf")?;
                self.want(",")?;
                Wide::Variable { id: field(self, "id")?, btf }
            }
            _ if self.tokens.get(self.at + 1).is_some_and(|t| t.text == ":") => {
                Wide::Map(MapIndex(field(self, "idx")?))
            }
            _ => {
                let name = self.word("a map's name")?;
                match self.symbols.map(name.text) {
                    Some(map) => Wide::Map(map),
                    None => return Err(name.place.error("asm-map", format!("there is no map `{}`", name.text))),
                }
            }
        };
        self.want("]")?;
        let Wide::Map(map) = value else { return Ok(value) };
        if !self.eat("[") {
            return Ok(value);
        }
        self.number()?.within(0, 0)?;
        self.want("]")?;
        Ok(Wide::MapValue { map, off: self.number()?.unsigned()? })
    }
}
