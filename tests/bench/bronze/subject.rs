//! The measured program: the release binary of `lake` in a project of its own, with an empty lake.

use crate::measure::{self, Finished};
use crate::orders::{COLUMNS, Expected, NOTE};
use crate::slow;
use crate::topic::Topic;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Local,
    Minio,
    /// MinIO behind a slow line.
    Slow,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Place::Local => "local",
            Place::Minio => "minio",
            Place::Slow => "slow",
        }
    }
}

/// A project whose Bronze table `orders` is fed by one topic.
pub struct Subject {
    folder: tempfile::TempDir,
    place: Place,
    /// Prefix of the lake within the bucket.
    prefix: String,
    /// Of the store, where there is one.
    endpoint: Option<String>,
    brokers: String,
}

impl Subject {
    /// `further`: one more column, by name and type.
    pub fn new(place: Place, topic: &Topic, further: Option<(&str, &str)>) -> Subject {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let note = (topic.note_bytes > 0).then_some(NOTE);
        let columns: String = (COLUMNS.into_iter().chain(note).chain(further))
            .map(|(name, data_type)| format!("          - {{ name: {name}, data_type: \"{data_type}\" }}\n"))
            .collect();
        let sources = format!(
            "version: 2\nsources:\n  - name: bronze\n    tables:\n      - name: orders\n        meta: {{ topic: {} }}\n        columns:\n{columns}",
            topic.name
        );
        std::fs::create_dir(folder.path().join("models")).unwrap();
        std::fs::write(folder.path().join("models/sources.yml"), sources).unwrap();
        std::fs::write(folder.path().join("lake.toml"), "").unwrap();
        let prefix = format!("bench-{}", uuid::Uuid::new_v4().simple());
        let endpoint = match place {
            Place::Local => None,
            Place::Minio => Some(service("S3_ENDPOINT")),
            Place::Slow => Some(slow::start(&service("S3_ENDPOINT"))),
        };
        Subject { folder, place, prefix, endpoint, brokers: topic.brokers.clone() }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lake"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars() {
            let foreign = ["LAKE", "AWS_", "PG"].iter().any(|prefix| name.starts_with(prefix));
            if foreign && !name.starts_with("LAKE__BRONZE__") {
                command.env_remove(name);
            }
        }
        command.env("LAKE__KAFKA__BROKERS", &self.brokers).env("LAKE__LAKE__ROOT", self.root());
        if let Some(endpoint) = &self.endpoint {
            command
                .env("AWS_ENDPOINT_URL", endpoint)
                .env("AWS_ACCESS_KEY_ID", service("S3_USER"))
                .env("AWS_SECRET_ACCESS_KEY", service("S3_SECRET"))
                .env("AWS_REGION", "us-east-1");
        }
        command
    }

    fn root(&self) -> String {
        match self.place {
            Place::Local => self.folder.path().join("lake").display().to_string(),
            Place::Minio | Place::Slow => format!("s3://{}/{}", service("S3_BUCKET"), self.prefix),
        }
    }

    /// The folder of the table, of a local lake.
    pub fn table(&self) -> PathBuf {
        self.folder.path().join("lake/bronze/orders")
    }

    /// Reads the topic to its end, measured, and panics unless the table then holds what is expected.
    pub fn run_to_end(&self, expected: &Expected) -> Finished {
        let finished = measure::run(&mut self.command(&["bronze", "--once"]));
        let found = Expected {
            rows: self.ask("select count(*) as answer from bronze.orders"),
            rejects: self.ask("select count(*) as answer from bronze.orders__quarantine"),
            quantity: self.ask("select coalesce(sum(quantity), 0) as answer from bronze.orders"),
            bytes: expected.bytes,
        };
        assert_eq!(found, *expected, "what the table holds");
        finished
    }

    fn ask(&self, sql: &str) -> u64 {
        let finished = measure::run(&mut self.command(&["query", "--output", "json", sql]));
        let row: Value = serde_json::from_str(&finished.stdout).unwrap();
        let answer = &row["answer"];
        answer.as_u64().or_else(|| answer.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{sql}: {row}"))
    }
}

impl Drop for Subject {
    /// A local lake goes with its folder.
    fn drop(&mut self) {
        if self.place != Place::Local {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(empty(&bucket(), &self.prefix));
        }
    }
}

async fn empty(store: &AmazonS3, prefix: &str) {
    let files: Vec<_> = store.list(Some(&prefix.into())).try_collect().await.unwrap();
    let deleted = futures::stream::iter(files).map(|file| async move { store.delete(&file.location).await });
    deleted.buffer_unordered(8).try_collect::<Vec<()>>().await.unwrap();
}

fn bucket() -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(service("S3_ENDPOINT"))
        .with_bucket_name(service("S3_BUCKET"))
        .with_access_key_id(service("S3_USER"))
        .with_secret_access_key(service("S3_SECRET"))
        .with_region("us-east-1")
        .with_allow_http(true)
        .build()
        .unwrap()
}

fn service(name: &str) -> String {
    let name = format!("LAKE_TEST_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; `eval \"$(tests/services env)\"`"))
}
