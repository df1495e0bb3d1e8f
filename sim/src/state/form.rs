//! The JSON form of a saved system, and its way there and back.

use std::collections::BTreeMap;

use bpf::bpffs::{SavedInode, SavedMount, SavedNode, SavedPlace, SavedTree};
use bpf::btf::TypeId;
use bpf::diag::{At, Diagnostic, SourceLine};
use bpf::maps::Map;
use bpf::program::{Attach, Function, LineEntry, MapSpec, MapType, ProgType};
use bpf::syscall::{Config, Hook, Object, Owner, SavedBtf, SavedLink, SavedMap, SavedProgram, SavedSystem, hex};
use serde::{Deserialize, Serialize};

use super::cards::{BoundForm, CardsForm};
use super::memory;

/// What the file calls itself.
const FORMAT: &str = "sim-bpf-state";
/// The form's version. It goes up with every change of the form, and of what lies in a map's memory.
const VERSION: u32 = 1;
/// That of a state with cards.
const VERSION_WITH_CARDS: u32 = 2;
/// Processors a machine may have (`NR_CPUS` of the kernel that is followed).
const PROCESSORS: u32 = 256;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    format: String,
    version: u32,
    processors: u32,
    devices: Vec<u32>,
    now_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cards: Option<CardsForm>,
    last: Last,
    btfs: Vec<BtfForm>,
    maps: Vec<MapForm>,
    programs: Vec<ProgramForm>,
    links: Vec<LinkForm>,
    attached: Vec<AttachedForm>,
    tree: TreeForm,
}

/// Only these two are asked of a file before its form is known.
#[derive(Debug, Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    map: u32,
    program: u32,
    link: u32,
    btf: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BtfForm {
    id: u32,
    bytes: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecForm {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    extra: u64,
    inner: Option<Box<SpecForm>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypesForm {
    btf: u32,
    key: Option<u32>,
    value: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerForm {
    #[serde(rename = "type")]
    ty: String,
    attach: AttachForm,
    frags: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AttachForm {
    Hook,
    XdpDevmap,
    XdpCpumap,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MapForm {
    id: u32,
    spec: SpecForm,
    types: Option<TypesForm>,
    frozen: bool,
    owner: Option<OwnerForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bound: Option<BoundForm>,
    memory: Vec<(u64, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramForm {
    id: u32,
    name: String,
    #[serde(rename = "type")]
    ty: String,
    attach: AttachForm,
    frags: bool,
    license: String,
    function: String,
    insns: String,
    functions: Vec<FunctionForm>,
    files: Vec<String>,
    lines: Vec<LineForm>,
    unresolved: Vec<(usize, String)>,
    maps: Vec<u32>,
    btf: Option<u32>,
    loaded_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bound: Option<BoundForm>,
    device_bound: bool,
    strict_alignment: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionForm {
    name: String,
    start: usize,
    btf: Option<u32>,
    global: bool,
}

/// Slot, place in the program's list of files, line, column, text.
#[derive(Debug, Serialize, Deserialize)]
struct LineForm(usize, usize, u32, u32, String);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkForm {
    id: u32,
    program: u32,
    ifindex: u32,
    hook: String,
    attached: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttachedForm {
    ifindex: u32,
    hook: String,
    program: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeForm {
    umask: u16,
    mounts: Vec<MountForm>,
    inodes: Vec<InodeForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MountForm {
    on: PlaceForm,
    root: u64,
}

/// A path outside the file systems, or the mount and the directory in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum PlaceForm {
    Path(String),
    Within(u64, u64),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InodeForm {
    mode: u16,
    #[serde(flatten)]
    node: NodeForm,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NodeForm {
    Directory(BTreeMap<String, u64>),
    Symlink(String),
    Map(u32),
    Program(u32),
    Link(u32),
}

fn malformed(reason: impl Into<String>) -> Diagnostic {
    Diagnostic::new("state-malformed", reason).help("use a state that this program wrote")
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, wanted: &str, what: &str) -> Result<T, Diagnostic> {
    let found = all.iter().copied().find(|one| name(*one) == wanted);
    found.ok_or_else(|| malformed(format!("`{}` is no {what}", wanted.escape_debug())))
}

fn prog_type(name: &str) -> Result<ProgType, Diagnostic> {
    named(&ProgType::ALL, ProgType::name, name, "type of programs")
}

fn hook(name: &str) -> Result<Hook, Diagnostic> {
    named(&Hook::ALL, Hook::name, name, "hook")
}

fn digits(text: &str, of: &str) -> Result<Vec<u8>, Diagnostic> {
    memory::bytes(text)
        .ok_or_else(|| malformed("what should be hexadecimal digits is not").at(At::Named(of.to_owned())))
}

impl From<Attach> for AttachForm {
    fn from(attach: Attach) -> Self {
        match attach {
            Attach::Hook => AttachForm::Hook,
            Attach::XdpDevmap => AttachForm::XdpDevmap,
            Attach::XdpCpumap => AttachForm::XdpCpumap,
        }
    }
}

impl From<AttachForm> for Attach {
    fn from(attach: AttachForm) -> Self {
        match attach {
            AttachForm::Hook => Attach::Hook,
            AttachForm::XdpDevmap => Attach::XdpDevmap,
            AttachForm::XdpCpumap => Attach::XdpCpumap,
        }
    }
}

impl SpecForm {
    fn of(spec: &MapSpec) -> SpecForm {
        SpecForm {
            name: spec.name.clone(),
            ty: spec.ty.to_string(),
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            extra: spec.extra,
            inner: spec.inner.as_deref().map(|inner| Box::new(SpecForm::of(inner))),
        }
    }

    fn spec(self) -> Result<MapSpec, Diagnostic> {
        let number = MapType::NAMES.iter().position(|name| *name == self.ty);
        let number = number.ok_or_else(|| malformed(format!("`{}` is no type of maps", self.ty.escape_debug())))?;
        Ok(MapSpec {
            name: self.name,
            ty: MapType(number as u32),
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            extra: self.extra,
            // A template has none of its own, which the file's depth is bound by in any case.
            inner: self.inner.map(|inner| inner.spec()).transpose()?.map(Box::new),
            ..MapSpec::default()
        })
    }
}

impl MapForm {
    fn of(map: &SavedMap) -> MapForm {
        let ty = |ty: Option<TypeId>| ty.map(|ty| ty.0);
        MapForm {
            id: map.id,
            spec: SpecForm::of(&map.spec),
            types: map.types.map(|(btf, key, value)| TypesForm { btf, key: ty(key), value: ty(value) }),
            frozen: map.frozen,
            owner: map.owner.map(|owner| OwnerForm {
                ty: owner.ty.to_string(),
                attach: owner.attach.into(),
                frags: owner.frags,
            }),
            bound: BoundForm::of(map.bound),
            memory: memory::blocks(&map.memory),
        }
    }

    fn saved(self, processors: u32) -> Result<SavedMap, Diagnostic> {
        let (id, spec) = (self.id, self.spec.spec()?);
        // How much memory there may be is said by the definition, and not by the file.
        let size = Map::new(spec.clone(), processors)?.region_size() as usize;
        let memory = memory::whole(&self.memory, size).ok_or_else(|| {
            malformed("its memory is not what its definition takes").at(At::Named(format!("map {id}")))
        })?;
        let owner = |owner: OwnerForm| {
            Ok::<_, Diagnostic>(Owner { ty: prog_type(&owner.ty)?, attach: owner.attach.into(), frags: owner.frags })
        };
        Ok(SavedMap {
            id,
            types: self.types.map(|types| (types.btf, types.key.map(TypeId), types.value.map(TypeId))),
            frozen: self.frozen,
            owner: self.owner.map(owner).transpose()?,
            bound: BoundForm::saved(self.bound),
            memory,
            spec,
        })
    }
}

impl ProgramForm {
    fn of(program: &SavedProgram) -> ProgramForm {
        let mut files: Vec<String> = Vec::new();
        let line = |line: &LineEntry| {
            let SourceLine { file, line: number, column, text } = &line.line;
            let at = files.iter().position(|known| known == file).unwrap_or_else(|| {
                files.push(file.clone());
                files.len() - 1
            });
            LineForm(line.slot, at, *number, *column, text.clone())
        };
        let lines = program.lines.iter().map(line).collect();
        let function = |function: &Function| FunctionForm {
            name: function.name.clone(),
            start: function.start,
            btf: function.btf.map(|ty| ty.0),
            global: function.global,
        };
        ProgramForm {
            id: program.id,
            name: program.name.clone(),
            ty: program.ty.to_string(),
            attach: program.attach.into(),
            frags: program.frags,
            license: program.license.clone(),
            function: program.function.clone(),
            insns: hex(&program.insns),
            functions: program.functions.iter().map(function).collect(),
            files,
            lines,
            unresolved: program.unresolved.clone(),
            maps: program.maps.clone(),
            btf: program.btf,
            loaded_at: program.loaded_at,
            bound: BoundForm::of(program.bound),
            device_bound: program.device_bound,
            strict_alignment: program.strict_alignment,
        }
    }

    fn saved(self) -> Result<SavedProgram, Diagnostic> {
        let of = format!("program {}", self.id);
        let file = |at: usize| self.files.get(at).cloned();
        let line = |LineForm(slot, at, line, column, text): LineForm| {
            Some(LineEntry { slot, line: SourceLine { file: file(at)?, line, column, text } })
        };
        let lines = self.lines.into_iter().map(line).collect::<Option<_>>();
        let function = |function: FunctionForm| Function {
            name: function.name,
            start: function.start,
            btf: function.btf.map(TypeId),
            global: function.global,
        };
        Ok(SavedProgram {
            id: self.id,
            name: self.name,
            ty: prog_type(&self.ty)?,
            attach: self.attach.into(),
            frags: self.frags,
            license: self.license,
            function: self.function,
            insns: digits(&self.insns, &of)?,
            functions: self.functions.into_iter().map(function).collect(),
            lines: lines.ok_or_else(|| malformed("a line is of a file that is not listed").at(At::Named(of)))?,
            unresolved: self.unresolved,
            maps: self.maps,
            btf: self.btf,
            loaded_at: self.loaded_at,
            bound: BoundForm::saved(self.bound),
            device_bound: self.device_bound,
            strict_alignment: self.strict_alignment,
        })
    }
}

impl TreeForm {
    fn of(tree: &SavedTree<Object>) -> TreeForm {
        let node = |node: &SavedNode<Object>| match node {
            SavedNode::Directory(entries) => NodeForm::Directory(entries.iter().cloned().collect()),
            SavedNode::Symlink(target) => NodeForm::Symlink(target.clone()),
            SavedNode::Pin(Object::Map(id)) => NodeForm::Map(*id),
            SavedNode::Pin(Object::Prog(id)) => NodeForm::Program(*id),
            // Types cannot be pinned.
            SavedNode::Pin(Object::Link(id) | Object::Btf(id)) => NodeForm::Link(*id),
        };
        let on = |on: &SavedPlace| match on {
            SavedPlace::Path(path) => PlaceForm::Path(path.clone()),
            SavedPlace::Within { mount, directory } => PlaceForm::Within(*mount, *directory),
        };
        TreeForm {
            umask: tree.umask,
            mounts: tree.mounts.iter().map(|m| MountForm { on: on(&m.on), root: m.root }).collect(),
            inodes: tree.inodes.iter().map(|i| InodeForm { mode: i.mode, node: node(&i.node) }).collect(),
        }
    }

    fn saved(self) -> SavedTree<Object> {
        let node = |node: NodeForm| match node {
            NodeForm::Directory(entries) => SavedNode::Directory(entries.into_iter().collect()),
            NodeForm::Symlink(target) => SavedNode::Symlink(target),
            NodeForm::Map(id) => SavedNode::Pin(Object::Map(id)),
            NodeForm::Program(id) => SavedNode::Pin(Object::Prog(id)),
            NodeForm::Link(id) => SavedNode::Pin(Object::Link(id)),
        };
        let on = |on: PlaceForm| match on {
            PlaceForm::Path(path) => SavedPlace::Path(path),
            PlaceForm::Within(mount, directory) => SavedPlace::Within { mount, directory },
        };
        SavedTree {
            umask: self.umask,
            mounts: self.mounts.into_iter().map(|m| SavedMount { on: on(m.on), root: m.root }).collect(),
            inodes: self.inodes.into_iter().map(|i| SavedInode { mode: i.mode, node: node(i.node) }).collect(),
        }
    }
}

impl Form {
    pub fn of(saved: &SavedSystem) -> Form {
        let [map, program, link, btf] = saved.last;
        let link_form = |link: &SavedLink| LinkForm {
            id: link.id,
            program: link.program,
            ifindex: link.ifindex,
            hook: link.hook.name().to_owned(),
            attached: link.attached,
        };
        let attached = |(ifindex, hook, program): &(u32, Hook, u32)| AttachedForm {
            ifindex: *ifindex,
            hook: hook.name().to_owned(),
            program: *program,
        };
        let cards = CardsForm::of(saved);
        Form {
            format: FORMAT.to_owned(),
            version: if cards.is_some() { VERSION_WITH_CARDS } else { VERSION },
            cards,
            processors: saved.config.cpus,
            devices: saved.config.devices.clone(),
            now_ns: saved.now_ns,
            last: Last { map, program, link, btf },
            btfs: saved.btfs.iter().map(|btf| BtfForm { id: btf.id, bytes: hex(&btf.bytes) }).collect(),
            maps: saved.maps.iter().map(MapForm::of).collect(),
            programs: saved.programs.iter().map(ProgramForm::of).collect(),
            links: saved.links.iter().map(link_form).collect(),
            attached: saved.attached.iter().map(attached).collect(),
            tree: TreeForm::of(&saved.tree),
        }
    }

    /// Reads the form, and its name and version before the rest.
    pub fn parse(text: &str) -> Result<Form, Diagnostic> {
        // It quotes names of the file, whatever is in them.
        let json = |error: serde_json::Error| {
            let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            malformed(format!("the file is not a state: {}", error.to_string().chars().map(plain).collect::<String>()))
        };
        let head: Head = serde_json::from_str(text).map_err(json)?;
        if head.format != FORMAT || !(VERSION..=VERSION_WITH_CARDS).contains(&head.version) {
            return Err(Diagnostic::new("state-version", "the file is a state of another version")
                .limit(
                    format!("{FORMAT} {VERSION} or {VERSION_WITH_CARDS}"),
                    format!("{} {}", head.format.escape_debug(), head.version),
                )
                .help("load the programs again, into a new state"));
        }
        let form: Form = serde_json::from_str(text).map_err(json)?;
        if (form.version == VERSION_WITH_CARDS) != form.cards.is_some() {
            return Err(Diagnostic::new("state-version", "the file is a state of another version")
                .limit(format!("{FORMAT} {VERSION}, or {VERSION_WITH_CARDS} with cards"), form.version)
                .help("use a state that this program wrote"));
        }
        Ok(form)
    }

    pub fn saved(self) -> Result<SavedSystem, Diagnostic> {
        if !(1..=PROCESSORS).contains(&self.processors) {
            return Err(
                malformed("there is no such machine").limit(format!("1 to {PROCESSORS} processors"), self.processors)
            );
        }
        let processors = self.processors;
        let btf = |btf: BtfForm| {
            Ok::<_, Diagnostic>(SavedBtf { id: btf.id, bytes: digits(&btf.bytes, &format!("btf {}", btf.id))? })
        };
        let link = |link: LinkForm| {
            Ok::<_, Diagnostic>(SavedLink {
                id: link.id,
                program: link.program,
                ifindex: link.ifindex,
                hook: hook(&link.hook)?,
                attached: link.attached,
            })
        };
        let attached = |at: AttachedForm| Ok::<_, Diagnostic>((at.ifindex, hook(&at.hook)?, at.program));
        Ok(SavedSystem {
            config: Config { cpus: processors, devices: self.devices, ..Config::default() },
            now_ns: self.now_ns,
            last_card: self.cards.as_ref().map_or(0, |cards| cards.last),
            cards: self.cards.map_or(vec![], CardsForm::saved),
            last: [self.last.map, self.last.program, self.last.link, self.last.btf],
            btfs: self.btfs.into_iter().map(btf).collect::<Result<_, _>>()?,
            maps: self.maps.into_iter().map(|map| map.saved(processors)).collect::<Result<_, _>>()?,
            programs: self.programs.into_iter().map(ProgramForm::saved).collect::<Result<_, _>>()?,
            links: self.links.into_iter().map(link).collect::<Result<_, _>>()?,
            attached: self.attached.into_iter().map(attached).collect::<Result<_, _>>()?,
            tree: self.tree.saved(),
        })
    }
}
