//! Texts of `bpf_trace_printk` and its kin: what a format may hold, and what comes out (`bpf_bprintf_prepare`, `bstr_printf`).

use super::HelperCx;
use super::siphash::siphash;
use crate::errno::Errno;

/// Longest text (`MAX_BPRINTF_BUF`).
const LONGEST: usize = 1024;

/// How a value is laid out.
#[derive(Debug, Clone, Copy, Default)]
struct Layout {
    zeros: bool,
    plus: bool,
    space: bool,
    left: bool,
    width: usize,
}

/// Reads a format piece by piece.
struct Format<'a> {
    text: &'a [u8],
    at: usize,
}

impl Format<'_> {
    /// The byte some places on; 0 behind the end.
    fn peek(&self, on: usize) -> u8 {
        self.text.get(self.at + on).copied().unwrap_or(0)
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let there = self.peek(0) == byte;
        self.at += usize::from(there);
        there
    }

    fn layout(&mut self) -> Layout {
        let mut layout = Layout::default();
        loop {
            match self.peek(0) {
                b'0' => layout.zeros = true,
                b'+' => layout.plus = true,
                b' ' => layout.space = true,
                b'-' => layout.left = true,
                _ => break,
            }
            self.at += 1;
        }
        while self.peek(0).is_ascii_digit() {
            layout.width = layout.width.saturating_mul(10).saturating_add(usize::from(self.peek(0) - b'0'));
            self.at += 1;
        }
        layout.width = layout.width.min(LONGEST);
        layout
    }

    /// Whether a pointer or a text may end before the byte some places on.
    fn ends(&self, on: usize) -> bool {
        let byte = self.peek(on);
        byte == 0 || is_space(byte) || byte.is_ascii_punctuation()
    }
}

/// White space as the kernel's table of characters has it.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

impl Layout {
    fn pad(self, out: &mut Vec<u8>, text: &[u8]) {
        let fill = self.width.saturating_sub(text.len());
        if !self.left {
            out.resize(out.len() + fill, b' ');
        }
        out.extend_from_slice(text);
        if self.left {
            out.resize(out.len() + fill, b' ');
        }
    }

    fn number(self, out: &mut Vec<u8>, sign: &str, digits: &str) {
        let fill = self.width.saturating_sub(sign.len() + digits.len());
        let zeros = if self.zeros && !self.left { fill } else { 0 };
        self.pad(out, format!("{sign}{}{digits}", "0".repeat(zeros)).as_bytes());
    }

    fn signed(self, out: &mut Vec<u8>, value: i64) {
        let sign = match () {
            () if value < 0 => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        };
        self.number(out, sign, &value.unsigned_abs().to_string());
    }
}

/// The text at a guest's address, up to its end; nothing where there is none.
fn text_at(cx: &mut dyn HelperCx, address: u64) -> Vec<u8> {
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() < LONGEST - 1 && cx.read(address.wrapping_add(text.len() as u64), &mut byte).is_ok() && byte != [0]
    {
        text.push(byte[0]);
    }
    text
}

/// The text of an address (`%pi4`, `%pI4`, `%pi6`, `%pI6`).
fn address_text(cx: &mut dyn HelperCx, v6: bool, plain: bool, at: u64) -> String {
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..if v6 { 16 } else { 4 }];
    if cx.read(at, bytes).is_err() {
        bytes.fill(0);
    }
    let join = |parts: Vec<String>, by| parts.join(by);
    match (v6, plain) {
        (false, false) => join(bytes.iter().map(u8::to_string).collect(), "."),
        (false, true) => join(bytes.iter().map(|b| format!("{b:03}")).collect(), "."),
        (true, _) => {
            let words = bytes.chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
            join(words, if plain { "" } else { ":" })
        }
    }
}

/// The text that a format and its arguments give where there is room for so many bytes, the end's zero included. It may be
/// longer, but an address that begins beyond the room is left out, also from the length, as Linux does.
///
/// # Errors
/// `EINVAL` for what such a format may not hold, and for more conversions than arguments.
pub(super) fn format(cx: &mut dyn HelperCx, text: &[u8], args: &[u64], room: usize) -> Result<Vec<u8>, Errno> {
    let mut format = Format { text, at: 0 };
    let mut args = args.iter().copied();
    let mut out = Vec::new();
    while format.at < text.len() {
        let byte = format.peek(0);
        format.at += 1;
        if !(byte.is_ascii_graphic() || byte.is_ascii() && is_space(byte)) {
            return Err(Errno::EINVAL);
        }
        if byte != b'%' || format.take_if(b'%') {
            out.push(byte);
            continue;
        }
        let arg = args.next().ok_or(Errno::EINVAL)?;
        let layout = format.layout();
        let byte = format.peek(0);
        format.at += 1;
        match byte {
            b'p' => pointer(cx, &mut format, (&mut out, room), layout, arg)?,
            b's' if format.ends(0) => layout.pad(&mut out, &text_at(cx, arg)),
            b's' => return Err(Errno::EINVAL),
            b'c' => layout.pad(&mut out, &[arg as u8]),
            _ => {
                format.at -= 1;
                integer(&mut format, &mut out, layout, arg)?;
            }
        }
    }
    Ok(out)
}

fn integer(format: &mut Format<'_>, out: &mut Vec<u8>, layout: Layout, arg: u64) -> Result<(), Errno> {
    let long = format.take_if(b'l');
    format.take_if(b'l');
    let kind = format.peek(0);
    format.at += 1;
    let unsigned = if long { arg } else { u64::from(arg as u32) };
    match kind {
        b'd' | b'i' => layout.signed(out, if long { arg as i64 } else { i64::from(arg as i32) }),
        b'u' => layout.number(out, "", &unsigned.to_string()),
        b'x' => layout.number(out, "", &format!("{unsigned:x}")),
        b'X' => layout.number(out, "", &format!("{unsigned:X}")),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn pointer(
    cx: &mut dyn HelperCx,
    format: &mut Format<'_>,
    (out, room): (&mut Vec<u8>, usize),
    layout: Layout,
    arg: u64,
) -> Result<(), Errno> {
    let wide = |text: String| Layout { width: layout.width.max(16), zeros: true, ..layout }.pad_zeros(text);
    match (format.peek(0), format.peek(1)) {
        (b'k' | b'u', b's') => {
            format.at += 2;
            if !format.ends(0) {
                return Err(Errno::EINVAL);
            }
            if out.len() < room {
                out.extend(text_at(cx, arg));
            }
        }
        (b'x', _) => {
            format.at += 1;
            out.extend(wide(format!("{arg:x}")).into_bytes());
        }
        // No address here belongs to a symbol.
        (b's' | b'S' | b'B', _) => {
            format.at += 1;
            layout.pad(out, format!("0x{arg:x}").as_bytes());
        }
        (family @ (b'i' | b'I'), width @ (b'4' | b'6')) => {
            format.at += 2;
            if out.len() < room {
                out.extend(address_text(cx, width == b'6', family == b'i', arg).into_bytes());
            }
        }
        (b'K', _) => {
            format.at += 1;
            out.extend(wide(hidden(cx, arg)).into_bytes());
        }
        _ if format.ends(0) => out.extend(wide(hidden(cx, arg)).into_bytes()),
        _ => return Err(Errno::EINVAL),
    }
    // Letters and digits right behind count to the conversion.
    while format.peek(0).is_ascii_alphanumeric() {
        format.at += 1;
    }
    Ok(())
}

/// What stands for an address that is not to be seen: 32 bits of a hash of it.
fn hidden(cx: &mut dyn HelperCx, address: u64) -> String {
    format!("{:x}", siphash(cx.env().secret(), &address.to_le_bytes()) as u32)
}

impl Layout {
    fn pad_zeros(self, text: String) -> String {
        format!("{}{text}", "0".repeat(self.width.saturating_sub(text.len())))
    }
}
