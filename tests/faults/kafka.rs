//! Requests to the broker break one after the other: connections end, replies break off or come late.

use super::until_untouched;
use crate::support::bronze::{ONCE, table};
use crate::support::kafka_proxy::{Fault, KafkaProxy, Plan};
use crate::support::oracle::{self, assert_exactly_once};
use crate::support::seed::seeds;
use crate::support::services::any_kafka;
use crate::support::workload::Workload;
use std::time::Duration;

const FAULTS: &[Fault] = &[Fault::Reset, Fault::CutReply, Fault::Stall(Duration::from_millis(1500))];

#[test]
fn each_request_to_the_broker_may_break() {
    let kafka = any_kafka();
    for seed in seeds("each request to the broker", 1) {
        let workload = Workload::new(&kafka.brokers, seed, 2, 4_000);
        let expected = oracle::topic(&kafka.brokers, &workload.topic);
        let passes = |plan: Plan| {
            let mut project = workload.project(1_500);
            // Several fetches to a partition.
            project.env("LAKE__KAFKA__PROPERTIES__MAX_PARTITION_FETCH_BYTES", "30000");
            let proxy = KafkaProxy::start(&kafka.brokers, plan);
            project.env("LAKE__KAFKA__BROKERS", &proxy.brokers());
            project.lake(ONCE).ok();
            assert_exactly_once(&expected, &table(&project), &format!("seed {seed}, {plan:?}"));
            proxy.struck()
        };
        let fault = |request: u64| FAULTS[(request.wrapping_add(seed) % FAULTS.len() as u64) as usize];
        until_untouched(|request| passes(Plan { request, fault: fault(request), fetches_only: false }));
        until_untouched(|request| passes(Plan { request, fault: Fault::CutReply, fetches_only: true }));
    }
}
