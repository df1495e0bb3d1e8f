//! The driver's rules, one by one, beside a card that the test plays.

use bpf::errno::Errno;
use bpf::maps::Map;
use bpf::program::{MapSpec, MapType};
use nic_model::control::{Answer, Body, EntryAnswer, EntryOp, EntryRequest, Kind, REPLY, Request, Slots, Status};
use nic_model::des::{Component, EventQueue, Kept, Priority, Source, Time};
use nic_model::device::{ControlToCard, ControlToHost};
use nic_model::profile::{CardProfile, builtin};

use super::*;
use crate::host::{builtin_value, from_value};

fn agilio() -> CardProfile {
    builtin("agilio-cx-2x40").unwrap()
}

fn costs() -> ControlCosts {
    from_value(builtin_value("xeon-e5-1650v4").unwrap()).unwrap().control_costs()
}

fn table(card: &CardProfile, ty: MapType, atomic_words: &[u32]) -> CardTable {
    let spec = MapSpec { name: "m".into(), ty, key_size: 4, value_size: 8, max_entries: 16, ..MapSpec::default() };
    CardTable::new(card, &Map::new(spec, 1).unwrap(), 1, atomic_words)
}

#[test]
fn so_many_tags_are_out_and_no_more() {
    let mut tags = Tags::default();
    let first: Vec<u16> = std::iter::from_fn(|| tags.take()).collect();
    assert_eq!(first.len(), usize::from(SPAN) + 1);
    assert_eq!((first[0], first.last()), (0, Some(&16_383)));
    // The span counts from the oldest: one in the middle frees nothing.
    tags.give_back(5);
    assert_eq!((tags.take(), tags.waits(5), tags.waits(6)), (None, false, true));
    tags.give_back(0);
    assert_eq!(tags.take(), Some(16_384));
    assert_eq!(tags.take(), None);
    for tag in 1..=16_384 {
        if tag != 5 {
            tags.give_back(tag);
        }
    }
    // Round the end of the numbers.
    let mut last = 16_384u16;
    for _ in 0..100_000 {
        let tag = tags.take().expect("none is out");
        assert_eq!(tag, last.wrapping_add(1));
        last = tag;
        tags.give_back(tag);
    }
}

fn walk(keys: &[u8]) -> EntryAnswer {
    let mut answer =
        EntryAnswer { kind: Kind::Next, status: Status::SUCCESS, count: keys.len() as u32, entries: vec![] };
    keys.iter().for_each(|key| answer.push(Slots::FIXED, &[*key; 4], &[*key; 8]));
    answer
}

#[test]
fn an_answer_that_walks_serves_what_comes_next() {
    let (now, life, slots) = (Time::from_us(1), Time::from_us(250), Slots::FIXED);
    let mut cache = Cache::default();
    let ask = |cache: &mut Cache, at, op, key: u8| cache.ask(at, op, &[key; 4], slots, 8, 4);
    let card = |entries, generation| Ask::Card { entries, generation };
    assert_eq!(ask(&mut cache, now, EntryOp::First, 0), card(4, 0));
    cache.put(now, EntryOp::First, Some(walk(&[1, 2, 3, 4])), 0, life);
    assert_eq!(ask(&mut cache, now, EntryOp::Lookup, 1), Ask::Served(vec![1; 8]));
    assert_eq!(ask(&mut cache, now, EntryOp::Next, 1), Ask::Served(vec![2; 4]));
    assert_eq!(ask(&mut cache, now, EntryOp::Lookup, 4), Ask::Served(vec![4; 8]));
    // What comes behind the last is not known, nor what was not in it; a walk that begins asks anew.
    assert_eq!(ask(&mut cache, now, EntryOp::Next, 4), card(4, 0));
    assert_eq!(ask(&mut cache, now, EntryOp::Lookup, 9), card(1, 0));
    assert_eq!(ask(&mut cache, now, EntryOp::First, 0), card(4, 0));
    // At the end of its life it still serves, and then no more.
    assert_eq!(ask(&mut cache, now + life, EntryOp::Lookup, 2), Ask::Served(vec![2; 8]));
    assert_eq!(ask(&mut cache, now + life + Time::from_ns(1), EntryOp::Lookup, 2), card(1, 0));
    assert_eq!(ask(&mut cache, now, EntryOp::Lookup, 2), card(1, 0), "it is gone for good");
}

#[test]
fn writes_stop_the_cache() {
    let (now, life, slots) = (Time::from_us(1), Time::from_us(250), Slots::FIXED);
    let mut cache = Cache::default();
    let ask = |cache: &mut Cache, op, key: u8| cache.ask(now, op, &[key; 4], slots, 8, 4);
    cache.put(now, EntryOp::First, Some(walk(&[1, 2])), 0, life);
    // A walk began before the write, and ends while it is under way: it is not kept.
    assert_eq!(ask(&mut cache, EntryOp::Next, 2), Ask::Card { entries: 4, generation: 0 });
    assert_eq!(ask(&mut cache, EntryOp::Update, 1), Ask::Card { entries: 1, generation: 0 });
    assert_eq!(ask(&mut cache, EntryOp::Lookup, 1), Ask::Card { entries: 1, generation: 0 });
    cache.put(now, EntryOp::Next, Some(walk(&[3])), 0, life);
    assert_eq!(ask(&mut cache, EntryOp::Lookup, 3), Ask::Card { entries: 1, generation: 0 });
    assert_eq!(
        ask(&mut cache, EntryOp::First, 0),
        Ask::Card { entries: 1, generation: 0 },
        "one, while a write blocks"
    );
    // A second write begins and ends; the first still blocks. A failed write counts as one that ended.
    assert_eq!(ask(&mut cache, EntryOp::Delete, 1), Ask::Card { entries: 1, generation: 0 });
    cache.put(now, EntryOp::Delete, None, 0, life);
    assert_eq!(ask(&mut cache, EntryOp::First, 0), Ask::Card { entries: 1, generation: 1 });
    cache.put(now, EntryOp::Update, None, 0, life);
    assert_eq!(ask(&mut cache, EntryOp::First, 0), Ask::Card { entries: 4, generation: 2 });
    // What was asked before the writes ended is older than they are.
    cache.put(now, EntryOp::First, Some(walk(&[1, 2])), 1, life);
    assert_eq!(ask(&mut cache, EntryOp::Lookup, 1), Ask::Card { entries: 1, generation: 2 });
    cache.put(now, EntryOp::First, Some(walk(&[1, 2])), 2, life);
    assert_eq!(ask(&mut cache, EntryOp::Lookup, 1), Ask::Served(vec![1; 8]));
}

#[test]
fn linux_and_the_driver_look_first() {
    let hash = table(&agilio(), MapType::HASH, &[]);
    let array = table(&agilio(), MapType::ARRAY, &[]);
    let errno = |table: &CardTable, op, key: &[u8], value: &[u8], flags| {
        table.check(op, key, value, flags).map_err(|failure| failure.errno)
    };
    assert_eq!(errno(&hash, EntryOp::Update, &[0; 4], &[0; 8], 2), Ok(()));
    assert_eq!(errno(&hash, EntryOp::Update, &[0; 4], &[0; 8], 3), Err(Errno::EINVAL));
    assert_eq!(errno(&hash, EntryOp::Update, &[0; 4], &[0; 7], 0), Err(Errno::EINVAL));
    assert_eq!(errno(&hash, EntryOp::Lookup, &[0; 5], &[], 0), Err(Errno::EINVAL));
    assert_eq!(errno(&hash, EntryOp::Delete, &[0; 4], &[], 0), Ok(()));
    assert_eq!(errno(&array, EntryOp::Delete, &[0; 4], &[], 0), Err(Errno::EINVAL));
    let mut wide = agilio();
    wide.capabilities.control_abi.value = 3;
    wide.capabilities.max_value.value.0 = 1 << 20;
    let failure = table(&wide, MapType::HASH, &[]).check(EntryOp::First, &[], &[], 0).unwrap_err();
    assert_eq!((failure.errno, failure.why.contains("longer than 9216")), (Errno::E2BIG, true), "{}", failure.why);
}

#[test]
fn atomic_words_are_turned_round_on_their_way() {
    let mut table = table(&agilio(), MapType::HASH, &[4]);
    let value = [1, 2, 3, 4, 5, 6, 7, 8];
    let request = table.request(EntryOp::Update, 1, &[0; 4], &value, 0);
    assert_eq!(request.entry[64..72], [1, 2, 3, 4, 8, 7, 6, 5]);
    let mut answer = EntryAnswer { kind: Kind::Lookup, status: Status::SUCCESS, count: 1, entries: vec![] };
    answer.push(Slots::FIXED, &[0; 4], &[1, 2, 3, 4, 8, 7, 6, 5]);
    let judged = table.judge(EntryOp::Lookup, 1, &Answer::Entry(answer.clone()).encode(0));
    assert_eq!(judged.map(|(value, _)| value), Ok(value.to_vec()));
    table.put(Time::ZERO, EntryOp::First, Some(answer), 0, Time::from_us(250));
    assert_eq!(table.ask(Time::ZERO, EntryOp::Lookup, &[0; 4]), Ask::Served(value.to_vec()), "and so from the cache");
}

#[test]
fn answers_are_judged_as_the_driver_does() {
    let table = table(&agilio(), MapType::HASH, &[]);
    let answer = |kind, status, count: u32, entries: u32| {
        let mut answer = EntryAnswer { kind, status, count, entries: vec![] };
        (0..entries).for_each(|n| answer.push(Slots::FIXED, &[n as u8; 4], &[n as u8; 8]));
        Answer::Entry(answer).encode(3)
    };
    let judge = |op, entries, bytes: &[u8]| {
        table.judge(op, entries, bytes).map(|(found, _)| found).map_err(|failure| failure.errno)
    };
    assert_eq!(judge(EntryOp::First, 4, &answer(Kind::First, Status::SUCCESS, 2, 2)), Ok(vec![0; 4]));
    // Some good ones and the map's end: good. None and its end: the end.
    assert_eq!(judge(EntryOp::First, 4, &answer(Kind::First, Status::NO_ENTRY, 2, 3)), Ok(vec![0; 4]));
    assert_eq!(judge(EntryOp::First, 4, &answer(Kind::First, Status::NO_ENTRY, 0, 1)), Err(Errno::ENOENT));
    // An answer for one entry has no good ones beside a failure.
    assert_eq!(judge(EntryOp::Next, 1, &answer(Kind::Next, Status::NO_ENTRY, 1, 2)), Err(Errno::ENOENT));
    // Another type, a request's, one of a table; too short, too long.
    assert_eq!(judge(EntryOp::First, 4, &answer(Kind::Next, Status::SUCCESS, 1, 1)), Err(Errno::EIO));
    assert_eq!(judge(EntryOp::First, 4, &Answer::Free(Status::SUCCESS, 0).encode(0)), Err(Errno::EIO));
    assert_eq!(judge(EntryOp::First, 4, &[7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Errno::EIO));
    assert_eq!(judge(EntryOp::First, 4, &answer(Kind::First, Status::SUCCESS, 2, 1)), Err(Errno::EIO));
    assert_eq!(judge(EntryOp::Lookup, 1, &answer(Kind::Lookup, Status::SUCCESS, 1, 2)), Err(Errno::EIO));
    assert_eq!(judge(EntryOp::Update, 1, &answer(Kind::Update, Status(99), 0, 1)), Err(Errno::EIO));
}

/// A card that answers after a fixed time what the test tells it to, or not at all.
struct Bench {
    plane: ControlPlane,
    queue: EventQueue<Event>,
    requests: Vec<Request>,
    answer: fn(&Request) -> Option<Vec<u8>>,
    delay: Time,
}

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Plane(In),
    Own(Inner),
}

impl Bench {
    fn new(card: &CardProfile, delay: Time, answer: fn(&Request) -> Option<Vec<u8>>) -> Self {
        let plane = ControlPlane::new(costs(), vec![table(card, MapType::HASH, &[])], Source(1));
        Bench { plane, queue: EventQueue::default(), requests: vec![], answer, delay }
    }

    fn act(&mut self, at: Time, process: u16, verb: Verb) {
        let event = Event::Plane(In::Act(Operation { at, process, table: 0, verb }));
        self.queue.push(at, Priority::Arrival, Source(0), event);
    }

    fn run(&mut self) -> Vec<Outcome> {
        let mut outbox: Kept<Inner, Out> = Kept::default();
        while let Some((now, event)) = self.queue.pop() {
            match event {
                Event::Plane(event) => self.plane.handle(now, event, &mut outbox),
                Event::Own(event) => self.plane.wake(now, event, &mut outbox),
            }
            for wake in outbox.wakes.drain(..) {
                self.queue.push(wake.at, wake.priority, wake.source, Event::Own(wake.event));
            }
            for (_, Out(message)) in outbox.sends.drain(..) {
                let replies: Vec<(Time, ControlToHost)> = match message {
                    ControlToCard::Doorbell(count) => vec![(now, ControlToHost::ReadDescriptors(count))],
                    ControlToCard::Descriptors(lengths) => {
                        lengths.into_iter().map(|bytes| (now, ControlToHost::ReadMessage(bytes))).collect()
                    }
                    ControlToCard::Message(bytes) => {
                        let request = Request::decode(&bytes).unwrap();
                        let answer = (self.answer)(&request);
                        self.requests.push(request);
                        let at = now + self.delay;
                        let answer = answer.map(|bytes| (at, ControlToHost::Message(bytes)));
                        answer.into_iter().flat_map(|answer| [answer, (at, ControlToHost::Interrupt)]).collect()
                    }
                };
                for (at, message) in replies {
                    self.queue.push(at, Priority::Arrival, Source(2), Event::Plane(In::Card(message)));
                }
            }
        }
        self.plane.outcomes().to_vec()
    }
}

fn good(request: &Request) -> Option<Vec<u8>> {
    let Body::Entry(EntryRequest { op, .. }) = &request.body else { return None };
    let mut answer = EntryAnswer { kind: op.kind(), status: Status::SUCCESS, count: 1, entries: vec![] };
    answer.push(Slots::FIXED, &[1; 4], &[2; 8]);
    Some(Answer::Entry(answer).encode(request.tag))
}

#[test]
fn the_driver_looks_every_four_microseconds_and_then_sleeps() {
    let c = costs();
    for (delay_us, sleeps) in [(1, false), (5, false), (150, false), (300, true)] {
        let mut bench = Bench::new(&agilio(), Time::from_us(delay_us), good);
        bench.act(Time::from_us(10), 0, Verb::Update(vec![1; 4], vec![2; 8]));
        let outcomes = bench.run();
        assert_eq!(outcomes.len(), 1);
        assert_eq!((outcomes[0].began, &outcomes[0].result), (Time::from_us(10), &Ok(vec![])));
        let sent = outcomes[0].began + c.call + c.message;
        let there = sent + Time::from_us(delay_us) + c.dma_read + c.dma_read + c.interrupt + c.receive;
        if sleeps {
            assert_eq!(outcomes[0].ended, there + c.wake);
        } else {
            let looks = (there - sent).ps().div_ceil(c.poll.ps());
            assert_eq!(outcomes[0].ended, sent + Time::from_ps(looks * c.poll.ps()), "{delay_us} us");
        }
    }
}

#[test]
fn who_hears_nothing_gives_up_after_five_seconds() {
    let c = costs();
    let mut bench = Bench::new(&agilio(), Time::ZERO, |_| None);
    bench.act(Time::ZERO, 0, Verb::Lookup(vec![1; 4]));
    let outcomes = bench.run();
    let failure = outcomes[0].result.clone().unwrap_err();
    assert_eq!((failure.errno, failure.why.as_str()), (Errno::ETIMEDOUT, "the card did not answer in time"));
    let longest = c.call + c.message + Time::from_us(200) + Time::from_us(5_000_000);
    assert_eq!(outcomes[0].ended, longest);
    // An answer that comes too late is nobody's.
    let mut bench = Bench::new(&agilio(), Time::from_us(6_000_000), good);
    bench.act(Time::ZERO, 0, Verb::Lookup(vec![1; 4]));
    assert_eq!(bench.run()[0].result.clone().map_err(|f| f.errno), Err(Errno::ETIMEDOUT));
    assert_eq!(bench.plane.unwanted(), 1);
}

#[test]
fn one_process_waits_for_itself_and_others_do_not() {
    let mut bench = Bench::new(&agilio(), Time::from_us(20), good);
    for process in [0, 0, 1] {
        bench.act(Time::ZERO, process, Verb::Update(vec![1; 4], vec![2; 8]));
    }
    let outcomes = bench.run();
    let began: Vec<Time> = outcomes.iter().map(|outcome| outcome.began).collect();
    assert_eq!(began[..2], [Time::ZERO, Time::ZERO]);
    assert_eq!(began[2], outcomes[0].ended, "the second of process 0");
    let tags: Vec<u16> = bench.requests.iter().map(|request| request.tag).collect();
    assert_eq!(tags, [0, 1, 2]);
}

#[test]
fn what_the_card_says_is_why_it_failed() {
    let refuse: fn(&Request) -> Option<Vec<u8>> = |request| {
        let mut answer = EntryAnswer { kind: Kind::Update, status: Status::FULL, count: 0, entries: vec![] };
        answer.push(Slots::FIXED, &[], &[]);
        Some(Answer::Entry(answer).encode(request.tag))
    };
    let mut bench = Bench::new(&agilio(), Time::from_us(2), refuse);
    bench.act(Time::ZERO, 0, Verb::Update(vec![1; 4], vec![2; 8]));
    let failure = bench.run()[0].result.clone().unwrap_err();
    assert_eq!((failure.errno, failure.why), (Errno::E2BIG, Status::FULL.words().to_owned()));
    let other: fn(&Request) -> Option<Vec<u8>> = |request| {
        let tag = request.tag.to_be_bytes();
        Some([&[Kind::Delete as u8 | REPLY, 1, tag[0], tag[1]][..], &[0; 12]].concat())
    };
    let mut bench = Bench::new(&agilio(), Time::from_us(2), other);
    bench.act(Time::ZERO, 0, Verb::Update(vec![1; 4], vec![2; 8]));
    assert_eq!(bench.run()[0].result.clone().map_err(|f| f.errno), Err(Errno::EIO));
}
