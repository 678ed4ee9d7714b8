//! A JSON document as PostgreSQL's `jsonb` prints it: keys by length and then by bytes, the last of two equal ones,
//! `, ` and `: ` between, numbers written out without an exponent, zeros behind the point kept, and zero without a sign.

use crate::error::{Context, Kind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Deeper documents are refused by the parser.
pub fn canonical(document: &str) -> Result<String> {
    let mut out = String::with_capacity(document.len() + document.len() / 8);
    put(document, &mut out).context(Kind::Internal, || "read a JSON document of a row")?;
    Ok(out)
}

fn put(text: &str, out: &mut String) -> serde_json::Result<()> {
    match text.as_bytes().first() {
        Some(b'{') => put_object(Deserialize::deserialize(&mut serde_json::Deserializer::from_str(text))?, out),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                put(item.get(), out)?;
            }
            out.push(']');
            Ok(())
        }
        Some(b'"') => {
            out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(text)?)?);
            Ok(())
        }
        Some(b'-' | b'0'..=b'9') => {
            out.push_str(&number(text));
            Ok(())
        }
        _ => {
            out.push_str(text);
            Ok(())
        }
    }
}

fn put_object(fields: BTreeMap<String, &RawValue>, out: &mut String) -> serde_json::Result<()> {
    let mut fields: Vec<(String, &RawValue)> = fields.into_iter().collect();
    fields.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
    out.push('{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        out.push_str(&serde_json::to_string(&name)?);
        out.push_str(": ");
        put(value.get(), out)?;
    }
    out.push('}');
    Ok(())
}

/// `1.50e3` is `1500`, `1.5e-3` is `0.0015`, `-0.0` is `0.0`: the digits stay, the point moves.
fn number(text: &str) -> String {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = (decimals.len() as i64 - exponent).max(0) as usize;
    let mut digits = format!("{whole}{decimals}");
    digits.push_str(&"0".repeat((exponent - decimals.len() as i64).max(0) as usize));
    let digits = format!("{}{digits}", "0".repeat((scale + 1).saturating_sub(digits.len())));
    let (whole, decimals) = digits.split_at(digits.len() - scale);
    let whole = whole.trim_start_matches('0');
    let sign = if negative && digits.bytes().any(|digit| digit != b'0') { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{}{point}{decimals}", if whole.is_empty() { "0" } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `select $1::jsonb::text` prints them.
    #[test]
    fn documents_look_as_the_server_prints_them() {
        let table = [
            (r#"{"bb":1,"a":[1,2.50,null],"b":{"c":true}}"#, r#"{"a": [1, 2.50, null], "b": {"c": true}, "bb": 1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            (r#"["é\u00e9\n\u0001\u007f\/", "NaN"]"#, "[\"éé\\n\\u0001\u{7f}/\", \"NaN\"]"),
            ("1e16", "10000000000000000"),
            ("1.50e3", "1500"),
            ("1.50e1", "15.0"),
            ("-1.5e-7", "-0.00000015"),
            ("-0.0", "0.0"),
            ("0.000", "0.000"),
            ("{}", "{}"),
            ("[]", "[]"),
        ];
        for (document, expected) in table {
            assert_eq!(canonical(document).unwrap(), expected, "{document}");
        }
    }
}
