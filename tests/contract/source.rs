//! What every source must keep, whatever its format: each row of the file is exactly one record, in file
//! order, good or bad, with a position that recognises it again.

use lake::error::Kind;
use lake::record::Record;
use lake::source::{self, SourceConfig};
use std::path::Path;
use tempfile::TempDir;

struct Case {
    name: &'static str,
    file: &'static str,
    content: &'static [u8],
    config: SourceConfig,
    /// Payloads of good rows; for bad ones the error, which names file and line.
    expected: &'static [Result<&'static str, &'static str>],
}

fn case(
    name: &'static str,
    file: &'static str,
    content: &'static [u8],
    expected: &'static [Result<&'static str, &'static str>],
) -> Case {
    Case { name, file, content, config: SourceConfig::default(), expected }
}

fn with(case: Case, change: impl FnOnce(&mut SourceConfig)) -> Case {
    let mut case = case;
    change(&mut case.config);
    case
}

fn cases() -> Vec<Case> {
    let mut cases = layouts();
    cases.extend(bad_rows());
    cases.extend(encodings());
    cases.extend(json_lines());
    cases
}

fn layouts() -> Vec<Case> {
    vec![
        case("empty file", "a.csv", b"", &[]),
        case("header only", "a.csv", b"id,name\n", &[]),
        case("no line end at the end", "a.csv", b"id\nx", &[Ok(r#"{"id":"x"}"#)]),
        case(
            "byte order mark, CRLF",
            "a.csv",
            b"\xef\xbb\xbfid,name\r\n1,Mark\r\n",
            &[Ok(r#"{"id":"1","name":"Mark"}"#)],
        ),
        case(
            "mixed line ends and blank lines",
            "a.csv",
            b"\n\nid\r\na\n\nb\rc\r\n\r\n",
            &[Ok(r#"{"id":"a"}"#), Ok(r#"{"id":"b"}"#), Ok(r#"{"id":"c"}"#)],
        ),
        case(
            "quotes",
            "a.csv",
            b"a,\"b\"\n\"x,\r\ny\",\"say \"\"hi\"\"\"\n",
            &[Ok(r#"{"a":"x,\r\ny","b":"say \"hi\""}"#)],
        ),
        case(
            "texts stay what they were, empty is null",
            "a.csv",
            b"n,m,o\n007, 1.50 ,\n1e400,\"\",NA\n",
            &[Ok(r#"{"n":"007","m":" 1.50 ","o":null}"#), Ok(r#"{"n":"1e400","m":null,"o":"NA"}"#)],
        ),
        with(case("null values", "a.csv", b"n,m\nNA,x\n\"NA\",NAN\n", NULLS), |config| {
            config.null_values = vec!["NA".into()]
        }),
        case("sniffed semicolon", "a.csv", b"a;b\n1,5;2\n", &[Ok(r#"{"a":"1,5","b":"2"}"#)]),
        case("sniffed tab", "a.tsv", b"a\tb\n1\t2\n", &[Ok(r#"{"a":"1","b":"2"}"#)]),
        with(case("declared delimiter", "a.csv", b"a~b,c\n1~2\n", &[Ok(r#"{"a":"1","b,c":"2"}"#)]), |config| {
            config.delimiter = Some('~')
        }),
        with(case("no quotes", "a.csv", b"a,b\n5\" nail,\"x\n", &[Ok(r#"{"a":"5\" nail","b":"\"x"}"#)]), |config| {
            config.quote = Some('\0')
        }),
        with(case("no header", "a.csv", b"1,x\n2,y\n", HEADLESS), |config| config.header = Some(false)),
        with(case("no header, first row bad", "a.csv", b"\"1\n2,y\n", FIRST_BAD), |config| config.header = Some(false)),
        with(case("no header, all rows bad", "a.csv", b"\"x\n", ALL_BAD), |config| config.header = Some(false)),
        case(
            "names made unique",
            "a.csv",
            b"a,a,,A\nw,x,y,z\n",
            &[Ok(r#"{"a":"w","a_2":"x","column_3":"y","A_3":"z"}"#)],
        ),
        case(
            "delimiter at the end of every row",
            "a.csv",
            b"a,b,,\n1,2,,\n3,4,,kept\n",
            &[Ok(r#"{"a":"1","b":"2"}"#), Ok(r#"{"a":"3","b":"4","column_4":"kept"}"#)],
        ),
    ]
}

const NULLS: &[Result<&str, &str>] = &[Ok(r#"{"n":null,"m":"x"}"#), Ok(r#"{"n":null,"m":"NAN"}"#)];
const HEADLESS: &[Result<&str, &str>] =
    &[Ok(r#"{"column_1":"1","column_2":"x"}"#), Ok(r#"{"column_1":"2","column_2":"y"}"#)];
const FIRST_BAD: &[Result<&str, &str>] =
    &[Err("a.csv:1: the quote that opens cell 1 is never closed"), Ok(r#"{"column_1":"2","column_2":"y"}"#)];
const ALL_BAD: &[Result<&str, &str>] = &[Err("a.csv:1: the quote that opens cell 1 is never closed")];

fn bad_rows() -> Vec<Case> {
    vec![
        case(
            "ragged rows",
            "a.csv",
            b"a,b\n1\n1,2,3\nx,y\n1,2,\n",
            &[
                Err("a.csv:2: 1 cells where the header has 2"),
                Err("a.csv:3: 3 cells where the header has 2"),
                Ok(r#"{"a":"x","b":"y"}"#),
                Err("a.csv:5: 3 cells where the header has 2"),
            ],
        ),
        case(
            "a quote that is never closed costs one line",
            "a.csv",
            b"a,b\n1,\"x\n2,y\n3,\"z\"\n",
            &[
                Err("a.csv:2: a quoted cell goes on to line 4, where text follows the closing quote of cell 2"),
                Ok(r#"{"a":"2","b":"y"}"#),
                Ok(r#"{"a":"3","b":"z"}"#),
            ],
        ),
        case(
            "stray quotes",
            "a.csv",
            b"a,b\n1,5\" nail\n2,\"x\" y\n3,ok\n",
            &[
                Err("a.csv:2: cell 2 holds a quote but does not begin with one"),
                Err("a.csv:3: text follows the closing quote of cell 2"),
                Ok(r#"{"a":"3","b":"ok"}"#),
            ],
        ),
        case(
            "NUL",
            "a.csv",
            b"a\nx\0y\nz\n",
            &[Err("a.csv:2: a cell holds a NUL character, which no text column can store"), Ok(r#"{"a":"z"}"#)],
        ),
        with(
            case(
                "too long a row",
                "a.csv",
                b"a\n0123456789abcdef\nshort\n",
                &[Err("a.csv:2: the line has 16 bytes, more than the 15 of max_record_bytes"), Ok(r#"{"a":"short"}"#)],
            ),
            |config| config.max_record_bytes = Some(15),
        ),
        with(
            case(
                "too long as JSON",
                "a.csv",
                b"a\n\"\"\"\"\"\"\"\"\nx\n",
                &[Err("a.csv:2: 14 bytes as JSON, more than the 12 of max_record_bytes"), Ok(r#"{"a":"x"}"#)],
            ),
            |config| config.max_record_bytes = Some(12),
        ),
    ]
}

fn encodings() -> Vec<Case> {
    vec![
        case(
            "damaged UTF-8",
            "a.csv",
            b"a,b\n1,\xff\xfe\n2,\xc3\xa9\n",
            &[Err("a.csv:2: not UTF-8 text (line 2, byte 3)"), Ok("{\"a\":\"2\",\"b\":\"é\"}")],
        ),
        with(case("declared latin1", "a.csv", b"a\nJos\xe9\n", &[Ok("{\"a\":\"José\"}")]), |config| {
            config.encoding = Some("latin1".into())
        }),
        with(
            // The second byte of the character is the one of a vertical bar.
            case("shift_jis", "a.csv", b"a|b\n\x83\x7c|x\n", &[Ok("{\"a\":\"ポ\",\"b\":\"x\"}")]),
            |config| config.encoding = Some("shift_jis".into()),
        ),
        case(
            "UTF-16 by its byte order mark",
            "a.csv",
            b"\xff\xfea\0,\0b\0\r\0\n\0\x0a\x01,\0\xe9\0\r\0\n\0",
            &[Ok("{\"a\":\"Ċ\",\"b\":\"é\"}")],
        ),
    ]
}

fn json_lines() -> Vec<Case> {
    vec![
        case("empty", "a.jsonl", b"", &[]),
        case(
            "byte for byte",
            "a.jsonl",
            b"\xef\xbb\xbf{ \"a\" : 1.10 }\r\n\n  \n{\"b\":[{}]}",
            &[Ok("{ \"a\" : 1.10 }"), Ok("{\"b\":[{}]}")],
        ),
        case(
            "bad lines",
            "a.json",
            b"{\"a\":1}{\"a\":2}\n{\"a\":\n3}\n7\n{\"a\":\"\xff\"}\n{\"a\":4}\n",
            &[
                Err("a.json:1: not one JSON object: trailing characters at column 8"),
                Err("a.json:2: not one JSON object: EOF while parsing a value at column 5"),
                Err("a.json:3: not a JSON object"),
                Err("a.json:4: not a JSON object"),
                Err("a.json:5: not UTF-8 text (byte 7)"),
                Ok("{\"a\":4}"),
            ],
        ),
        with(
            case(
                "too long a line",
                "a.jsonl",
                b"{\"a\":\"xxxxxxxx\"}\n{}\n",
                &[Err("a.jsonl:1: the line has 16 bytes, more than the 8 of max_record_bytes"), Ok("{}")],
            ),
            |config| config.max_record_bytes = Some(8),
        ),
    ]
}

fn project(file: &str, content: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), content).unwrap();
    folder
}

fn try_read(project: &Path, file: &str, config: &SourceConfig) -> lake::error::Result<Vec<Record>> {
    let config = SourceConfig { name: "s".into(), files: vec![file.into()], ..config.clone() };
    let inputs = source::inputs(&config, project)?;
    assert_eq!(inputs.iter().map(|input| input.id.as_str()).collect::<Vec<_>>(), [file]);
    let mut source = source::open(&inputs[0], &config)?;
    let mut records = Vec::new();
    while let Some(record) = source.next()? {
        records.push(record);
    }
    assert!(source.next()?.is_none(), "the end stays the end");
    Ok(records)
}

fn read(file: &str, content: &[u8], config: &SourceConfig) -> Vec<Record> {
    try_read(project(file, content).path(), file, config).unwrap()
}

fn outcome(record: &Record) -> Result<&str, &str> {
    match &record.error {
        None => Ok(std::str::from_utf8(&record.payload).unwrap()),
        Some(error) => Err(error),
    }
}

#[test]
fn each_row_is_one_record() {
    for case in cases() {
        let records = read(case.file, case.content, &case.config);
        let outcomes: Vec<_> = records.iter().map(outcome).collect();
        assert_eq!(outcomes, case.expected, "{}", case.name);
        let rows: Vec<u64> = records.iter().map(|record| record.position.row).collect();
        assert_eq!(rows, (1..=rows.len() as u64).collect::<Vec<_>>(), "{}", case.name);
    }
}

#[test]
fn good_payloads_are_json_and_bad_ones_raw_bytes_of_the_file() {
    for case in cases() {
        for record in read(case.file, case.content, &case.config) {
            match &record.error {
                None => assert!(serde_json::from_slice::<serde_json::Value>(&record.payload).unwrap().is_object()),
                Some(_) => {
                    let payload: &[u8] = &record.payload;
                    assert!(case.content.windows(payload.len()).any(|window| window == payload), "{}", case.name);
                    assert_eq!(record.key, None, "{}", case.name);
                }
            }
        }
    }
}

#[test]
fn positions_survive_growth_and_betray_edits() {
    for case in cases().into_iter().filter(|case| !case.expected.is_empty()) {
        let before = read(case.file, case.content, &case.config);
        let last_line: &[u8] = if case.content.starts_with(b"\xff\xfe") { b"z\0,\0z\0\n\0" } else { b"\nzzz\n" };
        let grown = [case.content, last_line].concat();
        let after = read(case.file, &grown, &case.config);
        assert!(after.len() > before.len(), "{}", case.name);
        assert_eq!(before, after[..before.len()], "{}", case.name);
        let mut edited = case.content.to_vec();
        let first_letter = edited.iter().position(u8::is_ascii_alphabetic).unwrap();
        edited[first_letter] = b'q';
        if let Ok(records) = try_read(project(case.file, &edited).path(), case.file, &case.config) {
            assert_ne!(
                records.last().unwrap().position.digest,
                before.last().unwrap().position.digest,
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn keys_and_event_times_come_from_declared_columns() {
    let config =
        SourceConfig { key: vec!["k".into(), "l".into()], event_time: Some("t".into()), ..SourceConfig::default() };
    let files: [(&str, &[u8]); 2] = [
        ("a.csv", b"k,l,t\n1,x,1970-01-01T00:00:01Z\n2,,soon\n,,\n3\n"),
        (
            "a.jsonl",
            b"{\"k\":1,\"l\":\"x\",\"t\":\"1970-01-01 00:00:01\"}\n{\"k\":2,\"t\":\"soon\"}\n{\"k\":null}\n[3]\n",
        ),
    ];
    for (file, content) in files {
        let records = read(file, content, &config);
        let keys: Vec<Option<&[u8]>> = records.iter().map(|record| record.key.as_deref()).collect();
        assert_eq!(keys, [Some(b"1\x1fx".as_slice()), Some(b"2\x1f"), None, None], "{file}");
        let times: Vec<Option<i64>> = records.iter().map(|record| record.timestamp_ms).collect();
        assert_eq!(times, [Some(1000), None, None, None], "{file}");
    }
    let one = SourceConfig { key: vec!["l".into()], ..SourceConfig::default() };
    assert_eq!(read("a.csv", b"k,l\n1,x\n", &one)[0].key.as_deref(), Some(b"x".as_slice()));
}

#[test]
fn what_cannot_be_read_at_all_is_refused_with_a_hint() {
    let declared = |change: fn(&mut SourceConfig)| {
        let mut config = SourceConfig::default();
        change(&mut config);
        config
    };
    let table: [(&str, &[u8], SourceConfig, &str); 9] = [
        ("a.csv", b"a,\"b\n1,2\n", declared(|_| {}), "a.csv:1: the first row cannot be read"),
        ("a.csv", b"\n1,x\n2,y\n", declared(|_| {}), "a.csv:2: `1` in the first row looks like data"),
        ("a.csv", b"a\n1\n", declared(|config| config.key = vec!["b".into()]), "`a.csv` has no column `b`"),
        ("a.csv", b"a\n1\n", declared(|config| config.encoding = Some("klingon".into())), "encoding `klingon`"),
        ("a.csv", b"a\n1\n", declared(|config| config.delimiter = Some('"')), "cannot be used together"),
        ("a.csv", b"\x1f\x8b\x08\0", declared(|_| {}), "`a.csv` is compressed"),
        ("a.jsonl", b"\x1f\x8b\x08\0", declared(|_| {}), "`a.jsonl` is compressed"),
        ("a.json", b"[{\"a\":1}]", declared(|_| {}), "a.json:1: a JSON array"),
        ("a.jsonl", b"\xff\xfe{\0}\0", declared(|_| {}), "`a.jsonl` is not UTF-8"),
    ];
    for (file, content, config, message) in table {
        let error = try_read(project(file, content).path(), file, &config).unwrap_err();
        assert!(error.to_string().contains(message), "{message}: {error}");
        assert!(error.hint_text().is_some(), "{message}");
        assert!(matches!(error.kind(), Kind::Input | Kind::Config), "{message}");
    }
}

#[test]
fn a_preview_sees_what_is_read() {
    for case in cases().into_iter().filter(|case| case.content.len() > 1) {
        let folder = project(case.file, case.content);
        let preview = source::preview(&folder.path().join(case.file), &case.config).unwrap();
        let good = case.expected.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        // The preview may guess an encoding that producing must have declared; no row is lost by that.
        assert_eq!(preview.rows + preview.bad_rows, case.expected.len() as u64, "{}", case.name);
        assert!(preview.rows >= good || case.name == "too long as JSON", "{}", case.name);
        assert!(preview.complete, "{}", case.name);
    }
}
