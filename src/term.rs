//! What became of a condition for one event, part by part: plain data for whoever tells people or programs why.
//!
//! Filters, CESQL and CEL explain themselves in the same words. All parts are evaluated, those too that a filter passes over
//! because its verdict stands already: whoever mends a filter wants to see the next mistake, too. What is told of a part is
//! short, however long the expression or the event.

use serde::{Deserialize, Serialize};

/// Most characters of an expression that are repeated.
const MAX_TEXT: usize = 400;
/// Most characters of a value that are repeated.
const MAX_VALUE: usize = 120;
/// Most values that are told of one part.
pub const MAX_VALUES: usize = 8;
/// How deep the logic inside an expression is taken apart; what is deeper is told as a whole.
pub const MAX_LEVELS: usize = 6;

/// A part of a condition, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Term {
    /// The language that it is written in.
    pub dialect: Dialect,
    /// What it says.
    pub text: String,
    /// Whether it holds; none if nobody can tell, which lets nothing pass.
    pub holds: Option<bool>,
    /// What it looked at in the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Reading>,
    /// What went wrong in it, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<Term>,
}

/// The language of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Every one of its parts holds.
    All,
    /// At least one of them does.
    Any,
    /// Its part does not hold.
    Not,
    /// An attribute is this.
    Exact,
    /// It starts with this.
    Prefix,
    /// It ends with this.
    Suffix,
    /// It is there and not empty: the legacy form with an empty value.
    Present,
    /// A condition in CESQL.
    Cesql,
    /// An expression in CEL.
    Cel,
}

impl Dialect {
    /// Its word in a manifest, or one that says as much.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::All => "all",
            Dialect::Any => "any",
            Dialect::Not => "not",
            Dialect::Exact => "exact",
            Dialect::Prefix => "prefix",
            Dialect::Suffix => "suffix",
            Dialect::Present => "present",
            Dialect::Cesql => "cesql",
            Dialect::Cel => "cel",
        }
    }
}

/// Something of the event that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What it is called in the expression: `event.data.total`.
    pub name: String,
    /// Its value; none if the event has no such thing.
    pub value: Option<String>,
}

impl Term {
    /// A part about which nothing else is known yet.
    pub fn new(dialect: Dialect, text: &str, holds: Option<bool>) -> Self {
        let text = shortened(text.trim(), MAX_TEXT);
        Self { dialect, text, holds, values: Vec::new(), error: None, terms: Vec::new() }
    }

    /// The same over these parts.
    #[must_use]
    pub fn over(self, terms: Vec<Term>) -> Self {
        Self { terms, ..self }
    }
}

impl Reading {
    /// The value under that name.
    pub fn new(name: &str, value: Option<&str>) -> Self {
        Self { name: shortened(name, MAX_VALUE), value: value.map(|value| shortened(value, MAX_VALUE)) }
    }
}

/// Whether one that is `decisive` decides, whatever is known of the others: three values, as in SQL.
pub fn decided(verdicts: impl IntoIterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut verdict = Some(!decisive);
    for holds in verdicts {
        match holds {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => verdict = None,
        }
    }
    verdict
}

/// At most so many characters of a text; `…` stands for the rest.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_short() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("äbc", 2), "äb…");
        let long = "x".repeat(100_000);
        assert_eq!(Term::new(Dialect::Cel, &long, None).text.chars().count(), MAX_TEXT + 1);
        let reading = Reading::new(&long, Some(&long));
        assert_eq!(reading.value.unwrap().chars().count(), MAX_VALUE + 1);
    }

    #[test]
    fn one_that_decides_decides_whatever_is_known_of_the_others() {
        let (yes, no, unknown) = (Some(true), Some(false), None);
        for (verdicts, all, any) in [
            (&[][..], yes, no),
            (&[yes, yes], yes, yes),
            (&[unknown, no], no, unknown),
            (&[no, unknown, yes], no, yes),
            (&[unknown, yes], unknown, yes),
        ] {
            assert_eq!(decided(verdicts.iter().copied(), false), all, "{verdicts:?}");
            assert_eq!(decided(verdicts.iter().copied(), true), any, "{verdicts:?}");
        }
    }

    #[test]
    fn programs_read_what_was_written() {
        let term = Term {
            values: vec![Reading::new("subject", None)],
            error: Some("words".to_owned()),
            ..Term::new(Dialect::Present, "subject", Some(false))
        };
        let json = serde_json::to_value(&term).unwrap();
        assert_eq!(json["dialect"], "present");
        assert_eq!(serde_json::from_value::<Term>(json).unwrap(), term);
    }
}
