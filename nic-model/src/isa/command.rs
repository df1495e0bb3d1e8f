//! Commands to other units over the card's internal bus: which unit, which action.

use super::bits::{Bits, bits};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::listing::{Lister, Text};
use std::fmt;

/// The unit a command goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Interlaken port.
    Ila,
    /// Network block interface: MACs, packet DMA, traffic manager.
    Nbi,
    /// PCIe.
    Pcie,
    /// Cryptography.
    Crypto,
    /// The ARM processor's gasket.
    Arm,
    /// Cluster target: XPB bus, rings, signals and registers of other cores.
    Ct,
    /// Memory units: CTM, IMEM, EMEM.
    Mem,
    /// Cluster local scratch.
    Cls,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 8] =
        [Self::Ila, Self::Nbi, Self::Pcie, Self::Crypto, Self::Arm, Self::Ct, Self::Mem, Self::Cls];

    /// Name in a listing.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ila => "ila",
            Self::Nbi => "nbi",
            Self::Pcie => "pcie",
            Self::Crypto => "crypto",
            Self::Arm => "arm",
            Self::Ct => "ct",
            Self::Mem => "mem",
            Self::Cls => "cls",
        }
    }

    /// The seven-bit code with action 0. Memory and CLS have 32 actions, the others four.
    const fn base(self) -> u8 {
        match self {
            Self::Ila => 0x00,
            Self::Nbi => 0x04,
            Self::Pcie => 0x0c,
            Self::Crypto => 0x14,
            Self::Arm => 0x18,
            Self::Ct => 0x1c,
            Self::Mem => 0x40,
            Self::Cls => 0x60,
        }
    }

    const fn actions(self) -> u8 {
        match self {
            Self::Mem | Self::Cls => 32,
            _ => 4,
        }
    }

    fn actions_named(self) -> &'static [(u8, [Names; 4])] {
        match self {
            Self::Ila => super::command_names::ILA,
            Self::Nbi => super::command_names::NBI,
            Self::Pcie => super::command_names::PCIE,
            Self::Crypto => super::command_names::CRYPTO,
            Self::Arm => super::command_names::ARM,
            Self::Ct => super::command_names::CT,
            Self::Mem => super::command_names::MEM,
            Self::Cls => super::command_names::CLS,
        }
    }
}

/// The commands that share target, action and token, told apart by the length field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    /// None.
    No,
    /// One, of any length.
    Any(&'static str),
    /// By bit 2 of the length field: clear, set.
    Bit2(&'static str, &'static str),
    /// By the whole length field, none unless listed.
    Exact(&'static [(u8, &'static str)]),
    /// The sixteen searches of a table in memory: `{prefix}{128|256}_lookup{8|16|24|32}{suffix}`, and the same again
    /// for tables of `{384|512}`. Bit 2 of the length field picks the table, the low bits the width.
    Search {
        /// `cam` or `tcam`.
        prefix: &'static str,
        /// Empty or `_add`.
        suffix: &'static str,
    },
}

/// Which command: target, action and token. Some are told apart by their length as well ([`Command::name`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Command {
    /// The unit.
    pub target: Target,
    /// The action, 0 to 31 for memory and CLS, 0 to 3 for the others.
    pub action: u8,
    /// The token, 0 to 3.
    pub token: u8,
}

macro_rules! commands {
    ($( $(#[$doc:meta])* $name:ident = $target:ident $action:literal $token:literal; )*) => {
        impl Command { $(
            $(#[$doc])*
            pub const $name: Self = Self { target: Target::$target, action: $action, token: $token };
        )* }
    };
}

// The commands that the Linux driver and the project's own firmware use. Semantics as far as the driver shows them.
commands! {
    /// `mem[read]`: 64-bit words, memory's byte order.
    MEM_READ = Mem 0 0;
    /// `mem[write]`: 64-bit words.
    MEM_WRITE = Mem 1 0;
    /// `mem[write8]`: bytes; byte 0 is the most significant of the first transfer register.
    MEM_WRITE8 = Mem 2 0;
    /// `mem[write8_swap]`: bytes; byte 0 is the least significant of the first transfer register (driver: stores).
    MEM_WRITE8_SWAP = Mem 2 2;
    /// `mem[atomic_read]`: 32-bit words through the atomic engine.
    MEM_ATOMIC_READ = Mem 3 0;
    /// `mem[read8]`: bytes; byte 0 becomes the most significant of the first transfer register (driver: LD_ABS).
    MEM_READ8 = Mem 3 1;
    /// `mem[atomic_write]`.
    MEM_ATOMIC_WRITE = Mem 4 0;
    /// `mem[swap]`: exchanges memory and transfer registers.
    MEM_SWAP = Mem 4 1;
    /// `mem[set]`: sets bits.
    MEM_SET = Mem 5 0;
    /// `mem[test_set]`: sets bits and returns what was there.
    MEM_TEST_SET = Mem 5 1;
    /// `mem[clr]`: clears bits.
    MEM_CLR = Mem 6 0;
    /// `mem[test_clr]`: clears bits and returns what was there.
    MEM_TEST_CLR = Mem 6 1;
    /// `mem[add]`, or `mem[add64]` where bit 2 of the length field is set: adds from transfer registers.
    MEM_ADD = Mem 7 0;
    /// `mem[test_add]`, `mem[test_add64]`: adds and returns what was there.
    MEM_TEST_ADD = Mem 7 1;
    /// `mem[add_imm]`, `mem[add64_imm]`: adds the sixteen bits of immediate data that an indirect command carries.
    MEM_ADD_IMM = Mem 7 2;
    /// `mem[test_add_imm]`, `mem[test_add64_imm]`.
    MEM_TEST_ADD_IMM = Mem 7 3;
    /// `mem[read32]`: 32-bit words, memory's byte order.
    MEM_READ32 = Mem 28 0;
    /// `mem[read32_swap]`: 32-bit words, bytes reversed: a little-endian load (driver: packet and map loads).
    MEM_READ32_SWAP = Mem 28 2;
    /// `mem[write32]`: 32-bit words.
    MEM_WRITE32 = Mem 31 0;
    /// `mem[write32_swap]`: 32-bit words, bytes reversed (driver: copies).
    MEM_WRITE32_SWAP = Mem 31 2;
    /// `cls[read]`.
    CLS_READ = Cls 0 0;
    /// `cls[write]`.
    CLS_WRITE = Cls 1 0;
    /// `cls[add]`.
    CLS_ADD = Cls 4 0;
    /// `cls[test_add]`.
    CLS_TEST_ADD = Cls 20 0;
    /// `ct[xpb_read]`.
    CT_XPB_READ = Ct 0 0;
    /// `ct[ring_get]`: takes words from a ring in CTM.
    CT_RING_GET = Ct 0 1;
    /// `ct[interthread_signal]`: raises a signal of another context.
    CT_SIGNAL = Ct 0 2;
    /// `ct[xpb_write]`.
    CT_XPB_WRITE = Ct 1 0;
    /// `ct[ring_put]`: puts words into a ring in CTM.
    CT_RING_PUT = Ct 1 1;
    /// `nbi[packet_ready_drop]`.
    NBI_PACKET_DROP = Nbi 3 0;
    /// `nbi[packet_ready_unicast]`.
    NBI_PACKET_READY = Nbi 3 1;
    /// `pcie[read]`.
    PCIE_READ = Pcie 0 0;
    /// `pcie[write]`.
    PCIE_WRITE = Pcie 1 0;
}

impl Command {
    /// Target and action as the seven bits of the word.
    pub const fn target_action(self) -> u8 {
        self.target.base() | self.action
    }

    /// The command with this target and action code and token; `None` if no unit has the code.
    pub fn from_codes(target_action: u8, token: u8) -> Option<Self> {
        let target = Target::ALL
            .into_iter()
            .find(|t| (t.base()..t.base() + t.actions()).contains(&target_action) && target_action < 0x80)?;
        Some(Self { target, action: target_action - target.base(), token })
    }

    fn names(self) -> Names {
        let row = self.target.actions_named().iter().find(|(action, _)| *action == self.action);
        row.and_then(|(_, names)| names.get(usize::from(self.token))).copied().unwrap_or(Names::No)
    }

    /// Mnemonic for a length field (one less than the count); `None` if there is no such command.
    pub fn name(self, length: u8) -> Option<String> {
        let names = self.names();
        names.has(length).then(|| names.to_string(length))
    }

    /// Whether there is such a command for a length field.
    pub fn is_known(self, length: u8) -> bool {
        self.names().has(length)
    }
}

impl Names {
    fn has(self, length: u8) -> bool {
        match self {
            Self::No => false,
            Self::Exact(list) => list.iter().any(|(l, _)| *l == length),
            Self::Any(_) | Self::Bit2(..) | Self::Search { .. } => true,
        }
    }

    fn to_string(self, length: u8) -> String {
        match self {
            Self::No => String::new(),
            Self::Any(name) => name.into(),
            Self::Bit2(clear, set) => if length & 4 == 0 { clear } else { set }.into(),
            Self::Exact(list) => {
                list.iter().find(|(l, _)| *l == length).map_or_else(String::new, |(_, name)| (*name).into())
            }
            Self::Search { prefix, suffix } => {
                let (near, far) = if length & 4 == 0 { (128, 384) } else { (256, 512) };
                let width = 8 * (u32::from(length & 3) + 1);
                format!("{prefix}{near}_lookup{width}{suffix}/{prefix}{far}_lookup{width}{suffix}")
            }
        }
    }
}

/// Place of a [`Command`]: the token is missing where a command carries its data in the word.
#[derive(Clone, Copy)]
pub struct CommandPlace {
    pub(super) token: Option<Bits>,
}

const TARGET_ACTION: Bits = bits(32, 7);
const LENGTH: Bits = bits(25, 3);

impl CommandPlace {
    /// With a token.
    pub(super) const TOKEN: Self = Self { token: Some(bits(18, 2)) };
    /// Without: the token counts as 0.
    pub(super) const NO_TOKEN: Self = Self { token: None };
}

impl Span for CommandPlace {
    fn span(self) -> u64 {
        TARGET_ACTION.mask() | self.token.map_or(0, Bits::mask)
    }
}

impl Field for Command {
    type At = CommandPlace;
    /// The length must stand in the word already: rows have this field last.
    fn put(&self, at: CommandPlace, word: &mut u64) -> Result<(), EncodeError> {
        let (target_action, token, length) = (self.target_action(), self.token, LENGTH.get(*word) as u8);
        let fits = self.action < self.target.actions() && (at.token.is_some() || token == 0);
        if !fits || !self.is_known(length) {
            return Err(EncodeError::UnknownCommand { target_action, token, length });
        }
        TARGET_ACTION.put(word, target_action.into());
        if let Some(bits) = at.token {
            bits.put(word, token.into());
        }
        Ok(())
    }
    fn get(at: CommandPlace, word: u64) -> Result<Self, DecodeReason> {
        let target_action = TARGET_ACTION.get(word) as u8;
        let token = at.token.map_or(0, |bits| bits.get(word)) as u8;
        let length = LENGTH.get(word) as u8;
        Self::from_codes(target_action, token)
            .filter(|command| command.is_known(length))
            .ok_or(DecodeReason::UnknownCommand { target_action, token, length })
    }
}

/// Prints as `target[name`.
pub(super) struct Named(pub Command, pub u8);

impl Text for Named {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        let Self(command, length) = self;
        out.print(format_args!("{}[{}", command.target.text(), command.names().to_string(length)))
    }
}
