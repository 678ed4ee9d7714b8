//! dbt's templates in SQL files: `ref`, `source`, `config`, `var`, `env_var`, `target`, `this`, `is_incremental()`, the
//! project's macros, and the template language's own `if`, `for`, `set`, `macro`.
//!
//! A file without `{{`, `{%` or `{#` is never touched. Nothing here asks the lake or the environment: the
//! same files and variables always give the same SQL.
//!
//! - `environment` is what a template may call, `instead` what it may not; `relation` is a table in a template;
//! - `macros` reads macros out of `blocks` of files and knows those offered of dbt's packages, `calls` calls them, `own_test`
//!   those that are tests; `snapshots` makes templates of blocks that are snapshots;
//! - `texts` expands YAML, `vars` are the variables, `follow` finds the way back into the file.

mod blocks;
mod calls;
mod environment;
mod follow;
mod instead;
mod macros;
mod own_test;
mod relation;
mod snapshots;
mod texts;
mod vars;

pub use macros::Macros;
pub use own_test::render_test;
pub use snapshots::{snapshot_of, snapshots_in};
pub use texts::Texts;
pub use vars::{Vars, of_settings, value_of};

use crate::check::{self, Severity, Threshold};
use crate::engine::sql::MAX_BYTES;
use crate::ident::TableName;
use crate::model::configs;
use crate::model::fault::{Fault, Place};
use crate::model::files::SourceFile;
use crate::model::materialization::{WORDS, Written};
use crate::model::names::Names;
use crate::model::origin::{SourceMap, position_of};
use environment::{environment, plain_environment};
use instead::{asked, instead, name_start};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Steps one template may take, about a second: loops in loops would otherwise not end in anybody's time.
const MAX_STEPS: u64 = 5_000_000;

/// The marks of `follow` make a text longer, at most so many times as far as it is of use.
const MARKED: usize = 8;

const OFFERED: &str = "ref, source, config, var, env_var, target, this, is_incremental and the macros in macros/";

/// What only a check in SQL may set.
const OF_CHECKS: [&str; 4] = ["severity", "warn_if", "error_if", "limit"];
/// What both may.
const OF_BOTH: [&str; 2] = ["enabled", "tags"];

impl Settings {
    /// With what an earlier call of `config` set, word by word.
    fn or(self, earlier: Settings) -> Settings {
        let says = |word: &str| self.words.iter().any(|own| own == word);
        let (now, before) = (&self.test, &earlier.test);
        let test = check::Options {
            severity: if says("severity") { now.severity } else { before.severity },
            warn_if: now.warn_if.or(before.warn_if),
            error_if: now.error_if.or(before.error_if),
            limit: now.limit.or(before.limit),
            ..check::Options::default()
        };
        Settings {
            stored: self.stored.or(&earlier.stored),
            tags: self.tags.or(earlier.tags),
            test,
            schema: self.schema.or(earlier.schema),
            enabled: self.enabled.or(earlier.enabled),
            words: earlier.words.into_iter().chain(self.words).collect(),
        }
    }

    /// A setting that means nothing where it stands; the message names it.
    pub fn misplaced(&self, in_check: bool) -> Option<String> {
        let fits = |word: &str| OF_BOTH.contains(&word) || OF_CHECKS.contains(&word) == in_check;
        let word = self.words.iter().find(|word| !fits(word))?;
        Some(match in_check {
            true => format!("`{word}` is a setting of models, a check is not stored"),
            false => format!("`{word}` is a setting of tests: write it at the test"),
        })
    }
}

/// What a template may ask for.
#[derive(Clone, Default)]
pub struct Context {
    pub names: Arc<Names>,
    pub vars: Arc<Vars>,
    pub macros: Arc<Macros>,
    /// Name of the dbt project; empty when it is none.
    pub project: Arc<str>,
    /// The model being rendered; none for a check.
    pub this: Option<TableName>,
    pub incremental: bool,
}

/// What `config(...)` in a file sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// All that are set, by their names.
    pub words: Vec<String>,
    pub stored: Written,
    pub tags: Option<Vec<String>>,
    /// Of a file in `sql/checks`.
    pub test: check::Options,
    pub schema: Option<String>,
    pub enabled: Option<bool>,
}

/// A file after expansion.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    pub sql: String,
    pub map: SourceMap,
    pub settings: Settings,
    /// Whether the template called `is_incremental()`.
    pub asks_incremental: bool,
}

/// Expands a file or a snapshot in it. Faults have the file's line and, where the engine knows it, column.
pub fn render(file: &SourceFile, context: &Context) -> Result<Rendered, Fault> {
    let source = file.template();
    if !["{{", "{%", "{#"].iter().any(|opening| source.contains(opening)) {
        return Ok(Rendered { sql: source.to_string(), ..Rendered::default() });
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let environment = environment(context, &seen);
    let expand = |text: &str, most: usize| expand(&environment, file.path(), text, most);
    let sql = expand(source, MAX_BYTES).map_err(|error| fault(file, context, &error))?;
    let followed =
        follow::instrument(source).and_then(|marked| follow::strip(&expand(&marked, MARKED * MAX_BYTES).ok()?));
    let map = match followed {
        Some((stripped, map)) if stripped == sql => map,
        _ => SourceMap::by_lines(source, 0, &sql),
    };
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Rendered { sql, map, settings: seen.settings.clone(), asks_incremental: seen.asked_incremental })
}

/// Stops at `most` bytes.
fn expand(environment: &Environment<'_>, name: &str, text: &str, most: usize) -> Result<String, Error> {
    let mut output = Limited { bytes: Vec::new(), most };
    environment.template_from_named_str(name, text)?.render_captured_to((), &mut output)?;
    String::from_utf8(output.bytes).map_err(|_| refused("the template made text that is no UTF-8".to_string()))
}

struct Limited {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    settings: Settings,
    asked_incremental: bool,
}

fn settings(options: &Kwargs) -> Result<Settings, Error> {
    let mut settings = Settings::default();
    for name in options.args() {
        settings.words.push(name.to_string());
        match name {
            "tags" => {
                let value: Value = options.peek(name)?;
                settings.tags = Some(texts("tag", &value)?);
            }
            "severity" => {
                settings.test.severity = Severity::parse(options.peek(name)?).map_err(refused)?;
            }
            "warn_if" => settings.test.warn_if = Some(Threshold::parse(options.peek(name)?).map_err(refused)?),
            "error_if" => settings.test.error_if = Some(Threshold::parse(options.peek(name)?).map_err(refused)?),
            "limit" => {
                settings.test.limit = match options.peek(name)? {
                    0 => return Err(refused("`limit` is a number of rows from 1, not `0`".to_string())),
                    rows => Some(rows),
                };
            }
            word if WORDS.contains(&word) => {
                let value: Value = options.peek(word)?;
                settings.stored.set(word, texts(word, &value)?).map_err(refused)?;
            }
            "schema" | "target_schema" => settings.schema = Some(options.peek(name)?),
            "enabled" => settings.enabled = Some(options.peek(name)?),
            "contract" | "column_types" | "delimiter" => {
                return Err(refused(format!("`{name}` is read in the contract, not in the file")));
            }
            _ => configs::refusal(name).map_or(Ok(()), |why| Err(refused(why)))?,
        }
    }
    Ok(settings)
}

/// A text, a truth value, or a list of texts.
fn texts(what: &str, value: &Value) -> Result<Vec<String>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(vec![text.to_string()]);
    }
    if value.kind() == ValueKind::Bool {
        return Ok(vec![value.to_string()]);
    }
    let items = value.try_iter()?;
    items
        .map(|item| item.as_str().map(str::to_string).ok_or_else(|| refused(format!("the {what} {item} is no text"))))
        .collect()
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The fault at its place, which may be in a macro the file calls.
fn fault(file: &SourceFile, context: &Context, error: &Error) -> Fault {
    match error.name().and_then(|template| context.macros.file_of(template)) {
        None => fault_in(file, error),
        Some(origin) => {
            let mut fault = fault_in(origin, error);
            fault.message.push_str(&format!(" (called by {})", file.path()));
            fault
        }
    }
}

fn fault_in(file: &SourceFile, error: &Error) -> Fault {
    let text = file.template();
    let (line, column) = match (error.range(), error.line()) {
        (Some(range), _) => position_of(file.text(), name_start(text, range.start)),
        (None, line) => (line.unwrap_or(1), 1),
    };
    Place { file: file.clone(), line, column }.fault(message(error, text))
}

/// What is wrong, in one sentence; `text` is the template.
fn message(error: &Error, text: &str) -> String {
    let name = error.range().map_or("", |range| asked(text, name_start(text, range.start)));
    let detail = match (error.detail(), error.kind()) {
        (Some(detail), _) => detail.to_string(),
        (None, ErrorKind::UndefinedError) if !name.is_empty() => format!("`{name}` is undefined"),
        (None, kind) => kind.to_string(),
    };
    match error.kind() {
        ErrorKind::InvalidOperation => detail,
        ErrorKind::SyntaxError if detail == "unknown statement snapshot" => {
            "in the template: a snapshot block stands below snapshots/, not among models".to_string()
        }
        ErrorKind::OutOfFuel => {
            format!("in the template: it takes more than {MAX_STEPS} steps, are its loops too long?")
        }
        ErrorKind::WriteFailure => format!("in the template: it makes more than {MAX_BYTES} bytes of SQL"),
        ErrorKind::UnknownFunction | ErrorKind::UndefinedError | ErrorKind::UnknownMethod => {
            let unknown = detail.split('`').nth(1).unwrap_or_default();
            instead(name, unknown).unwrap_or_else(|| format!("in the template: {detail}; offered are {OFFERED}"))
        }
        _ => format!("in the template: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(incremental: bool) -> Context {
        let mut names = Names::default();
        names.add_source("shop", "books", &TableName::parse("bronze.books").unwrap());
        names.add_model(&TableName::parse("silver.books").unwrap());
        let vars = Vars::from([("from".to_string(), Value::from("2024"))]);
        let this = Some(TableName::parse("gold.recent").unwrap());
        Context { names: Arc::new(names), vars: Arc::new(vars), this, incremental, ..Context::default() }
    }

    fn rendered(text: &str, incremental: bool) -> Rendered {
        render(&SourceFile::new("models/gold/recent.sql", text), &context(incremental)).unwrap()
    }

    fn fault_of(text: &str) -> String {
        render(&SourceFile::new("models/gold/recent.sql", text), &context(false)).unwrap_err().to_string()
    }

    #[test]
    fn dbt_functions_are_rendered() {
        let table = [
            ("select 1", "select 1"),
            ("from {{ ref('books') }}", r#"from "silver"."books""#),
            ("from {{ ref('silver', 'books') }}", r#"from "silver"."books""#),
            ("from {{ ref('silver.books') }}", r#"from "silver"."books""#),
            ("from {{ source('shop', 'books') }}", r#"from "bronze"."books""#),
            ("from {{ source('bronze', 'books') }}", r#"from "bronze"."books""#),
            ("{{ var('from') }} {{ var('to', 2025) }}", "2024 2025"),
            ("{# gone #}x\n", "x\n"),
            ("{{ this }}{% if is_incremental() %} i{% endif %}", r#""gold"."recent""#),
            ("{% for c in ['a', 'b'] %}{{ c }}{% if not loop.last %}, {% endif %}{% endfor %}", "a, b"),
        ];
        for (text, expected) in table {
            assert_eq!(rendered(text, false).sql, expected);
        }
        assert_eq!(rendered("{% if is_incremental() %}i{% endif %}", true).sql, "i");
        assert!(rendered("{% if is_incremental() %}i{% endif %}", false).asks_incremental);
    }

    #[test]
    fn config_is_read() {
        let text = "{{ config(materialized='table', tags=['a', 'b']) }}{{ config(materialized='append') }}select 1";
        let settings = rendered(text, false).settings;
        let mut stored = Written::default();
        stored.set("materialized", vec!["append".into()]).unwrap();
        assert_eq!(settings.stored, stored);
        assert_eq!(settings.tags, Some(vec!["a".to_string(), "b".to_string()]));
    }

    #[test]
    fn faults_name_line_and_column() {
        let table = [
            (
                "select 1\nfrom {{ ref('bookz') }}",
                "models/gold/recent.sql:2:9: unknown table `bookz`, did you mean `books`?\n  \
                 2 | from {{ ref('bookz') }}\n    |         ^",
            ),
            (
                "{{ config(materialized='cube') }}",
                "models/gold/recent.sql:1:4: the materialization `cube` is not offered, use table, view, incremental, append or snapshot\n  \
                 1 | {{ config(materialized='cube') }}\n    |    ^",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(fault_of(text), expected);
        }
        for (text, part) in [
            ("{{ run_query('x') }}", "`run_query` is not offered: nothing is asked"),
            ("{{ nothing }}", "recent.sql:1:4: in the template"),
            ("x\n{% if %}", "recent.sql:2:"),
            ("{{ env_var('X') }}", "use `var('X')`"),
            ("{{ var('x') }}", "neither value nor default"),
            ("{{ config(sorted='x') }}", "unknown config `sorted`"),
            ("a\n{% for x in range(90000) %}{% for y in range(90000) %}{% endfor %}{% endfor %}", "recent.sql:2:"),
            (
                "{% for x in range(90000) %}{% for y in range(90000) %}{% endfor %}{% endfor %}",
                "more than 5000000 steps",
            ),
            ("{% for x in range(90000) %}1234567890abcdef{% endfor %}", "more than 1048576 bytes of SQL"),
        ] {
            assert!(fault_of(text).contains(part), "{}", fault_of(text));
        }
    }

    #[test]
    fn every_character_leads_back_to_its_file() {
        let text =
            "{{ config(tags='x') }}\nselect a -- {{ 1 }}\n{%- if true %}\n, b{% endif %}\nfrom {{ ref('books') }} x\n";
        let rendered = rendered(text, false);
        for needle in ["select a", ", b", " x\n", "from "] {
            let (at, source) = (rendered.sql.find(needle).unwrap(), text.rfind(needle).unwrap());
            assert_eq!(rendered.map.source_of(at), source, "{needle}");
        }
        let at = rendered.sql.find("\"silver\"").unwrap();
        assert_eq!(rendered.map.source_of(at + 3), text.find("{{ ref").unwrap());
    }
}
