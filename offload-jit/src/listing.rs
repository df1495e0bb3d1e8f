//! A translated program for people: C line, BPF instruction, card instructions.

use std::fmt;

use crate::image::{Image, Origin, RelocationKind};
use crate::refusal::insn_text;

/// Prints an image.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a>(&'a Image);

impl Image {
    /// Every word of the image in order: its address, its 45 bits, the instruction, what a loader changes in it; before
    /// the words of a BPF instruction that instruction, and before that its line of C where it is another than the last.
    pub fn listing(&self) -> Listing<'_> {
        Listing(self)
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.0;
        let mut relocations = image.relocations.iter().peekable();
        let (mut origin, mut line) = (None, None);
        for (at, (op, word)) in image.ops.iter().zip(&image.words).enumerate() {
            if origin != Some(image.origins[at]) {
                origin = Some(image.origins[at]);
                head(f, image, image.origins[at], &mut line)?;
            }
            write!(f, "{at:>9}  {word:012x}  {op}")?;
            if let Some(relocation) = relocations.next_if(|relocation| relocation.at as usize == at) {
                write!(f, "  ; {}", goal(relocation.kind, relocation.address))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What stands above the words of one origin.
fn head<'a>(
    f: &mut fmt::Formatter<'_>,
    image: &'a Image,
    origin: Origin,
    line: &mut Option<&'a bpf::diag::SourceLine>,
) -> fmt::Result {
    match origin {
        Origin::Prologue => writeln!(f, "prologue:"),
        Origin::Epilogue => writeln!(f, "epilogue:"),
        Origin::Padding => writeln!(f, "padding:"),
        Origin::Slot(slot) => {
            let slot = slot as usize;
            let source = image.program.line_of(slot);
            if source.is_some() && source != *line {
                *line = source;
                if let Some(source) = source {
                    writeln!(f, "; {}:{}: {}", source.file, source.line, source.text.trim())?;
                }
            }
            writeln!(f, "{slot:>5}: {}", insn_text(&image.program, slot))
        }
    }
}

fn goal(kind: RelocationKind, address: u16) -> String {
    use crate::image::External;
    match kind {
        RelocationKind::Branch => format!("to {address}"),
        RelocationKind::Address => format!("address of {address}"),
        RelocationKind::Value(part) => format!("value of map {}, byte {}", part.table, part.offset),
        RelocationKind::External(External::Out) => "to the epilogue".into(),
        RelocationKind::External(External::Abort) => "to the abort".into(),
        RelocationKind::External(External::Save) => "saves r6 to r9".into(),
        RelocationKind::External(External::Restore) => "restores r6 to r9".into(),
        RelocationKind::External(External::Done) => "to the firmware".into(),
        RelocationKind::External(External::Atomic) => "to the atomic routine".into(),
        RelocationKind::External(External::Helper(id) | External::Routine(id)) => {
            format!("calls {}", bpf::helpers::call_text(id))
        }
    }
}
