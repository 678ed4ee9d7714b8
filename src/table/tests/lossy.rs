//! Commits whose reply is lost.

use super::*;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use std::sync::atomic::{AtomicU32, Ordering};

/// A store whose answers to commits can be lost: `lose` says how many, after the write was done.
#[derive(Debug)]
pub(super) struct Lossy {
    inner: InMemory,
    pub lose: AtomicU32,
    /// What the client hears: "exists already", as after a retry of its own, or that nothing came back.
    answer_taken: bool,
    /// Whether the write is done before its reply is lost.
    write: bool,
    /// Another writer's commit, which follows the written one before anybody looks.
    follower: Option<&'static str>,
}

impl Lossy {
    pub fn new(answer_taken: bool, write: bool) -> Lossy {
        Lossy { inner: InMemory::new(), lose: AtomicU32::new(0), answer_taken, write, follower: None }
    }

    async fn follow(&self, at: &Path) -> object_store::Result<()> {
        let Some(commit) = self.follower else { return Ok(()) };
        let (folder, name) = at.as_ref().rsplit_once('/').unwrap();
        let version: u64 = name.trim_end_matches(".json").parse().unwrap();
        let next = Path::from(format!("{folder}/{:020}.json", version + 1));
        self.inner.put_opts(&next, commit.into(), PutOptions::default()).await.map(drop)
    }
}

impl std::fmt::Display for Lossy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lossy")
    }
}

#[async_trait]
impl ObjectStore for Lossy {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let is_commit = at.as_ref().ends_with(".json") && at.as_ref().contains("_delta_log");
        let lose =
            is_commit && self.lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !lose {
            return self.inner.put_opts(at, payload, options).await;
        }
        if self.write {
            self.inner.put_opts(at, payload, options).await?;
            self.follow(at).await?;
        }
        match self.answer_taken {
            true => Err(object_store::Error::AlreadyExists { path: at.to_string(), source: "412".into() }),
            false => Err(object_store::Error::Generic { store: "lossy", source: "connection reset".into() }),
        }
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_never_doubles_or_drops_a_commit() {
    for (answer_taken, write, with_position) in
        [(true, true, true), (false, true, true), (true, true, false), (false, true, false), (false, false, false)]
    {
        let store = Arc::new(Lossy::new(answer_taken, write));
        let lake = Lake::over(store.clone());
        let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
        for step in 0..3 {
            store.lose.store(2, Ordering::SeqCst);
            let position = with_position.then(|| txn("a", (step > 0).then_some(step), step + 1));
            let done = append(&mut table, &[1], position.into_iter().collect()).await.unwrap();
            assert_eq!(done, Committed::Done { version: step + 1 }, "{answer_taken} {write} {with_position}");
        }
        assert_eq!((sum(&table).await, table.version()), (3, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_stays_unknown_keeps_the_files() {
    let store = Arc::new(Lossy::new(false, false));
    let lake = Lake::over(store.clone());
    let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
    store.lose.store(100, Ordering::SeqCst);
    let error = append(&mut table, &[1], vec![txn("a", None, 1)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.hint_text().is_some());
    let files = lake.list("bronze/x").await.unwrap();
    assert!(files.iter().any(|path| path.ends_with(".parquet")), "{files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_commits_before_our_lost_reply_is_cleared_up_has_the_last_word() {
    for answer_taken in [true, false] {
        let follower = Some(r#"{"txn":{"appId":"a","version":9}}"#);
        let store = Arc::new(Lossy { follower, ..Lossy::new(answer_taken, true) });
        let lake = Lake::over(store.clone());
        let mut table = lake.create(&name("bronze.x"), numbers(&[]).schema(), &[]).await.unwrap();
        store.lose.store(1, Ordering::SeqCst);
        let done = append(&mut table, &[1], vec![txn("a", None, 1)]).await.unwrap();
        assert_eq!(done, Committed::Done { version: 1 });
        assert_eq!((table.version(), table.txn("a").await.unwrap()), (2, Some(9)));
        let fenced = append(&mut table, &[2], vec![txn("a", Some(1), 2)]).await.unwrap();
        assert_eq!(fenced, Committed::Fenced { app: "a".into(), stored: Some(9) });
        assert_eq!(sum(&table).await, 1);
    }
}
