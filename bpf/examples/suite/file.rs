//! A test file of bpf_conformance: sections behind lines of `-- NAME`, one program and what it answers.

use bpf::insn::RawInsn;

use super::asm;

/// One test.
#[derive(Debug, Default)]
pub struct Test {
    pub program: Vec<RawInsn>,
    /// What R1 points to; nothing where it is empty.
    pub memory: Vec<u8>,
    pub expected: Expected,
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// R0.
    Result(u64),
    /// A refusal; the suite names the words of it in some tests.
    Error(String),
}

impl Default for Expected {
    fn default() -> Self {
        Expected::Result(0)
    }
}

/// Reads a test.
///
/// # Errors
/// What is no test file.
pub fn parse(text: &str) -> Result<Test, String> {
    let (mut section, mut code, mut raw) = ("", String::new(), Vec::new());
    let (mut test, mut result, mut error) = (Test::default(), None, None);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        if let Some(name) = line.split("--").nth(1) {
            section = match name.trim() {
                name @ ("asm" | "mem" | "raw" | "result") => name,
                "error" => {
                    error = Some(String::new());
                    "error"
                }
                // Sources in C, and remarks.
                _ => "other",
            };
            continue;
        }
        match section {
            "asm" => code.extend([line, "\n"]),
            "mem" => test.memory.extend(bytes(line)?),
            "raw" => raw.extend(words(line)?),
            "result" if !line.trim().is_empty() => result = Some(long(line.trim())?),
            "error" if !line.trim().is_empty() => error = Some(line.trim().to_owned()),
            _ => {}
        }
    }
    test.program = if raw.is_empty() { asm::assemble(&code)? } else { raw };
    test.expected = match (result, error) {
        (Some(result), _) => Expected::Result(result),
        (None, Some(error)) => Expected::Error(error),
        (None, None) => return Err("neither a result nor an error".to_owned()),
    };
    if test.program.is_empty() { Err("no program".to_owned()) } else { Ok(test) }
}

/// Hexadecimal bytes with blanks between them.
///
/// # Errors
/// What is none.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).map_err(|e| format!("{byte:?}: {e}"))).collect()
}

/// Slots as 64-bit numbers, or as the eight bytes of each on a line of its own.
fn words(line: &str) -> Result<Vec<RawInsn>, String> {
    let line = line.trim();
    if !line.contains("0x") && line.split_whitespace().count() == 8 {
        return Ok(bytes(line)?.as_chunks::<8>().0.iter().map(|&slot| RawInsn::from_le_bytes(slot)).collect());
    }
    line.split_whitespace().map(|word| Ok(RawInsn::from_le_bytes(long(word)?.to_le_bytes()))).collect()
}

fn long(text: &str) -> Result<u64, String> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.map_err(|e| format!("{text:?}: {e}"))
}
