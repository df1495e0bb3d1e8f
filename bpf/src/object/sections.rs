//! What the name of a code section says about the type of its programs.

use crate::program::{Attach, ProgType};

/// What is known about a program's type before the user is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeGuess {
    /// The section's name, or the type of the context, says it.
    Known(ProgType),
    /// The section's name says a type that Linux has and this crate has not.
    Unsupported(&'static str),
    /// The section may hold programs of several types.
    Ambiguous,
}

/// How sure a section's name makes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It stands for that type with every loader.
    Surely(TypeGuess),
    /// Only programs of that type are known to be called so: anything that says otherwise is believed instead.
    Likely(ProgType),
    /// Nothing.
    Nothing,
}

/// What a row of the table says.
#[derive(Debug, Clone, Copy)]
enum Row {
    Is(ProgType),
    Likely(ProgType),
    Unsupported(&'static str),
}

use Row::{Is, Likely, Unsupported};

/// How a name of the table is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// The name itself, or the name and `/...`, `.…`, `_…`, `-…` or a digit: what libbpf, its forerunners and iproute2
    /// made of it.
    Word,
    /// Anything may follow.
    Any,
}

/// Section names by prefix; the longest that fits decides.
///
/// Sources: libbpf's `SEC()` names; iproute2's `classifier`, `action` and, for `ip link set xdp`, `prog`; the `filter`,
/// `ingress`, `egress`, `from-…` and `to-…` of socket filters and tc scripts in the field.
const TABLE: &[(&str, Tail, Row)] = &[
    ("xdp", Tail::Word, Is(ProgType::Xdp)),
    ("tc", Tail::Word, Is(ProgType::SchedCls)),
    ("tcx", Tail::Word, Is(ProgType::SchedCls)),
    ("netkit", Tail::Word, Is(ProgType::SchedCls)),
    ("classifier", Tail::Word, Is(ProgType::SchedCls)),
    ("cls", Tail::Word, Is(ProgType::SchedCls)),
    ("ingress", Tail::Word, Is(ProgType::SchedCls)),
    ("egress", Tail::Word, Is(ProgType::SchedCls)),
    ("action", Tail::Word, Is(ProgType::SchedAct)),
    ("act", Tail::Word, Is(ProgType::SchedAct)),
    ("socket", Tail::Word, Is(ProgType::SocketFilter)),
    ("filter", Tail::Word, Is(ProgType::SocketFilter)),
    ("sched_cls", Tail::Word, Is(ProgType::SchedCls)),
    ("sched_act", Tail::Word, Is(ProgType::SchedAct)),
    ("prog", Tail::Word, Likely(ProgType::Xdp)),
    ("from", Tail::Word, Likely(ProgType::SchedCls)),
    ("to", Tail::Word, Likely(ProgType::SchedCls)),
    ("cgroup", Tail::Any, Unsupported("cgroup")),
    ("fentry", Tail::Any, Unsupported("tracing")),
    ("fexit", Tail::Any, Unsupported("tracing")),
    ("fmod_ret", Tail::Any, Unsupported("tracing")),
    ("freplace", Tail::Any, Unsupported("ext")),
    ("iter", Tail::Word, Unsupported("tracing")),
    ("kprobe", Tail::Any, Unsupported("kprobe")),
    ("kretprobe", Tail::Any, Unsupported("kprobe")),
    ("kretsyscall", Tail::Any, Unsupported("kprobe")),
    ("ksyscall", Tail::Any, Unsupported("kprobe")),
    ("lirc_mode2", Tail::Word, Unsupported("lirc_mode2")),
    ("lsm", Tail::Any, Unsupported("lsm")),
    ("lwt_in", Tail::Word, Unsupported("lwt_in")),
    ("lwt_out", Tail::Word, Unsupported("lwt_out")),
    ("lwt_seg6local", Tail::Word, Unsupported("lwt_seg6local")),
    ("lwt_xmit", Tail::Word, Unsupported("lwt_xmit")),
    ("netfilter", Tail::Word, Unsupported("netfilter")),
    ("flow_dissector", Tail::Word, Unsupported("flow_dissector")),
    ("perf_event", Tail::Word, Unsupported("perf_event")),
    ("raw_tp", Tail::Any, Unsupported("raw_tracepoint")),
    ("raw_tracepoint", Tail::Any, Unsupported("raw_tracepoint")),
    ("sk_lookup", Tail::Word, Unsupported("sk_lookup")),
    ("sk_msg", Tail::Word, Unsupported("sk_msg")),
    ("sk_reuseport", Tail::Word, Unsupported("sk_reuseport")),
    ("sk_skb", Tail::Word, Unsupported("sk_skb")),
    ("sockops", Tail::Word, Unsupported("sock_ops")),
    ("struct_ops", Tail::Any, Unsupported("struct_ops")),
    ("syscall", Tail::Word, Unsupported("syscall")),
    ("tp", Tail::Word, Unsupported("tracepoint")),
    ("tp_btf", Tail::Any, Unsupported("tracing")),
    ("tracepoint", Tail::Any, Unsupported("tracepoint")),
    ("uprobe", Tail::Any, Unsupported("kprobe")),
    ("uretprobe", Tail::Any, Unsupported("kprobe")),
    ("usdt", Tail::Any, Unsupported("kprobe")),
];

/// A leading ? keeps libbpf from loading a program unasked.
fn plain(section: &str) -> &str {
    section.strip_prefix('?').unwrap_or(section)
}

/// What a section's name says.
pub(super) fn said(section: &str) -> Said {
    let name = plain(section);
    let fits = |(prefix, tail, _): &&(&str, Tail, Row)| {
        name.strip_prefix(prefix).is_some_and(|rest| match tail {
            Tail::Any => true,
            Tail::Word => rest.is_empty() || rest.starts_with(|c: char| "/._-".contains(c) || c.is_ascii_digit()),
        })
    };
    match TABLE.iter().filter(fits).max_by_key(|(prefix, ..)| prefix.len()).map(|row| row.2) {
        Some(Is(ty)) => Said::Surely(TypeGuess::Known(ty)),
        Some(Unsupported(name)) => Said::Surely(TypeGuess::Unsupported(name)),
        Some(Likely(ty)) => Said::Likely(ty),
        None if tail_call_slot(name).is_some() => Said::Likely(ProgType::SchedCls),
        None => Said::Nothing,
    }
}

/// Map and index of a section that holds a program for a slot of a program array, as iproute2 reads `2/1`: the map with
/// that `id` in its definition, and the slot. Both are decimal, or hexadecimal after `0x`.
pub(super) fn tail_call_slot(section: &str) -> Option<(u32, u32)> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    let (map, slot) = section.split_once('/')?;
    Some((number(map)?, number(slot)?))
}

/// What else libbpf reads from the name of an XDP section: where the program attaches, and whether it takes packets in
/// fragments.
pub(super) fn xdp_attach(section: &str) -> (Attach, bool) {
    let name = plain(section);
    let frags = name == "xdp.frags" || name.starts_with("xdp.frags/");
    let attach = match name.split_once('/') {
        Some(("xdp" | "xdp.frags", "devmap")) => Attach::XdpDevmap,
        Some(("xdp" | "xdp.frags", "cpumap")) => Attach::XdpCpumap,
        _ => Attach::Hook,
    };
    (attach, frags)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names met in public projects.
    #[test]
    fn names_from_the_field() {
        let known = |ty| Said::Surely(TypeGuess::Known(ty));
        for name in ["xdp", "xdp/foo", "xdp.frags", "xdp.frags/devmap", "xdp_devmap", "xdp_firewall", "xdp1", "?xdp"] {
            assert_eq!(said(name), known(ProgType::Xdp), "{name}");
        }
        for name in
            ["tc", "tc/ingress", "tcx/egress", "tc_ingress", "classifier", "cls_main", "classifier/egress", "ingress"]
        {
            assert_eq!(said(name), known(ProgType::SchedCls), "{name}");
        }
        assert_eq!(said("action"), known(ProgType::SchedAct));
        assert_eq!(said("socket1"), known(ProgType::SocketFilter));
        assert_eq!(said("filter"), known(ProgType::SocketFilter));
        for name in ["tcp_filter", "xdping", "actual", "maps", "total", "program", "loadbalancer", "2/x", "/1"] {
            assert_eq!(said(name), Said::Nothing, "{name}");
        }
        assert_eq!(said("prog"), Said::Likely(ProgType::Xdp));
        for name in ["2/1", "1/0x1010", "from-netdev", "from-container", "to-overlay"] {
            assert_eq!(said(name), Said::Likely(ProgType::SchedCls), "{name}");
        }
        let unsupported = |name| Said::Surely(TypeGuess::Unsupported(name));
        assert_eq!(said("kprobe/tcp_sendmsg"), unsupported("kprobe"));
        assert_eq!(said("cgroup_skb/egress"), unsupported("cgroup"));
        assert_eq!(said("tp/syscalls/sys_enter_open"), unsupported("tracepoint"));
        assert_eq!(said("tp_btf/sched_switch"), unsupported("tracing"));
        assert_eq!(said("freplace/xdp_dispatcher"), unsupported("ext"));
    }

    #[test]
    fn sections_of_tail_calls_name_map_and_slot() {
        assert_eq!(tail_call_slot("2/1"), Some((2, 1)));
        assert_eq!(tail_call_slot("1/0x1010"), Some((1, 0x1010)));
        assert_eq!(tail_call_slot("xdp/1"), None);
        assert_eq!(tail_call_slot("1/+2"), None);
    }

    #[test]
    fn xdp_sections_say_where_they_attach() {
        assert_eq!(xdp_attach("xdp"), (Attach::Hook, false));
        assert_eq!(xdp_attach("xdp/devmap"), (Attach::XdpDevmap, false));
        assert_eq!(xdp_attach("xdp.frags/cpumap"), (Attach::XdpCpumap, true));
        assert_eq!(xdp_attach("xdp_devmap"), (Attach::Hook, false));
    }
}
