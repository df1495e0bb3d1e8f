//! Where maps lie changes no result, and no memory gets more of them than it has room for.

use bpf::facts::Facts;
use bpf::maps::Map;
use nic_model::memory::{MemoryKind, REGION_ALIGN};
use nic_model::profile;
use offload_jit::{Image, Mode, compile};

use crate::differential::{Pair, Rng, generate};
use crate::passes::verified;

/// Generated programs.
const PROGRAMS: u64 = 60;
/// Packets each is run on.
const PACKETS: usize = 4;
/// Bytes of internal memory for maps: none, a page, a few, more than anybody asks for.
const ROOMS: [u64; 4] = [0, 4096, 16384, 3 << 20];

/// Bytes of internal memory that an image's maps take.
fn inside(image: &Image) -> u64 {
    let maps = image.maps().iter().filter(|placed| placed.memory == MemoryKind::Imem);
    let bytes = |placed: &offload_jit::MapPlacement| {
        let spec = image.program().maps[placed.map.0 as usize].clone();
        let region = Map::new(spec, 1).expect("the program has it").region_size();
        u64::from(region).next_multiple_of(REGION_ALIGN)
    };
    maps.map(bytes).sum()
}

#[test]
fn results_do_not_depend_on_where_maps_lie() {
    let mut taken = [0; ROOMS.len()];
    for seed in 0..PROGRAMS {
        let program = generate::program(seed, true);
        let Some(verified) = verified(program.clone()) else { panic!("seed {seed}: Linux takes it") };
        let facts = Facts::of(&verified);
        let mut codes = Vec::new();
        for (room, taken) in ROOMS.into_iter().zip(&mut taken) {
            let mut card = profile::builtin("open-npu").expect("it comes with the project").capabilities;
            card.random.value = true;
            card.imem_maps.value.0 = room;
            let Ok(image) = compile(&verified, &facts, &card, Mode::Best) else { continue };
            assert!(inside(&image) <= room, "seed {seed}: {} bytes where there are {room}", inside(&image));
            *taken += inside(&image);
            let mut pair = Pair::new(&program, &image, &generate::entries()).expect("maps that the card takes");
            let mut rng = Rng::new(seed);
            let mut run = || {
                let bytes = 60 + rng.below(140) as usize;
                pair.compare(&rng.bytes(bytes)).unwrap_or_else(|difference| panic!("seed {seed}, {room}: {difference}"))
            };
            codes.push((0..PACKETS).map(|_| run()).collect::<Vec<_>>());
        }
        assert!(codes.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {codes:?}");
    }
    assert!(taken[0] == 0 && taken.is_sorted_by(|a, b| a < b), "{taken:?}");
}
