//! A command's words, one after the other.

use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::syscall::{Class, Fd, MapInfo, Object, ProgInfo, hex};

use super::{Session, refused};

/// What is left of a command.
#[derive(Debug)]
pub(super) struct Words<'a> {
    words: &'a [String],
    next: usize,
}

fn usage(reason: impl Into<String>, at: &str, help: &str) -> Diagnostic {
    Diagnostic::new("usage", reason).at(At::Named(at.to_owned())).help(help)
}

impl<'a> Words<'a> {
    pub fn new(words: &'a [String]) -> Self {
        Words { words, next: 0 }
    }

    /// The next word, which stays.
    pub fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).map(String::as_str)
    }

    /// The next word, if it is this one or a beginning of it, as bpftool takes them.
    pub fn take(&mut self, word: &str) -> bool {
        let there = self.peek().is_some_and(|next| !next.is_empty() && word.starts_with(next));
        self.next += usize::from(there);
        there
    }

    pub fn is_empty(&self) -> bool {
        self.next >= self.words.len()
    }

    /// The next word, whatever it is.
    ///
    /// # Errors
    /// `usage`, if there is none.
    pub fn need(&mut self, what: &str) -> Result<&'a str, Diagnostic> {
        let word = self.peek().ok_or_else(|| usage(format!("{what} is missing"), &self.so_far(), "see --help"))?;
        self.next += 1;
        Ok(word)
    }

    /// A number.
    ///
    /// # Errors
    /// `usage`.
    pub fn number(&mut self, what: &str) -> Result<u32, Diagnostic> {
        let word = self.need(what)?;
        let number = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        };
        number.ok_or_else(|| usage(format!("{what} is a number"), word, "decimal, or hexadecimal after 0x"))
    }

    /// Refuses what is left.
    ///
    /// # Errors
    /// `usage`.
    pub fn end(&self) -> Result<(), Diagnostic> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(usage("nothing more is expected", word, "see --help")),
        }
    }

    /// Refuses the next word, or its absence.
    pub fn unexpected(&self, expected: &str) -> Diagnostic {
        match self.peek() {
            Some(word) => usage(format!("expected {expected}"), word, "see --help"),
            None => usage(format!("expected {expected}"), &self.so_far(), "see --help"),
        }
    }

    fn so_far(&self) -> String {
        self.words.join(" ")
    }

    /// Bytes of a key or value: `[hex] BYTES`, exactly `len` of them.
    ///
    /// # Errors
    /// `usage`: too few bytes, or one that is none.
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Diagnostic> {
        let all_hex = self.take_exact("hex");
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let place = format!("byte {} of {len}", bytes.len() + 1);
            let word = self.need(&place)?;
            let byte = match (word.strip_prefix("0x"), all_hex) {
                (Some(digits), _) => u8::from_str_radix(digits, 16),
                (None, true) => u8::from_str_radix(word, 16),
                (None, false) => word.parse(),
            };
            let help = "bytes are 0 to 255, hexadecimal after 0x or the word hex";
            bytes.push(byte.map_err(|_| usage(format!("{place} is no byte"), word, help))?);
        }
        Ok(bytes)
    }

    /// The next word, if it is this one in full.
    pub fn take_exact(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        self.next += usize::from(there);
        there
    }
}

fn ambiguous(class: &str, what: &str, ids: &[u32]) -> Diagnostic {
    let listed: Vec<String> = ids.iter().map(u32::to_string).collect();
    Diagnostic::new("ambiguous", format!("several {class}s are called so"))
        .at(At::Named(what.to_owned()))
        .help(format!("name one by its number: id {}", listed.join(", id ")))
}

fn not_there(class: &str, what: &str) -> Diagnostic {
    Diagnostic::new("not-found", format!("there is no such {class}")).at(At::Named(what.to_owned()))
}

impl Session<'_> {
    /// Refuses what is pinned and whose card has gone.
    fn living(&self, object: Object, path: &str) -> Result<(), Diagnostic> {
        match self.system.is_orphan(object) {
            true => Err(refused("its card has gone", Errno::ENODEV, path)),
            false => Ok(()),
        }
    }

    /// Numbers of the maps that the next words name.
    ///
    /// # Errors
    /// `usage`; no such map.
    pub(super) fn maps_of(&mut self, words: &mut Words<'_>) -> Result<Vec<u32>, Diagnostic> {
        let infos = |session: &Session<'_>| -> Vec<MapInfo> {
            session.system.ids(Class::Map).into_iter().filter_map(|id| session.system.map_info(id)).collect()
        };
        if words.take("id") {
            let id = words.number("the map's number")?;
            let there = self.system.map_info(id).is_some();
            return if there { Ok(vec![id]) } else { Err(not_there("map", &format!("id {id}"))) };
        }
        if words.take("name") {
            let name = words.need("the map's name")?;
            let ids: Vec<u32> = infos(self).into_iter().filter(|info| info.name == name).map(|info| info.id).collect();
            return if ids.is_empty() { Err(not_there("map", &format!("name {name}"))) } else { Ok(ids) };
        }
        if words.take("pinned") {
            let path = words.need("the path")?;
            return match self.system.fs().get(path) {
                Ok(Object::Map(id)) => self.living(Object::Map(id), path).map(|()| vec![id]),
                Ok(_) => Err(Diagnostic::new("not-a-map", "what is pinned there is no map").at(At::Named(path.into()))),
                Err(errno) => Err(refused("nothing can be opened", errno, path)),
            };
        }
        Err(words.unexpected("id, name or pinned"))
    }

    /// The map that the next words name.
    ///
    /// # Errors
    /// As [`Session::maps_of`]; several.
    pub(super) fn map_of(&mut self, words: &mut Words<'_>) -> Result<(Fd, MapInfo), Diagnostic> {
        let before = words.next;
        let ids = self.maps_of(words)?;
        let [id] = ids[..] else { return Err(ambiguous("map", &words.words[before..words.next].join(" "), &ids)) };
        let fd = self.system.fd_by_id(self.actor, Class::Map, id, 0);
        let fd = fd.map_err(|errno| refused("the map cannot be opened", errno, id.to_string()))?;
        Ok((fd, self.system.map_info(id).expect("it was just opened")))
    }

    /// Numbers of the programs that the next words name.
    ///
    /// # Errors
    /// As [`Session::maps_of`].
    pub(super) fn progs_of(&mut self, words: &mut Words<'_>) -> Result<Vec<u32>, Diagnostic> {
        let all = |session: &Session<'_>, keep: &dyn Fn(&ProgInfo) -> bool| -> Vec<u32> {
            let infos = session.system.ids(Class::Prog).into_iter().filter_map(|id| session.system.prog_info(id));
            infos.filter(|info| keep(info)).map(|info| info.id).collect()
        };
        if words.take("id") {
            let id = words.number("the program's number")?;
            let there = self.system.prog_info(id).is_some();
            return if there { Ok(vec![id]) } else { Err(not_there("program", &format!("id {id}"))) };
        }
        for (word, what) in [("tag", "the program's tag"), ("name", "the program's name")] {
            if words.take(word) {
                let wanted = words.need(what)?;
                let ids = all(self, &|info| if word == "tag" { hex(&info.tag) == wanted } else { info.name == wanted });
                let known = !ids.is_empty();
                return if known { Ok(ids) } else { Err(not_there("program", &format!("{word} {wanted}"))) };
            }
        }
        if words.take("pinned") {
            let path = words.need("the path")?;
            return match self.system.fs().get(path) {
                Ok(Object::Prog(id)) => self.living(Object::Prog(id), path).map(|()| vec![id]),
                Ok(_) => {
                    Err(Diagnostic::new("not-a-program", "what is pinned there is no program")
                        .at(At::Named(path.into())))
                }
                Err(errno) => Err(refused("nothing can be opened", errno, path)),
            };
        }
        Err(words.unexpected("id, tag, name or pinned"))
    }

    /// The program that the next words name.
    ///
    /// # Errors
    /// As [`Session::map_of`].
    pub(super) fn prog_of(&mut self, words: &mut Words<'_>) -> Result<(Fd, ProgInfo), Diagnostic> {
        let before = words.next;
        let ids = self.progs_of(words)?;
        let [id] = ids[..] else { return Err(ambiguous("program", &words.words[before..words.next].join(" "), &ids)) };
        let fd = self.system.fd_by_id(self.actor, Class::Prog, id, 0);
        let fd = fd.map_err(|errno| refused("the program cannot be opened", errno, id.to_string()))?;
        Ok((fd, self.system.prog_info(id).expect("it was just opened")))
    }
}
