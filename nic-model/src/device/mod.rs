//! The card as one component: what the world sees of it.

mod inner;
pub mod port;
pub(crate) mod server;

pub use port::{
    CardToHost, Fate, Frame, HostToCard, In, Inner, LossPlace, Out, PacketId, PortId, QueueId, RssHash, RxMeta,
};
