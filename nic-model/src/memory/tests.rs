use bpf::program::{MapSpec, MapType};

use super::*;
use crate::des::Time;
use crate::ids::{ContextId, CoreId, FlightId, PacketId};

fn memories() -> Memories {
    let memory = |bytes| MemoryConfig { bytes, banks: 1, interleave: 64, timing: EngineTiming::NONE, cache: None };
    Memories::new(
        &MemoriesConfig {
            islands: 2,
            cls: memory(64 << 10),
            ctm: memory(256 << 10),
            ctm_packet_bytes: 128 << 10,
            packet_granule: 256,
            imem: memory(4 << 20),
            emem: memory(1 << 30),
            imem_map_base: 1 << 20,
            map_base: 1 << 20,
        },
        2,
    )
}

fn spec(ty: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec { name: "m".to_owned(), ty, key_size, value_size, max_entries, flags: 0, ..MapSpec::default() }
}

fn command(memories: &Memories, location: Location, bytes: u16, action: Action) -> MemCommand {
    assert!(location.engine.0 < memories.addresses().engines());
    MemCommand {
        core: CoreId(3),
        context: ContextId(1),
        packet: PacketId(77),
        flight: FlightId(0),
        engine: location.engine,
        offset: location.offset,
        bytes,
        action,
    }
}

fn serve(memories: &mut Memories, location: Location, bytes: u16, action: Action, words: &mut [u32; MAX_WORDS]) {
    let command = command(memories, location, bytes, action);
    memories.serve(Time::ZERO, &command, Cargo { words, call: None });
}

#[test]
fn addresses_lead_to_their_memories() {
    let memories = memories();
    let map = memories.addresses();
    let kind = |location: Option<Location>| location.map(|l| (map.memory(l.engine), l.offset));
    let pointer = crate::packet_pointer::packet_pointer(3, 0x44);
    assert_eq!(kind(map.resolve32(1, pointer, 64)), Some(((MemoryKind::Ctm, 1), 3 * 256 + 0x44)));
    assert_eq!(kind(map.resolve32(0, 0x3fffc, 4)), Some(((MemoryKind::Ctm, 0), 0x3fffc)));
    assert_eq!(kind(map.resolve32(0, 0x3fffc, 5)), None, "runs off the end");
    assert_eq!(kind(map.resolve32(0, 1 << 31 | 0x3ff << 16, 4)), None, "no packet buffer there");
    assert_eq!(kind(map.resolve40(24 << 32 | 0x100, 8)), Some(((MemoryKind::Emem, 0), 0x100)));
    assert_eq!(kind(map.resolve40(28 << 32, 8)), Some(((MemoryKind::Imem, 0), 0)));
    assert_eq!(kind(map.resolve40(33 << 32, 8)), Some(((MemoryKind::Ctm, 1), 0)));
    assert_eq!(kind(map.resolve40(34 << 32, 8)), None, "no such island");
    assert_eq!(kind(map.resolve40(24 << 32 | 0xffff_fffc, 8)), None, "runs off the end");
}

#[test]
fn what_one_order_writes_another_reads() {
    let mut memories = memories();
    let at = memories.addresses().resolve32(0, 5, 6).unwrap();
    let mut words = [0; MAX_WORDS];
    (words[0], words[1]) = (0x0403_0201, 0x0605);
    serve(&mut memories, at, 6, Action::Write(ByteOrder::SWAP), &mut words);
    let mut bytes = [0; 8];
    memories.store(MemoryKind::Ctm, 0).read(4, &mut bytes);
    assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 0]);
    serve(&mut memories, at, 4, Action::Read(ByteOrder::BIG), &mut words);
    assert_eq!(words[0], 0x0102_0304);
}

#[test]
fn the_host_reads_atomic_words_in_its_own_order() {
    let mut memories = memories();
    let table = memories.create_map(spec(MapType::ARRAY, 4, 16, 4), &[8, 12]).unwrap();
    let base = memories.maps().get(table).unwrap().place().base;
    let at =
        memories.addresses().resolve40(AddressMap::shared_address(MemoryKind::Emem, base + 2 * 16 + 8), 8).unwrap();
    let mut words = [0; MAX_WORDS];
    (words[0], words[1]) = (0xffff_ffff, 1);
    let add = Action::Atomic { op: AtomicOp::Add, wide: true, fetch: false };
    serve(&mut memories, at, 8, add, &mut words);
    (words[0], words[1]) = (2, 0);
    serve(&mut memories, at, 8, add, &mut words);
    let mut value = [0; 16];
    memories.store(MemoryKind::Emem, 0).read(base + 32, &mut value);
    assert_eq!(value[8..], [0, 0, 0, 1, 0, 0, 0, 2], "most significant byte first, low word first");
    let value = memories.user_lookup(table, &2u32.to_le_bytes()).unwrap();
    assert_eq!(u64::from_le_bytes(value[8..].try_into().unwrap()), 0x2_0000_0001);
    memories.user_update(table, &2u32.to_le_bytes(), &value, 0).unwrap();
    serve(&mut memories, at, 8, add, &mut words);
    let value = memories.user_lookup(table, &2u32.to_le_bytes()).unwrap();
    assert_eq!(u64::from_le_bytes(value[8..].try_into().unwrap()), 0x2_0000_0003);
}

#[test]
fn a_call_acts_at_once_and_leaves_its_accesses() {
    let mut memories = memories();
    let table = memories.create_map(spec(MapType::HASH, 8, 4, 16), &[]).unwrap();
    memories.start_log();
    let descriptor = memories.addresses().resolve40(IMEM_ISLAND << 32, 24).unwrap();
    let command = command(&memories, descriptor, 24, Action::Map);
    let mut words = [0; MAX_WORDS];
    let mut call = MapCall { op: MapOp::Update, table, key: vec![7; 8], value: vec![1, 2, 3, 4], ..MapCall::default() };
    memories.serve(Time::ZERO, &command, Cargo { words: &mut words, call: Some(Routine::Map(&mut call)) });
    assert_eq!(call.result, Ok(()));
    assert!(!call.log.accesses().is_empty());
    call.op = MapOp::Lookup;
    memories.serve(Time::ZERO, &command, Cargo { words: &mut words, call: Some(Routine::Map(&mut call)) });
    let offset = call.found.expect("the key was just put there");
    let base = memories.maps().get(table).unwrap().place().base;
    let at = memories
        .addresses()
        .resolve40(AddressMap::shared_address(MemoryKind::Emem, base + u64::from(offset)), 4)
        .unwrap();
    serve(&mut memories, at, 4, Action::Read(ByteOrder::SWAP), &mut words);
    assert_eq!(words[0], 0x0403_0201);
    let log = memories.take_log();
    assert_eq!(log.len(), 3);
    assert_eq!(log[2].actor.packet, PacketId(77));
    assert_eq!(log[2].event, Event::Read { table, offset, bytes: vec![1, 2, 3, 4] });
    assert_eq!(memories.user_entries(table), [(vec![7; 8], vec![1, 2, 3, 4])]);
    call.table = TableId(9);
    memories.serve(Time::ZERO, &command, Cargo { words: &mut words, call: Some(Routine::Map(&mut call)) });
}

#[test]
fn maps_that_do_not_fit_are_refused_by_size() {
    let mut memories = memories();
    let refusal = memories.create_map(spec(MapType::ARRAY, 4, 1 << 20, 1024), &[]).unwrap_err();
    assert_eq!(refusal.code, "card-memory-full");
    assert_eq!(refusal.actual.as_deref(), Some("1073741824 bytes"));
}

#[test]
fn map_bytes_are_found_by_address() {
    let mut memories = memories();
    let first = memories.create_map(spec(MapType::ARRAY, 4, 8, 3), &[]).unwrap();
    let second = memories.create_map(spec(MapType::ARRAY, 4, 8, 3), &[]).unwrap();
    let maps = memories.maps();
    let base = |table| maps.get(table).unwrap().place().base;
    let at = |offset| maps.at(MemoryKind::Emem, offset);
    assert_eq!(at(base(first) + 23), Some((first, 23)));
    assert_eq!(at(base(first) + 24), None);
    assert_eq!(at(base(second)), Some((second, 0)));
    assert_eq!(at(0), None);
    assert_eq!(maps.at(MemoryKind::Imem, base(second)), None);
}

/// Random maps, half of them wanted in internal memory: none overlaps another or leaves what maps may take, and what does
/// not fit inside lies outside.
#[test]
fn no_memory_is_overfilled() {
    let mut memories = memories();
    let imem = memories.addresses().bytes(MemoryKind::Imem);
    let room = memories.maps().free_bytes(MemoryKind::Imem);
    let mut seed = 1u32;
    for n in 0..200 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wanted = if n % 2 == 0 { MemoryKind::Imem } else { MemoryKind::Emem };
        let entries = 1 + (seed >> 16) % 4096;
        let before = memories.maps().free_bytes(MemoryKind::Imem);
        let table = memories.create_map_in(wanted, spec(MapType::ARRAY, 4, 64, entries), &[]).unwrap();
        let map = memories.maps().get(table).unwrap();
        let fits = wanted == MemoryKind::Imem && u64::from(map.map().region_size()) <= before;
        assert_eq!(map.place().memory == MemoryKind::Imem, fits);
        memories.user_update(table, &0u32.to_le_bytes(), &[n as u8; 64], 0).unwrap();
    }
    let maps = memories.maps();
    let mut regions: Vec<_> = maps.iter().map(|(_, map)| (map.place(), u64::from(map.map().region_size()))).collect();
    regions.sort_unstable();
    for pair in regions.windows(2) {
        assert!(pair[0].0.memory != pair[1].0.memory || pair[0].0.base + pair[0].1 <= pair[1].0.base, "{pair:?}");
    }
    let inside = regions.iter().filter(|(place, _)| place.memory == MemoryKind::Imem);
    assert!(inside.clone().all(|(place, bytes)| place.base >= 1 << 20 && place.base + bytes <= imem));
    assert!(inside.map(|(_, bytes)| bytes).sum::<u64>() <= room);
    for (n, table) in (0..200u8).zip(1..) {
        let value = memories.user_lookup(TableId(table), &0u32.to_le_bytes()).unwrap();
        assert_eq!(value, [n; 64]);
    }
}
