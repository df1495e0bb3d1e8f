//! Classic filters, from text and from bytes: those that Linux would take convert, and the verifier accepts them.

use bpf::cbpf::{RawFilter, check, parse, parse_bytes, parse_decimal};
use bpf::program::Endian;
use bpf::verifier::{Options, Verdict, verify};

/// Instructions up to which the verifier walks a filter in no time.
const SHORT: usize = 64;

/// The text of `tcpdump -ddd`.
pub fn text(data: &[u8]) {
    match parse_decimal(&String::from_utf8_lossy(data), "text") {
        Ok(words) => {
            let again = parse_decimal(&parse::print_decimal(&words), "text").expect("what was printed parses");
            assert_eq!(again, words);
            filter(&words);
        }
        Err(diagnostic) => drop(diagnostic.to_string()),
    }
}

/// `struct sock_filter` in both byte orders.
pub fn raw(data: &[u8]) {
    for order in [Endian::Little, Endian::Big] {
        match parse_bytes(data, order, "bytes") {
            Ok(words) => filter(&words),
            Err(diagnostic) => drop(diagnostic.to_string()),
        }
    }
}

fn filter(words: &[RawFilter]) {
    let filter = match check(words, "filter") {
        Ok(filter) => filter,
        Err(diagnostic) => return drop(diagnostic.to_string()),
    };
    let _ = filter.listing();
    let Ok(program) = filter.program("filter") else { return };
    bpf::insn::encode(&program.insns).expect("a converted filter has an encoding");
    if words.len() <= SHORT {
        let verdict = verify(program, &Options::default());
        assert!(matches!(verdict, Verdict::Accepted(_)), "{}", filter.listing());
    }
}
