//! Layers, faults and secrets of settings, with files, variables and flags as a user would give them.

use super::*;
use crate::error::Error;

/// A project with this `lake.toml` and files beside it, loaded with variables and flags.
fn load(toml: &str, env: &[(&str, &str)], flags: &[(&'static str, &str, &'static str)]) -> Result<Config> {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join(FILE), toml).unwrap();
    std::fs::write(temp.path().join("secret"), "from-file\n").unwrap();
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let flags: Vec<Flag> =
        flags.iter().map(|(key, value, name)| Flag { key, value: value.to_string(), name }).collect();
    Config::load(temp.path(), &env, &flags)
}

/// (`lake.toml`, variables, start of the message, start of the hint)
type Refused<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

fn refusal(toml: &str, env: &[(&str, &str)]) -> Error {
    load(toml, env, &[]).err().unwrap_or_else(|| panic!("accepted: {toml} {env:?}"))
}

#[test]
fn without_a_file_everything_is_embedded() {
    let temp = tempfile::tempdir().unwrap();
    let config = Config::load(temp.path(), &BTreeMap::new(), &[]).unwrap();
    assert!(config.kafka.brokers.is_none() && config.warehouse.url.is_none() && config.sources.is_empty());
    assert_eq!(config.lake.root, temp.path().join(".lake/tables").display().to_string());
    assert_eq!((config.warehouse.schema.as_str(), config.bronze.interval), ("gold", Duration::from_secs(10)));
    assert_eq!((config.bronze.memory, config.bronze.max_bytes), (256_000_000, 128_000_000));
}

#[test]
fn a_later_layer_wins() {
    let toml = "[kafka]\nbrokers = \"file:1\"\n";
    let env = [("LAKE__KAFKA__BROKERS", "variable:1")];
    let flag = [("kafka.brokers", "flag:1", "--brokers")];
    let table = [
        (load("", &[], &[]), None),
        (load(toml, &[], &[]), Some("file:1")),
        (load(toml, &env, &[]), Some("variable:1")),
        (load(toml, &env, &flag), Some("flag:1")),
        (load(toml, &[("LAKE__KAFKA__BROKERS", "")], &[]), None),
    ];
    for (config, expected) in table {
        assert_eq!(config.unwrap().kafka.brokers.as_deref(), expected);
    }
}

#[test]
fn a_batch_is_bounded_by_the_memory_unless_its_size_is_given() {
    let flag = [("bronze.memory", "100MB", "--memory")];
    let table = [
        (load("", &[("LAKE__BRONZE__MEMORY", "1GB")], &[]), 1_000_000_000, 500_000_000),
        (load("[bronze]\nmemory = '1GB'", &[], &flag), 100_000_000, 50_000_000),
        (load("[bronze]\nmax_bytes = '7MB'", &[], &flag), 100_000_000, 7_000_000),
    ];
    for (config, memory, max_bytes) in table {
        let bronze = config.unwrap().bronze;
        assert_eq!((bronze.memory, bronze.max_bytes), (memory, max_bytes));
    }
    let error = load("", &[], &[("bronze.memory", "5MB", "--memory")]).err().unwrap().to_string();
    assert!(error.starts_with("--memory: `bronze.memory` is 5000000 bytes"), "{error}");
}

#[test]
fn every_key_arrives() {
    let toml = r#"
        [kafka]
        brokers = "b:1"
        properties = { "security.protocol" = "SASL_SSL", "sasl.password" = { env = "SASL" } }
        [lake]
        root = "s3://bucket/x"
        options = { aws_access_key_id = "id", aws_secret_access_key = { file = "secret" } }
        [warehouse]
        url = "postgres://me:in-url@db/shop"
        schema = "mart"
        [bronze]
        interval = "2s"
        max_rows = 10_000
        max_bytes = "1MiB"
        [engine]
        memory = "512MB"
        threads = 3
        [vars]
        since = 2020
        [[produce]]
        name = "books"
        files = ["data/*.csv"]
        delimiter = ";"
        rate = 5
    "#;
    let config = load(toml, &[("SASL", "canary"), ("LAKE__KAFKA__PROPERTIES__SASL_USERNAME", "me")], &[]).unwrap();
    let properties: Vec<_> = config.kafka.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(properties, ["sasl.password=canary", "sasl.username=me", "security.protocol=SASL_SSL"]);
    assert_eq!(config.lake.root, "s3://bucket/x");
    assert_eq!(config.lake.options["aws_secret_access_key"], "from-file");
    assert_eq!(config.warehouse.url.as_deref(), Some("postgres://me@db/shop"));
    assert_eq!(config.warehouse.password.as_ref().map(Secret::expose), Some("in-url"));
    assert_eq!((config.bronze.max_rows, config.bronze.max_bytes), (10_000, 1 << 20));
    assert_eq!((config.engine.memory_bytes, config.engine.threads), (512_000_000, 3));
    assert_eq!((config.vars["since"].as_str(), config.warehouse.schema.as_str()), ("2020", "mart"));
    let source = &config.sources[0];
    assert_eq!((source.name.as_str(), source.delimiter, source.rate), ("books", Some(';'), Some(5.0)));
}

#[test]
fn a_password_has_an_order_of_places() {
    let url = "LAKE__WAREHOUSE__URL";
    let table: [(&[(&str, &str)], &str); 4] = [
        (&[(url, "postgres://me:a@db/x"), ("LAKE__WAREHOUSE__PASSWORD", "b"), ("PGPASSWORD", "c")], "b"),
        (&[(url, "postgres://me:a@db/x"), ("LAKE__WAREHOUSE__PASSWORD_FILE", "secret")], "from-file"),
        (&[(url, "postgres://me:a@db/x"), ("PGPASSWORD", "c")], "a"),
        (&[(url, "postgres://me@db/x"), ("PGPASSWORD", "c")], "c"),
    ];
    for (env, expected) in table {
        let config = load("", env, &[]).unwrap();
        assert_eq!(config.warehouse.password.as_ref().map(Secret::expose), Some(expected), "{env:?}");
    }
}

#[test]
fn a_fault_has_its_place_and_its_remedy() {
    let table: [Refused<'_>; 14] = [
        ("[kafka]\nbroker = 'x'", &[], "lake.toml:2: unknown setting `kafka.broker`", "did you mean `kafka.brokers`?"),
        (
            "",
            &[("LAKE__LAKE__ROT", "x")],
            "LAKE__LAKE__ROT: unknown setting `LAKE__LAKE__ROT`",
            "did you mean `LAKE__LAKE__ROOT`?",
        ),
        ("[bronze]\n\ninterval = 10", &[], "lake.toml:3: `bronze.interval` is `10`", "write a duration such as"),
        ("", &[("LAKE__ENGINE__MEMORY", "lots")], "LAKE__ENGINE__MEMORY: `engine.memory` is `lots`", "write a size"),
        ("[kafka]\nbrokers = ['a']", &[], "lake.toml:2: `kafka.brokers` is a list", ""),
        ("vars = 1", &[], "lake.toml:1: `vars` is no table", ""),
        (
            "[[produce]]\nname='a'\nfiles=['x']\nfile='x'",
            &[],
            "lake.toml:4: unknown key `file` in [[produce]]",
            "did you mean `files`?",
        ),
        ("[[produce]]\nname='a'\nfiles=['x']\nrate='x'", &[], "lake.toml:4: [[produce]]: invalid type", ""),
        ("[[produce]]\nfiles=['x']", &[], "lake.toml:1: a [[produce]] entry has no `name`", ""),
        (
            "[warehouse]\npassword_file = 'none'\nurl='postgres://a@b/c'",
            &[],
            "lake.toml:2: `warehouse.password_file` names the file",
            "write the secret",
        ),
        (
            "",
            &[("LAKE__WAREHOUSE__PASSWORD", "canary")],
            "LAKE__WAREHOUSE__PASSWORD: `warehouse.password` is set but",
            "set warehouse.url",
        ),
        (
            "lake.root = 's3://b/x'",
            &[],
            "lake.toml:1: the lake is on S3 and there are no credentials",
            "set AWS_ACCESS_KEY_ID",
        ),
        (
            "lake.root = 's3://b/x'",
            &[("AWS_ACCESS_KEY_ID", "a")],
            "lake.toml:1: the lake is on S3 and there is an access key",
            "set AWS",
        ),
        (
            "[kafka]\nproperties = { \"sasl.password\" = 'canary' }",
            &[],
            "lake.toml:2: `kafka.properties.sasl.password` is set but",
            "set kafka.brokers",
        ),
    ];
    for (toml, env, message, hint) in table {
        let error = refusal(toml, env);
        assert!(error.to_string().starts_with(message), "{toml}: {error}");
        assert!(error.hint_text().unwrap_or_default().starts_with(hint), "{toml}: {:?}", error.hint_text());
        assert_eq!(error.kind().exit_code(), 78);
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let error = refusal("[kafka]\nbroker = 'x'\n[bronze]\nmax_rows = 0\n", &[("LAKE__NOTHING", "1")]).to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "3 settings are wrong");
    assert!(lines[1].starts_with("  lake.toml:4: `bronze.max_rows` is `0`; write a whole number"), "{error}");
    assert!(error.contains("  LAKE__NOTHING: unknown setting") && error.contains("`kafka.brokers`?"), "{error}");
}

#[test]
fn no_fault_shows_a_secret() {
    let table: [(&str, &[(&str, &str)]); 6] = [
        ("[warehouse]\npassword = \"canary\n", &[]),
        ("[warehouse]\npassword = ['canary']\n", &[]),
        ("[warehouse]\npasswort = 'canary'\n", &[]),
        ("", &[("LAKE__WAREHOUSE__URL", "postgress://me:canary@db/x")]),
        ("", &[("LAKE__WAREHOUSE__URL", "postgres://me:canary@db:port/x")]),
        ("", &[("LAKE__KAFKA__PROPERTIES__SASL_PASSWORD", "canary")]),
    ];
    for (toml, env) in table {
        let error = refusal(toml, env);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[test]
fn keys_for_s3_may_come_from_either_place() {
    let key = [("AWS_ACCESS_KEY_ID", "a")];
    let config = load("lake.root = 's3://b/x'\nlake.options.aws_secret_access_key = 'b'", &key, &[]).unwrap();
    assert_eq!(config.lake.options.len(), 1);
    assert!(load("lake.root = 's3://b/x'\nlake.options.aws_skip_signature = 'true'", &[], &[]).is_ok());
}
