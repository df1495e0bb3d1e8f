//! Every trace of the reference collection, where it is there, ends in a result or in one clear line.

use std::path::{Path, PathBuf};

use sim::traffic::{Record, TraceReader, survey};

use crate::support::scenario::scenarios;

fn collection() -> Option<PathBuf> {
    let shared = std::env::var_os("SHARED_DIR")?;
    Some(Path::new(&shared).join("pcap"))
}

#[test]
fn the_reference_collection_reads_as_its_index_says() {
    let Some(directory) = collection() else {
        eprintln!("skipped: the_reference_collection_reads_as_its_index_says: SHARED_DIR is not set");
        return;
    };
    let index = std::fs::read_to_string(directory.join("index.tsv")).expect("the collection has its index");
    let mut lines = index.lines();
    let columns: Vec<_> = lines.next().expect("the index has a head").split('\t').collect();
    let column = |name: &str| columns.iter().position(|c| *c == name).expect("the index has this column");
    let (file, packets, cut, links) = (column("file"), column("packets"), column("caplen_lt_len"), column("linktypes"));
    let mut seen = 0;
    for line in lines {
        let fields: Vec<_> = line.split('\t').collect();
        let name = fields[file];
        let outcome = survey(&directory.join(name));
        // Frames by link type, such as `1x6,0x2`.
        let ethernet = fields[links].split(',').all(|link| link.starts_with("1x"));
        let refusal = match (name.ends_with(".gz"), ethernet) {
            (true, _) => Some("trace-compressed"),
            (false, false) => Some("trace-link-type"),
            (false, true) => None,
        };
        match (outcome, refusal) {
            (Err(diagnostic), Some(code)) => {
                // One of them has a comment that is not UTF-8 before its first frame of another link type.
                assert!([code, "trace-record"].contains(&diagnostic.code), "{name}: {diagnostic}");
                assert_eq!(diagnostic.headline().lines().count(), 1, "{name}");
            }
            (Ok(notes), None) => {
                assert_eq!(notes.records.to_string(), fields[packets], "{name}");
                assert_eq!(notes.cut.to_string(), fields[cut], "{name}");
                assert_eq!(notes.truncated, name == "file_truncated_mid_record.pcap", "{name}");
            }
            (outcome, _) => panic!("{name}: {outcome:?}"),
        }
        seen += 1;
    }
    assert!(seen >= 38, "{seen} traces");
}

#[test]
fn a_trace_cut_anywhere_never_panics() {
    let path = scenarios().join("traces/mixed.pcap");
    let bytes = std::fs::read(path).expect("the project has its trace");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let cut = directory.path().join("cut.pcap");
    for len in (0..400).chain([1_000, 4_097]) {
        std::fs::write(&cut, &bytes[..len]).expect("the directory can be written");
        let Ok(mut reader) = TraceReader::open(&cut) else { continue };
        let mut record = Record::default();
        while let Ok(true) = reader.next_into(&mut record) {}
    }
}
