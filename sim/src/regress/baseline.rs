//! A baseline: the metrics of a scenario's placements, as they were when somebody blessed them.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::report::{METRICS, Metric, Results, Unit};

/// Version of the file's fields.
const SCHEMA: u32 = 1;

/// One scenario's baseline, a JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of these fields.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Tolerances that differ from the table of metrics, in parts of a million, by metric; kept by a bless.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tolerance_ppm: IndexMap<String, u64>,
    /// By variant.
    pub variants: IndexMap<String, Placement>,
}

/// One placement of a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Codes of the refusals; empty when it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What limited it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub limited_by: String,
    /// Values by metric.
    pub metrics: IndexMap<String, u64>,
}

/// Something that is not as in the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The variant.
    pub variant: String,
    /// The metric, or what else moved.
    pub metric: String,
    /// As blessed.
    pub old: String,
    /// As found.
    pub new: String,
    /// How far it went, in words.
    pub by: String,
}

impl Baseline {
    /// The baseline that a run would be blessed into; tolerances are taken over from the one before.
    pub fn of(results: &Results, before: Option<&Baseline>) -> Self {
        let variants = results.variants.iter().map(|v| {
            let metrics = METRICS.iter().filter_map(|m| (m.get)(v).map(|value| (m.name.to_owned(), value))).collect();
            let refused = v.refusals.iter().map(|r| r.code.clone()).collect();
            let limited_by = v.measured.as_ref().map_or(String::new(), |m| m.bottleneck.resource.clone());
            (v.name.clone(), Placement { refused, limited_by, metrics })
        });
        Self {
            schema: SCHEMA,
            scenario: results.scenario.clone(),
            tolerance_ppm: before.map_or(IndexMap::new(), |b| b.tolerance_ppm.clone()),
            variants: variants.collect(),
        }
    }

    /// Reads a baseline's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let baseline: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if baseline.schema != SCHEMA {
            return Err(format!("it has schema {} and this version reads {SCHEMA}; bless it anew", baseline.schema));
        }
        match baseline.tolerance_ppm.keys().find(|name| Metric::named(name).is_none()) {
            Some(unknown) => Err(format!("it has a tolerance for `{unknown}`, which is no metric")),
            None => Ok(baseline),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("maps with text keys always serialise");
        text.push('\n');
        text
    }

    /// What in `now` is not as in this baseline, in the order of the report.
    ///
    /// `counts_only` leaves out what depends on time and on the code a compiler chose: then only verdicts count.
    pub fn moved(&self, now: &Baseline, counts_only: bool) -> Vec<Moved> {
        let mut moved = Vec::new();
        for (name, old) in &self.variants {
            match now.variants.get(name) {
                Some(new) => self.placement_moved(name, old, new, counts_only, &mut moved),
                None => moved.push(change(name, "variant", "there", "gone")),
            }
        }
        for name in now.variants.keys().filter(|name| !self.variants.contains_key(*name)) {
            moved.push(change(name, "variant", "not in the baseline", "there"));
        }
        moved
    }

    fn placement_moved(&self, name: &str, old: &Placement, new: &Placement, counts_only: bool, moved: &mut Vec<Moved>) {
        let refused = |p: &Placement| if p.refused.is_empty() { "runs".to_owned() } else { p.refused.join(", ") };
        if old.refused != new.refused {
            moved.push(change(name, "refusals", &refused(old), &refused(new)));
            return;
        }
        if old.limited_by != new.limited_by && !counts_only {
            moved.push(change(name, "limited by", &old.limited_by, &new.limited_by));
        }
        for metric in METRICS {
            let outcome = metric.unit == Unit::Count && !metric.name.contains('.');
            if counts_only && !outcome {
                continue;
            }
            match (old.metrics.get(metric.name), new.metrics.get(metric.name)) {
                (Some(&a), Some(&b)) => {
                    let tolerance = self.tolerance_ppm.get(metric.name).copied().unwrap_or(metric.tolerance_ppm);
                    if u128::from(a.abs_diff(b)) * 1_000_000 > u128::from(a) * u128::from(tolerance) {
                        moved.push(Moved {
                            by: by(a, b),
                            ..change(name, metric.name, &metric.show(a), &metric.show(b))
                        });
                    }
                }
                (None, None) => {}
                (a, b) => {
                    let show = |v: Option<&u64>| v.map_or("nothing".to_owned(), |v| metric.show(*v));
                    moved.push(change(name, metric.name, &show(a), &show(b)));
                }
            }
        }
    }
}

fn change(variant: &str, metric: &str, old: &str, new: &str) -> Moved {
    Moved {
        variant: variant.to_owned(),
        metric: metric.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
        by: String::new(),
    }
}

/// Relative change in percent with two decimals, in integers.
fn by(old: u64, new: u64) -> String {
    if old == 0 {
        return String::new();
    }
    let hundredths = u128::from(old.abs_diff(new)) * 10_000 / u128::from(old);
    let sign = if new >= old { '+' } else { '-' };
    format!("{sign}{}.{:02} %", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(throughput: u64, dropped: u64) -> Baseline {
        let metrics = [("throughput".to_owned(), throughput), ("dropped".to_owned(), dropped)].into_iter().collect();
        let placement = Placement { refused: vec![], limited_by: "card cores".into(), metrics };
        Baseline {
            schema: SCHEMA,
            scenario: "s".into(),
            tolerance_ppm: IndexMap::new(),
            variants: [("offload".to_owned(), placement)].into_iter().collect(),
        }
    }

    #[test]
    fn tolerance_is_per_metric() {
        let old = baseline(1_000_000, 10);
        assert_eq!(old.moved(&baseline(1_002_000, 10), false), []);
        let moved = old.moved(&baseline(990_000, 11), false);
        let brief: Vec<_> = moved.iter().map(|m| (m.metric.as_str(), m.by.as_str())).collect();
        assert_eq!(brief, [("throughput", "-1.00 %"), ("dropped", "+10.00 %")]);
        assert_eq!((moved[1].old.as_str(), moved[1].new.as_str()), ("10", "11"));
    }

    #[test]
    fn a_tolerance_in_the_file_wins_and_survives_a_bless() {
        let mut old = baseline(1_000_000, 10);
        old.tolerance_ppm.insert("throughput".into(), 50_000);
        assert_eq!(old.moved(&baseline(960_000, 10), false), []);
        assert_eq!(Baseline::parse(&old.to_text()), Ok(old));
    }

    #[test]
    fn only_verdicts_when_only_verdicts_count() {
        let old = baseline(1_000_000, 10);
        assert_eq!(old.moved(&baseline(1, 10), true), []);
        assert_eq!(old.moved(&baseline(1, 9), true).len(), 1);
    }

    #[test]
    fn a_variant_that_comes_or_goes_is_a_change() {
        let old = baseline(1, 1);
        let mut new = old.clone();
        let placement = new.variants.shift_remove("offload").unwrap();
        new.variants.insert("native".into(), placement);
        let names: Vec<_> = old.moved(&new, false).into_iter().map(|m| m.variant).collect();
        assert_eq!(names, ["offload", "native"]);
    }
}
