//! Classic filters against the running kernel: which it takes, and how much of a packet they keep.
//!
//! `CBPF_FILTERS` sets how many random filters are tried (default 3000).

use crate::support;

use bpf::cbpf::{Ancillary, Filter, RawFilter, check, parse_decimal};
use bpf::env::FixedEnv;
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, SkbFields};
use bpf::program::ProgType;
use bpf::verifier::{Options, Verdict, verify};
use support::kernel::kernel;
use support::rng::Rng;
use support::socket::{ETHERTYPE, Sockets, or_skip};

fn filters() -> u64 {
    std::env::var("CBPF_FILTERS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000)
}

/// Where a random filter may read.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// The packet, at constant offsets.
    Packet,
    /// Also relative to its headers, where an index may lead too; packets without a device have none.
    Headers,
}

/// Codes of all instructions there are; what the kernel takes was read off it, see the test below.
const CODES: [u16; 47] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c, 0x1d, 0x20, 0x24, 0x25, 0x28, 0x2c,
    0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40, 0x44, 0x45, 0x48, 0x4c, 0x4d, 0x50, 0x54, 0x5c, 0x60, 0x61, 0x64, 0x6c,
    0x74, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9c, 0xa4,
];

/// A word that is mostly an instruction, at `pc` of `len`.
fn word(rng: &mut Rng, pc: usize, len: usize, reach: Reach) -> RawFilter {
    let code = match rng.below(24) {
        0 => rng.pick(&[0xac, 0xb1]),
        1 => 0xb1,
        2..=3 => rng.pick(&[0x20, 0x28, 0x30]),
        4..=5 => rng.pick(&[0x40, 0x48, 0x50]),
        6..=8 => rng.pick(&[0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d]),
        _ => rng.pick(&CODES),
    };
    let by_index = matches!(code, 0x40 | 0x48 | 0x50);
    let code = if by_index && reach == Reach::Packet { code - 0x20 } else { code };
    let left = (len - pc - 1) as u64;
    let mut skip = || if left > 1 { rng.below(left.min(6)) as u8 } else { 0 };
    let (jt, jf) = (skip(), skip());
    let k = match code {
        0x20 | 0x28 | 0x30 if rng.once_in(4) => rng
            .pick(&[
                Ancillary::Protocol,
                Ancillary::PacketType,
                Ancillary::Ifindex,
                Ancillary::Mark,
                Ancillary::Queue,
                Ancillary::Hash,
                Ancillary::XorX,
                Ancillary::VlanTag,
                Ancillary::VlanPresent,
                Ancillary::VlanProtocol,
            ])
            .k(),
        0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0xb1 => match rng.below(8) {
            0 if reach == Reach::Headers => rng.pick(&[0xffe0_0000, 0xfff0_0000]) + rng.below(24) as u32,
            1 => rng.below(300) as u32,
            _ => rng.below(48) as u32,
        },
        0x02 | 0x03 | 0x60 | 0x61 => rng.below(3) as u32,
        0x64 | 0x74 => rng.below(32) as u32,
        0x05 => u32::from(jt),
        _ => rng.immediate() as u32,
    };
    RawFilter { code, jt, jf, k }
}

/// A filter whose last words make the result depend on all bits of A, and be a length of these packets as a rule.
fn random_filter(rng: &mut Rng, reach: Reach) -> Vec<RawFilter> {
    let len = rng.between(1, 24) as usize;
    let mut words: Vec<_> = (0..len).map(|pc| word(rng, pc, len + 2, reach)).collect();
    // Cells are written first, but for one filter in four.
    if !rng.once_in(4) {
        for cell in 0..3 {
            words.insert(0, RawFilter { code: 0x02 + (cell & 1) as u16, jt: 0, jf: 0, k: cell });
        }
    }
    words.push(RawFilter { code: 0x94, jt: 0, jf: 0, k: 61 });
    words.push(RawFilter { code: 0x16, jt: 0, jf: 0, k: 0 });
    // One in eight is changed at random in one place, so that the checks have work.
    if rng.once_in(8) {
        let at = rng.below(words.len() as u64) as usize;
        let word = &mut words[at];
        match rng.below(4) {
            0 => word.code = rng.word() as u16 & 0x1ff,
            1 => word.k = rng.pick(&[0, 16, 32, 0xffff_f000, 0xffff_f040, 0xffff_f001, rng.clone().word() as u32]),
            2 => (word.jt, word.jf) = (rng.word() as u8, rng.word() as u8),
            _ => words.truncate(at + 1),
        }
    }
    words
}

fn random_packet(rng: &mut Rng) -> Vec<u8> {
    let len = rng.between(62, 128) as usize;
    let small = rng.once_in(2);
    (0..len).map(|_| if small { rng.below(20) as u8 } else { rng.word() as u8 }).collect()
}

/// The converted filter in the interpreter.
struct Ours {
    code: Code,
    engine: Engine,
}

impl Ours {
    /// `None` where the filter reads what cannot be read here.
    fn new(filter: &Filter) -> Option<Ours> {
        let program = filter.program("filter").ok()?;
        let verified = match verify(program, &Options::default()) {
            Verdict::Accepted(verified) => verified,
            other => panic!("{}\n{other:?}", filter.listing()),
        };
        let code = Code::new(verified.xlated()).expect("what was verified can run");
        let engine = Engine::new(EngineConfig { strict: true, ..EngineConfig::default() }, &[]).expect("no maps");
        Some(Ours { code, engine })
    }

    fn run(&mut self, packet: &[u8], fields: SkbFields) -> u32 {
        let input = RunInput { context: ContextInput::Skb(fields), packet };
        let outcome = self.engine.run(&self.code, input, &mut FixedEnv::default(), &mut NoObserver);
        assert_eq!(outcome.fault, None);
        outcome.retval as u32
    }

    /// What is left of the packet.
    fn keep(&mut self, packet: &[u8], fields: SkbFields) -> Option<Vec<u8>> {
        let kept = self.run(packet, fields) as usize;
        (kept > 0).then(|| packet[..kept.min(packet.len())].to_vec())
    }
}

fn reasons(words: &[RawFilter]) -> String {
    match check(words, "filter") {
        Ok(filter) => filter.listing(),
        Err(diagnostic) => diagnostic.to_string(),
    }
}

#[test]
fn the_kernel_takes_the_same_codes() {
    let Some(sockets) = or_skip("the_kernel_takes_the_same_codes", Sockets::unix()) else { return };
    let mut taken = Vec::new();
    for code in 0..=0x3ff {
        let ends = RawFilter { code: 6, jt: 0, jf: 0, k: 0 };
        let words = [RawFilter { code: 2, ..ends }, RawFilter { code, jt: 0, jf: 0, k: 0 }, ends];
        let words = if matches!(code, 0x34 | 0x94) { words.map(|w| RawFilter { k: 1, ..w }) } else { words };
        let linux = sockets.attach(&words);
        assert_eq!(linux.is_ok(), check(&words, "filter").is_ok(), "{code:#x}: {}", reasons(&words));
        if linux.is_ok() {
            taken.push(code);
        }
    }
    let mut ours = CODES.to_vec();
    ours.extend([0xac, 0xb1]);
    assert_eq!(taken, ours);
}

#[test]
fn edges_of_the_checks() {
    let Some(sockets) = or_skip("edges_of_the_checks", Sockets::unix()) else { return };
    let word = |code, jt, jf, k| RawFilter { code, jt, jf, k };
    let ret = word(6, 0, 0, 1);
    let mut filters: Vec<Vec<RawFilter>> = vec![vec![], vec![ret; 4096], vec![ret; 4097]];
    for k in [0, 1, 15, 16, 31, 32, u32::MAX] {
        for code in [0x02, 0x03, 0x24, 0x34, 0x64, 0x74, 0x94] {
            filters.push(vec![word(code, 0, 0, k), ret]);
        }
        filters.push(vec![word(2, 0, 0, k), word(0x60, 0, 0, k), ret]);
    }
    for off in 0..80 {
        for code in [0x20, 0x28, 0x30, 0x40, 0xb1] {
            filters.push(vec![word(code, 0, 0, 0xffff_f000 + off), ret]);
        }
    }
    filters.push(vec![word(0x20, 0, 0, 0xffff_efff), ret]);
    filters.push(vec![word(0x20, 0, 0, u32::MAX), ret]);
    for k in 0..4 {
        filters.push(vec![word(5, 0, 0, k), ret, ret]);
        filters.push(vec![word(0x15, k as u8, 0, 0), ret, ret]);
        filters.push(vec![word(0x4d, 0, k as u8, 0), ret, ret]);
    }
    filters.push(vec![word(5, 0, 0, u32::MAX), ret]);
    // Cells: written on one way of two, on both, after a return, and in code that nothing reaches.
    let (store, load) = (word(2, 0, 0, 3), word(0x60, 0, 0, 3));
    filters.push(vec![word(0x15, 0, 1, 0), store, load, ret]);
    filters.push(vec![word(0x15, 0, 2, 0), store, word(5, 0, 0, 1), store, load, ret]);
    filters.push(vec![ret, load, ret]);
    filters.push(vec![word(5, 0, 0, 1), load, ret]);
    filters.push(vec![word(5, 0, 0, 2), load, word(5, 0, 0, 0), load, ret]);
    filters.push(vec![load, ret]);
    for last in [load, store, word(5, 0, 0, 0), word(0x15, 0, 0, 0), word(0x16, 0, 0, 0)] {
        filters.push(vec![store, last]);
    }
    for words in filters {
        let linux = sockets.attach(&words);
        assert!(matches!(linux, Ok(()) | Err(libc::EINVAL | libc::ENOMEM)), "{linux:?}");
        // A filter may be too large for the memory of a socket's options.
        if linux != Err(libc::ENOMEM) {
            assert_eq!(linux.is_ok(), check(&words, "filter").is_ok(), "{}", reasons(&words));
        }
    }
}

/// Words of every length that Linux makes of one.
fn words_of_all_lengths() -> Vec<RawFilter> {
    let word = |code, jt, jf, k| RawFilter { code, jt, jf, k };
    let mut words = Vec::new();
    for code in CODES.into_iter().chain([0xac, 0xb1]) {
        let offsets = [0, 5, 0x7fff, 0x8000, 0xffe0_0003, 0xfff0_0000, 0x8000_0000];
        match code & 7 {
            0 | 1 if matches!(code & 0xe0, 0x20 | 0x40 | 0xa0) => {
                words.extend(offsets.map(|k| word(code, 0, 0, k)));
                if code == 0x20 {
                    words.extend(Ancillary::ALL.iter().map(|what| word(code, 0, 0, what.k())));
                }
            }
            5 if code != 5 => {
                for k in [0, 7, 0x8000_0000] {
                    words.extend([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)].map(|(jt, jf)| word(code, jt, jf, k)));
                }
            }
            _ => words.push(word(code, 0, 0, u32::from(code & 7 == 4))),
        }
    }
    words
}

/// The first of the numbers for which it does not hold; it holds for all below and for none behind.
fn edge(below: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, below);
    while from < to {
        let middle = from.midpoint(to);
        (from, to) = if holds(middle) { (middle + 1, to) } else { (from, middle) };
    }
    from
}

#[test]
fn a_jump_reaches_as_far_as_in_the_kernel() {
    let Some(sockets) = or_skip("a_jump_reaches_as_far_as_in_the_kernel", Sockets::unix()) else { return };
    let word = |code, k| RawFilter { code, jt: 0, jf: 0, k };
    for over in words_of_all_lengths() {
        // Over loads of header lengths, of the word, and of moves until it is too far.
        let filter = |moves: usize| {
            let body = 1650 + 20 + moves;
            let mut words = vec![word(2, 0), word(5, body as u32)];
            words.extend([word(0xb1, 1)].repeat(1650));
            words.extend([over].repeat(20));
            words.extend([word(7, 0)].repeat(moves));
            words.extend([word(6, 1)]);
            words
        };
        let ours = edge(2000, |moves| {
            let filter = check(&filter(moves), "filter").expect("its words are sound");
            filter.program("filter").map_or_else(|why| why.code != "cbpf-reach", |_| true)
        });
        assert!(ours > 0 && ours < 2000, "{over:?}: {ours}");
        // One that is converted may still be too large for the memory of a socket's options.
        let theirs = [ours - 1, ours].map(|moves| sockets.attach(&filter(moves)) != Err(libc::EINVAL));
        assert_eq!(theirs, [true, false], "{over:?}: {ours}");
    }
}

#[test]
fn random_filters_keep_what_the_kernel_keeps() {
    let Some(sockets) = or_skip("random_filters_keep_what_the_kernel_keeps", Sockets::unix()) else { return };
    let (mut taken, mut refused, mut kept, mut dropped, mut trimmed) = (0, 0, 0, 0, 0);
    for seed in 0..filters() {
        let mut rng = Rng::new(seed);
        let words = random_filter(&mut rng, Reach::Packet);
        let checked = check(&words, "filter");
        let linux = sockets.attach(&words);
        assert_eq!(linux, checked.as_ref().map(|_| ()).map_err(|_| libc::EINVAL), "seed {seed}: {}", reasons(&words));
        let Ok(filter) = checked else {
            refused += 1;
            continue;
        };
        let Some(mut ours) = Ours::new(&filter) else { continue };
        taken += 1;
        for _ in 0..3 {
            let packet = random_packet(&mut rng);
            let linux = sockets.pass(&packet);
            assert_eq!(
                ours.keep(&packet, SkbFields::default()),
                linux,
                "seed {seed}, packet {packet:?}\n{}",
                filter.listing()
            );
            match linux {
                None => dropped += 1,
                Some(rest) if rest.len() < packet.len() => trimmed += 1,
                Some(_) => kept += 1,
            }
        }
    }
    println!("filters: {taken} taken, {refused} refused; packets: {kept} kept, {trimmed} cut, {dropped} dropped");
    let all = filters();
    assert!(taken > all / 3 && refused > all / 20, "{taken} taken, {refused} refused");
    assert!(trimmed > all / 4 && dropped > all / 4, "{trimmed} cut, {dropped} dropped");
}

/// Frames on the loopback device have headers, a device, a mark, and some of them a VLAN tag beside them.
#[test]
fn random_filters_keep_what_the_kernel_keeps_of_frames() {
    const MARK: u32 = 0x8765_4321;
    let name = "random_filters_keep_what_the_kernel_keeps_of_frames";
    let Some(sockets) = or_skip(name, Sockets::loopback(MARK)) else { return };
    for seed in 0..filters() {
        let mut rng = Rng::new(seed);
        let words = random_filter(&mut rng, Reach::Headers);
        let Ok(filter) = check(&words, "filter") else { continue };
        let Some(mut ours) = Ours::new(&filter) else { continue };
        sockets.attach(&words).expect("the kernel takes what passes the checks");
        let mut frame = random_packet(&mut rng);
        let ethertype = ETHERTYPE.to_be_bytes();
        frame[12..14].copy_from_slice(&ethertype);
        // To the device itself, to several (this device has no address for all), to another.
        let (first, pkt_type) = rng.pick(&[(0, 0), (0xff, 2), (1, 2), (2, 3)]);
        frame[..6].fill(first);
        let mut fields = SkbFields {
            ifindex: 1,
            mark: MARK,
            pkt_type,
            protocol: u32::from(u16::from_le_bytes(ethertype)),
            ..SkbFields::default()
        };
        let mut sent = frame.clone();
        if rng.once_in(3) {
            let tag = rng.word() as u16;
            let bytes = tag.to_be_bytes();
            sent.splice(12..12, [0x81, 0x00, bytes[0], bytes[1]]);
            (fields.vlan_present, fields.vlan_tci, fields.vlan_proto) = (1, tag.into(), 0x0081);
        }
        let linux = sockets.pass(&sent);
        assert_eq!(ours.keep(&frame, fields), linux, "seed {seed}, frame {sent:?}\n{}", filter.listing());
    }
}

/// The kernel's own verifier takes converted filters, and runs them with the same result to all 32 bits.
#[test]
fn the_kernel_runs_converted_filters() {
    let Some(kernel) = kernel("the_kernel_runs_converted_filters") else { return };
    for seed in 0..filters() / 10 {
        let mut rng = Rng::new(seed);
        let Ok(filter) = check(&random_filter(&mut rng, Reach::Packet), "filter") else { continue };
        let Ok(program) = filter.program("filter") else { continue };
        let bytes = bpf::insn::encode_bytes(&program.insns).expect("converted filters have an encoding");
        let loaded = match kernel.load(ProgType::SocketFilter.number(), &bytes, "GPL") {
            Ok(loaded) => loaded,
            Err(error) => panic!("seed {seed}: {}\n{}", error.log, filter.listing()),
        };
        let mut ours = Ours::new(&filter).expect("it was converted");
        // A test run of a socket filter starts behind the link header.
        let packet = random_packet(&mut rng);
        let ethertype = ETHERTYPE.to_be_bytes();
        let mut frame = vec![0; 12];
        frame.extend(ethertype);
        frame.extend_from_slice(&packet);
        let protocol = u32::from(u16::from_le_bytes(ethertype));
        let fields = SkbFields { ifindex: 1, protocol, ..SkbFields::default() };
        assert_eq!(
            ours.run(&packet, fields),
            loaded.run(&frame, None).expect("it runs").retval,
            "seed {seed}\n{}",
            filter.listing()
        );
    }
}

/// A frame such as the expressions look for: few addresses and ports, and most layers there are.
fn frame(rng: &mut Rng) -> Vec<u8> {
    const HOSTS: [[u8; 4]; 5] = [[10, 0, 0, 1], [10, 9, 8, 7], [192, 168, 3, 4], [127, 0, 0, 1], [8, 8, 8, 8]];
    let mut frame = match rng.below(4) {
        0 => vec![0xff; 6],
        1 => vec![1, 0, 0x5e, 0, 0, 1],
        _ => vec![2, 0, 0, 0, 0, 1],
    };
    frame.extend([2, 0, 0, 0, 0, rng.below(3) as u8]);
    let mut ip = [8, 0];
    match rng.below(8) {
        0 => frame.extend([0x81, 0, 0, rng.pick(&[5, 6])]),
        1 => frame.extend([0x88, 0x47, 0, 6, 0x41, 64]),
        2 => {
            frame.extend([0x88, 0x64, 0x11, 0, 0, 1, 0, 60]);
            ip = [0, 0x21];
        }
        _ => {}
    }
    let protocol = rng.pick(&[1, 6, 6, 6, 17, 17, 47, 50]);
    match rng.below(4) {
        0 => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, protocol, 64]);
            for _ in 0..2 {
                frame.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, rng.below(3) as u8]);
            }
        }
        1 => frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]),
        _ => {
            let words = rng.pick(&[5, 5, 5, 6, 7]);
            let fragment = rng.pick(&[[0x40, 0], [0, 0], [0x20, 0], [0, 100]]);
            frame.extend(ip);
            frame.extend([0x40 | words, 0, 0, rng.below(255) as u8, 0, 1]);
            frame.extend(fragment);
            frame.extend([rng.below(9) as u8, protocol, 0, 0]);
            frame.extend(rng.pick(&HOSTS));
            frame.extend(rng.pick(&HOSTS));
            frame.extend(vec![0; 4 * usize::from(words) - 20]);
        }
    }
    for _ in 0..2 {
        frame.extend(rng.pick(&[22u16, 53, 80, 443, 1500, 2048, 8080, 40000]).to_be_bytes());
    }
    let rest = rng.pick(&[0, 5, 20, 60, 200]);
    frame.extend((0..rest).map(|_| rng.word() as u8 & 0x13));
    frame
}

#[test]
fn expressions_of_tcpdump_keep_what_the_kernel_keeps() {
    let Some(sockets) = or_skip("expressions_of_tcpdump_keep_what_the_kernel_keeps", Sockets::unix()) else { return };
    let golden = include_str!("../data/cbpf/expressions.txt");
    for block in golden.split("\n= ").skip(1) {
        let (expression, rest) = block.split_once('\n').unwrap();
        let decimal = &rest[..rest.find('(').unwrap()];
        let words = parse_decimal(decimal, expression).unwrap();
        sockets.attach(&words).expect("the kernel takes what tcpdump writes");
        let mut ours = Ours::new(&check(&words, expression).unwrap()).unwrap();
        let mut matched = 0;
        for seed in 0..500 {
            let frame = frame(&mut Rng::new(seed));
            let linux = sockets.pass(&frame);
            assert_eq!(ours.keep(&frame, SkbFields::default()), linux, "{expression}: {frame:?}");
            matched += u32::from(linux.is_some());
        }
        assert!((1..500).contains(&matched), "{expression}: {matched} of 500 frames match");
    }
}
