//! What a run spent its time on: the models and tests that took longest.

use super::columns::columns;
use crate::flow::promote::Report;

/// How many are told.
const MOST: usize = 5;
/// Below this nobody waits for one.
const LEAST_SECONDS: f64 = 1.0;

/// A line for each, the longest first; none when none took long.
pub fn slowest(report: &Report) -> Option<String> {
    let models = report.models.iter().map(|model| (model.seconds, "model", &model.table));
    let tests = report.tests.iter().map(|test| (test.seconds, "test", &test.name));
    let mut all: Vec<_> = models.chain(tests).filter(|(seconds, ..)| *seconds >= LEAST_SECONDS).collect();
    all.sort_by(|one, other| other.0.total_cmp(&one.0));
    let row = |(seconds, kind, name): &(f64, &str, &String)| {
        vec![format!("{seconds:.1}"), kind.to_string(), name.to_string()]
    };
    let rows: Vec<Vec<String>> = all.iter().take(MOST).map(row).collect();
    (!rows.is_empty()).then(|| columns(&["seconds", "", "slowest"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::checks::{TestReport, TestStatus};
    use crate::flow::promote::{ModelReport, ModelStatus};

    fn model(table: &str, seconds: f64) -> ModelReport {
        let (table, reason) = (table.to_string(), String::new());
        let status = ModelStatus::Built;
        ModelReport { table, status, reason, rows: 0, files: None, rejected: 0, version: None, seconds }
    }

    fn test(name: &str, seconds: f64) -> TestReport {
        let (name, table, status) = (name.to_string(), "gold.a".to_string(), TestStatus::Pass);
        TestReport { name, table, status, failures: 0, message: None, kept_at: None, evidence: None, seconds }
    }

    #[test]
    fn those_that_took_longest_are_told_first() {
        let models = vec![model("gold.a", 1.04), model("gold.b", 0.9), model("gold.c", 12.0)];
        let report = Report { models, tests: vec![test("unique_a", 3.0)], ..Report::default() };
        let expected =
            "seconds         slowest\n   12.0  model  gold.c\n    3.0  test   unique_a\n    1.0  model  gold.a\n";
        assert_eq!(slowest(&report).as_deref(), Some(expected));
        assert_eq!(slowest(&Report { models: vec![model("gold.a", 0.99)], ..Report::default() }), None);
        let many = (1..9).map(|n| model("gold.a", f64::from(n))).collect();
        assert_eq!(slowest(&Report { models: many, ..Report::default() }).unwrap().lines().count(), 1 + MOST);
    }
}
