//! Admission: which programs the card takes, and what each instruction asks of it.
//!
//! Every instruction becomes an [`Action`] or a refusal; then the program as a whole is held against the card: its maps,
//! its stack, its reach into the packet. Nothing stops at the first refusal. What the rules are is the Linux driver's
//! business (its verifier hook and its translator), so the record of exploration is read, not the facts.
//!
//! Three things that the driver takes for others are refused here: sign-extending moves, which it copies plainly, R10 as an
//! operand of arithmetic, for which it reads scratch registers, and offsets of classic packet loads that it cuts to 16
//! bits. Faults that show at particular values only are kept, and noted ([`Fault`]).

mod alu;
mod best;
mod call;
mod frames;
mod maps;
mod memory;

use bpf::insn::{Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use bpf::program::{MapIndex, ProgType, Program};
use bpf::verifier::{Detail, Explored, Fate, SlotSeen};
use nic_model::profile::Capabilities;

pub(crate) use alu::amount;
pub(crate) use best::admit as admit_best;
pub(crate) use frames::{FRAME_ALIGN, Frame};
pub(crate) use maps::MapUse;

use crate::action::{Action, Step};
use crate::budget::Budget;
use crate::image::{Fault, Note};
use crate::refusal::{Cause, Refusal, Rule};

/// A device's MTU unless set otherwise (Linux, `ETH_DATA_LEN`), which caps a program's reach into the packet.
const DEFAULT_MTU: u32 = 1500;

/// A program that can be translated, with every instruction's meaning settled.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    /// By slot of the original program.
    pub steps: Vec<Step>,
    /// The hook, XDP or tc.
    pub hook: Hook,
    /// Functions, by first slot, ascending; the first is the main one.
    pub frames: Vec<Frame>,
    /// Limits of `bpf_xdp_adjust_head`.
    pub head: HeadLimits,
    /// The program asks for redirects, so that its verdict may be one.
    pub redirects: bool,
    /// What is known to go wrong.
    pub notes: Vec<Note>,
}

/// Where a program is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// XDP.
    Xdp,
    /// tc, direct action.
    Tc,
}

/// Offsets of a packet in its buffer between which `bpf_xdp_adjust_head` may move its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HeadLimits {
    /// Least.
    pub least: u8,
    /// Greatest.
    pub most: u8,
}

/// What admission came to.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// The program with its meaning settled; nothing where a feature is missing.
    pub admitted: Option<Admitted>,
    /// Every reason against the program, but for its length.
    pub refusals: Vec<Refusal>,
    /// The maps the program names.
    pub maps: Vec<MapUse>,
    /// What it needs; its length is not known yet.
    pub budget: Budget,
}

/// One admission under way.
struct Visit<'a> {
    program: &'a Program,
    card: &'a Capabilities,
    hook: Hook,
    refusals: Vec<Refusal>,
    notes: Vec<Note>,
    words: maps::WordUses,
    head: call::HeadCalls,
    /// First slot of the first called function.
    callees: usize,
    /// It is this project's own translation that is asked for.
    best: bool,
}

/// Holds a program against a card as the Linux driver does.
pub(crate) fn admit(program: &Program, explored: &Explored, card: &Capabilities) -> Admission {
    let callees = explored.functions().get(1).map_or(usize::MAX, |second| second.start);
    let mut visit = Visit::new(program, card, callees);
    visit.check_type();
    let mut steps: Vec<Step> =
        (0..program.insns.len()).map(|slot| Step { action: visit.slot(explored, slot), target: false }).collect();
    mark_targets(program, &mut steps);
    visit.settle_head(&mut steps);
    let frames = frames::frames(program, explored);
    visit.finish(program, steps, frames, explored.max_packet_offset())
}

impl<'a> Visit<'a> {
    fn new(program: &'a Program, card: &'a Capabilities, callees: usize) -> Self {
        Visit {
            program,
            card,
            hook: if program.ty == ProgType::Xdp { Hook::Xdp } else { Hook::Tc },
            refusals: Vec::new(),
            notes: Vec::new(),
            words: maps::WordUses::new(program),
            head: call::HeadCalls::default(),
            callees,
            best: false,
        }
    }

    /// Holds the program as a whole against the card. `frames` are those of `running`'s functions.
    fn finish(mut self, running: &Program, steps: Vec<Step>, frames: Vec<Frame>, reach: u32) -> Admission {
        let stack = self.check_stack(running, &frames);
        let packet_reach = self.check_reach(reach);
        let (maps, map_entries) = self.check_maps();
        let on_card = maps.iter().filter(|used| used.on_card).count();
        let budget = Budget { words: None, stack, packet_reach, maps: on_card as u32, map_entries };
        let Visit { refusals, notes, card, hook, .. } = self;
        let admitted = refusals.iter().all(|refusal| refusal.rule.cause() == Cause::Size).then(|| {
            let head = card.adjust_head.as_ref().map_or_else(HeadLimits::default, |limits| HeadLimits {
                least: limits.offset_min,
                most: limits.offset_max,
            });
            Admitted { steps, hook, frames, head, redirects: false, notes }
        });
        Admission { admitted, refusals, maps, budget }
    }
}

/// Marks the slots that jumps and calls go to. Dead ones count: the driver marks them before anything is verified.
fn mark_targets(program: &Program, steps: &mut [Step]) {
    for (slot, insn) in program.insns.iter().enumerate() {
        let to = insn.target(slot).or_else(|| match insn {
            Insn::Call { .. } => insn.function(slot),
            _ => None,
        });
        if let Some(step) = to.and_then(|to| usize::try_from(to).ok()).and_then(|to| steps.get_mut(to)) {
            step.target = true;
        }
    }
}

impl Visit<'_> {
    /// The driver's translator has epilogues for two types; the card may take fewer.
    fn check_type(&mut self) {
        let ty = self.program.ty;
        let taken = [ProgType::Xdp, ProgType::SchedCls].into_iter().filter(|ty| self.card.takes_program(*ty));
        let taken: Vec<_> = taken.collect();
        if !taken.contains(&ty) {
            let names: Vec<_> = taken.iter().map(|ty| ty.name()).collect();
            self.refusals.push(
                Refusal::new(Rule::ProgramType, "the card does not run programs of this type")
                    .named(&self.program.name)
                    .limit(names.join(", "), ty)
                    .help("attach the program at the host's hook, or make it an XDP program"),
            );
        }
    }

    fn refuse(&mut self, slot: usize, refusal: Refusal) -> Action {
        self.refusals.push(refusal.at(self.program, slot));
        Action::Nothing
    }

    /// What a slot asks for. Refused or dead slots ask for nothing.
    fn slot(&mut self, explored: &Explored, slot: usize) -> Action {
        let Some(seen) = explored.slot(slot).filter(|seen| is_translated(seen)) else { return Action::Nothing };
        match self.program.insns[slot] {
            Insn::Alu { width, op, dst, src } => self.alu(slot, width, op, dst, src, seen),
            Insn::Mov { width, dst, src, sext } => self.mov(slot, width, dst, src, sext),
            Insn::Neg { width, dst } => Action::Negate { width, dst, zext: seen.zext },
            Insn::End { order, dst, bits } => self.byte_order(slot, order, dst, bits),
            Insn::LoadImm64 { dst, value } => self.wide(slot, dst, value),
            // The driver translates a wide load at its second slot; what counts is that it comes after the first.
            Insn::Pad => Action::Nothing,
            Insn::Load { size, sext, dst, base, off } => self.load(slot, size, sext, dst, base, off, seen),
            Insn::Store { size, base, off, src } => self.store(slot, size, base, off, src, seen),
            Insn::LoadPacket { size, mode, imm } => self.classic(slot, size, mode, imm, seen.zext),
            Insn::Atomic { op, fetch, size, base, off, src } => {
                self.atomic(slot, (op, fetch), size, base, off, src, seen)
            }
            Insn::LoadAcquire { .. } => self.refuse(slot, newer("load_acquire")),
            Insn::StoreRelease { .. } => self.refuse(slot, newer("store_release")),
            Insn::AddrSpaceCast { .. } => self.refuse(slot, newer("addr_space_cast")),
            Insn::MayGoto { .. } => self.refuse(slot, newer("may_goto")),
            Insn::Jump { long, .. } => self.jump(slot, long),
            Insn::Branch { width, cond, dst, src, .. } => self.branch(slot, width, cond, dst, src),
            Insn::Call { callee } => self.call(slot, callee, seen),
            Insn::Exit => self.exit(slot, seen),
        }
    }

    fn branch(&mut self, slot: usize, width: Width, cond: Cond, dst: Reg, src: Operand) -> Action {
        if self.operands(slot, dst, src).is_none() {
            return Action::Nothing;
        }
        // Of these the driver negates the constant; unsigned and of 32 bits that does no harm.
        let (negates, signed) = match cond {
            Cond::Ge | Cond::Lt => (true, false),
            Cond::Sge | Cond::Slt => (true, true),
            _ => (false, false),
        };
        if negates && src == Operand::Imm(i32::MIN) && (signed || width == Width::W64) {
            self.note(slot, Fault::LeastConstant);
        }
        Action::Branch { width, cond, dst, src, negated: false, to: self.target(slot) }
    }

    fn note(&mut self, slot: usize, fault: Fault) {
        self.notes.push(Note { slot, fault });
    }

    /// Where a verified jump goes; the verifier has seen to it that it stays inside.
    fn target(&self, slot: usize) -> usize {
        self.program.insns[slot].target(slot).and_then(|to| usize::try_from(to).ok()).unwrap_or(slot + 1)
    }

    /// R10 has no registers on the card: it is computed where it is moved.
    fn operands(&mut self, slot: usize, dst: Reg, src: Operand) -> Option<()> {
        if dst != Reg::R10 && src != Operand::Reg(Reg::R10) {
            return Some(());
        }
        self.refuse(
            slot,
            Refusal::new(Rule::FramePointer, "the frame pointer is no operand on the card: it has no register there")
                .limit("r10 in 64-bit moves and as an address", "r10 as an operand")
                .help("copy r10 to another register with a 64-bit move first"),
        );
        None
    }

    fn wide(&mut self, slot: usize, dst: Reg, value: Wide) -> Action {
        match value {
            Wide::Value(value) => Action::Wide { dst, value },
            Wide::Map(map) => Action::Table { dst, map },
            Wide::MapValue { map, .. } => self.map_value_address(slot, map),
            Wide::Variable { .. } => self.refuse(
                slot,
                Refusal::new(Rule::KernelFunction, "there is no kernel on the card whose variables could be addressed")
                    .help("do without kernel variables, or run the program on the host"),
            ),
            Wide::Func { .. } => self.refuse(
                slot,
                Refusal::new(Rule::FunctionAddress, "the card has no addresses of functions")
                    .help("call the function directly instead of handing it to a helper"),
            ),
        }
    }

    fn map_value_address(&mut self, slot: usize, map: MapIndex) -> Action {
        let name = self.program.maps.get(map.0 as usize).map_or("", |spec| spec.name.as_str());
        let actual = format!("map {name}");
        self.refuse(
            slot,
            Refusal::new(Rule::MapValueAddress, "a map's values have no constant address: they live on the card")
                .limit("values found by bpf_map_lookup_elem", actual)
                .help("keep global data in an array map and look it up, or make it constant"),
        )
    }

    fn classic(&mut self, slot: usize, size: Size, mode: PacketMode, imm: i32, zext: bool) -> Action {
        let index = match mode {
            PacketMode::Abs => None,
            PacketMode::Ind(reg) => Some(reg),
        };
        match u16::try_from(imm) {
            Ok(offset) => Action::Classic { size, index, offset, zext },
            Err(_) => self.refuse(
                slot,
                Refusal::new(Rule::PacketOffset, "the translator keeps 16 bits of this offset")
                    .limit("0 to 65535", imm)
                    .help("use an offset from the start of the packet"),
            ),
        }
    }

    fn jump(&mut self, slot: usize, long: bool) -> Action {
        if long {
            return self.refuse(slot, opcode("a jump with a 32-bit distance").help("build for -mcpu=v3 or below"));
        }
        Action::Jump { to: self.target(slot) }
    }

    /// XDP takes any return code; tc only those whose meaning the card can tell the stack.
    fn exit(&mut self, slot: usize, seen: &SlotSeen) -> Action {
        if let (Hook::Tc, Detail::Exit(exit)) = (self.hook, &seen.detail) {
            let taken = |code: &u64| matches!(code, 2 | 4 | 5) || *code > 7;
            let actual = match exit.constants.iter().find(|code| !taken(code)) {
                _ if exit.variable => Some("not constant".to_owned()),
                Some(code) => Some(code.to_string()),
                None => None,
            };
            if let Some(actual) = actual {
                return self.refuse(
                    slot,
                    Refusal::new(Rule::TcExit, "the card cannot tell the stack this tc verdict")
                        .limit("a constant: 2 (shot), 4 (stolen), 5 (queued), or above 7 (unspecified)", actual)
                        .help("return TC_ACT_UNSPEC (-1) to let a packet pass"),
                );
            }
        }
        Action::Exit
    }

    /// Packet data beyond what the firmware keeps in packet memory cannot be reached.
    fn check_reach(&mut self, reach: u32) -> u32 {
        let reach = reach.min(DEFAULT_MTU);
        let limit = self.card.packet_reach.value.0;
        if u64::from(reach) > limit {
            self.refusals.push(
                Refusal::new(Rule::PacketReach, "the program may reach packet data that is not in packet memory")
                    .named(&self.program.name)
                    .limit(format!("{limit} B"), format!("{reach} B"))
                    .help("bound the offsets the program computes, or set a smaller MTU"),
            );
        }
        reach
    }
}

/// An instruction the driver has no handler for.
fn opcode(what: &str) -> Refusal {
    Refusal::new(Rule::Opcode, format!("the translator has no code for {what}"))
}

/// An instruction younger than the driver.
fn newer(name: &str) -> Refusal {
    opcode(name).help("do without it, or run the program on the host")
}

/// Whether an instruction is translated at all: the verifier walked it and left it. A conditional jump that always jumps
/// stays as it is.
fn is_translated(seen: &SlotSeen) -> bool {
    match seen.fate {
        Fate::Kept => seen.visited(),
        Fate::HardWired { removed, .. } => !removed,
        Fate::Removed => false,
    }
}
