//! Where on the card each helper of this project is carried out, or why it is not.
//!
//! What a routine of the firmware needs is the packet, the context's fields, maps, the clock, and the routes and neighbours
//! that the host has offloaded.

use bpf::helpers::HELPERS;

use crate::action::MapHelper;
use crate::image::Fault;

/// How a card that has every helper carries one out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnCard {
    /// By the map's own door, or by a routine where its operands are not for that.
    MapDoor(MapHelper),
    /// In line: a local CSR.
    Random,
    /// In line, or by a routine where metadata or an skb moves along.
    AdjustHead,
    /// In line.
    AdjustTail,
    /// By a routine, and what is then otherwise than on the host.
    Routine(Option<Fault>),
    /// Not at all: the reason.
    Not(&'static str),
}

use OnCard::{AdjustHead, AdjustTail, MapDoor, Not, Random, Routine};

const SOCKETS: &str = "sockets are the host's";
const GROUPS: &str = "control groups are the host's";
const CALLBACKS: &str = "the firmware's routines do not call back into the program";
const DYNAMIC: &str = "the firmware's routines know no dynamic pointers";
const TIMERS: &str = "the card has no timers that call programs";
const COPIES: &str = "the card does not send copies of a packet that goes on";
const STACK: &str = "what it tells or sets is the host's stack's";
const TAGS: &str = "the card keeps tags in the packet, not beside it";
const TUNNELS: &str = "the card keeps no options of tunnels";
/// What stands between lock and unlock is steps of its own here, and contexts take turns at them.
const LOCKS: &str = "a lock would protect nothing from the card's other contexts";

const fn row(name: &'static str, how: OnCard) -> (&'static str, OnCard) {
    (name, how)
}

/// A row for every helper with a body, in their order.
static ROWS: [(&str, OnCard); HELPERS.len()] = [
    row("map_lookup_elem", MapDoor(MapHelper::Lookup)),
    row("map_update_elem", MapDoor(MapHelper::Update)),
    row("map_delete_elem", MapDoor(MapHelper::Delete)),
    row("ktime_get_ns", Routine(None)),
    row("trace_printk", Routine(None)),
    row("get_prandom_u32", Random),
    row("get_smp_processor_id", Routine(None)),
    row("skb_store_bytes", Routine(None)),
    row("l3_csum_replace", Routine(None)),
    row("l4_csum_replace", Routine(None)),
    row("tail_call", Routine(None)),
    row("clone_redirect", Not(COPIES)),
    row("get_current_pid_tgid", Routine(None)),
    row("get_current_uid_gid", Routine(None)),
    row("get_current_comm", Routine(None)),
    row("get_cgroup_classid", Not(GROUPS)),
    row("skb_vlan_push", Not(TAGS)),
    row("skb_vlan_pop", Not(TAGS)),
    row("skb_get_tunnel_key", Routine(None)),
    row("skb_set_tunnel_key", Routine(Some(Fault::StaysOnCard))),
    row("redirect", Routine(None)),
    row("get_route_realm", Not(STACK)),
    row("perf_event_output", Routine(None)),
    row("skb_load_bytes", Routine(None)),
    row("csum_diff", Routine(None)),
    row("skb_get_tunnel_opt", Routine(None)),
    row("skb_set_tunnel_opt", Not(TUNNELS)),
    row("skb_change_proto", Routine(Some(Fault::HeadRoom))),
    row("skb_change_type", Routine(Some(Fault::StaysOnCard))),
    row("skb_under_cgroup", Not(GROUPS)),
    row("get_hash_recalc", Routine(None)),
    row("current_task_under_cgroup", Not(GROUPS)),
    row("skb_change_tail", Routine(Some(Fault::HeadRoom))),
    row("skb_pull_data", Routine(None)),
    row("csum_update", Routine(None)),
    row("set_hash_invalid", Routine(Some(Fault::StaysOnCard))),
    row("get_numa_node_id", Routine(None)),
    row("skb_change_head", Routine(Some(Fault::HeadRoom))),
    row("xdp_adjust_head", AdjustHead),
    row("get_socket_cookie", Not(SOCKETS)),
    row("get_socket_uid", Not(SOCKETS)),
    row("set_hash", Routine(Some(Fault::StaysOnCard))),
    row("skb_adjust_room", Routine(Some(Fault::HeadRoom))),
    row("redirect_map", Routine(None)),
    row("xdp_adjust_meta", Routine(Some(Fault::StaysOnCard))),
    row("xdp_adjust_tail", AdjustTail),
    row("skb_load_bytes_relative", Routine(None)),
    row("fib_lookup", Routine(None)),
    row("skb_cgroup_id", Not(GROUPS)),
    row("get_current_cgroup_id", Not(GROUPS)),
    row("skb_ancestor_cgroup_id", Not(GROUPS)),
    row("sk_lookup_tcp", Not(SOCKETS)),
    row("sk_lookup_udp", Not(SOCKETS)),
    row("sk_release", Not(SOCKETS)),
    row("map_push_elem", Routine(None)),
    row("map_pop_elem", Routine(None)),
    row("map_peek_elem", Routine(None)),
    row("spin_lock", Not(LOCKS)),
    row("spin_unlock", Not(LOCKS)),
    row("sk_fullsock", Not(SOCKETS)),
    row("tcp_sock", Not(SOCKETS)),
    row("skb_ecn_set_ce", Routine(None)),
    row("get_listener_sock", Not(SOCKETS)),
    row("skc_lookup_tcp", Not(SOCKETS)),
    row("tcp_check_syncookie", Not(SOCKETS)),
    row("strtol", Routine(None)),
    row("strtoul", Routine(None)),
    row("tcp_gen_syncookie", Not(SOCKETS)),
    row("jiffies64", Routine(None)),
    row("get_netns_cookie", Not(SOCKETS)),
    row("sk_assign", Not(SOCKETS)),
    row("ktime_get_boot_ns", Routine(None)),
    row("ringbuf_output", Routine(None)),
    row("ringbuf_reserve", Routine(None)),
    row("ringbuf_submit", Routine(None)),
    row("ringbuf_discard", Routine(None)),
    row("ringbuf_query", Routine(None)),
    row("csum_level", Routine(None)),
    row("skb_cgroup_classid", Not(GROUPS)),
    row("redirect_neigh", Routine(None)),
    row("redirect_peer", Routine(None)),
    row("ktime_get_coarse_ns", Routine(None)),
    row("check_mtu", Routine(None)),
    row("for_each_map_elem", Not(CALLBACKS)),
    row("snprintf", Routine(None)),
    row("timer_init", Not(TIMERS)),
    row("timer_set_callback", Not(TIMERS)),
    row("timer_start", Not(TIMERS)),
    row("timer_cancel", Not(TIMERS)),
    row("trace_vprintk", Routine(None)),
    row("loop", Not(CALLBACKS)),
    row("strncmp", Routine(None)),
    row("xdp_get_buff_len", Routine(None)),
    row("xdp_load_bytes", Routine(None)),
    row("xdp_store_bytes", Routine(None)),
    row("skb_set_tstamp", Not(STACK)),
    row("map_lookup_percpu_elem", Routine(None)),
    row("dynptr_from_mem", Not(DYNAMIC)),
    row("ringbuf_reserve_dynptr", Not(DYNAMIC)),
    row("ringbuf_submit_dynptr", Not(DYNAMIC)),
    row("ringbuf_discard_dynptr", Not(DYNAMIC)),
    row("dynptr_read", Not(DYNAMIC)),
    row("dynptr_write", Not(DYNAMIC)),
    row("dynptr_data", Not(DYNAMIC)),
    row("tcp_raw_gen_syncookie_ipv4", Routine(None)),
    row("tcp_raw_gen_syncookie_ipv6", Routine(None)),
    row("tcp_raw_check_syncookie_ipv4", Routine(None)),
    row("tcp_raw_check_syncookie_ipv6", Routine(None)),
    row("ktime_get_tai_ns", Routine(None)),
    row("user_ringbuf_drain", Not(CALLBACKS)),
];

/// How the card carries a helper out; nothing for what has no body in this project.
pub(super) fn on_card(id: u32) -> Option<OnCard> {
    HELPERS.binary_search_by_key(&id, |row| row.id).ok().map(|at| ROWS[at].1)
}

#[cfg(test)]
mod tests {
    use bpf::helpers;

    #[test]
    fn rows_name_the_helpers_in_their_order() {
        let names = super::ROWS.iter().map(|(name, _)| helpers::number(name));
        assert!(names.eq(helpers::HELPERS.iter().map(|row| Some(row.id))));
    }
}
