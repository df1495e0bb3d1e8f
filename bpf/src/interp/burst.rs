//! The inner loop: executes operations until one needs the whole machine (a call, a return, the end) or faults.

use super::arith::{alu, holds, sign_extend};
use super::context;
use super::decode::{Code, atomic_of};
use super::observer::{MemAccess, MemAccessKind, Observer};
use super::op::{Lane, Op, Opcode, with_operations};
use crate::insn::{AluOp, AtomicOp, Cond, Reg, Size, Width};
use crate::memory::{Arena, Fault, FaultKind, Guard, RegionKind};
use crate::program::Endian;

/// Registers, and where the run is.
#[derive(Debug, Clone)]
pub(super) struct Cpu {
    /// R0 to R10.
    pub r: [u64; Lane::COUNT],
    /// Next operation. After a fault: the one that faulted.
    pub pc: usize,
    /// Operations retired less `pc`, wrapping: straight-line code retires by moving `pc` alone.
    pub skew: u64,
    /// Times the running function may still pass a `may_goto`.
    pub passes: u32,
}

/// Times a function passes a `may_goto` before it is taken (kernel: `BPF_MAX_LOOPS`). Linux on x86-64 has from 6.15 on a
/// quarter of a second instead, by its own clock; a count is what its other machines have, and what can be repeated.
pub(super) const MAX_PASSES: u32 = 8 << 20;

impl Cpu {
    pub fn new() -> Cpu {
        Cpu { r: [0; Lane::COUNT], pc: 0, skew: 0, passes: MAX_PASSES }
    }

    pub fn retired(&self) -> u64 {
        self.skew.wrapping_add(self.pc as u64)
    }

    /// Goes on elsewhere.
    pub fn jump(&mut self, pc: usize) {
        self.skew = self.retired().wrapping_sub(pc as u64);
        self.pc = pc;
    }
}

/// Where the wide loads of a map point.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapPlace {
    /// Stands for the map.
    pub handle: u32,
    /// First byte of its first value.
    pub values: u32,
}

/// What the loop needs of the machine.
pub(super) struct View<'a> {
    pub arena: &'a mut Arena,
    pub maps: &'a [MapPlace],
    /// For loads from the packet; `None` where the context is no skb.
    pub packet: Option<PacketSpan>,
}

/// An skb's place in the arena, by address.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketSpan {
    /// Link-layer header.
    pub link: u32,
    pub data: u32,
    pub end: u32,
}

/// Why the loop came back.
pub(super) enum Stop {
    /// The function has ended.
    Exit,
    /// Call of the function at an operation.
    Call(u32),
    /// Call of a row of the helper table.
    Helper(u32),
    /// Call of the helper whose number is in a register.
    HelperIn(Lane),
    /// The guest's fault.
    Fault(Fault),
}

#[cold]
#[inline(never)]
fn look_closer(guard: Guard<'_>, address: u64, size: u32, write: bool) -> Result<usize, Fault> {
    guard.check(address, size, write)
}

#[inline(always)]
fn place(guard: Guard<'_>, address: u64, size: u32, write: bool) -> Result<usize, Fault> {
    match guard.hit(address, size, write) {
        Some(index) => Ok(index),
        None => look_closer(guard, address, size, write),
    }
}

#[inline(always)]
fn load<const N: usize>(mem: &[u8], guard: Guard<'_>, address: u64) -> Result<[u8; N], Fault> {
    let index = place(guard, address, N as u32, false)?;
    Ok(mem[index..index + N].try_into().expect("a slice of N bytes"))
}

#[inline(always)]
fn store<const N: usize, const BIG: bool>(
    mem: &mut [u8],
    guard: Guard<'_>,
    address: u64,
    bytes: [u8; N],
) -> Result<(), Fault> {
    let Some(index) = guard.hit(address, N as u32, true) else {
        return store_closely(mem, guard, address, &bytes, if BIG { Endian::Big } else { Endian::Little });
    };
    mem[index..index + N].copy_from_slice(&bytes);
    Ok(())
}

/// A store that the quick check did not let pass: to the context, to strict memory, or a fault.
#[cold]
#[inline(never)]
fn store_closely(mem: &mut [u8], guard: Guard<'_>, address: u64, bytes: &[u8], order: Endian) -> Result<(), Fault> {
    let index = guard.check(address, bytes.len() as u32, true)?;
    match guard.region_at(address) {
        Some(region) if region.kind == RegionKind::Context => {
            let context = &mut mem[region.base as usize..][..region.live_len as usize];
            context::store(order, context, index - region.base as usize, bytes);
        }
        _ => mem[index..index + bytes.len()].copy_from_slice(bytes),
    }
    Ok(())
}

#[inline(always)]
fn address(base: u64, op: &Op) -> u64 {
    base.wrapping_add(i64::from(op.at as i32) as u64)
}

/// The observer's view of an access that passed its check.
fn describe(guard: Guard<'_>, slot: usize, kind: MemAccessKind, address: u64, size: Size) -> MemAccess {
    let region = guard.region_at(address).expect("a checked address lies in a region");
    MemAccess { slot, kind, region: region.kind, off: (address as u32).wrapping_sub(region.base), size }
}

/// The bytes a program of classic BPF's heritage loads, as a number in network byte order; `None` when they are not all in
/// the packet. Negative offsets count from the link-layer header (`SKF_LL_OFF`, -0x200000) or the network header
/// (`SKF_NET_OFF`, -0x100000), which stands behind an Ethernet header; both may lie before the packet's data.
fn packet_load(mem: &[u8], packet: PacketSpan, offset: i32, size: u32) -> Option<u64> {
    const LINK_LAYER: i64 = -0x20_0000;
    const NETWORK_LAYER: i64 = -0x10_0000;
    const ETH_HLEN: i64 = 14;
    let (link, data) = (i64::from(packet.link), i64::from(packet.data));
    let at = match i64::from(offset) {
        off @ 0.. => data + off,
        off @ NETWORK_LAYER.. => link + ETH_HLEN + (off - NETWORK_LAYER),
        off @ LINK_LAYER.. => link + (off - LINK_LAYER),
        _ => return None,
    };
    if at + i64::from(size) > i64::from(packet.end) {
        return None;
    }
    let bytes = mem.get(usize::try_from(at).ok()?..)?.get(..size as usize)?;
    Some(bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}

/// What an atomic operation leaves in memory.
fn combine(op: AtomicOp, old: u64, operand: u64, expected: u64) -> u64 {
    match op {
        AtomicOp::Add => old.wrapping_add(operand),
        AtomicOp::Or => old | operand,
        AtomicOp::And => old & operand,
        AtomicOp::Xor => old ^ operand,
        AtomicOp::Xchg => operand,
        AtomicOp::Cmpxchg if old == expected => operand,
        AtomicOp::Cmpxchg => old,
    }
}

/// Executes from `cpu.pc` until the machine is needed. A run stops with [`FaultKind::Budget`] at the first taken jump that
/// finds more than `budget` operations retired. With `BIG`, words lie in memory with their highest byte first.
pub(super) fn burst<O: Observer, const BIG: bool>(
    code: &Code,
    cpu: &mut Cpu,
    view: View<'_>,
    budget: u64,
    observer: &mut O,
) -> Stop {
    let View { arena, maps, packet } = view;
    let (mem, guard) = arena.parts();
    let ops = &code.ops[..];
    let r = &mut cpu.r;
    let (mut pc, mut skew) = (cpu.pc, cpu.skew);
    let mut first = pc;
    // Operations retired when the loop ends are `skew + pc - unretired`.
    let mut unretired = 0;
    let stop = 'run: loop {
        let Some(&op) = ops.get(pc) else {
            break Stop::Fault(Fault::of(FaultKind::FellOff));
        };
        if O::INSNS && op.code != Opcode::Trap {
            observer.insn(code.slot_of(pc));
        }
        if O::REGISTERS && op.code != Opcode::Trap {
            observer
                .registers(code.slot_of(pc), r[..Reg::COUNT].try_into().expect("there are more lanes than registers"));
        }
        pc += 1;
        let (dst, src) = (op.dst as usize, op.src as usize);

        macro_rules! faulty {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(fault) => {
                        unretired = 1;
                        break 'run Stop::Fault(fault);
                    }
                }
            };
        }
        macro_rules! jump {
            ($to:expr) => {{
                let to = $to as usize;
                if O::SPANS {
                    observer.span(code.slot_of(first), code.slot_of(pc));
                    first = to;
                }
                let retired = skew.wrapping_add(pc as u64);
                skew = retired.wrapping_sub(to as u64);
                pc = to;
                if retired > budget {
                    break 'run Stop::Fault(Fault::of(FaultKind::Budget));
                }
            }};
        }
        macro_rules! word {
            ($ty:ty, $bytes:expr) => {
                if BIG { <$ty>::from_be_bytes($bytes) } else { <$ty>::from_le_bytes($bytes) }
            };
        }
        macro_rules! bytes {
            ($word:expr) => {
                if BIG { $word.to_be_bytes() } else { $word.to_le_bytes() }
            };
        }
        macro_rules! load {
            ($ty:ty, $size:expr, $extend:expr) => {{
                let at = address(r[src], &op);
                let mut value = u64::from(word!($ty, faulty!(load(mem, guard, at))));
                if O::ACCESSES {
                    let access = describe(guard, code.slot_of(pc - 1), MemAccessKind::Load, at, $size);
                    value = observer.loaded(&access, None, value);
                    observer.access(&access, value);
                }
                r[dst] = $extend(value);
            }};
        }
        macro_rules! store {
            ($ty:ty, $size:expr, $value:expr) => {{
                let at = address(r[dst], &op);
                let value = $value as $ty;
                faulty!(store::<_, BIG>(mem, guard, at, bytes!(value)));
                if O::ACCESSES {
                    let access = describe(guard, code.slot_of(pc - 1), MemAccessKind::Store, at, $size);
                    observer.access(&access, u64::from(value));
                }
            }};
        }
        macro_rules! atomic {
            ($ty:ty, $size:expr) => {{
                let (kind, fetch) = atomic_of(op.imm);
                let at = address(r[dst], &op);
                let index = faulty!(place(guard, at, $size.bytes(), true));
                let bytes = &mut mem[index..index + size_of::<$ty>()];
                let mut old = u64::from(word!($ty, (&*bytes).try_into().expect("sliced to size_of::<$ty>() above")));
                if O::ACCESSES {
                    let access = describe(guard, code.slot_of(pc - 1), MemAccessKind::Atomic, at, $size);
                    old = observer.loaded(&access, Some(kind), old);
                    observer.access(&access, old);
                }
                let new = combine(kind, old, r[src], u64::from(r[0] as $ty)) as $ty;
                bytes.copy_from_slice(&bytes!(new));
                if kind == AtomicOp::Cmpxchg {
                    r[0] = old;
                } else if fetch {
                    r[src] = old;
                }
            }};
        }
        macro_rules! execute {
            (
                [alu $($alu:ident $a64r:ident $a64i:ident $a32r:ident $a32i:ident;)*]
                [jump $($cond:ident $j64r:ident $j64i:ident $j32r:ident $j32i:ident;)*]
                $($others:tt)*
            ) => {
                match op.code {
                    $(
                        Opcode::$a64r => r[dst] = alu(AluOp::$alu, Width::W64, r[dst], r[src]),
                        Opcode::$a64i => r[dst] = alu(AluOp::$alu, Width::W64, r[dst], op.imm),
                        Opcode::$a32r => r[dst] = alu(AluOp::$alu, Width::W32, r[dst], r[src]),
                        Opcode::$a32i => r[dst] = alu(AluOp::$alu, Width::W32, r[dst], op.imm),
                    )*
                    $(
                        Opcode::$j64r => if holds(Cond::$cond, Width::W64, r[dst], r[src]) { jump!(op.at) },
                        Opcode::$j64i => if holds(Cond::$cond, Width::W64, r[dst], op.imm) { jump!(op.at) },
                        Opcode::$j32r => if holds(Cond::$cond, Width::W32, r[dst], r[src]) { jump!(op.at) },
                        Opcode::$j32i => if holds(Cond::$cond, Width::W32, r[dst], op.imm) { jump!(op.at) },
                    )*
                    $($others)*
                }
            };
        }
        with_operations! { execute
            Opcode::Mov64R => r[dst] = r[src],
            Opcode::Mov32R => r[dst] = u64::from(r[src] as u32),
            Opcode::Const => r[dst] = op.imm,
            Opcode::Movsx64 => r[dst] = sign_extend(op.at as u8, r[src]),
            Opcode::Movsx32 => r[dst] = u64::from(sign_extend(op.at as u8, r[src]) as u32),
            Opcode::Neg64 => r[dst] = r[dst].wrapping_neg(),
            Opcode::Neg32 => r[dst] = u64::from((r[dst] as u32).wrapping_neg()),
            Opcode::Swap16 => r[dst] = u64::from((r[dst] as u16).swap_bytes()),
            Opcode::Swap32 => r[dst] = u64::from((r[dst] as u32).swap_bytes()),
            Opcode::Swap64 => r[dst] = r[dst].swap_bytes(),
            Opcode::Low16 => r[dst] = u64::from(r[dst] as u16),
            Opcode::MapHandle | Opcode::MapValue => {
                let fault = Fault::of(FaultKind::BadMap);
                let place = faulty!(maps.get(op.at as usize).ok_or(fault));
                r[dst] = match op.code {
                    Opcode::MapHandle => u64::from(place.handle),
                    _ => u64::from(place.values) + op.imm,
                };
            }
            Opcode::Load8 => load!(u8, Size::B, |v| v),
            Opcode::Load16 => load!(u16, Size::H, |v| v),
            Opcode::Load32 => load!(u32, Size::W, |v| v),
            Opcode::Load64 => load!(u64, Size::D, |v| v),
            Opcode::LoadS8 => load!(u8, Size::B, |v| sign_extend(8, v)),
            Opcode::LoadS16 => load!(u16, Size::H, |v| sign_extend(16, v)),
            Opcode::LoadS32 => load!(u32, Size::W, |v| sign_extend(32, v)),
            Opcode::Store8R => store!(u8, Size::B, r[src]),
            Opcode::Store16R => store!(u16, Size::H, r[src]),
            Opcode::Store32R => store!(u32, Size::W, r[src]),
            Opcode::Store64R => store!(u64, Size::D, r[src]),
            Opcode::Store8I => store!(u8, Size::B, op.imm),
            Opcode::Store16I => store!(u16, Size::H, op.imm),
            Opcode::Store32I => store!(u32, Size::W, op.imm),
            Opcode::Store64I => store!(u64, Size::D, op.imm),
            Opcode::Atomic32 => atomic!(u32, Size::W),
            Opcode::Atomic64 => atomic!(u64, Size::D),
            Opcode::PacketAbs | Opcode::PacketInd => {
                let packet = faulty!(packet.ok_or(Fault::of(FaultKind::NoSkb)));
                let register = if op.code == Opcode::PacketInd { r[src] as u32 } else { 0 };
                match packet_load(mem, packet, register.wrapping_add(op.imm as u32) as i32, op.at) {
                    Some(value) => r[0] = value,
                    None => {
                        r[0] = 0;
                        break Stop::Exit;
                    }
                }
            }
            Opcode::Ja => jump!(op.at),
            Opcode::MayGoto => match cpu.passes.checked_sub(1) {
                Some(left) => cpu.passes = left,
                None => jump!(op.at),
            },
            Opcode::CallLocal => break Stop::Call(op.at),
            Opcode::CallHelper => break Stop::Helper(op.at),
            Opcode::CallReg => break Stop::HelperIn(op.src),
            Opcode::Exit => break Stop::Exit,
            Opcode::Trap => {
                let kind = code.faults.get(op.at as usize).copied().unwrap_or(FaultKind::FellOff);
                faulty!(Err(Fault::of(kind)));
            }
        }
    };
    (cpu.pc, cpu.skew) = (pc - unretired, skew);
    if O::SPANS && cpu.pc > first {
        observer.span(code.slot_of(first), code.slot_of(cpu.pc));
    }
    match stop {
        Stop::Fault(fault) => Stop::Fault(fault.at(code.slot_of(cpu.pc))),
        stop => stop,
    }
}
