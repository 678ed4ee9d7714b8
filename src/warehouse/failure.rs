//! Answers of a PostgreSQL server as our errors: whose fault, what was attempted, where in the SQL.

use crate::error::{Error, Kind, Result, excerpt};
use tokio_postgres::error::{DbError, ErrorPosition};

/// Names the attempt that failed and sorts the failure by its SQLSTATE.
pub trait Attempt<T> {
    fn attempt<M: Into<String>>(self, what: impl FnOnce() -> M) -> Result<T>;
}

impl<T> Attempt<T> for Result<T, tokio_postgres::Error> {
    fn attempt<M: Into<String>>(self, what: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| failure(error, what()))
    }
}

fn failure(error: tokio_postgres::Error, what: impl Into<String>) -> Error {
    let Some(answer) = error.as_db_error() else {
        return Error::new(Kind::Unavailable, what).caused_by(error);
    };
    let failed = Error::new(kind(answer.code().code()), what).caused_by(said(answer));
    match remedy(answer) {
        Some(remedy) => failed.hint(remedy),
        None => failed,
    }
}

/// True when the server itself said no, so that nothing is left in doubt.
pub fn refused(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| !matches!(&code.code()[..2], "08" | "57" | "58") && code.code() != "40003")
}

/// What depends on the column that a statement would have dropped or changed, in the server's words.
pub fn dependents(error: &tokio_postgres::Error) -> Option<String> {
    let answer = error.as_db_error().filter(|answer| matches!(answer.code().code(), "2BP01" | "0A000"))?;
    Some(answer.detail()?.replace('\n', ", "))
}

/// The line of a COPY, from 1, that the server refused, and the column if it says so: `COPY t, line 3, column c`.
pub fn copy_place(error: &tokio_postgres::Error) -> Option<(u64, Option<String>)> {
    line_and_column(error.as_db_error()?.where_()?)
}

/// The name of the check that a row failed.
pub fn failed_check(error: &tokio_postgres::Error) -> Option<&str> {
    error.as_db_error().filter(|answer| answer.code().code() == "23514")?.constraint()
}

fn line_and_column(context: &str) -> Option<(u64, Option<String>)> {
    let rest = context.lines().find(|line| line.starts_with("COPY "))?.rsplit_once(", line ")?.1;
    let (line, column) = match rest.split_once(", column ") {
        Some((line, column)) => (line, Some(column.to_string())),
        None => (rest, None),
    };
    Some((line.parse().ok()?, column))
}

fn kind(code: &str) -> Kind {
    match (code, &code[..2]) {
        ("40001" | "40P01" | "55P03", _) => Kind::Conflict,
        (_, "08" | "53" | "57" | "58") => Kind::Unavailable,
        (_, "22" | "23" | "54") => Kind::Input,
        (_, "28" | "3D" | "3F" | "42" | "0A" | "2B" | "55" | "25" | "P0") => Kind::Config,
        _ => Kind::Internal,
    }
}

/// What the server said in one line, with the place it named.
fn said(answer: &DbError) -> String {
    let mut text = answer.message().to_string();
    // Of a null or a failed condition they tell the whole row, which may hold what is nobody's business.
    let tells_the_row = matches!(answer.code().code(), "23502" | "23514");
    let places = if tells_the_row { [None, None] } else { [answer.detail(), answer.where_()] };
    for more in [places[0], answer.hint(), places[1]].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(&more.replace('\n', " "));
    }
    format!("{text} (SQLSTATE {})", answer.code().code())
}

fn remedy(answer: &DbError) -> Option<String> {
    let table = || match (answer.schema(), answer.table()) {
        (Some(schema), Some(table)) => format!("{schema}.{table}"),
        _ => "the table".to_string(),
    };
    let constraint = answer.constraint().unwrap_or("it");
    match answer.code().code() {
        "42501" => Some("grant the right to the role of warehouse.url, or use another role".into()),
        "23502" => {
            let column = answer.column().unwrap_or("it");
            Some(format!("test it with not_null, or: alter table {} alter column {column} drop not null", table()))
        }
        "23503" => Some(format!(
            "test it with relationships and mend the model, or: alter table {} drop constraint {constraint}",
            table()
        )),
        "23505" => Some(format!("test it with unique and mend the model; the constraint is {constraint}")),
        "23514" => Some("mend the model, or the check".into()),
        "2BP01" => Some("drop the dependent object in sql/warehouse and create it again there".into()),
        _ => None,
    }
}

/// An error in SQL that a person wrote: `file:line:column`, the line and a caret under the place.
pub fn fault(error: tokio_postgres::Error, sql: &str, file: Option<&str>) -> Error {
    let place = error.as_db_error().and_then(DbError::position).and_then(|position| match position {
        ErrorPosition::Original(at) => place(sql, *at as usize),
        ErrorPosition::Internal { .. } => None,
    });
    let name = file.unwrap_or("query");
    let what = match place {
        None => format!("run `{name}` in Postgres"),
        Some((line, column, text)) => {
            format!("run `{name}:{line}:{column}` in Postgres\n{}", excerpt(line, column, text))
        }
    };
    failure(error, what)
}

/// Line and column (both from 1) and the text of the line of the character `at` (from 1).
fn place(sql: &str, at: usize) -> Option<(usize, usize, &str)> {
    let (byte, _) = sql.char_indices().nth(at.checked_sub(1)?)?;
    let before = &sql[..byte];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let text = sql[start..].lines().next().unwrap_or_default();
    Some((line, before[start..].chars().count() + 1, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters() {
        assert_eq!(place("select 1", 8), Some((1, 8, "select 1")));
        assert_eq!(place("-- ö\nselect x\nfrom y", 13), Some((2, 8, "select x")));
        assert_eq!(place("select", 99), None);
        assert_eq!(place("select", 0), None);
    }

    #[test]
    fn the_line_of_a_copy_is_read() {
        let table = [
            ("COPY dim_book, line 3, column title", Some((3, Some("title".to_string())))),
            ("COPY lake_stage, line 12", Some((12, None))),
            ("COPY odd, line name, line 7", Some((7, None))),
            ("SQL function \"f\"\nCOPY t, line 2", Some((2, None))),
            ("PL/pgSQL function f() line 3 at RAISE", None),
        ];
        for (context, expected) in table {
            assert_eq!(line_and_column(context), expected, "{context}");
        }
    }

    #[test]
    fn codes_tell_whose_fault_it_is() {
        let table = [
            ("40001", Kind::Conflict),
            ("57P01", Kind::Unavailable),
            ("53300", Kind::Unavailable),
            ("23503", Kind::Input),
            ("28P01", Kind::Config),
            ("3D000", Kind::Config),
            ("42501", Kind::Config),
            ("XX000", Kind::Internal),
        ];
        for (code, expected) in table {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
