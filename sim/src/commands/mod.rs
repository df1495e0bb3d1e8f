//! The command line: each command thin, exit codes the same for all.
//!
//! 0: good. 1: an expectation of the scenario or a baseline failed, a card refuses a program, or an entry that was asked for
//! is not in its map. 2: bad input. 3: a mistake of ours.

mod btf;
mod check;
mod nic;
mod regress;
mod run;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bpftool;
use crate::trouble::Trouble;

/// What a command came to.
pub enum Ending {
    /// Everything holds.
    Good,
    /// An expectation or a baseline does not hold, a card refuses a program, or an entry is not there.
    Failed,
    /// Some input could not be read; it has been said which.
    BadInput,
}

/// Simulates a network card that runs BPF programs, beside the same programs at the host's XDP and tc hooks.
#[derive(Debug, Parser)]
#[command(name = "sim", version, about, long_about = None, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 good, 1 an expectation or a baseline failed, a card refuses a program or an entry is not there, 2 bad input, 3 internal error.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and report which placement, how fast, how late, and what limits it.
    Run(run::Args),
    /// Run every scenario of a directory and hold the results against their baselines.
    Regress(regress::Args),
    /// Say of each program whether a card takes it, what it needs, and every reason why not.
    Check(check::Args),
    /// The types of an object, as bpftool shows them, and its structures with the places of their members.
    Btf(btf::Args),
    /// The cards there are, and words of their code stores as text and back.
    #[command(subcommand)]
    Nic(nic::Command),
    /// Load, show, dump and run the programs of a saved state, in bpftool's words.
    Prog(state::Args),
    /// What is attached to network devices of a saved state, and cards in it, in bpftool's words.
    Net(state::Args),
    /// Show, make and change the maps of a saved state, in bpftool's words.
    Map(state::Args),
    /// The bpf file system of a saved state, in the shell's words.
    Bpffs(state::Args),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where results go and how wide the work spreads; common to the commands that run scenarios.
#[derive(Debug, clap::Args)]
pub struct Running {
    /// Placements run at the same time; results do not depend on it.
    #[arg(long, short, value_name = "N", default_value_t = default_jobs())]
    jobs: usize,
    /// Directory the results go to, one directory a scenario.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// No progress on standard error.
    #[arg(long, short)]
    quiet: bool,
}

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a command line and says how the process ends.
pub fn run(cli: Cli) -> ExitCode {
    let ended = std::panic::catch_unwind(|| match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Regress(args) => regress::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Btf(args) => btf::run(&args),
        Command::Nic(command) => nic::run(&command),
        Command::Prog(args) => state::run(&args, bpftool::prog),
        Command::Net(args) => state::run(&args, bpftool::net),
        Command::Map(args) => state::run(&args, bpftool::map),
        Command::Bpffs(args) => state::run(&args, bpftool::tree),
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "sim", &mut std::io::stdout());
            Ok(Ending::Good)
        }
    });
    match ended {
        Ok(Ok(Ending::Good)) => ExitCode::SUCCESS,
        Ok(Ok(Ending::Failed)) => ExitCode::from(1),
        Ok(Ok(Ending::BadInput)) => ExitCode::from(2),
        Ok(Err(Trouble::Input(diagnostic))) => {
            eprint!("error: {diagnostic}");
            ExitCode::from(2)
        }
        Ok(Err(Trouble::Internal(what))) => {
            eprintln!("internal error: {what}\nThis is a mistake of the simulator's, not of your input's.");
            ExitCode::from(3)
        }
        Err(_) => {
            eprintln!("This is a mistake of the simulator's, not of your input's.");
            ExitCode::from(3)
        }
    }
}
