//! What each room of `bpf` promises, held against specifications, other tools and itself.

#[path = "../support/mod.rs"]
mod support;

mod cbpf_text;
mod facts_known;
mod facts_sound;
mod fuzz_corpora;
mod insn_asm;
mod insn_legality;
mod insn_roundtrip;
mod insn_text;
mod interp_big_endian;
mod interp_machine;
mod interp_wild;
mod maps_model;
mod object_aya;
mod object_btf;
mod object_features;
mod object_libbpf;
mod object_listing;
mod object_refusals;
mod skb_sums;
mod syscall_loader;
mod syscall_offload;
mod verifier_driver;
mod verifier_explored;
mod verifier_hostile;
mod verifier_objects;
mod verifier_refusals;
mod verifier_wild;
