//! `prog dump xlated`: a program as it runs.

use std::collections::BTreeMap;
use std::fmt::Write;

use bpf::diag::SourceLine;
use bpf::insn::{Callee, Dialect, Insn, MapIndex, Names, RawInsn, encode};
use bpf::program::Program;
use bpf::syscall::ProgInfo;
use serde_json::{Map, Value, json};

use super::types::declaration;

/// What is shown beside the instructions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Show {
    /// Bytes of each instruction.
    pub opcodes: bool,
    /// File, line and column of each line of source.
    pub linum: bool,
}

/// Numbers of maps, and the name of the helper that one instruction calls.
struct Called<'a> {
    maps: &'a [String],
    helper: Option<String>,
}

impl Names for Called<'_> {
    fn helper(&self, _: u32) -> Option<&str> {
        self.helper.as_deref()
    }

    fn map(&self, map: MapIndex) -> Option<&str> {
        self.maps.get(map.0 as usize).map(String::as_str)
    }
}

/// One instruction of a listing.
struct Row<'a> {
    slot: usize,
    insn: &'a Insn,
    /// Its slots.
    raw: Vec<RawInsn>,
    /// The function that begins here.
    function: Option<String>,
    line: Option<&'a SourceLine>,
}

/// A program's text, listed one instruction a row.
pub(super) struct Listing<'a> {
    program: &'a Program,
    maps: Vec<String>,
    show: Show,
}

impl<'a> Listing<'a> {
    pub fn new(program: &'a Program, info: &ProgInfo, show: Show) -> Self {
        Listing { program, maps: info.maps.iter().map(|id| format!("id:{id}")).collect(), show }
    }

    /// The instructions in bytes, as they are dumped to a file.
    pub fn image(&self) -> Vec<u8> {
        encode(&self.program.insns).unwrap_or_default().into_iter().flat_map(RawInsn::to_le_bytes).collect()
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let slots = encode(&self.program.insns).unwrap_or_default();
        let btf = self.program.btf.as_deref();
        self.program.insns.iter().enumerate().filter(|(_, insn)| **insn != Insn::Pad).map(move |(slot, insn)| {
            let function = self.program.functions.iter().find(|function| function.start == slot);
            let declared = function.and_then(|function| declaration(btf?, function.btf?));
            let line = self.program.lines.binary_search_by_key(&slot, |line| line.slot).ok();
            let raw = slots.get(slot..slot + insn.slots()).unwrap_or_default().to_vec();
            Row { slot, insn, raw, function: declared, line: line.map(|at| &self.program.lines[at].line) }
        })
    }

    fn text_of(&self, row: &Row<'_>) -> String {
        let opcode = row.raw.first().map_or(0, |raw| raw.opcode);
        let helper = match row.insn {
            Insn::Call { callee: Callee::Helper(id) } => bpf::helpers::name(*id),
            _ => None,
        };
        let names = Called { maps: &self.maps, helper };
        format!("({opcode:02x}) {}", row.insn.text(Dialect::Verifier, &names))
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for row in self.rows() {
            if let Some(function) = &row.function {
                let _ = writeln!(text, "{function}:");
            }
            if let Some(line) = row.line {
                let _ = write!(text, "; {}", line.text.trim());
                if self.show.linum {
                    let SourceLine { file, line, column, .. } = line;
                    let _ = write!(text, " [file:{file} line_num:{line} line_col:{column}]");
                }
                text.push('\n');
            }
            let _ = writeln!(text, "{:4}: {}", row.slot, self.text_of(&row));
            if self.show.opcodes {
                let slots = row.raw.iter().map(|raw| super::bytes::plain(&raw.to_le_bytes()));
                let _ = writeln!(text, "       {}", slots.collect::<Vec<_>>().join(" "));
            }
        }
        text
    }

    /// As a graph of its blocks, for dot.
    pub fn graph(&self) -> String {
        let rows: BTreeMap<usize, String> = self.rows().map(|row| (row.slot, self.text_of(&row))).collect();
        super::graph::graph(&self.program.insns, |slot| rows.get(&slot).cloned().unwrap_or_default())
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let row = |row: Row<'_>| {
            let mut fields = Map::new();
            if let Some(function) = &row.function {
                fields.insert("proto".to_owned(), json!(function));
            }
            if let Some(line) = row.line {
                fields.insert("src".to_owned(), json!(line.text.trim()));
                if self.show.linum {
                    fields.insert("file".to_owned(), json!(line.file));
                    fields.insert("line_num".to_owned(), json!(line.line));
                    fields.insert("line_col".to_owned(), json!(line.column));
                }
            }
            fields.insert("disasm".to_owned(), json!(self.text_of(&row)));
            if self.show.opcodes
                && let Some(raw) = row.raw.first()
            {
                let mut imm = raw.imm.to_le_bytes().to_vec();
                imm.extend(row.raw.iter().skip(1).flat_map(|raw| raw.to_le_bytes()));
                let opcodes = json!({
                    "code": format!("{:#x}", raw.opcode),
                    "src_reg": format!("{:#x}", raw.src),
                    "dst_reg": format!("{:#x}", raw.dst),
                    "off": super::bytes::json(&raw.off.to_le_bytes()),
                    "imm": super::bytes::json(&imm),
                });
                fields.insert("opcodes".to_owned(), opcodes);
            }
            Value::Object(fields)
        };
        self.rows().map(row).collect()
    }
}
