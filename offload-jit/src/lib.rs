//! From BPF to the card: translation of verified programs into the card's instruction set, or every reason why not.
//!
//! [`compile`] is a pure function. Between two passes stands a type with a name:
//!
//! ```text
//! VerifiedProgram ──admit──▶ Admitted ──opt──▶ Admitted ──lower──▶ Assembly ─▶ Code ─▶ Assembly ──place──▶ Placed ──encode──▶ Image
//!                     │      actions           rewritten           instructions  blocks  (mode best)       addresses          words
//!                     └────▶ refusals          across slots        with labels                                                  │ link
//!                                                                                                                               ▼
//!                                                                                                               words of a code store
//! ```
//!
//! - `admit` answers every question about the program: which memory a pointer reaches, how far a shift goes,
//!   whether the card has the helper. What has an answer is an `Action`, what has none a [`Refusal`].
//! - `opt` rewrites actions across instructions.
//! - `lower` turns actions into instructions, one family a file, on the register convention of `lower::home`.
//! - `code` is for mode best: passes over blocks of card instructions.
//! - `place` gives labels their addresses, `encode` instructions their words.
//!
//! [`Mode::Driver`] does what the Linux nfp driver does, word for word, so that what it accepts, what it costs and what it
//! computes are those of cards in use. It decides by the record of exploration ([`bpf::verifier::Explored`]), as the
//! driver does; from [`bpf::facts::Facts`] it only learns where one of the driver's faults can be seen. [`Mode::Best`] is
//! this project's own: it decides by facts alone, has none of those faults, and needs fewer words.

mod action;
mod admit;
mod asm;
mod budget;
mod certain;
mod code;
mod compile;
mod encode;
mod hints;
mod image;
mod link;
mod listing;
mod lower;
mod mode;
mod opt;
mod place;
mod refusal;

pub use budget::Budget;
pub use code::Gains;
pub use compile::{Judgement, compile, compile_for_tables, compile_unoptimised, judge};
pub use image::{
    AddressBits, External, Fault, Image, MapPlacement, Note, Origin, Relocation, RelocationKind, ValuePart,
};
pub use link::Firmware;
pub use listing::Listing;
pub use mode::Mode;
pub use refusal::{Cause, Refusal, Rule};
