//! What to tell somebody who wrote an unknown name.

use crate::ident::nearest;

/// The known name probably meant, else all there are.
pub fn known_names<'n>(unknown: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let names: Vec<&str> = known.clone().collect();
    match nearest(unknown, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there are none yet".into(),
        None => format!("there are: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::known_names;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_gets_the_list() {
        let known = ["brokers", "root"];
        assert_eq!(known_names("broker", known.into_iter()), "did you mean `brokers`?");
        assert_eq!(known_names("interval", known.into_iter()), "there are: brokers, root");
        assert_eq!(known_names("interval", [].into_iter()), "there are none yet");
    }
}
