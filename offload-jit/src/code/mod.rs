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

use std::collections::BTreeMap;

use bpf::helpers::signature::arguments;
use bpf::program::ProgType;
use nic_model::isa::{Bank, CondCodes, Op, Swap};

use crate::asm::{Assembly, External, Fixup, Goal, Label, Origin};
pub(crate) use bits::Bits;
pub(crate) use known::Hint;
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

    /// Whether it has to stand right behind the instruction before it.
    fn follows(&self) -> bool {
        self.uses.meets(Places::BETWEEN)
    }

    /// What a routine of the firmware reads and what it leaves undefined: the registers of R0 to R5
    /// ([`crate::lower`]'s convention of calls). Nothing of other instructions.
    fn called(&self) -> Option<(Places, Places)> {
        let both = |n: u8| Places::gpr(Bank::A, n).union(Places::gpr(Bank::B, n));
        let lost = [Places::FLAGS, Places::RUNNING, Places::XFER_IN, Places::XFER_OUT, Places::BETWEEN];
        let id = match self.goal {
            Some(Goal::External(External::Helper(id) | External::Routine(id))) => id,
            // Address, operand, number expected, which operation; the firmware leaves a number in their place.
            Some(Goal::External(External::Atomic)) => {
                let reads: Places = (23..30).map(|n| Places::gpr(Bank::A, n)).collect();
                let reads = reads.union(Places::gpr(Bank::B, 30)).union(Places::LOCAL);
                let writes: Places = (23..25).map(both).collect();
                return Some((reads, lost.into_iter().fold(writes, Places::union)));
            }
            _ => return None,
        };
        let plain = matches!(self.goal, Some(Goal::External(External::Helper(_))));
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
}

/// Instructions that run one behind the other; the last alone may be a branch.
#[derive(Debug, Clone, Default)]
struct Block {
    labels: Vec<Label>,
    insts: Vec<Inst>,
}

/// A program.
#[derive(Debug)]
pub(crate) struct Code {
    blocks: Vec<Block>,
    /// Where each label is.
    places: BTreeMap<Label, usize>,
    /// What the core may fetch behind the program.
    padding: Vec<Inst>,
    /// The assembly's own names of its parts.
    entries: Vec<(External, Label)>,
    labels: usize,
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
        let goals: BTreeMap<usize, Goal> = asm.fixups.iter().map(|fixup| (fixup.at, fixup.goal)).collect();
        let entry = |part| asm.entries.iter().find(|(name, _)| *name == part).map(|(_, label)| *label);
        // Parts behind the body are labels like others from here on.
        let goal = |at: usize| match goals.get(&at) {
            Some(Goal::External(part)) => Some(entry(*part).map_or(Goal::External(*part), Goal::Label)),
            other => other.copied(),
        };
        let mut bound: BTreeMap<usize, Vec<Label>> = BTreeMap::new();
        for (n, at) in asm.labels.iter().enumerate() {
            if let Some(at) = at {
                bound.entry(*at).or_default().push(Label::numbered(n));
            }
        }
        let mut code = Code {
            blocks: vec![Block::default()],
            places: BTreeMap::new(),
            padding: Vec::new(),
            entries: asm.entries.clone(),
            labels: asm.labels.len(),
        };
        let mut slot = None;
        for (at, (op, origin)) in asm.ops.iter().zip(&asm.origins).enumerate() {
            if let Some(labels) = bound.remove(&at) {
                code.blocks.push(Block { labels, insts: Vec::new() });
            }
            let mut inst = Inst::new(*op, *origin, goal(at));
            inst.first = slot.replace(*origin) != Some(*origin);
            match (origin, op) {
                (Origin::Padding, _) => code.padding.push(inst),
                // Delays come back where they are needed.
                (_, Op::Nop(_)) => {}
                _ => code.blocks.last_mut().expect("there is a first").insts.push(inst),
            }
        }
        code.blocks.push(Block { labels: bound.into_values().flatten().collect(), insts: Vec::new() });
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
                    let mut moved = block.insts.remove(at + 1 + n);
                    if matches!(block.insts[at + n].op, Op::BrCond(_)) {
                        keep_flags(&mut moved);
                    }
                    block.insts.insert(at + n, moved);
                }
                at += 1 + slots;
            }
        }
    }

    fn split(&mut self) {
        let mut blocks: Vec<Block> = Vec::new();
        for block in std::mem::take(&mut self.blocks) {
            let mut now = Block { labels: block.labels, insts: Vec::new() };
            for inst in block.insts {
                now.insts.push(inst);
                if !matches!(now.next(), Next::On) {
                    blocks.push(std::mem::take(&mut now));
                }
            }
            blocks.push(now);
        }
        self.blocks = blocks;
        self.index();
    }

    /// Notes where labels are.
    fn index(&mut self) {
        let labels = self.blocks.iter().enumerate();
        self.places = labels.flat_map(|(at, block)| block.labels.iter().map(move |label| (*label, at))).collect();
    }

    fn place(&self, label: Label) -> usize {
        *self.places.get(&label).expect("a label that is gone to is bound")
    }

    /// Blocks that return addresses name.
    fn returns(&self) -> Vec<usize> {
        let insts = self.blocks.iter().flat_map(|block| &block.insts);
        let taken = insts.filter_map(|inst| match (inst.goal, &inst.op) {
            (Some(Goal::Label(label)), Op::Immed(_)) => Some(self.place(label)),
            _ => None,
        });
        let mut taken: Vec<_> = taken.collect();
        taken.sort_unstable();
        taken.dedup();
        taken
    }

    /// For each block, those that control may go to.
    fn successors(&self) -> Vec<Vec<usize>> {
        let returns = self.returns();
        let of = |(at, block): (usize, &Block)| match block.next() {
            Next::On => vec![at + 1],
            Next::To(label) | Next::Through(label) => vec![self.place(label)],
            Next::Either(label) => vec![at + 1, self.place(label)],
            Next::Return => returns.clone(),
            Next::Out => Vec::new(),
        };
        let end = self.blocks.len();
        let of = self.blocks.iter().enumerate().map(of);
        of.map(|to| to.into_iter().filter(|to| *to < end).collect()).collect()
    }

    /// Instructions there are.
    fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.insts.len()).sum()
    }

    /// Runs the passes.
    pub(crate) fn optimise(&mut self, given: &Given) -> Gains {
        let mut gains = Gains::from_plain(self.body());
        for stage in STAGES {
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
    fn body(&self) -> usize {
        let insts = self.blocks.iter().flat_map(|block| &block.insts);
        insts.filter(|inst| matches!(inst.origin, Origin::Slot(_))).count()
    }

    /// The instructions one behind the other again.
    pub(crate) fn assemble(self) -> Assembly {
        let mut asm = Assembly::default();
        asm.labels = vec![None; self.labels];
        let blocks = self.blocks.into_iter().chain([Block { labels: Vec::new(), insts: self.padding }]);
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
