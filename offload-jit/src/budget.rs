//! What a program asks of a card, whether or not the card has it.

/// What a program needs of a card's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Instructions of the card, with prologue, epilogue and padding; nothing where the program uses something that has no
    /// translation.
    pub words: Option<usize>,
    /// Bytes of stack of the deepest chain of calls.
    pub stack: u32,
    /// Bytes from the packet's start that it may reach, at the usual MTU.
    pub packet_reach: u32,
    /// Maps that live on the card.
    pub maps: u32,
    /// Their entries together.
    pub map_entries: u64,
}
