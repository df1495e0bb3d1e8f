//! Why a program stays on the host: one reason for each rule broken, with where, which limit, and what would lift it.

use std::fmt;

use bpf::diag::{At, Diagnostic};
use bpf::helpers;
use bpf::insn::{Callee, Insn, Names};
use bpf::program::{MapIndex, Program};

macro_rules! rules {
    ($( #[doc = $doc:literal] $rule:ident $id:literal ),* $(,)?) => {
        /// What a program broke. The list follows what the Linux driver's verifier hook and translator check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $( #[doc = $doc] $rule ),* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[ $( Rule::$rule ),* ];

            /// Stable name for tools.
            pub const fn id(self) -> &'static str {
                match self { $( Rule::$rule => $id ),* }
            }

            /// What it is about, a phrase with a full stop.
            pub fn meaning(self) -> &'static str {
                match self { $( Rule::$rule => $doc.trim() ),* }
            }

            const fn code(self) -> &'static str {
                match self { $( Rule::$rule => concat!("offload-", $id) ),* }
            }
        }
    };
}

rules! {
    /// The program's type.
    ProgramType "program-type",
    /// An instruction the translator has no handler for.
    Opcode "opcode",
    /// A sign-extending move, which the driver takes for a plain one.
    SignExtension "sign-extension",
    /// R10 used otherwise than as an address or in a 64-bit move.
    FramePointer "frame-pointer",
    /// A constant that the driver truncates.
    PacketOffset "packet-offset",
    /// A helper the translator does not know.
    Helper "helper",
    /// A kernel function.
    KernelFunction "kernel-function",
    /// A helper, or a part of one, that this card's firmware lacks.
    FirmwareHelper "firmware-helper",
    /// A pointer argument of a helper.
    HelperArgument "helper-argument",
    /// Flags of `bpf_perf_event_output`.
    EventFlags "event-flags",
    /// Memory that the card has not got.
    PointerKind "pointer-kind",
    /// An instruction that meets different kinds of pointer on different paths.
    PointerChanges "pointer-changes",
    /// A stack address that is not constant enough.
    StackOffset "stack-offset",
    /// A context field, or its size.
    Context "context",
    /// A store of an immediate.
    StoreImmediate "store-immediate",
    /// A plain store to a map's value.
    MapStore "map-store",
    /// An address in a map's value that is not constant, or outside of it.
    MapOffset "map-offset",
    /// The address of a map's value as a constant, as global data needs it.
    MapValueAddress "map-value-address",
    /// The address of a function.
    FunctionAddress "function-address",
    /// A word of a map's value read in one place and added to atomically in another.
    MapWordUse "map-word-use",
    /// An atomic counter that an update may set to something other than 0.
    AtomicInitial "atomic-initial",
    /// An atomic operation other than adding a number to a map's value.
    Atomic "atomic",
    /// Factors of a multiplication.
    Multiply "multiply",
    /// Operands of a division.
    Divide "divide",
    /// A tc return code.
    TcExit "tc-exit",
    /// Bytes of stack.
    StackSize "stack-size",
    /// Instructions of the card.
    Length "length",
    /// How far into the packet the program reaches.
    PacketReach "packet-reach",
    /// A map's type.
    MapType "map-type",
    /// A map's flags.
    MapFlags "map-flags",
    /// Bytes of a key.
    MapKey "map-key",
    /// Bytes of a value.
    MapValue "map-value",
    /// Bytes of key and value together.
    MapElement "map-element",
    /// Entries of all maps together.
    MapEntries "map-entries",
    /// Number of maps.
    MapCount "map-count",
}

/// What lifts a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Something that this card, or this translation, does not do at all.
    Feature,
    /// A number of the card's that is too small: a card with a larger one takes the program.
    Size,
}

impl Cause {
    /// Stable name for tools.
    pub const fn id(self) -> &'static str {
        match self {
            Cause::Feature => "feature",
            Cause::Size => "size",
        }
    }
}

impl Rule {
    /// Whether it is about a size or about a feature.
    pub const fn cause(self) -> Cause {
        match self {
            Rule::StackSize
            | Rule::Length
            | Rule::PacketReach
            | Rule::MapKey
            | Rule::MapValue
            | Rule::MapElement
            | Rule::MapEntries
            | Rule::MapCount => Cause::Size,
            _ => Cause::Feature,
        }
    }
}

impl Rule {
    /// What of a card lifts it, by the names of its capabilities ([`nic_model::profile::Capabilities`]): all of them together
    /// at most, `rules` meaning this project's. None where no card does; and of some rules there are cases that none does.
    pub const fn lifted_by(self) -> &'static [&'static str] {
        match self {
            Rule::ProgramType => &["program_types"],
            Rule::Opcode
            | Rule::SignExtension
            | Rule::FramePointer
            | Rule::PacketOffset
            | Rule::EventFlags
            | Rule::StoreImmediate
            | Rule::Multiply
            | Rule::Divide
            | Rule::TcExit => &["rules"],
            Rule::Helper
            | Rule::HelperArgument
            | Rule::PointerKind
            | Rule::PointerChanges
            | Rule::StackOffset
            | Rule::Context => &["rules", "helpers"],
            Rule::FirmwareHelper => &["helpers", "random", "adjust_head", "adjust_tail", "queue_select"],
            Rule::KernelFunction | Rule::FunctionAddress => &[],
            Rule::MapStore => &["rules", "map_stores"],
            Rule::MapValueAddress => &["rules", "map_value_addresses"],
            Rule::MapOffset | Rule::MapWordUse | Rule::AtomicInitial | Rule::Atomic => &["rules", "atomics"],
            Rule::StackSize => &["stack"],
            Rule::Length => &["max_instructions"],
            Rule::PacketReach => &["packet_reach"],
            Rule::MapType => &["rules", "map_types"],
            Rule::MapFlags => &["map_flags"],
            Rule::MapKey => &["max_key"],
            Rule::MapValue => &["max_value"],
            Rule::MapElement => &["max_element"],
            Rule::MapEntries => &["max_elements"],
            Rule::MapCount => &["max_maps"],
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which rule.
    pub rule: Rule,
    /// The whole message.
    pub diagnostic: Diagnostic,
}

impl Refusal {
    /// A reason without a place; the `with_` of [`Diagnostic`] come after.
    pub(crate) fn new(rule: Rule, reason: impl Into<String>) -> Self {
        Self { rule, diagnostic: Diagnostic::new(rule.code(), reason) }
    }

    /// At an instruction.
    pub(crate) fn at(mut self, program: &Program, slot: usize) -> Self {
        self.diagnostic = self.diagnostic.at(place(program, slot));
        self
    }

    /// About something with a name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.diagnostic = self.diagnostic.at(At::Named(name.to_owned()));
        self
    }

    /// Which limit, and by which value.
    pub(crate) fn limit(mut self, limit: impl fmt::Display, actual: impl fmt::Display) -> Self {
        self.diagnostic = self.diagnostic.limit(limit, actual);
        self
    }

    /// What would lift it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.help(help);
        self
    }

    /// The slot it is about, if it is about one.
    pub fn slot(&self) -> Option<usize> {
        match &self.diagnostic.at {
            Some(At::Insn { slot, .. }) => Some(*slot),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for Refusal {}

/// Names of a program's maps, and of the helper that one instruction calls.
struct PlaceNames<'a> {
    program: &'a Program,
    helper: Option<String>,
}

impl Names for PlaceNames<'_> {
    fn helper(&self, _: u32) -> Option<&str> {
        self.helper.as_deref()
    }

    fn map(&self, map: MapIndex) -> Option<&str> {
        self.program.maps.get(map.0 as usize).map(|spec| spec.name.as_str())
    }
}

/// The instruction at `slot` as the verifier prints it; empty where there is none.
pub(crate) fn insn_text(program: &Program, slot: usize) -> String {
    let Some(insn) = program.insns.get(slot) else { return String::new() };
    let helper = match insn {
        Insn::Call { callee: Callee::Helper(id) } => helpers::name(*id),
        _ => None,
    };
    insn.verifier(&PlaceNames { program, helper }).to_string()
}

/// The instruction at `slot` as a place.
pub(crate) fn place(program: &Program, slot: usize) -> At {
    At::Insn {
        program: program.name.clone(),
        slot,
        text: insn_text(program, slot),
        source: program.line_of(slot).cloned(),
    }
}
