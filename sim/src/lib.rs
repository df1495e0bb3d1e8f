//! The world and the tool.
//!
//! A scenario becomes a [`world`] for each placement: [`traffic`] into the card, the card beside the [`host`], every packet
//! followed to its one fate by [`measure`], all of it told by [`report`]; `capture` keeps what leaves. [`regress`] holds results against baselines;
//! [`check`] asks cards about objects; [`commands`] is the command line.

pub mod bpftool;
mod capture;
pub mod card;
pub mod check;
pub mod commands;
pub mod compare;
mod contents;
mod files;
pub mod host;
pub mod measure;
pub mod progress;
pub mod regress;
pub mod report;
mod results_dir;
pub mod scenario;
pub mod simulate;
pub mod state;
pub mod traffic;
pub mod trouble;
pub mod world;
