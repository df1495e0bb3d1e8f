//! The passes, one behind the other.

use bpf::facts::Facts;
use bpf::insn::Reg;
use bpf::verifier::VerifiedProgram;
use nic_model::memory::MemoryKind;
use nic_model::profile::Capabilities;

use crate::admit::{self, Admission};
use crate::budget::Budget;
use crate::code::{Code, Gains, Given};
use crate::image::{Image, MapPlacement};
use crate::mode::Mode;
use crate::refusal::Refusal;
use crate::{certain, encode, hints, lower, opt, place};

/// What became of a program, and what it asks of the card whether or not the card takes it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The translation, or every reason why the card does not take the program.
    pub image: Result<Image, Vec<Refusal>>,
    /// What it needs.
    pub budget: Budget,
    /// What mode best's passes have brought, where there is a translation, however long.
    pub gains: Option<Gains>,
}

/// Translates a program for a card. The maps that it keeps there get the card's numbers 1, 2 and so on, in the program's
/// order; maps that stay on the host get the numbers behind them.
///
/// # Errors
/// Every reason why the card does not take the program. How long it is, is only known of a program that has a translation,
/// so a refusal for its length comes alone or with other sizes.
pub fn compile(
    program: &VerifiedProgram,
    facts: &Facts,
    card: &Capabilities,
    mode: Mode,
) -> Result<Image, Vec<Refusal>> {
    judge(program, facts, card, mode).image
}

/// As [`compile`], and says what the program needs even where the card refuses it.
pub fn judge(program: &VerifiedProgram, facts: &Facts, card: &Capabilities, mode: Mode) -> Judgement {
    let verdict = admit(program, facts, card, mode);
    let mut tables = vec![0; program.program().maps.len()];
    let (on_card, on_host): (Vec<_>, Vec<_>) = verdict.maps.iter().partition(|used| used.on_card);
    for (number, used) in (1..).zip(on_card.into_iter().chain(on_host)) {
        if let Some(table) = tables.get_mut(used.map.0 as usize) {
            *table = number;
        }
    }
    translate(program, facts, verdict, card, Passes::of(mode), &tables)
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
    translate(program, facts, admit(program, facts, card, mode), card, Passes::of(mode), tables).image
}

/// Mode best's translation before the passes that shorten it: every number stands in both banks, and R0's low half is
/// still in register 0 of bank B when the program ends. For comparing; it may
/// be as long as branches can address.
///
/// # Errors
/// As [`compile`].
pub fn compile_unoptimised(
    program: &VerifiedProgram,
    facts: &Facts,
    card: &Capabilities,
    tables: &[u32],
) -> Result<Image, Vec<Refusal>> {
    translate(program, facts, admit(program, facts, card, Mode::Best), card, Passes::Plain, tables).image
}

/// Words that branches can address.
const ADDRESSABLE: u32 = 1 << 14;

/// What is done to a program once it is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passes {
    /// What the Linux driver does.
    Driver,
    /// Lowering alone.
    Plain,
    /// Everything.
    Best,
}

impl Passes {
    const fn of(mode: Mode) -> Passes {
        match mode {
            Mode::Driver => Passes::Driver,
            Mode::Best => Passes::Best,
        }
    }
}

/// Whether a register's value behind an instruction that goes on to the next may be read. `slot` is the original
/// program's.
fn is_read_behind(program: &VerifiedProgram, facts: &Facts, slot: usize, reg: Reg) -> bool {
    let next = program.origin().partition_point(|origin| *origin <= slot);
    next >= program.origin().len() || facts.live(next).contains(reg)
}

fn admit(program: &VerifiedProgram, facts: &Facts, card: &Capabilities, mode: Mode) -> Admission {
    match mode {
        Mode::Driver => admit::admit(program.program(), program.explored(), card),
        Mode::Best => admit::admit_best(program, facts, card),
    }
}

fn translate(
    program: &VerifiedProgram,
    facts: &Facts,
    verdict: Admission,
    card: &Capabilities,
    passes: Passes,
    tables: &[u32],
) -> Judgement {
    let source = program.program();
    let Admission { admitted, mut refusals, maps, mut budget } = verdict;
    let Some(mut admitted) = admitted else { return Judgement { image: Err(refusals), budget, gains: None } };
    let mut gains = None;
    let is_read = |slot, reg| is_read_behind(program, facts, slot, reg);
    let assembly = match passes {
        Passes::Driver => {
            admitted.notes.extend(certain::unseen_ranges(program, facts));
            opt::rewrite(&mut admitted, &is_read);
            lower::lower(&admitted, tables, Mode::Driver)
        }
        Passes::Plain => lower::lower(&admitted, tables, Mode::Best),
        Passes::Best => {
            opt::rewrite_best(&mut admitted, &is_read);
            let mut code = Code::of(lower::lower(&admitted, tables, Mode::Best));
            let verdict = |code| lower::verdict(admitted.hook, admitted.redirects, code);
            gains = Some(code.optimise(&Given { hints: &hints::hints(program, facts), verdict: &verdict }));
            code.assemble()
        }
    };
    budget.words = Some(assembly.ops.len());
    let room = if passes == Passes::Plain { ADDRESSABLE } else { *card.max_instructions };
    refusals.extend(place::check_length(&assembly, &source.name, room));
    if !refusals.is_empty() {
        return Judgement { image: Err(refusals), budget, gains };
    }
    let placed = place::place(assembly);
    let mut on_card = vec![false; source.maps.len()];
    for used in &maps {
        if let Some(on_card) = on_card.get_mut(used.map.0 as usize) {
            *on_card = used.on_card;
        }
    }
    let memories = place::maps(program, facts, &on_card, card.imem_maps.value.0);
    let maps = maps.into_iter().map(|used| MapPlacement {
        table: lower::table(tables, used.map),
        map: used.map,
        on_card: used.on_card,
        memory: memories.get(used.map.0 as usize).copied().unwrap_or(MemoryKind::Emem),
        atomic_words: used.atomic_words,
    });
    let image = Image {
        program: source.clone(),
        words: encode::encode(&placed.ops),
        ops: placed.ops,
        origins: placed.origins,
        relocations: placed.relocations,
        entries: placed.entries,
        maps: maps.collect(),
        stack: budget.stack,
        notes: admitted.notes,
    };
    Judgement { image: Ok(image), budget, gains }
}
