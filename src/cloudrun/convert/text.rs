//! Text: what a client sends is meant as it is written, and what our objects hold may be expanded by Kubernetes.

use crate::plan::{literal, plain};

/// The list for those words; that of `old` if it is shown as the same.
pub(super) fn literals(words: &[String], old: Option<&Vec<String>>) -> Option<Vec<String>> {
    if let Some(old) = old
        && plains(Some(old)) == words
    {
        return Some(old.clone());
    }
    let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
    (!words.is_empty()).then_some(words)
}

/// What clients see of a list.
pub(super) fn plains(words: Option<&Vec<String>>) -> Vec<String> {
    words.into_iter().flatten().map(|word| plain(word)).collect()
}

/// A text that is unset when empty.
pub(super) fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_somebody_wrote_into_the_object_stays_one() {
        let old = vec!["$(HOME)".to_owned(), "$$(literal)".to_owned()];
        let shown = plains(Some(&old));
        assert_eq!(shown, ["$(HOME)", "$(literal)"]);
        assert_eq!(literals(&shown, Some(&old)), Some(old));
    }
}
