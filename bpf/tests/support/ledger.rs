//! What runs beside the kernel's have covered: with `COVERAGE` set, a line a program goes to that file; `coverage.rs` reads it.

use std::collections::BTreeMap;
use std::io::Write;

use bpf::interp::{Engine, HelperCall, Observer};
use bpf::memory::Arena;

use super::progress;

/// Counts what runs of one program call.
#[derive(Debug, Default)]
pub struct Ledger {
    runs: u64,
    helpers: BTreeMap<u32, u64>,
    kinds: Vec<u32>,
}

impl Ledger {
    /// One more run on an engine.
    pub fn run(&mut self, engine: &Engine) -> &mut Ledger {
        self.runs += 1;
        progress::one_more("runs beside the kernel's");
        if self.kinds.is_empty() {
            self.kinds = engine.maps().iter().map(|(_, map)| map.spec().ty.0).collect();
        }
        self
    }
}

impl Observer for Ledger {
    fn answer(&mut self, call: &HelperCall, _: &Arena) -> Option<u64> {
        *self.helpers.entry(call.id).or_default() += 1;
        None
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("COVERAGE").filter(|_| self.runs > 0 && !std::thread::panicking()) else {
            return;
        };
        let words = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(" ");
        let helpers = words(&mut self.helpers.iter().map(|(id, times)| format!("{id}:{times}")));
        let kinds = words(&mut self.kinds.iter().map(u32::to_string));
        let line = format!("{}|{helpers}|{kinds}\n", self.runs);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        // One write a line, so that those of several processes do not mix.
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file that COVERAGE names takes lines");
    }
}
