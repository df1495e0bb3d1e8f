//! What is in maps: before a run, from a scenario; after it, for a report; and what user space did to them meanwhile.

use bpf::diag::{At, Diagnostic};
use bpf::program::MapSpec;
use nic_model::des::Time;

use crate::host::control::Outcome;
use crate::measure::Latencies;
use crate::report::{Failed, MapEntry, MapResult, OperationLatency, Operations, Read};

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
        memory: None,
        contents: shown.map(|(key, value)| MapEntry { key: hex(key), value: hex(value) }).collect(),
        entries: entries.len(),
    }
}

/// What user space did to maps, by map and kind, in the order of the first of each.
pub fn operations<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<Operations> {
    let mut found: Vec<(Operations, Latencies)> = Vec::new();
    for outcome in outcomes {
        let same =
            |(operations, _): &(Operations, _)| operations.map == outcome.map && operations.operation == outcome.verb;
        let at = found.iter().position(same).unwrap_or_else(|| {
            let (map, operation) = (outcome.map.clone(), outcome.verb.to_owned());
            let operations = Operations { map, operation, done: 0, failed: vec![], latency: None, read: vec![] };
            found.push((operations, Latencies::default()));
            found.len() - 1
        });
        let (operations, latencies) = &mut found[at];
        // On the host it takes no time, of which there is no spread.
        if outcome.ended > outcome.began {
            latencies.record(outcome.ended - outcome.began);
        }
        match &outcome.result {
            Ok(entries) => {
                operations.done += 1;
                if matches!(outcome.verb, "lookup" | "dump") && operations.read.len() < Operations::SHOWN {
                    operations.read.push(read(outcome.ended, entries));
                }
            }
            Err(failure) => {
                let errno = failure.errno.to_string();
                match operations.failed.iter_mut().find(|f| f.errno == errno && f.why == failure.why) {
                    Some(failed) => failed.count += 1,
                    None => {
                        let (why, first_at_ps) = (failure.why.clone(), outcome.ended.ps());
                        operations.failed.push(Failed { errno, why, count: 1, first_at_ps });
                    }
                }
            }
        }
    }
    let spread = |(operations, latencies): (Operations, Latencies)| Operations {
        latency: latencies.summary().map(|s| OperationLatency {
            min_ps: s.min.ps(),
            mean_ps: s.mean.ps(),
            p50_ps: s.p50.ps(),
            p99_ps: s.p99.ps(),
            max_ps: s.max.ps(),
        }),
        ..operations
    };
    found.into_iter().map(spread).collect()
}

fn read(at: Time, entries: &[(Vec<u8>, Vec<u8>)]) -> Read {
    let shown = entries.iter().take(MapResult::SHOWN);
    let contents = shown.map(|(key, value)| MapEntry { key: hex(key), value: hex(value) });
    Read { at_ps: at.ps(), entries: entries.len(), contents: contents.collect() }
}
