//! `metadata.uid`, small: a cluster has hundreds of thousands of them in memory at once.

use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A UID. API servers make UUIDs, which take 16 bytes; any other text is kept as it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Uid {
    Uuid([u8; 16]),
    Other(Arc<str>),
}

impl Uid {
    pub(super) fn of(text: &str) -> Self {
        match Uuid::try_parse(text) {
            // Only the usual form is taken apart: the text must come back as it was.
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => {
                Self::Uuid(uuid.into_bytes())
            }
            _ => Self::Other(text.into()),
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(bytes) => Uuid::from_bytes(*bytes).hyphenated().fmt(out),
            Self::Other(text) => out.write_str(text),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uid_comes_back_as_it_was() {
        for text in [
            "5f0c4b9e-8f5e-4c6e-9a53-0e2b6f1d2c3a",
            "5F0C4B9E-8F5E-4C6E-9A53-0E2B6F1D2C3A",
            "5f0c4b9e8f5e4c6e9a530e2b6f1d2c3a",
            "u1",
            "",
        ] {
            assert_eq!(Uid::of(text).to_string(), text);
        }
        assert!(matches!(Uid::of("5f0c4b9e-8f5e-4c6e-9a53-0e2b6f1d2c3a"), Uid::Uuid(_)));
    }
}
