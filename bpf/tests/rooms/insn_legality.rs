//! The opcode table, walked both ways, and held against what the Linux kernel takes.

use bpf::insn::legality::{FORMS, Field, Form, Group, Rule, form, forms};
use bpf::insn::{Callee, DecodeReason, Insn, Kfunc, RawInsn, Reg, Size, decode, encode};

const OFFSETS: [i16; 18] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 64, -1, -8, 32767, -32768];
const IMMEDIATES: [i32; 26] = [
    0,
    1,
    2,
    8,
    15,
    16,
    17,
    31,
    32,
    33,
    0x40,
    0x41,
    0x50,
    0x51,
    0x64,
    0xa0,
    0xa1,
    0xe0,
    0xe1,
    0xf0,
    0xf1,
    0x100,
    0x110,
    -1,
    i32::MAX,
    i32::MIN,
];

/// A slot and, for wide loads, the second.
fn program(raw: RawInsn) -> Vec<RawInsn> {
    let mut slots = vec![raw];
    if raw.opcode == 0x18 {
        slots.push(RawInsn::default());
    }
    slots
}

fn allows(rule: Rule, value: i32, register: bool) -> bool {
    rule.allows(value) && (!register || rule != Rule::Any || value <= 10)
}

fn in_row(row: &Form, raw: RawInsn) -> bool {
    allows(row.dst, raw.dst.into(), true)
        && allows(row.src, raw.src.into(), true)
        && allows(row.off, raw.off.into(), false)
        && allows(row.imm, raw.imm, false)
}

#[test]
fn rows_are_in_order_and_tell_encodings_apart() {
    assert!(FORMS.is_sorted_by_key(|f| f.opcode));
    for opcode in 0..=255 {
        let rows = forms(opcode);
        assert_eq!(rows, FORMS.iter().filter(|f| f.opcode == opcode).copied().collect::<Vec<_>>());
        for dst in [0, 3] {
            for (src, off) in (0..16).flat_map(|s| OFFSETS.map(|o| (s, o))) {
                for imm in IMMEDIATES {
                    let raw = RawInsn { opcode, dst, src, off, imm };
                    assert!(rows.iter().filter(|r| in_row(r, raw)).count() <= 1, "{raw:?}");
                }
            }
        }
    }
}

/// Every field at values of every kind: what is in a row decodes and encodes to itself; what is in none is refused.
#[test]
fn table_and_decoder_agree_both_ways() {
    for opcode in 0..=255 {
        for (dst, src) in [0, 1, 9, 10, 11, 15].into_iter().flat_map(|d| (0..16).map(move |s| (d, s))) {
            for (off, imm) in OFFSETS.iter().flat_map(|&o| IMMEDIATES.map(|i| (o, i))) {
                let raw = RawInsn { opcode, dst, src, off, imm };
                let slots = program(raw);
                let legal = forms(opcode).iter().any(|row| in_row(row, raw));
                assert_eq!(form(raw).is_ok(), legal, "{raw:?}");
                let decoded = decode(&slots);
                match opcode {
                    // Legal, but only after the first half of a wide load.
                    0x00 => assert!(decoded.is_err(), "{raw:?}"),
                    // Maps by index are written back as maps by descriptor.
                    0x18 if (src == 5 || src == 6) && legal => {
                        let back = encode(&decoded.unwrap()).unwrap();
                        assert_eq!(back[0], RawInsn { src: src - 4, ..raw });
                    }
                    // One of two ways to name the register.
                    0x8d if legal && dst == 0 => {
                        let back = encode(&decoded.unwrap()).unwrap();
                        assert_eq!(back, [RawInsn { dst: imm as u8, imm: 0, ..raw }]);
                    }
                    // Nobody looks at this offset.
                    0x95 if legal => {
                        assert_eq!(encode(&decoded.unwrap()).unwrap(), [RawInsn { off: 0, ..raw }]);
                    }
                    _ if legal => assert_eq!(encode(&decoded.unwrap()).unwrap(), slots, "{raw:?}"),
                    _ => assert!(decoded.is_err(), "{raw:?}"),
                }
            }
        }
    }
}

/// The opcode counts of RFC 9669's appendix: 32-bit and 64-bit arithmetic, jumps, memory, atomics, wide loads, packet; and
/// what stands beside it.
#[test]
fn opcodes_are_those_of_the_appendix() {
    let of_rfc = |form: &Form| !matches!(form.group, Group::Linux | Group::Compiler);
    let count = |test: &dyn Fn(u8) -> bool| (0..=255u8).filter(|&op| forms(op).iter().any(of_rfc) && test(op)).count();
    let beyond: Vec<u8> = (0..=255).filter(|&op| !forms(op).is_empty() && !forms(op).iter().any(of_rfc)).collect();
    assert_eq!(beyond, [0x8d, 0xcb, 0xd3, 0xe5], "callx, 16- and 8-bit load_acquire and store_release, may_goto");
    assert_eq!(count(&|op| op & 7 == 4), 12 * 2 + 1 + 2, "ALU: 12 with two sources, neg, le and be");
    assert_eq!(count(&|op| op & 7 == 7), 12 * 2 + 1 + 1, "ALU64: the same, neg, bswap");
    assert_eq!(count(&|op| op & 7 == 5), 11 * 2 + 3, "JMP: 11 comparisons, ja, call, exit");
    assert_eq!(count(&|op| op & 7 == 6), 11 * 2 + 1, "JMP32: 11 comparisons, gotol");
    assert_eq!(count(&|op| op & 7 == 1), 4 + 3, "loads, with sign extension");
    assert_eq!(count(&|op| op & 7 == 2), 4, "stores of immediates");
    assert_eq!(count(&|op| op & 7 == 3), 4 + 2, "stores of registers, atomics");
    assert_eq!(count(&|op| op & 7 == 0), 2 + 6, "wide load and its second slot, packet access");
}

/// `tests/data/insn/legality.linux.txt` was read off a running kernel by the script beside it.
#[test]
fn linux_takes_the_same_encodings() {
    let golden = include_str!("../data/insn/legality.linux.txt");
    let mut seen = Vec::new();
    for line in golden.lines().filter(|l| !l.starts_with('#')) {
        let (opcode, fields) = line.split_once(' ').unwrap();
        let opcode = u8::from_str_radix(opcode, 16).unwrap();
        seen.push(opcode);
        let imm = match opcode {
            0xd4 | 0xd7 | 0xdc => 16,
            0xcb | 0xd3 => 0x100,
            _ => 0,
        };
        let base = RawInsn { opcode, imm, ..Default::default() };
        for field in fields.split(' ') {
            let (name, allowed) = field.split_once('=').unwrap();
            let probes: Vec<(i32, RawInsn)> = match name {
                "dst" => [0, 1, 9, 10, 11, 15].map(|dst| (dst.into(), RawInsn { dst, ..base })).to_vec(),
                "src" => (0..16).map(|src| (src.into(), RawInsn { src, ..base })).collect(),
                "off" => OFFSETS.map(|off| (off.into(), RawInsn { off, ..base })).to_vec(),
                _ => IMMEDIATES.map(|imm| (imm, RawInsn { imm, ..RawInsn { imm: 0, ..base } })).to_vec(),
            };
            for (value, raw) in probes {
                let linux = match allowed {
                    "any" => true,
                    "0-10" => value <= 10,
                    list => list.split(',').any(|v| v.parse() == Ok(value)),
                };
                assert_eq!(form(raw).is_ok(), linux, "{opcode:#x} {name} {value}");
            }
        }
    }
    let of_linux = |form: &Form| form.group != Group::Compiler;
    let ours: Vec<u8> = (1..=255).filter(|&op| forms(op).iter().any(of_linux)).collect();
    assert_eq!(seen, ours);
}

#[test]
fn what_only_a_kernel_has_is_refused_by_name() {
    let refused = |opcode, src, off, imm| {
        let error = decode(&[RawInsn { opcode, dst: 0, src, off, imm }]).unwrap_err();
        match error.reason {
            DecodeReason::Unsupported(what) => what,
            other => panic!("{opcode:#x}: {other:?}"),
        }
    };
    assert!(refused(0x0d, 0, 0, 0).contains("gotox"));
    assert!(refused(0xc2, 0, 0, 0).contains("nospec"));
    assert!(refused(0xf5, 0, 0, 0).contains("tail_call"));
    assert!(refused(0x39, 1, 0, 0).contains("probe_mem"));
}

#[test]
fn what_is_newer_than_the_rfc_decodes() {
    let one = |opcode, dst, src, off, imm| decode(&[RawInsn { opcode, dst, src, off, imm }]).unwrap()[0];
    let callx = Insn::Call { callee: Callee::Reg(Reg::R3) };
    assert_eq!(one(0x8d, 3, 0, 0, 0), callx, "as LLVM 19 and GCC write it");
    assert_eq!(one(0x8d, 0, 0, 0, 3), callx, "as LLVM 18 wrote it");
    assert_eq!(one(0x8d, 0, 0, 0, 0), Insn::Call { callee: Callee::Reg(Reg::R0) });
    assert_eq!(one(0xe5, 0, 0, -3, 0), Insn::MayGoto { off: -3 });
    let (dst, src) = (Reg::R1, Reg::R2);
    assert_eq!(one(0xbf, 1, 2, 1, 0x1_0000), Insn::AddrSpaceCast { dst, src, to: 1, from: 0 });
    assert_eq!(one(0xbf, 1, 2, 1, -1), Insn::AddrSpaceCast { dst, src, to: 0xffff, from: 0xffff });
    assert_eq!(one(0xcb, 1, 2, 8, 0x100), Insn::LoadAcquire { size: Size::H, dst, base: src, off: 8 });
    assert_eq!(one(0xd3, 1, 2, 8, 0x110), Insn::StoreRelease { size: Size::B, base: dst, off: 8, src });
    let kfunc = Kfunc { id: 70, module: 2 };
    assert_eq!(one(0x85, 0, 2, 2, 70), Insn::Call { callee: Callee::Kfunc(kfunc) });
    assert_eq!(one(0x95, 0, 0, 7, 0), Insn::Exit);
}

#[test]
fn halves_of_wide_loads_must_be_together_and_clean() {
    let first = |src| RawInsn { opcode: 0x18, src, ..Default::default() };
    let pad = RawInsn::default();
    let reason = |slots: &[RawInsn]| decode(slots).unwrap_err().reason;
    assert_eq!(reason(&[first(0)]), DecodeReason::MissingPad);
    assert_eq!(reason(&[pad]), DecodeReason::StrayPad);
    assert_eq!(reason(&[first(0), first(0), pad]), DecodeReason::BadPad { field: None });
    for (bad, field) in [
        (RawInsn { dst: 1, ..pad }, Field::Dst),
        (RawInsn { src: 1, ..pad }, Field::Src),
        (RawInsn { off: 1, ..pad }, Field::Off),
    ] {
        assert_eq!(reason(&[first(0), bad]), DecodeReason::BadPad { field: Some(field) });
    }
    // A map or a function has no high half; the map's value has an offset there.
    let high = RawInsn { imm: 1, ..pad };
    for src in [1, 4, 5] {
        assert_eq!(reason(&[first(src), high]), DecodeReason::BadPad { field: Some(Field::Imm) });
    }
    assert_eq!(decode(&[first(2), high]).unwrap()[1], Insn::Pad);
    assert_eq!(decode(&[first(3), high]).unwrap()[1], Insn::Pad);
    assert_eq!(decode(&[first(0), high]).unwrap()[1], Insn::Pad);
}
