//! Finds the rows in which two tables of differing checksums differ, and says how.
//!
//! The rows are put into buckets by the first bits of the hash of their key, of which those that differ are looked at
//! more closely, until single keys are left. What is held at a time: the buckets of one step, at most
//! [`EXAMPLES`] times 2^[`STEP`] or [`FEW_ROWS`], and one row of each of [`EXAMPLES`] keys on each side.
//! How many rows a key has is told by its bucket: there may be any number of them.

use super::EXAMPLES;
use super::sides::{Both, Sides};
use crate::error::Result;
use crate::warehouse::{Fingerprint, Heap, Part, RowPrint};
use std::collections::{BTreeMap, BTreeSet};

/// Bits of a hash that one step looks at.
const STEP: u32 = 12;
const ALL_BITS: u32 = 64;
/// So many rows are told apart at once.
const FEW_ROWS: u64 = 20_000;
/// Characters of a value that are shown.
const MOST_CHARACTERS: usize = 80;

/// At most [`EXAMPLES`] rows of the part that are not the same on both sides, a sentence each, by their keys.
pub async fn differing_rows(sides: &mut Sides<'_>, part: &Part) -> Result<Vec<String>> {
    let keys = differing_keys(sides, part).await?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let part = Part { buckets: Some((ALL_BITS, keys.keys().copied().collect())), ..part.clone() };
    let found = sides.examples(&part).await?;
    let row = |key: &i64| Both { lake: found.lake.get(key), warehouse: found.warehouse.get(key) };
    let mut told: Vec<String> = keys.iter().map(|(key, counts)| tell(&sides.print, counts, row(key))).collect();
    told.sort();
    Ok(told)
}

/// Hashes of keys whose rows differ, with how many rows each has.
async fn differing_keys(sides: &mut Sides<'_>, part: &Part) -> Result<BTreeMap<i64, Both<u64>>> {
    let (mut part, mut bits) = (part.clone(), STEP);
    loop {
        let Both { lake, warehouse } = sides.buckets(&part, bits).await?;
        let heap = |side: &BTreeMap<i64, Heap>, bucket: &i64| side.get(bucket).copied().unwrap_or_default();
        let known: BTreeSet<i64> = lake.keys().chain(warehouse.keys()).copied().collect();
        let differing = known.into_iter().filter(|bucket| heap(&lake, bucket) != heap(&warehouse, bucket));
        let differing: Vec<i64> = differing.take(EXAMPLES).collect();
        if bits == ALL_BITS || differing.is_empty() {
            let counts = |key: &i64| Both { lake: heap(&lake, key).count, warehouse: heap(&warehouse, key).count };
            return Ok(differing.iter().map(|key| (*key, counts(key))).collect());
        }
        let rows = |bucket: &i64| heap(&lake, bucket).count.max(heap(&warehouse, bucket).count);
        let is_few = differing.iter().map(rows).sum::<u64>() <= FEW_ROWS;
        part.buckets = Some((bits, differing));
        bits = if is_few { ALL_BITS } else { (bits + STEP).min(ALL_BITS) };
    }
}

/// What is wrong with the rows of one key, of each side so many and one of them.
fn tell(print: &Fingerprint, counts: &Both<u64>, row: Both<Option<&RowPrint>>) -> String {
    let name = row.lake.or(row.warehouse).map_or_else(|| "a row".into(), |row| named(print, row));
    let what = match (counts.lake, counts.warehouse, row.lake.zip(row.warehouse)) {
        (1, 1, Some((here, there))) => changed(print, here, there),
        (_, 0, _) => "is missing in the warehouse".into(),
        (0, _, _) => "is in the warehouse and not in the lake".into(),
        (lake, warehouse, _) if lake == warehouse => format!("{lake} on each side, of other values"),
        (lake, warehouse, _) => format!("{lake} in the lake, {warehouse} in the warehouse"),
    };
    format!("{name}: {what}")
}

/// The values a row is known by.
fn named(print: &Fingerprint, row: &RowPrint) -> String {
    let columns: Vec<&str> = print.columns().collect();
    let value = |index: &usize| format!("{} = {}", columns[*index], shown(row.values.get(*index)));
    print.key().iter().map(value).collect::<Vec<_>>().join(", ")
}

fn changed(print: &Fingerprint, lake: &RowPrint, warehouse: &RowPrint) -> String {
    let differs = |index: &usize| lake.hashes.get(*index) != warehouse.hashes.get(*index);
    let differing: Vec<(usize, &str)> = print.columns().enumerate().filter(|(index, _)| differs(index)).collect();
    let value = |&(index, column): &(usize, &str)| {
        let (here, there) = (shown(lake.values.get(index)), shown(warehouse.values.get(index)));
        format!("{column} is {here} in the lake, {there} in the warehouse")
    };
    differing.iter().take(EXAMPLES).map(value).collect::<Vec<_>>().join("; ")
}

/// On one line, cut off where it gets long.
fn shown(value: Option<&Option<String>>) -> String {
    let Some(Some(text)) = value else { return "NULL".into() };
    let mut shown: String = text
        .chars()
        .take(MOST_CHARACTERS)
        .flat_map(|c| {
            let escaped = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            escaped.chars().collect::<Vec<_>>()
        })
        .collect();
    if text.chars().nth(MOST_CHARACTERS).is_some() {
        shown.push('…');
    }
    if shown.is_empty() { "''".into() } else { shown }
}
