//! What every kind of test takes beside its arguments, in dbt's words, and what a number of failing rows means.

use std::fmt;

/// What a failing data test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// Reported; the table is published all the same.
    Warn,
    /// The table is not published.
    #[default]
    Error,
}

impl Severity {
    /// `warn` or `error`; the message says so otherwise.
    pub fn parse(text: &str) -> Result<Severity, String> {
        match text.to_ascii_lowercase().as_str() {
            "warn" => Ok(Severity::Warn),
            "error" => Ok(Severity::Error),
            _ => Err(format!("unknown severity `{text}`, use warn or error")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// As `>=` before `>`: the first that fits is meant.
const COMPARISONS: [(&str, Comparison); 8] = [
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("==", Comparison::Equal),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("=", Comparison::Equal),
    (">", Comparison::More),
    ("<", Comparison::Less),
];

/// dbt's `warn_if` and `error_if`: how many failing rows count, for example `> 10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    comparison: Comparison,
    rows: u64,
}

impl Threshold {
    /// Any row at all.
    pub const ANY: Threshold = Threshold { comparison: Comparison::NotEqual, rows: 0 };

    /// A comparison with a number; the message says so otherwise.
    pub fn parse(text: &str) -> Result<Threshold, String> {
        let text = text.trim();
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)));
        let parsed = found.and_then(|(comparison, rows)| {
            Some(Threshold { comparison: *comparison, rows: rows.trim().parse().ok()? })
        });
        parsed.ok_or_else(|| format!("`{text}` is no comparison with a number of rows, write for example \"> 10\""))
    }

    pub fn is_met(&self, failures: u64) -> bool {
        match self.comparison {
            Comparison::Equal => failures == self.rows,
            Comparison::NotEqual => failures != self.rows,
            Comparison::Less => failures < self.rows,
            Comparison::AtMost => failures <= self.rows,
            Comparison::More => failures > self.rows,
            Comparison::AtLeast => failures >= self.rows,
        }
    }

    /// Whether a single failing row meets it, and none does not.
    fn counts_any(&self) -> bool {
        let (comparison, rows) = (self.comparison, self.rows);
        matches!((comparison, rows), (Comparison::NotEqual | Comparison::More, 0) | (Comparison::AtLeast, 1))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARISONS.iter().find(|(_, comparison)| *comparison == self.comparison).map(|(sign, _)| *sign);
        write!(f, "{} {}", sign.unwrap_or_default(), self.rows)
    }
}

/// What becomes of the rows that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// They stay, and the test's severity says what that means for the table.
    #[default]
    Fail,
    /// They go to the model's table of rejected rows, the others are published.
    Quarantine,
}

impl OnFailure {
    /// `fail` or `quarantine`; the message says so otherwise.
    pub fn parse(text: &str) -> Result<OnFailure, String> {
        match text {
            "fail" => Ok(OnFailure::Fail),
            "quarantine" => Ok(OnFailure::Quarantine),
            _ => Err(format!("`on_failure` is fail or quarantine, not `{text}`")),
        }
    }
}

/// What a number of failing rows means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Warn,
    Fail,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    pub severity: Severity,
    /// dbt's `where`: SQL condition on the tested table.
    pub filter: Option<String>,
    pub warn_if: Option<Threshold>,
    pub error_if: Option<Threshold>,
    /// Failing rows after which no more are counted; never 0.
    pub limit: Option<u64>,
    pub on_failure: OnFailure,
}

impl Options {
    /// As dbt judges: with severity warn, `error_if` does not matter. Where failing rows are set aside, none may be
    /// left, whatever the thresholds say.
    pub fn judge(&self, failures: u64) -> Verdict {
        let error_if = self.error_if.filter(|_| self.on_failure == OnFailure::Fail).unwrap_or(Threshold::ANY);
        if self.severity == Severity::Error && error_if.is_met(failures) {
            return Verdict::Fail;
        }
        match self.warn_if.unwrap_or(Threshold::ANY).is_met(failures) {
            true => Verdict::Warn,
            false => Verdict::Pass,
        }
    }

    /// Of rows set aside: they fail a test only when its `error_if` is written out.
    pub fn judge_rejected(&self, rows: u64) -> Verdict {
        match (self.error_if, self.warn_if.unwrap_or(Threshold::ANY)) {
            (Some(error_if), _) if error_if.is_met(rows) => Verdict::Fail,
            (_, warn_if) if warn_if.is_met(rows) => Verdict::Warn,
            _ => Verdict::Pass,
        }
    }

    /// Whether no row of those it is about fails when it passes.
    pub fn counts_every_row(&self) -> bool {
        self.warn_if.is_none() && self.error_if.is_none()
    }

    /// Whether a table that passes has no failing row at all.
    pub(super) fn lets_no_row_pass(&self) -> bool {
        let strict = self.error_if.is_none_or(|threshold| threshold.counts_any());
        self.filter.is_none()
            && self.severity == Severity::Error
            && (strict || self.on_failure == OnFailure::Quarantine)
    }

    /// What of the options a check demands; the same for all that say no more than a severity.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = format!("{:?}", self.severity);
        if self.warn_if.is_some() || self.error_if.is_some() {
            text += &format!(" {:?} {:?} {:?}", self.warn_if, self.error_if, self.limit);
        }
        if self.on_failure == OnFailure::Quarantine {
            text += " quarantine";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_two() {
        assert_eq!(Severity::parse("WARN"), Ok(Severity::Warn));
        assert!(Severity::parse("fatal").unwrap_err().contains("use warn or error"));
    }

    #[test]
    fn a_threshold_is_a_comparison_with_a_number() {
        let table = [
            ("> 10", 10, false),
            (">10", 11, true),
            (">= 10", 10, true),
            ("<3", 3, false),
            ("<= 3", 3, true),
            ("= 0", 0, true),
            ("== 2", 3, false),
            ("!= 0", 1, true),
            ("<> 0", 0, false),
        ];
        for (text, failures, met) in table {
            assert_eq!(Threshold::parse(text).unwrap().is_met(failures), met, "{text} of {failures}");
        }
        for bad in ["10", "> x", "", "between 1 and 2", "> -1"] {
            assert!(Threshold::parse(bad).unwrap_err().contains("no comparison"), "{bad}");
        }
    }

    #[test]
    fn thresholds_and_severity_judge_as_in_dbt() {
        let options = |severity, warn_if: Option<&str>, error_if: Option<&str>| Options {
            severity,
            warn_if: warn_if.map(|text| Threshold::parse(text).unwrap()),
            error_if: error_if.map(|text| Threshold::parse(text).unwrap()),
            ..Options::default()
        };
        let table = [
            (options(Severity::Error, None, None), 0, Verdict::Pass),
            (options(Severity::Error, None, None), 1, Verdict::Fail),
            (options(Severity::Warn, None, None), 1, Verdict::Warn),
            (options(Severity::Error, None, Some("> 10")), 10, Verdict::Warn),
            (options(Severity::Error, None, Some("> 10")), 11, Verdict::Fail),
            (options(Severity::Error, Some("> 5"), Some("> 10")), 5, Verdict::Pass),
            (options(Severity::Warn, Some("> 5"), Some("> 10")), 11, Verdict::Warn),
            (options(Severity::Error, None, Some("= 0")), 0, Verdict::Fail),
            // What was to be set aside may not be left.
            (
                Options { on_failure: OnFailure::Quarantine, ..options(Severity::Error, None, Some("> 9")) },
                3,
                Verdict::Fail,
            ),
        ];
        for (options, failures, verdict) in table {
            assert_eq!(options.judge(failures), verdict, "{options:?} of {failures}");
        }
    }

    #[test]
    fn rows_set_aside_fail_a_test_only_when_it_says_so() {
        let error_if = Some(Threshold::parse("> 2").unwrap());
        for (error_if, rows, verdict) in [
            (None, 0, Verdict::Pass),
            (None, 9, Verdict::Warn),
            (error_if, 2, Verdict::Warn),
            (error_if, 3, Verdict::Fail),
        ] {
            let options = Options { on_failure: OnFailure::Quarantine, error_if, ..Options::default() };
            assert_eq!(options.judge_rejected(rows), verdict, "{error_if:?} of {rows}");
        }
    }

    #[test]
    fn only_a_test_that_lets_no_row_pass_proves_something_of_all() {
        let strict = Options::default();
        assert!(strict.lets_no_row_pass());
        for error_if in [("> 0", true), (">= 1", true), ("!= 0", true), ("> 10", false), ("= 0", false)] {
            let options = Options { error_if: Some(Threshold::parse(error_if.0).unwrap()), ..Options::default() };
            assert_eq!(options.lets_no_row_pass(), error_if.1, "{error_if:?}");
        }
        assert!(!Options { severity: Severity::Warn, ..Options::default() }.lets_no_row_pass());
        assert!(!Options { filter: Some("a".into()), ..Options::default() }.lets_no_row_pass());
    }
}
