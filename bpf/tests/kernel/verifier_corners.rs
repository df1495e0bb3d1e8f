//! Programs at the edges of the rules: verdict, error number and sentence are the running kernel's.

use crate::support;

use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify};
use support::asm::*;
use support::{both, kernel};

fn maps() -> Vec<MapSpec> {
    let spec =
        |ty, key, value, entries, flags| MapSpec { name: String::new(), ..both::spec(ty, key, value, entries, flags) };
    vec![
        spec(MapType::HASH, 8, 16, 4, 0),
        spec(MapType::ARRAY, 4, 16, 4, 0),
        spec(MapType::ARRAY, 4, 64, 1, 0),
        spec(MapType::ARRAY, 4, 16, 4, 1 << 7),
        spec(MapType::ARRAY, 4, 16, 4, 1 << 8),
        spec(MapType(3), 4, 4, 4, 0),
    ]
}

struct Corner {
    name: &'static str,
    ty: ProgType,
    insns: Vec<Insn>,
}

fn xdp(name: &'static str, parts: &[&[Insn]]) -> Corner {
    Corner { name, ty: ProgType::Xdp, insns: parts.concat() }
}

fn tc(name: &'static str, parts: &[&[Insn]]) -> Corner {
    Corner { name, ty: ProgType::SchedCls, insns: parts.concat() }
}

fn alu32(op: AluOp, dst: Reg, src: impl Source) -> Insn {
    Insn::Alu { width: Width::W32, op, dst, src: src.operand() }
}

fn mov32(dst: Reg, src: impl Source) -> Insn {
    Insn::Mov { width: Width::W32, dst, src: src.operand(), sext: None }
}

fn value_of(dst: Reg, map: u32, off: u32) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::MapValue { map: MapIndex(map), off } }, Insn::Pad]
}

/// r0 = 0; exit
fn done() -> [Insn; 2] {
    [mov(R0, 0), exit()]
}

/// R0 = value of the array under key 0, which is not null.
fn looked_up(index: u32) -> Vec<Insn> {
    let mut out = vec![store(Size::W, R10, -4, R1), mov(R2, R10), add(R2, -4)];
    out.extend(map(R1, index));
    out.extend([helper(1), branch(Cond::Ne, R0, 0, 2)]);
    out.extend(done());
    out
}

/// R7 = packet, R8 = its end, R9 = R7 + `n`, which is not beyond the end.
fn packet(n: i32) -> Vec<Insn> {
    let mut out = vec![load(Size::W, R7, R1, 0), load(Size::W, R8, R1, 4), mov(R9, R7), add(R9, n)];
    out.extend([branch(Cond::Le, R9, R8, 2)]);
    out.extend(done());
    out
}

fn structure() -> Vec<Corner> {
    vec![
        xdp("nothing in R0", &[&[exit()]]),
        xdp("runs off the end", &[&[mov(R0, 0)]]),
        xdp("jumps past the end", &[&[jump(5)], &done()]),
        xdp("jumps before the start", &[&[jump(-2)], &done()]),
        xdp("jumps into a wide load", &[&[jump(1)], &wide(R0, 1), &done()]),
        xdp("unreachable", &[&[mov(R0, 0), jump(1), mov(R0, 1), exit()]]),
        xdp("endless", &[&[mov(R0, 0), jump(-1), exit()]]),
        xdp("endless, with a change nobody reads", &[&[mov(R0, 0), add(R0, 1), jump(-2), exit()]]),
        xdp("endless branch", &[&[mov(R0, 0), branch(Cond::Eq, R1, R1, -1), exit()]]),
        xdp("falls into a function", &[&[mov(R0, 0), call(1), mov(R0, 0), mov(R0, 0), exit()]]),
        xdp("calls outside", &[&[call(9)], &done()]),
        xdp("calls itself", &[&[call(-1)], &done()]),
        xdp("jumps into another function", &[&[call(2)], &done(), &[mov(R0, 0), branch(Cond::Eq, R0, 1, -3), exit()]]),
        xdp("a function that returns nothing", &[&[call(2)], &done(), &[exit()]]),
        xdp("a result that is not there", &[&[call(1), exit(), exit()]]),
        xdp("returns its stack", &[&[call(2)], &done(), &[mov(R0, R10), exit()]]),
        xdp("arguments are lost", &[&[call(3), mov(R0, R1), exit(), mov(R0, 0), mov(R0, 0), exit()]]),
        xdp("callee-saved are kept", &[&[mov(R6, 3), call(2), mov(R0, R6), exit(), mov(R0, 0), exit()]]),
        xdp("callee cannot read them", &[&[mov(R6, 3), call(2), mov(R0, R6), exit(), mov(R0, R6), exit()]]),
        tc(
            "classic load in a function",
            &[
                &[mov(R6, R1), call(2)],
                &done(),
                &[mov(R6, R1), Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm: 0 }, exit()],
            ],
        ),
        xdp("writes R10", &[&[mov(R10, 0)], &done()]),
        xdp("adds to R10", &[&[add(R10, 8)], &done()]),
        xdp("divides by 0", &[&[mov(R0, 1), alu64(AluOp::Div, R0, 0), exit()]]),
        xdp("divides by 0, 32 bits", &[&[mov(R0, 1), alu32(AluOp::Mod, R0, 0), exit()]]),
        xdp("shifts too far", &[&[mov(R0, 1), alu64(AluOp::Lsh, R0, 64), exit()]]),
        xdp("shifts too far, 32 bits", &[&[mov(R0, 1), alu32(AluOp::Rsh, R0, 32), exit()]]),
        xdp("shifts by less than nothing", &[&[mov(R0, 1), alu64(AluOp::Arsh, R0, -1), exit()]]),
        xdp("helper of another type", &[&[mov(R1, 0), helper(26)], &done()]),
        tc("helper of xdp", &[&[mov(R2, 0), helper(44)], &done()]),
        xdp("helper that does not exist", &[&[helper(4000)], &done()]),
        xdp("helper 0", &[&[helper(0)], &done()]),
    ]
}

fn deep_calls() -> Vec<Corner> {
    // Function n at slot 3n (the last 2 slots): store at -`bytes`, call the next.
    let chain = |functions: usize, bytes: i16| -> Vec<Insn> {
        let mut out = Vec::new();
        for n in 0..functions {
            out.extend([store(Size::D, R10, -bytes, 0), if n + 1 < functions { call(2) } else { mov(R0, 0) }]);
            out.extend([mov(R0, 0), exit()]);
        }
        out
    };
    vec![
        xdp("eight frames", &[&chain(8, 8)]),
        xdp("nine frames", &[&chain(9, 8)]),
        xdp("512 bytes together", &[&chain(4, 128)]),
        xdp("more than 512 bytes together", &[&chain(4, 136)]),
        xdp("256 and 257 bytes", &[&chain(2, 256)]),
        xdp("two times 264 bytes", &[&chain(2, 264)]),
    ]
}

fn stack() -> Vec<Corner> {
    vec![
        xdp("reads what was never written", &[&[load(Size::D, R0, R10, -8), exit()]]),
        xdp("at the top", &[&[load(Size::B, R0, R10, 0), exit()]]),
        xdp("over the top", &[&[store(Size::D, R10, -4, 0)], &done()]),
        xdp("below the bottom", &[&[store(Size::B, R10, -513, 0)], &done()]),
        xdp("at the bottom", &[&[store(Size::D, R10, -512, 0)], &done()]),
        xdp("misaligned", &[&[store(Size::W, R10, -7, 0)], &done()]),
        xdp("spills part of a pointer", &[&[store(Size::W, R10, -8, R1)], &done()]),
        xdp("fills part of a pointer", &[&[store(Size::D, R10, -8, R1), load(Size::W, R0, R10, -8), exit()]]),
        xdp("fills the upper part of a pointer", &[&[store(Size::D, R10, -8, R1), load(Size::W, R0, R10, -4), exit()]]),
        xdp(
            "a pointer overwritten in part",
            &[&[store(Size::D, R10, -8, R1), store(Size::B, R10, -8, 0), load(Size::D, R0, R10, -8), exit()]],
        ),
        xdp(
            "a pointer overwritten and used",
            &[&[
                store(Size::D, R10, -8, R1),
                store(Size::B, R10, -1, 0),
                load(Size::D, R2, R10, -8),
                load(Size::W, R0, R2, 0),
                exit(),
            ]],
        ),
        xdp(
            "a pointer filled and used",
            &[&[store(Size::D, R10, -8, R1), load(Size::D, R2, R10, -8), load(Size::W, R0, R2, 12), exit()]],
        ),
        xdp("subtracts from the stack pointer", &[&[mov(R2, R10), alu64(AluOp::Sub, R2, 8)], &done()]),
        xdp(
            "moves a stack pointer up and down",
            &[&[mov(R2, R10), add(R2, -16), add(R2, 8), store(Size::D, R2, 0, 1), mov(R0, 0), exit()]],
        ),
        xdp(
            "a variable offset without bounds",
            &[&[helper(7), mov(R2, R10), add(R2, R0), load(Size::B, R0, R2, -8), exit()]],
        ),
        xdp(
            "a variable offset out of the frame",
            &[&[
                helper(7),
                alu64(AluOp::And, R0, 1023),
                mov(R2, R10),
                add(R2, R0),
                load(Size::B, R0, R2, -512),
                exit(),
            ]],
        ),
        xdp(
            "a pointer smeared by a variable store",
            &[&[
                store(Size::D, R10, -8, R1),
                store(Size::D, R10, -16, 0),
                helper(7),
                alu64(AluOp::And, R0, 15),
                mov(R2, R10),
                add(R2, -16),
                add(R2, R0),
                store(Size::B, R2, 0, 1),
                load(Size::D, R0, R10, -8),
                exit(),
            ]],
        ),
        xdp(
            "a callee writes its caller's frame",
            &[
                &[mov(R1, R10), add(R1, -8), call(2), load(Size::D, R0, R10, -8), exit()],
                &[store(Size::D, R1, 0, 7), mov(R0, 0), exit()],
            ],
        ),
        xdp(
            "a callee leaves its own stack there",
            &[
                &[mov(R1, R10), add(R1, -8), call(2), load(Size::D, R0, R10, -8), exit()],
                &[store(Size::D, R1, 0, R10), mov(R0, 0), exit()],
            ],
        ),
        xdp(
            "atomic on the stack",
            &[&[
                store(Size::D, R10, -8, 1),
                mov(R2, 2),
                atomic(AtomicOp::Add, true, Size::D, R10, -8, R2),
                mov(R0, R2),
                exit(),
            ]],
        ),
        xdp(
            "atomic misaligned on the stack",
            &[&[mov(R2, 2), atomic(AtomicOp::Add, false, Size::W, R10, -6, R2)], &done()],
        ),
        xdp(
            "atomic into its own address",
            &[&[mov(R2, R10), add(R2, -8), atomic(AtomicOp::Xchg, true, Size::D, R2, 0, R2)], &done()],
        ),
        xdp(
            "compare and exchange without R0",
            &[&[mov(R2, 2), atomic(AtomicOp::Cmpxchg, true, Size::D, R10, -8, R2)], &done()],
        ),
    ]
}

/// A spill of which a store at a variable offset may have hit the lowest byte, and what is then read of it.
fn smeared() -> Vec<Corner> {
    let smear = |name, spilled: &[Insn], stored: i32, read: Insn| {
        xdp(
            name,
            &[
                &[mov(R6, R1), helper(7), mov(R7, R0), alu64(AluOp::And, R7, 8), store(Size::D, R10, -24, 5)],
                spilled,
                &[mov(R2, R10), add(R2, -24), add(R2, R7), store(Size::B, R2, 0, stored), read, mov(R0, 0), exit()],
            ],
        )
    };
    let number = [helper(7), store(Size::D, R10, -16, R0)];
    let zero = [mov(R3, 0), store(Size::D, R10, -16, R3)];
    let low = [helper(7), store(Size::W, R10, -16, R0)];
    let pointer = [store(Size::D, R10, -16, R6), mov(R0, 0)];
    vec![
        smear("a number, read whole", &number, 1, load(Size::D, R3, R10, -16)),
        smear("a number, its upper part read", &number, 1, load(Size::W, R3, R10, -12)),
        smear("a number, its lowest byte read", &number, 1, load(Size::B, R3, R10, -16)),
        smear("a number under a zero, read whole", &number, 0, load(Size::D, R3, R10, -16)),
        smear("a zero under a zero, read whole", &zero, 0, load(Size::D, R3, R10, -16)),
        smear("a zero under a one, read whole", &zero, 1, load(Size::D, R3, R10, -16)),
        smear("half a number, read whole", &low, 1, load(Size::D, R3, R10, -16)),
        smear("a pointer, read whole", &pointer, 1, load(Size::D, R3, R10, -16)),
        smear("a pointer, its upper part read", &pointer, 1, load(Size::W, R3, R10, -12)),
        smear("a number that may be hit in the middle", &[helper(7), store(Size::D, R10, -16, R0), add(R2, 3)], 1, {
            load(Size::D, R3, R10, -16)
        }),
    ]
}

fn pointers() -> Vec<Corner> {
    let math = |name, op, src: Operand| xdp(name, &[&[mov(R2, R1), alu64(op, R2, src)], &done()]);
    vec![
        math("multiplies a pointer", AluOp::Mul, Operand::Imm(2)),
        math("masks a pointer", AluOp::And, Operand::Imm(-8)),
        math("shifts a pointer", AluOp::Lsh, Operand::Imm(1)),
        math("adds pointers", AluOp::Add, Operand::Reg(R10)),
        math("subtracts pointers", AluOp::Sub, Operand::Reg(R10)),
        xdp("negates a pointer", &[&[Insn::Neg { width: Width::W64, dst: R1 }, mov(R0, R1), exit()]]),
        xdp("32-bit addition", &[&[alu32(AluOp::Add, R1, 4)], &done()]),
        xdp("32-bit subtraction", &[&[alu32(AluOp::Sub, R1, 4)], &done()]),
        xdp("half a pointer", &[&[mov32(R0, R1), exit()]]),
        xdp("returns a pointer", &[&[mov(R0, R1), exit()]]),
        xdp("subtracts from a number", &[&[mov(R0, 1), alu64(AluOp::Sub, R0, R10), exit()]]),
        xdp("moves the context", &[&[add(R1, 4), load(Size::W, R0, R1, 0), exit()]]),
        xdp("moves the context back and forth", &[&[add(R1, 4), add(R1, -4), load(Size::W, R0, R1, 12), exit()]]),
        xdp(
            "a variable into the context",
            &[&[mov(R6, R1), helper(7), alu64(AluOp::And, R0, 4), add(R6, R0), load(Size::W, R0, R6, 0), exit()]],
        ),
        xdp("reads through a number", &[&[mov(R2, 8), load(Size::B, R0, R2, 0), exit()]]),
        xdp("writes through a map", &[&map(R2, 0), &[add(R2, 0), store(Size::B, R2, 0, 1)], &done()]),
        xdp("moves a map", &[&map(R2, 0), &[add(R2, 8)], &done()]),
        xdp("far away", &[&packet(14), &[add(R7, 0x1fff_ffff), add(R7, 1)], &done()]),
        xdp("far away at once", &[&packet(14), &[add(R7, 0x2000_0000)], &done()]),
        xdp("a variable that may be anything", &[&packet(14), &[helper(7), add(R7, R0)], &done()]),
        xdp(
            "context and packet at one instruction",
            &[
                &[mov(R6, R1)],
                &packet(14),
                &[helper(7), branch(Cond::Eq, R0, 0, 1), mov(R6, R7), load(Size::W, R0, R6, 0), exit()],
            ],
        ),
    ]
}

fn context() -> Vec<Corner> {
    let read = |name, off, size| xdp(name, &[&[load(size, R0, R1, off), exit()]]);
    let skb = |name, off, size| tc(name, &[&[load(size, R0, R1, off), exit()]]);
    let write = |name, off, size| tc(name, &[&[store(size, R1, off, 0)], &done()]);
    vec![
        read("data in part", 0, Size::H),
        read("ifindex", 12, Size::W),
        read("ifindex in part", 12, Size::B),
        read("egress", 20, Size::W),
        read("beyond", 24, Size::W),
        read("two fields", 12, Size::D),
        xdp("before the context", &[&[load(Size::W, R0, R1, -4), exit()]]),
        xdp("writes the queue", &[&[store(Size::W, R1, 16, 0)], &done()]),
        xdp("data, sign-extended", &[&[Insn::Load { size: Size::W, sext: true, dst: R0, base: R1, off: 0 }, exit()]]),
        skb("len in part", 1, Size::B),
        skb("protocol", 16, Size::H),
        skb("protocol crossways", 17, Size::H),
        skb("family", 88, Size::W),
        skb("tstamp", 152, Size::D),
        skb("half tstamp", 152, Size::W),
        skb("tstamp_type", 180, Size::B),
        skb("padding", 181, Size::B),
        skb("hwtstamp", 184, Size::D),
        skb("wire_len in part", 162, Size::H),
        skb("flow keys", 144, Size::D),
        skb("tc_classid", 72, Size::W),
        skb("two words of cb", 48, Size::D),
        skb("two words of cb crossways", 52, Size::D),
        write("mark", 8, Size::W),
        write("half mark", 8, Size::H),
        write("len", 0, Size::W),
        write("byte of cb", 50, Size::B),
        write("end of cb", 64, Size::D),
        write("tstamp", 152, Size::D),
        write("queue_mapping", 12, Size::W),
        write("hash", 68, Size::W),
        write("data", 76, Size::W),
        tc("atomic on the context", &[&[mov(R2, 1), atomic(AtomicOp::Add, false, Size::W, R1, 8, R2)], &done()]),
        Corner {
            name: "a socket filter reads data",
            ty: ProgType::SocketFilter,
            insns: [load(Size::W, R0, R1, 76), exit()].to_vec(),
        },
        Corner {
            name: "a socket filter reads len",
            ty: ProgType::SocketFilter,
            insns: [load(Size::W, R0, R1, 0), exit()].to_vec(),
        },
        Corner {
            name: "a socket filter writes mark",
            ty: ProgType::SocketFilter,
            insns: [&[store(Size::W, R1, 8, 0)][..], &done()].concat(),
        },
        tc(
            "classic load without the context",
            &[&[Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm: 0 }], &done()],
        ),
        tc(
            "classic load with a number",
            &[&[mov(R6, 0), Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm: 0 }], &done()],
        ),
        tc(
            "classic load clobbers",
            &[&[
                mov(R6, R1),
                mov(R2, 1),
                Insn::LoadPacket { size: Size::B, mode: PacketMode::Ind(R2), imm: 0 },
                mov(R0, R2),
                exit(),
            ]],
        ),
        xdp(
            "classic load in xdp",
            &[&[mov(R6, R1), Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm: 0 }], &done()],
        ),
    ]
}

fn packets() -> Vec<Corner> {
    let at = |name, n, size, off| xdp(name, &[&packet(n), &[load(size, R0, R7, off), exit()]]);
    vec![
        at("within", 14, Size::W, 10),
        at("one too far", 14, Size::W, 11),
        at("before", 14, Size::B, -1),
        xdp("unchecked", &[&[load(Size::W, R2, R1, 0), load(Size::B, R0, R2, 0), exit()]]),
        xdp("through the end", &[&[load(Size::W, R2, R1, 4), load(Size::B, R0, R2, 0), exit()]]),
        xdp("moves the end", &[&[load(Size::W, R2, R1, 4), add(R2, -4)], &done()]),
        xdp(
            "after the packet may have moved",
            &[&[mov(R6, R1)], &packet(14), &[mov(R1, R6), mov(R2, 0), helper(44), load(Size::B, R0, R7, 0), exit()]],
        ),
        xdp(
            "atomic on the packet",
            &[&packet(14), &[mov(R2, 1), atomic(AtomicOp::Add, false, Size::W, R7, 0, R2)], &done()],
        ),
        xdp(
            "the end is compared the other way",
            &[
                &[
                    load(Size::W, R7, R1, 0),
                    load(Size::W, R8, R1, 4),
                    mov(R9, R7),
                    add(R9, 8),
                    branch(Cond::Gt, R8, R9, 2),
                ],
                &done(),
                &[load(Size::D, R0, R7, 0), load(Size::B, R0, R7, 8), exit()],
            ],
        ),
        xdp(
            "equal to the end",
            &[
                &[
                    load(Size::W, R7, R1, 0),
                    load(Size::W, R8, R1, 4),
                    mov(R9, R7),
                    add(R9, 8),
                    branch(Cond::Ne, R8, R9, 2),
                ],
                &[load(Size::D, R0, R7, 0), exit()],
                &done(),
            ],
        ),
        xdp(
            "beyond twice",
            &[
                &[
                    load(Size::W, R7, R1, 0),
                    load(Size::W, R8, R1, 4),
                    mov(R9, R7),
                    add(R9, 8),
                    branch(Cond::Gt, R9, R8, 1),
                ],
                &[jump(2), branch(Cond::Gt, R9, R8, 1), load(Size::D, R0, R9, 0)],
                &done(),
            ],
        ),
        xdp(
            "metadata",
            &[
                &[
                    load(Size::W, R7, R1, 8),
                    load(Size::W, R8, R1, 0),
                    mov(R9, R7),
                    add(R9, 8),
                    branch(Cond::Gt, R9, R8, 1),
                ],
                &[load(Size::D, R0, R7, 0)],
                &done(),
            ],
        ),
        xdp(
            "a number compared with null and used",
            &[&packet(14), &[helper(7), mov(R2, R7), branch(Cond::Eq, R2, 0, 1), load(Size::B, R0, R2, 0)], &done()],
        ),
        xdp(
            "beyond 65,535",
            &[
                &packet(14),
                &[
                    helper(7),
                    alu64(AluOp::And, R0, 0x1_ffff),
                    add(R7, R0),
                    mov(R9, R7),
                    add(R9, 4),
                    branch(Cond::Gt, R9, R8, 1),
                    load(Size::W, R0, R7, 0),
                ],
                &done(),
            ],
        ),
    ]
}

fn map_values() -> Vec<Corner> {
    let unchecked = |index| {
        let mut insns = looked_up(index);
        insns.truncate(insns.len() - 3);
        insns
    };
    vec![
        xdp("unchecked value", &[&unchecked(0), &[load(Size::B, R0, R0, 0), exit()]]),
        xdp("checked value", &[&looked_up(1), &[load(Size::D, R0, R0, 8), exit()]]),
        xdp("beyond the value", &[&looked_up(1), &[load(Size::D, R0, R0, 9), exit()]]),
        xdp("before the value", &[&looked_up(1), &[load(Size::D, R0, R0, -1), exit()]]),
        xdp("moves before it is checked", &[&unchecked(0), &[add(R0, 4)], &done()]),
        xdp("writes what programs may only read", &[&looked_up(3), &[store(Size::B, R0, 0, 0)], &done()]),
        xdp("reads what programs may only write", &[&looked_up(4), &[load(Size::B, R0, R0, 0), exit()]]),
        xdp(
            "a variable index without a floor",
            &[
                &looked_up(1),
                &[
                    mov(R6, R0),
                    helper(7),
                    branch(Cond::Sgt, R0, 8, 2),
                    add(R6, R0),
                    load(Size::B, R0, R6, 0),
                    mov(R0, 0),
                    exit(),
                ],
            ],
        ),
        xdp(
            "a variable index without a ceiling",
            &[&looked_up(1), &[mov(R6, R0), helper(7), mov32(R0, R0), add(R6, R0), load(Size::B, R0, R6, 0), exit()]],
        ),
        xdp(
            "a variable index one too far",
            &[
                &looked_up(1),
                &[mov(R6, R0), helper(7), alu64(AluOp::And, R0, 15), add(R6, R0), load(Size::H, R0, R6, 0), exit()],
            ],
        ),
        xdp("a value whose address is known", &[&value_of(R2, 2, 8), &[load(Size::D, R0, R2, 48), exit()]]),
        xdp("beyond it", &[&value_of(R2, 2, 8), &[load(Size::D, R0, R2, 56), exit()]]),
        xdp("the address of a value of many", &[&value_of(R2, 1, 0), &done()]),
        xdp("the address of a hash's value", &[&value_of(R2, 0, 0), &done()]),
        xdp("an address beyond the value", &[&value_of(R2, 2, 64), &done()]),
        xdp(
            "a constant key",
            &[
                &[store(Size::W, R10, -4, 3), mov(R2, R10), add(R2, -4)],
                &map(R1, 1),
                &[helper(1), load(Size::D, R0, R0, 0), exit()],
            ],
        ),
        xdp(
            "a constant key too large",
            &[
                &[store(Size::W, R10, -4, 4), mov(R2, R10), add(R2, -4)],
                &map(R1, 1),
                &[helper(1), load(Size::D, R0, R0, 0), exit()],
            ],
        ),
        xdp("null after all", &[&unchecked(0), &[branch(Cond::Ne, R0, 0, 1), load(Size::B, R0, R0, 0)], &done()]),
        xdp(
            "copies are checked together",
            &[&unchecked(0), &[mov(R6, R0), branch(Cond::Eq, R0, 0, 1), load(Size::B, R0, R6, 0)], &done()],
        ),
        xdp("a key that is not there", &[&[mov(R2, 0)], &map(R1, 0), &[helper(1)], &done()]),
        xdp("a key over the top", &[&[mov(R2, R10), add(R2, -4)], &map(R1, 0), &[helper(1)], &done()]),
        xdp("a number for a map", &[&[mov(R2, R10), add(R2, -8), mov(R1, 0), helper(1)], &done()]),
        xdp("a key in the packet", &[&packet(14), &[mov(R2, R7)], &map(R1, 0), &[helper(1)], &done()]),
        xdp("a key beyond the packet", &[&packet(6), &[mov(R2, R7)], &map(R1, 0), &[helper(1)], &done()]),
        xdp("a missing argument", &[&[mov(R2, R10), add(R2, -8)], &map(R1, 0), &[helper(2)], &done()]),
        xdp(
            "a checksum of variable length",
            &[
                &[
                    helper(7),
                    mov(R4, R0),
                    alu64(AluOp::And, R4, 31),
                    mov(R3, R10),
                    add(R3, -32),
                    mov(R1, 0),
                    mov(R2, 0),
                    mov(R5, 0),
                    helper(28),
                ],
                &done(),
            ],
        ),
        xdp(
            "a checksum of negative length",
            &[
                &[helper(7), mov(R4, R0), mov(R3, R10), add(R3, -32), mov(R1, 0), mov(R2, 0), mov(R5, 0), helper(28)],
                &done(),
            ],
        ),
        xdp(
            "a checksum of nothing",
            &[&[mov(R1, 0), mov(R2, 0), mov(R3, 0), mov(R4, 0), mov(R5, 0), helper(28)], &done()],
        ),
        xdp(
            "a checksum of something at null",
            &[&[mov(R1, 0), mov(R2, 4), mov(R3, 0), mov(R4, 0), mov(R5, 0), helper(28)], &done()],
        ),
        tc("loads no bytes", &[&[mov(R2, 0), mov(R3, R10), add(R3, -8), mov(R4, 0), helper(26)], &done()]),
        tc("loads too many bytes", &[&[mov(R2, 0), mov(R3, R10), add(R3, -8), mov(R4, 9), helper(26)], &done()]),
        tc(
            "loads into the packet",
            &[
                &[mov(R6, R1), load(Size::W, R7, R1, 76), load(Size::W, R8, R1, 80), mov(R9, R7), add(R9, 8)],
                &[branch(Cond::Gt, R9, R8, 4), mov(R2, 0), mov(R3, R7), mov(R4, 8), helper(26)],
                &done(),
            ],
        ),
    ]
}

#[test]
fn the_kernel_says_the_same() {
    let Some(kernel) = kernel::kernel("the_kernel_says_the_same") else { return };
    let maps = maps();
    let made: Vec<_> = maps
        .iter()
        .map(|m| kernel.create_map(m.ty.0, m.key_size, m.value_size, m.max_entries, m.flags).expect("plain maps"))
        .collect();
    let mut wrong = Vec::new();
    let corners =
        [structure(), deep_calls(), stack(), smeared(), pointers(), context(), packets(), map_values()].concat_all();
    for Corner { name, ty, insns } in corners {
        let bytes = both::kernel_bytes(&insns, &made);
        let (loaded, log) = kernel.verify(ty.number(), &bytes, 1, 0);
        let skipped = ["processed ", "cur state:", "old state:", "verification time"];
        let line = log.lines().rfind(|l| !l.is_empty() && !skipped.iter().any(|s| l.starts_with(s)));
        let theirs = loaded.err().map(|errno| (errno, line.unwrap_or("").to_owned()));
        let ours = match verify(Program::from_insns("corner", ty, insns, maps.clone()), &Options::default()) {
            Verdict::Accepted(_) => None,
            Verdict::Rejected(r) => Some((i32::from(r.errno.0), r.reason().to_owned())),
            Verdict::Unsupported(d) => Some((-1, d.reason)),
        };
        // The kernel writes some sentences behind the instruction.
        let same = match (&theirs, &ours) {
            (Some((errno, theirs)), Some((number, ours))) => errno == number && theirs.ends_with(ours),
            (theirs, ours) => theirs == ours,
        };
        if !same {
            wrong.push(format!("{name}\n  kernel {theirs:?}\n  here   {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lists one after the other.
trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}
