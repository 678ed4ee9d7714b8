//! Values that never print.

use std::fmt;
use url::Url;

/// A password or token. `Debug` shows stars, `Display` does not exist.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The value itself, for the one call that hands it to a client.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Takes the password out of a Postgres URL. The error says what is wrong and never shows the URL.
pub fn split_password(text: &str) -> Result<(String, Option<Secret>), String> {
    let mut url = Url::parse(text).map_err(|error| format!("is no URL ({error})"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(format!("has the scheme `{}`, not `postgres`", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host".into());
    }
    let in_user = url.password().map(percent_decoded);
    let in_query = take_query_password(&mut url);
    url.set_password(None).map_err(|()| "has a password where none can stand".to_string())?;
    Ok((url.to_string(), in_user.or(in_query).map(Secret::new)))
}

fn take_query_password(url: &mut Url) -> Option<String> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let password = pairs.iter().find(|(key, _)| key == "password").map(|(_, value)| value.clone())?;
    url.set_query(None);
    let kept: Vec<_> = pairs.iter().filter(|(key, _)| key != "password").collect();
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Some(password)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_leaves_the_url() {
        let table = [
            ("postgres://me@db:5432/shop", "postgres://me@db:5432/shop", None),
            ("postgres://me:p%40ss@db/shop", "postgres://me@db/shop", Some("p@ss")),
            (
                "postgresql://me@db/shop?password=x&sslmode=require",
                "postgresql://me@db/shop?sslmode=require",
                Some("x"),
            ),
            ("postgres://me@db/shop?password=x", "postgres://me@db/shop", Some("x")),
        ];
        for (given, url, password) in table {
            let (found, secret) = split_password(given).unwrap();
            assert_eq!((found.as_str(), secret.as_ref().map(Secret::expose)), (url, password), "{given}");
        }
    }

    #[test]
    fn a_refusal_does_not_show_the_url() {
        for bad in ["mysql://me:canary@db/shop", "canary", "postgres://me:canary@:x/", "postgres:///canary"] {
            let reason = split_password(bad).unwrap_err();
            assert!(!reason.contains("canary"), "{reason}");
        }
    }

    #[test]
    fn debug_shows_stars() {
        assert_eq!(format!("{:?}", Secret::new("canary".into())), "***");
    }
}
