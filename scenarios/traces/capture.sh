#!/bin/sh
# Makes a trace of real traffic of the Linux stack: clients and a server in network namespaces of their own, joined by
# a veth pair, captured where the frames arrive at the server. Needs root. Argument: the file to write (default:
# mixed.pcap beside this script). README.md says what is in it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/mixed.pcap}
fail() { echo "capture.sh: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "must be run as root"
for tool in ip tc ethtool sysctl tcpdump python3 clang-19; do
	command -v "$tool" >/dev/null || fail "$tool not found (Debian: iproute2, ethtool, procps, tcpdump, python3, clang-19)"
done

client=trace-client-$$
server=trace-server-$$
work=$(mktemp -d)
pids=
cleanup() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	ip netns del "$client" 2>/dev/null || true
	ip netns del "$server" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The program that sets and removes VLAN tags.
for header in /usr/include/asm/types.h /usr/include/*/asm/types.h; do
	[ ! -f "$header" ] || { asm=${header%/asm/types.h}; break; }
done
clang-19 -target bpf -O2 -g -idirafter "${asm:-/usr/include}" -c "$here/tag.bpf.c" -o "$work/tag.o" ||
	fail "tag.bpf.c does not compile (Debian: linux-libc-dev, libbpf-dev)"

ip netns add "$client"
ip netns add "$server"
ip link add c0 netns "$client" type veth peer name s0 netns "$server"
# MAC addresses of the range for documentation (RFC 7042, section 2.1.2).
ip -n "$client" link set c0 address 00:00:5e:00:53:01
ip -n "$server" link set s0 address 00:00:5e:00:53:02
# Two tags more than the clients' MTU must still be let in.
ip -n "$server" link set s0 mtu 1508

for side in "$client c0" "$server s0"; do
	# shellcheck disable=SC2086
	set -- $side
	for feature in rx tx sg tso gso gro rxvlan txvlan tx-vlan-stag-hw-insert rx-vlan-stag-hw-parse; do
		ip netns exec "$1" ethtool -K "$2" "$feature" off >/dev/null 2>&1 || true
	done
	for feature in rx-checksumming tx-checksumming tcp-segmentation-offload generic-segmentation-offload \
		generic-receive-offload rx-vlan-offload tx-vlan-offload tx-vlan-stag-hw-insert; do
		ip netns exec "$1" ethtool -k "$2" | grep -q "^$feature: off" || fail "cannot turn off $feature"
	done
	for conf in all default "$2"; do
		ip netns exec "$1" sysctl -qw "net.ipv4.conf.$conf.rp_filter=0"
	done
	ip -n "$1" link set lo up
	ip -n "$1" link set "$2" up
	ip netns exec "$1" tc qdisc add dev "$2" clsact
done
ip netns exec "$client" tc filter add dev c0 egress bpf direct-action obj "$work/tag.o" sec push
ip netns exec "$server" tc filter add dev s0 ingress bpf direct-action obj "$work/tag.o" sec pop

python3 "$here/traffic.py" addresses client | ip -n "$client" -batch -
python3 "$here/traffic.py" addresses server | ip -n "$server" -batch -

ip netns exec "$server" tcpdump -i s0 -Q in --nano -s 0 -B 32768 -Z root -w "$work/raw.pcap" 2>"$work/tcpdump.log" &
dump=$!
pids="$pids $dump"
ip netns exec "$server" python3 "$here/traffic.py" serve >"$work/ready" &
pids="$pids $!"
for _ in $(seq 100); do
	grep -q listening "$work/tcpdump.log" && grep -q ready "$work/ready" && break
	sleep 0.1
done
grep -q ready "$work/ready" || fail "the server does not start"

ip netns exec "$client" python3 "$here/traffic.py" ask || fail "the clients failed"
sleep 1
kill -INT "$dump"
wait "$dump" || fail "tcpdump: $(cat "$work/tcpdump.log")"
grep -q '^0 packets dropped by kernel' "$work/tcpdump.log" || fail "packets were lost: $(cat "$work/tcpdump.log")"
python3 "$here/traffic.py" finish "$work/raw.pcap" "$out"
