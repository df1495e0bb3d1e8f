//! Whose translation.

use nic_model::profile::{Capabilities, Rules};

/// Whose translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The Linux nfp driver's, word for word.
    Driver,
    /// This project's own: equal in meaning, as short as it can.
    Best,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 2] = [Mode::Driver, Mode::Best];

    /// Stable name for tools.
    pub const fn id(self) -> &'static str {
        match self {
            Mode::Driver => "driver",
            Mode::Best => "best",
        }
    }

    /// The mode by which a card's own rules decide.
    pub fn of(card: &Capabilities) -> Self {
        match *card.rules {
            Rules::Driver => Mode::Driver,
            Rules::Best => Mode::Best,
        }
    }
}
