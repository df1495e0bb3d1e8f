//! Keys and values of maps as people write them: parts in a row, each with its own notation.
//!
//! | part | bytes |
//! |---|---|
//! | `198.51.100.7` | 4, network order |
//! | `2001:db8::7` | 16, network order |
//! | `02:00:00:00:00:07` | 6, in order |
//! | `80be16`, `6u8`, `1le32`, `7le64` | a number of that width and byte order |
//! | `pad3` | as many zero bytes |
//! | `0a00ff` | hex digits, two a byte, in order |

use std::net::{Ipv4Addr, Ipv6Addr};

/// The bytes a notation stands for.
///
/// # Errors
/// The part that is none of the notations, or out of range for its width.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for part in text.split_whitespace() {
        part_into(part, &mut bytes)?;
    }
    Ok(bytes)
}

/// Number notations: suffix, bytes, big endian.
const NUMBERS: [(&str, usize, bool); 7] = [
    ("u8", 1, true),
    ("be16", 2, true),
    ("be32", 4, true),
    ("be64", 8, true),
    ("le16", 2, false),
    ("le32", 4, false),
    ("le64", 8, false),
];

/// Most zero bytes one `pad` may ask for.
const MAX_PAD: usize = 4096;

fn part_into(part: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    if let Ok(address) = part.parse::<Ipv4Addr>() {
        bytes.extend(address.octets());
        return Ok(());
    }
    if let Some(mac) = mac(part) {
        bytes.extend(mac);
        return Ok(());
    }
    if let Ok(address) = part.parse::<Ipv6Addr>() {
        bytes.extend(address.octets());
        return Ok(());
    }
    if let Some(count) = part.strip_prefix("pad").and_then(|n| n.parse::<usize>().ok()) {
        if count > MAX_PAD {
            return Err(format!("`{part}` asks for more than {MAX_PAD} bytes"));
        }
        bytes.resize(bytes.len() + count, 0);
        return Ok(());
    }
    for (suffix, width, big) in NUMBERS {
        let Some(digits) = part.strip_suffix(suffix) else { continue };
        // `1be16` is also hex but for the suffix; the suffix wins where the rest is a decimal number.
        let Ok(value) = digits.parse::<u64>() else { continue };
        let all = value.to_be_bytes();
        if all[..8 - width].iter().any(|&b| b != 0) {
            return Err(format!("`{part}` does not fit {width} bytes"));
        }
        let used = &all[8 - width..];
        if big {
            bytes.extend(used)
        } else {
            bytes.extend(used.iter().rev())
        }
        return Ok(());
    }
    let digits = part.strip_prefix("0x").unwrap_or(part);
    if !digits.is_empty() && digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).expect("hex digits are ASCII");
            bytes.push(u8::from_str_radix(pair, 16).expect("two hex digits are a byte"));
        }
        return Ok(());
    }
    Err(format!(
        "`{part}` is no address, number with a width (80be16, 6u8, 1le32), padding (pad3) or pairs of hex digits"
    ))
}

fn mac(part: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut fields = part.split(':');
    for byte in &mut bytes {
        let field = fields.next()?;
        if field.len() != 2 {
            return None;
        }
        *byte = u8::from_str_radix(field, 16).ok()?;
    }
    fields.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_the_table() {
        let cases: &[(&str, &[u8])] = &[
            ("198.51.100.7", &[198, 51, 100, 7]),
            ("2001:db8::7", &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
            ("02:00:00:00:00:07", &[2, 0, 0, 0, 0, 7]),
            ("80be16 6u8 1le32", &[0, 80, 6, 1, 0, 0, 0]),
            ("258le64", &[2, 1, 0, 0, 0, 0, 0, 0]),
            ("pad3 0a00ff 0xFf", &[0, 0, 0, 0x0a, 0, 0xff, 0xff]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).as_deref(), Ok(*expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_named() {
        for (text, part) in
            [("1.2.3.4 70000be16", "70000be16"), ("abc", "abc"), ("256u8", "256u8"), ("pad5000", "pad5000")]
        {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
