//! Fields nobody declared: made columns, or refused.
//!
//! [`Growing`] reads a chunk; what is left in `_rescued` and could be a column becomes one, and the chunk is read
//! again. So a field is a column from the first chunk that shows a value of it, typed by all of that chunk. It stays
//! rescued while it shows null alone or text no column can hold, when its name is no column's name anywhere or is one
//! but for its case, when it is a member of a declared object, and beyond [`MOST_COLUMNS`].

use super::columns;
use crate::decode::infer::{self, MOST_COLUMNS};
use crate::decode::{Decoded, Decoder, Format, RESCUED, decoder};
use crate::error::{Error, Result};
use crate::ident::TableName;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::collections::HashSet;

/// A decoder of JSON that gets a column for each new field; the rows of one call all have the columns of
/// [`Decoder::schema`] afterwards.
pub(super) struct Growing {
    decoder: Box<dyn Decoder>,
    columns: Fields,
    /// Names of the columns and of Bronze's own, in lower case.
    taken: HashSet<String>,
}

impl Growing {
    /// From these columns on.
    pub fn new(columns: Fields) -> Result<Growing> {
        let own = columns::SYSTEM_COLUMNS.into_iter().map(str::to_string);
        let taken = own.chain(columns.iter().map(|column| column.name().to_lowercase())).collect();
        Ok(Growing { decoder: decoder(&Format::Json, &columns)?, columns, taken })
    }

    /// The columns that the rescued fields of a batch ask for.
    fn asked_for(&self, batch: &RecordBatch) -> Fields {
        let room = MOST_COLUMNS.saturating_sub(self.columns.len());
        let Some(rescued) = batch.column_by_name(RESCUED).map(|column| column.as_string::<i32>()) else {
            return Fields::empty();
        };
        if room == 0 || rescued.null_count() == rescued.len() {
            return Fields::empty();
        }
        let records: Vec<&[u8]> = rescued.iter().flatten().map(str::as_bytes).collect();
        let shown = infer::shown(&records, |name| !self.is_member(name));
        shown.iter().filter(|column| !self.taken.contains(column.name())).take(room).cloned().collect()
    }

    /// Whether a rescued name is a path into a declared column.
    fn is_member(&self, name: &str) -> bool {
        let nested = self.columns.iter().filter(|column| column.data_type().is_nested());
        let mut rests = nested.filter_map(|column| name.strip_prefix(column.name().as_str()));
        rests.any(|rest| rest.starts_with(['.', '[']))
    }
}

impl Decoder for Growing {
    fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    fn decode(&mut self, payloads: &[&[u8]]) -> Result<Decoded> {
        let decoded = self.decoder.decode(payloads)?;
        let new = self.asked_for(&decoded.batch);
        if new.is_empty() {
            return Ok(decoded);
        }
        *self = Growing::new(self.columns.iter().chain(&new).cloned().collect())?;
        self.decoder.decode(payloads)
    }
}

/// Fails at the first good row with a field nobody declared.
pub(super) fn refuse(table: &TableName, good: &RecordBatch) -> Result<()> {
    let Some(rescued) = good.column_by_name(RESCUED) else {
        return Err(Error::internal("a Bronze batch lacks columns of its own"));
    };
    let rescued = rescued.as_string::<i32>();
    let Some((row, text)) = rescued.iter().enumerate().find_map(|(row, text)| Some((row, text?))) else {
        return Ok(());
    };
    let place = columns::place(good, row)?;
    let fields = infer::names(text.as_bytes()).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(Error::input(format!("{place}: `{table}` declares no {fields}")).hint(
        "nothing of the batch was committed; declare the field in models/sources.yml, or say there `drift: add` to make \
         such fields columns, or `drift: rescue` to keep them in `_rescued`",
    ))
}
