//! `sim run FILE`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use super::{Ending, Running};
use crate::progress::Progress;
use crate::report::{self, Style};
use crate::results_dir::ResultsDir;
use crate::scenario::Scenario;
use crate::simulate;
use crate::trouble::Trouble;

/// Arguments of `sim run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scenario.
    #[arg(value_name = "FILE")]
    scenario: PathBuf,
    #[command(flatten)]
    running: Running,
    /// Keep what leaves each placement there: the frames of each port as PLACEMENT.portN.pcap, what user
    /// space reads from rings as PLACEMENT.HOOK.MAP.jsonl.
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
    /// Print report.json instead of the table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Ending, Trouble> {
    let scenario = Scenario::load(&args.scenario)?;
    let progress = Progress::new(&scenario, args.running.quiet);
    let started = std::time::Instant::now();
    let results = simulate::scenario(&scenario, args.running.jobs, &progress, args.capture.as_deref())?;
    progress.finish();
    let written = ResultsDir::write(&args.running.results, &scenario, &results)?;
    let mut out = std::io::stdout().lock();
    // A closed pipe (`sim run … | head`) is no trouble of ours.
    let _ = if args.json {
        out.write_all(report::to_json(&results).as_bytes())
    } else {
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        out.write_all(report::render(&results, Style { colour, width: None }).as_bytes())
    };
    if !args.running.quiet {
        let packets: u64 = results.variants.iter().filter_map(|v| v.measured.as_ref()).map(|m| m.offered_packets).sum();
        let seconds = started.elapsed().as_secs_f64();
        eprintln!(
            "{} packets simulated in {seconds:.2} s of wall time; results in {}",
            report::grouped(packets),
            written.display()
        );
    }
    Ok(if results.expectations.iter().all(|e| e.holds) { Ending::Good } else { Ending::Failed })
}
