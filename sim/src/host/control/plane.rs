//! The driver and the processes as one component.

use std::collections::VecDeque;

use bpf::errno::Errno;
use nic_model::control::{Body, EntryOp, Header, Request};
use nic_model::des::{Component, Outbox, Priority, Source, Time};
use nic_model::device::{ControlToCard, ControlToHost};

use super::cache::Ask;
use super::process::{Call, Doing, Failure, Operation, Outcome, Process, Stage, Verb};
use super::table::CardTable;
use super::tags::Tags;

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum In {
    /// A process is to do something.
    Act(Operation),
    /// Something of the card's has arrived.
    Card(ControlToHost),
}

/// What it schedules for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner {
    /// The process's message is on the ring.
    Sent(u16),
    /// The process's system call goes on: it returns, or has found its answer.
    Goes(u16),
    /// The process waits no longer.
    GivesUp(u16),
    /// The tasklet takes what the card has written.
    Receive,
    /// Host memory answers the oldest read of the card's.
    Answer,
}

/// What it tells the outside: something for the card, issued now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out(pub ControlToCard);

/// What it all costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlCosts {
    /// A system call there and back, with the copies of key and value.
    pub call: Time,
    /// A message is made and put on the ring.
    pub message: Time,
    /// Time between two looks for an answer.
    pub poll: Time,
    /// Looks, before the process sleeps.
    pub polls: u32,
    /// A process that sleeps is woken and runs.
    pub wake: Time,
    /// How long it sleeps at most.
    pub timeout: Time,
    /// The tasklet takes a message.
    pub receive: Time,
    /// How long an answer that walks a map is kept.
    pub keep: Time,
    /// From the interrupt to the tasklet.
    pub interrupt: Time,
    /// From a read request's arrival to its data.
    pub dma_read: Time,
}

/// Where it puts what it wants done.
trait Posts: Outbox<Inner, Out> {}

impl<O: Outbox<Inner, Out>> Posts for O {}

/// The control path of one card.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    costs: ControlCosts,
    source: Source,
    tables: Vec<CardTable>,
    tags: Tags,
    processes: Vec<Process>,
    /// Messages on the ring that the card has not read.
    ring: VecDeque<Vec<u8>>,
    /// Those whose lengths it has.
    described: usize,
    /// What the card gets for its reads.
    answers: VecDeque<ControlToCard>,
    /// What the card has written and the tasklet not taken.
    written: VecDeque<Vec<u8>>,
    receiving: bool,
    outcomes: Vec<Outcome>,
    unwanted: u64,
    messages: u64,
}

impl ControlPlane {
    /// Nothing under way, on the card that has these maps.
    pub fn new(costs: ControlCosts, tables: Vec<CardTable>, source: Source) -> Self {
        ControlPlane {
            costs,
            source,
            tables,
            tags: Tags::default(),
            processes: Vec::new(),
            ring: VecDeque::new(),
            described: 0,
            answers: VecDeque::new(),
            written: VecDeque::new(),
            receiving: false,
            outcomes: Vec::new(),
            unwanted: 0,
            messages: 0,
        }
    }

    /// What came of every operation that has ended, in the order in which they did.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Requests sent to the card.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Answers that nobody waited for, or that were none.
    pub fn unwanted(&self) -> u64 {
        self.unwanted
    }

    fn wake_at(&self, at: Time, event: Inner, outbox: &mut impl Posts) {
        outbox.wake(at, Priority::Arrival, self.source, event);
    }

    /// A process begins the next thing it was told, if it has nothing to do.
    fn next(&mut self, now: Time, id: u16, outbox: &mut impl Posts) {
        let process = &mut self.processes[usize::from(id)];
        if process.doing.is_some() {
            return;
        }
        let Some(operation) = process.waiting.pop_front() else { return };
        let (op, key, value) = match &operation.verb {
            Verb::Lookup(key) => (EntryOp::Lookup, key.clone(), vec![]),
            Verb::Update(key, value) => (EntryOp::Update, key.clone(), value.clone()),
            Verb::Delete(key) => (EntryOp::Delete, key.clone(), vec![]),
            Verb::Dump => (EntryOp::First, vec![], vec![]),
        };
        let stage = self.call(now, operation.table, op, key, &value);
        let doing = Doing { operation, began: now, read: vec![], key: None, stage };
        self.enter(now, id, doing, outbox);
    }

    /// The process goes into its system call.
    fn enter(&mut self, now: Time, id: u16, doing: Doing, outbox: &mut impl Posts) {
        let (at, event) = match &doing.stage {
            Stage::Returns(_) => (now + self.costs.call, Inner::Goes(id)),
            Stage::Asks(_) => (now + self.costs.call + self.costs.message, Inner::Sent(id)),
        };
        self.processes[usize::from(id)].doing = Some(doing);
        self.wake_at(at, event, outbox);
    }

    /// What a system call comes to before the card is asked.
    fn call(&mut self, now: Time, table: usize, op: EntryOp, key: Vec<u8>, value: &[u8]) -> Stage {
        let costs = self.costs;
        let table = &mut self.tables[table];
        if let Err(failure) = table.check(op, &key, value, 0) {
            return Stage::Returns(Err(failure));
        }
        let (entries, generation) = match table.ask(now, op, &key) {
            Ask::Served(bytes) => return Stage::Returns(Ok(bytes)),
            Ask::Card { entries, generation } => (entries, generation),
        };
        let Some(tag) = self.tags.take() else {
            table.put(now, op, None, generation, costs.keep);
            let why = "as many requests as there may be wait for the card".to_owned();
            return Stage::Returns(Err(Failure { errno: Errno::EAGAIN, why }));
        };
        let request = table.request(op, entries, &key, value, 0);
        let message = Request { tag, body: Body::Entry(request) }.encode();
        let (sent, deadline, answer) = (now, Time::NEVER, None);
        Stage::Asks(Call { op, generation, entries, tag, message, sent, deadline, answer })
    }

    fn sent(&mut self, now: Time, id: u16, outbox: &mut impl Posts) {
        let costs = self.costs;
        let Some(Doing { stage: Stage::Asks(call), .. }) = &mut self.processes[usize::from(id)].doing else { return };
        let polls = Time::from_ps(costs.poll.ps().saturating_mul(costs.polls.into()));
        (call.sent, call.deadline) = (now, now + polls + costs.timeout);
        let deadline = call.deadline;
        self.ring.push_back(std::mem::take(&mut call.message));
        self.messages += 1;
        self.wake_at(deadline, Inner::GivesUp(id), outbox);
        outbox.send(self.source, Out(ControlToCard::Doorbell(1)));
    }

    /// The card has something.
    fn card(&mut self, now: Time, message: ControlToHost, outbox: &mut impl Posts) {
        match message {
            ControlToHost::ReadDescriptors(count) => {
                let wanted = self.ring.iter().skip(self.described).take(count as usize);
                let lengths: Vec<u32> = wanted.map(|message| message.len() as u32).collect();
                self.described += lengths.len();
                self.answers.push_back(ControlToCard::Descriptors(lengths));
                self.wake_at(now + self.costs.dma_read, Inner::Answer, outbox);
            }
            ControlToHost::ReadMessage(_) => {
                let message = self.ring.pop_front().expect("the card reads what it was told of");
                self.described -= 1;
                self.answers.push_back(ControlToCard::Message(message));
                self.wake_at(now + self.costs.dma_read, Inner::Answer, outbox);
            }
            ControlToHost::Message(bytes) => self.written.push_back(bytes),
            ControlToHost::Interrupt => {
                if !std::mem::replace(&mut self.receiving, true) {
                    self.wake_at(now + self.costs.interrupt, Inner::Receive, outbox);
                }
            }
        }
    }

    /// The tasklet takes all there is; whoever waits for an answer finds it with its next look, or is woken.
    fn receive(&mut self, now: Time, outbox: &mut impl Posts) {
        self.receiving = false;
        let costs = self.costs;
        let mut ready = now;
        while let Some(bytes) = self.written.pop_front() {
            ready += costs.receive;
            let tag = Header::decode(&bytes).ok().map(|header| header.tag).filter(|tag| self.tags.waits(*tag));
            let waiting = self.processes.iter_mut().zip(0u16..).find_map(|(process, id)| match &mut process.doing {
                Some(Doing { stage: Stage::Asks(call), .. }) if Some(call.tag) == tag && call.answer.is_none() => {
                    Some((id, call))
                }
                _ => None,
            });
            let Some((id, call)) = waiting else {
                self.unwanted += 1;
                continue;
            };
            call.answer = Some(bytes);
            let looks = ready.since(call.sent).ps().div_ceil(costs.poll.ps().max(1)).max(1);
            let found = if looks <= u64::from(costs.polls) {
                call.sent + Time::from_ps(costs.poll.ps().saturating_mul(looks))
            } else {
                ready + costs.wake
            };
            self.wake_at(found.max(ready), Inner::Goes(id), outbox);
        }
    }

    /// A system call returns, and the process goes on.
    fn goes(&mut self, now: Time, id: u16, outbox: &mut impl Posts) {
        let Some(mut doing) = self.processes[usize::from(id)].doing.take() else { return };
        let table = &mut self.tables[doing.operation.table];
        let (op, result) = match doing.stage {
            Stage::Returns(ref result) => {
                let op = match (&doing.operation.verb, &doing.key) {
                    (Verb::Dump, None) => EntryOp::Next,
                    _ => EntryOp::Lookup,
                };
                (op, result.clone())
            }
            Stage::Asks(ref call) => {
                self.tags.give_back(call.tag);
                let judged = match &call.answer {
                    Some(bytes) => table.judge(call.op, call.entries, bytes),
                    None => Err(Failure { errno: Errno::ETIMEDOUT, why: "the card did not answer in time".to_owned() }),
                };
                let (result, answer) = match judged {
                    Ok((bytes, answer)) => (Ok(bytes), Some(answer)),
                    Err(failure) => (Err(failure), None),
                };
                table.put(now, call.op, answer, call.generation, self.costs.keep);
                (call.op, result)
            }
        };
        let ended = match (&doing.operation.verb, result) {
            (Verb::Lookup(key), Ok(value)) => Ok(vec![(key.clone(), value)]),
            (Verb::Update(..) | Verb::Delete(_), Ok(_)) => Ok(vec![]),
            // A map that changes meanwhile may begin anew, again and again.
            (Verb::Dump, Ok(_)) if doing.read.len() >= table.most as usize => Ok(std::mem::take(&mut doing.read)),
            (Verb::Dump, Ok(bytes)) => {
                let (op, key) = if op == EntryOp::Lookup {
                    let key = doing.key.take().unwrap_or_default();
                    doing.read.push((key.clone(), bytes));
                    (EntryOp::Next, key)
                } else {
                    doing.key = Some(bytes.clone());
                    (EntryOp::Lookup, bytes)
                };
                doing.stage = self.call(now, doing.operation.table, op, key, &[]);
                return self.enter(now, id, doing, outbox);
            }
            (Verb::Dump, Err(failure)) if failure.errno == Errno::ENOENT => match doing.key.take() {
                // It went between its key and its value: the walk goes on behind it.
                Some(key) => {
                    doing.stage = self.call(now, doing.operation.table, EntryOp::Next, key, &[]);
                    return self.enter(now, id, doing, outbox);
                }
                None => Ok(std::mem::take(&mut doing.read)),
            },
            (_, Err(failure)) => Err(failure),
        };
        self.outcomes.push(Outcome {
            map: self.tables[doing.operation.table].name.clone(),
            verb: doing.operation.verb.name(),
            began: doing.began,
            ended: now,
            result: ended,
        });
        self.next(now, id, outbox);
    }

    /// A process has waited as long as it does.
    fn gives_up(&mut self, now: Time, id: u16, outbox: &mut impl Posts) {
        let waits = match &self.processes[usize::from(id)].doing {
            Some(Doing { stage: Stage::Asks(call), .. }) => call.answer.is_none() && call.deadline == now,
            _ => false,
        };
        if waits {
            self.goes(now, id, outbox);
        }
    }
}

impl Component for ControlPlane {
    type In = In;
    type Wake = Inner;
    type Out = Out;

    fn handle(&mut self, now: Time, event: In, outbox: &mut impl Outbox<Inner, Out>) {
        match event {
            In::Act(operation) => {
                let id = operation.process;
                if self.processes.len() <= usize::from(id) {
                    self.processes.resize(usize::from(id) + 1, Process::default());
                }
                self.processes[usize::from(id)].waiting.push_back(operation);
                self.next(now, id, outbox);
            }
            In::Card(message) => self.card(now, message, outbox),
        }
    }

    fn wake(&mut self, now: Time, event: Inner, outbox: &mut impl Outbox<Inner, Out>) {
        match event {
            Inner::Sent(id) => self.sent(now, id, outbox),
            Inner::Goes(id) => self.goes(now, id, outbox),
            Inner::GivesUp(id) => self.gives_up(now, id, outbox),
            Inner::Receive => self.receive(now, outbox),
            Inner::Answer => {
                let answer = self.answers.pop_front().expect("an answer for each event");
                outbox.send(self.source, Out(answer));
            }
        }
    }
}
