//! From a test as a contract writes it to a check, its own query expanded where the project writes that.

use super::Loader;
use crate::check::{Check, Options, Rule};
use crate::ident::TableName;
use crate::model::Origin;
use crate::model::rules::{DeclaredRule, DeclaredTest, OwnTest, default_name, named, short, target, unknown};
use crate::model::statement::resolve;
use crate::model::template::{render_test, value_of};

impl Loader<'_> {
    pub(super) fn check(&mut self, test: &DeclaredTest, table: &TableName) -> Option<Check> {
        let names = self.context.names.clone();
        let (rule, name, options) = match &test.rule {
            DeclaredRule::Known(rule) => (rule.clone(), default_name(table, rule), test.options.clone()),
            DeclaredRule::Relationships { column, to, to_place, field } => {
                let to = self.faults.keep(target(to, table, &names).map_err(|message| to_place.fault(message)))?;
                let rule = Rule::Relationships { column: column.clone(), to, field: field.clone() };
                let name = default_name(table, &rule);
                (rule, name, test.options.clone())
            }
            DeclaredRule::Own(own) => self.own_test(own, test, table)?,
        };
        let name = test.name.clone().unwrap_or(name);
        let check = Check { name, table: table.clone(), rule, options };
        self.faults.keep(test.may_be(&check, &names))?;
        Some(check)
    }

    /// Its rule, name and options. The rows that `where` leaves are those its query sees.
    fn own_test(&mut self, own: &OwnTest, test: &DeclaredTest, table: &TableName) -> Option<(Rule, String, Options)> {
        let macros = self.context.macros.clone();
        let (Some(file), Some(rendered)) = (
            macros.file_of_test(&own.test),
            render_test(own, table, test.options.filter.as_deref(), &test.place, &self.context),
        ) else {
            self.faults.push(test.place.fault(unknown(&own.test, macros.tests())));
            return None;
        };
        let rendered = self.faults.keep(rendered)?;
        let statement = resolve(file, &rendered, None, &self.context.names, &mut self.faults)?;
        let origin = Origin { file: file.clone(), map: statement.map, ..Origin::default() };
        self.query_origins.insert(statement.sql.clone(), origin);
        let reads = statement.reads.into_iter().map(|(read, _)| read).collect();
        let rule = Rule::Singular { sql: statement.sql, reads, file: file.path().to_string() };
        let given = own
            .column
            .iter()
            .cloned()
            .chain(own.arguments.iter().map(|(_, value)| short(&value_of(value).to_string())));
        let name = named(&own.test, table, &given.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_"));
        let said = rendered.settings.test;
        let options = Options {
            severity: if test.options.severity == Default::default() { said.severity } else { test.options.severity },
            warn_if: test.options.warn_if.or(said.warn_if),
            error_if: test.options.error_if.or(said.error_if),
            limit: test.options.limit.or(said.limit),
            filter: None,
            ..test.options.clone()
        };
        Some((rule, name, options))
    }
}
