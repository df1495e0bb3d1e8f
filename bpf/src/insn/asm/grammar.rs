//! Statements to instructions.

use super::lex::{Kind, Statement, Token};
use super::parser::{Number, Parser};
use super::{Content, Place, Symbols, Unlinked, data};
use crate::diag::Diagnostic;
use crate::insn::text::Dialect;
use crate::insn::{AtomicOp, Callee, Cond, Insn, MapIndex, Operand, Wide};

/// Reads one statement into the program.
pub(super) fn statement<'a>(
    statement: &Statement<'a>,
    dialect: Dialect,
    symbols: &dyn Symbols,
    program: &mut Unlinked<'a>,
) -> Result<(), Diagnostic> {
    let mut parser = Parser { tokens: &statement.tokens, at: 0, end: statement.end, dialect, symbols };
    while let Some(label) = parser.label() {
        if program.in_code {
            program.label(label.text, label.place)?;
        }
    }
    let Some(first) = parser.peek() else { return Ok(()) };
    if first.kind == Kind::Word && first.text.starts_with('.') {
        parser.at += 1;
        data::directive(first, &mut parser, program)?;
    } else {
        let content = parser.instruction()?;
        let place = Place { len: parser.read_to() - first.place.from, ..first.place };
        program.push(content, place)?;
    }
    match parser.peek() {
        None => Ok(()),
        Some(token) => Err(token.place.error("asm-superfluous", format!("`{}` is one too many here", token.text))),
    }
}

/// Where a jump goes.
enum Target<'a> {
    Distance(Number<'a>),
    Label(Token<'a>),
}

impl<'a> Parser<'a, '_> {
    fn instruction(&mut self) -> Result<Content<'a>, Diagnostic> {
        if let Some((width, dst)) = self.maybe_register() {
            return self.assignment(width, dst).map(Content::Insn);
        }
        if self.peek().is_some_and(|token| token.text == "*") {
            return self.store().map(Content::Insn);
        }
        let first = self.word("an instruction")?;
        Ok(Content::Insn(match first.text {
            "exit" => Insn::Exit,
            "goto" => return self.jump(Insn::Jump { off: 0, long: false }),
            "gotol" => return self.jump(Insn::Jump { off: 0, long: true }),
            "may_goto" => return self.jump(Insn::MayGoto { off: 0 }),
            "if" => {
                let branch = self.condition()?;
                self.want("goto")?;
                return self.jump(branch);
            }
            "call" => return self.call(),
            "callx" => Insn::Call { callee: Callee::Reg(self.whole_register()?) },
            "lock" => self.locked()?,
            "store_release" => {
                self.want("(")?;
                let size = self.unsigned_cast()?;
                let (base, off) = self.in_brackets()?;
                self.want(",")?;
                let src = self.register_for(size)?;
                self.want(")")?;
                Insn::StoreRelease { size, base, off, src }
            }
            "ld_pseudo" => self.pseudo()?,
            other => {
                let reason = format!("no instruction begins with `{other}`");
                return Err(first.place.error("asm-instruction", reason));
            }
        }))
    }

    /// A target, put into the instruction in front of it.
    fn jump(&mut self, insn: Insn) -> Result<Content<'a>, Diagnostic> {
        let target = self.target()?;
        // objdump names the target behind its distance.
        if self.eat("<") {
            self.rest();
        }
        let number = match target {
            Target::Label(label) => return Ok(Content::To(insn, label.text, label.place)),
            Target::Distance(number) => number,
        };
        Ok(Content::Insn(match insn {
            Insn::Jump { long: true, .. } => Insn::Jump { off: number.long()?, long: true },
            Insn::Jump { long: false, .. } => Insn::Jump { off: number.off()?.into(), long: false },
            Insn::Branch { width, cond, dst, src, .. } => Insn::Branch { width, cond, dst, src, off: number.off()? },
            _ => Insn::MayGoto { off: number.off()? },
        }))
    }

    fn target(&mut self) -> Result<Target<'a>, Diagnostic> {
        let after_pc = |next: &Token<'_>| matches!(next.text, "+" | "-");
        match self.peek() {
            Some(token) if token.text == "pc" && self.tokens.get(self.at + 1).is_some_and(after_pc) => {
                self.at += 1;
                self.number().map(Target::Distance)
            }
            Some(token) if token.kind == Kind::Word => {
                self.at += 1;
                Ok(Target::Label(token))
            }
            Some(_) => self.number().map(Target::Distance),
            None => Err(self.expected("a label or a distance")),
        }
    }

    fn condition(&mut self) -> Result<Insn, Diagnostic> {
        let (width, dst) = self.register("a register")?;
        let cond = self.operator(&Cond::OPERATORS).ok_or_else(|| self.expected("a comparison"))?;
        let src = self.operand(width)?;
        Ok(Insn::Branch { width, cond, dst, src, off: 0 })
    }

    fn call(&mut self) -> Result<Content<'a>, Diagnostic> {
        let callee = |callee| Ok(Content::Insn(Insn::Call { callee }));
        let name = match self.target()? {
            Target::Distance(number) => {
                let relative = self.tokens.get(self.at - 2).is_some_and(|t| matches!(t.text, "+" | "-"));
                let by_pc = relative && self.tokens.get(self.at - 3).is_some_and(|t| t.text == "pc");
                if self.eat("<") {
                    self.rest();
                }
                return callee(if by_pc {
                    Callee::Local(number.long()?)
                } else {
                    Callee::Helper(number.imm()? as u32)
                });
            }
            Target::Label(name) => name,
        };
        if self.dialect == Dialect::Verifier && self.eat("#") {
            let id = self.number()?.imm()?;
            let kfunc = self.symbols.kfunc(name.text).filter(|kfunc| kfunc.id == id);
            return callee(kfunc.map_or(Callee::Helper(id as u32), Callee::Kfunc));
        }
        if let Some(id) = self.symbols.helper(name.text) {
            return callee(Callee::Helper(id));
        }
        if let Some(kfunc) = self.symbols.kfunc(name.text) {
            return callee(Callee::Kfunc(kfunc));
        }
        Ok(Content::To(Insn::Call { callee: Callee::Local(0) }, name.text, name.place))
    }

    /// `lock *(u32 *)(r1 + 4) += w2`
    fn locked(&mut self) -> Result<Insn, Diagnostic> {
        self.want("*")?;
        let size = self.unsigned_cast()?;
        let (base, off) = self.in_brackets()?;
        let is_next = |op: &&(AtomicOp, Option<&str>, &str)| op.1.is_some() && op.1 == self.peek().map(|t| t.text);
        let Some(&(op, ..)) = AtomicOp::NAMES.iter().find(is_next) else {
            return Err(self.expected("`+=`, `|=`, `&=` or `^=`"));
        };
        self.at += 1;
        Ok(Insn::Atomic { op, fetch: false, size, base, off, src: self.register_for(size)? })
    }

    fn store(&mut self) -> Result<Insn, Diagnostic> {
        self.want("*")?;
        let size = self.unsigned_cast()?;
        let (base, off) = self.in_brackets()?;
        self.want("=")?;
        let is_register = self.peek().is_some_and(|token| token.kind == Kind::Word);
        let src = match is_register {
            true => Operand::Reg(self.register_for(size)?),
            false => Operand::Imm(self.number()?.imm()?),
        };
        Ok(Insn::Store { size, base, off, src })
    }

    /// `ld_pseudo r1, 1, 5`: register, kind of wide load, immediate.
    fn pseudo(&mut self) -> Result<Insn, Diagnostic> {
        let dst = self.whole_register()?;
        self.want(",")?;
        let kind = self.number()?;
        self.want(",")?;
        let number = self.number()?;
        let imm = number.imm()? as u32;
        let map = MapIndex(imm);
        let value = match kind.within(0, 6)? {
            0 => Wide::Value(number.value as u64),
            1 | 5 => Wide::Map(map),
            2 | 6 => Wide::MapValue { map, off: 0 },
            3 => Wide::Variable { id: imm, btf: 0 },
            _ => Wide::Func { off: imm as i32 },
        };
        Ok(Insn::LoadImm64 { dst, value })
    }
}
