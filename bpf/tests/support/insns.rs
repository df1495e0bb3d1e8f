//! Random instructions.

use bpf::insn::{AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Kfunc, Operand, PacketMode, Reg, Size, Wide, Width};
use bpf::program::MapIndex;
use proptest::prelude::*;
use proptest::sample::select;

pub fn reg() -> impl Strategy<Value = Reg> {
    (0..=10u8).prop_map(|n| Reg::new(n).unwrap())
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![reg().prop_map(Operand::Reg), any::<i32>().prop_map(Operand::Imm)]
}

fn width() -> impl Strategy<Value = Width> {
    select(vec![Width::W32, Width::W64])
}

fn size() -> impl Strategy<Value = Size> {
    select(vec![Size::B, Size::H, Size::W, Size::D])
}

/// Any value of the type, with an encoding or without; the second half of a wide load is the list's business.
pub fn insn() -> impl Strategy<Value = Insn> {
    let callee = prop_oneof![
        any::<u32>().prop_map(Callee::Helper),
        any::<i32>().prop_map(Callee::Local),
        any::<(i32, i16)>().prop_map(|(id, module)| Callee::Kfunc(Kfunc { id, module })),
        reg().prop_map(Callee::Reg),
    ];
    let wide = prop_oneof![
        any::<u64>().prop_map(Wide::Value),
        any::<u32>().prop_map(|m| Wide::Map(MapIndex(m))),
        any::<(u32, u32)>().prop_map(|(m, off)| Wide::MapValue { map: MapIndex(m), off }),
        any::<(u32, u32)>().prop_map(|(id, btf)| Wide::Variable { id, btf }),
        any::<i32>().prop_map(|off| Wide::Func { off }),
    ];
    let mode = prop_oneof![Just(PacketMode::Abs), reg().prop_map(PacketMode::Ind)];
    prop_oneof![
        (width(), select(AluOp::ALL.to_vec()), reg(), operand()).prop_map(|(width, op, dst, src)| Insn::Alu {
            width,
            op,
            dst,
            src
        }),
        (width(), reg(), operand(), select(vec![None, Some(8), Some(16), Some(32), Some(64)]))
            .prop_map(|(width, dst, src, sext)| Insn::Mov { width, dst, src, sext }),
        (width(), reg()).prop_map(|(width, dst)| Insn::Neg { width, dst }),
        (select(vec![ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap]), reg(), select(vec![16, 32, 64, 8]))
            .prop_map(|(order, dst, bits)| Insn::End { order, dst, bits }),
        (reg(), wide).prop_map(|(dst, value)| Insn::LoadImm64 { dst, value }),
        (size(), any::<bool>(), reg(), reg(), any::<i16>()).prop_map(|(size, sext, dst, base, off)| Insn::Load {
            size,
            sext,
            dst,
            base,
            off
        }),
        (size(), reg(), any::<i16>(), operand()).prop_map(|(size, base, off, src)| Insn::Store {
            size,
            base,
            off,
            src
        }),
        (size(), mode, any::<i32>()).prop_map(|(size, mode, imm)| Insn::LoadPacket { size, mode, imm }),
        (select(AtomicOp::ALL.to_vec()), any::<bool>(), size(), reg(), any::<i16>(), reg())
            .prop_map(|(op, fetch, size, base, off, src)| Insn::Atomic { op, fetch, size, base, off, src }),
        (size(), reg(), reg(), any::<i16>()).prop_map(|(size, dst, base, off)| Insn::LoadAcquire {
            size,
            dst,
            base,
            off
        }),
        (size(), reg(), any::<i16>(), reg()).prop_map(|(size, base, off, src)| Insn::StoreRelease {
            size,
            base,
            off,
            src
        }),
        (reg(), reg(), any::<u16>(), any::<u16>()).prop_map(|(dst, src, to, from)| Insn::AddrSpaceCast {
            dst,
            src,
            to,
            from
        }),
        any::<i16>().prop_map(|off| Insn::MayGoto { off }),
        (any::<i32>(), any::<bool>()).prop_map(|(off, long)| Insn::Jump { off, long }),
        (-40000..40000, any::<bool>()).prop_map(|(off, long)| Insn::Jump { off, long }),
        (width(), select(Cond::ALL.to_vec()), reg(), operand(), any::<i16>())
            .prop_map(|(width, cond, dst, src, off)| Insn::Branch { width, cond, dst, src, off }),
        callee.prop_map(|callee| Insn::Call { callee }),
        Just(Insn::Exit),
    ]
}

/// What the encoding can hold, said again, in other words than the encoder's.
pub fn has_encoding(insn: &Insn) -> bool {
    match *insn {
        Insn::Mov { width, src, sext: Some(bits), .. } => {
            let narrower = (width == Width::W32 && bits < 32) || (width == Width::W64 && bits < 64);
            matches!(src, Operand::Reg(_)) && narrower
        }
        Insn::End { bits, .. } => bits > 8,
        Insn::Load { size, sext, .. } => !(sext && size == Size::D),
        Insn::LoadPacket { size, .. } => size != Size::D,
        Insn::Atomic { op, fetch, size, .. } => {
            size.bytes() >= 4 && (fetch || !matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg))
        }
        Insn::Jump { off, long } => long || (-32768..32768).contains(&off),
        _ => true,
    }
}
