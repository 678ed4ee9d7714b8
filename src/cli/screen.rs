//! What stands on stderr while a command runs: bars on a terminal, single lines otherwise, with `--output json` one
//! JSON object a line.
//!
//! Everything a command says on stderr goes through a [`Screen`], log lines included, so that a bar never
//! tears a line. The only user of indicatif.

use crate::embedded::News;
use crate::flow::{Event, Progress};
use indicatif::{DecimalBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// `12.40 kB`
pub fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Errors only.
    Quiet,
    Lines,
    Bars,
    /// One JSON object a line.
    Json,
}

impl Detail {
    /// Bars need a terminal that can move its cursor.
    pub fn choose(quiet: bool, json: bool, no_progress: bool, dumb: bool) -> Detail {
        match (quiet, json, no_progress || dumb || !std::io::stderr().is_terminal()) {
            (true, _, _) => Detail::Quiet,
            (false, true, _) => Detail::Json,
            (false, false, true) => Detail::Lines,
            (false, false, false) => Detail::Bars,
        }
    }
}

/// A handle on stderr; clones share the bars.
#[derive(Clone)]
pub struct Screen {
    detail: Detail,
    bars: MultiProgress,
    stages: Arc<Mutex<HashMap<String, Stage>>>,
}

struct Stage {
    bar: ProgressBar,
    rejects: u64,
}

impl Screen {
    pub fn new(detail: Detail) -> Screen {
        let target = match detail {
            Detail::Bars => ProgressDrawTarget::stderr_with_hz(10),
            Detail::Quiet | Detail::Lines | Detail::Json => ProgressDrawTarget::hidden(),
        };
        Screen { detail, bars: MultiProgress::with_draw_target(target), stages: Arc::default() }
    }

    /// A watcher for flows.
    pub fn progress(&self) -> Progress {
        let screen = self.clone();
        Progress::new(move |event| screen.show(event))
    }

    /// One line for the user, unless they asked for quiet.
    pub fn line(&self, text: &str) {
        match self.detail {
            Detail::Quiet => {}
            Detail::Json => self.tell(&Event::Note { text: text.into() }),
            Detail::Lines | Detail::Bars => self.put(format!("{text}\n").as_bytes()),
        }
    }

    /// An event as a line of JSON, with its time. Steps on the way of a stage are for bars alone.
    fn tell(&self, event: &Event) {
        if matches!(event, Event::Advanced { .. }) {
            return;
        }
        let mut line = serde_json::to_value(event).unwrap_or_default();
        if line["time"].is_null() {
            line["time"] = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true).into();
        }
        self.put(format!("{line}\n").as_bytes());
    }

    /// What an embedded part tells.
    pub fn news(&self, news: News<'_>) {
        match news {
            News::Line(text) => self.line(text),
            News::Fetched { name, bytes, total } => self.fetched(name, bytes, total),
        }
    }

    /// Bytes that must be seen whatever the detail: errors and log lines.
    pub fn write(&self, bytes: &[u8]) {
        match self.detail {
            Detail::Json => self.tell(&Event::Note { text: String::from_utf8_lossy(bytes).trim_end().to_string() }),
            Detail::Quiet | Detail::Lines | Detail::Bars => self.put(bytes),
        }
    }

    fn put(&self, bytes: &[u8]) {
        // Stderr that cannot be written to leaves nobody to tell.
        self.bars.suspend(|| std::io::stderr().lock().write_all(bytes).unwrap_or_default());
    }

    /// Takes every bar away; called before the last words.
    pub fn clear(&self) {
        for (_, stage) in self.stages.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            stage.bar.finish_and_clear();
        }
    }

    fn show(&self, event: Event) {
        if self.detail == Detail::Json {
            return self.tell(&event);
        }
        match event {
            Event::Started { stage, total } => self.start(stage, total),
            Event::Advanced { stage, rows, rejects } => self.advance(&stage, rows, rejects),
            Event::Committed(_) => {}
            Event::Finished { stage, summary } => self.finish(&stage, &summary),
            Event::Note { text } => self.line(&text),
        }
    }

    fn start(&self, name: String, total: Option<u64>) {
        if self.detail != Detail::Bars {
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total)
                .with_style(style("{prefix:<24} {wide_bar:.cyan/blue} {human_pos}/{human_len} rows  {per_sec}{msg}")),
            None => {
                ProgressBar::new_spinner().with_style(style("{prefix:<24} {spinner} {human_pos} rows  {per_sec}{msg}"))
            }
        };
        let bar = self.add(bar.with_prefix(name.clone()));
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = stages.insert(name, Stage { bar, rejects: 0 }) {
            earlier.bar.finish_and_clear();
        }
    }

    fn add(&self, bar: ProgressBar) -> ProgressBar {
        let bar = self.bars.add(bar);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// A bar of bytes; a line at each quarter where there are no bars.
    fn fetched(&self, name: &str, bytes: u64, total: Option<u64>) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let stage = stages.entry(name.to_string()).or_insert_with(|| {
            let bar = ProgressBar::new(total.unwrap_or(0)).with_position(bytes).with_prefix(name.to_string());
            let template = "{prefix:<24} {wide_bar:.cyan/blue} {decimal_bytes}/{decimal_total_bytes}  {eta}";
            Stage { bar: self.add(bar.with_style(style(template))), rejects: 0 }
        });
        let before = stage.bar.position();
        stage.bar.set_position(bytes);
        let all = total.filter(|all| *all > 0);
        if all == Some(bytes) {
            stage.bar.finish_and_clear();
            self.bars.remove(&stage.bar);
            stages.remove(name);
        }
        drop(stages);
        let Some(all) = all.filter(|all| self.detail == Detail::Lines && before * 4 / all < bytes * 4 / all) else {
            return;
        };
        self.line(&format!("{name}: {} of {} fetched", DecimalBytes(bytes), DecimalBytes(all)));
    }

    fn advance(&self, name: &str, rows: u64, rejects: u64) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stage) = stages.get_mut(name) else { return };
        stage.bar.inc(rows);
        if rejects > 0 {
            stage.rejects += rejects;
            stage.bar.set_message(format!("  {} quarantined", HumanCount(stage.rejects)));
        }
    }

    fn finish(&self, name: &str, summary: &str) {
        let ended = self.stages.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(stage) = ended {
            stage.bar.finish_and_clear();
            self.bars.remove(&stage.bar);
        }
        self.line(&format!("{name}: {summary}"));
    }
}

/// The templates above are constants; one that did not parse would fall back to indicatif's own.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
