//! `sim regress DIR`.

use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};

use super::{Ending, Running};
use crate::files;
use crate::progress::Progress;
use crate::regress::{Baseline, Case, junit};
use crate::results_dir::ResultsDir;
use crate::scenario::Scenario;
use crate::simulate;
use crate::trouble::Trouble;

/// Arguments of `sim regress`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory whose `*.yaml` files are scenarios.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Directory of the baselines, one JSON file a scenario.
    #[arg(long, value_name = "DIR", default_value = "results/baseline")]
    baseline: PathBuf,
    /// Take the results for the new baselines.
    #[arg(long)]
    bless: bool,
    /// Hold only verdicts against the baseline, nothing that depends on time or on a compiler's choices.
    #[arg(long, conflicts_with = "bless")]
    verdicts_only: bool,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
}

pub(super) fn run(args: &Args) -> Result<Ending, Trouble> {
    let scenarios = scenarios_in(&args.directory)?;
    // Everything is read and checked before the first is run.
    let scenarios = scenarios.iter().map(|path| Scenario::load(path)).collect::<Result<Vec<_>, _>>()?;
    let mut cases = Vec::new();
    for scenario in &scenarios {
        let case = regress(scenario, args)?;
        print(&case, args.bless);
        cases.push(case);
    }
    if let Some(path) = &args.junit {
        files::write(path, &junit(&cases))?;
    }
    let failed = cases.iter().filter(|c| !c.passes()).count();
    if args.bless {
        println!("{} baselines written to {}", cases.len(), args.baseline.display());
        return Ok(if cases.iter().all(|c| c.broken.is_empty()) { Ending::Good } else { Ending::Failed });
    }
    println!("{} passed, {failed} failed", cases.len() - failed);
    Ok(if failed == 0 { Ending::Good } else { Ending::Failed })
}

fn regress(scenario: &Scenario, args: &Args) -> Result<Case, Trouble> {
    let path = args.baseline.join(format!("{}.json", scenario.name));
    let blessed = match files::read_if_there(&path)? {
        Some(text) => Some(Baseline::parse(&text).map_err(|e| {
            Diagnostic::new("baseline-unreadable", format!("the baseline cannot be used: {e}"))
                .at(At::Named(path.display().to_string()))
                .help("rewrite it with sim regress DIR --bless")
        })?),
        None => None,
    };
    let progress = Progress::new(scenario, args.running.quiet);
    let results = simulate::scenario(scenario, args.running.jobs, &progress, None)?;
    progress.finish();
    ResultsDir::write(&args.running.results, scenario, &results)?;
    let now = Baseline::of(&results, blessed.as_ref());
    let moved = blessed.as_ref().map_or(Vec::new(), |old| old.moved(&now, args.verdicts_only));
    if args.bless {
        files::write(&path, &now.to_text())?;
    }
    let broken = results.expectations.iter().filter(|e| !e.holds);
    Ok(Case {
        scenario: scenario.name.clone(),
        moved,
        broken: broken.map(|e| format!("{} (found {})", e.text, e.found)).collect(),
        unknown: blessed.is_none() && !args.bless,
    })
}

fn print(case: &Case, bless: bool) {
    let verdict = match (bless, case.broken.is_empty(), case.moved.is_empty()) {
        (true, true, false) => "blessed",
        (true, true, true) => "ok",
        _ if case.passes() => "ok",
        _ => "FAILED",
    };
    println!("{verdict:<8}{}", case.scenario);
    for line in case.complaints() {
        println!("        {line}");
    }
}

/// Scenario files of a directory, by name.
fn scenarios_in(directory: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let unreadable = |e: std::io::Error| {
        Diagnostic::new("directory-unreadable", format!("cannot read the directory: {e}"))
            .at(At::Named(directory.display().to_string()))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "yaml") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Diagnostic::new("no-scenarios", "the directory holds no scenario")
            .at(At::Named(directory.display().to_string()))
            .help("scenarios are its files named *.yaml"));
    }
    Ok(found)
}
