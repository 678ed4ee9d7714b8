//! Which columns of tables the columns of a query's result come from.
//!
//! Read off the checked logical plan, before an optimizer moves or drops anything: a column comes from every column
//! its expression names, through projections, aggregates, window functions, unions, CTEs and subqueries. Apart from
//! these stand the influences: columns that decide which rows there are, how they are joined, grouped, partitioned
//! or ordered, and whose values reach no column by that. Never looks at data.
//!
//! A kind of plan that is not known here answers that each of its columns may come from any column below it. To add
//! one: an arm in [`Tracer::trace`], and a statement in the tests.

#[cfg(test)]
mod tests;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::expr::{AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, JoinType, LogicalPlan, RecursiveQuery, SortExpr, Subquery, TableScan,
};
use std::collections::{BTreeMap, BTreeSet};

/// Where the columns of a result come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// By position in the result.
    pub columns: Vec<BTreeSet<Source>>,
    /// What decides over rows and reaches no column.
    pub influences: BTreeSet<Source>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// `layer.name`
    pub table: String,
    pub column: String,
}

type Origins = BTreeSet<Source>;

/// The origins of what a plan returns. To be called on a deep stack only.
pub(super) fn of(plan: &LogicalPlan) -> Result<Lineage> {
    let mut tracer = Tracer::default();
    let columns = tracer.trace(plan)?;
    Ok(Lineage { columns, influences: tracer.influences })
}

/// What an expression may name: columns, and what is known of them.
#[derive(Clone)]
struct Scope {
    schema: DFSchemaRef,
    origins: Vec<Origins>,
}

impl Scope {
    fn find(&self, column: &Column) -> Option<&Origins> {
        self.origins.get(self.schema.maybe_index_of_column(column)?)
    }
}

#[derive(Default)]
struct Tracer {
    influences: Origins,
    /// The queries around a subquery, the innermost last.
    around: Vec<Scope>,
    /// Recursive CTEs that are being traced.
    recursive: BTreeMap<String, Vec<Origins>>,
}

impl Tracer {
    /// By position of the plan's columns.
    fn trace(&mut self, plan: &LogicalPlan) -> Result<Vec<Origins>> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(projection) => {
                let scopes = [self.scope(&projection.input)?];
                projection.expr.iter().map(|expr| self.origins(expr, &scopes)).collect()
            }
            LogicalPlan::Filter(filter) => {
                let scope = self.scope(&filter.input)?;
                self.influence([&filter.predicate], std::slice::from_ref(&scope))?;
                Ok(scope.origins)
            }
            LogicalPlan::Sort(sort) => {
                let scope = self.scope(&sort.input)?;
                self.influence(sort.expr.iter().map(|by| &by.expr), std::slice::from_ref(&scope))?;
                Ok(scope.origins)
            }
            LogicalPlan::Window(window) => {
                let scope = self.scope(&window.input)?;
                let scopes = [scope.clone()];
                let added: Result<Vec<Origins>> =
                    window.window_expr.iter().map(|expr| self.origins(expr, &scopes)).collect();
                Ok([scope.origins, added?].concat())
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let mut columns = vec![Origins::new(); union.schema.fields().len()];
                for input in &union.inputs {
                    merge(&mut columns, self.trace(input)?);
                }
                Ok(columns)
            }
            LogicalPlan::Unnest(unnest) => {
                let inner = self.trace(&unnest.input)?;
                let from = |at: &usize| inner.get(*at).cloned().unwrap_or_default();
                Ok(unnest.dependency_indices.iter().map(from).collect())
            }
            LogicalPlan::RecursiveQuery(query) => self.recursive(query),
            LogicalPlan::Subquery(subquery) => self.trace(&subquery.subquery),
            LogicalPlan::SubqueryAlias(alias) => self.trace(&alias.input),
            LogicalPlan::Limit(limit) => self.trace(&limit.input),
            LogicalPlan::Repartition(repartition) => self.trace(&repartition.input),
            LogicalPlan::Distinct(Distinct::All(input)) => self.trace(input),
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let scopes = [self.scope(&distinct.input)?];
                let order = distinct.sort_expr.iter().flatten().map(|by| &by.expr);
                self.influence(distinct.on_expr.iter().chain(order), &scopes)?;
                distinct.select_expr.iter().map(|expr| self.origins(expr, &scopes)).collect()
            }
            other => self.anything(other),
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Vec<Origins>> {
        let name = &scan.table_name;
        if let (TableReference::Bare { table }, false) = (name, self.recursive.is_empty())
            && let Some(known) = self.recursive.get(table.as_ref())
        {
            return Ok(known.clone());
        }
        let table = match name.schema() {
            Some(schema) => format!("{schema}.{}", name.table()),
            None => name.table().to_string(),
        };
        let source = |column: &String| Source { table: table.clone(), column: column.clone() };
        let fields = scan.projected_schema.fields().iter();
        Ok(fields.map(|field| Origins::from([source(field.name())])).collect())
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Vec<Origins>> {
        let scopes = [self.scope(&aggregate.input)?];
        let (groups, is_set): (Vec<&Expr>, bool) = match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(set)] => (set.distinct_expr(), true),
            plain => (plain.iter().collect(), false),
        };
        self.influence(groups.iter().copied(), &scopes)?;
        let mut columns = Vec::new();
        for group in groups {
            columns.push(self.origins(group, &scopes)?);
        }
        if is_set {
            // Says which of the sets a row belongs to.
            columns.push(Origins::new());
        }
        for aggregated in &aggregate.aggr_expr {
            columns.push(self.origins(aggregated, &scopes)?);
        }
        Ok(columns)
    }

    fn join(&mut self, join: &Join) -> Result<Vec<Origins>> {
        let left = self.scope(&join.left)?;
        // A lateral right side names columns of the left one.
        self.around.push(left.clone());
        let right = self.scope(&join.right);
        self.around.pop();
        let scopes = [left, right?];
        let keys = join.on.iter().flat_map(|(one, other)| [one, other]);
        self.influence(keys.chain(&join.filter), &scopes)?;
        let [Scope { origins: left, .. }, Scope { origins: right, .. }] = scopes;
        let mark = vec![Origins::new()];
        Ok(match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => [left, right].concat(),
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            JoinType::RightSemi | JoinType::RightAnti => right,
            JoinType::LeftMark => [left, mark].concat(),
            JoinType::RightMark => [right, mark].concat(),
        })
    }

    /// Goes round until nothing new is found: a column may move from place to place with each round.
    fn recursive(&mut self, query: &RecursiveQuery) -> Result<Vec<Origins>> {
        let mut columns = self.trace(&query.static_term)?;
        loop {
            let shadowed = self.recursive.insert(query.name.clone(), columns.clone());
            let round = self.trace(&query.recursive_term);
            match shadowed {
                Some(outer) => drop(self.recursive.insert(query.name.clone(), outer)),
                None => drop(self.recursive.remove(&query.name)),
            }
            let before = columns.clone();
            merge(&mut columns, round?);
            if columns == before {
                return Ok(columns);
            }
        }
    }

    fn anything(&mut self, plan: &LogicalPlan) -> Result<Vec<Origins>> {
        let mut below = Origins::new();
        for input in plan.inputs() {
            below.extend(self.trace(input)?.into_iter().flatten());
        }
        Ok(vec![below; plan.schema().fields().len()])
    }

    fn scope(&mut self, plan: &LogicalPlan) -> Result<Scope> {
        Ok(Scope { origins: self.trace(plan)?, schema: plan.schema().clone() })
    }

    fn influence<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>, scopes: &[Scope]) -> Result<()> {
        for expr in exprs {
            let origins = self.origins(expr, scopes)?;
            self.influences.extend(origins);
        }
        Ok(())
    }

    /// Everything the value of an expression is made of.
    fn origins(&mut self, expr: &Expr, scopes: &[Scope]) -> Result<Origins> {
        let mut found = Origins::new();
        expr.apply(|part| {
            match part {
                Expr::Column(column) => found.extend(named(column, scopes)),
                Expr::OuterReferenceColumn(_, column) => found.extend(named(column, &self.around)),
                Expr::ScalarSubquery(subquery) => found.extend(self.subquery(subquery, scopes)?),
                Expr::InSubquery(within) => found.extend(self.subquery(&within.subquery, scopes)?),
                Expr::SetComparison(compared) => found.extend(self.subquery(&compared.subquery, scopes)?),
                Expr::Exists(exists) => {
                    let columns = self.subquery(&exists.subquery, scopes)?;
                    self.influences.extend(columns);
                }
                Expr::AggregateFunction(function) => {
                    let AggregateFunctionParams { args, filter, order_by, .. } = &function.params;
                    found.extend(self.function(args, filter.as_deref(), order_by, &[], scopes)?);
                    return Ok(TreeNodeRecursion::Jump);
                }
                Expr::WindowFunction(function) => {
                    let WindowFunctionParams { args, filter, order_by, partition_by, .. } = &function.params;
                    found.extend(self.function(args, filter.as_deref(), order_by, partition_by, scopes)?);
                    return Ok(TreeNodeRecursion::Jump);
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }

    /// The arguments are the value; all else decides over rows.
    fn function(
        &mut self,
        args: &[Expr],
        filter: Option<&Expr>,
        order: &[SortExpr],
        partition: &[Expr],
        scopes: &[Scope],
    ) -> Result<Origins> {
        self.influence(filter.into_iter().chain(order.iter().map(|by| &by.expr)).chain(partition), scopes)?;
        let mut found = Origins::new();
        for argument in args {
            found.extend(self.origins(argument, scopes)?);
        }
        Ok(found)
    }

    fn subquery(&mut self, subquery: &Subquery, scopes: &[Scope]) -> Result<Origins> {
        let outer = self.around.len();
        self.around.extend_from_slice(scopes);
        let columns = self.trace(&subquery.subquery);
        self.around.truncate(outer);
        Ok(columns?.into_iter().flatten().collect())
    }
}

/// The innermost scope that knows the column.
fn named(column: &Column, scopes: &[Scope]) -> Origins {
    scopes.iter().rev().find_map(|scope| scope.find(column)).cloned().unwrap_or_default()
}

fn merge(columns: &mut [Origins], more: Vec<Origins>) {
    for (column, origins) in columns.iter_mut().zip(more) {
        column.extend(origins);
    }
}
