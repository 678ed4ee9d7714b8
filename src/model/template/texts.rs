//! Templates inside YAML: a value may hold `{{ var('x') }}`, a description `{{ doc('name') }}`.
//!
//! `ref` and `source` stay the text they are: whoever reads the value looks the table up, with its place.

use super::environment::{add_given, plain_environment};
use super::{Context, Vars, message, refused};
use crate::model::fault::Faults;
use crate::model::node::{Node, Value as Yaml};
use minijinja::{Environment, Error};
use std::sync::Arc;

pub struct Texts(Environment<'static>);

impl Texts {
    /// For a file read before anything else of the project is known.
    pub fn of_vars(vars: &Vars) -> Texts {
        Texts::new(&Context { vars: Arc::new(vars.clone()), ..Context::default() })
    }

    pub fn new(context: &Context) -> Texts {
        let mut environment = plain_environment();
        add_given(&mut environment, context);
        environment.add_function("ref", |first: String, second: Option<String>| match second {
            Some(second) => format!("ref('{first}', '{second}')"),
            None => format!("ref('{first}')"),
        });
        environment.add_function("source", |source: String, table: String| format!("source('{source}', '{table}')"));
        let macros = context.macros.clone();
        environment.add_function("doc", move |first: String, second: Option<String>| -> Result<String, Error> {
            let name = second.unwrap_or(first);
            macros.doc(&name).map(str::to_string).map_err(refused)
        });
        Texts(environment)
    }

    /// Expands every value of a file, except below some of its keys.
    pub fn expand(&self, root: &mut Node, except: &[&str], faults: &mut Faults) {
        let Yaml::Map(entries) = &mut root.value else { return };
        let read = entries.iter_mut().filter(|(key, _)| !except.contains(&key.name.as_str()));
        for (place, text) in read.flat_map(|(_, node)| node.scalars_mut()) {
            if !text.contains("{{") && !text.contains("{%") {
                continue;
            }
            match self.0.render_str(text, ()) {
                Ok(expanded) => *text = expanded,
                Err(error) => faults.push(place.fault(message(&error, text))),
            }
        }
    }
}
