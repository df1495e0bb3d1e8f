//! The tree as plain data, to be kept and read back.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Bpffs, Ino, Inode, Mount, MountId, Node, PLAIN, Place, ROOT, directory};
use super::walk::{NAME_MAX, PATH_MAX};
use crate::diag::{At, Diagnostic};

/// All mounts and what they show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTree<P> {
    /// Bits that new files do not get.
    pub umask: u16,
    /// Mounts, in the order in which they are made again.
    pub mounts: Vec<SavedMount>,
    /// Inodes by number, from 1 on without gaps.
    pub inodes: Vec<SavedInode<P>>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedMount {
    /// What it covers.
    pub on: SavedPlace,
    /// Number of the directory that it shows.
    pub root: u64,
}

/// A directory that is mounted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedPlace {
    /// One outside every bpf file system.
    Path(String),
    /// One that another mount shows.
    Within {
        /// Place of that mount in the list, from 0 on, before this one's.
        mount: u64,
        /// Number of the directory.
        directory: u64,
    },
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedInode<P> {
    /// Permission bits with sticky and set-id bits.
    pub mode: u16,
    /// What it is.
    pub node: SavedNode<P>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedNode<P> {
    /// A directory: names and numbers.
    Directory(Vec<(String, u64)>),
    /// A symbolic link and its target.
    Symlink(String),
    /// A pin.
    Pin(P),
}

/// Directories in directories that are read back.
const DEPTH: usize = 2048;

fn wrong(what: impl Into<String>, at: impl Into<String>) -> Diagnostic {
    Diagnostic::new("state-tree", what).at(At::Named(at.into())).help("use a state that this program wrote")
}

impl<P: Copy + Eq> Bpffs<P> {
    /// The tree as data. Numbers of inodes are dealt out anew, from 1 on.
    pub fn save(&self) -> SavedTree<P> {
        let mut number = BTreeMap::new();
        let mut order: Vec<Ino> = Vec::new();
        let mut meet = |ino: Ino, order: &mut Vec<Ino>| {
            *number.entry(ino).or_insert_with(|| {
                order.push(ino);
                order.len() as u64
            })
        };
        let mounts = self.mounts.iter().map(|(id, mount)| {
            // All of its file system is kept, also what is above a directory that is bound elsewhere.
            meet(self.inode(mount.root).fs, &mut order);
            let on = match self.mounts.keys().position(|other| *other == mount.on.mount) {
                // A path without a leading slash begins below whatever covers the root.
                None => {
                    let from = if self.topmost(ROOT) == ROOT { "" } else { "." };
                    SavedPlace::Path(format!("{from}{}/", self.path_of_mount(*id)))
                }
                Some(place) => SavedPlace::Within { mount: place as u64, directory: meet(mount.on.ino, &mut order) },
            };
            SavedMount { on, root: meet(mount.root, &mut order) }
        });
        let mounts = mounts.collect();
        let mut inodes = Vec::new();
        while let Some(&ino) = order.get(inodes.len()) {
            let inode = self.inode(ino);
            let node = match &inode.node {
                Node::Directory { entries, .. } => SavedNode::Directory(
                    entries.iter().map(|(name, child)| (name.clone(), meet(*child, &mut order))).collect(),
                ),
                Node::Symlink(target) => SavedNode::Symlink(target.clone()),
                Node::Pin(pin) => SavedNode::Pin(*pin),
            };
            inodes.push(SavedInode { mode: inode.mode, node });
        }
        SavedTree { umask: self.umask, mounts, inodes }
    }

    /// The tree that data describes.
    ///
    /// # Errors
    /// `state-tree`: names, numbers or bits that no tree has.
    pub fn restore(saved: &SavedTree<P>) -> Result<Bpffs<P>, Diagnostic> {
        let mut fs = Bpffs::default();
        fs.set_umask(saved.umask);
        // Numbers become those of inodes as they are met on the way down from a root.
        let mut known: BTreeMap<u64, Ino> = BTreeMap::new();
        let mut roots: BTreeSet<u64> = (1..=saved.inodes.len() as u64).collect();
        for inode in &saved.inodes {
            let SavedNode::Directory(entries) = &inode.node else { continue };
            for (_, child) in entries {
                roots.remove(child);
            }
        }
        for root in roots {
            fs.restore_root(saved, root, &mut known)?;
        }
        if known.len() != saved.inodes.len() {
            return Err(
                wrong("there are files that no directory leads to", "tree").limit(saved.inodes.len(), known.len())
            );
        }
        let mut made: Vec<MountId> = Vec::new();
        for (place, mount) in saved.mounts.iter().enumerate() {
            let at = || format!("mount {place}");
            let nowhere = || wrong("there is no directory to mount on", at());
            let directory =
                |fs: &Bpffs<P>, number: u64| known.get(&number).copied().filter(|ino| fs.is_directory(*ino));
            let root = directory(&fs, mount.root).ok_or_else(|| wrong("it shows no directory", at()))?;
            let on = match &mount.on {
                SavedPlace::Path(path) => fs.mount_point(path).map_err(|_| nowhere())?,
                SavedPlace::Within { mount, directory: number } => {
                    let mount = usize::try_from(*mount).ok().and_then(|place| made.get(place)).copied();
                    let on = mount.zip(directory(&fs, *number)).map(|(mount, ino)| Place { mount, ino });
                    on.filter(|on| fs.is_inside(on.ino, fs.root_of(on.mount))).ok_or_else(nowhere)?
                }
            };
            made.push(fs.new_mount(Mount { root, on }).map_err(|_| wrong("there are too many mounts", at()))?);
        }
        let shown: BTreeSet<Ino> = fs.mounts.values().map(|mount| fs.inode(mount.root).fs).collect();
        match fs.inodes.values().find(|inode| inode.fs != PLAIN && !shown.contains(&inode.fs)) {
            Some(_) => Err(wrong("a file system is mounted nowhere", "tree")),
            None => Ok(fs),
        }
    }

    fn restore_root(
        &mut self,
        saved: &SavedTree<P>,
        root: u64,
        known: &mut BTreeMap<u64, Ino>,
    ) -> Result<(), Diagnostic> {
        let mut open = vec![(root, PLAIN, String::new(), PLAIN, 0)];
        while let Some((number, dir, name, fs, depth)) = open.pop() {
            let at = || format!("inode {number}");
            let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
            let inode = index.and_then(|i| saved.inodes.get(i)).ok_or_else(|| wrong("there is no such file", at()))?;
            if inode.mode > 0o7777 {
                return Err(wrong("its permission bits are none", at()).limit("07777", format!("{:#o}", inode.mode)));
            }
            let is_root = dir == PLAIN;
            if let Some(&ino) = known.get(&number) {
                // Another name for a file; a directory has one, and no file is on two file systems.
                if is_root || self.is_directory(ino) || self.inode(ino).fs != fs {
                    return Err(wrong("a directory stands in two places", at()));
                }
                self.inode_mut(ino).nlink += 1;
                self.enter(dir, &name, ino);
                continue;
            }
            let full = |_| wrong("there are too many files", at());
            let made = match &inode.node {
                SavedNode::Directory(_) if is_root => self.new_root(inode.mode).map_err(full)?,
                SavedNode::Directory(_) => self.new_inode(directory(fs, dir, inode.mode)).map_err(full)?,
                SavedNode::Symlink(target) if target.is_empty() || target.len() >= PATH_MAX => {
                    return Err(wrong("a symbolic link has no possible target", at()));
                }
                _ if is_root => return Err(wrong("a mount shows no directory", at())),
                SavedNode::Symlink(target) => {
                    let node = Node::Symlink(target.clone());
                    self.new_inode(Inode { fs, mode: inode.mode, nlink: 1, node }).map_err(full)?
                }
                SavedNode::Pin(pin) => {
                    let node = Node::Pin(*pin);
                    self.new_inode(Inode { fs, mode: inode.mode, nlink: 1, node }).map_err(full)?
                }
            };
            known.insert(number, made);
            if !is_root {
                self.enter(dir, &name, made);
            }
            if let SavedNode::Directory(entries) = &inode.node {
                let fs = self.inode(made).fs;
                let mut names = BTreeSet::new();
                for (name, child) in entries {
                    let plain = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(['/', '\0']);
                    if !plain || name == "." || name == ".." || !names.insert(name) {
                        return Err(wrong(format!("`{}` is no name in a directory", name.escape_debug()), at()));
                    }
                    if depth == DEPTH {
                        return Err(wrong("directories lie too deep", at()).limit(DEPTH, depth + 1));
                    }
                    open.push((*child, made, name.clone(), fs, depth + 1));
                }
            }
        }
        Ok(())
    }
}
