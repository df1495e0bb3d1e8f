//! The host: receive rings, driver and NAPI, XDP, skb, tc ingress, stack.

mod behind;
mod cache;
mod component;
pub mod control;
mod costs;
mod env;
mod hooks;
mod pricer;
mod profile;
mod redirect;
pub mod user;
mod vlan;
pub mod x86;

pub use behind::Handed;
pub use cache::{Cache, LINE, Level, LevelShape};
pub use component::{Behind, COPIES, Fate, Host, In, Inner, Out};
pub use costs::{HelperCosts, HostCosts};
pub use hooks::{
    Attachment, FIRST_IFINDEX, HookCounters, Hooks, Parcel, Place, Processed, Sent, Surroundings, Verdict,
};
pub use profile::{ByteOrder, HostProfile, NAMES, builtin_value, from_value};
pub use redirect::network_of_ports;
