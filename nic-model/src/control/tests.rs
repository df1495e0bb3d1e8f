//! Byte layouts as the driver's firmware interface has them, and the card's side against a model of a map.

use std::collections::BTreeMap;

use bpf::errno::Errno;
use bpf::program::{MapSpec, MapType};
use proptest::prelude::*;

use super::*;
use crate::des::Time;
use crate::memory::{Memories, MemoryKind, TableId};
use crate::profile::{CardProfile, builtin};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn agilio() -> CardProfile {
    builtin("agilio-cx-2x40").unwrap()
}

/// Header: type, version 1, tag; then words, all big-endian (Linux nfp driver, `fw.h` and `ccm.h`).
#[test]
fn requests_have_the_drivers_layout() {
    let new = NewTable { key_size: 4, value_size: 16, max_entries: 1_000, map_type: 1, map_flags: 0 };
    let alloc = Request { tag: 0x1234, body: Body::Alloc(new) }.encode();
    assert_eq!(hex(&alloc), "01011234 00000004 00000010 000003e8 00000001 00000000".replace(' ', ""));
    let free = Request { tag: 7, body: Body::Free(3) }.encode();
    assert_eq!(hex(&free), "0201000700000003");
    let entry = EntryRequest::new(EntryOp::Update, 3, 1, 2, Slots::FIXED, &[0xaa, 0xbb], &[0xcc]);
    let update = Request { tag: 0xffff, body: Body::Entry(entry) }.encode();
    assert_eq!(update.len(), 16 + 64 + 64);
    assert_eq!(hex(&update[..20]), "0401ffff 00000003 00000001 00000002 aabb0000".replace(' ', ""));
    assert_eq!(hex(&update[80..84]), "cc000000");
    for (op, kind) in EntryOp::ALL.into_iter().zip([3, 4, 5, 6, 7]) {
        assert_eq!(op.kind() as u8, kind);
    }
}

#[test]
fn answers_have_the_drivers_layout() {
    assert_eq!(hex(&Answer::Alloc(Status::SUCCESS, 5).encode(2)), "810100020000000000000005");
    assert_eq!(hex(&Answer::Free(Status::NO_TABLE, 0).encode(3)), "820100030000000100000000");
    let mut answer = EntryAnswer { kind: Kind::First, status: Status::NO_ENTRY, count: 1, entries: vec![] };
    let slots = Slots { key: 4, value: 8 };
    answer.push(slots, &[1, 2, 3, 4], &[9]);
    assert!(!answer.whole(slots), "a failure has an entry more");
    answer.push(slots, &[], &[]);
    assert!(answer.whole(slots));
    let bytes = Answer::Entry(answer.clone()).encode(1);
    assert_eq!(hex(&bytes[..28]), "87010001 00000002 00000001 00000000 01020304 0900000000000000".replace(' ', ""));
    assert_eq!(Answer::decode(&bytes), Ok((1, Answer::Entry(answer))));
}

/// Type, version, tag; processor; map, 64 bits; bytes of data, bytes of packet; the packet, padded to a word; the data.
#[test]
fn events_have_the_drivers_layout() {
    let event = Event { cpu: 3, map: 0x1_0000_0002, packet: vec![1, 2, 3, 4, 5], data: vec![0xaa, 0xbb] };
    let bytes = event.encode();
    let expected = "08010000 00000003 0000000100000002 00000002 00000005 0102030405000000 aabb".replace(' ', "");
    assert_eq!(hex(&bytes), expected);
    assert_eq!(Event::decode(&bytes), Ok(event));
    for len in 0..bytes.len() {
        assert!(Event::decode(&bytes[..len]).is_err(), "{len} bytes are too few");
    }
}

#[test]
fn results_become_linuxs_numbers() {
    let rows = [
        (1, Errno::EBADFD),
        (2, Errno::ENOENT),
        (3, Errno::EINVAL),
        (4, Errno::EIO),
        (5, Errno::EEXIST),
        (6, Errno::ENOMEM),
        (7, Errno::E2BIG),
        (8, Errno::EIO),
        (u32::MAX, Errno::EIO),
    ];
    for (word, errno) in rows {
        assert_eq!(Status(word).to_errno(), Err(errno));
    }
    assert_eq!(Status(0).to_errno(), Ok(()));
    assert_eq!(Status::of(Err(Errno::EPERM)), Status::BAD_OPERATION, "what has no word of its own");
}

#[test]
fn messages_have_room_for_four_entries_or_a_frame() {
    let mut card = agilio().capabilities;
    assert_eq!((Slots::of(&card, 4, 4), mtu(&card, 9_216)), (Slots::FIXED, 1_500));
    assert_eq!(entries_an_answer(&card, Slots::FIXED, 1_500), 1, "the firmware gives one");
    card.control_entries.value = true;
    assert_eq!(entries_an_answer(&card, Slots::FIXED, 1_500), 4);
    assert_eq!(entries_an_answer(&card, Slots::FIXED, 16 + 3 * 128), 3, "what fits");
    card.control_abi.value = 3;
    card.max_value.value.0 = 1_024;
    let slots = Slots::of(&card, 4, 4);
    assert_eq!((slots, mtu(&card, 9_216)), (Slots { key: 56, value: 1_024 }, 16 + 4 * 1_080));
    card.control_abi.value = 4;
    assert_eq!((Slots::of(&card, 5, 8), mtu(&card, 9_216)), (Slots { key: 8, value: 8 }, 9_216));
}

/// A card's core and its memories, driven by hand.
struct Bench {
    card: CardProfile,
    memories: Memories,
    server: MapServer,
    now: Time,
}

impl Bench {
    fn new(mut card: CardProfile) -> Self {
        // Small, so that one is made quickly.
        card.memories.emem.size.value.0 = card.memories.map_base.0 + (1 << 20);
        let (memories, server) = (Memories::new(&card.memories(), 4), MapServer::new(&card));
        Bench { card, memories, server, now: Time::ZERO }
    }

    fn bytes(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        assert!(self.server.push(message), "it was idle");
        let mut answer = None;
        loop {
            match self.server.step(self.now, &mut self.memories) {
                Step::At(at) => {
                    assert!(at >= self.now, "time does not run back");
                    self.now = at;
                }
                Step::Answer(bytes) => assert!(answer.replace(bytes).is_none(), "one answer a message"),
                Step::Idle => return answer,
            }
        }
    }

    fn ask(&mut self, body: Body) -> Answer {
        let bytes = self.bytes(Request { tag: 77, body }.encode()).expect("every good request is answered");
        let (tag, answer) = Answer::decode(&bytes).unwrap();
        assert_eq!(tag, 77);
        answer
    }

    fn alloc(&mut self, map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> u32 {
        let new = NewTable { key_size, value_size, max_entries, map_type: map_type.0, map_flags: 0 };
        let Answer::Alloc(Status::SUCCESS, table) = self.ask(Body::Alloc(new)) else { panic!("there is room") };
        table
    }

    fn slots(&self, key: u32, value: u32) -> Slots {
        Slots::of(&self.card.capabilities, key, value)
    }

    fn entry(&mut self, op: EntryOp, table: u32, count: u32, flags: u32, key: &[u8], value: &[u8]) -> EntryAnswer {
        let slots = self.slots(key.len() as u32, value.len() as u32);
        let Answer::Entry(answer) =
            self.ask(Body::Entry(EntryRequest::new(op, table, count, flags, slots, key, value)))
        else {
            panic!("answers have the type of their request")
        };
        assert_eq!(answer.kind, op.kind());
        answer
    }
}

#[test]
fn a_request_takes_the_time_of_its_steps_and_accesses() {
    let mut bench = Bench::new(agilio());
    let table = bench.alloc(MapType::HASH, 4, 4, 16);
    let before = bench.now;
    assert_eq!(bench.entry(EntryOp::Update, table, 1, 0, &[1; 4], &[2; 4]).status, Status::SUCCESS);
    let update = bench.now - before;
    // Instructions alone: 20 + 60 to receive, 20 + 4 + 10 + 20 around the operation, 40 for the entry, 60 for the answer.
    assert!(update > Time::from_ns(234 * 1_250 / 1_000), "{update}");
    // Three waits for external memory and one for the descriptor, and the map's own accesses.
    assert!(update > Time::from_ns(1_000) && update < Time::from_us(10), "{update}");
    let before = bench.now;
    assert_eq!(bench.entry(EntryOp::Lookup, table, 1, 0, &[1; 4], &[0; 4]).count, 1);
    assert!(bench.now > before + Time::from_ns(500));
    let counters = bench.server.counters();
    assert_eq!((counters.messages, counters.operations, counters.unanswered), (3, 2, 0));
    assert!(counters.busy > Time::ZERO && counters.busy <= bench.now);
}

#[test]
fn what_is_no_request_is_answered_as_far_as_it_says_whose_it_is() {
    let mut bench = Bench::new(agilio());
    let table = bench.alloc(MapType::HASH, 4, 4, 1);
    // A type that nobody knows, another version, less than a header: nobody hears of it, and the driver waits in vain.
    for bytes in [vec![9, 1, 0, 1], vec![3, 2, 0, 1], vec![3, 1], vec![0x83, 1, 0, 1], vec![8; 24]] {
        assert_eq!(bench.bytes(bytes), None);
    }
    assert_eq!(bench.server.counters().unanswered, 5);
    let short = bench.bytes(vec![3, 1, 0, 9, 0, 0, 0, 1]).unwrap();
    let status = |bytes: &[u8]| {
        Answer::decode(bytes).map(|(tag, answer)| match answer {
            Answer::Entry(answer) => (tag, answer.status),
            Answer::Alloc(status, _) | Answer::Free(status, _) => (tag, status),
        })
    };
    assert_eq!(status(&short), Ok((9, Status::BAD_MESSAGE)));
    assert_eq!(status(&bench.bytes(vec![1, 1, 0, 4]).unwrap()), Ok((4, Status::BAD_MESSAGE)));
    // Slots of another size than the interface's.
    let slots = Slots { key: 4, value: 4 };
    let request = EntryRequest::new(EntryOp::Lookup, table, 1, 0, slots, &[0; 4], &[]);
    let answer = bench.ask(Body::Entry(request));
    assert!(matches!(answer, Answer::Entry(answer) if answer.status == Status::BAD_MESSAGE));
    assert_eq!(bench.entry(EntryOp::Lookup, table + 1, 1, 0, &[0; 4], &[]).status, Status::NO_TABLE);
    assert_eq!(bench.ask(Body::Free(99)), Answer::Free(Status::NO_TABLE, 0));
    let none = NewTable { key_size: 4, value_size: 4, max_entries: 0, map_type: 1, map_flags: 0 };
    assert_eq!(bench.ask(Body::Alloc(none)), Answer::Alloc(Status::BAD_OPERATION, 0));
    let large = NewTable { key_size: 4, value_size: 1 << 10, max_entries: 4_000, map_type: 2, map_flags: 0 };
    assert_eq!(bench.ask(Body::Alloc(large)), Answer::Alloc(Status::NO_MEMORY, 0));
}

/// Nobody who sends them takes the core's stack.
#[test]
fn any_number_of_messages_that_nobody_answers_are_passed_over() {
    const MANY: u64 = 200_000;
    let mut bench = Bench::new(agilio());
    for _ in 0..MANY {
        bench.server.push(vec![]);
    }
    bench.server.push(Request { tag: 7, body: Body::Free(1) }.encode());
    let mut answers = 0;
    loop {
        match bench.server.step(bench.now, &mut bench.memories) {
            Step::At(at) => bench.now = at,
            Step::Answer(_) => answers += 1,
            Step::Idle => break,
        }
    }
    let counters = bench.server.counters();
    assert_eq!((counters.unanswered, counters.messages, answers), (MANY, MANY + 1, 1));
}

#[test]
fn a_table_that_is_given_up_is_gone_and_its_room_is_used_again() {
    let mut bench = Bench::new(agilio());
    let free = bench.memories.maps().free_bytes(MemoryKind::Emem);
    let first = bench.alloc(MapType::HASH, 4, 4, 64);
    bench.entry(EntryOp::Update, first, 1, 0, &[1; 4], &[1; 4]);
    assert_eq!(bench.ask(Body::Free(first)), Answer::Free(Status::SUCCESS, 1));
    assert_eq!(bench.memories.maps().free_bytes(MemoryKind::Emem), free);
    assert_eq!(bench.entry(EntryOp::Lookup, first, 1, 0, &[1; 4], &[]).status, Status::NO_TABLE);
    let second = bench.alloc(MapType::HASH, 4, 4, 64);
    assert_ne!(first, second, "numbers are not used again");
    assert_eq!(bench.entry(EntryOp::First, second, 1, 0, &[0; 4], &[0; 4]).status, Status::NO_ENTRY);
}

#[test]
fn an_answer_holds_as_many_entries_as_were_asked_for_and_what_ended_it() {
    let mut card = agilio();
    card.capabilities.control_entries.value = true;
    let mut bench = Bench::new(card);
    let table = bench.alloc(MapType::HASH, 4, 4, 8);
    for n in 0..6u8 {
        bench.entry(EntryOp::Update, table, 1, 0, &[n; 4], &[n; 4]);
    }
    let first = bench.entry(EntryOp::First, table, 4, 0, &[0; 4], &[0; 4]);
    assert_eq!((first.status, first.count, first.whole(Slots::FIXED)), (Status::SUCCESS, 4, true));
    let last = first.entry(Slots::FIXED, 3).unwrap().0[..4].to_vec();
    let next = bench.entry(EntryOp::Next, table, 4, 0, &last, &[0; 4]);
    assert_eq!((next.status, next.count, next.whole(Slots::FIXED)), (Status::NO_ENTRY, 2, true));
    let mut keys: Vec<u8> = (0..4).map(|n| first.entry(Slots::FIXED, n).unwrap().0[0]).collect();
    keys.extend((0..2).map(|n| next.entry(Slots::FIXED, n).unwrap().0[0]));
    keys.sort_unstable();
    assert_eq!(keys, [0, 1, 2, 3, 4, 5], "each entry once");
}

proptest! {
    /// What is encoded is read back, requests and answers.
    #[test]
    fn messages_go_there_and_back(
        tag: u16, op in 0..5usize, table: u32, count: u32, flags: u32,
        entry in proptest::collection::vec(any::<u8>(), 0..200), word: u32,
    ) {
        let op = EntryOp::ALL[op];
        let new = NewTable { key_size: table, value_size: count, max_entries: flags, map_type: word, map_flags: 0 };
        let about = EntryRequest { op, table, count, flags, entry: entry.clone() };
        for body in [Body::Entry(about), Body::Alloc(new), Body::Free(table)] {
            let request = Request { tag, body };
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        let about = EntryAnswer { kind: op.kind(), status: Status(word), count, entries: entry };
        for answer in [Answer::Entry(about), Answer::Alloc(Status(word), table), Answer::Free(Status(word), count)] {
            prop_assert_eq!(Answer::decode(&answer.encode(tag)), Ok((tag, answer)));
        }
    }

    /// Whatever arrives is answered or counted, and never more than that.
    #[test]
    fn any_bytes_leave_the_core_idle_again(message in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..9u8) {
        let mut bench = Bench::new(agilio());
        bench.alloc(MapType::ARRAY, 4, 8, 4);
        let mut message = message;
        if message.len() > 8 {
            (message[0], message[1]) = (kind, 1);
            message[4..8].copy_from_slice(&[0, 0, 0, 1]);
        }
        let tag = message.get(2..4).map(<[u8]>::to_vec);
        if let Some(answer) = bench.bytes(message) {
            prop_assert_eq!(answer.get(2..4).map(<[u8]>::to_vec), tag);
            prop_assert!(Answer::decode(&answer).is_ok());
        }
    }

    /// A hash map of four entries by control messages, beside a model.
    #[test]
    fn a_hash_map_does_what_a_model_does(
        steps in proptest::collection::vec((0..5usize, 0..6u8, any::<u8>(), 0..3u32, 1..6u32), 1..40),
        several: bool, abi in 2..5u32,
    ) {
        let mut card = agilio();
        card.capabilities.control_entries.value = several;
        card.capabilities.control_abi.value = abi;
        let mut bench = Bench::new(card);
        let table = bench.alloc(MapType::HASH, 8, 8, 4);
        let slots = bench.slots(8, 8);
        let mut model: BTreeMap<u8, u8> = BTreeMap::new();
        for (op, key, value, flags, count) in steps {
            let op = EntryOp::ALL[op];
            let answer = bench.entry(op, table, count, flags, &[key; 8], &[value; 8]);
            prop_assert!(answer.whole(slots));
            let found: Vec<(u8, u8)> = (0..answer.count)
                .map(|n| answer.entry(slots, n).map(|(key, value)| (key[0], value[0])).unwrap())
                .collect();
            let there = model.contains_key(&key);
            let expected = match (op, flags) {
                (EntryOp::Lookup, _) => if there { Ok(()) } else { Err(Errno::ENOENT) },
                (EntryOp::Delete, _) => model.remove(&key).map(|_| ()).ok_or(Errno::ENOENT),
                (EntryOp::Update, 1) if there => Err(Errno::EEXIST),
                (EntryOp::Update, 2) if !there => Err(Errno::ENOENT),
                (EntryOp::Update, _) if !there && model.len() == 4 => Err(Errno::E2BIG),
                (EntryOp::Update, _) => {
                    model.insert(key, value);
                    Ok(())
                }
                (EntryOp::First | EntryOp::Next, _) => {
                    for pair in &found {
                        prop_assert_eq!(model.get(&pair.0), Some(&pair.1));
                    }
                    let most = if several { count.min(MAX_ENTRIES) } else { 1 };
                    prop_assert!(answer.count <= most);
                    if op == EntryOp::First {
                        prop_assert_eq!(answer.count as usize, model.len().min(most as usize));
                    }
                    continue;
                }
            };
            prop_assert_eq!(answer.status.to_errno(), expected);
            if op == EntryOp::Lookup && there {
                prop_assert_eq!(found, vec![(key, model[&key])]);
            }
        }
        let entries = bench.memories.user_entries(TableId(table));
        let entries: BTreeMap<u8, u8> = entries.into_iter().map(|(key, value)| (key[0], value[0])).collect();
        prop_assert_eq!(entries, model);
    }
}

/// What a table's definition cannot say stays as the map has it by itself.
#[test]
fn a_table_is_an_ordinary_map() {
    let mut bench = Bench::new(agilio());
    let table = bench.alloc(MapType::ARRAY, 4, 12, 3);
    let expected = MapSpec { ty: MapType::ARRAY, key_size: 4, value_size: 12, max_entries: 3, ..MapSpec::default() };
    assert_eq!(bench.memories.maps().get(TableId(table)).unwrap().map().spec(), &expected);
    assert_eq!(bench.entry(EntryOp::Delete, table, 1, 0, &[0; 4], &[0; 12]).status, Status::BAD_OPERATION);
    assert_eq!(bench.entry(EntryOp::Update, table, 1, 0, &[3, 0, 0, 0], &[0; 12]).status, Status::FULL);
}
