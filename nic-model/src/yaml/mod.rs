//! The one reader of YAML: values by `serde_yaml`, positions by `saphyr-parser`, mistakes as [`Diagnostic`]s.
//!
//! ```text
//! text → Positions (limits, duplicate keys) → Value → set(path, value) … → T (deny_unknown_fields) or a diagnostic
//! ```
//! Everything a person writes goes through [`parse`]: scenarios, cards, hosts. What deserialising cannot see is judged
//! later, and [`Positions::at`] still finds the place. A path is written `traffic[0].pacing.rate`.
//!
//! Enums are written as one key (`{pcap: file}`) or as a bare word, never as a YAML tag.

mod positions;
mod suggest;

use bpf::diag::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_yaml::Value;

pub use positions::Positions;
pub use suggest::nearest;

/// Bytes a text may have.
pub const MAX_TEXT: usize = 1 << 20;
/// Levels a text may nest.
pub const MAX_DEPTH: usize = 48;
/// Values a text may have once its aliases are written out.
pub const MAX_NODES: usize = 100_000;

/// Reads `text`, found in `file_name`, as a `T`.
///
/// # Errors
/// A diagnostic with the place of the offending key or value: `yaml-syntax`, `yaml-too-large`, `yaml-duplicate-key`,
/// `yaml-unknown-key`, `yaml-missing-key`, `yaml-wrong-type`, `yaml-unknown-value`, `yaml-bad-value`.
pub fn parse<T: DeserializeOwned>(file_name: &str, text: &str) -> Result<(T, Positions), Diagnostic> {
    let (value, positions) = parse_value(file_name, text)?;
    match from_value(value) {
        Ok(parsed) => Ok((parsed, positions)),
        Err(error) => Err(error.locate(&positions)),
    }
}

/// Reads `text` as a tree of values, for those who [`set`] some of them before deserialising.
///
/// # Errors
/// As [`parse`], without those that depend on the type.
pub fn parse_value(file_name: &str, text: &str) -> Result<(Value, Positions), Diagnostic> {
    let positions = Positions::index(file_name, text)?;
    let value = serde_yaml::from_str(text).map_err(|error| {
        let diagnostic = Diagnostic::new("yaml-syntax", format!("not YAML: {error}"));
        match error.location() {
            Some(l) => diagnostic.at(positions.mark(l.line(), l.column(), 1)),
            None => diagnostic.at(positions.whole()),
        }
    })?;
    Ok((value, positions))
}

/// What deserialising found wrong, and under which path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// Path of the offending key or value, from the root; empty for the root itself.
    pub path: String,
    /// Whether the key is what is wrong, rather than its value.
    pub key: bool,
    /// The message, without a place in a text.
    pub diagnostic: Diagnostic,
}

impl ValueError {
    /// The diagnostic, with the place of its path; with the path as its place where the text does not have it.
    pub fn locate(self, positions: &Positions) -> Diagnostic {
        let at = if self.key { positions.at_key(&self.path) } else { positions.at(&self.path) };
        match at {
            Some(at) => self.diagnostic.at(at),
            None => self.diagnostic.at(bpf::diag::At::Named(format!("{}: {}", positions.file(), self.path))),
        }
    }
}

/// Deserialises a tree of values.
///
/// # Errors
/// As [`parse`], with a path in place of a position.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    serde_yaml::with::singleton_map_recursive::deserialize(deserializer).map_err(|error| {
        let path = track.path().to_string();
        describe(&error.to_string(), if path == "." { String::new() } else { path })
    })
}

/// Writes a value as YAML, enums as [`parse`] reads them.
///
/// # Errors
/// When `value` cannot be YAML, such as a map with a map for a key.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, Diagnostic> {
    let mut out = Vec::new();
    let mut serializer = serde_yaml::Serializer::new(&mut out);
    serde_yaml::with::singleton_map_recursive::serialize(value, &mut serializer)
        .map_err(|error| Diagnostic::new("yaml-bad-value", format!("cannot be written as YAML: {error}")))?;
    drop(serializer);
    Ok(String::from_utf8(out).expect("the YAML writer emits UTF-8"))
}

/// Writes `new` at `path`, making the maps on the way. A value that says where it comes from (a map with `value`, `kind`
/// and `source`) keeps that form: `new` becomes its value, given by whoever sets it.
///
/// # Errors
/// `yaml-bad-path` when a list has no such element, or the path leads through what is neither map nor list.
pub fn set(root: &mut Value, path: &str, new: Value) -> Result<(), Diagnostic> {
    let bad = |reason: String| Diagnostic::new("yaml-bad-path", format!("cannot set {path}: {reason}"));
    let mut value = root;
    for segment in segments(path) {
        match segment {
            Segment::Index(i) => {
                let list = value.as_sequence_mut().ok_or_else(|| bad(format!("[{i}] is not in a list")))?;
                let len = list.len();
                value =
                    list.get_mut(i).ok_or_else(|| bad(format!("the list has {len} elements, [{i}] is past them")))?;
            }
            Segment::Key(key) => {
                if value.is_null() {
                    *value = Value::Mapping(Default::default());
                }
                let map = value.as_mapping_mut().ok_or_else(|| bad(format!("{key} is not in a map")))?;
                value = map.entry(Value::from(key)).or_insert(Value::Null);
            }
        }
    }
    let sourced = |v: &Value| v.get("value").is_some() && v.get("kind").is_some();
    if sourced(value) && !sourced(&new) {
        *value = Value::Mapping(
            [("value", new), ("kind", Value::from("given")), ("source", Value::from("the scenario"))]
                .into_iter()
                .map(|(k, v)| (Value::from(k), v))
                .collect(),
        );
    } else {
        *value = new;
    }
    Ok(())
}

/// A message for [`serde::de::Error::custom`] that carries its suggestion; [`from_value`] takes it apart again.
pub fn refusal(reason: &str, help: &str) -> String {
    format!("{reason}{HELP_FOLLOWS}{help}")
}

/// The control character "unit separator": not printable, so not in a message.
const HELP_FOLLOWS: char = '\u{1f}';

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    path.split(['.', '[']).filter(|s| !s.is_empty()).map(|step| match step.strip_suffix(']').map(str::parse) {
        Some(Ok(index)) => Segment::Index(index),
        _ => Segment::Key(step),
    })
}

/// Turns the words of a deserialising error into a diagnostic. The words are serde's own fixed forms.
fn describe(message: &str, path: String) -> ValueError {
    let (reason, help) = message.split_once(HELP_FOLLOWS).unwrap_or((message, ""));
    let named = if path.is_empty() { String::new() } else { format!("{path}: ") };
    let quoted: Vec<&str> = reason.split('`').skip(1).step_by(2).collect();
    let choice = |what: &str| match quoted.split_first() {
        Some((given, allowed)) if !allowed.is_empty() => suggest::among(what, given, allowed),
        _ => String::new(),
    };
    let (code, key, help) = if reason.starts_with("unknown field") {
        ("yaml-unknown-key", true, choice("keys"))
    } else if reason.starts_with("unknown variant") {
        ("yaml-unknown-value", false, choice("values"))
    } else if reason.starts_with("missing field") {
        ("yaml-missing-key", true, quoted.first().map_or(String::new(), |k| format!("add `{k}:`")))
    } else if reason.starts_with("invalid type") || reason.starts_with("invalid value") {
        ("yaml-wrong-type", false, help.to_owned())
    } else {
        ("yaml-bad-value", false, help.to_owned())
    };
    let reason = match code {
        "yaml-unknown-key" => format!("unknown key `{}`", quoted.first().unwrap_or(&"")),
        "yaml-unknown-value" => format!("{named}unknown value `{}`", quoted.first().unwrap_or(&"")),
        "yaml-missing-key" => format!("{named}missing key `{}`", quoted.first().unwrap_or(&"")),
        _ => format!("{named}{reason}"),
    };
    let mut diagnostic = Diagnostic::new(code, reason);
    if !help.is_empty() {
        diagnostic = diagnostic.help(help);
    }
    ValueError { path, key, diagnostic }
}

#[cfg(test)]
mod tests;
