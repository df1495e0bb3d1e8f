//! The programs of scenarios on the running kernel and on the interpreter, packet by packet over the scenario's traces.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::process::Command;

use bpf::env::FixedEnv;
use bpf::insn::{Insn, Wide};
use bpf::interp::Code;
use bpf::maps::MapId;
use bpf::network::{Network, Route, RouteKind, Transport};
use bpf::program::{MapIndex, MapSpec, MapType, Program};
use sim::scenario::{LoadedProgram, Scenario};
use sim::traffic::{Record, TraceReader};

use crate::support::both::{self, Both};
use crate::support::context;
use crate::support::kernel::{self, Kernel, kernel};
use crate::support::scenario::scenarios;

/// A program of a scenario.
pub struct Case {
    pub scenario: &'static str,
    pub program: &'static str,
    /// One of the same object that gets at tc what the first passes, and shares its maps.
    pub behind: Option<&'static str>,
    /// What of its maps depends on the time: bytes of a value.
    pub blank: &'static [(&'static str, Range<usize>)],
    /// Maps whose entries all get another value than the scenario's: the kernel's time is not that of the trace.
    pub instead: &'static [(&'static str, &'static [u8])],
}

/// The kernel's own clock, which runs for both.
fn now_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("the kernel says how long it has been up");
    let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number of seconds");
    (seconds * 1e9) as u64
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().expect("iproute2 is there");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds a scenario's network in a network namespace of this thread's own; `false` where that is not allowed.
pub fn build(network: &Network) -> bool {
    if !kernel::enter_new_network() || Command::new("ip").arg("-V").output().is_err() {
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "no network namespace");
        return false;
    }
    ip("link set lo up");
    let named = |index: u32| network.device(index).map_or("lo", |device| device.name.as_str()).to_owned();
    let devices = || network.devices.iter().filter(|device| device.ifindex != 1);
    for device in devices() {
        let (name, index) = (&device.name, device.ifindex);
        // A pair is made when its first end comes by; a device without a peer has one that nobody knows.
        match device.peer {
            Some(peer) if peer < index => {}
            Some(peer) => {
                ip(&format!("link add {name} index {index} type veth peer name {} index {peer}", named(peer)))
            }
            None => {
                ip(&format!("link add {name} index {index} type veth peer name far{index} index {}", index + 100));
                ip(&format!("link set far{index} mtu {} up", device.mtu));
            }
        }
    }
    for device in devices() {
        let name = &device.name;
        let mac: Vec<_> = device.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        ip(&format!("link set {name} address {} mtu {}", mac.join(":"), device.mtu));
        ip(&format!("link set {name} {}", if device.up { "up" } else { "down" }));
        for address in &device.addresses {
            let quick = if address.address.is_ipv6() { " nodad" } else { "" };
            ip(&format!("addr add {}/{} dev {name}{quick}", address.address, address.len));
        }
    }
    for family in ["ipv4", "ipv6"] {
        for device in std::fs::read_dir(format!("/proc/sys/net/{family}/conf")).expect("the kernel has settings") {
            let path = device.expect("they can be listed").path().join("forwarding");
            let of = path.parent().and_then(|device| device.file_name()).unwrap_or_default();
            let stays = devices().any(|device| !device.forwarding[0] && *device.name == *of);
            let value = if stays { "0" } else { "1" };
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
    // Those that addresses bring are there already: they have no gateway.
    let brought = |route: &&Route| {
        let linked = route.kind == RouteKind::Unicast && route.hop.is_some_and(|hop| hop.gateway.is_none());
        linked || matches!(route.kind, RouteKind::Local | RouteKind::Broadcast)
    };
    for route in network.routes.iter().filter(|route| !brought(route)) {
        let family = if route.to.address.is_ipv6() { 6 } else { 4 };
        let kind = match route.kind {
            RouteKind::Unicast => "",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
            other => panic!("no scenario has such a route yet: {other:?}"),
        };
        let via = route.hop.and_then(|hop| hop.gateway).map_or(String::new(), |via| format!(" via {via}"));
        let dev = route.hop.map_or(String::new(), |hop| format!(" dev {}", named(hop.device)));
        let mtu =
            route.mtu.map_or(String::new(), |mtu| format!(" mtu {}{mtu}", if route.mtu_locked { "lock " } else { "" }));
        let (to, table) = (route.to, route.table);
        ip(&format!("-{family} route add {kind}{}/{}{via}{dev}{mtu} table {table}", to.address, to.len));
    }
    for rule in &network.rules {
        assert!(
            rule.device.is_none() && rule.mark.1 == 0,
            "a test run's packets come in by no device and have no mark"
        );
        let (family, from, to) = (if rule.v6 { 6 } else { 4 }, rule.from, rule.to);
        let (ends, pref) =
            (format!("from {}/{} to {}/{}", from.address, from.len, to.address, to.len), rule.preference);
        ip(&format!("-{family} rule add pref {pref} {ends} lookup {}", rule.table));
    }
    for neighbour in &network.neighbours {
        let mac: Vec<_> = neighbour.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        ip(&format!("neigh add {} dev {} lladdr {}", neighbour.address, named(neighbour.device), mac.join(":")));
    }
    true
}

/// Opens a scenario's sockets in the thread's network; they are there as long as what is returned.
fn open(network: &Network) -> (Vec<TcpListener>, Vec<UdpSocket>) {
    let (mut listeners, mut datagrams) = (Vec::new(), Vec::new());
    for socket in &network.sockets {
        match (socket.transport, socket.remote) {
            (Transport::Tcp, None) => listeners.push(TcpListener::bind(socket.local).expect("the address is free")),
            (Transport::Udp, remote) => {
                let datagram = UdpSocket::bind(socket.local).expect("the address is free");
                if let Some(remote) = remote {
                    datagram.connect(remote).expect("there is a route");
                }
                datagrams.push(datagram);
            }
            other => panic!("no scenario has such a socket yet: {other:?}"),
        }
    }
    (listeners, datagrams)
}

/// Holds a program against the kernel, in a thread of its own: it changes what network the thread is in.
pub fn agree(case: Case) {
    if let Some(kernel) = kernel(case.program) {
        let held = std::thread::spawn(move || hold(&case, kernel));
        held.join().unwrap_or_else(|why| std::panic::resume_unwind(why));
    }
}

/// What goes on to tc.
const XDP_PASS: u32 = 2;

/// A program on the maps of another of its object, to which those are added that it alone has.
pub fn on_maps(program: &Program, maps: &mut Vec<MapSpec>) -> Program {
    let mut program = program.clone();
    let places: Vec<u32> = program.maps.iter().map(|spec| place_of(maps, spec)).collect();
    for insn in &mut program.insns {
        if let Insn::LoadImm64 { value: Wide::Map(map) | Wide::MapValue { map, .. }, .. } = insn {
            *map = MapIndex(places[map.0 as usize]);
        }
    }
    program.maps.clone_from(maps);
    program
}

fn place_of(maps: &mut Vec<MapSpec>, spec: &MapSpec) -> u32 {
    let known = maps.iter().position(|map| map.name == spec.name);
    known.unwrap_or_else(|| {
        maps.push(spec.clone());
        maps.len() - 1
    }) as u32
}

fn hold(case: &Case, kernel: Kernel) {
    kernel::stay_on_cpu_0();
    let path = scenarios().join(format!("{}.yaml", case.scenario));
    let scenario = Scenario::load(&path).unwrap_or_else(|why| panic!("{why}"));
    let network = Network::clone(&scenario.network);
    if !build(&network) {
        eprintln!("SKIPPED {}: no network namespace or no iproute2", case.program);
        return;
    }
    let _sockets = open(&network);
    let named = |p: &&LoadedProgram| p.verified.program().name == case.program;
    let loaded = scenario.programs.values().find(named).expect("the scenario has the program");
    let program = loaded.verified.program().clone();
    let insns = program.insns.clone();
    let sockets = network.sockets.len() as u32;
    let mut maps = program.maps.clone();
    let behind = case.behind.map(|name| {
        let named = |p: &&LoadedProgram| p.verified.program().name == name;
        let behind = scenario.programs.values().find(named).expect("the scenario has that program, too");
        (behind, on_maps(behind.verified.program(), &mut maps))
    });
    let both = Both::load_among(sockets, kernel, program.ty, insns, &maps);
    let mut both = both.unwrap_or_else(|error| panic!("{}", error.log));
    both.env = FixedEnv { network, ..FixedEnv::default() };
    for of in std::iter::once(loaded).chain(behind.as_ref().map(|(behind, _)| *behind)) {
        for (spec, entries) in of.maps.iter().zip(&of.preload) {
            let other = case.instead.iter().find(|(name, _)| *name == spec.name);
            for (key, value) in entries {
                both.write(&spec.name, key, other.map_or(value, |(_, value)| *value));
            }
        }
    }
    let mut behind = behind.map(|(_, program)| {
        let theirs = both::load(kernel, program.ty, &program.insns, &both.kernel_maps);
        let theirs = theirs.unwrap_or_else(|error| panic!("{}", error.log));
        (theirs, Code::new(&program).expect("it was verified"), program.ty)
    });
    let mut frames = Vec::new();
    for play in &scenario.plays {
        let mut reader = TraceReader::open(&play.path).unwrap_or_else(|why| panic!("{why}"));
        let mut record = Record::default();
        while reader.next_into(&mut record).unwrap_or_else(|why| panic!("{why}")) {
            frames.push((record.at_ns, record.bytes.clone()));
        }
    }
    frames.sort_by_key(|(at, _)| *at);
    assert!(frames.len() > 1_000, "the traces were read");
    for (number, (_, frame)) in frames.iter().enumerate() {
        both.env.now_ns = now_ns();
        both.context = context::of(program.ty, frame, None);
        let (outcome, ours) = both.ours(frame);
        assert_eq!(outcome.fault, None, "packet {number}");
        assert_eq!(ours, both.kernel(frame), "packet {number}");
        let Some((theirs, code, ty)) = behind.as_mut().filter(|_| ours.retval == XDP_PASS) else { continue };
        std::mem::swap(&mut both.program, theirs);
        std::mem::swap(&mut both.code, code);
        both.context = context::of(*ty, &ours.packet, None);
        let (outcome, seen) = both.ours(&ours.packet);
        assert_eq!(outcome.fault, None, "packet {number} behind");
        assert_eq!(seen, both.kernel(&ours.packet), "packet {number} behind");
        std::mem::swap(&mut both.program, theirs);
        std::mem::swap(&mut both.code, code);
    }
    for (at, spec) in maps.iter().enumerate() {
        if spec.ty == MapType::RINGBUF {
            let theirs = both.kernel_maps[at].ring_records(spec.max_entries as usize);
            let mut map = both.engine.map(MapId(at as u32)).expect("the map is there");
            let ours: Vec<_> = std::iter::from_fn(|| map.ring_read()).collect();
            assert_eq!(blanked(case, &spec.name, ours), blanked(case, &spec.name, theirs), "map {}", spec.name);
            continue;
        }
        let mut ours = both.engine.map(MapId(at as u32)).expect("the map is there").entries();
        ours.sort();
        let mut theirs = both.kernel_maps[at].entries();
        for entries in [&mut ours, &mut theirs] {
            let values = entries.iter().map(|(_, value)| value.clone()).collect();
            for (entry, value) in entries.iter_mut().zip(blanked(case, &spec.name, values)) {
                entry.1 = value;
            }
        }
        assert_eq!(ours, theirs, "map {}", spec.name);
    }
}

fn blanked(case: &Case, map: &str, mut values: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for (_, bytes) in case.blank.iter().filter(|(name, _)| *name == map) {
        for value in &mut values {
            value[bytes.clone()].fill(0);
        }
    }
    values
}
