use super::*;

fn arena() -> (Arena, RegionId, RegionId) {
    let mut layout = Layout::default();
    let packet = layout.add(RegionKind::Packet, 70_000).unwrap();
    let map = layout.add(RegionKind::Map(MapId(0)), 64).unwrap();
    (layout.build(), packet, map)
}

fn kind(arena: &Arena, address: u64, size: u32, write: bool) -> Option<FaultKind> {
    arena.guard().check(address, size, write).err().map(|fault| fault.kind)
}

#[test]
fn regions_stand_on_granules_with_a_gap() {
    let (arena, packet, map) = arena();
    assert_eq!(arena.region(packet).base, GRANULE);
    // 70,000 bytes take two granules; one more is the gap.
    assert_eq!(arena.region(map).base, 4 * GRANULE);
}

#[test]
fn every_edge_of_a_window_holds() {
    let (mut arena, packet, _) = arena();
    arena.set_live(packet, 256, 60);
    let base = u64::from(arena.region(packet).live_base());
    for size in [1u32, 2, 4, 8] {
        assert_eq!(kind(&arena, base, size, true), None);
        assert_eq!(kind(&arena, base - 1, size, false), Some(FaultKind::OutOfBounds));
        assert_eq!(kind(&arena, base + 60 - u64::from(size), size, false), None);
        assert_eq!(kind(&arena, base + 61 - u64::from(size), size, true), Some(FaultKind::OutOfBounds));
    }
    // The region's second granule is outside the live part too.
    assert_eq!(kind(&arena, u64::from(2 * GRANULE), 1, false), Some(FaultKind::OutOfBounds));
}

#[test]
fn what_is_no_region_is_said_so() {
    let (arena, ..) = arena();
    assert_eq!(kind(&arena, 0, 1, false), Some(FaultKind::NullPointer));
    assert_eq!(kind(&arena, u64::from(GRANULE) - 1, 4, false), Some(FaultKind::NullPointer));
    assert_eq!(kind(&arena, u64::from(3 * GRANULE), 1, false), Some(FaultKind::Unmapped));
    assert_eq!(kind(&arena, 1 << 33 | u64::from(GRANULE), 1, false), Some(FaultKind::Unmapped));
    assert_eq!(kind(&arena, u64::MAX, 8, true), Some(FaultKind::Unmapped));
}

#[test]
fn a_program_is_not_there_to_be_changed_or_read() {
    let (arena, ..) = arena();
    assert_eq!(kind(&arena, IMAGE, 8, true), Some(FaultKind::ReadOnly));
    assert_eq!(kind(&arena, IMAGE + u64::from(GRANULE), 1, false), Some(FaultKind::OutOfBounds));
}

#[test]
fn an_access_may_cross_granules_inside_its_region() {
    let (mut arena, packet, _) = arena();
    let across = u64::from(2 * GRANULE) - 4;
    arena.slice_mut(across, 8).unwrap().copy_from_slice(b"straddle");
    assert_eq!(arena.slice(across, 8).unwrap(), b"straddle");
    assert_eq!(&arena.bytes_of(packet)[GRANULE as usize - 4..][..8], b"straddle");
}

#[test]
fn read_only_regions_refuse_stores_alone() {
    let (mut arena, _, map) = arena();
    let base = u64::from(arena.region(map).base);
    arena.set_writable(map, false);
    assert_eq!(kind(&arena, base, 8, false), None);
    assert_eq!(kind(&arena, base, 8, true), Some(FaultKind::ReadOnly));
}

#[test]
fn a_strict_region_holds_accesses_to_one_value() {
    let (mut arena, _, map) = arena();
    let base = u64::from(arena.region(map).base);
    arena.set_elements(map, Some(Elements { first: 8, stride: 16, size: 12, count: 3 }));
    for (off, size, wanted) in [
        (8, 8, None),
        (16, 4, None),
        (16, 8, Some(FaultKind::AcrossElements)),
        (20, 1, Some(FaultKind::AcrossElements)),
        (24, 8, None),
        (0, 4, Some(FaultKind::AcrossElements)),
        (40, 8, None),
        (56, 4, Some(FaultKind::AcrossElements)),
        (64, 1, Some(FaultKind::OutOfBounds)),
    ] {
        assert_eq!(kind(&arena, base + off, size, true), wanted, "offset {off} size {size}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_size() {
    let mut layout = Layout::default();
    layout.add(RegionKind::Stack, 4096).unwrap();
    let refusal = layout.add(RegionKind::Map(MapId(7)), 1 << 32).unwrap_err();
    assert_eq!(refusal.code, "arena-full");
    assert_eq!(refusal.actual.as_deref(), Some("4294967296 bytes"));
    layout.add(RegionKind::Map(MapId(7)), (1 << 32) - 8 * u64::from(GRANULE)).unwrap();
    assert_eq!(layout.add(RegionKind::Packet, u64::from(4 * GRANULE)).unwrap_err().code, "arena-full");
}

#[test]
fn faults_read_plainly() {
    let (arena, packet, _) = arena();
    let fault = arena.guard().check(u64::from(arena.region(packet).base) + 70_000, 4, false).unwrap_err().at(5);
    assert_eq!(fault.to_string(), "out of bounds at slot 5, address 0x21170 size 4, packet");
}
