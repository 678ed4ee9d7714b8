//! Stop at each failpoint as `kill -9` would, run again, and the result equals the uninterrupted one. Lost replies of
//! the two commits likewise.

mod bronze;
mod embedded;
mod increments;
mod load;
mod quarantine;
mod rejected;
mod widening;

use crate::support::Project;

/// (verb and its arguments, failpoint)
const ABORTS: &[(&[&str], &str)] = &[
    (&["produce"], "produce.before_send"),
    (&["produce"], "produce.mid_send"),
    (&["produce"], "produce.after_send"),
    (&["bronze", "--once"], "bronze.before_stage"),
    (&["bronze", "--once"], "bronze.before_commit"),
    (&["bronze", "--once"], "bronze.after_commit"),
    (&["maintain"], "maintain.before_commit"),
    (&["maintain"], "maintain.after_commit"),
    (&["maintain"], "maintain.before_delete"),
    (&["promote", "all"], "promote.before_commit"),
    (&["promote", "all"], "promote.after_commit"),
    (&["promote", "all"], "promote.before_manifest"),
    (&["load-warehouse"], "load.mid_copy"),
    (&["load-warehouse"], "load.before_commit"),
    (&["load-warehouse"], "load.after_commit"),
];

const LOST_REPLIES: &[(&[&str], &str)] = &[
    (&["bronze", "--once"], "bronze.commit"),
    (&["maintain"], "maintain.commit"),
    (&["promote", "all"], "promote.commit"),
    (&["load-warehouse"], "load.commit"),
];

const ROAD: &[&[&str]] =
    &[&["produce"], &["bronze", "--once"], &["maintain"], &["promote", "all"], &["load-warehouse"]];

/// 2,500 orders with a bad row in each 100, so that `mid_send` is reached and quarantine takes part; Bronze commits
/// several times, so that there are files to merge.
fn shop() -> Project {
    let project = Project::empty();
    let mut orders = String::from("order_id,amount\n");
    for n in 1..=2500 {
        match n % 100 {
            50 => orders.push_str(&format!("{n},1.00,one cell too many\n")),
            _ => orders.push_str(&format!("{n},{}.{:02}\n", n % 7, n % 100)),
        }
    }
    project.write("data/orders.csv", orders);
    project.write(
        "lake.toml",
        "[[produce]]\nname = \"orders\"\nfiles = [\"data/orders.csv\"]\nkey = [\"order_id\"]\npartitions = 3\n\
         [bronze]\nmax_rows = 500\n",
    );
    project.write(
        "models/gold/fact_order.sql",
        "select cast(order_id as bigint) as order_id, cast(amount as decimal(10,2)) as amount from bronze.orders\n",
    );
    project.write(
        "models/gold/schema.yml",
        "version: 2\nmodels:\n  - name: fact_order\n    columns:\n      - {name: order_id, data_tests: [not_null, unique]}\n",
    );
    project
}

/// By hand: 2,500 rows, 25 of them rejected; the sum is of n % 7 + (n % 100) / 100 over the others.
fn check(project: &Project, what: &str) {
    let cents: i64 = (1..=2500).filter(|n| n % 100 != 50).map(|n| (n % 7) * 100 + n % 100).sum();
    let star = format!("n,s\n2475,{}.{:02}\n", cents / 100, cents % 100);
    let questions = [
        (vec!["select count(*) as n from bronze.orders"], "n\n2475\n".to_string()),
        (vec!["select count(*) as n from bronze.orders__quarantine"], "n\n25\n".to_string()),
        (vec!["select count(*) as n, sum(amount) as s from gold.fact_order"], star.clone()),
        (vec!["--warehouse", "select count(*) as n, sum(amount) as s from gold.fact_order"], star),
    ];
    for (question, expected) in questions {
        let mut arguments = vec!["query", "--output", "csv"];
        arguments.extend(question);
        assert_eq!(project.lake(&arguments).ok().stdout, expected, "after {what}: {arguments:?}");
    }
    project.lake(&["verify"]).ok();
}

#[test]
fn a_crash_at_any_failpoint_is_mended_by_running_again() {
    for (verb, failpoint) in ABORTS {
        let project = shop();
        for step in ROAD {
            if step == verb {
                let crashed = project.lake_with_failpoint(&format!("{failpoint}=abort"), step);
                assert_eq!(crashed.code, -1, "{failpoint} was not reached:\n{}", crashed.stderr);
            }
            project.lake(step).ok();
        }
        check(&project, failpoint);
    }
}

#[test]
fn a_lost_reply_of_a_commit_is_found_out_by_reading_again() {
    for (verb, failpoint) in LOST_REPLIES {
        let project = shop();
        for step in ROAD {
            match step == verb {
                true => project.lake_with_failpoint(&format!("{failpoint}=lost-reply"), step).ok(),
                false => project.lake(step).ok(),
            };
        }
        check(&project, failpoint);
    }
}
