//! A table as the warehouse should hold it: names, types, keys and descriptions, whatever database it is.

use super::names;
use super::sql_type::sql_type;
use crate::error::{Error, Kind, Result};
use crate::ident::MOST_POSTGRES_COLUMNS;
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One table to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Without the schema.
    pub name: String,
    pub description: String,
    /// In the order of the batches.
    pub columns: Vec<Column>,
    /// Empty: the table has none.
    pub primary_key: Vec<String>,
    /// Single columns, other than the primary key, that foreign keys of other tables point at.
    pub unique: Vec<String>,
    pub foreign_keys: Vec<ForeignKey>,
    pub checks: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    pub description: String,
}

/// Each value of `column` stands in `field` of `table` (same schema), or is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub column: String,
    pub table: String,
    pub field: String,
}

/// True of each row, or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is called in the database.
    pub name: String,
    /// SQL that goes into statements as it is: one expression of the table's columns and nothing behind it.
    pub expression: String,
}

/// What loads declared of a table, so that they may take it back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Columns without nulls.
    pub not_null: Vec<String>,
    /// Expressions by the names of their conditions.
    pub checks: BTreeMap<String, String>,
}

impl Target {
    /// Refuses what the database could not hold: names it would cut, columns of a type without a
    /// counterpart, more columns than a table may have.
    pub fn check(&self) -> Result<()> {
        names::check_table(&self.name)?;
        if self.columns.len() > MOST_POSTGRES_COLUMNS {
            let (name, count) = (&self.name, self.columns.len());
            return Err(Error::config(format!("`{name}` has {count} columns, Postgres holds {MOST_POSTGRES_COLUMNS}"))
                .hint("select fewer columns in the model, or split it into two"));
        }
        for column in &self.columns {
            self.sql_type(column)?;
            names::check_column(&self.name, &column.name)?;
        }
        self.checks.iter().try_for_each(|check| names::check_constraint(&self.name, &check.name))
    }

    /// What a load of it declares.
    pub fn declared(&self) -> Declared {
        let not_null = self.columns.iter().filter(|column| !column.nullable).map(|column| column.name.clone());
        let checks = self.checks.iter().map(|check| (check.name.clone(), check.expression.clone()));
        Declared { not_null: not_null.collect(), checks: checks.collect() }
    }

    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|own| own.name == column)
    }

    /// Name of the database type of one of this table's columns.
    pub fn sql_type(&self, column: &Column) -> Result<String> {
        let found = sql_type(&column.data_type).map(|found| found.name);
        found.ok_or_else(|| {
            let (name, data_type) = (&column.name, &column.data_type);
            Error::new(
                Kind::Config,
                format!("column `{name}` of `{}` is {data_type}, which Postgres has no type for", self.name),
            )
            .hint(format!("cast `{name}` in the model, for example to varchar"))
        })
    }

    /// Digest of everything this says about the table; a changed contract loads the table again.
    pub fn digest(&self) -> Result<String> {
        let mut said = vec![self.name.clone(), self.description.clone()];
        for column in &self.columns {
            said.extend([
                column.name.clone(),
                self.sql_type(column)?,
                column.nullable.to_string(),
                column.description.clone(),
            ]);
        }
        said.push(format!("{:?} {:?}", self.primary_key, self.unique));
        for key in &self.foreign_keys {
            said.extend([key.column.clone(), key.table.clone(), key.field.clone()]);
        }
        for check in &self.checks {
            said.extend([check.name.clone(), check.expression.clone()]);
        }
        let digest = Sha256::digest(said.join("\u{1}"));
        Ok(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, IntervalUnit};

    fn target(name: &str, data_type: DataType) -> Target {
        let column = Column { name: name.into(), data_type, nullable: true, description: String::new() };
        Target {
            name: "t".into(),
            description: String::new(),
            columns: vec![column],
            primary_key: vec![],
            unique: vec![],
            foreign_keys: vec![],
            checks: vec![],
        }
    }

    #[test]
    fn what_postgres_cannot_hold_is_refused() {
        assert!(target("a", DataType::Int64).check().is_ok());
        assert!(target(&"a".repeat(64), DataType::Int64).check().is_err());
        let error = target("a", DataType::Interval(IntervalUnit::YearMonth)).check().unwrap_err();
        assert!(error.to_string().starts_with("column `a` of `t` is "), "{error}");
    }

    #[test]
    fn every_part_of_the_contract_moves_the_digest() {
        let plain = target("a", DataType::Int64);
        let mut changed = vec![plain.clone(); 6];
        changed[0].description = "x".into();
        changed[1].columns[0].nullable = false;
        changed[2].columns[0].data_type = DataType::new_list(DataType::Int64, true);
        changed[3].primary_key = vec!["a".into()];
        changed[4].foreign_keys = vec![ForeignKey { column: "a".into(), table: "u".into(), field: "a".into() }];
        changed[5].checks = vec![Condition { name: "positive".into(), expression: "a > 0".into() }];
        for other in changed {
            assert_ne!(other.digest().unwrap(), plain.digest().unwrap(), "{other:?}");
        }
        let renamed_inside = DataType::List(Field::new("element", DataType::Int64, true).into());
        let lists = [DataType::new_list(DataType::Int64, true), renamed_inside];
        assert_eq!(target("a", lists[0].clone()).digest().unwrap(), target("a", lists[1].clone()).digest().unwrap());
    }
}
