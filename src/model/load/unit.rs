//! Unit tests: their model with the variables of the test, and every table it reads given.

use super::Loader;
use crate::ident::TableName;
use crate::model::Origin;
use crate::model::layout::PlacedFile;
use crate::model::rules::target;
use crate::model::unit::{DeclaredUnit, Rows, UnitTest};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Loader<'_> {
    pub(super) fn unit(
        &mut self,
        unit: &DeclaredUnit,
        tables: &BTreeMap<TableName, PlacedFile>,
        earlier: &[UnitTest],
    ) -> Option<UnitTest> {
        if earlier.iter().any(|other| other.name == unit.name) {
            self.faults.push(unit.place.fault(format!("there is another unit test `{}`", unit.name)));
            return None;
        }
        let (name, place) = &unit.model;
        let names = self.context.names.clone();
        let model = match name.split_once('.') {
            Some((layer, name)) => names.qualified(layer, name),
            None => names.reference(name, None),
        };
        let model = self.faults.keep(model.map_err(|message| place.fault(message)))?;
        let Some(PlacedFile { file, .. }) = tables.get(&model) else {
            self.faults.push(place.fault(format!("`{model}` is no model")));
            return None;
        };
        let mut vars = self.context.vars.as_ref().clone();
        vars.extend(unit.vars.clone());
        let usual = std::mem::replace(&mut self.context.vars, Arc::new(vars));
        let rendered = self.statement(&model, file, unit.incremental);
        self.context.vars = usual;
        let (_, statement) = rendered?;
        let mut given: Vec<(TableName, Rows)> = Vec::new();
        for (input, place, rows) in &unit.given {
            let table = match input.trim() {
                "this" => Ok(model.clone()),
                written => target(written, &model, &names),
            };
            let table = self.faults.keep(table.map_err(|message| place.fault(message)))?;
            given.push((table, rows.clone()));
        }
        let missing =
            statement.reads.iter().map(|(table, _)| table).find(|read| !given.iter().any(|(table, _)| table == *read));
        if let Some(missing) = missing {
            self.faults.push(unit.place.fault(format!("`{missing}`, which `{model}` reads, is not given")));
            return None;
        }
        let origin = Origin { file: file.clone(), map: statement.map, ..Origin::default() };
        let (name, expect) = (unit.name.clone(), unit.expect.clone());
        Some(UnitTest { name, model, sql: statement.sql, origin, given, expect })
    }
}
