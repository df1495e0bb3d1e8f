//! The table of helpers that have a body. What they take and give stands in [`super::signature`].

use super::CostClass::*;
use super::{CostClass, HelperBody, HelperProto, bodies, calls, maps};

const fn row(id: u32, cost: CostClass, body: HelperBody) -> HelperProto {
    HelperProto { id, cost, body }
}

/// Helpers that have a body, by number.
pub static HELPERS: [HelperProto; 30] = [
    row(1, Map, bodies::map_lookup_elem),
    row(2, Map, bodies::map_update_elem),
    row(3, Map, bodies::map_delete_elem),
    row(5, Clock, bodies::ktime_get_ns),
    row(7, Random, bodies::get_prandom_u32),
    row(8, State, bodies::get_smp_processor_id),
    row(9, Copy, bodies::skb_store_bytes),
    row(10, Checksum, bodies::l3_csum_replace),
    row(11, Checksum, bodies::l4_csum_replace),
    row(12, Transfer, calls::tail_call),
    row(23, State, bodies::redirect),
    row(25, Copy, maps::perf_event_output),
    row(26, Copy, bodies::skb_load_bytes),
    row(28, Checksum, bodies::csum_diff),
    row(44, Resize, bodies::xdp_adjust_head),
    row(51, Map, maps::redirect_map),
    row(65, Resize, bodies::xdp_adjust_tail),
    row(87, Map, maps::map_push_elem),
    row(88, Map, maps::map_pop_elem),
    row(89, Map, maps::map_peek_elem),
    row(93, State, maps::spin_lock),
    row(94, State, maps::spin_lock),
    row(130, Map, maps::ringbuf_output),
    row(131, Map, maps::ringbuf_reserve),
    row(132, Map, maps::ringbuf_submit),
    row(133, Map, maps::ringbuf_discard),
    row(134, Map, maps::ringbuf_query),
    row(164, Transfer, calls::for_each_map_elem),
    row(181, Transfer, calls::bpf_loop),
    row(195, Map, maps::map_lookup_percpu_elem),
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
