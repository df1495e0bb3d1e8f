//! The assembly of bpf_conformance's test files: a mnemonic, operands between blanks and commas, labels that end in a
//! colon, comments behind `#`. The first `exit` is a label of its own name.
//!
//! Ours are the mnemonics of packet loads, which the suite has none of: `ldabsh 12`, `ldindw %r2, 4`.

use std::collections::BTreeMap;

use bpf::insn::RawInsn;

/// Classes and modes (RFC 9669 §3.2).
mod class {
    pub const LDX: u8 = 0x61;
    pub const LDXS: u8 = 0x81;
    pub const ST: u8 = 0x62;
    pub const STX: u8 = 0x63;
    pub const ATOMIC: u8 = 0xc3;
    pub const ALU: u8 = 0x04;
    pub const JMP: u8 = 0x05;
    pub const JMP32: u8 = 0x06;
    pub const ALU64: u8 = 0x07;
    pub const LD_ABS: u8 = 0x20;
    pub const LD_IND: u8 = 0x40;
    /// The operand is a register.
    pub const X: u8 = 0x08;
}

const ALU: [(&str, u8); 14] = [
    ("add", 0x0),
    ("sub", 0x1),
    ("mul", 0x2),
    ("div", 0x3),
    ("sdiv", 0x3),
    ("or", 0x4),
    ("and", 0x5),
    ("lsh", 0x6),
    ("rsh", 0x7),
    ("mod", 0x9),
    ("smod", 0x9),
    ("xor", 0xa),
    ("mov", 0xb),
    ("arsh", 0xc),
];

const JUMPS: [(&str, u8); 11] = [
    ("jeq", 0x1),
    ("jgt", 0x2),
    ("jge", 0x3),
    ("jset", 0x4),
    ("jne", 0x5),
    ("jsgt", 0x6),
    ("jsge", 0x7),
    ("jlt", 0xa),
    ("jle", 0xb),
    ("jslt", 0xc),
    ("jsle", 0xd),
];

/// Immediates of atomic operations without the bit that asks for the old value, and with it where it is not a choice.
const ATOMICS: [(&str, i32); 6] =
    [("add", 0x00), ("or", 0x40), ("and", 0x50), ("xor", 0xa0), ("xchg", 0xe1), ("cmpxchg", 0xf1)];
const FETCH: i32 = 1;

/// Bits of an opcode that say how large an access is.
const SIZES: [(&str, u8); 4] = [("w", 0x00), ("h", 0x08), ("b", 0x10), ("dw", 0x18)];

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Which field of a jump a label is written to.
enum Field {
    Off,
    Imm,
}

#[derive(Default)]
struct Assembler {
    slots: Vec<RawInsn>,
    labels: BTreeMap<String, usize>,
    /// Jumps to labels: slot, field, label.
    jumps: Vec<(usize, Field, String)>,
}

/// The slots of a program.
///
/// # Errors
/// The first line that is no instruction, or a label that is not there.
pub fn assemble(text: &str) -> Result<Vec<RawInsn>, String> {
    let mut assembler = Assembler::default();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
        if let [mnemonic, operands @ ..] = words.as_slice() {
            assembler.line(mnemonic, operands).ok_or_else(|| format!("no instruction: {}", line.trim()))?;
        }
    }
    for (slot, field, label) in assembler.jumps {
        let to = *assembler.labels.get(&label).ok_or_else(|| format!("no label {label}"))?;
        let distance = to as i64 - slot as i64 - 1;
        let insn = &mut assembler.slots[slot];
        match field {
            Field::Off => insn.off = i16::try_from(distance).map_err(|_| format!("label {label} is too far"))?,
            Field::Imm => insn.imm = i32::try_from(distance).map_err(|_| format!("label {label} is too far"))?,
        }
    }
    Ok(assembler.slots)
}

impl Assembler {
    fn line(&mut self, mnemonic: &str, operands: &[&str]) -> Option<()> {
        if let Some(label) = mnemonic.strip_suffix(':') {
            return self.labels.insert(label.to_owned(), self.slots.len()).is_none().then_some(());
        }
        if mnemonic == "exit" {
            self.labels.entry("exit".to_owned()).or_insert(self.slots.len());
        }
        let insn = match (mnemonic, operands) {
            ("exit", []) => RawInsn { opcode: 0x95, ..RawInsn::default() },
            ("lddw", [dst, value]) => {
                let value = long(value)?;
                let dst = register(dst)?;
                self.slots.push(RawInsn { opcode: 0x18, dst, imm: value as i32, ..RawInsn::default() });
                RawInsn { imm: (value >> 32) as i32, ..RawInsn::default() }
            }
            ("lock", ["fetch", op, to, src]) => atomic(op, to, src, true)?,
            ("lock", [op, to, src]) => atomic(op, to, src, false)?,
            ("call", operands) => self.call(operands)?,
            ("ja" | "ja32", [to]) => {
                let (opcode, field) =
                    if mnemonic == "ja" { (class::JMP, Field::Off) } else { (class::JMP32, Field::Imm) };
                self.jump(RawInsn { opcode, ..RawInsn::default() }, field, to)?
            }
            _ => self.other(mnemonic, operands)?,
        };
        self.slots.push(insn);
        Some(())
    }

    /// Families of mnemonics.
    fn other(&mut self, mnemonic: &str, operands: &[&str]) -> Option<RawInsn> {
        if let Some(insn) = memory(mnemonic, operands) {
            return Some(insn);
        }
        if let Some(insn) = byte_order(mnemonic, operands) {
            return Some(insn);
        }
        let (name, narrow) = match mnemonic.strip_suffix("32") {
            Some(name) => (name, true),
            None => (mnemonic.strip_suffix("64").unwrap_or(mnemonic), false),
        };
        if let (Some(op), [dst, src, to]) = (find(&JUMPS, name), operands) {
            let class = if narrow { class::JMP32 } else { class::JMP };
            return self.jump(with_operand(class | op << 4, dst, src)?, Field::Off, to);
        }
        let class = if narrow { class::ALU } else { class::ALU64 };
        match (name, operands) {
            ("neg", [dst]) => Some(RawInsn { opcode: class | 0x80, dst: register(dst)?, ..RawInsn::default() }),
            (_, [dst, src]) => {
                let (name, off) = match name.strip_prefix("movsx") {
                    Some(bits) => ("mov", bits.parse().ok()?),
                    None => (name, i16::from(name.starts_with('s') && name != "sub")),
                };
                let op = find(&ALU, if name == "mov" { "mov" } else { name })?;
                Some(RawInsn { off, ..with_operand(class | op << 4, dst, src)? })
            }
            _ => None,
        }
    }

    fn call(&mut self, operands: &[&str]) -> Option<RawInsn> {
        match operands {
            ["local", to] => self.jump(RawInsn { opcode: 0x85, src: 1, ..RawInsn::default() }, Field::Imm, to),
            ["runtime", id] => Some(RawInsn { opcode: 0x85, src: 2, imm: number(id)?, ..RawInsn::default() }),
            ["helper", id] | [id] if id.starts_with('%') => {
                Some(RawInsn { opcode: 0x8d, dst: register(id)?, ..RawInsn::default() })
            }
            ["helper", id] | [id] => Some(RawInsn { opcode: 0x85, imm: number(id)?, ..RawInsn::default() }),
            _ => None,
        }
    }

    /// A jump to a label, or by so many slots.
    fn jump(&mut self, insn: RawInsn, field: Field, to: &str) -> Option<RawInsn> {
        if !to.starts_with(['+', '-']) {
            self.jumps.push((self.slots.len(), field, to.to_owned()));
            return Some(insn);
        }
        Some(match field {
            Field::Off => RawInsn { off: offset(to)?, ..insn },
            Field::Imm => RawInsn { imm: i32::from(offset(to)?), ..insn },
        })
    }
}

/// `%r0` to `%r15`: those above 10 are for programs that are to be refused.
fn register(text: &str) -> Option<u8> {
    text.strip_prefix("%r")?.parse().ok().filter(|number| *number < 16)
}

fn long(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| text.parse::<i64>().ok().map(|signed| signed as u64)),
    }
}

fn number(text: &str) -> Option<i32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(|word| word as i32),
        None => text.parse().ok(),
    }
}

fn offset(text: &str) -> Option<i16> {
    match text.trim_start_matches('+').strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok().map(|half| half as i16),
        None => text.parse().ok(),
    }
}

/// `[%r1+4]`.
fn place(text: &str) -> Option<(u8, i16)> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let sign = inner.find(['+', '-']).unwrap_or(inner.len());
    let off = if sign == inner.len() { 0 } else { offset(&inner[sign..])? };
    Some((register(&inner[..sign])?, off))
}

fn with_operand(opcode: u8, dst: &str, src: &str) -> Option<RawInsn> {
    let dst = register(dst)?;
    match register(src) {
        Some(src) => Some(RawInsn { opcode: opcode | class::X, dst, src, ..RawInsn::default() }),
        None => Some(RawInsn { opcode, dst, imm: number(src)?, ..RawInsn::default() }),
    }
}

fn memory(mnemonic: &str, operands: &[&str]) -> Option<RawInsn> {
    let sized = |prefix, opcode| Some(find(&SIZES, mnemonic.strip_prefix(prefix)?)? | opcode);
    let insn = RawInsn::default();
    match operands {
        [imm] => Some(RawInsn { opcode: sized("ldabs", class::LD_ABS)?, imm: number(imm)?, ..insn }),
        [src, imm] if mnemonic.starts_with("ldind") => {
            Some(RawInsn { opcode: sized("ldind", class::LD_IND)?, src: register(src)?, imm: number(imm)?, ..insn })
        }
        [dst, from] if mnemonic.starts_with("ldx") => {
            let opcode = sized("ldxs", class::LDXS).or_else(|| sized("ldx", class::LDX))?;
            let (src, off) = place(from)?;
            Some(RawInsn { opcode, dst: register(dst)?, src, off, ..insn })
        }
        [to, value] if mnemonic.starts_with("st") => {
            let (dst, off) = place(to)?;
            match register(value) {
                Some(src) => Some(RawInsn { opcode: sized("stx", class::STX)?, dst, src, off, ..insn }),
                None => Some(RawInsn { opcode: sized("st", class::ST)?, dst, off, imm: number(value)?, ..insn }),
            }
        }
        _ => None,
    }
}

fn byte_order(mnemonic: &str, operands: &[&str]) -> Option<RawInsn> {
    const ORDERS: [(&str, u8); 4] = [("le", 0xd4), ("be", 0xdc), ("bswap", 0xd7), ("swap", 0xd7)];
    let (bits, opcode) =
        ORDERS.iter().find_map(|(name, opcode)| Some((mnemonic.strip_prefix(name)?.parse().ok()?, *opcode)))?;
    let [dst] = operands else { return None };
    Some(RawInsn { opcode, dst: register(dst)?, imm: bits, ..RawInsn::default() })
}

fn atomic(op: &str, to: &str, src: &str, fetch: bool) -> Option<RawInsn> {
    let (name, size) = match op.strip_suffix("32") {
        Some(name) => (name, 0x00),
        None => (op, 0x18),
    };
    let imm = find(&ATOMICS, name)? | if fetch { FETCH } else { 0 };
    let (dst, off) = place(to)?;
    Some(RawInsn { opcode: class::ATOMIC | size, dst, src: register(src)?, off, imm })
}
