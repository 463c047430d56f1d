//! What is wrong with an expression, or went wrong in one, and where.

/// Most characters of somebody's input that a message repeats.
const EXCERPT: usize = 40;

/// A part of an expression, in bytes; the end is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: usize,
    /// Where it has ended.
    pub end: usize,
}

impl Span {
    /// From the beginning of this one to the end of the other.
    pub(super) fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// The kinds of errors that an engine tells apart (§3.3). Nothing here is of the remaining one, the generic error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It is not an expression.
    Parse,
    /// A division by zero, or an integer of more than 32 bits.
    Math,
    /// A value cannot be cast to the type that is asked for.
    Cast,
    /// The event has no such attribute.
    MissingAttribute,
    /// There is no such function, or not with so many arguments.
    MissingFunction,
    /// A function cannot do what it is asked for.
    FunctionEvaluation,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {character}: {message}")]
pub struct Error {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// The part of the expression that it is about.
    pub span: Span,
    /// Its first character, counted from 1, for people.
    pub character: usize,
    /// What is wrong.
    pub message: String,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, span: Span, text: &str, message: String) -> Self {
        let character = text.char_indices().take_while(|(at, _)| *at < span.start).count() + 1;
        Self { kind, span, character, message }
    }
}

/// Somebody's text, quoted, shortened and without control characters.
pub(super) fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(EXCERPT).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", shown.replace(char::is_control, "\u{fffd}"))
}
