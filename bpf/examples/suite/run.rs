//! Runs a program of the suite: R1 points to memory, R2 is its length, helper 5 answers with its first argument.

use bpf::env::FixedEnv;
use bpf::insn::{AluOp, Insn, Operand, RawInsn, Reg, Size, Width, decode};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, HelperCall, Observer, RunInput, SkbFields, XdpFields};
use bpf::memory::Arena;
use bpf::program::{ProgType, Program};

/// Where a program finds its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// As the suite has it.
    Memory,
    /// In the packet of a classifier, whose context is R1: for the packet loads, which the suite has none of.
    Packet,
}

/// The suite's helper.
struct Helper;

impl Observer for Helper {
    fn answer(&mut self, call: &HelperCall, _: &Arena) -> Option<u64> {
        (call.id == 5).then_some(call.args[0])
    }
}

/// R0 at the program's end.
///
/// # Errors
/// What is no program, or the guest's fault.
pub fn run(slots: &[RawInsn], memory: &[u8], entry: Entry) -> Result<u64, String> {
    let program = decode(slots).map_err(|e| e.to_string())?;
    execute(program, memory, entry)
}

fn execute(program: Vec<Insn>, memory: &[u8], entry: Entry) -> Result<u64, String> {
    let (ty, context, mut insns) = match entry {
        Entry::Memory => (ProgType::Xdp, ContextInput::Xdp(XdpFields::default()), prologue(memory.is_empty())),
        Entry::Packet => (ProgType::SchedCls, ContextInput::Skb(SkbFields::default()), Vec::new()),
    };
    insns.extend(program);
    let code = Code::new(&Program::from_insns("main", ty, insns, Vec::new())).map_err(|d| d.headline())?;
    let config = EngineConfig { packet_max: memory.len().max(64) as u32, ..EngineConfig::default() };
    let mut engine = Engine::new(config, &[]).map_err(|d| d.headline())?;
    let outcome = engine.run(&code, RunInput { context, packet: memory }, &mut FixedEnv::default(), &mut Helper);
    match outcome.fault {
        None => Ok(outcome.retval),
        Some(fault) => Err(fault.to_string()),
    }
}

/// From the context of an XDP program to a pointer and a length.
fn prologue(nothing: bool) -> Vec<Insn> {
    let load = |dst, off| Insn::Load { size: Size::W, sext: false, dst, base: Reg::R1, off };
    let zero = |dst| Insn::Mov { width: Width::W64, dst, src: Operand::Imm(0), sext: None };
    if nothing {
        return vec![zero(Reg::R1), zero(Reg::R2)];
    }
    let length = Insn::Alu { width: Width::W64, op: AluOp::Sub, dst: Reg::R2, src: Operand::Reg(Reg::R1) };
    vec![load(Reg::R2, 4), load(Reg::R1, 0), length]
}
