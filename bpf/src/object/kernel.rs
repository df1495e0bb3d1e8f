//! The kernel that a program is put together for: what an object may ask of it before it is loaded.

use std::collections::BTreeMap;

use std::sync::{Arc, LazyLock};

use crate::btf::Btf;
use crate::diag::{At, Diagnostic};

/// What externs of an object resolve to. The default is the kernel that this crate follows, with no configuration known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Version as `KERNEL_VERSION(major, minor, patch)` has it: 8 bits for the patch, 8 for the minor, the rest for the
    /// major.
    pub version: u32,
    /// Values of `CONFIG_…`, as a `.config` file writes them: `y`, `m`, a number, a string in quotes.
    pub config: BTreeMap<String, String>,
    /// Its types, for what programs ask about them (CO-RE). The default are those of its interface to programs and of
    /// headers on the wire, which are the same everywhere; a type of the kernel's own is not among them.
    pub types: Arc<Btf>,
}

/// Made by `bpf/src/object/uapi/build.sh` from the C beside it.
static UAPI: LazyLock<Arc<Btf>> = LazyLock::new(|| {
    let types = Btf::parse(include_bytes!("uapi/uapi.btf"));
    Arc::new(types.expect("constant bytes, which a test parses"))
});

impl Default for Kernel {
    fn default() -> Self {
        // Linux 6.18, whose verifier and helpers this crate follows.
        Self { version: Kernel::version(6, 18, 0), config: BTreeMap::new(), types: UAPI.clone() }
    }
}

impl Kernel {
    /// `KERNEL_VERSION`: a patch above 255 counts as 255.
    pub const fn version(major: u16, minor: u8, patch: u32) -> u32 {
        let patch = if patch > 255 { 255 } else { patch };
        (major as u32) << 16 | (minor as u32) << 8 | patch
    }

    /// Reads the lines of a `.config` file into [`Kernel::config`]; comments and empty lines say nothing, also
    /// `# CONFIG_X is not set`.
    ///
    /// # Errors
    /// A line that is neither.
    pub fn read_config(&mut self, text: &str) -> Result<(), Diagnostic> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=').filter(|(name, _)| name.starts_with("CONFIG_")) else {
                return Err(Diagnostic::new("kernel-config", "a line of the kernel's configuration sets nothing")
                    .at(At::Named(format!("line {}", number + 1)))
                    .limit("CONFIG_NAME=value", line));
            };
            self.config.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// Whether a variable of that name is the loader's own, and its value: libbpf answers these from what it finds out
    /// about the kernel, not from the configuration.
    pub(super) fn builtin(&self, name: &str) -> Option<u64> {
        match name {
            "LINUX_KERNEL_VERSION" => Some(u64::from(self.version)),
            // Since 5.15.
            "LINUX_HAS_BPF_COOKIE" => Some(u64::from(self.version >= Kernel::version(5, 15, 0))),
            // On x86-64, since 4.17.
            "LINUX_HAS_SYSCALL_WRAPPER" => Some(u64::from(self.version >= Kernel::version(4, 17, 0))),
            _ => None,
        }
    }
}
