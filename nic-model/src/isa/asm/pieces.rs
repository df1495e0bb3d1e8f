//! Pieces of rows that are more than a text, a number or a register: commands, shifts, waits, local CSRs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::draft::{AddressDraft, Choices, CommandDraft, DstDraft, Read, Shown, Slot, Written};
use super::reader::Reader;
use crate::isa::branch::JumpTo;
use crate::isa::command::{Command, Target};
use crate::isa::csr::Csr;
use crate::isa::place::Indirect;
use crate::isa::shift::{Amount, Shift};
use crate::isa::wait::{AddressMode, CodeAddress, Completion, Resume, Swap, Wait};

/// Commands by target and name.
static COMMANDS: LazyLock<BTreeMap<(Target, String), Vec<Command>>> = LazyLock::new(|| {
    let mut commands: BTreeMap<_, Vec<Command>> = BTreeMap::new();
    for (code, token) in (0..0x80).flat_map(|code| (0..4).map(move |token| (code, token))) {
        let Some(command) = Command::from_codes(code, token) else { continue };
        for name in (0..8).filter_map(|length| command.name(length)) {
            let of_name = commands.entry((command.target, name)).or_default();
            if !of_name.contains(&command) {
                of_name.push(command);
            }
        }
    }
    commands
});

/// Reads `target[name`.
pub(super) struct Named<'a>(pub CommandDraft<'a>, pub ());

impl Read for Named<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let target = from.longest(&Target::ALL, Target::text, "an instruction")?;
        from.literal("[")?;
        let at = from.at();
        let name = from.name().to_owned();
        match COMMANDS.get(&(target, name)).and_then(|commands| commands.get(self.0.which)) {
            Some(command) => self.0.slot.set(*command),
            None => {
                from.back_to(at);
                from.want("a command of the unit")
            }
        }
    }
}

impl Read for AddressDraft<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.high.read(from)?;
        from.literal(", ")?;
        let shifted = from.optional("<<8, ");
        self.mode.set(if shifted { AddressMode::Ab40 } else { AddressMode::Sum32 })?;
        self.low.read(from)
    }
}

impl Read for Slot<'_, CodeAddress> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        from.literal(".")?;
        let cell = Cell::new(None::<u16>);
        Shown::from(Slot(&cell)).read(from)?;
        self.set(CodeAddress(cell.get()?))
    }
}

impl Read for Slot<'_, Indirect> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.set(Indirect(from.optional(", indirect_ref")))
    }
}

impl Read for Slot<'_, Csr> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let at = from.at();
        let name = from.name();
        if let Some(csr) = (0..0x800).map(Csr).find(|csr| csr.name() == Some(name)) {
            return self.set(csr);
        }
        from.back_to(at);
        match from.number().filter(|address| address % 4 == 0 && *address < 0x2000) {
            Some(address) => self.set(Csr((address / 4) as u16)),
            None => {
                from.back_to(at);
                from.want("a local CSR, or its address")
            }
        }
    }
}

impl Read for Slot<'_, Amount> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        from.literal(">>")?;
        if from.optional("indirect") {
            return self.set(Amount::Indirect);
        }
        self.set(Amount::By(u8::try_from(from.number()?).ok()?))
    }
}

impl Read for Slot<'_, Shift> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let left = from.optional("<<");
        if !left {
            from.literal(">>")?;
        }
        if from.optional("indirect") {
            return self.set(if left { Shift::LeftIndirect } else { Shift::RightIndirect });
        }
        let rotate = !left && from.optional("rot");
        let number = u8::try_from(from.number()?).ok()?;
        self.set(match (left, rotate) {
            (true, _) => Shift::Left(number),
            (_, true) => Shift::Rotate(number),
            _ => Shift::Right(number),
        })
    }
}

/// Reads a shift with its comma; nothing is none.
pub(super) struct Shifted<'a>(pub Slot<'a, Shift>);

impl Read for Shifted<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        if from.optional(", ") { self.0.read(from) } else { self.0.set(Shift::NONE) }
    }
}

impl Read for Slot<'_, Completion> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let signal = |from: &mut Reader<'_>| {
            from.literal("sig")?;
            let number = u8::try_from(from.number()?).ok()?;
            from.literal("]")?;
            Some(number)
        };
        if from.optional(", sig_done[") {
            return self.set(Completion::signal(signal(from)?));
        }
        if !from.optional(", ctx_swap[") {
            return self.set(Completion::POSTED);
        }
        let signal = if from.optional("--]") { 0 } else { signal(from)? };
        let deferred = defer(from)?;
        self.set(Completion { swap: Swap::After(deferred), signal })
    }
}

/// Reads whether a command without a signal gives the core away.
pub(super) struct Swapped<'a>(pub Slot<'a, Swap>);

impl Read for Swapped<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        if !from.optional(", ctx_swap[--]") {
            return self.0.set(Swap::No);
        }
        let deferred = defer(from)?;
        self.0.set(Swap::After(deferred))
    }
}

/// `, defer[n]`; nothing is 0.
fn defer(from: &mut Reader<'_>) -> Option<u8> {
    if !from.optional(", defer[") {
        return Some(0);
    }
    let number = u8::try_from(from.number()?).ok()?;
    from.literal("]")?;
    Some(number)
}

/// Reads the instructions that still run.
pub(super) struct Defer<'a>(pub Slot<'a, u8>);

impl Read for Defer<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let deferred = defer(from)?;
        self.0.set(deferred)
    }
}

impl Read for Slot<'_, Wait> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        for (text, wait) in
            [("voluntary]", Wait::Voluntary), ("kill]", Wait::Kill), ("bpt]", Wait::Breakpoint), ("--]", Wait::Armed)]
        {
            if from.optional(text) {
                return self.set(wait);
            }
        }
        let mut mask = 0u16;
        while !from.optional("]") {
            if mask != 0 {
                from.literal(", ")?;
            }
            from.literal("sig")?;
            let signal = from.number()?;
            if signal > 15 {
                return from.want("a signal of 1 to 15");
            }
            mask |= 1 << signal;
        }
        self.set(if from.optional(", any") { Wait::Any(mask) } else { Wait::All(mask) })
    }
}

impl Written for Resume {
    type Store = Cell<Option<CodeAddress>>;
    type Draft<'a> = ResumeDraft<'a>;
    fn draft<'a>(store: &'a Self::Store, _: &mut Choices) -> ResumeDraft<'a> {
        ResumeDraft(Slot(store))
    }
    fn finish(store: &Self::Store) -> Option<Self> {
        Some(Resume(store.get()))
    }
}

#[derive(Clone, Copy)]
pub(super) struct ResumeDraft<'a>(Slot<'a, CodeAddress>);

impl Read for ResumeDraft<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        if !from.optional(", br[") {
            return Some(());
        }
        self.0.read(from)?;
        from.literal("]")
    }
}

impl Read for Slot<'_, JumpTo> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let rtn = from.optional("rtn[");
        if !rtn {
            from.literal("jump[")?;
        }
        let base = from.register()?;
        let mut offset = 0;
        if !rtn {
            from.literal(", ")?;
            from.literal(".")?;
            offset = from.number()?;
        }
        from.literal("]")?;
        self.set(JumpTo::new(base, offset))
    }
}

/// Reads a transfer register.
pub(super) struct Xfer<'a>(pub Slot<'a, u8>);

impl Read for Xfer<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.0.set(from.transfer()?)
    }
}

/// Reads four binary digits.
pub(super) struct ByteMask<'a>(pub Slot<'a, u8>);

impl Read for ByteMask<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.0.set(from.byte_mask()?)
    }
}

/// Reads the destination of a product, where the constant 0 is none.
pub(super) struct Product<'a>(pub DstDraft<'a>);

impl Read for Product<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        if from.optional("0x0") {
            return self.0.reg.set(None);
        }
        self.0.reg.set(Some(from.register()?))
    }
}
