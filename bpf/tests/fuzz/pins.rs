//! Commands on maps, pins and files, read off bytes: whatever their order, every answer is an error number or holds, and what
//! is saved is read back.

use bpf::bpffs::Exchange;
use bpf::program::{MapSpec, MapType};
use bpf::syscall::{ActorId, Class, Config, Fd, NewMap, Object, System};

/// The bytes of an input, and zeros behind them.
struct Input<'a>(std::slice::Iter<'a, u8>);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn path(&mut self) -> String {
        let mut path = ["/a", "/b", "/a/b", "", "/"][usize::from(self.byte() % 5)].to_owned();
        for _ in 0..self.byte() % 4 {
            path += ["/x", "/y", "/..", "/.", "/", "/d", "/d.e", "x"][usize::from(self.byte() % 8)];
        }
        path
    }

    fn fd(&mut self) -> Fd {
        Fd(i32::from(self.byte() % 12))
    }
}

fn create(system: &mut System, actor: ActorId, input: &mut Input<'_>) -> bool {
    let types =
        [MapType::HASH, MapType::ARRAY, MapType::PROG_ARRAY, MapType::ARRAY_OF_MAPS, MapType(u32::from(input.byte()))];
    let spec = MapSpec {
        ty: types[usize::from(input.byte() % 5)],
        key_size: 4,
        value_size: u32::from(input.byte() % 9),
        max_entries: u32::from(input.byte() % 4),
        flags: u32::from(input.byte()) << (input.byte() % 8),
        ..MapSpec::default()
    };
    let inner = input.byte().is_multiple_of(2).then(|| input.fd());
    system.map_create(actor, &NewMap { spec, inner, ..NewMap::default() }).is_ok()
}

fn command(system: &mut System, actors: &mut [ActorId; 2], input: &mut Input<'_>) -> bool {
    let actor = actors[usize::from(input.byte() % 2)];
    match input.byte() % 22 {
        0 | 1 => create(system, actor, input),
        2 | 3 => system.pin(actor, input.fd(), &input.path()).is_ok(),
        4 => system.pinned(actor, &input.path(), u32::from(input.byte())).is_ok(),
        5 => system.close(actor, input.fd()).is_ok(),
        6 => system.pass(actor, input.fd(), actors[0]).is_ok(),
        7 => {
            system.exit(actors[1]);
            actors[1] = system.actor();
            true
        }
        8 | 9 => system.mkdir(&input.path(), u16::from(input.byte()) << 4).is_ok(),
        10 => system.rmdir(&input.path()).is_ok(),
        11 => system.unlink(&input.path()).is_ok(),
        12 => system.link(&input.path(), &input.path()).is_ok(),
        13 => system.symlink(&input.path(), &input.path()).is_ok(),
        14 | 15 => {
            let how = [Exchange::Replace, Exchange::Keep, Exchange::Swap][usize::from(input.byte() % 3)];
            system.rename(&input.path(), &input.path(), how).is_ok()
        }
        16 => system.chmod(&input.path(), u16::from(input.byte()) << 4).is_ok(),
        17 => system.mount(&input.path(), u16::from(input.byte()) << 4).is_ok(),
        18 => system.bind(&input.path(), &input.path()).is_ok(),
        19 => system.unmount(&input.path()).is_ok(),
        20 => {
            let (fd, value) = (input.fd(), i32::from(input.byte() % 12).to_le_bytes());
            let key = u32::from(input.byte() % 3).to_le_bytes();
            system.map_update(actor, fd, &key, &value, u64::from(input.byte() % 4)).is_ok()
        }
        _ => system.map_delete(actor, input.fd(), &u32::from(input.byte() % 3).to_le_bytes()).is_ok(),
    }
}

/// Commands in a row.
pub fn commands(data: &[u8]) {
    let mut system = System::new(Config { memory: 1 << 20, ..Config::default() });
    let mut actors = [system.actor(), system.actor()];
    system.mount("/a", 0o1777).expect("a new machine has room");
    let mut input = Input(data.iter());
    while input.0.len() > 0 {
        command(&mut system, &mut actors, &mut input);
    }
    for (path, object) in system.fs().pins() {
        assert_eq!(system.fs().get(&path), Ok(object), "{path}");
        let Object::Map(id) = object else { panic!("{object:?} was never made") };
        assert!(system.map_info(id).is_some(), "a pinned map lives");
    }
    let saved = system.save();
    let maps: Vec<u32> = saved.maps.iter().map(|map| map.id).collect();
    let again = System::restore(saved.clone()).unwrap_or_else(|why| panic!("{why}\n{saved:?}"));
    assert_eq!(again.ids(Class::Map), maps);
    assert_eq!(again.save().tree, saved.tree);
    // Without pins nothing is left, unless mounts hide some.
    let one = saved.tree.mounts.len() == 1;
    let mut last = System::restore(saved).expect("it was just restored");
    loop {
        let pins = last.fs().pins();
        let Some((path, _)) = pins.first() else { break };
        last.unlink(path).expect("a pin can be unlinked");
    }
    assert!(!one || last.ids(Class::Map).is_empty());
}
