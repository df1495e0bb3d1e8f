//! The system, its actors and their descriptors.

use std::collections::BTreeMap;
use std::fmt;

use super::links::{Attached, Seat};
use super::objects::{BtfObject, LinkObject, MapObject, Object, ProgObject, Table};
use super::offload::OffloadDevice;
use crate::bpffs::Bpffs;
use crate::diag::{At, Diagnostic};
use crate::errno::Errno;
use crate::insn::Endian;
use crate::maps::{BPF_F_RDONLY, BPF_F_WRONLY};

/// A process that calls bpf(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub u32);

/// A descriptor of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fd(pub i32);

/// What may be done through a descriptor of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Everything.
    #[default]
    ReadWrite,
    /// No changes.
    ReadOnly,
    /// No look-ups.
    WriteOnly,
}

impl Mode {
    /// From the flags of a command (`bpf_get_file_flag`).
    ///
    /// # Errors
    /// `EINVAL` for both at once.
    pub(super) fn of(flags: u32) -> Result<Mode, Errno> {
        match flags & (BPF_F_RDONLY | BPF_F_WRONLY) {
            0 => Ok(Mode::ReadWrite),
            BPF_F_RDONLY => Ok(Mode::ReadOnly),
            BPF_F_WRONLY => Ok(Mode::WriteOnly),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether reading and writing, as asked, are allowed.
    pub(super) fn permits(self, read: bool, write: bool) -> Result<(), Errno> {
        match self {
            Mode::ReadOnly if write => Err(Errno::EPERM),
            Mode::WriteOnly if read => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }
}

/// What a machine is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Processors with values of their own in per-CPU maps; at least 1.
    pub cpus: u32,
    /// Network devices, by `ifindex`.
    pub devices: Vec<u32>,
    /// Most bytes that all maps together may take.
    pub memory: u64,
    /// Byte order of words in memory.
    pub byte_order: Endian,
}

impl Default for Config {
    fn default() -> Self {
        Config { cpus: 1, devices: vec![1], memory: 1 << 30, byte_order: Endian::Little }
    }
}

/// A command that was refused: Linux's number, and the reason in full where there is more to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The number; `None` where the refusal is this project's and not Linux's.
    pub errno: Option<Errno>,
    /// The reason.
    pub diagnostic: Box<Diagnostic>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        let diagnostic = Diagnostic::new("bpf-refused", format!("{errno}: the command was refused"));
        Refusal { errno: Some(errno), diagnostic: Box::new(diagnostic) }
    }
}

impl Refusal {
    pub(super) fn new(errno: Errno, reason: impl fmt::Display) -> Refusal {
        let diagnostic = Diagnostic::new("bpf-refused", format!("{errno}: {reason}"));
        Refusal { errno: Some(errno), diagnostic: Box::new(diagnostic) }
    }

    pub(super) fn at(mut self, name: &str) -> Refusal {
        if self.diagnostic.at.is_none() {
            self.diagnostic.at = Some(At::Named(name.to_owned()));
        }
        self
    }
}

impl From<Refusal> for Diagnostic {
    fn from(refusal: Refusal) -> Diagnostic {
        *refusal.diagnostic
    }
}

/// A descriptor's end in the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub object: Object,
    pub mode: Mode,
}

/// The lowest descriptor: those below are an actor's input and output.
const FIRST_FD: i32 = 3;
/// Descriptors that an actor may have (`RLIMIT_NOFILE`, as usually set).
const MOST_FDS: usize = 1024;

/// What one machine's kernel keeps of BPF.
#[derive(Debug, Clone)]
pub struct System {
    pub(super) config: Config,
    /// Nanoseconds since boot.
    pub(super) now_ns: u64,
    pub(super) actors: BTreeMap<ActorId, BTreeMap<i32, Handle>>,
    pub(super) next_actor: u32,
    pub(super) maps: Table<MapObject>,
    pub(super) progs: Table<ProgObject>,
    pub(super) links: Table<LinkObject>,
    pub(super) btfs: Table<BtfObject>,
    pub(super) hooks: BTreeMap<Seat, Vec<Attached>>,
    pub(super) cards: BTreeMap<u32, OffloadDevice>,
    /// The number that was given last to a card.
    pub(super) last_card: u32,
    /// What the last attempt to attach was refused with.
    pub(super) extack: Option<String>,
    pub(super) fs: Bpffs<Object>,
}

impl System {
    /// A machine without objects, mounts and actors.
    pub fn new(config: Config) -> System {
        System {
            config: Config { cpus: config.cpus.max(1), ..config },
            now_ns: 0,
            actors: BTreeMap::new(),
            next_actor: 1,
            maps: Table::default(),
            progs: Table::default(),
            links: Table::default(),
            btfs: Table::default(),
            hooks: BTreeMap::new(),
            cards: BTreeMap::new(),
            last_card: 0,
            extack: None,
            fs: Bpffs::default(),
        }
    }

    /// What the machine is like.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets the time, in nanoseconds since boot, that new programs are said to be loaded at.
    pub fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// A new process.
    pub fn actor(&mut self) -> ActorId {
        let id = ActorId(self.next_actor);
        self.next_actor += 1;
        self.actors.insert(id, BTreeMap::new());
        id
    }

    /// The end of a process: all its descriptors are closed.
    pub fn exit(&mut self, actor: ActorId) {
        for (_, handle) in self.actors.remove(&actor).unwrap_or_default() {
            self.put_user(handle.object);
        }
    }

    /// `close`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, actor: ActorId, fd: Fd) -> Result<(), Errno> {
        let handles = self.actors.get_mut(&actor).ok_or(Errno::EBADF)?;
        let handle = handles.remove(&fd.0).ok_or(Errno::EBADF)?;
        self.put_user(handle.object);
        Ok(())
    }

    /// Hands a descriptor to an actor, which gets one of its own for the same object (`SCM_RIGHTS`); to itself, `dup`.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub fn pass(&mut self, from: ActorId, fd: Fd, to: ActorId) -> Result<Fd, Errno> {
        let Handle { object, mode } = self.handle(from, fd)?;
        self.open(to, object, mode)
    }

    /// The object behind a descriptor.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn object(&self, actor: ActorId, fd: Fd) -> Result<Object, Errno> {
        Ok(self.handle(actor, fd)?.object)
    }

    pub(super) fn handle(&self, actor: ActorId, fd: Fd) -> Result<Handle, Errno> {
        self.actors.get(&actor).and_then(|handles| handles.get(&fd.0)).copied().ok_or(Errno::EBADF)
    }

    /// A new descriptor, which counts as one reference of user space.
    pub(super) fn open(&mut self, actor: ActorId, object: Object, mode: Mode) -> Result<Fd, Errno> {
        let handles = self.actors.get_mut(&actor).ok_or(Errno::EBADF)?;
        if handles.len() >= MOST_FDS {
            return Err(Errno::EMFILE);
        }
        let fd = (FIRST_FD..).find(|fd| !handles.contains_key(fd)).expect("there are fewer descriptors than numbers");
        handles.insert(fd, Handle { object, mode });
        self.get_user(object);
        Ok(Fd(fd))
    }

    /// A descriptor for an object that was just made and has no reference yet; without room for one the object goes.
    pub(super) fn open_new(&mut self, actor: ActorId, object: Object, mode: Mode) -> Result<Fd, Errno> {
        let opened = self.open(actor, object, mode);
        if opened.is_err() {
            self.get_user(object);
            self.put_user(object);
        }
        opened
    }

    /// The map behind a descriptor, and what may be done to it.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for another object.
    pub(super) fn map_fd(&self, actor: ActorId, fd: Fd) -> Result<(u32, Mode), Errno> {
        match self.handle(actor, fd)? {
            Handle { object: Object::Map(id), mode } => Ok((id, mode)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The program behind a descriptor.
    ///
    /// # Errors
    /// As [`System::map_fd`].
    pub(super) fn prog_fd(&self, actor: ActorId, fd: Fd) -> Result<u32, Errno> {
        match self.handle(actor, fd)?.object {
            Object::Prog(id) => Ok(id),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The link behind a descriptor.
    ///
    /// # Errors
    /// As [`System::map_fd`].
    pub(super) fn link_fd(&self, actor: ActorId, fd: Fd) -> Result<u32, Errno> {
        match self.handle(actor, fd)?.object {
            Object::Link(id) => Ok(id),
            _ => Err(Errno::EINVAL),
        }
    }
}
