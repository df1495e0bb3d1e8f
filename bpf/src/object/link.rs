//! Putting a program together: its function, the functions that it calls behind it, and what its instructions name.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::{R_BPF_64_32, R_BPF_64_64, R_BPF_NONE};

use super::elf::{Content, Home, Relocation, Section, Symbol, SymbolKind};
use super::functions::Function;
use super::{Object, co_re, maps};
use crate::diag::{At, Diagnostic, SourceLine};
use crate::insn::{self, RawInsn, SLOT};
use crate::program::{Function as Placed, LineEntry, MapIndex, MapSpec, ProgType, Program};

/// Pseudo sources (RFC 9669 §5.4 and §4.3).
mod pseudo {
    pub const MAP: u8 = 1;
    pub const MAP_VALUE: u8 = 2;
    pub const FUNC: u8 = 4;
    pub const CALL: u8 = 1;
}

const WIDE_LOAD: u8 = 0x18;
const CALL: u8 = 0x85;

/// A program being put together.
pub(super) struct Link<'a> {
    object: &'a Object,
    slots: Vec<RawInsn>,
    /// Functions by the slot they were put at, in that order.
    placed: Vec<(usize, usize)>,
    /// First slot of each function that is placed.
    slot_of: BTreeMap<usize, usize>,
    /// Slots that name a map, with the map's place in the object.
    names_map: Vec<(usize, usize)>,
    lines: Vec<LineEntry>,
}

/// What an instruction's symbol, or its distance, leads to.
enum Reference {
    Function(usize),
    Map(usize),
    /// A byte of a map of global data.
    Data(usize, i32),
}

impl<'a> Link<'a> {
    pub fn new(object: &'a Object) -> Self {
        Self {
            object,
            slots: Vec::new(),
            placed: Vec::new(),
            slot_of: BTreeMap::new(),
            names_map: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Puts the program together whose main function that is.
    ///
    /// A function is put behind the others when a call to it is met first, and its own calls are followed before the
    /// caller is gone on with: libbpf's order, so that slots are the kernel's.
    pub fn program(mut self, main: usize, ty: ProgType) -> Result<Program, Diagnostic> {
        self.put(main)?;
        // Functions to go on with, and the slot of each that is next; a stack instead of recursion.
        let mut stack = vec![(main, 0)];
        while let Some((function, next)) = stack.pop() {
            let called = self.resolve(function, next)?;
            if let Some((after, callee)) = called {
                stack.push((function, after));
                self.put(callee)?;
                stack.push((callee, 0));
            }
        }
        self.finish(main, ty)
    }

    fn function(&self, index: usize) -> &'a Function {
        &self.object.functions[index]
    }

    fn section(&self, function: usize) -> &'a Section {
        &self.object.elf.sections[self.function(function).section]
    }

    /// Copies a function behind the others, with its lines.
    fn put(&mut self, index: usize) -> Result<(), Diagnostic> {
        let function = self.function(index);
        let section = self.section(index);
        if section.has_rela {
            let reason = format!("the relocations of section {} carry addends, which BPF objects do not", section.name);
            return Err(Diagnostic::new("object-rela", reason).at(At::Named(function.name.clone())));
        }
        let start = self.slots.len();
        self.slot_of.insert(index, start);
        self.placed.push((start, index));
        // The function's bounds were checked against the section.
        let code = self.object.elf.data(section).get(function.start..function.end).unwrap_or_default();
        let (slots, _) = code.as_chunks::<SLOT>();
        self.slots.extend(slots.iter().map(|&bytes| RawInsn::from_le_bytes(bytes)));
        self.put_lines(function, section, start);
        self.check_core(index)
    }

    fn put_lines(&mut self, function: &Function, section: &Section, start: usize) {
        let Some((btf, info)) = self.object.btf.as_ref().zip(self.object.info.get(&section.name)) else { return };
        let text = |off| btf.string(off).unwrap_or_default().into_owned();
        for record in info.lines(&(function.start..function.end)) {
            let byte = record.offset as usize - function.start;
            let slot = start + byte / SLOT;
            if !byte.is_multiple_of(SLOT) || self.lines.last().is_some_and(|l| l.slot == slot) {
                continue;
            }
            let (file, text) = (text(record.file), text(record.text));
            let line = SourceLine { file, line: record.line, column: record.column, text };
            self.lines.push(LineEntry { slot, line });
        }
    }

    fn check_core(&self, index: usize) -> Result<(), Diagnostic> {
        let (function, section) = (self.function(index), self.section(index));
        let Some((btf, info)) = self.object.btf.as_ref().zip(self.object.info.get(&section.name)) else {
            return Ok(());
        };
        let relocations = info.relocations(&(function.start..function.end));
        let Some(relocation) = relocations.iter().find(|r| !co_re::is_fixed(btf, r)) else { return Ok(()) };
        let what = co_re::describe(btf, relocation);
        let reason = format!("the program asks the running kernel for the {what} (CO-RE), which is not supported");
        Err(Diagnostic::new("object-core-relocation", reason)
            .at(self.at(index, (relocation.offset as usize - function.start) / SLOT))
            .help("read packets through the context only, or compile without preserve_access_index"))
    }

    /// Gives the instructions of a function, from one on, what they name; stops at the first call of a function that is
    /// not placed yet, and says where to go on.
    fn resolve(&mut self, index: usize, from: usize) -> Result<Option<(usize, usize)>, Diagnostic> {
        let function = self.function(index);
        let start = self.slot_of[&index];
        let mut at = from;
        while at < (function.end - function.start) / SLOT {
            let slot = start + at;
            let raw = self.slots[slot];
            let wide = raw.opcode == WIDE_LOAD;
            match self.reference(index, at, raw)? {
                None => {}
                Some(Reference::Function(callee)) => {
                    let Some(&target) = self.slot_of.get(&callee) else { return Ok(Some((at, callee))) };
                    // Programs are far below 2^31 slots: the file had to hold them.
                    self.slots[slot].imm = (target as i64 - slot as i64 - 1) as i32;
                    self.slots[slot].src = if wide { pseudo::FUNC } else { pseudo::CALL };
                }
                Some(Reference::Map(map)) => {
                    self.slots[slot].src = pseudo::MAP;
                    self.names_map.push((slot, map));
                }
                Some(Reference::Data(map, byte)) => {
                    self.slots[slot].src = pseudo::MAP_VALUE;
                    self.names_map.push((slot, map));
                    if let Some(second) = self.slots.get_mut(slot + 1) {
                        second.imm = byte;
                    }
                }
            }
            at += if wide { 2 } else { 1 };
        }
        Ok(None)
    }

    /// What the instruction names outside itself.
    fn reference(&self, index: usize, at: usize, raw: RawInsn) -> Result<Option<Reference>, Diagnostic> {
        let function = self.function(index);
        let offset = (function.start + at * SLOT) as u64;
        let relocations = &self.section(index).relocations;
        let first = relocations.partition_point(|r| r.offset < offset);
        let here: Vec<&Relocation> = relocations[first..]
            .iter()
            .take_while(|r| r.offset < offset + SLOT as u64)
            .filter(|r| r.kind != R_BPF_NONE.0)
            .collect();
        let bad = |code, reason: String| Err(Diagnostic::new(code, reason).at(self.at(index, at)));
        let (wide, call) = (raw.opcode == WIDE_LOAD, raw.opcode == CALL);
        match here[..] {
            [] => {
                let local = call && raw.src == pseudo::CALL || wide && raw.src == pseudo::FUNC;
                if local {
                    let target = (offset as i64) + (1 + i64::from(raw.imm)) * SLOT as i64;
                    return self.function_at(index, at, function.section, target).map(Some);
                }
                if wide && raw.src != 0 {
                    let reason = "a wide load names a map, a variable or a function, and no relocation says which";
                    return bad("object-relocation", reason.to_owned());
                }
                Ok(None)
            }
            [relocation] if relocation.offset != offset => {
                bad("object-relocation", "a relocation lies inside an instruction".to_owned())
            }
            [relocation] => {
                let symbol = &self.object.elf.symbols[relocation.symbol];
                if relocation.kind == R_BPF_64_64.0 && wide || relocation.kind == R_BPF_64_32.0 && call {
                    return self.symbol(index, at, raw, symbol).map(Some);
                }
                let name = self.object.elf.name(symbol);
                let kind = relocation.kind;
                bad("object-relocation", format!("relocation type {kind} against {name} does not fit the instruction"))
            }
            _ => bad("object-relocation", "two relocations apply to one instruction".to_owned()),
        }
    }

    fn symbol(&self, index: usize, at: usize, raw: RawInsn, symbol: &Symbol) -> Result<Reference, Diagnostic> {
        let elf = &self.object.elf;
        let name = elf.name(symbol);
        let here = || self.at(index, at);
        let section = match symbol.home {
            Home::Section(section) => section,
            Home::Undefined => {
                let (weak, what) =
                    (if symbol.weak { "weak " } else { "" }, if raw.opcode == CALL { "function" } else { "symbol" });
                let reason = format!("{weak}{what} {name} is not defined in the object");
                let help = if raw.opcode == CALL {
                    "kernel functions (kfuncs) are not supported; link libraries in with bpftool gen object"
                } else {
                    "kernel symbols and kernel configuration are not supported; link libraries in with bpftool gen object"
                };
                return Err(Diagnostic::new("object-extern", reason).at(here()).help(help));
            }
            Home::Nowhere => {
                return Err(Diagnostic::new("object-relocation", format!("symbol {name} has no place")).at(here()));
            }
        };
        let home = &elf.sections[section];
        let value = i64::try_from(symbol.value).unwrap_or(i64::MAX);
        match home.content {
            Content::Code if raw.opcode == CALL => {
                // The immediate counts slots, from the one after the call; -1 is the symbol itself.
                let target = value.saturating_add((i64::from(raw.imm) + 1) * SLOT as i64);
                self.function_at(index, at, section, target)
            }
            Content::Code => self.function_at(index, at, section, value.saturating_add(i64::from(raw.imm))),
            _ if raw.opcode == CALL => {
                let reason = format!("{name} is called and is no function");
                Err(Diagnostic::new("object-relocation", reason).at(here()))
            }
            _ => {
                let place = maps::place(symbol.kind, symbol.value, raw.imm);
                let map_at = |offset| self.object.map_at.get(&(section, offset));
                let Some(&map) = map_at(None).or_else(|| map_at(Some(place))) else {
                    let symbol_name = if symbol.kind == SymbolKind::Section { "a place" } else { &name };
                    let reason = format!("{symbol_name} in section {} is neither a map nor a variable", home.name);
                    return Err(Diagnostic::new("object-relocation", reason)
                        .at(here())
                        .help("variables live in .data, .rodata and .bss, maps in .maps or maps"));
                };
                let entry = &self.object.maps[map];
                if let Some(why) = &entry.refused {
                    return Err(why.clone());
                }
                if !entry.is_global_data() {
                    return Ok(Reference::Map(map));
                }
                let byte = value.saturating_add(i64::from(raw.imm));
                match i32::try_from(byte) {
                    Ok(byte) => Ok(Reference::Data(map, byte)),
                    Err(_) => Err(Diagnostic::new("object-relocation", format!("{name} lies outside its section"))
                        .at(here())
                        .limit(format!("{} bytes of {}", home.size, home.name), format!("byte {byte}"))),
                }
            }
        }
    }

    fn function_at(&self, from: usize, at: usize, section: usize, target: i64) -> Result<Reference, Diagnostic> {
        let found = usize::try_from(target).ok().and_then(|start| {
            self.object.functions.binary_search_by_key(&(section, start), |f| (f.section, f.start)).ok()
        });
        found.map(Reference::Function).ok_or_else(|| {
            let name = &self.object.elf.sections[section].name;
            let reason = format!("no function begins at byte {target} of section {name}");
            Diagnostic::new("object-call", reason).at(self.at(from, at))
        })
    }

    /// An instruction of a function that is placed, for a message.
    fn at(&self, index: usize, at: usize) -> At {
        let slot = self.slot_of.get(&index).map_or(at, |start| start + at);
        let after = self.lines.partition_point(|l| l.slot <= slot);
        let source = after.checked_sub(1).map(|i| self.lines[i].line.clone());
        let raw = self.slots.get(slot).copied().unwrap_or_default();
        let pair = [raw, self.slots.get(slot + 1).copied().unwrap_or_default()];
        let list = if raw.opcode == WIDE_LOAD { &pair[..] } else { &pair[..1] };
        let text = match insn::decode(list) {
            Ok(insns) => insns[0].objdump().to_string(),
            Err(_) => format!("opcode {:#04x}", raw.opcode),
        };
        // Slots are the program's, so the name is too.
        let main = self.placed.first().map_or(index, |&(_, main)| main);
        At::Insn { program: self.function(main).name.clone(), slot, text, source }
    }

    fn finish(mut self, main: usize, ty: ProgType) -> Result<Program, Diagnostic> {
        let used: BTreeSet<usize> = self.names_map.iter().map(|&(_, map)| map).collect();
        let number: BTreeMap<usize, u32> = used.iter().zip(0..).map(|(&map, i)| (map, i)).collect();
        for &(slot, map) in &self.names_map {
            self.slots[slot].imm = MapIndex(number[&map]).0 as i32;
        }
        let insns = insn::decode(&self.slots).map_err(|e| {
            let function = self.placed.partition_point(|&(start, _)| start <= e.slot).saturating_sub(1);
            let (start, index) = self.placed[function];
            Diagnostic { at: Some(self.at(index, e.slot - start)), ..Diagnostic::from(e) }
        })?;
        let function = self.function(main);
        Ok(Program {
            name: function.name.clone(),
            section: self.section(main).name.clone(),
            ty,
            license: self.object.license.clone(),
            insns,
            maps: used.iter().map(|&map| self.object.map_spec(map)).collect::<Vec<MapSpec>>(),
            functions: self
                .placed
                .iter()
                .map(|&(start, index)| Placed::new(self.function(index).name.clone(), start))
                .collect(),
            lines: self.lines,
            ..Program::from_insns("", ty, Vec::new(), Vec::new())
        })
    }
}
