/*
 * Prints what libbpf makes of an object: maps, and the instructions of each program as they are given to the kernel.
 * Maps are called by name. Needs root.
 *
 *     cc -o from_libbpf from_libbpf.c -lbpf && ./from_libbpf data.bpf.o > data.libbpf.txt
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

/* What libbpf says goes to stderr. */
static int say(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

static const char *map_of(struct bpf_object *object, int fd)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
		if (bpf_map__fd(map) == fd)
			return bpf_map__name(map);
	return "?";
}

static void maps(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		size_t size = 0;
		const unsigned char *initial = bpf_map__is_internal(map) ? bpf_map__initial_value(map, &size) : NULL;

		printf("map %s type %d key %u value %u entries %u flags 0x%x", bpf_map__name(map), bpf_map__type(map),
		       bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__max_entries(map),
		       bpf_map__map_flags(map));
		if (initial)
			printf(" initial ");
		for (size_t i = 0; initial && i < size; i++)
			printf("%02x", initial[i]);
		printf("\n");
	}
}

static void program(struct bpf_object *object, struct bpf_program *program)
{
	const struct bpf_insn *insns = bpf_program__insns(program);

	printf("program %s section %s type %d\n", bpf_program__name(program), bpf_program__section_name(program),
	       bpf_program__type(program));
	for (size_t i = 0; i < bpf_program__insn_cnt(program); i++) {
		struct bpf_insn insn = insns[i];
		const char *map = "";

		if (insn.code == 0x18 && (insn.src_reg == 1 || insn.src_reg == 2)) {
			map = map_of(object, insn.imm);
			insn.imm = 0;
		}
		for (size_t b = 0; b < sizeof(insn); b++)
			printf("%02x", ((unsigned char *)&insn)[b]);
		printf("%s%s\n", *map ? " " : "", map);
	}
}

/* Loads the programs that can be loaded alone, each with nothing else. */
static void one_by_one(const char *path, struct bpf_object *list)
{
	struct bpf_program *name, *each, *wanted = NULL;

	bpf_object__for_each_program(name, list) {
		struct bpf_object *object = bpf_object__open(path);

		bpf_object__for_each_program(each, object) {
			bool is_wanted = !strcmp(bpf_program__name(each), bpf_program__name(name));

			bpf_program__set_autoload(each, is_wanted);
			if (is_wanted)
				wanted = each;
		}
		if (bpf_object__load(object))
			printf("program %s not loaded\n", bpf_program__name(name));
		else
			program(object, wanted);
		bpf_object__close(object);
	}
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct bpf_program *each;

	if (argc != 2)
		return 2;
	libbpf_set_print(say);
	object = bpf_object__open(argv[1]);
	if (!object)
		return 1;
	maps(object);
	if (bpf_object__load(object)) {
		one_by_one(argv[1], object);
	} else {
		bpf_object__for_each_program(each, object)
			program(object, each);
	}
	bpf_object__close(object);
	return 0;
}
