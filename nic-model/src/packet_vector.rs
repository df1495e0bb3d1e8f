//! What the card knows of a packet while a context works on it, in the context's share of local memory; words
//! 0, 2, 4 and 6 as the Linux nfp driver has them (`main.h`).

use crate::packet_pointer::{NUMBER_SHIFT, NUMBERS, OFFSET_MASK, packet_pointer};

/// Words of the packet vector that live in local memory behind pointer 1.
pub const VECTOR_WORDS: usize = 8;

/// What the card knows of a packet, as the program finds it behind local memory pointer 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PacketVector {
    /// The words. 0: length in bits 0 to 13. 1: number of the device the packet came in by. 2: packet pointer
    /// ([`packet_pointer`]). 3: bytes of metadata in front of the packet. 4: flags. 5: EtherType. 6: queue in bits 0 to 7.
    pub words: [u32; VECTOR_WORDS],
}

/// Word of the vector with the `ifindex` of the port.
pub const VECTOR_PORT: usize = 1;
/// Word of the vector with the packet's EtherType, as it stands in memory.
pub const VECTOR_PROTOCOL: usize = 5;
/// Word of the vector with the bytes of metadata.
pub const VECTOR_META: usize = 3;
/// From the packet vector to the block of the context's fields, a `struct __sk_buff`, in bytes.
pub const CONTEXT_BLOCK_OFFSET: u32 = 64;
/// Bytes of that block.
pub const CONTEXT_BLOCK_BYTES: u32 = 192;

/// Flag in vector word 4: the program has chosen the receive queue in word 6.
pub const QUEUE_SELECTED: u32 = 1 << 4;
/// Bits of vector word 0 that hold the packet's length in bytes.
pub const LENGTH_MASK: u32 = 0x3fff;

impl PacketVector {
    /// A packet of `length` bytes at `offset` of the buffer that starts at granule `number`.
    pub const fn new(length: u32, number: u32, offset: u32) -> Self {
        let mut words = [0; VECTOR_WORDS];
        words[0] = length & LENGTH_MASK;
        words[2] = packet_pointer(number, offset);
        PacketVector { words }
    }

    /// Bytes of the packet.
    pub const fn length(&self) -> u32 {
        self.words[0] & LENGTH_MASK
    }

    /// First granule of the packet's buffer.
    pub const fn number(&self) -> u32 {
        self.words[2] >> NUMBER_SHIFT & (NUMBERS - 1)
    }

    /// Offset of the packet's first byte in its buffer.
    pub const fn offset(&self) -> u32 {
        self.words[2] & OFFSET_MASK
    }

    /// The receive queue, if the program has chosen one.
    pub const fn queue(&self) -> Option<u8> {
        if self.words[4] & QUEUE_SELECTED != 0 { Some(self.words[6] as u8) } else { None }
    }
}
