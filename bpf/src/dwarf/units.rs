//! Compilation units, one after the other, within a budget.

use std::sync::Arc;

use gimli::{Abbreviations, AttributeValue, Dwarf, EndianSlice, RunTimeEndian, Unit};

use super::{DwarfError, Sections};
use crate::insn::Endian;

pub(super) type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Steps that a walk may take: bytes of tables, of strings, attributes.
const STEPS: u64 = 64 << 20;
/// Most bytes of a string that is taken over.
const STRING_MAX: usize = 4096;

/// Steps that are left.
pub(super) struct Budget(u64);

impl Budget {
    pub fn charge(&mut self, steps: u64) -> Result<(), DwarfError> {
        let reason = || DwarfError { reason: format!("reading it takes more than {STEPS} steps") };
        self.0 = self.0.checked_sub(steps).ok_or_else(reason)?;
        Ok(())
    }

    /// A string of a unit, as text.
    pub fn text<'a>(
        &mut self,
        dwarf: &Dwarf<Slice<'a>>,
        unit: &Unit<Slice<'a>>,
        value: AttributeValue<Slice<'a>>,
    ) -> Result<String, DwarfError> {
        let text = dwarf.attr_string(unit, value)?;
        self.charge(1 + text.len() as u64)?;
        let bytes = text.slice();
        Ok(String::from_utf8_lossy(&bytes[..bytes.len().min(STRING_MAX)]).into_owned())
    }
}

/// Calls `each` with every unit, until one of them fails.
pub(super) fn units<'a>(
    sections: &'a Sections<'a>,
    mut each: impl FnMut(&Dwarf<Slice<'a>>, &Unit<Slice<'a>>, &mut Budget) -> Result<(), DwarfError>,
) -> Result<(), DwarfError> {
    let order = match sections.order {
        Endian::Little => RunTimeEndian::Little,
        Endian::Big => RunTimeEndian::Big,
    };
    let load = |id: gimli::SectionId| Ok::<_, DwarfError>(EndianSlice::new(sections.get(id.name()), order));
    let dwarf = Dwarf::load(load)?;
    let mut budget = Budget(STEPS);
    let mut headers = dwarf.units();
    // Units mostly share a table of abbreviations, or have theirs one behind the other.
    let mut last: Option<(usize, Arc<Abbreviations>)> = None;
    while let Some(header) = headers.next()? {
        let at = header.debug_abbrev_offset().0;
        let table = match &last {
            Some((known, table)) if *known == at => table.clone(),
            _ => {
                // How long the table is turns out when it is read.
                budget.charge(sections.get(".debug_abbrev").len().saturating_sub(at) as u64)?;
                let table = Arc::new(header.abbreviations(&dwarf.debug_abbrev)?);
                last = Some((at, table.clone()));
                table
            }
        };
        let root = header.entries_raw(&table, None)?.read_abbreviation()?.map_or(0, |a| a.attributes().len());
        budget.charge(1 + root as u64)?;
        let unit = Unit::new_with_abbreviations(&dwarf, header, table)?;
        each(&dwarf, &unit, &mut budget)?;
    }
    Ok(())
}
