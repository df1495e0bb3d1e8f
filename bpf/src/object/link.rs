//! Putting a program together: its function, the functions that it calls behind it, and what its instructions name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::elf::{self, Section};
use super::externs::KCONFIG;
use super::functions::Function;
use super::symbols::Reference;
use super::{Kernel, Object, co_re, maps, sections};
use crate::btf::info::ProgramInfo;
use crate::btf::{FuncInfo, FuncLinkage, Kind, LineInfo, SpecialFields, TypeId};
use crate::diag::{At, Diagnostic, SourceLine};
use crate::insn::{self, RawInsn, SLOT};
use crate::program::{Endian, Function as Placed, LineEntry, MapIndex, MapSpec, ProgType, Program, SlotInit};

/// Pseudo sources (RFC 9669 §5.4 and §4.3).
pub(super) mod pseudo {
    pub const MAP: u8 = 1;
    pub const MAP_VALUE: u8 = 2;
    pub const FUNC: u8 = 4;
    pub const CALL: u8 = 1;
}

pub(super) const WIDE_LOAD: u8 = 0x18;
pub(super) const CALL: u8 = 0x85;

/// Helper that libbpf calls instead of a weak function that the kernel does not have: there is none of that number.
const NO_FUNCTION: i32 = 2_002_000_000;

/// Most maps that the instructions of a program may name (`MAX_USED_MAPS`).
const MAPS_MAX: usize = 64;

/// Most bytes of names of files and texts of lines in a program.
const TEXT_MAX: usize = 64 << 20;

/// A program being put together.
pub(super) struct Link<'a> {
    pub object: &'a Object,
    pub kernel: &'a Kernel,
    slots: Vec<RawInsn>,
    /// Functions by the slot they were put at, in that order.
    placed: Vec<(usize, usize)>,
    /// First slot of each function that is placed.
    slot_of: BTreeMap<usize, usize>,
    /// Slots that name a map, with the map's place in the object.
    names_map: Vec<(usize, usize)>,
    lines: Vec<LineEntry>,
    info: ProgramInfo,
    /// Bytes that texts of lines may still take.
    text_left: usize,
    /// What was made an invalid call of, by slot.
    unresolved: Vec<(usize, String)>,
}

impl<'a> Link<'a> {
    pub fn new(object: &'a Object, kernel: &'a Kernel) -> Self {
        Self {
            object,
            kernel,
            slots: Vec::new(),
            placed: Vec::new(),
            slot_of: BTreeMap::new(),
            names_map: Vec::new(),
            lines: Vec::new(),
            info: ProgramInfo::default(),
            text_left: TEXT_MAX,
            unresolved: Vec::new(),
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

    pub fn function(&self, index: usize) -> &'a Function {
        &self.object.functions[index]
    }

    pub fn section(&self, function: usize) -> &'a Section {
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
        let read = match self.object.elf.byte_order {
            Endian::Little => RawInsn::from_le_bytes,
            Endian::Big => RawInsn::from_be_bytes,
        };
        self.slots.extend(slots.iter().map(|&bytes| read(bytes)));
        self.put_lines(index, start);
        self.put_info(function, section, start)?;
        self.relocate(index, start)
    }

    fn put_lines(&mut self, index: usize, start: usize) {
        let (function, section) = (self.function(index), self.section(index));
        let known = self.object.btf.as_deref().zip(self.object.info.get(&section.name));
        let Some((btf, info)) = known.filter(|(_, info)| info.has_lines()) else {
            return self.put_dwarf_lines(function, start);
        };
        let text = |off| btf.string(off).unwrap_or_default().into_owned();
        for record in info.lines(&(function.start..function.end)) {
            let byte = record.offset as usize - function.start;
            let slot = start + byte / SLOT;
            if !byte.is_multiple_of(SLOT) || self.lines.last().is_some_and(|l| l.slot == slot) {
                continue;
            }
            let (file, text) = (text(record.file), text(record.text));
            self.put_line(slot, SourceLine { file, line: record.line, column: record.column, text });
        }
    }

    fn put_dwarf_lines(&mut self, function: &Function, start: usize) {
        let base = elf::code_address(function.section) + function.start as u64;
        let lines = &self.object.lines;
        for &row in lines.within(base..base + (function.end - function.start) as u64) {
            let slot = start + (row.address - base) as usize / SLOT;
            // Of several rows at one place the last holds. Code that comes from no line counts to the line before.
            if self.lines.last().is_some_and(|l| l.slot == slot) {
                self.lines.pop();
            }
            if row.line == 0 {
                continue;
            }
            let (file, text) = (lines.file(row).to_owned(), lines.text(row).to_owned());
            self.put_line(slot, SourceLine { file, line: row.line, column: row.column, text });
        }
    }

    /// Records may share long strings: once there is enough text, further lines have none.
    fn put_line(&mut self, slot: usize, line: SourceLine) {
        let bytes = line.file.len() + line.text.len();
        let line = match self.text_left.checked_sub(bytes) {
            Some(left) => {
                self.text_left = left;
                line
            }
            None => SourceLine { file: String::new(), text: String::new(), ..line },
        };
        self.lines.push(LineEntry { slot, line });
    }

    /// Takes over what the kernel is told of a function, as libbpf does: all functions that follow a main one with types
    /// have them too, and so for lines.
    fn put_info(&mut self, function: &Function, section: &Section, start: usize) -> Result<(), Diagnostic> {
        let info = self.object.info.get(&section.name);
        let (first, range) = (start == 0, function.start..function.end);
        // What libbpf moves out of the function lands far behind the program, and the kernel refuses it.
        let slot =
            |byte: u32| (byte / SLOT as u32).wrapping_sub((function.start / SLOT) as u32).wrapping_add(start as u32);
        let functions = info.and_then(|i| i.function_records.as_ref());
        let has_type = functions.is_some_and(|records| {
            let moved = |f: FuncInfo| (f.offset, FuncInfo { offset: slot(f.offset), ..f });
            (first || !self.info.functions.list.is_empty()) && self.info.functions.take(records, &range, moved)
        });
        let lines = info.and_then(|i| i.line_records.as_ref());
        let has_lines = lines.is_some_and(|records| {
            let moved = |l: LineInfo| (l.offset, LineInfo { offset: slot(l.offset), ..l });
            (first || !self.info.lines.list.is_empty()) && self.info.lines.take(records, &range, moved)
        });
        let missing = [
            (has_type || self.info.functions.list.is_empty(), "type"),
            (has_lines || self.info.lines.list.is_empty(), "lines"),
        ];
        match missing.iter().find(|(fine, _)| !fine) {
            None => Ok(()),
            Some((_, what)) => {
                let reason = format!(".BTF.ext says no {what} of function {}, and does of the main one", function.name);
                Err(Diagnostic::new("object-function-info", reason)
                    .at(At::Named(function.name.clone()))
                    .help("compile all functions with -g, or remove section .BTF.ext"))
            }
        }
    }

    /// Gives the instructions of a function that is placed what they ask of the kernel's types.
    fn relocate(&mut self, index: usize, start: usize) -> Result<(), Diagnostic> {
        let (function, section) = (self.function(index), self.section(index));
        let Some((btf, info)) = self.object.btf.as_deref().zip(self.object.info.get(&section.name)) else {
            return Ok(());
        };
        for relocation in info.relocations(&(function.start..function.end)) {
            let at = (relocation.offset as usize - function.start) / SLOT;
            let end = start + (function.end - function.start) / SLOT;
            let order = self.object.elf.byte_order;
            let slots = self.slots.get_mut(start + at..end).unwrap_or_default();
            match co_re::apply(btf, &self.kernel.types, relocation, order, slots) {
                Ok(None) => {}
                Ok(Some(why)) => self.unresolved.push((start + at, why)),
                Err(why) => return Err(Diagnostic { at: Some(self.at(index, at)), ..why }),
            }
        }
        Ok(())
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
                Some(Reference::Absent { .. }) if wide => {
                    // The address of what is not there.
                    for part in [slot, slot + 1] {
                        if let Some(raw) = self.slots.get_mut(part) {
                            raw.imm = 0;
                        }
                    }
                    self.slots[slot].src = 0;
                }
                Some(Reference::Absent { name }) => {
                    self.slots[slot].imm = NO_FUNCTION;
                    self.slots[slot].src = 0;
                    self.unresolved.push((slot, format!("the kernel has no function {name}, which is weak")));
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

    /// An instruction of a function that is placed, for a message.
    pub fn at(&self, index: usize, at: usize) -> At {
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
        let mut used: BTreeSet<usize> = self.names_map.iter().map(|&(_, map)| map).collect();
        if used.len() > MAPS_MAX {
            return Err(Diagnostic::new("object-maps", "the program's instructions name too many maps")
                .at(At::Named(self.function(main).name.clone()))
                .limit(format!("{MAPS_MAX} maps"), format!("{} maps", used.len()))
                .help("put them into a map of maps, or split the program with tail calls"));
        }
        // What lies in the slots of a map that is named exists too.
        for map in used.clone() {
            used.extend(self.object.maps[map].spec.slots.iter().filter_map(|(_, init)| match init {
                SlotInit::Map(inner) => Some(inner.0 as usize),
                SlotInit::Program(_) => None,
            }));
        }
        let number: BTreeMap<usize, MapIndex> = used.iter().zip(0..).map(|(&map, i)| (map, MapIndex(i))).collect();
        for &(slot, map) in &self.names_map {
            self.slots[slot].imm = number[&map].0 as i32;
        }
        let insns = insn::decode(&self.slots).map_err(|e| {
            let function = self.placed.partition_point(|&(start, _)| start <= e.slot).saturating_sub(1);
            let (start, index) = self.placed[function];
            Diagnostic { at: Some(self.at(index, e.slot - start)), ..Diagnostic::from(e) }
        })?;
        let (function, section) = (self.function(main), &self.section(main).name);
        let (attach, frags) = if ty == ProgType::Xdp { sections::xdp_attach(section) } else { Default::default() };
        let maps = used.iter().map(|&map| self.map_spec(map, &number)).collect();
        let functions = self.placed.iter().map(|&(start, index)| self.placed_function(start, index)).collect();
        self.unresolved.sort();
        Ok(Program {
            section: section.clone(),
            license: self.object.license.clone(),
            functions,
            lines: self.lines,
            btf: self.object.btf.clone(),
            info: (!self.info.functions.list.is_empty() || !self.info.lines.list.is_empty())
                .then(|| Arc::new(self.info)),
            attach,
            frags,
            unresolved: self.unresolved,
            byte_order: self.object.elf.byte_order,
            ..Program::from_insns(&function.name, ty, insns, maps)
        })
    }

    fn placed_function(&self, start: usize, index: usize) -> Placed {
        let function = self.function(index);
        let info = self.object.info.get(&self.section(index).name);
        let ty = info.and_then(|i| i.function(function.start));
        let kind = ty.zip(self.object.btf.as_deref()).map(|(ty, btf)| &btf.get(ty).kind);
        let global = matches!(kind, Some(Kind::Func { linkage: FuncLinkage::Global, .. })) && !function.hidden;
        Placed { name: function.name.clone(), start, btf: ty, global }
    }

    /// A map as the program sees it, with the numbers that maps have there.
    fn map_spec(&self, map: usize, number: &BTreeMap<usize, MapIndex>) -> MapSpec {
        let entry = &self.object.maps[map];
        let mut spec = entry.spec.clone();
        if let Some(btf) = &self.object.btf {
            let fields = |ty: Option<TypeId>| ty.map_or_else(SpecialFields::default, |ty| SpecialFields::of(btf, ty));
            spec.fields = fields(spec.value_type);
            if let Some(inner) = &mut spec.inner {
                inner.fields = fields(inner.value_type);
            }
        }
        for (_, init) in &mut spec.slots {
            if let SlotInit::Map(inner) = init {
                *inner = number.get(&(inner.0 as usize)).copied().unwrap_or(*inner);
            }
        }
        if entry.is_global_data() {
            if spec.name == KCONFIG {
                let order = self.object.elf.byte_order;
                spec.initial = Some(self.object.externs.contents(self.kernel, order, spec.value_size));
            }
            if !self.object.name.is_empty() {
                spec.name = maps::data_map_name(&self.object.name, &spec.name);
            }
        }
        spec
    }
}
