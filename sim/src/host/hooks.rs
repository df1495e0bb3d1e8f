//! The hooks a received packet meets: XDP in the driver, tc ingress on the skb, then the stack.

use std::path::PathBuf;
use std::sync::Arc;

use bpf::diag::Diagnostic;
use bpf::errno::Errno;
use bpf::helpers::Redirect;
use bpf::insn::Endian;
use bpf::interp::{
    Code, ContextInput, Engine, EngineConfig, IpSummed, NoObserver, Outcome, RunInput, SkbFields, XdpFields,
};
use bpf::maps::{BPF_ANY, MapId};
use bpf::network::Network;
use bpf::program::{MapSpec, MapType, ProgId, Program};
use nic_model::des::Time;
use nic_model::device::{Frame, PortId, QueueId, RxMeta};

use super::behind::Handed;
use super::cache::Cache;
use super::component::Fate;
use super::control::Entries;
use super::costs::HostCosts;
use super::env::{HostEnv, SentCopies};
use super::pricer::{MapCost, Pricer, Weights};
use super::redirect::redirected;
use super::user::{Act, Content, Write, value_for_user};
use super::vlan;

/// The hook that sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// XDP, by `XDP_TX` or a redirect.
    Xdp,
    /// tc, by a redirect.
    Tc,
}

/// What is to become of a packet once its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ends here.
    End(Fate),
    /// It goes onto the transmit ring of a port's queue.
    Send {
        /// Who sends it.
        by: Sent,
        /// Where to.
        port: PortId,
    },
    /// Another processor goes on with it.
    Hand(Handed),
}

/// A packet's way through the hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// Where it ended.
    pub verdict: Verdict,
    /// What the core spent on it.
    pub cost: Time,
    /// Copies that were made of it on the way, in their order.
    pub copies: Vec<Parcel>,
    /// Copies for which there was no room.
    pub copies_lost: u64,
}

impl Processed {
    /// The way of a packet without copies.
    pub(super) fn new(verdict: Verdict, cost: Time) -> Self {
        Self { verdict, cost, copies: Vec::new(), copies_lost: 0 }
    }

    /// The same behind something else that the core has done.
    pub(super) fn after(self, cost: Time) -> Self {
        Self { cost: cost + self.cost, ..self }
    }
}

/// A packet that programs have made, and what is to become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Its frame.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub verdict: Verdict,
}

/// A packet at work on a core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    /// When this part of the work begins.
    pub now: Time,
    /// The core's queue.
    pub core: QueueId,
    /// How the packet was received.
    pub rx: RxMeta,
    /// How often it was handed to another processor.
    pub hops: u8,
    /// What work takes.
    pub costs: &'a HostCosts,
}

/// What is attached to a hook: programs as they run (xlated), the first of which is called, and their maps.
#[derive(Debug, Clone, Default)]
pub struct Attachment {
    /// Programs, and the places of each one's maps among `maps`.
    pub programs: Vec<(Program, Vec<usize>)>,
    /// Maps, those of the first program first.
    pub maps: Vec<MapSpec>,
    /// The object all of it comes from: programs of one object share its maps. Those of none share nothing.
    pub object: Option<PathBuf>,
}

/// Numbers of an attachment's maps. New ones go to `specs`; those that the attachment before it has of the same object are
/// that one's.
fn numbered(attachment: &Attachment, before: Option<(&Attachment, &[MapId])>, specs: &mut Vec<MapSpec>) -> Vec<MapId> {
    let sibling = before.filter(|(other, _)| attachment.object.is_some() && other.object == attachment.object);
    let number = |spec: &MapSpec| {
        let shared = sibling.and_then(|(other, ids)| {
            let place = other.maps.iter().position(|map| map.name == spec.name)?;
            ids.get(place).copied()
        });
        shared.unwrap_or_else(|| {
            specs.push(spec.clone());
            MapId(specs.len() as u32 - 1)
        })
    };
    attachment.maps.iter().map(number).collect()
}

/// Programs at a hook.
struct Hook {
    /// The one that is called.
    code: Arc<Code>,
    /// All, by place.
    programs: Vec<ProgId>,
    /// Their maps, by place.
    maps: Vec<MapId>,
}

/// Where a program can be attached on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the driver's receive path.
    Xdp,
    /// At the clsact qdisc's ingress.
    Tc,
}

impl Place {
    /// Short name, for files.
    pub const fn name(self) -> &'static str {
        match self {
            Place::Xdp => "xdp",
            Place::Tc => "tc",
        }
    }
}

/// What belongs to one core.
struct Core {
    cache: Cache,
    /// State of the generator behind `bpf_get_prandom_u32` (xorshift64*; never 0).
    random: u64,
}

/// Counts of what programs did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookCounters {
    /// Runs.
    pub runs: u64,
    /// BPF instructions retired.
    pub bpf_instructions: u64,
    /// Host instructions executed for them, helpers apart.
    pub host_instructions: u64,
    /// Lines they printed.
    pub printed: u64,
    /// Copies of packets they sent.
    pub copies: u64,
}

/// Programs at the host's hooks, with their maps.
pub struct Hooks {
    pub(super) engine: Engine,
    xdp: Option<Hook>,
    tc: Option<Hook>,
    /// By program of the engine.
    weights: Vec<Weights>,
    map_costs: Vec<MapCost>,
    cores: Vec<Core>,
    pub(super) ports: u8,
    pub(super) network: Arc<Network>,
    pub(super) counters: HookCounters,
    /// Where the last program behind a redirect asked for the packet to go.
    pub(super) behind: Option<Redirect>,
    /// Copies that the last run sent.
    pub(super) copies: SentCopies,
}

/// Bytes of an Ethernet header.
const ETH_HLEN: usize = 14;

/// Device number of port 0; 1 is the loopback device.
pub const FIRST_IFINDEX: u32 = 2;

/// Verdicts of XDP programs (`enum xdp_action`).
mod xdp_action {
    pub const DROP: u32 = 1;
    pub const PASS: u32 = 2;
    pub const TX: u32 = 3;
    pub const REDIRECT: u32 = 4;
}

/// Verdicts of tc programs that cls_bpf takes in direct-action mode; any other is "unspecified" and the packet goes on.
mod tc_act {
    pub const SHOT: u32 = 2;
    pub const STOLEN: u32 = 4;
    pub const REDIRECT: u32 = 7;
    pub const TRAP: u32 = 8;
}

/// What programs at the hooks find around them.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Byte order of the host, which the programs have too.
    pub byte_order: Endian,
    /// Devices, routes, neighbours, sockets.
    pub network: Arc<Network>,
    /// Seed of random numbers.
    pub seed: u64,
}

impl Hooks {
    /// Programs at the hooks of a host with that many cores and ports.
    ///
    /// # Errors
    /// What the host cannot run, by name: a map kind, a size.
    pub fn new(
        costs: &HostCosts,
        xdp: Option<&Attachment>,
        tc: Option<&Attachment>,
        cores: u16,
        ports: u8,
        surroundings: Surroundings,
    ) -> Result<Self, Diagnostic> {
        let Surroundings { byte_order, network, seed } = surroundings;
        let mut specs = Vec::new();
        let xdp = xdp.map(|xdp| (xdp, numbered(xdp, None, &mut specs)));
        let before = xdp.as_ref().map(|(xdp, ids)| (*xdp, &ids[..]));
        let tc = tc.map(|tc| (tc, numbered(tc, before, &mut specs)));
        let sockets = network.sockets.len() as u32;
        let config = EngineConfig { cpus: u32::from(cores), byte_order, sockets, ..EngineConfig::default() };
        let mut engine = Engine::new(config, &specs)?;
        let mut weights = Vec::new();
        let mut hook = |attachment: Option<(&Attachment, Vec<MapId>)>| -> Result<Option<Hook>, Diagnostic> {
            let Some((attachment, maps)) = attachment else { return Ok(None) };
            let (mut first, mut programs) = (None, Vec::new());
            for (program, places) in &attachment.programs {
                let own: Vec<_> = places.iter().map(|&place| maps[place]).collect();
                let code = Arc::new(Code::bound(program, &own)?);
                weights.push(Weights::of(program));
                programs.push(engine.add_program(Arc::clone(&code)));
                first.get_or_insert(code);
            }
            Ok(first.map(|code| Hook { code, programs, maps }))
        };
        let (xdp, tc) = (hook(xdp)?, hook(tc)?);
        let map_costs = engine.maps().iter().map(|(id, map)| {
            let region = engine.map_region(id).expect("every map of the engine has a region");
            MapCost::of(map, u64::from(engine.arena().region(region).base), costs)
        });
        let map_costs = map_costs.collect();
        let core = |core: u16| Core {
            cache: Cache::new(&costs.caches, costs.memory),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(core)) | 1,
        };
        let cores = (0..cores).map(core).collect();
        let (counters, copies) = (HookCounters::default(), SentCopies::default());
        Ok(Self { engine, xdp, tc, weights, map_costs, cores, ports, network, counters, behind: None, copies })
    }

    /// Counts of what programs did.
    pub fn counters(&self) -> HookCounters {
        self.counters
    }

    /// The engine, for its maps.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Ids of the maps of a hook, by place; none where nothing is attached. Hooks share maps of one object.
    pub fn maps(&self, place: Place) -> &[MapId] {
        self.hook(place).map_or(&[], |hook| &hook.maps)
    }

    fn hook(&self, place: Place) -> Option<&Hook> {
        match place {
            Place::Xdp => self.xdp.as_ref(),
            Place::Tc => self.tc.as_ref(),
        }
    }

    /// What user space does to a map of a hook: the entries that it reads.
    ///
    /// # Errors
    /// As [`Hooks::write`].
    pub fn act(&mut self, place: Place, act: &Act) -> Result<Entries, Errno> {
        let id = self.maps(place).get(act.map()).copied().ok_or(Errno::EBADF)?;
        match act {
            Act::Write(write) => self.write(place, write).map(|()| vec![]),
            Act::Lookup(_, key) => {
                let value = self.engine.map(id).ok_or(Errno::EBADF)?.lookup(key)?;
                Ok(vec![(key.clone(), value)])
            }
            Act::Dump(_) => Ok(self.engine.map(id).ok_or(Errno::EBADF)?.entries()),
        }
    }

    /// What user space writes to a map of a hook.
    ///
    /// # Errors
    /// Linux's number; `EBADF` for a map or a program that is not there.
    pub fn write(&mut self, place: Place, write: &Write) -> Result<(), Errno> {
        let hook = self.hook(place).ok_or(Errno::EBADF)?;
        let id = *hook.maps.get(write.map).ok_or(Errno::EBADF)?;
        let order = self.engine.config().byte_order;
        let value = match &write.content {
            None => None,
            Some(Content::Bytes(bytes)) => Some(bytes.clone()),
            Some(Content::Program(at)) => {
                let program = hook.programs.get(*at).ok_or(Errno::EBADF)?;
                Some(order.bytes(program.reference()).to_vec())
            }
            Some(Content::Behind { word, program }) => {
                let program = hook.programs.get(*program).ok_or(Errno::EBADF)?;
                Some([order.bytes(*word), order.bytes(program.reference())].concat())
            }
            Some(Content::Map(at)) => {
                let map = hook.maps.get(*at).ok_or(Errno::EBADF)?;
                Some(order.bytes(map.reference()).to_vec())
            }
        };
        let mut map = self.engine.map(id).ok_or(Errno::EBADF)?;
        match value {
            Some(record) if map.definition().spec().ty == MapType::USER_RINGBUF => map.ring_write(&record, false),
            Some(value) => {
                let value = value_for_user(map.definition(), &value);
                map.update(&write.key, &value, BPF_ANY)
            }
            None => map.delete(&write.key),
        }
    }

    /// What a reader finds in a ring buffer of a hook: all records there are, oldest first.
    pub fn read(&mut self, place: Place, map: usize) -> Vec<Vec<u8>> {
        let id = self.hook(place).and_then(|hook| hook.maps.get(map).copied());
        let Some(mut map) = id.and_then(|id| self.engine.map(id)) else { return vec![] };
        std::iter::from_fn(|| map.ring_read()).collect()
    }

    /// Calls what timers in maps have called for by `now`, in their order, on the queue's core: what that takes. They act
    /// when a packet comes by, so that a timer that sets itself again keeps no simulation from its end.
    fn timers(&mut self, now: Time, queue: QueueId, costs: &HostCosts) -> Time {
        let mut took = Time::ZERO;
        // One interrupt after the other: a timer that is due at once again waits until the core is through with the last.
        let mut free = Time::ZERO;
        while let Some(due) = self.engine.next_timer() {
            let begins = free.max(Time::from_ns(due.min(now.ns())));
            if due > now.ns() || begins > now {
                break;
            }
            let at = usize::from(queue.0) % self.cores.len();
            let core = &mut self.cores[at];
            let mut env = HostEnv {
                now: begins,
                picoseconds: costs.execute(1_000).ps(),
                random: &mut core.random,
                cpu: u32::from(queue.0) % self.engine.config().cpus,
                network: &self.network,
                printed: 0,
                copies: &mut self.copies,
            };
            let Some((_, outcome)) = self.engine.fire_timer(now.ns(), &mut env, &mut NoObserver) else { break };
            self.counters.bpf_instructions += outcome.retired;
            self.counters.printed += env.printed;
            let cost = costs.interrupt + costs.execute(outcome.retired);
            free = begins + cost.max(Time::from_ns(1));
            took += cost;
        }
        took
    }

    /// Takes a received packet through the hooks.
    pub fn process(
        &mut self,
        now: Time,
        queue: QueueId,
        frame: &mut Frame,
        meta: &RxMeta,
        costs: &HostCosts,
    ) -> Processed {
        let mut cost = costs.rx_packet + self.timers(now, queue, costs);
        let mut touched = 0;
        let mut metadata = Vec::new();
        if let Some(hook) = &self.xdp {
            cost += costs.xdp_call;
            let context = ContextInput::Xdp(XdpFields {
                ingress_ifindex: FIRST_IFINDEX + u32::from(meta.port.0),
                rx_queue_index: u32::from(queue.0) % self.cores.len().max(1) as u32,
                ..XdpFields::default()
            });
            let (code, first) = (Arc::clone(&hook.code), hook.programs[0]);
            let run = Run { now: now + cost, queue, context, costs };
            let (outcome, took) = self.execute(&code, first, run, &mut touched, &frame.bytes);
            cost += took;
            match decide_xdp(&outcome) {
                Decision::GoOn => {
                    take_packet(frame, &self.engine);
                    metadata.extend_from_slice(self.engine.metadata());
                }
                Decision::End(fate) => return Processed::new(Verdict::End(fate), cost),
                Decision::Back => {
                    take_packet(frame, &self.engine);
                    return Processed::new(Verdict::Send { by: Sent::Xdp, port: meta.port }, cost + costs.xdp_tx);
                }
                Decision::Redirect => {
                    let job = Job { now: now + cost, core: queue, rx: *meta, hops: 0, costs };
                    return self.xdp_redirect(job, outcome.redirect, frame).after(cost);
                }
            }
        }
        let job = Job { now: now + cost, core: queue, rx: *meta, hops: 0, costs };
        self.skb(job, frame, metadata, touched, Fate::Delivered).after(cost)
    }

    /// Takes a packet through the hooks behind its skb, to the stack, where `delivered` is its fate.
    pub(super) fn skb(
        &mut self,
        job: Job<'_>,
        frame: &mut Frame,
        mut metadata: Vec<u8>,
        mut touched: u128,
        delivered: Fate,
    ) -> Processed {
        let Job { now, core, rx, costs, .. } = job;
        let mut done = Processed::new(Verdict::End(delivered), costs.skb_build + costs.skb_receive);
        if let Some(hook) = &self.tc {
            done.cost += costs.tc_call;
            let order = self.engine.config().byte_order;
            let tag = vlan::take_outer(&mut frame.bytes);
            let fields = skb_fields(order, &frame.bytes, tag, core, &rx);
            // What comes from another processor remembers no queue.
            let queue_mapping = if delivered == Fate::ToCpu { 0 } else { fields.queue_mapping };
            // A driver with an XDP program lets the device's sum go: the program may have changed the packet.
            let sums = self.network.device(fields.ingress_ifindex).is_some_and(|device| device.sums);
            let summed = if sums && self.xdp.is_none() { IpSummed::Complete } else { IpSummed::None };
            let context = ContextInput::Skb(SkbFields { meta: metadata.len() as u32, queue_mapping, summed, ..fields });
            metadata.extend_from_slice(&frame.bytes);
            let (code, first) = (Arc::clone(&hook.code), hook.programs[0]);
            let run = Run { now: now + done.cost, queue: core, context, costs };
            let (outcome, took) = self.execute(&code, first, run, &mut touched, &metadata);
            done.cost += took;
            let decision = decide_tc(&outcome);
            if let Decision::Redirect = decision {
                take_packet(frame, &self.engine);
                let header = usize::try_from(self.engine.skb_state().network).unwrap_or(ETH_HLEN);
                let packet = (&mut frame.bytes, header);
                done.verdict = redirected(&self.engine, &self.network, outcome.redirect, Sent::Tc, self.ports, packet);
                vlan::put_outer(&mut frame.bytes, self.engine.skb().tag(order).map(vlan::Tag::from));
            }
            self.take_copies(&mut done);
            match decision {
                Decision::End(fate) => done.verdict = Verdict::End(fate),
                Decision::Redirect if matches!(done.verdict, Verdict::Send { .. }) => {
                    done.cost += costs.skb_transmit;
                    return done;
                }
                Decision::Redirect => {}
                Decision::GoOn | Decision::Back => {
                    done.cost += costs.stack;
                    return done;
                }
            }
            done.cost += costs.skb_free;
            return done;
        }
        done.cost += costs.stack;
        done
    }

    /// Runs a hook's program: how it ended, and what it took. `touched` are the packet's lines in the first level.
    pub(super) fn execute(
        &mut self,
        code: &Code,
        first: ProgId,
        run: Run<'_>,
        touched: &mut u128,
        packet: &[u8],
    ) -> (Outcome, Time) {
        let at = usize::from(run.queue.0) % self.cores.len();
        let core = &mut self.cores[at];
        let mut env = HostEnv {
            now: run.now,
            picoseconds: run.costs.execute(1_000).ps(),
            random: &mut core.random,
            cpu: u32::from(run.queue.0) % self.engine.config().cpus,
            network: &self.network,
            printed: 0,
            copies: &mut self.copies,
        };
        let mut pricer = Pricer::new(run.costs, &self.weights, first, &self.map_costs, &mut core.cache, *touched);
        let outcome = self.engine.run(code, RunInput { context: run.context, packet }, &mut env, &mut pricer);
        let (took, instructions, lines) = pricer.finish();
        *touched = lines;
        self.counters.runs += 1;
        self.counters.bpf_instructions += outcome.retired;
        self.counters.host_instructions += instructions;
        self.counters.printed += env.printed;
        (outcome, took)
    }
}

/// One run of one hook's program.
pub(super) struct Run<'a> {
    pub now: Time,
    pub queue: QueueId,
    pub context: ContextInput,
    pub costs: &'a HostCosts,
}

pub(super) fn take_packet(frame: &mut Frame, engine: &Engine) {
    frame.bytes.clear();
    frame.bytes.extend_from_slice(engine.packet());
}

/// What a program decided.
pub(super) enum Decision {
    /// The packet goes on its way.
    GoOn,
    /// It ends here.
    End(Fate),
    /// Out by the port it came in by.
    Back,
    /// Where the program has said.
    Redirect,
}

pub(super) fn decide_xdp(outcome: &Outcome) -> Decision {
    if outcome.fault.is_some() {
        return Decision::End(Fate::XdpAborted);
    }
    match outcome.retval as u32 {
        xdp_action::PASS => Decision::GoOn,
        xdp_action::DROP => Decision::End(Fate::XdpDropped),
        xdp_action::TX => Decision::Back,
        xdp_action::REDIRECT => Decision::Redirect,
        // XDP_ABORTED, and what the kernel warns of as an invalid action and drops.
        _ => Decision::End(Fate::XdpAborted),
    }
}

fn decide_tc(outcome: &Outcome) -> Decision {
    if outcome.fault.is_some() {
        return Decision::End(Fate::TcAborted);
    }
    match outcome.retval as u32 {
        tc_act::SHOT | tc_act::STOLEN | tc_act::TRAP => Decision::End(Fate::TcDropped),
        tc_act::REDIRECT => Decision::Redirect,
        _ => Decision::GoOn,
    }
}

/// The skb of a received frame, whose outer VLAN tag has been taken off.
fn skb_fields(order: Endian, bytes: &[u8], tag: Option<vlan::Tag>, queue: QueueId, meta: &RxMeta) -> SkbFields {
    const HOST: u32 = 0;
    const BROADCAST: u32 = 1;
    const MULTICAST: u32 = 2;
    let pkt_type = match bytes.get(..6) {
        Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => BROADCAST,
        Some(to) if to[0] & 1 != 0 => MULTICAST,
        _ => HOST,
    };
    // Numbers in network order, as the machine reads them.
    let seen = |network: u16| match order {
        Endian::Little => u32::from(network.swap_bytes()),
        Endian::Big => u32::from(network),
    };
    let protocol = bytes.get(12..14).map_or(0, |b| seen(u16::from_be_bytes([b[0], b[1]])));
    let ifindex = FIRST_IFINDEX + u32::from(meta.port.0);
    SkbFields {
        pkt_type,
        protocol,
        // `skb_record_rx_queue` keeps the queue plus one.
        queue_mapping: u32::from(queue.0) + 1,
        vlan_present: u32::from(tag.is_some()),
        vlan_tci: tag.map_or(0, |t| u32::from(t.tci)),
        vlan_proto: tag.map_or(0, |t| seen(t.protocol)),
        ingress_ifindex: ifindex,
        ifindex,
        hash: meta.hash.map_or(0, |h| h.value),
        hash_of_flow: meta.hash.is_some_and(|h| h.l4),
        ingress: true,
        ..SkbFields::default()
    }
}

#[cfg(test)]
mod tests;
