//! Arrow type -> PostgreSQL type, spelled as `format_type()` prints it so that the two can be compared.

use arrow::datatypes::{DataType, TimeUnit};

/// A PostgreSQL type: its name in statements and its number in binary array values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlType {
    pub name: String,
    pub oid: u32,
}

/// The type that holds every value of `data_type` unchanged; `None` when there is none.
///
/// Unsigned integers are widened. A list of plain values is an array; structs, maps and nested lists
/// are `jsonb`. A time finer than microseconds is refused when its row comes.
pub fn sql_type(data_type: &DataType) -> Option<SqlType> {
    if let Some(plain) = plain_type(data_type) {
        return Some(plain);
    }
    match data_type {
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let Some(item) = plain_type(item.data_type()) else { return Some(named("jsonb", 3802)) };
            Some(SqlType { name: format!("{}[]", item.name), oid: item.oid })
        }
        DataType::Struct(_) | DataType::Map(_, _) => Some(named("jsonb", 3802)),
        _ => None,
    }
}

/// The type of a value that contains no others.
pub fn plain_type(data_type: &DataType) -> Option<SqlType> {
    use DataType::*;
    let found = match data_type {
        Boolean => named("boolean", 16),
        Int8 | UInt8 | Int16 => named("smallint", 21),
        UInt16 | Int32 => named("integer", 23),
        UInt32 | Int64 => named("bigint", 20),
        UInt64 => named("numeric(20,0)", 1700),
        Float16 | Float32 => named("real", 700),
        Float64 => named("double precision", 701),
        Decimal32(precision, scale) | Decimal64(precision, scale) => numeric(*precision, *scale),
        Decimal128(precision, scale) | Decimal256(precision, scale) => numeric(*precision, *scale),
        Null | Utf8 | LargeUtf8 | Utf8View => named("text", 25),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => named("bytea", 17),
        Date32 | Date64 => named("date", 1082),
        Time32(TimeUnit::Second | TimeUnit::Millisecond) | Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => {
            named("time without time zone", 1083)
        }
        Timestamp(_, None) => named("timestamp without time zone", 1114),
        Timestamp(_, Some(_)) => named("timestamp with time zone", 1184),
        _ => return None,
    };
    Some(found)
}

/// A negative scale only adds digits before the point: PostgreSQL before 15 does not know it.
fn numeric(precision: u8, scale: i8) -> SqlType {
    let before_point = i16::from(precision) - i16::from(scale.min(0));
    let before_point = before_point.max(i16::from(scale));
    SqlType { name: format!("numeric({before_point},{})", scale.max(0)), oid: 1700 }
}

fn named(name: &str, oid: u32) -> SqlType {
    SqlType { name: name.into(), oid }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn types_have_their_counterparts() {
        let list = |item: DataType| DataType::List(Field::new("item", item, true).into());
        let table = [
            (DataType::UInt32, Some("bigint")),
            (DataType::UInt64, Some("numeric(20,0)")),
            (DataType::Decimal128(10, 2), Some("numeric(10,2)")),
            (DataType::Decimal128(5, -2), Some("numeric(7,0)")),
            (DataType::Decimal128(2, 5), Some("numeric(5,5)")),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Some("timestamp with time zone")),
            (list(DataType::Utf8), Some("text[]")),
            (list(list(DataType::Utf8)), Some("jsonb")),
            (DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into()), Some("jsonb")),
            (DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()), Some("text")),
            (DataType::Duration(TimeUnit::Second), None),
        ];
        for (data_type, expected) in table {
            assert_eq!(sql_type(&data_type).map(|found| found.name).as_deref(), expected, "{data_type}");
        }
    }
}
