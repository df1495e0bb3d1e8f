//! Bytes as bpftool prints them.

use std::fmt::Write;

use serde_json::Value;

/// Two digits a byte, 16 a line, a wider gap in the middle.
pub(super) fn plain(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        text.push_str(match at {
            0 => "",
            at if at % 16 == 0 => "\n",
            at if at % 8 == 0 => "  ",
            _ => " ",
        });
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The same as JSON: texts of `0x` and two digits.
pub(super) fn json(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| Value::String(format!("{byte:#04x}"))).collect()
}

/// A packet with its offsets, and what in it can be read.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "{:07x}\t", 16 * at);
        for place in 0..16 {
            match line.get(place) {
                Some(byte) => {
                    let _ = write!(text, "{byte:02x}");
                }
                None => text.push_str("  "),
            }
            if place % 2 == 1 {
                text.push(' ');
            }
        }
        text.push_str("| ");
        for (place, byte) in line.iter().enumerate() {
            text.push(if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' });
            if place == 7 {
                text.push(' ');
            }
        }
        text.push('\n');
    }
    text
}
