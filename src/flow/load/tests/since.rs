//! What a load does to a table and why; and ledgers that do not fit the lake.

use super::*;

impl Setting {
    /// `how` of both tables.
    async fn hows(&self) -> Vec<String> {
        self.load(false).await.unwrap().tables.into_iter().map(|table| table.how).collect()
    }

    async fn append_books(&self, books: &[(i64, &str)]) {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(books.iter().map(|book| book.0)));
        let titles: ArrayRef = Arc::new(StringArray::from_iter_values(books.iter().map(|book| book.1)));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("title", titles, true)]).unwrap();
        let mut table = self.lake.table(&gold("dim_book")).await.unwrap().unwrap();
        let mut stage = table.stage(batch.schema()).await.unwrap();
        stage.write(batch).await.unwrap();
        let staged = stage.finish().await.unwrap();
        let commit = Commit { mode: Mode::Append, staged, txns: vec![], info: Default::default() };
        table.commit(commit, "table.commit").await.unwrap();
        self.publish(&["dim_book", "fact_sale"]).await;
    }

    fn folder(&self, path: &str) -> std::path::PathBuf {
        self._folder.path().join("lake").join(path)
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_has_its_reason() {
    let Some(mut setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1]).await;
    assert_eq!(setting.hows().await, ["full: it was never loaded"; 2]);
    assert_eq!(setting.hows().await, ["it stands"; 2]);
    setting.append_books(&[(3, "c")]).await;
    let planned = setting.load_with(&Options { dry_run: true, full: false }).await.unwrap();
    assert_eq!(planned.tables[0].how, "1 file since version 1");
    assert_eq!(setting.ask("select count(*)::text from gold.dim_book").await, "2", "a dry run loads nothing");
    let report = setting.load(false).await.unwrap();
    assert_eq!((report.tables[0].how.as_str(), report.tables[0].inserted), ("1 file since version 1", 1));
    assert_eq!((report.tables[0].rows, report.tables[1].how.as_str()), (3, "it stands"));

    setting.project.models[0].description = "books".into();
    assert_eq!(setting.hows().await, ["full: its contract has changed", "it stands"]);
    let config = setting.config.clone();
    let spoil = |sql| throwaway::execute(&config, sql);
    spoil("delete from gold.fact_sale").await;
    assert_eq!(setting.hows().await[1], "full: it was emptied in the warehouse");
    spoil("drop table gold.fact_sale").await;
    assert_eq!(setting.hows().await[1], "full: it is no longer in the warehouse");
    spoil("alter table gold.dim_book drop column title").await;
    setting.append_books(&[(4, "d")]).await;
    assert_eq!(setting.hows().await[0], "full: its columns were changed in the warehouse");
    assert_eq!(setting.ask("select string_agg(title, '' order by id) from gold.dim_book").await, "abcd");
    spoil("insert into gold.dim_book values (5, 'theirs')").await;
    setting.append_books(&[(5, "e")]).await;
    assert_eq!(setting.hows().await[0], "full: rows were changed in the warehouse since the last load");
    assert_eq!(setting.ask("select string_agg(title, '' order by id) from gold.dim_book").await, "abcde");
    spoil("update lake.ledger set commit_id = null").await;
    setting.append_books(&[(6, "f")]).await;
    let why = "full: version 4 is not, or no longer known to be, the one that was loaded";
    assert_eq!(setting.hows().await[0], why);
    assert_eq!(setting.ask("select string_agg(title, '' order by id) from gold.dim_book").await, "abcdef");
}

/// Who looks leaves no trace and waits for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_here_or_there() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    let mut other = connect(&setting.config).await.unwrap();
    let mut running = other.begin().await.unwrap();
    assert!(running.try_lock().await.unwrap());
    let planned = setting.load_with(&Options { dry_run: true, full: false }).await.unwrap();
    assert_eq!(statuses(&planned), [("gold.dim_book", 0, Status::Due), ("gold.fact_sale", 0, Status::Due)]);
    drop(running);
    assert!(!setting.folder("_lake/id").exists());
    let schemas = "select count(*)::text from pg_namespace where nspname in ('lake', 'gold')";
    assert_eq!(setting.ask(schemas).await, "0");
}

/// Both files are of many batches, and the rows of one stand in the other order of those of the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_files_that_were_written_anew_only_what_differs_is_loaded() {
    let Some(mut setting) = setting().await else { return };
    setting.project.models[1].checks.clear();
    let mut sales: Vec<i64> = (0..60_000).map(|sale| sale / 3).collect();
    setting.promote(&[(1, "a")], &sales).await;
    setting.load(false).await.unwrap();
    sales.reverse();
    (sales[2], sales[31_234], sales[59_999]) = (7, -1, -1);
    setting.write("fact_sale", vec![("book", Arc::new(Int64Array::from(sales.clone())))]).await;
    setting.publish(&["dim_book", "fact_sale"]).await;
    let report = setting.load(false).await.unwrap().tables.remove(1);
    assert_eq!((report.how.as_str(), report.rows), ("2 files since version 1", 60_000));
    assert_eq!((report.inserted, report.deleted), (3, 3));
    sales.sort_unstable();
    let held = setting.ask("select string_agg(book::text, ' ' order by book) from gold.fact_sale").await;
    assert_eq!(held, sales.iter().map(i64::to_string).collect::<Vec<_>>().join(" "));
}

/// Neither the ledger nor the log knows the commit: that is no sign that it is the same one.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_neither_side_knows_is_not_taken_for_the_same() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    let entry = setting.folder("gold/dim_book/_delta_log/00000000000000000001.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    assert!(text.contains("\"commit_id\""), "{text}");
    std::fs::write(&entry, text.replace("\"commit_id\"", "\"theirs\"")).unwrap();
    throwaway::execute(&setting.config, "update lake.ledger set commit_id = null").await;
    assert_eq!(setting.hows().await[0], "it stands");
    setting.append_books(&[(2, "b")]).await;
    let why = "full: version 1 is not, or no longer known to be, the one that was loaded";
    assert_eq!(setting.hows().await[0], why);
}

/// A backup of the lake put in the lake's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_was_put_back_is_named_or_seen_through() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a")], &[1]).await;
    setting.load(false).await.unwrap();
    let backup = setting._folder.path().join("backup");
    copy(&setting.folder(""), &backup);
    setting.append_books(&[(2, "b")]).await;
    setting.load(false).await.unwrap();
    std::fs::remove_dir_all(setting.folder("")).unwrap();
    copy(&backup, &setting.folder(""));
    let error = setting.load(false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let said = "the warehouse is ahead of the lake: `gold.dim_book` holds version 2 of run 2, the newest run is 1 with version 1";
    assert_eq!(error.to_string(), said);
    assert!(error.hint_text().unwrap().contains("lake load-warehouse --full"), "{error:?}");
    assert_eq!(setting.ask("select count(*)::text from gold.dim_book").await, "2");

    // The lake goes on from the backup: its version 2 is another one, and the warehouse's version 3 is not its own.
    let why = |version| format!("full: version {version} is not, or no longer known to be, the one that was loaded");
    setting.append_books(&[(3, "c")]).await;
    assert_eq!(setting.hows().await[0], why(2));
    assert_eq!(setting.ask("select string_agg(title, '' order by id) from gold.dim_book").await, "ac");
    setting.append_books(&[(5, "e")]).await;
    setting.load(false).await.unwrap();
    std::fs::remove_dir_all(setting.folder("")).unwrap();
    copy(&backup, &setting.folder(""));
    setting.append_books(&[(3, "c")]).await;
    setting.append_books(&[]).await;
    setting.append_books(&[(4, "d")]).await;
    assert_eq!(setting.hows().await[0], why(3));
    assert_eq!(setting.ask("select string_agg(title, '' order by id) from gold.dim_book").await, "acd");

    std::fs::remove_dir_all(setting.folder("")).unwrap();
    copy(&backup, &setting.folder(""));
    setting.load(false).await.unwrap_err();
    assert_eq!(setting.load(true).await.unwrap().tables[0].how, "full: --full");
    assert_eq!(setting.ask("select string_agg(title, '' order by id) from gold.dim_book").await, "a");
}

/// Upkeep takes away what a long sleeping warehouse would have to read.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_cleaned_away_are_not_needed() {
    let Some(setting) = setting().await else { return };
    setting.promote(&[(1, "a"), (2, "b")], &[1]).await;
    setting.load(false).await.unwrap();
    let folder = setting.folder("gold/dim_book");
    let first: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    setting.promote(&[(1, "a"), (2, "changed")], &[1]).await;
    first.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let how = setting.hows().await.remove(0);
    assert!(how.starts_with("full: file `") && how.ends_with("was cleaned away"), "{how}");
    assert_eq!(setting.ask("select string_agg(title, ' ' order by id) from gold.dim_book").await, "a changed");
}
