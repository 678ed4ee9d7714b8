//! dbt's `freshness:` of a source: how old its newest row may be, as two tests, one that warns and one that fails.
//!
//! What a source says holds for its tables that say nothing; `freshness: null` takes it away. Without
//! `loaded_at_field` the time of the record in Kafka counts.

use crate::check::{Options, Rule, Severity};
use crate::model::fault::Faults;
use crate::model::fields::Fields;
use crate::model::node::{Node, Value};
use crate::model::rules::{DeclaredRule, DeclaredTest, expression};

pub(super) const KEYS: [&str; 2] = ["freshness", "loaded_at_field"];
const RECORD_TIME: &str = "_timestamp";
/// (name, its test's severity)
const LIMITS: [(&str, Severity); 2] = [("warn_after", Severity::Warn), ("error_after", Severity::Error)];
const PERIODS: [(&str, u64); 3] = [("minute", 60), ("hour", 3_600), ("day", 86_400)];

/// As one map says it; `None` for what it does not mention.
#[derive(Debug, Clone, Default)]
pub(super) struct Freshness<'a> {
    limits: Option<&'a Node>,
    field: Option<&'a Node>,
}

impl<'a> Freshness<'a> {
    /// From the first of the maps that has it.
    pub fn of(maps: &[&Fields<'a>]) -> Freshness<'a> {
        let first = |name| maps.iter().find_map(|fields| fields.get(name));
        Freshness { limits: first(KEYS[0]), field: first(KEYS[1]) }
    }

    pub fn or(self, outer: &Freshness<'a>) -> Freshness<'a> {
        Freshness { limits: self.limits.or(outer.limits), field: self.field.or(outer.field) }
    }

    /// The tests of the table `name`.
    pub fn tests(&self, name: &str, faults: &mut Faults) -> Vec<DeclaredTest> {
        let Some(node) = self.limits.filter(|node| !matches!(node.value, Value::Null)) else { return Vec::new() };
        let limits = Fields::of(node, "a freshness", &["warn_after", "error_after", "filter"], faults);
        let field = match self.field {
            None => Some(RECORD_TIME.to_string()),
            Some(node) => expression(node, KEYS[1], faults),
        };
        let filter = limits.get("filter").and_then(|node| expression(node, "filter", faults));
        let Some(field) = field else { return Vec::new() };
        let test = |(limit, severity): (&str, Severity)| {
            let node = limits.get(limit).filter(|node| !matches!(node.value, Value::Null))?;
            let rule = Rule::Freshness { field: field.clone(), seconds: age(node, limit, faults)? };
            let word = limit.trim_end_matches("_after");
            Some(DeclaredTest {
                place: node.place.clone(),
                name: Some(format!("freshness_{word}_bronze_{name}")),
                options: Options { severity, filter: filter.clone(), ..Options::default() },
                rule: DeclaredRule::Known(rule),
            })
        };
        LIMITS.into_iter().filter_map(test).collect()
    }
}

/// `{count: 12, period: hour}` in seconds.
fn age(node: &Node, what: &str, faults: &mut Faults) -> Option<u64> {
    let fields = Fields::of(node, what, &["count", "period"], faults);
    let (count, period) = (fields.required("count", faults), fields.required("period", faults));
    let ((count, count_at), (period, period_at)) = (count?, period?);
    let size = PERIODS.iter().find(|(name, _)| *name == period).map(|(_, seconds)| *seconds);
    let known = || PERIODS.map(|(name, _)| name).join(", ");
    let size = size.ok_or_else(|| period_at.fault(format!("unknown period `{period}` (known are {})", known())));
    let count: Result<u64, _> =
        count.parse().map_err(|_| count_at.fault(format!("`count` is a number, not `{count}`")));
    let (size, count) = (faults.keep(size), faults.keep(count));
    count?.checked_mul(size?).or_else(|| {
        faults.push(node.place.fault("longer than time is counted"));
        None
    })
}
