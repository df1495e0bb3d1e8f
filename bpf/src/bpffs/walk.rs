//! From a path to an inode, as fs/namei.c walks it.

use super::tree::{Bpffs, Ino, Node, Place, ROOT};
use crate::errno::Errno;

/// Bytes of a name (`NAME_MAX`).
pub(super) const NAME_MAX: usize = 255;
/// Bytes of a path with its closing zero (`PATH_MAX`).
pub(super) const PATH_MAX: usize = 4096;
/// Symbolic links that one walk follows (`MAXSYMLINKS`).
const LINKS_MAX: u32 = 40;

/// The last part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last<'a> {
    Name(&'a str),
    /// `.`
    Here,
    /// `..`
    Up,
    /// Nothing but slashes.
    Root,
}

/// A path whose last part has not been looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent<'a> {
    pub dir: Place,
    pub last: Last<'a>,
    /// A slash stands behind the last part.
    pub slash: bool,
}

/// What may be looked up in one walk.
struct Walk {
    links: u32,
}

impl<P: Copy + Eq> Bpffs<P> {
    /// The directory of a path's last part. A path that does not begin with a slash is taken from the root.
    pub(super) fn parent_of<'a>(&self, path: &'a str) -> Result<Parent<'a>, Errno> {
        check_path(path)?;
        let (parent, last, slash) = split(path);
        let dir = self.walk(&mut Walk { links: 0 }, ROOT, parent)?;
        if !self.is_directory(dir.ino) {
            return Err(Errno::ENOTDIR);
        }
        Ok(Parent { dir, last, slash })
    }

    /// The inode of a path; a symbolic link at its end is followed if `follow` says so.
    pub(super) fn find(&self, path: &str, follow: bool) -> Result<Place, Errno> {
        check_path(path)?;
        let mut walk = Walk { links: 0 };
        let (parent, last, slash) = split(path);
        let dir = self.walk(&mut walk, ROOT, parent)?;
        let place = self.step(&mut walk, dir, last, follow || slash)?;
        if slash && !self.is_directory(place.ino) { Err(Errno::ENOTDIR) } else { Ok(place) }
    }

    fn walk(&self, walk: &mut Walk, from: Place, path: &str) -> Result<Place, Errno> {
        let mut at = if path.starts_with('/') { self.topmost(ROOT) } else { from };
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = self.step(walk, at, last_of(part), true)?;
        }
        Ok(at)
    }

    fn step(&self, walk: &mut Walk, dir: Place, part: Last<'_>, follow: bool) -> Result<Place, Errno> {
        let (_, parent) = self.directory(dir.ino)?;
        match part {
            Last::Root | Last::Here => Ok(dir),
            Last::Up => Ok(self.topmost(self.above(dir, parent))),
            Last::Name(name) => {
                let found = Place { ino: self.lookup(dir.ino, name)?.ok_or(Errno::ENOENT)?, ..dir };
                match &self.inode(found.ino).node {
                    Node::Symlink(target) if follow => {
                        walk.links += 1;
                        if walk.links > LINKS_MAX {
                            return Err(Errno::ELOOP);
                        }
                        let found = self.walk(walk, dir, target)?;
                        let slash = target.ends_with('/');
                        if slash && !self.is_directory(found.ino) { Err(Errno::ENOTDIR) } else { Ok(found) }
                    }
                    _ => Ok(self.topmost(found)),
                }
            }
        }
    }

    /// What lies under a name in a directory, mounts aside (`bpf_lookup`).
    ///
    /// # Errors
    /// `EPERM` for a name with a dot that is not there; `ENAMETOOLONG`.
    pub(super) fn lookup(&self, dir: Ino, name: &str) -> Result<Option<Ino>, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let (entries, _) = self.directory(dir)?;
        let found = entries.get(name).copied();
        let inode = self.inode(dir);
        let reserved = inode.fs != super::tree::PLAIN && inode.mode != 0 && name.contains('.');
        if found.is_none() && reserved { Err(Errno::EPERM) } else { Ok(found) }
    }

    fn above(&self, place: Place, parent: Ino) -> Place {
        let mut place = place;
        while place.ino == self.root_of(place.mount) {
            if place.mount == ROOT.mount {
                return ROOT;
            }
            place = self.mounts[&place.mount].on;
            if place.ino != self.root_of(place.mount) {
                let parent = self.directory(place.ino).map_or(place.ino, |(_, parent)| parent);
                return Place { ino: parent, ..place };
            }
        }
        Place { ino: parent, ..place }
    }

    /// The mount on top of a directory, if any.
    pub(super) fn topmost(&self, mut place: Place) -> Place {
        while let Some(over) = self.covering(place) {
            place = over;
        }
        place
    }
}

pub(super) fn check_path(path: &str) -> Result<(), Errno> {
    match path.len() {
        0 => Err(Errno::ENOENT),
        len if len >= PATH_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}

fn last_of(part: &str) -> Last<'_> {
    match part {
        "." => Last::Here,
        ".." => Last::Up,
        name => Last::Name(name),
    }
}

/// What leads to the last part, the last part, and whether a slash stands behind it.
fn split(path: &str) -> (&str, Last<'_>, bool) {
    let trimmed = path.trim_end_matches('/');
    let (parent, last) = match trimmed.rfind('/') {
        _ if trimmed.is_empty() => ("/", Last::Root),
        Some(at) => (&trimmed[..=at], last_of(&trimmed[at + 1..])),
        None => ("", last_of(trimmed)),
    };
    (parent, last, trimmed.len() < path.len())
}
