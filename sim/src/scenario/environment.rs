//! The network around the host, from what a scenario says of it.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use bpf::diag::Diagnostic;
use bpf::network::fib::MAIN;
use bpf::network::{
    Device, Neighbour, Network, NextHop, Prefix, Route, RouteKind, Rule, Socket, SocketState, Transport,
};

use super::checked::Checker;
use super::written;
use crate::host::{FIRST_IFINDEX, network_of_ports};

/// Most things of one sort: look-ups walk over them.
const MOST: usize = 4096;

/// Reads what an address is made of, or says what is wrong with it.
fn read<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|e| format!("`{text}` is no {what}: {e}"))
}

fn prefix(text: &str) -> Result<Prefix, String> {
    match text {
        "default" => return Ok(Prefix::any(false)),
        "default6" => return Ok(Prefix::any(true)),
        _ => {}
    }
    let Some((address, len)) = text.split_once('/') else { return Ok(Prefix::host(read(text, "address")?)) };
    let address: IpAddr = read(address, "address")?;
    let len: u8 = read(len, "length of a prefix")?;
    let longest = Prefix::host(address).len;
    if len > longest { Err(format!("`{text}` has a length above {longest}")) } else { Ok(Prefix { address, len }) }
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("`{text}` is no hardware address such as 02:00:00:00:00:01"))
}

fn number(network: &Network, name: &str) -> Result<u32, String> {
    let found = network.devices.iter().find(|device| device.name == name);
    found.map(|device| device.ifindex).ok_or_else(|| {
        let names: Vec<_> = network.devices.iter().map(|device| device.name.as_str()).collect();
        format!("there is no device `{name}`; there are: {}", names.join(", "))
    })
}

fn kind(word: &str) -> Result<RouteKind, String> {
    Ok(match word {
        "unicast" => RouteKind::Unicast,
        "local" => RouteKind::Local,
        "broadcast" => RouteKind::Broadcast,
        "blackhole" => RouteKind::Blackhole,
        "unreachable" => RouteKind::Unreachable,
        "prohibit" => RouteKind::Prohibit,
        "throw" => RouteKind::Throw,
        other => return Err(format!("`{other}` is no type of route")),
    })
}

fn route(network: &Network, r: &written::Route) -> Result<Route, String> {
    let to = prefix(&r.to)?;
    let kind = r.kind.as_deref().map_or(Ok(RouteKind::Unicast), kind)?;
    let device = r.dev.as_deref().map(|name| number(network, name)).transpose()?;
    let gateway: Option<IpAddr> = r.via.as_deref().map(|text| read(text, "address")).transpose()?;
    let hop = match device {
        Some(device) => Some(NextHop { device, gateway }),
        None if kind == RouteKind::Unicast => return Err("a route needs a device: dev".to_owned()),
        None => None,
    };
    let usual = Route::new(to, NextHop { device: 0, gateway: None });
    Ok(Route {
        table: r.table.unwrap_or(MAIN),
        tos: r.tos.unwrap_or(0),
        metric: r.metric.unwrap_or(usual.metric),
        kind,
        hop,
        mtu: r.mtu,
        mtu_locked: r.mtu_lock,
        source: r.src.as_deref().map(|text| read(text, "address")).transpose()?,
        ..usual
    })
}

fn rule(network: &Network, r: &written::Rule) -> Result<Rule, String> {
    let [from, to] = [&r.from, &r.to].map(|text| text.as_deref().map(prefix).transpose());
    let (from, to) = (from?, to?);
    let v6 = from.or(to).is_some_and(|prefix| prefix.address.is_ipv6());
    let (from, to) = (from.unwrap_or(Prefix::any(v6)), to.unwrap_or(Prefix::any(v6)));
    if from.address.is_ipv6() != to.address.is_ipv6() {
        return Err("both ends of a rule are of one family".to_owned());
    }
    let device = r.iif.as_deref().map(|name| number(network, name)).transpose()?;
    let mark = r.mark.map_or((0, 0), |mark| (mark, u32::MAX));
    Ok(Rule { preference: r.preference, v6, from, to, device, mark, table: r.table })
}

fn socket(at: usize, s: &written::Socket) -> Result<Socket, String> {
    let transport = match s.protocol.as_str() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        other => return Err(format!("`{other}` is no protocol; use tcp or udp")),
    };
    let end = |text: &str| read::<SocketAddr>(text, "address with a port").map(|end| (end.ip(), end.port()));
    let remote = s.remote.as_deref().map(end).transpose()?;
    let state = match (transport, remote) {
        (_, Some(_)) => SocketState::Established,
        (Transport::Tcp, None) => SocketState::Listen,
        (Transport::Udp, None) => SocketState::Closed,
    };
    let local = end(&s.local)?;
    let cookie = at as u64 + 1;
    Ok(Socket { transport, state, local, remote, device: None, mark: 0, priority: 0, cookie, uid: 0, cgroup: 1 })
}

fn neighbour(network: &Network, n: &written::Neighbour) -> Result<Neighbour, String> {
    let device = number(network, &n.dev)?;
    Ok(Neighbour { device, address: read(&n.address, "address")?, mac: mac(&n.mac)? })
}

/// A device as written, laid over what it is without a word.
fn device(d: &written::Device, ifindex: u32) -> Result<Device, String> {
    let usual = Device::new(ifindex, d.name.as_str());
    Ok(Device {
        mac: d.mac.as_deref().map_or(Ok(usual.mac), mac)?,
        mtu: d.mtu.unwrap_or(usual.mtu),
        up: d.up.unwrap_or(true),
        sums: d.receive_checksum == Some(written::ReceiveChecksum::Complete),
        forwarding: [d.forwarding.unwrap_or(true); 2],
        addresses: d.addresses.iter().map(|text| prefix(text)).collect::<Result<_, _>>()?,
        ..usual
    })
}

impl Checker {
    /// The network of a scenario.
    pub(super) fn network(&self, e: &written::Environment, ports: u8) -> Result<Network, Diagnostic> {
        let wrong = |at: &str, reason: String| self.wrong("scenario-environment", &format!("environment.{at}"), reason);
        for (what, count) in [
            ("devices", e.devices.len()),
            ("routes", e.routes.len()),
            ("rules", e.rules.len()),
            ("neighbours", e.neighbours.len()),
            ("sockets", e.sockets.len()),
        ] {
            if count > MOST {
                return Err(wrong(what, "there are too many".to_owned()).limit(format!("{MOST} {what}"), count));
            }
        }
        let mut network = network_of_ports(ports);
        let mut next = FIRST_IFINDEX + u32::from(ports);
        for (i, d) in e.devices.iter().enumerate() {
            let at = format!("devices[{i}]");
            let ifindex = match (d.port, d.ifindex) {
                (Some(port), None) if port < ports => FIRST_IFINDEX + u32::from(port),
                (Some(port), None) => return Err(wrong(&at, format!("the card has no port {port}"))),
                (Some(_), Some(_)) => return Err(wrong(&at, "the number of a port's device is given".to_owned())),
                (None, Some(ifindex)) => ifindex,
                (None, None) => next,
            };
            next = next.max(ifindex.saturating_add(1));
            let described = device(d, ifindex).map_err(|reason| wrong(&at, reason))?;
            if d.port.is_some() {
                network.devices.retain(|device| device.ifindex != ifindex);
            }
            let taken = |other: &Device| other.ifindex == ifindex || other.name == d.name;
            if ifindex == 0 || network.devices.iter().any(taken) {
                return Err(wrong(&at, format!("the name `{}` or the number {ifindex} is taken", d.name)));
            }
            network.add_device(described);
        }
        for (i, d) in e.devices.iter().enumerate() {
            let Some(peer) = &d.peer else { continue };
            let place = |reason| wrong(&format!("devices[{i}].peer"), reason);
            let (peer, own) = (number(&network, peer).map_err(place)?, number(&network, &d.name).map_err(place)?);
            for device in &mut network.devices {
                // A pair has two ends, whichever is written.
                if device.ifindex == own {
                    device.peer = Some(peer);
                } else if device.ifindex == peer {
                    device.peer.get_or_insert(own);
                }
            }
        }
        for (i, r) in e.routes.iter().enumerate() {
            let route = route(&network, r).map_err(|reason| wrong(&format!("routes[{i}]"), reason))?;
            network.routes.push(route);
        }
        for (i, r) in e.rules.iter().enumerate() {
            let rule = rule(&network, r).map_err(|reason| wrong(&format!("rules[{i}]"), reason))?;
            network.rules.push(rule);
        }
        for (i, n) in e.neighbours.iter().enumerate() {
            let neighbour = neighbour(&network, n).map_err(|reason| wrong(&format!("neighbours[{i}]"), reason))?;
            network.neighbours.push(neighbour);
        }
        for (i, s) in e.sockets.iter().enumerate() {
            let socket = socket(i, s).map_err(|reason| wrong(&format!("sockets[{i}]"), reason))?;
            network.sockets.push(socket);
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        assert_eq!(prefix("default"), Ok(Prefix::any(false)));
        assert_eq!(prefix("10.0.0.1/8").map(|p| p.len), Ok(8));
        assert_eq!(prefix("2001:db8::1").map(|p| p.len), Ok(128));
        assert!(prefix("10.0.0.1/33").is_err() && prefix("10.0.0/8").is_err() && prefix("10.0.0.1/x").is_err());
        assert_eq!(mac("02:00:00:00:00:0a"), Ok([2, 0, 0, 0, 0, 10]));
        assert!(mac("02:00:00:00:00").is_err() && mac("g2:00:00:00:00:00").is_err());
    }

    #[test]
    fn a_scenario_describes_a_network() {
        let text = "\
devices: [{name: a, port: 0, addresses: [10.0.0.1/24]}, {name: b, peer: c}, {name: c}]
routes: [{to: default, via: 10.0.0.9, dev: a}, {to: 10.6.0.0/16, type: blackhole}]
neighbours: [{dev: a, address: 10.0.0.9, mac: '02:00:00:00:00:09'}]
sockets: [{protocol: tcp, local: '10.0.0.1:80'}]
";
        let (written, positions) = nic_model::yaml::parse::<written::Environment>("env.yaml", text).unwrap();
        let checker = Checker { directory: "".into(), positions };
        let network = checker.network(&written, 2).unwrap();
        let names: Vec<_> = network.devices.iter().map(|d| (d.ifindex, d.name.as_str())).collect();
        assert_eq!(names, [(1, "lo"), (2, "a"), (3, "port1"), (4, "b"), (5, "c")]);
        assert_eq!([4, 5].map(|end| network.device(end).unwrap().peer), [Some(5), Some(4)]);
        assert_eq!(network.neighbour(2, "10.0.0.9".parse().unwrap()), Some([2, 0, 0, 0, 0, 9]));
        assert_eq!(network.sockets[0].state, SocketState::Listen);
        let mut wrong = written.clone();
        wrong.routes[0].dev = Some("z".to_owned());
        let refusal = checker.network(&wrong, 2).unwrap_err();
        assert_eq!(refusal.code, "scenario-environment");
        assert!(refusal.reason.contains("lo, a, port1, b, c"), "{}", refusal.reason);
    }
}
