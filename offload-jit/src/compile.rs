//! The passes, one behind the other.

use bpf::verifier::VerifiedProgram;
use nic_model::profile::Capabilities;

use crate::image::{Image, MapPlacement};
use crate::refusal::Refusal;
use crate::{admit, encode, lower, opt, place};

/// Whose translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The Linux nfp driver's, word for word.
    Driver,
}

/// Translates a program for a card. Maps get the card's numbers 1, 2 and so on, in the program's order.
///
/// # Errors
/// Every reason why the card does not take the program. A program that is too long is told so only when nothing else is
/// wrong with it.
pub fn compile(program: &VerifiedProgram, card: &Capabilities, mode: Mode) -> Result<Image, Vec<Refusal>> {
    let tables: Vec<u32> = (1..).take(program.program().maps.len()).collect();
    compile_for_tables(program, card, mode, &tables)
}

/// As [`compile`], with the card's number for each of the program's maps.
///
/// # Errors
/// As [`compile`].
pub fn compile_for_tables(
    program: &VerifiedProgram,
    card: &Capabilities,
    mode: Mode,
    tables: &[u32],
) -> Result<Image, Vec<Refusal>> {
    let Mode::Driver = mode;
    let source = program.program();
    let mut admitted = admit::admit(source, program.explored(), card)?;
    opt::rewrite(&mut admitted, source);
    let assembly = lower::lower(&admitted, tables);
    let placed = place::place(assembly, &source.name, *card.max_instructions).map_err(|refusal| vec![refusal])?;
    let maps = admitted.maps.into_iter().map(|used| MapPlacement {
        table: lower::table(tables, used.map),
        map: used.map,
        on_card: used.on_card,
        atomic_words: used.atomic_words,
    });
    Ok(Image {
        program: source.clone(),
        words: encode::encode(&placed.ops),
        ops: placed.ops,
        origins: placed.origins,
        relocations: placed.relocations,
        entries: placed.entries,
        maps: maps.collect(),
        stack: admitted.stack,
        notes: admitted.notes,
    })
}
