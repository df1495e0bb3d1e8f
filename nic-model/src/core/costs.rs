//! What a core's instructions cost, and the sizes that decide when it stalls.

/// Costs of one flow processing core. All times are in cycles of its clock; a profile says for each value whether it is
/// documented, measured, fitted or assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreCosts {
    /// Cycles an instruction of any class occupies the core.
    pub instruction: u32,
    /// Cycles lost when a branch to an address in the word is taken; every deferred slot of the branch saves one, down
    /// to none. A branch not taken loses none.
    pub branch: u32,
    /// The same for a branch on a bit or byte of a register.
    pub branch_bit: u32,
    /// The same for a jump to an address in a register.
    pub jump: u32,
    /// Cycles between the last instruction of a context that waits and the first of the next.
    pub switch: u32,
    /// Cycles between a signal's arrival at an idle core and the first instruction of the context it wakes.
    pub wake: u32,
    /// Cycles from the issue of a command until its write data has been pulled out of the transfer registers.
    pub pull: u32,
    /// Commands that the core's command queue holds. The core stalls on one more until an engine has taken one.
    pub command_queue: u32,
}

impl CoreCosts {
    /// Every instruction one cycle, nothing else costs: for tests that are about meaning and not about time.
    pub const UNIT: CoreCosts =
        CoreCosts { instruction: 1, branch: 0, branch_bit: 0, jump: 0, switch: 0, wake: 0, pull: 4, command_queue: 8 };
}
