/* cpu=v1 target=bpfeb: the other byte order. */
#define SEC(name) __attribute__((section(name), used))
SEC("xdp") int pass(void *ctx) { return 2; }
