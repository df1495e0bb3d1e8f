//! The reference engine: pre-decoded, metered, every access checked.
//!
//! ```text
//! Program ──Code::new──▶ Code ──┐
//! [MapSpec] ──Engine::new──▶ Engine.run(&Code, RunInput, &mut dyn Env, &mut impl Observer) ──▶ Outcome
//! ```
//!
//! An [`Engine`] is the machine of one device: its arena with stack, context, packet buffer and maps. It runs any number of
//! programs, one packet at a time, and allocates nothing while it does. Any [`crate::program::Program`] may run, verified or
//! not: what a guest does wrong ends the run with a [`crate::memory::Fault`].
//!
//! An [`Observer`] sees each run as closely as it asks to, and may substitute what map loads and helpers answer.
//!
//! Arithmetic follows RFC 9669 §4: division by zero gives 0, modulo by zero leaves the dividend, the one overflow of signed
//! division wraps, shift amounts are masked, results of 32-bit operations are zero-extended.

mod arith;
mod burst;
mod context;
mod decode;
mod engine;
mod helper_call;
mod machine;
mod map_calls;
mod observer;
mod op;
mod open_map;
mod rounds;
mod run;
mod targets;
mod timers;

pub use arith::{alu, byte_order, holds, sign_extend};
pub use context::{ContextInput, IpSummed, SkbFields, XdpFields};
pub use decode::Code;
pub use engine::{Engine, EngineConfig, Outcome, RunInput};
pub use observer::{HelperCall, MapOp, MapOpKind, MemAccess, MemAccessKind, NoObserver, Observer};
pub use open_map::OpenMap;
pub use run::{MAX_FRAMES, MAX_TAIL_CALLS, STACK_FRAME};
pub use targets::{Target, excluded};
