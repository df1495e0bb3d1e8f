//! Error numbers as Linux returns them from bpf(2) and from helpers.

use std::fmt;

/// A Linux error number, positive.
///
/// Numbers are those of the generic Linux ABI (x86-64, arm64), whatever machine this runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub u16);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Errno = Errno(1);
    /// No such entry.
    pub const ENOENT: Errno = Errno(2);
    /// Out of memory.
    pub const ENOMEM: Errno = Errno(12);
    /// Permission denied: the verifier's usual answer to an unsafe access.
    pub const EACCES: Errno = Errno(13);
    /// Bad address.
    pub const EFAULT: Errno = Errno(14);
    /// Busy.
    pub const EBUSY: Errno = Errno(16);
    /// It would wait for itself.
    pub const EDEADLK: Errno = Errno(35);
    /// Entry exists.
    pub const EEXIST: Errno = Errno(17);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno(22);
    /// Too big, or full.
    pub const E2BIG: Errno = Errno(7);
    /// Bad descriptor: no such object.
    pub const EBADF: Errno = Errno(9);
    /// Try again: no room now.
    pub const EAGAIN: Errno = Errno(11);
    /// No such device.
    pub const ENODEV: Errno = Errno(19);
    /// No space left.
    pub const ENOSPC: Errno = Errno(28);
    /// Too many links: a loop.
    pub const ELOOP: Errno = Errno(40);
    /// Value too large.
    pub const EOVERFLOW: Errno = Errno(75);
    /// Not a socket.
    pub const ENOTSOCK: Errno = Errno(88);
    /// Not supported, as the kernel says it to itself.
    pub const ENOTSUPP: Errno = Errno(524);
    /// Already done.
    pub const EALREADY: Errno = Errno(114);
    /// Out of range.
    pub const ERANGE: Errno = Errno(34);
    /// Another protocol.
    pub const EPROTO: Errno = Errno(71);
    /// The device is down.
    pub const ENETDOWN: Errno = Errno(100);
    /// No such family of addresses.
    pub const EAFNOSUPPORT: Errno = Errno(97);
    /// No such protocol.
    pub const EPROTONOSUPPORT: Errno = Errno(93);
    /// Operation not supported.
    pub const EOPNOTSUPP: Errno = Errno(95);
    /// Input or output error: a file that cannot be opened.
    pub const EIO: Errno = Errno(5);
    /// The descriptor, or what a card is told instead of one, is in a bad state.
    pub const EBADFD: Errno = Errno(77);
    /// No answer came in time.
    pub const ETIMEDOUT: Errno = Errno(110);
    /// Another mount.
    pub const EXDEV: Errno = Errno(18);
    /// Not a directory.
    pub const ENOTDIR: Errno = Errno(20);
    /// A directory.
    pub const EISDIR: Errno = Errno(21);
    /// Too many open descriptors.
    pub const EMFILE: Errno = Errno(24);
    /// A file system that cannot be changed.
    pub const EROFS: Errno = Errno(30);
    /// A name or path is too long.
    pub const ENAMETOOLONG: Errno = Errno(36);
    /// A directory is not empty.
    pub const ENOTEMPTY: Errno = Errno(39);
    /// What a link led to is gone.
    pub const ENOLINK: Errno = Errno(67);

    /// The symbol, where this crate uses it.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Errno::EPERM => "EPERM",
            Errno::ENOENT => "ENOENT",
            Errno::ENOMEM => "ENOMEM",
            Errno::EACCES => "EACCES",
            Errno::EFAULT => "EFAULT",
            Errno::EBUSY => "EBUSY",
            Errno::EDEADLK => "EDEADLK",
            Errno::EEXIST => "EEXIST",
            Errno::EINVAL => "EINVAL",
            Errno::E2BIG => "E2BIG",
            Errno::EBADF => "EBADF",
            Errno::EAGAIN => "EAGAIN",
            Errno::ENODEV => "ENODEV",
            Errno::ENOSPC => "ENOSPC",
            Errno::ELOOP => "ELOOP",
            Errno::EOVERFLOW => "EOVERFLOW",
            Errno::ENOTSOCK => "ENOTSOCK",
            Errno::ENOTSUPP => "ENOTSUPP",
            Errno::EALREADY => "EALREADY",
            Errno::ERANGE => "ERANGE",
            Errno::EPROTO => "EPROTO",
            Errno::ENETDOWN => "ENETDOWN",
            Errno::EAFNOSUPPORT => "EAFNOSUPPORT",
            Errno::EPROTONOSUPPORT => "EPROTONOSUPPORT",
            Errno::EOPNOTSUPP => "EOPNOTSUPP",
            Errno::EIO => "EIO",
            Errno::EBADFD => "EBADFD",
            Errno::ETIMEDOUT => "ETIMEDOUT",
            Errno::EXDEV => "EXDEV",
            Errno::ENOTDIR => "ENOTDIR",
            Errno::EISDIR => "EISDIR",
            Errno::EMFILE => "EMFILE",
            Errno::EROFS => "EROFS",
            Errno::ENAMETOOLONG => "ENAMETOOLONG",
            Errno::ENOTEMPTY => "ENOTEMPTY",
            Errno::ENOLINK => "ENOLINK",
            _ => return None,
        })
    }

    /// What a helper leaves in R0: the negated number, sign-extended to 64 bits.
    pub const fn as_return(self) -> u64 {
        (-(self.0 as i64)) as u64
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}
