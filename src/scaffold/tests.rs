use super::*;
use crate::source;

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap()
}

/// Writes files into a temporary folder; a project goes to `shop` beside them.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write_new(&folder.path().join(name), content).unwrap();
    }
    let shop = folder.path().join("shop");
    (folder, shop)
}

/// The sources of a written project, read back as `lake.toml` declares them.
fn sources(dir: &Path) -> Vec<source::SourceConfig> {
    #[derive(serde::Deserialize)]
    struct Toml {
        produce: Vec<source::SourceConfig>,
    }
    toml::from_str::<Toml>(&read(dir, "lake.toml")).unwrap().produce
}

fn count(dir: &Path, config: &source::SourceConfig) -> (usize, usize) {
    let (mut good, mut bad) = (0, 0);
    for input in source::inputs(config, dir).unwrap() {
        let mut rows = source::open(&input, config).unwrap();
        while let Some(record) = rows.next().unwrap() {
            if record.error.is_none() { good += 1 } else { bad += 1 }
        }
    }
    (good, bad)
}

#[test]
fn a_project_without_data_gets_an_example() {
    let (_folder, shop) = folder(&[]);
    let created = init(&shop, &[], None).unwrap();
    assert_eq!(created.tables[0].name, "example");
    assert_eq!(created.tables[0].rows, 6);
    assert!(created.notes.is_empty(), "{:?}", created.notes);
    assert_eq!(count(&shop, &sources(&shop)[0]), (6, 0));
    let silver = read(&shop, "models/silver/example.sql");
    assert!(silver.contains(r#"parse_decimal("price", 18, 2) as "price""#), "{silver}");
    assert!(read(&shop, ".gitignore").contains(".lake/"));
}

#[test]
fn a_file_is_copied_and_its_layout_written_down() {
    let (folder, shop) = folder(&[("My Sales.csv", "Datum;Betrag\n31.12.2024;1,50\n01.02.2025;\n")]);
    let created = init(&shop, &[folder.path().join("My Sales.csv")], None).unwrap();
    assert_eq!(created.tables[0].name, "my_sales");
    let config = &sources(&shop)[0];
    assert_eq!((config.delimiter, config.header), (Some(';'), Some(true)));
    assert_eq!(config.files, ["data/My Sales.csv"]);
    assert_eq!(count(&shop, config), (2, 0));
    let silver = read(&shop, "models/silver/my_sales.sql");
    assert!(silver.contains(r#"parse_date("Datum", '%d.%m.%Y') as "datum","#), "{silver}");
    assert!(silver.contains("parse_decimal(\"Betrag\", 18, 2, ',')"), "{silver}");
    let gold = read(&shop, "models/gold/schema.yml");
    let betrag = &gold[gold.find("betrag").unwrap()..];
    assert!(gold.contains("data_type: date") && gold.matches("not_null\n").count() == 1, "{gold}");
    assert!(!betrag.contains("not_null\n"), "{gold}");
    assert!(read(&shop, "models/sources.yml").contains("- name: \"Betrag\"\n            data_type: text"));
}

#[test]
fn files_named_alike_become_one_table() {
    let csv = "id,n\n1,2\n";
    let (folder, shop) = folder(&[
        ("days/2024-01-01.csv", csv),
        ("days/2024-01-02.csv", csv),
        ("sales_1.csv", csv),
        ("sales_2.csv", csv),
        ("other_1.csv", csv),
        ("other_2.csv", "id,m\n1,2\n"),
    ]);
    let from = |names: &[&str]| names.iter().map(|name| folder.path().join(name)).collect::<Vec<_>>();
    let names = ["sales_1.csv", "sales_2.csv", "other_1.csv", "other_2.csv", "days"];
    let created = init(&shop, &from(&names), None).unwrap();
    let tables: Vec<_> = created.tables.iter().map(|table| (table.name.as_str(), table.rows)).collect();
    assert_eq!(tables, [("sales", 2), ("other_1", 1), ("other_2", 1), ("days", 2)]);
    let sources = sources(&shop);
    assert_eq!(sources[3].files, ["data/days/*.csv"]);
    assert_eq!(count(&shop, &sources[3]), (2, 0));
    let by_shell = from(&["days/2024-01-01.csv", "days/2024-01-02.csv"]);
    assert_eq!(init(&folder.path().join("b"), &by_shell, None).unwrap().tables[0].name, "days");
    assert_eq!(init(&folder.path().join("c"), &from(&["days/*.csv"]), None).unwrap().tables[0].name, "days");
}

#[test]
fn data_without_a_header_and_json_lines_work() {
    let json = "{\"id\":1,\"at\":\"2024-01-01T00:00:00Z\",\"tags\":[1]}\n{\"id\":2,\"at\":null,\"x\":1.5}\n";
    let (folder, shop) = folder(&[("a.csv", "1,x\n2,y\n"), ("b.jsonl", json)]);
    init(&shop, &[folder.path().join("a.csv"), folder.path().join("b.jsonl")], None).unwrap();
    let sources = sources(&shop);
    assert_eq!(sources[0].header, Some(false));
    assert_eq!(count(&shop, &sources[0]), (2, 0));
    assert_eq!(count(&shop, &sources[1]), (2, 0));
    let silver = read(&shop, "models/silver/b.sql");
    assert!(silver.contains("  \"id\" as \"id\","), "{silver}");
    assert!(silver.contains("\"at\"") && silver.contains("UTC"), "{silver}");
    let contract = read(&shop, "models/sources.yml");
    assert!(contract.contains("- name: \"x\"\n            data_type: decimal(18,2)"), "{contract}");
}

#[test]
fn several_files_may_lack_a_header() {
    let (folder, shop) = folder(&[("in/a.csv", "1,x\n2,y\n"), ("in/b.csv", "3,z\n")]);
    let created = init(&shop, &[folder.path().join("in")], None).unwrap();
    assert_eq!((created.tables[0].name.as_str(), created.tables[0].rows), ("in", 3));
    assert_eq!(count(&shop, &sources(&shop)[0]), (3, 0));
}

#[test]
fn a_folder_inside_the_project_stays_a_folder() {
    let (folder, _) = folder(&[("days/a.csv", "a\n1\n"), ("days/b.csv", "a\n2\n")]);
    init(folder.path(), &[folder.path().join("days")], None).unwrap();
    assert_eq!(sources(folder.path())[0].files, ["days"]);
}

#[test]
fn nothing_is_ever_overwritten() {
    let (folder, shop) = folder(&[("any.csv", "a\n1\n"), ("shop/lake.toml", ""), ("full/data/any.csv", "kept")]);
    let from = [folder.path().join("any.csv")];
    for dir in [shop, folder.path().join("full")] {
        let error = init(&dir, &from, None).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.hint_text().is_some());
        assert!(!dir.join("models").exists());
    }
    assert_eq!(read(folder.path(), "full/data/any.csv"), "kept");
}

#[test]
fn a_project_around_its_data_refers_to_it() {
    let (folder, _) = folder(&[("any.csv", "a\n1\n"), (".gitignore", "x\n")]);
    let created = init(folder.path(), &[folder.path().join("any.csv")], Some("mine")).unwrap();
    assert_eq!(sources(folder.path())[0].files, ["any.csv"]);
    assert_eq!(created.tables[0].name, "mine");
    assert!(created.notes[0].contains(".gitignore"), "{:?}", created.notes);
}

#[test]
fn data_that_makes_no_table_is_refused_before_anything_is_written() {
    let (folder, shop) = folder(&[
        ("empty.csv", ""),
        ("broken.csv", "a,\"b\n1,2\n"),
        ("x.csv.gz", ""),
        ("ragged.csv", "title\na,b\n1,2\n"),
    ]);
    for name in ["empty.csv", "broken.csv", "ragged.csv", "x.csv.gz", "absent.csv"] {
        assert!(init(&shop, &[folder.path().join(name)], None).is_err(), "{name}");
        assert!(!shop.exists(), "{name}");
    }
}

#[test]
fn rows_that_will_be_set_aside_are_told() {
    let (folder, shop) = folder(&[("any.csv", "a,b\n1,2\n3\n")]);
    let created = init(&shop, &[folder.path().join("any.csv")], None).unwrap();
    assert!(created.notes[0].contains("1 of 2 rows will be set aside"), "{:?}", created.notes);
    assert!(created.notes[0].contains("any.csv:3: 1 cells where the header has 2"), "{:?}", created.notes);
}

#[test]
fn guesses_about_the_layout_are_written_down() {
    let (folder, shop) = folder(&[("any.csv", "# by x\n# on y\nid,name,\n1,a,\n")]);
    std::fs::write(folder.path().join("old.csv"), b"name\nJos\xe9\n").unwrap();
    let created = init(&shop, &[folder.path().join("any.csv"), folder.path().join("old.csv")], None).unwrap();
    let toml = read(&shop, "lake.toml");
    assert!(toml.contains("skip_lines = 2   # lines"), "{toml}");
    assert!(toml.contains("encoding = \"windows-1252\"   # a guess"), "{toml}");
    assert_eq!(count(&shop, &sources(&shop)[0]), (1, 0));
    for note in ["2 lines before the header", "a value: column_3", "looks like windows-1252"] {
        assert!(created.notes.iter().any(|found| found.contains(note)), "{note}: {:?}", created.notes);
    }
}

#[test]
fn a_table_too_wide_for_postgres_is_told_at_once() {
    let header: Vec<String> = (0..1_601).map(|column| format!("c{column}")).collect();
    let (folder, shop) = folder(&[("wide.csv", &format!("{}\n{}\n", header.join(","), vec!["1"; 1_601].join(",")))]);
    let created = init(&shop, &[folder.path().join("wide.csv")], None).unwrap();
    assert!(created.notes[0].contains("1601 columns are more than the 1600"), "{:?}", created.notes);
    assert!(!read(&shop, "models/gold/schema.yml").contains("- not_null"));
}

#[test]
fn what_init_says_can_be_done() {
    let files = [("a.csv", "note,plz,n,note\nx,01811,1,y\nz,1234,n/a,q\n"), ("bom.csv", "")];
    let (folder, shop) = folder(&files);
    let created = init(&shop, &[folder.path().join("a.csv")], None).unwrap();
    let renamed = "`a`: another column `note` is called `note_2`, as names are told apart";
    assert!(created.notes.iter().any(|note| note == renamed), "{:?}", created.notes);
    let remark = |name: &str| {
        let column = created.tables[0].columns.iter().find(|column| column.name == name);
        column.and_then(|column| column.remark.clone()).unwrap_or_default()
    };
    assert_eq!(remark("plz"), "leading zeros: kept as text");
    assert_eq!(
        remark("n"),
        "some are no value: with `null_values = [\"n/a\"]` in lake.toml: cast(nullif(trim(\"n\"), '') as bigint)"
    );
    let again = init(&shop, &[], None).unwrap_err();
    assert!(again.hint_text().unwrap().contains("lake init shop"), "{again:?}");
    let missing = init(&folder.path().join("new"), &["nope.csv".into()], None).unwrap_err();
    assert_eq!(missing.to_string(), "there is no file `nope.csv`");
    std::fs::write(folder.path().join("bom.csv"), b"\xef\xbb\xbfStra\xdfe;n\n1;2\n").unwrap();
    let bom = init(&folder.path().join("new"), &[folder.path().join("bom.csv")], None).unwrap_err();
    assert!(bom.hint_text().unwrap().ends_with("tail -c +4 FILE > NEW"), "{bom:?}");
}
