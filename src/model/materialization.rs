//! How a model's rows become its table: what `config` may say of it in dbt's words, and what that means.
//!
//! Reads texts and resolves no column: whether a key is a column of the result is known when the statement is planned.
//! The same words stand in a file's `config(...)` and in a contract's `config:`; the file has precedence, word by word.
//! To add a word: its name in [`WORDS`] and what reads it in [`Written::resolve`].

use crate::check::{Check, Options, Rule};
use crate::ident::{TableName, suggestion};
use std::collections::BTreeMap;

/// The words of `config` that say how a model is stored; the value of each is a text or a list of texts.
pub(super) const WORDS: [&str; 11] = [
    "materialized",
    "incremental_strategy",
    "unique_key",
    "driven_by",
    "partition_by",
    "cluster_by",
    "strategy",
    "updated_at",
    "check_cols",
    "hard_deletes",
    "invalidate_hard_deletes",
];

/// dbt's word for what is part of the statements that read it, and its other one.
const VIEW: &str = "view";
const EPHEMERAL: &str = "ephemeral";
/// dbt's word for what is a table here.
const SEED: &str = "seed";
const SNAPSHOT: &str = "snapshot";

/// Columns of a snapshot: when a version of a row began, and when it ended.
const VALID_FROM: &str = "dbt_valid_from";
const VALID_TO: &str = "dbt_valid_to";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Materialization {
    /// Replaced as a whole in one commit.
    Table,
    /// Built onto the rows that stand.
    Incremental(Incremental),
    /// The history of its rows: each version of a row with the time it was valid.
    Snapshot(Snapshot),
}

impl Materialization {
    /// What holds of every table of this kind, whatever its contract says.
    pub(super) fn own_check(&self, table: &TableName) -> Option<Check> {
        let Materialization::Snapshot(Snapshot { key, .. }) = self else { return None };
        let (from, to) = (VALID_FROM.to_string(), VALID_TO.to_string());
        Some(Check {
            name: format!("no_overlap_{}", table.name()),
            table: table.clone(),
            rule: Rule::NoOverlap { key: key.clone(), from, to },
            options: Options::default(),
        })
    }
}

impl Materialization {
    /// Whether the check can take rows out of a table of this kind; the message says why not.
    pub(super) fn can_quarantine(&self, check: &Check) -> Result<(), String> {
        let refused =
            |why: String| Err(format!("`{}` cannot take rows out with `on_failure: quarantine`: {why}", check.name));
        let Materialization::Incremental(incremental) = self else {
            return match self {
                Materialization::Snapshot(_) => refused("a snapshot keeps the history of every row".into()),
                _ => Ok(()),
            };
        };
        match &incremental.driven_by {
            _ if !incremental.strategy.key().is_empty() => {
                refused("the model changes rows that stand, and which rejected rows were theirs is not known".into())
            }
            Some(driver) if check.tables().contains(driver) => {
                refused(format!("it looks into `{driver}`, of which an increment sees only what is new"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incremental {
    pub strategy: Strategy,
    /// The upstream whose new rows make the increment. `None`: the file asks `is_incremental()`, and its statement says
    /// by itself what is new.
    pub driven_by: Option<TableName>,
}

/// What becomes of the rows that stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// All stay.
    Append,
    /// Those with the key of a new row give way to it; a key stands once.
    Merge { key: Vec<String> },
    /// Those with the key of a new row leave, and all new ones come; a key may stand on many rows.
    DeleteInsert { key: Vec<String> },
}

impl Strategy {
    pub fn key(&self) -> &[String] {
        match self {
            Strategy::Append => &[],
            Strategy::Merge { key } | Strategy::DeleteInsert { key } => key,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub key: Vec<String>,
    pub by: ChangeBy,
    /// A row that is no longer there ends; otherwise it stays valid.
    pub invalidate_deleted: bool,
}

/// What tells that a row is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeBy {
    /// This column is later.
    Timestamp(String),
    /// One of these columns is another; empty for all.
    Columns(Vec<String>),
}

/// What is written of it, before it means anything: by word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<&'static str, Vec<String>>);

impl Written {
    /// Notes the value of one of [`WORDS`]; the message says what is wrong with it.
    pub fn set(&mut self, word: &str, value: Vec<String>) -> Result<(), String> {
        let Some(word) = WORDS.iter().find(|known| **known == word) else {
            return Err(format!("unknown setting `{word}`{}", suggestion(word, WORDS)));
        };
        let value = match (*word, value.as_slice()) {
            ("materialized", [name]) if name == SEED => vec!["table".to_string()],
            ("materialized", [name]) if name == EPHEMERAL => vec![VIEW.to_string()],
            ("materialized", [name]) => known_materialization(name).map(|()| value)?,
            _ => value,
        };
        self.0.insert(word, value);
        Ok(())
    }

    /// With what another place says of words that are not set here.
    pub fn or(&self, other: &Written) -> Written {
        let mut words = other.0.clone();
        words.extend(self.0.clone());
        Written(words)
    }

    /// The same of a model that is a snapshot by where it is written.
    pub fn of_snapshot(mut self) -> Written {
        self.0.insert("materialized", vec![SNAPSHOT.to_string()]);
        self
    }

    /// Whether the model is stored nowhere.
    pub fn is_view(&self) -> bool {
        matches!(self.text("materialized"), Ok(Some(kind)) if kind == VIEW)
    }

    pub fn partition_by(&self) -> Vec<String> {
        self.list("partition_by")
    }

    pub fn cluster_by(&self) -> Vec<String> {
        self.list("cluster_by")
    }

    /// What it means for a model that reads `upstream`; the message says what is missing or does not fit.
    pub fn resolve(&self, upstream: &[TableName], asks_incremental: bool) -> Result<Materialization, String> {
        match self.text("materialized")?.as_deref().unwrap_or("table") {
            "table" | VIEW => Ok(Materialization::Table),
            SNAPSHOT => self.snapshot(asks_incremental).map(Materialization::Snapshot),
            kind => {
                let strategy = self.strategy(kind == "append")?;
                let driven_by = self.driver(upstream, asks_incremental)?;
                Ok(Materialization::Incremental(Incremental { strategy, driven_by }))
            }
        }
    }

    /// `append` is short for `incremental` with that strategy.
    fn strategy(&self, is_append: bool) -> Result<Strategy, String> {
        let (key, partition) = (self.list("unique_key"), self.partition_by());
        let written = self.text("incremental_strategy")?;
        let default = if is_append || key.is_empty() { "append" } else { "merge" };
        let named = written.as_deref().unwrap_or(default);
        if is_append && named != "append" {
            return Err(format!("`append` has no strategy `{named}`, use materialized='incremental'"));
        }
        let keyed = |key: Vec<String>, word: &str| match key.is_empty() {
            true => Err(format!("the strategy `{named}` needs a `{word}`")),
            false => Ok(key),
        };
        match named {
            "append" if key.is_empty() => Ok(Strategy::Append),
            "append" => Err("the strategy `append` looks at no `unique_key`, use merge or delete+insert".into()),
            "merge" => Ok(Strategy::Merge { key: keyed(key, "unique_key")? }),
            "delete+insert" => Ok(Strategy::DeleteInsert { key: keyed(key, "unique_key")? }),
            "replace_partition" | "insert_overwrite" => {
                Ok(Strategy::DeleteInsert { key: keyed(partition, "partition_by")? })
            }
            other => Err(format!(
                "the strategy `{other}` is not offered, use merge, delete+insert, append or replace_partition"
            )),
        }
    }

    fn driver(&self, upstream: &[TableName], asks_incremental: bool) -> Result<Option<TableName>, String> {
        let written = self.text("driven_by")?;
        let named: Vec<String> = upstream.iter().map(|table| format!("`{table}`")).collect();
        match (written, asks_incremental) {
            (Some(_), true) => {
                Err("`driven_by` and `is_incremental()` both say what is new: leave one of them out".to_string())
            }
            (None, true) => Ok(None),
            (Some(name), false) => {
                let meant: Vec<&TableName> =
                    upstream.iter().filter(|table| table.to_string() == name || table.name() == name).collect();
                match meant.as_slice() {
                    [table] => Ok(Some((*table).clone())),
                    _ => Err(format!("`driven_by` names one of the tables it reads: {}", named.join(", "))),
                }
            }
            (None, false) => match upstream {
                [only] => Ok(Some(only.clone())),
                [] => Err("it reads no table, so nothing can be new to it".to_string()),
                _ => Err(format!(
                    "it reads {}: say with `driven_by` whose new rows make an increment, or with `is_incremental()` \
                     what is new",
                    named.join(", ")
                )),
            },
        }
    }

    fn snapshot(&self, asks_incremental: bool) -> Result<Snapshot, String> {
        if asks_incremental {
            return Err("a snapshot compares all rows: `is_incremental()` has no place in it".into());
        }
        let key = self.list("unique_key");
        if key.is_empty() {
            return Err("a snapshot needs a `unique_key`".into());
        }
        let by = match self.text("strategy")?.as_deref() {
            Some("timestamp") => match self.text("updated_at")? {
                Some(column) => ChangeBy::Timestamp(column),
                None => return Err("a snapshot by timestamp needs `updated_at`".into()),
            },
            Some("check") => match self.list("check_cols") {
                columns if columns.is_empty() => {
                    return Err("a snapshot by comparison needs `check_cols`: a list of columns, or all".into());
                }
                columns if columns == ["all"] => ChangeBy::Columns(Vec::new()),
                columns => ChangeBy::Columns(columns),
            },
            _ => return Err("a snapshot needs a `strategy`: timestamp or check".into()),
        };
        Ok(Snapshot { key, by, invalidate_deleted: self.invalidates_deleted()? })
    }

    /// dbt's newer word, or the older one.
    fn invalidates_deleted(&self) -> Result<bool, String> {
        if let Some(word) = self.text("hard_deletes")? {
            return match word.as_str() {
                "ignore" => Ok(false),
                "invalidate" => Ok(true),
                other => Err(format!("`hard_deletes` is ignore or invalidate, not `{other}`")),
            };
        }
        // A template's truth value reads `True`.
        match self.text("invalidate_hard_deletes")?.map(|text| text.to_lowercase()).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("`invalidate_hard_deletes` is true or false, not `{other}`")),
        }
    }

    fn list(&self, word: &str) -> Vec<String> {
        self.0.get(word).cloned().unwrap_or_default()
    }

    fn text(&self, word: &str) -> Result<Option<String>, String> {
        match self.0.get(word).map(Vec::as_slice) {
            None => Ok(None),
            Some([text]) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{word}` must be one text")),
        }
    }
}

fn known_materialization(name: &str) -> Result<(), String> {
    const KNOWN: [&str; 5] = ["table", VIEW, "incremental", "append", SNAPSHOT];
    match KNOWN.contains(&name) {
        true => Ok(()),
        false => Err(format!(
            "the materialization `{name}` is not offered, use table, view, incremental, append or snapshot"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(words: &[(&str, &[&str])]) -> Written {
        let mut written = Written::default();
        for (word, values) in words {
            written.set(word, values.iter().map(|value| value.to_string()).collect()).unwrap();
        }
        written
    }

    fn resolved(words: &[(&str, &[&str])], upstream: &[&str], asks: bool) -> Result<Materialization, String> {
        let upstream: Vec<TableName> = upstream.iter().map(|name| TableName::parse(name).unwrap()).collect();
        written(words).resolve(&upstream, asks)
    }

    #[test]
    fn strategies_follow_from_what_is_written() {
        let id = || vec!["id".to_string()];
        type Words<'a> = &'a [(&'a str, &'a [&'a str])];
        let table: [(Words<'_>, Strategy); 6] = [
            (&[("materialized", &["append"])], Strategy::Append),
            (&[("materialized", &["incremental"])], Strategy::Append),
            (&[("materialized", &["incremental"]), ("unique_key", &["id"])], Strategy::Merge { key: id() }),
            (
                &[
                    ("materialized", &["incremental"]),
                    ("unique_key", &["id", "line"]),
                    ("incremental_strategy", &["delete+insert"]),
                ],
                Strategy::DeleteInsert { key: vec!["id".into(), "line".into()] },
            ),
            (
                &[
                    ("materialized", &["incremental"]),
                    ("partition_by", &["id"]),
                    ("incremental_strategy", &["insert_overwrite"]),
                ],
                Strategy::DeleteInsert { key: id() },
            ),
            (&[("materialized", &["incremental"]), ("incremental_strategy", &["append"])], Strategy::Append),
        ];
        let driven_by = Some(TableName::parse("bronze.a").unwrap());
        for (words, strategy) in table {
            let expected = Materialization::Incremental(Incremental { strategy, driven_by: driven_by.clone() });
            assert_eq!(resolved(words, &["bronze.a"], false), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let incremental: (&str, &[&str]) = ("materialized", &["incremental"]);
        let snapshot: (&str, &[&str]) = ("materialized", &["snapshot"]);
        let key: (&str, &[&str]) = ("unique_key", &["id"]);
        let two = &["bronze.a", "silver.b"][..];
        let table = [
            (vec![incremental, ("incremental_strategy", &["merge"])], two, "the strategy `merge` needs a `unique_key`"),
            (vec![incremental, ("incremental_strategy", &["upsert"])], two, "the strategy `upsert` is not offered"),
            (vec![incremental, key], two, "it reads `bronze.a`, `silver.b`: say with `driven_by`"),
            (vec![incremental, ("driven_by", &["c"])], two, "`driven_by` names one of the tables it reads"),
            (vec![incremental], &[][..], "it reads no table"),
            (vec![("materialized", &["append"]), key], two, "the strategy `append` looks at no `unique_key`"),
            (vec![snapshot], two, "a snapshot needs a `unique_key`"),
            (vec![snapshot, key], two, "a snapshot needs a `strategy`"),
            (vec![snapshot, key, ("strategy", &["timestamp"])], two, "needs `updated_at`"),
            (vec![snapshot, key, ("strategy", &["check"])], two, "needs `check_cols`"),
        ];
        for (words, upstream, part) in table {
            let message = resolved(&words, upstream, false).unwrap_err();
            assert!(message.contains(part), "{words:?}: {message}");
        }
        let older =
            [snapshot, key, ("strategy", &["check"]), ("check_cols", &["all"]), ("invalidate_hard_deletes", &["yes"])];
        assert!(resolved(&older, two, false).unwrap_err().contains("is true or false, not `yes`"));
        let both = resolved(&[incremental, ("driven_by", &["a"])], two, true).unwrap_err();
        assert!(both.contains("leave one of them out"), "{both}");
        assert!(Written::default().set("materialized", vec!["cube".into()]).unwrap_err().contains("`cube`"));
    }

    #[test]
    fn the_file_has_precedence_word_by_word() {
        let file = written(&[("unique_key", &["id"])]);
        let contract = written(&[("materialized", &["incremental"]), ("unique_key", &["other"])]);
        let upstream = [TableName::parse("bronze.a").unwrap()];
        let Ok(Materialization::Incremental(found)) = file.or(&contract).resolve(&upstream, false) else { panic!() };
        assert_eq!(found.strategy.key(), ["id"]);
    }
}
