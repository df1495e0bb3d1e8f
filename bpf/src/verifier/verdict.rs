//! What the verifier answers.

use super::class::Class;
use super::explored::Explored;
use super::guards::Guard;
use super::trail::Statistics;
use crate::diag::Diagnostic;
use crate::errno::Errno;
use crate::insn::Reg;
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
    /// The same for people: the rule, the place, how control and values came there, what would help.
    pub diagnostic: Diagnostic,
    /// The kind of rule it breaks.
    pub class: Class,
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

/// What a refusal is about, for finding what led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// All that the instruction reads.
    Insn,
    /// A register of the running function.
    Reg(Reg),
    /// What the call at a slot gave.
    Call(usize),
}

/// Linux's refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub class: Class,
    pub errno: Errno,
    /// Lines of log.
    pub lines: Vec<String>,
    pub about: About,
    /// The limit that was broken, and by what.
    pub limit: Option<Box<(String, String)>>,
}

/// Why exploration ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Linux refuses.
    Refused(Refusal),
    /// We do not know.
    Unsupported(Box<Diagnostic>),
}

impl Stop {
    /// A refusal with one line of log.
    pub(super) fn refused(class: Class, errno: Errno, line: impl Into<String>) -> Self {
        Stop::Refused(Refusal { class, errno, lines: vec![line.into()], about: About::Insn, limit: None })
    }

    /// `EACCES`, the usual number for an unsafe access.
    pub(super) fn denied(class: Class, line: impl Into<String>) -> Self {
        Self::refused(class, Errno::EACCES, line)
    }

    /// `EINVAL`, the usual number for a malformed program.
    pub(super) fn invalid(class: Class, line: impl Into<String>) -> Self {
        Self::refused(class, Errno::EINVAL, line)
    }

    /// Something that is not modelled here.
    pub(super) fn unsupported(code: &'static str, reason: impl Into<String>) -> Self {
        Stop::Unsupported(Box::new(Diagnostic::new(code, reason)))
    }

    fn change(mut self, change: impl FnOnce(&mut Refusal)) -> Self {
        if let Stop::Refused(refusal) = &mut self {
            change(refusal);
        }
        self
    }

    /// A call that gives the wrong arguments is malformed, whichever of them is wrong.
    pub(super) fn with_errno_of_call(self) -> Self {
        self.change(|r| r.errno = Errno::EINVAL)
    }

    /// One more line of log.
    pub(super) fn and(self, line: impl Into<String>) -> Self {
        self.change(|r| r.lines.push(line.into()))
    }

    /// Lines of log before the others.
    pub(super) fn after(self, lines: Vec<String>) -> Self {
        self.change(|r| drop(r.lines.splice(0..0, lines)))
    }

    /// Which limit was broken, and by what.
    pub(super) fn limit(self, limit: impl Into<String>, actual: impl Into<String>) -> Self {
        self.change(|r| r.limit = Some(Box::new((limit.into(), actual.into()))))
    }

    /// It is about one register.
    pub(super) fn about(self, reg: Reg) -> Self {
        self.change(|r| r.about = About::Reg(reg))
    }

    /// It is about one register, unless it is about something else.
    pub(super) fn about_if_none(self, reg: Reg) -> Self {
        self.change(|r| {
            if r.about == About::Insn {
                r.about = About::Reg(reg);
            }
        })
    }

    /// It is about what a call gave.
    pub(super) fn about_call(self, slot: usize) -> Self {
        self.change(|r| r.about = About::Call(slot))
    }
}

/// Proved, or why not.
pub(super) type Proof = Result<(), Stop>;
