//! A line of text, read from left to right.

use crate::isa::operand::{Bank, Reg, Step};

/// How far a line has been read, and the farthest that any attempt at it has come.
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    farthest: Farthest,
}

/// Where attempts at a line ended, and what they wanted there.
#[derive(Debug, Clone, Default)]
pub(super) struct Farthest {
    /// Bytes before it.
    pub at: usize,
    pub wanted: Vec<String>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, farthest: Farthest::default() }
    }

    /// Back to the line's start, for another attempt.
    pub(super) fn again(&mut self) {
        self.at = 0;
        self.skip_blanks();
    }

    pub(super) fn farthest(self) -> Farthest {
        self.farthest
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// Notes what would have had to stand here.
    pub(super) fn want<T>(&mut self, what: &str) -> Option<T> {
        self.skip_blanks();
        if self.at > self.farthest.at {
            self.farthest = Farthest { at: self.at, wanted: Vec::new() };
        }
        if self.at == self.farthest.at && !self.farthest.wanted.iter().any(|wanted| wanted == what) {
            self.farthest.wanted.push(what.to_owned());
        }
        None
    }

    /// The line is over.
    pub(super) fn end(&mut self) -> Option<()> {
        self.skip_blanks();
        if self.rest().is_empty() { Some(()) } else { self.want("the end of the line") }
    }

    /// A text of the listing. Blanks may be more or fewer than there.
    pub(super) fn literal(&mut self, text: &str) -> Option<()> {
        let from = self.at;
        for c in text.chars() {
            if matches!(c, ' ' | ',' | '[' | ']') {
                self.skip_blanks();
            }
            if c == ' ' {
                continue;
            }
            if !self.rest().starts_with(c) {
                self.at = from;
                return self.want(&format!("`{}`", text.trim()));
            }
            self.at += c.len_utf8();
        }
        Some(())
    }

    /// The same if it is there.
    pub(super) fn optional(&mut self, text: &str) -> bool {
        let kept = self.farthest.clone();
        let found = self.literal(text).is_some();
        if !found {
            // What may be missing is not what is missing.
            self.farthest = kept;
        }
        found
    }

    /// The longest of these texts that stands here, and is no part of a longer word.
    pub(super) fn longest<T: Copy>(&mut self, all: &[T], text: impl Fn(T) -> &'static str, what: &str) -> Option<T> {
        let (from, mut best) = (self.at, None::<(T, usize)>);
        for &one in all {
            self.at = from;
            let found = text(one).is_empty() || self.optional(text(one));
            if found && best.is_none_or(|(_, end)| self.at > end) {
                best = Some((one, self.at));
            }
        }
        self.at = from;
        let Some((one, end)) = best else { return self.want(what) };
        self.at = end;
        Some(one)
    }

    /// A name: what stands before the next blank, comma or bracket.
    pub(super) fn name(&mut self) -> &'t str {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest.find([' ', '\t', ',', '[', ']']).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn digits(&mut self, base: u32, least: usize, most: usize) -> Option<u32> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_digit(base)).unwrap_or(rest.len());
        if !(least..=most).contains(&end) {
            return None;
        }
        let number = u32::from_str_radix(rest.get(..end)?, base).ok()?;
        self.at += end;
        Some(number)
    }

    /// A number, decimal or hexadecimal.
    pub(super) fn number(&mut self) -> Option<u32> {
        self.skip_blanks();
        let from = self.at;
        let found = if self.rest().starts_with("0x") {
            self.at += 2;
            self.digits(16, 1, 8)
        } else {
            self.digits(10, 1, 10)
        };
        if found.is_none() {
            self.at = from;
            return self.want("a number");
        }
        found
    }

    /// A number that stands behind a text, as in a name.
    fn numbered(&mut self, before: &str) -> Option<u8> {
        let from = self.at;
        if !self.optional(before) {
            return None;
        }
        let number = self.digits(10, 1, 3).and_then(|n| u8::try_from(n).ok());
        if number.is_none() {
            self.at = from;
        }
        number
    }

    /// Four binary digits.
    pub(super) fn byte_mask(&mut self) -> Option<u8> {
        self.skip_blanks();
        match self.digits(2, 4, 4) {
            Some(mask) => Some(mask as u8),
            None => self.want("four binary digits"),
        }
    }

    /// A transfer register.
    pub(super) fn transfer(&mut self) -> Option<u8> {
        self.skip_blanks();
        match self.numbered("$xfer_") {
            Some(n) => Some(n),
            None => self.want("a transfer register"),
        }
    }

    /// A register.
    pub(super) fn register(&mut self) -> Option<Reg> {
        self.skip_blanks();
        let from = self.at;
        let reg = self.any_register();
        if reg.is_none() {
            self.at = from;
            return self.want("a register");
        }
        reg
    }

    fn any_register(&mut self) -> Option<Reg> {
        for (bank, relative, absolute) in [(Bank::A, "gprA_", "@gprA_"), (Bank::B, "gprB_", "@gprB_")] {
            if let Some(n) = self.numbered(relative) {
                return Some(Reg::Gpr(bank, n));
            }
            if let Some(n) = self.numbered(absolute) {
                return Some(Reg::Absolute(bank, n));
            }
        }
        if let Some(n) = self.numbered("$xfer_") {
            return Some(Reg::Xfer(n));
        }
        if let Some(n) = self.numbered("n$reg_") {
            return Some(Reg::Neighbour(n));
        }
        if self.optional("*$index") {
            return Some(Reg::XferIndex(self.step()));
        }
        if self.optional("*n$index") {
            return Some(Reg::NeighbourIndex(self.optional("++")));
        }
        let pointer = self.numbered("*l$index")?;
        if self.optional("[") {
            let offset = self.digits(10, 1, 3).and_then(|n| u8::try_from(n).ok())?;
            self.literal("]")?;
            return Some(Reg::Local { pointer, offset });
        }
        Some(match self.step() {
            Step::Hold => Reg::Local { pointer, offset: 0 },
            Step::Increment => Reg::LocalIncrement { pointer },
            Step::Decrement => Reg::LocalDecrement { pointer },
        })
    }

    fn step(&mut self) -> Step {
        if self.optional("++") {
            Step::Increment
        } else if self.optional("--") {
            Step::Decrement
        } else {
            Step::Hold
        }
    }
}
