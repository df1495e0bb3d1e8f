//! The bytes of one memory, zero until written.

/// Bytes of a page; pages nobody has written take no room.
const PAGE: usize = 16 * 1024;

/// A memory's contents.
///
/// Callers stay inside [`Store::bytes`] ([`super::AddressMap`] sees to that for commands): a read outside gives zeros,
/// a write outside is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    pages: Vec<Option<Box<[u8; PAGE]>>>,
    bytes: u64,
}

impl Store {
    /// A memory of that size, all zero.
    pub fn new(bytes: u64) -> Self {
        let pages = usize::try_from(bytes.div_ceil(PAGE as u64)).expect("a memory's pages can be counted");
        Store { pages: vec![None; pages], bytes }
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Splits an access at page ends: page, byte in it, range of the buffer.
    fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            if done == len {
                return None;
            }
            let at = offset.saturating_add(done as u64);
            let (page, start) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let piece = (PAGE - start).min(len - done);
            done += piece;
            Some((page, start, done - piece..done))
        })
    }

    /// Copies out.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        let (page, start) = ((offset / PAGE as u64) as usize, (offset % PAGE as u64) as usize);
        if let Some(Some(page)) = self.pages.get(page)
            && let Some(from) = page.get(start..start + buf.len())
        {
            buf.copy_from_slice(from);
            return;
        }
        for (page, start, range) in Self::pieces(offset, buf.len()) {
            let to = &mut buf[range];
            match self.pages.get(page) {
                Some(Some(page)) => to.copy_from_slice(&page[start..start + to.len()]),
                _ => to.fill(0),
            }
        }
    }

    /// Copies in.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (page, start, range) in Self::pieces(offset, bytes.len()) {
            if let Some(page) = self.pages.get_mut(page) {
                let page = page.get_or_insert_with(|| Box::new([0; PAGE]));
                page[start..start + range.len()].copy_from_slice(&bytes[range]);
            }
        }
    }

    /// Clears a range; pages inside it take no room afterwards.
    pub fn clear(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.pages.len() as u64 * PAGE as u64);
        let mut at = offset;
        while at < end {
            let (page, start) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let piece = ((PAGE - start) as u64).min(end - at) as usize;
            if piece == PAGE {
                self.pages[page] = None;
            } else if let Some(page) = &mut self.pages[page] {
                page[start..start + piece].fill(0);
            }
            at += piece as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Op {
        Write(u64, Vec<u8>),
        Clear(u64, u64),
    }

    proptest! {
        #[test]
        fn it_is_a_flat_array_of_bytes(ops in prop::collection::vec(prop_oneof![
            (0u64..70_000, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(at, bytes)| Op::Write(at, bytes)),
            (0u64..70_000, 0u64..40_000).prop_map(|(at, len)| Op::Clear(at, len)),
        ], 1..20)) {
            let mut store = Store::new(5 * PAGE as u64);
            let mut flat = vec![0u8; 5 * PAGE];
            for op in &ops {
                match op {
                    Op::Write(at, bytes) => {
                        store.write(*at, bytes);
                        flat[*at as usize..][..bytes.len()].copy_from_slice(bytes);
                    }
                    Op::Clear(at, len) => {
                        store.clear(*at, *len);
                        let end = flat.len().min((*at + *len) as usize);
                        flat[(*at as usize).min(end)..end].fill(0);
                    }
                }
            }
            let mut all = vec![1; flat.len()];
            store.read(0, &mut all);
            prop_assert_eq!(&all, &flat);
            for op in &ops {
                if let Op::Write(at, bytes) = op {
                    let mut some = vec![1; bytes.len()];
                    store.read(*at, &mut some);
                    prop_assert_eq!(&some[..], &flat[*at as usize..][..bytes.len()]);
                }
            }
        }
    }

    #[test]
    fn outside_reads_zero_and_drops_writes() {
        let mut store = Store::new(PAGE as u64);
        store.write(u64::MAX - 1, &[1, 2, 3]);
        store.write(PAGE as u64 - 1, &[7, 8]);
        let mut buf = [9; 3];
        store.read(PAGE as u64 - 1, &mut buf);
        assert_eq!(buf, [7, 0, 0]);
    }
}
