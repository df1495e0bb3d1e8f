//! What an instruction names outside itself: functions, maps, variables, and what is not in the object.

use object::elf::{R_BPF_64_32, R_BPF_64_64, R_BPF_NONE};

use super::elf::{Content, Home, Relocation, SymbolKind};
use super::externs::{Extern, KCONFIG};
use super::link::{CALL, Link, WIDE_LOAD, pseudo};
use super::maps;
use crate::diag::Diagnostic;
use crate::insn::{RawInsn, SLOT};

/// What an instruction's symbol, or its distance, leads to.
pub(super) enum Reference {
    Function(usize),
    Map(usize),
    /// A byte of a map of global data.
    Data(usize, i32),
    /// Something that the kernel might have had.
    Absent {
        name: String,
    },
}

impl Link<'_> {
    /// What the instruction names outside itself.
    pub fn reference(&self, index: usize, at: usize, raw: RawInsn) -> Result<Option<Reference>, Diagnostic> {
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
                    return self.symbol(index, at, raw, relocation.symbol).map(Some);
                }
                let name = self.object.elf.name(symbol);
                let kind = relocation.kind;
                bad("object-relocation", format!("relocation type {kind} against {name} does not fit the instruction"))
            }
            _ => bad("object-relocation", "two relocations apply to one instruction".to_owned()),
        }
    }

    fn symbol(&self, index: usize, at: usize, raw: RawInsn, number: usize) -> Result<Reference, Diagnostic> {
        let elf = &self.object.elf;
        let symbol = &elf.symbols[number];
        let name = elf.name(symbol);
        let here = || self.at(index, at);
        let section = match symbol.home {
            Home::Section(section) => section,
            Home::Undefined => return self.outside(index, at, raw, number),
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

    /// A symbol that the object does not define.
    fn outside(&self, index: usize, at: usize, raw: RawInsn, number: usize) -> Result<Reference, Diagnostic> {
        let elf = &self.object.elf;
        let symbol = &elf.symbols[number];
        let name = elf.name(symbol);
        let place = || self.at(index, at);
        match self.object.externs.get(number) {
            Some(Extern::Config(variable)) if raw.opcode == WIDE_LOAD => {
                let byte = self.object.externs.place(variable, self.kernel, elf.byte_order);
                let byte = byte.map_err(|why| Diagnostic { at: Some(place()), ..why })?;
                let map = self.object.maps.iter().position(|m| m.is_global_data() && m.spec.name == KCONFIG);
                let map = map.expect("Externs::map makes it as soon as there is one variable");
                Ok(Reference::Data(map, byte as i32))
            }
            // Without BTF too, libbpf makes a weak symbol zero.
            _ if symbol.weak => Ok(Reference::Absent { name: name.into_owned() }),
            _ => {
                let (what, help) = if raw.opcode == CALL {
                    (
                        "function",
                        "kernel functions (kfuncs) are not supported; link libraries in with bpftool gen object",
                    )
                } else {
                    ("symbol", "symbols of the kernel are not supported; link libraries in with bpftool gen object")
                };
                let reason = format!("{what} {name} is not defined in the object");
                Err(Diagnostic::new("object-extern", reason).at(place()).help(help))
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
}
