//! Linking: an image becomes the words of a code store.

use std::collections::BTreeMap;

use bpf::diag::{At, Diagnostic};
use nic_model::isa;

use crate::image::{AddressBits, External, Image, RelocationKind, ValuePart};
use crate::place::set_address;

/// Code addresses that an image is linked against, counted in words from the code store's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Where the program's first word goes.
    pub start: u16,
    /// Where a finished program goes.
    pub done: u16,
    /// Routines by the number of the helper they serve.
    pub helpers: BTreeMap<u32, u16>,
    /// Routines that take arguments in memory of every kind, by the number of the helper they serve.
    pub routines: BTreeMap<u32, u16>,
    /// The routine for atomic operations, where the firmware has one.
    pub atomic: Option<u16>,
    /// The address of the first value of a map as programs hold it ([`nic_model::memory::MapPlace::pointer`]), by the card's
    /// number of the map.
    pub values: BTreeMap<u32, u64>,
}

/// Addresses have 14 bits.
const CODE_STORE: usize = 1 << 14;

impl Image {
    /// The words for a code store: every address filled in, parity last.
    ///
    /// # Errors
    /// `link-helper` where the firmware has no routine for a helper, `link-value` where it does not say where a map's values
    /// are, `link-address` where the program would stand beyond
    /// the 16384 words an address can name.
    pub fn link(&self, firmware: &Firmware) -> Result<Vec<u64>, Diagnostic> {
        let end = usize::from(firmware.start) + self.words.len();
        let doors = firmware.helpers.values().chain(firmware.routines.values()).copied();
        let highest = doors.chain(firmware.atomic).chain([firmware.done]).max().unwrap_or(0);
        if end.max(usize::from(highest) + 1) > CODE_STORE {
            return Err(Diagnostic::new("link-address", "an address does not fit the code store")
                .at(At::Named(self.program.name.clone()))
                .limit(CODE_STORE, end.max(usize::from(highest) + 1))
                .help("load the program lower"));
        }
        let mut ops = self.ops.clone();
        for relocation in &self.relocations {
            let address = match relocation.kind {
                RelocationKind::Branch | RelocationKind::Address => firmware.start + relocation.address,
                RelocationKind::Value(part) => self.value(firmware, part)?,
                RelocationKind::External(External::Done) => firmware.done,
                RelocationKind::External(External::Helper(id)) => self.helper(&firmware.helpers, id)?,
                RelocationKind::External(External::Routine(id)) => self.helper(&firmware.routines, id)?,
                RelocationKind::External(External::Atomic) => firmware.atomic.ok_or_else(|| {
                    Diagnostic::new("link-atomic", "the firmware has no routine for atomic operations")
                        .at(At::Named(self.program.name.clone()))
                        .help("compile for the capabilities of this firmware")
                })?,
                RelocationKind::External(part) => firmware.start + self.entry(part),
            };
            set_address(&mut ops[relocation.at as usize], address);
        }
        Ok(crate::encode::encode(&ops).into_iter().map(isa::with_ecc).collect())
    }

    fn helper(&self, routines: &BTreeMap<u32, u16>, id: u32) -> Result<u16, Diagnostic> {
        routines.get(&id).copied().ok_or_else(|| {
            Diagnostic::new("link-helper", format!("the firmware has no routine for {}", bpf::helpers::call_text(id)))
                .at(At::Named(self.program.name.clone()))
                .help("compile for the capabilities of this firmware")
        })
    }

    fn value(&self, firmware: &Firmware, part: ValuePart) -> Result<u16, Diagnostic> {
        let first = firmware.values.get(&part.table).ok_or_else(|| {
            Diagnostic::new("link-value", format!("the values of map {} have no place on the card", part.table))
                .at(At::Named(self.program.name.clone()))
                .help("create the program's maps before it is loaded")
        })?;
        let address = first.wrapping_add(part.offset.into());
        Ok(match part.bits {
            AddressBits::Low => address as u16,
            AddressBits::Middle => (address >> 16) as u16,
            AddressBits::Memory => (address >> 48) as u16,
        })
    }

    fn entry(&self, part: External) -> u16 {
        let found = self.entries.iter().find(|(name, _)| *name == part);
        found.map(|(_, address)| *address).expect("lowering emits every part that it refers to")
    }
}
