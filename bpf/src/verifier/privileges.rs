//! Who may load what: capabilities (capabilities(7)) and `kernel.unprivileged_bpf_disabled`.

use super::cfg::MAX_SLOTS;
use super::class::Class;
use super::verdict::{Proof, Stop};
use crate::errno::Errno;
use crate::program::{ProgType, Program};

/// Most instructions of a program without `CAP_BPF`, in slots (`BPF_MAXINSNS`).
const MAX_SLOTS_UNPRIVILEGED: usize = 4096;

/// What whoever loads a program is allowed (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// `CAP_BPF`, or `CAP_SYS_ADMIN`: program types other than socket filters, functions and loops, more than 4,096
    /// instructions, most helpers; numbers that do not matter are told from those that do.
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

/// `kernel.unprivileged_bpf_disabled`: whether programs may be loaded without `CAP_BPF`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unprivileged {
    /// 0: they may.
    #[default]
    Allowed,
    /// 1: they may not, for as long as the machine runs.
    Barred,
    /// 2: they may not.
    Disabled,
}

impl Unprivileged {
    /// The setting's number.
    pub const fn number(self) -> u32 {
        match self {
            Unprivileged::Allowed => 0,
            Unprivileged::Barred => 1,
            Unprivileged::Disabled => 2,
        }
    }

    /// The setting after somebody with `CAP_SYS_ADMIN` writes a number to it.
    ///
    /// # Errors
    /// `EINVAL` for a number other than 0, 1 and 2; `EPERM` for any but 1 once it is 1.
    pub const fn write(self, number: u32) -> Result<Self, Errno> {
        let wanted = match number {
            0 => Unprivileged::Allowed,
            1 => Unprivileged::Barred,
            2 => Unprivileged::Disabled,
            _ => return Err(Errno::EINVAL),
        };
        match (self, wanted) {
            (Unprivileged::Barred, Unprivileged::Barred) => Ok(wanted),
            (Unprivileged::Barred, _) => Err(Errno::EPERM),
            _ => Ok(wanted),
        }
    }
}

/// Whether a program may be loaded at all. Linux gives an error number here and writes no log; the line is ours.
pub(super) fn may_load(program: &Program, privileges: Privileges, unprivileged: Unprivileged) -> Proof {
    let refused = |line: String| Err(Stop::refused(Class::Privilege, Errno::EPERM, line));
    let Privileges { bpf, net_admin, .. } = privileges;
    if !bpf && unprivileged != Unprivileged::Allowed {
        let number = unprivileged.number();
        return refused(format!("loading programs takes CAP_BPF where kernel.unprivileged_bpf_disabled is {number}"));
    }
    let (actual, most) = (program.insns.len(), if bpf { MAX_SLOTS } else { MAX_SLOTS_UNPRIVILEGED });
    if actual == 0 || actual > most {
        return Err(Stop::refused(Class::Limit, Errno::E2BIG, format!("program has {actual} instructions")));
    }
    let ty = program.ty;
    if ty != ProgType::SocketFilter && !bpf {
        return refused(format!("loading a program of type {ty} takes CAP_BPF"));
    }
    if ty != ProgType::SocketFilter && !net_admin {
        return refused(format!("loading a program of type {ty} takes CAP_NET_ADMIN"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_for_good() {
        let allowed = Unprivileged::Allowed;
        assert_eq!(allowed.write(2), Ok(Unprivileged::Disabled));
        assert_eq!(Unprivileged::Disabled.write(0), Ok(allowed));
        let barred = allowed.write(1).expect("it may be set");
        assert_eq!((barred.write(0), barred.write(2)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        assert_eq!((barred.write(1), barred.write(3)), (Ok(barred), Err(Errno::EINVAL)));
    }
}
