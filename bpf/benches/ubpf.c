/*
 * Runs a program on uBPF's interpreter, for benches/interp.rs.
 *
 *     cc -O2 -I UBPF/vm/inc ubpf.c UBPF/build/lib/libubpf.a -o ubpf-runner -lm
 *
 * Two lines of hexadecimal on standard input are the program and the packet. R1 then points to the addresses of the
 * packet's first byte and of its end, and to the packet behind them. Each further line is a number of runs, answered by
 * R0 and the nanoseconds that all of them took.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ubpf.h>

static size_t hex_line(uint8_t *out, size_t most)
{
    size_t len = 0;
    unsigned byte;

    while (len < most && scanf("%2x", &byte) == 1) {
        out[len++] = (uint8_t)byte;
        int next = getchar();
        if (next == '\n' || next == EOF)
            break;
        ungetc(next, stdin);
    }
    return len;
}

int main(void)
{
    static uint8_t code[1 << 16], packet[1 << 16];
    size_t code_len = hex_line(code, sizeof(code));
    size_t len = hex_line(packet, sizeof(packet));
    size_t memory_len = 16 + len;
    uint8_t *memory = malloc(memory_len);
    struct ubpf_vm *vm = ubpf_create();
    char *error = NULL;
    uint64_t runs, r0 = 0;

    if (!memory || !vm)
        return 2;
    uint64_t places[2] = {(uintptr_t)memory + 16, (uintptr_t)memory + 16 + len};
    memcpy(memory, places, 16);
    memcpy(memory + 16, packet, len);
    if (ubpf_load(vm, code, (uint32_t)code_len, &error) < 0) {
        fprintf(stderr, "%s\n", error ? error : "the program does not load");
        return 2;
    }
    while (scanf("%" SCNu64, &runs) == 1) {
        struct timespec start, end;

        clock_gettime(CLOCK_MONOTONIC, &start);
        for (uint64_t i = 0; i < runs; i++)
            if (ubpf_exec(vm, memory, memory_len, &r0) < 0)
                return 2;
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%" PRIu64 " %" PRIu64 "\n", r0,
               (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000u + (uint64_t)end.tv_nsec - (uint64_t)start.tv_nsec);
        fflush(stdout);
    }
    return 0;
}
