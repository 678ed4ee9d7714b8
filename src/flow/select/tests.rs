//! Patterns over a project of six models.

use super::*;
use crate::model::{Materialization, Model, Origin};

fn model(table: &str, file: &str, upstream: &[&str], tags: &[&str]) -> Model {
    let parse = |name: &str| TableName::parse(name).unwrap();
    Model {
        table: parse(table),
        file: file.into(),
        sql: String::new(),
        materialization: Materialization::Table,
        partition_by: Vec::new(),
        cluster_by: Vec::new(),
        description: String::new(),
        columns: Vec::new(),
        checks: Vec::new(),
        conditions: Vec::new(),
        upstream: upstream.iter().map(|name| parse(name)).collect(),
        reads: upstream.iter().map(|name| parse(name)).collect(),
        tags: tags.iter().map(|tag| tag.to_string()).collect(),
        contract_enforced: false,
        contract_describes: false,
        seed: None,
        origin: Origin::default(),
    }
}

/// a -> c -> d -> e and b -> d, f alone.
fn project() -> Project {
    let models = vec![
        model("silver.a", "models/silver/a.sql", &["bronze.a"], &["night"]),
        model("silver.b", "models/silver/b.sql", &["bronze.b"], &["slow"]),
        model("silver.f", "models/silver/f.sql", &["bronze.a"], &[]),
        model("gold.c", "models/gold/c.sql", &["silver.a"], &["night"]),
        model("gold.d", "models/gold/deep/d.sql", &["gold.c", "silver.b"], &["slow", "night"]),
        model("gold.e", "models/gold/deep/e.sql", &["gold.d"], &[]),
    ];
    Project { models, ..Project::default() }
}

fn texts(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|text| text.to_string()).collect()
}

/// The models' letters.
fn chosen(select: &[&str], exclude: &[&str], modified: &[&str]) -> Result<String> {
    let modified = modified.iter().map(|name| TableName::parse(name).unwrap()).collect();
    let selected = parse(&texts(select), &texts(exclude))?.models(&project(), &modified)?;
    let mut names: Vec<String> = selected.iter().map(|table| table.name().to_string()).collect();
    names.sort();
    Ok(names.concat())
}

#[test]
fn patterns_select_models_and_their_kin() {
    let table: [(&[&str], &[&str], &str); 27] = [
        (&[], &[], "abcdef"),
        (&["c"], &[], "c"),
        (&["gold.c", "b"], &[], "bc"),
        (&["c b"], &[], "bc"),
        (&["+c"], &[], "ac"),
        (&["a+"], &[], "acde"),
        (&["+c+"], &[], "acde"),
        (&["1+d"], &[], "bcd"),
        (&["2+d"], &[], "abcd"),
        (&["0+d"], &[], "d"),
        (&["a+1"], &[], "ac"),
        (&["a+2"], &[], "acd"),
        (&["1+c+1"], &[], "acd"),
        (&["@a"], &[], "abcde"),
        (&["@b"], &[], "abcde"),
        (&["@f"], &[], "f"),
        (&["tag:slow"], &[], "bd"),
        (&["tag:slow+"], &[], "bde"),
        (&["path:models/gold/"], &[], "cde"),
        (&["path:models/gold/c.sql"], &[], "c"),
        (&["tag:slow,tag:night"], &[], "d"),
        (&["tag:night,path:models/silver", "e"], &[], "ae"),
        (&["a+,+d"], &[], "acd"),
        (&[], &["tag:slow"], "acef"),
        (&["+d"], &["silver.a", "b"], "cd"),
        (&["a+"], &["path:models/gold/deep,d+"], "ac"),
        (&["99999999999999999999999+e"], &[], "abcde"),
    ];
    for (select, exclude, expected) in table {
        assert_eq!(chosen(select, exclude, &[]).unwrap(), expected, "{select:?} without {exclude:?}");
    }
}

#[test]
fn what_is_not_as_it_was_built_can_be_asked_for() {
    assert_eq!(chosen(&["state:modified"], &[], &[]).unwrap(), "");
    assert_eq!(chosen(&["state:modified"], &[], &["gold.c"]).unwrap(), "c");
    assert_eq!(chosen(&["state:modified+"], &[], &["gold.c"]).unwrap(), "cde");
    assert_eq!(chosen(&["@state:modified"], &["state:modified"], &["gold.c"]).unwrap(), "abde");
    assert!(parse(&[], &texts(&["state:modified"])).unwrap().asks_state());
    assert!(!parse(&texts(&["c"]), &[]).unwrap().asks_state());
}

#[test]
fn what_selects_nothing_is_told_with_what_was_meant() {
    let table = [
        ("dd", "no model fits `dd`, did you mean `d`?", ""),
        ("tag:slw", "no model fits `tag:slw`, did you mean `slow`?", ""),
        ("path:models/glod", "no model fits `path:models/glod`, did you mean `models/gold`?", "below models/"),
        ("tga:slow", "`tga:slow` selects nothing", "unknown selector `tga:`, did you mean `tag`?; there are tag:"),
        ("state:modifed", "`state:modifed` selects nothing", "did you mean `modified`?"),
        ("tag:", "`tag:` selects nothing", "name something behind `tag:`"),
        ("@c+", "`@c+` selects nothing", "leave the + away"),
        ("c*", "`c*` selects nothing", "write a model, tag:NAME"),
        ("c,", "`` selects nothing", "write a model"),
        ("+", "`+` selects nothing", "write a model"),
    ];
    for (pattern, message, hint) in table {
        let error = chosen(&[pattern], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), message, "{pattern}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{pattern}: {:?}", error.hint_text());
        assert_eq!(chosen(&[], &[pattern], &[]).unwrap_err().to_string(), message, "excluded {pattern}");
    }
}
