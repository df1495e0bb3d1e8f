//! What headers define, and what text becomes by it.

use std::collections::HashMap;
use std::rc::Rc;

use super::parser::Parser;
use super::tokens::{Token, closed, split, tokens, written};
use super::types::Type;

use Token::{Name, Number, Sign, Text};

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
    types: HashMap<String, Type>,
    /// By name, in order: a function's place is what a pointer to it holds, less one.
    functions: Vec<(String, Source)>,
    tables: HashMap<String, Table>,
}

/// A function as it is written.
pub struct Source {
    pub returns: Vec<Token>,
    pub params: Vec<Token>,
    pub body: Vec<Token>,
}

/// An array with its initialiser, as it is written.
pub struct Table {
    /// The words before its name.
    pub of: Vec<Token>,
    /// What stands between its braces.
    pub items: Vec<Token>,
}

/// Macros that a little-endian machine of 64 bits does not define.
const UNDEFINED: [&str; 2] = ["__BIG_ENDIAN", "CONFIG_32BIT"];
/// Macros of headers that are made of what this C does not have.
const OWN: [&str; 3] = ["ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))", "BIT(n) (1UL << (n))", "__LINE__ 1000"];

impl Definitions {
    /// Takes the macros of a file, and gives its text without directives. Of alternatives the first is taken that does not
    /// ask for another machine: tables ask for nothing but the byte order and the width.
    pub fn preprocess(&mut self, text: &str) -> String {
        OWN.iter().for_each(|own| self.define(own));
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
            if let Some(condition) = directive.strip_prefix("if") {
                let name = condition.strip_prefix("def").unwrap_or_default().trim();
                skipping.push(UNDEFINED.contains(&name));
            } else if directive.starts_with("el") {
                // Not another one once there was one.
                skipping.iter_mut().last().into_iter().for_each(|s| *s = !*s);
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
                self.structs.insert(name.clone(), layout);
                let expanded = self.expand(body);
                if let Ok(cells) = Parser::new(self, &expanded).members() {
                    self.types.insert(name, Type::Struct(Rc::new(cells)));
                }
            }
            at = end;
        }
    }

    /// Takes functions and arrays; none of them is read before it is asked for.
    pub fn outline(&mut self, text: &str) {
        let tokens = tokens(text);
        let (mut start, mut at) = (0, 0);
        while at < tokens.len() {
            match &tokens[at] {
                Sign("(") => {
                    let end = closed(&tokens, at);
                    if let (Some(Name(name)), Some(Sign("{"))) = (tokens[..at].last(), tokens.get(end)) {
                        let behind = closed(&tokens, end);
                        let source = Source {
                            returns: tokens[start..at - 1].to_vec(),
                            params: tokens[at + 1..end - 1].to_vec(),
                            body: tokens[end..behind].to_vec(),
                        };
                        self.functions.push((name.clone(), source));
                        start = behind;
                    }
                    at = end.max(start);
                }
                Sign("{") => {
                    let end = closed(&tokens, at);
                    let brackets = tokens[start..at].iter().position(|t| *t == Sign("["));
                    if let (Some(Sign("=")), Some(open)) = (tokens[..at].last(), brackets)
                        && let Some(Name(name)) = tokens[start..start + open].last()
                    {
                        let of = tokens[start..start + open - 1].to_vec();
                        self.tables.insert(name.clone(), Table { of, items: tokens[at + 1..end - 1].to_vec() });
                    }
                    at = end;
                }
                Sign(";") => {
                    at += 1;
                    start = at;
                }
                _ => at += 1,
            }
        }
    }

    /// A function's place in the list of them.
    pub fn function_named(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|(own, _)| own == name)
    }

    pub fn function(&self, place: usize) -> Option<&(String, Source)> {
        self.functions.get(place)
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// A structure by its name.
    pub fn structure(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    fn enumerate(&mut self, body: &[Token]) {
        let mut next = 0;
        for item in split(&self.expand(body)) {
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
                [Name(ty), Sign(":"), Number(width, _)] if size_of(ty).is_some() => {
                    bits += i128::from(*width);
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
            if *token == Sign("#") {
                continue;
            }
            if i > 0
                && found.body[i - 1] == Sign("#")
                && let Some(tokens) = argument(token)
            {
                out.push(Text(written(tokens)));
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
        let (value, ty) = Parser::new(self, &tokens).constant()?;
        Some(if ty.signed { i128::from(value as i64) } else { i128::from(value) })
    }

    /// The value of a name that is neither a macro nor a variable.
    pub fn constant(&self, name: &str) -> Option<i128> {
        match name {
            "BPF_FUNC_unspec" => return Some(0),
            "EINVAL" => return Some(22),
            "ENOMEM" => return Some(12),
            "NULL" | "GFP_KERNEL" | "false" => return Some(0),
            "true" => return Some(1),
            "S16_MAX" => return Some(i16::MAX.into()),
            "S64_MAX" => return Some(i64::MAX.into()),
            "S32_MIN" => return Some(i32::MIN.into()),
            "S32_MAX" => return Some(i32::MAX.into()),
            "U32_MAX" => return Some(u32::MAX.into()),
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
    pub fn place(&self, ty: &[Token], member: Option<&[Token]>) -> Option<(i128, i128)> {
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
