//! State files: whatever the bytes are, they are refused with a reason, or are a state that is written and read again.

/// A state's text.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match sim::state::from_text(text) {
        Err(why) => assert!(!why.reason.is_empty() && why.headline().lines().count() == 1, "{why:?}"),
        Ok(system) => {
            let once = sim::state::to_text(system);
            let again = sim::state::from_text(&once).unwrap_or_else(|why| panic!("{why}\n{once}"));
            assert_eq!(sim::state::to_text(again), once);
        }
    }
}
