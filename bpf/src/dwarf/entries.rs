//! Entries that describe types and functions, taken out of their units.

use gimli::{AttributeValue, DwAt, DwTag, Dwarf, Operation, Unit, constants as dw};

use super::units::{Budget, Slice, units};
use super::{DwarfError, Sections};

/// Most entries that are kept.
const ENTRIES_MAX: usize = 1 << 19;

/// An entry, with the attributes that its tag gives a meaning to.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub tag: DwTag,
    /// Byte in `.debug_info`, by which others refer to it.
    pub offset: u64,
    pub name: String,
    /// What it is of (`DW_AT_type`).
    pub ty: Option<u64>,
    /// What it is another instance of (`DW_AT_abstract_origin`, `DW_AT_specification`).
    pub origin: Option<u64>,
    /// Bytes.
    pub size: Option<u64>,
    /// `DW_ATE_*`.
    pub encoding: Option<u8>,
    pub declaration: bool,
    pub external: bool,
    /// It has code of its own.
    pub has_code: bool,
    /// Place and width of a member.
    pub place: Place,
    /// Elements, or value of an enumerator without and with a sign.
    pub value: Option<(u64, i64)>,
    /// Entries right below, by place in the list.
    pub children: Vec<u32>,
}

/// Where a member lies, as the versions of DWARF say it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Bytes from the structure's start.
    pub bytes: u64,
    /// Bits from the structure's start (`DW_AT_data_bit_offset`).
    pub data_bits: Option<u64>,
    /// Bits from the high end of a unit of the member's size (`DW_AT_bit_offset`, until version 3); below 0 where a packed
    /// bit-field reaches beyond it.
    pub high_bits: Option<i64>,
    /// Bits of a bit-field.
    pub width: Option<u64>,
}

fn is_kept(tag: DwTag) -> bool {
    is_type(tag)
        || matches!(
            tag,
            dw::DW_TAG_member
                | dw::DW_TAG_enumerator
                | dw::DW_TAG_subrange_type
                | dw::DW_TAG_formal_parameter
                | dw::DW_TAG_unspecified_parameters
                | dw::DW_TAG_subprogram
        )
}

/// Whether an entry becomes a type of its own.
pub(super) fn is_type(tag: DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_base_type
            | dw::DW_TAG_pointer_type
            | dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type
            | dw::DW_TAG_array_type
            | dw::DW_TAG_structure_type
            | dw::DW_TAG_class_type
            | dw::DW_TAG_union_type
            | dw::DW_TAG_enumeration_type
            | dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_restrict_type
            | dw::DW_TAG_atomic_type
            | dw::DW_TAG_subroutine_type
    )
}

/// All entries of all units, by offset.
pub(super) fn entries(sections: &Sections<'_>) -> Result<Vec<Entry>, DwarfError> {
    let mut list = Vec::new();
    units(sections, |dwarf, unit, budget| one_unit(dwarf, unit, budget, &mut list))?;
    Ok(list)
}

fn one_unit<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    budget: &mut Budget,
    list: &mut Vec<Entry>,
) -> Result<(), DwarfError> {
    let Some(start) = unit.header.debug_info_offset().map(|at| at.0 as u64) else { return Ok(()) };
    let mut raw = unit.entries_raw(None)?;
    // What stands above the next entry, where that is kept.
    let mut above: Vec<Option<u32>> = Vec::new();
    while !raw.is_empty() {
        let (offset, depth) = (raw.next_offset().0 as u64, raw.next_depth());
        budget.charge(1)?;
        let Some(abbreviation) = raw.read_abbreviation()? else { continue };
        let attributes = abbreviation.attributes();
        budget.charge(attributes.len() as u64)?;
        let tag = abbreviation.tag();
        above.resize(usize::try_from(depth).unwrap_or(0), None);
        if !is_kept(tag) {
            raw.skip_attributes(attributes)?;
            above.push(None);
            continue;
        }
        if list.len() == ENTRIES_MAX {
            return Err(DwarfError { reason: format!("more than {ENTRIES_MAX} types, members and functions") });
        }
        let mut entry = Entry {
            tag,
            offset: start + offset,
            name: String::new(),
            ty: None,
            origin: None,
            size: None,
            encoding: None,
            declaration: false,
            external: false,
            has_code: false,
            place: Place::default(),
            value: None,
            children: Vec::new(),
        };
        for &specification in attributes {
            let attribute = raw.read_attribute(specification)?;
            entry.attribute(dwarf, unit, budget, attribute.name(), attribute.value(), start)?;
        }
        let number = list.len() as u32;
        if let Some(Some(parent)) = above.last() {
            list[*parent as usize].children.push(number);
        }
        above.push(Some(number));
        list.push(entry);
    }
    Ok(())
}

impl Entry {
    fn attribute<'a>(
        &mut self,
        dwarf: &Dwarf<Slice<'a>>,
        unit: &Unit<Slice<'a>>,
        budget: &mut Budget,
        name: DwAt,
        value: AttributeValue<Slice<'a>>,
        start: u64,
    ) -> Result<(), DwarfError> {
        let reference = || match value {
            AttributeValue::UnitRef(at) => start.checked_add(at.0 as u64),
            AttributeValue::DebugInfoRef(at) => Some(at.0 as u64),
            _ => None,
        };
        let flag = || matches!(value, AttributeValue::Flag(true));
        match name {
            dw::DW_AT_name => self.name = budget.text(dwarf, unit, value)?,
            dw::DW_AT_type => self.ty = reference(),
            dw::DW_AT_abstract_origin | dw::DW_AT_specification => self.origin = reference(),
            dw::DW_AT_byte_size => self.size = value.udata_value(),
            dw::DW_AT_encoding => {
                self.encoding = match value {
                    AttributeValue::Encoding(encoding) => Some(encoding.0),
                    _ => None,
                }
            }
            dw::DW_AT_declaration => self.declaration = flag(),
            dw::DW_AT_external => self.external = flag(),
            dw::DW_AT_low_pc | dw::DW_AT_ranges => self.has_code = true,
            dw::DW_AT_data_member_location => {
                self.place.bytes = match value {
                    // Version 2 wrote an expression: add so much.
                    AttributeValue::Exprloc(expression) => match expression.operations(unit.encoding()).next()? {
                        Some(Operation::PlusConstant { value }) => value,
                        _ => 0,
                    },
                    _ => value.udata_value().unwrap_or(0),
                }
            }
            dw::DW_AT_data_bit_offset => self.place.data_bits = value.udata_value(),
            dw::DW_AT_bit_offset => self.place.high_bits = value.sdata_value(),
            dw::DW_AT_bit_size => self.place.width = value.udata_value(),
            dw::DW_AT_count => self.value = value.udata_value().map(|n| (n, n as i64)),
            // Counted from 0; -1 is as good as none.
            dw::DW_AT_upper_bound if self.value.is_none() => {
                self.value = value.udata_value().map(|n| (n.saturating_add(1), 0)).filter(|(n, _)| *n <= 1 << 32);
            }
            dw::DW_AT_const_value => {
                let (plain, signed) = (value.udata_value(), value.sdata_value());
                self.value = match (plain, signed) {
                    (None, None) => None,
                    (plain, signed) => Some((
                        plain.unwrap_or_else(|| signed.unwrap_or_default() as u64),
                        signed.unwrap_or_else(|| plain.unwrap_or_default() as i64),
                    )),
                };
            }
            _ => {}
        }
        Ok(())
    }
}
