//! The shape of the house: which crate may use which, rooms without cycles, files that can be read in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates, and what each may use of the others.
const CRATES: [(&str, &[&str]); 4] = [
    ("bpf", &[]),
    ("nic-model", &["bpf"]),
    ("offload-jit", &["bpf", "nic-model"]),
    ("sim", &["bpf", "nic-model", "offload-jit"]),
];

/// Lines a file may have.
const LINES: usize = 650;

/// Rooms of a crate, and which others each names.
type Rooms = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file under a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.map(|entry| entry.expect("the directory is readable").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The code of a file, without comments and without what only tests see.
fn code(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line.split(" // ").next().unwrap_or(line));
            kept.push('\n');
            continue;
        }
        // The item: up to its semicolon, or to the brace that closes it at the attribute's own depth.
        let indent = line.len() - line.trim_start().len();
        for line in lines.by_ref() {
            let body = line.trim();
            if body.starts_with("#[") {
                continue;
            }
            if body.ends_with(';') && line.starts_with(|c: char| !c.is_whitespace()) && !body.contains('{') {
                break;
            }
            if line.len() - line.trim_start().len() == indent && (body.starts_with('}') || body.ends_with(';')) {
                break;
            }
        }
    }
    kept
}

/// The first names of what stands after `crate::`: one, or those of a braced list.
fn first_names(after: &str) -> Vec<&str> {
    let name = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let Some(list) = after.strip_prefix('{') else { return vec![&after[..name(after)]] };
    let (mut depth, mut start, mut names) = (0, true, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                names.push(&list[at..at + name(&list[at..])]);
                start = false;
            }
            _ => {}
        }
    }
    names
}

/// What a file names of the crate's root; `depth` is how many modules stand between the file's own and the root.
fn names<'a>(code: &'a str, depth: usize) -> Vec<&'a str> {
    let up = "super::".repeat(depth);
    let from_root = code.match_indices("crate::").map(|(at, word)| (at, at + word.len()));
    let from_here = code.match_indices(&up).map(|(at, word)| (at, at + word.len()));
    let whole = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
    let mut found: Vec<&'a str> =
        from_root.filter(|(at, _)| whole(*at)).flat_map(|(_, end)| first_names(&code[end..])).collect();
    if depth > 0 {
        found.extend(from_here.filter(|(at, _)| whole(*at)).flat_map(|(_, end)| first_names(&code[end..])));
    }
    found
}

/// The rooms of a crate: the modules its `lib.rs` declares, with the other rooms that their files name.
fn rooms(krate: &str) -> Rooms {
    let src = root().join(krate).join("src");
    let files = sources(&src);
    let parts = |file: &Path| -> Vec<String> {
        let relative = file.strip_prefix(&src).expect("found under src").with_extension("");
        relative.iter().map(|part| part.to_str().expect("names are ASCII").to_owned()).collect()
    };
    let mut rooms: Rooms = files
        .iter()
        .map(|file| parts(file).remove(0))
        .filter(|room| room != "lib" && room != "main")
        .map(|room| (room, BTreeSet::new()))
        .collect();
    let all: BTreeSet<String> = rooms.keys().cloned().collect();
    for file in &files {
        let parts = parts(file);
        let Some(edges) = rooms.get_mut(&parts[0]) else { continue };
        if parts.iter().any(|part| part == "tests") {
            continue;
        }
        let depth = parts.iter().filter(|part| *part != "mod").count();
        let code = code(&fs::read_to_string(file).expect("a source is readable"));
        for name in names(&code, depth).into_iter().filter(|name| *name != parts[0] && *name != "super") {
            assert!(all.contains(name), "{}: `crate::{name}` is no room; name the room it stands in", file.display());
            edges.insert(name.to_owned());
        }
    }
    rooms
}

/// The rooms of a cycle in order, the first again at the end; `None` if there is none.
fn cycle(rooms: &Rooms) -> Option<Vec<&str>> {
    fn walk<'a>(room: &'a str, rooms: &'a Rooms, path: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
        let again = path.iter().position(|on| *on == room);
        path.push(room);
        if let Some(start) = again {
            path.drain(..start);
            return true;
        }
        if done.insert(room) && rooms[room].iter().any(|next| walk(next, rooms, path, done)) {
            return true;
        }
        path.pop();
        false
    }
    let (mut path, mut done) = (Vec::new(), BTreeSet::new());
    rooms.keys().any(|room| walk(room, rooms, &mut path, &mut done)).then_some(path)
}

#[test]
fn no_room_is_in_a_cycle() {
    for (krate, _) in CRATES {
        let rooms = rooms(krate);
        assert!(rooms.values().any(|edges| !edges.is_empty()), "{krate}: no room uses another; is it read at all?");
        if let Some(cycle) = cycle(&rooms) {
            panic!("{krate}: rooms use each other in a circle: {}", cycle.join(" -> "));
        }
    }
}

#[test]
fn cycles_are_found() {
    let rooms = |edges: &[(&str, &[&str])]| -> Rooms {
        edges.iter().map(|(room, to)| (room.to_string(), to.iter().map(|to| to.to_string()).collect())).collect()
    };
    assert_eq!(cycle(&rooms(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    let circle = rooms(&[("a", &["b"]), ("b", &["c", "d"]), ("c", &[]), ("d", &["e"]), ("e", &["b"])]);
    assert_eq!(cycle(&circle), Some(vec!["b", "d", "e", "b"]));
}

#[test]
fn names_of_the_root_are_found() {
    let text = "\
use crate::{
    one::{Inner, deep::Deeper},
    two,
};
/// [`crate::comment::Link`]
use crate::three::Thing;
#[cfg(test)]
mod tests;
fn f(x: super::super::four::X) -> bool { $crate::macros::m!(); crate::five::g(x) } // crate::aside
#[cfg(test)]
mod more {
    use crate::six::Y;
}
use super::own::Z;
";
    assert_eq!(names(&code(text), 2), ["one", "two", "three", "macros", "five", "four"]);
    assert_eq!(names("use super::one::A; use super::super::no::B;", 1), ["one", "super"]);
}

#[test]
fn the_map_of_the_house_names_every_room() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the house has its map");
    for (krate, _) in CRATES {
        let (_, section) = text.split_once(&format!("\n### {krate}\n")).expect("every crate has a section");
        let section = section.split("\n##").next().expect("a first part");
        for room in rooms(krate).keys() {
            assert!(section.contains(&format!("`{room}`")), "ARCHITECTURE.md does not say what {krate}'s `{room}` is");
        }
    }
}

#[test]
fn crates_use_each_other_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo ran this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert_eq!(packages.len(), CRATES.len(), "a crate came or went: say here what it may use");
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let (_, may) = CRATES.iter().find(|(krate, _)| *krate == name).expect("a crate of the house");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let used = dependency["name"].as_str().expect("a dependency has a name");
            let ours = CRATES.iter().any(|(krate, _)| *krate == used);
            assert!(!ours || may.contains(&used), "{name} may not use {used}");
        }
    }
}

#[test]
fn files_can_be_read_in_one_go() {
    let mut read = 0;
    for file in CRATES.iter().flat_map(|(krate, _)| sources(&root().join(krate))) {
        let lines = fs::read_to_string(&file).expect("a source is readable").lines().count();
        assert!(lines <= LINES, "{}: {lines} lines; split it by meaning, at most {LINES}", file.display());
        read += 1;
    }
    assert!(read > 100, "only {read} files found");
}
