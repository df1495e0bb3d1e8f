#!/bin/sh
# Makes a trace of both sides of the talk of clients and a server: two network namespaces, and a wire of a millisecond
# between them, in whose middle the frames are seen. Needs root. Argument: the directory for clients.pcap and servers.pcap
# (default: talk beside this script). README.md says what is in them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/talk}
fail() { echo "talk.sh: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "must be run as root"
for tool in ip ethtool sysctl python3; do
	command -v "$tool" >/dev/null || fail "$tool not found (Debian: iproute2, ethtool, procps, python3)"
done

client=talk-client-$$
server=talk-server-$$
wire=talk-wire-$$
work=$(mktemp -d)
pids=
cleanup() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for name in "$client" "$server" "$wire"; do ip netns del "$name" 2>/dev/null || true; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

for name in "$client" "$server" "$wire"; do ip netns add "$name"; done
ip link add c0 netns "$client" type veth peer name w0 netns "$wire"
ip link add s0 netns "$server" type veth peer name w1 netns "$wire"
ip netns exec "$wire" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
# MAC addresses of the range for documentation (RFC 7042, section 2.1.2).
ip -n "$client" link set c0 address 00:00:5e:00:53:01
ip -n "$server" link set s0 address 00:00:5e:00:53:02
for side in "$client c0" "$server s0" "$wire w0" "$wire w1"; do
	# shellcheck disable=SC2086
	set -- $side
	for feature in rx tx sg tso gso gro; do
		ip netns exec "$1" ethtool -K "$2" "$feature" off >/dev/null 2>&1 || true
	done
	for conf in all default "$2"; do
		ip netns exec "$1" sysctl -qw "net.ipv4.conf.$conf.rp_filter=0"
	done
	ip -n "$1" link set lo up
	ip -n "$1" link set "$2" up
done
python3 "$here/traffic.py" addresses client | ip -n "$client" -batch -
python3 "$here/traffic.py" addresses server | ip -n "$server" -batch -

ip netns exec "$server" python3 "$here/traffic.py" serve >"$work/ready" &
pids="$pids $!"
ip netns exec "$wire" python3 "$here/traffic.py" relay w0 w1 "$work" >"$work/relay" &
relay=$!
pids="$pids $relay"
for _ in $(seq 100); do
	grep -q relaying "$work/relay" && grep -q ready "$work/ready" && break
	sleep 0.1
done
grep -q relaying "$work/relay" && grep -q ready "$work/ready" || fail "the server or the wire does not start"

ip netns exec "$client" python3 "$here/traffic.py" ask 6 || fail "the clients failed"
sleep 1
kill -INT "$relay"
wait "$relay" || fail "the wire: $(cat "$work/relay")"
mkdir -p "$out"
cp "$work/clients.pcap" "$work/servers.pcap" "$out/"
cat "$work/relay"
