#!/bin/sh
# Writes expressions.txt beside this file: for each expression what tcpdump -ddd and tcpdump -d print of it.
set -eu
cd "$(dirname "$0")"
{
	echo "# expression, tcpdump -ddd, tcpdump -d; by $(tcpdump --version 2>&1 | sed -n '2s/ (.*//p')"
	while IFS= read -r expression; do
		echo "= $expression"
		tcpdump -ddd -y EN10MB "$expression" 2>/dev/null
		tcpdump -d -y EN10MB "$expression" 2>/dev/null
	done <<-'END'
		ip
		ip6
		arp
		tcp
		udp port 53
		ip and tcp port 80 and greater 100
		host 10.0.0.1
		net 192.168.0.0/16 and not icmp
		src net 10.0.0.0/8 and dst port 443
		ip6 host 2001:db8::1
		ether host 02:00:00:00:00:01
		ether broadcast or ether multicast
		tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
		tcp portrange 1000-2000
		ip[8] < 5
		ip[6:2] & 0x1fff = 0
		vlan 5 and ip6
		vlan and udp
		pppoes and ip
		mpls 100
		less 64
		icmp[icmptype] = icmp-echo
		ip proto 47 or ip proto 50
		ip[2:2] / 4 % 3 - 1 * 2 ^ 3 | 7 >> ip[4] << 2 > len or -ip[3] < 3
		ether[0] & 1 = 0 and len <= 1500 or ip[len - 20] = 0
		udp[4:2] + 14 < len and ip[0] & 0xf > 5
		ip[9] / ip[8] = 2
		(tcp or udp) and (port 22 or port 80 or port 443 or portrange 8000-9000) and not host 127.0.0.1
	END
} >expressions.txt
