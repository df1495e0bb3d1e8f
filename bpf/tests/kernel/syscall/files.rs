//! The commands on files.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

use bpf::bpffs::{Exchange, FileKind};

use super::support::kernel_objects as theirs;
use super::{THEIR_OWN, World, io, number};

impl World {
    /// A command on files.
    pub(super) fn file(&mut self) {
        let (path, other) = (self.path(), self.path());
        match self.rng.below(11) {
            0 | 1 => {
                let mode = self.rng.pick(&[0o777u16, 0o700, 0o1770, 0]);
                self.say(format!("mkdir {path} {mode:o}"));
                let theirs = io(fs::DirBuilder::new().mode(u32::from(mode)).create(&path));
                let ours = self.system.mkdir(&path, mode).map_err(number);
                self.same(ours, theirs);
            }
            2 => {
                self.say(format!("rmdir {path}"));
                let ours = self.system.rmdir(&path).map_err(number);
                self.same(ours, io(fs::remove_dir(&path)));
            }
            3 | 4 => {
                self.say(format!("unlink {path}"));
                let ours = self.system.unlink(&path).map_err(number);
                self.same(ours, io(fs::remove_file(&path)));
            }
            5 => {
                self.say(format!("link {path} {other}"));
                let ours = self.system.link(&path, &other).map_err(number);
                self.same(ours, io(fs::hard_link(&path, &other)));
            }
            6 => {
                let target = self.target();
                self.say(format!("symlink {target} {path}"));
                let ours = self.system.symlink(&target, &path).map_err(number);
                self.same(ours, io(std::os::unix::fs::symlink(&target, &path)));
            }
            7 | 8 => {
                let (exchange, flags) = self.rng.pick(&[
                    (Exchange::Replace, 0),
                    (Exchange::Replace, 0),
                    (Exchange::Keep, 1),
                    (Exchange::Swap, 2),
                ]);
                self.say(format!("rename {path} {other} {exchange:?}"));
                let ours = self.system.rename(&path, &other, exchange).map_err(number);
                self.same(ours, theirs::rename(&path, &other, flags));
            }
            9 => {
                let mode = self.rng.pick(&[0o755u16, 0o600, 0, 0o2777, 0o1777]);
                self.say(format!("chmod {path} {mode:o}"));
                let ours = self.system.chmod(&path, mode).map_err(number);
                self.same(ours, io(fs::set_permissions(&path, fs::Permissions::from_mode(u32::from(mode)))));
            }
            _ => {
                self.say(format!("list {path}"));
                let ours = self.system.fs().list(&path).map_err(number);
                let ours = ours.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
                let theirs = io(fs::read_dir(&path)).map(|entries| {
                    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                    let mut names: Vec<_> = names.filter(|name| !THEIR_OWN.contains(&name.as_str())).collect();
                    names.sort();
                    names
                });
                self.same(ours, theirs);
            }
        }
        let path = self.path();
        self.look_at(&path);
    }

    fn look_at(&mut self, path: &str) {
        self.say(format!("stat {path}"));
        for follow in [false, true] {
            let theirs = io(if follow { fs::metadata(path) } else { fs::symlink_metadata(path) });
            let theirs = theirs.map(|data| {
                let kind = match data.file_type() {
                    ty if ty.is_dir() => FileKind::Directory,
                    ty if ty.is_symlink() => FileKind::Symlink,
                    _ => FileKind::Pin,
                };
                (kind, data.mode() & 0o7777, data.nlink())
            });
            let ours = self.system.fs().stat(path, follow).map_err(number);
            let ours = ours.map(|stat| (stat.kind, u32::from(stat.mode), u64::from(stat.nlink)));
            match (ours, theirs) {
                // The world around is not the machine's.
                (Ok((FileKind::Directory, ..)), Ok(theirs)) if !self.system.fs().takes_pins(path) => {
                    self.same(FileKind::Directory, theirs.0);
                }
                (ours, theirs) => self.same(ours, theirs),
            }
        }
        let ours = self.system.fs().readlink(path).map(str::to_owned).map_err(number);
        self.same(ours, io(fs::read_link(path)).map(|target| target.into_os_string().into_string().unwrap()));
    }
}
