//! Payloads that are kept as they are, in one column: `binary` takes any bytes, `text` valid UTF-8 without NUL.

use super::target::Target;
use super::value::{self, Value};
use super::{Decoded, Decoder, Reject};
use crate::error::{Context, Error, Kind, Result};
use arrow::array::{ArrayRef, BinaryArray, StringArray, new_null_array};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// Keeps payloads in one column.
pub struct RawDecoder {
    target: Target,
}

impl RawDecoder {
    /// For the one declared column.
    pub fn new(columns: &Fields) -> Result<RawDecoder> {
        if columns.len() != 1 {
            return Err(Error::config(format!("a raw stream fills one column, not {}", columns.len()))
                .hint("declare one of type binary or text; without any it is `value`, of type binary"));
        }
        let fills = |data_type: &DataType| matches!(data_type, DataType::Binary | DataType::Utf8);
        Ok(RawDecoder { target: Target::new(columns, "raw payloads", fills)? })
    }

    fn texts(&self, payloads: &[&[u8]]) -> (ArrayRef, Vec<Reject>) {
        let (mut texts, mut rejects) = (Vec::with_capacity(payloads.len()), Vec::new());
        for (index, payload) in payloads.iter().enumerate() {
            match self.text(payload) {
                Ok(text) => texts.push(text),
                Err(reason) => rejects.push(Reject { index, reason }),
            }
        }
        (Arc::new(StringArray::from(texts)), rejects)
    }

    fn text<'p>(&self, payload: &'p [u8]) -> Result<&'p str, String> {
        let text =
            std::str::from_utf8(payload).map_err(|fault| format!("invalid UTF-8 at byte {}", fault.valid_up_to()))?;
        match value::of_text(text.into(), &DataType::Utf8) {
            Ok(Value::Text(_)) => Ok(text),
            _ => Err(format!(
                "column `{}`: the payload holds a NUL character, which no text column of the warehouse can store",
                self.target.schema.field(0).name()
            )),
        }
    }
}

impl Decoder for RawDecoder {
    fn schema(&self) -> SchemaRef {
        self.target.schema.clone()
    }

    fn decode(&mut self, payloads: &[&[u8]]) -> Result<Decoded> {
        super::check_size(payloads)?;
        let (values, rejects) = match self.target.schema.field(0).data_type() {
            DataType::Utf8 => self.texts(payloads),
            _ => (Arc::new(BinaryArray::from_iter_values(payloads)) as ArrayRef, Vec::new()),
        };
        let rescued = new_null_array(&DataType::Utf8, values.len());
        let batch = RecordBatch::try_new(self.schema(), vec![values, rescued]);
        Ok(Decoded { batch: batch.context(Kind::Internal, || "assemble the decoded column")?, rejects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Field;

    fn decoder(data_type: DataType) -> RawDecoder {
        RawDecoder::new(&vec![Field::new("value", data_type, true)].into()).unwrap()
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let every: Vec<u8> = (0..=255).collect();
        let payloads: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n\0", b"", &every];
        let decoded = decoder(DataType::Binary).decode(&payloads).unwrap();
        assert_eq!(decoded.rejects, []);
        assert_eq!(decoded.batch.column(0).as_binary::<i32>().iter().flatten().collect::<Vec<_>>(), payloads);
    }

    #[test]
    fn text_has_to_be_text() {
        let payloads: [&[u8]; 4] = [b"a\n\"b\"", b"\xff", b"x\0", "é".as_bytes()];
        let decoded = decoder(DataType::Utf8).decode(&payloads).unwrap();
        let texts: Vec<_> = decoded.batch.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(texts, ["a\n\"b\"", "é"]);
        let reasons: Vec<_> = decoded.rejects.iter().map(|reject| (reject.index, reject.reason.as_str())).collect();
        let nul = "column `value`: the payload holds a NUL character, which no text column of the warehouse can store";
        assert_eq!(reasons, [(1, "invalid UTF-8 at byte 0"), (2, nul)]);
    }

    #[test]
    fn other_columns_are_refused() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let text = |name| field(name, DataType::Utf8);
        for columns in [vec![], vec![text("a"), text("b")], vec![field("a", DataType::Int64)]] {
            assert_eq!(RawDecoder::new(&columns.into()).err().unwrap().kind(), Kind::Config);
        }
    }
}
