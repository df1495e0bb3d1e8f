//! What belongs to one context of a core.

use super::alu::Flags;
use super::{ContextId, Outcome, PacketId, Task, TaskKind, TrapKind};
use crate::firmware::{MapRoutine, PacketVector, Verdict};
use crate::memory::{HelperCall, MapCall, MapPlace};

/// Instructions between a write of a pointer CSR and the first that sees it (driver: three `nop`).
const POINTER_SLOTS: u64 = 3;
/// Slots behind a taken branch, filled by deferred instructions or left empty. That the empty ones count towards
/// [`POINTER_SLOTS`] is seen where the driver calls a function: its entry uses a pointer written two instructions and a
/// branch before.
pub(super) const BRANCH_SLOTS: u8 = 3;

/// Whether a context could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has no packet.
    Free,
    /// It waits for the core.
    Ready,
    /// It runs, or its burst is to be continued.
    Running,
    /// It waits for signals.
    Waiting,
}

/// What a waiting context waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wake {
    /// Signals, one bit each; none is no wait at all.
    pub signals: u16,
    /// One of them suffices.
    pub any: bool,
}

impl Wake {
    /// Whether signals that are there suffice.
    pub(super) const fn met_by(self, there: u16) -> bool {
        if self.signals == 0 {
            true
        } else if self.any {
            there & self.signals != 0
        } else {
            there & self.signals == self.signals
        }
    }
}

/// What happens after the deferred slots of a branch or command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The program goes on there, after losing these cycles.
    Jump {
        /// Address.
        to: u16,
        /// Cycles.
        penalty: u32,
        /// Slots it left empty.
        empty: u8,
    },
    /// The context gives the core away.
    Wait,
}

/// A pointer register that programs set through local CSRs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    /// Local memory pointer, 0 to 3; a byte address.
    Local(u8),
    /// Local memory pointer, and `ByteIndex` from its low bits.
    LocalAndByte(u8),
    /// `XferIndex`.
    Transfer,
    /// `ByteIndex`.
    Byte,
    /// `XferIndex` and `ByteIndex`.
    TransferAndByte,
}

/// Why the firmware calls a routine, and with that what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Receive; then the program or the plain routine.
    Receive,
    /// In place of a program; then the epilogue of a pass.
    Plain,
    /// A packet from the host; then the end.
    Transmit,
    /// Epilogue of a verdict; then the end.
    Epilogue(Verdict),
    /// Epilogue of a trap; then the end.
    Trapped,
    /// Before a map operation; then its first command.
    MapBefore,
    /// After the first command; then the accesses.
    MapEnter,
    /// After the accesses; then back to the program.
    MapAfter,
    /// Before a helper's routine; then its first command.
    HelperBefore,
    /// After the first command of a routine on a map; then the accesses.
    HelperEnter,
    /// After those accesses; then back to the program.
    HelperAfter,
}

/// What a context does when it has the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// Instructions from the program counter on.
    Program,
    /// A routine, from that step on.
    Routine {
        /// Which, and why.
        stage: Stage,
        /// Next step.
        step: u16,
    },
    /// The first command of a map helper is to be issued.
    MapFirst,
    /// The accesses of a map helper, from that one on.
    MapAccess {
        /// Next access.
        index: u32,
        /// Bytes of it that have been asked for.
        done: u32,
    },
    /// The first command of a helper's routine is to be issued.
    HelperFirst,
    /// The accesses of a helper's routine, from that one on.
    HelperAccess {
        /// Next access.
        index: u32,
        /// Bytes of it that have been asked for.
        done: u32,
    },
    /// A helper's routine is done.
    HelperDone,
}

/// A map helper under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    /// Arguments and results.
    pub call: MapCall,
    /// Where the map's region begins.
    pub place: MapPlace,
    /// Where the program goes on.
    pub resume: u16,
}

/// One context.
///
/// Cores take turns at the simulator's cache, so a context is aligned to its lines and laid out as written: the first line
/// has what decides whose turn it is, the second what instructions need beside registers.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Context {
    pub state: State,
    /// It has not had the core for this packet yet.
    pub fresh: bool,
    /// Whether the firmware has issued a command to be waited for since its latest wait.
    pub unwaited: bool,
    /// Deferred slots still to be executed, and what follows ([`Context::then`]).
    pub slots: u8,
    pub pc: u16,
    /// Signals that are there.
    pub signals: u16,
    pub wake: Wake,
    /// Firmware commands under way that are waited for together. Their signal is there while this is 0.
    pub firmware_commands: u32,
    /// Cycle at which the present wait began.
    pub waiting_since: u64,
    /// Instructions executed for the packet.
    pub executed: u64,
    pub activity: Activity,
    pub then: Then,
    /// Where the program goes on after the wait, if not behind it.
    pub resume: Option<u16>,
    pub transfer_index: u8,
    pub byte_index: u8,
    pointer_writes_len: u8,
    pub flags: Flags,
    /// Result of the latest instruction that had one.
    pub previous: u32,
    /// Its left operand.
    pub previous_left: u32,
    /// Local memory pointers: byte addresses.
    pub local: [u32; 4],
    /// Transfer registers that data is on its way to.
    pub pushing: u64,
    /// Transfer registers whose data has not been pulled.
    pub pulling: u64,
    /// Value of a local CSR that the `immed` at this count of instructions receives.
    pub csr_value: Option<(u64, u32)>,
    pub task: Task,
    pointer_writes: [(u64, Pointer, u32); 1 + POINTER_SLOTS as usize],
    pub call: Call,
    pub helper: Box<HelperCall>,
    /// How its latest packet ended, once it has.
    pub outcome: Option<Outcome>,
    /// Set by the first trap.
    pub trap: Option<(u16, TrapKind)>,
}

impl Context {
    pub(super) fn new() -> Self {
        Context {
            state: State::Free,
            activity: Activity::Program,
            task: Task { packet: PacketId(0), kind: TaskKind::Plain, vector: PacketVector::default() },
            fresh: false,
            outcome: None,
            trap: None,
            pc: 0,
            flags: Flags::default(),
            previous: 0,
            previous_left: 0,
            local: [0; 4],
            transfer_index: 0,
            byte_index: 0,
            csr_value: None,
            signals: 0,
            wake: Wake::default(),
            resume: None,
            waiting_since: 0,
            slots: 0,
            then: Then::Wait,
            pushing: 0,
            pulling: 0,
            firmware_commands: 0,
            unwaited: false,
            executed: 0,
            call: Call::default(),
            helper: Box::default(),
            pointer_writes: [(0, Pointer::Byte, 0); 1 + POINTER_SLOTS as usize],
            pointer_writes_len: 0,
        }
    }

    /// A pointer register is written by the instruction that executes now.
    pub(super) fn write_pointer(&mut self, pointer: Pointer, value: u32) {
        self.settle_pointers();
        let len = usize::from(self.pointer_writes_len);
        // Each write is made by an instruction of its own and acts four later: no more than four are on their way.
        self.pointer_writes[len] = (self.executed + 1 + POINTER_SLOTS, pointer, value);
        self.pointer_writes_len += 1;
    }

    /// A branch has been taken that left so many of its slots empty: for writes of pointers they count as executed.
    #[inline]
    pub(super) fn land(&mut self, to: u16, empty: u8) {
        self.pc = to;
        for (due, ..) in &mut self.pointer_writes[..usize::from(self.pointer_writes_len)] {
            *due = due.saturating_sub(u64::from(empty));
        }
    }

    /// Lets those writes act whose time has come.
    #[inline]
    pub(super) fn settle_pointers(&mut self) {
        if self.pointer_writes_len != 0 {
            self.act_until(self.executed);
        }
    }

    /// The same for the instruction after so many.
    #[cold]
    pub(super) fn settle_pointers_at(&mut self, executed: u64) {
        self.act_until(executed);
    }

    /// Whether no write of a pointer register is on its way.
    pub(super) fn pointers_settled(&self) -> bool {
        self.pointer_writes_len == 0
    }

    /// Lets all writes act: the context gives the core away.
    pub(super) fn flush_pointers(&mut self) {
        self.act_until(u64::MAX);
    }

    fn act_until(&mut self, executed: u64) {
        let len = usize::from(self.pointer_writes_len);
        let due = self.pointer_writes[..len].iter().take_while(|(at, ..)| *at <= executed).count();
        for i in 0..due {
            let (_, pointer, value) = self.pointer_writes[i];
            let (transfer, byte) = ((value >> 2 & 63) as u8, (value & 3) as u8);
            match pointer {
                Pointer::Local(n) => self.local[usize::from(n)] = value & !3,
                Pointer::LocalAndByte(n) => (self.local[usize::from(n)], self.byte_index) = (value & !3, byte),
                Pointer::Transfer => self.transfer_index = transfer,
                Pointer::Byte => self.byte_index = byte,
                Pointer::TransferAndByte => (self.transfer_index, self.byte_index) = (transfer, byte),
            }
        }
        if due != len {
            self.pointer_writes.copy_within(due..len, 0);
        }
        self.pointer_writes_len -= due as u8;
    }

    /// A packet for a free context.
    pub(super) fn begin(&mut self, task: Task) {
        let stage = if task.kind == TaskKind::Transmit { Stage::Transmit } else { Stage::Receive };
        self.state = State::Ready;
        self.activity = Activity::Routine { stage, step: 0 };
        self.task = task;
        self.fresh = true;
        self.outcome = None;
        self.trap = None;
        self.signals = 0;
        self.wake = Wake::default();
        self.resume = None;
        self.slots = 0;
        self.firmware_commands = 0;
        self.unwaited = false;
        self.executed = 0;
        self.csr_value = None;
        self.helper.begin();
    }
}

impl Call {
    /// Hash instructions and the like, by the size of the key.
    pub(super) fn key_instructions(&self, routine: &MapRoutine) -> u64 {
        u64::from(routine.per_key_word) * self.call.key.len().div_ceil(4) as u64
    }
}

/// The number by which programs know a context: in four-context mode only even numbers exist.
pub(super) const fn hardware_number(context: ContextId, contexts: u8) -> u8 {
    if contexts <= 4 { context.0 * 2 } else { context.0 }
}
