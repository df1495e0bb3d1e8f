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

    /// What the last attempt to attach was refused with, as netlink's extended acknowledgement says it.
    pub fn extack(&self) -> Option<&str> {
        self.extack.as_deref()
    }

    fn says(&mut self, errno: Errno, sentence: impl Into<String>) -> Result<(), Errno> {
        self.extack = Some(sentence.into());
        Err(errno)
    }

    /// What an XDP hook asks of a program, and of what is there already (`dev_xdp_attach`, then the card's driver).
    /// `replaces` where what is there will go.
    fn check_xdp(&mut self, ifindex: u32, hook: Hook, program: u32, replaces: bool) -> Result<(), Errno> {
        self.extack = None;
        if !replaces && !self.at(ifindex, hook).is_empty() {
            let linked = self.at(ifindex, hook).iter().any(|attached| attached.link.is_some());
            let sentence = if linked { "Can't replace active BPF XDP link" } else { "XDP program already attached" };
            return self.says(Errno::EBUSY, sentence);
        }
        let other = match hook {
            Hook::XdpGeneric => Hook::XdpNative,
            _ => Hook::XdpGeneric,
        };
        if hook != Hook::XdpOffload && !self.at(ifindex, other).is_empty() {
            return self.says(Errno::EEXIST, "Native and generic XDP can't be active at the same time");
        }
        let object = self.progs.get(program).ok_or(Errno::EBADF)?;
        let (attach, bound, matches) =
            (object.verified.program().attach, object.bound.is_some(), self.bound_to(object, ifindex));
        if hook != Hook::XdpOffload && bound {
            return self.says(Errno::EINVAL, "Using offloaded program without HW_MODE flag is not supported");
        }
        if bound && !matches {
            return self.says(Errno::EINVAL, "Program bound to different device");
        }
        match attach {
            Attach::Hook => {}
            // They run behind a redirect, at no hook.
            Attach::XdpDevmap => {
                return self.says(Errno::EINVAL, "BPF_XDP_DEVMAP programs can not be attached to a device");
            }
            Attach::XdpCpumap => {
                return self.says(Errno::EINVAL, "BPF_XDP_CPUMAP programs can not be attached to a device");
            }
        }
        if hook != Hook::XdpOffload {
            return Ok(());
        }
        let Some(driver) = self.card_of(ifindex).map(|(_, card)| card.driver.clone()) else {
            return self.says(Errno::EOPNOTSUPP, "Underlying driver does not support XDP in native mode");
        };
        if !bound {
            return self.says(Errno::EINVAL, "xdpoffload of non-bound program");
        }
        let verified = self.progs.get(program).ok_or(Errno::EBADF)?.verified.clone();
        match driver.attach(&verified, replaces) {
            Ok(()) => Ok(()),
            Err((errno, sentence)) => self.says(errno, sentence),
        }
    }

    /// What a hook of tc asks of a program: those for cards run there by netlink's filters only.
    fn check_tcx(&mut self, program: u32) -> Result<(), Errno> {
        self.extack = None;
        match self.progs.get(program).is_some_and(|object| object.bound.is_some()) {
            true => Err(Errno::EINVAL),
            false => Ok(()),
        }
    }

    /// Nothing is attached to a network device any more.
    pub(super) fn uninstall(&mut self, ifindex: u32) {
        let seats: Vec<Seat> = self.hooks.keys().filter(|seat| seat.ifindex == ifindex).copied().collect();
        for seat in seats {
            for attached in self.hooks.get(&seat).cloned().unwrap_or_default() {
                match attached.link {
                    Some(link) => self.unseat(link),
                    None => self.put(Object::Prog(attached.program)),
                }
            }
            self.hooks.remove(&seat);
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
            self.check_xdp(ifindex, hook, program, false)?;
            hook
        } else {
            match (known, flags) {
                (false, _) => return Err(Errno::ENODEV),
                (true, 0) => {}
                (true, _) => return Err(Errno::EINVAL),
            }
            self.check_tcx(program)?;
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
        match seat.hook.is_xdp() {
            true => self.check_xdp(seat.ifindex, seat.hook, new, true)?,
            false => self.check_tcx(new)?,
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
            (empty, replace) if hook.is_xdp() => self.check_xdp(ifindex, hook, program, replace && !empty)?,
            (false, false) => return Err(Errno::EBUSY),
            _ => self.check_tcx(program)?,
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
