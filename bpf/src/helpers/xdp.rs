//! What helpers do to an XDP packet besides moving its ends.

use super::{HelperCx, HelperOutcome};
use crate::errno::Errno;
use crate::memory::Fault;

/// Most bytes of metadata: the length is kept in a byte, and is a multiple of 4.
const MAX_META: i64 = 252;
/// Longest offset and length that packets may be copied by.
const MAX_COPY: u32 = 0xffff;
const CHUNK: u32 = 256;

pub(super) fn adjust_meta(cx: &mut dyn HelperCx, [_, delta, ..]: [u64; 5]) -> HelperOutcome {
    let len = i64::from(cx.meta_len()) - i64::from(delta as i32);
    // The room before the packet is what its metadata has too.
    if len < 0 || len > i64::from(cx.packet_room().head) + i64::from(cx.meta_len()) {
        return Ok(Errno::EINVAL.as_return());
    }
    if len % 4 != 0 || len > MAX_META {
        return Ok(Errno::EACCES.as_return());
    }
    cx.set_meta_len(len as u32);
    Ok(0)
}

pub(super) fn get_buff_len(cx: &mut dyn HelperCx, _: [u64; 5]) -> HelperOutcome {
    Ok(u64::from(cx.packet_len()))
}

/// Whether bytes may be copied, and else why not.
fn range(cx: &dyn HelperCx, off: u32, len: u32) -> Result<(), Errno> {
    if off > MAX_COPY || len > MAX_COPY {
        return Err(Errno::EFAULT);
    }
    if off + len > cx.packet_len() { Err(Errno::EINVAL) } else { Ok(()) }
}

fn pieces(len: u32, mut each: impl FnMut(u32, &mut [u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut buf = [0; CHUNK as usize];
    for at in (0..len).step_by(CHUNK as usize) {
        each(at, &mut buf[..CHUNK.min(len - at) as usize])?;
    }
    Ok(())
}

pub(super) fn load_bytes(cx: &mut dyn HelperCx, [_, off, to, len, _]: [u64; 5]) -> HelperOutcome {
    let (off, len) = (off as u32, len as u32);
    if let Err(errno) = range(cx, off, len) {
        return Ok(errno.as_return());
    }
    pieces(len, |at, part| {
        cx.packet_read(off + at, part);
        cx.write(to.wrapping_add(u64::from(at)), part)
    })?;
    Ok(0)
}

pub(super) fn store_bytes(cx: &mut dyn HelperCx, [_, off, from, len, _]: [u64; 5]) -> HelperOutcome {
    let (off, len) = (off as u32, len as u32);
    if let Err(errno) = range(cx, off, len) {
        return Ok(errno.as_return());
    }
    pieces(len, |at, part| {
        cx.read(from.wrapping_add(u64::from(at)), part)?;
        cx.packet_write(off + at, part);
        Ok(())
    })?;
    Ok(0)
}
