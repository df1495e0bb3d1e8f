//! Fixed routines as data: what the firmware around a program does, step by step.

use serde::{Deserialize, Serialize};

use crate::memory::{MemoryKind, TouchKind};

/// One step of a routine. A core executes steps under the same rules as instructions: runs are part of a burst, commands
/// go through the command queue to the engines and contend there, a waiting command gives the core to another context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Instructions without a command.
    Run {
        /// How many.
        instructions: u32,
    },
    /// One instruction that issues a command.
    Command {
        /// Which memory.
        memory: MemoryKind,
        /// What it is priced as.
        kind: TouchKind,
        /// Where in that memory.
        place: Place,
        /// Bytes moved.
        bytes: u16,
        /// Whether the context waits for the answer.
        wait: bool,
    },
}

/// Which address a step's command goes to. It decides on banks and cache lines, on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// The context's own packet, that many bytes from its start; with a memory other than CTM as [`Place::Striped`].
    Packet {
        /// Byte from the packet's start.
        offset: u32,
    },
    /// One address for all, such as a counter or a ring's head.
    Shared {
        /// Byte from the start of the memory.
        offset: u64,
    },
    /// One of several slots of a table or ring, by the packet's number.
    Striped {
        /// First slot's byte from the start of the memory.
        offset: u64,
        /// Bytes from one slot to the next.
        stride: u32,
        /// Slots.
        slots: u32,
    },
}

/// A named list of steps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Routine {
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Routine {
    /// Instructions the routine executes, commands included.
    pub fn instructions(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Run { instructions } => u64::from(*instructions),
                Step::Command { .. } => 1,
            })
            .sum()
    }
}

/// How a map helper is carried out: steps, the operation, its accesses, steps.
///
/// The operation acts as one when its first command, the read of the map's descriptor, reaches its engine. What it
/// accessed then goes on as timed commands; one whose address depends on an earlier answer waits for that answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapRoutine {
    /// Before the first command: argument checks, hash set-up.
    pub before: Routine,
    /// Instructions for each 4 bytes of key: the hash.
    pub per_key_word: u32,
    /// Memory that holds the descriptors.
    pub descriptors: MemoryKind,
    /// Byte of the first descriptor.
    pub descriptor_offset: u64,
    /// Bytes of a descriptor.
    pub descriptor_bytes: u16,
    /// After the descriptor, before the accesses: a lock, say.
    pub enter: Routine,
    /// Instructions after each access: compare keys, follow links.
    pub per_access: u32,
    /// After the accesses: release of a lock, restoring of pointers.
    pub after: Routine,
}

impl Default for MapRoutine {
    /// Nothing around the operation and its accesses; descriptors of 24 bytes, as in the vendor's public firmware, at the start
    /// of IMEM.
    fn default() -> Self {
        MapRoutine {
            before: Routine::default(),
            per_key_word: 0,
            descriptors: MemoryKind::Imem,
            descriptor_offset: 0,
            descriptor_bytes: 24,
            enter: Routine::default(),
            per_access: 0,
            after: Routine::default(),
        }
    }
}

/// How one core of the card carries out control messages: `receive`, then for each entry the map routine around the map's own
/// operation and `entry`, then `reply`. It takes one message after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRoutine {
    /// A message is taken off its ring and judged.
    pub receive: Routine,
    /// Besides the operation, for each entry: from the message and into the answer.
    pub entry: Routine,
    /// The answer is handed to the DMA engine.
    pub reply: Routine,
}
