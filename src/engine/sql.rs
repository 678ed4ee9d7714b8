//! Statements as text: what may be asked, which tables it reads, and where it is wrong.
//!
//! Only one query at a time (SELECT, WITH, VALUES), in the dialect the session plans: DataFusion's generic
//! one, close to PostgreSQL. Size and depth are limited, because parsers and planners recurse.

use super::deep;
use super::fault::{Fault, of_parser};
use super::json::bracketed;
use super::regroup::Regroup;
use crate::error::Result as OurResult;
use crate::ident::suggestion;
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Ident, ObjectNamePart, Query, SetExpr, Statement, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;

/// Longest statement, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Each operator may nest the expression tree one level deeper.
const MAX_OPERATORS: usize = 20_000;
/// Planned expressions are evaluated on ordinary threads, so a chain must stay short of their stack.
const MAX_DEPTH: usize = 400;
/// `union`, `except` and `intersect` of one statement: planning takes more than twice as long for twice as many.
const MAX_SET_OPERATIONS: usize = 400;
/// Parentheses, `case`s, `not`s and subqueries in each other.
const MAX_NESTING: usize = 200;
/// Levels the parser counts for the query around an expression.
const NESTING_AROUND: usize = 10;

/// A table name as a statement reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `["bronze", "books"]`; unquoted parts in lower case.
    pub parts: Vec<String>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Line and column behind the name.
    pub end: (usize, usize),
    /// The statement gives it a name of its own.
    pub is_renamed: bool,
}

/// The tables a query reads, in the order they stand in it; names of CTEs are no tables where they are visible.
pub fn references(sql: &str) -> Result<Vec<Reference>, Fault> {
    on_deep_stack(|| parse(sql).map(|query| query.references()))
}

/// Refuses a text that is not one expression and nothing else: in brackets it would mean something different.
pub fn check_expression(text: &str) -> Result<(), Fault> {
    on_deep_stack(|| {
        if text.len() > MAX_BYTES {
            return Err(Fault::new(format!("the expression is longer than {MAX_BYTES} bytes")));
        }
        let dialect = GenericDialect {};
        let parser = Parser::new(&dialect).with_recursion_limit(MAX_NESTING).try_with_sql(text);
        let mut parser = parser.map_err(|error| of_parser(&error))?;
        parser.parse_expr().map_err(|error| of_parser(&error))?;
        match parser.peek_token().token {
            Token::EOF => Ok(()),
            more => Err(Fault::new(format!("`{more}` follows a whole expression"))),
        }
    })
}

/// The same for two texts that differ in comments and white space only. Not for security.
pub fn fingerprint(sql: &str) -> String {
    let canonical = on_deep_stack(|| parse(sql).map(|query| query.0.to_string()));
    digest(&canonical.unwrap_or_else(|_| sql.trim().to_string()))
}

/// The same for the same text. Not for security.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
    let answer: OurResult<_> = deep::call(work);
    answer.unwrap_or_else(|error| Err(Fault::new(error.to_string())))
}

/// One query that may be planned. Made, used and dropped on a deep stack.
pub(super) struct Parsed(Box<Query>);

impl Parsed {
    /// With operators grouped as SQL has them, and every plain `timestamp` made one of microseconds, as everywhere in the lake: DataFusion's own
    /// reading, nanoseconds, ends in the year 2262.
    pub fn into_statement(mut self) -> Statement {
        let ControlFlow::Continue(()) = VisitMut::visit(self.0.as_mut(), &mut Microseconds);
        let ControlFlow::Continue(()) = VisitMut::visit(self.0.as_mut(), &mut Regroup);
        Statement::Query(self.0)
    }

    fn references(&self) -> Vec<Reference> {
        let mut reader = TableReader::default();
        let ControlFlow::Continue(()) = Visit::visit(self.0.as_ref(), &mut reader);
        reader.found
    }
}

/// Parses one query. To be called on a deep stack only.
pub(super) fn parse(sql: &str) -> Result<Parsed, Fault> {
    if sql.len() > MAX_BYTES {
        return Err(Fault::new(format!("the statement is longer than {MAX_BYTES} bytes")));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| placed(Fault::new(error.message), error.location))?;
    if tokens.iter().filter(|token| is_operator(&token.token)).count() > MAX_OPERATORS {
        return Err(Fault::new(format!("the statement has more than {MAX_OPERATORS} operators")));
    }
    let place = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_))).map(start_of);
    let place = place.unwrap_or(Location { line: 1, column: 1 });
    let end = tokens.last().map_or(place, |token| token.span.end);
    // Past its own limit the parser reads keywords as names, and makes another statement of the text.
    let is_deep = |tokens: &[TokenWithSpan]| nesting(tokens) + NESTING_AROUND > MAX_NESTING;
    let tokens = if is_deep(&tokens) { tokens } else { bracketed(tokens) };
    if is_deep(&tokens) {
        return Err(of_parser(&ParserError::RecursionLimitExceeded));
    }
    let mut statements = Parser::new(&dialect)
        .with_recursion_limit(MAX_NESTING)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| match of_parser(&error) {
            fault if fault.line.is_none() && fault.message.ends_with("found: EOF") => placed(fault, end),
            fault => fault,
        })?;
    let query = match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => query,
        (None, _) => return Err(placed(Fault::new("there is no query"), place)),
        (_, false) => return Err(placed(Fault::new("only one statement is allowed"), place)),
        (Some(_), true) => return Err(placed(Fault::new("only a query is allowed (SELECT, WITH or VALUES)"), place)),
    };
    let mut limits = Limits::default();
    match Visit::visit(query.as_ref(), &mut limits) {
        ControlFlow::Continue(()) => Ok(Parsed(query)),
        ControlFlow::Break(fault) => Err(fault),
    }
}

/// Refuses a query that reads a table nobody registered. `known` says so of its parts; `all`, asked only then, names
/// the known ones, `layer.name` or `name`.
pub(super) fn check_tables(
    query: &Parsed,
    known: impl Fn(&[String]) -> bool,
    all: impl Fn() -> Vec<String>,
) -> Result<(), Fault> {
    for reference in query.references() {
        if known(&reference.parts) {
            continue;
        }
        let (name, tables) = (reference.parts.join("."), all());
        let near = suggestion(&name, tables.iter().map(String::as_str));
        return Err(Fault::new(format!("table `{name}` not found{near}")).at(reference.line, reference.column));
    }
    Ok(())
}

fn start_of(token: &TokenWithSpan) -> Location {
    token.span.start
}

fn placed(fault: Fault, at: Location) -> Fault {
    fault.at(at.line as usize, at.column as usize)
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_none() && matches!(word.value.to_uppercase().as_str(), "AND" | "OR"),
        Token::Number(..) | Token::Whitespace(_) | Token::Comma | Token::Period | Token::EOF => false,
        Token::LParen | Token::RParen | Token::SemiColon | Token::Colon | Token::DoubleColon => false,
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => false,
        _ => true,
    }
}

/// How deep the tokens lie in each other: brackets, `case` to `end`, `not` after `not`.
fn nesting(tokens: &[TokenWithSpan]) -> usize {
    let (mut open, mut nots, mut deepest) = (0_usize, 0, 0);
    for token in tokens {
        let keyword = match &token.token {
            Token::Whitespace(_) => continue,
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        nots = if keyword == Keyword::NOT { nots + 1 } else { 0 };
        match (&token.token, keyword) {
            (Token::LParen, _) | (_, Keyword::CASE) => open += 1,
            (Token::RParen, _) | (_, Keyword::END) => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open + nots);
    }
    deepest
}

fn normalized(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Refuses what writes and what is too deep to be evaluated.
#[derive(Default)]
struct Limits {
    depth: usize,
    set_operations: usize,
}

/// The set operations between the selects of one query.
fn set_operations(body: &SetExpr) -> usize {
    let (mut left, mut count) = (vec![body], 0);
    while let Some(body) = left.pop() {
        if let SetExpr::SetOperation { left: one, right: other, .. } = body {
            count += 1;
            left.extend([one.as_ref(), other.as_ref()]);
        }
    }
    count
}

impl Visitor for Limits {
    type Break = Fault;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Fault> {
        let writes = match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => true,
            SetExpr::Select(select) => select.into.is_some(),
            _ => false,
        };
        if writes {
            return ControlFlow::Break(Fault::new("a query may only read"));
        }
        self.set_operations += set_operations(&query.body);
        if self.set_operations > MAX_SET_OPERATIONS {
            let message = format!("the statement has more than {MAX_SET_OPERATIONS} unions, excepts and intersects");
            return ControlFlow::Break(Fault::new(message));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Fault> {
        let instead = match factor {
            TableFactor::Pivot { .. } => {
                "PIVOT is not offered: write `sum(case when column = 'a' then 1 end) as a`, ..."
            }
            TableFactor::Unpivot { .. } => {
                "UNPIVOT is not offered: write one SELECT a column, with UNION ALL between them"
            }
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(Fault::new(instead))
    }

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("an expression has more than {MAX_DEPTH} operators in a row or in each other");
            return ControlFlow::Break(Fault::new(message));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Fault> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Collects table names. A CTE hides a table from the CTEs after it and from the body of its query.
#[derive(Default)]
struct TableReader {
    scopes: Vec<Scope>,
    found: Vec<Reference>,
}

#[derive(Default)]
struct Scope {
    visible: Vec<String>,
    /// CTEs whose own query was not read yet, by the address of that query.
    pending: Vec<(usize, String)>,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for TableReader {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut scope = Scope::default();
        if let Some(with) = &query.with {
            let ctes = with.cte_tables.iter().map(|cte| (address(&cte.query), normalized(&cte.alias.name)));
            match with.recursive {
                true => scope.visible = ctes.map(|(_, name)| name).collect(),
                false => scope.pending = ctes.collect(),
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        if let Some(outer) = self.scopes.last_mut()
            && let Some(done) = outer.pending.iter().position(|(pending, _)| *pending == address(query))
        {
            let (_, name) = outer.pending.swap_remove(done);
            outer.visible.push(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor {
            let idents: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
            let parts: Vec<String> = idents.iter().map(|ident| normalized(ident)).collect();
            let is_cte = parts.len() == 1 && self.scopes.iter().any(|scope| scope.visible.contains(&parts[0]));
            if let (Some(first), Some(last), false) = (idents.first(), idents.last(), is_cte) {
                let [at, end] = [first.span.start, last.span.end].map(|at| (at.line as usize, at.column as usize));
                let (line, column) = at;
                self.found.push(Reference { parts, line, column, end, is_renamed: alias.is_some() });
            }
        }
        ControlFlow::Continue(())
    }
}

struct Microseconds;

impl VisitorMut for Microseconds {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let data_type = match expr {
            Expr::Cast { data_type, .. } => Some(data_type),
            Expr::TypedString(typed) => Some(&mut typed.data_type),
            _ => None,
        };
        if let Some(DataType::Timestamp(precision @ None, _)) = data_type {
            *precision = Some(6);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Vec<String> {
        references(sql).unwrap().into_iter().map(|reference| reference.parts.join(".")).collect()
    }

    #[test]
    fn tables_are_found_where_they_stand() {
        let found = references("select *\nfrom Bronze.Books b\n join silver.\"Odd\" on true").unwrap();
        let places: Vec<_> = found.iter().map(|r| (r.parts.join("."), r.line, r.column)).collect();
        assert_eq!(places, [("bronze.books".into(), 2, 6), ("silver.Odd".into(), 3, 7)]);
    }

    #[test]
    fn names_of_ctes_are_tables_only_where_they_are_not_visible() {
        let table: [(&str, &[&str]); 9] = [
            ("with a as (select 1) select * from a", &[]),
            ("with A as (select 1) select * from a", &[]),
            ("with a as (select * from a) select * from a", &["a"]),
            ("with recursive a as (select * from a) select * from a", &[]),
            ("with a as (select * from b), b as (select * from a) select * from b", &["b"]),
            ("select * from (with a as (select 1) select * from a) x, a", &["a"]),
            ("with a as (select 1) select * from (select * from a union select * from gold.a) x", &["gold.a"]),
            ("select (select max(n) from silver.x) from generate_series(1, 3)", &["silver.x"]),
            ("select 1 where exists (select 1 from b) and 1 in (select n from c)", &["b", "c"]),
        ];
        for (sql, expected) in table {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }

    #[test]
    fn only_one_reading_query_is_allowed() {
        let refused = [
            "",
            "  -- nothing",
            "select 1; select 2",
            "drop table x",
            "insert into x values (1)",
            "set a = 1",
            "create table x as select 1",
            "explain select 1",
            "copy x to 'y'",
            "select 1 into x",
            "with a as (select 1) insert into x select * from a",
            "delete from x",
        ];
        for sql in refused {
            assert!(references(sql).is_err(), "{sql}");
        }
        for sql in ["select 1", "values (1)", "(select 1)", "select 1;", "with a as (select 1) select * from a"] {
            assert!(references(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn faults_have_a_place() {
        let table = [
            ("select a\nfrom x where", 2, 13),
            ("select a,, b from x", 1, 10),
            ("select 'open", 1, 8),
            ("\n  drop table x", 2, 3),
        ];
        for (sql, line, column) in table {
            let fault = references(sql).unwrap_err();
            assert_eq!((fault.line, fault.column), (Some(line), Some(column)), "{sql}: {fault}");
        }
    }

    #[test]
    fn depth_and_size_are_limited() {
        let chain = |operators: usize| format!("select 1{}", " + 1".repeat(operators));
        let nested = |levels: usize| format!("select {}1{}", "(".repeat(levels), ")".repeat(levels));
        assert!(references(&chain(300)).is_ok());
        assert!(references(&chain(1_000)).is_err());
        assert!(references(&chain(19_000)).is_err());
        assert!(references(&chain(200_000)).is_err());
        assert!(references(&nested(50)).is_ok());
        assert!(references(&nested(10_000)).is_err());
        let nots = |levels: usize| format!("select{} true", " not".repeat(levels));
        let cases =
            |levels: usize| format!("select {}1{}", "case when true then ".repeat(levels), " end".repeat(levels));
        assert!(references(&nots(100)).is_ok() && references(&cases(100)).is_ok());
        for deep in [nested(10_000), nots(5_000), cases(300)] {
            assert_eq!(references(&deep).unwrap_err().message, "the statement is nested too deeply");
        }
        let unions = |branches: usize| vec!["select 1"; branches].join(" union all ");
        assert!(references(&unions(401)).is_ok());
        let refused = references(&unions(402)).unwrap_err().message;
        assert_eq!(refused, "the statement has more than 400 unions, excepts and intersects");
        let list = vec!["1"; 20_000].join(", ");
        assert!(references(&format!("select 1 where 1 in ({list})")).is_ok());
        assert!(references(&format!("select '{}'", "x".repeat(MAX_BYTES))).is_err());
    }

    #[test]
    fn a_fingerprint_sees_through_layout_only() {
        let same = ["select a, b from x where a = 'A  b'", "select a,b -- why\nFROM x /* c */ WHERE a='A  b';"];
        assert_eq!(fingerprint(same[0]), fingerprint(same[1]));
        for other in ["select a, b from x where a = 'A b'", "select b, a from x where a = 'A  b'", "broken from"] {
            assert_ne!(fingerprint(same[0]), fingerprint(other), "{other}");
        }
        assert_eq!(fingerprint("select 1").len(), 32);
    }
}
