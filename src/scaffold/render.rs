//! The texts of a new project.

use super::columns::Column;
use super::tables::Table;
use crate::ident;
use crate::source::Kind;

pub(super) const GITIGNORE: &str = ".gitignore";

/// (path relative to the project, text) of every file but the data.
pub(super) fn project(tables: &[Table]) -> Vec<(String, String)> {
    let mut files = vec![
        ("lake.toml".to_string(), lake_toml(tables)),
        (GITIGNORE.to_string(), ".lake/\ntarget/\n".to_string()),
        ("models/sources.yml".to_string(), sources_yml(tables)),
    ];
    for table in tables {
        files.push((format!("models/silver/{}.sql", table.name), silver_sql(table)));
    }
    files.push(("models/silver/schema.yml".to_string(), schema_yml(tables, "Silver")));
    for table in tables {
        files.push((format!("models/gold/{}.sql", table.name), gold_sql(table)));
    }
    files.push(("models/gold/schema.yml".to_string(), schema_yml(tables, "Gold")));
    files
}

const LAKE_TOML: &str = "\
# Files -> Kafka -> Bronze -> Silver -> Gold -> Postgres.
#
#   lake run --once            all of it, to the end of the files
#   lake query \"select * from gold.TABLE limit 10\"
#   lake query --warehouse \"select count(*) from gold.TABLE\"
#
# Everything runs embedded and keeps its data under .lake/ until an address is set here. Each key can also
# be given as LAKE__SECTION__KEY in the environment.

[kafka]
# brokers = \"host:9092\"                          # unset: the embedded broker

[lake]
# root = \"s3://bucket/prefix\"                    # unset: .lake/tables

[warehouse]
# url = \"postgres://user@host:5432/database\"     # unset: embedded PostgreSQL
# schema = \"gold\"

[bronze]
# interval = \"10s\"                               # how often a running `lake bronze` commits
";

fn lake_toml(tables: &[Table]) -> String {
    let mut text = match tables.first() {
        Some(table) => LAKE_TOML.replace("TABLE", &table.name),
        None => LAKE_TOML.to_string(),
    };
    for table in tables {
        text.push_str(&produce_entry(table));
    }
    text
}

fn produce_entry(table: &Table) -> String {
    let config = &table.preview.config;
    let files: Vec<String> = table.files.iter().map(|file| quoted(file)).collect();
    let mut lines = vec![
        String::new(),
        "[[produce]]".to_string(),
        format!("name = {}", quoted(&table.name)),
        format!("files = [{}]", files.join(", ")),
        format!("topic = {}", quoted(&table.name)),
        format!("format = \"{}\"", if table.is_csv() { "csv" } else { "jsonl" }),
    ];
    if table.is_csv() {
        lines.push("# The layout as it was found in the data.".to_string());
        let mark = |mark: Option<char>| quoted(&mark.unwrap_or('\0').to_string());
        lines.push(format!("delimiter = {}", mark(config.delimiter)));
        let no_quotes = if config.quote == Some('\0') { "   # cells are never quoted" } else { "" };
        lines.push(format!("quote = {}{no_quotes}", mark(config.quote)));
        let encoding = config.encoding.as_deref().unwrap_or("utf-8");
        let guessed = if encoding.starts_with("utf-") { "" } else { "   # a guess, as the bytes are not UTF-8" };
        lines.push(format!("encoding = {}{guessed}", quoted(encoding)));
        if let Some(count @ 1..) = config.skip_lines {
            lines.push(format!("skip_lines = {count}   # lines before the header"));
        }
        lines.push(format!("header = {}", config.header.unwrap_or(true)));
        lines.push("# null_values = [\"NULL\"]        # texts that mean null, beside the empty cell".to_string());
    }
    let example = table.columns.first().map_or("id", |column| &column.source.name);
    let time = table.columns.iter().find(|column| matches!(column.source.kind, Kind::Timestamp { .. }));
    let time = time.map_or("created_at", |column| &column.source.name);
    lines.push("# Rows of one key stay in order; the event time becomes the time of the Kafka record.".to_string());
    lines.push(format!("# key = [{}]", quoted(example)));
    lines.push(format!("# event_time = {}", quoted(time)));
    lines.push("# rate = 1000.0                 # rows per second; unset: as fast as it goes".to_string());
    lines.join("\n") + "\n"
}

/// A basic string of TOML and a double-quoted scalar of YAML: both take JSON's escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn sources_yml(tables: &[Table]) -> String {
    let mut text = "\
# The Bronze tables: what the topics hold, column by column. Fields that are not declared here are kept in
# `_rescued`; a record that does not fit lands in bronze.<table>__quarantine with the reason.
version: 2

sources:
  - name: bronze
    tables:
"
    .to_string();
    for table in tables {
        let what = if table.is_csv() { "each cell the text it was" } else { "each value as JSON had it" };
        text.push_str(&format!("      - name: {}\n", quoted(&table.name)));
        text.push_str(&format!("        description: {}\n", quoted(&format!("Rows of {}, {what}", table.origin))));
        text.push_str(&format!("        meta:\n          topic: {}\n        columns:\n", quoted(&table.name)));
        for column in &table.columns {
            text.push_str(&format!("          - name: {}\n", quoted(&column.bronze)));
            text.push_str(&format!("            data_type: {}\n", column.source.record_type));
        }
    }
    text
}

fn silver_sql(table: &Table) -> String {
    let mut text = format!(
        "-- Cleaned and typed. A value that does not fit its type stops the promotion with a message; mend the\n\
         -- cast here when that happens.\n\
         {}select\n{}\nfrom bronze.{}\n",
        table.naming.iter().map(|note| format!("-- {}\n", note.replace(['\r', '\n'], " "))).collect::<String>(),
        select_list(&table.columns),
        table.name
    );
    if table.preview.empty_rows > 0 {
        let columns: Vec<String> = table.columns.iter().map(|column| ident::quote(&column.bronze)).collect();
        text.push_str(&format!("-- {} rows hold nothing at all.\n", table.preview.empty_rows));
        text.push_str(&format!("where trim(concat({})) <> ''\n", columns.join(", ")));
    }
    text
}

fn select_list(columns: &[Column]) -> String {
    let last = columns.len().saturating_sub(1);
    let lines = columns.iter().enumerate().map(|(index, column)| {
        let comma = if index == last { "" } else { "," };
        let remark = column.remark().map_or(String::new(), |remark| format!("  -- {remark}"));
        format!("  {} as {}{comma}{remark}", column.expression(), ident::quote(&column.name))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn gold_sql(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| format!("  {}", ident::quote(&column.name))).collect();
    format!(
        "-- What consumers see, in the lake and in Postgres. Join, filter and aggregate here.\n\
         select\n{}\nfrom silver.{}\n",
        columns.join(",\n"),
        table.name
    )
}

fn schema_yml(tables: &[Table], layer: &str) -> String {
    let mut text = format!(
        "# Types and tests of the {layer} tables. A test that fails keeps readers on the version before.\n\
         # `unique` and `relationships` can be added beside `not_null`.\n\
         version: 2\n\nmodels:\n"
    );
    for table in tables {
        text.push_str(&format!("  - name: {}\n", quoted(&table.name)));
        text.push_str(&format!("    description: {}\n", quoted(&format!("{layer} table of {}", table.origin))));
        text.push_str("    columns:\n");
        for column in &table.columns {
            text.push_str(&column_yml(column, table.preview.complete && table.is_tested()));
        }
    }
    text
}

fn column_yml(column: &Column, tested: bool) -> String {
    let mut text = format!("      - name: {}\n", quoted(&column.name));
    text.push_str(&format!("        data_type: {}\n", column.source.kind.sql_type()));
    if column.name != column.source.name {
        text.push_str(&format!("        description: {}\n", quoted(&format!("`{}` of the file", column.source.name))));
    }
    if tested && !column.source.nullable {
        text.push_str("        tests:\n          - not_null\n");
    }
    text
}
