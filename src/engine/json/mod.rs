//! The SQL functions that look into JSON held as text, and the operators `->` and `->>`.
//!
//! Behind the text stands where to look: keys and indices (`json_as_text(payload, 'lines', 0, 'price')`), or all of
//! it in one path (`'$.lines[0].price'`). They answer NULL for what is not there, for JSON's own `null`, for a value of another
//! kind than asked for, and for a text that is no JSON, which is read to its end to know. A number as text has the digits it was
//! written with. The crate `datafusion-functions-json` is not used: it stops at the value it looks for, so that a payload cut off
//! has some, knows no paths, and its `->` returns a type that no table can hold.
//!
//! - `path` reads where to look, `find` looks, `operators` are the two arrows;
//! - to add a function: a [`Wanted`], its line in [`FUNCTIONS`], and its arms in [`Wanted::returns`] and [`Wanted::column`].

mod find;
mod operators;
mod path;
#[cfg(test)]
mod tests;

pub(super) use operators::{Operators, bracketed};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use find::find;
use path::{Step, steps};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What a function makes of the value at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted {
    /// Any value as text: a string's characters, anything else as it is written.
    Text,
    /// The same of what is neither object nor array.
    Scalar,
    /// A string alone.
    Characters,
    /// Any value as it is written.
    Json,
    Integer,
    Number,
    Truth,
    /// Each element of an array as it is written.
    Elements,
    /// The names in an object.
    Keys,
    Length,
    IsThere,
    IsJson,
}

/// (what, names, arguments, what it does); the first name is the function's, others are what the same is called elsewhere.
const FUNCTIONS: [(Wanted, &[&str], &str, &str); 12] = [
    (
        Wanted::Text,
        &["json_as_text", "json_extract_string", "json_extract_path_text", "get_json_object"],
        "json, path...",
        "Any value in a JSON text, as text; what `->>` does",
    ),
    (
        Wanted::Scalar,
        &["json_value", "json_extract_scalar"],
        "json, path...",
        "A string, number or truth value in a JSON text, as text",
    ),
    (Wanted::Characters, &["json_get_str"], "json, path...", "A string in a JSON text"),
    (
        Wanted::Json,
        &["json_get_json", "json_extract", "json_extract_path", "json_query"],
        "json, path...",
        "Any value in a JSON text as the JSON it is; what `->` does",
    ),
    (Wanted::Integer, &["json_get_int"], "json, path...", "A whole number in a JSON text, as bigint"),
    (Wanted::Number, &["json_get_float"], "json, path...", "A number in a JSON text, as double precision"),
    (Wanted::Truth, &["json_get_bool"], "json, path...", "A truth value in a JSON text"),
    (Wanted::Elements, &["json_get_array"], "json, path...", "Elements of an array in a JSON text, a list to unnest"),
    (Wanted::Keys, &["json_keys", "json_object_keys"], "json, path...", "Names in an object in a JSON text, sorted"),
    (
        Wanted::Length,
        &["json_length", "json_array_length"],
        "json, path...",
        "Number of elements of an array, or of names in an object",
    ),
    (Wanted::IsThere, &["json_contains", "json_exists"], "json, path...", "Whether there is a value, be it null"),
    (Wanted::IsJson, &["json_valid"], "text", "Whether a text is JSON"),
];

/// What DataFusion asks for by reference.
struct Known {
    wanted: Wanted,
    name: &'static str,
    aliases: Vec<String>,
    documentation: Documentation,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = FUNCTIONS.iter().filter_map(|(wanted, names, arguments, summary)| {
        let (name, others) = names.split_first()?;
        let aliases = others.iter().map(|other| other.to_string()).collect();
        let syntax = format!("{name}({arguments})");
        let documentation = Documentation::builder(DocSection::default(), *summary, syntax).build();
        Some(Known { wanted: *wanted, name, aliases, documentation })
    });
    known.collect()
});

/// The functions, for a session to register.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    FUNCTIONS.iter().map(|(wanted, ..)| function(*wanted))
}

fn function(wanted: Wanted) -> ScalarUDF {
    ScalarUDF::new_from_impl(Json { wanted, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Json {
    wanted: Wanted,
    signature: Signature,
}

impl Json {
    fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.wanted == self.wanted)
    }
}

impl ScalarUDFImpl for Json {
    fn name(&self) -> &str {
        self.known().map_or("", |known| known.name)
    }

    fn aliases(&self) -> &[String] {
        self.known().map_or(&[], |known| &known.aliases)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.known().map(|known| &known.documentation)
    }

    fn coerce_types(&self, found: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |found: &DataType| matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let Some((text, path)) = found.split_first() else {
            return plan_err!("{} takes a JSON text", self.name());
        };
        if !is_text(text) && *text != DataType::Null {
            return plan_err!("{} looks into text, not {text}", self.name());
        }
        if self.wanted == Wanted::IsJson && !path.is_empty() {
            return plan_err!("{} takes one text", self.name());
        }
        let step = |step: &DataType| if step.is_integer() { DataType::Int64 } else { DataType::Utf8 };
        Ok(std::iter::once(DataType::Utf8).chain(path.iter().map(step)).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.wanted.returns())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Err(why) = steps(args.scalar_arguments.iter().skip(1).copied()) {
            return plan_err!("in {}: {why}", self.name());
        }
        Ok(Arc::new(Field::new(self.name(), self.wanted.returns(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((text, path)) = args.args.split_first() else { return exec_err!("{} takes a text", self.name()) };
        let plain = path.iter().map(|step| match step {
            ColumnarValue::Scalar(step) => Some(step),
            ColumnarValue::Array(_) => None,
        });
        let path = match steps(plain) {
            Ok(path) => path,
            Err(why) => return exec_err!("in {}: {why}", self.name()),
        };
        let is_constant = matches!(text, ColumnarValue::Scalar(_));
        let texts = cast(&text.to_array(if is_constant { 1 } else { args.number_rows })?, &DataType::Utf8)?;
        let values = self.wanted.column(texts.as_string(), &path);
        match is_constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}

impl Wanted {
    fn returns(self) -> DataType {
        match self {
            Wanted::Text | Wanted::Scalar | Wanted::Characters | Wanted::Json => DataType::Utf8,
            Wanted::Integer | Wanted::Length => DataType::Int64,
            Wanted::Number => DataType::Float64,
            Wanted::Truth | Wanted::IsThere | Wanted::IsJson => DataType::Boolean,
            Wanted::Elements | Wanted::Keys => DataType::new_list(DataType::Utf8, true),
        }
    }

    fn column(self, texts: &StringArray, path: &[Step]) -> ArrayRef {
        let values = || texts.iter().map(|text| find(text?, path).ok().flatten());
        match self {
            Wanted::Text => Arc::new(values().map(|raw| text(raw?)).collect::<StringArray>()),
            Wanted::Scalar => Arc::new(values().map(|raw| text(raw.filter(is_scalar)?)).collect::<StringArray>()),
            Wanted::Characters => Arc::new(values().map(|raw| characters(raw?)).collect::<StringArray>()),
            Wanted::Json => Arc::new(values().collect::<StringArray>()),
            Wanted::Integer => Arc::new(values().map(|raw| raw?.parse().ok()).collect::<Int64Array>()),
            Wanted::Number => Arc::new(values().map(|raw| number(raw?)).collect::<Float64Array>()),
            Wanted::Truth => Arc::new(values().map(|raw| raw?.parse().ok()).collect::<BooleanArray>()),
            Wanted::Elements => lists(values().map(|raw| elements(raw?))),
            Wanted::Keys => lists(values().map(|raw| keys(raw?))),
            Wanted::Length => {
                let length = |raw| elements(raw).or_else(|| keys(raw)).map(|members| members.len() as i64);
                Arc::new(values().map(|raw| length(raw?)).collect::<Int64Array>())
            }
            Wanted::IsThere => {
                let is_there = |text| find(text, path).ok().map(|raw| raw.is_some());
                Arc::new(texts.iter().map(|text| is_there(text?)).collect::<BooleanArray>())
            }
            Wanted::IsJson => {
                Arc::new(texts.iter().map(|text| Some(find(text?, &[]).is_ok())).collect::<BooleanArray>())
            }
        }
    }
}

fn is_scalar(raw: &&str) -> bool {
    !raw.starts_with(['{', '['])
}

fn characters(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn text(raw: &str) -> Option<String> {
    match raw {
        "null" => None,
        string if string.starts_with('"') => characters(string),
        other => Some(other.to_string()),
    }
}

/// One too large for the type is none.
fn number(raw: &str) -> Option<f64> {
    raw.parse().ok().filter(|number: &f64| number.is_finite())
}

fn elements(raw: &str) -> Option<Vec<String>> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(elements.into_iter().map(|element| element.get().to_string()).collect())
}

fn keys(raw: &str) -> Option<Vec<String>> {
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_str(raw).ok()?;
    Some(members.into_keys().collect())
}

fn lists(rows: impl Iterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    rows.for_each(|row| lists.append_option(row.map(|row| row.into_iter().map(Some))));
    Arc::new(lists.finish())
}
