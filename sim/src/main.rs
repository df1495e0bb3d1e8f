//! `sim`: simulates a network card that runs BPF programs.

use std::process::ExitCode;

use clap::Parser;

use sim::commands::{self, Cli};

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
