//! The assembler: the vendor's syntax, as listings print it, becomes words.
//!
//! It is made of the pieces of [`super::table`] that the listing is made of: where the listing writes a piece, this reads
//! it into the field that the piece names. What no text shows (which port a constant stands at, what an unread operand
//! field holds) is as the Linux driver's translator has it.
//!
//! ```text
//! line  = [ address ":" ] [ word ] [ instruction | ".word" number ] [ comment ]
//! ```
//!
//! Address and word are what [`super::disassemble`] writes in front of a line; they are passed over. A comment begins with
//! `;` or `//`. One that reads `; bits 0x...` names bits in which the word differs from the plain one without another text:
//! those listings need, to be assembled to the very word they were made of.

mod draft;
mod pieces;
mod reader;
mod rows;

use std::fmt;

use bpf::diag::{At, Diagnostic};

use super::ecc::PAYLOAD;
use super::error::EncodeError;
use super::op::Op;
use super::{check_ecc, decode, encode};
use draft::Choices;
use reader::{Farthest, Reader};

/// Assembles a text: the 45 bits of each instruction, without parity ([`super::with_ecc`] adds it). `file` names it in
/// messages.
///
/// # Errors
/// `nic-asm-syntax`, `nic-asm-encoding` or `nic-asm-bits`: the first thing that is not understood, or has no word, with line
/// and column.
pub fn assemble(text: &str, file: &str) -> Result<Vec<u64>, Diagnostic> {
    let mut words = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        match statement(line) {
            Ok(word) => words.extend(word),
            Err(fault) => return Err(fault.diagnostic(line, file, number)),
        }
    }
    Ok(words)
}

/// The instruction that one line of the vendor's syntax names.
///
/// # Errors
/// As [`assemble`].
pub fn assemble_line(line: &str) -> Result<Op, Diagnostic> {
    instruction(line, 0).map_err(|fault| fault.diagnostic(line, "line", 1))
}

/// What is wrong with a line, behind so many of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    at: usize,
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    Expected(Vec<String>),
    Rule(EncodeError),
    /// The bits of a comment.
    Bits,
}

impl Fault {
    fn diagnostic(&self, line: &str, file: &str, number: u32) -> Diagnostic {
        let (code, reason) = match &self.why {
            Why::Expected(wanted) if wanted.is_empty() => {
                ("nic-asm-syntax", "the instruction is incomplete".to_owned())
            }
            Why::Expected(wanted) => ("nic-asm-syntax", format!("expected {}", wanted.join(" or "))),
            Why::Rule(rule) => ("nic-asm-encoding", rule.to_string()),
            Why::Bits => ("nic-asm-bits", "these bits would make it another instruction".to_owned()),
        };
        let before = line.get(..self.at).unwrap_or(line).chars().count();
        Diagnostic::new(code, reason).at(At::Text {
            file: file.to_owned(),
            line: number as usize,
            column: before + 1,
            len: 1,
            snippet: line.to_owned(),
        })
    }
}

/// How many kinds of expectation a message names; beyond, any instruction is meant.
const NAMED: usize = 8;

/// The word of a line; none where it has nothing but blanks and comments.
fn statement(line: &str) -> Result<Option<u64>, Fault> {
    let end = [line.find(';'), line.find("//")].into_iter().flatten().min().unwrap_or(line.len());
    let (code, comment) = line.split_at(end);
    let start = code.len() - behind_columns(code).len();
    let text = code[start..].trim_end();
    if text.trim().is_empty() {
        return Ok(None);
    }
    if let Some(number) = text.trim_start().strip_prefix(".word") {
        let at = start + (text.len() - number.len());
        return word(number.trim()).map(Some).ok_or(Fault { at, why: Why::Expected(vec!["a word".to_owned()]) });
    }
    let op = instruction(text, start)?;
    let plain = encode(&op).map_err(|rule| Fault { at: start, why: Why::Rule(rule) })?;
    let Some(bits) = comment.trim_start_matches([';', ' ']).strip_prefix("bits ") else { return Ok(Some(plain)) };
    let fault = Fault { at: end, why: Why::Bits };
    let changed = plain ^ word(bits.trim()).ok_or(fault.clone())?;
    match decode(changed & PAYLOAD) {
        Ok(other) if other.to_string() == op.to_string() => Ok(Some(changed)),
        _ => Err(fault),
    }
}

fn word(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// What follows the address and the word that a listing begins its lines with.
fn behind_columns(line: &str) -> &str {
    let trimmed = line.trim_start();
    let Some((address, rest)) = trimmed.split_once(':') else { return line };
    if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.') {
        return line;
    }
    let rest = rest.trim_start();
    match rest.split_once([' ', '\t']) {
        Some((word, text)) if word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit()) => text,
        _ if rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()) => "",
        _ => rest,
    }
}

/// The instruction of a text that begins behind so many bytes of its line.
fn instruction(text: &str, start: usize) -> Result<Op, Fault> {
    let mut reader = Reader::new(text);
    let mut rule = None;
    for row in rows::ROWS {
        for attempt in 0.. {
            let mut choices = Choices::of(attempt);
            reader.again();
            let read = row(&mut reader, &mut choices);
            if choices.left() {
                break;
            }
            let Some(op) = read.filter(|op| same_command(op, text)) else { continue };
            match encode(&op) {
                Ok(_) => return Ok(op),
                Err(error) => rule = rule.or(Some(error)),
            }
        }
    }
    let Farthest { at, wanted } = reader.farthest();
    Err(match rule {
        Some(rule) => Fault { at: start + text.len() - text.trim_start().len(), why: Why::Rule(rule) },
        None if wanted.len() > NAMED => Fault { at: start + at, why: Why::Expected(vec!["an instruction".to_owned()]) },
        None => Fault { at: start + at, why: Why::Expected(wanted) },
    })
}

/// Whether a command with its count has the name that the text gives it.
fn same_command(op: &Op, text: &str) -> bool {
    let name = |text: &str| text.split(',').next().unwrap_or_default().replace([' ', '\t'], "");
    match op {
        Op::CmdImmediate(_) | Op::CmdAt(_) | Op::CmdData(_) | Op::CmdShort(_) | Op::Cmd(_) => {
            name(&op.to_string()) == name(text)
        }
        _ => true,
    }
}

/// Words as lines that [`assemble`] takes back: address, word, text, and the bits that the text does not show.
///
/// A word with good parity is listed by its payload; what else stands above the payload is told as bits that no text
/// shows. A word that is no instruction is listed as `.word`, with the reason.
pub fn disassemble(words: &[u64]) -> Disassembly<'_> {
    Disassembly(words)
}

/// See [`disassemble`].
#[derive(Debug, Clone, Copy)]
pub struct Disassembly<'a>(&'a [u64]);

impl fmt::Display for Disassembly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &stored) in self.0.iter().enumerate() {
            let word = check_ecc(stored).unwrap_or(stored);
            write!(f, "{at:>5}: {stored:016x}  ")?;
            match decode(word & PAYLOAD) {
                Err(error) => writeln!(f, ".word {word:#x} // {}", error.reason)?,
                Ok(op) => match hidden(&op, word) {
                    0 => writeln!(f, "{op}")?,
                    bits => writeln!(f, "{op} ; bits {bits:#x}")?,
                },
            }
        }
        Ok(())
    }
}

/// Bits of a word that its text does not show.
fn hidden(op: &Op, word: u64) -> u64 {
    let plain = instruction(&op.to_string(), 0).ok().and_then(|plain| encode(&plain).ok());
    plain.map_or(word, |plain| plain ^ word)
}
