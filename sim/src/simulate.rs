//! From a checked scenario to its results: a world for each placement, side by side.

use std::collections::BTreeSet;
use std::path::Path;

use bpf::diag::Diagnostic;
use bpf::errno::Errno;
use nic_model::profile::{Kind, provenance};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::capture::Capture;
use crate::card;
use crate::contents::{map_result, operations, preload_refused};
use crate::host::control::ControlPlane;
use crate::host::user::{Action, Content, Reader, Write};
use crate::host::{Attachment, Hooks, Host, Place, Surroundings};
use crate::measure::Tracker;
use crate::progress::Progress;
use crate::report::{
    self, Attached, Expectation, Latency, MapResult, Measured, Resource, Results, SCHEMA, TrafficResult, VariantResult,
    Work,
};
use crate::scenario::{LoadedProgram, Scenario, Variant};
use crate::traffic::TrafficSource;
use crate::trouble::Trouble;
use crate::world::{CARD_SOURCES, CONTROL_SOURCE, HOST_SOURCES, UserSpace, World};

/// Runs every placement of a scenario, `jobs` at a time; what leaves each is kept in files of the directory `capture`.
///
/// # Errors
/// What only shows when the parts are put together (a map too large for the card's memory, say), a capture that cannot be
/// written, and mistakes of ours.
pub fn scenario(
    scenario: &Scenario,
    jobs: usize,
    progress: &Progress,
    capture: Option<&Path>,
) -> Result<Results, Trouble> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.max(1)).build();
    let pool = pool.map_err(|e| Trouble::Internal(format!("cannot start threads: {e}")))?;
    // One simulation is one task; their order in the results is the scenario's.
    let variants: Vec<_> =
        pool.install(|| scenario.variants.par_iter().map(|v| variant(scenario, v, progress, capture)).collect());
    let variants = variants.into_iter().collect::<Result<Vec<_>, _>>()?;
    let expectations = scenario.expect.iter().map(|e| {
        let found = variants.iter().find(|v| v.name == e.variant);
        let (holds, found) = found.map_or((false, "nothing".to_owned()), |v| e.check(v));
        Expectation { text: e.text.clone(), holds, found }
    });
    Ok(Results {
        schema: SCHEMA,
        generator: format!("sim {}", env!("CARGO_PKG_VERSION")),
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        seed: scenario.seed,
        nic: scenario.nic.name.clone(),
        host: scenario.host.name.clone(),
        traffic: traffic(scenario),
        expectations: expectations.collect(),
        variants,
    })
}

fn traffic(scenario: &Scenario) -> Vec<TrafficResult> {
    let both = scenario.plays.iter().zip(&scenario.traces);
    both.map(|(play, pcap)| TrafficResult {
        pcap: pcap.clone(),
        port: play.port.0,
        pacing: play.pacing.to_string(),
        records: play.notes.records,
        repeat: play.repeat,
        records_cut: play.notes.cut,
        records_backwards: play.notes.backwards,
        file_truncated: play.notes.truncated,
    })
    .collect()
}

fn variant(
    scenario: &Scenario,
    v: &Variant,
    progress: &Progress,
    capture: Option<&Path>,
) -> Result<VariantResult, Trouble> {
    let program = |name: &Option<String>| name.as_ref().map(|name| &scenario.programs[name]);
    let [offload, xdp, tc] = [&v.attach.xdp_offload, &v.attach.xdp_native, &v.attach.tc_ingress].map(program);
    let mut result =
        VariantResult { name: v.name.clone(), attach: attached(scenario, v), refusals: vec![], measured: None };

    let mut device = card::device(&scenario.nic, v.queues, scenario.seed, CARD_SOURCES)?;
    device.memories().set_network(scenario.network.as_ref().clone());
    let loaded = match offload.map(|program| card::offload(&mut device, program, v.mode)).transpose()? {
        Some(Ok(loaded)) => Some(loaded),
        Some(Err(refusals)) => {
            result.refusals = refusals;
            return Ok(result);
        }
        None => None,
    };
    if let (Some(loaded), Some(first)) = (&loaded, result.attach.first_mut()) {
        first.card_words = Some(loaded.words);
        first.card_notes.clone_from(&loaded.notes);
    }

    let on_host = [(Place::Xdp, xdp), (Place::Tc, tc)];
    let on_host: Vec<_> = on_host.into_iter().filter_map(|(place, program)| Some((place, program?))).collect();
    let [xdp_attachment, tc_attachment] = [xdp, tc].map(|program| program.map(attachment));
    let costs = scenario.host.costs();
    let ports = *scenario.nic.mac.ports;
    let order = scenario.host.byte_order.endian();
    let surroundings = Surroundings { byte_order: order, network: scenario.network.clone(), seed: scenario.seed };
    let mut hooks = Hooks::new(&costs, xdp_attachment.as_ref(), tc_attachment.as_ref(), v.queues, ports, surroundings)?;
    let mut space = UserSpace::default();
    preload(&mut hooks, &on_host)?;
    for &(place, program) in &on_host {
        let named = |action: &Action| (place, action.clone(), program.maps[action.act.map()].name.clone());
        space.actions.extend(program.actions.iter().map(named));
        let reader = |reader: &Reader| (place, *reader, program.maps[reader.map].name.clone());
        space.readers.extend(program.readers.iter().map(reader));
    }
    let host = Host::new(costs, hooks, ports, v.queues, HOST_SOURCES);
    let tables = loaded.as_ref().map_or(vec![], |loaded| card::tables(&mut device, loaded));
    if let Some(loaded) = &loaded {
        space.on_card.clone_from(&loaded.operations);
    }
    let mut replaced = vec![];
    for replace in &v.replace {
        let Some(loaded) = replaced.last().or(loaded.as_ref()) else { break };
        match card::replacement(&mut device, &scenario.programs[&replace.with], v.mode, loaded)? {
            Ok(translated) => {
                space.replacements.push((replace.at.time(), translated.words, translated.starts));
                replaced.push(translated.offloaded);
            }
            Err(refusals) => {
                result.refusals = refusals;
                return Ok(result);
            }
        }
    }
    let plane = ControlPlane::new(scenario.host.control_costs(), tables, CONTROL_SOURCE);

    let line = *scenario.nic.mac.rate;
    let sources = scenario.plays.iter().map(|play| Ok((TrafficSource::open(play.clone(), line)?, line)));
    let sources = sources.collect::<Result<Vec<_>, Diagnostic>>()?;
    let rings = space.readers.iter().map(|(place, _, name)| (*place, name.as_str()));
    let capture = capture.map(|directory| Capture::new(directory, &v.name, ports, rings)).transpose()?;
    let mut world = World::new(device, (host, plane), sources, space, capture);
    let mut told = 0;
    world.run(|packets| {
        progress.advance(packets - told);
        told = packets;
    })?;
    world.tracker().audit().map_err(|what| Trouble::Internal(format!("variant {}: {what}", v.name)))?;
    // The maps of the program that ran last; those of before that it did not keep are gone with theirs.
    let mut maps = replaced.pop().or(loaded).map_or(Vec::new(), |loaded| card::maps(world.device_mut(), &loaded));
    maps.extend(host_maps(world.host_mut().hooks(), &on_host));
    result.measured = Some(measured(scenario, v, &mut world, maps));
    Ok(result)
}

fn attached(scenario: &Scenario, v: &Variant) -> Vec<Attached> {
    let hooks = v.attach.hooks().into_iter().filter_map(|(hook, name)| Some((hook, name?)));
    hooks
        .map(|(hook, name)| {
            let xlated = scenario.programs[name].verified.xlated();
            Attached {
                hook: hook.to_owned(),
                program: xlated.name.clone(),
                bpf_slots: xlated.insns.len(),
                card_words: None,
                card_notes: vec![],
            }
        })
        .collect()
}

/// A program and those it may tail-call, as they run, with their maps.
fn attachment(program: &LoadedProgram) -> Attachment {
    let own = (program.verified.xlated().clone(), (0..program.verified.program().maps.len()).collect());
    let parts = program.parts.iter().map(|part| (part.verified.xlated().clone(), part.maps.clone()));
    Attachment {
        programs: [own].into_iter().chain(parts).collect(),
        maps: program.maps.clone(),
        object: Some(program.object.clone()),
    }
}

/// What is in maps before the first packet: first what objects put into slots, then, hook by hook, what the scenario says.
/// So it is its word that counts in a map that two hooks share.
fn preload(hooks: &mut Hooks, on_host: &[(Place, &LoadedProgram)]) -> Result<(), Diagnostic> {
    let mut write = |place, program: &LoadedProgram, write: &Write| {
        let refused = |errno: Errno| preload_refused(&program.maps[write.map].name, &write.key, &errno.to_string());
        hooks.write(place, write).map_err(refused)
    };
    for &(place, program) in on_host {
        program.slots[..program.slots_of_object].iter().try_for_each(|slot| write(place, program, slot))?;
    }
    for &(place, program) in on_host {
        entries(program).try_for_each(|entry| write(place, program, &entry))?;
        program.slots[program.slots_of_object..].iter().try_for_each(|slot| write(place, program, slot))?;
    }
    Ok(())
}

fn entries(program: &LoadedProgram) -> impl Iterator<Item = Write> {
    program.preload.iter().enumerate().flat_map(|(map, entries)| {
        entries.iter().map(move |(key, value)| Write {
            map,
            key: key.clone(),
            content: Some(Content::Bytes(value.clone())),
        })
    })
}

/// What the maps at the hooks hold, a map that two of them share once.
fn host_maps(hooks: &mut Hooks, on_host: &[(Place, &LoadedProgram)]) -> Vec<MapResult> {
    let mut shown = BTreeSet::new();
    let mut results = Vec::new();
    for &(place, program) in on_host {
        let ids = hooks.maps(place).to_vec();
        for (spec, id) in program.maps.iter().zip(ids).filter(|(_, id)| shown.insert(id.0)) {
            let entries = hooks.engine_mut().map(id).expect("the engine was made with the program's maps").entries();
            results.push(map_result(spec, entries));
        }
    }
    results
}

fn measured(scenario: &Scenario, v: &Variant, world: &mut World, maps: Vec<MapResult>) -> Measured {
    let mut resources = card::resources(world.device(), world.tracker());
    let mut work = card::work(world.device(), world.tracker());
    let span = world.tracker().whole_span();
    if v.attach.xdp_offload.is_none() || world.host_mut().polls() > 0 {
        let cores = world.host_mut().core_busy();
        resources.extend(
            cores.into_iter().enumerate().map(|(core, busy)| Resource {
                name: format!("host core {core}"),
                busy_ppm: report::share(busy, span),
            }),
        );
    }
    let counters = world.host_mut().hooks().counters();
    work.extend([
        Work { name: "host program runs".into(), total: counters.runs },
        Work { name: "host bpf instructions".into(), total: counters.bpf_instructions },
        Work { name: "host program instructions".into(), total: counters.host_instructions },
        Work { name: "events".into(), total: world.events() },
    ]);
    let user = world.user();
    if user.writes > 0 {
        work.extend([
            Work { name: "user map writes".into(), total: user.writes },
            Work { name: "user map writes refused".into(), total: user.refused },
        ]);
    }
    if !v.replace.is_empty() {
        let loading: u64 = world
            .device()
            .reloads()
            .iter()
            .map(|reload| (reload.ended.unwrap_or(reload.began) - reload.began).ps())
            .sum();
        work.extend([
            Work { name: "card programs replaced".into(), total: user.replaced },
            Work { name: "card programs not replaced".into(), total: user.not_replaced },
            Work { name: "card program loading ps".into(), total: loading },
        ]);
    }
    if world.control().messages() > 0 {
        let server = world.device().control_counters();
        work.extend([
            Work { name: "card control messages".into(), total: server.messages },
            Work { name: "card control operations".into(), total: server.operations },
            Work { name: "card control busy ps".into(), total: server.busy.ps() },
        ]);
    }
    if v.attach.hooks().iter().filter_map(|(_, name)| *name).any(|name| !scenario.programs[name].readers.is_empty()) {
        work.extend([
            Work { name: "user records read".into(), total: user.records },
            Work { name: "user record bytes".into(), total: user.record_bytes },
        ]);
    }
    // Only where there are any, so that results of programs without them stay as they are.
    for (name, total) in [("host lines printed", counters.printed), ("host copies sent", counters.copies)] {
        if total > 0 {
            work.push(Work { name: name.into(), total });
        }
    }
    // Stable: parts as busy as each other stay in the order of a packet's way.
    resources.sort_by_key(|r| std::cmp::Reverse(r.busy_ppm));
    let tracker: &Tracker = world.tracker();
    let (fates, latency_by_fate) = report::fates(tracker);
    let handled =
        fates.iter().filter(|f| f.outcome != "lost" && !f.outcome.starts_with("copy ")).map(|f| f.packets).sum();
    let (bytes, line_bytes) = tracker.offered_bytes();
    let offered = tracker.offered_span();
    Measured {
        offered_packets: tracker.offered(),
        offered_bytes: bytes,
        offered_ps: offered.ps(),
        offered_pps: report::per_second(tracker.offered(), offered),
        offered_bps: report::per_second(line_bytes.saturating_mul(8), offered),
        throughput_pps: report::per_second(handled, span),
        latency: tracker.latencies().summary().map(Latency::from),
        bottleneck: report::bottleneck(&resources, &fates),
        fates,
        latency_by_fate,
        resources,
        work,
        operations: operations(world.outcomes()),
        maps,
        assumed: assumed(scenario, v),
    }
}

/// Values that a placement's result leans on and nobody has documented or measured, by path.
fn assumed(scenario: &Scenario, v: &Variant) -> Vec<String> {
    let card = provenance(&scenario.nic).into_iter().filter(|p| !p.path.starts_with("capabilities"));
    let card = card.filter(|p| v.control || p.path != "firmware.control");
    let card = card.map(|p| (format!("nic.{}", p.path), p.kind));
    let host = provenance(&scenario.host).into_iter().filter(|p| v.leans_on(&p.path));
    let host = host.map(|p| (format!("host.{}", p.path), p.kind));
    card.chain(host).filter(|(_, kind)| *kind == Kind::Assumed).map(|(path, _)| path).collect()
}
