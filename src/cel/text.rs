//! Functions on strings. Positions count characters, as everywhere in the language.

use super::error::Problem;

/// `text.substring(start, end)`.
pub(super) fn substring(text: &str, start: i64, end: Option<i64>) -> Result<&str, Problem> {
    let from = offset(text, start).ok_or(Problem::Missing)?;
    let to = match end {
        Some(end) => offset(text, end).ok_or(Problem::Missing)?,
        None => text.len(),
    };
    text.get(from..to).ok_or(Problem::Missing)
}

/// `text.indexOf(wanted)`.
pub(super) fn index_of(text: &str, wanted: &str) -> i64 {
    text.find(wanted).map_or(-1, |at| length(text.get(..at).unwrap_or_default()))
}

/// Characters of `text`.
pub(super) fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// Where in bytes the character of that number begins; the end of the text counts.
fn offset(text: &str, position: i64) -> Option<usize> {
    let position = usize::try_from(position).ok()?;
    let ends = std::iter::once(text.len());
    text.char_indices().map(|(at, _)| at).chain(ends).nth(position)
}
