//! From an object file, as clang writes it, to programs.
//!
//! [`Object::parse`] takes the file apart: sections and symbols, functions, maps, BTF. [`Object::program`] puts one
//! program together: its function first, the functions it calls behind it in libbpf's order, maps and global data that
//! its instructions name by index, and the lines of source. Only what that program uses is looked at, so that something
//! unsupported elsewhere in the object does no harm.
//!
//! What is refused by name: objects that are not 64-bit little-endian BPF, kernel functions and other symbols from
//! outside, maps of maps and maps with initial values, relocations that need the running kernel's types (CO-RE), and
//! program types this crate does not have.

mod btf_maps;
mod co_re;
mod code_info;
mod elf;
mod functions;
mod link;
mod maps;
mod sections;

pub use maps::ObjectMap;
pub use sections::TypeGuess;

use std::collections::BTreeMap;

use crate::btf::{Btf, Ext, Kind};
use crate::diag::{At, Diagnostic};
use crate::program::{MapSpec, ProgType, Program};
use code_info::CodeInfo;
use elf::Elf;
use functions::Function;

/// An object file.
#[derive(Debug, Clone)]
pub struct Object {
    elf: Elf,
    functions: Vec<Function>,
    maps: Vec<ObjectMap>,
    /// Maps by section and first byte; global data by section alone.
    map_at: BTreeMap<(usize, Option<u64>), usize>,
    btf: Option<Btf>,
    info: BTreeMap<String, CodeInfo>,
    license: String,
    programs: Vec<ProgramEntry>,
    /// The object's name, for the names of its maps of global data; empty if it was not said.
    name: String,
}

/// A program that an object offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEntry {
    /// Name of its function.
    pub name: String,
    /// Section it is in.
    pub section: String,
    /// What the section's name, or the type of its context, says about its type.
    pub ty: TypeGuess,
}

impl Object {
    /// Takes an object file apart.
    ///
    /// # Errors
    /// A file that is not a little-endian, 64-bit, relocatable BPF object; that is cut off or damaged; whose BTF or map
    /// definitions are.
    pub fn parse(bytes: &[u8]) -> Result<Object, Diagnostic> {
        let elf = Elf::parse(bytes)?;
        let btf = elf.section(".BTF").map(|s| Btf::parse(elf.data(s))).transpose()?;
        let info = match (&btf, elf.section(".BTF.ext")) {
            (Some(btf), Some(section)) => code_info::by_section(&elf, btf, &Ext::parse(elf.data(section), btf)?),
            _ => BTreeMap::new(),
        };
        let functions = functions::functions(&elf)?;
        let maps = maps::maps(&elf, btf.as_ref())?;
        let license = elf.section("license").map_or(String::new(), |s| {
            let bytes = elf.data(s);
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        });
        let map_at = maps.iter().enumerate().map(|(i, m)| ((m.section, m.offset), i)).collect();
        let (programs, name) = (Vec::new(), String::new());
        let mut object = Object { elf, functions, maps, map_at, btf, info, license, programs, name };
        object.programs = object.find_programs();
        Ok(object)
    }

    /// Gives the object a name, usually that of its file up to the first dot: maps of global data bear it, as libbpf's do
    /// (`firewall.rodata`). Without one they are called by their section alone.
    pub fn named(mut self, name: &str) -> Object {
        name.clone_into(&mut self.name);
        self
    }

    /// Programs: the global functions outside `.text`, by section and place.
    pub fn programs(&self) -> &[ProgramEntry] {
        &self.programs
    }

    /// Maps, as libbpf orders them: defined ones by place, then global data by section. Global data is called by its
    /// section here; the maps of a [`Program`] bear the object's name too.
    pub fn maps(&self) -> &[ObjectMap] {
        &self.maps
    }

    /// Licence; empty if the object has none.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// Types, if the object has BTF.
    pub fn btf(&self) -> Option<&Btf> {
        self.btf.as_ref()
    }

    /// Puts a program together.
    ///
    /// It is named by its function, or by its section if that has only one; an object with one program needs no name.
    /// `ty` decides on the type where it is given; where it is not, the section's name or the context's type must.
    ///
    /// # Errors
    /// No such program, or several; a type that cannot be told or is not supported; whatever the program uses that is
    /// not supported or damaged.
    pub fn program(&self, name: Option<&str>, ty: Option<ProgType>) -> Result<Program, Diagnostic> {
        let main = self.find(name)?;
        let ty = match ty {
            Some(ty) => ty,
            None => self.type_of(main)?,
        };
        link::Link::new(self).program(main, ty)
    }

    fn find_programs(&self) -> Vec<ProgramEntry> {
        let entries = self.functions.iter().enumerate().filter(|(_, f)| self.is_entry(f));
        entries
            .map(|(i, f)| ProgramEntry { name: f.name.clone(), section: self.section(f).to_owned(), ty: self.guess(i) })
            .collect()
    }

    fn is_entry(&self, function: &Function) -> bool {
        function.global && self.section(function) != ".text"
    }

    fn section(&self, function: &Function) -> &str {
        &self.elf.sections[function.section].name
    }

    fn map_spec(&self, map: usize) -> MapSpec {
        let mut spec = self.maps[map].spec.clone();
        if self.maps[map].is_global_data() && !self.name.is_empty() {
            spec.name = maps::data_map_name(&self.name, &spec.name);
        }
        spec
    }

    fn find(&self, name: Option<&str>) -> Result<usize, Diagnostic> {
        let entries = || self.functions.iter().enumerate().filter(|(_, f)| self.is_entry(f));
        let known = || {
            const SHOWN: usize = 16;
            let shown = self.programs.iter().take(SHOWN).map(|p| format!("{} (in {})", p.name, p.section));
            let more = self.programs.len().saturating_sub(SHOWN);
            let more = (more > 0).then(|| format!("{more} more"));
            let names: Vec<String> = shown.chain(more).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let only = |found: &mut dyn Iterator<Item = usize>| match (found.next(), found.next()) {
            (Some(i), None) => Some(i),
            _ => None,
        };
        let Some(name) = name else {
            return only(&mut entries().map(|(i, _)| i)).ok_or_else(|| {
                let reason = if self.programs.is_empty() {
                    "the object has no program"
                } else {
                    "the object has several programs"
                };
                Diagnostic::new("object-program", reason).limit("one program", known()).help("say which by its name")
            });
        };
        // Any function can be asked for by name, also one that is meant to be called.
        only(&mut entries().filter(|(_, f)| f.name == name).map(|(i, _)| i))
            .or_else(|| only(&mut self.functions.iter().enumerate().filter(|(_, f)| f.name == name).map(|(i, _)| i)))
            .or_else(|| only(&mut entries().filter(|(_, f)| self.section(f) == name).map(|(i, _)| i)))
            .ok_or_else(|| {
                Diagnostic::new("object-program", format!("the object has no program {name}"))
                    .at(At::Named(name.to_owned()))
                    .limit("one program of that name or section", known())
            })
    }

    fn type_of(&self, main: usize) -> Result<ProgType, Diagnostic> {
        let function = &self.functions[main];
        let section = self.section(function);
        let at = At::Named(function.name.clone());
        let types = || ProgType::ALL.map(ProgType::name).join(", ");
        match self.guess(main) {
            TypeGuess::Known(ty) => Ok(ty),
            TypeGuess::Unsupported(ty) => {
                let reason = format!("section {section} says that the program is of type {ty}, which is not supported");
                Err(Diagnostic::new("object-program-type", reason).at(at).limit(types(), ty))
            }
            TypeGuess::Ambiguous => {
                let context = self.context(main);
                let (reason, help) = match context.as_deref() {
                    Some("__sk_buff") => (
                        format!("section {section} does not say the program's type; its context is struct __sk_buff"),
                        "say the type: sched_cls for a tc classifier, sched_act for a tc action, or socket_filter",
                    ),
                    _ => (
                        format!("section {section} does not say the program's type"),
                        "say the type, or name the section xdp, tc, action or socket",
                    ),
                };
                Err(Diagnostic::new("object-program-type", reason).at(at).limit(types(), section).help(help))
            }
        }
    }

    /// The section's name says the type; if it does not, a context of `struct xdp_md` does.
    fn guess(&self, main: usize) -> TypeGuess {
        match sections::guess(self.section(&self.functions[main])) {
            TypeGuess::Ambiguous if self.context(main).as_deref() == Some("xdp_md") => TypeGuess::Known(ProgType::Xdp),
            guess => guess,
        }
    }

    /// Name of the structure that a function's first parameter points to.
    fn context(&self, main: usize) -> Option<String> {
        let btf = self.btf.as_ref()?;
        let function = &self.functions[main];
        let ty = self.info.get(self.section(function))?.function(function.start)?;
        let Kind::Func { proto, .. } = btf.get(ty).kind else { return None };
        let Kind::FuncProto { params, .. } = &btf.get(proto).kind else { return None };
        let Kind::Ptr(to) = btf.get(btf.resolve(params.first()?.ty)?).kind else { return None };
        let context = btf.resolve(to)?;
        matches!(btf.get(context).kind, Kind::Struct { .. }).then(|| btf.type_name(context).into_owned())
    }
}
