//! How templates call macros: by name, below a package's name, or through `adapter.dispatch`; and `return(...)`.
//!
//! dbt's `return` leaves its macro at once and may give any value. Here it fails with a value laid by, and the macro's
//! caller takes that for the result.

use super::instead::{instead, of_package};
use super::macros::{Block, Macros, Named};
use super::refused;
use minijinja::value::{Kwargs, Object, Value, from_args};
use minijinja::{Environment, Error, State};
use std::sync::{Arc, Mutex, PoisonError};

/// Macros in each other: one that calls itself without end would take the stack.
const MAX_DEPTH: usize = 50;
/// Calls of one template: each may take as many steps as a template.
const MAX_CALLS: usize = 100_000;

/// Whose variant of a macro is taken, the first there is: DataFusion's SQL is close to PostgreSQL's.
const DIALECTS: [&str; 3] = ["lake", "postgres", "default"];

/// Makes all macros known to templates. `project` is the name of the dbt project, if it is one.
pub(super) fn add_macros(environment: &mut Environment<'static>, macros: &Macros, project: &str) {
    let calls = Arc::new(Calls::default());
    for (package, named) in &macros.packages {
        let namespace = Namespace { name: package.to_string(), named: named.clone(), calls: calls.clone() };
        environment.add_global(*package, Value::from_object(namespace));
    }
    if !project.is_empty() {
        let namespace = Namespace { name: project.to_string(), named: macros.own.clone(), calls: calls.clone() };
        environment.add_global(project.to_string(), Value::from_object(namespace));
    }
    for (name, block) in macros.own.iter() {
        environment.add_global(name.clone(), calls.of(block));
    }
    environment.add_global("adapter", Value::from_object(Adapter { named: macros.own.clone(), calls: calls.clone() }));
    environment.add_function("return", move |value: Option<Value>| -> Result<Value, Error> {
        *calls.returned.lock().unwrap_or_else(PoisonError::into_inner) = value.or(Some(Value::from(())));
        Err(refused("`return` is for macros"))
    });
}

/// What is going on in one template.
#[derive(Debug, Default)]
struct Calls {
    progress: Mutex<Progress>,
    returned: Mutex<Option<Value>>,
}

#[derive(Debug, Default)]
struct Progress {
    depth: usize,
    count: usize,
}

impl Calls {
    fn of(self: &Arc<Self>, block: &Arc<Block>) -> Value {
        Value::from_object(Macro { block: block.clone(), calls: self.clone() })
    }

    fn enter(&self) -> Result<(), Error> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.depth >= MAX_DEPTH {
            return Err(refused(format!("macros call each other more than {MAX_DEPTH} deep")));
        }
        if progress.count >= MAX_CALLS {
            return Err(refused(format!("macros are called more than {MAX_CALLS} times")));
        }
        progress.depth += 1;
        progress.count += 1;
        Ok(())
    }

    /// Leaves a macro; yields what `return` was given, if that is how it ended.
    fn leave(&self) -> Option<Value> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).depth -= 1;
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug)]
struct Macro {
    block: Arc<Block>,
    calls: Arc<Calls>,
}

impl Object for Macro {
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        self.calls.enter()?;
        let text = run(&self.block, state.env(), args);
        match (self.calls.leave(), text) {
            (None, Ok(text)) => Ok(Value::from(text)),
            (Some(returned), _) => Ok(returned),
            // Told at the call, which is in a file of the user's.
            (None, Err(error)) if self.block.offered => {
                Err(Error::new(error.kind(), error.detail().unwrap_or("wrong arguments").to_string()))
            }
            (None, Err(error)) => Err(error),
        }
    }
}

pub(super) fn run(block: &Block, environment: &Environment<'_>, args: &[Value]) -> Result<String, Error> {
    let template = environment.template_from_named_str(&block.template, &block.source)?;
    template.render_captured(())?.with_state_mut(|state| state.call_macro(&block.alias, args))
}

/// A package, or the project itself.
#[derive(Debug)]
struct Namespace {
    name: String,
    named: Arc<Named>,
    calls: Arc<Calls>,
}

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.named.get(key.as_str()?).map(|block| self.calls.of(block))
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, name: &str, args: &[Value]) -> Result<Value, Error> {
        let asked = format!("{}.{name}", self.name);
        let known = self.named.get(name).map(|block| self.calls.of(block));
        known.ok_or_else(|| refused(of_package(&asked)))?.call(state, args)
    }
}

/// dbt's adapter, of which `dispatch` alone is offered.
#[derive(Debug)]
struct Adapter {
    named: Arc<Named>,
    calls: Arc<Calls>,
}

impl Object for Adapter {
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        if method != "dispatch" {
            return Err(refused(instead(&format!("adapter.{method}"), "").unwrap_or_default()));
        }
        // The package to look into; what is not offered of packages has to be the project's own.
        let (name, _, _): (String, Option<Value>, Kwargs) = from_args(args)?;
        let variants = DIALECTS.map(|dialect| format!("{dialect}__{name}"));
        let found = variants.iter().find_map(|variant| self.named.get(variant));
        found
            .map(|block| self.calls.of(block))
            .ok_or_else(|| refused(format!("no macro `{name}` for this dialect: write one of {}", variants.join(", "))))
    }
}
