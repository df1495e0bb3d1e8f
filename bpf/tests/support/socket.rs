//! Classic filters on the running kernel: attached to sockets, with packets sent to them.

#![expect(unsafe_code, reason = "socket options and addresses are C structures, of the sizes we say")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bpf::cbpf::RawFilter;

/// An EtherType for experiments on one's own wire (IEEE 802, local experimental 1).
pub const ETHERTYPE: u16 = 0x88b5;
/// Linux, `include/uapi/linux/if_packet.h`.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// Two sockets, of which one sends what the other receives through its filter.
pub struct Sockets {
    send: OwnedFd,
    receive: OwnedFd,
}

fn checked(answer: libc::c_int) -> Result<libc::c_int, i32> {
    if answer < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(answer) }
}

fn owned(answer: libc::c_int) -> Result<OwnedFd, i32> {
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    checked(answer).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set<T>(fd: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> Result<(), i32> {
    // SAFETY: the value is alive and has the size we say.
    let answer = unsafe {
        let value = std::ptr::from_ref(value).cast();
        libc::setsockopt(fd.as_raw_fd(), level, option, value, size_of::<T>() as libc::socklen_t)
    };
    checked(answer).map(|_| ())
}

impl Sockets {
    /// A pair of Unix datagram sockets: packets are bytes without headers, and have no device.
    pub fn unix() -> Result<Sockets, i32> {
        let mut fds = [0; 2];
        // SAFETY: the array has room for the two descriptors.
        checked(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, fds.as_mut_ptr()) })?;
        let [send, receive] = fds.map(owned);
        Ok(Sockets { send: send?, receive: receive? })
    }

    /// Packet sockets on the loopback device of a network namespace that this thread enters for good: packets are frames,
    /// sent with this mark.
    pub fn loopback(mark: u32) -> Result<Sockets, i32> {
        // SAFETY: no memory is handed over.
        checked(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        let open = |protocol: u16| -> Result<OwnedFd, i32> {
            // SAFETY: no memory is handed over.
            let fd = owned(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) })?;
            let address = libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: protocol.to_be(),
                sll_ifindex: 1,
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 0,
                sll_addr: [0; 8],
            };
            // SAFETY: the address is alive and has the size we say.
            checked(unsafe {
                let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len)
            })?;
            Ok(fd)
        };
        let pair = Sockets { send: open(0)?, receive: open(libc::ETH_P_ALL as u16)? };
        set(&pair.send, libc::SOL_SOCKET, libc::SO_MARK, &mark)?;
        set(&pair.receive, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1i32)?;
        // SAFETY: the structure is plain old data, zero is a value of it, and it outlives the call.
        unsafe {
            let mut device: libc::ifreq = std::mem::zeroed();
            device.ifr_name[0] = b'l' as libc::c_char;
            device.ifr_name[1] = b'o' as libc::c_char;
            device.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
            checked(libc::ioctl(pair.send.as_raw_fd(), libc::SIOCSIFFLAGS as _, &device))?;
        }
        Ok(pair)
    }

    /// Attaches a filter in place of the one before; the error number if the kernel refuses it.
    pub fn attach(&self, words: &[RawFilter]) -> Result<(), i32> {
        let mut words: Vec<libc::sock_filter> =
            words.iter().map(|w| libc::sock_filter { code: w.code, jt: w.jt, jf: w.jf, k: w.k }).collect();
        let program = libc::sock_fprog { len: words.len() as u16, filter: words.as_mut_ptr() };
        set(&self.receive, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Sends a packet; what the filter kept of it, or `None` if it was dropped.
    pub fn pass(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut kept = vec![0u8; 4096];
        // SAFETY: both buffers are alive and as long as we say.
        unsafe {
            let sent = libc::send(self.send.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0);
            assert_eq!(sent, packet.len() as isize, "the packet is sent");
            let got = libc::recv(self.receive.as_raw_fd(), kept.as_mut_ptr().cast(), kept.len(), libc::MSG_DONTWAIT);
            kept.truncate(usize::try_from(got).ok()?);
        }
        Some(kept)
    }
}

/// The sockets, or `None` after a line that names the skipped test and why. `REQUIRE_BPF` says that this machine can do it.
pub fn or_skip(test: &str, sockets: Result<Sockets, i32>) -> Option<Sockets> {
    let returns_one = [RawFilter { code: 6, jt: 0, jf: 0, k: 1 }];
    match sockets.and_then(|sockets| sockets.attach(&returns_one).map(|()| sockets)) {
        Ok(sockets) => Some(sockets),
        Err(errno) => {
            assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{test}: errno {errno}");
            eprintln!("SKIPPED {test}: sockets with filters fail with errno {errno}");
            None
        }
    }
}
