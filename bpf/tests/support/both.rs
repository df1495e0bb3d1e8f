//! One program and packet on the running kernel and on the interpreter.

use bpf::env::FixedEnv;
use bpf::insn::{Insn, RawInsn, encode};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, Outcome, RunInput, SkbFields, XdpFields};
use bpf::maps::MapId;
use bpf::program::{MapSpec, MapType, ProgType, Program};

use super::kernel::{Kernel, KernelMap, KernelProg, LoadError, LoadRequest, possible_cpus};
use super::ledger::Ledger;
use super::{functions, locked};

/// A definition without name or initial value.
pub fn spec(ty: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec { name: format!("{ty}_map"), ty, key_size, value_size, max_entries, flags, ..MapSpec::default() }
}

/// The slots of a program as bpf(2) takes them: map indices become descriptors.
pub fn kernel_bytes(insns: &[Insn], maps: &[KernelMap]) -> Vec<u8> {
    slot_bytes(encode(insns).expect("test programs have an encoding"), maps)
}

/// The same of slots; those that name a map by its place in a list keep to it.
fn slot_bytes(slots: Vec<RawInsn>, maps: &[KernelMap]) -> Vec<u8> {
    let name_map = |mut raw: RawInsn| {
        if raw.opcode == 0x18 && matches!(raw.src, 1 | 2) {
            raw.imm = maps[raw.imm as usize].fd();
        }
        raw.to_le_bytes()
    };
    slots.into_iter().flat_map(name_map).collect()
}

/// Loads a program into the kernel, with the types of its functions if it has more than one.
pub fn load(kernel: Kernel, ty: ProgType, insns: &[Insn], maps: &[KernelMap]) -> Result<KernelProg, LoadError> {
    load_licensed(kernel, ty, insns, maps, "GPL")
}

/// The same under another licence.
pub fn load_licensed(
    kernel: Kernel,
    ty: ProgType,
    insns: &[Insn],
    maps: &[KernelMap],
    license: &str,
) -> Result<KernelProg, LoadError> {
    let license = std::ffi::CString::new(license).unwrap();
    load_bytes(
        kernel,
        ty,
        insns,
        &kernel_bytes(insns, maps),
        LoadRequest { license: &license, ..LoadRequest::default() },
    )
}

/// The same with slots of the caller's making ([`super::spelling`]).
pub fn load_slots(
    kernel: Kernel,
    ty: ProgType,
    insns: &[Insn],
    slots: Vec<RawInsn>,
    maps: &[KernelMap],
) -> Result<KernelProg, LoadError> {
    let descriptors: Vec<i32> = maps.iter().map(KernelMap::fd).collect();
    let request = LoadRequest { descriptors: &descriptors, ..LoadRequest::default() };
    load_bytes(kernel, ty, insns, &slot_bytes(slots, maps), request)
}

fn load_bytes(
    kernel: Kernel,
    ty: ProgType,
    insns: &[Insn],
    bytes: &[u8],
    request: LoadRequest<'_>,
) -> Result<KernelProg, LoadError> {
    let starts = functions::starts(insns);
    let request = LoadRequest { prog_type: ty.number(), bytes, ..request };
    if starts.len() == 1 {
        return kernel.explained(&request);
    }
    let (types, ids) = functions::types(kernel, starts.len());
    let functions: Vec<[u32; 2]> = starts.into_iter().zip(ids).map(|(start, id)| [start, id]).collect();
    kernel.explained(&LoadRequest { types: Some(&types), functions: &functions, ..request })
}

/// A program with its maps on both sides.
pub struct Both {
    pub program: KernelProg,
    pub kernel_maps: Vec<KernelMap>,
    pub engine: Engine,
    pub code: Code,
    /// What the interpreter's helpers are answered; every run starts from it.
    pub env: FixedEnv,
    /// The interpreter's context, but for the packet's place.
    pub context: ContextInput,
    ledger: Ledger,
}

/// What one side did.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub retval: u32,
    pub packet: Vec<u8>,
}

impl Both {
    /// Loads the program on both sides.
    pub fn load(kernel: Kernel, ty: ProgType, insns: Vec<Insn>, specs: &[MapSpec]) -> Result<Both, LoadError> {
        Both::load_among(0, kernel, ty, insns, specs)
    }

    /// The same where there are so many sockets.
    pub fn load_among(
        sockets: u32,
        kernel: Kernel,
        ty: ProgType,
        insns: Vec<Insn>,
        specs: &[MapSpec],
    ) -> Result<Both, LoadError> {
        let create = |s: &MapSpec| locked::create(kernel, s).expect("the kernel creates the test's maps");
        let kernel_maps: Vec<_> = specs.iter().map(create).collect();
        for (spec, map) in specs.iter().zip(&kernel_maps) {
            if let Some(initial) = &spec.initial {
                map.update(&[0; 4], initial, 0).expect("the kernel takes the initial value");
            }
        }
        let program = load(kernel, ty, &insns, &kernel_maps)?;
        let code = Code::new(&Program::from_insns("test", ty, insns, specs.to_vec())).unwrap();
        let cpus = possible_cpus() as u32;
        let config = EngineConfig { strict: true, cpus, sockets, ..EngineConfig::default() };
        let engine = Engine::new(config, specs).unwrap();
        let context = match ty {
            ProgType::Xdp => ContextInput::Xdp(XdpFields { ingress_ifindex: 1, ..XdpFields::default() }),
            // A test run hands a socket filter what follows the Ethernet header.
            ProgType::SocketFilter => ContextInput::Skb(SkbFields { pulled: 14, ..SkbFields::default() }),
            _ => ContextInput::Skb(SkbFields::default()),
        };
        Ok(Both { program, kernel_maps, engine, code, env: FixedEnv::default(), context, ledger: Ledger::default() })
    }

    /// Writes an entry on both sides; for per-CPU maps on every processor.
    pub fn write(&mut self, name: &str, key: &[u8], value: &[u8]) {
        let (id, map) = self.engine.maps().iter().find(|(_, map)| map.spec().name == name).expect("the map is there");
        assert!(!map.kind().per_cpu, "per-CPU values are not for this");
        self.kernel_maps[id.0 as usize].update(key, value, 0).expect("the kernel takes the entry");
        self.engine.map(id).unwrap().update(key, value, 0).expect("the map takes the entry");
    }

    /// The same by the map's index.
    pub fn write_at(&mut self, index: u32, key: &[u8], value: &[u8]) {
        self.kernel_maps[index as usize].update(key, value, 0).expect("the kernel takes the entry");
        self.engine.map(MapId(index)).unwrap().update(key, value, 0).expect("the map takes the entry");
    }

    /// Panics where the maps hold something else than the kernel's.
    pub fn same_maps(&mut self) {
        for (at, theirs) in self.kernel_maps.iter().enumerate() {
            let mut entries = self.engine.map(MapId(at as u32)).unwrap().entries();
            entries.sort();
            assert_eq!(entries, theirs.entries(), "map {at}");
        }
    }

    /// What the kernel does with a packet.
    pub fn kernel(&self, packet: &[u8]) -> Seen {
        let run = self.program.run(packet, None).expect("the kernel runs the program");
        let mut packet = run.packet;
        // What was pulled comes back as zeros.
        packet.drain(..self.pulled());
        Seen { retval: run.retval, packet }
    }

    fn pulled(&self) -> usize {
        if let ContextInput::Skb(skb) = self.context { skb.pulled as usize } else { 0 }
    }

    /// What the interpreter does with it.
    pub fn ours(&mut self, packet: &[u8]) -> (Outcome, Seen) {
        let mut env = self.env.clone();
        self.ours_in(packet, &mut env)
    }

    /// The same in surroundings of the test's.
    pub fn ours_in(&mut self, packet: &[u8], env: &mut FixedEnv) -> (Outcome, Seen) {
        let input = RunInput { context: self.context, packet };
        let ledger = self.ledger.run(&self.engine);
        let outcome = self.engine.run(&self.code, input, env, ledger);
        let seen = Seen { retval: outcome.retval as u32, packet: self.engine.packet().to_vec() };
        (outcome, seen)
    }
}
