//! An assembler: instructions from the text that the verifier's log, `llvm-objdump` or `llvm-mc` has for them.
//!
//! ```
//! use bpf::insn::{Dialect, asm};
//! let text = "
//!     w0 = *(u32 *)(r1 + 4)      # llvm-mc
//!     if w0 > 7 goto end
//!     w0 = 0
//! end:
//!     exit
//! ";
//! let insns = asm::assemble(text, "example.s", Dialect::Mc, &()).unwrap();
//! assert_eq!(insns.len(), 4);
//! ```
//!
//! Whatever stands around instructions in those texts is skipped:
//!
//! | | verifier, bpftool | LLVM |
//! |---|---|---|
//! | before | `12: (b7) `, `12: 01........ (b7) ` | `12:`, with or without 8 or 16 bytes in hexadecimal |
//! | comments | from `;` or `//` on | from `#` or `//` on, `/* */`; lines that begin with `;` |
//! | lines | a function's heading | headings of sections and functions, relocations |
//! | after | | `<label+0x8>` behind a target |
//!
//! In all of them a target is a distance in slots from the next instruction (`+3`, `pc+3`) or a label (`name:` before an
//! instruction). LLVM's have several statements in a line, divided by `;`. Data is taken for slots: `.8byte` or `.quad`,
//! `.4byte` or `.long`, `.2byte` or `.short`, `.byte`, lowest byte first. Directives about symbols are skipped, and so is
//! what a `.section` holds that is not for code.
//!
//! LLVM writes `call 5` for a helper, a function and a kernel function alike, where a relocation would tell them apart. Here
//! it is the helper. A function is called by label.

mod data;
mod grammar;
mod lex;
mod parser;
mod value;

use std::collections::BTreeMap;

use super::text::Dialect;
use super::{Callee, Insn, Kfunc, MapIndex, RawInsn, decode, encode};
use crate::diag::{At, Diagnostic};
use lex::Line;

/// Looks up what the text calls by name.
pub trait Symbols {
    /// The helper of that name.
    fn helper(&self, name: &str) -> Option<u32> {
        let _ = name;
        None
    }

    /// The kernel function of that name.
    fn kfunc(&self, name: &str) -> Option<Kfunc> {
        let _ = name;
        None
    }

    /// The map of that name.
    fn map(&self, name: &str) -> Option<MapIndex> {
        let _ = name;
        None
    }
}

/// Knows no name.
impl Symbols for () {}

/// Assembles a text. `file` names it in messages; map and helper names are looked up in `symbols`.
///
/// # Errors
/// The first thing that is not understood or has no encoding, with its line and column.
pub fn assemble(text: &str, file: &str, dialect: Dialect, symbols: &dyn Symbols) -> Result<Vec<Insn>, Diagnostic> {
    let mut program =
        Unlinked { items: Vec::new(), slots: 0, labels: BTreeMap::new(), bytes: Vec::new(), in_code: true };
    let mut in_comment = false;
    for (text, number) in text.lines().zip(1..) {
        let line = Line { text, number, file };
        for statement in lex::statements(line, dialect, &mut in_comment)? {
            grammar::statement(&statement, dialect, symbols, &mut program)?;
        }
    }
    program.link()
}

/// A place in the text.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    line: Line<'a>,
    /// Bytes of the line before it.
    from: usize,
    /// Bytes of it.
    len: usize,
}

impl Place<'_> {
    fn error(self, code: &'static str, reason: impl Into<String>) -> Diagnostic {
        let chars = |bytes: &str| bytes.chars().count();
        let before = self.line.text.get(..self.from).map_or(0, chars);
        let marked = self.line.text.get(self.from..self.from + self.len).map_or(1, chars);
        Diagnostic::new(code, reason).at(At::Text {
            file: self.line.file.to_owned(),
            line: self.line.number,
            column: before + 1,
            len: marked.max(1),
            snippet: self.line.text.to_owned(),
        })
    }
}

/// What a slot or two will hold.
#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Insn(Insn),
    /// An instruction whose distance is that to a label.
    To(Insn, &'a str, Place<'a>),
    Raw(RawInsn),
}

/// Statements as they have been read so far.
struct Unlinked<'a> {
    items: Vec<(Content<'a>, Place<'a>)>,
    /// Slots they take.
    slots: usize,
    /// Slots by label.
    labels: BTreeMap<&'a str, usize>,
    /// Data that is no whole slot yet.
    bytes: Vec<u8>,
    /// Whether the section at hand is for code.
    in_code: bool,
}

impl<'a> Unlinked<'a> {
    fn push(&mut self, content: Content<'a>, place: Place<'a>) -> Result<(), Diagnostic> {
        self.whole_slots(place)?;
        self.add(content, place);
        Ok(())
    }

    fn add(&mut self, content: Content<'a>, place: Place<'a>) {
        self.slots += match content {
            Content::Insn(insn) | Content::To(insn, ..) => insn.slots(),
            Content::Raw(_) => 1,
        };
        self.items.push((content, place));
    }

    /// Instructions begin where data ends.
    fn whole_slots(&self, place: Place<'a>) -> Result<(), Diagnostic> {
        match self.bytes.len() {
            0 => Ok(()),
            n => Err(place
                .error("asm-data", "the data before this is not whole instructions")
                .limit("multiples of 8 bytes", format!("{n} bytes more than such a multiple"))),
        }
    }

    fn label(&mut self, name: &'a str, place: Place<'a>) -> Result<(), Diagnostic> {
        self.whole_slots(place)?;
        match self.labels.insert(name, self.slots) {
            None => Ok(()),
            Some(_) => Err(place.error("asm-label-twice", format!("label `{name}` is there already"))),
        }
    }

    fn link(self) -> Result<Vec<Insn>, Diagnostic> {
        if let Some((_, place)) = self.items.last() {
            self.whole_slots(*place)?;
        } else if !self.bytes.is_empty() {
            return Err(Diagnostic::new("asm-data", "the data is not whole instructions"));
        }
        let mut slots: Vec<RawInsn> = Vec::new();
        let mut places = Vec::new();
        for (content, place) in self.items {
            match content {
                Content::Raw(raw) => slots.push(raw),
                Content::Insn(insn) => slots.extend(encoded(insn, place)?),
                Content::To(insn, label, at) => {
                    let Some(to) = self.labels.get(label) else {
                        return Err(at.error("asm-no-label", format!("there is no label `{label}`")));
                    };
                    let distance = *to as i64 - slots.len() as i64 - 1;
                    slots.extend(encoded(reaching(insn, distance, at)?, place)?);
                }
            }
            places.resize(slots.len(), place);
        }
        decode(&slots).map_err(|e| places[e.slot].error(e.code(), e.reason.to_string()))
    }
}

fn encoded(insn: Insn, place: Place<'_>) -> Result<Vec<RawInsn>, Diagnostic> {
    let both = [insn, Insn::Pad];
    encode(&both[..insn.slots()]).map_err(|e| place.error("asm-no-encoding", e.reason))
}

/// The instruction with a distance in place of its own.
fn reaching(insn: Insn, distance: i64, place: Place<'_>) -> Result<Insn, Diagnostic> {
    let near = || {
        i16::try_from(distance).map_err(|_| {
            place
                .error("asm-far", "the label is out of this jump's reach")
                .limit("-32768 to 32767 slots", format!("{distance} slots"))
                .help("use gotol")
        })
    };
    let far = || i32::try_from(distance).map_err(|_| place.error("asm-far", "the label is out of any jump's reach"));
    Ok(match insn {
        Insn::Jump { long: true, .. } => Insn::Jump { off: far()?, long: true },
        Insn::Jump { long: false, .. } => Insn::Jump { off: near()?.into(), long: false },
        Insn::MayGoto { .. } => Insn::MayGoto { off: near()? },
        Insn::Branch { width, cond, dst, src, .. } => Insn::Branch { width, cond, dst, src, off: near()? },
        _ => Insn::Call { callee: Callee::Local(far()?) },
    })
}
