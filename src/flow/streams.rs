//! Which topics fill which Bronze tables: the contracts of the project, and the declared sources none of them names.

use super::bronze::Stream;
use crate::error::{Error, Result};
use crate::ident::{self, Layer, TableName};
use crate::model::Project;
use crate::source::SourceConfig;

/// The streams of these Bronze tables (`books` or `bronze.books`), of all when none is named. A name that is
/// neither declared nor near one that is stands for a topic nobody declared.
pub fn select(project: &Project, sources: &[SourceConfig], names: &[String]) -> Result<Vec<Stream>> {
    let all = all(project, sources)?;
    if names.is_empty() && all.is_empty() {
        return Err(Error::config("the project has no stream to read")
            .hint("make a project with `lake init shop --from any.csv`, or declare a source in lake.toml"));
    }
    if names.is_empty() {
        return Ok(all);
    }
    names.iter().map(|name| named(name, &all)).collect()
}

/// The Bronze tables of sources without a contract.
pub fn undeclared_tables(sources: &[SourceConfig]) -> Result<Vec<TableName>> {
    sources.iter().map(|source| Ok(undeclared(source.topic())?.table)).collect()
}

fn all(project: &Project, sources: &[SourceConfig]) -> Result<Vec<Stream>> {
    let mut streams: Vec<Stream> = Vec::new();
    for source in &project.sources {
        let (table, topic, columns) = (source.table.clone(), source.topic.clone(), source.columns.clone());
        streams.push(Stream { table, topic, columns, sql: source.stream_sql.clone() });
    }
    for source in sources {
        if !streams.iter().any(|stream| stream.topic == source.topic()) {
            streams.push(undeclared(source.topic())?);
        }
    }
    Ok(streams)
}

fn named(name: &str, all: &[Stream]) -> Result<Stream> {
    let table = name.strip_prefix("bronze.").unwrap_or(name);
    if let Some(stream) = all.iter().find(|stream| stream.table.name() == table) {
        return Ok(stream.clone());
    }
    match ident::nearest(table, all.iter().map(|stream| stream.table.name())) {
        Some(near) => Err(Error::config(format!("no stream fills `{name}`")).hint(format!("did you mean `{near}`?"))),
        None => undeclared(name),
    }
}

/// A topic without a contract: its columns are inferred.
fn undeclared(topic: &str) -> Result<Stream> {
    let name = ident::name_from(topic).ok_or_else(|| {
        Error::config(format!("no table can be named after the topic `{topic}`"))
            .hint("declare a table for it in models/sources.yml")
    })?;
    let table = TableName::new(Layer::Bronze, &name)?;
    Ok(Stream { table, topic: topic.to_string(), columns: Vec::new(), sql: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_table_a_slip_or_a_topic() {
        let all = [undeclared("books").unwrap()];
        assert_eq!(named("books", &all).unwrap().topic, "books");
        assert_eq!(named("bronze.books", &all).unwrap().topic, "books");
        assert_eq!(named("bokks", &all).unwrap_err().hint_text(), Some("did you mean `books`?"));
        let other = named("Shop.Events", &all).unwrap();
        assert_eq!((other.topic.as_str(), other.table.to_string()), ("Shop.Events", "bronze.shop_events".into()));
    }
}
