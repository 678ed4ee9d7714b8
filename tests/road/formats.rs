//! Payloads of every format through the real program: into Bronze, through models, into Postgres; and more than a
//! thousand malformed ones.

use crate::support::services::{Kafka, any_kafka};
use crate::support::workload::{Record, send};
use crate::support::{Project, malformed, oracle};
use lake::kafka::{KafkaConfig, admin};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::collections::BTreeMap;
use std::time::Duration;

/// Payloads a broker takes by its defaults.
const LONGEST: usize = 900 << 10;

/// A new topic with these payloads in its one partition.
fn topic(kafka: &Kafka, payloads: &[&[u8]]) -> String {
    let topic = format!("formats-{}", uuid::Uuid::new_v4().simple());
    let config = KafkaConfig { brokers: kafka.brokers.clone(), ..KafkaConfig::default() };
    admin::ensure_topic(&config, &topic, 1).unwrap();
    more(kafka, &topic, payloads);
    topic
}

fn more(kafka: &Kafka, topic: &str, payloads: &[&[u8]]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for payload in payloads {
        send(&producer, topic, 0, &Record { key: None, payload: Some(payload.to_vec()) });
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn project(kafka: &Kafka, tables: &str) -> Project {
    let mut project = Project::empty();
    project.write("models/sources.yml", format!("version: 2\nsources:\n  - name: bronze\n    tables:\n{tables}"));
    project.env("LAKE__KAFKA__BROKERS", &kafka.brokers);
    project
}

fn csv(project: &Project, sql: &str) -> String {
    project.lake(&["query", "--output", "csv", sql]).ok().stdout
}

#[test]
fn csv_raw_and_nested_payloads_reach_postgres() {
    let kafka = any_kafka();
    let orders: [&[u8]; 3] = [
        br#"{"id":1,"address":{"city":"Aarhus","geo":{"lat":56.5}},"lines":["a","b"],"parts":[{"sku":"x","n":2}]}"#,
        br#"{"id":2,"address":{"city":"Oslo","zip":"0150"},"lines":[],"parts":null}"#,
        br#"{"id":3,"address":{"city":"Bergen"},"lines":["c",7,{}],"parts":[{"n":"many"}]}"#,
    ];
    let image: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let (orders, images) = (topic(&kafka, &orders), topic(&kafka, &[&image, b""]));
    let prices = topic(&kafka, &[b"x;1,50;'a;b'", b"y;?;z\n", b"y;1"]);
    let tables = [
        format!("      - name: orders\n        meta: {{ topic: {orders} }}\n        columns:\n"),
        "          - { name: id, data_type: bigint }\n".into(),
        "          - { name: address, data_type: 'struct<city text, geo struct<lat double>>' }\n".into(),
        "          - { name: lines, data_type: 'text[]' }\n".into(),
        "          - { name: parts, data_type: 'array<struct<sku: text, n: int>>' }\n".into(),
        format!("      - name: images\n        meta: {{ topic: {images}, format: raw }}\n"),
        format!("      - name: prices\n        meta:\n          topic: {prices}\n          format: csv\n"),
        "          csv: { delimiter: ';', quote: \"'\", null: '?' }\n        columns:\n".into(),
        "          - { name: sku }\n          - { name: price }\n          - { name: note }\n".into(),
    ];
    let project = project(&kafka, &tables.concat());
    project.write(
        "models/gold/dim_order.sql",
        "select id as order_key, address, lines, parts, address.city as city, address.geo.lat as lat from bronze.orders",
    );
    let lines = "select id as order_key, unnest(lines) as line from bronze.orders";
    project.write("models/gold/fact_line.sql", lines);
    project.write("models/gold/dim_image.sql", "select _offset as image_key, value from bronze.images");
    project.lake(&["bronze", "--once"]).ok();

    let read = csv(
        &project,
        "select id, address.city as city, lines[2] as l, parts[1]['n'] as n, _rescued from bronze.orders order by id",
    );
    assert_eq!(read, "id,city,l,n,_rescued\n1,Aarhus,b,2,\n2,Oslo,,,\"{\"\"address.zip\"\":\"\"0150\"\"}\"\n");
    let read = csv(&project, "select _reason from bronze.orders__quarantine");
    assert_eq!(read, "_reason\n\"column `parts[0].n`: expected integer, found \"\"many\"\"\"\n");
    assert_eq!(csv(&project, "select sku, price, note from bronze.prices"), "sku,price,note\nx,\"1,50\",a;b\ny,,z\n");
    let read = csv(&project, "select _reason from bronze.prices__quarantine");
    assert_eq!(read, "_reason\n2 of 3 fields: none for `note`\n");

    project.lake(&["promote", "all"]).ok();
    project.lake(&["load-warehouse"]).ok();
    let asked = |sql: &str| project.lake(&["query", "--output", "csv", "--warehouse", sql]).ok().stdout;
    let sql = "select order_key, address->>'city' as c, address->'geo'->>'lat' as lat, lines[1] as l, cardinality(lines) as k, parts->0->>'n' as n \
               from dim_order order by order_key";
    assert_eq!(asked(sql), "order_key,c,lat,l,k,n\n1,Aarhus,56.5,a,2,2\n2,Oslo,,,0,\n");
    assert_eq!(asked("select order_key, line from fact_line order by 2"), "order_key,line\n1,a\n1,b\n");
    let digests = asked("select image_key, length(value) as n, md5(value) as m from dim_image order by 1");
    let cycle = "select md5(string_agg(decode(lpad(to_hex(n % 256), 2, '0'), 'hex'), '' order by n)) as m from generate_series(0, 4999) n";
    let expected = asked(cycle).lines().nth(1).unwrap().to_string();
    assert_eq!(digests, format!("image_key,n,m\n0,5000,{expected}\n1,0,d41d8cd98f00b204e9800998ecf8427e\n"));
    project.lake(&["verify"]).ok();
}

fn counted(project: &Project, column: &str, data_type: &str, topic: &str, drift: &str) {
    let table = format!("      - name: events\n        meta: {{ topic: {topic}, drift: {drift} }}\n        columns:\n");
    let column = format!("          - {{ name: {column}, data_type: {data_type} }}\n");
    let text = format!("version: 2\nsources:\n  - name: bronze\n    tables:\n{table}{column}");
    project.write("models/sources.yml", text);
}

#[test]
fn a_stream_grows_its_columns_and_what_was_rejected_before_is_redriven_into_them() {
    let kafka = any_kafka();
    let topic = topic(&kafka, &[br#"{"n":1}"#, br#"{"n":3000000000,"x":7,"y":[1]}"#]);
    let project = project(&kafka, "");
    counted(&project, "n", "integer", &topic, "add");
    project.lake(&["bronze", "--once"]).ok();
    more(&kafka, &topic, &[br#"{"n":2,"x":"1.5"}"#, br#"{"n":3,"x":"dear"}"#]);
    let told = project.lake(&["bronze", "--once"]).ok().stderr;
    assert!(told.contains("records of `bronze.events` bring new columns: `x` text"), "{told}");

    counted(&project, "n", "bigint", &topic, "add");
    let refused = project.lake(&["quarantine", "redrive", "events"]).fails_with(78);
    assert!(refused.stderr.contains("run `lake bronze`"), "{}", refused.stderr);
    let told = project.lake(&["bronze", "--once"]).ok().stderr;
    assert!(told.contains("`bronze.events` was written anew with `n` bigint instead of integer"), "{told}");
    project.lake(&["quarantine", "redrive", "events"]).ok();
    let read = csv(&project, "select n, x, y, _rescued, _offset from bronze.events order by _offset");
    assert_eq!(read, "n,x,y,_rescued,_offset\n1,,,,0\n3000000000,7,[1],,1\n2,1.5,,,2\n3,dear,,,3\n");
    assert_eq!(csv(&project, "select count(*) as n from bronze.events__quarantine"), "n\n0\n");
    project.lake(&["maintain"]).ok();
    assert_eq!(csv(&project, "select n, x, y, _rescued, _offset from bronze.events order by _offset"), read);
    let proven = project.lake(&["verify", "--cells"]).ok().stdout;
    assert!(proven.contains("not compared: no declared file is sent to topic"), "{proven}");

    counted(&project, "n", "bigint", &topic, "fail");
    more(&kafka, &topic, &[br#"{"n":4}"#, br#"{"n":5,"x":1,"late":{}}"#]);
    let failed = project.lake(&["bronze", "--once"]).fails_with(1);
    let said = format!("{topic}/0 offset 5: `bronze.events` declares no `x`, `late`");
    assert!(failed.stderr.contains(&said), "{}", failed.stderr);
    assert_eq!(csv(&project, "select max(_offset) as m from bronze.events"), "m\n3\n");
}

#[test]
fn malformed_payloads_are_quarantined_as_they_were_sent() {
    let kafka = any_kafka();
    let bad: Vec<Vec<u8>> = malformed::payloads().into_iter().map(|(_, bytes)| bytes).collect();
    let bad: Vec<Vec<u8>> = bad.into_iter().filter(|bytes| bytes.len() < LONGEST).collect();
    let good: Vec<String> = (0..bad.len()).map(malformed::good).collect();
    let all: Vec<&[u8]> = good.iter().zip(&bad).flat_map(|(good, bad)| [good.as_bytes(), bad.as_slice()]).collect();
    let columns: String = malformed::COLUMNS
        .iter()
        .map(|(name, data_type)| format!("          - {{ name: {name}, data_type: '{data_type}' }}\n"))
        .collect();
    let topic = topic(&kafka, &all);
    let table = format!("      - name: events\n        meta: {{ topic: {topic} }}\n        columns:\n{columns}");
    let mut project = project(&kafka, &table);
    project.env("LAKE__BRONZE__MAX_ROWS", "700");
    project.lake(&["bronze", "--once"]).ok();
    let sql = "select count(*) as n, sum(n) as s, min(_offset - 2 * n) as a, max(_offset - 2 * n) as b, \
               count(s.lines) as l, count(_rescued) as r from bronze.events";
    let count = good.len();
    let expected = format!("n,s,a,b,l,r\n{count},{},0,0,{count},{count}\n", count * (count - 1) / 2);
    assert_eq!(csv(&project, sql), expected);
    let sql = "select count(*) as n from bronze.events__quarantine where length(_reason) > 0";
    assert_eq!(csv(&project, sql), format!("n\n{}\n", bad.len()));
    let sent: BTreeMap<_, _> = bad.into_iter().enumerate().map(|(at, bytes)| ((0, 2 * at as i64 + 1), bytes)).collect();
    let kept = oracle::quarantined(&project.path().join(".lake/tables/bronze/events"));
    assert!(kept == sent, "the quarantine holds other bytes than were sent");
    project.lake(&["verify"]).ok();
}
