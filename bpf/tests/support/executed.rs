//! Random programs to be run: all of them are meant to be accepted, and between them they execute every instruction and
//! every form of call. Nothing in them depends on time, chance or the processor.
//!
//! Registers by convention: R6 context, R7 the packet (not in socket filters), R8 a value of the array, R9 a number that
//! ends up in everything that can be compared. R0 to R5 are free; the eight words below the frame pointer hold numbers.

use bpf::engines::{Entry, Link, ProgramSet};
use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};

use super::arith;
use super::asm::*;
use super::both::spec;
use super::rng::Rng;

mod pieces;
mod snippets;

pub use pieces::Form;

const PROGRAMS: u32 = 0;
const VALUE: u32 = 1;
const HASH: u32 = 2;
const ARRAY: u32 = 3;
/// Slots of the program array.
const SLOTS: u32 = 8;
/// Bytes of the packet that every program checks for.
const CHECKED: i32 = 34;
/// Registers that hold numbers after [`Draft::numbers`].
const FREE: [Reg; 6] = [R0, R1, R2, R3, R4, R5];
const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::D];

fn maps() -> Vec<MapSpec> {
    vec![
        spec(MapType::PROG_ARRAY, 4, 4, SLOTS, 0),
        spec(MapType::ARRAY, 4, 64, 1, 0),
        spec(MapType::HASH, 4, 16, 64, 0),
        spec(MapType::ARRAY, 4, 8, 5, 0),
    ]
}

/// Slots that name functions, and which.
type Names = Vec<(usize, usize)>;

/// A program in the making.
struct Draft {
    rng: Rng,
    ty: ProgType,
    /// The function being written.
    out: Vec<Insn>,
    /// Where it names other functions: slot, function.
    names: Names,
    /// Functions behind the main one, each with the names in it.
    functions: Vec<(Vec<Insn>, Names)>,
    /// What it is made of.
    forms: Vec<Form>,
    /// How many snippets call functions already: no more than Linux has the patience for.
    calls: u32,
}

/// A set, and which forms of calls stand in it.
pub struct Made {
    pub set: ProgramSet,
    pub forms: Vec<Form>,
}

/// A set of programs of that type from that seed.
pub fn set(seed: u64, ty: ProgType) -> Made {
    let mut rng = Rng::new(seed);
    let (main, mut forms) = program(rng.word(), ty, 6);
    let mut set = ProgramSet::of(main);
    if forms.iter().any(|form| form.is_tail_call()) {
        for _ in 0..rng.below(4) {
            let (part, more) = program(rng.word(), ty, 2);
            forms.extend(more);
            let link = Link { map: 0, slot: rng.below(u64::from(SLOTS)) as u32, part: Some(set.parts.len()) };
            set.links.push(link);
            set.parts.push(part);
        }
        if rng.once_in(6) {
            set.links.push(Link { map: 0, slot: rng.below(u64::from(SLOTS)) as u32, part: None });
        }
    }
    let bytes = |rng: &mut Rng, words: usize| (0..words).flat_map(|_| rng.word().to_le_bytes()).collect::<Vec<u8>>();
    set.entries.push(Entry { map: VALUE as usize, key: vec![0; 4], value: bytes(&mut rng, 8) });
    for _ in 0..rng.below(9) {
        let key = (rng.below(16) as u32).to_le_bytes().to_vec();
        set.entries.push(Entry { map: HASH as usize, key, value: bytes(&mut rng, 2) });
    }
    for index in 0..5u32 {
        let value = bytes(&mut rng, 1);
        set.entries.push(Entry { map: ARRAY as usize, key: index.to_le_bytes().to_vec(), value });
    }
    Made { set, forms }
}

fn program(seed: u64, ty: ProgType, most: u64) -> (Program, Vec<Form>) {
    let mut draft = Draft {
        rng: Rng::new(seed),
        ty,
        out: Vec::new(),
        names: Vec::new(),
        functions: Vec::new(),
        forms: Vec::new(),
        calls: 0,
    };
    draft.begin();
    for _ in 0..1 + draft.rng.below(most) {
        draft.snippet();
    }
    draft.end();
    draft.laid_out()
}

impl Draft {
    fn begin(&mut self) {
        self.out.push(mov(R6, R1));
        if self.ty == ProgType::SocketFilter {
            let imm = self.rng.below(40) as i32;
            self.out.extend([Insn::LoadPacket { size: Size::W, mode: PacketMode::Abs, imm }, mov(R9, R0)]);
        } else {
            self.reload();
            self.out.push(load(Size::D, R9, R7, 16));
        }
        let value = Wide::MapValue { map: MapIndex(VALUE), off: 0 };
        self.out.extend([Insn::LoadImm64 { dst: R8, value }, Insn::Pad]);
        for word in 1..=8 {
            match self.rng.below(3) {
                0 => self.out.push(store(Size::D, R10, -8 * word, self.rng.immediate())),
                1 => self.out.push(store(Size::D, R10, -8 * word, R9)),
                _ => self.out.extend([load(Size::D, R0, R8, 8 * word - 8), store(Size::D, R10, -8 * word, R0)]),
            }
        }
    }

    /// R7 from the context, and the check that Linux wants before the packet is read.
    fn reload(&mut self) {
        let (data, end) = if self.ty.is_skb() { (76, 80) } else { (0, 4) };
        self.out.extend([load(Size::W, R7, R6, data), load(Size::W, R2, R6, end), mov(R3, R7), add(R3, CHECKED)]);
        self.out.extend([branch(Cond::Le, R3, R2, 2), mov(R0, 1), exit()]);
    }

    fn end(&mut self) {
        self.out.push(store(Size::D, R8, 0, R9));
        if self.ty != ProgType::SocketFilter {
            self.out.push(store(Size::D, R7, 18, R9));
        }
        for word in 1..=8 {
            self.out.extend([load(Size::D, R0, R10, -8 * word), alu64(AluOp::Mul, R9, 31), alu64(AluOp::Xor, R9, R0)]);
        }
        self.out.extend([mov(R0, R9), exit()]);
    }

    /// All functions one behind the other.
    fn laid_out(self) -> (Program, Vec<Form>) {
        let mut functions = vec![(self.out, self.names)];
        functions.extend(self.functions);
        let mut starts = Vec::new();
        let mut next = 0;
        for (insns, _) in &functions {
            starts.push(next);
            next += insns.len();
        }
        let mut all = Vec::with_capacity(next);
        for ((mut insns, names), start) in functions.into_iter().zip(starts.clone()) {
            for (slot, function) in names {
                let distance = starts[function + 1] as i32 - (start + slot) as i32 - 1;
                insns[slot] = match insns[slot] {
                    Insn::LoadImm64 { dst, .. } => Insn::LoadImm64 { dst, value: Wide::Func { off: distance } },
                    _ => call(distance),
                };
            }
            all.extend(insns);
        }
        (Program::from_insns("executed", self.ty, all, maps()), self.forms)
    }

    /// Numbers in R0 to R5 from wherever there are some.
    fn numbers(&mut self) {
        for reg in FREE {
            match self.rng.below(6) {
                0 => self.out.push(mov(reg, self.rng.immediate())),
                1 => self.out.extend(wide(reg, self.rng.word())),
                2 => self.out.push(mov(reg, R9)),
                3 => self.out.push(load(Size::D, reg, R8, 8 * self.rng.below(8) as i16)),
                4 if self.ty != ProgType::SocketFilter => {
                    self.out.push(load(Size::D, reg, R7, self.rng.below(27) as i16));
                }
                _ => self.out.push(load(Size::D, reg, R10, -8 - 8 * self.rng.below(8) as i16)),
            }
        }
    }

    /// What is in the free registers goes into R9.
    fn gather(&mut self) {
        let reg = self.rng.pick(&FREE);
        let op = self.rng.pick(&[AluOp::Add, AluOp::Xor, AluOp::Sub]);
        self.out.push(alu64(op, R9, reg));
    }

    /// Branches of a block get places to go to: the start of an instruction behind them, or the block's end.
    fn block(&mut self, mut insns: Vec<Insn>) {
        let starts: Vec<usize> = (0..=insns.len()).filter(|&at| insns.get(at) != Some(&Insn::Pad)).collect();
        for (at, insn) in insns.iter_mut().enumerate() {
            let ahead: Vec<usize> = starts.iter().copied().filter(|start| *start > at && *start <= at + 5).collect();
            let to = self.rng.pick(&ahead);
            if let Insn::Branch { off, .. } | Insn::MayGoto { off } = insn {
                *off = (to - at - 1) as i16;
            }
        }
        self.out.extend(insns);
    }
}
