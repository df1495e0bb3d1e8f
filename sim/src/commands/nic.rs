//! `sim nic list` and `sim nic show NAME`.

use std::io::Write;

use nic_model::profile;

use super::Ending;
use crate::trouble::Trouble;

/// Commands about cards.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Names of the built-in cards.
    List,
    /// A built-in card's profile, every value with its kind and source.
    Show {
        /// Its name.
        name: String,
    },
}

pub(super) fn run(command: &Command) -> Result<Ending, Trouble> {
    let mut out = std::io::stdout().lock();
    let _ = match command {
        Command::List => profile::NAMES.iter().try_for_each(|name| writeln!(out, "{name}")),
        Command::Show { name } => out.write_all(profile::builtin_text(name)?.as_bytes()),
    };
    Ok(Ending::Good)
}
