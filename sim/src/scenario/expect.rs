//! Expectations: `variant.metric >= value`.

use crate::report::{METRICS, Metric, VariantResult};

/// How a metric is held against a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `>`
    Above,
    /// `<`
    Below,
}

/// Spellings; those of two characters first, so that a search finds the longer one.
const RELATIONS: [(&str, Relation); 6] = [
    (">=", Relation::AtLeast),
    ("<=", Relation::AtMost),
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    (">", Relation::Above),
    ("<", Relation::Below),
];

impl Relation {
    fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Relation::AtLeast => left >= right,
            Relation::AtMost => left <= right,
            Relation::Equal => left == right,
            Relation::Unequal => left != right,
            Relation::Above => left > right,
            Relation::Below => left < right,
        }
    }
}

/// One expectation, checked against the scenario's variants.
#[derive(Clone)]
pub struct Expect {
    /// As written.
    pub text: String,
    /// The variant's name.
    pub variant: String,
    /// What is compared.
    pub metric: &'static Metric,
    /// How.
    pub relation: Relation,
    /// With what, in the metric's unit.
    pub value: u64,
}

impl Expect {
    /// Reads one expectation of a scenario with these variants.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(text: &str, variants: &[&str]) -> Result<Self, String> {
        let (at, spelling, relation) = RELATIONS
            .iter()
            .filter_map(|(s, r)| text.find(s).map(|at| (at, *s, *r)))
            .min_by_key(|(at, s, _)| (*at, usize::MAX - s.len()))
            .ok_or("an expectation reads VARIANT.METRIC >= VALUE; the comparison is one of >= <= == != > <")?;
        let (left, right) = (text[..at].trim(), text[at + spelling.len()..].trim());
        let (variant, metric) = left.split_once('.').ok_or_else(|| format!("`{left}` is not VARIANT.METRIC"))?;
        if !variants.contains(&variant) {
            return Err(format!("there is no variant `{variant}`; there are {}", variants.join(", ")));
        }
        let metric = Metric::named(metric).ok_or_else(|| {
            let names: Vec<_> = METRICS.iter().map(|m| m.name).collect();
            format!("there is no metric `{metric}`; there are {}", names.join(", "))
        })?;
        let value = metric.read(right)?;
        Ok(Self { text: text.to_owned(), variant: variant.to_owned(), metric, relation, value })
    }

    /// Whether it holds, and the value found in words.
    pub fn check(&self, variant: &VariantResult) -> (bool, String) {
        match (self.metric.get)(variant) {
            Some(found) => (self.relation.holds(found, self.value), self.metric.show(found)),
            None if !variant.refusals.is_empty() => (false, "nothing: the placement was refused".to_owned()),
            None => (false, "nothing: no packet counts for it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_relation_and_unit() {
        for (text, relation, value) in [
            ("a.throughput >= 25 Mpps", Relation::AtLeast, 25_000_000),
            ("a.latency.p99<=20 us", Relation::AtMost, 20_000_000),
            ("a.lost == 0", Relation::Equal, 0),
            ("a.loss < 5 %", Relation::Below, 50_000),
        ] {
            let expect = Expect::parse(text, &["a"]).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((expect.relation, expect.value), (relation, value), "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, part) in [
            ("a.throughput 25 Mpps", "comparison"),
            ("b.lost == 0", "no variant `b`"),
            ("a.speed > 1", "no metric `speed`"),
            ("a.latency.p50 < 20 Mpps", "Mpps"),
            ("throughput > 1", "VARIANT.METRIC"),
        ] {
            let error = Expect::parse(text, &["a"]).map(|_| ()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
