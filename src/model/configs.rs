//! dbt's configs by name: which mean something here, which are passed over, which are refused.
//!
//! The one list for all places a config is written in: `config(...)` in a file, `config:` in a contract, `+name` in
//! `dbt_project.yml`. What a config means is read where it is used.

use crate::ident::suggestion;
use crate::model::materialization::WORDS;

/// Read by `contract::read_config` beside the [`WORDS`] on how a model is stored.
const READ: [&str; 7] = ["tags", "schema", "target_schema", "enabled", "contract", "column_types", "delimiter"];

/// They speak of a warehouse's connection or storage, of documentation, or of dbt's own tool: nothing here depends on
/// them.
const PASSED_OVER: [&str; 31] = [
    "access",
    "auto_refresh",
    "backup",
    "bind",
    "catalog",
    "copy_grants",
    "database",
    "dist",
    "docs",
    "event_time",
    "file_format",
    "full_refresh",
    "grants",
    "group",
    "indexes",
    "labels",
    "location_root",
    "meta",
    "on_configuration_change",
    "on_schema_change",
    "persist_docs",
    "query_tag",
    "quote_columns",
    "secure",
    "snowflake_warehouse",
    "sort",
    "sort_type",
    "table_format",
    "target_database",
    "transient",
    "unlogged",
];

/// What is said instead of reading a config.
const REFUSED: [(&str, &str); 7] = [
    ("alias", "a table has the name of its file: rename the file"),
    ("dbt_valid_to_current", "the present version of a row has NULL in `dbt_valid_to`"),
    ("snapshot_meta_column_names", "the columns of a snapshot have dbt's usual names, `dbt_valid_from` and the like"),
    ("pre-hook", "hooks are not run: make it a model, or a file in sql/warehouse"),
    ("pre_hook", "hooks are not run: make it a model, or a file in sql/warehouse"),
    ("post-hook", "hooks are not run: make it a model, or a file in sql/warehouse"),
    ("post_hook", "hooks are not run: make it a model, or a file in sql/warehouse"),
];

fn read() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().chain(READ)
}

/// Every config there may be, in no order.
pub(super) fn known() -> Vec<&'static str> {
    read().chain(PASSED_OVER).chain(REFUSED.map(|(name, _)| name)).collect()
}

pub(super) fn is_passed_over(name: &str) -> bool {
    PASSED_OVER.contains(&name)
}

/// Why a config cannot be set; `None` for one that may be.
pub(super) fn refusal(name: &str) -> Option<String> {
    if read().any(|read| read == name) || is_passed_over(name) {
        return None;
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(format!("`{name}` is not offered: {why}"));
    }
    Some(format!(
        "unknown config `{name}`{} (read are {})",
        suggestion(name, known()),
        read().collect::<Vec<_>>().join(", ")
    ))
}
