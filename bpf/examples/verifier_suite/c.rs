//! As much of C as tables of initialisers need: tokens, macros, enumerations, layouts of structures, constant expressions.

use std::collections::HashMap;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Name(String),
    Number(i128),
    Text(String),
    Sign(&'static str),
}

use Token::{Name, Number, Sign, Text};

/// Signs, longest first.
const SIGNS: [&str; 42] = [
    "...", "<<=", ">>=", "##", "<<", ">>", "&&", "||", "==", "!=", "<=", ">=", "->", "++", "--", "+=", "-=", "|=", "{",
    "}", "(", ")", "[", "]", ",", ";", ".", "=", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "<", ">", "?", ":",
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
            let digits = rest[..len].trim_end_matches(['u', 'U', 'l', 'L']);
            let value = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
                Some(hex) => i128::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            out.push(Number(value.unwrap_or(0)));
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

struct Macro {
    /// None for one that is not called.
    params: Option<Vec<String>>,
    body: Vec<Token>,
}

/// A member of a structure: name, first byte, bytes, elements.
type Member = (String, i128, i128);

/// What a set of headers defines.
#[derive(Default)]
pub struct Definitions {
    macros: HashMap<String, Macro>,
    constants: HashMap<String, i128>,
    structs: HashMap<String, (Vec<Member>, i128)>,
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

impl Definitions {
    /// Takes the macros of a file, and gives its text without directives. Of alternatives the first is taken: tables ask
    /// for nothing but the byte order.
    pub fn preprocess(&mut self, text: &str) -> String {
        let joined = text.replace("\\\n", " ");
        let mut out = String::new();
        let mut skipping: Vec<bool> = Vec::new();
        for line in joined.lines() {
            let trimmed = line.trim_start();
            let Some(directive) = trimmed.strip_prefix('#') else {
                if !skipping.contains(&true) {
                    out += line;
                    out.push('\n');
                }
                continue;
            };
            let directive = directive.trim_start();
            if directive.starts_with("if") {
                skipping.push(false);
            } else if directive.starts_with("el") {
                skipping.iter_mut().last().into_iter().for_each(|s| *s = true);
            } else if directive.starts_with("endif") {
                skipping.pop();
            } else if let Some(rest) = directive.strip_prefix("define").filter(|_| !skipping.contains(&true)) {
                self.define(rest.trim_start());
            }
        }
        out
    }

    fn define(&mut self, text: &str) {
        let len = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, rest) = text.split_at(len);
        let (params, body) = match rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            Some((params, body)) => {
                (Some(params.split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()), body)
            }
            None => (None, rest),
        };
        self.macros.insert(name.to_owned(), Macro { params, body: tokens(body) });
    }

    /// Takes enumerations and the layouts of structures.
    pub fn declarations(&mut self, text: &str) {
        let tokens = tokens(text);
        let mut at = 0;
        while at < tokens.len() {
            let keyword = match &tokens[at] {
                Name(n) if n == "enum" || n == "struct" => n.clone(),
                _ => {
                    at += 1;
                    continue;
                }
            };
            let name = match tokens.get(at + 1) {
                Some(Name(n)) => n.clone(),
                _ => String::new(),
            };
            let open = at + 1 + usize::from(!name.is_empty());
            if tokens.get(open) != Some(&Sign("{")) {
                at += 1;
                continue;
            }
            let end = closed(&tokens, open);
            let body = &tokens[open + 1..end - 1];
            if keyword == "enum" {
                self.enumerate(body);
            } else {
                let layout = self.layout(body);
                self.structs.insert(name, layout);
            }
            at = end;
        }
    }

    fn enumerate(&mut self, body: &[Token]) {
        let mut next = 0;
        for item in split(body) {
            let Some(Name(name)) = item.first() else { continue };
            if let Some(Sign("=")) = item.get(1) {
                next = self.value(&item[2..]).unwrap_or(next);
            }
            self.constants.insert(name.clone(), next);
            next += 1;
        }
    }

    fn layout(&self, body: &[Token]) -> (Vec<Member>, i128) {
        let (mut members, mut at, mut align) = (Vec::new(), 0i128, 1i128);
        let mut bits = 0;
        for field in body.split(|t| *t == Sign(";")) {
            let size_of = |name: &str| match name {
                "__u8" | "__s8" | "char" => Some(1),
                "__u16" | "__be16" | "__s16" => Some(2),
                "__u32" | "__be32" | "__s32" | "int" => Some(4),
                "__u64" | "__s64" | "__aligned_u64" => Some(8),
                _ => None,
            };
            let (name, size, count) = match field {
                [Name(ty), Name(name), rest @ ..] if size_of(ty).is_some() => {
                    let count = match rest {
                        [Sign("["), len @ .., Sign("]")] => self.value(len).unwrap_or(1),
                        [Sign(":"), ..] => continue,
                        _ => 1,
                    };
                    (name.clone(), size_of(ty).unwrap_or(4), count)
                }
                [Name(pointer), Sign("("), .., Name(name), Sign(")")] if pointer == "__bpf_md_ptr" => {
                    (name.clone(), 8, 1)
                }
                [Name(ty), Sign(":"), Number(width)] if size_of(ty).is_some() => {
                    bits += width;
                    at += bits / 8;
                    bits %= 8;
                    continue;
                }
                _ => continue,
            };
            align = align.max(size);
            at = (at + size - 1) / size * size;
            members.push((name, at, size * count));
            at += size * count;
        }
        (members, (at + align - 1) / align * align)
    }

    /// Replaces macros until none is left.
    pub fn expand(&self, tokens: &[Token]) -> Vec<Token> {
        let mut out = Vec::new();
        self.expand_into(tokens, &mut Vec::new(), &mut out);
        out
    }

    fn expand_into(&self, tokens: &[Token], inside: &mut Vec<String>, out: &mut Vec<Token>) {
        let mut at = 0;
        while at < tokens.len() {
            let Name(name) = &tokens[at] else {
                out.push(tokens[at].clone());
                at += 1;
                continue;
            };
            let Some(found) = self.macros.get(name).filter(|_| !inside.contains(name)) else {
                out.push(tokens[at].clone());
                at += 1;
                continue;
            };
            let (body, next) = match &found.params {
                None => (found.body.clone(), at + 1),
                Some(params) if tokens.get(at + 1) == Some(&Sign("(")) => {
                    let end = closed(tokens, at + 1);
                    let given: Vec<_> = split(&tokens[at + 2..end - 1]);
                    (self.substitute(found, params, &given), end)
                }
                Some(_) => {
                    out.push(tokens[at].clone());
                    at += 1;
                    continue;
                }
            };
            inside.push(name.clone());
            self.expand_into(&body, inside, out);
            inside.pop();
            at = next;
        }
    }

    fn substitute(&self, found: &Macro, params: &[String], given: &[&[Token]]) -> Vec<Token> {
        let argument = |token: &Token| match token {
            Name(n) => params.iter().position(|p| p == n).map(|i| given.get(i).copied().unwrap_or_default()),
            _ => None,
        };
        let mut out: Vec<Token> = Vec::new();
        let mut paste = false;
        for (i, token) in found.body.iter().enumerate() {
            if *token == Sign("##") {
                paste = true;
                continue;
            }
            let pasted_next = found.body.get(i + 1) == Some(&Sign("##"));
            let piece = match argument(token) {
                Some(tokens) if paste || pasted_next => tokens.to_vec(),
                Some(tokens) => self.expand(tokens),
                None => vec![token.clone()],
            };
            if std::mem::take(&mut paste)
                && let (Some(Name(before)), Some(Name(after))) = (out.last().cloned(), piece.first())
            {
                out.pop();
                out.push(Name(before + after));
                out.extend(piece[1..].iter().cloned());
                continue;
            }
            out.extend(piece);
        }
        out
    }

    /// The value of a constant expression, before macros are replaced.
    pub fn value(&self, tokens: &[Token]) -> Option<i128> {
        let tokens = self.expand(tokens);
        let mut parser = Parser { definitions: self, tokens: &tokens, at: 0 };
        let value = parser.ternary()?;
        (parser.at == tokens.len()).then_some(value)
    }

    fn constant(&self, name: &str) -> Option<i128> {
        match name {
            "BPF_FUNC_unspec" => return Some(0),
            "EINVAL" => return Some(22),
            "SHRT_MIN" => return Some(i16::MIN.into()),
            "SHRT_MAX" => return Some(i16::MAX.into()),
            "INT_MIN" => return Some(i32::MIN.into()),
            "INT_MAX" => return Some(i32::MAX.into()),
            "UINT_MAX" => return Some(u32::MAX.into()),
            "LLONG_MIN" => return Some(i64::MIN.into()),
            "LLONG_MAX" => return Some(i64::MAX.into()),
            _ => {}
        }
        match name.strip_prefix("BPF_FUNC_") {
            Some(helper) => bpf::helpers::number(&format!("bpf_{helper}")).map(i128::from),
            None => self.constants.get(name).copied(),
        }
    }

    /// Bytes of a type, and the place of a member in it.
    fn place(&self, ty: &[Token], member: Option<&[Token]>) -> Option<(i128, i128)> {
        let name = ty.iter().rev().find_map(|t| match t {
            Name(n) => Some(n.as_str()),
            _ => None,
        })?;
        let plain = match name {
            "__u8" | "char" => Some(1),
            "__u16" | "short" => Some(2),
            "__u32" | "int" => Some(4),
            "__u64" | "long" => Some(8),
            _ => None,
        };
        let Some(member) = member else {
            return Some((0, plain.or_else(|| self.structs.get(name).map(|s| s.1))?));
        };
        let (members, _) = self.structs.get(name)?;
        let Name(field) = member.first()? else { return None };
        let (_, off, size) = members.iter().find(|(n, _, _)| n == field)?;
        match member.get(1..)? {
            [] => Some((*off, *size)),
            [Sign("["), index @ .., Sign("]")] => Some((off + 4 * self.value(index)?, 4)),
            _ => None,
        }
    }
}

struct Parser<'a> {
    definitions: &'a Definitions,
    tokens: &'a [Token],
    at: usize,
}

/// Operators by how loosely they bind.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<", ">", "<=", ">="],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Parser<'_> {
    fn ternary(&mut self) -> Option<i128> {
        let value = self.binary(0)?;
        if !self.take("?") {
            return Some(value);
        }
        let yes = self.ternary()?;
        self.take(":").then_some(())?;
        let no = self.ternary()?;
        Some(if value != 0 { yes } else { no })
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn binary(&mut self, level: usize) -> Option<i128> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(Sign(sign)) = self.tokens.get(self.at)
            && signs.contains(sign)
        {
            self.at += 1;
            let right = self.binary(level + 1)?;
            let truth = |b: bool| i128::from(b);
            left = match *sign {
                "||" => truth(left != 0 || right != 0),
                "&&" => truth(left != 0 && right != 0),
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "==" => truth(left == right),
                "!=" => truth(left != right),
                "<" => truth(left < right),
                ">" => truth(left > right),
                "<=" => truth(left <= right),
                ">=" => truth(left >= right),
                "<<" => left.checked_shl(u32::try_from(right).ok()?)?,
                ">>" => left >> u32::try_from(right).ok()?,
                "+" => left + right,
                "-" => left - right,
                "*" => left.checked_mul(right)?,
                "/" => left.checked_div(right)?,
                _ => left.checked_rem(right)?,
            };
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<i128> {
        if self.take("-") {
            return Some(-self.unary()?);
        }
        if self.take("~") {
            return Some(!self.unary()?);
        }
        if self.take("!") {
            return Some(i128::from(self.unary()? == 0));
        }
        if self.take("+") {
            return self.unary();
        }
        match self.tokens.get(self.at)? {
            Number(n) => {
                self.at += 1;
                Some(*n)
            }
            Sign("(") => {
                let end = closed(self.tokens, self.at);
                let inner = &self.tokens[self.at + 1..end - 1];
                if let Some(bits) = cast(inner) {
                    self.at = end;
                    let value = self.unary()?;
                    return Some(narrowed(value, bits));
                }
                self.at = end;
                self.definitions.value(inner)
            }
            Name(name) if matches!(name.as_str(), "offsetof" | "offsetofend" | "sizeof" | "sizeof_field") => {
                self.at += 1;
                let end = match self.tokens.get(self.at) {
                    Some(Sign("(")) => closed(self.tokens, self.at),
                    _ => return None,
                };
                let inner = split(&self.tokens[self.at + 1..end - 1]);
                self.at = end;
                let (off, size) = self.definitions.place(inner.first()?, inner.get(1).copied())?;
                Some(match name.as_str() {
                    "offsetof" => off,
                    "offsetofend" => off + size,
                    _ => size,
                })
            }
            Name(name) => {
                self.at += 1;
                self.definitions.constant(name)
            }
            _ => None,
        }
    }
}

/// Bits and sign of the type that a pair of parentheses names, if it holds one.
fn cast(tokens: &[Token]) -> Option<(u32, bool)> {
    let names: Option<Vec<&str>> = tokens
        .iter()
        .map(|t| match t {
            Name(n) => Some(n.as_str()),
            _ => None,
        })
        .collect();
    match names?.as_slice() {
        ["__u8" | "u8" | "uint8_t"] => Some((8, false)),
        ["__s16"] => Some((16, true)),
        ["__u16"] => Some((16, false)),
        ["__s32" | "int"] => Some((32, true)),
        ["__u32" | "u32" | "unsigned"] | ["unsigned", "int"] => Some((32, false)),
        ["__s64"] => Some((64, true)),
        ["__u64" | "u64" | "uint64_t"] => Some((64, false)),
        _ => None,
    }
}

fn narrowed(value: i128, (bits, signed): (u32, bool)) -> i128 {
    let low = value & ((1 << bits) - 1);
    if signed && low >> (bits - 1) & 1 == 1 { low - (1 << bits) } else { low }
}
