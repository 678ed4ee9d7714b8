//! A model's columns against its contract: the columns the query returns, as the table will store them.
//!
//! An enforced contract (`config: {contract: {enforced: true}}`, as in dbt) also rules out further columns and
//! gives the order, and both sides are shown when they differ. Otherwise it speaks only of the columns it lists; in a dbt
//! project it may list some that are not there, as dbt lets it. That a column is never NULL is the
//! business of its `not_null` test.

use crate::engine::types::type_name;
use crate::error::{Error, Result};
use crate::ident::suggestion;
use crate::model::Model;
use crate::model::fault::{Faults, Place};
use crate::table::schema;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use std::sync::Arc;

/// The columns to store, and for each its position in the query's result.
#[derive(Debug)]
pub(in crate::flow) struct Layout {
    pub schema: SchemaRef,
    pub positions: Vec<usize>,
}

/// What is run, and the columns it returns.
pub(in crate::flow) struct Query {
    pub sql: String,
    pub layout: Layout,
}

impl Layout {
    pub fn is_as_planned(&self) -> bool {
        self.positions.iter().enumerate().all(|(at, position)| at == *position)
    }
}

/// Compares; every difference is a fault at the contract's line.
pub(super) fn layout(model: &Model, planned: &Schema) -> Result<Layout> {
    let planned = schema::storable(planned);
    let names: Vec<&str> = planned.fields().iter().map(|field| field.name().as_str()).collect();
    let start = Place::start_of(&model.origin.file);
    let mut faults = Faults::default();
    for column in &model.columns {
        let place = model.origin.columns.get(&column.name).unwrap_or(&start);
        let Some((_, field)) = planned.column_with_name(&column.name) else {
            if model.contract_describes && !model.contract_enforced {
                continue;
            }
            let near = suggestion(&column.name, names.iter().copied());
            faults.push(place.fault(format!("`{}` returns no column `{}`{near}", model.table, column.name)));
            continue;
        };
        let declared = column.data_type.as_ref().map(schema::storable_type);
        if let Some(declared) = declared.filter(|declared| declared != field.data_type()) {
            let (declared, found) = (type_name(&declared), type_name(field.data_type()));
            let message = format!("`{}` is declared {declared}, the query returns {found}", column.name);
            faults.push(place.fault(message));
        }
    }
    if !model.contract_enforced {
        return faults.into_result(Layout { positions: (0..names.len()).collect(), schema: planned });
    }
    for name in names.iter().filter(|name| !model.columns.iter().any(|column| column.name == **name)) {
        let contract = model.columns.first().and_then(|column| model.origin.columns.get(&column.name));
        let at = contract.map(|place| format!(" at {place}")).unwrap_or_default();
        faults.push(start.fault(format!("the column `{name}` is not in the contract{at}")));
    }
    if faults.count() > 0 {
        let declared = model.columns.iter().map(|column| (&column.name, column.data_type.as_ref()));
        let returned = planned.fields().iter().map(|field| (field.name(), Some(field.data_type())));
        let both = format!("declared: {}; returned: {}", listed(declared), listed(returned));
        return Err(match faults.into_result(()) {
            Err(error) => error.hint(both),
            Ok(()) => Error::internal("faults of a contract are gone"),
        });
    }
    let positions: Vec<usize> = model.columns.iter().filter_map(|column| planned.index_of(&column.name).ok()).collect();
    let fields: Vec<_> = positions.iter().map(|position| planned.fields()[*position].clone()).collect();
    faults.into_result(Layout { schema: Arc::new(Schema::new(fields)), positions })
}

/// `id bigint, title text`
fn listed<'a>(columns: impl Iterator<Item = (&'a String, Option<&'a DataType>)>) -> String {
    let column = |(name, data_type): (&String, Option<&DataType>)| match data_type {
        Some(data_type) => format!("{name} {}", type_name(data_type)),
        None => name.clone(),
    };
    columns.map(column).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::TableName;
    use crate::model::files::SourceFile;
    use crate::model::{Column, Materialization, Origin};
    use arrow::datatypes::Field;

    type Declared<'a> = (&'a str, Option<DataType>);

    fn model(columns: &[Declared<'_>]) -> Model {
        let contract = SourceFile::new("models/gold/schema.yml", "1\n2\n3\n4\n");
        let place = |line| Place { file: contract.clone(), line, column: 1 };
        let column = |(name, data_type): &Declared<'_>| Column {
            name: name.to_string(),
            data_type: data_type.clone(),
            ..Column::default()
        };
        Model {
            table: TableName::parse("gold.x").unwrap(),
            file: "models/gold/x.sql".into(),
            sql: String::new(),
            materialization: Materialization::Table,
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            description: String::new(),
            columns: columns.iter().map(column).collect(),
            checks: Vec::new(),
            conditions: Vec::new(),
            upstream: Vec::new(),
            reads: vec![],
            tags: Vec::new(),
            contract_describes: false,
            seed: None,
            contract_enforced: columns.iter().all(|(_, declared)| declared.is_some()),
            origin: Origin {
                file: SourceFile::new("models/gold/x.sql", "select"),
                columns: columns.iter().enumerate().map(|(at, (name, _))| (name.to_string(), place(at + 1))).collect(),
                ..Origin::default()
            },
        }
    }

    fn planned() -> Schema {
        Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("title", DataType::Utf8View, true)])
    }

    #[test]
    fn an_enforced_contract_gives_the_order() {
        let layout =
            layout(&model(&[("title", Some(DataType::Utf8)), ("id", Some(DataType::Int64))]), &planned()).unwrap();
        assert_eq!(layout.positions, [1, 0]);
        assert_eq!(layout.schema.field(0).data_type(), &DataType::Utf8);
        assert!(layout.schema.fields().iter().all(|field| field.is_nullable()));
    }

    #[test]
    fn another_contract_leaves_other_columns_alone() {
        let layout = layout(&model(&[("title", None)]), &planned()).unwrap();
        assert!(layout.is_as_planned());
        assert_eq!(layout.schema.fields().len(), 2);
    }

    #[test]
    fn an_enforced_contract_shows_both_sides() {
        let declared = model(&[("id", Some(DataType::Int64)), ("name", Some(DataType::Utf8))]);
        let error = layout(&declared, &planned()).unwrap_err();
        assert_eq!(error.hint_text(), Some("declared: id bigint, name text; returned: id bigint, title text"));
        assert!(layout(&model(&[("titel", None)]), &planned()).unwrap_err().hint_text().is_none());
    }

    #[test]
    fn every_difference_is_named_with_its_place() {
        let table: [(&[Declared<'_>], &str); 3] = [
            (
                &[("titel", None)],
                "models/gold/schema.yml:1:1: `gold.x` returns no column `titel`, did you mean `title`?\n  1 | 1\n    | ^",
            ),
            (
                &[("title", None), ("id", Some(DataType::Date32))],
                "models/gold/schema.yml:2:1: `id` is declared date, the query returns bigint\n  2 | 2\n    | ^",
            ),
            (
                &[("id", Some(DataType::Int64))],
                "models/gold/x.sql:1:1: the column `title` is not in the contract at models/gold/schema.yml:1:1\n  \
                 1 | select\n    | ^",
            ),
        ];
        for (columns, expected) in table {
            assert_eq!(layout(&model(columns), &planned()).unwrap_err().to_string(), expected);
        }
    }
}
