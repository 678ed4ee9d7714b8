//! Several models at a time: what overlaps, what waits, and that nobody sees it in what is made.

use super::*;
use crate::engine::EngineConfig;
use crate::flow::Event;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Never done: so many rows that a run which waits for it would hang.
fn endless() -> String {
    let others: String = (1..=40).map(|n| format!(" cross join bronze.sales s{n}")).collect();
    format!("select sum(s0.id + s40.id) as n from bronze.sales s0{others}")
}

fn engine(threads: usize) -> Engine {
    Engine::new(&EngineConfig { memory_bytes: 64 << 20, threads }).unwrap()
}

/// `started silver.books`, .. in the order they came; after one named `last` a stop is asked for.
fn watched(stop: &Stop, last: &'static str) -> (Progress, Arc<Mutex<Vec<String>>>) {
    let (told, stop) = (Arc::new(Mutex::new(Vec::new())), stop.clone());
    let heard = told.clone();
    let progress = Progress::new(move |event| {
        let text = match event {
            Event::Started { stage, .. } => format!("started {stage}"),
            Event::Finished { stage, .. } => format!("finished {stage}"),
            _ => return,
        };
        if text == last {
            stop.request(15);
        }
        heard.lock().unwrap().push(text);
    });
    (progress, told)
}

async fn run(shop: &Shop, progress: &Progress, stop: &Stop) -> (Report, Option<Error>) {
    let options = Options { layers: vec![Layer::Silver, Layer::Gold], ..Options::default() };
    let project = shop.project().unwrap();
    let run = promote(shop.root.path(), &project, &shop.lake, &shop.engine, &options, progress, stop);
    tokio::time::timeout(Duration::from_secs(120), run)
        .await
        .expect("models wait for one that reads nothing of theirs")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_does_not_wait_for_one_it_does_not_read_and_a_stop_ends_both() {
    let shop = Shop::open(&[("models/silver/a_endless.sql", &endless())]).await;
    let stop = Stop::default();
    let (progress, _) = watched(&stop, "finished silver.books");
    let (report, failure) = run(&shop, &progress, &stop).await;
    assert_eq!(failure.unwrap().kind(), Kind::Interrupted(15));
    assert_eq!(statuses(&report), [("silver.books", ModelStatus::Built)]);
    assert_eq!(report.run, None);
    let left = std::fs::read_dir(shop.root.path().join("lake/silver/a_endless")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left, ["_delta_log"], "nothing half done is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_thread_a_model_waits_for_the_one_before() {
    let mut shop = Shop::open(&[DIM, FACT]).await;
    shop.engine = engine(1);
    let stop = Stop::default();
    let (progress, told) = watched(&stop, "");
    let (_, failure) = run(&shop, &progress, &stop).await;
    assert!(failure.is_none(), "{failure:?}");
    let told = told.lock().unwrap();
    assert!(told.len() == 8, "{told:?}");
    for pair in told.chunks(2) {
        assert_eq!(pair[0].strip_prefix("started "), pair[1].strip_prefix("finished "), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_waits_for_what_it_reads_and_for_what_its_tests_read() {
    // Nothing but its test ties the fact to the dimension.
    let mut shop = Shop::open(&[DIM, FACT, SPANNING]).await;
    shop.engine = engine(4);
    let stop = Stop::default();
    let (progress, told) = watched(&stop, "");
    let (_, failure) = run(&shop, &progress, &stop).await;
    assert!(failure.is_none(), "{failure:?}");
    let told = told.lock().unwrap();
    let at = |event: &str| told.iter().position(|told| told == event).unwrap_or_else(|| panic!("{event}: {told:?}"));
    for (before, after) in
        [("silver.books", "gold.dim_book"), ("silver.sales", "gold.fact_sale"), ("gold.dim_book", "gold.fact_sale")]
    {
        assert!(at(&format!("finished {before}")) < at(&format!("started {after}")), "{after}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_threads_as_there_are_make_the_same_tables_and_the_same_report() {
    let mut made = Vec::new();
    for threads in [1, 4] {
        let mut shop = Shop::open(&[
            DIM,
            FACT,
            SPANNING,
            ("models/silver/broken.sql", "select arrow_cast(title, 'Int64') as n from bronze.books"),
            ("models/gold/fact_broken.sql", "select n from silver.broken"),
            (
                "models/gold/fact_twice.sql",
                "select a.id, a.amount + b.amount as amount from silver.sales a join silver.sales b on a.id = b.id",
            ),
        ])
        .await;
        shop.engine = engine(threads);
        let (mut report, failure) = shop.fails().await;
        report.models.iter_mut().for_each(|model| model.seconds = 0.0);
        report.tests.iter_mut().for_each(|test| {
            test.seconds = 0.0;
            test.evidence = None;
        });
        let mut rows =
            shop.numbers("select amount from gold.fact_twice union all select id * 100 from gold.dim_book").await;
        rows.sort();
        assert_eq!(rows, [10, 14, 18, 100, 200, 300]);
        made.push((serde_json::to_string(&report).unwrap(), failure.to_string()));
    }
    assert_eq!(made[0], made[1]);
    assert!(made[0].0.contains("blocked"), "{}", made[0].0);
}
