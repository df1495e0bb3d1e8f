//! Pins, and the bpf file system that they stand in.

use super::objects::Object;
use super::system::{ActorId, Fd, Mode, System};
use crate::bpffs::{Bpffs, Exchange};
use crate::errno::Errno;
use crate::maps::{BPF_F_RDONLY, BPF_F_WRONLY};

impl System {
    /// The mount table and what it shows.
    pub fn fs(&self) -> &Bpffs<Object> {
        &self.fs
    }

    /// `BPF_OBJ_PIN`: a name in a bpf file system that keeps a map, a program or a link.
    ///
    /// # Errors
    /// Linux's number: `EINVAL` for a descriptor of something else or of nothing, `EPERM` outside bpf file systems.
    pub fn pin(&mut self, actor: ActorId, fd: Fd, path: &str) -> Result<(), Errno> {
        let object = match self.object(actor, fd) {
            Ok(object @ (Object::Map(_) | Object::Prog(_) | Object::Link(_))) => object,
            _ => return Err(Errno::EINVAL),
        };
        self.fs.pin(path, object)?;
        self.get_user(object);
        Ok(())
    }

    /// `BPF_OBJ_GET`: a descriptor of what is pinned at a path; `flags` may restrict one of a map.
    ///
    /// # Errors
    /// Linux's number.
    pub fn pinned(&mut self, actor: ActorId, path: &str, flags: u32) -> Result<Fd, Errno> {
        if flags & !(BPF_F_RDONLY | BPF_F_WRONLY) != 0 {
            return Err(Errno::EINVAL);
        }
        let mode = Mode::of(flags)?;
        let object = self.fs.get(path)?;
        if matches!(object, Object::Link(_)) && mode != Mode::ReadWrite {
            return Err(Errno::EINVAL);
        }
        self.open(actor, object, mode)
    }

    /// `mount`: see [`Bpffs::mount`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn mount(&mut self, path: &str, mode: u16) -> Result<(), Errno> {
        self.fs.mount(path, mode)
    }

    /// `mount --bind`: see [`Bpffs::bind`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn bind(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        self.fs.bind(from, to)
    }

    /// `umount`: see [`Bpffs::unmount`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn unmount(&mut self, path: &str) -> Result<(), Errno> {
        let released = self.fs.unmount(path)?;
        released.into_iter().for_each(|object| self.put_user(object));
        Ok(())
    }

    /// `mkdir`: see [`Bpffs::mkdir`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn mkdir(&mut self, path: &str, mode: u16) -> Result<(), Errno> {
        self.fs.mkdir(path, mode)
    }

    /// `rmdir`: see [`Bpffs::rmdir`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        self.fs.rmdir(path)
    }

    /// `unlink`: see [`Bpffs::unlink`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        let released = self.fs.unlink(path)?;
        released.into_iter().for_each(|object| self.put_user(object));
        Ok(())
    }

    /// `link`: see [`Bpffs::link`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn link(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        self.fs.link(old, new)
    }

    /// `symlink`: see [`Bpffs::symlink`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        self.fs.symlink(target, path)
    }

    /// `rename`: see [`Bpffs::rename`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn rename(&mut self, old: &str, new: &str, exchange: Exchange) -> Result<(), Errno> {
        let released = self.fs.rename(old, new, exchange)?;
        released.into_iter().for_each(|object| self.put_user(object));
        Ok(())
    }

    /// `chmod`: see [`Bpffs::chmod`].
    ///
    /// # Errors
    /// Linux's number.
    pub fn chmod(&mut self, path: &str, mode: u16) -> Result<(), Errno> {
        self.fs.chmod(path, mode)
    }
}
