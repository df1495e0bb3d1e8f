//! What objects say beside their instructions: sections, slots, visibility, what need not be there, byte order.

use bpf::diag::At;
use bpf::insn::{Callee, Insn, Wide};
use bpf::maps::Map;
use bpf::object::{Kernel, Object};
use bpf::program::{Attach, Endian, MapType, Pinning, ProgType, Program, SlotInit};
use bpf::verifier::{Options, Verdict, verify};

fn object(name: &str) -> Object {
    let path = format!("{}/tests/data/object/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"));
    Object::parse(&std::fs::read(path).unwrap()).unwrap()
}

fn program(object: &Object, name: &str) -> Program {
    object.program(Some(name), None).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// iproute2's `2/1` puts a program into slot 1 of the map of number 2, and `inner_id` and `inner_idx` say what is in a map
/// of maps.
#[test]
fn iproute2_fills_slots_by_number() {
    let object = object("slots");
    let entry = program(&object, "entry");
    assert_eq!(entry.ty, ProgType::SchedCls);
    let map = |name: &str| entry.maps.iter().position(|m| m.name == name).unwrap();
    let jumps = &entry.maps[map("jumps")];
    assert_eq!((jumps.ty, jumps.pinning), (MapType::PROG_ARRAY, Pinning::ByName));
    let program = |name: &str| SlotInit::Program(name.to_owned());
    assert_eq!(jumps.slots, [(1, program("one")), (16, program("sixteen"))]);
    let outer = &entry.maps[map("outer")];
    let inner = outer.inner.as_deref().unwrap();
    assert_eq!((inner.ty, inner.key_size, inner.value_size, inner.max_entries), (MapType::ARRAY, 4, 8, 3));
    let SlotInit::Map(model) = outer.slots[0].1 else { panic!("{:?}", outer.slots) };
    assert_eq!((outer.slots[0].0, entry.maps[model.0 as usize].name.as_str()), (1, "model"));
    assert_eq!(entry.maps[model.0 as usize].pinning, Pinning::ByObject);
    // Each of the programs named can be had from the object.
    for name in ["one", "sixteen"] {
        assert_eq!(self::program(&object, name).ty, ProgType::SchedCls);
    }
    assert_eq!(self::program(&object, "plain").ty, ProgType::Xdp);
}

#[test]
fn sections_say_where_xdp_programs_attach() {
    let object = object("nested");
    let how = |name| {
        let program = program(&object, name);
        (program.attach, program.frags)
    };
    assert_eq!(how("first"), (Attach::Hook, false));
    assert_eq!(how("fourth"), (Attach::XdpCpumap, true));
    assert_eq!(how("fifth"), (Attach::XdpDevmap, false));
    assert_eq!(object.version(), Some(Kernel::version(6, 1, 2)));
    let error = self::object("kfuncs").program(Some("replacement"), None).unwrap_err();
    assert_eq!((error.code, error.actual.as_deref()), ("object-program-type", Some("ext")));
}

/// Linux verifies global functions on their own; libbpf makes hidden ones static.
#[test]
fn functions_say_whether_they_are_global() {
    let first = program(&object("nested"), "first");
    let functions: Vec<_> = first.functions.iter().map(|f| (f.name.as_str(), f.global)).collect();
    assert_eq!(functions, [("first", true), ("hidden_one", false), ("global_one", true), ("static_one", false)]);
    let btf = first.btf.as_deref().unwrap();
    assert!(first.functions.iter().all(|f| f.btf.is_some_and(|ty| btf.type_name(ty) == f.name)));
}

/// A weak function that is not there may be asked for, and called where that cannot be reached.
#[test]
fn weak_functions_need_not_be_there() {
    let object = object("kfuncs");
    for (name, accepted) in [("call_if_there", true), ("call_anyway", false)] {
        let program = program(&object, name);
        let absent = |i: &Insn| matches!(i, Insn::Call { callee: Callee::Helper(n) } if *n == 2_002_000_000);
        let slot = program.insns.iter().position(absent).unwrap();
        assert_eq!(program.unresolved.len(), 1);
        let (at, why) = &program.unresolved[0];
        assert_eq!((*at, why.as_str()), (slot, "the kernel has no function no_such_function, which is weak"));
        match verify(program, &Options::default()) {
            Verdict::Accepted(_) => assert!(accepted, "{name}"),
            Verdict::Rejected(r) => assert!(!accepted, "{name}: {}", r.diagnostic),
            Verdict::Unsupported(d) => panic!("{name}: {d}"),
        }
    }
}

#[test]
fn configuration_that_is_not_known_is_refused_by_name() {
    let object = object("weak");
    let error = object.program(Some("settings"), None).unwrap_err();
    assert_eq!(error.code, "object-kconfig");
    assert!(error.reason.contains("CONFIG_NUMBER"), "{error}");
    assert!(matches!(error.at, Some(At::Insn { .. })));
    let mut kernel = Kernel::default();
    kernel.read_config("# a comment\nCONFIG_NUMBER=99999999999\n").unwrap();
    let error = object.program_for(Some("settings"), None, &kernel).unwrap_err();
    assert_eq!((error.limit.as_deref(), error.actual.as_deref()), (Some("4 bytes"), Some("99999999999")));
    assert_eq!(kernel.read_config("CONFIG_A=1\nbroken\n").unwrap_err().code, "kernel-config");
}

/// What the kernel's types do not have hurts a program only where it is reached, and is called by its name then.
#[test]
fn fields_that_are_not_there_may_be_asked_for() {
    let object = object("relocated");
    let asking = program(&object, "asking_first");
    assert_eq!(asking.unresolved.len(), 2, "{:?}", asking.unresolved);
    assert!(matches!(verify(asking, &Options::default()), Verdict::Accepted(_)));
    let Verdict::Rejected(r) = verify(program(&object, "not_asking"), &Options::default()) else {
        panic!("accepted without the field")
    };
    assert_eq!(
        r.diagnostic.reason,
        "the kernel's types that are known have no answer to the offset of field iphdr___mine.no_such_field (CO-RE)"
    );
    assert!(matches!(&r.diagnostic.at, Some(At::Insn { source: Some(s), .. }) if s.text.contains("no_such_field")));
    // With types that have it, the same program is whole.
    let kernel = Kernel { types: std::sync::Arc::new(object.btf().unwrap().clone()), ..Kernel::default() };
    let whole = object.program_for(Some("not_asking"), None, &kernel).unwrap();
    assert!(whole.unresolved.is_empty());
}

/// Objects of the other byte order are read, and say so.
#[test]
fn big_endian_objects_are_read() {
    let object = object("big");
    assert_eq!(object.byte_order(), Endian::Big);
    let entry = object.programs()[0].clone();
    let program = object.program(Some(&entry.name), Some(ProgType::Xdp)).unwrap();
    assert_eq!(program.byte_order, Endian::Big);
    assert!(matches!(program.insns.last(), Some(Insn::Exit)));
}

/// Maps of sections whose names have a second dot, and their instructions.
#[test]
fn sections_of_data_are_maps() {
    let object = object("nested").named("nested");
    let second = program(&object, "second");
    let names: Vec<_> = second.maps.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, [".data.counts", ".bss.scratch"]);
    let named = |i: &Insn| match i {
        Insn::LoadImm64 { value: Wide::MapValue { map, .. }, .. } => Some(second.maps[map.0 as usize].name.as_str()),
        _ => None,
    };
    let mut named: Vec<_> = second.insns.iter().filter_map(named).collect();
    named.sort_unstable();
    assert_eq!(named, [".bss.scratch", ".data.counts"]);
    for spec in second.maps {
        Map::new(spec, 1).unwrap();
    }
}
