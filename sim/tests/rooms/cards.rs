//! Cards in saved states: programs and maps bound to them, in bpftool's words and fields.

use bpf::diag::Diagnostic;
use serde_json::{Value, json};
use sim::bpftool::{Answer, Session, map, net, prog};
use sim::state;

use crate::support::scenario::scenarios;

struct State(String);

type Noun = fn(&mut Session<'_>, &[String]) -> Result<Answer, Diagnostic>;

fn read(file: &str) -> Result<Vec<u8>, Diagnostic> {
    Ok(std::fs::read(file).unwrap())
}

impl State {
    /// Runs a command on the state as its file has it.
    fn run(&mut self, noun: Noun, words: &str) -> Result<Answer, Diagnostic> {
        let mut system = state::from_text(&self.0).unwrap_or_else(|why| panic!("{why}"));
        let actor = system.actor();
        let mut session = Session { system: &mut system, actor, json: true, pins: false, read: &read };
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let answer = noun(&mut session, &words)?;
        system.exit(actor);
        let text = state::to_text(system);
        assert!(answer.changed || text == self.0, "{words:?}");
        self.0 = text;
        Ok(answer)
    }

    fn json(&mut self, noun: Noun, words: &str) -> Value {
        self.run(noun, words).unwrap_or_else(|why| panic!("{words}: {why}")).json
    }

    fn refused(&mut self, noun: Noun, words: &str) -> String {
        match self.run(noun, words) {
            Ok(_) => panic!("{words}: it is refused"),
            Err(why) => why.to_string(),
        }
    }
}

fn object(name: &str) -> String {
    scenarios().join("programs").join(name).to_str().unwrap().to_owned()
}

/// A state with a card of two ports.
fn with_card(profile: &str) -> State {
    let mut state = State(state::to_text(state::new(1)));
    assert!(!state.0.contains("cards") && state.0.contains("\"version\": 1"), "states without cards are as they were");
    let added = state.json(net, &format!("add card {profile}"));
    assert_eq!(added, json!({"card": "nic0", "profile": profile, "devices": ["nic0p0", "nic0p1"]}));
    assert!(state.0.contains("\"version\": 2"));
    state
}

#[test]
fn a_program_for_a_card_says_so() {
    let mut state = with_card("agilio-cx-2x40");
    state.json(prog, &format!("load {} /sys/fs/bpf/fw dev nic0p1", object("firewall.bpf.o")));
    let shown = state.json(prog, "show pinned /sys/fs/bpf/fw");
    let device = json!({"ifindex": 3, "ns_dev": 4, "ns_inode": 4_026_531_840u64, "ifname": "nic0p1"});
    assert_eq!((&shown["dev"], shown["jited"].as_bool()), (&device, Some(true)));
    // As many bytes as the card's words, which the dump shows.
    let words = state.json(prog, "dump jited pinned /sys/fs/bpf/fw");
    assert_eq!(shown["bytes_jited"].as_u64(), words.as_array().map(|words| 8 * words.len() as u64));
    for map in state.json(map, "show").as_array().unwrap() {
        assert_eq!((&map["dev"], &map["btf_id"]), (&device, &Value::Null), "a map on a card has no types");
    }
    let text = state.run(prog, "show pinned /sys/fs/bpf/fw").unwrap().text;
    assert!(text.contains("  offloaded_to nic0p1\n") && text.contains("  jited "), "{text}");
    // On the host it is another program.
    state.json(prog, &format!("load {} /sys/fs/bpf/host", object("firewall.bpf.o")));
    assert_eq!(state.json(prog, "show pinned /sys/fs/bpf/host")["dev"], Value::Null);
}

#[test]
fn it_goes_to_its_cards_ports() {
    let mut state = with_card("agilio-cx-2x40");
    state.json(prog, &format!("load {} /sys/fs/bpf/fw dev nic0p0", object("firewall.bpf.o")));
    state.json(prog, &format!("load {} /sys/fs/bpf/host", object("firewall.bpf.o")));
    for (words, sentence) in [
        (
            "attach xdpdrv pinned /sys/fs/bpf/fw dev nic0p0",
            "Using offloaded program without HW_MODE flag is not supported",
        ),
        ("attach xdpoffload pinned /sys/fs/bpf/fw dev lo", "Program bound to different device"),
        ("attach xdpoffload pinned /sys/fs/bpf/host dev nic0p0", "xdpoffload of non-bound program"),
    ] {
        let said = state.refused(net, words);
        assert!(said.contains("EINVAL") && said.contains(sentence), "{said}");
    }
    state.json(net, "attach xdpoffload pinned /sys/fs/bpf/fw dev nic0p0");
    state.json(net, "attach xdpoffload pinned /sys/fs/bpf/fw dev nic0p1");
    state.json(net, "attach xdpdrv pinned /sys/fs/bpf/host dev nic0p1");
    let said = state.refused(net, "attach xdpoffload pinned /sys/fs/bpf/fw dev nic0p1");
    assert!(said.contains("EBUSY: XDP program already attached"), "{said}");
    let shown = state.json(net, "show dev nic0p1");
    let at = |mode: &str, id: u32| json!({"devname": "nic0p1", "ifindex": 3, "mode": mode, "id": id});
    assert_eq!(shown[0]["xdp"], json!([at("driver", 2), at("offload", 1)]));
    state.json(net, "detach xdpoffload dev nic0p1");
    assert_eq!(state.json(net, "show dev nic0p1")[0]["xdp"], json!([at("driver", 2)]));
}

#[test]
fn maps_are_bound_as_the_driver_takes_them() {
    let mut state = with_card("agilio-cx-2x40");
    let create = |rest: &str| format!("create /sys/fs/bpf/m key 4 value 8 entries 16 name m {rest}");
    let said = state.refused(map, &create("type lru_hash dev nic0p0"));
    assert!(said.contains("EINVAL"), "{said}");
    let said = state.refused(map, &create("type hash flags 1 dev nic0p0"));
    assert!(said.contains("EINVAL: map flags are not supported"), "{said}");
    let said = state.refused(map, "create /sys/fs/bpf/m key 4 value 61 entries 16 name m type hash dev nic0p0");
    assert!(said.contains("ENOMEM: map elements too large: 72, FW max element size (key+value): 64"), "{said}");
    let said = state.refused(map, "create /sys/fs/bpf/m key 4 value 8 entries 4000000 name m type hash dev nic0p0");
    assert!(said.contains("ENOMEM: map with too many elements: 4000000, left: 3072000"), "{said}");
    state.json(map, &create("type hash dev nic0p0"));
    state.json(map, "update pinned /sys/fs/bpf/m key 1 0 0 0 value 2 0 0 0 0 0 0 0");
    assert_eq!(state.json(map, "lookup pinned /sys/fs/bpf/m key 1 0 0 0")["value"][0], json!("0x02"));
    // A card with wider firmware takes what Linux would not hand to a driver.
    let mut state = with_card("open-npu");
    state.json(map, &create("type lru_hash dev nic0p0"));
}

#[test]
fn what_a_card_does_not_take_is_refused_with_its_reason() {
    let mut state = with_card("agilio-cx-2x40");
    let before = state.0.clone();
    let said = state.refused(prog, &format!("load {} /sys/fs/bpf/s dev nic0p0", object("slices.bpf.o")));
    assert!(said.contains("EINVAL"), "an array of programs: {said}");
    assert_eq!(state.0, before, "nothing is left of it");
    let said = state.refused(prog, &format!("load {} /sys/fs/bpf/s dev eth0", object("firewall.bpf.o")));
    assert!(said.contains("there are: lo, nic0p0, nic0p1"), "{said}");
}

#[test]
fn when_a_card_goes_its_programs_are_orphans() {
    let mut state = with_card("agilio-cx-2x40");
    state.json(prog, &format!("load {} /sys/fs/bpf/fw dev nic0p0 pinmaps /sys/fs/bpf/maps", object("firewall.bpf.o")));
    state.json(net, "attach xdpoffload pinned /sys/fs/bpf/fw dev nic0p0");
    state.json(net, "remove nic0p0");
    // The other port has it all; it is the card's first now.
    let shown = state.json(prog, "show pinned /sys/fs/bpf/fw");
    assert_eq!(shown["dev"]["ifindex"], json!(3));
    assert_eq!(state.json(net, "show")[0]["xdp"], json!([]));
    state.json(net, "remove nic0p0");
    assert_eq!((state.json(prog, "show"), state.json(map, "show")), (json!([]), json!([])));
    let said = state.refused(prog, "show pinned /sys/fs/bpf/fw");
    assert!(said.contains("ENODEV"), "{said}");
    let said = state.refused(map, "dump pinned /sys/fs/bpf/maps/blocked");
    assert!(said.contains("ENODEV"), "{said}");
    // A new card of the same name is another.
    state.json(net, "add card agilio-cx-2x40 name nic0");
    assert!(state.refused(prog, "show pinned /sys/fs/bpf/fw").contains("ENODEV"));
}
