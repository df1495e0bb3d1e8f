//! Our listing against binutils' disassembler, word for word, in both context modes.
//!
//! `NFP_OBJDUMP` names an objdump built for the NFP (`.ci/build-nfp-objdump.sh` builds one, and puts the test firmware of
//! the binutils test suite beside it). Without it the tests say that they were skipped.

use crate::isa_driver;

use isa_driver::words;
use nic_model::isa::{self, ContextMode, OPS, Op, PAYLOAD, Reg, Source, check_ecc, decode, encode, with_ecc};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const MODES: [(ContextMode, &str); 2] = [(ContextMode::Four, "ctx4"), (ContextMode::Eight, "ctx8")];

fn objdump(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("NFP_OBJDUMP").map(PathBuf::from);
    if path.is_none() {
        println!("skipped: {test}: NFP_OBJDUMP is not set, binutils' disassembler is not at hand");
    }
    path
}

/// Words and texts that objdump finds in an ELF file.
fn disassemble(objdump: &Path, file: &Path, mode: &str) -> Vec<(u64, String)> {
    let output = Command::new(objdump)
        .args(["-d", "-M", &format!("no-pc,{mode}")])
        .arg(file)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", objdump.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("objdump prints text");
    let line = |line: &str| {
        let mut columns = line.split('\t');
        columns.next()?.trim().strip_suffix(':')?;
        let word = u64::from_str_radix(columns.next()?.trim(), 16).ok()?;
        Some((word, columns.next()?.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The least ELF file that objdump takes for NFP-6000 code.
fn elf(words: &[u64]) -> Vec<u8> {
    const HEADER: usize = 64;
    let names = b"\0.text\0.shstrtab\0";
    let text: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let names_at = HEADER + text.len();
    let sections_at = (names_at + names.len()).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let long = |file: &mut Vec<u8>, values: &[usize]| {
        values.iter().for_each(|v| file.extend((*v as u64).to_le_bytes()));
    };
    half(&mut file, &[2, 250]); // executable, EM_NFP
    word(&mut file, &[1]);
    long(&mut file, &[0, 0, sections_at]);
    word(&mut file, &[0x6000 << 8]); // chip family
    half(&mut file, &[HEADER as u16, 0, 0, 64, 3, 2]);
    file.extend(text);
    file.extend(names);
    file.resize(sections_at + 64, 0); // and the null section
    let mut section = |name: u32, kind: u32, flags: usize, at: usize, size: usize| {
        word(&mut file, &[name, kind]);
        long(&mut file, &[flags, 0, at, size]);
        word(&mut file, &[0, 0]);
        long(&mut file, &[8, 0]);
    };
    section(1, 1, 6, HEADER, words.len() * 8); // allocated, executable
    section(7, 3, 0, names_at, names.len());
    file
}

/// Compares our listing of words with objdump's.
fn compare(objdump: &Path, name: &str, words: &[u64]) {
    let file = std::env::temp_dir().join(format!("nic-model-isa-{name}-{}.elf", std::process::id()));
    std::fs::write(&file, elf(words)).expect("the temporary directory is writable");
    for (mode, option) in MODES {
        let theirs = disassemble(objdump, &file, option);
        assert_eq!(theirs.len(), words.len());
        let mut different = Vec::new();
        for (&word, (their_word, text)) in words.iter().zip(&theirs) {
            assert_eq!(word, *their_word);
            let op = decode(word).unwrap_or_else(|e| panic!("{e}; binutils: {text}"));
            let ours = op.listing(mode).to_string();
            if ours != *text && !listed_short(&op) {
                different.push(format!("{word:#014x} {}\n  ours   {ours}\n  theirs {text}", op.row_name()));
            }
        }
        let shown = different.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
        assert!(different.is_empty(), "{option}: {} of {} differ\n{shown}", different.len(), words.len());
    }
    std::fs::remove_file(&file).expect("the file was written above");
    come_back(words);
}

/// The assembler makes the words of their listing.
fn come_back(words: &[u64]) {
    let text = isa::disassemble(words).to_string();
    assert_eq!(isa::assemble(&text, "listing").unwrap_or_else(|e| panic!("{e}")), words);
}

/// binutils prints the local memory pointer of `byte_align` without its high bit: pointers 2 and 3 as 0 and 1.
fn listed_short(op: &Op) -> bool {
    let src = match op {
        Op::ByteAlignBe(op) => op.rhs.src,
        Op::ByteAlignLe(op) => op.lhs.src,
        _ => return false,
    };
    matches!(src, Source::Reg(Reg::Local { pointer: 2 | 3, .. }))
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Up to `wanted` decodable words of each row: its base with random bits where its fields are.
fn words_of_rows(wanted: usize) -> Vec<u64> {
    let mut random = Random(0x6000);
    let mut words = Vec::new();
    for row in OPS {
        let free = row.fields.iter().fold(0, |bits, field| bits | (field.span)()) & !row.mask;
        let mut found = BTreeSet::new();
        for _ in 0..2_000_000 {
            // Fewer ones than zeros in half of the words: flags that exclude each other are mostly clear.
            let noise = if random.next() & 1 == 0 { random.next() } else { random.next() & random.next() };
            let word = row.base & !free | noise & free;
            if decode(word).is_ok_and(|op| op.row_name() == row.name) {
                found.insert(word);
            }
            if found.len() == wanted || free == 0 {
                break;
            }
        }
        assert!(!found.is_empty(), "no word of {} found", row.name);
        words.extend(found);
    }
    words
}

#[test]
fn listing_of_random_words_is_that_of_binutils() {
    let Some(objdump) = objdump("listing_of_random_words_is_that_of_binutils") else { return };
    let words = words_of_rows(1000);
    let mut rows = BTreeMap::new();
    for word in &words {
        *rows.entry(decode(*word).expect("only decodable words were kept").row_name()).or_insert(0) += 1;
    }
    let few: Vec<_> = rows.iter().filter(|(_, n)| **n < 1000).collect();
    println!("{} words; rows with fewer than 1000: {few:?}", words.len());
    compare(&objdump, "random", &words);
}

#[test]
fn listing_of_the_driver_is_that_of_binutils() {
    let Some(objdump) = objdump("listing_of_the_driver_is_that_of_binutils") else { return };
    let Some(words) = words("listing_of_the_driver_is_that_of_binutils") else { return };
    compare(&objdump, "driver", &words.into_iter().collect::<Vec<_>>());
}

#[test]
fn test_firmware_of_binutils_is_listed_alike() {
    let Some(objdump) = objdump("test_firmware_of_binutils_is_listed_alike") else { return };
    let beside = objdump.parent().unwrap_or(Path::new("."));
    for (name, least) in [("test1_nfp6000.nffw", 900), ("test2_nfp6000.nffw", 9)] {
        let file = beside.join(name);
        if !file.exists() {
            println!("skipped: {}: not beside objdump", file.display());
            continue;
        }
        for (mode, option) in MODES {
            let listed = disassemble(&objdump, &file, option);
            assert!(listed.len() >= least, "{name}: only {} words", listed.len());
            come_back(&listed.iter().map(|(word, _)| word & PAYLOAD).collect::<Vec<_>>());
            for (word, text) in listed {
                let payload = check_ecc(word).unwrap_or_else(|e| panic!("{e}"));
                let op = decode(payload).unwrap_or_else(|e| panic!("{e}; binutils: {text}"));
                assert_eq!(op.listing(mode).to_string(), text, "{word:#x}");
                assert_eq!(encode(&op).map(with_ecc), Ok(word), "{text}");
            }
        }
    }
}
