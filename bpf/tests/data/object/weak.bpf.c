/* cpu=v3: symbols from outside that need not be there, and the kernel's configuration. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

extern const int no_such_variable __ksym __weak;
extern const void no_such_symbol __ksym __weak;

extern bool CONFIG_YES __kconfig __weak;
extern enum libbpf_tristate CONFIG_MODULE __kconfig __weak;
extern char CONFIG_LETTER __kconfig __weak;
extern unsigned short CONFIG_SHORT __kconfig __weak;
extern long CONFIG_LONG __kconfig __weak;
extern int CONFIG_UNSET __kconfig __weak;
extern char CONFIG_TEXT[8] __kconfig __weak;
extern int CONFIG_NUMBER __kconfig;

SEC("xdp")
int settings(struct xdp_md *ctx)
{
	if (CONFIG_YES && CONFIG_MODULE == TRI_MODULE && CONFIG_LETTER == 'm')
		return CONFIG_SHORT + CONFIG_LONG + CONFIG_NUMBER;
	return CONFIG_UNSET + CONFIG_TEXT[2];
}

SEC("xdp")
int addresses(struct xdp_md *ctx)
{
	return !!&no_such_variable + 2 * !!&no_such_symbol;
}

char _license[] SEC("license") = "GPL";
