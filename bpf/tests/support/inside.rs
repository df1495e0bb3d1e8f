//! Runs of accepted programs, each step held against the facts.

use bpf::diag::Diagnostic;
use bpf::env::FixedEnv;
use bpf::facts::{Facts, Kinds, Maps, RegFacts};
use bpf::helpers::signature;
use bpf::insn::{Callee, Insn, Reg, RegSet, Wide};
use bpf::interp::{
    Code, ContextInput, Engine, EngineConfig, MemAccess, MemAccessKind, NoObserver, Observer, RunInput, SkbFields,
    XdpFields,
};
use bpf::maps::MapId;
use bpf::memory::{FaultKind, Region, RegionKind};
use bpf::program::Program;
use bpf::verifier::{self, VerifiedProgram};

use super::rng::Rng;

/// Where functions' addresses begin.
const IMAGE: u64 = 1 << 32;

/// Where things lie in the guest's memory.
struct Places {
    regions: Vec<Region>,
    /// By map: address of the first value, bytes between values, values.
    values: Vec<(u64, u64, u64)>,
    skb: bool,
}

impl Places {
    /// `None` if a map has no region.
    fn of(engine: &Engine, maps: usize, skb: bool) -> Option<Self> {
        let regions = engine.arena().regions().to_vec();
        let values = (0..maps as u32)
            .map(|i| {
                let region = engine.arena().region(engine.map_region(MapId(i))?);
                let elements = engine.maps().get(MapId(i))?.elements();
                Some((u64::from(region.base + elements.first), u64::from(elements.stride), u64::from(elements.count)))
            })
            .collect::<Option<_>>()?;
        Some(Self { regions, values, skb })
    }

    fn base(&self, kind: RegionKind) -> u64 {
        self.regions.iter().find(|r| r.kind == kind).map_or(0, |r| u64::from(r.base))
    }

    /// Whether an address lies as far as that from one of memory that helpers lend: keys of elements, values of maps.
    fn lent(&self, value: u64, offset: &verifier::Range<64>) -> bool {
        let lends = |r: &&Region| matches!(r.kind, RegionKind::MapKeys | RegionKind::Map(_));
        self.regions.iter().filter(lends).any(|r| {
            let from_start = value.wrapping_sub(u64::from(r.base)) as i64;
            offset.smin <= from_start && from_start.saturating_sub(i64::from(r.len)) < offset.smax
        })
    }

    fn end(&self, kind: RegionKind) -> u64 {
        self.regions.iter().find(|r| r.kind == kind).map_or(0, |r| u64::from(r.base) + u64::from(r.len))
    }
}

/// Holds the registers of a run against the facts.
struct Watch<'a> {
    program: &'a Program,
    facts: &'a Facts,
    places: &'a Places,
    /// Where the packet, its metadata and its end were when the program last asked.
    packet: [u64; 3],
    steps: u64,
    wrong: Option<String>,
    reach: u32,
}

impl Watch<'_> {
    fn holds(&self, facts: &RegFacts, value: u64) -> bool {
        let near = |start: u64| facts.offset.contains(value.wrapping_sub(start));
        let kinds = facts.readable();
        let is = |kind| kinds.contains(kind);
        let of_map = |index: usize| match facts.maps {
            Maps::None => false,
            Maps::One(map) => map.0 as usize == index,
            Maps::Several => true,
        };
        let stack_top = self.places.end(RegionKind::Stack);
        is(Kinds::NUMBER) && facts.number.contains(value)
            || is(Kinds::CTX) && near(self.places.base(RegionKind::Context))
            || is(Kinds::PACKET) && near(self.packet[0])
            || is(Kinds::PACKET_META) && near(self.packet[1])
            || is(Kinds::PACKET_END) && near(self.packet[2])
            || is(Kinds::STACK) && (0..8).any(|frame| near(stack_top - 512 * frame))
            || is(Kinds::MAP) && value.wrapping_sub(self.places.base(RegionKind::MapHandles)) < 1024
            || is(Kinds::MAP_VALUE)
                && self
                    .places
                    .values
                    .iter()
                    .enumerate()
                    .any(|(map, (first, stride, count))| of_map(map) && (0..*count).any(|i| near(first + i * stride)))
            || is(Kinds::FUNCTION) && near(IMAGE)
            // Of what a helper lends only the region is known.
            || is(Kinds::OTHER) && self.places.lent(value, &facts.offset.wide)
    }
}

impl Observer for Watch<'_> {
    const REGISTERS: bool = true;
    const ACCESSES: bool = true;

    fn registers(&mut self, slot: usize, regs: &[u64; Reg::COUNT]) {
        self.steps += 1;
        let insn = &self.program.insns[slot];
        let read = match *insn {
            Insn::Call { callee: Callee::Helper(id) } => signature::arguments(id, self.program.ty),
            // What a function leaves in R0, or reads of its arguments, depends on the function.
            Insn::Call { .. } | Insn::Exit => RegSet::EMPTY,
            _ => insn.uses(),
        };
        for reg in Reg::all() {
            let facts = self.facts.before(slot, reg);
            let undefined = facts.kinds.contains(Kinds::UNDEFINED) && !read.contains(reg);
            if !undefined && !self.holds(facts, regs[reg.index()]) && self.wrong.is_none() {
                let value = regs[reg.index()];
                self.wrong = Some(format!("slot {slot} {insn:?}: R{} is {value:#x}, not {facts:x?}", reg.index()));
            }
            if read.contains(reg) && !self.facts.live(slot).contains(reg) && self.wrong.is_none() {
                self.wrong = Some(format!("slot {slot} {insn:?}: R{} is read and not live", reg.index()));
            }
        }
    }

    fn access(&mut self, access: &MemAccess, value: u64) {
        if access.region == RegionKind::Context && access.kind == MemAccessKind::Load {
            let fields = if self.places.skb { [76, 140, 80] } else { [0, 8, 4] };
            if let Some(which) = fields.iter().position(|off| *off == access.off) {
                self.packet[which] = value;
            }
        }
        if access.region == RegionKind::Packet {
            let at = self.places.base(RegionKind::Packet) + u64::from(access.off);
            let last = at + u64::from(access.size.bytes()) - 1;
            if let Some(off) = last.checked_sub(self.packet[0]) {
                self.reach = self.reach.max(off as u32);
            }
        }
        let insn = self.program.insns[access.slot];
        let (Insn::Load { base, off, .. } | Insn::Store { base, off, .. } | Insn::Atomic { base, off, .. }) = insn
        else {
            return;
        };
        let facts = self.facts.access(access.slot, base, off);
        let at = u64::from(access.off);
        // Whether the place is one the facts allow, if the pointer started at `start` of the region.
        let from = |start: u64| {
            let off = at.wrapping_sub(start) as i64;
            (facts.min..=facts.max).contains(&off) && off % i64::from(facts.alignment) == 0
        };
        let packet = self.packet.map(|p| p.wrapping_sub(self.places.base(RegionKind::Packet)));
        let fits = match access.region {
            RegionKind::Stack => facts.kinds.contains(Kinds::STACK) && from((at / 512 + 1) * 512),
            RegionKind::Context => facts.kinds.contains(Kinds::CTX) && from(0),
            RegionKind::Packet => {
                facts.kinds.contains(Kinds::PACKET) && from(packet[0])
                    || facts.kinds.contains(Kinds::PACKET_META) && from(packet[1])
            }
            RegionKind::Map(id) => {
                let (first, stride, _) = self.places.values[id.0 as usize];
                let first = first - self.places.base(access.region);
                let named = match facts.maps {
                    Maps::One(map) => map.0 == id.0,
                    maps => maps == Maps::Several,
                };
                facts.kinds.contains(Kinds::MAP_VALUE) && named && from(at - (at - first) % stride)
                    || facts.kinds.contains(Kinds::OTHER)
            }
            RegionKind::MapKeys => facts.kinds.contains(Kinds::OTHER),
            RegionKind::MapHandles | RegionKind::Sockets | RegionKind::Image => false,
        };
        if !fits && self.wrong.is_none() {
            self.wrong = Some(format!("slot {} {insn:?}: {:?} at {at}, not {facts:?}", access.slot, access.region));
        }
    }
}

/// Whether a function's address goes elsewhere than to a helper that calls it: then a helper may take it as a number, and with
/// it where the function stands, which dead code before it decides.
fn tells_addresses(program: &Program) -> bool {
    let calls = |id| {
        id == signature::TIMER_SET_CALLBACK || signature::signature(id, program.ty).is_some_and(|s| s.calls_back())
    };
    let count = |is: &dyn Fn(&Insn) -> bool| program.insns.iter().filter(|insn| is(insn)).count();
    let addresses = count(&|insn| matches!(insn, Insn::LoadImm64 { value: Wide::Func { .. }, .. }));
    addresses > count(&|insn| matches!(insn, Insn::Call { callee: Callee::Helper(id) } if calls(*id)))
}

/// Why a run cannot be held against the facts, or does not keep to them.
#[derive(Debug)]
pub enum Strayed {
    /// Something that the program needs is not there.
    NotRun(String),
    /// A fault, a register or an access outside of its facts.
    Outside(String),
}

/// Runs a program on random packets; how many steps it took.
///
/// # Errors
/// Why not, or what was wrong.
pub fn check(verified: &VerifiedProgram, rng: &mut Rng) -> Result<u64, Strayed> {
    let facts = Facts::of(verified);
    let program = verified.xlated();
    let skb = program.ty.is_skb();
    // bpf_loop takes up to 8,388,608 rounds, and calls of it may stand in one another: such a run is watched for a while.
    let loops = program.insns.iter().any(|insn| matches!(insn, Insn::Call { callee: Callee::Helper(signature::LOOP) }));
    let budget = if loops { 1_000_000 } else { EngineConfig::default().budget };
    let config = EngineConfig { strict: true, budget, ..EngineConfig::default() };
    let not_run = |d: Diagnostic| Strayed::NotRun(format!("{}: {}", d.code, d.reason));
    let mut engine = Engine::new(config, &program.maps).map_err(not_run)?;
    let code = Code::new(program).map_err(not_run)?;
    let mut whole_engine = engine.clone();
    let whole_code = Code::new(verified.program()).map_err(not_run)?;
    let places = Places::of(&engine, program.maps.len(), skb)
        .ok_or_else(|| Strayed::NotRun("a map has no region".to_owned()))?;
    let context = if skb {
        ContextInput::Skb(SkbFields { mark: rng.word() as u32, hash: rng.word() as u32, ..SkbFields::default() })
    } else {
        ContextInput::Xdp(XdpFields { ingress_ifindex: rng.word() as u32, ..XdpFields::default() })
    };
    let outside = |why: String| {
        let lines = program.insns.iter().enumerate().map(|(i, insn)| format!("{i}: {}\n", insn.verifier(&())));
        Err(Strayed::Outside(format!("{why}\n{}", lines.collect::<String>())))
    };
    let mut steps = 0;
    for round in 0..4 {
        let len = rng.pick(&[14, 20, 34, 60, 64, 100, 300, 1500]);
        let packet: Vec<u8> = (0..len).map(|_| if rng.once_in(3) { 0 } else { rng.word() as u8 }).collect();
        let mut watch =
            Watch { program, facts: &facts, places: &places, packet: [0; 3], steps: 0, wrong: None, reach: 0 };
        let start = FixedEnv { now_ns: rng.word() >> 20, seed: rng.word() | 1, ..FixedEnv::default() };
        let mut env = start.clone();
        let outcome = engine.run(&code, RunInput { context, packet: &packet }, &mut env, &mut watch);
        let cut = loops && outcome.fault.is_some_and(|fault| fault.kind == FaultKind::Budget);
        if let Some(fault) = outcome.fault
            && !cut
        {
            return outside(format!("round {round}: {fault:?}"));
        }
        if let Some(wrong) = watch.wrong {
            return outside(format!("round {round}: {wrong}"));
        }
        if watch.reach > facts.packet_reach() {
            return outside(format!("round {round}: {} beyond {}", watch.reach, facts.packet_reach()));
        }
        steps += watch.steps;
        if cut {
            break;
        }
        if tells_addresses(program) {
            continue;
        }
        // Taking out dead code changed nothing.
        let after = engine.packet().to_vec();
        let mut env = FixedEnv { now_ns: env.now_ns, ..start };
        let whole = whole_engine.run(&whole_code, RunInput { context, packet: &packet }, &mut env, &mut NoObserver);
        if (whole.retval, whole.fault, whole.redirect) != (outcome.retval, None, outcome.redirect)
            || whole_engine.packet() != after
        {
            return outside(format!("round {round}: another result with dead code: {whole:?}, {outcome:?}"));
        }
    }
    Ok(steps)
}
