//! What `bpf_redirect_map` sends to: entries of device and processor maps, and the programs they run.
//!
//! Linux (kernel/bpf/devmap.c, cpumap.c) runs an entry's program when the packet is handed on: before the device sends it,
//! or on the processor that takes it. Both see the packet's metadata, the device it came in by and queue 0; on the way to a
//! device they see that too. The room before the packet is what the first program left.

use std::sync::Arc;

use super::context::XdpFields;
use super::decode::Code;
use super::engine::Engine;
use super::open_map::OpenMap;
use crate::helpers::Redirect;
use crate::maps::{Holds, MapId};
use crate::program::ProgId;

/// An entry of a map of devices or processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The device's `ifindex`, or the length of the processor's queue.
    pub word: u32,
    /// The program that it runs.
    pub program: Option<ProgId>,
}

/// `BPF_F_EXCLUDE_INGRESS` of `bpf_redirect_map`.
const EXCLUDE_INGRESS: u64 = 1 << 4;

/// The device that a broadcast leaves out: that which the packet came in by, if the program said so.
pub fn excluded(redirect: &Redirect, ingress_ifindex: u32) -> Option<u32> {
    (redirect.flags & EXCLUDE_INGRESS != 0).then_some(ingress_ifindex)
}

impl OpenMap<'_> {
    /// What stands under a key of a map of devices or processors; `None` for nothing, and for maps of other kinds.
    pub fn target(&mut self, key: u32) -> Option<Target> {
        let holds = self.map.kind().holds;
        if !matches!(holds, Holds::Devices | Holds::Cpus) {
            return None;
        }
        let key = self.map.byte_order().bytes(key);
        let off = self.map.lookup(&mut self.memory, self.log, 0, &key)?;
        let word = self.map.reference_at(&mut self.memory, off);
        let program = off.checked_add(4).map(|off| self.map.reference_at(&mut self.memory, off));
        Some(Target { word, program: program.and_then(ProgId::from_reference) })
    }
}

impl Engine {
    /// What a redirect through a map of devices or processors found.
    pub fn target(&mut self, redirect: &Redirect) -> Option<Target> {
        let (map, key) = redirect.map?;
        self.map(map)?.target(key)
    }

    /// Everything in a map of devices, in its order: whom a broadcast goes to.
    pub fn targets(&mut self, map: MapId) -> Vec<Target> {
        let Some(mut map) = self.map(map) else { return Vec::new() };
        let order = map.definition().byte_order();
        let keys: Vec<u32> =
            map.entries().iter().filter_map(|(key, _)| Some(order.word(*key.first_chunk()?))).collect();
        keys.into_iter().filter_map(|key| map.target(key)).collect()
    }

    /// A program of the engine's, to run it.
    pub fn shared(&self, id: ProgId) -> Option<Arc<Code>> {
        self.program_list().get(id.0 as usize).cloned()
    }

    /// The context of an entry's program behind a redirect of the last run, whose packet came in by `ingress_ifindex`;
    /// `egress_ifindex` is the device it is to leave by, 0 for a processor. The packet is handed over with its metadata
    /// ([`Engine::metadata`], then [`Engine::packet`]).
    pub fn behind(&self, ingress_ifindex: u32, egress_ifindex: u32) -> XdpFields {
        XdpFields {
            ingress_ifindex,
            rx_queue_index: 0,
            egress_ifindex,
            meta: self.metadata().len() as u32,
            moved: self.moved(),
        }
    }
}
