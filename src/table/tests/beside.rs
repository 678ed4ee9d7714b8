//! What lies beside the tables of a lake, and places no lake can be at.

use super::super::manifest::{self, Manifest, ManifestTable};
use super::*;
use bytes::Bytes;

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_numbered_without_gap_or_double() {
    let (_directory, lake) = lake().await;
    assert_eq!(manifest::latest(&lake).await.unwrap(), None);
    let tables =
        [("gold.x".to_string(), ManifestTable { version: 3, id: "x".into(), inputs: [("silver.y".into(), 2)].into() })];
    let publish = |lake: Lake, id: String, tables: BTreeMap<_, _>| async move {
        let manifest = Manifest { run: 0, id, at: "2026-01-01T00:00:00Z".into(), tables };
        for after in 0.. {
            if let Some(published) = manifest::publish(&lake, manifest.clone(), after).await.unwrap() {
                return published.run;
            }
        }
        unreachable!("there are more numbers than runs")
    };
    let racers = (0..6).map(|id| tokio::spawn(publish(lake.clone(), id.to_string(), tables.clone().into())));
    let mut runs: Vec<_> = futures::future::join_all(racers).await.into_iter().map(|run| run.unwrap()).collect();
    runs.sort();
    assert_eq!(runs, [1, 2, 3, 4, 5, 6], "one of each number, whoever was first");
    let late = Manifest { run: 0, id: "late".into(), at: String::new(), tables: BTreeMap::new() };
    assert_eq!(manifest::publish(&lake, late, 4).await.unwrap(), None, "what it went on from is no longer the newest");
    let latest = manifest::latest(&lake).await.unwrap().unwrap();
    assert_eq!((latest.run, latest.tables["gold.x"].inputs["silver.y"]), (6, 2));
    let listed = manifest::list(&lake, 2).await.unwrap();
    assert_eq!(listed.iter().map(|manifest| manifest.run).collect::<Vec<_>>(), [6, 5]);
    assert!(lake.list("_lake/runs").await.unwrap()[0].ends_with("_lake/runs/00000000000000000001.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_beside_the_tables_are_written_once() {
    let (_directory, lake) = lake().await;
    assert!(lake.put_new("_lake/x.json", Bytes::from_static(b"1")).await.unwrap());
    assert!(!lake.put_new("_lake/x.json", Bytes::from_static(b"2")).await.unwrap());
    assert_eq!(lake.get("_lake/x.json").await.unwrap(), Some(Bytes::from_static(b"1")));
    assert_eq!(lake.get("_lake/y.json").await.unwrap(), None);
    lake.probe().await.unwrap();
    assert_eq!(lake.list("_lake").await.unwrap(), ["_lake/x.json"]);
}

#[test]
fn secrets_are_not_shown() {
    let options = [("aws_secret_access_key", "CANARY"), ("aws_region", "eu"), ("aws_endpoint", "http://u:CANARY@h")];
    let options = options.map(|(key, value)| (key.to_string(), value.to_string())).into();
    let config = LakeConfig { root: "s3://user:CANARY@bucket".into(), options };
    let shown = format!("{config:?}");
    assert!(!shown.contains("CANARY") && shown.contains("eu"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_places_are_refused_with_a_remedy() {
    let half = [("aws_access_key_id", "x"), ("aws_endpoint", "http://127.0.0.1:1")];
    let closed = [("aws_access_key_id", "x"), ("aws_secret_access_key", "y"), ("aws_endpoint", "http://127.0.0.1:1")];
    let file = tempfile::NamedTempFile::new().unwrap();
    let below_a_file = format!("{}/lake", file.path().display());
    type Options<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Options, Kind); 8] = [
        ("", &[], Kind::Config),
        ("/nowhere/a%20b/lake", &[], Kind::Config),
        ("ftp://host/x", &[], Kind::Config),
        ("s3://user:secret@bucket/x", &[], Kind::Config),
        ("s3://bucket/x", &[("aws_nonsense", "1")], Kind::Config),
        ("s3://bucket/x", &half, Kind::Config),
        ("s3://bucket/x", &closed, Kind::Unavailable),
        (&below_a_file, &[], Kind::Config),
    ];
    for (root, options, kind) in cases {
        let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let error = Lake::open(&LakeConfig { root: root.into(), options }).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{root}: {error}");
        assert_eq!(error.hint_text().is_some(), root != below_a_file, "{root}: {error}");
    }
}
