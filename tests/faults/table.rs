//! Somebody else works on the table: alters it, takes it back, cleans it up, loses a file of it, lets it forget
//! positions. `lake bronze` goes on with every record once, or names what was done and the remedy.

use crate::support::Project;
use crate::support::bronze::{ON, ONCE, await_all, check};
use crate::support::oracle;
use crate::support::running::Running;
use crate::support::services::{Kafka, any_kafka};
use crate::support::workload::Workload;
use deltalake::DeltaTable;
use deltalake::kernel::{DataType, StructField};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

const RETENTION: &str = "delta.setTransactionRetentionDuration";

/// A table of four commits, versions 1 to 4, with records behind them in the topic that are not in it yet.
struct Scene {
    workload: Workload,
    project: Project,
    /// Ends with the scene when it is the embedded one.
    _kafka: Kafka,
}

impl Scene {
    fn new(kafka: Kafka) -> Scene {
        let mut workload = Workload::new(&kafka.brokers, 7, 2, 400);
        let project = workload.project(100);
        project.lake(ONCE).ok();
        workload.send(100);
        Scene { workload, project, _kafka: kafka }
    }

    /// A writer that has everything and goes on; version 5 is its work.
    fn running(&self) -> Running {
        let mut running = Running::start(&self.project, ON, &[]);
        await_all(&self.workload, &self.project, std::slice::from_mut(&mut running));
        running
    }

    fn folder(&self) -> PathBuf {
        self.project.path().join(".lake/tables/bronze/events")
    }

    /// Lets another writer work on the table.
    fn altered<F: Future<Output = deltalake::DeltaResult<T>>, T>(&self, work: impl FnOnce(DeltaTable) -> F) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let url = url::Url::from_directory_path(self.folder()).unwrap();
        runtime.block_on(async move {
            let objects = Arc::new(object_store::local::LocalFileSystem::new());
            work(oracle::open(objects, url).await).await.unwrap();
        });
    }

    fn holds_all(&self, what: &str) {
        check(&self.workload, &self.project, what);
    }

    /// Fails with this code, and says all of these words.
    fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let refused = self.project.lake(arguments).fails_with(code);
        for word in words {
            assert!(refused.stderr.contains(word), "`{word}` is not said:\n{}", refused.stderr);
        }
        assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    }

    fn log_file(&self, version: u64) -> PathBuf {
        self.folder().join(format!("_delta_log/{version:020}.json"))
    }
}

#[test]
fn a_column_added_by_another_writer_stays() {
    let scene = Scene::new(any_kafka());
    scene.altered(|table| {
        table.add_columns().with_fields([StructField::nullable("remark", DataType::STRING)]).into_future()
    });
    scene.project.lake(ONCE).ok();
    scene.holds_all("a column was added");
    let remarks = scene
        .project
        .lake(&["query", "-q", "--output", "csv", "select count(*) - count(remark) as n from bronze.events"])
        .ok();
    assert_ne!(remarks.stdout, "n\n0\n");
}

#[test]
fn a_restored_table_is_refused_until_it_is_put_right() {
    let scene = Scene::new(any_kafka());
    scene.altered(|table| table.restore().with_version_to_restore(2).into_future());
    scene.refuses(ONCE, 1, &["bronze.events", "restored to version 2", "version 4", "restore version 4"]);
    scene.altered(|table| table.restore().with_version_to_restore(4).into_future());
    scene.project.lake(ONCE).ok();
    scene.holds_all("restored to version 2, then to version 4 again");
}

#[test]
fn a_table_restored_under_a_writer_ends_it() {
    let mut scene = Scene::new(any_kafka());
    let mut running = scene.running();
    scene.altered(|table| table.restore().with_version_to_restore(2).into_future());
    scene.workload.send(100);
    let (code, log) = running.wait();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("restored to version 2") && log.contains("hint:"), "{log}");
}

#[test]
fn a_log_that_loses_its_end_under_a_writer_ends_it() {
    let mut scene = Scene::new(any_kafka());
    let mut running = scene.running();
    std::fs::remove_file(scene.log_file(5)).unwrap();
    std::fs::remove_file(scene.log_file(4)).unwrap();
    scene.workload.send(100);
    let (code, log) = running.wait();
    assert_eq!(code, 75, "{log}");
    assert!(log.contains("bronze.events") && log.contains("hint:"), "{log}");
    scene.project.lake(ONCE).ok();
    scene.holds_all("versions 4 and 5 were removed under a writer");
}

#[test]
fn a_table_deleted_under_a_writer_ends_it() {
    let mut scene = Scene::new(any_kafka());
    let mut running = scene.running();
    std::fs::remove_dir_all(scene.folder()).unwrap();
    scene.workload.send(100);
    let (code, log) = running.wait();
    assert_eq!(code, 75, "{log}");
    assert!(log.contains("bronze.events") && log.contains("hint:"), "{log}");
    scene.project.lake(ONCE).ok();
    scene.holds_all("the table was deleted under a writer");
}

#[test]
fn a_log_that_lost_its_end_is_filled_again() {
    let scene = Scene::new(any_kafka());
    std::fs::remove_file(scene.log_file(4)).unwrap();
    std::fs::remove_file(scene.log_file(3)).unwrap();
    scene.project.lake(ONCE).ok();
    scene.holds_all("versions 3 and 4 were removed");
}

#[test]
fn a_log_with_a_hole_is_named() {
    let scene = Scene::new(any_kafka());
    std::fs::remove_file(scene.log_file(2)).unwrap();
    scene.refuses(ONCE, 1, &["bronze.events", "version 3 follows version 1"]);
}

#[test]
fn a_vacuumed_table_goes_on() {
    let scene = Scene::new(any_kafka());
    scene.altered(|table| {
        table
            .vacuum()
            .with_retention_period(chrono::Duration::zero())
            .with_enforce_retention_duration(false)
            .into_future()
    });
    scene.project.lake(ONCE).ok();
    scene.holds_all("vacuumed");
}

#[test]
fn a_data_file_that_is_gone_is_named_by_who_reads_it() {
    let scene = Scene::new(any_kafka());
    let files = std::fs::read_dir(scene.folder().join("_quarantined=false")).unwrap();
    let file = files.map(|entry| entry.unwrap().path()).next().unwrap();
    std::fs::remove_file(&file).unwrap();
    scene.project.lake(ONCE).ok();
    let name = file.file_name().unwrap().to_str().unwrap();
    scene.refuses(&["query", "-q", "select sum(n) from bronze.events"], 69, &[name]);
    scene.refuses(&["verify", "-q"], 69, &[name]);
}

#[test]
fn a_table_that_forgets_positions_is_refused() {
    let scene = Scene::new(any_kafka());
    let properties = HashMap::from([(RETENTION.to_string(), "interval 1 day".to_string())]);
    scene.altered(|table| table.set_tbl_properties().with_properties(properties).into_future());
    scene.refuses(ONCE, 78, &["bronze.events", RETENTION]);
}
