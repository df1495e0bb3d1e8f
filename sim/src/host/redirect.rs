//! Where a redirect takes a packet: a port of the card, or something else the world has, each under a fate of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bpf::helpers::{Delivery, Redirect};
use bpf::interp::Engine;
use bpf::maps::Holds;
use bpf::network::fib::{Prefix, Query};
use bpf::network::{Device, Network};
use nic_model::device::PortId;

use super::component::Fate;
use super::hooks::{FIRST_IFINDEX, Sent, Verdict};

/// `BPF_F_INGRESS` of `bpf_redirect`.
const INGRESS: u64 = 1;
/// `BPF_F_BROADCAST` of `bpf_redirect_map`.
pub(super) const BROADCAST: u64 = 1 << 3;
const ETH_HLEN: usize = 14;
const VLAN_HLEN: u32 = 4;

/// The network of a host whose scenario names none: the loopback device, and a device for each port.
pub fn network_of_ports(ports: u8) -> Network {
    let mut network = Network::default();
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    network.add_device(Device {
        mac: [0; 6],
        mtu: 65_536,
        addresses: vec![Prefix { address: loopback, len: 8 }, Prefix::host(Ipv6Addr::LOCALHOST.into())],
        ..Device::new(1, "lo")
    });
    for port in 0..ports {
        network.add_device(Device::new(FIRST_IFINDEX + u32::from(port), format!("port{port}")));
    }
    network
}

/// The port behind a device.
pub(super) fn port(ifindex: u32, ports: u8) -> Option<PortId> {
    let port = ifindex.checked_sub(FIRST_IFINDEX).and_then(|port| u8::try_from(port).ok())?;
    (port < ports).then_some(PortId(port))
}

/// Longest frame that a device's driver takes from XDP.
pub(super) fn longest(device: &Device) -> u32 {
    device.mtu.saturating_add(device.header_len() + VLAN_HLEN)
}

/// What becomes of a packet that is redirected to one device, or to a socket. `frame` gets a new link-layer header where the redirect asks for one;
/// `header` is where its network header begins.
pub(super) fn redirected(
    engine: &Engine,
    network: &Network,
    target: Option<Redirect>,
    by: Sent,
    ports: u8,
    (frame, header): (&mut Vec<u8>, usize),
) -> Verdict {
    let end = Verdict::End;
    let Some(target) = target else { return end(Fate::NoDevice) };
    if let Some((map, _)) = target.map
        && engine.maps()[map].kind().holds == Holds::Sockets
    {
        return end(Fate::ToSocket);
    }
    let Some(device) = network.device(target.ifindex) else { return end(Fate::NoDevice) };
    if !device.up {
        return end(Fate::DeviceDown);
    }
    match target.delivery {
        Delivery::Peer => {
            let peer = device.peer.and_then(|peer| network.device(peer));
            return end(if peer.is_some_and(|peer| peer.up) { Fate::ToPeer } else { Fate::NoDevice });
        }
        Delivery::Neighbour(next) => {
            let Some(mac) = station(network, device, next, frame, header) else { return end(Fate::NoNeighbour) };
            let ethertype = if frame.get(header).is_some_and(|byte| byte >> 4 == 6) { 0x86dd } else { 0x0800u16 };
            let head = [&mac[..], &device.mac, &ethertype.to_be_bytes()].concat();
            frame.splice(..header.min(frame.len()), head);
        }
        Delivery::AsIs => {}
    }
    let port = port(target.ifindex, ports);
    if target.flags & INGRESS != 0 && by == Sent::Tc {
        return end(if port.is_some() { Fate::RedirectIngress } else { Fate::ToIngress });
    }
    // The driver's transmit hook takes no more than the device does; a queue discipline sees to that itself.
    if by == Sent::Xdp && frame.len() as u64 > u64::from(longest(device)) {
        return end(Fate::TooLong);
    }
    port.map_or(end(Fate::ToVirtual), |port| Verdict::Send { by, port })
}

/// The hardware address a packet goes to: of the next hop named, or of that on the way to its destination.
fn station(network: &Network, device: &Device, next: Option<IpAddr>, frame: &[u8], header: usize) -> Option<[u8; 6]> {
    let next = match next {
        Some(next) => next,
        None => {
            let packet = frame.get(header..)?;
            let v6 = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
            let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            let (source, destination) = match packet.first()? >> 4 {
                4 => (v4(12)?, v4(16)?),
                6 => (v6(8)?, v6(24)?),
                _ => return None,
            };
            let output = Some(device.ifindex);
            let query = Query { source: Some(source), destination, input: 1, output, tos: 0, mark: 0 };
            let hop = network.route(&query)?.hop?;
            (hop.device == device.ifindex).then_some(hop.gateway.unwrap_or(destination))?
        }
    };
    network.neighbour(device.ifindex, next).filter(|_| header >= ETH_HLEN)
}

#[cfg(test)]
mod tests {
    use bpf::network::{Neighbour, NextHop, Route};

    use super::*;

    /// Ports 0 and 1, a station behind port 1 that is the way to everywhere, and a pair of virtual devices.
    fn network() -> Network {
        let mut network = network_of_ports(2);
        let gateway: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        let hop = NextHop { device: 3, gateway: Some(gateway) };
        network.routes.push(Route::new(Prefix::any(false), hop));
        network.neighbours.push(Neighbour { device: 3, address: gateway, mac: [6; 6] });
        network.add_device(Device { peer: Some(11), ..Device::new(10, "veth0") });
        network.add_device(Device { peer: Some(10), up: false, ..Device::new(11, "veth1") });
        network
    }

    fn to(ifindex: u32, flags: u64, delivery: Delivery) -> Option<Redirect> {
        Some(Redirect { ifindex, flags, map: None, delivery })
    }

    fn decide(target: Option<Redirect>, by: Sent, frame: &mut Vec<u8>) -> Verdict {
        let engine = Engine::new(bpf::interp::EngineConfig::default(), &[]).expect("a machine without maps");
        redirected(&engine, &network(), target, by, 2, (frame, ETH_HLEN))
    }

    fn packet() -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[14] = 0x45;
        frame[30..34].copy_from_slice(&[198, 51, 100, 7]);
        frame
    }

    #[test]
    fn each_target_has_its_fate() {
        let as_is = Delivery::AsIs;
        for (target, by, expected) in [
            (None, Sent::Xdp, Verdict::End(Fate::NoDevice)),
            (to(99, 0, as_is), Sent::Xdp, Verdict::End(Fate::NoDevice)),
            (to(2, 0, as_is), Sent::Xdp, Verdict::Send { by: Sent::Xdp, port: PortId(0) }),
            (to(3, 0, as_is), Sent::Tc, Verdict::Send { by: Sent::Tc, port: PortId(1) }),
            (to(3, INGRESS, as_is), Sent::Tc, Verdict::End(Fate::RedirectIngress)),
            (to(10, INGRESS, as_is), Sent::Tc, Verdict::End(Fate::ToIngress)),
            (to(10, 0, as_is), Sent::Tc, Verdict::End(Fate::ToVirtual)),
            (to(11, 0, as_is), Sent::Tc, Verdict::End(Fate::DeviceDown)),
            (to(10, 0, Delivery::Peer), Sent::Tc, Verdict::End(Fate::NoDevice)),
            (to(2, 0, Delivery::Neighbour(None)), Sent::Tc, Verdict::End(Fate::NoNeighbour)),
        ] {
            assert_eq!(decide(target, by, &mut packet()), expected, "{target:?}");
        }
        let mut long = vec![0; 1519];
        assert_eq!(decide(to(2, 0, as_is), Sent::Xdp, &mut long), Verdict::End(Fate::TooLong));
    }

    #[test]
    fn a_neighbour_gets_a_header_of_its_own() {
        let mut frame = packet();
        let verdict = decide(to(3, 0, Delivery::Neighbour(None)), Sent::Tc, &mut frame);
        assert_eq!(verdict, Verdict::Send { by: Sent::Tc, port: PortId(1) });
        assert_eq!(frame[..14], [6, 6, 6, 6, 6, 6, 2, 0, 0, 0, 0, 3, 0x08, 0x00]);
        assert_eq!(frame.len(), 60);
    }
}
