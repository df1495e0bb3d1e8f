/*
 * Prints what libbpf makes of an object: maps, and the instructions of each program as they are given to the kernel.
 * Maps are called by name. Needs root.
 *
 *     cc -o from_libbpf from_libbpf.c -lbpf && ./from_libbpf data.bpf.o > data.libbpf.txt
 *
 * A second argument is text of a kernel configuration that goes before the running kernel's, a third a file of types
 * that stands for the kernel's in CO-RE relocations.
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

static void shape(const char *what, struct bpf_map *map)
{
	printf("%s %s type %d key %u value %u entries %u flags 0x%x", what, bpf_map__name(map), bpf_map__type(map),
	       bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__max_entries(map), bpf_map__map_flags(map));
}

static bool is_kconfig(struct bpf_map *map)
{
	const char *dot = strrchr(bpf_map__name(map), '.');

	return dot && !strcmp(dot, ".kconfig");
}

/* The kernel's configuration is known after the object was loaded only, and stands last. */
static void maps(struct bpf_object *object, bool kconfig)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		size_t size = 0;
		const unsigned char *initial = bpf_map__is_internal(map) ? bpf_map__initial_value(map, &size) : NULL;

		if (is_kconfig(map) != kconfig)
			continue;
		shape("map", map);
		if (initial)
			printf(" initial ");
		for (size_t i = 0; initial && i < size; i++)
			printf("%02x", initial[i]);
		printf("\n");
		if (bpf_map__inner_map(map)) {
			shape("inner", bpf_map__inner_map(map));
			printf("\n");
		}
	}
}

/* What the kernel finds in the slots of maps of programs and of maps. */
static void slots(struct bpf_object *object)
{
	struct bpf_map *map, *each;
	struct bpf_program *prog;

	bpf_object__for_each_map(map, object) {
		int type = bpf_map__type(map), is_prog = type == BPF_MAP_TYPE_PROG_ARRAY;

		if (!is_prog && type != BPF_MAP_TYPE_ARRAY_OF_MAPS && type != BPF_MAP_TYPE_HASH_OF_MAPS)
			continue;
		for (__u32 key = 0, id; key < bpf_map__max_entries(map); key++) {
			if (bpf_map_lookup_elem(bpf_map__fd(map), &key, &id))
				continue;
			if (is_prog)
				bpf_object__for_each_program(prog, object) {
					struct bpf_prog_info info = {};
					__u32 len = sizeof(info);

					if (!bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) && info.id == id)
						printf("slot %s %u %s\n", bpf_map__name(map), key, bpf_program__name(prog));
				}
			else
				bpf_object__for_each_map(each, object) {
					struct bpf_map_info info = {};
					__u32 len = sizeof(info);

					if (!bpf_obj_get_info_by_fd(bpf_map__fd(each), &info, &len) && info.id == id)
						printf("slot %s %u %s\n", bpf_map__name(map), key, bpf_map__name(each));
				}
		}
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
static void one_by_one(const char *path, struct bpf_object *list, const struct bpf_object_open_opts *opts)
{
	struct bpf_program *name, *each, *wanted = NULL;

	bpf_object__for_each_program(name, list) {
		struct bpf_object *object = bpf_object__open_file(path, opts);

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

	LIBBPF_OPTS(bpf_object_open_opts, opts);

	if (argc < 2 || argc > 4)
		return 2;
	opts.kconfig = argc > 2 ? argv[2] : NULL;
	opts.btf_custom_path = argc > 3 ? argv[3] : NULL;
	libbpf_set_print(say);
	object = bpf_object__open_file(argv[1], &opts);
	if (!object)
		return 1;
	maps(object, false);
	if (bpf_object__load(object)) {
		one_by_one(argv[1], object, &opts);
	} else {
		maps(object, true);
		slots(object);
		bpf_object__for_each_program(each, object)
			program(object, each);
	}
	bpf_object__close(object);
	return 0;
}
