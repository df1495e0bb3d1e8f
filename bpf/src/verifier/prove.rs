//! Whether a state proves a demand. Nothing here changes a state.

mod argument;
mod memory;

pub(super) use argument::constant_key;

use super::Options;
use super::bounds::Bounds;
use super::demand::Demand;
use super::explored::Kind;
use super::log::kind_name;
use super::pointer;
use super::state::{MAX_FRAMES, State, Value};
use super::verdict::{Proof, Stop};
use crate::errno::Errno;
use crate::insn::{Operand, Reg};
use crate::program::{MapIndex, MapSpec, Program};

/// What holds for the whole of a verification.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub program: &'a Program,
    pub options: &'a Options,
}

impl<'a> Setting<'a> {
    /// A map that an instruction names; the static checks saw to it that there is one.
    pub(super) fn map(&self, map: MapIndex) -> &'a MapSpec {
        &self.program.maps[map.0 as usize]
    }
}

/// The value of an operand.
pub(super) fn operand(state: &State, src: Operand) -> Value {
    match src {
        Operand::Reg(r) => *state.reg(r),
        Operand::Imm(imm) => Value::number(Bounds::known(i64::from(imm) as u64)),
    }
}

/// Proves one demand.
pub(super) fn prove(setting: Setting<'_>, state: &State, demand: &Demand) -> Proof {
    match demand {
        Demand::Readable(reg) => readable(state, *reg),
        Demand::Writable(reg) if *reg == Reg::R10 => Err(Stop::denied("frame pointer is read only")),
        Demand::Writable(_) => Ok(()),
        Demand::PointerMath { width, op, dst, src } => {
            let (left, right) = (state.reg(*dst), operand(state, *src));
            if left.is_number() && right.is_number() {
                return Ok(());
            }
            pointer::math(*width, *op, *dst, left, &right, 0).map(|_| ())
        }
        Demand::Memory(access) => memory::accessible(setting, state, access),
        Demand::AtomicTarget(reg) => {
            let kind = state.reg(*reg).kind;
            if kind == Kind::Ctx || kind.is_packet() {
                let name = kind_name(kind);
                return Err(Stop::denied(format!("BPF_ATOMIC stores into R{} {name} is not allowed", reg.index())));
            }
            Ok(())
        }
        Demand::SkbIn(reg) => {
            let value = state.reg(*reg);
            if value.kind != Kind::Ctx {
                return Err(Stop::invalid("at the time of BPF_LD_ABS|IND R6 != pointer to skb"));
            }
            memory::unmoved(*reg, value)
        }
        Demand::Argument { proto, index } => argument::fits(setting, state, proto, *index),
        Demand::MapFits(proto) => argument::map_fits(setting, state, proto),
        Demand::FrameLeft if state.frames.len() >= MAX_FRAMES => {
            let line = format!("the call stack of {} frames is too deep", MAX_FRAMES + 1);
            Err(Stop::refused(Errno::E2BIG, line))
        }
        Demand::FrameLeft => Ok(()),
        Demand::Return if state.depth() == 0 => readable(state, Reg::R0),
        Demand::Return => match state.reg(Reg::R0).kind {
            // It would point into a frame that is gone.
            Kind::Stack { .. } => Err(Stop::invalid("cannot return stack pointer to the caller")),
            _ => Ok(()),
        },
        Demand::Never(errno, line) => Err(Stop::refused(*errno, line.clone())),
        Demand::Unmodelled(code, reason) => Err(Stop::unsupported(code, reason.clone())),
    }
}

fn readable(state: &State, reg: Reg) -> Proof {
    match state.reg(reg).kind {
        Kind::Uninit => Err(Stop::denied(format!("R{} !read_ok", reg.index()))),
        _ => Ok(()),
    }
}
