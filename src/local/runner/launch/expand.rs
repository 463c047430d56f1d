//! `$(VAR)` references in environment values, commands and arguments, as the kubelet expands them.
//!
//! Values are bytes: what a Secret holds need not be text. Which names are known is the caller's affair.

/// Replaces every `$(NAME)` that `lookup` knows.
///
/// `$$` stands for one dollar sign, so `$$(NAME)` comes out as `$(NAME)`. An unknown name, an unclosed parenthesis and a dollar sign
/// before anything else stay as written. One pass: what a reference yields is not expanded again.
pub(super) fn expand<'a>(input: &[u8], lookup: impl Fn(&str) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        let (before, from_dollar) = rest.split_at(at);
        output.extend_from_slice(before);
        let after = &from_dollar[1..];
        rest = match after.first() {
            None => {
                output.push(b'$');
                after
            }
            Some(b'$') => {
                output.push(b'$');
                &after[1..]
            }
            Some(b'(') => reference(&after[1..], &lookup, &mut output),
            Some(other) => {
                output.extend_from_slice(&[b'$', *other]);
                &after[1..]
            }
        };
    }
    output.extend_from_slice(rest);
    output
}

/// Handles what follows `$(`; returns what is still to be read.
fn reference<'i, 'a>(
    inside: &'i [u8],
    lookup: &impl Fn(&str) -> Option<&'a [u8]>,
    output: &mut Vec<u8>,
) -> &'i [u8] {
    let Some(end) = inside.iter().position(|byte| *byte == b')') else {
        output.extend_from_slice(b"$(");
        return inside;
    };
    let (name, rest) = inside.split_at(end);
    if let Some(value) = std::str::from_utf8(name).ok().and_then(lookup) {
        output.extend_from_slice(value);
    } else {
        output.extend_from_slice(b"$(");
        output.extend_from_slice(name);
        output.push(b')');
    }
    &rest[1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &str) -> String {
        let lookup = |name: &str| match name {
            "A" => Some(b"one".as_slice()),
            "B" => Some(b"two".as_slice()),
            "EMPTY" => Some(b"".as_slice()),
            "REF" => Some(b"$(A)".as_slice()),
            "-" => Some(b"dash".as_slice()),
            _ => None,
        };
        String::from_utf8(expand(input.as_bytes(), lookup)).unwrap()
    }

    #[test]
    fn references_are_replaced_as_the_kubelet_does() {
        for (input, want) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "one"),
            ("$(A)$(B)", "onetwo"),
            ("$(A)--$(B)", "one--two"),
            ("x$(A)y", "xoney"),
            ("$(EMPTY)", ""),
            ("$(-)", "dash"),
            ("f00-$(A)$", "f00-one$"),
        ] {
            assert_eq!(expanded(input), want, "{input}");
        }
    }

    #[test]
    fn unknown_names_stay_as_written() {
        assert_eq!(expanded("$(MISSING)"), "$(MISSING)");
        assert_eq!(expanded("$()"), "$()");
        assert_eq!(expanded("a $(MISSING) $(A)"), "a $(MISSING) one");
    }

    #[test]
    fn two_dollars_escape_a_reference() {
        assert_eq!(expanded("$$(A)"), "$(A)");
        assert_eq!(expanded("$$$(A)"), "$one");
        assert_eq!(expanded("$$$$(A)"), "$$(A)");
        assert_eq!(expanded("$$"), "$");
        assert_eq!(expanded("$$(A)_$$(B)"), "$(A)_$(B)");
    }

    #[test]
    fn broken_references_stay_as_written() {
        assert_eq!(expanded("$(A"), "$(A");
        assert_eq!(expanded("$A"), "$A");
        assert_eq!(expanded("$"), "$");
        assert_eq!(expanded("$)("), "$)(");
        assert_eq!(expanded("$($(A))"), "$($(A))");
        assert_eq!(expanded("$(A$(B)"), "$(A$(B)");
        assert_eq!(expanded("${A}"), "${A}");
        assert_eq!(expanded("$((A))"), "$((A))");
    }

    #[test]
    fn the_result_of_a_reference_is_not_expanded_again() {
        assert_eq!(expanded("$(REF)"), "$(A)");
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        let out = expand(b"\xff$(A)\xfe$(\xff)", |name| (name == "A").then_some(b"\x00\x80".as_slice()));
        assert_eq!(out, b"\xff\x00\x80\xfe$(\xff)");
    }
}
