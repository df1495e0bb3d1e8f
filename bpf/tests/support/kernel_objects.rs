//! The kernel's objects, their numbers and pins, in name spaces of the calling thread's own.

#![expect(unsafe_code, reason = "bpf(2) takes addresses, and name spaces are entered by system calls")]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bpf::program::MapSpec;

use super::kernel::Attr;

mod cmd {
    pub const MAP_CREATE: u32 = 0;
    pub const MAP_LOOKUP_ELEM: u32 = 1;
    pub const MAP_UPDATE_ELEM: u32 = 2;
    pub const MAP_DELETE_ELEM: u32 = 3;
    pub const PROG_LOAD: u32 = 5;
    pub const OBJ_PIN: u32 = 6;
    pub const OBJ_GET: u32 = 7;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const MAP_FREEZE: u32 = 22;
    pub const MAP_UPDATE_BATCH: u32 = 26;
    pub const MAP_DELETE_BATCH: u32 = 27;
    pub const LINK_CREATE: u32 = 28;
    pub const LINK_UPDATE: u32 = 29;
    pub const LINK_DETACH: u32 = 34;
    /// `BPF_…_GET_NEXT_ID` of programs, maps, types, links.
    pub const NEXT_ID: [u32; 4] = [11, 12, 23, 31];
    /// `BPF_…_GET_FD_BY_ID` of the same.
    pub const FD_BY_ID: [u32; 4] = [13, 14, 19, 30];
}

/// A class of objects, as an index of the commands above.
pub const PROG: usize = 0;
pub const MAP: usize = 1;
pub const LINK: usize = 3;

fn opened(answer: Result<i64, i32>) -> Result<OwnedFd, i32> {
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    answer.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Gives the thread mounts and devices of its own: an empty directory `/tmp`, with the loopback device up to be attached
/// to. What it mounts goes with the thread.
pub fn enter_name_spaces() -> Result<(), i32> {
    let check = |answer: i32| match answer {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    };
    let null = std::ptr::null();
    // SAFETY: the strings are literals, and the calls keep none of them.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET))?;
        check(libc::mount(null, c"/".as_ptr(), null, libc::MS_REC | libc::MS_PRIVATE, null.cast()))?;
        check(libc::mount(c"none".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, c"mode=755".as_ptr().cast()))?;
        libc::umask(0o022);
    }
    Ok(())
}

/// Makes the directory that was entered, and the machine's own files around it, what the thread cannot change.
pub fn seal() {
    let null = std::ptr::null();
    // SAFETY: the strings are literals.
    let again =
        |on: &CStr, flags| unsafe { libc::mount(null, on.as_ptr(), null, libc::MS_REMOUNT | flags, null.cast()) };
    assert_eq!(again(c"/tmp", libc::MS_RDONLY), 0, "what was mounted can be mounted again");
    assert_eq!(again(c"/", libc::MS_BIND | libc::MS_RDONLY), 0, "the root can be shown without being changed");
}

/// `mount -t bpf` with permission bits, or with a source `mount --bind`.
pub fn mount(source: Option<&str>, on: &str, mode: u16) -> Result<(), i32> {
    let text = |text: &str| CString::new(text).unwrap();
    let (from, on, options) = (text(source.unwrap_or("bpf")), text(on), text(&format!("mode={mode:o}")));
    let (flags, data) = match source {
        Some(_) => (libc::MS_BIND, std::ptr::null()),
        None => (0, options.as_ptr()),
    };
    // SAFETY: all strings outlive the call.
    let answer = unsafe { libc::mount(from.as_ptr(), on.as_ptr(), c"bpf".as_ptr(), flags, data.cast()) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// `umount`.
pub fn unmount(on: &str) -> Result<(), i32> {
    let on = CString::new(on).unwrap();
    // SAFETY: the string outlives the call.
    let answer = unsafe { libc::umount2(on.as_ptr(), 0) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// `renameat2` with flags.
pub fn rename(old: &str, new: &str, flags: u32) -> Result<(), i32> {
    let (old, new) = (CString::new(old).unwrap(), CString::new(new).unwrap());
    // SAFETY: both strings outlive the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, old.as_ptr(), libc::AT_FDCWD, new.as_ptr(), flags)
    };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// `BPF_MAP_CREATE`, with a descriptor of a map like those inside.
pub fn map_create(spec: &MapSpec, inner: Option<&OwnedFd>) -> Result<OwnedFd, i32> {
    let inner = inner.map_or(u32::MAX, |fd| fd.as_raw_fd() as u32);
    let mut name = [0; 16];
    name[..spec.name.len()].copy_from_slice(spec.name.as_bytes());
    let mut attr = Attr::new()
        .u32(0, spec.ty.0)
        .u32(4, spec.key_size)
        .u32(8, spec.value_size)
        .u32(12, spec.max_entries)
        .u32(16, spec.flags)
        .u32(20, inner);
    for (at, word) in name.as_chunks::<4>().0.iter().enumerate() {
        attr = attr.u32(28 + 4 * at, u32::from_le_bytes(*word));
    }
    opened(attr.call(cmd::MAP_CREATE))
}

/// `BPF_PROG_LOAD` of a program that names a map, if one is given, and returns 0.
pub fn prog_load(prog_type: u32, attach_type: u32, map: Option<&OwnedFd>) -> Result<OwnedFd, i32> {
    let mut bytes = Vec::new();
    if let Some(map) = map {
        bytes.extend([0x18, 0x11, 0, 0]);
        bytes.extend(map.as_raw_fd().to_le_bytes());
        bytes.extend([0; 8]);
    }
    bytes.extend([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    let license: &CStr = c"GPL";
    let mut attr = Attr::new()
        .u32(0, prog_type)
        .u32(4, (bytes.len() / 8) as u32)
        .ptr(8, bytes.as_ptr())
        .ptr(16, license.as_ptr())
        .u32(68, attach_type);
    opened(attr.call(cmd::PROG_LOAD))
}

/// `BPF_OBJ_PIN`.
pub fn pin(fd: &OwnedFd, path: &str) -> Result<(), i32> {
    let path = CString::new(path).unwrap();
    Attr::new().ptr(0, path.as_ptr()).fd(8, fd).call(cmd::OBJ_PIN).map(drop)
}

/// `BPF_OBJ_GET`.
pub fn get(path: &str, flags: u32) -> Result<OwnedFd, i32> {
    let path = CString::new(path).unwrap();
    opened(Attr::new().ptr(0, path.as_ptr()).u32(12, flags).call(cmd::OBJ_GET))
}

/// `BPF_…_GET_NEXT_ID`.
pub fn next_id(class: usize, id: u32) -> Result<u32, i32> {
    let mut attr = Attr::new().u32(0, id);
    attr.call(cmd::NEXT_ID[class])?;
    Ok(attr.word(4))
}

/// Whether there is an object of that number; takes no reference to it.
pub fn exists(class: usize, id: u32) -> bool {
    next_id(class, id - 1) == Ok(id)
}

/// `BPF_…_GET_FD_BY_ID`.
pub fn fd_by_id(class: usize, id: u32, flags: u32) -> Result<OwnedFd, i32> {
    opened(Attr::new().u32(0, id).u32(8, flags).call(cmd::FD_BY_ID[class]))
}

/// The number of the object behind a descriptor. Information of programs and maps has it second, so has a link's.
pub fn id_of(fd: &OwnedFd) -> u32 {
    info(fd)[1]
}

/// The first words of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn info(fd: &OwnedFd) -> [u32; 20] {
    let mut words = [0u32; 20];
    let mut attr = Attr::new().fd(0, fd).u32(4, size_of_val(&words) as u32).ptr(8, words.as_mut_ptr());
    attr.call(cmd::OBJ_GET_INFO_BY_FD).expect("every object tells its number");
    words
}

/// `BPF_MAP_FREEZE`.
pub fn freeze(fd: &OwnedFd) -> Result<(), i32> {
    Attr::new().fd(0, fd).call(cmd::MAP_FREEZE).map(drop)
}

fn element(fd: &OwnedFd, key: &[u8], value: *const u8, flags: u64, command: u32) -> Result<(), i32> {
    let attr = Attr::new().fd(0, fd).ptr(8, key.as_ptr()).ptr(16, value).u32(24, flags as u32);
    attr.u32(28, (flags >> 32) as u32).call(command).map(drop)
}

/// `BPF_MAP_LOOKUP_ELEM` of a map whose keys are as long and whose values fit.
pub fn lookup(fd: &OwnedFd, key: &[u8], size: usize) -> Result<Vec<u8>, i32> {
    let mut value = vec![0u8; size];
    element(fd, key, value.as_mut_ptr(), 0, cmd::MAP_LOOKUP_ELEM)?;
    Ok(value)
}

/// `BPF_MAP_UPDATE_ELEM` of a map whose keys and values are as long.
pub fn update(fd: &OwnedFd, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
    element(fd, key, value.as_ptr(), flags, cmd::MAP_UPDATE_ELEM)
}

/// `BPF_MAP_DELETE_ELEM` of a map whose keys are as long.
pub fn delete(fd: &OwnedFd, key: &[u8]) -> Result<(), i32> {
    element(fd, key, std::ptr::null(), 0, cmd::MAP_DELETE_ELEM)
}

/// `BPF_MAP_UPDATE_BATCH`, without values `BPF_MAP_DELETE_BATCH`: how many were done, and how it ended.
pub fn batch(fd: &OwnedFd, count: usize, keys: &[u8], values: Option<&[u8]>) -> (usize, Result<(), i32>) {
    let command = if values.is_some() { cmd::MAP_UPDATE_BATCH } else { cmd::MAP_DELETE_BATCH };
    let values = values.unwrap_or_default();
    let mut attr = Attr::new().ptr(16, keys.as_ptr()).ptr(24, values.as_ptr()).u32(32, count as u32).fd(36, fd);
    let end = attr.call(command).map(drop);
    (attr.word(32) as usize, end)
}

/// `BPF_LINK_CREATE`.
pub fn link_create(program: &OwnedFd, ifindex: u32, attach_type: u32, flags: u32) -> Result<OwnedFd, i32> {
    opened(Attr::new().fd(0, program).u32(4, ifindex).u32(8, attach_type).u32(12, flags).call(cmd::LINK_CREATE))
}

/// `BPF_LINK_UPDATE`.
pub fn link_update(link: &OwnedFd, new: &OwnedFd, flags: u32, old: Option<&OwnedFd>) -> Result<(), i32> {
    let attr = Attr::new().fd(0, link).fd(4, new).u32(8, flags);
    let mut attr = match old {
        Some(old) => attr.fd(12, old),
        None => attr,
    };
    attr.call(cmd::LINK_UPDATE).map(drop)
}

/// `BPF_LINK_DETACH`.
pub fn link_detach(link: &OwnedFd) -> Result<(), i32> {
    Attr::new().fd(0, link).call(cmd::LINK_DETACH).map(drop)
}
