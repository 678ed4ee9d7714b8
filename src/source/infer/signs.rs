//! Numbers beside a sign: `€ 1.234,56`, `$7`, `12 %`, `5 EUR`.

use super::numbers::Numbers;
use super::{Finding, Reading};

/// The one sign of a column, and the numbers beside it.
#[derive(Debug, Clone)]
pub(super) struct Signs {
    sign: Option<String>,
    numbers: Numbers,
    alive: bool,
}

impl Signs {
    pub fn new(delimiter: char) -> Signs {
        Signs { sign: None, numbers: Numbers::new(delimiter), alive: true }
    }

    pub fn observe(&mut self, text: &str) {
        if !self.alive {
            return;
        }
        let Some(sign) = sign_of(text).filter(|sign| self.sign.as_deref().is_none_or(|known| known == *sign)) else {
            self.alive = false;
            return;
        };
        self.sign = Some(sign.to_string());
        self.numbers.observe(text.replacen(sign, "", 1).trim());
    }

    pub fn finding(&self) -> Option<Finding> {
        let sign = self.sign.as_ref().filter(|_| self.alive)?;
        let found = self.numbers.finding(true)?;
        let kinds = match found.readings.is_empty() {
            true => vec![found.kind],
            false => found.readings.into_iter().map(|reading| reading.kind).collect(),
        };
        let readings = kinds.into_iter().map(|kind| Reading { kind, sign: Some(sign.clone()) }).collect();
        Some(Finding { readings, ..Finding::text(format!("`{sign}` beside the number")) })
    }
}

/// What stands before the number (behind its minus) or after it: a sign, or three capital letters.
fn sign_of(text: &str) -> Option<&str> {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+');
    let before = text.strip_prefix('-').unwrap_or(text).split(is_of_number).next().unwrap_or_default().trim();
    let after = text.rsplit(is_of_number).next().unwrap_or_default().trim();
    let sign = match (before, after) {
        (sign, "") | ("", sign) => sign,
        _ => return None,
    };
    let is_currency = sign.len() == 3 && sign.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_mark = sign.chars().count() == 1 && sign.chars().all(|c| "%$€£¥₹₽₩₺₴₫¢‰".contains(c));
    (is_currency || is_mark).then_some(sign)
}
