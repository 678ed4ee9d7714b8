//! The keys of an increment, held in memory, and of each how many rows come and stand with it.
//!
//! Answers which rows that stand are touched, in which files they may lie, whether a key's rows are the same as before,
//! and which key came twice. Keys are compared by value, NULL with NULL. Rows of a key are compared as a whole, by sums
//! of their hashes: the order in which they come does not count.

use crate::error::{Context, Error, Kind, Result};
use crate::table::{Bounds, schema};
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};

/// What a key is called here, by the order in which keys were first seen.
type Id = u32;

pub(super) struct Keys {
    columns: Vec<String>,
    /// The columns of the rows that are compared.
    rows_schema: SchemaRef,
    keys: RowConverter,
    /// `None` when rows of these types cannot be compared: then all count as changed.
    rows: Option<RowConverter>,
    ids: HashMap<Box<[u8]>, Id>,
    bags: Vec<Bags>,
    /// Rows with a NULL in their key are rows of that key; otherwise they are of none.
    with_nulls: bool,
}

/// The rows of one key.
#[derive(Default, Clone, Copy)]
struct Bags {
    new: Bag,
    old: Bag,
    /// A part of the key is NULL.
    null: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Bag {
    rows: u64,
    sum: u128,
}

impl Keys {
    /// For rows of `schema`; kind Config when a column is missing or is no key: equal floating numbers may differ.
    pub fn of(columns: &[String], schema: &SchemaRef, with_nulls: bool) -> Result<Keys> {
        let mut fields = Vec::new();
        for name in columns {
            let Some((_, field)) = schema.column_with_name(name) else {
                return Err(Error::config(format!("the result has no column `{name}`, which its key needs")));
            };
            if matches!(field.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64) {
                return Err(Error::config(format!("`{name}` is a floating number, which is no key"))
                    .hint("cast it, for example to decimal"));
            }
            fields.push(SortField::new(field.data_type().clone()));
        }
        let all = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Keys {
            columns: columns.to_vec(),
            rows_schema: schema.clone(),
            keys: RowConverter::new(fields).context(Kind::Config, || "compare the keys of rows")?,
            rows: RowConverter::new(all).ok(),
            ids: HashMap::new(),
            bags: Vec::new(),
            with_nulls,
        })
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn is_empty(&self) -> bool {
        self.bags.is_empty()
    }

    /// Notes keys, whatever rows they have: the columns of `keys` are those of the key, in order.
    pub fn touch(&mut self, keys: &RecordBatch) -> Result<()> {
        self.note(keys.columns()).map(drop)
    }

    /// Notes new rows.
    pub fn came(&mut self, rows: &RecordBatch) -> Result<()> {
        let ids = self.note(&self.key_of(rows)?)?;
        self.count(rows, &ids, |bags| &mut bags.new)
    }

    /// Notes rows that stand.
    pub fn stood(&mut self, rows: &RecordBatch) -> Result<()> {
        let ids = self.ids(rows)?;
        // Most rows of a file are of other keys, and comparing rows takes longer than leaving them out.
        let touched: BooleanArray = ids.iter().map(|id| Some(id.is_some())).collect();
        let rows = filter_record_batch(rows, &touched).context(Kind::Internal, || "choose rows by their keys")?;
        let ids: Vec<Option<Id>> = ids.into_iter().filter(Option::is_some).collect();
        self.count(&rows, &ids, |bags| &mut bags.old)
    }

    /// The key of each row, of rows whose key was noted.
    pub fn ids(&self, rows: &RecordBatch) -> Result<Vec<Option<Id>>> {
        let columns = self.key_of(rows)?;
        let converted = self.keys.convert_columns(&columns).context(Kind::Internal, || "compare the keys of rows")?;
        let id = |at: usize| match self.with_nulls || !columns.iter().any(|column| column.is_null(at)) {
            true => self.ids.get(converted.row(at).data()).copied(),
            false => None,
        };
        Ok((0..rows.num_rows()).map(id).collect())
    }

    /// Whether the rows of this key are others than before.
    pub fn changed(&self, id: Id) -> bool {
        self.bags.get(id as usize).is_none_or(|bags| self.rows.is_none() || bags.new != bags.old)
    }

    /// Whether every new row is of a key whose rows changed, or of none.
    pub fn all_new_changed(&self) -> bool {
        self.bags.iter().zip(0..).all(|(bags, id)| bags.new.rows == 0 || self.changed(id))
    }

    /// The rows that `wanted` takes, by the row's key if it has one.
    pub fn filter(&self, rows: &RecordBatch, wanted: impl Fn(Option<Id>) -> bool) -> Result<RecordBatch> {
        let mask: BooleanArray = self.ids(rows)?.into_iter().map(|id| Some(wanted(id))).collect();
        filter_record_batch(rows, &mask).context(Kind::Internal, || "choose rows by their keys")
    }

    /// `id = 7, line = 2` of a key that more than one new row has, and how many; a key with a NULL may.
    pub fn twice(&self) -> Result<Option<(String, u64)>> {
        let twice = |id: Id| self.bags.get(id as usize).filter(|bags| bags.new.rows > 1 && !bags.null);
        // The first that came, so that the same rows are told of in the same way.
        let found = self.ids.iter().filter_map(|(key, id)| Some((id, key, twice(*id)?.new.rows))).min();
        let Some((_, key, rows)) = found else { return Ok(None) };
        let doing = || "show a key";
        let parser = self.keys.parser();
        let values = self.keys.convert_rows([parser.parse(key)]).context(Kind::Internal, doing)?;
        let mut parts = Vec::new();
        for (name, value) in self.columns.iter().zip(&values) {
            let shown = ArrayFormatter::try_new(value, &FormatOptions::default()).context(Kind::Internal, doing)?;
            parts.push(format!("{name} = {}", shown.value(0)));
        }
        Ok(Some((parts.join(", "), rows)))
    }

    /// By column of the key the values that occur, to tell which files may hold one.
    pub fn spread(&self) -> Result<Spread> {
        let doing = || "compare keys with statistics";
        let parser = self.keys.parser();
        let columns = self.columns.iter().filter_map(|name| self.rows_schema.field_with_name(name).ok());
        let converter =
            |field: &arrow::datatypes::Field| RowConverter::new(vec![SortField::new(field.data_type().clone())]);
        let converters: Vec<RowConverter> =
            columns.map(converter).collect::<Result<_, _>>().context(Kind::Internal, doing)?;
        let mut spread = Spread { values: vec![BTreeSet::new(); converters.len()], converters };
        let keys: Vec<&[u8]> = self.ids.keys().map(|key| &**key).collect();
        for some in keys.chunks(4096) {
            let rows = some.iter().map(|key| parser.parse(key));
            let columns = self.keys.convert_rows(rows).context(Kind::Internal, doing)?;
            for (at, column) in columns.iter().enumerate() {
                spread.add(at, column)?;
            }
        }
        Ok(spread)
    }

    fn key_of(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let column = |name: &String| match rows.column_by_name(name) {
            Some(column) => Ok(column.clone()),
            None => Err(Error::internal(format!("rows without their key `{name}`"))),
        };
        self.columns.iter().map(column).collect()
    }

    fn note(&mut self, columns: &[ArrayRef]) -> Result<Vec<Option<Id>>> {
        let converted = self.keys.convert_columns(columns).context(Kind::Internal, || "compare the keys of rows")?;
        let mut ids = Vec::with_capacity(converted.num_rows());
        for (at, row) in converted.iter().enumerate() {
            let null = columns.iter().any(|column| column.is_null(at));
            if null && !self.with_nulls {
                ids.push(None);
                continue;
            }
            let id = match self.ids.get(row.data()) {
                Some(id) => *id,
                None => {
                    let id = Id::try_from(self.bags.len()).context(Kind::Input, || "hold the keys of an increment")?;
                    self.bags.push(Bags { null, ..Bags::default() });
                    self.ids.insert(row.data().into(), id);
                    id
                }
            };
            ids.push(Some(id));
        }
        Ok(ids)
    }

    fn count(&mut self, rows: &RecordBatch, ids: &[Option<Id>], bag: fn(&mut Bags) -> &mut Bag) -> Result<()> {
        let hashes = match &self.rows {
            None => vec![0; rows.num_rows()],
            Some(converter) => {
                let aligned = schema::align(rows, &self.rows_schema)?;
                let doing = || "compare rows";
                let converted = converter.convert_columns(aligned.columns()).context(Kind::Internal, doing)?;
                converted.iter().map(|row| hash(row.data())).collect()
            }
        };
        for (id, hash) in ids.iter().zip(hashes) {
            let Some(bags) = id.and_then(|id| self.bags.get_mut(id as usize)) else { continue };
            let bag = bag(bags);
            bag.rows += 1;
            bag.sum = bag.sum.wrapping_add(hash);
        }
        Ok(())
    }
}

fn hash(row: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(row);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// The values of each column of a set of keys.
pub(super) struct Spread {
    converters: Vec<RowConverter>,
    /// In an order that is the values' own; NULL comes first.
    values: Vec<BTreeSet<Box<[u8]>>>,
}

impl Spread {
    fn add(&mut self, at: usize, column: &ArrayRef) -> Result<()> {
        let rows = self.converters[at].convert_columns(std::slice::from_ref(column));
        let rows = rows.context(Kind::Internal, || "compare keys with statistics")?;
        self.values[at].extend(rows.iter().map(|row| Box::from(row.data())));
        Ok(())
    }

    /// Whether a file of these bounds may hold one of the keys: of every column a value.
    pub fn may_be_in(&self, bounds: &[Option<Bounds>]) -> bool {
        bounds.iter().enumerate().all(|(at, bounds)| match bounds {
            None => true,
            Some(bounds) => self.may_be_between(at, bounds).unwrap_or(true),
        })
    }

    fn may_be_between(&self, at: usize, bounds: &Bounds) -> Option<bool> {
        let (converter, values) = (self.converters.get(at)?, self.values.get(at)?);
        let encoded = |value: &ArrayRef| converter.convert_columns(std::slice::from_ref(value)).ok();
        let (least, greatest) = (encoded(&bounds.least)?, encoded(&bounds.greatest)?);
        let null = arrow::array::new_null_array(bounds.least.data_type(), 1);
        let holds_null = bounds.may_hold_null && values.contains(encoded(&null)?.row(0).data());
        let (least, greatest): (Box<[u8]>, Box<[u8]>) = (least.row(0).data().into(), greatest.row(0).data().into());
        Some(holds_null || (least <= greatest && values.range(least..=greatest).next().is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]))
    }

    fn rows(rows: &[(Option<i64>, &str)]) -> RecordBatch {
        let ids: Int64Array = rows.iter().map(|row| row.0).collect();
        let names: StringArray = rows.iter().map(|row| Some(row.1)).collect();
        RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(names)]).unwrap()
    }

    fn bounds(least: i64, greatest: i64, may_hold_null: bool) -> Vec<Option<Bounds>> {
        let value = |value| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
        vec![Some(Bounds { least: value(least), greatest: value(greatest), may_hold_null })]
    }

    #[test]
    fn rows_of_a_key_are_compared_as_a_whole() {
        let mut keys = Keys::of(&["id".into()], &schema(), true).unwrap();
        keys.came(&rows(&[(Some(1), "a"), (Some(1), "b"), (Some(2), "c"), (None, "d")])).unwrap();
        keys.stood(&rows(&[(Some(1), "b"), (Some(3), "x"), (Some(2), "C"), (Some(1), "a"), (None, "d")])).unwrap();
        let ids = keys.ids(&rows(&[(Some(1), ""), (Some(2), ""), (Some(3), ""), (None, "")])).unwrap();
        assert_eq!(ids, [Some(0), Some(1), None, Some(2)]);
        assert_eq!([0, 1, 2].map(|id| keys.changed(id)), [false, true, false]);
        assert!(!keys.all_new_changed());
        assert_eq!(keys.twice().unwrap(), Some(("id = 1".to_string(), 2)));
    }

    #[test]
    fn a_null_is_a_key_or_none() {
        let mut keys = Keys::of(&["id".into()], &schema(), false).unwrap();
        keys.came(&rows(&[(None, "a"), (None, "b")])).unwrap();
        assert!(keys.is_empty() && keys.twice().unwrap().is_none());
        assert_eq!(keys.ids(&rows(&[(None, "a")])).unwrap(), [None]);
        let mut keys = Keys::of(&["id".into()], &schema(), true).unwrap();
        keys.came(&rows(&[(None, "a"), (None, "b")])).unwrap();
        assert!(keys.twice().unwrap().is_none(), "NULL equals no other NULL where a key stands once");
        assert!(keys.spread().unwrap().may_be_in(&bounds(1, 2, true)));
        assert!(!keys.spread().unwrap().may_be_in(&bounds(1, 2, false)));
    }

    #[test]
    fn files_are_chosen_by_their_bounds() {
        let mut keys = Keys::of(&["id".into()], &schema(), true).unwrap();
        keys.came(&rows(&[(Some(-5), "a"), (Some(100), "b")])).unwrap();
        let spread = keys.spread().unwrap();
        for (least, greatest, expected) in
            [(-9, -6, false), (-5, -5, true), (-4, 99, false), (99, 200, true), (3, 2, false)]
        {
            assert_eq!(spread.may_be_in(&bounds(least, greatest, true)), expected, "{least}..{greatest}");
        }
        assert!(spread.may_be_in(&[None]), "without statistics a file may hold anything");
    }

    #[test]
    fn floating_numbers_are_no_keys() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
        assert_eq!(Keys::of(&["x".into()], &schema, true).err().unwrap().kind(), Kind::Config);
        assert_eq!(Keys::of(&["y".into()], &schema, true).err().unwrap().kind(), Kind::Config);
    }
}
