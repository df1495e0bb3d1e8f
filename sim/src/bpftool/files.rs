//! The noun `bpffs`: the bpf file system of a state, with the words of the shell.

use std::fmt::Write;

use bpf::bpffs::{Exchange, FileKind};
use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::syscall::Object;
use serde_json::{Value, json};

use super::words::Words;
use super::{Answer, Session, refused};

/// The verbs.
const VERBS: &str = "ls, mkdir, rmdir, rm, ln, mv, chmod, mount or umount";

/// Runs `bpffs VERB ...`.
///
/// # Errors
/// Words that are none of a command's; what Linux refuses.
pub fn tree(session: &mut Session<'_>, words: &[String]) -> Result<Answer, Diagnostic> {
    let mut words = Words::new(words);
    let verb = words.need("a verb")?;
    if verb == "ls" {
        let path = words.peek().unwrap_or(crate::state::BPFFS).to_owned();
        return list(session, &path).map_err(|errno| refused("ls", errno, path));
    }
    let symbolic = verb == "ln" && words.take_exact("-s") | words.take_exact("symbolic");
    let path = words.need("a path")?;
    let system = &mut *session.system;
    let done = match verb {
        "mkdir" => system.mkdir(path, 0o777),
        "rmdir" => system.rmdir(path),
        "rm" => system.unlink(path),
        "mount" => system.mount(path, 0o1777),
        "umount" => system.unmount(path),
        "ln" if symbolic => system.symlink(path, words.need("the link's path")?),
        "ln" => system.link(path, words.need("the other path")?),
        "mv" => system.rename(path, words.need("the new path")?, Exchange::Replace),
        "chmod" => {
            let mode = words.need("permission bits")?;
            let bits = u16::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
            let bits = bits.ok_or_else(|| {
                Diagnostic::new("usage", "permission bits are octal").at(At::Named(mode.to_owned())).limit("7777", mode)
            })?;
            system.chmod(path, bits)
        }
        _ => return Err(Diagnostic::new("usage", format!("expected {VERBS}")).at(At::Named(verb.to_owned()))),
    };
    words.end()?;
    done.map_err(|errno| refused(verb, errno, path))?;
    Ok(Answer { changed: true, ..Answer::default() })
}

fn list(session: &Session<'_>, path: &str) -> Result<Answer, Errno> {
    let fs = session.system.fs();
    let names = match fs.stat(path, true)?.kind {
        FileKind::Directory => {
            fs.list(path)?.into_iter().map(|name| (name.to_owned(), format!("{path}/{name}"))).collect()
        }
        _ => vec![(path.to_owned(), path.to_owned())],
    };
    let (mut text, mut all) = (String::new(), Vec::new());
    for (name, at) in names {
        let stat = fs.stat(&at, false)?;
        let (kind, what) = match stat.kind {
            FileKind::Directory => ("directory", String::new()),
            FileKind::Symlink => ("symlink", format!(" -> {}", fs.readlink(&at)?)),
            FileKind::Pin => match fs.get(&at)? {
                Object::Map(id) => ("map", format!(" id {id}")),
                Object::Prog(id) => ("prog", format!(" id {id}")),
                Object::Link(id) | Object::Btf(id) => ("link", format!(" id {id}")),
            },
        };
        let _ = writeln!(text, "{:04o} {:3} {kind:9} {name}{what}", stat.mode, stat.nlink);
        let shown = what.trim_start_matches(" -> ").trim_start_matches(" id ");
        all.push(json!({ "name": name, "kind": kind, "mode": format!("{:04o}", stat.mode), "links": stat.nlink, "of": shown }));
    }
    Ok(Answer { text, json: Value::Array(all), ..Answer::default() })
}
