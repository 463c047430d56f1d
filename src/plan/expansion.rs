//! Text that Kubernetes expands. In its commands, arguments and values `$(NAME)` names a variable and `$$` is a dollar;
//! what comes from somebody who knows nothing of that is meant as it is written.

/// The text that Kubernetes' expansion turns back into `plain`.
pub fn literal(plain: &str) -> String {
    if plain.contains("$(") || plain.contains("$$") { plain.replace('$', "$$") } else { plain.to_owned() }
}

/// The text that [`literal`] was made from. A reference that somebody wrote on purpose stays as it is.
pub fn plain(text: &str) -> String {
    text.replace("$$", "$")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_would_be_expanded_is_escaped() {
        for (given, stored) in [
            ("", ""),
            ("$HOME", "$HOME"),
            ("a$", "a$"),
            ("$(A)", "$$(A)"),
            ("$$", "$$$$"),
            ("$a $(b)", "$$a $$(b)"),
        ] {
            assert_eq!(literal(given), stored);
        }
    }

    proptest! {
        #[test]
        fn what_is_given_is_what_is_read(text in "[$()a]{0,8}|.*") {
            prop_assert_eq!(plain(&literal(&text)), text);
        }
    }
}
