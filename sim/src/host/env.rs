//! The outside of a program on the host.

use bpf::env::Env;
use bpf::network::Network;
use nic_model::des::Time;

use super::vlan;

/// Most copies of one packet that are made: as many as a long transmit ring takes. Those beyond are lost there.
pub const MAX_COPIES: usize = 1024;

/// A copy that a program has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCopy {
    /// Device.
    pub ifindex: u32,
    /// Whether it goes into that device's receive path.
    pub ingress: bool,
    /// Its frame.
    pub bytes: Vec<u8>,
}

/// Copies that a run sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentCopies {
    /// In their order, up to [`MAX_COPIES`].
    pub made: Vec<SentCopy>,
    /// Those beyond.
    pub beyond: u64,
}

/// What a program on a core finds outside.
pub(super) struct HostEnv<'a> {
    pub now: Time,
    /// What 1,000 instructions take, in picoseconds.
    pub picoseconds: u64,
    pub random: &'a mut u64,
    pub cpu: u32,
    pub network: &'a Network,
    pub printed: u64,
    pub copies: &'a mut SentCopies,
}

impl Env for HostEnv<'_> {
    fn now_ns(&mut self, retired: u64) -> u64 {
        (self.now + Time::from_ps(retired.saturating_mul(self.picoseconds) / 1_000)).ns()
    }

    fn random_u32(&mut self) -> u32 {
        let x = &mut *self.random;
        *x ^= *x >> 12;
        *x ^= *x << 25;
        *x ^= *x >> 27;
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn cpu(&self) -> u32 {
        self.cpu
    }

    fn network(&self) -> &Network {
        self.network
    }

    fn print(&mut self, _line: &[u8]) {
        self.printed += 1;
    }

    fn send_copy(&mut self, ifindex: u32, ingress: bool, packet: &[u8], tag: Option<(u16, u16)>) {
        if self.copies.made.len() == MAX_COPIES {
            self.copies.beyond += 1;
            return;
        }
        let mut bytes = packet.to_vec();
        vlan::put_outer(&mut bytes, tag.map(vlan::Tag::from));
        self.copies.made.push(SentCopy { ifindex, ingress, bytes });
    }
}
