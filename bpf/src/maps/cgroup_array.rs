//! `BPF_MAP_TYPE_CGROUP_ARRAY`: control groups, by index. A slot holds a group's number; 0 is none.

use super::slots;
use super::{Holds, MapKind, UserLookup};
use crate::errno::Errno;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Cgroups,
    // skb_under_cgroup, current_task_under_cgroup
    helpers: &[33, 37],
    inner: true,
    ..slots::kind(MapType::CGROUP_ARRAY, UserLookup::Refused(Errno::ENOTSUPP), |spec| slots::check(spec, 0))
};
