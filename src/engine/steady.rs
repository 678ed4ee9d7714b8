//! Whether a query gives the same rows whenever it runs over the same tables, as far as its plan tells.
//!
//! Read off the checked logical plan. What it cannot tell are orders that leave ties: `limit`, `row_number()` and their
//! like give other rows then. To know another function that adds up numbers in no order: leave it out of [`EXACT`].

use super::{Session, deep, failed, plan};
use crate::error::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Volatility};

/// Functions of a group of floating numbers whose result does not depend on the order in which these come.
const EXACT: [&str; 9] = ["count", "min", "max", "median", "first_value", "last_value", "nth_value", "lag", "lead"];
/// Estimates follow from how the rows were shared out.
const ESTIMATE: &str = "approx_";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steadiness {
    /// A function whose answers do not follow from the rows: `now`, `random`.
    pub volatile: Option<String>,
    /// Floating numbers are added up: the last digits depend on the order of the rows.
    pub adds_floats: bool,
}

impl Session {
    /// See [`Steadiness`].
    pub async fn steadiness_of(&self, sql: &str) -> Result<Steadiness> {
        let (planner, tables, sql) = (self.planner.clone(), self.tables.clone(), sql.to_string());
        deep::run(move || async move {
            let plan = plan(&planner, &tables, &sql).await?;
            of(&plan).map_err(|error| failed(error, "look for what changes a query's rows"))
        })
        .await?
    }
}

/// To be called on a deep stack only.
fn of(plan: &LogicalPlan) -> datafusion::error::Result<Steadiness> {
    let mut found = Steadiness::default();
    plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|part| {
                found.note(part, node);
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

impl Steadiness {
    /// `node` is the part of the plan that works the expression out.
    fn note(&mut self, part: &Expr, node: &LogicalPlan) {
        let (name, arguments) = match part {
            Expr::ScalarFunction(call) => {
                let steady = call.func.signature().volatility == Volatility::Immutable;
                return self.note_volatile(call.name(), !steady);
            }
            Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
            Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
            _ => return,
        };
        self.note_volatile(name, name.starts_with(ESTIMATE));
        let inputs = node.inputs();
        let is_float = |argument: &Expr| {
            let known = inputs.iter().find_map(|input| argument.get_type(input.schema().as_ref()).ok());
            known.is_none_or(|data_type| data_type.is_floating())
        };
        self.adds_floats |= !EXACT.contains(&name) && arguments.iter().any(is_float);
    }

    fn note_volatile(&mut self, name: &str, is_volatile: bool) {
        if is_volatile && self.volatile.is_none() {
            self.volatile = Some(name.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineConfig};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[tokio::test]
    async fn clocks_chance_and_sums_of_floats_are_seen_wherever_they_stand() {
        let session = Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads: 1 }).unwrap().session();
        let fields = [("n", DataType::Int64), ("f", DataType::Float64), ("d", DataType::Decimal128(9, 2))];
        let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
        session.register_batches("t", Arc::new(schema), Vec::new()).unwrap();
        let table: [(&str, Option<&str>, bool); 12] = [
            ("select n, f * 2, upper(cast(n as text)) from t", None, false),
            ("select n, now() as at from t", Some("now"), false),
            ("select n from t where exists (select 1 from t as u where u.n > random() * 9)", Some("random"), false),
            ("with a as (select current_date as today) select today from a", Some("current_date"), false),
            ("select n from t order by uuid()", Some("uuid"), false),
            ("select sum(d), sum(n), max(f), min(f), count(f) from t", None, false),
            ("select n, round(sum(f)) from t group by n", None, true),
            ("select avg(f) from t", None, true),
            ("select n, sum(f) over (partition by n) from t", None, true),
            ("select n, row_number() over (partition by n order by f) from t", None, false),
            ("select n from t where n > (select stddev(f) from t)", None, true),
            ("select approx_distinct(n) from t", Some("approx_distinct"), false),
        ];
        for (sql, volatile, adds_floats) in table {
            let expected = Steadiness { volatile: volatile.map(String::from), adds_floats };
            assert_eq!(session.steadiness_of(sql).await.unwrap(), expected, "{sql}");
        }
    }
}
