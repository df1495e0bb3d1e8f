//! The table of helpers. Columns are those of the kernel's `struct bpf_func_proto`.

use super::ArgKind::{self, *};
use super::{CostClass, HelperBody, HelperProto, ProgTypes, ReturnKind, bodies, calls, maps};

const fn row(id: u32, types: ProgTypes, cost: CostClass, args: [ArgKind; 5], body: HelperBody) -> HelperProto {
    HelperProto {
        id,
        gpl_only: false,
        packet_args: false,
        changes_packet: false,
        args,
        ret: ReturnKind::Integer,
        types,
        cost,
        body,
    }
}

impl HelperProto {
    const fn gpl_only(mut self) -> Self {
        self.gpl_only = true;
        self
    }

    const fn packet_args(mut self) -> Self {
        self.packet_args = true;
        self
    }

    const fn changes_packet(mut self) -> Self {
        self.changes_packet = true;
        self
    }

    const fn returns(mut self, ret: ReturnKind) -> Self {
        self.ret = ret;
        self
    }
}

const NO_ARGS: [ArgKind; 5] = [None; 5];
const ALL: ProgTypes = ProgTypes::ALL;
const TC: ProgTypes = ProgTypes::TC;
const XDP: ProgTypes = ProgTypes::XDP;

/// Helpers that have a body, by number.
#[rustfmt::skip]
pub static HELPERS: [HelperProto; 30] = [
    row(1, ALL, CostClass::Map, [ConstMap, MapKey, None, None, None], bodies::map_lookup_elem)
        .packet_args().returns(ReturnKind::MapValueOrNull),
    row(2, ALL, CostClass::Map, [ConstMap, MapKey, MapValue, Anything, None], bodies::map_update_elem).packet_args(),
    row(3, ALL, CostClass::Map, [ConstMap, MapKey, None, None, None], bodies::map_delete_elem).packet_args(),
    row(5, ALL, CostClass::Clock, NO_ARGS, bodies::ktime_get_ns),
    row(7, ALL, CostClass::Random, NO_ARGS, bodies::get_prandom_u32),
    row(8, ALL, CostClass::State, NO_ARGS, bodies::get_smp_processor_id),
    row(9, TC, CostClass::Copy, [Context, Anything, Mem, Size, Anything], bodies::skb_store_bytes).changes_packet(),
    row(10, TC, CostClass::Checksum, [Context, Anything, Anything, Anything, Anything], bodies::l3_csum_replace)
        .changes_packet(),
    row(11, TC, CostClass::Checksum, [Context, Anything, Anything, Anything, Anything], bodies::l4_csum_replace)
        .changes_packet(),
    row(12, ALL, CostClass::Transfer, [Context, ConstMap, Anything, None, None], calls::tail_call)
        .returns(ReturnKind::Void),
    row(23, ProgTypes::XDP_AND_TC, CostClass::State, [Anything, Anything, None, None, None], bodies::redirect),
    row(25, ALL, CostClass::Copy, [Context, ConstMap, Anything, Mem, SizeOrZero], maps::perf_event_output).gpl_only(),
    row(26, ProgTypes::SKB, CostClass::Copy, [Context, Anything, UninitMem, Size, None], bodies::skb_load_bytes),
    row(28, ProgTypes::XDP_AND_TC, CostClass::Checksum, [MemOrNull, SizeOrZero, MemOrNull, SizeOrZero, Anything],
        bodies::csum_diff).packet_args(),
    row(44, XDP, CostClass::Resize, [Context, Anything, None, None, None], bodies::xdp_adjust_head).changes_packet(),
    row(51, XDP, CostClass::Map, [ConstMap, Anything, Anything, None, None], maps::redirect_map),
    row(65, XDP, CostClass::Resize, [Context, Anything, None, None, None], bodies::xdp_adjust_tail).changes_packet(),
    row(87, ALL, CostClass::Map, [ConstMap, MapValue, Anything, None, None], maps::map_push_elem).packet_args(),
    row(88, ALL, CostClass::Map, [ConstMap, UninitMapValue, None, None, None], maps::map_pop_elem),
    row(89, ALL, CostClass::Map, [ConstMap, UninitMapValue, None, None, None], maps::map_peek_elem),
    row(93, ALL, CostClass::State, [SpinLock, None, None, None, None], maps::spin_lock).returns(ReturnKind::Void),
    row(94, ALL, CostClass::State, [SpinLock, None, None, None, None], maps::spin_lock).returns(ReturnKind::Void),
    row(130, ALL, CostClass::Map, [ConstMap, Mem, SizeOrZero, Anything, None], maps::ringbuf_output),
    row(131, ALL, CostClass::Map, [ConstMap, ConstSize, Anything, None, None], maps::ringbuf_reserve)
        .returns(ReturnKind::RingRecordOrNull),
    row(132, ALL, CostClass::Map, [RingRecord, Anything, None, None, None], maps::ringbuf_submit)
        .returns(ReturnKind::Void),
    row(133, ALL, CostClass::Map, [RingRecord, Anything, None, None, None], maps::ringbuf_discard)
        .returns(ReturnKind::Void),
    row(134, ALL, CostClass::Map, [ConstMap, Anything, None, None, None], maps::ringbuf_query),
    row(164, ALL, CostClass::Transfer, [ConstMap, Callback, StackOrNull, Anything, None], calls::for_each_map_elem),
    row(181, ALL, CostClass::Transfer, [Anything, Callback, StackOrNull, Anything, None], calls::bpf_loop),
    row(195, ALL, CostClass::Map, [ConstMap, MapKey, Anything, None, None], maps::map_lookup_percpu_elem)
        .packet_args().returns(ReturnKind::MapValueOrNull),
];

/// The row of a number, if that helper has a body here.
pub fn proto(id: u32) -> Option<&'static HelperProto> {
    HELPERS.binary_search_by_key(&id, |row| row.id).ok().map(|at| &HELPERS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_ascend_and_have_names() {
        assert!(HELPERS.is_sorted_by(|a, b| a.id < b.id));
        for row in &HELPERS {
            assert!(row.name().starts_with("bpf_"));
            assert_eq!(proto(row.id).map(|found| found.id), Some(row.id));
        }
        assert!(proto(4).is_none());
    }
}
