//! The program as instructions of the card in blocks, and the passes over it.
//!
//! Lowering writes plain code: every value in its home, every half computed, nothing in a delay slot. The passes make it
//! short without knowing BPF any more. Each takes a [`Code`] and leaves one that does the same:
//!
//! | pass | what it does |
//! |---|---|
//! | `pointers` | local memory pointers that stand where they are wanted are not set again |
//! | `flow` | jumps to jumps go straight, jumps to the next instruction and what nothing reaches go, blocks join |
//! | `known` | bits that are known wherever control comes from: constants into operands, tests that are decided |
//! | `copies` | a copy's readers read the original |
//! | `dead` | what nobody reads is not computed: the upper halves most of all |
//! | `fuse` | a test and its branch become one |
//! | `banks` | a value is written to the bank it is read from only |
//! | `early` | local memory pointers are set before instructions that may as well run behind |
//! | `delay` | three instructions between setting a local memory pointer and using it |
//! | `slots` | deferred slots of branches are filled from before them |
//!
//! The order is that of `stages`. The last four run once, and in this order, for they place instructions.

mod banks;
mod bits;
mod copies;
mod dead;
mod delay;
mod early;
mod flow;
mod fuse;
mod known;
mod mirror;
mod pointers;
mod slots;
mod stages;
mod touch;

use std::ops::Range;
use std::rc::Rc;

use bpf::helpers::signature::arguments;
use bpf::program::ProgType;
use nic_model::isa::{Bank, CondCodes, Op, Swap};

use crate::asm::{Assembly, External, Fixup, Goal, Label, Origin};
pub(crate) use bits::Bits;
use known::State;
pub(crate) use known::{Hint, Hints};
use mirror::Mirrored;
pub use stages::Gains;
pub(crate) use stages::Given;
use stages::STAGES;
use touch::{Places, touches};

/// An instruction with where it came from and where it goes.
#[derive(Debug, Clone)]
struct Inst {
    op: Op,
    origin: Origin,
    goal: Option<Goal>,
    /// The first instruction of its slot's translation: what is known before the slot holds here.
    first: bool,
    uses: Places,
    defs: Places,
}

impl Inst {
    fn new(op: Op, origin: Origin, goal: Option<Goal>) -> Self {
        let (uses, defs) = touches(&op);
        Self { op, origin, goal, first: false, uses, defs }
    }

    /// The same place with another instruction.
    fn with(&self, op: impl Into<Op>) -> Self {
        let op = op.into();
        let (uses, defs) = touches(&op);
        Self { op, uses, defs, ..*self }
    }

    /// Whether it is a branch, and so the last of its block.
    fn branches(&self) -> bool {
        match self.op {
            Op::Br(_) | Op::Jump(_) => true,
            Op::BrCond(_) | Op::BrBit(_) | Op::BrByte(_) => matches!(self.goal, Some(Goal::Label(_))),
            _ => false,
        }
    }

    /// Whether it has to stand right behind the instruction before it.
    fn follows(&self) -> bool {
        self.uses.meets(Places::BETWEEN)
    }

    /// What a routine of the firmware reads and what it leaves undefined: the registers of R0 to R5
    /// ([`crate::lower`]'s convention of calls). Nothing of other instructions.
    #[inline]
    fn called(&self) -> Option<(Places, Places)> {
        match self.goal {
            Some(Goal::External(part)) => routine(part),
            _ => None,
        }
    }
}

/// What a routine of the firmware reads and leaves undefined.
fn routine(part: External) -> Option<(Places, Places)> {
    let both = |n: u8| Places::gpr(Bank::A, n).union(Places::gpr(Bank::B, n));
    let lost = [Places::FLAGS, Places::RUNNING, Places::XFER_IN, Places::XFER_OUT, Places::BETWEEN];
    let id = match part {
        External::Helper(id) | External::Routine(id) => id,
        // Address, operand, number expected, which operation; the firmware leaves a number in their place.
        External::Atomic => {
            let reads: Places = (23..30).map(|n| Places::gpr(Bank::A, n)).collect();
            let reads = reads.union(Places::gpr(Bank::B, 30)).union(Places::LOCAL);
            let writes: Places = (23..25).map(both).collect();
            return Some((reads, lost.into_iter().fold(writes, Places::union)));
        }
        _ => return None,
    };
    let plain = matches!(part, External::Helper(_));
    let registers: Places = (0..12).map(both).collect();
    let reads = match id {
        1 | 3 if plain => Places::gpr(Bank::A, 0).union(Places::gpr(Bank::B, 0)),
        2 if plain => [(Bank::A, 0), (Bank::B, 0), (Bank::A, 8), (Bank::A, 9)]
            .map(|(b, n)| Places::gpr(b, n))
            .into_iter()
            .collect(),
        // The program's type in register 0, arguments in bank A.
        _ => {
            let count = [ProgType::Xdp, ProgType::SchedCls].map(|ty| arguments(id, ty).len());
            let last = 2 + 2 * count.into_iter().max().unwrap_or(5) as u8;
            (2..last.min(12))
                .map(|n| Places::gpr(Bank::A, n))
                .collect::<Places>()
                .union(Places::gpr(Bank::A, 0).union(Places::gpr(Bank::B, 0)))
        }
    };
    let reads = [Places::LOCAL, Places::pointer(0), Places::pointer(2)].into_iter().fold(reads, Places::union);
    Some((reads, lost.into_iter().fold(registers, Places::union)))
}

/// Instructions that run one behind the other; the last alone may be a branch.
#[derive(Debug, Clone, Default)]
struct Block {
    labels: Vec<Label>,
    insts: Vec<Inst>,
    memo: Memo,
}

/// What passes remember of a block while its instructions stay what they are: what of it crosses its borders, and for what
/// they have found there they had nothing to do.
#[derive(Debug, Clone, Default)]
struct Memo {
    /// What it reads of what it has not written, and what it leaves as it was.
    live: Option<[Places; 2]>,
    /// What it mirrors, and what stays mirrored.
    mirror: Option<[Mirrored; 2]>,
    /// How many of its instructions are the program's own.
    own: Option<u32>,
    /// Whether an instruction before the last names a label.
    names_label: Option<bool>,
    /// What was live behind it when it was swept.
    swept: Option<Places>,
    /// What was mirrored before it when its copies were forwarded.
    forwarded: Option<Mirrored>,
    /// What was known and mirrored before it, and live behind it, when it was as simple as could be.
    simple: Option<Box<(State, Mirrored, Places)>>,
    /// What was known before it, and live behind it, when its test and branch were one.
    fused: Option<Box<(State, Places)>>,
    /// What is known of the program takes it as it is.
    solved: bool,
}

/// A program.
#[derive(Debug)]
pub(crate) struct Code {
    blocks: Vec<Block>,
    /// The block of each label, by the label's number; of no meaning for labels that nothing stands behind any more.
    places: Vec<u32>,
    /// What the core may fetch behind the program.
    padding: Vec<Inst>,
    /// The assembly's own names of its parts.
    entries: Vec<(External, Label)>,
    labels: usize,
    /// What is known where each block begins, if that has been found out; it holds while every block remembers so.
    known: Option<Vec<Option<State>>>,
    /// Where control may go, as long as it goes there.
    ways: Option<Rc<Ways>>,
}

/// In the place of a block's number: none.
const NOWHERE: u32 = u32::MAX;

/// For each block, those that control may go to.
#[derive(Debug)]
struct Ways {
    /// A range of `to` for each block; all that return share one.
    of: Vec<Range<u32>>,
    to: Vec<u32>,
}

impl Ways {
    /// Where control may go from a block.
    fn of(&self, block: usize) -> impl Iterator<Item = usize> + '_ {
        let Range { start, end } = self.of[block];
        self.to[start as usize..end as usize].iter().map(|to| *to as usize)
    }
}

/// Where control goes from the end of a block.
enum Next {
    /// On to the block behind.
    On,
    /// There and nowhere else.
    To(Label),
    /// There, or on.
    Either(Label),
    /// To one of the return addresses.
    Return,
    /// Through a routine of the firmware to its return address.
    Through(Label),
    /// Out of the program.
    Out,
}

impl Block {
    /// The return address that the block has made up for a routine.
    fn return_label(&self) -> Option<Label> {
        self.insts.iter().rev().find_map(|inst| match (inst.goal, &inst.op) {
            (Some(Goal::Label(label)), Op::Immed(_)) => Some(label),
            _ => None,
        })
    }

    fn new(labels: Vec<Label>, insts: Vec<Inst>) -> Self {
        Block { labels, insts, memo: Memo::default() }
    }

    /// Its instructions are other ones now.
    fn changed(&mut self) {
        self.memo = Memo::default();
    }

    /// Takes out the instructions at these places, which ascend.
    fn remove_all(&mut self, places: impl IntoIterator<Item = usize>) {
        let mut places = places.into_iter().peekable();
        if places.peek().is_some() {
            self.changed();
            let mut numbers = 0..;
            self.insts.retain(|_| {
                let at = numbers.next();
                places.next_if(|place| Some(*place) == at).is_none()
            });
        }
    }

    fn next(&self) -> Next {
        let Some(last) = self.insts.last() else { return Next::On };
        match (&last.op, last.goal) {
            (Op::Br(_), Some(Goal::Label(to))) => Next::To(to),
            (Op::Br(_), Some(Goal::External(External::Helper(_) | External::Routine(_) | External::Atomic))) => {
                Next::Through(self.return_label().expect("a call makes its return address up first"))
            }
            (Op::Br(_), _) => Next::Out,
            (Op::BrCond(_) | Op::BrBit(_) | Op::BrByte(_), Some(Goal::Label(to))) => Next::Either(to),
            (Op::Jump(_), _) => Next::Return,
            _ => Next::On,
        }
    }
}

impl Code {
    /// Takes lowered instructions apart.
    pub(crate) fn of(asm: Assembly) -> Self {
        let entry = |part| asm.entries.iter().find(|(name, _)| *name == part).map(|(_, label)| *label);
        // Parts behind the body are labels like others from here on.
        let inside = |goal| match goal {
            Goal::External(part) => entry(part).map_or(Goal::External(part), Goal::Label),
            other => other,
        };
        let mut goals = asm.fixups.iter().map(|fixup| (fixup.at, inside(fixup.goal))).peekable();
        // A block begins where something goes to.
        let mut wanted = vec![false; asm.labels.len()];
        for fixup in &asm.fixups {
            if let Goal::Label(label) = inside(fixup.goal) {
                wanted[label.number()] = true;
            }
        }
        let places = asm.labels.iter().zip(wanted).enumerate();
        let mut bound: Vec<(usize, Label)> =
            places.filter_map(|(n, (at, wanted))| Some((at.filter(|_| wanted)?, Label::numbered(n)))).collect();
        bound.sort_unstable();
        let mut bound = bound.into_iter().peekable();
        let mut code = Code {
            blocks: vec![Block::default()],
            places: Vec::new(),
            padding: Vec::new(),
            entries: asm.entries.clone(),
            labels: asm.labels.len(),
            known: None,
            ways: None,
        };
        let mut slot = None;
        for (at, (op, origin)) in asm.ops.iter().zip(&asm.origins).enumerate() {
            let mut labels = Vec::new();
            while let Some((_, label)) = bound.next_if(|(place, _)| *place == at) {
                labels.push(label);
            }
            if !labels.is_empty() {
                code.blocks.push(Block::new(labels, Vec::new()));
            }
            let goal = goals.next_if(|(place, _)| *place == at).map(|(_, goal)| goal);
            let mut inst = Inst::new(*op, *origin, goal);
            inst.first = slot.replace(*origin) != Some(*origin);
            match (origin, op) {
                (Origin::Padding, _) => code.padding.push(inst),
                // Delays come back where they are needed.
                (_, Op::Nop(_)) => {}
                _ => code.blocks.last_mut().expect("there is a first").insts.push(inst),
            }
        }
        code.blocks.push(Block::new(bound.map(|(_, label)| label).collect(), Vec::new()));
        code.undefer();
        code.split();
        code
    }

    /// Moves what stands in deferred slots before its branch, and cuts blocks behind branches.
    fn undefer(&mut self) {
        for block in &mut self.blocks {
            let mut at = 0;
            while at < block.insts.len() {
                let slots = usize::from(set_slots(&mut block.insts[at], 0));
                for n in 0..slots {
                    if matches!(block.insts[at + n].op, Op::BrCond(_)) {
                        keep_flags(&mut block.insts[at + 1 + n]);
                    }
                    block.insts.swap(at + n, at + 1 + n);
                }
                at += 1 + slots;
            }
        }
    }

    fn split(&mut self) {
        let mut blocks: Vec<Block> = Vec::new();
        for block in std::mem::take(&mut self.blocks) {
            let Block { labels, mut insts, .. } = block;
            // From the end on: what stands behind the last branch, behind the one before it, and so on.
            let first = blocks.len();
            let mut end = insts.len();
            while let Some(branch) = insts[..end].iter().rposition(Inst::branches) {
                blocks.push(Block::new(Vec::new(), insts.split_off(branch + 1)));
                end = branch;
            }
            blocks.push(Block::new(labels, insts));
            blocks[first..].reverse();
        }
        self.blocks = blocks;
        self.index();
    }

    /// Notes where labels are.
    fn index(&mut self) {
        self.places.clear();
        self.places.resize(self.labels, NOWHERE);
        for (at, block) in self.blocks.iter().enumerate() {
            for label in &block.labels {
                self.places[label.number()] = at as u32;
            }
        }
    }

    fn place(&self, label: Label) -> usize {
        let at = self.places[label.number()];
        assert!(at != NOWHERE, "a label that is gone to is bound");
        at as usize
    }

    /// Blocks that return addresses name.
    fn returns(&self) -> Vec<u32> {
        let insts = self.blocks.iter().flat_map(|block| &block.insts);
        let taken = insts.filter_map(|inst| match (inst.goal, &inst.op) {
            (Some(Goal::Label(label)), Op::Immed(_)) => Some(self.place(label) as u32),
            _ => None,
        });
        let mut taken: Vec<_> = taken.collect();
        taken.sort_unstable();
        taken.dedup();
        taken
    }

    /// Control goes other ways than before.
    fn reroute(&mut self) {
        (self.known, self.ways) = (None, None);
    }

    /// Where control may go from each block.
    fn ways(&mut self) -> Rc<Ways> {
        let ways = self.ways.take().unwrap_or_else(|| Rc::new(self.find_ways()));
        self.ways.insert(ways).clone()
    }

    fn find_ways(&self) -> Ways {
        let end = self.blocks.len() as u32;
        let within = |to: usize| (to < end as usize).then_some(to as u32).into_iter();
        let returns = self.blocks.iter().any(|block| matches!(block.next(), Next::Return));
        let mut to = if returns { self.returns() } else { Vec::new() };
        let returns = 0..to.len() as u32;
        let of = |(at, block): (usize, &Block)| {
            let start = to.len() as u32;
            match block.next() {
                Next::On => to.extend(within(at + 1)),
                Next::To(label) | Next::Through(label) => to.extend(within(self.place(label))),
                Next::Either(label) => to.extend(within(at + 1).chain(within(self.place(label)))),
                Next::Return => return returns.clone(),
                Next::Out => {}
            }
            start..to.len() as u32
        };
        let of = self.blocks.iter().enumerate().map(of).collect();
        Ways { of, to }
    }

    /// What is known is asked for anew: other things are told of the program than before.
    fn forget_known(&mut self) {
        self.known = None;
        for memo in self.blocks.iter_mut().map(|block| &mut block.memo) {
            (memo.simple, memo.fused) = (None, None);
        }
    }

    /// Instructions there are.
    fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.insts.len()).sum()
    }

    /// Runs the passes.
    pub(crate) fn optimise(&mut self, given: &Given) -> Gains {
        let mut gains = Gains::from_plain(self.body());
        for stage in STAGES {
            self.forget_known();
            for _ in 0..stage.rounds {
                let before = self.len();
                for pass in stage.passes {
                    (pass.run)(self, given);
                    gains.note(pass.name, self.body());
                }
                if self.len() == before {
                    break;
                }
            }
        }
        gains
    }

    /// Instructions that come from the program's own.
    fn body(&mut self) -> usize {
        let own = |inst: &&Inst| matches!(inst.origin, Origin::Slot(_));
        let of = |Block { insts, memo, .. }: &mut Block| {
            *memo.own.get_or_insert_with(|| insts.iter().filter(own).count() as u32) as usize
        };
        self.blocks.iter_mut().map(of).sum()
    }

    /// The instructions one behind the other again.
    pub(crate) fn assemble(self) -> Assembly {
        let mut asm = Assembly::default();
        asm.labels = vec![None; self.labels];
        let blocks = self.blocks.into_iter().chain([Block::new(Vec::new(), self.padding)]);
        for block in blocks {
            for label in block.labels {
                asm.bind(label);
            }
            for inst in block.insts {
                if let Some(goal) = inst.goal {
                    asm.fixups.push(Fixup { at: asm.ops.len(), goal });
                }
                asm.ops.push(inst.op);
                asm.origins.push(inst.origin);
            }
        }
        let bound = |label: Label| asm.is_bound(label);
        asm.entries = self.entries.into_iter().filter(|(_, label)| bound(*label)).collect();
        asm
    }
}

/// Sets how many instructions behind a branch or command run before it acts; returns how many did.
fn set_slots(inst: &mut Inst, slots: u8) -> u8 {
    match &mut inst.op {
        Op::Br(op) => std::mem::replace(&mut op.defer, slots),
        Op::BrCond(op) => std::mem::replace(&mut op.defer, slots),
        Op::BrBit(op) => std::mem::replace(&mut op.defer, slots),
        Op::BrByte(op) => std::mem::replace(&mut op.defer, slots),
        Op::Jump(op) => std::mem::replace(&mut op.defer, slots),
        Op::Cmd(op) => match &mut op.completion.swap {
            Swap::After(defer) => std::mem::replace(defer, slots),
            Swap::No => 0,
        },
        _ => 0,
    }
}

/// The condition codes field of an instruction that has one.
fn cond_codes(op: &mut Op) -> Option<&mut CondCodes> {
    match op {
        Op::Alu(op) => Some(&mut op.cc),
        Op::Move(op) => Some(&mut op.cc),
        Op::ShfMove(op) => Some(&mut op.cc),
        Op::AluShf(op) => Some(&mut op.cc),
        Op::DblShf(op) => Some(&mut op.cc),
        Op::Asr(op) => Some(&mut op.cc),
        Op::MulStart(op) => Some(&mut op.cc),
        Op::MulStep(op) => Some(&mut op.cc),
        Op::MulLast(op) => Some(&mut op.cc),
        _ => None,
    }
}

/// Makes an instruction leave the condition codes alone.
fn keep_flags(inst: &mut Inst) {
    if let Some(cc) = cond_codes(&mut inst.op) {
        *cc = CondCodes::Keep;
        *inst = inst.with(inst.op);
    }
}
