//! Programs and maps bound to devices, by the rules of Linux 6.18 (kernel/bpf/offload.c, net/core/dev.c), on cards whose
//! driver does what netdevsim does: maps of two entries, no flags.

use std::sync::Arc;

use bpf::env::FixedEnv;
use bpf::errno::Errno;
use bpf::insn::{Insn, MapIndex, Operand, Reg, Wide, Width};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use bpf::syscall::{
    ActorId, Class, Config, Fd, Hook, MapsInUse, NewMap, NewProgram, Object, OffloadDriver, Refusal, System, TestRun,
    XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE,
};
use bpf::verifier::{Options, VerifiedProgram};

#[derive(Debug)]
struct Netdevsim {
    /// Whether a program may be replaced.
    reloads: bool,
}

fn refused(errno: Errno) -> Refusal {
    Refusal::from(errno)
}

impl OffloadDriver for Netdevsim {
    fn name(&self) -> String {
        "netdevsim".to_owned()
    }

    fn translate(&self, program: &VerifiedProgram) -> Result<Vec<u8>, Refusal> {
        Ok(vec![0xee; 8 * program.xlated().insns.len()])
    }

    fn map_alloc(&self, spec: &MapSpec, used: MapsInUse) -> Result<(), Refusal> {
        match (spec.flags, spec.max_entries, used.maps) {
            (0, 0..=2, 0..=4) => Ok(()),
            (0, ..) => Err(refused(Errno::ENOMEM)),
            _ => Err(refused(Errno::EINVAL)),
        }
    }

    fn attach(&self, _: &VerifiedProgram, replaces: bool) -> Result<(), (Errno, String)> {
        if replaces && !self.reloads {
            Err((Errno::EBUSY, "FW does not support live reload".to_owned()))
        } else {
            Ok(())
        }
    }
}

/// A driver by the name that a saved system has for it.
fn driver(name: &str) -> Option<Arc<dyn OffloadDriver>> {
    (name == "netdevsim").then(|| Arc::new(Netdevsim { reloads: true }) as Arc<dyn OffloadDriver>)
}

struct Machine {
    system: System,
    actor: ActorId,
}

/// The first card has devices 2 and 3, the second 4; device 1 runs no programs.
fn machine() -> Machine {
    let mut system = System::new(Config::default());
    system.mount("/sys/fs/bpf", 0o700).unwrap();
    system.add_card("sim0", Arc::new(Netdevsim { reloads: true }), &[2, 3]).unwrap();
    system.add_card("sim1", Arc::new(Netdevsim { reloads: false }), &[4]).unwrap();
    let actor = system.actor();
    Machine { system, actor }
}

impl Machine {
    fn map(&mut self, ty: MapType, entries: u32, ifindex: u32) -> Result<Fd, Refusal> {
        let value_size = if ty == MapType::PERF_EVENT_ARRAY || ty == MapType::PROG_ARRAY { 4 } else { 8 };
        let spec =
            MapSpec { name: "m".into(), ty, key_size: 4, value_size, max_entries: entries, ..MapSpec::default() };
        self.system.map_create(self.actor, &NewMap { spec, ifindex, ..NewMap::default() })
    }

    fn prog(&mut self, ty: ProgType, maps: &[Fd], ifindex: u32) -> Result<Fd, Refusal> {
        let mut insns: Vec<Insn> = (0..maps.len() as u32)
            .flat_map(|n| {
                let load = Insn::LoadImm64 { dst: Reg::R1, value: Wide::Map(MapIndex(n)) };
                [load, Insn::Pad]
            })
            .collect();
        let value = Operand::Imm(2);
        insns.extend([Insn::Mov { width: Width::W64, dst: Reg::R0, src: value, sext: None }, Insn::Exit]);
        let specs = vec![MapSpec::default(); maps.len()];
        let program = NewProgram {
            program: Program::from_insns("p", ty, insns, specs),
            name: "p".into(),
            maps: maps.to_vec(),
            btf: None,
            options: Options::default(),
            ifindex,
        };
        self.system.prog_load(self.actor, program)
    }

    fn xdp(&mut self, ifindex: u32) -> Fd {
        self.prog(ProgType::Xdp, &[], ifindex).unwrap_or_else(|why| panic!("{}", why.diagnostic))
    }

    fn attach(&mut self, ifindex: u32, hook: Hook, fd: Fd, replace: bool) -> Result<(), (Errno, String)> {
        let done = self.system.attach(self.actor, ifindex, hook, fd, replace);
        done.map_err(|errno| (errno, self.system.extack().unwrap_or_default().to_owned()))
    }

    fn id(&self, fd: Fd) -> u32 {
        match self.system.object(self.actor, fd).unwrap() {
            Object::Map(id) | Object::Prog(id) | Object::Link(id) | Object::Btf(id) => id,
        }
    }
}

fn errno<T>(result: Result<T, Refusal>) -> Option<Errno> {
    result.err().and_then(|refusal| refusal.errno)
}

fn says(errno: Errno, sentence: &str) -> Result<(), (Errno, String)> {
    Err((errno, sentence.to_owned()))
}

#[test]
fn what_is_bound_says_where_it_is() {
    let mut m = machine();
    let map = m.map(MapType::HASH, 2, 2).unwrap();
    let prog = m.prog(ProgType::Xdp, &[map], 3).unwrap();
    let info = m.system.prog_info_by_fd(m.actor, prog).unwrap();
    let device = info.device.unwrap();
    assert_eq!((device.ifindex, device.card.as_str(), info.jited), (3, "sim0", 8 * 4));
    assert_eq!(m.system.image(info.id).map(<[u8]>::len), Some(32));
    let device = m.system.map_info_by_fd(m.actor, map).unwrap().device.unwrap();
    assert_eq!((device.ifindex, device.card.as_str()), (2, "sim0"));
    let host = m.xdp(0);
    let info = m.system.prog_info_by_fd(m.actor, host).unwrap();
    assert_eq!((info.device, info.jited, m.system.image(info.id)), (None, 0, None));
}

#[test]
fn not_everything_is_bound_and_not_to_every_device() {
    let mut m = machine();
    assert_eq!(errno(m.prog(ProgType::SocketFilter, &[], 2)), Some(Errno::EINVAL));
    assert_eq!(errno(m.prog(ProgType::Xdp, &[], 9)), Some(Errno::EINVAL), "no such device");
    assert_eq!(errno(m.prog(ProgType::Xdp, &[], 1)), Some(Errno::EOPNOTSUPP), "it runs no programs");
    assert_eq!(errno(m.map(MapType::LRU_HASH, 2, 2)), Some(Errno::EINVAL));
    assert_eq!(errno(m.map(MapType::HASH, 2, 9)), Some(Errno::EINVAL));
    assert_eq!(errno(m.map(MapType::HASH, 3, 2)), Some(Errno::ENOMEM), "the driver says so");
    // Its maps are counted, and so are those that go.
    let maps: Vec<Fd> = (0..5).map(|_| m.map(MapType::HASH, 1, 2).unwrap()).collect();
    assert_eq!(errno(m.map(MapType::HASH, 1, 3)), Some(Errno::ENOMEM));
    m.system.close(m.actor, maps[0]).unwrap();
    assert_eq!(errno(m.map(MapType::HASH, 1, 3)), None);
    assert!(m.prog(ProgType::SchedCls, &[], 2).is_ok());
}

#[test]
fn a_program_uses_maps_of_its_card_alone() {
    let mut m = machine();
    let (own, other) = (m.map(MapType::HASH, 1, 2).unwrap(), m.map(MapType::HASH, 1, 4).unwrap());
    let host = m.map(MapType::HASH, 1, 0).unwrap();
    let events = m.map(MapType::PERF_EVENT_ARRAY, 1, 0).unwrap();
    for (maps, ifindex, good) in [
        (&[own][..], 2, true),
        (&[own], 3, true),
        (&[own], 4, false),
        (&[own, other], 2, false),
        (&[host], 2, false),
        (&[own], 0, false),
        (&[own, events], 2, true),
        (&[host], 0, true),
    ] {
        match m.prog(ProgType::Xdp, maps, ifindex) {
            Ok(_) => assert!(good, "{maps:?} on {ifindex}"),
            Err(why) => {
                assert!(!good, "{}", why.diagnostic);
                assert_eq!(why.errno, Some(Errno::EINVAL));
                assert!(why.diagnostic.reason.contains("offload device mismatch between prog and map"));
            }
        }
    }
}

#[test]
fn maps_on_a_card_do_what_netdevsims_do() {
    let mut m = machine();
    let (hash, array) = (m.map(MapType::HASH, 2, 2).unwrap(), m.map(MapType::ARRAY, 2, 2).unwrap());
    let (system, actor) = (&mut m.system, m.actor);
    let update = |system: &mut System, map, key: u8, flags| system.map_update(actor, map, &[key; 4], &[key; 8], flags);
    assert_eq!(update(system, hash, 1, 2), Err(Errno::ENOENT), "BPF_EXIST");
    assert_eq!(update(system, hash, 1, 0), Ok(()));
    assert_eq!(update(system, hash, 1, 1), Err(Errno::EEXIST), "BPF_NOEXIST");
    assert_eq!(update(system, hash, 1, 3), Err(Errno::EINVAL), "no other flags");
    assert_eq!(update(system, hash, 2, 0), Ok(()));
    assert_eq!(update(system, hash, 3, 0), Err(Errno::E2BIG));
    assert_eq!(system.map_lookup(actor, hash, &[2; 4], 0), Ok(vec![2; 8]));
    let first = system.map_next_key(actor, hash, None).unwrap();
    let second = system.map_next_key(actor, hash, Some(&first)).unwrap();
    assert_eq!(system.map_next_key(actor, hash, Some(&second)), Err(Errno::ENOENT));
    assert_eq!(system.map_delete(actor, hash, &[2; 4]), Ok(()));
    assert_eq!(system.map_delete(actor, hash, &[2; 4]), Err(Errno::ENOENT));
    assert_eq!(system.map_lookup(actor, array, &[1, 0, 0, 0], 0), Ok(vec![0; 8]), "there from the beginning");
    assert_eq!(system.map_delete(actor, array, &[1, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(system.map_take(actor, hash, &[1; 4], 0), Err(Errno::ENOTSUPP));
    assert!(matches!(system.map_lookup_batch(actor, hash, None, 1, false, 0), Err(Errno::ENOTSUPP)));
}

#[test]
fn a_program_goes_to_its_cards_hooks_and_no_others() {
    let mut m = machine();
    let (bound, host, other) = (m.xdp(2), m.xdp(0), m.xdp(4));
    let flag = "Using offloaded program without HW_MODE flag is not supported";
    assert_eq!(m.attach(2, Hook::XdpNative, bound, false), says(Errno::EINVAL, flag));
    assert_eq!(m.attach(2, Hook::XdpGeneric, bound, false), says(Errno::EINVAL, flag));
    let different = "Program bound to different device";
    assert_eq!(m.attach(2, Hook::XdpOffload, other, false), says(Errno::EINVAL, different));
    assert_eq!(m.attach(1, Hook::XdpOffload, bound, false), says(Errno::EINVAL, different));
    assert_eq!(m.attach(2, Hook::XdpOffload, host, false), says(Errno::EINVAL, "xdpoffload of non-bound program"));
    let none = "Underlying driver does not support XDP in native mode";
    assert_eq!(m.attach(1, Hook::XdpOffload, host, false), says(Errno::EOPNOTSUPP, none));
    // Native beside offload, and no generic beside native.
    assert_eq!(m.attach(2, Hook::XdpNative, host, false), Ok(()));
    assert_eq!(m.attach(2, Hook::XdpOffload, bound, false), Ok(()));
    let both = "Native and generic XDP can't be active at the same time";
    assert_eq!(m.attach(2, Hook::XdpGeneric, host, false), says(Errno::EEXIST, both));
    // By link, too, where the flags say which hook.
    for (flags, ifindex, expected) in [
        (XDP_FLAGS_DRV_MODE, 3, Err(Errno::EINVAL)),
        (XDP_FLAGS_HW_MODE, 4, Err(Errno::EINVAL)),
        (XDP_FLAGS_HW_MODE, 2, Err(Errno::EBUSY)),
        (XDP_FLAGS_HW_MODE, 3, Ok(())),
    ] {
        let made = m.system.link_create(m.actor, bound, ifindex, Hook::XdpNative, flags);
        assert_eq!(made.map(|_| ()), expected, "{flags} {ifindex}");
    }
    let tc = m.prog(ProgType::SchedCls, &[], 2).unwrap();
    assert_eq!(m.system.link_create(m.actor, tc, 2, Hook::TcIngress, 0).map(|_| ()), Err(Errno::EINVAL));
}

#[test]
fn ports_of_a_card_share_programs_and_a_program_is_replaced_with_its_maps_kept() {
    let mut m = machine();
    let map = m.map(MapType::HASH, 2, 2).unwrap();
    let (old, new) = (m.prog(ProgType::Xdp, &[map], 2).unwrap(), m.prog(ProgType::Xdp, &[map], 3).unwrap());
    assert_eq!(m.attach(2, Hook::XdpOffload, old, false), Ok(()));
    assert_eq!(m.attach(3, Hook::XdpOffload, old, false), Ok(()));
    m.system.map_update(m.actor, map, &[7; 4], &[7; 8], 0).unwrap();
    assert_eq!(m.attach(2, Hook::XdpOffload, new, false), says(Errno::EBUSY, "XDP program already attached"));
    assert_eq!(m.attach(2, Hook::XdpOffload, new, true), Ok(()));
    assert_eq!(m.system.attached(2, Hook::XdpOffload), [m.id(new)]);
    assert_eq!(m.system.attached(3, Hook::XdpOffload), [m.id(old)]);
    assert_eq!(m.system.map_lookup(m.actor, map, &[7; 4], 0), Ok(vec![7; 8]));
    // A card that cannot says so.
    let (old, new) = (m.xdp(4), m.xdp(4));
    assert_eq!(m.attach(4, Hook::XdpOffload, old, false), Ok(()));
    let reload = "FW does not support live reload";
    assert_eq!(m.attach(4, Hook::XdpOffload, new, true), says(Errno::EBUSY, reload));
}

#[test]
fn with_its_last_device_a_program_is_an_orphan() {
    let mut m = machine();
    let map = m.map(MapType::HASH, 2, 2).unwrap();
    let prog = m.prog(ProgType::Xdp, &[map], 2).unwrap();
    let link = m.system.link_create(m.actor, prog, 2, Hook::XdpOffload, XDP_FLAGS_HW_MODE).unwrap();
    m.system.pin(m.actor, prog, "/sys/fs/bpf/p").unwrap();
    assert_eq!(m.attach(3, Hook::XdpOffload, prog, false), Ok(()));

    // The first device goes: what was attached there is not, and all is the other device's.
    m.system.remove_device(2).unwrap();
    assert_eq!(m.system.remove_device(2), Err(Errno::ENODEV));
    assert!(m.system.attached(2, Hook::XdpOffload).is_empty());
    assert_eq!(m.system.link_info(m.id(link)).unwrap().ifindex, 0);
    let device = |m: &Machine| m.system.prog_info_by_fd(m.actor, prog).map(|info| info.device.unwrap().ifindex);
    assert_eq!(device(&m), Ok(3));
    assert_eq!(m.system.attached(3, Hook::XdpOffload), [m.id(prog)]);
    m.system.map_update(m.actor, map, &[1; 4], &[1; 8], 0).unwrap();

    // The second: nobody finds them by number, and who has them can do nothing.
    m.system.remove_device(3).unwrap();
    assert_eq!((m.system.ids(Class::Prog), m.system.ids(Class::Map)), (vec![], vec![]));
    let id = m.id(prog);
    assert_eq!(m.system.fd_by_id(m.actor, Class::Prog, id, 0), Err(Errno::ENOENT));
    assert_eq!(device(&m), Err(Errno::ENODEV));
    assert_eq!(m.system.map_info_by_fd(m.actor, map).map(|_| ()), Err(Errno::ENODEV));
    assert_eq!(m.system.map_lookup(m.actor, map, &[1; 4], 0), Err(Errno::ENODEV));
    assert_eq!(m.system.map_update(m.actor, map, &[1; 4], &[1; 8], 0), Err(Errno::ENODEV));
    assert_eq!(m.system.map_delete(m.actor, map, &[1; 4]), Err(Errno::ENODEV));
    assert_eq!(m.system.map_next_key(m.actor, map, None), Err(Errno::ENODEV));
    assert_eq!(m.attach(4, Hook::XdpOffload, prog, false), says(Errno::EINVAL, "Program bound to different device"));
    assert_eq!(m.system.cards().len(), 1);

    // A system keeps them as they are, and a new card is another one.
    m.system.add_card("sim2", Arc::new(Netdevsim { reloads: true }), &[2]).unwrap();
    assert_eq!(device(&m), Err(Errno::ENODEV));
    let saved = m.system.clone().save();
    let mut again = System::restore_with(saved.clone(), &driver).unwrap_or_else(|why| panic!("{why}"));
    let actor = again.actor();
    let pinned = again.pinned(actor, "/sys/fs/bpf/p", 0).unwrap();
    assert_eq!(again.prog_info_by_fd(actor, pinned), Err(Errno::ENODEV));
    assert_eq!(again.cards(), m.system.cards());
    assert!(System::restore(saved).is_err(), "nobody knows the driver");
}

#[test]
fn where_cards_numbers_have_run_out_nothing_is_registered() {
    let mut saved = machine().system.save();
    saved.last_card = u32::MAX;
    let mut system = System::restore_with(saved, &driver).unwrap_or_else(|why| panic!("{why}"));
    let (cards, devices) = (system.cards(), system.config().devices.clone());
    let added = system.add_card("sim2", Arc::new(Netdevsim { reloads: true }), &[5]);
    assert_eq!(added, Err(Errno::ENOSPC));
    assert_eq!((system.cards(), system.config().devices.clone()), (cards, devices));
}

#[test]
fn what_is_bound_runs_nowhere_else() {
    let mut m = machine();
    let bound = m.xdp(2);
    let run = TestRun { data: &[0; 64], context: None, repeat: 1 };
    let ran = m.system.test_run(m.actor, bound, run, &mut FixedEnv::default());
    assert_eq!(errno(ran), Some(Errno::ENOTSUPP));
    let jumps = m.map(MapType::PROG_ARRAY, 1, 0).unwrap();
    let value = bound.0.to_le_bytes();
    assert_eq!(m.system.map_update(m.actor, jumps, &[0; 4], &value, 0), Err(Errno::EINVAL));
}
