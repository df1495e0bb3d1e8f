//! A value and where it comes from.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// How well a value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A vendor's or a standard's text, or code that ran on the card, says it.
    Documented,
    /// Somebody measured it on such a card.
    Measured,
    /// Chosen so that a measured result comes out.
    Fitted,
    /// Chosen because something had to be: nobody says it.
    Assumed,
    /// Set by whoever runs the simulation, in place of the profile's.
    Given,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Documented => "documented",
            Kind::Measured => "measured",
            Kind::Fitted => "fitted",
            Kind::Assumed => "assumed",
            Kind::Given => "given",
        })
    }
}

/// A value with its kind and its source. Reads as the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// How well it is known.
    pub kind: Kind,
    /// Who says so, or why it was chosen.
    pub source: String,
}

impl<T> Deref for Sourced<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}
