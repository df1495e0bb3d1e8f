//! The assembler: what a listing prints is assembled to the words it was made of.

use crate::isa_driver;

use isa_driver::words;
use nic_model::isa::{PAYLOAD, assemble, assemble_line, decode, disassemble, with_ecc};
use proptest::prelude::*;

/// Words of random bits that mean something; others are listed as such.
const RANDOM_WORDS: u32 = 2_000;

#[test]
fn words_of_the_driver_come_back() {
    let Some(words) = words("words_of_the_driver_come_back") else { return };
    let words: Vec<u64> = words.into_iter().collect();
    let text = disassemble(&words).to_string();
    assert_eq!(assemble(&text, "driver").unwrap_or_else(|e| panic!("{e}")), words);
    // Without the comments the words differ in what does not act: most are the driver's very choice.
    let bare: String = text.lines().map(|line| format!("{}\n", line.split(" ; ").next().unwrap_or(line))).collect();
    let plain = assemble(&bare, "driver").unwrap_or_else(|e| panic!("{e}"));
    let same = plain.iter().zip(&words).filter(|(a, b)| a == b).count();
    assert!(same * 100 >= words.len() * 95, "{same} of {} words", words.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_words_come_back(words in proptest::collection::vec(0..=PAYLOAD, RANDOM_WORDS as usize / 64)) {
        let text = disassemble(&words).to_string();
        prop_assert_eq!(assemble(&text, "random").map_err(|e| TestCaseError::fail(e.to_string()))?, words);
    }

    #[test]
    fn words_near_good_ones_come_back(base in 0..WORDS.len(), flips in proptest::collection::vec(0..45u32, 0..12)) {
        let word = flips.iter().fold(WORDS[base], |word, bit| word ^ 1 << bit);
        let text = disassemble(&[word]).to_string();
        prop_assert_eq!(assemble(&text, "near").map_err(|e| TestCaseError::fail(e.to_string()))?, vec![word]);
        if let Ok(op) = decode(word) {
            let again = assemble_line(&op.to_string()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(again.to_string(), op.to_string());
        }
    }

    #[test]
    fn any_text_is_words_or_a_place(text in "[a-z_\\[\\]$*,<>.0-9AB;x -]{0,40}") {
        if let Ok(words) = assemble(&text, "any") {
            for word in words {
                prop_assert!(word & !PAYLOAD == 0 || text.contains("bits") || text.contains(".word"));
            }
        }
    }
}

/// Words that the Linux driver's translator emits.
const WORDS: [u64; 12] = [
    0x00f0_000c_0300,
    0x00f0_03f0_5bff,
    0x00b4_4160_5a20,
    0x02f0_000c_0000,
    0x02a0_00c0_0800,
    0x02a0_c060_5a22,
    0x00d8_0740_8125,
    0x125c_1c0b_9012,
    0x02c1_0312_3110,
    0x00c1_0c04_8a00,
    0x0081_d010_0200,
    0x0094_0024_09ff,
];

#[test]
fn texts_of_the_driver_are_its_words() {
    for word in WORDS {
        let op = decode(word).unwrap_or_else(|e| panic!("{e}"));
        let text = op.to_string();
        let read = assemble_line(&text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read.to_string(), text);
        assert_eq!(assemble(&disassemble(&[word, with_ecc(word)]).to_string(), "w").unwrap(), [word, word], "{text}");
    }
}

#[test]
fn blanks_comments_and_columns_do_no_harm() {
    let text = "; a program\n\n  0: 000000f0000c0300  nop // nothing\n.7: alu[ gprA_1 ,--, B ,0x10 ] ,gpr_wrboth;\n\
                .word 0x123 // raw\nmem[read32_swap, $xfer_0, gprA_18, <<8, gprB_4, 0x1], ctx_swap[sig1]\nrtn[gprA_3]\n";
    let words = assemble(text, "t").unwrap_or_else(|e| panic!("{e}"));
    let listed: Vec<String> =
        words.iter().map(|w| decode(*w).map_or_else(|_| "raw".into(), |op| op.to_string())).collect();
    assert_eq!(listed[0], "nop");
    assert_eq!(listed[1], "alu[gprA_1, --, B, 0x10], gpr_wrboth");
    assert_eq!(words[2], 0x123);
    assert_eq!(listed[3], "mem[read32_swap, $xfer_0, gprA_18, <<8, gprB_4, 1], ctx_swap[sig1]");
    assert_eq!(listed[4], "rtn[gprA_3]");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, message) in [
        ("nop\nfoo[gprA_1]", "t:2:1: nic-asm-syntax: expected an instruction"),
        (
            "alu[gprA_1, gprA_2, +, gprA_3]",
            "t:1:1: nic-asm-encoding: both sources are in bank A, which has one read port: move one to the other bank",
        ),
        ("alu[gprA_1, gprA_2, +, 0x100]", "t:1:24: nic-asm-syntax: expected a register or a constant of 0 to 255"),
        ("br[.20000]", "t:1:1: nic-asm-encoding: code address is 20000, allowed are 0 to 16383"),
        ("br[29]", "t:1:4: nic-asm-syntax: expected `.`"),
        ("immed[gprA_1, 0x3fff", "t:1:21: nic-asm-syntax: expected `]`"),
        ("mem[frobnicate, $xfer_0]", "t:1:5: nic-asm-syntax: expected a command of the unit"),
        ("nop ; bits 0x1", "t:1:5: nic-asm-bits: these bits would make it another instruction"),
        (".word", "t:1:6: nic-asm-syntax: expected a word"),
    ] {
        let error = assemble(text, "t").expect_err(text);
        assert_eq!(error.headline(), message, "{text}");
    }
}
