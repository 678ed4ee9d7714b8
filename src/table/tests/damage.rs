//! Logs that somebody damaged: the file is named, and it is no fault of ours.

use super::*;
use std::path::Path;

/// A log with a checkpoint and commits after it.
async fn log_of(directory: &Path, lake: &Lake) -> (Table, std::path::PathBuf) {
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    for n in 1..=23 {
        append(&mut table, &[n], vec![]).await.unwrap();
    }
    (table, directory.join("a lake/of mine, é #1 100%/bronze/x/_delta_log"))
}

fn checkpoint(folder: &Path) -> String {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".checkpoint.parquet")).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_the_log_is_named() {
    let (directory, lake) = lake().await;
    let (mut standing, folder) = log_of(directory.path(), &lake).await;
    let checkpoint = checkpoint(&folder);
    let newest = "00000000000000000023.json";
    type Damage<'a> = (&'a str, fn(&[u8]) -> Vec<u8>);
    let damages: [Damage; 5] = [
        (newest, |bytes| bytes[..bytes.len() - 40].to_vec()),
        ("00000000000000000022.json", |bytes| bytes[..30].to_vec()),
        (newest, |_| vec![0xd8, 0, 7, b'\n', 9]),
        (&checkpoint, |bytes| bytes[..bytes.len() / 2].to_vec()),
        (&checkpoint, |bytes| [&bytes[..4], &vec![7; bytes.len() - 1_000], &bytes[bytes.len() - 996..]].concat()),
    ];
    for (file, damage) in damages {
        let whole = std::fs::read(folder.join(file)).unwrap();
        std::fs::write(folder.join(file), damage(&whole)).unwrap();
        let error = lake.table(&name("bronze.x")).await.err().unwrap();
        let said = format!("read table `bronze.x`: `_delta_log/{file}` is damaged");
        assert_eq!((error.kind(), error.to_string()), (Kind::Input, said), "{}", error.in_one_line());
        assert!(error.hint_text().unwrap().contains("bring the file back"));
        std::fs::write(folder.join(file), whole).unwrap();
    }
    append(&mut lake.table(&name("bronze.x")).await.unwrap().unwrap(), &[1], vec![]).await.unwrap();
    std::fs::write(folder.join("00000000000000000024.json"), "{\"add\":").unwrap();
    let error = standing.refresh().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Input, "{}", error.in_one_line());
    assert!(error.to_string().contains("00000000000000000024.json"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_a_byte_is_named_however_it_is_read() {
    let (directory, lake) = lake().await;
    let (standing, folder) = log_of(directory.path(), &lake).await;
    for file in ["00000000000000000023.json", "00000000000000000021.json"] {
        let whole = std::fs::read(folder.join(file)).unwrap();
        std::fs::write(folder.join(file), "").unwrap();
        let opened = lake.table(&name("bronze.x")).await.err().unwrap();
        let read = standing.history(10).await.err().unwrap();
        for error in [opened, read] {
            assert_eq!(error.kind(), Kind::Input, "{}", error.in_one_line());
            assert!(error.in_one_line().contains(&format!("{file}` is empty")), "{}", error.in_one_line());
            assert!(error.hint_text().unwrap().contains("bring the file back"));
        }
        std::fs::write(folder.join(file), whole).unwrap();
    }
}
