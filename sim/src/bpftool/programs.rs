//! The noun `prog`.

use std::fmt::Write;

use bpf::diag::{At, Diagnostic};
use bpf::env::FixedEnv;
use bpf::object::Object as ElfObject;
use bpf::program::ProgType;
use bpf::syscall::{Class, Fd, LoadOptions, Object, ProgInfo, TestRun, hex};
use serde_json::{Map as Fields, Value, json};

use super::net::device_fields;
use super::words::Words;
use super::xlated::{Listing, Show};
use super::{Answer, Session, bytes, explained, refused};

/// The verbs.
const VERBS: &str = "show, list, dump, pin, load, loadall or run";

/// Names of types as libbpf takes them for sections, and bpftool on its command line.
const TYPES: [(&str, ProgType); 8] = [
    ("socket", ProgType::SocketFilter),
    ("socket_filter", ProgType::SocketFilter),
    ("classifier", ProgType::SchedCls),
    ("sched_cls", ProgType::SchedCls),
    ("tc", ProgType::SchedCls),
    ("action", ProgType::SchedAct),
    ("sched_act", ProgType::SchedAct),
    ("xdp", ProgType::Xdp),
];

/// Runs `prog VERB ...`.
///
/// # Errors
/// Words that are none of a command's; what Linux refuses; files that cannot be read.
pub fn prog(session: &mut Session<'_>, words: &[String]) -> Result<Answer, Diagnostic> {
    let mut words = Words::new(words);
    let words = &mut words;
    match words.peek() {
        None => show(session, words),
        Some(_) if words.take_exact("loadall") => load(session, words, true),
        Some(_) if words.take("show") || words.take("list") => show(session, words),
        Some(_) if words.take("dump") => dump(session, words),
        Some(_) if words.take("pin") => pin(session, words),
        Some(_) if words.take("load") => load(session, words, false),
        Some(_) if words.take("run") => run(session, words),
        Some(_) => Err(words.unexpected(VERBS)),
    }
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let one = !words.is_empty();
    let ids = if one { session.progs_of(words)? } else { session.system.ids(Class::Prog) };
    words.end()?;
    let infos = ids.into_iter().filter_map(|id| session.system.prog_info(id));
    Ok(Answer::shown(one, infos.map(|info| (fields(session, &info), line(session, &info)))))
}

/// Seconds since the machine's beginning.
const NANOSECONDS: u64 = 1_000_000_000;

fn fields(session: &Session<'_>, info: &ProgInfo) -> Value {
    let mut map = Fields::new();
    map.insert("id".into(), json!(info.id));
    map.insert("type".into(), json!(info.ty.to_string()));
    if !info.name.is_empty() {
        map.insert("name".into(), json!(info.name));
    }
    map.insert("tag".into(), json!(hex(&info.tag)));
    map.insert("gpl_compatible".into(), json!(info.gpl_compatible));
    if let Some(device) = &info.device {
        map.insert("dev".into(), device_fields(session, device.ifindex));
    }
    map.insert("loaded_at".into(), json!(info.loaded_at / NANOSECONDS));
    map.insert("uid".into(), json!(0));
    map.insert("bytes_xlated".into(), json!(info.xlated));
    map.insert("jited".into(), json!(info.jited > 0));
    if info.jited > 0 {
        map.insert("bytes_jited".into(), json!(info.jited));
    }
    if !info.maps.is_empty() {
        map.insert("map_ids".into(), json!(info.maps));
    }
    if let Some(btf) = info.btf {
        map.insert("btf_id".into(), json!(btf));
    }
    if session.pins && session.any_pinned(|object| matches!(object, Object::Prog(_))) {
        map.insert("pinned".into(), json!(session.system.pins_of(Object::Prog(info.id))));
    }
    Value::Object(map)
}

fn line(session: &Session<'_>, info: &ProgInfo) -> String {
    let mut text = format!("{}: {}  ", info.id, info.ty);
    if !info.name.is_empty() {
        let _ = write!(text, "name {}  ", info.name);
    }
    let _ = write!(text, "tag {}{}", hex(&info.tag), if info.gpl_compatible { "  gpl" } else { "" });
    if let Some(device) = &info.device {
        let _ = write!(text, "  offloaded_to {}", session.device_name(device.ifindex));
    }
    text.push('\n');
    let _ = writeln!(text, "\tloaded_at {} s  uid 0", info.loaded_at / NANOSECONDS);
    let jited = if info.jited > 0 { format!("jited {}B", info.jited) } else { "not jited".to_owned() };
    let _ = write!(text, "\txlated {}B  {jited}", info.xlated);
    if !info.maps.is_empty() {
        let ids: Vec<String> = info.maps.iter().map(u32::to_string).collect();
        let _ = write!(text, "  map_ids {}", ids.join(","));
    }
    text.push('\n');
    if session.pins {
        for path in session.system.pins_of(Object::Prog(info.id)) {
            let _ = writeln!(text, "\tpinned {path}");
        }
    }
    if let Some(btf) = info.btf {
        let _ = writeln!(text, "\tbtf_id {btf}");
    }
    text
}

fn dump(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    if words.take("jited") {
        let found = session.prog_of(words);
        if let Ok((_, info)) = found
            && let Some(image) = session.system.image(info.id)
        {
            let image = image.to_vec();
            if words.take("file") {
                let file = words.need("the file to write")?.to_owned();
                return Ok(Answer { files: vec![(file, image)], ..Answer::default() });
            }
            words.end()?;
            let word = |bytes: &[u8]| {
                format!("{:#x}", bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte)))
            };
            let lines: Vec<String> = image.chunks(8).map(word).collect();
            let text = lines.iter().enumerate().map(|(at, line)| format!("{at:4}: {line}\n")).collect();
            return Ok(Answer { text, json: json!(lines), ..Answer::default() });
        }
        return Err(Diagnostic::new("not-jited", "programs are not compiled for a host here")
            .help("dump xlated; sim check says what a card makes of a program"));
    }
    if !words.take("xlated") {
        return Err(words.unexpected("xlated"));
    }
    let (_, info) = session.prog_of(words)?;
    let program = session.system.program(info.id).expect("it was just found").xlated();
    let (mut show, mut file) = (Show::default(), None);
    if words.take("visual") {
        words.end()?;
        if session.json {
            return Err(Diagnostic::new("visual-json", "a graph is no JSON").help("leave out --json"));
        }
        return Ok(Answer { text: Listing::new(program, &info, show).graph(), ..Answer::default() });
    }
    while !words.is_empty() {
        if words.take("file") {
            file = Some(words.need("the file to write")?.to_owned());
        } else if words.take("opcodes") {
            show.opcodes = true;
        } else if words.take("linum") {
            show.linum = true;
        } else {
            return Err(words.unexpected("file, opcodes, linum or visual"));
        }
    }
    let listing = Listing::new(program, &info, show);
    if let Some(file) = file {
        return Ok(Answer { files: vec![(file, listing.image())], ..Answer::default() });
    }
    let json = if session.json { listing.json() } else { Value::Null };
    Ok(Answer { text: listing.text(), json, ..Answer::default() })
}

fn pin(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, _) = session.prog_of(words)?;
    let path = words.need("the path to pin it at")?;
    words.end()?;
    pin_at(session, fd, path)?;
    Ok(Answer { changed: true, ..Answer::default() })
}

fn pin_at(session: &mut Session<'_>, fd: Fd, path: &str) -> Result<(), Diagnostic> {
    let done = session.system.pin(session.actor, fd, path);
    done.map_err(|errno| refused("the object cannot be pinned", errno, path).help("pin it below /sys/fs/bpf"))
}

/// The name that libbpf gives to an object: its file's up to the first dot.
fn object_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

fn load(session: &mut Session<'_>, words: &mut Words<'_>, all: bool) -> Result<Answer, Diagnostic> {
    let file = words.need("the object")?;
    let path = words.need("the path to pin it at")?;
    let data = (session.read)(file)?;
    let in_file = |mut why: Diagnostic| {
        let at = why.at.as_ref().map_or(file.to_owned(), |at| format!("{file}: {at}"));
        why.at = Some(match why.at.take() {
            // Its place has more to show.
            Some(place @ At::Insn { .. }) => place,
            _ => At::Named(at),
        });
        why
    };
    let object = ElfObject::parse(&data).map_err(in_file)?.named(object_name(file));
    let (mut load, mut pin_maps) = (LoadOptions::default(), None);
    while !words.is_empty() {
        if words.take("type") {
            let name = words.need("the programs' type")?;
            let known = TYPES.iter().find(|(known, _)| *known == name.trim_end_matches('/'));
            let known = known.ok_or_else(|| {
                let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
                Diagnostic::new("usage", "there is no such type of programs")
                    .at(At::Named(name.to_owned()))
                    .help(format!("use one of: {}", names.join(", ")))
            })?;
            load.ty = Some(known.1);
        } else if words.take("map") {
            let name = if words.take("idx") {
                let index = words.number("the map's place in the object")?;
                object.map_name(index as usize)
            } else if words.take("name") {
                words.need("the map's name in the object")?.to_owned()
            } else {
                return Err(words.unexpected("idx or name"));
            };
            let known = (0..object.maps().len()).any(|index| object.map_name(index) == name);
            if !known {
                return Err(Diagnostic::new("not-found", "the object has no such map").at(At::Named(name)));
            }
            let (fd, _) = session.map_of(words)?;
            load.maps.insert(name, fd);
        } else if words.take("pinmaps") {
            pin_maps = Some(words.need("the directory for maps")?);
        } else if words.take("dev") || words.take_exact("offload_dev") {
            load.ifindex = session.device_of(words)?;
        } else {
            return Err(words.unexpected("type, map, dev or pinmaps"));
        }
    }
    let loaded = session.system.load_object(session.actor, &object, &data, &load);
    let loaded = loaded.map_err(|why| in_file(explained(why)))?;
    if loaded.programs.is_empty() {
        return Err(in_file(Diagnostic::new("object-empty", "the object has no programs to load")));
    }
    if let Some(directory) = pin_maps {
        make_directory(session, directory)?;
        for (name, fd) in &loaded.maps {
            pin_at(session, *fd, &format!("{directory}/{}", name.replace('.', "_")))?;
        }
    }
    match all {
        true => {
            make_directory(session, path)?;
            for (name, fd) in &loaded.programs {
                pin_at(session, *fd, &format!("{path}/{}", name.replace('.', "_")))?;
            }
        }
        false => pin_at(session, loaded.programs[0].1, path)?,
    }
    Ok(Answer { changed: true, ..Answer::default() })
}

/// A directory for pins, unless it is there.
fn make_directory(session: &mut Session<'_>, path: &str) -> Result<(), Diagnostic> {
    if session.system.fs().takes_pins(path) {
        return Ok(());
    }
    let made = session.system.mkdir(path, 0o700);
    made.map_err(|errno| refused("the directory cannot be made", errno, path).help("make it below /sys/fs/bpf"))
}

/// Most runs of a program that one command makes.
const MOST_RUNS: u32 = 10_000_000;

fn run(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.prog_of(words)?;
    let (mut data, mut context, mut repeat) = (None, None, 1);
    let (mut data_out, mut context_out, mut sizes) = (None, None, [usize::MAX; 2]);
    while !words.is_empty() {
        // Longer words first: each may be cut short.
        if words.take_exact("data_size_out") {
            sizes[0] = words.number("the size of the packet")? as usize;
        } else if words.take_exact("ctx_size_out") {
            sizes[1] = words.number("the size of the context")? as usize;
        } else if words.take("data_in") {
            data = Some((session.read)(words.need("the file of the packet")?)?);
        } else if words.take("data_out") {
            data_out = Some(words.need("the file for the packet")?.to_owned());
        } else if words.take("ctx_in") {
            context = Some((session.read)(words.need("the file of the context")?)?);
        } else if words.take("ctx_out") {
            context_out = Some(words.need("the file for the context")?.to_owned());
        } else if words.take("repeat") {
            repeat = words.number("the number of runs")?;
        } else {
            return Err(words.unexpected("data_in, data_out, data_size_out, ctx_in, ctx_out, ctx_size_out or repeat"));
        }
    }
    if repeat > MOST_RUNS {
        return Err(Diagnostic::new("run-too-long", "the program would run too often")
            .limit(format!("{MOST_RUNS} runs"), repeat)
            .help("sim run scenarios with as many packets as you like"));
    }
    let run = TestRun { data: &data.unwrap_or_default(), context: context.as_deref(), repeat };
    let answer = session.system.test_run(session.actor, fd, run, &mut FixedEnv::default()).map_err(explained)?;
    if let Some(fault) = answer.fault {
        return Err(Diagnostic::new("program-fault", format!("the run ended with a fault: {fault}"))
            .at(At::Named(format!("program {}", info.id))));
    }
    let each = answer.retired / u64::from(repeat.max(1));
    let (mut text, mut fields, mut files) = (String::new(), Fields::new(), Vec::new());
    let outputs = [("data_out", data_out, &answer.data), ("ctx_out", context_out, &answer.context)];
    for ((name, file, out), size) in outputs.into_iter().zip(sizes) {
        let Some(file) = file else { continue };
        if out.len() > size {
            return Err(Diagnostic::new("out-too-small", format!("ENOSPC: {name} does not fit"))
                .limit(format!("{size} bytes"), format!("{} bytes", out.len())));
        }
        match file.as_str() {
            "-" => {
                text += &bytes::dump(out);
                fields.insert(name.into(), json!(out));
            }
            _ => files.push((file, out.clone())),
        }
    }
    let average = if repeat > 1 { " (average)" } else { "" };
    let _ = writeln!(text, "Return value: {}, instructions{average}: {each}", answer.retval);
    fields.insert("retval".into(), json!(answer.retval));
    fields.insert("instructions".into(), json!(each));
    Ok(Answer { text, json: Value::Object(fields), files, changed: true, ..Answer::default() })
}
