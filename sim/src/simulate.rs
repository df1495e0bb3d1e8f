//! From a checked scenario to its results: a world for each placement, side by side.

use bpf::diag::Diagnostic;
use bpf::facts::Facts;
use bpf::interp::Engine;
use bpf::maps::MapId;
use nic_model::device::Device;
use nic_model::profile::{Kind, provenance};
use offload_jit::Mode;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::commands::Trouble;
use crate::host::{Host, Hooks};
use crate::measure::{self, Tracker};
use crate::progress::Progress;
use crate::report::{
    Attached, Expectation, Latency, MapEntry, MapResult, Measured, Refusal, Resource, Results, SCHEMA, TrafficResult,
    VariantResult, Work,
};
use crate::scenario::{LoadedProgram, Scenario, Variant};
use crate::traffic::TrafficSource;
use crate::world::{CARD_SOURCES, HOST_SOURCES, World};

/// Runs every placement of a scenario, `jobs` at a time.
///
/// # Errors
/// What only shows when the parts are put together (a map too large for the card's memory, say), and mistakes of ours.
pub fn scenario(scenario: &Scenario, jobs: usize, progress: &Progress) -> Result<Results, Trouble> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.max(1)).build();
    let pool = pool.map_err(|e| Trouble::Internal(format!("cannot start threads: {e}")))?;
    // One simulation is one task; their order in the results is the scenario's.
    let variants: Vec<_> =
        pool.install(|| scenario.variants.into_par_iter().map(|v| variant(scenario, v, progress)).collect());
    let variants = variants.into_iter().collect::<Result<Vec<_>, _>>()?;
    let expectations = scenario.expect.iter().map(|e| {
        let found = variants.iter().find(|v| v.name == e.variant);
        let (holds, found) = found.map_or((false, "nothing".to_owned()), |v| e.check(v));
        Expectation { text: e.text.clone(), holds, found }
    });
    Ok(Results {
        schema: SCHEMA,
        generator: format!("sim {}", env!("CARGO_PKG_VERSION")),
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        seed: scenario.seed,
        nic: scenario.nic.name.clone(),
        host: scenario.host.name.clone(),
        traffic: traffic(scenario),
        expectations: expectations.collect(),
        variants,
    })
}
