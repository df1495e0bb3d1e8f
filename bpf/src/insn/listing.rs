//! Whole programs as text: instructions with their slots, the functions they stand in, the lines of C they came from.

use std::fmt;

use super::text::{Dialect, Names};
use super::{Endian, Insn, RawInsn, encode};
use crate::diag::SourceLine;

/// What stands in a listing beside the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Show {
    /// Bytes of each instruction (`llvm-objdump` without `--no-show-raw-insn`). The verifier's log has the opcode alone, always.
    pub bytes: bool,
    /// Text of the source lines (`llvm-objdump -S`).
    pub source: bool,
    /// File and number of the source lines (`llvm-objdump -l`; behind the text in the verifier's log).
    pub places: bool,
}

/// A program, ready to print: as the body of `llvm-objdump -d`, or line by line as the verifier's log and
/// `bpftool prog dump xlated`.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    /// The instructions by slot.
    pub insns: &'a [Insn],
    /// Functions: first slot and name, ascending.
    pub functions: &'a [(usize, &'a str)],
    /// Lines: first slot and line, ascending.
    pub lines: &'a [(usize, &'a SourceLine)],
    /// Byte order of the bytes shown.
    pub order: Endian,
    /// The dialect.
    pub dialect: Dialect,
    /// Names for the verifier's dialect.
    pub names: &'a dyn Names,
    /// What to show.
    pub show: Show,
}

impl Listing<'_> {
    /// ` <function+0x18>`, with the distance in bytes; nothing for what is before the first function or behind the end.
    fn label(&self, slot: i64) -> String {
        let inside = usize::try_from(slot).ok().filter(|slot| *slot < self.insns.len());
        let function = inside.and_then(|slot| self.functions.iter().rfind(|f| f.0 <= slot).map(|f| (slot - f.0, f.1)));
        match function {
            None => String::new(),
            Some((0, name)) => format!(" <{name}>"),
            Some((slots, name)) => format!(" <{name}+{:#x}>", 8 * slots),
        }
    }

    fn source(&self, f: &mut fmt::Formatter<'_>, line: &SourceLine) -> fmt::Result {
        let Show { source, places, .. } = self.show;
        let place = format!("{}:{}", line.file, line.line);
        match self.dialect {
            Dialect::Verifier => {
                // The log names the file without its directory.
                let place = place.rsplit('/').next().unwrap_or(&place);
                match (source, places) {
                    (true, true) => writeln!(f, "; {} @ {place}", line.text.trim()),
                    (true, false) => writeln!(f, "; {}", line.text.trim()),
                    (false, true) => writeln!(f, "; @ {place}"),
                    (false, false) => Ok(()),
                }
            }
            Dialect::Objdump | Dialect::Mc => {
                if places {
                    writeln!(f, "; {place}")?;
                }
                if source && !line.text.is_empty() { writeln!(f, "; {}", line.text) } else { Ok(()) }
            }
        }
    }

    fn insn(&self, f: &mut fmt::Formatter<'_>, slot: usize, insn: &Insn) -> fmt::Result {
        let both = [*insn, Insn::Pad];
        // What has no encoding is shown without.
        let raw = encode(&both[..insn.slots()]).unwrap_or_default();
        let text = insn.text(self.dialect, self.names);
        if self.dialect == Dialect::Verifier {
            return writeln!(f, "{slot:4}: ({:02x}) {text}", raw.first().map_or(0, |raw| raw.opcode));
        }
        write!(f, "{slot:8}:\t")?;
        if self.show.bytes {
            let of_slot = match self.order {
                Endian::Little => RawInsn::to_le_bytes,
                Endian::Big => RawInsn::to_be_bytes,
            };
            let bytes = raw.iter().copied().flat_map(of_slot);
            let bytes: Vec<String> = bytes.map(|byte| format!("{byte:02x}")).collect();
            write!(f, "{}\t", bytes.join(" "))?;
        }
        let label = insn.target(slot).map_or_else(String::new, |to| self.label(to));
        writeln!(f, "{text}{label}")
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut functions, mut lines) = (self.functions.iter().peekable(), self.lines.iter().peekable());
        let mut before = None;
        for (slot, insn) in self.insns.iter().enumerate() {
            while let Some((start, name)) = functions.next_if(|(start, _)| *start <= slot) {
                match self.dialect {
                    Dialect::Verifier => writeln!(f, "{name}:")?,
                    Dialect::Objdump | Dialect::Mc => {
                        let gap = if *start == 0 { "" } else { "\n" };
                        writeln!(f, "{gap}{:016x} <{name}>:", 8 * start)?;
                    }
                }
            }
            let mut here = None;
            while let Some((_, line)) = lines.next_if(|(start, _)| *start <= slot) {
                here = Some((&line.file, line.line));
                // LLVM does not repeat a line for the very next instruction.
                if self.dialect == Dialect::Verifier || here != before {
                    self.source(f, line)?;
                }
            }
            if *insn != Insn::Pad {
                before = here;
                self.insn(f, slot, insn)?;
            }
        }
        Ok(())
    }
}
