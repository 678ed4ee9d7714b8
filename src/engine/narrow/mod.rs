//! Whether a query may be run on a part of one table's rows, and on which part.
//!
//! Read off the checked logical plan. A row of the result comes from one row of the table when only projections,
//! filters, joins that keep or drop it, and unions of such lie between. Groups, windows and distinct rows need all rows
//! of a group: then the part must hold whole groups. Everything else (limits, the table on both sides of a join, in a
//! subquery, or where a row of it may be missing from the result because of another) allows no part at all.
//! Unknown kinds of plan are answered with no, never with a guess. To add one: an arm in [`Reader::read`].

#[cfg(test)]
mod tests;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, JoinType, LogicalPlan, Union};
use std::collections::BTreeSet;

/// How the rows of a result depend on those of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrow {
    /// By position in the result: the table's column that it is, value for value.
    pub columns: Vec<Option<String>>,
    /// Columns of the table that every group has in common; `None` when there are no groups and each row of the
    /// result comes from one row of the table.
    pub grouped_by: Option<BTreeSet<String>>,
}

type Found<T> = std::result::Result<T, String>;

/// Of the plan of a query that reads `table` (`layer.name`); else what stands in the way, as the end of a sentence.
/// To be called on a deep stack only.
pub(super) fn of(plan: &LogicalPlan, table: &str) -> Found<Narrow> {
    Reader { table }.read(plan)?.ok_or_else(|| format!("it reads no row of `{table}`"))
}

struct Reader<'a> {
    table: &'a str,
}

impl Reader<'_> {
    /// `None` for a plan that does not read the table.
    fn read(&self, plan: &LogicalPlan) -> Found<Option<Narrow>> {
        self.no_subquery(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                let is_it = self.is_table(scan.table_name.schema(), scan.table_name.table());
                if is_it && scan.fetch.is_some() {
                    return Err("a limit takes only some of its rows".into());
                }
                let fields = scan.projected_schema.fields().iter();
                let columns = fields.map(|field| Some(field.name().clone())).collect();
                Ok(is_it.then_some(Narrow { columns, grouped_by: None }))
            }
            LogicalPlan::Projection(projection) => self.map(&projection.input, |narrow, schema| {
                narrow.columns = projection.expr.iter().map(|expr| narrow.column(expr, schema)).collect();
                Ok(())
            }),
            LogicalPlan::Filter(filter) => self.read(&filter.input),
            LogicalPlan::SubqueryAlias(alias) => self.read(&alias.input),
            LogicalPlan::Subquery(subquery) => self.read(&subquery.subquery),
            LogicalPlan::Repartition(repartition) => self.read(&repartition.input),
            LogicalPlan::Sort(sort) => match (self.read(&sort.input)?, sort.fetch) {
                (Some(_), Some(_)) => Err("a limit takes only some of its rows".into()),
                (found, _) => Ok(found),
            },
            LogicalPlan::Limit(limit) => match self.read(&limit.input)? {
                Some(_) => Err("a limit takes only some of its rows".into()),
                None => Ok(None),
            },
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.map(&window.input, |narrow, schema| {
                for expr in &window.window_expr {
                    let WindowFunctionParams { partition_by, .. } = &window_of(expr)?.params;
                    narrow.group(partition_by, schema);
                }
                narrow.columns.resize(window.schema.fields().len(), None);
                Ok(())
            }),
            LogicalPlan::Distinct(Distinct::All(input)) => self.map(input, |narrow, _| {
                let all: BTreeSet<String> = narrow.columns.iter().flatten().cloned().collect();
                narrow.group_by(all);
                Ok(())
            }),
            LogicalPlan::Distinct(Distinct::On(on)) => self.map(&on.input, |narrow, schema| {
                narrow.group(&on.on_expr, schema);
                narrow.columns = on.select_expr.iter().map(|expr| narrow.column(expr, schema)).collect();
                Ok(())
            }),
            LogicalPlan::Unnest(unnest) => {
                let found = self.read(&unnest.input)?;
                Ok(found.map(|narrow| Narrow { columns: vec![None; unnest.schema.fields().len()], ..narrow }))
            }
            other => match self.is_read_below(other)? {
                true => Err("it stands in a part of the statement of which that cannot be told".to_string()),
                false => Ok(None),
            },
        }
    }

    fn is_table(&self, layer: Option<&str>, name: &str) -> bool {
        layer.is_some_and(|layer| self.table.strip_prefix(layer).and_then(|rest| rest.strip_prefix('.')) == Some(name))
    }

    fn map(
        &self,
        input: &LogicalPlan,
        change: impl FnOnce(&mut Narrow, &DFSchemaRef) -> Found<()>,
    ) -> Found<Option<Narrow>> {
        let Some(mut narrow) = self.read(input)? else { return Ok(None) };
        change(&mut narrow, input.schema())?;
        Ok(Some(narrow))
    }

    fn join(&self, join: &Join) -> Found<Option<Narrow>> {
        use JoinType::*;
        let (left, right) = (self.read(&join.left)?, self.read(&join.right)?);
        let missing = |kind| Err(format!("in a {kind} join a row of it may take another row away, or bring it"));
        let (widths, kind) = ((join.left.schema().fields().len(), join.right.schema().fields().len()), join.join_type);
        match (left, right, kind) {
            (None, None, _) => Ok(None),
            (Some(_), Some(_), _) => Err("it is joined with itself".into()),
            (Some(narrow), None, Inner | Left) => Ok(Some(narrow.beside(0, widths.1))),
            (None, Some(narrow), Inner | Right) => Ok(Some(narrow.beside(widths.0, 0))),
            (Some(narrow), None, LeftSemi | LeftAnti) | (None, Some(narrow), RightSemi | RightAnti) => Ok(Some(narrow)),
            (Some(narrow), None, LeftMark) | (None, Some(narrow), RightMark) => Ok(Some(narrow.beside(0, 1))),
            (_, _, kind) => missing(kind.to_string().to_lowercase()),
        }
    }

    fn union(&self, union: &Union) -> Found<Option<Narrow>> {
        let parts = union.inputs.iter().map(|input| self.read(input)).collect::<Found<Vec<_>>>()?;
        let found: Vec<Narrow> = parts.iter().flatten().cloned().collect();
        if found.len() < parts.len() && !found.is_empty() {
            return Err("a union brings rows that do not come from it".into());
        }
        Ok(found.into_iter().reduce(Narrow::united))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Found<Option<Narrow>> {
        self.map(&aggregate.input, |narrow, schema| {
            if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
                return Err("several sets of groups are made of its rows".into());
            }
            narrow.group(&aggregate.group_expr, schema);
            let groups = aggregate.group_expr.iter().map(|expr| narrow.column(expr, schema));
            let mut columns: Vec<Option<String>> = groups.collect();
            columns.resize(aggregate.schema.fields().len(), None);
            narrow.columns = columns;
            Ok(())
        })
    }

    /// A subquery that reads the table sees all of it in every row.
    fn no_subquery(&self, plan: &LogicalPlan) -> Found<()> {
        let mut within = false;
        for expr in plan.expressions() {
            let searched = expr.apply(|part| {
                let subquery = match part {
                    Expr::ScalarSubquery(subquery) => Some(&subquery.subquery),
                    Expr::InSubquery(within) => Some(&within.subquery.subquery),
                    Expr::Exists(exists) => Some(&exists.subquery.subquery),
                    Expr::SetComparison(compared) => Some(&compared.subquery.subquery),
                    _ => None,
                };
                within |= match subquery {
                    Some(plan) => self.is_read_below(plan).unwrap_or(true),
                    None => false,
                };
                Ok(if within { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            });
            searched.map_err(|error| error.to_string())?;
        }
        if within { Err("a subquery reads it too".into()) } else { Ok(()) }
    }

    fn is_read_below(&self, plan: &LogicalPlan) -> Found<bool> {
        let mut found = false;
        let searched = plan.apply_with_subqueries(|plan| {
            if let LogicalPlan::TableScan(scan) = plan {
                found |= self.is_table(scan.table_name.schema(), scan.table_name.table());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        searched.map(|_| found).map_err(|error| error.to_string())
    }
}

impl Narrow {
    /// The table's column that the expression is; casts and everything else make another value of it.
    fn column(&self, expr: &Expr, schema: &DFSchemaRef) -> Option<String> {
        match expr {
            Expr::Column(column) => self.named(column, schema),
            Expr::Alias(alias) => self.column(&alias.expr, schema),
            _ => None,
        }
    }

    fn named(&self, column: &Column, schema: &DFSchemaRef) -> Option<String> {
        self.columns.get(schema.maybe_index_of_column(column)?).cloned().flatten()
    }

    fn group(&mut self, by: &[Expr], schema: &DFSchemaRef) {
        let columns = by.iter().filter_map(|expr| self.column(expr, schema)).collect();
        self.group_by(columns);
    }

    fn group_by(&mut self, columns: BTreeSet<String>) {
        let common = match &self.grouped_by {
            Some(known) => known.intersection(&columns).cloned().collect(),
            None => columns,
        };
        self.grouped_by = Some(common);
    }

    fn beside(mut self, before: usize, after: usize) -> Narrow {
        let (before, after) = (vec![None; before], vec![None; after]);
        self.columns = [before, self.columns, after].concat();
        self
    }

    fn united(mut self, other: Narrow) -> Narrow {
        let same = |(one, other): (Option<String>, Option<String>)| one.filter(|name| other.as_ref() == Some(name));
        self.columns = self.columns.into_iter().zip(other.columns).map(same).collect();
        if let Some(columns) = other.grouped_by {
            self.group_by(columns);
        }
        self
    }
}

fn window_of(expr: &Expr) -> Found<&datafusion::logical_expr::expr::WindowFunction> {
    match expr {
        Expr::WindowFunction(function) => Ok(function),
        Expr::Alias(alias) => window_of(&alias.expr),
        _ => Err("a window is not understood".into()),
    }
}
