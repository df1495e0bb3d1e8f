//! What the name of a code section says about the type of its programs.

use crate::program::ProgType;

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

use TypeGuess::{Known, Unsupported};

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
/// Sources: libbpf's `SEC()` names; iproute2's `classifier` and `action`; the `filter`, `ingress` and `egress` of
/// socket filters and tc scripts in the field.
const TABLE: &[(&str, Tail, TypeGuess)] = &[
    ("xdp", Tail::Word, Known(ProgType::Xdp)),
    ("tc", Tail::Word, Known(ProgType::SchedCls)),
    ("tcx", Tail::Word, Known(ProgType::SchedCls)),
    ("netkit", Tail::Word, Known(ProgType::SchedCls)),
    ("classifier", Tail::Word, Known(ProgType::SchedCls)),
    ("cls", Tail::Word, Known(ProgType::SchedCls)),
    ("ingress", Tail::Word, Known(ProgType::SchedCls)),
    ("egress", Tail::Word, Known(ProgType::SchedCls)),
    ("action", Tail::Word, Known(ProgType::SchedAct)),
    ("act", Tail::Word, Known(ProgType::SchedAct)),
    ("socket", Tail::Word, Known(ProgType::SocketFilter)),
    ("filter", Tail::Word, Known(ProgType::SocketFilter)),
    ("cgroup", Tail::Any, Unsupported("cgroup")),
    ("fentry", Tail::Any, Unsupported("tracing")),
    ("fexit", Tail::Any, Unsupported("tracing")),
    ("fmod_ret", Tail::Any, Unsupported("tracing")),
    ("freplace", Tail::Any, Unsupported("ext")),
    ("iter", Tail::Word, Unsupported("tracing")),
    ("kprobe", Tail::Any, Unsupported("kprobe")),
    ("kretprobe", Tail::Any, Unsupported("kprobe")),
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

/// What a section's name says.
pub(super) fn guess(section: &str) -> TypeGuess {
    // A leading ? keeps libbpf from loading a program unasked.
    let name = section.strip_prefix('?').unwrap_or(section);
    let fits = |(prefix, tail, _): &&(&str, Tail, TypeGuess)| {
        name.strip_prefix(prefix).is_some_and(|rest| match tail {
            Tail::Any => true,
            Tail::Word => rest.is_empty() || rest.starts_with(|c: char| "/._-".contains(c) || c.is_ascii_digit()),
        })
    };
    TABLE.iter().filter(fits).max_by_key(|(prefix, ..)| prefix.len()).map_or(TypeGuess::Ambiguous, |row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names met in public projects.
    #[test]
    fn names_from_the_field() {
        let xdp = Known(ProgType::Xdp);
        for name in ["xdp", "xdp/foo", "xdp.frags", "xdp.frags/devmap", "xdp_devmap", "xdp_firewall", "xdp1", "?xdp"] {
            assert_eq!(guess(name), xdp, "{name}");
        }
        for name in
            ["tc", "tc/ingress", "tcx/egress", "tc_ingress", "classifier", "cls_main", "classifier/egress", "ingress"]
        {
            assert_eq!(guess(name), Known(ProgType::SchedCls), "{name}");
        }
        assert_eq!(guess("action"), Known(ProgType::SchedAct));
        assert_eq!(guess("socket1"), Known(ProgType::SocketFilter));
        assert_eq!(guess("filter"), Known(ProgType::SocketFilter));
        for name in ["prog", "2/1", "from-netdev", "from-container", "tcp_filter", "xdping", "actual", "maps"] {
            assert_eq!(guess(name), TypeGuess::Ambiguous, "{name}");
        }
        assert_eq!(guess("kprobe/tcp_sendmsg"), Unsupported("kprobe"));
        assert_eq!(guess("cgroup_skb/egress"), Unsupported("cgroup"));
        assert_eq!(guess("tp/syscalls/sys_enter_open"), Unsupported("tracepoint"));
        assert_eq!(guess("tp_btf/sched_switch"), Unsupported("tracing"));
    }
}
