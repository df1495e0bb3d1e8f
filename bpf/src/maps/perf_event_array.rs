//! `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: rings that programs write records to, one a processor. A slot holds an event's number;
//! 0 is none. The rings belong to the events' owner.

use super::slots;
use super::{BPF_F_PRESERVE_ELEMS, Holds, MapKind, UserLookup};
use crate::errno::Errno;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Events,
    // perf_event_read, perf_event_output, perf_event_read_value, skb_output, xdp_output
    helpers: &[22, 25, 55, 111, 121],
    inner: true,
    ..slots::kind(MapType::PERF_EVENT_ARRAY, UserLookup::Refused(Errno::ENOTSUPP), |spec| {
        slots::check(spec, BPF_F_PRESERVE_ELEMS)
    })
};
