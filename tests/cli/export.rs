//! What is exported is exact and in order, comes back through `lake produce`, and is never half a file.

use crate::support::Project;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Each kind of value at its edges.
const MODEL: &str = "select cast(id as bigint) as id, cast(word as text) as word, cast(price as decimal(20,4)) as price, \
     cast(ratio as double) as ratio, cast(day as date) as day, cast(seen as timestamp) as seen, good \
     from (values \
     (3, 'a,\"b\"\n c', 1.5000, '0.30000000000000004', '1969-12-31', '2024-02-29T23:59:59.999999', true), \
     (1, '', -9999999999999999.9999, '-0.0', '0001-01-01', '1900-01-01T00:00:00.000001', false), \
     (9007199254740993, 'Книга 📚', 0.0001, '1e300', '9999-12-31', '2262-04-11T00:00:00', null), \
     (2, null, null, null, null, null, null)) v (id, word, price, ratio, day, seen, good)\n";

const CSV: &str = "id,word,price,ratio,day,seen,good
1,\"\",-9999999999999999.9999,-0.0,0001-01-01,1900-01-01T00:00:00.000001,false
2,,,,,,
3,\"a,\"\"b\"\"
 c\",1.5000,0.30000000000000004,1969-12-31,2024-02-29T23:59:59.999999,true
9007199254740993,Книга 📚,0.0001,1e300,9999-12-31,2262-04-11T00:00:00,
";

const CONTRACT: &str =
    "version: 2\nmodels:\n  - name: any\n    columns:\n      - {name: id, data_tests: [not_null, unique]}\n";

fn made() -> Project {
    let project = Project::empty();
    project.write("lake.toml", "");
    project.write("models/gold/any.sql", MODEL);
    project.write("models/gold/schema.yml", CONTRACT);
    project.lake(&["promote", "all"]).ok();
    project
}

/// A project that reads one file into a table of the same columns.
fn reading(file: &str, text: &[u8]) -> Project {
    let project = Project::empty();
    project.write(&format!("in/{file}"), text);
    project.write("lake.toml", format!("[[produce]]\nname = \"any\"\nfiles = [\"in/{file}\"]\n"));
    let types = [
        ("id", "bigint"),
        ("word", "text"),
        ("price", "\"decimal(20,4)\""),
        ("ratio", "double"),
        ("day", "date"),
        ("seen", "timestamp"),
        ("good", "boolean"),
    ];
    let columns: String =
        types.iter().map(|(name, kind)| format!("          - {{ name: {name}, data_type: {kind} }}\n")).collect();
    project.write(
        "models/sources.yml",
        format!(
            "version: 2\nsources:\n  - name: bronze\n    tables:\n      - name: any\n        meta: {{ topic: any }}\n        columns:\n{columns}"
        ),
    );
    project.write("models/gold/any.sql", "select id, word, price, ratio, day, seen, good from bronze.any\n");
    project.write("models/gold/schema.yml", CONTRACT);
    for verb in [&["produce"][..], &["bronze", "--once"], &["promote", "all"]] {
        project.lake(verb).ok();
    }
    project
}

#[test]
fn an_export_comes_back_through_produce_as_it_was() {
    let project = made();
    for format in ["csv", "jsonl"] {
        let file = format!("gold.any.{format}");
        let done =
            project.lake(&["export", "gold.any", "--format", format, "--to", "out", "--output", "json"]).ok().json();
        let text = std::fs::read(project.path().join("out").join(&file)).unwrap();
        assert_eq!((done["rows"].as_u64(), done["bytes"].as_u64()), (Some(4), Some(text.len() as u64)));
        if format == "csv" {
            assert_eq!(String::from_utf8_lossy(&text), CSV);
        }
        let back = reading(&file, &text);
        back.lake(&["export", "gold.any", "--format", format]).ok();
        // Of a CSV, `lake produce` takes an empty cell for NULL, quoted or not.
        let expected = String::from_utf8(text).unwrap().replace("1,\"\",", "1,,");
        assert_eq!(back.read(&format!("export/{file}")), expected);
    }
    project.lake(&["export", "gold.any", "--format", "parquet", "--to", "out"]).ok();
    let file = std::fs::File::open(project.path().join("out/gold.any.parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<_> = batches.map(Result::unwrap).collect();
    let shown = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    assert!(shown.contains("-9999999999999999.9999") && shown.contains("2024-02-29T23:59:59.999999"), "{shown}");
}

#[test]
fn a_file_that_stands_stays_and_none_is_left_half_written() {
    let project = made();
    let export = ["export", "gold.any"];
    project.lake(&export).ok();
    let entries = || std::fs::read_dir(project.path().join("export")).unwrap().count();
    let refused = project.lake(&export).fails_with(78);
    assert!(
        refused.stderr.contains("gold.any.csv` exists already") && refused.stderr.contains("hint: `--force`"),
        "{}",
        refused.stderr
    );
    project.write("export/gold.any.csv", "old");
    project.lake(&["export", "gold.any", "--force"]).ok();
    assert_eq!((project.read("export/gold.any.csv").as_str(), entries()), (CSV, 1));
    project.write("models/gold/any.sql", "select cast(null as text) as word\n");
    project.write("models/gold/schema.yml", "version: 2\n");
    project.lake(&["promote", "all"]).ok();
    let refused = project.lake(&["export", "gold.any", "--force"]).fails_with(1);
    assert!(refused.stderr.contains("would be an empty line of CSV"), "{}", refused.stderr);
    assert_eq!((project.read("export/gold.any.csv").as_str(), entries()), (CSV, 1));
    let unknown = project.lake(&["export", "gold.anny"]).fails_with(78);
    assert!(unknown.stderr.contains("hint: did you mean `gold.any`?"), "{}", unknown.stderr);
}

/// A promote that failed half-way has new versions that no run names.
#[test]
fn what_the_newest_run_names_is_exported() {
    let project = made();
    project.write("models/gold/any.sql", "select cast(7 as bigint) as id\n");
    let cut = project.lake_with_failpoint("promote.before_manifest=abort", &["promote", "all"]);
    assert_eq!(cut.code, -1);
    project.lake(&["export", "gold.any"]).ok();
    assert_eq!(project.read("export/gold.any.csv"), CSV);
}
