//! Numbers with a point beside floating numbers.
//!
//! `0.5` is a decimal here, so that money times a rate stays exact. Beside a floating number it would make that number a
//! decimal of 15 places: 1e-20 would be 0. As in PostgreSQL the literal becomes floating there instead, the double nearest
//! to what is written. And `1e5` is the whole number 100000: read as a 1 with five places before the point it breaks sums
//! and comparisons further on.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
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
            // What is above refers to a column by how it was written.
            let names = NamePreserver::new(&plan);
            let changed = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let changed = expr
                    .transform_up(whole)?
                    .transform_data(|expr| expr.transform_up(|expr| beside_floating(expr, &schema)))?;
                Ok(changed.update_data(|expr| name.restore(expr)))
            })?;
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

/// Whether it compares. Text beside a decimal would be rounded to its places: '1.54' would not be above 1.5.
fn compares(expr: &Expr) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    match expr {
        Expr::Between(_) | Expr::InList(_) => true,
        Expr::BinaryExpr(binary) => {
            matches!(binary.op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
        }
        _ => false,
    }
}

/// Makes the decimal literals floating that stand beside a floating operand, or are compared with text.
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
    let (mut floating, compares) = (false, compares(&expr));
    expr.apply_children(|operand| {
        let is_such = |data_type: DataType| data_type.is_floating() || (compares && data_type.is_string());
        floating |= operand.get_type(schema).is_ok_and(is_such);
        Ok(TreeNodeRecursion::Continue)
    })?;
    match floating {
        true => expr.map_children(as_floating),
        false => Ok(Transformed::no(expr)),
    }
}

/// A decimal whose digits end before the point, to its last digit.
fn whole(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::Literal(ScalarValue::Decimal128(Some(value), digits, places @ ..0), metadata) = expr else {
        return Ok(Transformed::no(expr));
    };
    let zeros = places.unsigned_abs();
    let long = digits.saturating_add(zeros);
    let written = 10_i128.checked_pow(zeros.into()).and_then(|power| value.checked_mul(power));
    let literal = match written.filter(|_| long <= DECIMAL128_MAX_PRECISION) {
        Some(written) => ScalarValue::Decimal128(Some(written), long, 0),
        None => ScalarValue::Decimal128(Some(value), digits, places),
    };
    Ok(Transformed::yes(Expr::Literal(literal, metadata)))
}

/// Casting goes digit by digit and ends beside it now and then.
fn nearest(decimal: &ScalarValue) -> Result<ScalarValue> {
    let text = match decimal {
        ScalarValue::Decimal128(Some(value), _, places) => format!("{value}e{}", -i16::from(*places)),
        ScalarValue::Decimal256(Some(value), _, places) => format!("{value}e{}", -i16::from(*places)),
        _ => return decimal.cast_to(&DataType::Float64),
    };
    match text.parse() {
        Ok(double) => Ok(ScalarValue::Float64(Some(double))),
        Err(_) => decimal.cast_to(&DataType::Float64),
    }
}

fn as_floating(operand: Expr) -> Result<Transformed<Expr>> {
    match operand {
        Expr::Literal(value, metadata) if is_decimal(&value) => {
            Ok(Transformed::yes(Expr::Literal(nearest(&value)?, metadata)))
        }
        Expr::Negative(inner) => Ok(as_floating(*inner)?.update_data(|inner| Expr::Negative(Box::new(inner)))),
        other => Ok(Transformed::no(other)),
    }
}
