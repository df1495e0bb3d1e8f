//! A small caller of bpf(2): the running kernel as the authority on what a program does.
//!
//! Only tests use it. Where the kernel does not let us, [`kernel`] says so by name and the test is skipped.

#![expect(unsafe_code, reason = "bpf(2) takes addresses, and its descriptors are ours to own")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bpf::program::{MapSpec, MapType};

/// Commands of bpf(2) (include/uapi/linux/bpf.h, `enum bpf_cmd`).
mod cmd {
    pub const MAP_CREATE: u32 = 0;
    pub const MAP_LOOKUP_ELEM: u32 = 1;
    pub const MAP_UPDATE_ELEM: u32 = 2;
    pub const MAP_DELETE_ELEM: u32 = 3;
    pub const MAP_GET_NEXT_KEY: u32 = 4;
    pub const PROG_LOAD: u32 = 5;
    pub const PROG_TEST_RUN: u32 = 10;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const BTF_LOAD: u32 = 18;
    pub const MAP_FREEZE: u32 = 22;
    pub const LINK_CREATE: u32 = 28;
}

/// `union bpf_attr`, filled word by word.
pub(super) struct Attr([u8; 128]);

impl Attr {
    pub(super) fn new() -> Attr {
        Attr([0; 128])
    }

    pub(super) fn u32(mut self, at: usize, word: u32) -> Attr {
        self.0[at..at + 4].copy_from_slice(&word.to_le_bytes());
        self
    }

    pub(super) fn fd(self, at: usize, fd: &OwnedFd) -> Attr {
        self.u32(at, fd.as_raw_fd() as u32)
    }

    pub(super) fn ptr<T>(mut self, at: usize, to: *const T) -> Attr {
        self.0[at..at + 8].copy_from_slice(&(to.addr() as u64).to_le_bytes());
        self
    }

    pub(super) fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// Calls bpf(2). Callers keep every buffer named in the attributes alive and long enough until this returns.
    pub(super) fn call(&mut self, command: u32) -> Result<i64, i32> {
        // SAFETY: the attributes are a live buffer of the size we say, and the callers below name buffers of theirs that
        // outlive the call with lengths the kernel gets from the attributes or from the map's definition.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        if answer < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(answer) }
    }

    fn descriptor(&mut self, command: u32) -> Result<OwnedFd, i32> {
        let fd = self.call(command)?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

/// A map of the kernel's.
pub struct KernelMap {
    pub(super) fd: OwnedFd,
    pub(super) key_size: usize,
    /// Bytes user space reads and writes: all processors' for per-CPU kinds.
    pub user_value_size: usize,
}

/// A loaded program.
pub struct KernelProg(OwnedFd);

/// Loaded type information.
pub struct KernelBtf(OwnedFd);

/// What a program is loaded with.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    pub prog_type: u32,
    /// Encoded slots.
    pub bytes: &'a [u8],
    pub license: &'a std::ffi::CStr,
    /// 0 to 2.
    pub log_level: u32,
    /// `BPF_F_...` of the load.
    pub flags: u32,
    pub attach_type: u32,
    pub types: Option<&'a KernelBtf>,
    /// With `types`: first slot and type of each function.
    pub functions: &'a [[u32; 2]],
    /// With `types`, instead of `functions`: records as they are.
    pub info: Option<RawInfo<'a>>,
    /// Descriptors that wide loads name by their place here.
    pub descriptors: &'a [i32],
}

/// Records about functions and lines; of each kind bytes of a record, records, and all their bytes.
#[derive(Clone, Copy)]
pub struct RawInfo<'a> {
    pub functions: (u32, u32, &'a [u8]),
    pub lines: (u32, u32, &'a [u8]),
}

impl Default for LoadRequest<'_> {
    fn default() -> Self {
        LoadRequest {
            prog_type: 0,
            bytes: &[],
            license: c"GPL",
            log_level: 0,
            flags: 0,
            attach_type: 0,
            types: None,
            functions: &[],
            info: None,
            descriptors: &[],
        }
    }
}

/// What `BPF_PROG_TEST_RUN` gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRun {
    pub retval: u32,
    pub packet: Vec<u8>,
    pub context: Vec<u8>,
}

/// Why a program was not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    pub errno: i32,
    pub log: String,
}

/// Proof that the running kernel lets us call bpf(2).
#[derive(Clone, Copy)]
pub struct Kernel(());

/// The running kernel, or `None` after a line that names the skipped test and why.
pub fn kernel(test: &str) -> Option<Kernel> {
    let kernel = Kernel(());
    // r0 = 0; exit
    let bytes = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    match kernel.load(6, &bytes, "GPL").map(|prog| prog.run(&[0; 64], None)) {
        Ok(Ok(_)) => Some(kernel),
        Ok(Err(errno)) => skip(test, &format!("BPF_PROG_TEST_RUN fails with errno {errno}")),
        Err(error) => skip(test, &format!("BPF_PROG_LOAD fails with errno {}", error.errno)),
    }
}

/// `REQUIRE_BPF` says that this machine can do it: then a test that cannot has failed.
fn skip(test: &str, why: &str) -> Option<Kernel> {
    assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{test}: {why}");
    eprintln!("SKIPPED {test}: {why}");
    None
}

/// Keeps this thread on processor 0, so that per-CPU values are those of slot 0.
pub fn stay_on_cpu_0() {
    // SAFETY: the set is plain old data, zero is its empty value, and the call reads it within the size we say.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    assert_eq!(answer, 0, "a thread may stay on processor 0");
}

/// Time a processor has spent on this thread, in the kernel and outside.
pub fn thread_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is ours.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0, "every thread has this clock");
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Puts this thread, and what it starts, into a network namespace of its own; `false` where that is not allowed.
pub fn enter_new_network() -> bool {
    // SAFETY: the call takes a number and changes nothing but the thread's namespace.
    unsafe { libc::unshare(libc::CLONE_NEWNET) == 0 }
}

/// Processors the kernel may ever have: slots of a per-CPU value.
pub fn possible_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_else(|_| "0".to_owned());
    text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<usize>().ok()).map_or(1, |last| last + 1)
}

impl Kernel {
    /// Loads a program from its encoded slots.
    pub fn load(&self, prog_type: u32, bytes: &[u8], license: &str) -> Result<KernelProg, LoadError> {
        let license = std::ffi::CString::new(license).unwrap();
        self.explained(&LoadRequest { prog_type, bytes, license: &license, ..LoadRequest::default() })
    }

    /// Loads a program, and asks again for the log if it is refused.
    pub fn explained(&self, request: &LoadRequest<'_>) -> Result<KernelProg, LoadError> {
        let errno = match self.request(&LoadRequest { log_level: 0, ..*request }).0 {
            Ok(program) => return Ok(program),
            Err(errno) => errno,
        };
        let log = self.request(&LoadRequest { log_level: 1, ..*request }).1;
        Err(LoadError { errno, log })
    }

    /// Loads a program and keeps the verifier's log, at level 0 to 2, whether it is accepted or not.
    pub fn verify(&self, prog_type: u32, bytes: &[u8], level: u32, flags: u32) -> (Result<KernelProg, i32>, String) {
        self.request(&LoadRequest { prog_type, bytes, log_level: level, flags, ..LoadRequest::default() })
    }

    /// Loads a program with everything that goes with it.
    pub fn request(&self, request: &LoadRequest<'_>) -> (Result<KernelProg, i32>, String) {
        let mut log = vec![0u8; [0, 1 << 20, 16 << 20][request.log_level.min(2) as usize]];
        let mut attr = Attr::new()
            .u32(0, request.prog_type)
            .u32(4, (request.bytes.len() / 8) as u32)
            .ptr(8, request.bytes.as_ptr())
            .ptr(16, request.license.as_ptr())
            .u32(24, request.log_level)
            .u32(28, log.len() as u32)
            .ptr(32, if log.is_empty() { std::ptr::null_mut() } else { log.as_mut_ptr() })
            .u32(44, request.flags)
            .u32(68, request.attach_type);
        if !request.descriptors.is_empty() {
            attr = attr.ptr(120, request.descriptors.as_ptr());
        }
        if let Some(types) = request.types {
            attr = attr
                .fd(72, &types.0)
                .u32(76, size_of::<[u32; 2]>() as u32)
                .ptr(80, request.functions.as_ptr())
                .u32(88, request.functions.len() as u32);
        }
        if let (Some(types), Some(RawInfo { functions, lines })) = (request.types, request.info) {
            attr = attr.fd(72, &types.0).u32(76, functions.0).ptr(80, functions.2.as_ptr()).u32(88, functions.1);
            attr = attr.u32(92, lines.0).ptr(96, lines.2.as_ptr()).u32(104, lines.1);
        }
        let answer = attr.descriptor(cmd::PROG_LOAD);
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        log.truncate(end);
        (answer.map(KernelProg), String::from_utf8_lossy(&log).into_owned())
    }

    /// Loads type information.
    pub fn load_btf(&self, bytes: &[u8]) -> Result<KernelBtf, i32> {
        let mut attr = Attr::new().ptr(0, bytes.as_ptr()).u32(16, bytes.len() as u32);
        attr.descriptor(cmd::BTF_LOAD).map(KernelBtf)
    }

    /// Loads BTF, and gives back the error number and the log where the kernel refuses.
    pub fn check_btf(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let mut log = vec![0u8; 1 << 20];
        let answer = Attr::new()
            .ptr(0, bytes.as_ptr())
            .ptr(8, log.as_mut_ptr())
            .u32(16, bytes.len() as u32)
            .u32(20, log.len() as u32)
            .u32(24, 1)
            .descriptor(cmd::BTF_LOAD);
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        let log = String::from_utf8_lossy(&log[..end]).into_owned();
        answer.map(drop).map_err(|errno| LoadError { errno, log })
    }

    /// Creates a map.
    pub fn create_map(
        &self,
        ty: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    ) -> Result<KernelMap, i32> {
        self.create(&MapSpec { ty: MapType(ty), key_size, value_size, max_entries, flags, ..MapSpec::default() })
    }

    /// Creates a map of a definition; a map of maps by a template that is closed again.
    pub fn create(&self, spec: &MapSpec) -> Result<KernelMap, i32> {
        self.create_typed(spec, None)
    }

    /// The same with types of keys and values: their descriptor, and the numbers of the two.
    pub fn create_typed(&self, spec: &MapSpec, types: Option<(&KernelBtf, u32, u32)>) -> Result<KernelMap, i32> {
        let template = spec.inner.as_deref().map(|inner| self.create(inner)).transpose()?;
        let inner = template.as_ref().map_or(u32::MAX, |map| map.fd() as u32);
        let mut attr = Attr::new()
            .u32(0, spec.ty.0)
            .u32(4, spec.key_size)
            .u32(8, spec.value_size)
            .u32(12, spec.max_entries)
            .u32(16, spec.flags)
            .u32(20, inner)
            .u32(64, spec.extra as u32)
            .u32(68, (spec.extra >> 32) as u32);
        if let Some((types, key, value)) = types {
            attr = attr.fd(48, &types.0).u32(52, key).u32(56, value);
        }
        let fd = attr.descriptor(cmd::MAP_CREATE)?;
        let per_cpu = matches!(spec.ty.0, 5 | 6 | 10);
        let user_value_size = match per_cpu {
            true => (spec.value_size as usize).next_multiple_of(8) * possible_cpus(),
            false => spec.value_size as usize,
        };
        Ok(KernelMap { fd, key_size: spec.key_size as usize, user_value_size })
    }
}

impl KernelProg {
    /// The descriptor's number, as a slot of a program array takes it.
    pub fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// The program's number.
    pub fn id(&self) -> u32 {
        id_of(&self.0)
    }

    /// Runs the program once on a packet, with the context's structure where given.
    pub fn run(&self, packet: &[u8], context: Option<&[u8]>) -> Result<TestRun, i32> {
        self.run_with(packet, context, 0)
    }

    /// The same on an skb whose device has summed it; `EBADMSG` where that is not its sum at the end
    /// (`BPF_F_TEST_SKB_CHECKSUM_COMPLETE`).
    pub fn run_summed(&self, packet: &[u8], context: Option<&[u8]>) -> Result<TestRun, i32> {
        self.run_with(packet, context, 4)
    }

    fn run_with(&self, packet: &[u8], context: Option<&[u8]>, flags: u32) -> Result<TestRun, i32> {
        let mut out = vec![0u8; 128 << 10];
        let mut context_out = vec![0u8; context.map_or(0, <[u8]>::len)];
        let mut attr = Attr::new()
            .fd(0, &self.0)
            .u32(8, packet.len() as u32)
            .u32(12, out.len() as u32)
            .ptr(16, packet.as_ptr())
            .ptr(24, out.as_mut_ptr())
            .u32(32, 1)
            .u32(64, flags);
        if let Some(context) = context {
            attr = attr
                .u32(40, context.len() as u32)
                .u32(44, context_out.len() as u32)
                .ptr(48, context.as_ptr())
                .ptr(56, context_out.as_mut_ptr());
        }
        attr.call(cmd::PROG_TEST_RUN)?;
        out.truncate(attr.word(12) as usize);
        Ok(TestRun { retval: attr.word(4), packet: out, context: context_out })
    }
}

impl KernelProg {
    /// Runs an XDP program on a frame that goes where the program says (`BPF_F_TEST_XDP_LIVE_FRAMES`).
    pub fn run_live(&self, packet: &[u8], context: &[u8]) -> Result<(), i32> {
        const LIVE_FRAMES: u32 = 2;
        let attr = Attr::new().fd(0, &self.0).u32(8, packet.len() as u32).ptr(16, packet.as_ptr()).u32(32, 1);
        let attr = attr.u32(40, context.len() as u32).ptr(48, context.as_ptr());
        attr.u32(64, LIVE_FRAMES).call(cmd::PROG_TEST_RUN).map(drop)
    }

    /// Attaches an XDP program to a device for as long as the descriptor lives.
    pub fn attach_xdp(&self, ifindex: u32) -> Result<OwnedFd, i32> {
        const XDP: u32 = 37;
        Attr::new().fd(0, &self.0).u32(4, ifindex).u32(8, XDP).descriptor(cmd::LINK_CREATE)
    }
}

/// The number that `BPF_OBJ_GET_INFO_BY_FD` gives of a map or program.
fn id_of(fd: &OwnedFd) -> u32 {
    // Both kinds of information begin with type and number.
    let mut info = [0u8; 8];
    Attr::new()
        .fd(0, fd)
        .u32(4, 8)
        .ptr(8, info.as_mut_ptr())
        .call(cmd::OBJ_GET_INFO_BY_FD)
        .expect("the object is there");
    u32::from_le_bytes(info[4..].try_into().unwrap())
}

impl KernelProg {
    /// The machine code the kernel made of the program (`jited_prog_len` and `jited_prog_insns` of `struct bpf_prog_info`).
    pub fn image(&self) -> Result<Vec<u8>, i32> {
        let mut code = vec![0u8; self.info(&mut [])?];
        self.info(&mut code)?;
        Ok(code)
    }

    /// Copies as much of the machine code as there is room for; says how long it is.
    fn info(&self, code: &mut [u8]) -> Result<usize, i32> {
        let mut info = [0u8; 256];
        info[16..20].copy_from_slice(&(code.len() as u32).to_le_bytes());
        info[24..32].copy_from_slice(&(code.as_mut_ptr().addr() as u64).to_le_bytes());
        Attr::new().fd(0, &self.0).u32(4, info.len() as u32).ptr(8, info.as_mut_ptr()).call(cmd::OBJ_GET_INFO_BY_FD)?;
        Ok(u32::from_le_bytes(info[16..20].try_into().unwrap()) as usize)
    }
}

impl KernelMap {
    /// The map's number.
    pub fn id(&self) -> u32 {
        id_of(&self.fd)
    }

    /// `BPF_MAP_FREEZE`.
    pub fn freeze(&self) -> Result<(), i32> {
        Attr::new().fd(0, &self.fd).call(cmd::MAP_FREEZE).map(|_| ())
    }

    /// The descriptor's number, as a wide load names it.
    pub fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// A command on one entry. A map without keys takes no address of one.
    pub(super) fn element(&self, key: *const u8, value: *const u8, flags: u64, command: u32) -> Result<(), i32> {
        let key = if self.key_size == 0 { std::ptr::null() } else { key };
        let mut attr = Attr::new().fd(0, &self.fd).ptr(8, key).ptr(16, value).u32(24, flags as u32);
        attr.0[28..32].copy_from_slice(&((flags >> 32) as u32).to_le_bytes());
        attr.call(command).map(|_| ())
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    pub fn lookup(&self, key: &[u8]) -> Result<Vec<u8>, i32> {
        assert_eq!(key.len(), self.key_size);
        let mut value = vec![0u8; self.user_value_size];
        self.element(key.as_ptr(), value.as_mut_ptr(), 0, cmd::MAP_LOOKUP_ELEM)?;
        Ok(value)
    }

    /// `BPF_MAP_UPDATE_ELEM`.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        assert_eq!((key.len(), value.len()), (self.key_size, self.user_value_size));
        self.element(key.as_ptr(), value.as_ptr(), flags, cmd::MAP_UPDATE_ELEM)
    }

    /// `BPF_MAP_DELETE_ELEM`.
    pub fn delete(&self, key: &[u8]) -> Result<(), i32> {
        assert_eq!(key.len(), self.key_size);
        self.element(key.as_ptr(), std::ptr::null(), 0, cmd::MAP_DELETE_ELEM)
    }

    /// `BPF_MAP_GET_NEXT_KEY`.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, i32> {
        let mut next = vec![0u8; self.key_size];
        let from = key.map_or(std::ptr::null(), <[u8]>::as_ptr);
        self.element(from, next.as_mut_ptr(), 0, cmd::MAP_GET_NEXT_KEY)?;
        Ok(next)
    }

    /// All keys and values, ordered by key.
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut key = self.next_key(None);
        while let Ok(at) = key {
            if let Ok(value) = self.lookup(&at) {
                entries.push((at.clone(), value));
            }
            key = self.next_key(Some(&at));
        }
        entries.sort();
        entries
    }
}
