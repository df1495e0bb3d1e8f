//! Events the card schedules for itself.

use super::port::HostToCard;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Inner {
    /// A message of the host's has crossed the link.
    Crossed(HostToCard),
}
