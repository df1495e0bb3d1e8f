//! Routes, neighbours, devices and sockets against the running kernel's, in a network namespace made for that.

use crate::support;

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use bpf::env::FixedEnv;
use bpf::insn::{AluOp, Cond, Insn, Size};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, RunInput, SkbFields, XdpFields};
use bpf::network::fib::{DEFAULT, LOCAL, MAIN};
use bpf::network::{
    Device, Neighbour, Network, NextHop, Prefix, Route, RouteKind, Rule, Socket, SocketState, Transport,
};
use bpf::program::{ProgType, Program};
use support::asm::*;
use support::both;
use support::kernel::{self, Kernel, kernel};
use support::ledger::Ledger;
use support::rng::Rng;

/// Rounds of a test: `NETWORK_ROUNDS`, or a few.
fn rounds(usual: u64) -> u64 {
    std::env::var("NETWORK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs a command of iproute2 in the thread's namespace.
fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().expect("iproute2 is there");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn write(path: &str, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Waits until so many devices have an address of their own link, which they get once they are seen to be up.
fn own_addresses(devices: usize) {
    const TENTATIVE: u32 = 0x40;
    for _ in 0..500 {
        let text = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let ready = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let flags = u32::from_str_radix(words[4], 16).unwrap();
            line.starts_with("fe80") && words[5].starts_with('v') && flags & TENTATIVE == 0
        };
        if text.lines().filter(ready).count() >= devices {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("devices have no addresses of their links");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (address, len) = text.split_once('/').unwrap();
    Prefix { address: address.parse().unwrap(), len: len.parse().unwrap() }
}

/// A network of three pairs of devices, built twice.
struct World {
    network: Network,
}

impl World {
    /// A namespace of the thread's own with the devices in it; `None` where that is not allowed.
    fn new(test: &str) -> Option<World> {
        if !kernel::enter_new_network() || Command::new("ip").arg("-V").output().is_err() {
            assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{test}: no network namespace");
            eprintln!("SKIPPED {test}: no network namespace or no iproute2");
            return None;
        }
        write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
        ip("link set lo up");
        let mut network = Network::default();
        network.add_device(Device {
            mac: [0; 6],
            mtu: 65_536,
            addresses: vec![prefix("127.0.0.1/8"), prefix("::1/128")],
            ..Device::new(1, "lo")
        });
        for (index, mtu, addresses) in [
            (10, 1500, vec!["10.0.0.1/24", "10.0.7.1/16", "2001:db8::1/64"]),
            (12, 1400, vec!["192.168.1.1/30", "2001:db8:1::1/48"]),
            (14, 9000, vec!["172.16.0.1/12", "fd00::1/8"]),
        ] {
            let mac = [2, 0, 0, 0, 1, index as u8];
            ip(&format!("link add v{index} index {index} type veth peer name w{index} index {}", index + 1));
            let digits: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            ip(&format!("link set v{index} address {} mtu {mtu}", digits.join(":")));
            ip(&format!("link set w{index} mtu {mtu}"));
            ip(&format!("link set w{index} up"));
            ip(&format!("link set v{index} up"));
            for address in &addresses {
                let quick = if address.contains(':') { " nodad" } else { "" };
                ip(&format!("addr add {address} dev v{index}{quick}"));
            }
            // The one that every device has of its own, made of its hardware address.
            let own = format!("fe80::ff:fe00:1{index:02x}/64");
            let addresses = addresses.into_iter().chain([&*own]);
            network.add_device(Device {
                mac,
                mtu,
                forwarding: [index != 14, index != 14],
                addresses: addresses.map(prefix).collect(),
                ..Device::new(index, format!("v{index}"))
            });
        }
        for family in ["ipv4", "ipv6"] {
            write(&format!("/proc/sys/net/{family}/conf/all/forwarding"), "1");
            for name in ["lo", "v10", "v12"] {
                write(&format!("/proc/sys/net/{family}/conf/{name}/forwarding"), "1");
            }
            write(&format!("/proc/sys/net/{family}/conf/v14/forwarding"), "0");
        }
        own_addresses(3);
        // Where packets are forwarded, IPv6 also has an address that stands for every router of a network, which no scenario
        // sends to; and devices without addresses, by which no route here leads.
        Some(World { network })
    }

    fn route(&mut self, rng: &mut Rng) {
        let v6 = rng.once_in(3);
        let len = if v6 { rng.pick(&[0, 32, 48, 64, 128]) } else { rng.pick(&[0, 8, 16, 24, 25, 32]) };
        let base = destination(rng, v6);
        let to = masked(base, len);
        let kind = rng.pick(&[
            RouteKind::Unicast,
            RouteKind::Unicast,
            RouteKind::Unicast,
            RouteKind::Unicast,
            RouteKind::Blackhole,
            RouteKind::Unreachable,
            RouteKind::Prohibit,
            RouteKind::Throw,
        ]);
        let table = rng.pick(&[MAIN, MAIN, 100, 101]);
        let metric = rng.pick(&[0, 10, 20, 1000]);
        let device = rng.pick(&[10u32, 12, 14]);
        let near = self.network.device(device).unwrap().addresses.clone();
        let own: Vec<_> = near.iter().filter(|prefix| prefix.address.is_ipv6() == v6).collect();
        let mut text = format!("-{} route add ", if v6 { 6 } else { 4 });
        let mut route = Route { table, kind, ..Route::new(to, NextHop { device, gateway: None }) };
        route.metric = if v6 && metric == 0 { 1024 } else { metric };
        let word = match kind {
            RouteKind::Unicast => "",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
            _ => "throw ",
        };
        text += &format!("{word}{}/{} table {table} metric {metric}", to.address, to.len);
        if kind == RouteKind::Unicast {
            if rng.once_in(2) {
                let gateway = neighbour_of(own[0], rng);
                route.hop = Some(NextHop { device, gateway: Some(gateway) });
                text += &format!(" via {gateway}");
            }
            text += &format!(" dev v{device}");
            if rng.once_in(4) {
                let source = own[0].address;
                route.source = Some(source);
                text += &format!(" src {source}");
            }
            if rng.once_in(3) {
                route.mtu = Some(1300);
                route.mtu_locked = rng.once_in(2);
                text += if route.mtu_locked { " mtu lock 1300" } else { " mtu 1300" };
            }
            if rng.once_in(5) && !v6 {
                route.tos = 0x10;
                text += " tos 0x10";
            }
        } else {
            route.hop = None;
        }
        let done = Command::new("ip").args(text.split(' ')).output().unwrap();
        // One of the same kind may be there already.
        if done.status.success() {
            self.network.routes.push(route);
        }
    }

    fn neighbours(&mut self, rng: &mut Rng) {
        for device in [10u32, 12, 14] {
            for own in self.network.device(device).unwrap().addresses.clone() {
                for _ in 0..3 {
                    let address = neighbour_of(&own, rng);
                    let mac = [6, 0, 0, 0, device as u8, rng.word() as u8];
                    let digits: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                    if self.network.neighbour(device, address).is_none() {
                        ip(&format!("neigh replace {address} lladdr {} dev v{device} nud permanent", digits.join(":")));
                        self.network.neighbours.push(Neighbour { device, address, mac });
                    }
                }
            }
        }
    }

    fn rule(&mut self, preference: u32, rng: &mut Rng) {
        let v6 = rng.once_in(3);
        let table = rng.pick(&[100, 101]);
        let mut rule =
            Rule { preference, v6, from: Prefix::any(v6), to: Prefix::any(v6), device: None, mark: (0, 0), table };
        let mut text = format!("-{} rule add pref {preference}", if v6 { 6 } else { 4 });
        match rng.below(4) {
            0 => {
                rule.from = masked(destination(rng, v6), if v6 { 32 } else { 8 });
                text += &format!(" from {}/{}", rule.from.address, rule.from.len);
            }
            1 => {
                rule.device = Some(10);
                text += " iif v10";
            }
            2 => {
                rule.mark = (7, 0xff);
                text += " fwmark 7/0xff";
            }
            _ => {
                rule.to = masked(destination(rng, v6), if v6 { 48 } else { 16 });
                text += &format!(" to {}/{}", rule.to.address, rule.to.len);
            }
        }
        ip(&format!("{text} lookup {table}"));
        self.network.rules.push(rule);
    }
}

/// An address near those that are known.
fn destination(rng: &mut Rng, v6: bool) -> IpAddr {
    let base = if v6 {
        rng.pick(&[
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8:1::5",
            "fd00::9",
            "2001:db8:7::1",
            "::1",
            "fe80::1",
            "ff02::1",
        ])
    } else {
        rng.pick(&[
            "10.0.0.1",
            "10.0.0.255",
            "10.0.0.7",
            "10.0.9.9",
            "10.9.0.1",
            "192.168.1.2",
            "192.168.1.3",
            "172.16.4.4",
            "8.8.8.8",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "1.2.3.4",
        ])
    };
    match address(base) {
        IpAddr::V4(a) if rng.once_in(2) => {
            std::net::Ipv4Addr::from_bits(a.to_bits() ^ (rng.word() as u32 & 0x0103)).into()
        }
        IpAddr::V6(a) if rng.once_in(2) => {
            std::net::Ipv6Addr::from_bits(a.to_bits() ^ u128::from(rng.word() & 3)).into()
        }
        same => same,
    }
}

fn masked(address: IpAddr, len: u8) -> Prefix {
    let address = match address {
        IpAddr::V4(a) => {
            std::net::Ipv4Addr::from_bits(if len == 0 { 0 } else { a.to_bits() & (u32::MAX << (32 - len)) }).into()
        }
        IpAddr::V6(a) => {
            std::net::Ipv6Addr::from_bits(if len == 0 { 0 } else { a.to_bits() & (u128::MAX << (128 - len)) }).into()
        }
    };
    Prefix { address, len }
}

/// Another address of a device's network.
fn neighbour_of(own: &Prefix, rng: &mut Rng) -> IpAddr {
    match own.address {
        IpAddr::V4(a) => std::net::Ipv4Addr::from_bits(a.to_bits() ^ 3 & 0xffff_fffe ^ (rng.word() as u32 & 1)).into(),
        IpAddr::V6(a) => std::net::Ipv6Addr::from_bits(a.to_bits() ^ 2 ^ u128::from(rng.word() & 4)).into(),
    }
}

/// Where the parameters lie in a packet, and behind them the flags.
const AT: i16 = 16;

/// Copies 64 bytes of the packet to the stack, asks, and copies them back.
fn fib_program(ty: ProgType) -> Vec<Insn> {
    let (data, end) = if ty.is_skb() { (76, 80) } else { (0, 4) };
    let mut insns = vec![mov(R6, R1), load(Size::W, R7, R1, data), load(Size::W, R8, R1, end)];
    insns.extend([mov(R0, R7), add(R0, 96), branch(Cond::Le, R0, R8, 2), mov(R0, -1), exit()]);
    for word in 0..8 {
        insns.extend([load(Size::D, R0, R7, AT + 8 * word), store(Size::D, R10, 8 * word - 64, R0)]);
    }
    insns.extend([mov(R1, R6), mov(R2, R10), add(R2, -64), mov(R3, 64), load(Size::W, R4, R7, AT + 64), helper(69)]);
    for word in 0..8 {
        insns.extend([load(Size::D, R1, R10, 8 * word - 64), store(Size::D, R7, AT + 8 * word, R1)]);
    }
    insns.push(exit());
    insns
}

/// A program on both sides, and what it is shown of the network.
struct Pair {
    theirs: kernel::KernelProg,
    code: Code,
    engine: Engine,
    ty: ProgType,
    ledger: Ledger,
}

impl Pair {
    fn new(kernel: Kernel, ty: ProgType, insns: Vec<Insn>, sockets: u32) -> Pair {
        let theirs = both::load(kernel, ty, &insns, &[]).unwrap_or_else(|error| panic!("{}", error.log));
        let code = Code::new(&Program::from_insns("test", ty, insns, vec![])).unwrap();
        let config = EngineConfig { strict: true, sockets, ..EngineConfig::default() };
        Pair { theirs, code, engine: Engine::new(config, &[]).unwrap(), ty, ledger: Ledger::default() }
    }

    fn agree(&mut self, env: &mut FixedEnv, packet: &[u8], what: &dyn Fn() -> String) -> u32 {
        let theirs = self.theirs.run(packet, None).expect("the kernel runs the program");
        let context = match self.ty.is_skb() {
            true => ContextInput::Skb(SkbFields { ifindex: 1, ..SkbFields::default() }),
            false => ContextInput::Xdp(XdpFields { ingress_ifindex: 1, ..XdpFields::default() }),
        };
        let ledger = self.ledger.run(&self.engine);
        let ours = self.engine.run(&self.code, RunInput { context, packet }, env, ledger);
        assert_eq!(ours.fault, None);
        let hex =
            |bytes: &[u8]| bytes.iter().skip(AT as usize).take(68).map(|b| format!("{b:02x}")).collect::<String>();
        let sides = [(ours.retval as u32, hex(self.engine.packet())), (theirs.retval, hex(&theirs.packet))];
        assert_eq!(sides[0], sides[1], "{} {}", self.ty, what());
        theirs.retval
    }
}

#[test]
fn routes_are_found_as_in_linux() {
    let Some(kernel) = kernel("routes_are_found_as_in_linux") else { return };
    let mut answers = [0u64; 10];
    let asked = rounds(2);
    for seed in 0..asked {
        let mut rng = Rng::new(seed);
        let Some(mut world) = World::new("routes_are_found_as_in_linux") else { return };
        world.neighbours(&mut rng);
        for _ in 0..20 {
            world.route(&mut rng);
        }
        // Without rules of one's own a namespace is asked another way.
        let rules = if seed % 3 == 0 { 0 } else { 2 };
        for preference in 0..rules {
            world.rule(100 + preference, &mut rng);
        }
        let mut env = FixedEnv { network: world.network.clone(), ..FixedEnv::default() };
        let mut pairs = [ProgType::Xdp, ProgType::SchedCls].map(|ty| Pair::new(kernel, ty, fib_program(ty), 0));
        for _ in 0..800 {
            let v6 = rng.once_in(3);
            let mut packet = vec![0u8; 14];
            packet.resize(if rng.once_in(4) { 1500 } else { 110 }, 0);
            let params = &mut packet[AT as usize..AT as usize + 68];
            params[0] = if rng.once_in(50) {
                3
            } else if v6 {
                10
            } else {
                2
            };
            params[1] = 6;
            let len = rng.pick(&[0u16, 0, 60, 1300, 1301, 1400, 1450, 1500, 9000, 9001]);
            params[6..8].copy_from_slice(&len.to_le_bytes());
            params[8..12].copy_from_slice(&rng.pick(&[10u32, 10, 10, 12, 12, 14, 1, 99]).to_le_bytes());
            if !v6 && rng.once_in(4) {
                params[12] = 0x10;
            }
            for at in [16, 32] {
                match destination(&mut rng, v6) {
                    IpAddr::V4(a) => params[at..at + 4].copy_from_slice(&a.octets()),
                    IpAddr::V6(a) => params[at..at + 16].copy_from_slice(&a.octets()),
                }
            }
            if rng.once_in(4) {
                params[48..52].copy_from_slice(&rng.pick(&[100u32, 101, LOCAL, DEFAULT, MAIN, 77, 0]).to_le_bytes());
            }
            if rng.once_in(3) {
                params[52] = 7;
            }
            let flags = if rng.once_in(40) { 64 } else { rng.below(64) as u32 };
            params[64..68].copy_from_slice(&flags.to_le_bytes());
            let shown = params.to_vec();
            for pair in &mut pairs {
                let what = || {
                    format!(
                        "seed {seed} flags {flags:#x} {shown:02x?}\n{:#?}\n{:#?}",
                        world.network.routes, world.network.rules
                    )
                };
                if let Some(count) = answers.get_mut(pair.agree(&mut env, &packet, &what) as usize) {
                    *count += 1;
                }
            }
        }
    }
    // All but the answers for lightweight tunnels and for sources that are missing.
    for answer in [0, 1, 2, 3, 4, 5, 7, 8] {
        assert!(answers[answer] > 0 || asked < 4, "no answer was {answer}: {answers:?}");
    }
}

/// Looks for a socket by the tuple in the packet, and sums what it is.
fn socket_program(helper_id: u32, size: i32) -> Vec<Insn> {
    let mut insns = vec![mov(R6, R1), load(Size::W, R7, R1, 0), load(Size::W, R8, R1, 4)];
    insns.extend([mov(R0, R7), add(R0, 64), branch(Cond::Le, R0, R8, 2), mov(R0, -1), exit()]);
    insns.extend([mov(R2, R7), add(R2, i32::from(AT)), mov(R3, size), mov(R4, -1), mov(R5, 0), helper(helper_id)]);
    insns.extend([branch(Cond::Ne, R0, 0, 1), exit(), mov(R1, R0), mov(R7, 0)]);
    // Where a socket of IPv4 would have addresses of IPv6 stands anything.
    let fields: &[i16] = if size == 36 { &[4, 24, 28, 40, 44, 72] } else { &[4, 24, 44, 52, 72] };
    for &off in fields {
        insns.extend([load(Size::W, R0, R1, off), alu64(AluOp::Mul, R7, 31), add(R7, R0)]);
    }
    insns.extend([load(Size::H, R0, R1, 48), alu64(AluOp::Mul, R7, 31), add(R7, R0)]);
    insns.extend([helper(86), mov(R0, R7), exit()]);
    insns
}

/// Looks for a socket, and says as what it may be seen and what handing the packet to it answers.
fn socket_views(helper_id: u32, size: i32, flags: i32) -> Vec<Insn> {
    let mut insns = vec![mov(R6, R1), load(Size::W, R7, R1, 76), load(Size::W, R8, R1, 80)];
    insns.extend([mov(R0, R7), add(R0, 64), branch(Cond::Le, R0, R8, 2), mov(R0, -1), exit()]);
    insns.extend([mov(R2, R7), add(R2, i32::from(AT)), mov(R3, size), mov(R4, -1), mov(R5, 0), helper(helper_id)]);
    insns.extend([branch(Cond::Ne, R0, 0, 1), exit(), mov(R8, R0), mov(R9, 0)]);
    for (view, bit) in [(95, 1), (96, 2), (98, 4)] {
        insns.extend([mov(R1, R8), helper(view), branch(Cond::Eq, R0, 0, 1), add(R9, bit)]);
    }
    insns.extend([mov(R1, R6), mov(R2, R8), mov(R3, flags), helper(124)]);
    insns.extend([alu64(AluOp::Lsh, R9, 8), add(R9, R0), mov(R1, R8), helper(86), mov(R0, R9), exit()]);
    insns
}

#[test]
fn sockets_are_found_as_in_linux() {
    let Some(kernel) = kernel("sockets_are_found_as_in_linux") else { return };
    let Some(mut world) = World::new("sockets_are_found_as_in_linux") else { return };
    let socket = |transport, state, local: std::net::SocketAddr, remote: Option<std::net::SocketAddr>| Socket {
        transport,
        state,
        local: (local.ip(), local.port()),
        remote: remote.map(|remote| (remote.ip(), remote.port())),
        device: None,
        mark: 0,
        priority: 0,
        cookie: 0,
        uid: 0,
        cgroup: 1,
    };
    let mut listeners = Vec::new();
    for local in ["0.0.0.0:99", "10.0.0.1:80", "127.0.0.1:8080", "[2001:db8::1]:80", "[::1]:443", "192.168.1.1:443"] {
        let listener = TcpListener::bind(local).unwrap();
        let found = socket(Transport::Tcp, SocketState::Listen, listener.local_addr().unwrap(), None);
        world.network.sockets.push(found);
        listeners.push(listener);
    }
    let stream = TcpStream::connect("127.0.0.1:8080").unwrap();
    let (accepted, _) = listeners[2].accept().unwrap();
    for end in [&stream, &accepted] {
        let (local, remote) = (end.local_addr().unwrap(), end.peer_addr().unwrap());
        world.network.sockets.push(socket(Transport::Tcp, SocketState::Established, local, Some(remote)));
    }
    let mut datagrams = Vec::new();
    for (local, remote) in [
        ("0.0.0.0:443", None),
        ("10.0.0.1:53", None),
        ("10.0.0.1:5353", Some("10.0.0.1:99")),
        ("[2001:db8::1]:53", None),
        ("127.0.0.1:99", None),
    ] {
        let datagram = UdpSocket::bind(local).unwrap();
        let mut state = SocketState::Closed;
        if let Some(remote) = remote {
            datagram.connect(remote).unwrap();
            state = SocketState::Established;
        }
        let found = socket(Transport::Udp, state, datagram.local_addr().unwrap(), datagram.peer_addr().ok());
        world.network.sockets.push(found);
        datagrams.push(datagram);
    }
    let count = world.network.sockets.len() as u32;
    let mut env = FixedEnv { network: world.network.clone(), ..FixedEnv::default() };
    let programs = [(84, 12), (84, 36), (85, 12), (85, 36), (99, 12), (99, 36), (84, 20)];
    let sums = programs.map(|(id, size)| (Pair::new(kernel, ProgType::Xdp, socket_program(id, size), count), size));
    let views = [(84, 12, 0), (85, 12, 0), (99, 12, 0), (99, 36, 0), (84, 12, 1)];
    let views = views
        .map(|(id, size, flags)| (Pair::new(kernel, ProgType::SchedCls, socket_views(id, size, flags), count), size));
    let mut pairs: Vec<(Pair, i32)> = sums.into_iter().chain(views).collect();
    let mut rng = Rng::new(1);
    let mut found = 0;
    let ephemeral = stream.local_addr().unwrap().port();
    for _ in 0..300 * rounds(1) {
        for (pair, size) in &mut pairs {
            let mut packet = vec![0u8; 80];
            let tuple = &mut packet[AT as usize..];
            let v6 = *size == 36;
            let end = |rng: &mut Rng| -> Vec<u8> {
                let text = match v6 {
                    true => rng.pick(&["2001:db8::1", "::1", "2001:db8:1::1", "fd00::1"]),
                    false => rng.pick(&["10.0.0.1", "127.0.0.1", "192.168.1.1", "8.8.8.8"]),
                };
                match address(text) {
                    IpAddr::V4(a) => a.octets().to_vec(),
                    IpAddr::V6(a) => a.octets().to_vec(),
                }
            };
            let addresses = [end(&mut rng), end(&mut rng)].concat();
            tuple[..addresses.len()].copy_from_slice(&addresses);
            for at in [0, 2] {
                let port = rng.pick(&[80u16, 443, 8080, 53, 5353, 99, ephemeral]);
                tuple[addresses.len() + at..addresses.len() + at + 2].copy_from_slice(&port.to_be_bytes());
            }
            let shown = tuple[..40].to_vec();
            found += u64::from(pair.agree(&mut env, &packet, &|| format!("{shown:?}")) != 0);
        }
    }
    assert!(found > 100, "only {found} looks found a socket");
}

#[test]
fn a_packet_is_held_against_devices_as_in_linux() {
    let Some(kernel) = kernel("a_packet_is_held_against_devices_as_in_linux") else { return };
    let Some(world) = World::new("a_packet_is_held_against_devices_as_in_linux") else { return };
    let mut env = FixedEnv { network: world.network.clone(), ..FixedEnv::default() };
    for ty in [ProgType::Xdp, ProgType::SchedCls] {
        for device in [0, 1, 10, 12, 14, 99] {
            for (len, diff, flags) in
                [(0, 0, 0), (0, 1000, 0), (1500, 0, 0), (1400, 1, 0), (1401, 0, 0), (0, 0, 1), (5, 0, 1), (0, 0, 2)]
            {
                let mut insns = vec![store(Size::W, R10, -4, len), mov(R2, device), mov(R3, R10), add(R3, -4)];
                insns.extend([mov(R4, diff), mov(R5, flags), helper(163), load(Size::W, R1, R10, -4)]);
                insns.extend([alu64(AluOp::Lsh, R0, 20), add(R0, R1), exit()]);
                let mut pair = Pair::new(kernel, ty, insns, 0);
                for bytes in [64, 1414, 1415, 1514, 1515] {
                    pair.agree(&mut env, &vec![0; bytes], &|| format!("{device} {len} {diff} {flags} {bytes}"));
                }
            }
        }
    }
    // A way by a neighbour or to the other end; flags that are not known.
    for (device, size, flags) in [(10, 0, 0), (10, 20, 0), (99, 20, 0), (10, 20, 1), (12, 20, 0)] {
        let words = [2, 0x0100_000a, 0, 0, 0];
        let mut insns: Vec<Insn> =
            (0..5i16).zip(words).map(|(at, word)| store(Size::W, R10, 4 * at - 24, word)).collect();
        insns.extend([mov(R1, device), mov(R2, R10), add(R2, -24), mov(R3, size), mov(R4, flags), helper(152), exit()]);
        let mut pair = Pair::new(kernel, ProgType::SchedCls, insns, 0);
        pair.agree(&mut env, &[0; 64], &|| format!("neighbour {device} {size} {flags}"));
        let insns = vec![mov(R1, device), mov(R2, flags), helper(155), exit()];
        let mut pair = Pair::new(kernel, ProgType::SchedCls, insns, 0);
        pair.agree(&mut env, &[0; 64], &|| format!("other end {device} {flags}"));
    }
    // A copy to a device that is not there, or is; flags that are not known.
    for (device, flags) in [(10, 0), (99, 0), (10, 2), (12, 1), (0, 0)] {
        let insns = vec![mov(R2, device), mov(R3, flags), helper(13), exit()];
        let mut pair = Pair::new(kernel, ProgType::SchedCls, insns, 0);
        let mut packet = vec![0u8; 64];
        packet[12..14].copy_from_slice(&[0x88, 0xb5]);
        pair.agree(&mut env, &packet, &|| format!("{device} {flags}"));
    }
}
