//! Lines to statements, statements to tokens; what stands around instructions is dropped.

use super::Place;
use crate::diag::Diagnostic;
use crate::insn::text::Dialect;

/// A line of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub text: &'a str,
    /// From 1.
    pub number: usize,
    pub file: &'a str,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, a mnemonic, a directive.
    Word,
    /// A number, and whether it is written in hexadecimal.
    Number(u64, bool),
    /// An operator or a bracket.
    Mark,
    /// Text between quotation marks.
    Quoted,
}

/// A token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub text: &'a str,
    pub kind: Kind,
    pub place: Place<'a>,
}

/// Tokens of a statement.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub tokens: Vec<Token<'a>>,
    /// Where it ends.
    pub end: Place<'a>,
}

/// Longest first.
const MARKS: [&str; 30] = [
    "/=", "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "==", "!=", ">=", "<=", ">", "<", "=", "&",
    "(", ")", "[", "]", ",", "+", "-", "*", ":", ";", "#",
];

/// The statements of a line.
pub(super) fn statements<'a>(
    line: Line<'a>,
    dialect: Dialect,
    in_comment: &mut bool,
) -> Result<Vec<Statement<'a>>, Diagnostic> {
    let start = match dialect {
        _ if *in_comment => 0,
        Dialect::Verifier => after_verifier_prefix(line.text),
        Dialect::Objdump | Dialect::Mc => match after_listing_prefix(line.text) {
            Some(start) => start,
            None => return Ok(Vec::new()),
        },
    };
    if dialect == Dialect::Verifier && line.text.trim_end().ends_with("):") {
        return Ok(Vec::new());
    }
    let mut scan = Scan { line, at: start, dialect };
    let mut out = Vec::new();
    let mut tokens = Vec::new();
    while let Some(token) = scan.next(in_comment)? {
        if token.text == ";" {
            out.push(Statement { tokens: std::mem::take(&mut tokens), end: token.place });
        } else {
            tokens.push(token);
        }
    }
    let end = Place { line, from: scan.at, len: 1 };
    out.push(Statement { tokens, end });
    out.retain(|statement| !statement.tokens.is_empty());
    Ok(out)
}

/// Bytes of blanks at the start.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Bytes of `digits:` and the blanks around it, where that is how the text begins.
fn number_and_colon(text: &str) -> Option<usize> {
    let start = blanks(text);
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    let rest = text[start + digits..].strip_prefix(':').filter(|_| digits > 0)?;
    Some(text.len() - rest.trim_start().len())
}

/// Behind `12: (b7) `, and the live registers that stand before the opcode at log level 2.
fn after_verifier_prefix(text: &str) -> usize {
    let Some(mut at) = number_and_colon(text) else { return 0 };
    let live = text[at..].bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    if live == 10 {
        at += live + blanks(&text[at + live..]);
    }
    match text.as_bytes()[at..] {
        [b'(', a, b, b')', ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            at += 4;
            at + blanks(&text[at..])
        }
        _ => at,
    }
}

/// Behind a slot's number and its bytes; `None` for a line without an instruction.
fn after_listing_prefix(text: &str) -> Option<usize> {
    let body = text.trim();
    let heading = body.strip_suffix(">:").is_some_and(|h| h.starts_with(|c: char| c.is_ascii_hexdigit() || c == '<'));
    let place = body.split_once(':').filter(|(place, _)| place.bytes().all(|b| b.is_ascii_hexdigit()));
    let relocation = place.is_some_and(|(_, rest)| {
        let rest = rest.trim_start();
        rest.starts_with("R_BPF_") || rest.starts_with("CO-RE ")
    });
    if body.starts_with(';')
        || heading
        || relocation
        || body.starts_with("Disassembly of section ")
        || body.contains(":\tfile format ")
    {
        return None;
    }
    let start = number_and_colon(text).unwrap_or(0);
    let (mut at, mut bytes) = (start + blanks(&text[start..]), 0);
    while let [a, b, rest @ ..] = &text.as_bytes()[at..]
        && bytes < 16
        && a.is_ascii_hexdigit()
        && b.is_ascii_hexdigit()
        && rest.first().is_none_or(u8::is_ascii_whitespace)
    {
        bytes += 1;
        at += 2 + blanks(&text[at + 2..]);
    }
    Some(if bytes == 8 || bytes == 16 { at } else { start })
}

struct Scan<'a> {
    line: Line<'a>,
    at: usize,
    dialect: Dialect,
}

impl<'a> Scan<'a> {
    fn place(&self, len: usize) -> Place<'a> {
        Place { line: self.line, from: self.at, len }
    }

    /// Moves over blanks and comments; `false` at the end of the line.
    fn skip(&mut self, in_comment: &mut bool) -> bool {
        loop {
            let rest = &self.line.text[self.at..];
            if *in_comment {
                match rest.find("*/") {
                    Some(end) => {
                        *in_comment = false;
                        self.at += end + 2;
                        continue;
                    }
                    None => return false,
                }
            }
            self.at += blanks(rest);
            let rest = rest.trim_start();
            let to_the_end = match self.dialect {
                Dialect::Verifier => rest.starts_with(';'),
                Dialect::Objdump | Dialect::Mc => rest.starts_with('#'),
            };
            if rest.is_empty() || to_the_end || rest.starts_with("//") {
                return false;
            }
            if self.dialect == Dialect::Verifier || !rest.starts_with("/*") {
                return true;
            }
            self.at += 2;
            *in_comment = true;
        }
    }

    fn next(&mut self, in_comment: &mut bool) -> Result<Option<Token<'a>>, Diagnostic> {
        if !self.skip(in_comment) {
            return Ok(None);
        }
        let rest = &self.line.text[self.at..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@');
        let first = rest.chars().next().unwrap_or(' ');
        let (len, kind) = if first.is_ascii_digit() {
            let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            (len, self.number(&rest[..len])?)
        } else if is_name(first) {
            (rest.find(|c| !is_name(c)).unwrap_or(rest.len()), Kind::Word)
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            (end.map_or(rest.len(), |end| end + 2), Kind::Quoted)
        } else if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            (mark.len(), Kind::Mark)
        } else {
            let reason = format!("`{first}` has no meaning here");
            return Err(self.place(first.len_utf8()).error("asm-character", reason));
        };
        let token = Token { text: &rest[..len], kind, place: self.place(len) };
        self.at += len;
        Ok(Some(token))
    }

    fn number(&self, text: &str) -> Result<Kind, Diagnostic> {
        let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None => (text, 10),
        };
        let place = self.place(text.len());
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(place.error("asm-number", format!("`{text}` is no number")));
        }
        match u64::from_str_radix(digits, radix) {
            Ok(value) => Ok(Kind::Number(value, radix == 16)),
            Err(_) => Err(place.error("asm-range", "the number does not fit").limit("64 bits", text)),
        }
    }
}
