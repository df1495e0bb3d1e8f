//! The passes, one behind the other.

use bpf::facts::Facts;
use bpf::insn::Reg;
use bpf::verifier::VerifiedProgram;
use nic_model::profile::Capabilities;

use crate::admit::{self, Admitted};
use crate::image::{Image, MapPlacement};
use crate::refusal::Refusal;
use crate::{certain, encode, lower, opt, place};

/// Whose translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The Linux nfp driver's, word for word.
    Driver,
}

/// Translates a program for a card. The maps that it keeps there get the card's numbers 1, 2 and so on, in the program's
/// order; maps that stay on the host get the numbers behind them.
///
/// # Errors
/// Every reason why the card does not take the program. A program that is too long is told so only when nothing else is
/// wrong with it.
pub fn compile(
    program: &VerifiedProgram,
    facts: &Facts,
    card: &Capabilities,
    mode: Mode,
) -> Result<Image, Vec<Refusal>> {
    let admitted = admit(program, card, mode)?;
    let mut tables = vec![0; program.program().maps.len()];
    let (on_card, on_host): (Vec<_>, Vec<_>) = admitted.maps.iter().partition(|used| used.on_card);
    for (number, used) in (1..).zip(on_card.into_iter().chain(on_host)) {
        if let Some(table) = tables.get_mut(used.map.0 as usize) {
            *table = number;
        }
    }
    translate(program, facts, admitted, card, &tables)
}

/// As [`compile`], with the card's number for each of the program's maps.
///
/// # Errors
/// As [`compile`].
pub fn compile_for_tables(
    program: &VerifiedProgram,
    facts: &Facts,
    card: &Capabilities,
    mode: Mode,
    tables: &[u32],
) -> Result<Image, Vec<Refusal>> {
    translate(program, facts, admit(program, card, mode)?, card, tables)
}

/// Whether a register's value behind an instruction that goes on to the next may be read. `slot` is the original
/// program's.
fn is_read_behind(program: &VerifiedProgram, facts: &Facts, slot: usize, reg: Reg) -> bool {
    let next = program.origin().partition_point(|origin| *origin <= slot);
    next >= program.origin().len() || facts.live(next).contains(reg)
}

fn admit(program: &VerifiedProgram, card: &Capabilities, mode: Mode) -> Result<Admitted, Vec<Refusal>> {
    match mode {
        Mode::Driver => admit::admit(program.program(), program.explored(), card),
    }
}

fn translate(
    program: &VerifiedProgram,
    facts: &Facts,
    mut admitted: Admitted,
    card: &Capabilities,
    tables: &[u32],
) -> Result<Image, Vec<Refusal>> {
    let source = program.program();
    admitted.notes.extend(certain::unseen_ranges(program, facts));
    opt::rewrite(&mut admitted, &|slot, reg| is_read_behind(program, facts, slot, reg));
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
