//! What templates may call: the names of dbt's context, and the project's macros.

use super::calls::add_macros;
use super::relation::Relation;
use super::{Context, MAX_STEPS, Seen, refused, settings};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::sync::{Arc, Mutex, PoisonError};

/// The variables of the environment a project sees.
const OF_ENVIRONMENT: &str = "DBT_";

/// Without any name of ours.
pub(super) fn plain_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment.set_fuel(Some(MAX_STEPS));
    // Texts, lists and maps have Python's methods in dbt.
    environment.set_unknown_method_callback(unknown_method_callback);
    environment
}

/// What a file of SQL may ask for.
pub(super) fn environment(context: &Context, seen: &Arc<Mutex<Seen>>) -> Environment<'static> {
    let mut environment = plain_environment();
    if let Some(this) = &context.this {
        environment.add_global("this", Value::from_object(Relation(this.clone())));
    }
    add_given(&mut environment, context);
    add_tables(&mut environment, context);
    environment.add_global("execute", true);
    environment.add_function("log", ignore);
    environment.add_function("print", ignore);
    let noted = seen.clone();
    environment.add_function("config", move |options: Kwargs| -> Result<&'static str, Error> {
        let settings = settings(&options)?;
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.settings = settings.or(std::mem::take(&mut noted.settings));
        Ok("")
    });
    let (noted, incremental) = (seen.clone(), context.incremental);
    environment.add_function("is_incremental", move || {
        noted.lock().unwrap_or_else(PoisonError::into_inner).asked_incremental = true;
        incremental
    });
    // The project's own go last: one of them may stand for a name of dbt's, as there.
    add_macros(&mut environment, &context.macros, &context.project);
    environment
}

/// Variables, and what dbt knows of where it runs.
pub(super) fn add_given(environment: &mut Environment<'static>, context: &Context) {
    let vars = context.vars.clone();
    environment.add_function("var", move |name: String, default: Option<Value>| match vars.get(&name) {
        Some(value) => Ok(value.clone()),
        None => default.ok_or_else(|| refused(format!("the variable `{name}` has neither value nor default"))),
    });
    let vars = context.vars.clone();
    environment.add_function("env_var", move |name: String, default: Option<Value>| -> Result<Value, Error> {
        if !name.starts_with(OF_ENVIRONMENT) {
            return Err(refused(format!(
                "`env_var('{name}')` is not offered: of the environment only names that begin with {OF_ENVIRONMENT} are \
                 seen; pass it as a variable and use `var('{name}')`"
            )));
        }
        let missing = || refused(format!("the variable `{name}` of the environment is not set"));
        vars.get(&name).cloned().or(default).ok_or_else(missing)
    });
    environment.add_global("target", target(context));
    let exceptions = [("raise_compiler_error", Value::from_function(raise)), ("warn", Value::from_function(ignore))];
    environment.add_global("exceptions", Value::from_pairs(exceptions));
}

fn raise(message: String) -> Result<Value, Error> {
    Err(refused(message))
}

fn ignore(_: Rest<ValueOrKwargs>) -> &'static str {
    ""
}

/// dbt's `target`: which of its profiles is used. Here the variable `target` names it.
fn target(context: &Context) -> Value {
    let name = context.vars.get("target").cloned().unwrap_or_else(|| Value::from("dev"));
    let entries = [
        ("name", name.clone()),
        ("target_name", name),
        ("profile_name", Value::from(context.project.to_string())),
        ("type", Value::from("lake")),
        ("database", Value::from("lake")),
        ("dbname", Value::from("lake")),
        ("schema", Value::from("gold")),
        ("threads", Value::from(1)),
    ];
    Value::from_pairs(entries)
}

fn add_tables(environment: &mut Environment<'static>, context: &Context) {
    let (names, this, project) = (context.names.clone(), context.this.clone(), context.project.clone());
    environment.add_function("ref", move |first: String, second: Option<String>, options: Kwargs| {
        if options.args().next().is_some() {
            return Err(refused("versions of models are not offered: give each a name of its own"));
        }
        let table = match &second {
            Some(name) if *first == *project => names.reference(name, this.as_ref()),
            Some(name) => names.qualified(&first, name),
            None => names.reference(&first, this.as_ref()),
        };
        table.map(|table| Value::from_object(Relation(table))).map_err(refused)
    });
    let names = context.names.clone();
    environment.add_function("source", move |source: String, table: String| {
        names.source(&source, &table).map(|table| Value::from_object(Relation(table))).map_err(refused)
    });
}
