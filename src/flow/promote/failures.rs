//! The one error that stands for all failures of a run, and what they mean for readers.

use super::{ModelStatus, Report};
use crate::error::{Error, Kind};
use crate::flow::checks;
use crate::ident::TableName;

/// Of the first failed model's kind, or CheckFailed; none when nothing failed. `errors`: failures other than of tests.
pub(super) fn of(report: &Report, mut errors: Vec<(TableName, Error)>) -> Option<Error> {
    let tests = checks::failure(&report.tests);
    let failure = match (errors.pop(), tests) {
        (None, tests) => tests?,
        (Some((_, only)), None) if errors.is_empty() => only,
        (last, tests) => {
            errors.extend(last);
            let failed = report.models.iter().filter(|model| model.status == ModelStatus::Failed).count();
            let headline = if failed == 1 { "1 model failed".into() } else { format!("{failed} models failed") };
            let all: Vec<Error> = errors.into_iter().map(|(table, error)| error.about(table)).chain(tests).collect();
            Error::of_several(all.first().map_or(Kind::CheckFailed, Error::kind), headline, all)
        }
    };
    let unpublished = unpublished(report);
    let hint = match failure.hint_text() {
        Some(hint) => format!("{hint}; {unpublished}"),
        None => unpublished,
    };
    Some(failure.hint(hint))
}

/// Which tables readers do not get from this run, and why: those at fault, those that read them, and those
/// that were built all the same.
fn unpublished(report: &Report) -> String {
    let named = |status| {
        let models = report.models.iter().filter(move |model| model.status == status);
        models.map(|model| format!("`{}`", model.table)).collect::<Vec<_>>()
    };
    let blocked = report.models.iter().filter(|model| model.status == ModelStatus::Blocked);
    let blocked = blocked.map(|model| format!("`{}` ({})", model.table, model.reason));
    let broken: Vec<String> = named(ModelStatus::Failed).into_iter().chain(blocked).collect();
    let text = format!("not published, readers keep the old version: {}", broken.join(", "));
    match named(ModelStatus::Built) {
        built if built.is_empty() => text,
        built => format!(
            "{text}; held back with them, though built: {} (the tables of a run are published together)",
            built.join(", ")
        ),
    }
}
