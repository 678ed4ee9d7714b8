//! Each call to the store breaks in each way: the N-th for N = 1, 2, 3 .. until a run passes untouched. A run that
//! fails for it is run again; whatever was under way is in once or not at all.

use super::until_untouched;
use crate::support::bronze::{ONCE, REDRIVE};
use crate::support::oracle::{self, assert_exactly_once};
use crate::support::proxy::{Fault, Plan, Proxy};
use crate::support::seed::seeds;
use crate::support::services::{Services, services};
use crate::support::workload::Workload;
use crate::support::{Output, Project};
use object_store::aws::AmazonS3Builder;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longer than a request may take (`AWS_TIMEOUT` below).
const TOO_LONG: Duration = Duration::from_millis(1_600);

const FAULTS: &[Fault] = &[
    Fault::LoseReply,
    Fault::Refuse(500),
    Fault::CutReply,
    Fault::Refuse(412),
    Fault::DoAndAnswer(503),
    Fault::LateRequest(TOO_LONG),
    Fault::Refuse(409),
    Fault::CutRequest,
    Fault::DoAndAnswer(412),
    Fault::LateReply(TOO_LONG),
    Fault::DoAndAnswer(409),
    Fault::Refuse(503),
];

/// Three commits.
const RECORDS: u64 = 300;
const BATCH: u64 = 100;

struct Round<'a> {
    services: &'a Services,
    workload: &'a Workload,
    expected: BTreeMap<oracle::Place, oracle::Fate>,
}

impl Round<'_> {
    fn project(&self, place: &str) -> Project {
        let mut project = self.workload.project(BATCH);
        let brokers = self.workload.brokers.clone();
        self.services.attach(&mut project, place);
        project.env("LAKE__KAFKA__BROKERS", &brokers).env("AWS_TIMEOUT", "1s");
        project
    }

    /// One run with one call broken. False when there was no such call.
    fn passes(&self, plan: Plan) -> bool {
        let place = format!("faults-{}", uuid::Uuid::new_v4().simple());
        let mut project = self.project(&place);
        let proxy = Proxy::start(&self.services.s3_endpoint, plan);
        project.env("AWS_ENDPOINT_URL", &proxy.endpoint());
        let broken = project.lake(ONCE);
        let struck = proxy.struck();
        let what = format!("{plan:?} on {}", struck.as_deref().unwrap_or("nothing"));
        explained(&broken, &what);
        if broken.code == 0 {
            assert_exactly_once(&self.expected, &self.table(&place), &format!("{what}, at once"));
        }
        project.env("AWS_ENDPOINT_URL", &self.services.s3_endpoint);
        let again = project.lake(ONCE);
        assert_eq!(again.code, 0, "{what}, then again:\n{}", again.stderr);
        assert_exactly_once(&self.expected, &self.table(&place), &what);
        struck.is_some()
    }

    fn table(&self, place: &str) -> Vec<(oracle::Place, oracle::Fate)> {
        stored_table(self.services, place)
    }
}

/// `bronze.events` below this place of the bucket.
fn stored_table(services: &Services, place: &str) -> Vec<(oracle::Place, oracle::Fate)> {
    let store = AmazonS3Builder::new()
        .with_bucket_name(&services.s3_bucket)
        .with_endpoint(&services.s3_endpoint)
        .with_access_key_id(&services.s3_user)
        .with_secret_access_key(&services.s3_secret)
        .with_region("us-east-1")
        .with_allow_http(true)
        .build()
        .unwrap();
    let url = format!("s3://{}/{place}/bronze/events/", services.s3_bucket);
    oracle::table(Arc::new(store), url.parse().unwrap())
}

/// A run succeeds, or says in our own words that the store failed it and that running again helps.
fn explained(run: &Output, what: &str) {
    let said = run.stderr.contains("error:") && run.stderr.contains("hint:");
    let known = matches!(run.code, 69 | 75) && said;
    assert!(run.code == 0 || known, "{what}: exit {}\n{}", run.code, run.stderr);
}

/// Each call meets one kind of fault, another one from round to round, and all of them when `LAKE_CRASH_ROUNDS` is
/// as many as there are kinds. Calls that change something lose their replies in every round.
#[test]
fn each_call_to_the_store_may_break() {
    let Some(services) = services("faults of the store") else { return };
    for seed in seeds("each call to the store", 1) {
        let workload = Workload::new(&services.kafka, seed, 2, RECORDS);
        let expected = oracle::topic(&services.kafka, &workload.topic);
        let round = Round { services: &services, workload: &workload, expected };
        until_untouched(|call| round.passes(Plan { call, fault: Fault::LoseReply, writes_only: true }));
        let kinds = FAULTS.len() as u64;
        let kind = |call: u64| FAULTS[(call.wrapping_add(seed) % kinds) as usize];
        until_untouched(|call| round.passes(Plan { call, fault: kind(call), writes_only: false }));
    }
}

/// What a redrive writes loses its reply, call by call; run again, each record is there once.
#[test]
fn each_write_of_a_redrive_may_lose_its_reply() {
    let Some(services) = services("a redrive on a store with faults") else { return };
    let workload = Workload::new(&services.kafka, 11, 2, RECORDS);
    let expected = oracle::mended_topic(&services.kafka, &workload.topic);
    let round = Round { services: &services, workload: &workload, expected };
    until_untouched(|call| {
        let place = format!("faults-{}", uuid::Uuid::new_v4().simple());
        let mut project = round.project(&place);
        project.lake(ONCE).ok();
        workload.mend(&project);
        let plan = Plan { call, fault: Fault::LoseReply, writes_only: true };
        let proxy = Proxy::start(&services.s3_endpoint, plan);
        project.env("AWS_ENDPOINT_URL", &proxy.endpoint());
        let broken = project.lake(REDRIVE);
        let struck = proxy.struck();
        let what = format!("{plan:?} on {}", struck.as_deref().unwrap_or("nothing"));
        explained(&broken, &what);
        project.env("AWS_ENDPOINT_URL", &services.s3_endpoint);
        project.lake(REDRIVE).ok();
        assert_exactly_once(&round.expected, &round.table(&place), &what);
        struck.is_some()
    });
}
