//! Card against interpreter on every packet of the trace, for every program of the project that a card takes.

use offload_jit::Mode;
use sim::compare::{self, Compared};
use sim::scenario::Scenario;

use crate::support::scenario::{frames, scenarios};

fn scenario(name: &str) -> Scenario {
    Scenario::load(&scenarios().join(name)).unwrap_or_else(|d| panic!("{d}"))
}

/// Both ways and in both modes, and the verdicts (dropped, passed, transmitted, aborted) that an independent count of the trace gives.
fn compare(name: &str, program: &str, verdicts: [u64; 4]) {
    let scenario = scenario(name);
    let packets = frames(&scenario.plays[0].path);
    let program = &scenario.programs[program];
    let slices = || packets.iter().map(Vec::as_slice);
    let expected = Compared { packets: 22_451, verdicts, events: 0 };
    for mode in Mode::ALL {
        let name = format!("{name}, mode {}", mode.id());
        let alone = compare::alone(&scenario.nic, program, mode, slices());
        assert_eq!(alone.unwrap_or_else(|d| panic!("{name}, alone: {d}")), expected, "{name}");
        let together = compare::together(&scenario.nic, program, mode, slices());
        let together = together.unwrap_or_else(|d| panic!("{name}, together: {d}"));
        assert_eq!(Compared { events: 0, ..together }, expected, "{name}");
    }
}

#[test]
fn drop() {
    compare("drop.yaml", "drop", [22_451, 0, 0, 0]);
}

#[test]
fn firewall() {
    compare("quickstart.yaml", "fw", [3_124, 19_327, 0, 0]);
}

#[test]
fn load_balancer() {
    compare("l4lb.yaml", "lb", [0, 10_128, 12_323, 0]);
}
