//! Dynamic pointers: sixteen bytes of stack that say where memory is and how long, which only helpers read and write.
//!
//! ```text
//! 0  address of the bytes; 0 is a pointer to nothing
//! 8  how many bytes there are
//! 12 0
//! ```

use super::maps::copy;
use super::signature::DYNPTR_BYTES;
use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;
use crate::memory::Fault;
use crate::program::Endian;

/// Most bytes one may lead to (`DYNPTR_MAX_SIZE`).
const MAX_SIZE: u32 = (1 << 24) - 1;

/// What a dynamic pointer leads to.
#[derive(Clone, Copy)]
struct Dynptr {
    data: u64,
    size: u32,
}

/// A dynamic pointer to `size` bytes at an address, as it stands in memory.
pub(crate) fn dynptr_bytes(order: Endian, data: u64, size: u32) -> [u8; DYNPTR_BYTES as usize] {
    let (data, size) = match order {
        Endian::Little => (data.to_le_bytes(), size.to_le_bytes()),
        Endian::Big => (data.to_be_bytes(), size.to_be_bytes()),
    };
    let mut bytes = [0; DYNPTR_BYTES as usize];
    bytes[..8].copy_from_slice(&data);
    bytes[8..12].copy_from_slice(&size);
    bytes
}

/// It leads to nothing.
const NOTHING: Dynptr = Dynptr { data: 0, size: 0 };

impl Dynptr {
    fn at(cx: &mut dyn HelperCx, ptr: u64) -> Result<Self, Fault> {
        let (mut data, mut size) = ([0; 8], [0; 4]);
        cx.read(ptr, &mut data)?;
        cx.read(ptr.wrapping_add(8), &mut size)?;
        Ok(match cx.byte_order() {
            Endian::Little => Self { data: u64::from_le_bytes(data), size: u32::from_le_bytes(size) },
            Endian::Big => Self { data: u64::from_be_bytes(data), size: u32::from_be_bytes(size) },
        })
    }

    fn put(self, cx: &mut dyn HelperCx, ptr: u64) -> Result<(), Fault> {
        cx.write(ptr, &dynptr_bytes(cx.byte_order(), self.data, self.size))
    }

    /// The address of `len` bytes at `off`.
    fn slice(self, off: u32, len: u32) -> Result<u64, Errno> {
        match self.size.checked_sub(len) {
            _ if self.data == 0 => Err(Errno::EINVAL),
            Some(last) if off <= last => Ok(self.data.wrapping_add(off.into())),
            _ => Err(Errno::E2BIG),
        }
    }
}

/// Makes a dynamic pointer to nothing, and answers with an error number.
fn refuse(cx: &mut dyn HelperCx, ptr: u64, errno: Errno) -> HelperOutcome {
    NOTHING.put(cx, ptr)?;
    Ok(errno.as_return())
}

pub(super) fn from_mem(cx: &mut dyn HelperCx, [data, size, flags, ptr, _]: [u64; 5]) -> HelperOutcome {
    let size = size as u32;
    if size > MAX_SIZE {
        return refuse(cx, ptr, Errno::E2BIG);
    }
    if flags != 0 {
        return refuse(cx, ptr, Errno::EINVAL);
    }
    Dynptr { data, size }.put(cx, ptr)?;
    Ok(0)
}

pub(super) fn ringbuf_reserve(cx: &mut dyn HelperCx, [map, size, flags, ptr, _]: [u64; 5]) -> HelperOutcome {
    let size = size as u32;
    if flags != 0 {
        return refuse(cx, ptr, Errno::EINVAL);
    }
    if size > MAX_SIZE {
        return refuse(cx, ptr, Errno::E2BIG);
    }
    let data = cx.ring_reserve(map, size.into())?;
    if data == 0 {
        return refuse(cx, ptr, Errno::EINVAL);
    }
    Dynptr { data, size }.put(cx, ptr)?;
    Ok(0)
}

fn give_back(cx: &mut dyn HelperCx, ptr: u64, flags: u64, discard: bool) -> HelperOutcome {
    let Dynptr { data, .. } = Dynptr::at(cx, ptr)?;
    if data != 0 {
        cx.ring_commit(data, flags, discard)?;
        NOTHING.put(cx, ptr)?;
    }
    Ok(0)
}

pub(super) fn ringbuf_submit(cx: &mut dyn HelperCx, [ptr, flags, ..]: [u64; 5]) -> HelperOutcome {
    give_back(cx, ptr, flags, false)
}

pub(super) fn ringbuf_discard(cx: &mut dyn HelperCx, [ptr, flags, ..]: [u64; 5]) -> HelperOutcome {
    give_back(cx, ptr, flags, true)
}

pub(super) fn read(cx: &mut dyn HelperCx, [to, len, ptr, off, flags]: [u64; 5]) -> HelperOutcome {
    match Dynptr::at(cx, ptr)?.slice(off as u32, len as u32) {
        _ if flags != 0 => Ok(Errno::EINVAL.as_return()),
        Ok(from) => copy(cx, to, from, len & u64::from(u32::MAX)).map(|()| 0),
        Err(errno) => Ok(errno.as_return()),
    }
}

pub(super) fn write(cx: &mut dyn HelperCx, [ptr, off, from, len, flags]: [u64; 5]) -> HelperOutcome {
    match Dynptr::at(cx, ptr)?.slice(off as u32, len as u32) {
        Ok(_) if flags != 0 => Ok(Errno::EINVAL.as_return()),
        Ok(to) => copy(cx, to, from, len & u64::from(u32::MAX)).map(|()| 0),
        Err(errno) => Ok(errno.as_return()),
    }
}

pub(super) fn data(cx: &mut dyn HelperCx, [ptr, off, len, ..]: [u64; 5]) -> HelperOutcome {
    Ok(Dynptr::at(cx, ptr)?.slice(off as u32, len as u32).unwrap_or(0))
}
