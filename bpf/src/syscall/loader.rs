//! Objects as loaders bring them in: libbpf's steps, and where libbpf and iproute2 look for pinned maps.

use std::collections::BTreeMap;

use super::digest::{hex, sha1};
use super::map_commands::{NAME_LEN, NewMap};
use super::objects::Object as Kept;
use super::programs::NewProgram;
use super::system::{ActorId, Fd, Refusal, System};
use crate::diag::Diagnostic;
use crate::errno::Errno;
use crate::maps::{BPF_ANY, BPF_F_RDONLY_PROG, Holds, Map};
use crate::object::{Kernel, Object, ObjectMap, TypeGuess};
use crate::program::{MapSpec, MapType, Pinning, ProgType, Program, SlotInit};
use crate::verifier::Options;

/// Where maps that say so are pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinRoots {
    /// Directory of maps that are pinned by name (`LIBBPF_PIN_BY_NAME`).
    pub by_name: String,
    /// Directory of iproute2's: `globals` and a directory for each object lie in it.
    pub iproute2: String,
}

impl Default for PinRoots {
    fn default() -> Self {
        PinRoots { by_name: "/sys/fs/bpf".to_owned(), iproute2: "/sys/fs/bpf/tc".to_owned() }
    }
}

/// How an object is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The type of programs whose section does not say it, or all of them.
    pub ty: Option<ProgType>,
    /// Maps to use instead of the object's own, by name.
    pub maps: BTreeMap<String, Fd>,
    /// Where maps are pinned that say so.
    pub roots: PinRoots,
    /// What programs are verified for.
    pub options: Options,
    /// The network device whose card gets all of it, 0 for none. Rings of events stay with the host, as bpftool leaves
    /// them.
    pub ifindex: u32,
}

/// What was loaded; all descriptors are the caller's.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Programs by function name, in the object's order.
    pub programs: Vec<(String, Fd)>,
    /// Maps by name, in the object's order.
    pub maps: Vec<(String, Fd)>,
    /// Its types, if Linux would take them.
    pub btf: Option<Fd>,
}

fn own(diagnostic: Diagnostic) -> Refusal {
    Refusal { errno: None, diagnostic: Box::new(diagnostic) }
}

/// As much of a name as Linux keeps.
fn cut(name: &str) -> String {
    name.chars().take(NAME_LEN).collect()
}

impl System {
    /// Loads all maps and programs of an object as libbpf does: types first, then maps, found where they are pinned or
    /// made, filled and frozen, then programs, and at last slots of program arrays. `bytes` are the file's, by whose
    /// digest iproute2 names the object's own directory.
    ///
    /// Programs whose section begins with `?` are left out, as libbpf leaves them.
    ///
    /// # Errors
    /// The first thing that cannot be loaded. Descriptors that were opened until then are closed again; pins stay.
    pub fn load_object(
        &mut self,
        actor: ActorId,
        object: &Object,
        bytes: &[u8],
        load: &LoadOptions,
    ) -> Result<Loaded, Refusal> {
        let mut loaded = Loaded::default();
        let done = self.load_into(actor, object, bytes, load, &mut loaded);
        if done.is_err() {
            let opened = loaded.programs.iter().chain(&loaded.maps).map(|(_, fd)| *fd).chain(loaded.btf);
            for fd in opened {
                self.close(actor, fd)?;
            }
        }
        done.map(|()| loaded)
    }

    fn load_into(
        &mut self,
        actor: ActorId,
        object: &Object,
        bytes: &[u8],
        load: &LoadOptions,
        loaded: &mut Loaded,
    ) -> Result<(), Refusal> {
        // Types are of use to whoever looks, and no condition: what Linux would not take is left out.
        loaded.btf = object.linked_btf().and_then(|types| self.btf_load(actor, &types).ok());
        for (index, map) in object.maps().iter().enumerate() {
            let name = object.map_name(index);
            let legacy = object.is_legacy_map(index);
            let path = pin_path(map, &name, legacy, load, bytes);
            let fd = self.load_map(actor, map, &name, path, load, loaded.btf).map_err(|why| why.at(&name))?;
            loaded.maps.push((name, fd));
        }
        self.fill_with_maps(actor, object, loaded)?;
        for entry in object.programs().iter().filter(|entry| !entry.section.starts_with('?')) {
            let ty = match entry.ty {
                TypeGuess::Known(ty) => Some(load.ty.unwrap_or(ty)),
                _ => load.ty,
            };
            let program = object.program_for(Some(&entry.name), ty, &Kernel::default()).map_err(own)?;
            let program = self.with_types(actor, program, loaded.btf);
            let named = |spec: &MapSpec| loaded.maps.iter().find(|(name, _)| *name == spec.name).map(|(_, fd)| *fd);
            let maps = program.maps.iter().map(named).collect::<Option<Vec<_>>>().ok_or(Errno::EBADF)?;
            let new = NewProgram {
                name: cut(&entry.name),
                program,
                maps,
                btf: loaded.btf,
                options: load.options.clone(),
                ifindex: load.ifindex,
            };
            let fd = self.prog_load(actor, new)?;
            loaded.programs.push((entry.name.clone(), fd));
        }
        self.fill_with_programs(actor, object, loaded)
    }

    /// A program with the types that were loaded. Without, Linux knows no function's, and verifies all as parts of the
    /// first.
    fn with_types(&self, actor: ActorId, mut program: Program, btf: Option<Fd>) -> Program {
        let id = btf.and_then(|fd| self.object(actor, fd).ok());
        program.btf = match id {
            Some(Kept::Btf(id)) => self.btfs.get(id).map(|object| object.btf.clone()),
            _ => None,
        };
        if program.btf.is_none() {
            for function in &mut program.functions {
                (function.btf, function.global) = (None, false);
            }
        }
        program
    }

    fn load_map(
        &mut self,
        actor: ActorId,
        map: &ObjectMap,
        name: &str,
        path: Option<String>,
        load: &LoadOptions,
        btf: Option<Fd>,
    ) -> Result<Fd, Refusal> {
        if let Some(given) = load.maps.get(name) {
            self.check_reuse(actor, *given, &map.spec, "the map given for it")?;
            return Ok(self.pass(actor, *given, actor)?);
        }
        if let Some(path) = &path
            && let Ok(fd) = self.pinned(actor, path, 0)
        {
            let fits = self.check_reuse(actor, fd, &map.spec, path);
            if fits.is_err() {
                self.close(actor, fd)?;
            }
            return fits.map(|()| fd);
        }
        let of_maps = Map::kind_of(map.spec.ty).is_some_and(|kind| kind.holds == Holds::Maps);
        let template = match &map.spec.inner {
            Some(inner) if of_maps => {
                let spec = MapSpec { name: cut(&inner.name), ..(**inner).clone() };
                Some(self.map_create(actor, &NewMap { spec, ..NewMap::default() })?)
            }
            _ => None,
        };
        let spec = MapSpec { name: cut(name), slots: Vec::new(), ..map.spec.clone() };
        // Linux knows types only of maps of plain values.
        let typed = Map::kind_of(spec.ty).is_some_and(|kind| kind.holds == Holds::Values && kind.queue.is_none());
        let types = btf.filter(|_| typed && (spec.key_type.is_some() || spec.value_type.is_some()));
        let ifindex = if spec.ty == MapType::PERF_EVENT_ARRAY { 0 } else { load.ifindex };
        let types = types.map(|btf| (btf, spec.key_type, spec.value_type));
        let mut new = NewMap { types, inner: template, ifindex, spec };
        let mut made = self.map_create(actor, &new);
        if made.is_err() && new.types.is_some() {
            // libbpf tries again without.
            new.types = None;
            made = self.map_create(actor, &new);
        }
        if let Some(template) = template {
            self.close(actor, template)?;
        }
        let fd = made?;
        if map.is_global_data() && map.spec.flags & BPF_F_RDONLY_PROG != 0 {
            self.map_freeze(actor, fd)?;
        }
        if let Some(path) = path {
            self.make_way(&path);
            self.pin(actor, fd, &path)
                .map_err(|errno| Refusal::new(errno, format!("the map cannot be pinned at {path}")))?;
        }
        Ok(fd)
    }

    /// Directories up to a pin, as far as they can be made.
    fn make_way(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').skip(1) {
            // What is there, or cannot be made, is told by the pin.
            let _ = self.mkdir(&path[..at], 0o700);
        }
    }

    /// Whether a map can stand for one of an object (libbpf's `map_is_reuse_compat`).
    fn check_reuse(&self, actor: ActorId, fd: Fd, spec: &MapSpec, what: &str) -> Result<(), Refusal> {
        let (id, _) = self.map_fd(actor, fd)?;
        let there = &self.maps.get(id).ok_or(Errno::EBADF)?.spec;
        let shape = |spec: &MapSpec| {
            format!(
                "{} key {} value {} entries {} flags {:#x}",
                spec.ty, spec.key_size, spec.value_size, spec.max_entries, spec.flags
            )
        };
        if shape(there) == shape(spec) && there.extra == spec.extra {
            return Ok(());
        }
        let mut refusal = Refusal::new(Errno::EINVAL, format!("{what} is of another shape"));
        *refusal.diagnostic =
            refusal.diagnostic.limit(shape(spec), shape(there)).help("unlink the pin, or rename the map");
        Err(refusal)
    }

    fn fill_with_maps(&mut self, actor: ActorId, object: &Object, loaded: &Loaded) -> Result<(), Refusal> {
        for (at, map) in object.maps().iter().enumerate() {
            for (slot, init) in &map.spec.slots {
                let SlotInit::Map(inner) = init else { continue };
                let inner = loaded.maps.get(inner.0 as usize).ok_or(Errno::EBADF)?.1;
                self.fill(actor, &loaded.maps[at], *slot, inner)?;
            }
        }
        Ok(())
    }

    fn fill_with_programs(&mut self, actor: ActorId, object: &Object, loaded: &Loaded) -> Result<(), Refusal> {
        for (at, map) in object.maps().iter().enumerate() {
            for (slot, init) in &map.spec.slots {
                let SlotInit::Program(name) = init else { continue };
                let program = loaded.programs.iter().find(|(loaded, _)| loaded == name).ok_or(Errno::EBADF)?.1;
                self.fill(actor, &loaded.maps[at], *slot, program)?;
            }
        }
        Ok(())
    }

    fn fill(&mut self, actor: ActorId, (name, map): &(String, Fd), slot: u32, what: Fd) -> Result<(), Refusal> {
        let order = self.config.byte_order;
        self.map_update(actor, *map, &order.bytes(slot), &order.bytes(what.0 as u32), BPF_ANY).map_err(|errno| {
            Refusal::new(errno, format!("slot {slot} does not take what the object puts there")).at(name)
        })
    }
}

/// Where a map is pinned that says so: libbpf's maps by name in one directory, iproute2's in that of all objects or in that
/// of their own.
fn pin_path(map: &ObjectMap, name: &str, legacy: bool, load: &LoadOptions, bytes: &[u8]) -> Option<String> {
    let PinRoots { by_name, iproute2 } = &load.roots;
    match map.spec.pinning {
        Pinning::None | Pinning::Other(_) => None,
        Pinning::ByName if legacy => Some(format!("{iproute2}/globals/{name}")),
        Pinning::ByName => Some(format!("{by_name}/{name}")),
        Pinning::ByObject => Some(format!("{iproute2}/{}/{name}", hex(&sha1(bytes)))),
    }
}
