//! The built-in functions (§3.5): which there are, and what those over text do. `INT`, `BOOL` and `STRING` are in no
//! table of the specification, but in its examples and its compatibility kit.

use std::borrow::Cow;

use super::cast::Type;
use super::error::excerpt;

/// A built-in function with a number of arguments that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    Concat,
    ConcatWs,
    Lower,
    Upper,
    Trim,
    Left,
    Right,
    Substring,
    Abs,
    Int,
    Bool,
    String,
}

/// Name, least and most arguments.
const FUNCTIONS: [(&str, usize, usize, Function); 13] = [
    ("LENGTH", 1, 1, Function::Length),
    ("CONCAT", 0, usize::MAX, Function::Concat),
    ("CONCAT_WS", 1, usize::MAX, Function::ConcatWs),
    ("LOWER", 1, 1, Function::Lower),
    ("UPPER", 1, 1, Function::Upper),
    ("TRIM", 1, 1, Function::Trim),
    ("LEFT", 2, 2, Function::Left),
    ("RIGHT", 2, 2, Function::Right),
    ("SUBSTRING", 2, 3, Function::Substring),
    ("ABS", 1, 1, Function::Abs),
    ("INT", 1, 1, Function::Int),
    ("BOOL", 1, 1, Function::Bool),
    ("STRING", 1, 1, Function::String),
];

impl Function {
    /// The function of that name, in upper case, that takes so many arguments.
    pub(super) fn find(name: &str, arguments: usize) -> Option<Self> {
        let takes = |least: usize, most: usize| (least..=most).contains(&arguments);
        let (.., function) =
            FUNCTIONS.iter().find(|(known, least, most, _)| *known == name && takes(*least, *most))?;
        Some(*function)
    }

    pub(super) fn result_type(self) -> Type {
        match self {
            Function::Length | Function::Abs | Function::Int => Type::Integer,
            Function::Bool => Type::Boolean,
            Function::Concat
            | Function::ConcatWs
            | Function::Lower
            | Function::Upper
            | Function::Trim
            | Function::Left
            | Function::Right
            | Function::Substring
            | Function::String => Type::String,
        }
    }
}

/// Why there is no such function.
pub(super) fn unknown(name: &str, arguments: usize) -> String {
    let Some((_, least, most, _)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
        return format!("there is no function {}", excerpt(name));
    };
    let takes = match (*least, *most) {
        (1, 1) => "one argument".to_owned(),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) => format!("{least} or {most} arguments"),
    };
    format!("{name} takes {takes}, not {arguments}")
}

/// In lower case, or in upper case; as it is where nothing changes.
pub(super) fn fold(text: Cow<'_, str>, lower: bool) -> Cow<'_, str> {
    let changes = |byte: u8| {
        !byte.is_ascii() || if lower { byte.is_ascii_uppercase() } else { byte.is_ascii_lowercase() }
    };
    if !text.bytes().any(changes) {
        return text;
    }
    Cow::Owned(if lower { text.to_lowercase() } else { text.to_uppercase() })
}

/// Without white space, as Unicode has it, at both ends.
pub(super) fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    cut(text, str::trim)
}

/// The first so many characters; all of them if there are fewer.
pub(super) fn left(text: Cow<'_, str>, count: usize) -> Cow<'_, str> {
    cut(text, |text| {
        let end = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
        text.get(..end).unwrap_or_default()
    })
}

/// The last so many characters; all of them if there are fewer.
pub(super) fn right(text: Cow<'_, str>, count: usize) -> Cow<'_, str> {
    cut(text, |text| {
        let before = count
            .checked_sub(1)
            .map_or(Some(text.len()), |last| text.char_indices().rev().nth(last).map(|(at, _)| at));
        text.get(before.unwrap_or(0)..).unwrap_or_default()
    })
}

/// The characters from a position on, at most so many of them. Positions count from 1, or from -1 at the end; at 0 there
/// is nothing. None if there is no such position.
pub(super) fn substring(text: Cow<'_, str>, position: i32, length: usize) -> Option<Cow<'_, str>> {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    let start = match distance.checked_sub(1) {
        None => return Some(Cow::Borrowed("")),
        Some(before) if position > 0 => text.char_indices().nth(before),
        Some(after) => text.char_indices().rev().nth(after),
    };
    let (start, _) = start?;
    Some(left(cut(text, |text| text.get(start..).unwrap_or_default()), length))
}

/// A part of a text, borrowed where the text is.
fn cut(text: Cow<'_, str>, part: impl FnOnce(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}
