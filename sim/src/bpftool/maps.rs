//! The noun `map`.

use std::fmt::Write;

use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::maps::{BPF_ANY, BPF_EXIST, BPF_NOEXIST, Holds};
use bpf::program::{MapSpec, MapType};
use bpf::syscall::{Class, Fd, MapInfo, NewMap, Object};
use serde_json::{Map as Fields, Value, json};

use super::net::device_fields;
use super::types::Typed;
use super::words::Words;
use super::{Answer, Session, bytes, explained, refused};

/// The verbs.
const VERBS: &str =
    "show, list, create, dump, update, lookup, getnext, delete, pin, peek, push, pop, enqueue, dequeue or freeze";

/// Runs `map VERB ...`.
///
/// # Errors
/// Words that are none of a command's; what Linux refuses.
pub fn map(session: &mut Session<'_>, words: &[String]) -> Result<Answer, Diagnostic> {
    let mut words = Words::new(words);
    let words = &mut words;
    match words.peek() {
        None => show(session, words),
        // Beginnings of words will do, and the first in this order is meant.
        Some(_) if words.take("show") || words.take("list") => show(session, words),
        Some(_) if words.take("create") => create(session, words),
        Some(_) if words.take("dump") => dump(session, words),
        Some(_) if words.take("update") => update(session, words),
        Some(_) if words.take("lookup") => lookup(session, words),
        Some(_) if words.take("getnext") => getnext(session, words),
        Some(_) if words.take("delete") => delete(session, words),
        Some(_) if words.take("pin") => pin(session, words),
        Some(_) if words.take("peek") => peek(session, words),
        Some(_) if words.take("push") || words.take("enqueue") => push(session, words),
        Some(_) if words.take("pop") || words.take("dequeue") => pop(session, words),
        Some(_) if words.take("freeze") => freeze(session, words),
        Some(_) => Err(words.unexpected(VERBS)),
    }
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let one = !words.is_empty();
    let ids = if one { session.maps_of(words)? } else { session.system.ids(Class::Map) };
    words.end()?;
    let infos = ids.into_iter().filter_map(|id| session.system.map_info(id));
    Ok(Answer::shown(one, infos.map(|info| (fields(session, &info), line(session, &info)))))
}

fn fields(session: &Session<'_>, info: &MapInfo) -> Value {
    let mut map = Fields::new();
    map.insert("id".into(), json!(info.id));
    map.insert("type".into(), json!(info.ty.to_string()));
    if !info.name.is_empty() {
        map.insert("name".into(), json!(info.name));
    }
    map.insert("flags".into(), json!(info.flags));
    if let Some(device) = &info.device {
        map.insert("dev".into(), device_fields(session, device.ifindex));
    }
    map.insert("bytes_key".into(), json!(info.key_size));
    map.insert("bytes_value".into(), json!(info.value_size));
    map.insert("max_entries".into(), json!(info.max_entries));
    map.insert("bytes_memlock".into(), json!(info.memory));
    if let (MapType::PROG_ARRAY, Some(owner)) = (info.ty, info.owner) {
        map.insert("owner_prog_type".into(), json!(owner.ty.to_string()));
        map.insert("owner_jited".into(), json!(false));
    }
    map.insert("frozen".into(), json!(u32::from(info.frozen)));
    if let Some((btf, ..)) = info.types {
        map.insert("btf_id".into(), json!(btf));
    }
    if session.pins && session.any_pinned(|object| matches!(object, Object::Map(_))) {
        map.insert("pinned".into(), json!(session.system.pins_of(Object::Map(info.id))));
    }
    Value::Object(map)
}

fn line(session: &Session<'_>, info: &MapInfo) -> String {
    let mut text = format!("{}: {}  ", info.id, info.ty);
    if !info.name.is_empty() {
        let _ = write!(text, "name {}  ", info.name);
    }
    let _ = write!(text, "flags {:#x}", info.flags);
    if let Some(device) = &info.device {
        let _ = write!(text, "  offloaded_to {}", session.device_name(device.ifindex));
    }
    let _ = write!(
        text,
        "\n\tkey {}B  value {}B  max_entries {}  memlock {}B\n",
        info.key_size, info.value_size, info.max_entries, info.memory
    );
    if let (MapType::PROG_ARRAY, Some(owner)) = (info.ty, info.owner) {
        let _ = writeln!(text, "\towner_prog_type {}  owner not jited", owner.ty);
    }
    if session.pins {
        for path in session.system.pins_of(Object::Map(info.id)) {
            let _ = writeln!(text, "\tpinned {path}");
        }
    }
    let btf = info.types.map(|(btf, ..)| format!("btf_id {btf}"));
    let frozen = info.frozen.then(|| "frozen".to_owned());
    let last: Vec<String> = btf.into_iter().chain(frozen).collect();
    if !last.is_empty() {
        let _ = writeln!(text, "\t{}", last.join("  "));
    }
    text
}

fn create(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let path = words.need("the path to pin it at")?;
    let (mut spec, mut inner, mut ifindex) = (MapSpec::default(), None, 0);
    let mut ty = None;
    while !words.is_empty() {
        if words.take("type") {
            let name = words.need("the map's type")?;
            let number = MapType::NAMES.iter().position(|known| *known == name).filter(|number| *number > 0);
            ty = Some(MapType(number.ok_or_else(|| {
                Diagnostic::new("usage", "there is no such type of maps").at(At::Named(name.to_owned()))
            })? as u32));
        } else if words.take("key") {
            spec.key_size = words.number("the size of a key")?;
        } else if words.take("value") {
            spec.value_size = words.number("the size of a value")?;
        } else if words.take("entries") {
            spec.max_entries = words.number("the number of entries")?;
        } else if words.take("name") {
            spec.name = words.need("the map's name")?.chars().take(15).collect();
        } else if words.take("flags") {
            spec.flags = words.number("the flags")?;
        } else if words.take_exact("dev") || words.take_exact("offload_dev") {
            ifindex = session.device_of(words)?;
        } else if words.take("inner_map") {
            inner = Some(session.map_of(words)?.0);
        } else {
            return Err(words.unexpected("type, key, value, entries, name, flags, dev or inner_map"));
        }
    }
    spec.ty = ty.ok_or_else(|| {
        Diagnostic::new("usage", "the map's type is missing").at(At::Named("create".to_owned())).help("type TYPE")
    })?;
    let made = session.system.map_create(session.actor, &NewMap { spec, inner, ifindex, ..NewMap::default() });
    let fd = made.map_err(explained)?;
    session
        .system
        .pin(session.actor, fd, path)
        .map_err(|errno| refused("the map cannot be pinned", errno, path).help("pin it below /sys/fs/bpf"))?;
    Ok(Answer::changed())
}

/// One entry as text and as JSON.
fn entry(session: &Session<'_>, info: &MapInfo, key: &[u8], value: &[u8]) -> (String, Value) {
    let map = session.system.map(info.id).expect("information was just given");
    let typed = Typed::of(session.system, info);
    let mut fields = Fields::new();
    fields.insert("key".into(), bytes::json(key));
    let mut shown = Fields::new();
    if let Some(typed) = &typed {
        shown.insert("key".into(), typed.key(key));
    }
    let mut text = String::new();
    if map.kind().per_cpu {
        let slots: Vec<&[u8]> = value
            .chunks(info.value_size.next_multiple_of(8) as usize)
            .map(|slot| &slot[..info.value_size as usize])
            .collect();
        let each = |show: &dyn Fn(&[u8]) -> Value| -> Value {
            slots.iter().enumerate().map(|(cpu, slot)| json!({ "cpu": cpu, "value": show(slot) })).collect()
        };
        fields.insert("values".into(), each(&|slot| bytes::json(slot)));
        if let Some(typed) = &typed {
            shown.insert("values".into(), each(&|slot| typed.value(slot)));
        }
        let _ = writeln!(text, "key:\n{}", bytes::plain(key));
        let gap = if info.value_size > 16 { '\n' } else { ' ' };
        for (cpu, slot) in slots.iter().enumerate() {
            let _ = writeln!(text, "value (CPU {cpu:02}):{gap}{}", bytes::plain(slot));
        }
    } else {
        fields.insert("value".into(), bytes::json(value));
        if let Some(typed) = &typed {
            shown.insert("value".into(), typed.value(value));
        }
        let apart = key.len() > 16 || value.len() > 16;
        let one_line = key.len() + value.len() <= 24 && !apart;
        let gap = if apart { '\n' } else { ' ' };
        if !key.is_empty() {
            let _ = write!(text, "key:{gap}{}{}", bytes::plain(key), if one_line { "  " } else { "\n" });
        }
        if !value.is_empty() {
            let _ = write!(text, "value:{gap}{}", bytes::plain(value));
        }
        text.push('\n');
    }
    if typed.is_some() {
        let shown = Value::Object(shown);
        text = format!("{shown:#}\n");
        fields.insert("formatted".into(), shown);
    }
    (text, Value::Object(fields))
}

fn dump(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let ids = session.maps_of(words)?;
    words.end()?;
    let (mut text, mut found, mut all) = (String::new(), 0, Vec::new());
    let mut typed = Vec::new();
    for id in ids {
        let entries = session.system.map_entries(id);
        let info = session.system.map_info(id).expect("it was just found");
        for (key, value) in &entries {
            let (shown, mut fields) = entry(session, &info, key, value);
            if session.json {
                all.push(fields);
            } else if let Some(formatted) = fields.get_mut("formatted") {
                typed.push(formatted.take());
            } else {
                text += &shown;
            }
        }
        found += entries.len();
    }
    if !typed.is_empty() {
        text = format!("{:#}\n", Value::Array(typed));
    } else {
        let _ = writeln!(text, "Found {found} element{}", if found == 1 { "" } else { "s" });
    }
    Ok(Answer { text, json: Value::Array(all), ..Answer::default() })
}

/// What an update writes: bytes, or a descriptor where the map holds objects.
fn value_of(session: &mut Session<'_>, words: &mut Words<'_>, info: &MapInfo) -> Result<Vec<u8>, Diagnostic> {
    let map = session.system.map(info.id).expect("information was just given");
    let (order, kind, size, len) = (map.byte_order(), map.kind(), map.user_value_size(), info.value_size as usize);
    let number = |fd: Fd| order.bytes(fd.0 as u32).to_vec();
    match kind.holds {
        Holds::Maps => return Ok(number(session.map_of(words)?.0)),
        Holds::Programs => return Ok(number(session.prog_of(words)?.0)),
        _ => {}
    }
    let one = words.bytes(len)?;
    if !kind.per_cpu {
        return Ok(one);
    }
    // The same for every processor.
    let mut slot = one;
    slot.resize(len.next_multiple_of(8), 0);
    Ok(slot.repeat(size / slot.len().max(1)))
}

fn update(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    let (mut key, mut value, mut flags) = (None, None, None);
    while !words.is_empty() {
        if words.take_exact("key") {
            key = Some(words.bytes(info.key_size as usize)?);
        } else if words.take_exact("value") {
            value = Some(value_of(session, words, &info)?);
        } else if words.take_exact("any") {
            flags = Some(BPF_ANY);
        } else if words.take_exact("noexist") {
            flags = Some(BPF_NOEXIST);
        } else if words.take_exact("exist") {
            flags = Some(BPF_EXIST);
        } else {
            return Err(words.unexpected("key, value, any, noexist or exist"));
        }
    }
    let missing =
        |what: &str| Diagnostic::new("usage", format!("the {what} is missing")).at(At::Named("update".into()));
    let key = key.or((info.key_size == 0).then(Vec::new)).ok_or_else(|| missing("key"))?;
    let value = value.or((info.value_size == 0).then(Vec::new)).ok_or_else(|| missing("value"))?;
    let done = session.system.map_update(session.actor, fd, &key, &value, flags.unwrap_or(BPF_ANY));
    done.map_err(|errno| refused("update failed", errno, about(&info)))?;
    Ok(Answer::changed())
}

fn about(info: &MapInfo) -> String {
    if info.name.is_empty() { format!("map {}", info.id) } else { format!("map {} ({})", info.id, info.name) }
}

fn key_of(words: &mut Words<'_>, info: &MapInfo) -> Result<Vec<u8>, Diagnostic> {
    if info.key_size == 0 && words.is_empty() {
        return Ok(Vec::new());
    }
    if !words.take_exact("key") {
        return Err(words.unexpected("key"));
    }
    words.bytes(info.key_size as usize)
}

fn lookup(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    let key = key_of(words, &info)?;
    words.end()?;
    match session.system.map_lookup(session.actor, fd, &key, 0) {
        Ok(value) => {
            let (text, json) = entry(session, &info, &key, &value);
            Ok(Answer { text, json, ..Answer::default() })
        }
        Err(Errno::ENOENT) => {
            let text = format!("key:\n{}\n\nNot found\n", bytes::plain(&key));
            Ok(Answer { text, missing: true, ..Answer::default() })
        }
        Err(errno) => Err(refused("lookup failed", errno, about(&info))),
    }
}

fn getnext(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    let key = if words.is_empty() { None } else { Some(key_of(words, &info)?) };
    words.end()?;
    match session.system.map_next_key(session.actor, fd, key.as_deref()) {
        Ok(next) => {
            let shown = key.as_deref().map_or("key: None".to_owned(), |key| format!("key:\n{}", bytes::plain(key)));
            let text = format!("{shown}\nnext key:\n{}\n", bytes::plain(&next));
            let json = json!({ "key": key.as_deref().map(bytes::json), "next_key": bytes::json(&next) });
            Ok(Answer { text, json, ..Answer::default() })
        }
        Err(Errno::ENOENT) => {
            let text = "there is no next key\n".to_owned();
            Ok(Answer { text, missing: true, ..Answer::default() })
        }
        Err(errno) => Err(refused("can't get next key", errno, about(&info))),
    }
}

fn delete(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    let key = key_of(words, &info)?;
    words.end()?;
    let done = session.system.map_delete(session.actor, fd, &key);
    done.map_err(|errno| refused("delete failed", errno, about(&info)))?;
    Ok(Answer::changed())
}

fn pin(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, _) = session.map_of(words)?;
    let path = words.need("the path to pin it at")?;
    words.end()?;
    let done = session.system.pin(session.actor, fd, path);
    done.map_err(|errno| refused("the map cannot be pinned", errno, path).help("pin it below /sys/fs/bpf"))?;
    Ok(Answer::changed())
}

fn peek(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    words.end()?;
    let value = session.system.map_peek(session.actor, fd, &vec![0; info.value_size as usize]);
    popped(&info, value, false)
}

fn pop(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    words.end()?;
    let value = session.system.map_take(session.actor, fd, &[], 0);
    popped(&info, value, true)
}

fn popped(info: &MapInfo, value: Result<Vec<u8>, Errno>, changed: bool) -> Result<Answer, Diagnostic> {
    match value {
        Ok(value) => {
            let text = format!("value: {}\n", bytes::plain(&value));
            let json = json!({ "key": [], "value": bytes::json(&value) });
            Ok(Answer { text, json, changed, ..Answer::default() })
        }
        Err(Errno::ENOENT) => Ok(Answer { text: "Error: empty map\n".to_owned(), missing: true, ..Answer::default() }),
        Err(errno) => Err(refused("the map gives no value", errno, about(info))),
    }
}

fn push(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    if !words.take_exact("value") {
        return Err(words.unexpected("value"));
    }
    let value = words.bytes(info.value_size as usize)?;
    words.end()?;
    let done = session.system.map_update(session.actor, fd, &[], &value, BPF_ANY);
    done.map_err(|errno| refused("update failed", errno, about(&info)))?;
    Ok(Answer::changed())
}

fn freeze(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let (fd, info) = session.map_of(words)?;
    words.end()?;
    let done = session.system.map_freeze(session.actor, fd);
    done.map_err(|errno| refused("failed to freeze map", errno, about(&info)))?;
    Ok(Answer::changed())
}
