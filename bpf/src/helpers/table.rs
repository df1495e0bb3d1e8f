//! The table of helpers that have a body. What they take and give stands in [`super::signature`].

use super::CostClass::*;
use super::{
    CostClass, HelperBody, HelperProto, bodies, calls, dynptr, fib, maps, skb, skb_notes, sockets, state, syncookie,
    text, timer, tunnel, xdp,
};

const fn row(id: u32, cost: CostClass, body: HelperBody) -> HelperProto {
    HelperProto { id, cost, body }
}

/// Helpers that have a body, by number.
pub static HELPERS: [HelperProto; 110] = [
    row(1, Map, bodies::map_lookup_elem),
    row(2, Map, bodies::map_update_elem),
    row(3, Map, bodies::map_delete_elem),
    row(5, Clock, bodies::ktime_get_ns),
    row(6, Copy, text::trace_printk),
    row(7, Random, bodies::get_prandom_u32),
    row(8, State, bodies::get_smp_processor_id),
    row(9, Copy, bodies::skb_store_bytes),
    row(10, Checksum, bodies::l3_csum_replace),
    row(11, Checksum, bodies::l4_csum_replace),
    row(12, Transfer, calls::tail_call),
    row(13, Transmit, skb_notes::clone_redirect),
    row(14, State, state::of_idle_task),
    row(15, State, state::of_idle_task),
    row(16, State, state::get_current_comm),
    row(17, State, state::get_cgroup_classid),
    row(18, Resize, skb::vlan_push),
    row(19, Resize, skb::vlan_pop),
    row(20, State, tunnel::get_tunnel_key),
    row(21, State, tunnel::set_tunnel_key),
    row(23, State, bodies::redirect),
    row(24, State, skb_notes::get_route_realm),
    row(25, Copy, maps::perf_event_output),
    row(26, Copy, bodies::skb_load_bytes),
    row(28, Checksum, bodies::csum_diff),
    row(29, State, tunnel::get_tunnel_opt),
    row(30, State, tunnel::set_tunnel_opt),
    row(31, Resize, skb::change_proto),
    row(32, State, skb::change_type),
    row(33, State, skb_notes::skb_under_cgroup),
    row(34, Checksum, skb_notes::get_hash_recalc),
    row(37, State, skb_notes::current_task_under_cgroup),
    row(38, Resize, skb::change_tail),
    row(39, State, skb::pull_data),
    row(40, State, skb_notes::csum_update),
    row(41, State, skb_notes::set_hash_invalid),
    row(42, State, state::get_numa_node_id),
    row(43, Resize, skb::change_head),
    row(44, Resize, bodies::xdp_adjust_head),
    row(46, State, skb_notes::get_socket_cookie),
    row(47, State, skb_notes::get_socket_uid),
    row(48, State, skb_notes::set_hash),
    row(50, Resize, skb::adjust_room),
    row(51, Map, maps::redirect_map),
    row(54, Resize, xdp::adjust_meta),
    row(65, Resize, bodies::xdp_adjust_tail),
    row(68, Copy, skb_notes::skb_load_bytes_relative),
    row(69, Lookup, fib::fib_lookup),
    row(79, State, skb_notes::skb_cgroup_id),
    row(80, State, state::get_current_cgroup_id),
    row(83, State, skb_notes::skb_ancestor_cgroup_id),
    row(84, Lookup, sockets::sk_lookup_tcp),
    row(85, Lookup, sockets::sk_lookup_udp),
    row(86, State, sockets::sk_release),
    row(87, Map, maps::map_push_elem),
    row(88, Map, maps::map_pop_elem),
    row(89, Map, maps::map_peek_elem),
    row(93, State, maps::spin_lock),
    row(94, State, maps::spin_lock),
    row(95, State, sockets::sk_fullsock),
    row(96, State, sockets::tcp_sock),
    row(97, Checksum, skb_notes::ecn_set_ce),
    row(98, State, sockets::get_listener_sock),
    row(99, Lookup, sockets::sk_lookup_tcp),
    row(100, Checksum, syncookie::tcp_check_syncookie),
    row(105, Copy, text::strtol),
    row(106, Copy, text::strtoul),
    row(110, Checksum, syncookie::tcp_gen_syncookie),
    row(118, Clock, state::jiffies64),
    row(122, State, skb_notes::get_netns_cookie),
    row(124, State, sockets::sk_assign),
    row(125, Clock, state::ktime_get_boot_ns),
    row(130, Map, maps::ringbuf_output),
    row(131, Map, maps::ringbuf_reserve),
    row(132, Map, maps::ringbuf_submit),
    row(133, Map, maps::ringbuf_discard),
    row(134, Map, maps::ringbuf_query),
    row(135, State, skb_notes::csum_level),
    row(151, State, skb_notes::skb_cgroup_classid),
    row(152, State, fib::redirect_neigh),
    row(155, State, fib::redirect_peer),
    row(160, Clock, state::ktime_get_coarse_ns),
    row(163, State, fib::check_mtu),
    row(164, Transfer, calls::for_each_map_elem),
    row(165, Copy, text::snprintf),
    row(169, State, timer::init),
    row(170, State, timer::set_callback),
    row(171, State, timer::start),
    row(172, State, timer::cancel),
    row(177, Copy, text::trace_vprintk),
    row(181, Transfer, calls::bpf_loop),
    row(182, Copy, text::strncmp),
    row(188, State, xdp::get_buff_len),
    row(189, Copy, xdp::load_bytes),
    row(190, Copy, xdp::store_bytes),
    row(192, State, skb_notes::set_tstamp),
    row(195, Map, maps::map_lookup_percpu_elem),
    row(197, State, dynptr::from_mem),
    row(198, Map, dynptr::ringbuf_reserve),
    row(199, Map, dynptr::ringbuf_submit),
    row(200, Map, dynptr::ringbuf_discard),
    row(201, Copy, dynptr::read),
    row(202, Copy, dynptr::write),
    row(203, State, dynptr::data),
    row(204, Checksum, syncookie::raw_gen_v4),
    row(205, Checksum, syncookie::raw_gen_v6),
    row(206, Checksum, syncookie::raw_check_v4),
    row(207, Checksum, syncookie::raw_check_v6),
    row(208, Clock, state::ktime_get_tai_ns),
    row(209, Transfer, calls::user_ringbuf_drain),
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
