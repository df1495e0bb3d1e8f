//! Filters as they come: the decimal text of `tcpdump -ddd`, and the bytes of `struct sock_filter`.

use std::ops::RangeInclusive;

use super::{MAX_INSNS, RawFilter};
use crate::diag::{At, Diagnostic};
use crate::program::Endian;

/// Bytes of `struct sock_filter`: a 16-bit code, two jumps of a byte each, a 32-bit immediate.
pub const WORD: usize = 8;

/// Reads the decimal text that `tcpdump -ddd` prints: how many instructions there are, then for each a line of code, jump
/// if true, jump if false and immediate. A comma ends a line too, as in the `bytecode` of tc and iptables. `file` names the
/// text in messages.
///
/// # Errors
/// The first number that is missing, superfluous, none, or too large for its field; a count that is not that of the lines.
pub fn parse_decimal(text: &str, file: &str) -> Result<Vec<RawFilter>, Diagnostic> {
    let mut rows = rows(text, file);
    let Some(mut head) = rows.next() else {
        return Err(Diagnostic::new("cbpf-empty", "there is no filter in this text")
            .at(At::Named(file.to_owned()))
            .help("give what tcpdump -ddd prints: the number of instructions, then a line for each"));
    };
    let count = head.number("the number of instructions", 1..=MAX_INSNS as u64)? as usize;
    head.end("the first line holds the number of instructions alone")?;
    let mut words = Vec::with_capacity(count);
    for mut row in rows {
        if words.len() == count {
            let why = format!("there are more instructions than the {count} that the first line says");
            return Err(row.error("cbpf-count", why, 0, row.text.chars().count()));
        }
        words.push(RawFilter {
            code: row.number("the code", 0..=u64::from(u16::MAX))? as u16,
            jt: row.number("the jump if true", 0..=u64::from(u8::MAX))? as u8,
            jf: row.number("the jump if false", 0..=u64::from(u8::MAX))? as u8,
            k: row.number("the immediate", 0..=u64::from(u32::MAX))? as u32,
        });
        row.end("an instruction has four numbers: code, jump if true, jump if false, immediate")?;
    }
    if words.len() < count {
        return Err(head
            .error("cbpf-count", "there are fewer instructions than the first line says", 0, head.at)
            .limit(format!("{count} instructions"), words.len()));
    }
    Ok(words)
}

/// Reads `struct sock_filter` after `struct sock_filter`, in the byte order of the machine that stored them. `of` names the
/// bytes in messages.
///
/// # Errors
/// No instruction, more than [`MAX_INSNS`], or part of one at the end.
pub fn parse_bytes(bytes: &[u8], order: Endian, of: &str) -> Result<Vec<RawFilter>, Diagnostic> {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let at = |offset: usize| At::Bytes { of: of.to_owned(), offset: offset as u64 };
    if !rest.is_empty() {
        return Err(Diagnostic::new("cbpf-partial", "the filter ends inside an instruction")
            .at(at(words.len() * WORD))
            .limit(format!("instructions of {WORD} bytes"), format!("{} bytes", rest.len())));
    }
    if words.is_empty() || words.len() > MAX_INSNS {
        return Err(super::check::length(words.len()).at(at(0)));
    }
    let word = |&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; WORD]| match order {
        Endian::Little => {
            RawFilter { code: u16::from_le_bytes([c0, c1]), jt, jf, k: u32::from_le_bytes([k0, k1, k2, k3]) }
        }
        Endian::Big => {
            RawFilter { code: u16::from_be_bytes([c0, c1]), jt, jf, k: u32::from_be_bytes([k0, k1, k2, k3]) }
        }
    };
    Ok(words.iter().map(word).collect())
}

/// The text of [`parse_decimal`].
pub fn print_decimal(words: &[RawFilter]) -> String {
    let mut text = format!("{}\n", words.len());
    for RawFilter { code, jt, jf, k } in words {
        text.push_str(&format!("{code} {jt} {jf} {k}\n"));
    }
    text
}

/// A line, or the part of one up to a comma, and how far it has been read.
struct Row<'a> {
    file: &'a str,
    line: usize,
    /// The whole line, for the caret.
    snippet: &'a str,
    /// Characters of the line before the text.
    column: usize,
    text: &'a str,
    /// Bytes of the text that have been read.
    at: usize,
}

/// The rows that are not blank.
fn rows<'a>(text: &'a str, file: &'a str) -> impl Iterator<Item = Row<'a>> {
    let of_line = move |(line, snippet): (usize, &'a str)| {
        let mut column = 0;
        snippet.split(',').map(move |text| {
            let row = Row { file, line, snippet, column, text, at: 0 };
            column += text.chars().count() + 1;
            row
        })
    };
    text.lines().zip(1..).map(|(text, line)| (line, text)).flat_map(of_line).filter(|row| !row.text.trim().is_empty())
}

impl<'a> Row<'a> {
    fn error(&self, code: &'static str, reason: impl Into<String>, from: usize, len: usize) -> Diagnostic {
        let before = self.text.get(..from).map_or(0, |t| t.chars().count());
        Diagnostic::new(code, reason).at(At::Text {
            file: self.file.to_owned(),
            line: self.line,
            column: self.column + before + 1,
            len: len.max(1),
            snippet: self.snippet.to_owned(),
        })
    }

    /// The next word and where it begins.
    fn word(&mut self) -> Option<(usize, &'a str)> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.len() - rest.trim_start().len();
        let word = self.text[start..].split_whitespace().next()?;
        self.at = start + word.len();
        Some((start, word))
    }

    fn number(&mut self, what: &str, range: RangeInclusive<u64>) -> Result<u64, Diagnostic> {
        let Some((start, word)) = self.word() else {
            let end = self.text.trim_end().len();
            return Err(self.error("cbpf-missing", format!("{what} is missing"), end, 1));
        };
        let len = word.chars().count();
        let digits = word.bytes().all(|b| b.is_ascii_digit());
        match word.parse::<u64>() {
            Ok(number) if digits && range.contains(&number) => Ok(number),
            Ok(_) | Err(_) if digits => Err(self
                .error("cbpf-range", format!("{what} does not fit"), start, len)
                .limit(format!("{} to {}", range.start(), range.end()), word)),
            _ => Err(self.error("cbpf-number", format!("{what} is no decimal number"), start, len)),
        }
    }

    fn end(&mut self, why: &str) -> Result<(), Diagnostic> {
        match self.word() {
            None => Ok(()),
            Some((start, word)) => Err(self.error("cbpf-superfluous", why, start, word.chars().count())),
        }
    }
}
