//! What can be done to the tree.

use super::tree::{Bpffs, FileKind, Ino, Inode, Mount, Node, PLAIN, Place, ROOT, Stat, directory};
use super::walk::{Last, Parent, check_path};
use crate::errno::Errno;

/// What a rename does to what is there already (`RENAME_…` of renameat2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exchange {
    /// It is replaced.
    #[default]
    Replace,
    /// The rename is refused.
    Keep,
    /// The two change places.
    Swap,
}

/// Bits that a directory may be made with.
const MKDIR: u16 = 0o1777;
/// Set-group-id, which directories hand on to those inside.
const SETGID: u16 = 0o2000;

impl<P: Copy + Eq> Bpffs<P> {
    /// Mounts a new, empty file system on a directory, with these permission bits. Directories that lead there and are
    /// outside every bpf file system are made.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR` inside a bpf file system; `EPERM` for a name with a dot there.
    pub fn mount(&mut self, path: &str, mode: u16) -> Result<(), Errno> {
        let on = self.mount_point(path)?;
        let root = self.new_root(mode & 0o7777)?;
        self.new_mount(Mount { root, on }).map(drop)
    }

    /// Shows a directory of a bpf file system at another place too, with what is mounted inside left out
    /// (`mount --bind`).
    ///
    /// # Errors
    /// As [`Bpffs::mount`]; `EINVAL` if it is outside every bpf file system.
    pub fn bind(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        let shown = self.find(from, true)?;
        if self.inode(shown.ino).fs == PLAIN {
            return Err(Errno::EINVAL);
        }
        if !self.is_directory(shown.ino) {
            return Err(Errno::ENOTDIR);
        }
        let on = self.mount_point(to)?;
        self.new_mount(Mount { root: shown.ino, on }).map(drop)
    }

    /// Takes the topmost mount off a directory. With its last mount a file system is gone: its pins are handed back.
    ///
    /// # Errors
    /// `EINVAL` if nothing is mounted there, `EBUSY` if something is mounted inside.
    pub fn unmount(&mut self, path: &str) -> Result<Vec<P>, Errno> {
        let at = self.find(path, true)?;
        if at.mount == ROOT.mount || at.ino != self.root_of(at.mount) {
            return Err(Errno::EINVAL);
        }
        if self.mounts.values().any(|mount| mount.on.mount == at.mount) {
            return Err(Errno::EBUSY);
        }
        self.mounts.remove(&at.mount);
        let fs = self.inode(at.ino).fs;
        let shown = self.mounts.values().any(|mount| self.inode(mount.root).fs == fs);
        Ok(if shown { Vec::new() } else { self.forget(fs) })
    }

    /// The directory to mount on, made where it is outside the mounts.
    pub(super) fn mount_point(&mut self, path: &str) -> Result<Place, Errno> {
        check_path(path)?;
        // Outside the mounts, the way there is made.
        let mut at = if path.starts_with('/') { self.topmost(ROOT) } else { ROOT };
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            let plain = self.inode(at.ino).fs == PLAIN && part != "..";
            if !plain {
                break;
            }
            if self.lookup(at.ino, part)?.is_none() {
                let made = self.new_inode(directory(PLAIN, at.ino, 0o755))?;
                self.enter(at.ino, part, made);
            }
            let ino = self.lookup(at.ino, part)?.ok_or(Errno::ENOENT)?;
            at = self.topmost(Place { ino, ..at });
        }
        let on = self.find(path, true)?;
        if self.is_directory(on.ino) { Ok(on) } else { Err(Errno::ENOTDIR) }
    }

    /// Where something new is to be: its directory and name, once nothing is there.
    fn free_place<'a>(&self, path: &'a str, directory: bool) -> Result<(Place, &'a str), Errno> {
        let Parent { dir, last, slash } = self.parent_of(path)?;
        let Last::Name(name) = last else { return Err(Errno::EEXIST) };
        match self.lookup(dir.ino, name)? {
            Some(_) => Err(Errno::EEXIST),
            None if slash && !directory => Err(Errno::ENOENT),
            None => Ok((dir, name)),
        }
    }

    /// The same on a file system that takes it.
    fn place_in_bpffs<'a>(&self, path: &'a str, directory: bool) -> Result<(Place, &'a str), Errno> {
        let (dir, name) = self.free_place(path, directory)?;
        self.check_writable(dir.ino).map(|()| (dir, name))
    }

    fn check_writable(&self, ino: Ino) -> Result<(), Errno> {
        if self.inode(ino).fs == PLAIN { Err(Errno::EROFS) } else { Ok(()) }
    }

    fn add(&mut self, dir: Place, name: &str, mode: u16, node: Node<P>) -> Result<(), Errno> {
        let fs = self.inode(dir.ino).fs;
        let ino = self.new_inode(Inode { fs, mode, nlink: 1, node })?;
        self.enter(dir.ino, name, ino);
        Ok(())
    }

    /// Pins an object (`BPF_OBJ_PIN`).
    ///
    /// # Errors
    /// `EPERM` outside bpf file systems; what a walk and a taken name give.
    pub fn pin(&mut self, path: &str, pin: P) -> Result<(), Errno> {
        let (dir, name) = self.free_place(path, false)?;
        if self.inode(dir.ino).fs == PLAIN {
            return Err(Errno::EPERM);
        }
        self.add(dir, name, 0o600 & !self.umask, Node::Pin(pin))
    }

    /// The object that is pinned at a path (`BPF_OBJ_GET`).
    ///
    /// # Errors
    /// `EACCES` for what is no pin; what a walk gives.
    pub fn get(&self, path: &str) -> Result<P, Errno> {
        match self.inode(self.find(path, true)?.ino).node {
            Node::Pin(pin) => Ok(pin),
            _ => Err(Errno::EACCES),
        }
    }

    /// `mkdir`.
    ///
    /// # Errors
    /// Linux's number.
    pub fn mkdir(&mut self, path: &str, mode: u16) -> Result<(), Errno> {
        let (dir, name) = self.place_in_bpffs(path, true)?;
        let above = self.inode(dir.ino);
        let mode = mode & MKDIR & !self.umask | above.mode & SETGID;
        let made = self.new_inode(directory(above.fs, dir.ino, mode))?;
        self.enter(dir.ino, name, made);
        Ok(())
    }

    /// `symlink`: the target is any text.
    ///
    /// # Errors
    /// Linux's number.
    pub fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        check_path(target)?;
        let (dir, name) = self.place_in_bpffs(path, false)?;
        self.add(dir, name, 0o777, Node::Symlink(target.to_owned()))
    }

    /// `link`: another name for a pin or a symbolic link.
    ///
    /// # Errors
    /// Linux's number: `EXDEV` from one mount to another, `EPERM` for a directory.
    pub fn link(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        let old = self.find(old, false)?;
        let (dir, name) = self.place_in_bpffs(new, false)?;
        if old.mount != dir.mount {
            return Err(Errno::EXDEV);
        }
        if self.is_directory(old.ino) {
            return Err(Errno::EPERM);
        }
        self.inode_mut(old.ino).nlink += 1;
        self.enter(dir.ino, name, old.ino);
        Ok(())
    }

    /// `unlink`: takes a name off a pin or a symbolic link. The pin is handed back with its last name.
    ///
    /// # Errors
    /// Linux's number.
    pub fn unlink(&mut self, path: &str) -> Result<Option<P>, Errno> {
        let Parent { dir, last, slash } = self.parent_of(path)?;
        let Last::Name(name) = last else { return Err(Errno::EISDIR) };
        self.check_writable(dir.ino)?;
        let ino = self.lookup(dir.ino, name)?.ok_or(Errno::ENOENT)?;
        match self.is_directory(ino) {
            true => return Err(Errno::EISDIR),
            false if slash => return Err(Errno::ENOTDIR),
            false => {}
        }
        self.take(dir.ino, name);
        Ok(self.drop_link(ino))
    }

    /// `rmdir`.
    ///
    /// # Errors
    /// Linux's number; `EBUSY` also for a directory that is bound to another place.
    pub fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        let Parent { dir, last, .. } = self.parent_of(path)?;
        let name = match last {
            Last::Name(name) => name,
            Last::Up => return Err(Errno::ENOTEMPTY),
            Last::Here => return Err(Errno::EINVAL),
            Last::Root => return Err(Errno::EBUSY),
        };
        self.check_writable(dir.ino)?;
        let ino = self.lookup(dir.ino, name)?.ok_or(Errno::ENOENT)?;
        let (entries, _) = self.directory(ino)?;
        if self.is_mount_point(ino) {
            return Err(Errno::EBUSY);
        }
        if !entries.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        if self.is_shown(ino) {
            return Err(Errno::EBUSY);
        }
        self.take(dir.ino, name);
        self.drop_link(ino);
        Ok(())
    }

    /// `rename`; the pin that was replaced is handed back with its last name.
    ///
    /// # Errors
    /// Linux's number.
    pub fn rename(&mut self, old: &str, new: &str, exchange: Exchange) -> Result<Option<P>, Errno> {
        let (from, to) = (self.parent_of(old)?, self.parent_of(new)?);
        if from.dir.mount != to.dir.mount {
            return Err(Errno::EXDEV);
        }
        let Last::Name(old_name) = from.last else { return Err(Errno::EBUSY) };
        let Last::Name(new_name) = to.last else {
            return Err(if exchange == Exchange::Keep { Errno::EEXIST } else { Errno::EBUSY });
        };
        self.check_writable(from.dir.ino)?;
        let source = self.lookup(from.dir.ino, old_name)?.ok_or(Errno::ENOENT)?;
        let target = self.lookup(to.dir.ino, new_name)?;
        match exchange {
            Exchange::Keep if target.is_some() => return Err(Errno::EEXIST),
            Exchange::Swap if target.is_none() => return Err(Errno::ENOENT),
            Exchange::Swap if to.slash && target.is_some_and(|target| !self.is_directory(target)) => {
                return Err(Errno::ENOTDIR);
            }
            _ => {}
        }
        let moves_directory = self.is_directory(source);
        if !moves_directory && (from.slash || exchange != Exchange::Swap && to.slash) {
            return Err(Errno::ENOTDIR);
        }
        if self.is_inside(to.dir.ino, source) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = target.filter(|target| self.is_inside(from.dir.ino, *target)) {
            debug_assert!(self.is_directory(target), "only directories have something inside");
            return Err(if exchange == Exchange::Swap { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if target == Some(source) {
            return Ok(None);
        }
        if let Some(target) = target.filter(|_| exchange != Exchange::Swap) {
            match (moves_directory, self.is_directory(target)) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => {}
            }
        }
        if self.is_mount_point(source) || target.is_some_and(|target| self.is_mount_point(target)) {
            return Err(Errno::EBUSY);
        }
        match target {
            Some(target) if exchange == Exchange::Swap => {
                self.take(from.dir.ino, old_name);
                self.take(to.dir.ino, new_name);
                self.enter(from.dir.ino, old_name, target);
                self.enter(to.dir.ino, new_name, source);
                Ok(None)
            }
            Some(target) => {
                if self.directory(target).is_ok_and(|(entries, _)| !entries.is_empty()) {
                    return Err(Errno::ENOTEMPTY);
                }
                if self.is_shown(target) {
                    return Err(Errno::EBUSY);
                }
                self.take(to.dir.ino, new_name);
                let released = self.drop_link(target);
                self.take(from.dir.ino, old_name);
                self.enter(to.dir.ino, new_name, source);
                Ok(released)
            }
            None => {
                self.take(from.dir.ino, old_name);
                self.enter(to.dir.ino, new_name, source);
                Ok(None)
            }
        }
    }

    /// Whether something is mounted on a directory, through whichever mount.
    fn is_mount_point(&self, ino: Ino) -> bool {
        self.mounts.values().any(|mount| mount.on.ino == ino)
    }

    /// Whether a mount shows a directory as its root. Linux would remove it, and go on showing what nobody else can reach.
    fn is_shown(&self, ino: Ino) -> bool {
        self.mounts.values().any(|mount| mount.root == ino)
    }

    /// Whether a directory is another one or somewhere below it.
    pub(super) fn is_inside(&self, mut ino: Ino, top: Ino) -> bool {
        loop {
            if ino == top {
                return true;
            }
            match self.directory(ino) {
                Ok((_, parent)) if parent != ino => ino = parent,
                _ => return false,
            }
        }
    }

    /// `chmod`: permission, sticky and set-id bits, of what a symbolic link leads to.
    ///
    /// # Errors
    /// Linux's number.
    pub fn chmod(&mut self, path: &str, mode: u16) -> Result<(), Errno> {
        let ino = self.find(path, true)?.ino;
        self.check_writable(ino)?;
        self.inode_mut(ino).mode = mode & 0o7777;
        Ok(())
    }

    /// `lstat`, with `follow` `stat`.
    ///
    /// # Errors
    /// Linux's number.
    pub fn stat(&self, path: &str, follow: bool) -> Result<Stat, Errno> {
        let ino = self.find(path, follow)?.ino;
        let inode = self.inode(ino);
        let kind = match inode.node {
            Node::Directory { .. } => FileKind::Directory,
            Node::Symlink(_) => FileKind::Symlink,
            Node::Pin(_) => FileKind::Pin,
        };
        Ok(Stat { kind, mode: inode.mode, nlink: inode.nlink, ino })
    }

    /// `readlink`.
    ///
    /// # Errors
    /// `EINVAL` for what is no symbolic link; what a walk gives.
    pub fn readlink(&self, path: &str) -> Result<&str, Errno> {
        match &self.inode(self.find(path, false)?.ino).node {
            Node::Symlink(target) => Ok(target),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// Linux's number.
    pub fn list(&self, path: &str) -> Result<Vec<&str>, Errno> {
        let (entries, _) = self.directory(self.find(path, true)?.ino)?;
        Ok(entries.keys().map(String::as_str).collect())
    }

    /// Whether a path names a directory where pins may be made.
    pub fn takes_pins(&self, path: &str) -> bool {
        self.find(path, true).is_ok_and(|at| self.is_directory(at.ino) && self.inode(at.ino).fs != PLAIN)
    }
}
