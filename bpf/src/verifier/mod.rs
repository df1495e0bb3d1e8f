//! The verifier: decides whether Linux would take a program, and what was seen while deciding.
//!
//! Three rooms never share a function: what an instruction demands (`demand`), whether a state proves it (`prove`), and
//! what state comes next (`transfer`). Exploration (`explore`) walks every path with them and compares states where
//! paths may meet (`prune`). It decides as Linux 6.18 does on x86-64, for whatever the loader is allowed; what that kernel's verifier
//! knows and this one does not is answered with [`Verdict::Unsupported`].
//!
//! ```text
//! Program → cfg → explore ┬ demand → prove → transfer ┐ → stack_depth → xlate → VerifiedProgram
//!                         └──── observe, prune ◄──────┘
//! ```

mod bounds;
mod cfg;
mod class;
mod ctx;
mod demand;
mod explain;
mod explore;
mod explored;
mod guards;
mod live_regs;
mod live_stack;
mod log;
mod observe;
mod pointer;
mod precision;
mod privileges;
mod prove;
mod prune;
mod scc;
mod stack_depth;
mod state;
mod tnum;
mod trail;
mod transfer;
mod verdict;
mod xlate;

pub use bounds::{Bounds, Range};
pub(crate) use bounds::{assume, assume_of_itself, taken};
pub use class::Class;
pub use ctx::{CtxAccess, Field, Holds, SK_BUFF, SK_BUFF_TAIL, Types, XDP_MD, access, fields};
pub use explored::{
    AluSeen, ArgSeen, AtomicSeen, CallSeen, Conflict, Detail, ExitSeen, Explored, Fate, FunctionSeen, Kind, Lender,
    Pointer, PointerSeen, SlotSeen, SockKind, Span,
};
pub use guards::{Guard, Mask};
pub use privileges::{Privileges, Unprivileged};
pub use tnum::Tnum;
pub use trail::Statistics;
pub use verdict::{Rejection, Verdict, VerifiedProgram};

use crate::diag::{At, Diagnostic};
use crate::errno::Errno;
use crate::program::Program;
use explore::{Ended, Walked};
use verdict::{Refusal, Stop};

/// What a program is verified for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Memory accesses must be aligned wherever they go (`BPF_F_STRICT_ALIGNMENT`). Otherwise only those to the stack and
    /// atomic ones.
    pub strict_alignment: bool,
    /// The program is loaded for a device, as an offloaded one is: an XDP program may then choose the receive queue.
    pub device_bound: bool,
    /// A lookup in an array with a constant key below its size is known to find an entry, as Linux concludes from 6.14
    /// on.
    pub constant_array_keys: bool,
    /// What whoever loads it is allowed.
    pub privileges: Privileges,
    /// Whether the machine lets those load programs who have no `CAP_BPF`.
    pub unprivileged: Unprivileged,
    /// Functions may call other programs, as the x86-64 JIT compiler allows.
    pub tail_calls_in_functions: bool,
    /// Processors the machine may have, which `bpf_get_smp_processor_id` stays below; nothing is concluded if not known.
    pub processors: Option<u32>,
    /// How much of the walk is written down: 0 nothing but the reason of a refusal, 1 the path that was refused, 2 every
    /// path; 4, which may be added, the stack that the functions use. All but 0 end with what was counted.
    pub log_level: u8,
}

impl Default for Options {
    /// A program for the host.
    fn default() -> Self {
        Self {
            strict_alignment: false,
            device_bound: false,
            constant_array_keys: true,
            privileges: Privileges::ALL,
            unprivileged: Unprivileged::Allowed,
            tail_calls_in_functions: true,
            processors: None,
            log_level: 0,
        }
    }
}

/// Verifies a program as Linux 6.18 would on x86-64.
pub fn verify(program: Program, options: &Options) -> Verdict {
    verify_logged(program, options).0
}

/// As [`verify`], with the log that [`Options::log_level`] asks for.
pub fn verify_logged(program: Program, options: &Options) -> (Verdict, String) {
    if let Err(stop) = privileges::may_load(&program, options.privileges, options.unprivileged) {
        return refuse(&program, Ended::early(stop));
    }
    if let Err(stop) = cfg::type_info_early(&program) {
        return refuse(&program, Ended::early(stop));
    }
    let functions = match cfg::functions(&program, options.privileges) {
        Ok(functions) => functions,
        Err(stop) => return refuse(&program, Ended::early(stop)),
    };
    let program = Program { functions, ..program };
    match explore::explore(&program, options) {
        Ok(Walked { explored, guards, mut log }) => {
            let statistics = explored.statistics();
            let (xlated, origin) = xlate::xlate(&program, explored.slots());
            if let Some(at) = xlate::function_gone(&xlated) {
                let line = format!("verifier bug: No program to jit at insn {at} (subprog < 0)");
                let stop = Stop::refused(Class::KernelMistake, Errno::EFAULT, line);
                let slot = origin.get(at).copied();
                let (verdict, mut log) = refuse(&program, Ended { stop, slot, statistics, log, path: Vec::new() });
                close(&mut log, &program, options, None, statistics);
                return (verdict, log);
            }
            close(&mut log, &program, options, Some(&explored), statistics);
            (
                Verdict::Accepted(VerifiedProgram {
                    program,
                    xlated,
                    origin,
                    explored,
                    guards,
                    device_bound: options.device_bound,
                }),
                log,
            )
        }
        Err(ended) => {
            let statistics = ended.statistics;
            let (verdict, mut log) = refuse(&program, ended);
            close(&mut log, &program, options, None, statistics);
            (verdict, log)
        }
    }
}

/// The closing lines of a log.
fn close(log: &mut String, program: &Program, options: &Options, explored: Option<&Explored>, statistics: Statistics) {
    if options.log_level == 0 {
        return;
    }
    if let Some(explored) = explored.filter(|_| options.log_level & 4 != 0) {
        let depths: Vec<String> = explored.functions().iter().map(|f| f.stack_depth.to_string()).collect();
        debug_assert_eq!(depths.len(), program.functions.len(), "every function was looked at");
        log.extend(["stack depth ", &depths.join("+"), "\n"]);
    }
    // Linux no longer follows reads along chains of states, and says so with a 0.
    log.extend([&statistics.to_string(), " mark_read 0\n"]);
}

fn refuse(program: &Program, ended: Ended) -> (Verdict, String) {
    let at = ended.slot.map_or_else(
        || At::Named(program.name.clone()),
        |slot| At::Insn {
            program: program.name.clone(),
            slot,
            text: log::text(program, slot),
            source: program.line_of(slot).cloned(),
        },
    );
    match ended.stop {
        Stop::Unsupported(diagnostic) => (Verdict::Unsupported(diagnostic.at(at)), ended.log),
        Stop::Refused(Refusal { class, errno, lines, limit, .. }) => {
            // The kernel sees an invalid call; the loader knows what stood there.
            let unresolved = ended.slot.and_then(|slot| program.unresolved_at(slot));
            let reason = unresolved.unwrap_or_else(|| verdict::reason(&lines));
            let mut diagnostic = Diagnostic::new(class.code(), reason).at(at).help(class.help());
            if let Some((limit, actual)) = limit.map(|limit| *limit) {
                diagnostic = diagnostic.limit(limit, actual);
            }
            diagnostic.rule = Some(class.rule().to_owned());
            diagnostic.path = ended.path;
            let mut log = ended.log;
            lines.iter().for_each(|line| log.extend([line, "\n"]));
            (Verdict::Rejected(Rejection { errno, lines, class, diagnostic, statistics: ended.statistics }), log)
        }
    }
}
