//! `resolved.yaml`: the scenario with every default written out and every value of its profiles listed.

use nic_model::profile::{CardProfile, Provenance, provenance};
use nic_model::yaml;
use serde_yaml::{Mapping, Value};

use super::checked::Variant;
use super::written;
use crate::host::HostProfile;
use crate::traffic::Pacing;

const HEAD: &str = "\
# The scenario as it was run: defaults written out, every value of its profiles under `set`.
# Put beside the scenario's own file (paths are relative to it), it gives the same results.
";

/// The file's text.
pub(super) fn text(s: &written::Scenario, nic: &CardProfile, host: &HostProfile, variants: &[Variant]) -> String {
    let mut root = Mapping::new();
    let mut put = |key: &str, value: Value| root.insert(key.into(), value);
    put("name", s.name.as_str().into());
    put("description", s.description.as_str().into());
    put("seed", s.seed.into());
    put("traffic", s.traffic.iter().map(traffic).collect::<Vec<_>>().into());
    put("programs", table(s.programs.iter().map(|(name, p)| (name.as_str(), program(p)))));
    put("nic", profile(&s.nic.profile, &provenance(nic)));
    put("host", profile(&s.host.profile, &provenance(host)));
    if s.environment != written::Environment::default() {
        put(
            "environment",
            plain(serde_yaml::to_value(&s.environment).expect("a tree of plain values always serialises")),
        );
    }
    put("variants", table(variants.iter().map(|v| (v.name.as_str(), variant(v)))));
    put("expect", s.expect.iter().map(|e| Value::from(e.as_str())).collect::<Vec<_>>().into());
    let body = yaml::to_string(&Value::from(root)).expect("a tree of plain values always serialises");
    format!("{HEAD}{body}")
}

/// A tree without what was not written.
fn plain(value: Value) -> Value {
    match value {
        Value::Mapping(map) => {
            let said = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Mapping(said.map(|(key, value)| (key, plain(value))).collect())
        }
        Value::Sequence(items) => items.into_iter().map(plain).collect::<Vec<_>>().into(),
        other => other,
    }
}

fn table<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    Value::Mapping(entries.map(|(key, value)| (key.into(), value)).collect())
}

fn traffic(t: &written::Traffic) -> Value {
    let pacing = match t.pacing {
        Pacing::Recorded => "recorded".into(),
        Pacing::LineRate => "line-rate".into(),
        Pacing::Speed(n) => table([("speed", n.into())].into_iter()),
        Pacing::Bits(rate) => table([("rate", rate.to_string().into())].into_iter()),
        Pacing::Packets(rate) => table([("rate", rate.to_string().into())].into_iter()),
    };
    let entries = [
        ("pcap", t.pcap.as_str().into()),
        ("port", t.port.into()),
        ("start", t.start.map_or(Value::Null, |at| at.to_string().into())),
        ("pacing", pacing),
        ("loop", t.repeat.into()),
        ("limit", t.limit.map_or(Value::Null, Value::from)),
    ];
    table(entries.into_iter())
}

fn program(p: &written::Program) -> Value {
    let text = |t: &Option<String>| t.as_deref().map_or(Value::Null, Value::from);
    let entry = |e: &written::Entry| table([("key", e.key.clone()), ("value", e.value.clone())].into_iter());
    let maps = p.maps.iter().map(|(name, contents)| {
        let entries: Vec<_> = contents.entries.iter().map(entry).collect();
        let file = contents.file.as_deref().map(|file| ("file", file.into()));
        (name.as_str(), table(file.into_iter().chain([("entries", entries.into())])))
    });
    let action = |a: &written::Action| {
        let update = a.update.as_ref().map(|e| ("update", entry(e)));
        let key = |k: &written::Key| table([("key", k.key.clone())].into_iter());
        let delete = a.delete.as_ref().map(|k| ("delete", key(k)));
        let lookup = a.lookup.as_ref().map(|k| ("lookup", key(k)));
        let dump = a.dump.then(|| ("dump", true.into()));
        let process = (a.process > 0).then(|| ("process", a.process.into()));
        let place = [("at", a.at.to_string().into()), ("map", a.map.as_str().into())];
        table(place.into_iter().chain(process).chain(update).chain(delete).chain(lookup).chain(dump))
    };
    let actions = (!p.actions.is_empty()).then(|| ("actions", p.actions.iter().map(action).collect::<Vec<_>>().into()));
    let reader = |r: &written::Reader| {
        table([("map", r.map.as_str().into()), ("every", r.every.to_string().into())].into_iter())
    };
    let readers = (!p.readers.is_empty()).then(|| ("readers", p.readers.iter().map(reader).collect::<Vec<_>>().into()));
    let entries = [
        ("object", p.object.as_str().into()),
        ("program", text(&p.program)),
        ("type", text(&p.ty)),
        ("maps", table(maps)),
    ];
    table(entries.into_iter().chain(actions).chain(readers))
}

fn variant(v: &Variant) -> Value {
    let attach = v.attach.hooks().into_iter().filter_map(|(hook, program)| Some((hook, program?.into())));
    let mode = v.attach.xdp_offload.is_some().then(|| ("mode", v.mode.id().into()));
    let replaced =
        |r: &written::Replace| table([("at", r.at.to_string().into()), ("with", r.with.as_str().into())].into_iter());
    let replace =
        (!v.replace.is_empty()).then(|| ("replace", v.replace.iter().map(replaced).collect::<Vec<_>>().into()));
    table([("attach", table(attach)), ("queues", v.queues.into())].into_iter().chain(mode).chain(replace))
}

fn profile(name: &str, values: &[Provenance]) -> Value {
    let set = values.iter().map(|p| (p.path.as_str(), untagged(p.tree.clone())));
    table([("profile", name.into()), ("set", table(set))].into_iter())
}

/// Enums as scenarios write them: one key instead of a YAML tag.
pub(super) fn untagged(value: Value) -> Value {
    match value {
        Value::Tagged(tagged) => {
            let key = tagged.tag.to_string().trim_start_matches('!').to_owned();
            Value::Mapping([(key.into(), untagged(tagged.value))].into_iter().collect())
        }
        Value::Sequence(items) => items.into_iter().map(untagged).collect::<Vec<_>>().into(),
        Value::Mapping(map) => Value::Mapping(map.into_iter().map(|(k, v)| (k, untagged(v))).collect()),
        plain => plain,
    }
}
