//! What is in maps: before a run, from a scenario; after it, for a report.

use bpf::diag::{At, Diagnostic};
use bpf::program::MapSpec;

use crate::report::{MapEntry, MapResult};

/// A preloaded entry that its map does not take.
pub fn preload_refused(map: &str, key: &[u8], errno: &str) -> Diagnostic {
    Diagnostic::new("map-preload", format!("the map does not take an entry: {errno}"))
        .at(At::Named(format!("{map}[{}]", hex(key))))
        .help("lower the number of entries, or raise the map's max_entries in the program")
}

/// Bytes as hex digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A map's contents for the report.
pub fn map_result(spec: &MapSpec, entries: Vec<(Vec<u8>, Vec<u8>)>) -> MapResult {
    let shown = entries.iter().filter(|(_, value)| value.iter().any(|b| *b != 0)).take(MapResult::SHOWN);
    MapResult {
        name: spec.name.clone(),
        ty: spec.ty.to_string(),
        contents: shown.map(|(key, value)| MapEntry { key: hex(key), value: hex(value) }).collect(),
        entries: entries.len(),
    }
}
