//! Names of layers and tables, what to suggest for a misspelt one, and the only place where SQL is quoted.
//!
//! Never builds a statement; callers do, with [`quote`] and [`literal`] around whatever came from outside.

use crate::error::{Error, Result};
use std::fmt;

/// The three layers of the medallion. A table's address is `layer.name` everywhere: SQL, paths, messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    Bronze,
    Silver,
    Gold,
}

impl Layer {
    pub const ALL: [Layer; 3] = [Layer::Bronze, Layer::Silver, Layer::Gold];

    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Bronze => "bronze",
            Layer::Silver => "silver",
            Layer::Gold => "gold",
        }
    }

    pub fn parse(text: &str) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.as_str() == text)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A table of the lake. The name is `[a-z_][a-z0-9_]*`, at most 63 characters, so that it is the same
/// unquoted name in DataFusion and Postgres and a safe path segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    layer: Layer,
    name: String,
}

impl TableName {
    pub fn new(layer: Layer, name: &str) -> Result<TableName> {
        check_name(name)?;
        Ok(TableName { layer, name: name.to_string() })
    }

    /// Parses `layer.name`.
    pub fn parse(text: &str) -> Result<TableName> {
        let Some((layer, name)) = text.split_once('.') else {
            return Err(
                Error::config(format!("`{text}` is no table name")).hint("write layer.table, for example silver.books")
            );
        };
        let layer = Layer::parse(layer).ok_or_else(|| {
            Error::config(format!("`{layer}` in `{text}` is no layer")).hint("the layers are bronze, silver and gold")
        })?;
        TableName::new(layer, name)
    }

    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// The name without its layer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `"layer"."name"`, for use in a statement.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(self.layer.as_str()), quote(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.name)
    }
}

fn check_name(name: &str) -> Result<()> {
    let mut characters = name.chars();
    let starts_well = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let goes_on_well = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts_well && goes_on_well && name.len() <= 63 {
        return Ok(());
    }
    Err(Error::config(format!("`{name}` cannot name a table"))
        .hint("use lower-case letters, digits and underscores, at most 63, not starting with a digit"))
}

/// Quotes an identifier for DataFusion and Postgres alike: wrapped in `"`, inner `"` doubled.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Quotes a text literal: wrapped in `'`, inner `'` doubled. Safe with `standard_conforming_strings` on
/// (Postgres' default) and in DataFusion.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Columns Bronze gives every table of its own; no column of a stream can be called like one, in any case.
pub const BRONZE_COLUMNS: [&str; 13] = [
    "_topic",
    "_partition",
    "_offset",
    "_timestamp",
    "_key",
    "_headers",
    "_source",
    "_source_row",
    "_ingested_at",
    "_rescued",
    "_reason",
    "_raw",
    "_quarantined",
];

/// Most columns a PostgreSQL table may have (documentation, "PostgreSQL Limits").
pub const MOST_POSTGRES_COLUMNS: usize = 1_600;

/// Columns PostgreSQL gives every table (documentation, "System Columns").
const POSTGRES_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Whether PostgreSQL keeps the column name for itself.
pub fn is_postgres_column(name: &str) -> bool {
    POSTGRES_COLUMNS.contains(&name)
}

/// Whether every reader of Delta tables accepts the column name: the characters refused here need Delta's
/// column mapping (Delta protocol, "Column Mapping"), which Spark demands and not every reader knows.
pub fn is_portable_column(name: &str) -> bool {
    !name.is_empty() && !name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='])
}

/// Makes a table or column name out of arbitrary text (a header cell, a file stem): lower case, runs of
/// other characters become one `_`. `None` when nothing usable is left.
pub fn name_from(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.trim().chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let mut name = name.trim_end_matches('_').to_string();
    if name.is_empty() {
        return None;
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name.truncate(63);
    Some(name)
}

/// The candidate somebody probably meant: the fewest edits, if less than about a third of the name has to change.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let edits = candidates.into_iter().map(|candidate| (edits(&wanted, &candidate.to_lowercase()), candidate));
    edits.filter(|(edits, _)| *edits <= 1 + wanted.chars().count() / 3).min().map(|(_, candidate)| candidate)
}

/// `, did you mean `x`?`, to be put behind the complaint, or nothing.
pub fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

/// A hint about an unknown name: the known one probably meant, else all there are.
pub fn known_names<'n>(unknown: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let names: Vec<&str> = known.clone().collect();
    match nearest(unknown, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there are none yet".into(),
        None => format!("there are: {}", names.join(", ")),
    }
}

/// Levenshtein's distance over characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_are_strict() {
        for good in ["bronze.books", "silver._x9", "gold.dim_date"] {
            assert_eq!(TableName::parse(good).unwrap().to_string(), good);
        }
        for bad in ["books", "copper.books", "gold.", "gold.Books", "gold.a-b", "gold.1a", "gold.a.b", "gold.a\"b"] {
            assert!(TableName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quoting_doubles_the_quote() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_none() {
        let names = ["silver.books", "silver.sales"];
        assert_eq!(nearest("silver.book", names), Some("silver.books"));
        assert_eq!(nearest("SILVER.SALE", names), Some("silver.sales"));
        assert_eq!(nearest("gold.dim_date", names), None);
        assert_eq!(suggestion("silver.book", names), ", did you mean `silver.books`?");
        assert_eq!(suggestion("gold.dim_date", names), "");
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_gets_the_list() {
        let known = ["brokers", "root"];
        assert_eq!(known_names("broker", known.into_iter()), "did you mean `brokers`?");
        assert_eq!(known_names("interval", known.into_iter()), "there are: brokers, root");
        assert_eq!(known_names("interval", [].into_iter()), "there are none yet");
    }

    #[test]
    fn characters_delta_refuses_are_known() {
        assert!(is_portable_column("InvoiceNo") && is_portable_column("книга"));
        assert!(!is_portable_column("Author(s)") && !is_portable_column("a b") && !is_portable_column(""));
    }

    #[test]
    fn names_are_made_of_headers() {
        let table = [
            ("Author(s)", Some("author_s")),
            ("Approximate sales in millions", Some("approximate_sales_in_millions")),
            ("2nd", Some("_2nd")),
            ("  ", None),
            ("книга", None),
            ("É1", Some("1").map(|_| "_1")),
        ];
        for (text, expected) in table {
            assert_eq!(name_from(text).as_deref(), expected, "{text}");
        }
    }
}
