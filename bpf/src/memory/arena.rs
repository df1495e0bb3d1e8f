//! The arena: layout of regions, their live windows, checked access.

use std::fmt;

use super::{Fault, FaultKind};
use crate::diag::{At, Diagnostic};

/// Bytes of a granule: the unit of the window table, and the least distance between two regions.
pub const GRANULE: u32 = 1 << 16;

/// Where the instructions of the running program stand, above every arena: addresses of functions lie here.
pub const IMAGE: u64 = 1 << 32;
/// Bytes from [`IMAGE`] on that are an image's: 8 for each of the most slots a program has.
const IMAGE_LEN: u64 = 16_000_000;

/// Index of a region, in order of layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(u32);

impl RegionId {
    /// As an index into [`Arena::regions`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A map of one device, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(pub u32);

/// What a region holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegionKind {
    /// Stack frames.
    Stack,
    /// `struct xdp_md` or `struct __sk_buff`.
    Context,
    /// Packet bytes with their head- and tailroom.
    Packet,
    /// Names of maps: addresses that stand for a map and cannot be read or written.
    MapHandles,
    /// Sockets of the world outside.
    Sockets,
    /// Copies of map keys, for the functions that are called back with each element of a map.
    MapKeys,
    /// All memory of one map of the device.
    Map(MapId),
    /// The running program's instructions, from [`IMAGE`] on. They are in no arena: nothing can load or store there.
    Image,
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionKind::Stack => f.write_str("stack"),
            RegionKind::Context => f.write_str("context"),
            RegionKind::Packet => f.write_str("packet"),
            RegionKind::MapHandles => f.write_str("map handle"),
            RegionKind::Sockets => f.write_str("socket"),
            RegionKind::MapKeys => f.write_str("map key"),
            RegionKind::Map(id) => write!(f, "map {}", id.0),
            RegionKind::Image => f.write_str("program image"),
        }
    }
}

/// Where the values of a map lie in its region: value `i` takes `size` bytes from `first + i * stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elements {
    /// Offset of the first value.
    pub first: u32,
    /// Bytes from one value to the next, at least `size`.
    pub stride: u32,
    /// Bytes of a value.
    pub size: u32,
    /// Number of values.
    pub count: u32,
}

impl Elements {
    /// Bytes from the first value's start to the last value's end.
    pub fn span(&self) -> u32 {
        self.count.checked_sub(1).map_or(0, |last| last * self.stride + self.size)
    }

    /// Whether `size` bytes at `off` lie inside one value.
    pub fn contains(&self, off: u32, size: u32) -> bool {
        let Some(from_first) = off.checked_sub(self.first) else { return false };
        let within = u64::from(from_first % self.stride.max(1)) + u64::from(size);
        from_first / self.stride.max(1) < self.count && within <= u64::from(self.size)
    }
}

/// One region of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// What it holds.
    pub kind: RegionKind,
    /// Address of its first byte, a multiple of [`GRANULE`].
    pub base: u32,
    /// Bytes.
    pub len: u32,
    /// First live byte, from `base`.
    pub live_off: u32,
    /// Live bytes.
    pub live_len: u32,
    /// Whether stores are allowed.
    pub writable: bool,
    /// Whether stores, where allowed, miss the quick check, so that the engine sees them.
    pub watched: bool,
    /// In a strict arena, the values an access must stay inside.
    pub elements: Option<Elements>,
}

impl Region {
    /// Address of the first live byte.
    pub const fn live_base(&self) -> u32 {
        self.base + self.live_off
    }
}

/// One row of the window table: what may be accessed by an address whose upper half is the row's index.
///
/// An access of `size` bytes at `a` is good when `a - base + size <= read` (or `write`). Rows of no region, and of regions
/// that need a closer look (strict, read-only, watched), have lengths of 0 and lead to the full check.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(16))]
struct Window {
    base: u32,
    read: u32,
    write: u32,
    /// Region + 1; 0 for a granule of none.
    region: u32,
}

/// The order and sizes of an arena's regions, before it is made.
#[derive(Debug, Clone)]
pub struct Layout {
    regions: Vec<Region>,
    /// First free granule.
    next: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { regions: Vec::new(), next: 1 }
    }
}

impl Layout {
    /// Adds a region behind those already there. All of it is live until [`Arena::set_live`] says otherwise.
    ///
    /// # Errors
    /// `arena-full` when it would end above the 32-bit address space.
    pub fn add(&mut self, kind: RegionKind, len: u64) -> Result<RegionId, Diagnostic> {
        let granules = len.div_ceil(u64::from(GRANULE)).max(1) + 1;
        let limit = (1u64 << 32) / u64::from(GRANULE);
        if len > 1 << 32 || self.next + granules > limit {
            let free = (limit - self.next).saturating_sub(1) * u64::from(GRANULE);
            return Err(Diagnostic::new(
                "arena-full",
                format!("the {kind} region does not fit the guest's address space"),
            )
            .at(At::Named(kind.to_string()))
            .limit(format!("{free} bytes left of 4 GiB"), format!("{len} bytes"))
            .help("lower max_entries or the value size"));
        }
        let id = RegionId(self.regions.len() as u32);
        let (base, len) = ((self.next * u64::from(GRANULE)) as u32, len as u32);
        self.regions.push(Region {
            kind,
            base,
            len,
            live_off: 0,
            live_len: len,
            writable: true,
            watched: false,
            elements: None,
        });
        self.next += granules;
        Ok(id)
    }

    /// Where a region will stand.
    pub fn base(&self, id: RegionId) -> u32 {
        self.regions[id.index()].base
    }

    /// The arena, all bytes zero. Memory is taken from the system page by page as it is touched.
    pub fn build(self) -> Arena {
        let granules = self.next as usize;
        let mut arena = Arena {
            bytes: vec![0; granules * GRANULE as usize],
            windows: vec![Window::default(); granules],
            regions: self.regions,
        };
        for index in 0..arena.regions.len() {
            arena.rewrite_windows(index);
        }
        arena
    }
}

/// A guest's memory.
#[derive(Debug, Clone)]
pub struct Arena {
    bytes: Vec<u8>,
    windows: Vec<Window>,
    regions: Vec<Region>,
}

impl Arena {
    /// All regions, by [`RegionId`].
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// One region.
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[id.index()]
    }

    /// Makes `len` bytes from offset `off` the live part of a region; what would lie outside it is cut off.
    #[inline]
    pub fn set_live(&mut self, id: RegionId, off: u32, len: u32) {
        let region = &mut self.regions[id.index()];
        let off = off.min(region.len);
        let len = len.min(region.len - off);
        if (off, len) != (region.live_off, region.live_len) {
            (region.live_off, region.live_len) = (off, len);
            self.rewrite_windows(id.index());
        }
    }

    /// Allows or forbids stores to a region by the guest.
    pub fn set_writable(&mut self, id: RegionId, writable: bool) {
        self.regions[id.index()].writable = writable;
        self.rewrite_windows(id.index());
    }

    /// Makes stores to a region miss [`Guard::hit`]; [`Guard::check`] decides on them as before.
    pub fn set_watched(&mut self, id: RegionId, watched: bool) {
        self.regions[id.index()].watched = watched;
        self.rewrite_windows(id.index());
    }

    /// Holds every access to a region to one element (strict), or lifts that.
    pub fn set_elements(&mut self, id: RegionId, elements: Option<Elements>) {
        self.regions[id.index()].elements = elements;
        self.rewrite_windows(id.index());
    }

    #[inline(never)]
    fn rewrite_windows(&mut self, index: usize) {
        let region = self.regions[index];
        let fast = if region.elements.is_some() { 0 } else { region.live_len };
        let window = Window {
            base: region.live_base(),
            read: fast,
            write: if region.writable && !region.watched { fast } else { 0 },
            region: index as u32 + 1,
        };
        let first = (region.base / GRANULE) as usize;
        let granules = region.len.div_ceil(GRANULE).max(1) as usize;
        self.windows[first..first + granules].fill(window);
    }

    /// All bytes of a region, live or not: the machine's own view, not the guest's.
    pub fn bytes_of(&self, id: RegionId) -> &[u8] {
        let region = self.region(id);
        &self.bytes[region.base as usize..][..region.len as usize]
    }

    /// All bytes of a region, to change.
    pub fn bytes_of_mut(&mut self, id: RegionId) -> &mut [u8] {
        let region = *self.region(id);
        &mut self.bytes[region.base as usize..][..region.len as usize]
    }

    /// The bytes, indexed by address, and what guards them, for an engine's inner loop.
    pub fn parts(&mut self) -> (&mut [u8], Guard<'_>) {
        (&mut self.bytes, Guard { windows: &self.windows, regions: &self.regions })
    }

    /// What guards the bytes.
    pub fn guard(&self) -> Guard<'_> {
        Guard { windows: &self.windows, regions: &self.regions }
    }

    /// Guest memory as a slice.
    ///
    /// # Errors
    /// The guest's fault; its slot is the engine's to fill in. An access of 0 bytes is always good.
    pub fn slice(&self, address: u64, len: u32) -> Result<&[u8], Fault> {
        if len == 0 {
            return Ok(&[]);
        }
        let index = self.guard().check(address, len, false)?;
        Ok(&self.bytes[index..][..len as usize])
    }

    /// Guest memory as a slice to change.
    ///
    /// # Errors
    /// As [`Arena::slice`].
    pub fn slice_mut(&mut self, address: u64, len: u32) -> Result<&mut [u8], Fault> {
        if len == 0 {
            return Ok(&mut []);
        }
        let index = self.guard().check(address, len, true)?;
        Ok(&mut self.bytes[index..][..len as usize])
    }
}

/// The check of every access, apart from the bytes it guards.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'a> {
    windows: &'a [Window],
    regions: &'a [Region],
}

impl Guard<'_> {
    /// The region that owns an address's granule, live there or not.
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        let window = self.windows.get((address >> 16) as usize)?;
        window.region.checked_sub(1).map(|index| &self.regions[index as usize])
    }

    /// The index of an access into the arena's bytes if the quick check passes; `None` asks for [`Guard::check`].
    #[inline(always)]
    pub fn hit(&self, address: u64, size: u32, write: bool) -> Option<usize> {
        let window = self.windows.get((address >> 16) as usize)?;
        let off = (address as u32).wrapping_sub(window.base);
        let len = if write { window.write } else { window.read };
        (u64::from(off) + u64::from(size) <= u64::from(len)).then_some(address as usize)
    }

    /// The full check of one access: its index into the arena's bytes, or why not.
    ///
    /// # Errors
    /// The guest's fault; its slot is the engine's to fill in.
    pub fn check(&self, address: u64, size: u32, write: bool) -> Result<usize, Fault> {
        if let Some(index) = self.hit(address, size, write) {
            return Ok(index);
        }
        let fault = |kind, region| Err(Fault::access(kind, address, size, region));
        if (IMAGE..IMAGE + IMAGE_LEN).contains(&address) {
            // A program is only executed: it cannot be changed once it is loaded, and has nothing to read.
            let kind = if write { FaultKind::ReadOnly } else { FaultKind::OutOfBounds };
            return fault(kind, Some(RegionKind::Image));
        }
        let Some(region) = self.region_at(address) else {
            let kind = if address < u64::from(GRANULE) { FaultKind::NullPointer } else { FaultKind::Unmapped };
            return fault(kind, None);
        };
        let kind = Some(region.kind);
        let off = (address as u32).wrapping_sub(region.live_base());
        if u64::from(off) + u64::from(size) > u64::from(region.live_len) {
            return fault(FaultKind::OutOfBounds, kind);
        }
        if write && !region.writable {
            return fault(FaultKind::ReadOnly, kind);
        }
        if let Some(elements) = region.elements
            && !elements.contains(region.live_off + off, size)
        {
            return fault(FaultKind::AcrossElements, kind);
        }
        Ok(address as usize)
    }
}
