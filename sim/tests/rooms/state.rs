//! Commands on saved states: the state file, and the nouns `prog` and `map` beside bpftool itself where it is there.

use std::path::PathBuf;
use std::process::Command;

use bpf::diag::Diagnostic;
use serde_json::Value;
use sim::bpftool::{Answer, Session, map, prog, tree};
use sim::state;

use crate::support::scenario::scenarios;

#[path = "../../../bpf/tests/fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/state.rs"]
mod fuzz;

/// A state as its file, which every command reads and writes.
struct State(String);

type Noun = fn(&mut Session<'_>, &[String]) -> Result<Answer, Diagnostic>;

fn read(file: &str) -> Result<Vec<u8>, Diagnostic> {
    Ok(std::fs::read(file).unwrap())
}

impl State {
    fn new() -> State {
        State::with(1)
    }

    fn with(processors: u32) -> State {
        State(state::to_text(state::new(processors)))
    }

    fn run(&mut self, noun: Noun, json: bool, pins: bool, words: &str) -> Result<Answer, Diagnostic> {
        let mut system = state::from_text(&self.0).unwrap();
        let actor = system.actor();
        let mut session = Session { system: &mut system, actor, json, pins, read: &read };
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let answer = noun(&mut session, &words)?;
        let text = state::to_text(system);
        // What only looks changes nothing.
        assert!(answer.changed || text == self.0, "{words:?}");
        self.0 = text;
        Ok(answer)
    }

    fn map(&mut self, words: &str) -> Answer {
        self.run(map, true, true, words).unwrap_or_else(|why| panic!("map {words}: {why}"))
    }

    fn prog(&mut self, words: &str) -> Answer {
        self.run(prog, true, true, words).unwrap_or_else(|why| panic!("prog {words}: {why}"))
    }
}

fn object(name: &str) -> String {
    let path = scenarios().join("programs").join(name);
    path.to_str().unwrap().to_owned()
}

fn packet(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("state-packet-{}-{test}", std::process::id()));
    std::fs::write(&path, [0; 64]).unwrap();
    path
}

#[test]
fn a_program_is_loaded_run_and_forgotten() {
    let mut state = State::new();
    state.prog(&format!("load {} /sys/fs/bpf/fw", object("firewall.bpf.o")));
    let shown = state.prog("show pinned /sys/fs/bpf/fw").json;
    assert_eq!((&shown["type"], &shown["name"], &shown["id"]), (&"xdp".into(), &"xdp_firewall".into(), &1.into()));
    assert_eq!(shown["pinned"], serde_json::json!(["/sys/fs/bpf/fw"]));
    let packet = packet("run");
    let ran = state.prog(&format!("run id 1 data_in {} data_out out repeat 3", packet.display()));
    assert_eq!(ran.json["retval"], 2);
    assert_eq!(ran.files, [("out".to_owned(), vec![0; 64])]);
    std::fs::remove_file(packet).unwrap();
    // What the runs counted is in the map, and in the file: slot 4 is what is no IP.
    let counted = state.map("dump name counters").json;
    assert_eq!(counted[4]["formatted"], serde_json::json!({ "key": 4, "value": { "packets": 3, "bytes": 192 } }));
    state.map("pin name counters /sys/fs/bpf/counters");
    state.run(tree, false, false, "rm /sys/fs/bpf/fw").unwrap();
    assert_eq!(state.prog("show").json, serde_json::json!([]));
    // The map that was pinned lives on without the program, and keeps its types; the other is gone.
    let left = state.map("show").json;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!((&left[0]["name"], &left[0]["id"]), (&"counters".into(), &2.into()));
    assert_eq!(state.map("lookup name counters key 4 0 0 0").json["formatted"]["value"]["packets"], 3);
    // A new program takes the map over, state and all, and has a number of its own.
    state.prog(&format!("load {} /sys/fs/bpf/fw map name counters id 2", object("firewall.bpf.o")));
    let shown = state.prog("show name xdp_firewall").json;
    assert_eq!((&shown["id"], &shown["map_ids"][0]), (&2.into(), &2.into()));
}

#[test]
fn words_that_are_wrong_are_refused_by_name() {
    let mut state = State::new();
    state.map("create /sys/fs/bpf/m type hash key 4 value 8 entries 5 name m");
    for (noun, words, wanted) in [
        (map as Noun, "show name nope", "no such map"),
        (map, "show id 7", "no such map"),
        (map, "frob", "expected show"),
        (map, "update name m key 1 2 3", "missing"),
        (map, "update name m key 1 2 3 4 value 1 2 3 4 5 6 7 256", "no byte"),
        (map, "lookup name m key hex 1 2 3 zz", "no byte"),
        (map, "create /sys/fs/bpf/m type hash key 4 value 8 entries 5", "EEXIST"),
        (map, "create /elsewhere type hash key 4 value 8 entries 5", "EPERM"),
        (map, "create /sys/fs/bpf/n type hash key 0 value 8 entries 5", "EINVAL"),
        (map, "create /sys/fs/bpf/n type nope key 4 value 8 entries 5", "no such type"),
        (map, "delete name m key 1 2 3 4", "ENOENT"),
        (map, "lookup name m key 1 2 3 4 5", "nothing more"),
        (prog, "show tag 00", "no such program"),
        (prog, "dump jited id 1", "not compiled"),
        (prog, "run id 1", "no such program"),
        (prog, "pin pinned /sys/fs/bpf/m /sys/fs/bpf/p", "no program"),
        (tree, "rmdir /sys/fs/bpf/m", "ENOTDIR"),
        (tree, "mkdir /sys/fs/bpf/a.b", "EPERM"),
    ] {
        let why = state.run(noun, false, false, words).expect_err(words);
        assert!(why.to_string().contains(wanted), "{words}: {why}");
    }
}

/// What is done to a sound state, how, and what is then said of it.
type Broken<'a> = (&'a str, &'a dyn Fn(&mut Value), &'a str);

#[test]
fn states_that_are_none_are_refused() {
    let mut good = State::new();
    good.prog(&format!("load {} /sys/fs/bpf/fw", object("firewall.bpf.o")));
    good.map("create /sys/fs/bpf/a type prog_array key 4 value 4 entries 2 name a");
    good.map("update name a key 0 0 0 0 value id 1");
    fuzz::text(good.0.as_bytes());
    let parsed: Value = serde_json::from_str(&good.0).unwrap();
    let broken: [Broken<'_>; 14] = [
        ("version", &|state| state["version"] = 2.into(), "another version"),
        ("a field nobody knows", &|state| state["more"] = 1.into(), "unknown field"),
        ("processors", &|state| state["processors"] = 0.into(), "no such machine"),
        ("a number that was never given", &|state| state["last"]["map"] = 1.into(), "never given"),
        ("types", &|state| state["btfs"][0]["bytes"] = "9feb".into(), "btf 1"),
        ("kind of map", &|state| state["maps"][0]["spec"]["type"] = "nope".into(), "no type of maps"),
        ("definition", &|state| state["maps"][0]["spec"]["key_size"] = 0.into(), "EINVAL"),
        ("memory", &|state| state["maps"][0]["memory"] = serde_json::json!([[1u64 << 40, "00"]]), "its memory"),
        (
            "instructions",
            &|state| state["programs"][0]["insns"] = "9500000000000000".into(),
            "none of its instructions",
        ),
        (
            "a program that is not safe",
            &|state| {
                state["programs"][0]["insns"] = "61110000000000009500000000000000".into();
                state["programs"][0]["maps"] = serde_json::json!([]);
                state["programs"][0]["lines"] = serde_json::json!([]);
                state["maps"][0]["memory"] = serde_json::json!([]);
            },
            "R0 !read_ok",
        ),
        ("a slot's program", &|state| state["maps"][2]["memory"] = serde_json::json!([[0, "07000000"]]), "a slot"),
        ("a pin of nothing", &|state| state["tree"]["inodes"][2]["program"] = 9.into(), "what is not there"),
        (
            "a name",
            &|state| state["tree"]["inodes"][0]["directory"] = serde_json::json!({ "a/b": 2, "fw": 3 }),
            "no name",
        ),
        (
            "files nobody names",
            &|state| state["tree"]["inodes"][0]["directory"] = serde_json::json!({}),
            "no directory",
        ),
    ];
    for (what, change, wanted) in broken {
        let mut state = parsed.clone();
        change(&mut state);
        let why = state::from_text(&state.to_string()).expect_err(what);
        assert!(why.to_string().contains(wanted), "{what}: {why}");
    }
}

#[test]
fn the_corpus_passes() {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), "state", fuzz::text);
}

/// The running kernel's tool, in a bpf file system of the test's own that goes with it.
struct Theirs(String);

impl Theirs {
    /// Runs a script of lines `NOUN WORDS`, each command's JSON on a line; `None` after a line that says why not.
    fn run(test: &str, lines: &[String]) -> Option<Vec<Value>> {
        let script: String = lines.iter().map(|line| format!("bpftool -fj {line} || true; echo\n")).collect();
        let script = format!("set -e\nmkdir -p /sys/fs/bpf\nmount -t bpf bpf /sys/fs/bpf\n{script}");
        let ran = Command::new("unshare").args(["--mount", "--net", "sh", "-c", &script]).output();
        let usable = ran.as_ref().is_ok_and(|ran| ran.status.success());
        if !usable {
            assert!(
                std::env::var_os("REQUIRE_BPF").is_none() || Command::new("bpftool").output().is_err(),
                "{test}: {ran:?}"
            );
            eprintln!("SKIPPED {test}: bpftool cannot be run in a mount of its own");
            return None;
        }
        let out = Theirs(String::from_utf8(ran.ok()?.stdout).unwrap());
        let answers = out.0.lines().filter(|line| !line.is_empty());
        Some(answers.map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line))).collect())
    }
}

/// Takes out what is a kernel's own: numbers of objects, sizes of its structures, times.
fn comparable(mut json: Value) -> Value {
    const OWN: [&str; 12] = [
        "id",
        "btf_id",
        "map_ids",
        "bytes_memlock",
        "bytes_xlated",
        "bytes_jited",
        "jited",
        "owner_jited",
        "loaded_at",
        "uid",
        "duration",
        "instructions",
    ];
    match &mut json {
        Value::Object(fields) => {
            OWN.iter().for_each(|own| drop(fields.remove(*own)));
            fields.values_mut().for_each(|value| *value = comparable(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = comparable(item.take())),
        _ => {}
    }
    json
}

/// The same commands by bpftool on the running kernel: the same JSON, but for what is its own.
#[test]
fn answers_are_bpftools() {
    let packet = packet("bpftool");
    let packet = packet.display();
    let mut lines: Vec<String> = vec![
        format!("prog load {} /sys/fs/bpf/fw", object("firewall.bpf.o")),
        format!("prog load {} /sys/fs/bpf/drop", object("drop.bpf.o")),
        "prog show pinned /sys/fs/bpf/fw".into(),
        "prog show pinned /sys/fs/bpf/drop".into(),
        format!("prog run pinned /sys/fs/bpf/fw data_in {packet} repeat 2"),
        "map show name counters".into(),
    ];
    let maps = [
        ("h", "hash key 4 value 8 entries 5", ""),
        ("ph", "percpu_hash key 4 value 3 entries 5", ""),
        ("a", "array key 4 value 20 entries 2", ""),
        ("l", "lpm_trie key 8 value 4 entries 4", " flags 1"),
        ("q", "queue key 0 value 4 entries 3", ""),
        ("p", "prog_array key 4 value 4 entries 2", ""),
    ];
    for (name, shape, flags) in maps {
        let keyless = shape.replace("key 0 ", "");
        lines.push(format!("map create /sys/fs/bpf/{name} type {keyless} name {name}{flags}"));
    }
    lines.extend(
        [
            "map update name h key 1 2 3 4 value 1 2 3 4 5 6 7 8",
            "map dump name h",
            "map lookup name h key 1 2 3 4",
            "map lookup name h key hex 01 02 03 05",
            "map getnext name h",
            "map update name ph key hex 0a 0 0 0 value 0xff 1 2",
            "map dump name ph",
            "map lookup name ph key 10 0 0 0",
            "map dump name a",
            "map getnext name a key 0 0 0 0",
            "map update name l key 8 0 0 0 10 0 0 0 value 1 1 1 1",
            "map dump name l",
            "map push name q value 1 2 3 4",
            "map push name q value 1 2 3 5",
            "map peek name q",
            "map pop name q",
            "map dump name q",
            "map update name p key 0 0 0 0 value pinned /sys/fs/bpf/fw",
            "map show name p",
            "map dump name counters",
            "map lookup name counters key 4 0 0 0",
            "map freeze name h",
            "map show name h",
            "map pin name h /sys/fs/bpf/h2",
            "map show name h",
            "map delete name ph key 10 0 0 0",
            "map dump name ph",
        ]
        .map(str::to_owned),
    );
    let Some(theirs) = Theirs::run("answers_are_bpftools", &lines) else { return };
    assert_eq!(theirs.len(), lines.len(), "{theirs:#?}");
    let cpus = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let cpus = cpus.trim().rsplit('-').next().and_then(|last| last.parse::<u32>().ok()).map_or(1, |last| last + 1);
    let mut state = State::with(cpus);
    for (line, theirs) in lines.iter().zip(theirs) {
        let (noun, words) = line.split_once(' ').unwrap();
        let noun = if noun == "map" { map as Noun } else { prog };
        let ours = state.run(noun, true, true, words).unwrap_or_else(|why| panic!("{line}: {why}")).json;
        // A tool of another version may list what is found by name, even if it is one.
        let theirs = match theirs {
            Value::Array(mut one) if ours.is_object() && one.len() == 1 => one.remove(0),
            theirs => theirs,
        };
        assert_eq!(comparable(ours), comparable(theirs), "{line}");
    }
    std::fs::remove_file(packet.to_string()).unwrap();
}
