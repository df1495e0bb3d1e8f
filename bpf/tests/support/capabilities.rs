//! Loads on the running kernel by somebody who is allowed less than root: a thread that drops capabilities.

#![expect(unsafe_code, reason = "capget(2) and capset(2) take addresses")]

use bpf::verifier::Privileges;

/// capabilities(7), by number.
const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `_LINUX_CAPABILITY_VERSION_3`, of this thread.
const THIS_THREAD: Header = Header { version: 0x2008_0522, pid: 0 };

/// Effective, permitted and inheritable sets, low halves and then high ones.
type Sets = [[u32; 3]; 2];

/// Leaves this thread nothing of what BPF asks for but `privileges`, for good.
fn keep(privileges: Privileges) {
    let (mut header, mut sets): (Header, Sets) = (THIS_THREAD, Sets::default());
    // SAFETY: both are live, of the layout that this version has, and the kernel writes within them.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    assert_eq!(got, 0, "a thread may ask what it is allowed");
    let mut kept = !(NET_ADMIN | SYS_ADMIN | PERFMON | BPF);
    for (has, bit) in [(privileges.bpf, BPF), (privileges.perfmon, PERFMON), (privileges.net_admin, NET_ADMIN)] {
        kept |= if has { bit } else { 0 };
    }
    sets[0][0] &= kept as u32;
    sets[1][0] &= (kept >> 32) as u32;
    let mut header = THIS_THREAD;
    // SAFETY: as above; the kernel only reads.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    assert_eq!(set, 0, "a thread may give up what it is allowed");
}

/// Does something with no more than `privileges`, on a thread of its own.
pub fn with<T: Send>(privileges: Privileges, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            keep(privileges);
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether the running kernel lets those load programs who have no capability, as it does unless it is told not to; where
/// it does not, a line says that `test` was skipped.
pub fn unprivileged_may_load(test: &str) -> bool {
    let setting = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap_or_default();
    if setting.trim() == "0" {
        return true;
    }
    eprintln!("SKIPPED {test}: kernel.unprivileged_bpf_disabled is {}", setting.trim());
    false
}
