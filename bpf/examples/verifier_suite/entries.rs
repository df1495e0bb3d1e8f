//! The tables' entries: what each asks to be loaded.

use bpf::verifier::Privileges;

use crate::generated;
use crate::linux::c::{self, Definitions, Machine, Node, Parser, Token};
use Token::{Name, Sign, Text};

/// An entry of a table.
#[derive(Debug, Default)]
pub struct Entry {
    pub file: String,
    pub name: String,
    /// Slots as bpf(2) takes them; map references are not filled in.
    pub insns: Vec<[u8; 8]>,
    /// Kind of map, and the wide loads that name it.
    pub maps: Vec<(String, Vec<usize>)>,
    /// `BPF_PROG_TYPE_*`.
    pub ty: u32,
    pub attach_type: u32,
    /// `F_*` of the tables, and `BPF_F_*`.
    pub flags: u32,
    /// The C function that makes its instructions, which are of our own making then.
    pub generated: Option<String>,
    /// Why it cannot be read.
    pub unread: Option<String>,
}

impl Entry {
    /// What it is loaded with: those of socket filters without and with every capability, others with.
    pub fn privileges(&self) -> Vec<Privileges> {
        if self.ty == 1 { vec![Privileges::NONE, Privileges::ALL] } else { vec![Privileges::ALL] }
    }

    /// File and name, and how it was loaded.
    pub fn title(&self, privileges: Privileges) -> String {
        let how = if privileges == Privileges::ALL { "" } else { ", unprivileged" };
        format!("{}: {}{how}", self.file, self.name)
    }

    /// Of its random packets: the same, whichever entries are run beside it.
    pub fn seed(&self) -> u64 {
        self.name.bytes().fold(0, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()))
    }
}

/// The entries of a file.
pub fn entries(definitions: &mut Definitions, file: &str, text: &str) -> Vec<Entry> {
    let text = definitions.preprocess(text);
    let tokens = c::tokens(&text);
    c::split(&tokens)
        .into_iter()
        .filter(|item| item.first() == Some(&Sign("{")))
        .map(|item| entry(definitions, file, &item[1..c::closed(item, 0) - 1]))
        .collect()
}

fn entry(definitions: &Definitions, file: &str, body: &[Token]) -> Entry {
    let mut out = Entry { file: file.to_owned(), ty: 1, ..Entry::default() };
    let mut retval = 0;
    for field in c::split(body) {
        let (name, value) = match field {
            [Text(text)] => {
                out.name = text.clone();
                continue;
            }
            [Sign("."), Name(name), rest @ ..] => {
                let eq = rest.iter().position(|t| *t == Sign("=")).unwrap_or(0);
                (name.as_str(), &rest[(eq + 1).min(rest.len())..])
            }
            _ => continue,
        };
        let number = || definitions.value(value).map(|v| v as u32);
        match name {
            "insns" => match instructions(definitions, value) {
                Ok(insns) => out.insns = insns,
                Err(what) => out.unread = Some(what),
            },
            "prog_type" => out.ty = number().unwrap_or(0),
            "expected_attach_type" => out.attach_type = number().unwrap_or(0),
            "flags" => out.flags = number().unwrap_or(0),
            "fill_helper" => match value {
                [Name(name)] => out.generated = Some(name.clone()),
                _ => out.unread = Some("instructions are made by C code".to_owned()),
            },
            "retval" => retval = number().unwrap_or(0),
            "kfunc" | "fixup_kfunc_btf_id" => out.unread = Some("calls kernel functions".to_owned()),
            "func_info" | "btf_types" => out.unread = Some("brings its own types of functions".to_owned()),
            _ => {
                if let Some(kind) = name.strip_prefix("fixup_") {
                    let slots = c::split(&value[1..value.len().max(1) - 1]);
                    let slots = slots.iter().filter_map(|s| definitions.value(s)).map(|v| v as usize);
                    out.maps.push((kind.to_owned(), slots.collect()));
                }
            }
        }
    }
    if let Some(name) = &out.generated {
        match generated::slots(name, retval) {
            Some(slots) => out.insns = slots,
            None => out.unread = Some(format!("instructions are made by C code: {name}")),
        }
    }
    out
}

/// The slots of a brace of instructions.
fn instructions(definitions: &Definitions, value: &[Token]) -> Result<Vec<[u8; 8]>, String> {
    let slot = definitions.structure("bpf_insn").ok_or("there is no struct bpf_insn")?;
    let expanded = definitions.expand(value);
    let all = Parser::new(definitions, &expanded).braces(c::Type::Array(slot.clone().into(), 0))?;
    let (Node::Aggregate(cells), c::Type::Array(_, count)) = (all.node, all.ty) else {
        return Err("instructions without braces".to_owned());
    };
    let image = Machine::new(definitions).image(&cells)?;
    let slot = |at: usize| {
        let [code, dst, src, off, imm] =
            [0, 1, 2, 3, 4].map(|cell| image.get(&(at * slot.cells() + cell)).copied().unwrap_or(0));
        let mut out = [code as u8, (dst & 15) as u8 | (src << 4) as u8, 0, 0, 0, 0, 0, 0];
        out[2..4].copy_from_slice(&(off as i16).to_le_bytes());
        out[4..8].copy_from_slice(&(imm as i32).to_le_bytes());
        out
    };
    Ok((0..count).map(slot).collect())
}
