//! The card's side: one core that carries out requests, one after the other.

use std::collections::VecDeque;

use bpf::maps::Access;
use bpf::program::{MapSpec, MapType};

use super::answer::{Answer, EntryAnswer};
use super::layout::{MAX_ENTRIES, Slots};
use super::message::{Body, EntryOp, EntryRequest, Header, Kind, Malformed, NewTable, Request};
use super::status::Status;
use crate::des::{Frequency, Time};
use crate::firmware::{ControlRoutine, MapRoutine, Place, Routine, Step as RoutineStep};
use crate::memory::{EngineId, HostOp, MAX_WORDS, MapPlace, Memories, TableId, TouchKind};
use crate::profile::{Capabilities, CardProfile};

/// What the core does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It goes on at that time: call [`MapServer::step`] then.
    At(Time),
    /// It has an answer, now, and goes on at once.
    Answer(Vec<u8>),
    /// It has nothing to do.
    Idle,
}

/// What the core did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerCounters {
    /// Messages taken.
    pub messages: u64,
    /// Those that it could not read and did not answer: of a type or version it does not know.
    pub unanswered: u64,
    /// Operations on entries.
    pub operations: u64,
    /// Time it worked, waits for memories included.
    pub busy: Time,
}

/// A command on its way to its engine.
#[derive(Debug, Clone, Copy)]
struct Command {
    engine: EngineId,
    offset: u64,
    bytes: u32,
    kind: TouchKind,
    /// The core waits for the answer before it goes on.
    wait: bool,
    /// The operation happens when it arrives.
    acts: bool,
}

/// A piece of a message's work.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// Instructions.
    Run(u64),
    /// One that sends a command.
    Send(Command),
    /// A wait for every answer that is out.
    Join,
}

/// A message under way.
#[derive(Debug)]
struct Job {
    request: Request,
    pieces: VecDeque<Piece>,
    /// Sent, and not yet there.
    sent: Option<Command>,
    /// When the core goes on.
    ready: Time,
    /// When the last answer that is waited for is back.
    back: Time,
    began: Time,
    answer: Option<Answer>,
    /// Entries that remain to be done.
    left: u32,
    /// The key that the next entry is asked for by; none for the first.
    key: Vec<u8>,
    op: EntryOp,
    slots: Slots,
    replied: bool,
}

/// The core for control messages.
#[derive(Debug)]
pub struct MapServer {
    clock: Frequency,
    routine: ControlRoutine,
    map: MapRoutine,
    card: Capabilities,
    waiting: VecDeque<Vec<u8>>,
    job: Option<Job>,
    counters: ServerCounters,
}

impl MapServer {
    /// An idle core of that card.
    pub fn new(card: &CardProfile) -> Self {
        MapServer {
            clock: *card.clock,
            routine: card.firmware.control.value.clone(),
            map: card.firmware.map.value.clone(),
            card: card.capabilities.clone(),
            waiting: VecDeque::new(),
            job: None,
            counters: ServerCounters::default(),
        }
    }

    /// What it did.
    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// A message has arrived. Whether the core was idle, and [`MapServer::step`] must be called now.
    pub fn push(&mut self, message: Vec<u8>) -> bool {
        let idle = self.job.is_none() && self.waiting.is_empty();
        self.waiting.push_back(message);
        idle
    }

    /// The core goes on, at the time it said.
    pub fn step(&mut self, now: Time, memories: &mut Memories) -> Step {
        loop {
            if self.job.is_none() && !self.begin(now, memories) {
                return Step::Idle;
            }
            let Some(job) = &mut self.job else { continue };
            if let Some(command) = job.sent.take() {
                let answer = memories.touch(now, command.engine, command.kind, command.offset, command.bytes);
                job.back = job.back.max(answer.back);
                if command.wait {
                    job.ready = answer.back;
                }
                if command.acts {
                    self.act(memories);
                    continue;
                }
            }
            match job.pieces.pop_front() {
                Some(Piece::Run(instructions)) => job.ready += self.clock.at_cycle(instructions),
                Some(Piece::Join) => job.ready = job.ready.max(job.back),
                Some(Piece::Send(command)) => {
                    job.ready += self.clock.at_cycle(1);
                    job.sent = Some(command);
                    return Step::At(now.max(job.ready + memories.request_time(command.engine)));
                }
                None if job.ready > now => return Step::At(job.ready),
                None if job.left > 0 => self.plan_entry(memories),
                None if !job.replied => {
                    job.replied = true;
                    let reply = self.routine.reply.clone();
                    self.plan(&reply, memories);
                }
                None => {
                    self.counters.busy += now - job.began;
                    let job = self.job.take().expect("it is under way");
                    if let Some(answer) = job.answer {
                        return Step::Answer(answer.encode(job.request.tag));
                    }
                }
            }
        }
    }

    /// Takes the next message that is answered; `false` when there is none.
    fn begin(&mut self, now: Time, memories: &Memories) -> bool {
        while let Some(message) = self.waiting.pop_front() {
            self.counters.messages += 1;
            let (request, answer) = match Request::decode(&message) {
                Ok(request) => (request, None),
                Err(why) => match unread(&message, why) {
                    // What it would have been about is not looked at.
                    Some((tag, answer)) => (Request { tag, body: Body::Free(0) }, Some(answer)),
                    None => {
                        self.counters.unanswered += 1;
                        continue;
                    }
                },
            };
            self.start(now, request, answer, memories);
            return true;
        }
        false
    }

    fn start(&mut self, now: Time, request: Request, answer: Option<Answer>, memories: &Memories) {
        let (op, left) = match &request.body {
            Body::Entry(entry) if answer.is_none() => {
                let most = if entry.op.walks() && *self.card.control_entries { MAX_ENTRIES } else { 1 };
                (entry.op, entry.count.clamp(1, most))
            }
            _ => (EntryOp::Lookup, 0),
        };
        let slots = Slots { key: 0, value: 0 };
        let (pieces, key) = (VecDeque::new(), Vec::new());
        let job = Job {
            request,
            pieces,
            sent: None,
            ready: now,
            back: now,
            began: now,
            answer,
            left,
            key,
            op,
            slots,
            replied: false,
        };
        self.job = Some(job);
        let receive = self.routine.receive.clone();
        self.plan(&receive, memories);
        let Some(job) = &mut self.job else { return };
        let answer = job.answer.is_none().then(|| job.request.body.clone());
        match answer {
            Some(Body::Alloc(_) | Body::Free(_)) => {
                // The table's descriptor is written, and the operation happens then.
                let mut command = self.descriptor(0, memories);
                command.kind = TouchKind::Write;
                self.job.as_mut().expect("it is under way").pieces.push_back(Piece::Send(command));
            }
            Some(Body::Entry(request)) => self.judge(&request, memories),
            None => {}
        }
    }

    /// Looks at a request about entries before its first is done.
    fn judge(&mut self, request: &EntryRequest, memories: &Memories) {
        let Some(job) = &mut self.job else { return };
        let mut answer = EntryAnswer { kind: request.op.kind(), status: Status::SUCCESS, count: 0, entries: vec![] };
        let table = memories.maps().get(TableId(request.table));
        let sizes = table.map(|table| (table.map().spec().key_size, table.map().user_value_size() as u32));
        job.slots = sizes.map_or(Slots::FIXED, |(key, value)| Slots::of(&self.card, key, value));
        let parts = sizes.map(|(key, value)| request.parts(job.slots, key, value));
        match parts {
            Some(Some((key, _))) => job.key = key.to_vec(),
            other => {
                answer.status = if other.is_none() { Status::NO_TABLE } else { Status::BAD_MESSAGE };
                answer.push(job.slots, &[], &[]);
                job.left = 0;
            }
        }
        job.answer = Some(Answer::Entry(answer));
    }

    /// Puts a routine's steps behind what is to be done.
    fn plan(&mut self, routine: &Routine, memories: &Memories) {
        let Some(job) = &mut self.job else { return };
        for step in &routine.steps {
            job.pieces.push_back(match *step {
                RoutineStep::Run { instructions } => Piece::Run(instructions.into()),
                RoutineStep::Command { memory, kind, place, bytes, wait } => {
                    let offset = match place {
                        // There is no packet.
                        Place::Packet { offset } => u64::from(offset),
                        Place::Shared { offset } | Place::Striped { offset, .. } => offset,
                    };
                    let engine = memories.addresses().engine(memory, 0);
                    Piece::Send(Command { engine, offset, bytes: bytes.into(), kind, wait, acts: false })
                }
            });
        }
    }

    fn descriptor(&self, table: u32, memories: &Memories) -> Command {
        let bytes = u32::from(self.map.descriptor_bytes);
        let table = u64::from(table) % (*self.card.max_maps as u64 + 1);
        Command {
            engine: memories.addresses().engine(self.map.descriptors, 0),
            offset: self.map.descriptor_offset + table * u64::from(bytes),
            bytes,
            kind: TouchKind::Read,
            wait: true,
            acts: true,
        }
    }

    /// The work on one entry up to its operation.
    fn plan_entry(&mut self, memories: &Memories) {
        let Some(Job { request: Request { body: Body::Entry(request), .. }, key, .. }) = &self.job else { return };
        let (table, words) = (request.table, key.len().div_ceil(4) as u64);
        let before = self.map.before.clone();
        self.plan(&before, memories);
        let descriptor = self.descriptor(table, memories);
        let per_key = words * u64::from(self.map.per_key_word);
        let Some(job) = &mut self.job else { return };
        job.left -= 1;
        job.pieces.extend([Piece::Run(per_key), Piece::Send(descriptor)]);
    }

    /// The operation happens, and what follows is planned.
    fn act(&mut self, memories: &mut Memories) {
        let Some(job) = &mut self.job else { return };
        match &job.request.body {
            Body::Alloc(new) => {
                let made = new_table(new).ok_or(Status::BAD_OPERATION).and_then(|spec| {
                    memories.create_map(spec, &[]).map_err(|why| match why.code {
                        "card-memory-full" => Status::NO_MEMORY,
                        _ => Status::BAD_OPERATION,
                    })
                });
                let (status, table) = made.map_or_else(|status| (status, 0), |table| (Status::SUCCESS, table.0));
                job.answer = Some(Answer::Alloc(status, table));
            }
            Body::Free(table) => {
                let freed = memories.free_map(TableId(*table));
                job.answer = Some(Answer::Free(Status::of(freed.map(|_| ())), freed.unwrap_or(0)));
            }
            Body::Entry(request) => {
                let request = request.clone();
                self.act_on_entry(&request, memories);
            }
        }
    }

    fn act_on_entry(&mut self, request: &EntryRequest, memories: &mut Memories) {
        self.counters.operations += 1;
        let Some(job) = &mut self.job else { return };
        let table = TableId(request.table);
        let (place, sizes) = memories.maps().get(table).map_or((MapPlace::default(), (0, 0)), |table| {
            (table.place(), (table.map().spec().key_size, table.map().user_value_size() as u32))
        });
        let value = request.parts(job.slots, sizes.0, sizes.1).map_or(&[][..], |(_, value)| value);
        let op = match job.op {
            EntryOp::Lookup => HostOp::Lookup,
            EntryOp::Update => HostOp::Update(value, request.flags.into()),
            EntryOp::Delete => HostOp::Delete,
            EntryOp::Next => HostOp::Next,
            EntryOp::First => HostOp::First,
        };
        let mut accesses = Vec::new();
        let done = memories.host_operation(table, op, &job.key, &mut accesses);
        let Some(Answer::Entry(answer)) = &mut job.answer else { return };
        match done {
            Ok((key, value)) => {
                answer.count += 1;
                answer.push(job.slots, &key, &value);
                // What follows comes after this one.
                (job.op, job.key) = (if job.op == EntryOp::First { EntryOp::Next } else { job.op }, key);
            }
            Err(errno) => {
                answer.status = Status::of(Err(errno));
                answer.push(job.slots, &job.key, &[]);
                job.left = 0;
            }
        }
        let enter = self.map.enter.clone();
        self.plan(&enter, memories);
        self.plan_accesses(&accesses, place, memories);
        let (after, entry) = (self.map.after.clone(), self.routine.entry.clone());
        self.plan(&after, memories);
        self.plan(&entry, memories);
    }

    /// What the operation accessed, as a map helper's accesses go on: one whose address depends on an answer waits for it,
    /// writes are posted.
    fn plan_accesses(&mut self, accesses: &[Access], place: MapPlace, memories: &Memories) {
        let engine = memories.addresses().engine(place.memory, 0);
        let Some(job) = &mut self.job else { return };
        for access in accesses {
            if access.dependent {
                job.pieces.push_back(Piece::Join);
            }
            let kind = access.kind.into();
            let most = 4 * MAX_WORDS as u32;
            for done in (0..access.len).step_by(most as usize) {
                let bytes = (access.len - done).min(most);
                let offset = place.base + u64::from(access.off) + u64::from(done);
                job.pieces.push_back(Piece::Send(Command { engine, offset, bytes, kind, wait: false, acts: false }));
            }
            job.pieces.push_back(Piece::Run(self.map.per_access.into()));
        }
        job.pieces.push_back(Piece::Join);
    }
}

/// The answer to a message that is too short; one of a type or version that the firmware does not know gets none.
fn unread(message: &[u8], why: Malformed) -> Option<(u16, Answer)> {
    let Malformed::Short { .. } = why else { return None };
    let Header { kind, tag, .. } = Header::decode(message).ok()?;
    let answer = match Kind::of(kind)? {
        Kind::Event => return None,
        Kind::Alloc => Answer::Alloc(Status::BAD_MESSAGE, 0),
        Kind::Free => Answer::Free(Status::BAD_MESSAGE, 0),
        kind => Answer::Entry(EntryAnswer { kind, status: Status::BAD_MESSAGE, count: 0, entries: vec![] }),
    };
    Some((tag, answer))
}

/// A table as a map: nothing but sizes and type is told of it.
fn new_table(new: &NewTable) -> Option<MapSpec> {
    let ty = MapType(new.map_type);
    ty.name()?;
    Some(MapSpec {
        ty,
        key_size: new.key_size,
        value_size: new.value_size,
        max_entries: new.max_entries,
        flags: new.map_flags,
        ..MapSpec::default()
    })
}
