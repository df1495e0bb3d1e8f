//! Symbols from outside the object: the kernel's configuration (`__kconfig`), its variables and functions (`__ksym`).
//!
//! Configuration becomes a read-only map of global data, `.kconfig`, laid out as libbpf does. A symbol of the kernel's
//! does not exist here: a weak one is zero, a strong one is refused by name.

use std::collections::BTreeMap;

use super::elf::{Elf, Home};
use super::kernel::Kernel;
use super::maps::{MMAPABLE, ObjectMap, RDONLY_PROG};
use crate::btf::{Btf, Encoding, Kind, TypeId};
use crate::diag::{At, Diagnostic};
use crate::program::{Endian, MapSpec, MapType};

/// Name of the map, and of the section of variables in BTF.
pub(super) const KCONFIG: &str = ".kconfig";

/// What a variable of the configuration holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Bool,
    Tristate,
    Char,
    Int { signed: bool },
    Text,
}

/// A variable of the configuration.
#[derive(Debug, Clone)]
struct Variable {
    name: String,
    holds: Option<Holds>,
    size: u32,
    align: u32,
    weak: bool,
    /// Byte in the map.
    offset: u32,
}

/// What an undefined symbol stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extern {
    /// A variable of the configuration, by place in the list.
    Config(usize),
    /// A variable of the kernel's.
    Variable,
    /// A function of the kernel's.
    Function,
}

/// All symbols from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Externs {
    by_symbol: BTreeMap<usize, Extern>,
    variables: Vec<Variable>,
}

/// Most bytes of configuration; a page, as libbpf's longest strings are far below it.
const CONFIG_MAX: u32 = 1 << 16;

impl Externs {
    /// Finds what BTF says of the undefined symbols.
    pub fn find(elf: &Elf, btf: Option<&Btf>) -> Externs {
        let Some(btf) = btf else { return Externs::default() };
        let mut declared = BTreeMap::new();
        for section in [KCONFIG, ".ksyms"] {
            for var in btf.data_section(section).unwrap_or_default() {
                declared.insert(btf.type_name(var.var).into_owned(), (section, var.var));
            }
        }
        let mut found = Externs::default();
        let mut of_variable = Vec::new();
        for (i, symbol) in elf.symbols.iter().enumerate().filter(|(_, s)| s.home == Home::Undefined) {
            let name = elf.name(symbol).into_owned();
            match declared.get(&name).map(|&(section, id)| (section, id, &btf.get(id).kind)) {
                Some((KCONFIG, id, &Kind::Var { ty, .. })) => {
                    let holds = holds(btf, ty);
                    let (size, align) = (btf.size_of(id).unwrap_or(0), btf.align_of(ty).unwrap_or(1));
                    found.variables.push(Variable { name, holds, size, align, weak: symbol.weak, offset: 0 });
                    of_variable.push(i);
                }
                Some((_, _, Kind::Func { .. })) => {
                    found.by_symbol.insert(i, Extern::Function);
                }
                Some((_, _, Kind::Var { .. })) => {
                    found.by_symbol.insert(i, Extern::Variable);
                }
                _ => {}
            }
        }
        found.lay_out(&of_variable);
        found
    }

    /// By alignment, the largest first, then by size and name: libbpf's order.
    fn lay_out(&mut self, of_variable: &[usize]) {
        let mut order: Vec<usize> = (0..self.variables.len()).collect();
        let key = |v: &Variable| (std::cmp::Reverse(v.align), v.size, v.name.clone());
        order.sort_by_cached_key(|&i| key(&self.variables[i]));
        let mut end = 0u32;
        for &i in &order {
            let variable = &mut self.variables[i];
            variable.offset = end.checked_next_multiple_of(variable.align.max(1)).unwrap_or(u32::MAX);
            end = variable.offset.saturating_add(variable.size);
        }
        for (i, &symbol) in of_variable.iter().enumerate() {
            self.by_symbol.insert(symbol, Extern::Config(i));
        }
    }

    /// First byte in the map, and bytes, of the variable of the configuration with that name.
    pub fn extent(&self, name: &str) -> Option<(u32, u32)> {
        self.variables.iter().find(|v| v.name == name).map(|v| (v.offset, v.size))
    }

    /// What a symbol stands for, if BTF says so.
    pub fn get(&self, symbol: usize) -> Option<Extern> {
        self.by_symbol.get(&symbol).copied()
    }

    /// The map of the configuration, if the object has any; its contents are for [`Externs::contents`] to say.
    pub fn map(&self, btf: Option<&Btf>) -> Result<Option<ObjectMap>, Diagnostic> {
        let Some(size) = self.variables.iter().map(|v| v.offset.saturating_add(v.size)).max() else { return Ok(None) };
        if size > CONFIG_MAX {
            return Err(Diagnostic::new(
                "object-kconfig",
                "the object asks for too much of the kernel's configuration",
            )
            .at(At::Named(KCONFIG.to_owned()))
            .limit(format!("{CONFIG_MAX} bytes"), format!("{size} bytes")));
        }
        let section = |btf: &Btf| btf.iter().find(|(_, t)| is_section(btf, t)).map(|(id, _)| id);
        let spec = MapSpec {
            name: KCONFIG.to_owned(),
            ty: MapType::ARRAY,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            flags: RDONLY_PROG | MMAPABLE,
            initial: Some(vec![0; size as usize]),
            value_type: btf.and_then(section),
            ..MapSpec::default()
        };
        // The section of number 0 is no section, so that no symbol is in it.
        Ok(Some(ObjectMap { spec, section: 0, offset: None, values: None, refused: None }))
    }

    /// First byte of a variable in the map.
    ///
    /// # Errors
    /// A variable that must be set and is not, or that cannot hold its value.
    pub fn place(&self, variable: usize, kernel: &Kernel, order: Endian) -> Result<u32, Diagnostic> {
        let variable = &self.variables[variable];
        match variable.value(kernel, order)? {
            None if !variable.weak => {
                let reason =
                    format!("the program needs {} of the kernel's configuration, which is not known", variable.name);
                Err(Diagnostic::new("object-kconfig", reason)
                    .at(At::Named(variable.name.clone()))
                    .help("give the value in the kernel's configuration, or declare it __weak"))
            }
            _ => Ok(variable.offset),
        }
    }

    /// The bytes of the map for a kernel: zeroes where a variable is not set.
    pub fn contents(&self, kernel: &Kernel, order: Endian, size: u32) -> Vec<u8> {
        let mut bytes = vec![0; size as usize];
        for variable in &self.variables {
            let Ok(Some(value)) = variable.value(kernel, order) else { continue };
            let at = variable.offset as usize;
            if let Some(place) = bytes.get_mut(at..at.saturating_add(value.len())) {
                place.copy_from_slice(&value);
            }
        }
        bytes
    }
}

fn is_section(btf: &Btf, ty: &crate::btf::Type) -> bool {
    matches!(ty.kind, Kind::DataSec { .. }) && btf.name(ty.name) == KCONFIG
}

/// What libbpf takes a variable of that type for; `None` where it takes it for nothing.
fn holds(btf: &Btf, ty: TypeId) -> Option<Holds> {
    let id = btf.resolve(ty)?;
    match &btf.get(id).kind {
        // An array of arrays holds no text, so that no element is looked into further.
        Kind::Array { element, len, .. } if *len > 0 => {
            (one(btf, btf.resolve(*element)?)? == Holds::Char).then_some(Holds::Text)
        }
        _ => one(btf, id),
    }
}

/// The same, of what is no array.
fn one(btf: &Btf, id: TypeId) -> Option<Holds> {
    match &btf.get(id).kind {
        Kind::Int { size: 1, encoding: Encoding::Bool, .. } => Some(Holds::Bool),
        Kind::Int { encoding: Encoding::Bool, .. } => None,
        Kind::Int { size: 1, .. } => Some(Holds::Char),
        Kind::Int { size: 2 | 4 | 8, encoding, .. } => Some(Holds::Int { signed: *encoding == Encoding::Signed }),
        Kind::Enum { size: 4 | 8, .. } if btf.type_name(id) == "libbpf_tristate" => Some(Holds::Tristate),
        _ => None,
    }
}

impl Variable {
    /// Its bytes; `None` where the kernel's configuration does not set it.
    fn value(&self, kernel: &Kernel, order: Endian) -> Result<Option<Vec<u8>>, Diagnostic> {
        let bad = |reason: String| {
            Diagnostic::new("object-kconfig", format!("{} {reason}", self.name)).at(At::Named(self.name.clone()))
        };
        let Some(holds) = self.holds else {
            return Err(bad("has a type that the kernel's configuration has no values of".to_owned())
                .limit("bool, char, an integer, enum libbpf_tristate or an array of char", "another type"));
        };
        let given = match kernel.builtin(&self.name) {
            Some(number) => Given::Number(number),
            None => match kernel.config.get(&self.name) {
                None => return Ok(None),
                Some(text) => Given::read(text).ok_or_else(|| bad(format!("is set to {text}, which is no value")))?,
            },
        };
        let number = |n: u64| Ok(Some(self.number(n, order)));
        match (given, holds) {
            (Given::Letter('y'), Holds::Bool | Holds::Tristate) => number(1),
            (Given::Letter('n'), Holds::Bool | Holds::Tristate) => number(0),
            (Given::Letter('m'), Holds::Tristate) => number(2),
            (Given::Letter(letter), Holds::Char) => number(letter as u64),
            (Given::Number(n @ (0 | 1)), Holds::Bool) => number(n),
            (Given::Number(n), Holds::Char) if n <= 0xff => number(n),
            (Given::Number(n), Holds::Int { signed }) if self.fits(n, signed) => number(n),
            (Given::Number(n), Holds::Int { .. } | Holds::Char) => {
                Err(bad("does not fit its variable".to_owned()).limit(format!("{} bytes", self.size), n))
            }
            (Given::Text(text), Holds::Text) => {
                let mut bytes = text.into_bytes();
                bytes.truncate((self.size as usize).saturating_sub(1));
                bytes.push(0);
                Ok(Some(bytes))
            }
            (given, _) => Err(bad(format!("is set to {given:?}, which its type does not hold"))),
        }
    }

    fn fits(&self, number: u64, signed: bool) -> bool {
        if self.size >= 8 {
            return true;
        }
        let bits = self.size * 8;
        if signed { number.wrapping_add(1 << (bits - 1)) < 1 << bits } else { number >> bits == 0 }
    }

    fn number(&self, number: u64, order: Endian) -> Vec<u8> {
        let size = (self.size as usize).min(8);
        match order {
            Endian::Little => number.to_le_bytes()[..size].to_vec(),
            Endian::Big => number.to_be_bytes()[8 - size..].to_vec(),
        }
    }
}

/// A value as a `.config` file writes it.
#[derive(Debug)]
enum Given {
    Letter(char),
    Number(u64),
    Text(String),
}

impl Given {
    fn read(text: &str) -> Option<Given> {
        if let "y" | "n" | "m" = text {
            return text.chars().next().map(Given::Letter);
        }
        if let Some(inner) = text.strip_prefix('"') {
            return inner.strip_suffix('"').map(|t| Given::Text(t.to_owned()));
        }
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            Some(hex) => u64::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        Some(Given::Number(if negative { number.wrapping_neg() } else { number }))
    }
}
