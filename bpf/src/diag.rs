//! What the project says when it cannot do what it was asked: one form for loader, verifier, offload and scenario.
//!
//! A diagnostic is for whoever gave us the input. It names what is wrong, where, which limit was broken, the value that
//! broke it, and what would help. The first line alone is for tools; [`Diagnostic`]'s `Display` prints the whole.

use std::fmt;

/// One message about somebody's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable identifier for tools, kebab-case, such as `object-not-elf`.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
    /// Where it is wrong.
    pub at: Option<At>,
    /// The rule that is broken, one sentence without a full stop.
    pub rule: Option<String>,
    /// The few instructions that led there, in the order in which they would run.
    pub path: Vec<Step>,
    /// The limit that was broken, with its unit.
    pub limit: Option<String>,
    /// The value that broke it, with its unit.
    pub actual: Option<String>,
    /// What would help.
    pub help: Option<String>,
}

/// A place in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// A BPF instruction.
    Insn {
        /// Program's name.
        program: String,
        /// Index in 8-byte slots, as the kernel counts.
        slot: usize,
        /// The instruction as the verifier prints it.
        text: String,
        /// The line of C it came from, when the object says so.
        source: Option<SourceLine>,
    },
    /// A byte range of a binary input.
    Bytes {
        /// What the bytes are of, such as a section's or a file's name.
        of: String,
        /// First byte.
        offset: u64,
    },
    /// A range of a text input.
    Text {
        /// File the text came from.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// Characters marked, at least 1.
        len: usize,
        /// The whole line, for the caret.
        snippet: String,
    },
    /// Something with a name: a file, a map, a symbol.
    Named(String),
}

/// A line of the program's source as the object records it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceLine {
    /// File name as compiled.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
    /// Text of the line; empty when unknown.
    pub text: String,
}

/// An instruction that led to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Index in 8-byte slots, as the kernel counts.
    pub slot: usize,
    /// The instruction as the verifier prints it.
    pub text: String,
    /// What it left in a register, as the verifier prints it, or which way a branch went; may be empty.
    pub note: String,
    /// The function it stands in.
    pub function: String,
    /// The line of C it came from, when the object says so.
    pub source: Option<SourceLine>,
}

impl Diagnostic {
    /// A diagnostic with a code and a reason; the rest is added by the `with_` methods.
    pub fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            at: None,
            rule: None,
            path: Vec::new(),
            limit: None,
            actual: None,
            help: None,
        }
    }

    /// Says where.
    pub fn at(mut self, at: At) -> Self {
        self.at = Some(at);
        self
    }

    /// Says which limit was broken, and by which value.
    pub fn limit(mut self, limit: impl fmt::Display, actual: impl fmt::Display) -> Self {
        self.limit = Some(limit.to_string());
        self.actual = Some(actual.to_string());
        self
    }

    /// Says what would help.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The line for tools: `where: code: reason`.
    pub fn headline(&self) -> String {
        match &self.at {
            Some(at) => format!("{at}: {}: {}", self.code, self.reason),
            None => format!("{}: {}", self.code, self.reason),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Insn { program, slot, .. } => write!(f, "{program}:{slot}"),
            At::Bytes { of, offset } => write!(f, "{of}+{offset:#x}"),
            At::Text { file, line, column, .. } => write!(f, "{file}:{line}:{column}"),
            At::Named(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        match &self.at {
            Some(At::Insn { slot, text, source, .. }) => {
                writeln!(f, "  At: {slot}: {text}")?;
                if let Some(s) = source {
                    writeln!(f, "      {}:{}: {}", s.file, s.line, s.text.trim())?;
                }
            }
            Some(At::Text { column, len, snippet, line, .. }) => {
                writeln!(f, "  {line:>4} | {snippet}")?;
                writeln!(f, "       | {:>width$}", "^".repeat((*len).max(1)), width = column - 1 + (*len).max(1))?;
            }
            _ => {}
        }
        if let Some(rule) = &self.rule {
            writeln!(f, "  Rule: {rule}")?;
        }
        show_path(f, &self.path)?;
        if let Some(limit) = &self.limit {
            writeln!(f, "  Limit: {limit}")?;
        }
        if let Some(actual) = &self.actual {
            writeln!(f, "  Actual: {actual}")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "  Suggestion: {help}")?;
        }
        Ok(())
    }
}

/// Writes the steps that led to a place, each line of C once where several of its instructions follow each other.
pub fn show_path(f: &mut impl fmt::Write, path: &[Step]) -> fmt::Result {
    if path.is_empty() {
        return Ok(());
    }
    writeln!(f, "  Path:")?;
    let mut before = None;
    for Step { slot, text, note, function, source } in path {
        let line = source.as_ref().map(|s| (&s.file, s.line, function));
        if let Some(s) = source.as_ref().filter(|_| line != before) {
            writeln!(f, "      {}:{}: {} ({function})", s.file, s.line, s.text.trim())?;
        }
        before = line;
        let step = format!("{slot}: {text}");
        match note.as_str() {
            "" => writeln!(f, "    {step}")?,
            note => writeln!(f, "    {step:<40} ; {note}")?,
        }
    }
    Ok(())
}

impl std::error::Error for Diagnostic {}
