//! The shared parts, on the programs this machine has.

use super::*;
use crate::embedded::account::Account;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn quiet(_: News<'_>) {}

fn parts_in(dot_lake: &Path) -> Parts {
    Parts::new(dot_lake.to_path_buf(), Search { cache: dot_lake.join("cache"), ..Search::default() })
}

async fn has_postgres(dot_lake: &Path) -> bool {
    let search = Search { cache: dot_lake.join("cache"), ..Search::default() };
    let account = Account::of(dot_lake).await.unwrap();
    // A version that no machine has: nothing is fetched for it.
    let found = search.find(account, Some(9_999), &quiet).await.err().unwrap();
    let has = !found.to_string().contains("found: none");
    if !has {
        eprintln!("left out: no PostgreSQL binaries on this machine (apt-get install postgresql)");
    }
    has
}

/// A project folder that other accounts may enter, as most are.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn port(address: &PostgresAddress) -> u16 {
    url::Url::parse(&address.url).unwrap().port().unwrap()
}

fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn server_pid(data: &Path) -> String {
    std::fs::read_to_string(data.join("postmaster.pid")).unwrap().lines().next().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_starts_postgres_and_the_last_stops_it() {
    let folder = open_folder();
    let dot_lake = folder.path().join(".lake");
    std::fs::create_dir(&dot_lake).unwrap();
    if !has_postgres(&dot_lake).await {
        return;
    }
    let mut users: Vec<Parts> = (0..3).map(|_| parts_in(&dot_lake)).collect();
    let mut waiting = Vec::new();
    for mut user in users.drain(..) {
        waiting.push(tokio::spawn(async move { user.postgres(&quiet).await.map(|address| (user, address)) }));
    }
    let mut joined = Vec::new();
    for user in waiting {
        joined.push(user.await.unwrap().unwrap());
    }
    let address = joined[0].1.clone();
    assert!(joined.iter().all(|(_, other)| *other == address), "they share one server");
    for (index, (user, _)) in joined.into_iter().enumerate() {
        assert!(answers(port(&address)), "stopped before user {index} left");
        user.stop(&quiet, &|| false).await.unwrap();
    }
    assert!(!answers(port(&address)));
    let mode = std::fs::metadata(dot_lake.join("postgres.password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut again = parts_in(&dot_lake);
    assert_eq!(again.postgres(&quiet).await.unwrap(), address, "the same port and password as before");
    again.stop(&quiet, &|| false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives_kill_9_of_itself_and_of_its_starter() {
    let folder = open_folder();
    let dot_lake = folder.path().join(".lake");
    std::fs::create_dir(&dot_lake).unwrap();
    if !has_postgres(&dot_lake).await {
        return;
    }
    let mut killed = parts_in(&dot_lake);
    let address = killed.postgres(&quiet).await.unwrap();
    drop(killed); // as a killed process does: locks go, the server stays
    assert!(answers(port(&address)));
    let mut next = parts_in(&dot_lake);
    assert_eq!(next.postgres(&quiet).await.unwrap(), address);
    let pid = server_pid(&dot_lake.join("postgres/data"));
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    drop(next);
    let mut after = parts_in(&dot_lake);
    let recovered = after.postgres(&quiet).await.unwrap();
    assert!(answers(port(&recovered)));
    after.stop(&quiet, &|| false).await.unwrap();
    assert!(!answers(port(&recovered)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_only_root_may_enter_keeps_its_data_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let dot_lake = folder.path().join(".lake");
    std::fs::create_dir(&dot_lake).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let Account::Lent { uid, .. } = Account::of(&dot_lake.join("postgres")).await.unwrap() else {
        eprintln!("left out: only a root shell lends an account");
        return;
    };
    if !has_postgres(&dot_lake).await {
        return;
    }
    let mut parts = parts_in(&dot_lake);
    let address = parts.postgres(&quiet).await.unwrap();
    let noted = std::fs::read_to_string(dot_lake.join("postgres.location")).unwrap();
    let home = Path::new(noted.trim());
    assert!(!home.starts_with(folder.path()));
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(home.join("data")).unwrap());
    assert_eq!(owner, uid);
    parts.stop(&quiet, &|| false).await.unwrap();
    let mut again = parts_in(&dot_lake);
    assert_eq!(again.postgres(&quiet).await.unwrap(), address);
    again.stop(&quiet, &|| false).await.unwrap();
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_version_and_a_lost_password_are_said() {
    let folder = open_folder();
    let dot_lake = folder.path().join(".lake");
    let data = dot_lake.join("postgres/data");
    std::fs::create_dir_all(&data).unwrap();
    if !has_postgres(&dot_lake).await {
        return;
    }
    std::fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    let error = parts_in(&dot_lake).postgres(&quiet).await.err().unwrap();
    assert!(error.to_string().contains("made by PostgreSQL 9"), "{error}");
    let explicit = Search { explicit: Some(folder.path().to_path_buf()), ..Search::default() };
    std::fs::remove_dir_all(&data).unwrap();
    let error = Parts::new(dot_lake, explicit).postgres(&quiet).await.err().unwrap();
    assert!(error.to_string().starts_with("no PostgreSQL of version 14 or later in"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_broker_waits_for_its_users() {
    let folder = open_folder();
    let mut owner = parts_in(&folder.path().join(".lake"));
    let mut borrower = parts_in(&folder.path().join(".lake"));
    let address = owner.broker().unwrap();
    assert_eq!(borrower.broker().unwrap(), address);
    let leaving = tokio::spawn(async move { owner.stop(&quiet, &|| false).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!leaving.is_finished(), "it left a user behind");
    borrower.stop(&quiet, &|| false).await.unwrap();
    leaving.await.unwrap().unwrap();

    let mut owner = parts_in(&folder.path().join(".lake"));
    assert_eq!(owner.broker().unwrap(), address, "the same port as before");
    let mut borrower = parts_in(&folder.path().join(".lake"));
    borrower.broker().unwrap();
    owner.stop(&quiet, &|| true).await.unwrap();
    borrower.stop(&quiet, &|| false).await.unwrap();
}

/// Needs the network, so it only runs when asked for: `cargo test fetches -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches 15 MB"]
async fn postgres_is_fetched_when_the_machine_has_none() {
    let folder = open_folder();
    let cache = folder.path().join("cache");
    let search = Search { cache: cache.clone(), ..Search::default() };
    let account = Account::of(&cache).await.unwrap();
    let programs = search.find(account, Some(18), &|news| eprintln!("{news:?}")).await.unwrap();
    assert_eq!(programs.major, 18);
    let mut parts =
        Parts::new(folder.path().join(".lake"), Search { explicit: Some(programs.bin), cache, ..Search::default() });
    let address = parts.postgres(&quiet).await.unwrap();
    assert!(answers(port(&address)));
    parts.stop(&quiet, &|| false).await.unwrap();
}
