//! What somebody may have meant.

/// The candidate nearest to `given` by edit distance, if it is near enough to be a slip.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.to_lowercase().chars().take(64).collect();
    let (distance, best) =
        candidates.into_iter().map(|c| (distance(&given, c), c)).min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + given.len() / 4).then_some(best)
}

/// A suggestion for a word that is none of `allowed`.
pub(super) fn among(what: &str, given: &str, allowed: &[&str]) -> String {
    let list = allowed.join(", ");
    match nearest(given, allowed.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? The {what} here are: {list}"),
        None => format!("the {what} here are: {list}"),
    }
}

/// Edit distance with neighbouring letters swapped counting once (Damerau-Levenshtein, restricted form).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut best = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        assert_eq!(nearest("coers", ["clock", "cores", "contexts"]), Some("cores"));
        assert_eq!(nearest("Agilio-cx-2x40", ["agilio-cx-2x40", "open-npu"]), Some("agilio-cx-2x40"));
        assert_eq!(nearest("bluefield", ["agilio-cx-2x40", "open-npu"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
