use bpf::program::{MapType, ProgType};

use super::*;
use crate::quantity::Bytes;
use crate::yaml::set;

#[test]
fn the_cards_of_the_project_are_sound() {
    for name in NAMES {
        let card = builtin(name).unwrap();
        assert_eq!(card.name, name);
        let text = yaml::to_string(&card).unwrap();
        assert_eq!(parse("resolved.yaml", &text).unwrap(), card, "{name} does not survive being written and read");
    }
}

#[test]
fn the_agilio_takes_what_its_driver_takes() {
    let card = builtin("agilio-cx-2x40").unwrap();
    let c = &card.capabilities;
    assert_eq!(*card.cores as u32 * u32::from(*card.contexts), 200);
    // The driver knows perf_event_output (25), and no public firmware announces it.
    for (id, taken) in
        [(1, true), (2, true), (3, true), (7, true), (25, false), (44, true), (65, true), (5, false), (28, false)]
    {
        assert_eq!(c.takes_helper(id), taken, "helper {id}");
    }
    assert!(c.takes_map(MapType::HASH) && c.takes_map(MapType::ARRAY) && !c.takes_map(MapType::PERCPU_ARRAY));
    assert!(
        c.takes_program(ProgType::Xdp)
            && c.takes_program(ProgType::SchedCls)
            && !c.takes_program(ProgType::SocketFilter)
    );
    assert!(c.takes_atomic("add") && !c.takes_atomic("xchg"));
}

#[test]
fn the_open_card_takes_all_this_project_has_and_no_more() {
    let c = builtin("open-npu").unwrap().capabilities;
    for row in &bpf::helpers::HELPERS {
        assert!(c.takes_helper(row.id));
    }
    assert!(!c.takes_helper(4) && !c.takes_helper(9_999));
    for kind in &bpf::maps::KINDS {
        assert!(c.takes_map(kind.ty));
    }
    assert!(!c.takes_map(MapType(33)));
}

#[test]
fn an_unknown_card_is_refused_with_a_suggestion() {
    let d = builtin("agilio-cx-2x4").unwrap_err();
    assert_eq!(d.code, "nic-unknown");
    assert_eq!(d.help.as_deref(), Some("did you mean agilio-cx-2x40? The cards are: agilio-cx-2x40, open-npu"));
}

#[test]
fn values_are_overridden_by_path_and_say_so() {
    let mut value = builtin_value("agilio-cx-2x40").unwrap();
    set(&mut value, "cores", Value::from(10)).unwrap();
    set(&mut value, "memories.emem.cache.size", Value::from("1 MiB")).unwrap();
    let card = from_value(value.clone()).unwrap();
    assert_eq!((*card.cores, card.cores.kind), (10, Kind::Given));
    assert_eq!(*card.memories.emem.cache.as_ref().unwrap().size, Bytes(1 << 20));
    let given: Vec<_> = card.provenance().into_iter().filter(|p| p.kind == Kind::Given).collect();
    assert_eq!(
        given.iter().map(|p| (p.path.as_str(), p.value.as_str())).collect::<Vec<_>>(),
        [("cores", "10"), ("memories.emem.cache.size", "1 MiB")]
    );

    set(&mut value, "clock", Value::from("800 Mhz")).unwrap();
    let error = from_value(value.clone()).unwrap_err();
    assert_eq!((error.path.as_str(), error.diagnostic.code), ("clock", "yaml-bad-value"));
    set(&mut value, "clock", Value::from("800 MHz")).unwrap();
    set(&mut value, "coers", Value::from(1)).unwrap();
    let error = from_value(value.clone()).unwrap_err();
    assert_eq!((error.path.as_str(), error.diagnostic.code), ("coers", "yaml-unknown-key"));
    assert!(error.diagnostic.help.unwrap().starts_with("did you mean `cores`?"));
}

#[test]
fn what_no_card_can_be_is_refused_by_path() {
    for (path, bad) in [
        ("cores", Value::from(0)),
        ("cores", Value::from(60_000)),
        ("contexts", Value::from(3)),
        ("memories.emem.interleave", Value::from("48 B")),
        ("memories.emem.cache.size", Value::from("3000 B")),
        ("memories.ctm.banks", Value::from(0)),
        ("packet_buffers.bytes", Value::from("512 KiB")),
        ("packet_buffers.granule", Value::from("32 B")),
        ("mac.rate", Value::from("0 bps")),
        ("mac.rx_fifo", Value::from("1 KiB")),
        ("rings.rss_table", Value::from(100)),
        ("capabilities.stack", Value::from("100 B")),
        ("capabilities.helpers", Value::from(vec!["map_look_up"])),
        ("capabilities.map_types", Value::from(vec!["hsh"])),
    ] {
        let mut value = builtin_value("agilio-cx-2x40").unwrap();
        set(&mut value, path, bad).unwrap();
        let error = from_value(value).expect_err(path);
        assert_eq!((error.path.as_str(), error.diagnostic.code), (path, "nic-bad-value"), "{}", error.diagnostic);
        assert!(error.diagnostic.limit.is_some() && error.diagnostic.actual.is_some());
    }
}

#[test]
fn a_users_card_says_only_what_differs() {
    let text = "base: open-npu\nname: mine\ncores: {value: 8, kind: assumed, source: me}\nmac:\n  ports: {value: 1, kind: assumed, source: me}\n";
    let card = parse("mine.yaml", text).unwrap();
    assert_eq!((card.name.as_str(), *card.cores, *card.mac.ports), ("mine", 8, 1));
    assert_eq!(card.mac.rate, builtin("open-npu").unwrap().mac.rate);
    let d = parse("mine.yaml", "base: agilio\nname: x\n").unwrap_err();
    assert_eq!(d.code, "nic-unknown");
    assert!(d.headline().starts_with("mine.yaml:1:7: "));
    let d = parse("mine.yaml", "base: open-npu\ncores: {value: 0, kind: assumed, source: me}\n").unwrap_err();
    assert!(d.headline().starts_with("mine.yaml:2:1: nic-bad-value: "), "{}", d.headline());
    assert_eq!(parse("mine.yaml", "name: mine\n").unwrap_err().code, "yaml-missing-key");
}

#[test]
fn every_assumption_has_its_reason() {
    for name in NAMES {
        for value in builtin(name).unwrap().provenance() {
            assert!(value.source.len() >= 5, "{}: {:?}", value.path, value.source);
        }
    }
}
