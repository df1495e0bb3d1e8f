//! Frames that reach the branches of the scenarios' programs, and what their maps begin with.
//!
//! Addresses and ports come from small pools, so that rules and services are met often.

use super::rng::Rng;

/// What a map begins with: its name, key, value.
pub type NamedEntry = (&'static str, Vec<u8>, Vec<u8>);

const ADDRESSES: [[u8; 4]; 4] = [[10, 0, 0, 1], [10, 0, 0, 2], [192, 0, 2, 10], [198, 51, 100, 7]];
const PORTS: [u16; 4] = [53, 80, 443, 8080];
const PROTOCOLS: [u8; 4] = [6, 17, 1, 47];

fn address6(address: [u8; 4]) -> [u8; 16] {
    let mut long = [0; 16];
    long[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    long[12..].copy_from_slice(&address);
    long
}

fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut long = [0; 16];
    long[10..12].fill(0xff);
    long[12..].copy_from_slice(&address);
    long
}

/// A frame: mostly whole and plain, now and then tagged, cut, fragmented, with options or with nonsense.
pub fn packet(rng: &mut Rng) -> Vec<u8> {
    let mut frame = rng.bytes(12);
    for _ in 0..[0, 0, 0, 1, 2, 3][rng.below(6) as usize] {
        frame.extend(rng.pick(&[[0x81, 0x00], [0x88, 0xa8]]));
        frame.extend(rng.bytes(2));
    }
    match rng.below(8) {
        0 => frame.extend([0x08, 0x06]),
        1 | 2 => {
            frame.extend([0x86, 0xdd]);
            ipv6(rng, &mut frame);
        }
        _ => {
            frame.extend([0x08, 0x00]);
            ipv4(rng, &mut frame);
        }
    }
    let tail = rng.below(80) as usize;
    frame.extend(rng.bytes(tail));
    if rng.once_in(6) {
        let len = 14 + rng.below(50) as usize;
        frame.truncate(len.max(14));
    }
    frame
}

fn ipv4(rng: &mut Rng, frame: &mut Vec<u8>) {
    let words = if rng.once_in(4) { 5 + rng.below(11) as u8 } else { 5 };
    let first = if rng.once_in(20) { rng.word() as u8 } else { 0x40 | words };
    let fragment = if rng.once_in(8) { rng.word() as u16 & 0x3fff } else { 0 };
    frame.push(first);
    frame.extend(rng.bytes(5));
    frame.extend(fragment.to_be_bytes());
    frame.push(64);
    frame.push(rng.pick(&PROTOCOLS));
    frame.extend(rng.bytes(2));
    frame.extend(rng.pick(&ADDRESSES));
    frame.extend(rng.pick(&ADDRESSES));
    frame.extend(rng.bytes(4 * (usize::from(words) - 5)));
    transport(rng, frame);
}

fn ipv6(rng: &mut Rng, frame: &mut Vec<u8>) {
    frame.push(if rng.once_in(10) { rng.word() as u8 } else { 0x60 });
    frame.extend(rng.bytes(5));
    frame.push(if rng.once_in(5) { 58 } else { rng.pick(&PROTOCOLS) });
    frame.push(64);
    frame.extend(address6(rng.pick(&ADDRESSES)));
    frame.extend(address6(rng.pick(&ADDRESSES)));
    transport(rng, frame);
}

fn transport(rng: &mut Rng, frame: &mut Vec<u8>) {
    frame.extend(rng.pick(&PORTS).to_be_bytes());
    frame.extend(rng.pick(&PORTS).to_be_bytes());
    let rest = 4 + rng.below(20) as usize;
    let mut bytes = rng.bytes(rest);
    if rng.once_in(4) {
        // A UDP checksum of 0 says that there is none.
        bytes[2..4].fill(0);
    }
    frame.extend(bytes);
}

/// Rules for the firewall.
pub fn firewall_rules() -> Vec<NamedEntry> {
    let rule = |source: [u8; 16], port: u16, protocol: u8, action: u32| {
        let mut key = source.to_vec();
        key.extend(port.to_be_bytes());
        key.extend([protocol, 0]);
        let value = [action.to_le_bytes(), [0; 4]].concat();
        ("blocked", key, value)
    };
    let [a, b, c, d] = ADDRESSES;
    vec![
        rule(mapped(a), 80, 6, 1),
        rule(mapped(a), 53, 17, 0),
        rule(mapped(b), 0, 0, 1),
        rule(mapped(c), 0, 1, 1),
        rule(address6(c), 443, 6, 1),
        rule(address6(d), 0, 0, 0),
    ]
}

/// Services and backends for the load balancer.
pub fn l4lb_services() -> Vec<NamedEntry> {
    let service = |address: [u8; 4], port: u16, protocol: u8, first: u32, mask: u32, flags: u32| {
        let key = [&address[..], &port.to_be_bytes(), &[protocol, 0]].concat();
        ("services", key, [first, mask, flags].iter().flat_map(|word| word.to_le_bytes()).collect())
    };
    let backend = |slot: u32, address: [u8; 4]| {
        let value = [&address[..], &[2, 0, 0, 0, 0, slot as u8], &[0, 0]].concat();
        ("backends", slot.to_le_bytes().to_vec(), value)
    };
    let [a, b, c, d] = ADDRESSES;
    let mut entries = vec![service(d, 80, 6, 300, 3, 0), service(d, 53, 17, 0, 7, 0)];
    for (n, port) in (0..).zip(PORTS) {
        entries.push(service(a, port, 6, n, 3, 0));
        entries.push(service(a, port, 17, 4, 1, 1));
        entries.push(service(b, port, 6, 2, 7, n & 1));
        entries.push(service(c, port, 17, n, 0, 0));
    }
    // Slot 5 stays empty.
    entries.extend([0, 1, 2, 3, 4, 6, 7, 8, 9].map(|slot| backend(slot, [10, 1, 0, slot as u8])));
    entries
}
