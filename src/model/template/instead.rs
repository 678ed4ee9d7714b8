//! What dbt offers templates and `lake` does not, and what to do instead.

/// `name` or `namespace.name`, as a template asks for it; `None` when it is nothing of dbt's. `unknown` is the part of it
/// that means nothing: of a name with a dot the first when nothing is called so.
pub(super) fn instead(asked: &str, unknown: &str) -> Option<String> {
    let first = asked.split('.').next().unwrap_or(asked);
    let why = match first {
        "run_query" | "statement" | "load_result" | "store_result" => {
            "nothing is asked of tables while SQL is made: put the query into the SELECT, or pass its values as variables"
        }
        "adapter" | "api" => "of the adapter there is `dispatch` alone: write the SQL itself",
        "graph" | "builtins" | "context" | "model" | "flags" | "schemas" | "database_schemas" => {
            "templates do not see the project's graph or dbt's own workings"
        }
        "modules" | "run_started_at" | "invocation_id" => {
            "the same files always give the same SQL: use now() in the SQL, or a variable"
        }
        _ if asked.contains('.') && unknown == first => return Some(of_package(asked)),
        _ => return None,
    };
    Some(format!("`{asked}` is not offered: {why}"))
}

/// `package.macro` of a package that is not here, or not with all of its macros.
pub(super) fn of_package(asked: &str) -> String {
    format!("`{asked}` is not offered: packages are not read: copy the macro into macros/")
}

/// Where the name begins that a byte of a template belongs to: of a method the dot before it is what is known.
pub(super) fn name_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    match text.get(at..).is_some_and(|rest| rest.starts_with('.')) {
        true => before.trim_end_matches(is_part).len(),
        false => at,
    }
}

/// The dotted name that stands at a byte of a template.
pub(super) fn asked(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
    rest[..end].trim_end_matches('.')
}
