//! Numbers with a point beside floating numbers.
//!
//! `0.5` is a decimal here, so that money times a rate stays exact. Beside a floating number it would make that number a
//! decimal of 15 places: 1e-20 would be 0. As in PostgreSQL the literal becomes floating there instead.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Runs before types are brought together.
#[derive(Debug)]
pub(super) struct FloatingLiterals;

impl AnalyzerRule for FloatingLiterals {
    fn name(&self) -> &str {
        "floating_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        if !has_decimal_literal(&plan)? {
            return Ok(plan);
        }
        let done = plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                schema.merge(&scan.projected_schema);
            }
            let changed = plan.map_expressions(|expr| expr.transform_up(|expr| beside_floating(expr, &schema)))?;
            // Types of the columns above follow from those below.
            changed.map_data(|plan| plan.recompute_schema())
        })?;
        Ok(done.data)
    }
}

/// Most statements have none, and looking at every type takes a quarter of the time of planning.
fn has_decimal_literal(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(matches!(expr, Expr::Literal(value, _) if is_decimal(value))))?;
            Ok(continue_unless(found))
        })?;
        Ok(continue_unless(found))
    })?;
    Ok(found)
}

fn continue_unless(found: bool) -> TreeNodeRecursion {
    if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue }
}

fn is_decimal(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Decimal128(..) | ScalarValue::Decimal256(..))
}

/// Makes the decimal literals floating that stand beside a floating operand.
fn beside_floating(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let together = match &expr {
        Expr::BinaryExpr(_) | Expr::Between(_) | Expr::InList(_) | Expr::Case(_) => true,
        Expr::ScalarFunction(function) => {
            matches!(function.name(), "coalesce" | "greatest" | "least" | "nullif" | "nvl")
        }
        _ => false,
    };
    if !together {
        return Ok(Transformed::no(expr));
    }
    let mut floating = false;
    expr.apply_children(|operand| {
        floating |= operand.get_type(schema).is_ok_and(|data_type| data_type.is_floating());
        Ok(TreeNodeRecursion::Continue)
    })?;
    match floating {
        true => expr.map_children(as_floating),
        false => Ok(Transformed::no(expr)),
    }
}

fn as_floating(operand: Expr) -> Result<Transformed<Expr>> {
    match operand {
        Expr::Literal(value, metadata) if is_decimal(&value) => {
            Ok(Transformed::yes(Expr::Literal(value.cast_to(&DataType::Float64)?, metadata)))
        }
        Expr::Negative(inner) => Ok(as_floating(*inner)?.update_data(|inner| Expr::Negative(Box::new(inner)))),
        other => Ok(Transformed::no(other)),
    }
}
