//! What the verifier answers.

use super::explored::Explored;
use super::guards::Guard;
use super::trail::Statistics;
use crate::diag::Diagnostic;
use crate::errno::Errno;
use crate::program::Program;

/// The verifier's answer. The last two are never confused: one is Linux's judgement, the other our limit.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one is made for each program that is verified, and taken apart at once")]
pub enum Verdict {
    /// Linux would load the program.
    Accepted(VerifiedProgram),
    /// Linux would refuse it.
    Rejected(Rejection),
    /// It uses something this verifier does not model; nothing is said about it.
    Unsupported(Diagnostic),
}

impl Verdict {
    /// The program, if accepted.
    pub fn accepted(self) -> Option<VerifiedProgram> {
        match self {
            Verdict::Accepted(program) => Some(program),
            _ => None,
        }
    }
}

/// Why Linux would refuse a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What bpf(2) would return.
    pub errno: Errno,
    /// The log that says why, in the kernel's words; the last line is the reason, but for states shown after it.
    pub lines: Vec<String>,
    /// The same for people, with the place.
    pub diagnostic: Diagnostic,
    /// What was walked before it was refused.
    pub statistics: Statistics,
}

impl Rejection {
    /// The kernel's sentence.
    pub fn reason(&self) -> &str {
        reason(&self.lines)
    }
}

/// A program that the verifier accepted; there is no other way to make one.
#[derive(Debug, Clone)]
pub struct VerifiedProgram {
    pub(super) program: Program,
    pub(super) xlated: Program,
    pub(super) origin: Vec<usize>,
    pub(super) explored: Explored,
    pub(super) guards: Vec<Guard>,
    pub(super) device_bound: bool,
}

impl VerifiedProgram {
    /// The program as it was given.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The program as it runs: instructions that no path reached are gone, branches that only go one way are jumps, and
    /// jumps to the next instruction are gone. This is what engines and JITs take.
    pub fn xlated(&self) -> &Program {
        &self.xlated
    }

    /// For each slot of [`VerifiedProgram::xlated`] the slot of [`VerifiedProgram::program`] it was.
    pub fn origin(&self) -> &[usize] {
        &self.origin
    }

    /// Whether it was verified for a device ([`super::Options::device_bound`]).
    pub fn device_bound(&self) -> bool {
        self.device_bound
    }

    /// What keeps a processor's speculation in bounds, by slot of [`VerifiedProgram::program`]; empty where the loader may
    /// see addresses anyway.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// What exploration saw, by slot of [`VerifiedProgram::program`]. For imitating a driver only; true of every run is
    /// only [`crate::facts::Facts`].
    pub fn explored(&self) -> &Explored {
        &self.explored
    }
}

/// The last line that is a sentence and not a state.
pub(super) fn reason(lines: &[String]) -> &str {
    let is_state = |line: &&String| line.starts_with("cur state:") || line.starts_with("old state:");
    lines.iter().rfind(|line| !is_state(line)).map_or("", String::as_str)
}

/// Why exploration ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Linux refuses: error number and log.
    Refused(Errno, Vec<String>),
    /// We do not know.
    Unsupported(Box<Diagnostic>),
}

impl Stop {
    /// A refusal with one line of log.
    pub(super) fn refused(errno: Errno, line: impl Into<String>) -> Self {
        Stop::Refused(errno, vec![line.into()])
    }

    /// `EACCES`, the usual number for an unsafe access.
    pub(super) fn denied(line: impl Into<String>) -> Self {
        Self::refused(Errno::EACCES, line)
    }

    /// `EINVAL`, the usual number for a malformed program.
    pub(super) fn invalid(line: impl Into<String>) -> Self {
        Self::refused(Errno::EINVAL, line)
    }

    /// Something that is not modelled here.
    pub(super) fn unsupported(code: &'static str, reason: impl Into<String>) -> Self {
        Stop::Unsupported(Box::new(Diagnostic::new(code, reason)))
    }

    /// A call that gives the wrong arguments is malformed, whichever of them is wrong.
    pub(super) fn with_errno_of_call(mut self) -> Self {
        if let Stop::Refused(errno, _) = &mut self {
            *errno = Errno::EINVAL;
        }
        self
    }

    /// One more line of log.
    pub(super) fn and(mut self, line: impl Into<String>) -> Self {
        if let Stop::Refused(_, lines) = &mut self {
            lines.push(line.into());
        }
        self
    }
}

/// Proved, or why not.
pub(super) type Proof = Result<(), Stop>;
