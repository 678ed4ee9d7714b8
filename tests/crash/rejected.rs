//! A model whose tests set rows aside: two tables and two commits, and a crash between them.

use crate::support::Project;

fn shop(materialized: &str) -> Project {
    let project = Project::empty();
    project.write("data/orders.csv", "order_id,amount\n1,5\n2,\n3,7\n4,\n");
    project.write("lake.toml", "[[produce]]\nname = \"orders\"\nfiles = [\"data/orders.csv\"]\nkey = [\"order_id\"]\n");
    project.write(
        "models/silver/orders.sql",
        format!(
            "{{{{ config(materialized='{materialized}') }}}}\nselect order_id, amount from bronze.orders\n\
             {{% if is_incremental() %}}where order_id > '4'{{% endif %}}\n"
        ),
    );
    project.write(
        "models/silver/schema.yml",
        "models:\n  - name: orders\n    columns:\n      - name: amount\n        tests:\n          \
         - not_null: {on_failure: quarantine}\n",
    );
    project
}

fn counts(project: &Project) -> String {
    let sql =
        "select (select count(*) from silver.orders) as good, (select count(*) from silver.orders__rejected) as bad";
    project.lake(&["query", "--output", "csv", sql]).ok().stdout
}

#[test]
fn a_crash_between_the_two_commits_neither_doubles_nor_loses() {
    for materialized in ["table", "append"] {
        let project = shop(materialized);
        let promote: &[&str] = &["promote", "all"];
        let crash = || {
            let crashed = project.lake_with_failpoint("promote.after_rejected=abort", promote);
            assert_eq!(crashed.code, -1, "{}", crashed.stderr);
        };
        project.lake(&["produce"]).ok();
        project.lake(&["bronze", "--once"]).ok();
        crash();
        project.lake(promote).ok();
        assert_eq!(counts(&project), "good,bad\n2,2\n", "{materialized}, first build");

        project.write("data/orders.csv", "order_id,amount\n1,5\n2,\n3,7\n4,\n5,\n6,1\n7,\n");
        project.lake(&["produce"]).ok();
        project.lake(&["bronze", "--once"]).ok();
        crash();
        crash();
        project.lake(promote).ok();
        assert_eq!(counts(&project), "good,bad\n3,4\n", "{materialized}, rows added");
        project.lake(promote).ok();
        assert_eq!(counts(&project), "good,bad\n3,4\n", "{materialized}, nothing new");
    }
}
