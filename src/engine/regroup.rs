//! Operators where the parser groups them in another way than SQL does.
//!
//! It reads all that follows `is [not] distinct from` as its right side, `and` and `or` included; there they bind looser.
//! Parentheses of the text are nodes of their own and stay as they are.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value, VisitorMut};
use std::ops::ControlFlow;

/// Groups each expression anew, from the innermost outwards.
pub(super) struct Regroup;

impl VisitorMut for Regroup {
    type Break = std::convert::Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let whole = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = match whole {
            Expr::IsDistinctFrom(left, right) => outwards(*right, |first| Expr::IsDistinctFrom(left, Box::new(first))),
            Expr::IsNotDistinctFrom(left, right) => {
                outwards(*right, |first| Expr::IsNotDistinctFrom(left, Box::new(first)))
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                outwards(*expr, |first| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(first) })
            }
            Expr::BinaryOp { left, op: BinaryOperator::And, right } if is_or(&right) => {
                outwards(*right, |first| Expr::BinaryOp { left, op: BinaryOperator::And, right: Box::new(first) })
            }
            other => other,
        };
        ControlFlow::Continue(())
    }
}

/// Puts `inner` around the first operand of what binds looser than it does.
fn outwards(expr: Expr, inner: impl FnOnce(Expr) -> Expr) -> Expr {
    match expr {
        Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor), right } => {
            Expr::BinaryOp { left: Box::new(outwards(*left, inner)), op, right }
        }
        other => inner(other),
    }
}

fn is_or(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::Or | BinaryOperator::Xor, .. })
}
