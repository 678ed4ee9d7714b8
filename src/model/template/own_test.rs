//! Tests whose query the project writes: a macro that is called with a table, not by a template.

use super::calls::run;
use super::environment::environment;
use super::instead::{asked, name_start};
use super::macros::Block;
use super::relation::Relation;
use super::{Context, Rendered, Seen, fault, message, refused, value_of};
use crate::ident::TableName;
use crate::model::fault::{Fault, Place};
use crate::model::node::{Node, Value as Yaml};
use crate::model::origin::SourceMap;
use crate::model::rules::{OwnTest, target};
use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

/// The query of a test on `table`, of which it sees the rows of `filter`, an SQL condition; `at` is where a contract names
/// the test. `None` when the project writes no such test.
pub fn render_test(
    own: &OwnTest,
    table: &TableName,
    filter: Option<&str>,
    at: &Place,
    context: &Context,
) -> Option<Result<Rendered, Fault>> {
    let block = context.macros.tests.get(&own.test)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let environment = environment(context, &seen);
    let text = arguments(own, table, filter, context).and_then(|given| run(block, &environment, &[given]));
    // What is in no macro is in what the contract hands over.
    let told = |error: Error| match (error.name(), lacking(own, block, &error)) {
        (_, Some(name)) => at.fault(format!("the test `{}` is not given `{name}`", own.test)),
        (Some(_), None) => fault(&at.file, context, &error),
        (None, None) if error.kind() == ErrorKind::TooManyArguments => {
            let detail = error.detail().unwrap_or("too many arguments");
            at.fault(format!("the test `{}` does not take what it is given: {detail}", own.test))
        }
        (None, None) => at.fault(message(&error, "")),
    };
    Some(text.map_err(told).map(|sql| {
        let map = SourceMap::by_lines(block.file.text(), block.body, &sql);
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        Rendered { sql, map, settings: seen.settings.clone(), asks_incremental: false }
    }))
}

/// The argument without which the test's text fails.
fn lacking<'b>(own: &OwnTest, block: &'b Block, error: &Error) -> Option<&'b str> {
    if error.kind() != ErrorKind::UndefinedError || error.name() != Some(&block.template) {
        return None;
    }
    let text = block.file.text();
    let name = asked(text, name_start(text, error.range()?.start));
    let head = &text[text[..block.body].rfind("{%")?..block.body];
    let is_argument = head.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name);
    let is_given = own.arguments.iter().any(|(given, _)| given == name);
    (is_argument && !is_given).then_some(name)
}

fn arguments(own: &OwnTest, table: &TableName, filter: Option<&str>, context: &Context) -> Result<Value, Error> {
    let model = match filter {
        None => Value::from_object(Relation(table.clone())),
        Some(filter) => Value::from(format!("(select * from {} where {filter}) as lake_rows", table.quoted())),
    };
    let column = own.column.as_ref().map(|column| ("column_name".to_string(), Value::from(column.as_str())));
    let mut given = vec![("model".to_string(), model)];
    given.extend(column);
    for (name, node) in &own.arguments {
        given.push((name.clone(), argument(node, table, context)?));
    }
    Ok(given.into_iter().collect::<Kwargs>().into())
}

/// A value as YAML has it, and `ref('x')` or `source('s', 'x')` as the table.
fn argument(node: &Node, table: &TableName, context: &Context) -> Result<Value, Error> {
    match &node.value {
        Yaml::Scalar(text) if ["ref(", "source("].iter().any(|call| text.trim_start().starts_with(call)) => {
            target(text, table, &context.names).map(|table| Value::from_object(Relation(table))).map_err(refused)
        }
        _ => Ok(value_of(node)),
    }
}
