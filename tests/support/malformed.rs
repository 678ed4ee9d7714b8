//! Payloads that are no good record of [`COLUMNS`], by kinds, each with the kind it shows.

/// Name and type of the columns the payloads are bad for.
pub const COLUMNS: [(&str, &str); 9] = [
    ("n", "bigint"),
    ("a", "text"),
    ("flag", "boolean"),
    ("f", "double precision"),
    ("price", "decimal(10,2)"),
    ("day", "date"),
    ("at", "timestamp"),
    ("tags", "text[]"),
    ("s", "struct<x: integer, lines: struct<y: smallint>[]>"),
];

/// A good record with `n` in it.
pub fn good(n: usize) -> String {
    format!(
        r#"{{"n":{n},"a":"x{n} é","flag":true,"f":-1.5e3,"price":"1.10","day":"2020-02-29","at":"2020-02-29T01:02:03.5Z","tags":["a",null],"s":{{"x":{},"lines":[{{"y":1}},null]}},"u":[1]}}"#,
        n % 1000
    )
}

/// More than a thousand kinds of bad payloads.
pub fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |kind: &'static str, found: Vec<Vec<u8>>| all.extend(found.into_iter().map(|bytes| (kind, bytes)));
    let whole = good(7).into_bytes();
    add("cut short", (0..whole.len()).map(|end| whole[..end].to_vec()).collect());
    let spoilt = |at: usize| [&whole[..at], &[1], &whole[at + 1..]].concat();
    add("a byte replaced", (0..whole.len()).map(spoilt).collect());
    add("one byte", (0..=255).map(|byte| vec![byte]).collect());
    add("wrong type", wrong_types());
    add("no number", numbers());
    add("nested deeply", nested());
    add("invalid UTF-8", utf8());
    add("control character", controls());
    add("escape", escapes());
    add("megabytes", huge());
    add("encoding", encodings(&good(7)));
    add("grammar", GRAMMAR.iter().map(|text| text.as_bytes().to_vec()).collect());
    all
}

const GRAMMAR: [&str; 62] = [
    "",
    " ",
    "\n",
    "\r\n\t ",
    "{}{}",
    "{} {}",
    "{}\n{}",
    "{},{}",
    "{}]",
    "{}x",
    "[{}]",
    "[]",
    "[1,2]",
    "null",
    "true",
    "\"{}\"",
    "-1.5",
    "{",
    "}",
    "{]",
    "[}",
    "{{}}",
    "{\"n\"}",
    "{\"n\":}",
    "{\"n\" 1}",
    "{:1}",
    "{\"n\"=1}",
    "{\"n\":1;}",
    "{\"n\":1,}",
    "{,\"n\":1}",
    "{\"n\":1,,\"a\":2}",
    "{\"n\":1 \"a\":2}",
    "{\"tags\":[1,]}",
    "{\"tags\":[,1]}",
    "{\"tags\":[1 2]}",
    "{\"tags\":[1}",
    "{\"u\":[1,]}",
    "{\"u\":{\"a\":1,}}",
    "{'n':1}",
    "{\"a\":'x'}",
    "{n:1}",
    "{`n`:1}",
    "{1:1}",
    "{null:1}",
    "{\"n\":1} // done",
    "{\"n\":1 /* one */}",
    "# one\n{\"n\":1}",
    "{\"u\":undefined}",
    "{\"u\":True}",
    "{\"u\":TRUE}",
    "{\"u\":None}",
    "{\"u\":nul}",
    "{\"u\":nullx}",
    "{\"n\":1,\"n\":2}",
    "{\"n\":1,\"n\":1}",
    "{\"u\":1,\"u\":1}",
    "{\"N\":1,\"N \":1}",
    "{\"n\":1,\"\\u006e\":2}",
    "{\"s\":{\"x\":1,\"x\":2}}",
    "{\"s\":{\"v\":1,\"v\":2}}",
    "{\"s\":{\"X\":1,\"X \":2}}",
    "{\"s\":{\"lines\":[{\"y\":1},{\"y\":1,\"y\":1}]}}",
];

fn wrong_types() -> Vec<Vec<u8>> {
    let whole = ["1.5", "true", "\"x\"", "\"\"", "{}", "[]", "[1]", "{\"n\":1}", "9223372036854775808"];
    let number = ["true", "\"x\"", "\"\"", "\"1,0\"", "{}", "[]", "[1]", "\"NaN\"", "\"Infinity\"", "\"0x1\""];
    let moment =
        ["1", "true", "\"x\"", "\"\"", "{}", "[]", "\"2020-02-30\"", "\"2020-13-01\"", "\"01/02/2020\"", "1.5"];
    let table: [(&str, &[&str]); 13] = [
        (r#"{"n":?}"#, &whole),
        (r#"{"flag":?}"#, &["0", "1", "2", "\"x\"", "\"\"", "{}", "[]", "1.5", "[true]", "\"truefalse\""]),
        (r#"{"f":?}"#, &number),
        (r#"{"price":?}"#, &number),
        (r#"{"price":?}"#, &["1.005", "100000000", "\"1e9\"", "1e99"]),
        (r#"{"day":?}"#, &moment),
        (r#"{"day":?}"#, &["\"2020-01-01T00:00\""]),
        (r#"{"at":?}"#, &moment),
        (r#"{"at":?}"#, &["\"2020-01-01T25:00:00\"", "\"2020-01-01 00:00 CET\"", "\"2020-01-01T00:00:00.0000001\""]),
        (r#"{"tags":?}"#, &["1", "true", "\"x\"", "\"[]\"", "{}", "{\"0\":1}", "1.5"]),
        (r#"{"s":?}"#, &["1", "true", "\"x\"", "\"{}\"", "[]", "[{}]", "1.5"]),
        (r#"{"s":{"lines":[{"y":1},{"y":?}]}}"#, &whole),
        (r#"{"a":"x","n":1,"s":{"lines":?}}"#, &["{}", "1", "\"x\"", "[1]", "[[]]", "[{\"y\":40000}]"]),
    ];
    let fill = |(frame, values): &(&str, &[&str])| -> Vec<Vec<u8>> {
        values.iter().map(|value| frame.replace('?', value).into_bytes()).collect()
    };
    table.iter().flat_map(fill).collect()
}

fn numbers() -> Vec<Vec<u8>> {
    let never = [
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "+1",
        "01",
        "-01",
        ".5",
        "1.",
        "-",
        "--1",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "1,000",
        "١",
    ];
    let frames = [r#"{"n":?}"#, r#"{"f":?}"#, r#"{"price":?}"#, r#"{"u":?}"#, r#"{"u":[?]}"#, r#"{"s":{"x":?}}"#];
    let everywhere = frames.iter().flat_map(|frame| never.iter().map(|value| frame.replace('?', value)));
    let too_big = ["1e999", "-1e999", "1e2147483648", "1e99999999999999999999", &"9".repeat(400)];
    let nowhere = frames[..3].iter().flat_map(|frame| too_big.iter().map(|value| frame.replace('?', value)));
    let quoted = ["1e999", "-1e400"].map(|value| format!(r#"{{"f":"{value}"}}"#));
    everywhere.chain(nowhere).chain(quoted).map(String::into_bytes).collect()
}

fn nested() -> Vec<Vec<u8>> {
    let depth = 10_000;
    let (lists, closed) = ("[".repeat(depth), "]".repeat(depth));
    let (objects, ended) = ("{\"s\":".repeat(depth), "}".repeat(depth));
    let mut all = vec![lists.clone(), format!("{lists}{closed}"), objects.clone(), format!("{objects}1{ended}")];
    for name in ["u", "a", "tags", "s", "n"] {
        all.push(format!("{{\"{name}\":{lists}{closed}}}"));
        all.push(format!("{{\"{name}\":{lists}"));
        all.push(format!("{{\"{name}\":{objects}null{ended}}}"));
    }
    all.into_iter().map(String::into_bytes).collect()
}

fn utf8() -> Vec<Vec<u8>> {
    let mut sequences: Vec<Vec<u8>> = (0x80..=0xff).map(|byte| vec![byte]).collect();
    let more: [&[u8]; 14] = [
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xc3\xc3\xa9",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc3",
    ];
    sequences.extend(more.map(<[u8]>::to_vec));
    let frames: [(&[u8], &[u8]); 4] =
        [(b"{\"a\":\"x", b"y\"}"), (b"{\"n\":1,\"", b"\":1}"), (b"{\"u\":[\"", b"\"]}"), (b"{} ", b"")];
    let put = |(before, after): &(&[u8], &[u8])| -> Vec<Vec<u8>> {
        sequences.iter().map(|sequence| [before, sequence.as_slice(), after].concat()).collect()
    };
    frames.iter().flat_map(put).collect()
}

fn controls() -> Vec<Vec<u8>> {
    let within = |byte: u8| {
        [&b"{\"a\":\"x?\"}"[..], b"{\"a?\":1}", b"{\"tags\":[\"?\"]}", b"{\"u\":\"?\"}"]
            .map(|frame| frame.iter().map(|each| if *each == b'?' { byte } else { *each }).collect::<Vec<u8>>())
    };
    let mut all: Vec<Vec<u8>> = (0..0x20).flat_map(within).collect();
    let outside = (0..0x20).chain([0x7f]).filter(|byte| !b" \t\r\n".contains(byte));
    all.extend(outside.flat_map(|byte| [vec![b'{', byte, b'}'], vec![b'{', b'}', byte], vec![byte, b'{', b'}']]));
    all
}

fn escapes() -> Vec<Vec<u8>> {
    let never = ["\\x41", "\\'", "\\u12", "\\u12g4", "\\", "\\U00000041", "\\0", "\\ "];
    let alone = ["\\ud800", "\\udc00", "\\ud800\\u0041", "\\udc00\\ud800", "\\ud800x", "\\udbff\\udbff"];
    let nul = ["\\u0000", "x\\u0000y"];
    let columns = [r#"{"a":"?"}"#, r#"{"tags":["x","?"]}"#];
    let names = [r#"{"?":1}"#, r#"{"s":{"?":1}}"#];
    let anywhere = [r#"{"u":"?"}"#, r#"{"u":{"?":1}}"#, columns[0], columns[1], names[0], names[1]];
    let fill = |frames: &[&str], values: &[&str]| -> Vec<Vec<u8>> {
        frames.iter().flat_map(|frame| values.iter().map(|value| frame.replace('?', value).into_bytes())).collect()
    };
    [fill(&anywhere, &never), fill(&columns, &alone), fill(&names, &alone), fill(&columns, &nul)].concat()
}

fn huge() -> Vec<Vec<u8>> {
    let (text, shorter) = ("x".repeat(10 << 20), "x".repeat(1 << 20));
    [
        format!("{{\"a\":\"{text}"),
        format!("{{\"a\":\"{text}\"}} x"),
        format!("{{\"n\":\"{text}\"}}"),
        format!("{{\"{shorter}\":1,\"n\":\"y\"}}"),
        shorter,
        format!("{{\"n\":{}}}", "1".repeat(1 << 20)),
        " ".repeat(1 << 20),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn encodings(record: &str) -> Vec<Vec<u8>> {
    let units = |to: fn(u16) -> [u8; 2]| record.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let wide = |to: fn(u32) -> [u8; 4]| record.chars().flat_map(|c| to(c as u32)).collect::<Vec<u8>>();
    let latin: Vec<u8> = record.chars().map(|c| c as u32 as u8).collect();
    vec![
        [b"\xef\xbb\xbf", record.as_bytes()].concat(),
        [b"\xef\xbb\xbf\xef\xbb\xbf", record.as_bytes()].concat(),
        [b" \xef\xbb\xbf", record.as_bytes()].concat(),
        [record.as_bytes(), b"\xef\xbb\xbf"].concat(),
        units(u16::to_le_bytes),
        units(u16::to_be_bytes),
        [b"\xff\xfe".to_vec(), units(u16::to_le_bytes)].concat(),
        [b"\xfe\xff".to_vec(), units(u16::to_be_bytes)].concat(),
        wide(u32::to_le_bytes),
        wide(u32::to_be_bytes),
        latin,
    ]
}
