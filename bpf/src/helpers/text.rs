//! Helpers on texts: numbers read, strings compared, lines printed.

use super::format::{format, is_space};
use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;
use crate::memory::Fault;

/// Longest format that is read.
const FORMAT: usize = 1024;
/// Most arguments of a format (`MAX_BPRINTF_VARARGS`).
const ARGS: u64 = 12;

fn fails(errno: Errno) -> HelperOutcome {
    Ok(errno.as_return())
}

/// A number's sign, value, and how many bytes it took.
struct Number {
    negative: bool,
    value: u64,
    taken: usize,
}

/// Reads a number as `bpf_strtol` and `bpf_strtoul` do.
fn number(text: &[u8], flags: u64) -> Result<Number, Errno> {
    // What is copied to be read, white space and sign apart.
    const LONGEST: usize = 63;
    let mut base = match flags {
        0 | 8 | 10 | 16 => flags,
        _ => return Err(Errno::EINVAL),
    };
    let blank = text.iter().take_while(|byte| is_space(**byte)).count();
    let negative = text.get(blank) == Some(&b'-');
    let start = blank + usize::from(negative);
    let rest = &text[start..];
    if rest.is_empty() {
        return Err(Errno::EINVAL);
    }
    let rest = &rest[..rest.len().min(LONGEST)];
    let prefix = rest.len() >= 2 && rest[0] == b'0' && rest[1].eq_ignore_ascii_case(&b'x');
    if base == 0 {
        base = match rest {
            [b'0', ..] if prefix && rest.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
            [b'0', ..] => 8,
            _ => 10,
        };
    }
    let skipped = if base == 16 && prefix { 2 } else { 0 };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u64::from).filter(|digit| *digit < base);
    let digits: Vec<u64> = rest[skipped..].iter().map_while(digit).collect();
    if digits.is_empty() {
        return Err(Errno::EINVAL);
    }
    let append = |value: u64, digit: &u64| value.checked_mul(base)?.checked_add(*digit);
    let value = digits.iter().try_fold(0, append).ok_or(Errno::ERANGE)?;
    Ok(Number { negative, value, taken: start + skipped + digits.len() })
}

/// Reads the text and writes what `convert` makes of the number in it; 0 where it makes nothing.
fn convert(
    cx: &mut dyn HelperCx,
    [text, len, flags, to, _]: [u64; 5],
    convert: impl Fn(&Number) -> Result<u64, Errno>,
) -> HelperOutcome {
    let text = read(cx, text, len, usize::MAX)?;
    let answer = number(&text, flags).and_then(|number| Ok((convert(&number)?, number.taken)));
    let value = answer.map_or(0, |(value, _)| value);
    let order = cx.byte_order();
    let bytes = match order {
        crate::program::Endian::Little => value.to_le_bytes(),
        crate::program::Endian::Big => value.to_be_bytes(),
    };
    cx.write(to, &bytes)?;
    Ok(answer.map_or_else(Errno::as_return, |(_, taken)| taken as u64))
}

pub(super) fn strtol(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    convert(cx, args, |number| {
        let signed = if number.negative { number.value.wrapping_neg() } else { number.value };
        let wrong = if number.negative { signed as i64 > 0 } else { (signed as i64) < 0 };
        if wrong { Err(Errno::ERANGE) } else { Ok(signed) }
    })
}

pub(super) fn strtoul(cx: &mut dyn HelperCx, args: [u64; 5]) -> HelperOutcome {
    convert(cx, args, |number| if number.negative { Err(Errno::EINVAL) } else { Ok(number.value) })
}

/// Guest memory, `len` bytes or as many as `most`.
fn read(cx: &mut dyn HelperCx, address: u64, len: u64, most: usize) -> Result<Vec<u8>, Fault> {
    const CHUNK: usize = 256;
    let len = usize::try_from(len as u32).unwrap_or(usize::MAX).min(most);
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let (at, more) = (bytes.len(), CHUNK.min(len - bytes.len()));
        bytes.resize(at + more, 0);
        cx.read(address.wrapping_add(at as u64), &mut bytes[at..])?;
    }
    Ok(bytes)
}

/// The text at an address, up to its end or to `most` bytes.
fn string(cx: &mut dyn HelperCx, address: u64, most: usize) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() < most {
        cx.read(address.wrapping_add(text.len() as u64), &mut byte)?;
        if byte == [0] {
            break;
        }
        text.push(byte[0]);
    }
    Ok(text)
}

pub(super) fn strncmp(cx: &mut dyn HelperCx, [first, len, second, ..]: [u64; 5]) -> HelperOutcome {
    for at in 0..u64::from(len as u32) {
        let (mut a, mut b) = ([0], [0]);
        cx.read(first.wrapping_add(at), &mut a)?;
        cx.read(second.wrapping_add(at), &mut b)?;
        if a != b {
            return Ok(if a < b { -1i64 as u64 } else { 1 });
        }
        if a == [0] {
            break;
        }
    }
    Ok(0)
}

/// Prints what a format of so many bytes gives.
fn print(cx: &mut dyn HelperCx, text: u64, size: u64, args: &[u64]) -> HelperOutcome {
    let text = read(cx, text, size, FORMAT)?;
    let Some(end) = text.iter().position(|byte| *byte == 0) else { return fails(Errno::EINVAL) };
    match format(cx, &text[..end], args, FORMAT) {
        Ok(line) => {
            cx.env().print(&line[..line.len().min(FORMAT - 1)]);
            Ok(line.len() as u64)
        }
        Err(errno) => fails(errno),
    }
}

pub(super) fn trace_printk(cx: &mut dyn HelperCx, [text, size, a, b, c]: [u64; 5]) -> HelperOutcome {
    print(cx, text, size, &[a, b, c])
}

/// Arguments that stand in memory.
fn arguments(cx: &mut dyn HelperCx, data: u64, size: u64) -> Result<Result<Vec<u64>, Errno>, Fault> {
    let size = size as u32;
    if !size.is_multiple_of(8) || u64::from(size) > 8 * ARGS || (size > 0 && data == 0) {
        return Ok(Err(Errno::EINVAL));
    }
    let order = cx.byte_order();
    let bytes = read(cx, data, u64::from(size), usize::MAX)?;
    let words = bytes.chunks_exact(8).map(|word| {
        let word = word.try_into().expect("chunks of 8");
        if order == crate::program::Endian::Little { u64::from_le_bytes(word) } else { u64::from_be_bytes(word) }
    });
    Ok(Ok(words.collect()))
}

pub(super) fn trace_vprintk(cx: &mut dyn HelperCx, [text, size, data, data_size, _]: [u64; 5]) -> HelperOutcome {
    match arguments(cx, data, data_size)? {
        Ok(args) => print(cx, text, size, &args),
        Err(errno) => fails(errno),
    }
}

pub(super) fn snprintf(cx: &mut dyn HelperCx, [to, size, text, data, data_size]: [u64; 5]) -> HelperOutcome {
    let args = match arguments(cx, data, data_size)? {
        Ok(args) => args,
        Err(errno) => return fails(errno),
    };
    let text = string(cx, text, 1 << 16)?;
    let line = match format(cx, &text, &args, size as u32 as usize) {
        Ok(line) => line,
        Err(errno) => return fails(errno),
    };
    if let Some(room) = (size as u32 as usize).checked_sub(1) {
        let shown = &line[..line.len().min(room)];
        cx.write(to, shown)?;
        cx.write(to.wrapping_add(shown.len() as u64), &[0])?;
    }
    Ok(line.len() as u64 + 1)
}
