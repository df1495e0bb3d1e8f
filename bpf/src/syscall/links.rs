//! Links and hooks.

use super::objects::{LinkObject, Object};
use super::system::{ActorId, Fd, Mode, System};
use crate::errno::Errno;
use crate::program::{Attach, ProgType};

/// Where a program is attached to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// XDP in the stack (`XDP_FLAGS_SKB_MODE`).
    XdpGeneric,
    /// XDP in the driver (`XDP_FLAGS_DRV_MODE`).
    XdpNative,
    /// XDP on the card (`XDP_FLAGS_HW_MODE`).
    XdpOffload,
    /// tc on the way in.
    TcIngress,
    /// tc on the way out.
    TcEgress,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Hook; 5] = [Hook::XdpGeneric, Hook::XdpNative, Hook::XdpOffload, Hook::TcIngress, Hook::TcEgress];

    /// The name that bpftool and iproute2 show it by.
    pub const fn name(self) -> &'static str {
        match self {
            Hook::XdpGeneric => "xdpgeneric",
            Hook::XdpNative => "xdp",
            Hook::XdpOffload => "xdpoffload",
            Hook::TcIngress => "tcx_ingress",
            Hook::TcEgress => "tcx_egress",
        }
    }

    /// Whether the hook is one of XDP's.
    pub const fn is_xdp(self) -> bool {
        matches!(self, Hook::XdpGeneric | Hook::XdpNative | Hook::XdpOffload)
    }

    /// The type of programs it takes.
    pub const fn prog_type(self) -> ProgType {
        if self.is_xdp() { ProgType::Xdp } else { ProgType::SchedCls }
    }
}

/// `flags` of an XDP link: the stack's hook.
pub const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
/// `flags` of an XDP link: the driver's hook.
pub const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// `flags` of an XDP link: the card's hook.
pub const XDP_FLAGS_HW_MODE: u32 = 1 << 3;
/// `flags` of a link's update: only if the program is the one that is named.
pub const BPF_F_REPLACE: u32 = 1 << 2;

/// A hook of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Seat {
    pub ifindex: u32,
    pub hook: Hook,
}

/// A program at a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attached {
    pub program: u32,
    /// The link that put it there; without one it was attached by itself and counts a reference.
    pub link: Option<u32>,
}

impl System {
    fn at(&self, ifindex: u32, hook: Hook) -> &[Attached] {
        self.hooks.get(&Seat { ifindex, hook }).map_or(&[], Vec::as_slice)
    }

    /// The programs at a hook, in the order in which they run.
    pub fn attached(&self, ifindex: u32, hook: Hook) -> Vec<u32> {
        self.at(ifindex, hook).iter().map(|attached| attached.program).collect()
    }

    /// What an XDP hook asks of a program, and of what is there already (`dev_xdp_attach`).
    fn check_xdp(&self, ifindex: u32, hook: Hook, program: u32) -> Result<(), Errno> {
        if !self.at(ifindex, hook).is_empty() {
            return Err(Errno::EBUSY);
        }
        let other = match hook {
            Hook::XdpGeneric => Hook::XdpNative,
            _ => Hook::XdpGeneric,
        };
        if hook != Hook::XdpOffload && !self.at(ifindex, other).is_empty() {
            return Err(Errno::EEXIST);
        }
        let verified = &self.progs.get(program).ok_or(Errno::EBADF)?.verified;
        match verified.program().attach {
            Attach::Hook => Ok(()),
            // They run behind a redirect, at no hook.
            Attach::XdpDevmap | Attach::XdpCpumap => Err(Errno::EINVAL),
        }
    }

    fn type_of(&self, program: u32) -> Result<ProgType, Errno> {
        Ok(self.progs.get(program).ok_or(Errno::EBADF)?.verified.program().ty)
    }

    /// `BPF_LINK_CREATE` for a hook of XDP (`flags` choose which: none is the stack's) or of tcx (no flags).
    ///
    /// # Errors
    /// Linux's number: `EINVAL` for a program of another type, other flags, and for XDP for a device that is not there;
    /// `ENODEV` for tcx; `EBUSY` and `EEXIST` where XDP is in use.
    pub fn link_create(
        &mut self,
        actor: ActorId,
        program: Fd,
        ifindex: u32,
        hook: Hook,
        flags: u32,
    ) -> Result<Fd, Errno> {
        let program = self.prog_fd(actor, program)?;
        if self.type_of(program)? != hook.prog_type() {
            return Err(Errno::EINVAL);
        }
        let known = self.config.devices.contains(&ifindex);
        let hook = if hook.is_xdp() {
            if !known {
                return Err(Errno::EINVAL);
            }
            let hook = match flags {
                0 | XDP_FLAGS_SKB_MODE => Hook::XdpGeneric,
                XDP_FLAGS_DRV_MODE => Hook::XdpNative,
                XDP_FLAGS_HW_MODE => Hook::XdpOffload,
                _ => return Err(Errno::EINVAL),
            };
            self.check_xdp(ifindex, hook, program)?;
            hook
        } else {
            match (known, flags) {
                (false, _) => return Err(Errno::ENODEV),
                (true, 0) => {}
                (true, _) => return Err(Errno::EINVAL),
            }
            let twice = self.at(ifindex, hook).iter().any(|attached| attached.program == program);
            if twice {
                return Err(Errno::EEXIST);
            }
            hook
        };
        let seat = Seat { ifindex, hook };
        let id = self.links.add(LinkObject { refs: 0, program, seat: Some(seat), made_for: seat })?;
        self.get(Object::Prog(program));
        self.hooks.entry(seat).or_default().push(Attached { program, link: Some(id) });
        self.open_new(actor, Object::Link(id), Mode::ReadWrite)
    }

    /// `BPF_LINK_UPDATE`: another program at the same place, at once. With [`BPF_F_REPLACE`] only if `old` is there.
    ///
    /// # Errors
    /// Linux's number: `EPERM` if another program than `old` is there, `ENOLINK` if the link is detached, `EINVAL` for a
    /// program that does not fit.
    pub fn link_update(&mut self, actor: ActorId, link: Fd, new: Fd, flags: u32, old: Option<Fd>) -> Result<(), Errno> {
        if flags & !BPF_F_REPLACE != 0 {
            return Err(Errno::EINVAL);
        }
        let id = self.link_fd(actor, link)?;
        let new = self.prog_fd(actor, new)?;
        let old = match (flags & BPF_F_REPLACE != 0, old) {
            (true, old) => Some(self.prog_fd(actor, old.ok_or(Errno::EBADF)?)?),
            (false, Some(_)) => return Err(Errno::EINVAL),
            (false, None) => None,
        };
        let (seat, was) = self.links.get(id).map(|link| (link.seat, link.program)).ok_or(Errno::EBADF)?;
        let seat = seat.ok_or(Errno::ENOLINK)?;
        if old.is_some_and(|old| old != was) {
            return Err(Errno::EPERM);
        }
        let attach = |program: u32| self.progs.get(program).map(|program| program.verified.program().attach);
        if self.type_of(new)? != seat.hook.prog_type() || attach(new) != attach(was) {
            return Err(Errno::EINVAL);
        }
        if new == was {
            return Ok(());
        }
        if self.at(seat.ifindex, seat.hook).iter().any(|attached| attached.program == new) {
            return Err(Errno::EEXIST);
        }
        self.get(Object::Prog(new));
        self.links.get_mut(id).expect("it was just found").program = new;
        for attached in self.hooks.get_mut(&seat).into_iter().flatten().filter(|attached| attached.link == Some(id)) {
            attached.program = new;
        }
        self.put(Object::Prog(was));
        Ok(())
    }

    /// `BPF_LINK_DETACH`: the link stays, and is attached nowhere.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` of the descriptor.
    pub fn link_detach(&mut self, actor: ActorId, link: Fd) -> Result<(), Errno> {
        let id = self.link_fd(actor, link)?;
        self.unseat(id);
        Ok(())
    }

    /// Takes a link off its hook.
    pub(super) fn unseat(&mut self, id: u32) {
        let Some(seat) = self.links.get_mut(id).and_then(|link| link.seat.take()) else { return };
        if let Some(there) = self.hooks.get_mut(&seat) {
            there.retain(|attached| attached.link != Some(id));
            if there.is_empty() {
                self.hooks.remove(&seat);
            }
        }
    }

    /// Attaches a program to a hook without a link, as netlink does: it stays until it is detached or replaced, whoever
    /// attached it. With `replace` what is there goes at the same instant; maps that both programs hold are kept.
    ///
    /// # Errors
    /// Linux's number: `EBUSY` where something is attached and `replace` is not said, or a link is there.
    pub fn attach(
        &mut self,
        actor: ActorId,
        ifindex: u32,
        hook: Hook,
        program: Fd,
        replace: bool,
    ) -> Result<(), Errno> {
        let program = self.prog_fd(actor, program)?;
        if self.type_of(program)? != hook.prog_type() {
            return Err(Errno::EINVAL);
        }
        if !self.config.devices.contains(&ifindex) {
            return Err(Errno::ENODEV);
        }
        let there = self.at(ifindex, hook);
        let linked = there.iter().any(|attached| attached.link.is_some());
        match (there.is_empty(), replace && !linked) {
            (true, _) if hook.is_xdp() => self.check_xdp(ifindex, hook, program)?,
            (false, false) => return Err(Errno::EBUSY),
            _ => {}
        }
        self.get(Object::Prog(program));
        let seat = Seat { ifindex, hook };
        let old = self.hooks.insert(seat, vec![Attached { program, link: None }]).unwrap_or_default();
        old.into_iter().for_each(|attached| self.put(Object::Prog(attached.program)));
        Ok(())
    }

    /// Takes what was attached without a link off a hook.
    ///
    /// # Errors
    /// `ENOENT` where nothing is, `EBUSY` where a link is.
    pub fn detach(&mut self, ifindex: u32, hook: Hook) -> Result<(), Errno> {
        let seat = Seat { ifindex, hook };
        let there = self.at(ifindex, hook);
        if there.iter().any(|attached| attached.link.is_some()) {
            return Err(Errno::EBUSY);
        }
        let old = self.hooks.remove(&seat).ok_or(Errno::ENOENT)?;
        old.into_iter().for_each(|attached| self.put(Object::Prog(attached.program)));
        Ok(())
    }
}
