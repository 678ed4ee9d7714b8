//! Which topics of Kafka a Bronze table is filled from.

use regex::Regex;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These, in order, each once.
    Named(Vec<String>),
    /// Whichever there are whose whole name matches.
    Matching(Pattern),
}

/// A regular expression, equal to another of the same text.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl Topics {
    pub fn one(topic: &str) -> Topics {
        Topics::Named(vec![topic.to_string()])
    }

    /// The message says what is wrong with the list.
    pub fn named(mut topics: Vec<String>) -> Result<Topics, String> {
        topics.sort_unstable();
        match topics.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("the topic `{}` stands there twice", pair[0])),
            None if topics.is_empty() => Err("`topics` names no topic".into()),
            None => Ok(Topics::Named(topics)),
        }
    }

    /// The message says what is wrong with the expression.
    pub fn matching(pattern: &str) -> Result<Topics, String> {
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        let whole = whole.map_err(|fault| format!("`{pattern}` is no regular expression: {}", reason(&fault)))?;
        Ok(Topics::Matching(Pattern { text: pattern.to_string(), whole }))
    }

    /// Whether this topic is one of them. Kafka's own, whose names begin with two underscores, match no pattern.
    pub fn include(&self, topic: &str) -> bool {
        match self {
            Topics::Named(names) => names.iter().any(|name| name == topic),
            Topics::Matching(pattern) => !topic.starts_with("__") && pattern.whole.is_match(topic),
        }
    }

    /// The topics that have to be there.
    pub fn names(&self) -> &[String] {
        match self {
            Topics::Named(names) => names,
            Topics::Matching(_) => &[],
        }
    }
}

/// The last line, which is the sentence.
fn reason(fault: &regex::Error) -> String {
    fault.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
}

impl Default for Topics {
    fn default() -> Topics {
        Topics::Named(Vec::new())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// As in a sentence: topic `a`, topics `a`, `b`, topics like `a.*`.
impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topics::Named(names) if names.len() == 1 => write!(f, "topic `{}`", names[0]),
            Topics::Named(names) => write!(f, "topics `{}`", names.join("`, `")),
            Topics::Matching(pattern) => write!(f, "topics like `{}`", pattern.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_anchored_and_leaves_kafkas_own_topics_alone() {
        let topics = Topics::matching("sales_.*|refunds").unwrap();
        let included = ["sales_eu", "refunds", "all_sales_eu", "refunds2", "__consumer_offsets"];
        assert_eq!(included.map(|topic| topics.include(topic)), [true, true, false, false, false]);
        assert!(!Topics::matching(".*").unwrap().include("__consumer_offsets"));
        assert_eq!(topics.to_string(), "topics like `sales_.*|refunds`");
        let refused = Topics::matching("sales_(").unwrap_err();
        assert_eq!(refused, "`sales_(` is no regular expression: unclosed group");
    }

    #[test]
    fn a_list_names_each_topic_once() {
        let listed = |names: &[&str]| Topics::named(names.iter().map(|name| name.to_string()).collect());
        assert_eq!(listed(&["b", "a"]).unwrap().names(), ["a", "b"]);
        assert_eq!(listed(&["b", "a"]).unwrap().to_string(), "topics `a`, `b`");
        assert_eq!(listed(&["a", "a"]).unwrap_err(), "the topic `a` stands there twice");
        assert!(listed(&[]).is_err());
    }
}
