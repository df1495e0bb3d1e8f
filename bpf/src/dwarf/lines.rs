//! Lines of source by address (`.debug_line`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use gimli::{ColumnType, Dwarf, LineProgramHeader, Unit};

use super::units::{Budget, Slice, units};
use super::{DwarfError, Sections};

/// From an address on, up to the next row's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Address, as the sections' relocations make it.
    pub address: u64,
    /// Line, from 1; 0 where the code comes from none.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
    file: u32,
}

/// Lines by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    rows: Vec<Row>,
    files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    name: String,
    /// Its lines, where the compiler put them beside (`-gembed-source`).
    text: Vec<String>,
}

impl Lines {
    /// Reads the lines of all units. What is damaged ends the reading: what was read before is good.
    pub fn read(sections: &Sections<'_>) -> (Lines, Option<DwarfError>) {
        let (mut lines, mut seen) = (Lines::default(), BTreeSet::new());
        let ended = units(sections, |dwarf, unit, budget| match unit.line_program.clone() {
            // Units may share a table.
            Some(program) if seen.insert(program.header().offset().0) => {
                budget.charge(program.header().unit_length() as u64)?;
                lines.unit(dwarf, unit, program, budget)
            }
            _ => Ok(()),
        });
        lines.rows.sort_by_key(|row| row.address);
        (lines, ended.err())
    }

    fn unit<'a>(
        &mut self,
        dwarf: &Dwarf<Slice<'a>>,
        unit: &Unit<Slice<'a>>,
        program: gimli::IncompleteLineProgram<Slice<'a>>,
        budget: &mut Budget,
    ) -> Result<(), DwarfError> {
        let mut files: BTreeMap<u64, u32> = BTreeMap::new();
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            if row.end_sequence() {
                continue;
            }
            let file = match files.get(&row.file_index()) {
                Some(&file) => file,
                None => {
                    let number = self.files.len() as u32;
                    self.files.push(file(dwarf, unit, header, row.file_index(), budget)?);
                    files.insert(row.file_index(), number);
                    number
                }
            };
            let column = match row.column() {
                ColumnType::LeftEdge => 0,
                ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(0),
            };
            let line = row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(u32::MAX));
            self.rows.push(Row { address: row.address(), line, column, file });
        }
        Ok(())
    }

    /// Rows of a range of addresses, ascending; of several at one address the last holds.
    pub fn within(&self, range: Range<u64>) -> &[Row] {
        let first = self.rows.partition_point(|row| row.address < range.start);
        let last = self.rows.partition_point(|row| row.address < range.end);
        self.rows.get(first..last).unwrap_or_default()
    }

    /// The name of a row's file, with its directory.
    pub fn file(&self, row: Row) -> &str {
        self.files.get(row.file as usize).map_or("", |file| &file.name)
    }

    /// The text of a row's line; empty when unknown.
    pub fn text(&self, row: Row) -> &str {
        let file = self.files.get(row.file as usize);
        file.and_then(|file| file.text.get((row.line as usize).wrapping_sub(1))).map_or("", String::as_str)
    }
}

/// A file of a line table: its path, put together from the directories it stands in.
fn file<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    header: &LineProgramHeader<Slice<'a>>,
    index: u64,
    budget: &mut Budget,
) -> Result<File, DwarfError> {
    let Some(entry) = header.file(index) else { return Ok(File { name: String::new(), text: Vec::new() }) };
    let mut name = budget.text(dwarf, unit, entry.path_name())?;
    if !name.starts_with('/')
        && let Some(directory) = entry.directory(header)
    {
        let directory = budget.text(dwarf, unit, directory)?;
        if !directory.is_empty() {
            name = format!("{directory}/{name}");
        }
    }
    // Directory 0 is the one of the compilation.
    if !name.starts_with('/')
        && entry.directory_index() != 0
        && let Some(directory) = &unit.comp_dir
    {
        budget.charge(directory.len() as u64)?;
        name = format!("{}/{name}", String::from_utf8_lossy(directory.slice()));
    }
    let text = match entry.source() {
        Some(source) => {
            let source = dwarf.attr_string(unit, source)?;
            budget.charge(source.len() as u64)?;
            String::from_utf8_lossy(source.slice()).lines().map(str::to_owned).collect()
        }
        None => Vec::new(),
    };
    Ok(File { name, text })
}
