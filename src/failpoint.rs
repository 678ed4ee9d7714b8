//! Named crash points: places where a test ends or pauses the process, or loses a reply, on purpose.
//!
//! `LAKE_FAILPOINT=NAME=ACTION` arms one of them, `NAME=ACTION@3` from its third time on:
//!
//! | action | what happens there |
//! |---|---|
//! | `abort` | the process ends at once, as by `kill -9` |
//! | `stop` | the process stops as by `kill -STOP`, until somebody sends it `CONT` |
//! | `lost-reply` | once, [`lost_reply`] is true: the caller reports a failure although the work was done |
//!
//! Release builds contain none of it; debug builds do, rather than builds with a feature, so that the
//! tests run on the very binary everybody builds. A name is `<verb>.<place>`; to add one, call
//! [`hit`] or [`lost_reply`] with it and list it in the crash tests. Every write to the store has two already
//! (`table.before_file`, `table.after_entry`, ...: head of `table::crash`).

/// Ends or stops the process when this point is armed and its time has come.
pub fn hit(name: &str) {
    match fires(name, &["abort", "stop"]) {
        Some("abort") => std::process::abort(),
        Some("stop") => stop(),
        _ => {}
    }
}

/// True, once a process, when this point is armed with `lost-reply` and its time has come.
pub fn lost_reply(name: &str) -> bool {
    fires(name, &["lost-reply"]).is_some()
}

/// Whether any point is armed, so that what watches for them can be left out otherwise.
pub fn any_armed() -> bool {
    armed::point().is_some()
}

/// The action of the point, the one time it is due. A stop or a lost reply is over afterwards.
fn fires(name: &str, actions: &[&str]) -> Option<&'static str> {
    let point = armed::point().filter(|point| point.name == name && actions.contains(&point.action.as_str()))?;
    point.is_due().then_some(point.action.as_str())
}

/// Only the shell's `kill` can stop this process without unsafe code; it returns after the process went on.
///
/// On a busy machine the signal takes effect a moment after the program that sent it has ended; nothing may be done
/// meanwhile.
fn stop() {
    drop(std::process::Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status());
    std::thread::sleep(std::time::Duration::from_millis(500));
}

#[derive(Debug)]
struct Point {
    name: String,
    action: String,
    /// Calls left until it is due.
    left: std::sync::atomic::AtomicI64,
}

impl Point {
    fn is_due(&self) -> bool {
        self.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1
    }
}

#[cfg(debug_assertions)]
mod armed {
    use super::Point;
    use std::sync::OnceLock;

    pub(super) fn point() -> Option<&'static Point> {
        static POINT: OnceLock<Option<Point>> = OnceLock::new();
        POINT.get_or_init(|| parse(&std::env::var("LAKE_FAILPOINT").ok()?)).as_ref()
    }

    /// `None` when it does not read `NAME=ACTION` or `NAME=ACTION@COUNT`.
    pub(super) fn parse(setting: &str) -> Option<Point> {
        let (name, action) = setting.split_once('=')?;
        let (action, count) = action.split_once('@').unwrap_or((action, "1"));
        let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
        Some(Point { name: name.into(), action: action.into(), left: count.into() })
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    pub(super) fn point() -> Option<&'static super::Point> {
        None
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::parse;

    #[test]
    fn a_point_is_due_once_at_its_time() {
        let point = parse("bronze.before_commit=abort@3").unwrap();
        assert_eq!((point.name.as_str(), point.action.as_str()), ("bronze.before_commit", "abort"));
        assert_eq!([1, 2, 3, 4].map(|_| point.is_due()), [false, false, true, false]);
        assert!(parse("a=stop").unwrap().is_due());
        for nonsense in ["", "a", "a=abort@0", "a=abort@x", "a=abort@"] {
            assert!(parse(nonsense).is_none(), "{nonsense}");
        }
    }
}
