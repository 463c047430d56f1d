//! Names of context attributes (`CloudEvents` §naming conventions).

use std::fmt;

use super::error::{Error, excerpt};

/// Longest name of an attribute. The specification recommends 20; 64 leaves room and keeps names fit for a header and
/// an environment variable.
const MAX_NAME: usize = 64;

/// Which attribute is meant. Resolved once, so that looking one up compares no strings for the standard ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `specversion`.
    SpecVersion,
    /// `id`.
    Id,
    /// `source`.
    Source,
    /// `type`.
    Type,
    /// `subject`.
    Subject,
    /// `time`.
    Time,
    /// `dataschema`.
    DataSchema,
    /// `datacontenttype`.
    DataContentType,
    /// Any other: an extension.
    Extension(Box<str>),
}

impl Attribute {
    /// The attribute of that name.
    ///
    /// # Errors
    /// If no attribute can have it: names are lower-case ASCII letters and digits, at most 64, and not `data`.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "specversion" => Attribute::SpecVersion,
            "id" => Attribute::Id,
            "source" => Attribute::Source,
            "type" => Attribute::Type,
            "subject" => Attribute::Subject,
            "time" => Attribute::Time,
            "dataschema" => Attribute::DataSchema,
            "datacontenttype" => Attribute::DataContentType,
            extension => match name_problem(extension) {
                None => Attribute::Extension(extension.into()),
                Some(problem) => return Err(Error::Name { name: excerpt(extension), problem }),
            },
        })
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Attribute::SpecVersion => "specversion",
            Attribute::Id => "id",
            Attribute::Source => "source",
            Attribute::Type => "type",
            Attribute::Subject => "subject",
            Attribute::Time => "time",
            Attribute::DataSchema => "dataschema",
            Attribute::DataContentType => "datacontenttype",
            Attribute::Extension(name) => name,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name == "data" {
        return Some("`data` is the event's data");
    }
    if name.len() > MAX_NAME {
        return Some("it is longer than 64 characters");
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (!name.bytes().all(allowed)).then_some("names consist of lower-case ASCII letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_name_reads_back() {
        for name in
            ["specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype"]
        {
            let attribute = Attribute::parse(name).unwrap();
            assert!(!matches!(attribute, Attribute::Extension(_)), "{name}");
            assert_eq!(attribute.as_str(), name);
        }
        assert_eq!(Attribute::parse("1st").unwrap(), Attribute::Extension("1st".into()));
    }

    #[test]
    fn impossible_names_are_refused_with_the_reason() {
        let long = "a".repeat(65);
        for (name, reason) in [
            ("", "empty"),
            ("data", "the event's data"),
            ("data_base64", "lower-case"),
            ("Id", "lower-case"),
            ("my-ext", "lower-case"),
            ("é", "lower-case"),
            (long.as_str(), "64"),
        ] {
            let error = Attribute::parse(name).unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
        assert!(Attribute::parse(&"a".repeat(64)).is_ok());
    }
}
