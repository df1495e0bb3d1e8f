//! The verifier: decides whether Linux would take a program, and what was seen while deciding.
//!
//! Three rooms never share a function: what an instruction demands (`demand`), whether a state proves it (`prove`), and
//! what state comes next (`transfer`). Exploration (`explore`) walks every path with them and compares states where
//! paths may meet (`prune`). It decides as Linux 6.18 does for a privileged program on x86-64; what that kernel's verifier
//! knows and this one does not is answered with [`Verdict::Unsupported`].
//!
//! ```text
//! Program → cfg → explore ┬ demand → prove → transfer ┐ → stack_depth → xlate → VerifiedProgram
//!                         └──── observe, prune ◄──────┘
//! ```

mod bounds;
mod cfg;
mod ctx;
mod demand;
mod explore;
mod explored;
mod live_regs;
mod live_stack;
mod log;
mod observe;
mod pointer;
mod precision;
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
pub use ctx::{CtxAccess, Field, Holds, SK_BUFF, SK_BUFF_TAIL, Types, XDP_MD, access, fields};
pub use explored::{
    AluSeen, ArgSeen, AtomicSeen, CallSeen, Conflict, Detail, ExitSeen, Explored, Fate, FunctionSeen, Kind, Lender,
    Pointer, PointerSeen, SlotSeen, SockKind, Span,
};
pub use tnum::Tnum;
pub use trail::Statistics;
pub use verdict::{Rejection, Verdict, VerifiedProgram};

use crate::diag::{At, Diagnostic};
use crate::errno::Errno;
use crate::program::Program;
use explore::Ended;
use verdict::Stop;

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
    /// Functions may call other programs, as the x86-64 JIT compiler allows.
    pub tail_calls_in_functions: bool,
    /// Processors the machine may have, which `bpf_get_smp_processor_id` stays below; nothing is concluded if not known.
    pub processors: Option<u32>,
    /// How much of the walk is written down: 0 nothing but the reason of a refusal, 1 the path that was refused, 2 every
    /// path; 4, which may be added, the stack that the functions use. All but 0 end with what was counted.
    pub log_level: u8,
}

/// What whoever loads a program is allowed (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// `CAP_BPF`, or `CAP_SYS_ADMIN`: bounded loops, functions, more than 4,096 instructions, most helpers.
    pub bpf: bool,
    /// `CAP_PERFMON`, or `CAP_SYS_ADMIN`: pointers may be seen as numbers, stack may be read that was not written, and
    /// what a processor does speculatively is not looked at.
    pub perfmon: bool,
    /// `CAP_NET_ADMIN`, or `CAP_SYS_ADMIN`: programs for the network other than socket filters.
    pub net_admin: bool,
}

impl Privileges {
    /// Root.
    pub const ALL: Privileges = Privileges { bpf: true, perfmon: true, net_admin: true };
    /// None at all.
    pub const NONE: Privileges = Privileges { bpf: false, perfmon: false, net_admin: false };

    /// Whether pointers may be seen as numbers.
    pub const fn leaks_pointers(self) -> bool {
        self.perfmon
    }

    /// Whether what a processor does speculatively is not looked at.
    pub const fn bypasses_speculation(self) -> bool {
        self.perfmon
    }
}

impl Default for Options {
    /// A program for the host.
    fn default() -> Self {
        Self {
            strict_alignment: false,
            device_bound: false,
            constant_array_keys: true,
            privileges: Privileges::ALL,
            tail_calls_in_functions: true,
            processors: None,
            log_level: 0,
        }
    }
}

/// Verifies a program as Linux 6.18 would for a privileged user on x86-64.
pub fn verify(program: Program, options: &Options) -> Verdict {
    verify_logged(program, options).0
}

/// As [`verify`], with the log that [`Options::log_level`] asks for.
pub fn verify_logged(program: Program, options: &Options) -> (Verdict, String) {
    if program.insns.is_empty() || program.insns.len() > cfg::MAX_SLOTS {
        let actual = program.insns.len();
        let stop = Stop::refused(Errno::E2BIG, format!("program has {actual} instructions"));
        return refuse(&program, Ended::early(stop));
    }
    if let Err(stop) = cfg::type_info_early(&program) {
        return refuse(&program, Ended::early(stop));
    }
    let functions = match cfg::functions(&program) {
        Ok(functions) => functions,
        Err(stop) => return refuse(&program, Ended::early(stop)),
    };
    let program = Program { functions, ..program };
    if options.privileges != Privileges::ALL {
        let reason = "the program is loaded without privileges, which is not modelled";
        return refuse(&program, Ended::early(Stop::unsupported("verifier-privileges", reason)));
    }
    match explore::explore(&program, options) {
        Ok((explored, mut log)) => {
            close(&mut log, &program, options, Some(&explored), explored.statistics());
            let (xlated, origin) = xlate::xlate(&program, explored.slots());
            (
                Verdict::Accepted(VerifiedProgram {
                    program,
                    xlated,
                    origin,
                    explored,
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
            text: log::insn(program, slot),
            source: program.line_of(slot).cloned(),
        },
    );
    match ended.stop {
        Stop::Unsupported(diagnostic) => (Verdict::Unsupported(diagnostic.at(at)), ended.log),
        Stop::Refused(errno, lines) => {
            // The kernel sees an invalid call; the loader knows what stood there.
            let unresolved = ended.slot.and_then(|slot| program.unresolved_at(slot));
            let reason = unresolved.unwrap_or_else(|| verdict::reason(&lines));
            let diagnostic = Diagnostic::new("verifier-rejected", reason).at(at);
            let mut log = ended.log;
            lines.iter().for_each(|line| log.extend([line, "\n"]));
            (Verdict::Rejected(Rejection { errno, lines, diagnostic, statistics: ended.statistics }), log)
        }
    }
}
