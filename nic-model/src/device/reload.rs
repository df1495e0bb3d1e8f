//! Replacing the program while packets flow: core after core, each packet whole under one program.
//!
//! A core takes no more packets; when its contexts are done with theirs it reads the new words over PCIe into its code store,
//! and takes packets again. The others go on meanwhile, so that for a while some run the old program and some the new one
//! (CoreNIC, `nic_internal.c`). Maps stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::diag::{At, Diagnostic};

use super::card::{Device, Post, part};
use super::port::{Inner, Out};
use crate::core::CodeStore;
use crate::des::{Outbox, Priority, Time};
use crate::ids::CoreId;

/// What becomes of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// When it was asked for.
    pub began: Time,
    /// When the last core had it; none while it is under way.
    pub ended: Option<Time>,
}

/// A replacement under way.
#[derive(Debug)]
pub(super) struct Reload {
    code: Arc<CodeStore>,
    words: usize,
    /// The core that takes no packets.
    core: CoreId,
    /// Whether it is reading.
    reading: bool,
}

impl Device {
    /// Replaces the program of every port that has one by another, linked as [`Device::attach_programs`] says; its maps
    /// are created before.
    ///
    /// # Errors
    /// `card-no-live-reload` where the firmware cannot; `card-busy` while the last replacement is under way;
    /// `card-no-program` where there is none to replace; `program-too-long`.
    pub fn replace(
        &mut self,
        now: Time,
        words: &[u64],
        starts: &BTreeMap<u32, u16>,
        post: &mut impl Outbox<Inner, Out>,
    ) -> Result<(), Diagnostic> {
        let named = |diagnostic: Diagnostic| diagnostic.at(At::Named(self.card.name.clone()));
        if !*self.card.capabilities.live_reload {
            return Err(named(Diagnostic::new("card-no-live-reload", "EBUSY: FW does not support live reload"))
                .help("stop the traffic, or use a card with capabilities.live_reload"));
        }
        if self.reload.is_some() {
            return Err(named(Diagnostic::new("card-busy", "EBUSY: the last replacement is under way")));
        }
        let code = self.workers.replacement(words, starts)?;
        self.reloads.push(Reloaded { began: now, ended: None });
        let reload = Reload { code, words: words.len(), core: CoreId(0), reading: false };
        self.reload = Some(Box::new(reload));
        self.quiesce(now, post);
        Ok(())
    }

    /// What became of replacements, in their order.
    pub fn reloads(&self) -> &[Reloaded] {
        &self.reloads
    }

    /// The core whose turn it is takes no packets, and reads as soon as it has none.
    fn quiesce(&mut self, now: Time, post: &mut impl Post) {
        let Some(reload) = &mut self.reload else { return };
        if reload.reading || !self.contexts.hold(reload.core) {
            return;
        }
        reload.reading = true;
        // One read of eight bytes after the other (CoreNIC): what each takes through an idle link.
        let read = self.card.dma.read_latency.time()
            + self.card.pcie.propagation.time()
            + self.card.pcie.propagation.time()
            + self.card.pcie.reference_host_read.time();
        let all = Time::from_ps(read.ps().saturating_mul(reload.words as u64));
        post.wake(now + all, Priority::Arrival, self.source(part::LOOK), Inner::Reloaded);
    }

    /// A context has been given back while a program is replaced; whether its core takes no packets now.
    pub(super) fn held_back(&mut self, now: Time, core: CoreId, post: &mut impl Post) -> bool {
        let held = self.reload.as_ref().is_some_and(|reload| reload.core == core);
        if held {
            self.quiesce(now, post);
        }
        held
    }

    /// A core has the new program.
    pub(super) fn reloaded(&mut self, now: Time, post: &mut impl Post) {
        let Some(reload) = &mut self.reload else { return };
        let core = reload.core;
        self.workers.load_core(core, &reload.code);
        self.contexts.release(core);
        reload.reading = false;
        reload.core = CoreId(core.0 + 1);
        if reload.core.0 >= *self.card.cores {
            self.reload = None;
            if let Some(last) = self.reloads.last_mut() {
                last.ended = Some(now);
            }
        }
        let island = self.card.island_of(core.0);
        for _ in 0..*self.card.contexts {
            let Some(slot) = self.ready[usize::from(island)].pop_front() else { break };
            self.assign(now, slot, post);
        }
        self.quiesce(now, post);
    }
}
