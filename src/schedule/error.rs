//! What is wrong with a schedule, in words that say what was expected.

use std::fmt;

use super::fields::Field;

/// Most characters of somebody's input that a message repeats.
const EXCERPT: usize = 40;

/// A schedule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too few fields, or too many.
    #[error(
        "{found} where five are expected (minute, hour, day of month, month, day of week), or six with the second in front",
        found = if *.0 == 1 { "one field".to_owned() } else { format!("{} fields", .0) }
    )]
    Count(usize),
    /// One of the fields.
    #[error("{field}: `{part}` {problem}")]
    Field {
        /// Which one.
        field: Field,
        /// The part of it that is wrong.
        part: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// `@` and a word that is none of those there are.
    #[error(
        "{0} is not known; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
    )]
    Name(String),
    /// `@every`: what is every so often has no place in a calendar.
    #[error("@every is not supported; write a step, such as */5 in the field of the minutes")]
    Every,
    /// A time zone that there is not.
    #[error("{name} is no time zone{hint}", hint = hint(.like.as_deref()))]
    Zone {
        /// What it was called.
        name: String,
        /// The one that differs in capital letters only.
        like: Option<String>,
    },
    /// A time zone beside the schedule, and another in front of it.
    #[error("the time zone is given twice: in front of the schedule and beside it")]
    TwoZones,
    /// A time zone, and no schedule.
    #[error("a schedule is expected after the time zone, and a space between them")]
    NothingAfterZone,
}

fn hint(like: Option<&str>) -> String {
    match like {
        Some(like) => format!("; it is written {like}"),
        None => "; names are those of the IANA database, such as Asia/Tokyo or UTC".to_owned(),
    }
}

/// What is wrong with a part of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is no number, and no name where there are names.
    NoNumber(Field),
    /// It is below or above what the field takes.
    OutOfRange(Field),
    /// A range that ends before it begins.
    Backwards,
    /// Steps of nothing.
    StepOfZero,
    /// A step that is no number.
    NoStep,
    /// More than one hyphen.
    Hyphens,
    /// More than one slash.
    Slashes,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoNumber(field) => match field.names() {
                [first, .., last] => {
                    write!(f, "is neither a number nor a name from {first} to {last}")
                }
                _ => f.write_str("is not a number"),
            },
            Problem::OutOfRange(field) => {
                let (least, most) = field.bounds();
                write!(f, "is not from {least} to {most}")?;
                if *field == Field::DayOfWeek { f.write_str(" (SUN to SAT)") } else { Ok(()) }
            }
            Problem::Backwards => f.write_str("ends before it begins"),
            Problem::StepOfZero => f.write_str("has a step of zero"),
            Problem::NoStep => f.write_str("has a step that is not a number"),
            Problem::Hyphens => f.write_str("has more than one hyphen"),
            Problem::Slashes => f.write_str("has more than one slash"),
        }
    }
}

/// Somebody's text, shortened and without control characters.
pub(super) fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(EXCERPT).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{more}", shown.replace(char::is_control, "\u{fffd}"))
}
