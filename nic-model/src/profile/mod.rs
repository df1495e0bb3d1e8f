//! Cards as data.
//!
//! A profile is YAML in which every value says how well it is known ([`Kind`]) and who says so. Two come with the
//! project ([`NAMES`]); a user may bring more. A scenario overrides single values by path (`cores`, `mac.rate`):
//!
//! ```
//! use nic_model::{profile, yaml};
//! let mut value = profile::builtin_value("agilio-cx-2x40")?;
//! yaml::set(&mut value, "cores", yaml::Value::from(10))?;
//! let card = profile::from_value(value).map_err(|e| e.diagnostic)?;
//! assert_eq!(*card.cores, 10);
//! # Ok::<(), bpf::diag::Diagnostic>(())
//! ```

mod capabilities;
mod card;
mod check;
mod sourced;

use bpf::diag::{At, Diagnostic};
use serde::Serialize;

use crate::yaml::{self, Value, ValueError};

pub use capabilities::{AdjustHead, Capabilities, MapSize, Oversize, Rules};
pub use card::{
    Cache, CardProfile, CoreTiming, DmaEngine, Egress, Firmware, Ingress, Mac, Memory, MemorySet, PacketBuffers, Pcie,
    Reorder, Rings,
};
pub use sourced::{Kind, Sourced};

/// Names of the cards that come with the project.
pub const NAMES: [&str; 2] = ["agilio-cx-2x40", "open-npu"];

/// Their texts.
const TEXTS: [&str; NAMES.len()] =
    [include_str!("../../profiles/agilio-cx-2x40.yaml"), include_str!("../../profiles/open-npu.yaml")];

/// The text of a card that comes with the project.
///
/// # Errors
/// As [`builtin`].
pub fn builtin_text(name: &str) -> Result<&'static str, Diagnostic> {
    Ok(TEXTS[index_of(name)?])
}

/// A card that comes with the project.
///
/// # Errors
/// `nic-unknown` for a name that is not in [`NAMES`].
pub fn builtin(name: &str) -> Result<CardProfile, Diagnostic> {
    let value = builtin_value(name)?;
    Ok(from_value(value).expect("the profiles that come with the project are tested"))
}

/// The same as a tree of values, for those who set some of them.
///
/// # Errors
/// As [`builtin`].
pub fn builtin_value(name: &str) -> Result<Value, Diagnostic> {
    let index = index_of(name)?;
    let (value, _) = yaml::parse_value(NAMES[index], TEXTS[index]).expect("the profiles are tested");
    Ok(with_base(value).expect("the profiles are tested"))
}

fn index_of(name: &str) -> Result<usize, Diagnostic> {
    NAMES.iter().position(|n| *n == name).ok_or_else(|| {
        let near = yaml::nearest(name, NAMES).map_or(String::new(), |n| format!("did you mean {n}? "));
        Diagnostic::new("nic-unknown", format!("no card is called \"{name}\""))
            .help(format!("{near}The cards are: {}", NAMES.join(", ")))
    })
}

/// A card in a user's text. It may begin with `base: NAME`, and then says only what differs from that card.
///
/// # Errors
/// As [`yaml::parse`], and `nic-bad-value` for values that no card can have.
pub fn parse(file_name: &str, text: &str) -> Result<CardProfile, Diagnostic> {
    let (value, positions) = parse_value(file_name, text)?;
    from_value(value).map_err(|error| error.locate(&positions))
}

/// The same as a tree of values, laid over its base, for those who set some of them.
///
/// # Errors
/// As [`parse`], without those that depend on the values.
pub fn parse_value(file_name: &str, text: &str) -> Result<(Value, yaml::Positions), Diagnostic> {
    let (value, positions) = yaml::parse_value(file_name, text)?;
    let value = with_base(value).map_err(|error| match positions.at("base") {
        Some(at) => error.at(at),
        None => error.at(At::Named(file_name.to_owned())),
    })?;
    Ok((value, positions))
}

/// A card from a tree of values in which nothing is left out.
///
/// # Errors
/// As [`parse`]; the path is the one a scenario would have set, so `cores` and not `cores.value`.
pub fn from_value(value: Value) -> Result<CardProfile, ValueError> {
    let card = yaml::from_value(value).map_err(|mut error: ValueError| {
        if let Some(path) = error.path.strip_suffix(".value") {
            error.path = path.to_owned();
        }
        error
    })?;
    check::check(&card)?;
    Ok(card)
}

/// A value of a profile, where it stands and how well it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Path, as a scenario writes it after `nic.`.
    pub path: String,
    /// The value on one line.
    pub value: String,
    /// The value as it stands in the profile.
    pub tree: Value,
    /// How well it is known.
    pub kind: Kind,
    /// Who says so.
    pub source: String,
}

/// Every value of a profile (a card's, a host's) with its source, in the order of the profile.
pub fn provenance<T: Serialize>(profile: &T) -> Vec<Provenance> {
    let value = serde_yaml::to_value(profile).expect("a profile is plain data");
    let mut found = Vec::new();
    walk(&value, String::new(), &mut found);
    found
}

impl CardProfile {
    /// As [`provenance`].
    pub fn provenance(&self) -> Vec<Provenance> {
        provenance(self)
    }
}

fn walk(value: &Value, path: String, found: &mut Vec<Provenance>) {
    let Some(map) = value.as_mapping() else { return };
    if let (Some(inner), Some(kind), Some(source)) = (map.get("value"), map.get("kind"), map.get("source")) {
        let kind = serde_yaml::from_value(kind.clone()).expect("a kind was written by a kind");
        let source = source.as_str().unwrap_or_default().to_owned();
        found.push(Provenance { path, value: one_line(inner), tree: inner.clone(), kind, source });
        return;
    }
    for (key, inner) in map {
        let key = key.as_str().unwrap_or_default();
        walk(inner, if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }, found);
    }
}

/// A value as flow YAML.
fn one_line(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Sequence(items) => format!("[{}]", list(items.iter().map(one_line).collect())),
        Value::Mapping(map) => {
            let entries = map.iter().map(|(k, v)| format!("{}: {}", one_line(k), one_line(v))).collect();
            format!("{{{}}}", list(entries))
        }
        Value::Tagged(tagged) => {
            format!("{{{}: {}}}", tagged.tag.to_string().trim_start_matches('!'), one_line(&tagged.value))
        }
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}

/// Lays a text's values over the card it names as its base.
fn with_base(mut value: Value) -> Result<Value, Diagnostic> {
    let Some(name) = value.as_mapping_mut().and_then(|map| map.shift_remove("base")) else { return Ok(value) };
    let name = name.as_str().map(str::to_owned).unwrap_or_else(|| one_line(&name));
    let mut base = builtin_value(&name)?;
    overlay(&mut base, value);
    Ok(base)
}

/// Maps are merged key by key; everything else is replaced, and so is a value with its source.
fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Mapping(base), Value::Mapping(over)) if !over.contains_key("kind") => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(inner) => overlay(inner, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests;
