//! What all instructions are made of: registers, numbers, operators, addresses.

use super::lex::{Kind, Token};
use super::{Place, Symbols};
use crate::diag::Diagnostic;
use crate::insn::text::Dialect;
use crate::insn::{Operand, Reg, Size, Width};

/// A signed number and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Number<'a> {
    pub value: i128,
    /// Whether it is written in hexadecimal.
    pub hex: bool,
    pub place: Place<'a>,
}

impl Number<'_> {
    /// The number, if it is not below the first or above the second.
    pub(super) fn within(self, least: i128, most: i128) -> Result<i128, Diagnostic> {
        if (least..=most).contains(&self.value) {
            return Ok(self.value);
        }
        let reason = "the number does not fit";
        Err(self.place.error("asm-range", reason).limit(format!("{least} to {most}"), self.value))
    }

    /// As the 32 bits of an immediate, signed or not.
    pub(super) fn imm(self) -> Result<i32, Diagnostic> {
        self.within(i32::MIN.into(), u32::MAX.into()).map(|v| v as i32)
    }

    pub(super) fn off(self) -> Result<i16, Diagnostic> {
        self.within(i16::MIN.into(), i16::MAX.into()).map(|v| v as i16)
    }

    pub(super) fn long(self) -> Result<i32, Diagnostic> {
        self.within(i32::MIN.into(), i32::MAX.into()).map(|v| v as i32)
    }

    pub(super) fn unsigned(self) -> Result<u32, Diagnostic> {
        self.within(0, u32::MAX.into()).map(|v| v as u32)
    }
}

/// A statement, and how far it has been read.
pub(super) struct Parser<'a, 's> {
    pub tokens: &'s [Token<'a>],
    pub at: usize,
    pub end: Place<'a>,
    pub dialect: Dialect,
    pub symbols: &'s dyn Symbols,
}

impl<'a> Parser<'a, '_> {
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    /// The byte of the line behind what has been read.
    pub(super) fn read_to(&self) -> usize {
        self.at.checked_sub(1).map_or(self.end.from, |i| self.tokens[i].place.from + self.tokens[i].place.len)
    }

    pub(super) fn place(&self) -> Place<'a> {
        self.peek().map_or(self.end, |token| token.place)
    }

    pub(super) fn expected(&self, what: &str) -> Diagnostic {
        let reason = match self.peek() {
            Some(token) => format!("expected {what}, not `{}`", token.text),
            None => format!("expected {what}"),
        };
        self.place().error("asm-expected", reason)
    }

    /// Moves over a token if it is this one.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let is = self.peek().is_some_and(|token| token.text == text);
        self.at += usize::from(is);
        is
    }

    pub(super) fn want(&mut self, text: &str) -> Result<(), Diagnostic> {
        if self.eat(text) { Ok(()) } else { Err(self.expected(&format!("`{text}`"))) }
    }

    /// All tokens that are left.
    pub(super) fn rest(&mut self) -> &[Token<'a>] {
        let rest = &self.tokens[self.at.min(self.tokens.len())..];
        self.at = self.tokens.len();
        rest
    }

    pub(super) fn word(&mut self, what: &str) -> Result<Token<'a>, Diagnostic> {
        let token = self.peek().filter(|token| token.kind == Kind::Word).ok_or_else(|| self.expected(what))?;
        self.at += 1;
        Ok(token)
    }

    pub(super) fn label(&mut self) -> Option<Token<'a>> {
        match self.tokens.get(self.at..)? {
            [name, colon, ..] if name.kind == Kind::Word && colon.text == ":" => {
                self.at += 2;
                Some(*name)
            }
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Result<Number<'a>, Diagnostic> {
        let first = self.place();
        let negative = self.eat("-");
        if !negative {
            self.eat("+");
        }
        match self.peek() {
            Some(Token { kind: Kind::Number(size, hex), place, .. }) => {
                self.at += 1;
                let value = if negative { -i128::from(size) } else { i128::from(size) };
                Ok(Number { value, hex, place: Place { len: place.from + place.len - first.from, ..first } })
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// A register by either name, if one is next.
    pub(super) fn maybe_register(&mut self) -> Option<(Width, Reg)> {
        let text = self.peek()?.text;
        let width = match text.as_bytes().first()? {
            b'r' => Width::W64,
            b'w' => Width::W32,
            _ => return None,
        };
        let digits = &text[1..];
        let plain = digits.len() == 1 || digits == "10";
        let reg = digits.parse().ok().filter(|_| plain).and_then(Reg::new)?;
        self.at += 1;
        Some((width, reg))
    }

    pub(super) fn register(&mut self, what: &str) -> Result<(Width, Reg), Diagnostic> {
        self.maybe_register().ok_or_else(|| self.expected(what))
    }

    pub(super) fn whole_register(&mut self) -> Result<Reg, Diagnostic> {
        match self.maybe_register() {
            Some((Width::W64, reg)) => Ok(reg),
            found => {
                self.at -= usize::from(found.is_some());
                Err(self.expected("a register, r0 to r10"))
            }
        }
    }

    /// A register of the width of another.
    pub(super) fn register_of(&mut self, width: Width) -> Result<Reg, Diagnostic> {
        let place = self.place();
        let (found, reg) = self.register("a register")?;
        if found == width {
            return Ok(reg);
        }
        Err(place
            .error("asm-width", "the registers are of different widths")
            .help("r0 to r10 are 64 bits wide, w0 to w10 32"))
    }

    /// A register that a value in memory goes through: the lower half will do for all but 8 bytes.
    pub(super) fn register_for(&mut self, size: Size) -> Result<Reg, Diagnostic> {
        let place = self.place();
        match self.register("a register")? {
            (Width::W32, _) if size == Size::D => Err(place.error("asm-width", "8 bytes do not fit a 32-bit register")),
            (_, reg) => Ok(reg),
        }
    }

    pub(super) fn operand(&mut self, width: Width) -> Result<Operand, Diagnostic> {
        if self.peek().is_some_and(|token| token.kind == Kind::Word) {
            return self.register_of(width).map(Operand::Reg);
        }
        Ok(Operand::Imm(self.number()?.imm()?))
    }

    /// An operator of a table; those of signed operations begin with an `s`.
    pub(super) fn operator<T: Copy>(&mut self, table: &[(T, &'static str)]) -> Option<T> {
        let signed = self.peek()?.text == "s";
        let mark = self.tokens.get(self.at + usize::from(signed))?;
        let matches = |text: &str| if signed { text.strip_prefix('s') == Some(mark.text) } else { text == mark.text };
        let row = table.iter().find(|row| matches(row.1))?;
        self.at += 1 + usize::from(signed);
        Some(row.0)
    }

    /// `(u32 *)`: size, and whether it is signed.
    pub(super) fn cast(&mut self) -> Result<(Size, bool), Diagnostic> {
        self.want("(")?;
        let word = self.word("a size, u8 to u64")?;
        let size = match word.text.get(1..) {
            Some("8") => Size::B,
            Some("16") => Size::H,
            Some("32") => Size::W,
            Some("64") => Size::D,
            _ => return Err(word.place.error("asm-size", format!("`{}` is no size, such as u32", word.text))),
        };
        let signed = match word.text.as_bytes()[0] {
            b'u' => false,
            b's' => true,
            _ => return Err(word.place.error("asm-size", format!("`{}` is no size, such as u32", word.text))),
        };
        self.want("*")?;
        self.want(")")?;
        Ok((size, signed))
    }

    /// The same where there is no sign.
    pub(super) fn unsigned_cast(&mut self) -> Result<Size, Diagnostic> {
        let place = self.place();
        match self.cast()? {
            (size, false) => Ok(size),
            (_, true) => Err(place.error("asm-size", "only loads to a 64-bit register extend a sign")),
        }
    }

    /// `r1 + 8`.
    pub(super) fn address(&mut self) -> Result<(Reg, i16), Diagnostic> {
        let base = self.whole_register()?;
        let signed = self.peek().is_some_and(|token| matches!(token.text, "+" | "-"));
        Ok((base, if signed { self.number()?.off()? } else { 0 }))
    }

    pub(super) fn in_brackets(&mut self) -> Result<(Reg, i16), Diagnostic> {
        self.want("(")?;
        let address = self.address()?;
        self.want(")")?;
        Ok(address)
    }
}
