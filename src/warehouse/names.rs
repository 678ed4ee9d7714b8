//! Names PostgreSQL can hold. It cuts longer ones in silence, and two of them could become one; here they
//! are refused. Everything else is taken as it is, quoted: case, reserved words, any script.

use crate::error::{Error, Result};

const MOST_BYTES: usize = 63;

/// Columns every table has already.
const SYSTEM_COLUMNS: &[&str] = &["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Why Postgres cannot hold the name; `None` when it can.
fn fault(name: &str) -> Option<String> {
    match name {
        "" => Some("is empty".into()),
        _ if name.len() > MOST_BYTES => Some(format!("has {} bytes, Postgres holds {MOST_BYTES}", name.len())),
        _ if name.contains('\0') => Some("contains a NUL".into()),
        _ => None,
    }
}

pub fn check_table(table: &str) -> Result<()> {
    let Some(fault) = fault(table) else { return Ok(()) };
    Err(Error::config(format!("the table name `{}` {fault}", table.escape_debug())).hint("rename the model"))
}

pub fn check_column(table: &str, column: &str) -> Result<()> {
    let taken = SYSTEM_COLUMNS.contains(&column).then(|| "is one that Postgres gives every table itself".to_string());
    let Some(fault) = fault(column).or(taken) else { return Ok(()) };
    let message = format!("the column name `{}` of `{table}` {fault}", column.escape_debug());
    Err(Error::config(message).hint("rename it in the model"))
}

pub fn check_constraint(table: &str, constraint: &str) -> Result<()> {
    let Some(fault) = fault(constraint) else { return Ok(()) };
    let message = format!("the name `{}` of a check of `{table}` {fault}", constraint.escape_debug());
    Err(Error::config(message).hint("rename it in the contract"))
}

/// Checks `warehouse.schema`.
pub fn check_schema(schema: &str) -> Result<()> {
    let reserved = schema.starts_with("pg_") || ["information_schema", "$user"].contains(&schema);
    let reserved = reserved.then(|| "is reserved by Postgres".to_string());
    let taken = (schema == "lake").then(|| "belongs to the ledger of the loads".to_string());
    let Some(fault) = fault(schema).or(reserved).or(taken) else { return Ok(()) };
    let message = format!("the schema name `{}` {fault}", schema.escape_debug());
    Err(Error::config(message).hint("set another warehouse.schema"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_rather_than_cut() {
        let (fits, long) = ("ä".repeat(31), "ä".repeat(32));
        for name in ["select", "Text", "a\"b; drop table x", "книга", fits.as_str()] {
            check_schema(name).unwrap();
            check_table(name).unwrap();
            check_column("t", name).unwrap();
            check_constraint("t", name).unwrap();
        }
        for name in ["", long.as_str(), "a\0b"] {
            assert!(check_schema(name).is_err() && check_table(name).is_err(), "{name:?}");
            assert!(check_column("t", name).is_err() && check_constraint("t", name).is_err(), "{name:?}");
        }
        for name in ["pg_temp", "information_schema", "lake", "$user"] {
            assert!(check_schema(name).is_err(), "{name}");
        }
        let error = check_column("t", "ctid").unwrap_err();
        assert_eq!(error.to_string(), "the column name `ctid` of `t` is one that Postgres gives every table itself");
    }
}
