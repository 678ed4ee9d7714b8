//! Where a value lies in a JSON text: keys of objects and indices of arrays, one inside the other.
//!
//! A text is a key as it stands; one that begins with `$.` or `$[`, or is `$` alone, is a path of several:
//! `$.order.lines[0].price`, `$['a b']."c.d"`. Such a path leads to one value: wildcards and filters are refused.

use datafusion::common::ScalarValue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    /// From 0.
    Index(usize),
}

/// The steps of all arguments, one behind the other; the message says what is wrong with one.
pub(super) fn steps<'a>(arguments: impl Iterator<Item = Option<&'a ScalarValue>>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for argument in arguments {
        match argument {
            Some(ScalarValue::Utf8(Some(text))) if is_path(text) => steps.extend(of_path(text)?),
            Some(ScalarValue::Utf8(Some(key))) => steps.push(Step::Key(key.clone())),
            Some(ScalarValue::Int64(Some(index))) => match usize::try_from(*index) {
                Ok(index) => steps.push(Step::Index(index)),
                Err(_) => return Err(format!("the index {index} is below 0, the first element")),
            },
            _ => return Err("keys and indices are written out: 'key', 0 or '$.key[0]'".into()),
        }
    }
    Ok(steps)
}

fn is_path(text: &str) -> bool {
    text == "$" || text.starts_with("$.") || text.starts_with("$[")
}

fn of_path(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = &path[1..];
    while !rest.is_empty() {
        let read = match rest.strip_prefix('[') {
            Some(inside) => bracket(inside),
            None => rest.strip_prefix('.').and_then(name),
        };
        let Some((step, behind)) = read else {
            let at = path.len() - rest.len();
            return Err(format!("`{path}` is no path from its byte {at} on: write $.key, $['key'] or $[0]"));
        };
        steps.push(step);
        rest = behind;
    }
    Ok(steps)
}

/// `0]` or `'key']`, and what stands behind it.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(quote) = text.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        let (key, behind) = text[1..].split_once(quote)?;
        return Some((Step::Key(key.to_string()), behind.strip_prefix(']')?));
    }
    let (index, behind) = text.split_once(']')?;
    let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    Some((Step::Index(index.parse().ok().filter(|_| is_number)?), behind))
}

/// `key` or `"key"`, and what stands behind it.
fn name(text: &str) -> Option<(Step, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"').map(|(key, behind)| (Step::Key(key.to_string()), behind));
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let key = &text[..end];
    (!key.is_empty() && !key.contains(['*', ']', '"', '\''])).then(|| (Step::Key(key.to_string()), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_keys_and_indices() {
        let key = |name: &str| Step::Key(name.into());
        let table: [(&str, Vec<Step>); 6] = [
            ("$", vec![]),
            ("$.a.b[10].c", vec![key("a"), key("b"), Step::Index(10), key("c")]),
            ("$[0][1]", vec![Step::Index(0), Step::Index(1)]),
            ("$['a.b'].c", vec![key("a.b"), key("c")]),
            ("$.\"a b\"[\"c]\"]", vec![key("a b"), key("c]")]),
            ("$.größe", vec![key("größe")]),
        ];
        for (path, expected) in table {
            assert_eq!(of_path(path), Ok(expected), "{path}");
        }
        for path in ["$.", "$..a", "$.a[", "$.a[*]", "$.*", "$[-1]", "$[+1]", "$['a", "$['a'", "$.a]", "$[0]a", "$."] {
            assert!(of_path(path).unwrap_err().contains("is no path from its byte"), "{path}");
        }
        assert_eq!(of_path("$.a[x]").unwrap_err().split(':').next(), Some("`$.a[x]` is no path from its byte 3 on"));
    }
}
