//! Inodes and mounts.

use std::collections::BTreeMap;

use crate::errno::Errno;

/// Number of an inode, over all file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

/// Number of a mount, in the order they were made; 0 is the plain world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MountId(pub u32);

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node<P> {
    Directory { entries: BTreeMap<String, Ino>, parent: Ino },
    Symlink(String),
    Pin(P),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inode<P> {
    /// The file system it is on: its root's number. That of the plain world is [`PLAIN`].
    pub fs: Ino,
    /// Permission bits with sticky and set-id bits.
    pub mode: u16,
    pub nlink: u32,
    pub node: Node<P>,
}

/// A mounted directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// What it shows.
    pub root: Ino,
    /// The directory it covers.
    pub on: Place,
}

/// An inode as reached through a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub mount: MountId,
    pub ino: Ino,
}

/// Root of the plain world.
pub(super) const PLAIN: Ino = Ino(0);
/// Where every absolute path begins.
pub(super) const ROOT: Place = Place { mount: MountId(0), ino: PLAIN };
/// Most inodes and mounts there may be: far more than anybody pins.
const MOST: usize = 1 << 20;

/// What `stat` tells of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with sticky and set-id bits.
    pub mode: u16,
    /// Hard links; of a directory 2 and one for each directory in it.
    pub nlink: u32,
    /// Its number.
    pub ino: Ino,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A pinned object.
    Pin,
}

/// The mount table of a machine, and all bpf file systems in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bpffs<P> {
    pub(super) inodes: BTreeMap<Ino, Inode<P>>,
    pub(super) mounts: BTreeMap<MountId, Mount>,
    next_ino: u64,
    next_mount: u32,
    /// Bits that new files do not get.
    pub(super) umask: u16,
}

impl<P: Copy + Eq> Default for Bpffs<P> {
    fn default() -> Self {
        let mut fs =
            Bpffs { inodes: BTreeMap::new(), mounts: BTreeMap::new(), next_ino: 1, next_mount: 1, umask: 0o022 };
        fs.inodes.insert(PLAIN, directory(PLAIN, PLAIN, 0o755));
        fs
    }
}

/// An empty directory.
pub(super) fn directory<P>(fs: Ino, parent: Ino, mode: u16) -> Inode<P> {
    Inode { fs, mode, nlink: 2, node: Node::Directory { entries: BTreeMap::new(), parent } }
}

impl<P: Copy + Eq> Bpffs<P> {
    /// Sets the bits that new files do not get; 022 at first.
    pub fn set_umask(&mut self, umask: u16) {
        self.umask = umask & 0o777;
    }

    /// An inode that a number was found for.
    pub(super) fn inode(&self, ino: Ino) -> &Inode<P> {
        self.inodes.get(&ino).expect("numbers in directories and mounts are those of inodes")
    }

    pub(super) fn inode_mut(&mut self, ino: Ino) -> &mut Inode<P> {
        self.inodes.get_mut(&ino).expect("numbers in directories and mounts are those of inodes")
    }

    /// The entries of a directory, and the directory above it.
    pub(super) fn directory(&self, ino: Ino) -> Result<(&BTreeMap<String, Ino>, Ino), Errno> {
        match &self.inode(ino).node {
            Node::Directory { entries, parent } => Ok((entries, *parent)),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn is_directory(&self, ino: Ino) -> bool {
        matches!(self.inode(ino).node, Node::Directory { .. })
    }

    fn entries_mut(&mut self, ino: Ino) -> &mut BTreeMap<String, Ino> {
        match &mut self.inode_mut(ino).node {
            Node::Directory { entries, .. } => entries,
            _ => unreachable!("callers have looked"),
        }
    }

    pub(super) fn set_parent(&mut self, ino: Ino, above: Ino) {
        if let Node::Directory { parent, .. } = &mut self.inode_mut(ino).node {
            *parent = above;
        }
    }

    /// A new inode that nothing names yet.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub(super) fn new_inode(&mut self, inode: Inode<P>) -> Result<Ino, Errno> {
        if self.inodes.len() >= MOST {
            return Err(Errno::ENOSPC);
        }
        let ino = Ino(self.next_ino);
        self.next_ino += 1;
        self.inodes.insert(ino, inode);
        Ok(ino)
    }

    /// A new directory, which is a file system's root.
    pub(super) fn new_root(&mut self, mode: u16) -> Result<Ino, Errno> {
        let ino = self.new_inode(directory(PLAIN, PLAIN, mode))?;
        self.inode_mut(ino).fs = ino;
        self.set_parent(ino, ino);
        Ok(ino)
    }

    pub(super) fn new_mount(&mut self, mount: Mount) -> Result<MountId, Errno> {
        if self.mounts.len() >= MOST {
            return Err(Errno::ENOSPC);
        }
        let id = MountId(self.next_mount);
        self.next_mount += 1;
        self.mounts.insert(id, mount);
        Ok(id)
    }

    /// Names an inode; a directory's parent gets its link.
    pub(super) fn enter(&mut self, dir: Ino, name: &str, ino: Ino) {
        self.entries_mut(dir).insert(name.to_owned(), ino);
        if self.is_directory(ino) {
            self.set_parent(ino, dir);
            self.inode_mut(dir).nlink += 1;
        }
    }

    /// Takes a name away; the inode stays.
    pub(super) fn take(&mut self, dir: Ino, name: &str) -> Option<Ino> {
        let ino = self.entries_mut(dir).remove(name)?;
        if self.is_directory(ino) {
            self.inode_mut(dir).nlink -= 1;
        }
        Some(ino)
    }

    /// Takes one link off an inode that a name was taken from; the pin it was, if that was the last.
    pub(super) fn drop_link(&mut self, ino: Ino) -> Option<P> {
        let inode = self.inode_mut(ino);
        inode.nlink = if matches!(inode.node, Node::Directory { .. }) { 0 } else { inode.nlink - 1 };
        if inode.nlink > 0 {
            return None;
        }
        match self.inodes.remove(&ino)?.node {
            Node::Pin(pin) => Some(pin),
            _ => None,
        }
    }

    /// Forgets a file system, and hands back its pins.
    pub(super) fn forget(&mut self, fs: Ino) -> Vec<P> {
        let mut pins = Vec::new();
        self.inodes.retain(|_, inode| {
            if inode.fs == fs {
                pins.extend(match inode.node {
                    Node::Pin(pin) => Some(pin),
                    _ => None,
                });
            }
            inode.fs != fs
        });
        pins
    }

    /// The mount that covers a directory, the last that was made there.
    pub(super) fn covering(&self, place: Place) -> Option<Place> {
        let (mount, over) = self.mounts.iter().rev().find(|(_, mount)| mount.on == place)?;
        Some(Place { mount: *mount, ino: over.root })
    }

    /// The inode that a mount shows as its root.
    pub(super) fn root_of(&self, mount: MountId) -> Ino {
        self.mounts.get(&mount).map_or(PLAIN, |mount| mount.root)
    }

    /// Every pin that can be reached, once for each path that leads to it without following symbolic links, by mount and
    /// name.
    pub fn pins(&self) -> Vec<(String, P)> {
        let mut pins = Vec::new();
        for (&mount, shown) in &self.mounts {
            let mut open = vec![(self.path_of_mount(mount), shown.root)];
            while let Some((path, ino)) = open.pop() {
                match &self.inode(ino).node {
                    // What a mount hides is not found by its path.
                    Node::Pin(pin) => pins.extend((self.get(&path) == Ok(*pin)).then_some((path, *pin))),
                    Node::Symlink(_) => {}
                    Node::Directory { entries, .. } => {
                        let covered = |child: Ino| self.covering(Place { mount, ino: child }).is_some();
                        let inside = entries.iter().rev().filter(|(_, child)| !covered(**child));
                        open.extend(inside.map(|(name, child)| (format!("{path}/{name}"), *child)));
                    }
                }
            }
        }
        pins
    }

    /// Where a mount is, as a path.
    pub(super) fn path_of_mount(&self, mount: MountId) -> String {
        let mut names = Vec::new();
        let mut at = Place { mount, ino: self.root_of(mount) };
        // Each step goes up one directory, and none is above itself but the root.
        while at != ROOT {
            if at.ino == self.root_of(at.mount) {
                at = self.mounts[&at.mount].on;
                continue;
            }
            let Ok((_, parent)) = self.directory(at.ino) else { break };
            let name = self.directory(parent).ok().and_then(|(entries, _)| entries.iter().find(|e| *e.1 == at.ino));
            names.push(name.map_or("", |(name, _)| name.as_str()));
            at.ino = parent;
        }
        names.iter().rev().map(|name| format!("/{name}")).collect()
    }
}
