//! `report.json`: the results as they are.

use super::Results;

/// The file's text.
pub fn to_json(results: &Results) -> String {
    let mut text = serde_json::to_string_pretty(results).expect("structures with text keys always serialise");
    text.push('\n');
    text
}
