//! What a real Kafka does to a topic that Bronze reads: each has its own outcome. Bronze goes on with every record
//! once, or a named error says what happened and what to do; never are records skipped without a word.

mod cluster;
mod records;
mod several;
mod topics;

/// Said all of it, a remedy included.
fn says(text: &str, words: &[&str]) {
    for word in words.iter().chain(&["error:", "hint:"]) {
        assert!(text.contains(word), "`{word}` is not said:\n{text}");
    }
}
