//! Random commands on objects, pins and links, here and on the running kernel: the same error numbers, and the same objects
//! live on. Numbers are compared up to renaming.
//!
//! `SYSCALL_SEQUENCES` says how many sequences, `SYSCALL_SEED` which is the first.

use crate::support;

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bpf::errno::Errno;
use bpf::insn::{Insn, MapIndex, Reg, Wide};
use bpf::program::{Attach, MapSpec, MapType, ProgType, Program};
use bpf::syscall::{ActorId, BPF_F_REPLACE, Class, Config, Fd, Hook, NewMap, NewProgram, Object, System};
use bpf::verifier::Options;
use support::asm::{R0, exit, mov};
use support::kernel::{kernel, possible_cpus};
use support::kernel_objects as theirs;
use support::rng::Rng;

/// Where file systems are mounted; the last shows the first again.
const MOUNTS: [&str; 3] = ["/tmp/t/one", "/tmp/t/two", "/tmp/t/bind"];
/// Files that the kernel puts into a new file system itself.
const THEIR_OWN: [&str; 2] = ["maps.debug", "progs.debug"];

/// A descriptor here and there.
struct Both {
    actor: ActorId,
    ours: Fd,
    theirs: OwnedFd,
    object: Object,
}

struct World {
    rng: Rng,
    system: System,
    actors: [ActorId; 2],
    open: Vec<Both>,
    /// Number there of every object that ever was here.
    numbers: BTreeMap<Object, u32>,
    log: Vec<String>,
}

type Answer<T> = Result<T, i32>;

fn number(errno: Errno) -> i32 {
    i32::from(errno.0)
}

fn io<T>(answer: std::io::Result<T>) -> Answer<T> {
    answer.map_err(|error| error.raw_os_error().expect("the system says why"))
}

fn class_of(object: Object) -> usize {
    match object {
        Object::Prog(_) => theirs::PROG,
        Object::Map(_) => theirs::MAP,
        Object::Link(_) => theirs::LINK,
        Object::Btf(_) => unreachable!("no types are loaded here"),
    }
}

fn id_in(object: Object) -> u32 {
    match object {
        Object::Prog(id) | Object::Map(id) | Object::Link(id) | Object::Btf(id) => id,
    }
}

/// The kinds of maps that are made: with values, and with what counts as a reference.
fn spec(rng: &mut Rng) -> MapSpec {
    let ty = rng.pick(&[
        MapType::HASH,
        MapType::ARRAY,
        MapType::PROG_ARRAY,
        MapType::PROG_ARRAY,
        MapType::ARRAY_OF_MAPS,
        MapType::ARRAY_OF_MAPS,
        MapType::HASH_OF_MAPS,
        MapType::DEVMAP,
        MapType::DEVMAP_HASH,
    ]);
    let value_size = match ty {
        MapType::HASH | MapType::ARRAY | MapType::DEVMAP | MapType::DEVMAP_HASH => 8,
        _ => 4,
    };
    let flags = rng.pick(&[0, 0, 0, 0, bpf::maps::BPF_F_RDONLY, bpf::maps::BPF_F_WRONLY]);
    let name = rng.pick(&["", "m", "a_map.2", "fifteen_letters", "no-name"]).to_owned();
    MapSpec { name, ty, key_size: 4, value_size, max_entries: 2, flags, ..MapSpec::default() }
}

impl World {
    fn new(seed: u64) -> World {
        let mut system = System::new(Config { cpus: possible_cpus() as u32, ..Config::default() });
        let actors = [system.actor(), system.actor()];
        for mount in &MOUNTS[..2] {
            theirs::mount(None, mount, 0o1777).unwrap();
            system.mount(mount, 0o1777).unwrap();
        }
        theirs::mount(Some(MOUNTS[0]), MOUNTS[2], 0).unwrap();
        system.bind(MOUNTS[0], MOUNTS[2]).unwrap();
        World { rng: Rng::new(seed), system, actors, open: Vec::new(), numbers: BTreeMap::new(), log: Vec::new() }
    }

    fn path(&mut self) -> String {
        let mut path = self.rng.pick(&MOUNTS).to_owned();
        for _ in 0..self.rng.pick(&[0, 1, 1, 1, 1, 2, 2, 3]) {
            path += "/";
            path += self.rng.pick(&["a", "a", "b", "b", "c", "d", "dir", "dir", "x.y", ".", "..", ""]);
        }
        if self.rng.once_in(12) {
            path += "/";
        }
        path
    }

    fn target(&mut self) -> String {
        match self.rng.below(3) {
            0 => self.path(),
            1 => self.rng.pick(&["a", "../a", "dir/a", ".", "", "b/", "dir"]).to_owned(),
            _ => self.rng.pick(&["a", "b", "dir"]).to_owned(),
        }
    }

    fn any(&mut self) -> Option<usize> {
        if self.open.is_empty() { None } else { Some(self.rng.below(self.open.len() as u64) as usize) }
    }

    /// A descriptor, mostly of the class.
    fn of(&mut self, class: usize) -> Option<usize> {
        let fits: Vec<usize> = (0..self.open.len()).filter(|at| class_of(self.open[*at].object) == class).collect();
        if fits.is_empty() || self.rng.once_in(10) { self.any() } else { Some(self.rng.pick(&fits)) }
    }

    /// Both answers must be the same; descriptors that were opened are kept.
    fn opened(&mut self, actor: ActorId, ours: Answer<Fd>, theirs: Answer<OwnedFd>) {
        assert_eq!(ours.as_ref().map(drop), theirs.as_ref().map(drop), "{}", self.story());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            let object = self.system.object(actor, ours).unwrap();
            let id = theirs::id_of(&theirs);
            let known = *self.numbers.entry(object).or_insert(id);
            assert_eq!(known, id, "another object\n{}", self.story());
            self.open.push(Both { actor, ours, theirs, object });
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, ours: T, theirs: T) {
        assert_eq!(ours, theirs, "{}", self.story());
    }

    fn story(&self) -> String {
        self.log.join("\n")
    }

    fn say(&mut self, what: String) {
        self.log.push(what);
    }

    fn one(&mut self) {
        match self.rng.below(34) {
            0..=2 => self.create_map(),
            3..=5 => self.load_program(),
            6 | 7 => self.create_link(),
            8 | 9 => self.change_link(),
            10..=13 => self.close(),
            14 | 15 => self.pass(),
            16..=18 => self.pin(),
            19 | 20 => self.get(),
            21..=24 => self.update(),
            25 => self.delete(),
            26 => self.batch(),
            27 => self.by_id(),
            28 => self.freeze(),
            29 => self.exit(),
            _ => self.file(),
        }
        self.survivors();
    }

    fn create_map(&mut self) {
        let spec = spec(&mut self.rng);
        let inner = self.of(theirs::MAP);
        self.say(format!("create {} flags {:#x} like {inner:?}", spec.ty, spec.flags));
        let actor = self.rng.pick(&self.actors);
        let inner = inner.map(|at| &self.open[at]);
        let theirs = theirs::map_create(&spec, inner.map(|both| &both.theirs));
        // The template is the creator's to name, whoever has it open here.
        let inner = inner
            .map(|both| (both.actor, both.ours))
            .map(|(owner, fd)| if owner == actor { fd } else { self.system.pass(owner, fd, actor).unwrap() });
        let ours = self.system.map_create(actor, &NewMap { spec, inner, ..NewMap::default() });
        let ours = ours.map_err(|refusal| number(refusal.errno.expect("the kernel's refusal")));
        self.opened(actor, ours, theirs);
        self.forget_passed(actor, inner);
    }

    /// Closes what was only passed for one command.
    fn forget_passed(&mut self, actor: ActorId, fd: Option<Fd>) {
        if let Some(fd) = fd
            && !self.open.iter().any(|both| both.actor == actor && both.ours == fd)
        {
            self.system.close(actor, fd).unwrap();
        }
    }

    /// A descriptor in an actor's own table.
    fn hand(&mut self, at: usize, actor: ActorId) -> Fd {
        let (owner, fd) = (self.open[at].actor, self.open[at].ours);
        if owner == actor { fd } else { self.system.pass(owner, fd, actor).unwrap() }
    }

    fn load_program(&mut self) {
        let map = if self.rng.once_in(2) { self.of(theirs::MAP) } else { None };
        let (ty, attach, attach_type) = self.rng.pick(&[
            (ProgType::Xdp, Attach::Hook, 0),
            (ProgType::Xdp, Attach::Hook, 0),
            (ProgType::Xdp, Attach::XdpDevmap, 33),
            (ProgType::SchedCls, Attach::Hook, 0),
        ]);
        self.say(format!("load {ty} {attach:?} with {map:?}"));
        let theirs = theirs::prog_load(ty.number(), attach_type, map.map(|at| &self.open[at].theirs));
        let actor = self.rng.pick(&self.actors);
        let mut insns = Vec::new();
        if map.is_some() {
            insns.push(Insn::LoadImm64 { dst: Reg::R1, value: Wide::Map(MapIndex(0)) });
            insns.push(Insn::Pad);
        }
        insns.extend([mov(R0, 0), exit()]);
        let maps: Vec<Fd> = map.into_iter().map(|at| self.hand(at, actor)).collect();
        let program = Program { attach, ..Program::from_insns("p", ty, insns, Vec::new()) };
        let new = NewProgram {
            program,
            name: "p".into(),
            maps: maps.clone(),
            btf: None,
            options: Options::default(),
            ifindex: 0,
        };
        let ours = self.system.prog_load(actor, new).map_err(|refusal| number(refusal.errno.unwrap()));
        self.opened(actor, ours, theirs);
        maps.into_iter().for_each(|fd| self.forget_passed(actor, Some(fd)));
    }

    fn create_link(&mut self) {
        let Some(at) = self.of(theirs::PROG) else { return };
        let ifindex = self.rng.pick(&[1, 1, 1, 77]);
        let (hook, attach_type) = self.rng.pick(&[
            (Hook::XdpGeneric, 37),
            (Hook::XdpGeneric, 37),
            (Hook::TcIngress, 46),
            (Hook::TcEgress, 47),
        ]);
        let flags = if hook.is_xdp() { self.rng.pick(&[0, 2, 2, 1, 6]) } else { 0 };
        self.say(format!("link {at} to {hook:?} of {ifindex} flags {flags:#x}"));
        let theirs = theirs::link_create(&self.open[at].theirs, ifindex, attach_type, flags);
        let (actor, fd) = (self.open[at].actor, self.open[at].ours);
        let ours = self.system.link_create(actor, fd, ifindex, hook, flags).map_err(number);
        self.opened(actor, ours, theirs);
    }

    fn change_link(&mut self) {
        let (Some(link), Some(new)) = (self.of(theirs::LINK), self.of(theirs::PROG)) else { return };
        if self.rng.once_in(3) {
            self.say(format!("detach {link}"));
            let both = &self.open[link];
            let ours = self.system.link_detach(both.actor, both.ours).map_err(number);
            return self.same(ours, theirs::link_detach(&self.open[link].theirs));
        }
        let old = if self.rng.once_in(2) { self.of(theirs::PROG) } else { None };
        let flags = match old {
            Some(_) if !self.rng.once_in(8) => BPF_F_REPLACE,
            _ => self.rng.pick(&[0, 0, 0, 1]),
        };
        self.say(format!("update link {link} to {new} flags {flags} old {old:?}"));
        // Programs of tcx links are exchanged for those of the same type only: the kernel does not look.
        let tcx = self.links_hook(link).is_some_and(|hook| !hook.is_xdp());
        if tcx && self.type_of(new) != Some(ProgType::SchedCls) {
            return;
        }
        let theirs = theirs::link_update(
            &self.open[link].theirs,
            &self.open[new].theirs,
            flags,
            old.map(|old| &self.open[old].theirs),
        );
        let (actor, fd) = (self.open[link].actor, self.open[link].ours);
        let new_fd = self.hand(new, actor);
        let old_fd = old.map(|old| self.hand(old, actor));
        let ours = self.system.link_update(actor, fd, new_fd, flags, old_fd).map_err(number);
        self.same(ours, theirs);
        self.forget_passed(actor, Some(new_fd));
        self.forget_passed(actor, old_fd);
    }

    fn links_hook(&self, at: usize) -> Option<Hook> {
        match self.open[at].object {
            Object::Link(id) => self.system.link_info(id).map(|info| info.hook),
            _ => None,
        }
    }

    fn type_of(&self, at: usize) -> Option<ProgType> {
        match self.open[at].object {
            Object::Prog(id) => self.system.prog_info(id).map(|info| info.ty),
            _ => None,
        }
    }

    fn close(&mut self) {
        let Some(at) = self.any() else { return };
        let both = self.open.swap_remove(at);
        self.say(format!("close {at}, {:?}", both.object));
        self.system.close(both.actor, both.ours).unwrap();
    }

    fn pass(&mut self) {
        let Some(at) = self.any() else { return };
        self.say(format!("pass {at}"));
        let to = self.rng.pick(&self.actors);
        let both = &self.open[at];
        let ours = self.system.pass(both.actor, both.ours, to).map_err(number);
        let theirs = io(both.theirs.try_clone());
        self.opened(to, ours, theirs);
    }

    fn exit(&mut self) {
        if !self.rng.once_in(3) {
            return;
        }
        let which = self.rng.below(2) as usize;
        let actor = self.actors[which];
        self.say(format!("exit {actor:?}"));
        self.open.retain(|both| both.actor != actor);
        self.system.exit(actor);
        self.actors[which] = self.system.actor();
    }

    fn pin(&mut self) {
        let (Some(at), path) = (self.any(), self.path()) else { return };
        self.say(format!("pin {at} {path}"));
        let both = &self.open[at];
        let ours = self.system.pin(both.actor, both.ours, &path).map_err(number);
        let theirs = theirs::pin(&self.open[at].theirs, &path);
        // Outside, a file system that can be written answers as ours.
        self.same(ours, theirs.map_err(|errno| if errno == libc::EROFS { libc::EPERM } else { errno }));
    }

    fn get(&mut self) {
        let path = self.path();
        let flags = self.rng.pick(&[0, 0, 0, bpf::maps::BPF_F_RDONLY, bpf::maps::BPF_F_WRONLY, 24, 1]);
        self.say(format!("get {path} flags {flags}"));
        let actor = self.rng.pick(&self.actors);
        let ours = self.system.pinned(actor, &path, flags).map_err(number);
        let theirs = theirs::get(&path, flags);
        // As of pins: a directory outside.
        let theirs = theirs.map_err(|errno| if errno == libc::EROFS { libc::EACCES } else { errno });
        self.opened(actor, ours, theirs);
    }

    fn update(&mut self) {
        let (Some(map), Some(put)) = (self.of(theirs::MAP), self.any()) else { return };
        let Object::Map(id) = self.open[map].object else { return };
        let info = self.system.map_info(id).unwrap();
        let key = (self.rng.below(3) as u32).to_le_bytes();
        let flags = self.rng.pick(&[0, 0, 0, 1, 2]);
        self.say(format!("update {map} ({}) key {key:?} with {put} flags {flags}", info.ty));
        let (ours, theirs, passed) = self.values(map, put, info.ty);
        let done = theirs::update(&self.open[map].theirs, &key, &theirs, flags);
        let (actor, fd) = (self.open[map].actor, self.open[map].ours);
        let ours = self.system.map_update(actor, fd, &key, &ours, flags).map_err(number);
        self.same(ours, done);
        self.forget_passed(actor, passed);
        let found = self.system.map_lookup(actor, fd, &key, 0).map_err(number);
        let seen = theirs::lookup(&self.open[map].theirs, &key, info.value_size as usize);
        self.same(found.as_ref().map(drop), seen.as_ref().map(drop));
        if let (Ok(found), Ok(seen)) = (found, seen) {
            let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let object = |id: u32| match info.ty {
                MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => Object::Map(id),
                _ => Object::Prog(id),
            };
            let at = if found.len() == 8 { 4 } else { 0 };
            match word(&found, at) {
                id if id != 0 && info.ty != MapType::HASH && info.ty != MapType::ARRAY => {
                    self.same(self.numbers[&object(id)], word(&seen, at));
                }
                _ => self.same(found, seen),
            }
        }
    }

    /// A value for both sides that names a descriptor where the map holds objects, and what was passed for it.
    fn values(&mut self, map: usize, put: usize, ty: MapType) -> (Vec<u8>, Vec<u8>, Option<Fd>) {
        use std::os::fd::AsRawFd;
        if matches!(ty, MapType::HASH | MapType::ARRAY) {
            let value = self.rng.word().to_le_bytes().to_vec();
            return (value.clone(), value, None);
        }
        let fd = self.hand(put, self.open[map].actor);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        if matches!(ty, MapType::DEVMAP | MapType::DEVMAP_HASH) {
            let device = self.rng.pick(&[1u32, 1, 1, 0, 9]).to_le_bytes();
            ours.extend(device);
            theirs.extend(device);
            if self.rng.once_in(4) {
                ours.extend([0xff; 4]);
                theirs.extend([0xff; 4]);
                return (ours, theirs, Some(fd));
            }
        }
        ours.extend(fd.0.to_le_bytes());
        theirs.extend(self.open[put].theirs.as_raw_fd().to_le_bytes());
        (ours, theirs, Some(fd))
    }

    fn delete(&mut self) {
        let Some(map) = self.of(theirs::MAP) else { return };
        let Object::Map(_) = self.open[map].object else { return };
        let key = (self.rng.below(3) as u32).to_le_bytes();
        self.say(format!("delete {map} key {key:?}"));
        let (actor, fd) = (self.open[map].actor, self.open[map].ours);
        let ours = self.system.map_delete(actor, fd, &key).map_err(number);
        self.same(ours, theirs::delete(&self.open[map].theirs, &key));
    }

    fn batch(&mut self) {
        let (Some(map), Some(put)) = (self.of(theirs::MAP), self.any()) else { return };
        let Object::Map(id) = self.open[map].object else { return };
        let ty = self.system.map_info(id).unwrap().ty;
        let keys = [self.rng.below(3) as u32, self.rng.below(3) as u32].map(u32::to_le_bytes);
        let (actor, fd) = (self.open[map].actor, self.open[map].ours);
        if self.rng.once_in(3) {
            self.say(format!("delete batch of {map} ({ty})"));
            let theirs = theirs::batch(&self.open[map].theirs, 2, &keys.concat(), None);
            let ours = self.system.map_delete_batch(actor, fd, &keys.map(Vec::from), 0);
            return self.same_batch(ours, theirs);
        }
        self.say(format!("update batch of {map} ({ty}) with {put}"));
        let (ours, theirs, passed) = self.values(map, put, ty);
        let theirs = theirs::batch(&self.open[map].theirs, 2, &keys.concat(), Some(&[theirs.clone(), theirs].concat()));
        let entries = keys.map(|key| (key.to_vec(), ours.clone()));
        let ours = self.system.map_update_batch(actor, fd, &entries, 0);
        self.same_batch(ours, theirs);
        self.forget_passed(actor, passed);
    }

    fn same_batch(&self, ours: Result<(usize, Result<(), Errno>), Errno>, theirs: (usize, Answer<()>)) {
        match ours {
            Err(errno) => self.same(Err(number(errno)), theirs.1),
            // A command that was refused at once leaves the count alone.
            Ok((0, Err(errno))) => self.same(Err(number(errno)), theirs.1),
            Ok((done, end)) => self.same((done, end.map_err(number)), theirs),
        }
    }

    fn by_id(&mut self) {
        let known: Vec<Object> = self.numbers.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let object = self.rng.pick(&known);
        // A map without descriptors and pins would lose its programs again with the descriptor; so it does here.
        let class = match object {
            Object::Map(_) => Class::Map,
            Object::Prog(_) => Class::Prog,
            _ => Class::Link,
        };
        if matches!(object, Object::Map(id) if self.system.map_info(id).is_some_and(|info| info.ty == MapType::PROG_ARRAY))
        {
            // The kernel empties an array without users a little later. One that is opened and closed again before that is
            // put on the list twice, and stays for ever.
            return;
        }
        let flags = self.rng.pick(&[0, 0, 8, 16, 24, 1]);
        self.say(format!("open {object:?} by number, flags {flags}"));
        let actor = self.rng.pick(&self.actors);
        let theirs = theirs::fd_by_id(class_of(object), self.numbers[&object], flags);
        let ours = self.system.fd_by_id(actor, class, id_in(object), flags).map_err(number);
        self.opened(actor, ours, theirs);
    }

    fn freeze(&mut self) {
        let Some(map) = self.of(theirs::MAP) else { return };
        // Nobody could empty it at the end, should it hold itself.
        if self.is_map_of_devices(self.open[map].object) {
            return;
        }
        self.say(format!("freeze {map}"));
        let (actor, fd) = (self.open[map].actor, self.open[map].ours);
        let ours = self.system.map_freeze(actor, fd).map_err(number);
        self.same(ours, theirs::freeze(&self.open[map].theirs));
    }

    /// What is alive here must be what is alive there, once the kernel has let go of what it lets go of later.
    fn survivors(&mut self) {
        let alive = |object: &Object| match object {
            Object::Map(id) => self.system.map_info(*id).is_some(),
            Object::Prog(id) => self.system.prog_info(*id).is_some(),
            Object::Link(id) => self.system.link_info(*id).is_some(),
            Object::Btf(_) => false,
        };
        let gone: Vec<Object> = self.numbers.keys().filter(|object| !alive(object)).copied().collect();
        let started = Instant::now();
        for object in gone {
            while theirs::exists(class_of(object), self.numbers[&object]) {
                assert!(started.elapsed() < Duration::from_secs(5), "{object:?} lives on there\n{}", self.story());
                std::thread::sleep(Duration::from_micros(200));
            }
            self.numbers.remove(&object);
        }
        for (object, id) in &self.numbers {
            assert!(theirs::exists(class_of(*object), *id), "{object:?} is gone there\n{}", self.story());
        }
    }

    fn is_map_of_devices(&self, object: Object) -> bool {
        let info = if let Object::Map(id) = object { self.system.map_info(id) } else { None };
        info.is_some_and(|info| matches!(info.ty, MapType::DEVMAP | MapType::DEVMAP_HASH))
    }

    fn finish(mut self) {
        for path in self.system.fs().pins().into_iter().map(|(path, _)| path) {
            let ours = self.system.pinned(self.actors[0], &path, 0).map_err(number);
            let theirs = theirs::get(&path, 0);
            self.say(format!("get {path} at the end"));
            let actor = self.actors[0];
            self.opened(actor, ours, theirs);
        }
        // A map of devices that holds a program that uses the map holds itself, there as here: for ever.
        let maps: Vec<Object> =
            self.numbers.keys().filter(|object| matches!(object, Object::Map(_))).copied().collect();
        for map in maps {
            if self.is_map_of_devices(map) {
                let fd = self.system.fd_by_id(self.actors[0], Class::Map, id_in(map), 0).unwrap();
                let theirs = theirs::fd_by_id(theirs::MAP, self.numbers[&map], 0).unwrap();
                for key in [0u32, 1, 2].map(u32::to_le_bytes) {
                    let ours = self.system.map_delete(self.actors[0], fd, &key).map_err(number);
                    self.say(format!("delete {key:?} of {map:?} at the end"));
                    self.same(ours, theirs::delete(&theirs, &key));
                }
            }
        }
        self.open.clear();
        self.actors.into_iter().for_each(|actor| self.system.exit(actor));
        self.survivors();
        for mount in MOUNTS.iter().rev() {
            self.say(format!("umount {mount}"));
            let ours = self.system.unmount(mount).map_err(number);
            self.same(ours, theirs::unmount(mount));
        }
        self.survivors();
        assert!(self.numbers.is_empty(), "nothing holds {:?}\n{}", self.numbers, self.story());
    }
}

#[test]
fn objects_live_and_die_as_the_kernels() {
    if kernel("objects_live_and_die_as_the_kernels").is_none() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = (number("SYSCALL_SEED").unwrap_or(0), number("SYSCALL_SEQUENCES").unwrap_or(20));
    if let Err(errno) = theirs::enter_name_spaces() {
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "no name spaces: errno {errno}");
        eprintln!("SKIPPED objects_live_and_die_as_the_kernels: no name spaces, errno {errno}");
        return;
    }
    MOUNTS.iter().for_each(|mount| fs::create_dir_all(mount).unwrap());
    theirs::seal();
    for seed in first..first + count {
        let mut world = World::new(seed);
        world.say(format!("SYSCALL_SEED={seed}"));
        for _ in 0..120 {
            world.one();
        }
        world.finish();
    }
}
