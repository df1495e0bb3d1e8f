//! From an object file, as clang writes it, to programs.
//!
//! [`Object::parse`] takes the file apart: sections and symbols, functions, maps, BTF. [`Object::program`] puts one
//! program together: its function first, the functions it calls behind it in libbpf's order, maps and global data that
//! its instructions name by index, and the lines of source. Only what that program uses is looked at, so that something
//! unsupported elsewhere in the object does no harm.
//!
//! What an object asks of the kernel it is loaded into is answered by a [`Kernel`]: its version and configuration. What
//! is refused by name: objects that are not 64-bit BPF, kernel functions and variables that are not weak, and program
//! types this crate does not have.

mod btf_maps;
mod co_re;
mod code_info;
mod elf;
mod externs;
mod functions;
mod kernel;
mod kernel_btf;
mod link;
mod load;
mod maps;
mod sections;
mod select;
mod slots;
mod symbols;
mod types;

pub use kernel::Kernel;
pub use maps::ObjectMap;
pub use sections::TypeGuess;
pub use types::{TypeSource, Types, types};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::btf::{Btf, Ext};
use crate::diag::Diagnostic;
use crate::dwarf::Lines;
use crate::program::{Endian, ProgType, Program};
use code_info::CodeInfo;
use elf::Elf;
use externs::Externs;
use functions::Function;

/// An object file.
#[derive(Debug, Clone)]
pub struct Object {
    elf: Elf,
    functions: Vec<Function>,
    maps: Vec<ObjectMap>,
    /// Maps by section and first byte; global data by section alone.
    map_at: BTreeMap<(usize, Option<u64>), usize>,
    externs: Externs,
    btf: Option<Arc<Btf>>,
    kernel_btf: Option<Vec<u8>>,
    info: BTreeMap<String, CodeInfo>,
    lines: Arc<Lines>,
    license: String,
    version: Option<u32>,
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
    /// A file that is not a 64-bit, relocatable BPF object; that is cut off or damaged; whose BTF or map
    /// definitions are, or whose types Linux refuses (`btf-refused`). libbpf would go on without types then; here whoever
    /// made the object is told.
    pub fn parse(bytes: &[u8]) -> Result<Object, Diagnostic> {
        let elf = Elf::parse(bytes)?;
        let btf = elf.section(".BTF").map(|s| Btf::parse(elf.data(s))).transpose()?.map(Arc::new);
        let info = match (&btf, elf.section(".BTF.ext")) {
            (Some(btf), Some(section)) => code_info::by_section(&elf, btf, &Ext::parse(elf.data(section), btf)?),
            _ => BTreeMap::new(),
        };
        let functions = functions::functions(&elf)?;
        let lines = Arc::new(code_info::dwarf_lines(&elf, &functions, &info));
        let mut maps = maps::maps(&elf, btf.as_deref())?;
        slots::fill(&elf, &functions, &mut maps);
        let externs = Externs::find(&elf, btf.as_deref());
        maps.extend(externs.map(btf.as_deref())?);
        let kernel_btf = btf.as_deref().zip(elf.section(".BTF")).map(|(btf, section)| {
            let bytes = kernel_btf::bytes(&elf, elf.data(section), btf, &externs);
            kernel_btf::check(&bytes, btf).map(|()| bytes)
        });
        let kernel_btf = kernel_btf.transpose()?;
        let license = elf.section("license").map_or(String::new(), |s| {
            let bytes = elf.data(s);
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        });
        let version = elf.section("version").and_then(|s| elf.data(s).try_into().ok()).map(|word| elf.word(word));
        let map_at = maps.iter().enumerate().map(|(i, m)| ((m.section, m.offset), i)).collect();
        let (programs, name) = (Vec::new(), String::new());
        let mut object = Object {
            elf,
            functions,
            maps,
            map_at,
            externs,
            btf,
            kernel_btf,
            info,
            lines,
            license,
            version,
            programs,
            name,
        };
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

    /// The kernel's version that a `version` section asks for, in the form of [`Kernel::version`]; `0xfffffffe` stands
    /// for any. Linux no longer looks at it for the types of programs there are here.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// The order of bytes the object was compiled for.
    pub fn byte_order(&self) -> Endian {
        self.elf.byte_order
    }

    /// Types, if the object has BTF.
    pub fn btf(&self) -> Option<&Btf> {
        self.btf.as_deref()
    }

    /// The object's types as libbpf hands them to the kernel (`BPF_BTF_LOAD`), if it has any: sections of variables laid
    /// out, nothing from outside left in them. Linux takes them: an object whose types it refuses is not read.
    pub fn kernel_btf(&self) -> Option<&[u8]> {
        self.kernel_btf.as_deref()
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
        self.program_for(name, ty, &Kernel::default())
    }

    /// As [`Object::program`], with a kernel to answer what the object asks of it.
    ///
    /// # Errors
    /// As [`Object::program`]'s.
    pub fn program_for(
        &self,
        name: Option<&str>,
        ty: Option<ProgType>,
        kernel: &Kernel,
    ) -> Result<Program, Diagnostic> {
        let main = self.find(name)?;
        let ty = match ty {
            Some(ty) => ty,
            None => self.type_of(main)?,
        };
        link::Link::new(self, kernel).program(main, ty)
    }

    fn section(&self, function: &Function) -> &str {
        &self.elf.sections[function.section].name
    }
}
