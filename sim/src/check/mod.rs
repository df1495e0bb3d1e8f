//! `sim check`: whether a card takes the programs of objects, what they need of it, and every reason where it does not.
//!
//! [`walk`] finds the objects, [`judge`] verifies and translates each program for the card asked about and asks the other
//! known cards too, [`Report`] is what came of it, as JSON or as [`render`]'s text.

mod judge;
mod report;
mod table;
mod walk;

pub use judge::{Card, judge, logs};
pub use report::{
    Answer, Budget, CardAnswer, Error, Limits, ObjectReport, Place, ProgramReport, Reason, Report, Summary,
};
pub use table::render;
pub use walk::walk;
