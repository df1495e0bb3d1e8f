//! `docs/nic-isa.md` is made of the instruction table.

use std::fmt::Write as _;
use std::path::Path;

use nic_model::isa::{FieldRow, OPS, OpRow};

/// What stands before the instructions.
const HEAD: &str = "\
# The card's instruction set

The flow processing core of the NFP-6000, as this project executes, encodes and lists it. This page is made of the one
table that everything else is made of, too (`nic-model/src/isa/table.rs`); `BLESS=1 cargo test -p nic-model isa_docs`
writes it anew. Where a meaning is known from stands in brackets: *driver* is what the Linux nfp driver relies on, *vendor's
firmware* the public CoreNIC microcode, *vendor's library* the vendor's C library, *vendor's test firmware* a program in the
binutils test suite, *ancestor's manual* the reference manual of the IXP2800; *assumed* means that no source says so.

An instruction has 45 bits; a word of the code store has seven parity bits above them. A word belongs to the first
instruction of this page whose `base` it equals under `mask`. A word that belongs to none is refused.

- **class** is what the cost of the instruction is looked up by in a card's profile (`core_costs`).
- **effect**: *result* leaves a value for the instruction behind it, *command* asks another unit, *branch* moves the program
  counter, *yield* gives the core away, *csr* touches a local register.
- **a burst ends** where something outside the context can be seen or can stall it, operands aside.
- Fields have a role: `use` is read, `def` written, `mod` both, `imm` neither. Bits are given from the lowest; fields of one
  instruction may share flag bits.

`sim nic disasm FILE` lists words in this syntax, `sim nic asm FILE` makes words of it; both are made of the same table. A
line is an instruction; an address and a word in front of it, as listings have them, are passed over, and so are comments
behind `;` or `//`. `.word 0x...` is a word that is no instruction. Numbers are decimal or begin with `0x`; branches name the
address, as `.479`. What no text shows (which port a constant stands at, what an unread operand field holds) is as the Linux
driver's translator has it; a comment `; bits 0x...` names the bits in which the word differs from that, and the assembler
heeds it.
";

/// Bits of a mask as ranges, lowest first.
fn bits(mask: u64) -> String {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < 64 {
        if mask >> at & 1 == 0 {
            at += 1;
            continue;
        }
        let len = (mask >> at).trailing_ones();
        ranges.push(match len {
            1 => at.to_string(),
            _ => format!("{at} to {}", at + len - 1),
        });
        at += len;
    }
    if ranges.is_empty() { "none".to_owned() } else { ranges.join(", ") }
}

fn instruction(page: &mut String, row: &OpRow) {
    let _ = writeln!(page, "\n## {} ({})\n", row.mnemonic, row.name);
    for line in row.doc {
        let _ = writeln!(page, "{}", line.trim());
    }
    let ends: Vec<_> = row.external.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect();
    let ends = if ends.is_empty() { "nowhere".to_owned() } else { ends.join(", ") };
    let _ = writeln!(page, "\n| base | mask | class | effect | a burst ends |\n|---|---|---|---|---|");
    let (class, effect) = (format!("{:?}", row.class).to_lowercase(), format!("{:?}", row.effect).to_lowercase());
    let _ = writeln!(page, "| `{:#014x}` | `{:#014x}` | {class} | {effect} | {ends} |", row.base, row.mask);
    if row.fields.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n| field | role | kind | bits |\n|---|---|---|---|");
    for FieldRow { name, role, kind, span } in row.fields {
        let _ = writeln!(page, "| `{name}` | {role} | `{kind}` | {} |", bits(span()));
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    OPS.iter().for_each(|row| instruction(&mut page, row));
    page
}

#[test]
fn the_page_of_instructions_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/nic-isa.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "docs/nic-isa.md is not what the table says; set BLESS to write it anew");
}

#[test]
fn bits_are_told_in_ranges() {
    assert_eq!([bits(0), bits(1), bits(0b1110), bits(1 << 44 | 3)], ["none", "0", "1 to 3", "0 to 1, 44"]);
}
