//! PostgreSQL breaks under a load: it is killed, its connection cut, its replies lost, other clients stand in the way,
//! its disk fills up. The target is the old star or the new one, the error says whose fault it is, and a load that
//! nothing disturbs brings the new star.

use super::{PATIENCE, await_that};
use crate::support::postgres::{Server, is_root};
use crate::support::postgres_proxy::{Fault, PostgresProxy};
use crate::support::running::Running;
use crate::support::seed::{Random, seeds};
use crate::support::star::Star;
use crate::support::{Output, left_out, output};
use std::process::Command;
use std::time::Duration;

/// Of faults that cost a load each, well below a second.
const ROUNDS: u64 = 10;
/// Messages with copied rows in a load of the star's changes, at least.
const COPIES: u64 = 3;

fn load_through(star: &Star, proxy: &PostgresProxy) -> Output {
    let mut load = star.project.command(&["load-warehouse"]);
    output(load.env("LAKE__WAREHOUSE__URL", proxy.url()).output().unwrap())
}

/// A round costs one load.
#[test]
fn a_connection_that_breaks_before_the_commit_leaves_the_old_star() {
    let Some(server) = Server::start("broken connections", &[]) else { return };
    let mut star = Star::new(server);
    star.publish();
    for seed in seeds("a_connection_that_breaks_before_the_commit_leaves_the_old_star", ROUNDS) {
        for fault in [Fault::CutCopy(1 + Random::new(seed).below(COPIES)), Fault::CutCommit] {
            let proxy = PostgresProxy::start(star.server.port(), fault);
            let broken = load_through(&star, &proxy);
            let what = format!("seed {seed}, {fault:?}");
            assert!(proxy.struck(), "{what} met nothing");
            assert_eq!(broken.code, 69, "{what}:\n{}", broken.stderr);
            assert_eq!(star.stands(&what), star.loaded, "{what}");
        }
    }
    star.finish("broken connections");
}

/// A round costs a promote and a load.
#[test]
fn a_commit_whose_reply_is_lost_is_found_in_the_ledger() {
    let Some(server) = Server::start("lost replies", &[]) else { return };
    let mut star = Star::new(server);
    for seed in seeds("a_commit_whose_reply_is_lost_is_found_in_the_ledger", ROUNDS) {
        star.publish();
        let proxy = PostgresProxy::start(star.server.port(), Fault::LoseCommit);
        load_through(&star, &proxy).ok();
        assert!(proxy.struck(), "the commit was not met");
        assert_eq!(star.stands(&format!("a lost reply, seed {seed}")), star.round);
        star.loaded = star.round;
    }
    star.finish("lost replies");
}

/// Killed in the middle of the copy; and after the commit was written and before the client heard of it. A round takes
/// seconds: the server starts again.
#[test]
fn a_server_that_dies_has_a_whole_star_when_it_is_back() {
    let Some(server) = Server::start("a server that is killed", &[]) else { return };
    let mut star = Star::new(server);
    for held in [false, true, false, true] {
        star.publish();
        let proxy = PostgresProxy::start(star.server.port(), Fault::HoldCommit);
        let url = proxy.url();
        let mut env = vec![("LAKE__WAREHOUSE__URL", url.as_str())];
        env.extend((!held).then_some(("LAKE_FAILPOINT", "load.mid_copy=stop@3")));
        let mut loader = Running::start(&star.project, &["load-warehouse"], &env);
        if held {
            await_that("the commit", || proxy.struck());
            star.server.kill();
            proxy.release();
        } else {
            loader.await_stop(PATIENCE);
            star.server.kill();
            loader.signal("CONT");
        }
        let (code, said) = loader.wait();
        assert_eq!(code, 69, "{said}");
        assert_eq!(said.contains("whether the load is in could not be found out"), held, "{said}");
        star.server.again();
        assert_eq!(star.stands("a server killed"), if held { star.round } else { star.loaded });
        star.finish("a server killed");
    }
}

/// A round waits for two seconds, which PostgreSQL lets pass before it looks for a deadlock.
#[test]
fn others_in_the_way_are_a_reason_to_try_again() {
    let Some(server) = Server::start("others in the way", &["deadlock_timeout=2s"]) else { return };
    let mut star = Star::new(server);
    for _ in 0..2 {
        star.publish();
        let sql = "set deadlock_timeout = '60s'; begin; update gold.fact_sale set amount = 0 where sale = 1; \
                   select pg_advisory_lock(7); update gold.dim_item set name = 'x' where id = 1; rollback";
        std::thread::scope(|scope| {
            let gate = star.server.hold("select pg_advisory_lock(7)");
            let other = scope.spawn(|| star.server.try_ask(sql));
            await_that("the other's lock", || waiting(&star.server, "advisory") == 1);
            let mut loader = Running::start(&star.project, &["load-warehouse"], &[]);
            await_that("the load to wait", || {
                waiting(&star.server, "transactionid") + waiting(&star.server, "tuple") > 0
            });
            drop(gate);
            let (code, said) = loader.wait();
            assert_eq!(code, 75, "{said}");
            assert!(said.contains("deadlock detected"), "{said}");
            other.join().unwrap().unwrap();
        });
        assert_eq!(star.stands("a deadlock"), star.loaded);
        star.finish("a deadlock");
    }
    star.publish();
    star.server.execute("alter role test set default_transaction_isolation = 'repeatable read'");
    std::thread::scope(|scope| {
        let gate = star.server.hold("select pg_advisory_lock(7)");
        let sql = "begin; update gold.fact_sale set amount = 0 where sale = 1; select pg_advisory_lock(7); commit";
        let other = scope.spawn(|| star.server.try_ask(sql));
        await_that("the other's lock", || waiting(&star.server, "advisory") == 1);
        let mut loader = Running::start(&star.project, &["load-warehouse"], &[]);
        await_that("the load to wait", || waiting(&star.server, "transactionid") + waiting(&star.server, "tuple") > 0);
        drop(gate);
        let (code, said) = loader.wait();
        assert_eq!(code, 75, "{said}");
        assert!(said.contains("could not serialize access"), "{said}");
        other.join().unwrap().unwrap();
    });
    star.server.execute("alter role test reset default_transaction_isolation");
    star.finish("a serialization failure");
}

/// Sessions that wait for a lock of this kind.
fn waiting(server: &Server, kind: &str) -> u64 {
    server.ask(&format!("select count(*) from pg_locks where not granted and locktype = '{kind}'")).parse().unwrap()
}

#[test]
fn limits_of_the_role_do_not_end_a_load() {
    let Some(server) = Server::start("limits of the role", &[]) else { return };
    let mut star = Star::new(server);
    star.publish();
    for limit in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        star.server.execute(&format!("alter role test set {limit} = '1s'"));
    }
    let mut loader = Running::start(&star.project, &["load-warehouse"], &[("LAKE_FAILPOINT", "load.mid_copy=stop@3")]);
    loader.await_stop(PATIENCE);
    std::thread::sleep(Duration::from_millis(1_500));
    loader.signal("CONT");
    let (code, said) = loader.wait();
    assert_eq!((code, star.stands("short time-outs")), (0, star.round), "{said}");
}

#[test]
fn a_server_that_only_reads_refuses_and_keeps_its_star() {
    let Some(server) = Server::start("a server that only reads", &[]) else { return };
    let mut star = Star::new(server);
    star.publish();
    star.server.execute("alter role test set default_transaction_read_only = on");
    for _ in 0..ROUNDS {
        let refused = star.load().fails_with(78);
        assert!(refused.stderr.contains("read-only"), "{}", refused.stderr);
        assert_eq!(star.stands("a read-only role"), star.loaded);
    }
    star.server.execute("begin read write; alter role test reset default_transaction_read_only; commit");
    star.finish("a read-only role");
}

/// A round costs the beginning of a load.
#[test]
fn a_standby_takes_no_load_and_tells_of_it() {
    let Some(server) = Server::start("a standby", &[]) else { return };
    let mut star = Star::new(server);
    let standby = star.server.standby();
    star.publish();
    let lake = |arguments: &[&str]| {
        output(star.project.command(arguments).env("LAKE__WAREHOUSE__URL", standby.url()).output().unwrap())
    };
    for _ in 0..ROUNDS {
        let refused = lake(&["load-warehouse"]).fails_with(78);
        let said = "the warehouse is a standby server, which takes no writes";
        assert!(refused.stderr.contains(said) && refused.stderr.contains("hint:"), "{}", refused.stderr);
        assert_eq!(star.stands("a standby"), star.loaded);
    }
    let planned = lake(&["load-warehouse", "--dry-run"]).ok().stdout;
    assert!(planned.contains("since version 1"), "it can be looked at: {planned}");
    star.finish("a standby");
    let round = star.round.to_string();
    await_that("the standby to follow", || standby.ask("select max(run) from lake.ledger") == round);
}

/// A file system of a few megabytes, where this machine lets us have one. A round costs one load.
#[test]
fn a_full_disk_leaves_the_old_star() {
    let Some(server) = Server::start("a full disk", &[]) else { return };
    let folder = tempfile::Builder::new().prefix("lake-disk-").tempdir_in("/tmp").unwrap();
    let mount = || {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,uid=65534,mode=0700", "lake-test"])
            .arg(folder.path())
            .output();
        is_root() && mounted.is_ok_and(|output| output.status.success())
    };
    if !mount() {
        return left_out("a full disk needs the right to mount one");
    }
    struct Mounted<'a>(&'a std::path::Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            drop(Command::new("umount").arg("-l").arg(self.0).output());
        }
    }
    let _mounted = Mounted(folder.path());
    server.execute(&format!("create tablespace small location '{}'", folder.path().display()));
    server.execute("alter role test set default_tablespace = 'small'");
    server.execute("alter role test set temp_tablespaces = 'small'");
    let mut star = Star::new(server);
    star.publish();
    for _ in 0..ROUNDS {
        let full = star.load().fails_with(69);
        assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
        assert_eq!(star.stands("a full disk"), star.loaded);
    }
    star.server.execute("alter role test reset default_tablespace; alter role test reset temp_tablespaces");
    star.server.execute("alter table gold.fact_sale set tablespace pg_default");
    star.server.execute("alter index gold.fact_sale_pkey set tablespace pg_default");
    star.finish("a full disk");
}
