//! What a running program can observe of the world outside its memory.

use crate::network::Network;

/// The outside, as seen by one run of one program.
///
/// Every method takes what an engine knows and the environment does not, so that a recorder, a replayer and a simulated
/// host can stand behind the same trait.
pub trait Env {
    /// Simulated time in nanoseconds since boot, as `bpf_ktime_get_ns` returns it.
    ///
    /// `retired` is the number of BPF instructions this run has executed, so that a host that runs a program at one
    /// instant of simulated time can still let its clock advance inside the run.
    fn now_ns(&mut self, retired: u64) -> u64;

    /// The next word of the run's seeded random sequence, as `bpf_get_prandom_u32` returns it.
    fn random_u32(&mut self) -> u32;

    /// The processor (host core, or card context) that runs the program.
    fn cpu(&self) -> u32;

    /// How far International Atomic Time is ahead of [`Env::now_ns`], in nanoseconds, as `bpf_ktime_get_tai_ns` adds it.
    fn atomic_time(&self) -> u64 {
        0
    }

    /// Timer interrupts a second (kernel: `CONFIG_HZ`), for `bpf_jiffies64` and `bpf_ktime_get_coarse_ns`.
    fn tick_rate(&self) -> u32 {
        250
    }

    /// The memory node of the processor.
    fn numa_node(&self) -> u32 {
        0
    }

    /// The keys behind flow hashes and SYN cookies, which a kernel draws when it boots.
    fn secret(&self) -> [u64; 2] {
        [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]
    }

    /// Devices, routes, neighbours, sockets. An environment shows the same ones during all of a run.
    fn network(&self) -> &Network {
        static NOWHERE: Network = Network::EMPTY;
        &NOWHERE
    }

    /// Takes a line of `bpf_trace_printk` or `bpf_trace_vprintk`.
    fn print(&mut self, _line: &[u8]) {}

    /// Takes a copy of the packet that `bpf_clone_redirect` sends out by a device, or with `ingress` into its receive path.
    /// `tag` is the VLAN tag beside it: EtherType, and priority with number.
    fn send_copy(&mut self, _ifindex: u32, _ingress: bool, _packet: &[u8], _tag: Option<(u16, u16)>) {}
}

/// An environment for tests and one-off runs: a clock that stands still, a small seeded generator, one processor.
#[derive(Debug, Clone)]
pub struct FixedEnv {
    /// What [`Env::now_ns`] returns.
    pub now_ns: u64,
    /// State of the generator (xorshift64*; any value but 0).
    pub seed: u64,
    /// What [`Env::cpu`] returns.
    pub cpu: u32,
    /// What [`Env::network`] returns.
    pub network: Network,
    /// Lines printed.
    pub printed: Vec<Vec<u8>>,
}

impl Default for FixedEnv {
    fn default() -> Self {
        Self { now_ns: 0, seed: 0x9e37_79b9_7f4a_7c15, cpu: 0, network: Network::EMPTY, printed: Vec::new() }
    }
}

impl Env for FixedEnv {
    fn now_ns(&mut self, _retired: u64) -> u64 {
        self.now_ns
    }

    fn random_u32(&mut self) -> u32 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn cpu(&self) -> u32 {
        self.cpu
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn print(&mut self, line: &[u8]) {
        self.printed.push(line.to_vec());
    }
}
