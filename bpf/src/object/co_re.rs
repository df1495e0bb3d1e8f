//! CO-RE relocations: giving instructions what they ask about the kernel's types.
//!
//! As libbpf does it, what the kernel does not have becomes a call that no program may reach: a program that asks first
//! (`bpf_core_field_exists`) is not hurt by it.

use crate::btf::{Btf, CoreRelocation, co_re};
use crate::diag::Diagnostic;
use crate::insn::{Endian, RawInsn};

/// Helper that is called instead of an instruction that has no answer: "bad relo" to whoever reads it in hexadecimal.
const BAD_RELO: i32 = 0xbad_2310;

/// Class of an opcode (RFC 9669 §3.3).
mod class {
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const ALU64: u8 = 7;
}

/// Changes the instruction that `slots` begins with. Says why it became an invalid call, if it did.
///
/// # Errors
/// A relocation without an answer, or that does not fit the instruction.
pub(super) fn apply(
    btf: &Btf,
    kernel: &Btf,
    relocation: &CoreRelocation,
    order: Endian,
    slots: &mut [RawInsn],
) -> Result<Option<String>, Diagnostic> {
    let what = || co_re::describe(btf, relocation);
    let refuse = |why: &str| {
        let reason = format!("the program asks for the {}, which has no answer: {why}", what());
        Diagnostic::new("object-core-relocation", reason)
    };
    let answer = co_re::resolve(btf, kernel, relocation, order).map_err(|e| refuse(&e.to_string()))?;
    let Some(after) = answer.after else {
        poison(slots);
        return Ok(Some(format!("the kernel's types that are known have no answer to the {} (CO-RE)", what())));
    };
    let Some(insn) = slots.first_mut() else { return Err(refuse("it is not on an instruction")) };
    let expected = |found: u64| {
        if !answer.certain || found == answer.before {
            return Ok(());
        }
        Err(refuse("the instruction holds another value than the compiler says")
            .limit(format!("{} in the instruction", answer.before), found))
    };
    match insn.opcode & 7 {
        // Source K.
        class::ALU | class::ALU64 if insn.opcode & 8 == 0 => {
            expected(insn.imm as u32 as u64 | answer.before & !0xffff_ffff)?;
            insn.imm = after as i32;
        }
        class::LDX | class::ST | class::STX => {
            expected(insn.off as u16 as u64 | answer.before & !0xffff)?;
            let Ok(off) = i16::try_from(after) else {
                return Err(refuse("the offset does not fit the instruction").limit(i16::MAX, after));
            };
            if !answer.resizable {
                poison(slots);
                return Ok(Some(format!(
                    "the {} is loaded or stored whole, and has another size in the kernel (CO-RE)",
                    what()
                )));
            }
            insn.off = off;
            if let Some((before, after)) = answer.sizes.filter(|(before, after)| before != after) {
                insn.opcode = resized(insn.opcode, before, after).ok_or_else(|| {
                    refuse("no load or store has the field's size")
                        .limit("1, 2, 4 or 8 bytes", format!("{after} bytes"))
                })?;
            }
        }
        class::LD if insn.opcode == 0x18 && insn.src == 0 => {
            let [first, second, ..] = slots else { return Err(refuse("its instruction is cut off")) };
            expected(u64::from(first.imm as u32) | u64::from(second.imm as u32) << 32)?;
            (first.imm, second.imm) = (after as i32, (after >> 32) as i32);
        }
        _ => return Err(refuse("it is on an instruction that holds no such value")),
    }
    Ok(None)
}

fn poison(slots: &mut [RawInsn]) {
    let wide = slots.first().is_some_and(|s| s.opcode == 0x18);
    for slot in slots.iter_mut().take(if wide { 2 } else { 1 }) {
        *slot = RawInsn { opcode: 0x85, dst: 0, src: 0, off: 0, imm: BAD_RELO };
    }
}

/// The opcode of a load or store of another size (RFC 9669 §5: bits 3 and 4).
fn resized(opcode: u8, before: u32, after: u32) -> Option<u8> {
    /// Bytes by the size's bits.
    const BYTES: [u32; 4] = [4, 2, 1, 8];
    let size = BYTES.iter().position(|&b| b == after)?;
    let known = BYTES[usize::from(opcode >> 3 & 3)] == before;
    known.then_some(opcode & !0x18 | (size as u8) << 3)
}
