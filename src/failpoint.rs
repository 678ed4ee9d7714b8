//! Named crash points: places where a test ends the process or loses a reply on purpose.
//!
//! `LAKE_FAILPOINT=bronze.before_commit=abort` ends the process there as `kill -9` would;
//! `=lost-reply` makes [`lost_reply`] answer true once, so that the caller reports a failure although the
//! work was done. Release builds contain none of it; debug builds do, rather than builds with a feature, so that the
//! tests run on the very binary everybody builds. A name is `<verb>.<place>`; to add one, call
//! [`hit`] or [`lost_reply`] with it and list it in the crash tests.

/// Ends the process without any clean-up when this point is armed with `abort`.
pub fn hit(name: &str) {
    if armed(name) == Some("abort".into()) {
        std::process::abort();
    }
}

/// True, once a process, when this point is armed with `lost-reply`.
pub fn lost_reply(name: &str) -> bool {
    use std::sync::atomic::{AtomicBool, Ordering};
    static SPENT: AtomicBool = AtomicBool::new(false);
    armed(name) == Some("lost-reply".into()) && !SPENT.swap(true, Ordering::SeqCst)
}

#[cfg(debug_assertions)]
fn armed(name: &str) -> Option<String> {
    let setting = std::env::var("LAKE_FAILPOINT").ok()?;
    let (armed_name, action) = setting.split_once('=')?;
    (armed_name == name).then(|| action.to_string())
}

#[cfg(not(debug_assertions))]
fn armed(_name: &str) -> Option<String> {
    None
}
