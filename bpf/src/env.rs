//! What a running program can observe of the world outside its memory.

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
}

impl Default for FixedEnv {
    fn default() -> Self {
        Self { now_ns: 0, seed: 0x9e37_79b9_7f4a_7c15, cpu: 0 }
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
}
