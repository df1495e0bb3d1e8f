//! Classic filters as text and bytes, held against `tcpdump`, and what is said of those that are wrong.

use bpf::cbpf::{Ancillary, Filter, Insn, RawFilter, check, parse, parse_bytes, parse_decimal};
use bpf::program::Endian;
use bpf::verifier::{Options, Verdict, verify};
use proptest::prelude::*;

/// Expression, decimal text and listing.
fn expressions() -> Vec<(String, String, String)> {
    let golden = include_str!("../data/cbpf/expressions.txt");
    let blocks = golden.split("\n= ").skip(1);
    blocks
        .map(|block| {
            let (expression, rest) = block.split_once('\n').unwrap();
            let at = rest.find("(000)").unwrap();
            (expression.to_owned(), rest[..at].to_owned(), format!("{}\n", rest[at..].trim_end_matches('\n')))
        })
        .collect()
}

fn filter(decimal: &str) -> Filter {
    check(&parse_decimal(decimal, "filter.txt").unwrap(), "filter").unwrap()
}

/// `tests/data/cbpf/expressions.txt` was written by `tcpdump`, with the script beside it.
#[test]
fn listings_are_tcpdumps() {
    for (expression, decimal, listing) in expressions() {
        let words = parse_decimal(&decimal, "filter.txt").unwrap();
        assert_eq!(parse::print_decimal(&words), decimal);
        let filter = check(&words, &expression).unwrap();
        assert_eq!(filter.listing(), listing, "{expression}");
        let program = filter.program(&expression).unwrap();
        assert!(matches!(verify(program, &Options::default()), Verdict::Accepted(_)), "{expression}");
    }
    assert_eq!(expressions().len(), 28);
}

#[test]
fn commas_end_lines_too() {
    let lines = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n";
    let bytecode = "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0,";
    assert_eq!(filter(lines), filter(bytecode));
    assert_eq!(filter(lines), filter(&format!("\n  {}\n\n", lines.replace('\n', "\r\n\t"))));
}

#[test]
fn both_byte_orders() {
    let little = [0x28, 0, 0, 0, 12, 0, 0, 0, 0x06, 0, 1, 2, 0xff, 0xff, 0, 0];
    let big = [0, 0x28, 0, 0, 0, 0, 0, 12, 0, 0x06, 1, 2, 0, 0, 0xff, 0xff];
    let words = [RawFilter { code: 0x28, jt: 0, jf: 0, k: 12 }, RawFilter { code: 6, jt: 1, jf: 2, k: 0xffff }];
    assert_eq!(parse_bytes(&little, Endian::Little, "filter").unwrap(), words);
    assert_eq!(parse_bytes(&big, Endian::Big, "filter").unwrap(), words);
}

/// The whole message of each mistake in a text.
#[test]
fn mistakes_in_text_are_pointed_at() {
    let message = |text| parse_decimal(text, "filter.txt").unwrap_err().to_string();
    assert_eq!(
        message("2\n40 0 0 12\n6 0 0 4294967296\n"),
        "filter.txt:3:7: cbpf-range: the immediate does not fit\n     3 | 6 0 0 4294967296\n       |       ^^^^^^^^^^\n  \
         Limit: 0 to 4294967295\n  Actual: 4294967296\n"
    );
    assert_eq!(
        message("2,40 0 0 12,6 0 x 0"),
        "filter.txt:1:17: cbpf-number: the jump if false is no decimal number\n     1 | 2,40 0 0 12,6 0 x 0\n       \
         |                 ^\n"
    );
    assert_eq!(
        message("1\n6 0 0\n"),
        "filter.txt:2:6: cbpf-missing: the immediate is missing\n     2 | 6 0 0\n       |      ^\n"
    );
    let headline = |text| parse_decimal(text, "f").unwrap_err().headline();
    assert_eq!(headline(" \n"), "f: cbpf-empty: there is no filter in this text");
    assert_eq!(headline("0\n"), "f:1:1: cbpf-range: the number of instructions does not fit");
    assert_eq!(headline("4097\n"), "f:1:1: cbpf-range: the number of instructions does not fit");
    assert_eq!(headline("+1\n6 0 0 0"), "f:1:1: cbpf-number: the number of instructions is no decimal number");
    assert_eq!(headline("1 6 0 0 0"), "f:1:3: cbpf-superfluous: the first line holds the number of instructions alone");
    assert_eq!(
        headline("1\n6 0 0 0 0"),
        "f:2:9: cbpf-superfluous: an instruction has four numbers: code, jump if true, jump if false, immediate"
    );
    assert_eq!(headline("2\n6 0 0 0"), "f:1:1: cbpf-count: there are fewer instructions than the first line says");
    assert_eq!(
        headline("1\n6 0 0 0\n6 0 0 0"),
        "f:3:1: cbpf-count: there are more instructions than the 1 that the first line says"
    );
    assert_eq!(headline("1\n6 256 0 0"), "f:2:3: cbpf-range: the jump if true does not fit");
    assert_eq!(headline("1\n{ 0x6, 0, 0, 0 }"), "f:2:1: cbpf-number: the code is no decimal number");
}

#[test]
fn mistakes_in_bytes_are_pointed_at() {
    let headline = |len: usize| parse_bytes(&vec![0; len], Endian::Little, "f").unwrap_err().headline();
    assert_eq!(headline(0), "f+0x0: cbpf-length: Linux does not take a filter of this length");
    assert_eq!(headline(4097 * 8), "f+0x0: cbpf-length: Linux does not take a filter of this length");
    assert_eq!(headline(17), "f+0x10: cbpf-partial: the filter ends inside an instruction");
}

#[test]
fn refusals_say_why() {
    let ret = RawFilter { code: 6, jt: 0, jf: 0, k: 0 };
    let message = |code, jt, k| check(&[RawFilter { code, jt, jf: 0, k }, ret], "f").unwrap_err().to_string();
    assert_eq!(message(0x34, 0, 0), "f:0: cbpf-division: division by the constant 0\n  At: 0: div      #0\n");
    assert_eq!(
        message(0x15, 3, 0),
        "f:0: cbpf-jump: the jump goes beyond the end of the filter\n  At: 0: jeq      #0x0             jt 4\tjf 1\n  \
         Limit: up to instruction 1\n  Actual: instruction 4\n"
    );
    let headline = |code, jt, k| message(code, jt, k).lines().next().unwrap().to_owned();
    assert_eq!(headline(0x64, 0, 32), "f:0: cbpf-shift: the shift is by the register's width or more");
    assert_eq!(headline(0x0e, 0, 0), "f:0: cbpf-opcode: no instruction has code 0xe");
    assert_eq!(headline(0x20, 0, 0xffff_f002), "f:0: cbpf-ancillary: there is nothing to load at this offset");
    assert_eq!(headline(0x60, 0, 16), "f:0: cbpf-cell-number: there is no such cell");
    assert_eq!(headline(0x60, 0, 2), "f:0: cbpf-cell: M[2] is read where it may not be written yet");
    let end = check(&[RawFilter { code: 0x80, ..ret }], "f").unwrap_err().headline();
    assert_eq!(end, "f:0: cbpf-end: the last instruction does not return");
}

#[test]
fn what_no_socket_filter_can_read_is_refused_by_name() {
    for what in Ancillary::ALL {
        let words = [
            Insn::LoadAncillary { size: bpf::insn::Size::W, what: *what }.encode(),
            RawFilter { code: 0x16, ..RawFilter::default() },
        ];
        let program = check(&words, "f").unwrap().program("f");
        let refused = ["nlattr", "nlattr_nest", "hatype", "pay_offset"].contains(&what.name());
        assert_eq!(program.is_err(), refused, "{}", what.name());
        if let Err(diagnostic) = program {
            assert_eq!(diagnostic.code, "cbpf-unsupported");
            assert!(diagnostic.reason.starts_with(what.name()), "{}", diagnostic.reason);
        }
    }
}

/// The longest filter of what grows most.
#[test]
fn the_largest_filter_converts() {
    let mut words = vec![LONGEST; bpf::cbpf::MAX_INSNS];
    *words.last_mut().unwrap() = RawFilter { code: 6, jt: 0, jf: 0, k: 7 };
    let program = check(&words, "f").unwrap().program("f").unwrap();
    assert!(program.insns.len() > 6 * 4095, "{} instructions", program.insns.len());
    assert_eq!(program.line_of(program.insns.len() - 1).unwrap().line, 4096);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_survive(code in 0..256u16, jt in any::<u8>(), jf in any::<u8>(), k in prop_oneof![0..20u32, any::<u32>()]) {
        let ret = RawFilter { code: 6, jt: 0, jf: 0, k: 0 };
        let mut words = vec![RawFilter { code, jt, jf, k }];
        words.resize(300, ret);
        if let Ok(filter) = check(&words, "f") {
            // Fields that an instruction does not use come back as 0.
            let back = filter.insns()[0].encode();
            prop_assert_eq!(back.code, code);
            prop_assert!(back.k == k || back.k == 0);
            prop_assert!((back.jt, back.jf) == (jt, jf) || (back.jt, back.jf) == (0, 0));
            let again: Vec<_> = filter.insns().iter().map(Insn::encode).collect();
            prop_assert_eq!(check(&again, "f").unwrap(), filter);
        }
    }

    #[test]
    fn any_text_gets_an_answer(text in "[0-9 ,\n\t\u{e4}x-]{0,60}") {
        if let Err(diagnostic) = parse_decimal(&text, "f") {
            prop_assert!(diagnostic.to_string().contains("cbpf-"));
        }
    }
}

/// `ldx 4*([14]&0xf)`, of which six instructions come.
const LONGEST: RawFilter = RawFilter { code: 0xb1, jt: 0, jf: 0, k: 14 };

/// A jump over so many of them, which a branch to the next instruction keeps reachable.
fn jump_over(between: usize) -> Vec<RawFilter> {
    let mut words = vec![LONGEST; between + 3];
    words[0] = RawFilter { code: 0x15, jt: 1, jf: 0, k: 0 };
    words[1] = RawFilter { code: 0x05, jt: 0, jf: 0, k: between as u32 };
    words[between + 2] = RawFilter { code: 0x06, jt: 0, jf: 0, k: 1 };
    words
}

/// Linux makes 19 instructions of each, and has 16 bits for the distance.
#[test]
fn jumps_reach_as_far_as_linux_s() {
    let between = 1_724;
    let program = check(&jump_over(between), "far").unwrap().program("far").unwrap();
    assert!(program.insns.len() > 6 * between, "{} instructions", program.insns.len());
    let far = program.insns.iter().enumerate().filter_map(|(slot, insn)| Some((slot, insn.target(slot)?)));
    let end = program.insns.len() as i64 - 2;
    assert!(far.clone().any(|(_, target)| target == end), "the jump goes to the last instruction");
    assert!(far.clone().all(|(slot, target)| target > slot as i64 && target <= end));
    for between in [1_725, 4_093] {
        assert_eq!(check(&jump_over(between), "far").unwrap().program("far").unwrap_err().code, "cbpf-reach");
    }
}
