//! Which topics fill which Bronze tables: the contracts of the project, and the declared sources none of them names.

use super::bronze::Stream;
use crate::error::{Error, Result};
use crate::ident::suggestion;
use crate::model::{self, Project, StreamContract};
use crate::source::SourceConfig;

/// The streams of these Bronze tables (`books` or `bronze.books`), of all when none is named. A name that is
/// neither declared nor near one that is stands for a topic nobody declared. A dbt project may have none at all.
pub fn select(project: &Project, sources: &[SourceConfig], names: &[String]) -> Result<Vec<Stream>> {
    let all = all(project, sources)?;
    if names.is_empty() && all.is_empty() && !project.is_dbt() {
        return Err(Error::config("the project has no stream to read")
            .hint("make a project with `lake init shop --from any.csv`, or declare a source in lake.toml"));
    }
    if names.is_empty() {
        return Ok(all);
    }
    names.iter().map(|name| named(name, &all)).collect()
}

fn all(project: &Project, sources: &[SourceConfig]) -> Result<Vec<Stream>> {
    let mut streams: Vec<Stream> = Vec::new();
    for source in &project.sources {
        let StreamContract { topics, only, partition_by, max_reject_rate, format, drift } = source.stream.clone();
        let (table, columns, sql) = (source.table.clone(), source.columns.clone(), source.stream_sql.clone());
        streams.push(Stream { table, topics, only, columns, sql, partition_by, max_reject_rate, format, drift });
    }
    for source in sources {
        if !streams.iter().any(|stream| stream.topics.include(source.topic())) {
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
    let near = suggestion(table, all.iter().map(|stream| stream.table.name()));
    match near.is_empty() {
        true => undeclared(name),
        false => Err(Error::config(format!("no stream fills `{name}`{near}"))),
    }
}

/// A topic without a contract: its columns are inferred.
fn undeclared(topic: &str) -> Result<Stream> {
    let table = model::table_of(topic)?;
    let StreamContract { topics, only, partition_by, max_reject_rate, format, drift } = StreamContract::of_topic(topic);
    let (columns, sql) = (Vec::new(), None);
    Ok(Stream { table, topics, only, columns, sql, partition_by, max_reject_rate, format, drift })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Topics;

    #[test]
    fn a_name_is_a_table_a_slip_or_a_topic() {
        let all = [undeclared("books").unwrap()];
        assert_eq!(named("books", &all).unwrap().topics, Topics::one("books"));
        assert_eq!(named("bronze.books", &all).unwrap().topics, Topics::one("books"));
        let slip = named("bokks", &all).unwrap_err().to_string();
        assert_eq!(slip, "no stream fills `bokks`, did you mean `books`?");
        let other = named("Shop.Events", &all).unwrap();
        assert_eq!((other.topics, other.table.to_string()), (Topics::one("Shop.Events"), "bronze.shop_events".into()));
    }

    #[test]
    fn a_topic_has_the_table_of_its_contract_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("models/silver")).unwrap();
        let contract = "sources:\n  - name: shop\n    tables:\n      - {name: books, meta: {topic: --}}\n      \
                        - {name: sales, meta: {topic: shop.sales, max_reject_rate: 0.05}}\n";
        std::fs::write(root.path().join("models/sources.yml"), contract).unwrap();
        let reading = |table: &str| {
            std::fs::write(root.path().join("models/silver/x.sql"), format!("select * from bronze.{table}")).unwrap();
            Project::load(root.path(), &Default::default(), &["--", "shop.sales", "Odd.Ones"])
        };
        let project = reading("odd_ones").unwrap();
        assert!(reading("books").is_ok() && reading("sales").is_ok());
        assert!(reading("shop_sales").is_err(), "no stream fills it");
        let source = |name: &str| SourceConfig { name: name.into(), ..SourceConfig::default() };
        let streams = select(&project, &["--", "shop.sales", "Odd.Ones"].map(source), &[]).unwrap();
        let tables: Vec<&str> = streams.iter().map(|stream| stream.table.name()).collect();
        assert_eq!(tables, ["books", "sales", "odd_ones"]);
        assert_eq!((streams[0].max_reject_rate, streams[1].max_reject_rate), (None, Some(0.05)));
        std::fs::write(root.path().join("models/sources.yml"), contract.replace("0.05", "5%")).unwrap();
        let slip = Project::load(root.path(), &Default::default(), &[]).unwrap_err().to_string();
        assert!(slip.contains("`max_reject_rate` must be a share between 0 and 1, such as 0.05"), "{slip}");
        assert!(undeclared("++").unwrap_err().hint_text().unwrap().contains("models/sources.yml"));
    }
}
