//! The running kernel as one engine among others.

use bpf::engines::{Contents, Packet, ProgramSet, Runner, Seen};
use bpf::interp::ContextInput;
use bpf::maps::Map;
use bpf::program::Program;

use super::both;
use super::kernel::{Kernel, KernelMap, KernelProg, LoadError};
use super::spelling;

/// Runs sets in the kernel, with the context that a test run makes of the packet.
pub struct KernelRunner {
    kernel: Kernel,
    maps: Vec<KernelMap>,
    /// Whether user space reads the values of each.
    readable: Vec<bool>,
    main: Option<KernelProg>,
    /// Those in slots, which hold them no longer than somebody else does.
    parts: Vec<KernelProg>,
    /// The seed of the slots that programs are loaded in ([`spelling::spelled`]).
    pub spelling: u64,
    /// Why the last set was not taken.
    pub refusal: Option<LoadError>,
}

impl KernelRunner {
    pub fn new(kernel: Kernel) -> KernelRunner {
        KernelRunner {
            kernel,
            maps: Vec::new(),
            readable: Vec::new(),
            main: None,
            parts: Vec::new(),
            spelling: 0,
            refusal: None,
        }
    }

    fn prepare(&mut self, set: &ProgramSet) -> Result<(), String> {
        let create = |spec| self.kernel.create(spec).map_err(|errno| format!("map: errno {errno}"));
        self.maps = set.maps().iter().map(create).collect::<Result<_, _>>()?;
        let values = |ty| Map::kind_of(ty).is_some_and(|kind| kind.holds == bpf::maps::Holds::Values);
        self.readable = set.maps().iter().map(|spec| values(spec.ty)).collect();
        for (spec, map) in set.maps().iter().zip(&self.maps) {
            if let Some(initial) = &spec.initial {
                map.update(&[0; 4], initial, 0).map_err(|errno| format!("initial value: errno {errno}"))?;
            }
        }
        for entry in &set.entries {
            let map = &self.maps[entry.map];
            let slot = entry.value.len().next_multiple_of(8);
            let mut value = entry.value.clone();
            if value.len() != map.user_value_size {
                value.resize(slot, 0);
                value = value.repeat(map.user_value_size / slot);
            }
            map.update(&entry.key, &value, 0).map_err(|errno| format!("entry: errno {errno}"))?;
        }
        let mut load = |program: &Program| {
            let slots = spelling::spelled(self.spelling, &program.insns);
            both::load_slots(self.kernel, program.ty, &program.insns, slots, &self.maps).map_err(|error| {
                let errno = error.errno;
                self.refusal = Some(error);
                format!("load: errno {errno}")
            })
        };
        self.parts = set.parts.iter().map(&mut load).collect::<Result<_, _>>()?;
        let main = load(&set.main)?;
        for link in &set.links {
            let program = link.part.map_or(&main, |at| &self.parts[at]);
            let (slot, fd) = (link.slot.to_le_bytes(), program.fd().to_le_bytes());
            self.maps[link.map].update(&slot, &fd, 0).map_err(|errno| format!("slot: errno {errno}"))?;
        }
        self.main = Some(main);
        Ok(())
    }
}

impl Runner for KernelRunner {
    fn name(&self) -> &str {
        "kernel"
    }

    fn load(&mut self, set: &ProgramSet) -> Result<(), String> {
        (self.refusal, self.main) = (None, None);
        self.prepare(set)
    }

    fn run(&mut self, packet: &Packet<'_>) -> Seen {
        let main = self.main.as_ref().expect("a set is loaded");
        let run = main.run(packet.bytes, None).unwrap_or_else(|errno| panic!("test run: errno {errno}, {packet:?}"));
        // What was pulled comes back as zeros.
        let pulled = if let ContextInput::Skb(skb) = packet.context { skb.pulled as usize } else { 0 };
        Seen { r0: u64::from(run.retval), packet: run.packet[pulled..].to_vec(), ..Seen::default() }
    }

    fn contents(&mut self, map: usize) -> Option<Contents> {
        self.readable[map].then(|| self.maps[map].entries())
    }
}
