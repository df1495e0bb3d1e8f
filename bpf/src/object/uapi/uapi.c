/*
 * The types that programs may ask about on any kernel: the interface that Linux gives to programs, and headers on the
 * wire. What the public headers do not define stands here, by its name in the kernel.
 */
#include <linux/bpf.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_vlan.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/mpls.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>

/* IEEE 802.1Q */
struct vlan_hdr {
	__be16 h_vlan_TCI;
	__be16 h_vlan_encapsulated_proto;
};

struct vlan_ethhdr {
	struct {
		unsigned char h_dest[ETH_ALEN];
		unsigned char h_source[ETH_ALEN];
	};
	__be16 h_vlan_proto;
	__be16 h_vlan_TCI;
	__be16 h_vlan_encapsulated_proto;
};

/* RFC 8200 §4.5 */
struct frag_hdr {
	__u8 nexthdr;
	__u8 reserved;
	__be16 frag_off;
	__be32 identification;
};


/* RFC 2784 */
struct gre_base_hdr {
	__be16 flags;
	__be16 protocol;
};

/* RFC 7348 */
struct vxlanhdr {
	__be32 vx_flags;
	__be32 vx_vni;
};

/* RFC 9260 */
struct sctphdr {
	__be16 source;
	__be16 dest;
	__be32 vtag;
	__le32 checksum;
};

#define ALL(T)                                                                                                         \
	T(ethhdr) T(vlan_hdr) T(vlan_ethhdr) T(arphdr) T(iphdr) T(ipv6hdr) T(ipv6_opt_hdr) T(frag_hdr) T(tcphdr)       \
	T(udphdr) T(icmphdr) T(icmp6hdr) T(gre_base_hdr) T(vxlanhdr) T(sctphdr) T(mpls_label) T(in_addr) T(in6_addr)   \
	T(sockaddr_in) T(sockaddr_in6) T(xdp_md) T(__sk_buff) T(bpf_sock) T(bpf_tcp_sock) T(bpf_sock_tuple)            \
	T(bpf_fib_lookup) T(bpf_redir_neigh) T(bpf_tunnel_key) T(bpf_xfrm_state) T(bpf_spin_lock) T(bpf_timer)         \
	T(bpf_dynptr) T(bpf_devmap_val)                \
	T(bpf_cpumap_val) T(bpf_flow_keys) T(bpf_lpm_trie_key) T(bpf_perf_event_value) T(bpf_sock_ops)                 \
	T(sk_msg_md) T(sk_reuseport_md) T(bpf_pidns_info)

#define MEMBER(name) struct name a_##name;
struct bpf_all_types {
	ALL(MEMBER)
	enum xdp_action xdp_action;
	enum bpf_map_type bpf_map_type;
	enum bpf_prog_type bpf_prog_type;
	enum bpf_func_id bpf_func_id;
	enum bpf_ret_code bpf_ret_code;
	enum bpf_adj_room_mode bpf_adj_room_mode;
	enum bpf_check_mtu_ret bpf_check_mtu_ret;
	__be16 be16;
	__be32 be32;
	__be64 be64;
	__sum16 sum16;
	__wsum wsum;
	__s8 s8;
	__s16 s16;
	__s32 s32;
	__s64 s64;
	bool truth;
} bpf_all_types;
