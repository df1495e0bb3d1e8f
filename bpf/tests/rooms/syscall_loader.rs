//! Whole objects through the facade: maps found where loaders pin them, slots filled, state kept over a replacement.

use std::path::Path;

use bpf::env::FixedEnv;
use bpf::object::Object;
use bpf::syscall::{ActorId, Class, Config, Hook, LoadOptions, Loaded, System, TestRun, hex, sha1};

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/object").join(name)).unwrap()
}

fn load(system: &mut System, actor: ActorId, name: &str) -> Loaded {
    let bytes = bytes(name);
    let object = Object::parse(&bytes).unwrap().named(name.split('.').next().unwrap());
    let loaded = system.load_object(actor, &object, &bytes, &LoadOptions::default());
    loaded.unwrap_or_else(|why| panic!("{}", why.diagnostic))
}

fn machine() -> System {
    let mut system = System::new(Config::default());
    system.mount("/sys/fs/bpf", 0o700).unwrap();
    system
}

#[test]
fn a_program_replaced_keeps_the_map_that_is_pinned_by_name() {
    let mut system = machine();
    let mut runs = 0u64;
    let mut counted = None;
    for round in 1..=3u64 {
        let actor = system.actor();
        let loaded = load(&mut system, actor, "pinned.bpf.o");
        let mut names: Vec<&str> = loaded.maps.iter().map(|(name, _)| name.as_str()).collect();
        names.sort();
        assert_eq!(names, ["counts", "jumps", "pinned.rodata"]);
        let first = loaded.programs.iter().find(|(name, _)| name == "first").unwrap().1;
        // What the program jumps to lives as long as the array has a user, and what it counts lives by its pin.
        let data = [0; 64];
        let run = TestRun { data: &data, context: None, repeat: 2 };
        assert_eq!(system.test_run(actor, first, run, &mut FixedEnv::default()).unwrap().retval, 3);
        runs += 2;
        system.attach(actor, 1, Hook::XdpNative, first, round > 1).unwrap();
        system.exit(actor);
        let attached = system.attached(1, Hook::XdpNative);
        assert_eq!(attached.len(), 1);
        let info = system.prog_info(attached[0]).unwrap();
        assert_eq!(info.name, "first");
        // The program of before is gone, and so is the one that only the array held.
        assert_eq!(system.ids(Class::Prog), attached);
        let map = *counted.get_or_insert(info.maps[0]);
        assert_eq!(info.maps[0], map, "round {round} found another map");
        let entries = system.map_entries(map);
        assert_eq!(entries[1].1, (5 * runs).to_le_bytes());
        // Saved and read back, nothing changes.
        let again = System::restore(system.clone().save()).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(again.attached(1, Hook::XdpNative), attached);
        system = again;
    }
    system.detach(1, Hook::XdpNative).unwrap();
    assert_eq!((system.ids(Class::Prog), system.ids(Class::Map)), (vec![], counted.into_iter().collect()));
}

#[test]
fn scopes_are_iproute2s() {
    let mut system = machine();
    let actor = system.actor();
    let first = load(&mut system, actor, "scopes.bpf.o");
    let pins: Vec<String> = system.fs().pins().into_iter().map(|(path, _)| path).collect();
    let own = format!("/sys/fs/bpf/tc/{}/own", hex(&sha1(&bytes("scopes.bpf.o"))));
    assert_eq!(pins, [own, "/sys/fs/bpf/tc/globals/shared".to_owned()]);
    let second = load(&mut system, actor, "scopes.bpf.o");
    for ((name, one), (_, two)) in first.maps.iter().zip(&second.maps) {
        assert_eq!(system.object(actor, *one), system.object(actor, *two), "{name}");
    }
    // One of another shape under the name is refused, and nothing of the object stays open.
    system.unlink("/sys/fs/bpf/tc/globals/shared").unwrap();
    let own = system.pinned(actor, &pins[0], 0).unwrap();
    system.pin(actor, own, "/sys/fs/bpf/tc/globals/shared").unwrap();
    let before = system.ids(Class::Map);
    let bytes = bytes("scopes.bpf.o");
    let object = Object::parse(&bytes).unwrap();
    let why = system.load_object(actor, &object, &bytes, &LoadOptions::default()).unwrap_err();
    assert!(why.diagnostic.to_string().contains("of another shape"), "{}", why.diagnostic);
    assert_eq!(system.ids(Class::Map), before);
}
