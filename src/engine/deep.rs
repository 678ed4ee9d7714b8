//! Threads with a stack deep enough for parsers and planners, which recurse over the text they are given.

use crate::error::{Context, Error, Kind, Result};
use std::cell::Cell;
use std::thread::Builder;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Reserved, not used: pages are only taken when a statement is that deep.
const STACK_BYTES: usize = 512 * 1024 * 1024;

thread_local! {
    /// Whether this thread has such a stack.
    static IS_DEEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs a future from start to end on a thread of its own; on the one it is on when that is deep enough.
pub(super) async fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    if IS_DEEP.get() {
        return Ok(work().await);
    }
    let (answer, answered) = oneshot::channel();
    let runtime = Handle::current();
    thread()
        .spawn(move || {
            IS_DEEP.set(true);
            // Nobody listens when the asking future was dropped meanwhile.
            answer.send(runtime.block_on(work())).ok();
        })
        .context(Kind::Unavailable, || "start a thread for planning")?;
    answered.await.context(Kind::Internal, || "the planner ended without an answer")
}

/// Runs `work` on a thread of its own and waits for it; on the one it is on when that is deep enough.
pub(super) fn call<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    if IS_DEEP.get() {
        return Ok(work());
    }
    let deep = || {
        IS_DEEP.set(true);
        work()
    };
    std::thread::scope(|scope| {
        let thread = thread().spawn_scoped(scope, deep).context(Kind::Unavailable, || "start a thread for parsing")?;
        thread.join().map_err(|_| Error::internal("the parser ended without an answer"))
    })
}

/// As [`run`] for a future that borrows. The thread it is asked on waits, so it must not be long about it.
pub(super) async fn wait<T: Send>(work: impl Future<Output = T> + Send) -> Result<T> {
    if IS_DEEP.get() {
        return Ok(work.await);
    }
    let runtime = Handle::current();
    call(move || runtime.block_on(work))
}

fn thread() -> Builder {
    Builder::new().name("plan".into()).stack_size(STACK_BYTES)
}
