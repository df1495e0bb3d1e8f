//! Directives: data that is taken for slots, and what assemblers are told about symbols and sections.

use super::lex::{Kind, Token};
use super::parser::Parser;
use super::{Content, Unlinked};
use crate::diag::Diagnostic;
use crate::insn::{RawInsn, SLOT};

/// Directives that say nothing of instructions.
const SKIPPED: [&str; 18] = [
    ".addrsig",
    ".addrsig_sym",
    ".align",
    ".file",
    ".global",
    ".globl",
    ".hidden",
    ".ident",
    ".loc",
    ".local",
    ".p2align",
    ".protected",
    ".set",
    ".size",
    ".syntax",
    ".type",
    ".weak",
    ".cfi_sections",
];

pub(super) fn directive<'a>(
    name: Token<'a>,
    parser: &mut Parser<'a, '_>,
    program: &mut Unlinked<'a>,
) -> Result<(), Diagnostic> {
    let size = match name.text {
        ".8byte" | ".quad" => 8,
        ".4byte" | ".long" | ".word" | ".int" => 4,
        ".2byte" | ".short" | ".hword" => 2,
        ".byte" => 1,
        ".text" => {
            program.in_code = true;
            return Ok(());
        }
        ".section" => {
            let rest = parser.rest();
            let flags = rest.iter().find(|t| t.kind == Kind::Quoted && !t.text.contains('.'));
            let named_code = rest.first().is_some_and(|t| t.text == ".text");
            program.in_code = named_code || flags.is_some_and(|t| t.text.contains('x'));
            return Ok(());
        }
        known if SKIPPED.contains(&known) || known.starts_with(".cfi_") => {
            parser.rest();
            return Ok(());
        }
        // What another section holds is of no matter.
        _ if !program.in_code => {
            parser.rest();
            return Ok(());
        }
        unknown => {
            let reason = format!("`{unknown}` is not understood");
            return Err(name.place.error("asm-directive", reason).help("give bytes as .byte, .2byte, .4byte, .8byte"));
        }
    };
    loop {
        let number = parser.number()?;
        if program.in_code {
            let bits = 8 * size as u32;
            let lowest = -1i128 << (bits - 1);
            let value = number.within(lowest, (1i128 << bits) - 1)? as u64;
            program.bytes.extend_from_slice(&value.to_le_bytes()[..size]);
        }
        if !parser.eat(",") {
            break;
        }
    }
    while let Some(&slot) = program.bytes.first_chunk::<SLOT>() {
        program.bytes.drain(..SLOT);
        program.add(Content::Raw(RawInsn::from_le_bytes(slot)), name.place);
    }
    Ok(())
}
