//! The tables a project knows, and what a name written in SQL, in a template or in a test means.

use crate::ident::{Layer, TableName, suggestion};
use std::collections::{BTreeMap, BTreeSet};

/// Behind the name of a Bronze table: the records that could not be decoded.
pub const QUARANTINE_SUFFIX: &str = "__quarantine";

/// Behind the name of a model: the rows its tests took out of it.
const REJECTED_SUFFIX: &str = "__rejected";

/// The table of the rows that the tests of a model take out of it, in its layer.
pub fn rejected_of(model: &TableName) -> crate::error::Result<TableName> {
    TableName::new(model.layer(), &format!("{}{REJECTED_SUFFIX}", model.name()))
}

/// Declared Bronze tables and the tables of all models.
#[derive(Debug, Clone, Default)]
pub struct Names {
    tables: BTreeSet<TableName>,
    /// The same by the name without its layer.
    by_name: BTreeMap<String, BTreeSet<TableName>>,
    /// dbt's (source name, table name) -> its table.
    sources: BTreeMap<(String, String), TableName>,
    /// A layer is a folder's name and no more: Silver may read Gold.
    pub layers_are_names: bool,
}

impl Names {
    pub fn add_source(&mut self, source: &str, name: &str, table: &TableName) {
        self.sources.insert((source.to_string(), name.to_string()), table.clone());
        self.add_model(table);
    }

    pub fn add_model(&mut self, table: &TableName) {
        self.by_name.entry(table.name().to_string()).or_default().insert(table.clone());
        self.tables.insert(table.clone());
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &TableName> {
        self.by_name.get(name).into_iter().flatten()
    }

    /// `layer.name`. The quarantine of a Bronze table means the Bronze table.
    pub fn qualified(&self, layer: &str, name: &str) -> Result<TableName, String> {
        let Some(layer) = Layer::parse(layer) else {
            let layers = Layer::ALL.map(Layer::as_str);
            return Err(format!("unknown layer `{layer}`{}", suggestion(layer, layers)));
        };
        let base = match layer {
            Layer::Bronze => name.strip_suffix(QUARANTINE_SUFFIX).unwrap_or(name),
            Layer::Silver | Layer::Gold => name,
        };
        let table = TableName::new(layer, base).map_err(|error| error.to_string())?;
        match self.tables.contains(&table) {
            true => Ok(table),
            false => Err(self.unknown(&table.to_string())),
        }
    }

    /// A name without its layer, as written in `by`: right when one table alone has it. A model means
    /// itself only when no other table has its name.
    pub fn unqualified(&self, name: &str, by: Option<&TableName>) -> Result<TableName, String> {
        let base = name.strip_suffix(QUARANTINE_SUFFIX).unwrap_or(name);
        let of_quarantine = self.named(base).filter(|table| base != name && table.layer() == Layer::Bronze);
        self.only(name, by, self.named(name).chain(of_quarantine).collect())
    }

    /// dbt's `ref('name')`: a model; `ref('layer.name')` means `ref('layer', 'name')`.
    pub fn reference(&self, name: &str, by: Option<&TableName>) -> Result<TableName, String> {
        if let Some((layer, name)) = name.split_once('.') {
            return self.qualified(layer, name);
        }
        let models = self.named(name).filter(|table| table.layer() != Layer::Bronze);
        self.only(name, by, models.collect())
    }

    /// dbt's `source('name', 'table')`; `bronze` is a name every table answers to.
    pub fn source(&self, source: &str, table: &str) -> Result<TableName, String> {
        if source == Layer::Bronze.as_str() {
            return self.qualified(source, table);
        }
        let key = (source.to_string(), table.to_string());
        self.sources.get(&key).cloned().ok_or_else(|| {
            let known: Vec<String> = self.sources.keys().map(|(source, table)| format!("{source}.{table}")).collect();
            let written = format!("{source}.{table}");
            format!("unknown source `{written}`{}", suggestion(&written, known.iter().map(String::as_str)))
        })
    }

    fn only(&self, name: &str, by: Option<&TableName>, found: Vec<&TableName>) -> Result<TableName, String> {
        let others: Vec<&TableName> = found.iter().copied().filter(|table| Some(*table) != by).collect();
        match (others.as_slice(), found.as_slice()) {
            ([table], _) | ([], [table]) => Ok((*table).clone()),
            ([], _) => Err(self.unknown(name)),
            (several, _) => {
                let choices: Vec<String> = several.iter().map(|table| format!("`{table}`")).collect();
                Err(format!("`{name}` is ambiguous, write {}", choices.join(" or ")))
            }
        }
    }

    fn unknown(&self, written: &str) -> String {
        let full: Vec<String> = self.tables.iter().map(TableName::to_string).collect();
        let candidates: Vec<&str> = match written.contains('.') {
            true => full.iter().map(String::as_str).collect(),
            false => self.tables.iter().map(TableName::name).collect(),
        };
        let near = suggestion(written, candidates);
        match written.starts_with("bronze.") && near.is_empty() {
            true => format!("unknown table `{written}`, declare it under `sources:` in models/sources.yml"),
            false => format!("unknown table `{written}`{near}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.add_source("shop", "books", &TableName::parse("bronze.books").unwrap());
        names.add_source("shop", "sales", &TableName::parse("bronze.sales").unwrap());
        for model in ["silver.books", "gold.books", "gold.dim_date"] {
            names.add_model(&TableName::parse(model).unwrap());
        }
        names
    }

    #[test]
    fn names_mean_one_table_or_are_refused_with_the_choices() {
        let names = names();
        let gold_books = TableName::parse("gold.books").unwrap();
        let table: [(Result<TableName, String>, &str); 13] = [
            (names.qualified("bronze", "books__quarantine"), "bronze.books"),
            (names.qualified("silver", "bookz"), "unknown table `silver.bookz`, did you mean `silver.books`?"),
            (names.qualified("sliver", "books"), "unknown layer `sliver`, did you mean `silver`?"),
            (
                names.qualified("bronze", "nothing_alike"),
                "unknown table `bronze.nothing_alike`, declare it under `sources:` in models/sources.yml",
            ),
            (names.unqualified("sales", None), "bronze.sales"),
            (names.unqualified("sales__quarantine", None), "bronze.sales"),
            (
                names.unqualified("books", Some(&gold_books)),
                "`books` is ambiguous, write `bronze.books` or `silver.books`",
            ),
            (names.reference("books", Some(&gold_books)), "silver.books"),
            (names.reference("gold.books", None), "gold.books"),
            (names.reference("gold.bookz", None), "unknown table `gold.bookz`, did you mean `gold.books`?"),
            (names.reference("dim_dat", None), "unknown table `dim_dat`, did you mean `dim_date`?"),
            (names.source("shop", "sales"), "bronze.sales"),
            (names.source("shop", "sale"), "unknown source `shop.sale`, did you mean `shop.sales`?"),
        ];
        for (found, expected) in table {
            assert_eq!(found.map_or_else(|message| message, |table| table.to_string()), expected);
        }
    }
}
