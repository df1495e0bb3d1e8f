//! What stands behind an XDP redirect: programs of device and processor maps' entries, other processors, and all devices of
//! a map at once.
//!
//! As in Linux, an entry's program runs on the way out: `XDP_PASS` lets the packet go on, what else a program of a device
//! map says ends it, and one of a processor map may redirect it again. A broadcast sends copies to all devices of the map
//! that can take the packet but the last, which gets the packet itself. Linux runs the program of the first packet of a
//! bulk for all of it; here each packet has its own entry's.

use bpf::helpers::{Delivery, Redirect};
use bpf::interp::{ContextInput, Target, XdpFields, excluded};
use bpf::maps::{Holds, MapId};
use bpf::network::Device;
use bpf::program::ProgId;
use nic_model::des::Time;
use nic_model::device::{Frame, QueueId, RxMeta};

use super::component::{Behind, Fate};
use super::costs::HostCosts;
use super::env::MAX_COPIES;
use super::hooks::{
    Decision, FIRST_IFINDEX, Hooks, Job, Parcel, Processed, Run, Sent, Verdict, decide_xdp, take_packet,
};
use super::redirect::{BROADCAST, longest, port, redirected};

/// A packet on its way to another processor. Its bytes begin with its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// Which.
    pub cpu: u16,
    /// The entry it goes by: map and key.
    pub entry: (MapId, u32),
    /// Packets that may wait there.
    pub length: u32,
    /// The entry's program.
    pub program: Option<ProgId>,
    /// Bytes of metadata.
    pub meta: u32,
    /// How far the packet's start has moved since it was received.
    pub moved: i32,
    /// How it was received.
    pub rx: RxMeta,
    /// How often it was handed on, this time included.
    pub hops: u8,
}

/// How often a packet may be handed from processor to processor. Linux has no limit: programs that hand it round never end.
const MAX_HOPS: u8 = 64;
const ETH_HLEN: usize = 14;

/// The packet of the last run with its metadata, kept while programs behind it run.
struct Kept {
    bytes: Vec<u8>,
    fields: XdpFields,
}

impl Kept {
    fn frame(&self) -> Vec<u8> {
        self.bytes[self.fields.meta as usize..].to_vec()
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.fields.meta as usize
    }
}

fn ingress(rx: &RxMeta) -> u32 {
    FIRST_IFINDEX + u32::from(rx.port.0)
}

impl Hooks {
    /// What becomes of the packet of the last run at the XDP hook, or behind a processor map, that asked to be redirected.
    pub(super) fn xdp_redirect(&mut self, job: Job<'_>, redirect: Option<Redirect>, frame: &mut Frame) -> Processed {
        let kept = self.keep(&job.rx);
        let mapped = redirect.and_then(|redirect| Some((redirect, redirect.map?)));
        let Some((redirect, (map, key))) = mapped else { return self.plain(job, redirect, frame) };
        match self.engine.maps()[map].kind().holds {
            Holds::Cpus => {
                let Some(target) = self.engine.target(&redirect) else {
                    return Processed::new(Verdict::End(Fate::NoDevice), Time::ZERO);
                };
                let hops = job.hops + 1;
                if hops > MAX_HOPS {
                    return Processed::new(Verdict::End(Fate::HandedRound), Time::ZERO);
                }
                let (meta, moved) = (kept.fields.meta, kept.fields.moved);
                let (cpu, length, program) = (key as u16, target.word, target.program);
                frame.bytes = kept.bytes;
                let handed = Handed { cpu, entry: (map, key), length, program, meta, moved, rx: job.rx, hops };
                Processed::new(Verdict::Hand(handed), job.costs.xdp_tx)
            }
            Holds::Devices if redirect.flags & BROADCAST != 0 => self.broadcast(job, &redirect, map, kept, frame),
            Holds::Devices => {
                let program = self.engine.target(&redirect).and_then(|target| target.program);
                let mut done = self.plain(job, Some(redirect), frame);
                let leaves = matches!(done.verdict, Verdict::Send { .. } | Verdict::End(Fate::ToVirtual));
                if let Some(program) = program.filter(|_| leaves) {
                    let (end, took) = self.on_the_way(job, program, redirect.ifindex, &kept);
                    done.cost += took;
                    match end {
                        None => take_packet(frame, &self.engine),
                        Some(fate) => done.verdict = Verdict::End(fate),
                    }
                }
                done
            }
            _ => self.plain(job, Some(redirect), frame),
        }
    }

    fn keep(&self, rx: &RxMeta) -> Kept {
        let bytes = [self.engine.metadata(), self.engine.packet()].concat();
        Kept { bytes, fields: self.engine.behind(ingress(rx), 0) }
    }

    /// A redirect to one device.
    fn plain(&mut self, job: Job<'_>, redirect: Option<Redirect>, frame: &mut Frame) -> Processed {
        take_packet(frame, &self.engine);
        let packet = (&mut frame.bytes, ETH_HLEN);
        let verdict = redirected(&self.engine, &self.network, redirect, Sent::Xdp, self.ports, packet);
        let sent = matches!(verdict, Verdict::Send { .. });
        Processed::new(verdict, if sent { job.costs.xdp_tx } else { Time::ZERO })
    }

    /// Runs the program of a device map's entry: how it ends the packet, if it does.
    fn on_the_way(&mut self, job: Job<'_>, program: ProgId, egress: u32, kept: &Kept) -> (Option<Fate>, Time) {
        let context = ContextInput::Xdp(XdpFields { egress_ifindex: egress, ..kept.fields });
        let (decision, took) = self.run_behind(job, program, context, &kept.bytes);
        let end = match decision {
            Decision::GoOn => None,
            Decision::End(Fate::XdpDropped) => Some(Fate::DroppedBehind(Behind::Device)),
            // A packet on its way out can neither be sent back nor to another device.
            Decision::End(_) | Decision::Back | Decision::Redirect => Some(Fate::AbortedBehind(Behind::Device)),
        };
        (end, took)
    }

    fn run_behind(&mut self, job: Job<'_>, program: ProgId, context: ContextInput, bytes: &[u8]) -> (Decision, Time) {
        let Some(code) = self.engine.shared(program) else { return (Decision::GoOn, Time::ZERO) };
        let call = job.costs.xdp_call;
        let run = Run { now: job.now + call, queue: job.core, context, costs: job.costs };
        let mut touched = 0;
        let (outcome, took) = self.execute(&code, program, run, &mut touched, bytes);
        self.behind = outcome.redirect;
        (decide_xdp(&outcome), call + took)
    }

    /// Sends a packet to all devices of a map that take it.
    fn broadcast(&mut self, job: Job<'_>, redirect: &Redirect, map: MapId, kept: Kept, frame: &mut Frame) -> Processed {
        let left_out = excluded(redirect, ingress(&job.rx));
        let takes = |device: &Device| device.up && kept.len() as u64 <= u64::from(longest(device));
        let mut targets = self.engine.targets(map);
        targets.retain(|target| Some(target.word) != left_out && self.network.device(target.word).is_some_and(takes));
        let mut done = Processed::new(Verdict::End(Fate::Nobody), Time::ZERO);
        let Some(last) = targets.pop() else { return done };
        done.copies_lost = targets.len().saturating_sub(MAX_COPIES) as u64;
        targets.truncate(MAX_COPIES);
        for target in targets {
            let (parcel, took) = self.towards(job, target, &kept);
            done.cost += took + job.costs.helpers.copy;
            done.copies.push(parcel);
        }
        self.counters.copies += done.copies.len() as u64 + done.copies_lost;
        let (parcel, took) = self.towards(job, last, &kept);
        frame.bytes = parcel.bytes;
        Processed { verdict: parcel.verdict, cost: done.cost + took, ..done }
    }

    /// One packet on its way to a device that takes it.
    fn towards(&mut self, job: Job<'_>, target: Target, kept: &Kept) -> (Parcel, Time) {
        let out = match port(target.word, self.ports) {
            Some(port) => Verdict::Send { by: Sent::Xdp, port },
            None => Verdict::End(Fate::ToVirtual),
        };
        let sent = if let Verdict::Send { .. } = out { job.costs.xdp_tx } else { Time::ZERO };
        let Some(program) = target.program else { return (Parcel { bytes: kept.frame(), verdict: out }, sent) };
        let (end, took) = self.on_the_way(job, program, target.word, kept);
        let verdict = end.map_or(out, Verdict::End);
        (Parcel { bytes: self.engine.packet().to_vec(), verdict }, took + sent)
    }

    /// Goes on with a packet on the processor that it was handed to.
    pub(crate) fn on_processor(
        &mut self,
        now: Time,
        core: QueueId,
        frame: &mut Frame,
        handed: &Handed,
        costs: &HostCosts,
    ) -> Processed {
        // Nothing of what the card said of the packet goes with it.
        let rx = RxMeta { hash: None, ..handed.rx };
        let mut job = Job { now, core, rx, hops: handed.hops, costs };
        let mut spent = Time::ZERO;
        let mut metadata: Vec<u8> = frame.bytes.drain(..handed.meta as usize).collect();
        if let Some(program) = handed.program {
            let bytes = [&metadata[..], &frame.bytes].concat();
            let (meta, moved) = (handed.meta, handed.moved);
            let fields = XdpFields { ingress_ifindex: ingress(&rx), meta, moved, ..XdpFields::default() };
            let (decision, took) = self.run_behind(job, program, ContextInput::Xdp(fields), &bytes);
            (spent, job.now) = (took, now + took);
            let end = match decision {
                Decision::GoOn => None,
                Decision::Redirect => return self.xdp_redirect(job, self.behind, frame).after(spent),
                Decision::End(Fate::XdpDropped) => Some(Fate::DroppedBehind(Behind::Processor)),
                Decision::End(_) | Decision::Back => Some(Fate::AbortedBehind(Behind::Processor)),
            };
            if let Some(fate) = end {
                return Processed::new(Verdict::End(fate), spent);
            }
            take_packet(frame, &self.engine);
            metadata = self.engine.metadata().to_vec();
        }
        self.skb(job, frame, metadata, 0, Fate::ToCpu).after(spent)
    }

    /// Takes the copies that the last run sent with `bpf_clone_redirect`.
    pub(super) fn take_copies(&mut self, done: &mut Processed) {
        let copies = std::mem::take(&mut self.copies);
        self.counters.copies += copies.made.len() as u64 + copies.beyond;
        done.copies_lost += copies.beyond;
        for mut copy in copies.made {
            let flags = u64::from(copy.ingress);
            let target = Redirect { ifindex: copy.ifindex, flags, map: None, delivery: Delivery::AsIs };
            let packet = (&mut copy.bytes, ETH_HLEN);
            let verdict = redirected(&self.engine, &self.network, Some(target), Sent::Tc, self.ports, packet);
            done.copies.push(Parcel { bytes: copy.bytes, verdict });
        }
    }
}

#[cfg(test)]
mod tests;
