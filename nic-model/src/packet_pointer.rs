//! The packet pointer of the card: how a program names a byte of its packet to the memories (Linux nfp driver,
//! `main.h` and `jit.c`).

/// Bits of the packet pointer that hold the offset of the packet's first byte in its buffer.
pub const OFFSET_MASK: u32 = 0x1fff;
/// Bit of the packet pointer that says it is one.
pub const POINTER_VALID: u32 = 1 << 31;
/// Lowest bit of the packet number in the packet pointer.
pub const NUMBER_SHIFT: u32 = 16;
/// Packet numbers an island can tell apart (bits 16 to 25).
pub const NUMBERS: u32 = 1 << 10;

/// The packet pointer of vector word 2: valid bit, number of the buffer in the island's CTM, offset in the buffer.
///
/// The number is that of the buffer's first granule, so the byte in CTM is `number * granule + offset`.
pub const fn packet_pointer(number: u32, offset: u32) -> u32 {
    POINTER_VALID | (number & (NUMBERS - 1)) << NUMBER_SHIFT | (offset & OFFSET_MASK)
}
