//! The assembler: it reads what is printed, and what `llvm-mc` reads, to the same bytes.

use crate::support;

use bpf::insn::asm::{Symbols, assemble};
use bpf::insn::{
    AluOp, AtomicOp, Callee, Dialect, Insn, Kfunc, MapIndex, Operand, PacketMode, Reg, Size, Wide, Width, decode_bytes,
    encode_bytes,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::insns::{has_encoding, insn};
use support::llvm;

const DIALECTS: [Dialect; 3] = [Dialect::Verifier, Dialect::Objdump, Dialect::Mc];

/// What is left of an instruction in a dialect's text: LLVM's leave out what a relocation says, the verifier's whether a
/// call by number is of a kernel function.
fn said(insn: Insn, dialect: Dialect) -> Insn {
    let llvm = dialect != Dialect::Verifier;
    match insn {
        Insn::LoadPacket { size, mode: mode @ PacketMode::Ind(_), .. } if llvm => {
            Insn::LoadPacket { size, mode, imm: 0 }
        }
        Insn::LoadImm64 { dst, value: Wide::MapValue { map, .. } } if llvm => {
            Insn::LoadImm64 { dst, value: Wide::MapValue { map, off: 0 } }
        }
        Insn::LoadImm64 { dst, value: Wide::Variable { id, .. } } if llvm => {
            Insn::LoadImm64 { dst, value: Wide::Variable { id, btf: 0 } }
        }
        Insn::Call { callee: Callee::Local(off) } if llvm => Insn::Call { callee: Callee::Helper(off as u32) },
        Insn::Call { callee: Callee::Kfunc(kfunc) } => Insn::Call { callee: Callee::Helper(kfunc.id as u32) },
        insn => insn,
    }
}

/// With the second slots of wide loads.
fn padded(list: impl IntoIterator<Item = Insn>) -> Vec<Insn> {
    let both = |insn: Insn| std::iter::once(insn).chain((insn.slots() == 2).then_some(Insn::Pad));
    list.into_iter().flat_map(both).collect()
}

/// One instruction a line.
fn printed(insns: &[Insn], dialect: Dialect) -> String {
    insns.iter().filter(|i| **i != Insn::Pad).map(|i| format!("\t{}\n", i.text(dialect, &()))).collect()
}

fn cases() -> u32 {
    std::env::var("ASM_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_local_rejects: u32::MAX,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_printed_is_read(list in prop::collection::vec(insn().prop_filter("no encoding", has_encoding), 1..12)) {
        for dialect in DIALECTS {
            let insns = padded(list.iter().map(|insn| said(*insn, dialect)));
            let text = printed(&padded(list.clone()), dialect);
            let read = assemble(&text, "text", dialect, &());
            prop_assert_eq!(read, Ok(insns), "{}", text);
        }
    }

    #[test]
    fn any_text_gets_an_answer(text in "[a-z0-9 \\n+*=()<>\\[\\],:;#./\"\u{e4}-]{0,80}") {
        for dialect in DIALECTS {
            if let Err(diagnostic) = assemble(&text, "text", dialect, &()) {
                prop_assert!(diagnostic.to_string().contains("text:"), "{}", diagnostic);
            }
        }
    }

    /// Pieces of real instructions in any order.
    #[test]
    fn nearly_instructions_get_an_answer(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..14)) {
        let text = words.join(" ");
        for dialect in DIALECTS {
            if let Ok(insns) = assemble(&text, "text", dialect, &()) {
                let again = assemble(&printed(&insns, dialect), "text", dialect, &()).unwrap();
                let wanted: Vec<_> = insns.iter().map(|insn| said(*insn, dialect)).collect();
                prop_assert_eq!(again, wanted, "{}", text);
            }
        }
    }
}

const WORDS: [&str; 51] = [
    "r1",
    "r1",
    "r2",
    "w1",
    "w1",
    "r0",
    "w0",
    "r10",
    "=",
    "=",
    "+=",
    "s/=",
    "s>>=",
    "-",
    "+",
    "5",
    "0x7",
    "0x80000000",
    "*(u32 *)",
    "*(u64 *)",
    "*(s8 *)",
    "(r1 + 8)",
    "(r2 -4)",
    "skb[",
    "]",
    "[",
    "goto",
    "gotol",
    "may_goto",
    "if",
    "s>",
    "==",
    "&",
    "call",
    "callx",
    "exit",
    "\n",
    "\n",
    "l:",
    "l",
    "pc",
    "ll",
    "ld_pseudo",
    "lock",
    "atomic_fetch_add(",
    "xchg_64(",
    ")",
    ",",
    "be16",
    "(s8)",
    ".8byte 0x95",
];

/// Instructions that LLVM 19 knows, and writes in full, in `llvm-mc`'s dialect and in `llvm-objdump`'s.
#[test]
fn llvm_assembles_and_lists_the_same() {
    if !llvm::installed("llvm_assembles_and_lists_the_same") {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let mut insns = Vec::new();
    while insns.len() < 4000 {
        let insn = insn().new_tree(&mut runner).unwrap().current();
        let newer = matches!(insn, Insn::LoadAcquire { .. } | Insn::StoreRelease { .. });
        // It has long distances as fixups only.
        let far = matches!(insn, Insn::Jump { off, .. } if i16::try_from(off).is_err());
        let takes_room = insn.slots() == 2 && insns.len() % 8 != 0;
        if has_encoding(&insn) && !newer && !far && !takes_room && DIALECTS.iter().all(|d| said(insn, *d) == insn) {
            insns.extend(padded([insn]));
        }
    }
    let bytes = encode_bytes(&insns).unwrap();
    let source = format!(".section code,\"ax\"\n{}", printed(&insns, Dialect::Mc));
    assert_eq!(assemble(&source, "random.s", Dialect::Mc, &()).unwrap(), insns);
    let object = llvm::assemble("insn_asm", &source).unwrap();
    let theirs = llvm::section(&object, "code");
    for (slot, (ours, theirs)) in bytes.chunks(8).zip(theirs.chunks(8)).enumerate() {
        assert_eq!(ours, theirs, "slot {slot}: {}", insns[slot].text(Dialect::Mc, &()));
    }
    assert_eq!(bytes.len(), theirs.len());
    for args in [&[][..], &["--no-show-raw-insn"], &["--no-print-imm-hex"], &["--no-leading-addr"]] {
        let listing = llvm::listing(&object, args);
        let read = assemble(&listing, "listing", Dialect::Objdump, &()).unwrap_or_else(|e| panic!("{args:?}: {e}"));
        for (slot, (ours, theirs)) in insns.iter().zip(&read).enumerate() {
            assert_eq!(ours, theirs, "{args:?} slot {slot}");
        }
    }
}

/// Labels, data, comments: `llvm-mc` and this, byte for byte.
#[test]
fn llvm_reads_the_same_source() {
    const SOURCE: &str = include_str!("../data/insn/source.s");
    let insns = assemble(SOURCE, "source.s", Dialect::Mc, &()).unwrap();
    let bytes = encode_bytes(&insns).unwrap();
    assert_eq!(insns.len(), 58);
    if llvm::installed("llvm_reads_the_same_source") {
        let object = llvm::assemble("insn_source", SOURCE).unwrap();
        let theirs = llvm::section(&object, "xdp");
        for (slot, (ours, theirs)) in bytes.chunks(8).zip(theirs.chunks(8)).enumerate() {
            assert_eq!(ours, theirs, "slot {slot}: {}", insns[slot].text(Dialect::Mc, &()));
        }
        assert_eq!(bytes.len(), theirs.len());
    }
}

/// `tests/data/insn/text.linux.txt` was read off a running kernel.
#[test]
fn the_kernels_text_is_read() {
    let golden = include_str!("../data/insn/text.linux.txt");
    for line in golden.lines().filter(|l| !l.starts_with('#')) {
        let [hex, text, live] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let insns = decode_bytes(&bytes).unwrap();
        let opcode = &hex[..2];
        for line in [
            text.to_owned(),
            format!("   7: ({opcode}) {text}"),
            format!("  12: {live} ({opcode}) {text}"),
            format!("0: ({opcode}) {text}          ; R1_w=scalar() // state"),
            format!("; int x = 5; @ file.c:3\nint f(struct xdp_md * ctx):\n0: ({opcode}) {text}"),
        ] {
            assert_eq!(assemble(&line, "log", Dialect::Verifier, &()).unwrap(), insns, "{line}");
        }
    }
}

struct Known;

impl Symbols for Known {
    fn helper(&self, name: &str) -> Option<u32> {
        (name == "bpf_map_lookup_elem").then_some(1)
    }

    fn kfunc(&self, name: &str) -> Option<Kfunc> {
        (name == "bpf_rcu_read_lock").then_some(Kfunc { id: 70, module: 0 })
    }

    fn map(&self, name: &str) -> Option<MapIndex> {
        ["flows", ".rodata"].iter().position(|n| *n == name).map(|i| MapIndex(i as u32))
    }
}

#[test]
fn names_are_looked_up() {
    let one = |text, dialect| assemble(text, "t", dialect, &Known).unwrap()[0];
    let call = |callee| Insn::Call { callee };
    let wide = |value| Insn::LoadImm64 { dst: Reg::R1, value };
    let v = Dialect::Verifier;
    assert_eq!(one("call bpf_map_lookup_elem#1", v), call(Callee::Helper(1)));
    assert_eq!(one("call unknown#7", v), call(Callee::Helper(7)));
    assert_eq!(one("call bpf_rcu_read_lock#70", v), call(Callee::Kfunc(Kfunc { id: 70, module: 0 })));
    assert_eq!(one("call bpf_rcu_read_lock", Dialect::Mc), call(Callee::Kfunc(Kfunc { id: 70, module: 0 })));
    assert_eq!(one("call bpf_map_lookup_elem", Dialect::Mc), call(Callee::Helper(1)));
    assert_eq!(one("call pc-3", v), call(Callee::Local(-3)));
    assert_eq!(one("r1 = map[flows]", v), wide(Wide::Map(MapIndex(0))));
    assert_eq!(one("r1 = map[.rodata][0]+8", v), wide(Wide::MapValue { map: MapIndex(1), off: 8 }));
    assert_eq!(one("r1 = map[idx:9][0]+8", v), wide(Wide::MapValue { map: MapIndex(9), off: 8 }));
}

/// What one dialect means another may not.
#[test]
fn dialects_differ_where_they_must() {
    let one = |text, dialect| assemble(text, "t", dialect, &()).unwrap()[0];
    let mov = |imm| Insn::Mov { width: Width::W64, dst: Reg::R1, src: Operand::Imm(imm), sext: None };
    assert_eq!(one("r1 = 0x5", Dialect::Objdump), mov(5));
    assert_eq!(one("r1 = 0x5", Dialect::Verifier), Insn::LoadImm64 { dst: Reg::R1, value: Wide::Value(5) });
    assert_eq!(one("r1 = 5", Dialect::Verifier), mov(5));
    assert_eq!(assemble("r1 = 5; exit", "t", Dialect::Mc, &()).unwrap(), [mov(5), Insn::Exit]);
    assert_eq!(assemble("r1 = 5; exit", "t", Dialect::Verifier, &()).unwrap(), [mov(5)]);
    let stored = Insn::Store { size: Size::W, base: Reg::R1, off: 4, src: Operand::Reg(Reg::R2) };
    for dialect in DIALECTS {
        assert_eq!(one("*(u32 *)(r1 + 4) = w2", dialect), stored);
        assert_eq!(one("*(u32 *)(r1 +4) = r2", dialect), stored);
    }
    let add = Insn::Alu { width: Width::W32, op: AluOp::Add, dst: Reg::R1, src: Operand::Reg(Reg::R2) };
    assert_eq!(one("w1 += w2", Dialect::Mc), add);
    let exchange =
        Insn::Atomic { op: AtomicOp::Cmpxchg, fetch: true, size: Size::D, base: Reg::R1, off: 0, src: Reg::R2 };
    assert_eq!(one("r0 = cmpxchg_64(r1 + 0, r0, r2)", Dialect::Mc), exchange);
    assert_eq!(one("r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", Dialect::Verifier), exchange);
}

#[test]
fn the_whole_of_a_message() {
    let error = assemble("r1 = 5\n  r1 += w2 # add\n", "prog.s", Dialect::Mc, &()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "prog.s:2:9: asm-width: the registers are of different widths\n     2 |   r1 += w2 # add\n       |         ^^\n  \
         Suggestion: r0 to r10 are 64 bits wide, w0 to w10 32\n"
    );
}

/// Text, and where and why it is refused.
#[test]
fn mistakes_are_pointed_at() {
    for (text, wanted) in [
        ("r1 = ", "t:1:6: asm-expected: expected a value"),
        ("r1", "t:1:3: asm-expected: expected an assignment"),
        ("r11 = 5", "t:1:1: asm-instruction: no instruction begins with `r11`"),
        ("jmp 5", "t:1:1: asm-instruction: no instruction begins with `jmp`"),
        ("exit exit", "t:1:6: asm-superfluous: `exit` is one too many here"),
        ("\n\nr1 += r2 r3", "t:3:10: asm-superfluous: `r3` is one too many here"),
        ("r1 = 0x100000000", "t:1:6: asm-range: the number does not fit"),
        ("r1 = -2147483649", "t:1:6: asm-range: the number does not fit"),
        ("r1 = 99999999999999999999", "t:1:6: asm-range: the number does not fit"),
        ("r1 = 0x", "t:1:6: asm-number: `0x` is no number"),
        ("r1 = 12ab", "t:1:6: asm-number: `12ab` is no number"),
        ("r1 = *(u24 *)(r2 + 0)", "t:1:8: asm-size: `u24` is no size, such as u32"),
        ("r1 = *(u32 *)(r2 + 40000)", "t:1:18: asm-range: the number does not fit"),
        ("r1 = *(u32 *)(w2 + 4)", "t:1:15: asm-expected: expected a register, r0 to r10, not `w2`"),
        ("w1 = *(u64 *)(r2 + 4)", "t:1:6: asm-width: this load goes to a 64-bit register"),
        ("*(u64 *)(r2 + 4) = w1", "t:1:20: asm-width: 8 bytes do not fit a 32-bit register"),
        ("*(s32 *)(r2 + 4) = w1", "t:1:2: asm-size: only loads to a 64-bit register extend a sign"),
        ("r1 = *(s64 *)(r2 + 4)", "t:1:1: asm-no-encoding: an 8-byte load has nothing to sign-extend to"),
        ("r1 = *(u8 *)skb[4]", "t:1:6: asm-packet-load: packet loads go to r0"),
        ("if r1 <> 5 goto +1", "t:1:8: asm-expected: expected a number, not `>`"),
        ("if r1 = 5 goto +1", "t:1:7: asm-expected: expected a comparison, not `=`"),
        ("if r1 == 5 +1", "t:1:12: asm-expected: expected `goto`, not `+`"),
        ("goto", "t:1:5: asm-expected: expected a label or a distance"),
        ("goto there", "t:1:6: asm-no-label: there is no label `there`"),
        ("a:\na: exit", "t:2:1: asm-label-twice: label `a` is there already"),
        ("goto +40000", "t:1:6: asm-range: the number does not fit"),
        ("r1 = -r2", "t:1:7: asm-same-register: this instruction has one register: it must be the one on the left"),
        (
            "r1 = be16 r2",
            "t:1:11: asm-same-register: this instruction has one register: it must be the one on the left",
        ),
        ("w1 = be16 r1", "t:1:6: asm-width: this instruction has 64-bit registers only"),
        ("r1 = be24 r1", "t:1:6: asm-value: `be24` is no value"),
        ("r1 = (s64)r2", "t:1:7: asm-size: `s64` is not s8, s16 or s32"),
        (
            "w1 = (s32)w2",
            "t:1:1: asm-no-encoding: only a register can be sign-extended, from 8, 16 or, to 64 bits, from 32",
        ),
        ("r1 = xchg_64(r2 + 0, r3)", "t:1:6: asm-same-register: the old value comes back in r3"),
        ("r0 = cmpxchg_64(r2 + 0, r1, r3)", "t:1:25: asm-cmpxchg: r0 holds what is compared"),
        ("r1 = atomic_fetch_add((u16 *)(r2 + 0), r1)", "t:1:1: asm-no-encoding: an atomic operation has 4 or 8 bytes"),
        ("lock *(u32 *)(r1 + 0) -= w2", "t:1:23: asm-expected: expected `+=`, `|=`, `&=` or `^=`, not `-=`"),
        ("r1 = flows ll", "t:1:6: asm-symbol: the address of `flows` is for a loader to fill in"),
        ("r1 = map[flows]", "t:1:10: asm-map: there is no map `flows`"),
        ("ld_pseudo r1, 7, 0", "t:1:15: asm-range: the number does not fit"),
        (".zero 8", "t:1:1: asm-directive: `.zero` is not understood"),
        (".8byte 0xff", "t:1:1: insn-opcode: no instruction has this opcode"),
        (".8byte 0x18", "t:1:1: insn-wide-load: the wide load has no second slot"),
        (".4byte 0x95\nexit", "t:2:1: asm-data: the data before this is not whole instructions"),
        (".byte 256", "t:1:7: asm-range: the number does not fit"),
        ("call \u{e4}", "t:1:6: asm-character: `\u{e4}` has no meaning here"),
        ("\u{e4}", "t:1:1: asm-character: `\u{e4}` has no meaning here"),
    ] {
        let error = assemble(text, "t", Dialect::Mc, &()).unwrap_err();
        assert_eq!(error.headline(), wanted, "{text}");
    }
    let mut far = String::from("goto end\n");
    far.push_str(&"exit\n".repeat(32768));
    far.push_str("end: exit\n");
    let error = assemble(&far, "t", Dialect::Mc, &()).unwrap_err();
    assert_eq!(error.headline(), "t:1:6: asm-far: the label is out of this jump's reach");
    assert_eq!(error.help.as_deref(), Some("use gotol"));
    let far = far.replacen("goto", "gotol", 1);
    assert_eq!(assemble(&far, "t", Dialect::Mc, &()).unwrap()[0], Insn::Jump { off: 32768, long: true });
}
