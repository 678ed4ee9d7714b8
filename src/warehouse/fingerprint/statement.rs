//! The statements by which PostgreSQL computes a table's checksums where the rows lie, and how to read its answers.

use super::{Checksums, Column, Fingerprint, Heap, Part, RowPrint, text};
use crate::error::{Error, Result};
use crate::ident::quote;
use std::collections::BTreeMap;

/// A function takes at most 100 arguments.
const MOST_ARGUMENTS: usize = 90;
/// Known only to a server that hashes as [`super::hash`] does: its text is not ASCII, its bytes are not symmetric.
const PROBE: &str = "lake \u{e9}";

impl Fingerprint {
    /// One row, one text: [`Fingerprint::read_checksums`] takes it. `place` is the table, quoted.
    pub fn checksums_sql(&self, place: &str, part: &Part) -> String {
        let mut sums = vec!["count(*)".to_string(), format!("coalesce(sum({}), 0)", self.row_sql())];
        for index in 0..self.columns.len() {
            sums.extend([format!("count(h{index})"), format!("coalesce(sum(h{index}), 0)")]);
        }
        let sums = sums.iter().map(|sum| format!("{sum}::text")).collect::<Vec<_>>().join(", ");
        let hashed = self.hashed_sql(place, part, "");
        format!(
            "select array_to_string(array[{probe}::text, {sums}], ' ') from {hashed}",
            probe = hash_sql(&probe_sql())
        )
    }

    pub fn read_checksums(&self, answer: &[Vec<Option<String>>]) -> Result<Checksums> {
        let text = answer.first().and_then(|row| row.first()).cloned().flatten().unwrap_or_default();
        let numbers = text.split(' ').map(str::parse::<i128>).collect::<Result<Vec<_>, _>>();
        let numbers = numbers.map_err(|cause| unread("the checksums").caused_by(cause))?;
        let [probe, heap @ ..] = numbers.as_slice() else { return Err(unread("the checksums")) };
        if *probe != i128::from(super::hash::hash(PROBE.as_bytes())) {
            return Err(Error::config(
                "the warehouse hashes text otherwise than lake does, so nothing can be compared",
            )
            .hint("the database must have the encoding UTF8, on a machine that stores the low byte first"));
        }
        let mut heaps = heap.chunks_exact(2).map(|pair| Heap { count: pair[0] as u64, sum: pair[1] });
        let rows = heaps.next().ok_or_else(|| unread("the checksums"))?;
        Ok(Checksums { rows, columns: heaps.collect() })
    }

    /// One row for each bucket of the part's rows: the first `bits` of the key's hash, how many rows, their sum.
    pub fn buckets_sql(&self, place: &str, part: &Part, bits: u32) -> String {
        let (key, row, hashed) = (self.key_sql(), self.row_sql(), self.hashed_sql(place, part, ""));
        format!("select ({key} >> {})::text, count(*)::text, sum({row})::text from {hashed} group by 1", 64 - bits)
    }

    pub fn read_buckets(answer: &[Vec<Option<String>>]) -> Result<BTreeMap<i64, Heap>> {
        let number = |cell: &Option<String>| cell.as_deref().and_then(|text| text.parse::<i128>().ok());
        let bucket = |row: &Vec<Option<String>>| {
            let [bucket, count, sum] = [0, 1, 2].map(|index| row.get(index).and_then(number));
            Some((i64::try_from(bucket?).ok()?, Heap { count: u64::try_from(count?).ok()?, sum: sum? }))
        };
        answer.iter().map(|row| bucket(row).ok_or_else(|| unread("a part's checksums"))).collect()
    }

    /// Of each key in the part the hash, and one of its rows: the hashes of its values, and its values as text.
    pub fn examples_sql(&self, place: &str, part: &Part) -> String {
        let values = self.columns.iter().map(|column| format!("t.{}::text", quote(&column.name)));
        let values = format!(", to_jsonb(array[{}]) as shown", values.collect::<Vec<_>>().join(", "));
        let hashes = (0..self.columns.len()).map(|index| format!("h{index}::text")).collect::<Vec<_>>().join(", ");
        let (key, hashed) = (self.key_sql(), self.hashed_sql(place, part, &values));
        let row = format!("jsonb_build_array(array[{hashes}], shown)::text collate \"C\"");
        format!("select ({key})::text, min({row}) from {hashed} group by 1")
    }

    pub fn read_examples(answer: &[Vec<Option<String>>]) -> Result<BTreeMap<i64, RowPrint>> {
        let row = |row: &Vec<Option<String>>| {
            let text = |index: usize| row.get(index)?.as_deref();
            let (hashes, values): (Vec<Option<String>>, _) = serde_json::from_str(text(1)?).ok()?;
            let hashes = hashes.into_iter().map(|hash| hash.map(|hash| hash.parse()).transpose());
            let hashes = hashes.collect::<Result<_, _>>().ok()?;
            Some((text(0)?.parse().ok()?, RowPrint { hashes, values }))
        };
        answer.iter().map(|cells| row(cells).ok_or_else(|| unread("a row"))).collect()
    }

    /// The part's rows as the hashes `h0`, `h1`, ... of their values. OFFSET 0 keeps the planner from computing a
    /// hash again wherever it is used.
    fn hashed_sql(&self, place: &str, part: &Part, more: &str) -> String {
        let hashes =
            self.columns.iter().enumerate().map(|(index, column)| format!("{} as h{index}", value_sql(column)));
        let hashes = hashes.collect::<Vec<_>>().join(", ");
        let key = combined(self.key.iter().map(|index| value_sql(&self.columns[*index])));
        format!("(select {hashes}{more} from {place} t where {} offset 0) r", part.sql(&key))
    }

    fn row_sql(&self) -> String {
        combined((0..self.columns.len()).map(|index| format!("h{index}")))
    }

    fn key_sql(&self) -> String {
        combined(self.key.iter().map(|index| format!("h{index}")))
    }
}

impl Part {
    /// The condition on a key's hash, which is SQL.
    fn sql(&self, key: &str) -> String {
        let mut conditions = Vec::new();
        if self.most < i64::MAX {
            conditions.push(format!("{key} <= {}", self.most));
        }
        if let Some((bits, buckets)) = &self.buckets {
            let buckets = buckets.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            conditions.push(format!("{key} >> {} in ({buckets})", 64 - bits));
        }
        if conditions.is_empty() { "true".into() } else { conditions.join(" and ") }
    }
}

fn value_sql(column: &Column) -> String {
    hash_sql(&text::sql(column.field.data_type(), &format!("t.{}", quote(&column.name))))
}

fn hash_sql(text: &str) -> String {
    format!("hashtextextended({text}, 0)")
}

fn probe_sql() -> String {
    format!("{} collate \"C\"", crate::ident::literal(PROBE))
}

/// The hash of several: of their numbers with blanks between, `-` for NULL.
fn combined(hashes: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<String> = hashes.map(|hash| format!("coalesce({hash}::text, '-')")).collect();
    while texts.len() > 1 {
        texts = texts.chunks(MOST_ARGUMENTS).map(|texts| format!("concat_ws(' ', {})", texts.join(", "))).collect();
    }
    hash_sql(&format!("{} collate \"C\"", texts.join(", ")))
}

fn unread(what: &str) -> Error {
    Error::internal(format!("the warehouse's answer is not {what} that were asked for"))
}
