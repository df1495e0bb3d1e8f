//! Tokens, and what brackets hold.

use super::types::Int;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Name(String),
    Number(u64, Int),
    Text(String),
    Sign(&'static str),
}

use Token::{Name, Number, Sign, Text};

/// Signs, longest first.
const SIGNS: [&str; 46] = [
    "...", "<<=", ">>=", "##", "<<", ">>", "&&", "||", "==", "!=", "<=", ">=", "->", "++", "--", "+=", "-=", "*=",
    "|=", "&=", "^=", "{", "}", "(", ")", "[", "]", ",", ";", ".", "=", "+", "-", "*", "/", "%", "&", "|", "^", "~",
    "!", "<", ">", "?", ":", "#",
];

/// Cuts text into tokens; comments and what is no C are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut out: Vec<Token> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let c = bytes[at];
        if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if c.is_ascii_alphabetic() || c == b'_' {
            let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            out.push(Name(rest[..len].to_owned()));
            at += len;
        } else if c.is_ascii_digit() {
            let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric()).count();
            out.push(number(&rest[..len]));
            at += len;
        } else if c == b'"' {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            let text = text[at + 1..end.min(bytes.len())].replace("\\n", "\n").replace("\\t", "\t");
            match out.last_mut() {
                Some(Text(before)) => *before += &text,
                _ => out.push(Text(text)),
            }
            at = end + 1;
        } else if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Sign(sign));
            at += sign.len();
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    out
}

/// A constant of the first type that its value fits (C11, 6.4.4.1).
fn number(text: &str) -> Token {
    let digits = text.trim_end_matches(['u', 'U', 'l', 'L']);
    let suffix = text[digits.len()..].to_ascii_lowercase();
    let hex = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let value = hex.map_or_else(|| digits.parse(), |hex| u64::from_str_radix(hex, 16)).unwrap_or(0);
    let ty = [Int::INT, Int::UNSIGNED, Int::LONG, Int::UNSIGNED_LONG].into_iter().find(|ty| {
        let sign = !(suffix.contains('u') && ty.signed) && (ty.signed || suffix.contains('u') || hex.is_some());
        sign && (ty.bits == 64 || !suffix.contains('l')) && value <= u64::MAX >> (64 - ty.bits + u32::from(ty.signed))
    });
    Number(value, ty.unwrap_or(Int::UNSIGNED_LONG))
}

/// As it is written, but for what is between tokens: what `#` makes of a macro's argument.
pub fn written(tokens: &[Token]) -> String {
    let one = |token: &Token| match token {
        Name(name) => name.clone(),
        Number(value, _) => format!("{value:#x}"),
        Text(text) => format!("{text:?}"),
        Sign(sign) => (*sign).to_owned(),
    };
    tokens.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Splits at commas outside brackets.
pub fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut out, mut start, mut depth) = (Vec::new(), 0, 0);
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Sign("(" | "{" | "[") => depth += 1,
            Sign(")" | "}" | "]") => depth -= 1,
            Sign(",") if depth == 0 => {
                out.push(&tokens[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if start < tokens.len() {
        out.push(&tokens[start..]);
    }
    out
}

/// The index behind the bracket that closes the one at `open`.
pub fn closed(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Sign("(" | "{" | "[") => depth += 1,
            Sign(")" | "}" | "]") => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}
