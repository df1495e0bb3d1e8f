//! `sim nic`: the cards there are, and words of their code stores as text and back.

use std::io::Write;
use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};
use nic_model::isa;
use nic_model::profile;

use super::Ending;
use crate::files;
use crate::trouble::Trouble;

/// Commands about cards.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Names of the built-in cards.
    List,
    /// A built-in card's profile, every value with its kind and source.
    Show {
        /// Its name.
        name: String,
    },
    /// Assemble a text in the vendor's syntax: one word a line, in hexadecimal digits.
    Asm {
        /// The text; listings of `disasm` are taken too.
        file: PathBuf,
        /// Give the words their parity, as a code store has them.
        #[arg(long)]
        parity: bool,
    },
    /// List words of a code store, of a driver or a firmware, in the vendor's syntax.
    Disasm {
        /// Words in hexadecimal digits, between blanks, commas, quotes or brackets.
        file: PathBuf,
        /// The file has words of eight bytes, the least significant first.
        #[arg(long)]
        raw: bool,
    },
}

pub(super) fn run(command: &Command) -> Result<Ending, Trouble> {
    let mut out = std::io::stdout().lock();
    let _ = match command {
        Command::List => profile::NAMES.iter().try_for_each(|name| writeln!(out, "{name}")),
        Command::Show { name } => out.write_all(profile::builtin_text(name)?.as_bytes()),
        Command::Asm { file, parity } => {
            let words = isa::assemble(&files::read_text(file)?, &file.display().to_string())?;
            let stored = |word: u64| if *parity { isa::with_ecc(word) } else { word };
            words.into_iter().try_for_each(|word| writeln!(out, "{:016x}", stored(word)))
        }
        Command::Disasm { file, raw } => {
            let words =
                if *raw { raw_words(file, &files::read(file)?)? } else { words(file, &files::read_text(file)?)? };
            write!(out, "{}", isa::disassemble(&words))
        }
    };
    Ok(Ending::Good)
}

/// Words of eight bytes.
fn raw_words(file: &Path, bytes: &[u8]) -> Result<Vec<u64>, Diagnostic> {
    match bytes.as_chunks() {
        (words, []) => Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect()),
        (_, rest) => Err(Diagnostic::new("nic-words", "the file ends within a word")
            .at(At::Named(file.display().to_string()))
            .limit("a multiple of 8 bytes", format!("{} bytes behind the last word", rest.len()))
            .help("leave --raw out if the words are hexadecimal digits")),
    }
}

/// Words in hexadecimal digits.
fn words(file: &Path, text: &str) -> Result<Vec<u64>, Diagnostic> {
    const BETWEEN: [char; 6] = [' ', '\t', ',', '"', '[', ']'];
    let mut words = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut at = 0;
        for piece in line.split_inclusive(BETWEEN) {
            let digits = piece.trim_end_matches(BETWEEN);
            if !digits.is_empty() {
                let word = u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16);
                words.push(word.map_err(|_| {
                    Diagnostic::new("nic-words", "this is no word in hexadecimal digits")
                        .at(At::Text {
                            file: file.display().to_string(),
                            line: number,
                            column: line.get(..at).map_or(0, |before| before.chars().count()) + 1,
                            len: digits.chars().count(),
                            snippet: line.to_owned(),
                        })
                        .help("give one word after another, or --raw for a file of words of eight bytes")
                })?);
            }
            at += piece.len();
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_anything_usual() {
        let text = "[\"000000f0000c0300\", 0xf0]\n1\t2";
        assert_eq!(words(Path::new("w"), text).expect("four words"), [0x00f0_000c_0300, 0xf0, 1, 2]);
        let error = words(Path::new("w"), "1\n 2 zz").expect_err("zz is no word");
        assert_eq!(error.headline(), "w:2:4: nic-words: this is no word in hexadecimal digits");
        assert_eq!(raw_words(Path::new("w"), &[1, 0, 0, 0, 0, 0, 0, 2]).expect("a word"), [0x0200_0000_0000_0001]);
        assert!(raw_words(Path::new("w"), &[1]).is_err());
    }
}
