//! Models that are built onto the rows that stand: a stop at each step of a merge, and a lost reply, twice each.

use crate::support::Project;

const ABORTS: &[&str] = &[
    "promote.before_merge",
    "promote.mid_merge",
    "promote.before_commit",
    "promote.after_commit",
    "promote.before_manifest",
    "table.before_file",
    "table.after_file",
    "table.before_entry",
    "table.after_entry",
];
const LOST_REPLIES: &[&str] = &["promote.commit", "table.commit"];
const ROUNDS: usize = 2;

/// A merge by key, an append and a history, all of the same orders.
fn shop() -> Project {
    let project = Project::empty();
    project.write(
        "lake.toml",
        "[[produce]]\nname = \"orders\"\nfiles = [\"data/*.csv\"]\nkey = [\"id\"]\npartitions = 1\n",
    );
    orders(&project, 1);
    let typed = "select cast(id as bigint) as id, cast(round as bigint) as round, cast(amount as bigint) as amount \
                 from bronze.orders";
    project.write("models/silver/log.sql", format!("{{{{ config(materialized='append') }}}}\n{typed}\n"));
    project.write(
        "models/gold/newest.sql",
        "{{ config(materialized='incremental', unique_key='id') }}\nselect id, round, amount from silver.log\n\
         qualify row_number() over (partition by id order by round desc) = 1\n",
    );
    project.write(
        "models/gold/history.sql",
        "{{ config(materialized='snapshot', unique_key='id', strategy='check', check_cols=['amount']) }}\n\
         select id, amount from gold.newest\n",
    );
    project
}

/// In round n the orders n to n + 9, each with n as its amount.
fn orders(project: &Project, round: usize) {
    let rows: String = (round..round + 10).map(|id| format!("{id},{round},{round}\n")).collect();
    project.write(&format!("data/{round}.csv"), format!("id,round,amount\n{rows}"));
}

fn bring(project: &Project, round: usize) {
    orders(project, round);
    project.lake(&["produce"]).ok();
    project.lake(&["bronze", "--once"]).ok();
}

/// By hand, after round n: 10 n rows came, orders 1 to n - 1 stay at their own number and the other 10 stand at n; an
/// order has a version for each round it came in.
fn check(project: &Project, rounds: usize, what: &str) {
    let sum: usize = (1..rounds).sum::<usize>() + 10 * rounds;
    let ids = rounds + 9;
    for (question, expected) in [
        ("select count(*) as n from silver.log", format!("n\n{}\n", 10 * rounds)),
        ("select count(*) as n, sum(amount) as s from gold.newest", format!("n,s\n{ids},{sum}\n")),
        (
            "select count(*) as n, count(distinct dbt_scd_id) as i from gold.history",
            format!("n,i\n{0},{0}\n", 10 * rounds),
        ),
        (
            "select count(*) as n, sum(amount) as s from gold.history where dbt_valid_to is null",
            format!("n,s\n{ids},{sum}\n"),
        ),
    ] {
        assert_eq!(
            project.lake(&["query", "--output", "csv", question]).ok().stdout,
            expected,
            "after {what}: {question}"
        );
    }
}

#[test]
fn a_merge_that_was_cut_off_is_mended_by_running_again() {
    for failpoint in ABORTS {
        let project = shop();
        bring(&project, 1);
        project.lake(&["promote", "all"]).ok();
        for round in 2..2 + ROUNDS {
            bring(&project, round);
            let crashed = project.lake_with_failpoint(&format!("{failpoint}=abort"), &["promote", "all"]);
            assert_eq!(crashed.code, -1, "{failpoint} was not reached:\n{}", crashed.stderr);
            project.lake(&["promote", "all"]).ok();
            check(&project, round, failpoint);
        }
    }
}

#[test]
fn a_lost_reply_to_a_merge_is_found_out() {
    for failpoint in LOST_REPLIES {
        let project = shop();
        bring(&project, 1);
        project.lake(&["promote", "all"]).ok();
        for round in 2..2 + ROUNDS {
            bring(&project, round);
            project.lake_with_failpoint(&format!("{failpoint}=lost-reply@{round}"), &["promote", "all"]).ok();
            check(&project, round, failpoint);
        }
    }
}
