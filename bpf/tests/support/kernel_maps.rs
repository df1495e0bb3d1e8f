//! The rest of what user space does to the kernel's maps: flags, taking, many entries at once, freezing, reading rings.

#![expect(unsafe_code, reason = "ring buffers are read through mapped memory")]

use std::os::fd::AsRawFd;

use super::kernel::{Attr, KernelMap, KernelProg};

mod cmd {
    pub const MAP_LOOKUP_ELEM: u32 = 1;
    pub const PROG_TEST_RUN: u32 = 10;
    pub const MAP_LOOKUP_AND_DELETE_ELEM: u32 = 21;
    pub const MAP_LOOKUP_BATCH: u32 = 24;
    pub const MAP_LOOKUP_AND_DELETE_BATCH: u32 = 25;
    pub const MAP_UPDATE_BATCH: u32 = 26;
    pub const MAP_DELETE_BATCH: u32 = 27;
}

/// Bytes of a page.
const PAGE: usize = 4096;
/// Bytes of the longest token of a batch: a key.
const TOKEN: usize = 512;

/// What a look-up of many entries gave.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelBatch {
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the kernel wrote where the next one goes on; rubbish where it wrote nothing.
    pub next: Vec<u8>,
    pub end: Result<(), i32>,
}

impl KernelProg {
    /// Nanoseconds that one of `repeat` runs takes, as the kernel measures them.
    pub fn nanoseconds(&self, packet: &[u8], repeat: u32) -> u32 {
        let mut attr =
            Attr::new().u32(0, self.fd() as u32).u32(8, packet.len() as u32).ptr(16, packet.as_ptr()).u32(32, repeat);
        attr.call(cmd::PROG_TEST_RUN).expect("the kernel runs the program");
        attr.word(36)
    }
}

impl KernelMap {
    /// `BPF_MAP_LOOKUP_ELEM` with flags; `value` is what the buffer holds before.
    pub fn lookup_with(&self, key: &[u8], value: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        let mut value = value.to_vec();
        assert_eq!((key.len(), value.len()), (self.key_size, self.user_value_size));
        self.element(key.as_ptr(), value.as_mut_ptr(), flags, cmd::MAP_LOOKUP_ELEM)?;
        Ok(value)
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`.
    pub fn take(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        let mut value = vec![0u8; self.user_value_size];
        assert_eq!(key.len(), self.key_size);
        self.element(key.as_ptr(), value.as_mut_ptr(), flags, cmd::MAP_LOOKUP_AND_DELETE_ELEM)?;
        Ok(value)
    }

    fn batch(&self, count: usize, flags: u64) -> Attr {
        Attr::new().u32(32, count as u32).fd(36, &self.fd).u32(40, flags as u32).u32(44, (flags >> 32) as u32)
    }

    /// `BPF_MAP_LOOKUP_BATCH`, with `take` `BPF_MAP_LOOKUP_AND_DELETE_BATCH`.
    pub fn lookup_batch(&self, from: Option<&[u8]>, count: usize, take: bool, flags: u64) -> KernelBatch {
        let mut keys = vec![0u8; (count * self.key_size).max(1)];
        let mut values = vec![0u8; (count * self.user_value_size).max(1)];
        let mut input = [0; TOKEN];
        let mut next = vec![0; TOKEN];
        let from = from.map(|from| {
            input[..from.len()].copy_from_slice(from);
            input.as_ptr()
        });
        let mut attr = self
            .batch(count, flags)
            .ptr(0, from.unwrap_or(std::ptr::null()))
            .ptr(8, next.as_mut_ptr())
            .ptr(16, keys.as_mut_ptr())
            .ptr(24, values.as_mut_ptr());
        let command = if take { cmd::MAP_LOOKUP_AND_DELETE_BATCH } else { cmd::MAP_LOOKUP_BATCH };
        let end = attr.call(command).map(|_| ());
        // A refused command leaves the count as it was.
        let done = if matches!(end, Ok(()) | Err(libc::ENOENT | libc::ENOSPC)) { attr.word(32) as usize } else { 0 };
        let part = |bytes: &[u8], size: usize, at: usize| bytes[at * size..(at + 1) * size].to_vec();
        let entry = |at| (part(&keys, self.key_size, at), part(&values, self.user_value_size, at));
        KernelBatch { entries: (0..done.min(count)).map(entry).collect(), next, end }
    }

    /// `BPF_MAP_UPDATE_BATCH`, with no values `BPF_MAP_DELETE_BATCH`: how many were done.
    pub fn change_batch(&self, keys: &[Vec<u8>], values: Option<&[Vec<u8>]>, flags: u64) -> (usize, Result<(), i32>) {
        let (keys, count) = (keys.concat(), keys.len());
        let command = if values.is_some() { cmd::MAP_UPDATE_BATCH } else { cmd::MAP_DELETE_BATCH };
        let values = values.map(<[Vec<u8>]>::concat).unwrap_or_default();
        let mut attr = self.batch(count, flags).ptr(16, keys.as_ptr()).ptr(24, values.as_ptr());
        let end = attr.call(command).map(|_| ());
        (attr.word(32) as usize, end)
    }

    /// All records of a ring buffer of `size` bytes of data, up to the first that is being filled.
    pub fn ring_records(&self, size: usize) -> Vec<Vec<u8>> {
        // SAFETY: the kernel chooses both places; the consumer's page is ours to write, and the positions behind it and the
        // data, which it maps twice, only to read. Both are given back below with the lengths they were asked for.
        unsafe {
            let fd = self.fd.as_raw_fd();
            let ours =
                libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0);
            let len = PAGE + 2 * size;
            let theirs = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, PAGE as i64);
            assert!(ours != libc::MAP_FAILED && theirs != libc::MAP_FAILED, "a ring buffer can be mapped");
            let mut consumer = ours.cast::<u64>().read_volatile();
            let producer = theirs.cast::<u64>().read_volatile();
            let mut records = Vec::new();
            while consumer < producer {
                let at = theirs.cast::<u8>().add(PAGE + (consumer as usize & (size - 1)));
                let head = at.cast::<u32>().read_volatile();
                if head >> 31 != 0 {
                    break;
                }
                let len = (head & !(1 << 30)) as usize;
                if head >> 30 == 0 {
                    records.push(std::slice::from_raw_parts(at.add(8), len).to_vec());
                }
                consumer += (len as u64 + 8).next_multiple_of(8);
            }
            ours.cast::<u64>().write_volatile(consumer);
            libc::munmap(ours, PAGE);
            libc::munmap(theirs, len);
            records
        }
    }

    /// A ring of `size` bytes of data that this process writes.
    pub fn user_ring(&self, size: usize) -> KernelUserRing {
        // SAFETY: the kernel chooses both places; it lets us read the consumer's page, and write the producer's and the data,
        // which it maps twice. Both are given back when the ring is dropped, with the lengths they were asked for.
        unsafe {
            let fd = self.fd.as_raw_fd();
            let theirs = libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
            let (len, rights) = (PAGE + 2 * size, libc::PROT_READ | libc::PROT_WRITE);
            let ours = libc::mmap(std::ptr::null_mut(), len, rights, libc::MAP_SHARED, fd, PAGE as i64);
            assert!(
                ours != libc::MAP_FAILED && theirs != libc::MAP_FAILED,
                "a ring that user space writes can be mapped"
            );
            KernelUserRing { consumer: theirs.cast(), producer: ours.cast(), size }
        }
    }
}

/// The writer's side of a `BPF_MAP_TYPE_USER_RINGBUF`.
pub struct KernelUserRing {
    consumer: *const u64,
    /// A page behind it begins the data.
    producer: *mut u64,
    size: usize,
}

impl KernelUserRing {
    /// Where programs have read to.
    pub fn consumer(&self) -> u64 {
        // SAFETY: the page is mapped for reading as long as the ring lives.
        unsafe { self.consumer.read_volatile() }
    }

    /// Where the next record goes.
    fn producer(&self) -> u64 {
        // SAFETY: the page is mapped for reading and writing as long as the ring lives, and nobody else writes it.
        unsafe { self.producer.read_volatile() }
    }

    /// Writes a record's head and bytes where the next one goes, which goes on by so much.
    fn put(&self, head: u32, bytes: &[u8], by: u64) {
        let at = self.producer();
        assert!(bytes.len() + 8 <= self.size);
        // SAFETY: the data is mapped twice for writing, so that a record that begins in it and is no longer ends in it too;
        // the kernel reads it only while a program runs, which none does now.
        unsafe {
            let place = self.producer.cast::<u8>().add(PAGE + (at as usize & (self.size - 1)));
            place.cast::<u32>().write_unaligned(head);
            place.add(4).cast::<u32>().write_unaligned(0);
            place.add(8).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.producer.write_volatile(at.wrapping_add(by));
        }
    }

    /// A record, or with `discard` one that programs pass over, as libbpf writes it.
    pub fn write(&self, record: &[u8], discard: bool) -> Result<(), i32> {
        let whole = (record.len() + 8).next_multiple_of(8);
        if whole > self.size {
            return Err(libc::E2BIG);
        }
        if self.size as u64 - (self.producer() - self.consumer()) < whole as u64 {
            return Err(libc::ENOSPC);
        }
        self.put(record.len() as u32 | u32::from(discard) << 30, record, whole as u64);
        Ok(())
    }

    /// Any head, and any way on.
    pub fn scribble(&self, head: u32, by: u64) {
        self.put(head, &[], by);
    }
}

impl Drop for KernelUserRing {
    fn drop(&mut self) {
        // SAFETY: both were mapped with these lengths, and nothing refers to them any more.
        unsafe {
            libc::munmap(self.consumer.cast_mut().cast(), PAGE);
            libc::munmap(self.producer.cast(), PAGE + 2 * self.size);
        }
    }
}
