//! What user space does to maps on the card while packets flow, against what packets met.

use serde_json::Value;

use crate::support::scenario;

/// The placements of the scenario with changes.
fn run(changes: &[(&str, &str)]) -> Vec<Value> {
    // 1 where an expectation is broken, as that of a placement that a card refuses.
    scenario::run(&scenario::changed("blocklist", changes)).ended(&[0, 1]).placements()
}

fn operations<'a>(placement: &'a Value, map: &str, operation: &str) -> &'a Value {
    let all = placement["measured"]["operations"].as_array().expect("operations");
    all.iter().find(|o| o["map"] == map && o["operation"] == operation).unwrap_or_else(|| panic!("{map} {operation}"))
}

fn bytes(hex: &Value) -> Vec<u8> {
    let text = hex.as_str().expect("hex digits");
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex digits")).collect()
}

/// Hits of a rule, little-endian behind its action.
fn hits(entry: &Value) -> u32 {
    u32::from_le_bytes(bytes(&entry["value"])[4..8].try_into().expect("a rule has 8 bytes"))
}

fn dropped(placement: &Value) -> u64 {
    let fates = placement["measured"]["fates"].as_array().expect("fates");
    fates.iter().filter(|f| f["outcome"] == "dropped").filter_map(|f| f["packets"].as_u64()).sum()
}

#[test]
fn a_list_is_filled_on_the_card_while_packets_flow() {
    let placements = run(&[]);
    for placement in &placements[..2] {
        let updates = operations(placement, "blocked", "update");
        assert_eq!((updates["done"].as_u64(), &updates["failed"]), (Some(7), &Value::Null), "{updates}");
        // Two crossings and the driver's first look after four microseconds.
        let least = updates["latency"]["min_ps"].as_u64().expect("it takes time");
        assert!((4_000_000..60_000_000).contains(&least), "{updates}");

        let dumps = &operations(placement, "blocked", "dump")["read"];
        assert_eq!((dumps[0]["entries"].as_u64(), dumps[1]["entries"].as_u64()), (Some(0), Some(7)));
        let counters = &operations(placement, "counters", "dump")["read"][0];
        assert_eq!(counters["entries"].as_u64(), Some(8), "an array has all its entries");

        // One rule's hits go up, and are read in the host's order.
        let reads = &operations(placement, "blocked", "lookup")["read"];
        let (first, second) = (hits(&reads[0]["contents"][0]), hits(&reads[1]["contents"][0]));
        assert!(first < second && second < 5_000, "{first} {second}");

        // The program counts what it drops, and the last dump comes when all has been dropped.
        let slot = counters["contents"].as_array().expect("entries")[6]["value"].clone();
        let counted = u64::from_le_bytes(bytes(&slot)[..8].try_into().expect("two words"));
        assert_eq!(counted, dropped(placement));
        let kept = placement["measured"]["maps"].as_array().expect("maps").iter().find(|m| m["name"] == "blocked");
        let kept: u64 = kept.expect("the map")["contents"].as_array().unwrap().iter().map(|e| u64::from(hits(e))).sum();
        assert!(kept < counted, "the hits of the rule that was removed went with it");
    }
    // Both translations meet the rules at the same times, give or take what is in work.
    let (driver, ours) = (dropped(&placements[0]), dropped(&placements[1]));
    assert!(driver.abs_diff(ours) < 50, "{driver} {ours}");
}

#[test]
fn every_failure_has_its_number_and_reason() {
    let placements = run(&[]);
    let failed = |placement: &Value, map: &str, operation: &str| {
        let failed = &operations(placement, map, operation)["failed"];
        let one = failed.as_array().filter(|failed| failed.len() == 1).unwrap_or_else(|| panic!("{failed}"))[0].clone();
        (one["errno"].as_str().expect("a name").to_owned(), one["why"].as_str().expect("words").to_owned())
    };
    for placement in &placements[..2] {
        let gone = ("ENOENT".to_owned(), "there is no such entry".to_owned());
        assert_eq!(failed(placement, "blocked", "delete"), gone);
        assert_eq!(failed(placement, "blocked", "lookup"), gone);
        let array = ("EINVAL".to_owned(), "entries of an array cannot be removed".to_owned());
        assert_eq!(failed(placement, "counters", "delete"), array);
    }
    assert_eq!(failed(&placements[2], "counters", "delete").0, "EINVAL");
}

#[test]
fn several_entries_an_answer_take_fewer_messages() {
    let messages = |placement: &Value| {
        let work = placement["measured"]["work"].as_array().expect("work");
        work.iter().find(|w| w["name"] == "card control messages").and_then(|w| w["total"].as_u64()).expect("a count")
    };
    let one = run(&[]);
    let several =
        run(&[("nic: agilio-cx-2x40", "nic: {profile: agilio-cx-2x40, set: {capabilities.control_entries: true}}")]);
    let (one, several) = (messages(&one[0]), messages(&several[0]));
    // Of each walk of n entries, n + 1 requests become n / 4 and a bit; values come with the keys either way.
    assert!(several + 8 <= one, "{several} of {one}");
    let own = run(&[("nic: agilio-cx-2x40", "nic: open-npu")]);
    assert_eq!(messages(&own[0]), several, "slots of another size, and the same messages");
}

#[test]
fn an_array_is_read_by_its_index_and_a_map_the_card_refuses_by_nobody() {
    let placements = run(&[("map: counters, delete: {key: 6}", "map: counters, lookup: {key: 6}")]);
    let read = &operations(&placements[0], "counters", "lookup")["read"][0];
    assert_eq!((read["entries"].as_u64(), bytes(&read["contents"][0]["key"])), (Some(1), vec![6, 0, 0, 0]));
    let narrow = "nic: {profile: agilio-cx-2x40, set: {capabilities.max_key: 16 B}}";
    let refused = run(&[("nic: agilio-cx-2x40", narrow)]);
    assert!(refused[0]["refusals"].as_array().is_some_and(|refusals| !refusals.is_empty()));
    assert_eq!(operations(&refused[2], "blocked", "update")["done"].as_u64(), Some(7), "the host does what it did");
}

fn work(placement: &Value, name: &str) -> u64 {
    let work = placement["measured"]["work"].as_array().expect("work");
    work.iter().find(|w| w["name"] == name).and_then(|w| w["total"].as_u64()).unwrap_or_else(|| panic!("{name}"))
}

/// Packets that the program has counted, by the kinds that every packet is one of.
fn counted(placement: &Value) -> u64 {
    let map = placement["measured"]["maps"].as_array().expect("maps").iter().find(|m| m["name"] == "counters");
    let contents = map.expect("the map")["contents"].as_array().expect("entries");
    let first = |entry: &Value| bytes(&entry["key"])[0];
    let packets = |entry: &&Value| u64::from_le_bytes(bytes(&entry["value"])[..8].try_into().expect("two words"));
    contents.iter().filter(|entry| first(entry) < 6).map(|entry| packets(&entry)).sum()
}

#[test]
fn a_program_is_replaced_while_packets_flow_and_its_maps_stay() {
    let offload = "offload: {attach: {xdp-offload: fw}}";
    let with = |replace: &str| format!("offload: {{attach: {{xdp-offload: fw}}, replace: [{replace}]}}");
    // By itself: every packet is counted once, whichever of the two it met.
    let same = run(&[(offload, &with("{at: 1 ms, with: fw}"))]);
    assert_eq!((counted(&same[0]), counted(&same[1])), (20_000, 20_000));
    assert_eq!((work(&same[0], "card programs replaced"), work(&same[0], "card programs not replaced")), (1, 0));
    assert!(work(&same[0], "card program loading ps") > 100_000_000, "hundreds of words into each of fifty cores");
    // By one that drops all; a second comes too soon.
    let drop = ("programs:\n", "programs:\n  all: {object: programs/drop.bpf.o}\n");
    let placements = run(&[(offload, &with("{at: 1 ms, with: all}, {at: 1001 us, with: fw}")), drop]);
    assert_eq!(work(&placements[0], "card programs not replaced"), 1);
    let (replaced, kept) = (dropped(&placements[0]), dropped(&placements[1]));
    assert!(replaced > kept + 5_000, "{replaced} {kept}");
    // The host has none to replace, and some cards cannot.
    let cannot = "nic: {profile: agilio-cx-2x40, set: {capabilities.live_reload: false}}";
    let refused = run(&[(offload, &with("{at: 1 ms, with: fw}")), ("nic: agilio-cx-2x40", cannot)]);
    assert_eq!(refused[0]["refusals"][0]["code"], "card-no-live-reload");
}
