//! The sum that a device has made of a packet (`CHECKSUM_COMPLETE`), and what helpers do to it.
//!
//! It covers what follows the link-layer header. Linux keeps it right where a helper changes bytes and says so; bytes that a
//! program writes itself, or without saying so, make it wrong. Of the many words that stand for one sum, 0 and 0xffffffff
//! among them, it is the one that Linux's arithmetic yields.

use super::checksum::{add32, fold16, partial, sub32};
use super::{Checked, HelperCx, SkbState};
use crate::program::Endian;

const CHUNK: usize = 256;

impl SkbState {
    /// The state of a packet whose device has summed what follows the link-layer header. `packet` begins at `data`.
    pub fn summed(self, order: Endian, packet: &[u8]) -> SkbState {
        SkbState { checked: Checked::Whole, sum: self.of(order, packet), ..self }
    }

    /// Whether the sum is still that of the packet, as a stack would find it: what `BPF_PROG_TEST_RUN` asks at the end under
    /// `BPF_F_TEST_SKB_CHECKSUM_COMPLETE`.
    pub fn sum_holds(&self, order: Endian, packet: &[u8]) -> bool {
        fold16(self.sum) == fold16(self.of(order, packet))
    }

    fn of(&self, order: Endian, packet: &[u8]) -> u32 {
        let network = usize::try_from(self.network).unwrap_or(0);
        partial(order, packet.get(network..).unwrap_or_default(), 0)
    }
}

fn is_whole(cx: &mut dyn HelperCx) -> bool {
    cx.skb().checked == Checked::Whole
}

/// `seed` and the bytes at an offset of the packet.
fn plus(cx: &mut dyn HelperCx, off: u32, len: u32, seed: u32) -> u32 {
    let (mut buf, mut acc) = ([0; CHUNK], seed);
    for at in (0..len).step_by(CHUNK) {
        let part = &mut buf[..CHUNK.min((len - at) as usize)];
        cx.packet_read(off + at, part);
        acc = partial(cx.byte_order(), part, acc);
    }
    acc
}

/// Bytes at an even offset leave the sum (`skb_postpull_rcsum`). They are still there.
pub(super) fn leave(cx: &mut dyn HelperCx, off: u32, len: u32) {
    if is_whole(cx) {
        let before = cx.skb().sum.wrapping_neg();
        cx.skb().sum = plus(cx, off, len, before).wrapping_neg();
    }
}

/// Bytes at an even offset join it (`skb_postpush_rcsum`).
pub(super) fn join(cx: &mut dyn HelperCx, off: u32, len: u32) {
    if is_whole(cx) {
        let more = plus(cx, off, len, 0);
        cx.skb().sum = add32(cx.skb().sum, more);
    }
}

/// A part of a block as it counts in the sum of the whole (`csum_shift`).
fn shifted(sum: u32, off: u32) -> u32 {
    if off % 2 == 1 { sum.rotate_right(8) } else { sum }
}

/// Bytes are exchanged by `write` (`__skb_postpull_rcsum`, `__skb_postpush_rcsum`).
pub(super) fn exchange<T>(cx: &mut dyn HelperCx, off: u32, len: u32, write: impl FnOnce(&mut dyn HelperCx) -> T) -> T {
    if !is_whole(cx) {
        return write(cx);
    }
    let old = plus(cx, off, len, 0);
    let done = write(cx);
    let new = plus(cx, off, len, 0);
    let skb = cx.skb();
    skb.sum = add32(add32(skb.sum, shifted(!old, off)), shifted(new, off));
    done
}

/// A word is exchanged that stands at an even offset.
pub(super) fn replace(cx: &mut dyn HelperCx, from: u32, to: u32) {
    if is_whole(cx) {
        let skb = cx.skb();
        skb.sum = add32(sub32(skb.sum, from), to);
    }
}

/// A checksum field has followed a word of the pseudo-header (`inet_proto_csum_replace4`).
pub(super) fn follow_word(cx: &mut dyn HelperCx, from: u32, to: u32) {
    if is_whole(cx) {
        let skb = cx.skb();
        skb.sum = !add32(sub32(!skb.sum, from), to);
    }
}

/// The same of a difference (`inet_proto_csum_replace_by_diff`).
pub(super) fn follow_diff(cx: &mut dyn HelperCx, diff: u32) {
    if is_whole(cx) {
        let skb = cx.skb();
        skb.sum = !sub32(diff, skb.sum);
    }
}

/// The packet gets another length, and nothing is known any more (`__skb_grow_rcsum`, `__skb_trim_rcsum`).
pub(super) fn forget(cx: &mut dyn HelperCx) {
    if is_whole(cx) {
        cx.skb().checked = Checked::Nothing;
    }
}

/// Where packets are received the sum begins behind the link-layer header. For helpers that count on one from that header on
/// it is added for as long as `work` takes (`bpf_push_mac_rcsum`, `bpf_pull_mac_rcsum`).
pub(super) fn from_mac<T>(cx: &mut dyn HelperCx, work: impl FnOnce(&mut dyn HelperCx) -> T) -> T {
    let header = |cx: &mut dyn HelperCx| (cx.skb().mac.max(0) as u32, cx.skb().mac_len);
    if !cx.skb().ingress {
        return work(cx);
    }
    let (mac, len) = header(cx);
    join(cx, mac, len);
    let done = work(cx);
    let (mac, len) = header(cx);
    leave(cx, mac, len);
    done
}
