//! The host: PCIe side, receive rings, driver and NAPI, XDP, skb, tc ingress, stack.

pub mod cache;
pub mod x86;
