//! Maps: what each kind does, once, for host and card alike.
//!
//! A map is its definition ([`Map`]) and a linear region of memory. *All* of its state lies in that region, and every
//! operation goes through [`MapMemory`], so the same code runs over the host's arena and over a card's memories. Each
//! operation writes the sequence of its accesses to an [`AccessLog`]; host and card price that sequence, and no operation
//! has a cost of its own.
//!
//! [`KINDS`] has one row a kind, and each kind has a file. Limits, flags and error numbers are Linux's.
//!
//! | kind | file | region |
//! |---|---|---|
//! | array | `array.rs` | values |
//! | per-CPU array | `percpu_array.rs` | values of processor 0, values of processor 1, ... |
//! | program, event, control group array; array of maps | on `slots.rs` | a word a slot |
//! | hash; hash of maps | on `hash_table.rs` | header, bucket heads, entries |
//! | per-CPU hash | `percpu_hash.rs` | the same, then values of processor 0, of processor 1, ... |
//! | LRU hash, LRU per-CPU hash | on `lru.rs` | as hash, with lists in header and entries |
//! | LPM trie | `lpm_trie.rs` | nodes |
//! | device and processor map; device hash | on `ports.rs` | slots; entries |
//! | AF_XDP socket map, socket map; socket hash | on `sockets.rs` | slots; entries |
//! | queue, stack | on `queue_stack.rs` | two indices, values |
//! | ring buffer; one that user space writes | `ringbuf.rs`; `user_ringbuf.rs` | positions, data twice |
//! | bloom filter | `bloom_filter.rs` | bits |
//! | stack trace | `stack_trace.rs` | empty buckets |
//!
//! What programs do is in `map.rs`, what user space does in `user.rs` and `batch.rs`.

mod access;
mod array;
mod array_of_maps;
mod batch;
mod bloom_filter;
mod cgroup_array;
mod cpumap;
mod devmap;
mod devmap_hash;
mod hash;
mod hash_of_maps;
mod hash_table;
mod hashing;
mod kind;
mod lpm_trie;
mod lru;
mod lru_hash;
mod lru_percpu_hash;
mod map;
mod percpu_array;
mod percpu_hash;
mod perf_event_array;
mod perf_ring;
mod ports;
mod prog_array;
mod queue;
mod queue_stack;
mod reference;
mod ringbuf;
mod slots;
mod sockets;
mod sockhash;
mod sockmap;
mod stack;
mod stack_trace;
mod table;
mod user;
mod user_ringbuf;
mod xskmap;

pub use crate::memory::MapId;
pub use access::{Access, AccessKind, AccessLog, Linear, MapMemory, Tape, View};
pub use batch::BatchAnswer;
pub use hash_table::Shape as TableShape;
pub use hashing::hash_key;
pub use kind::{Batch, CreateCheck, Holds, KINDS, MapKind, MapOps, QueueOps, Side, UserLookup};
pub use map::{CreateError, Map, MapSet};
pub use perf_ring::{PerfRecord, PerfRing};
pub use reference::{References, fits};
pub use ringbuf::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, RingState};
pub use user_ringbuf::Drained;

use reference::admit;

/// `flags` of an update: create or replace.
pub const BPF_ANY: u64 = 0;
/// `flags` of an update: create only.
pub const BPF_NOEXIST: u64 = 1;
/// `flags` of an update: replace only.
pub const BPF_EXIST: u64 = 2;
/// `flags` of an update: hold the value's spin lock.
pub const BPF_F_LOCK: u64 = 4;

/// `map_flags`: do not preallocate entries.
pub const BPF_F_NO_PREALLOC: u32 = 1;
/// `map_flags`: one LRU list for each processor.
pub const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;
/// `map_flags`: allocate on the NUMA node named in `numa_node`.
pub const BPF_F_NUMA_NODE: u32 = 1 << 2;
/// `map_flags`: user space may only read.
pub const BPF_F_RDONLY: u32 = 1 << 3;
/// `map_flags`: user space may only write.
pub const BPF_F_WRONLY: u32 = 1 << 4;
/// `map_flags`: keep a build id and an offset for each frame of a call chain.
pub const BPF_F_STACK_BUILD_ID: u32 = 1 << 5;
/// `map_flags`: hash with seed 0.
pub const BPF_F_ZERO_SEED: u32 = 1 << 6;
/// `map_flags`: programs may only read.
pub const BPF_F_RDONLY_PROG: u32 = 1 << 7;
/// `map_flags`: programs may only write.
pub const BPF_F_WRONLY_PROG: u32 = 1 << 8;
/// `map_flags`: user space may map the values into its memory.
pub const BPF_F_MMAPABLE: u32 = 1 << 10;
/// `map_flags`: slots of an event array stay when who filled them goes.
pub const BPF_F_PRESERVE_ELEMS: u32 = 1 << 11;
/// `map_flags`: inner maps may differ in `max_entries`.
pub const BPF_F_INNER_MAP: u32 = 1 << 12;
/// The flags that restrict access.
pub const BPF_F_ACCESS_MASK: u32 = BPF_F_RDONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY | BPF_F_WRONLY_PROG;
