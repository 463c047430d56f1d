//! In which form an answer is wanted: whole objects, metadata only, or a table; JSON or YAML.

use http::HeaderMap;
use http::header;

use crate::local::server::refusal::Refusal;

/// The form of the objects in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    /// `PartialObjectMetadata` or its list.
    Metadata,
    /// `meta.k8s.io/v1` Table.
    Table,
}

/// What the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accept {
    pub form: Form,
    pub yaml: bool,
}

impl Accept {
    /// The first entry of `Accept` that we can serve. Protobuf is passed over: its senders list JSON after it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut any = false;
        for value in headers.get_all(header::ACCEPT) {
            for entry in
                value.to_str().unwrap_or_default().split(',').filter(|entry| !entry.trim().is_empty())
            {
                any = true;
                if let Some(accept) = Self::entry(entry) {
                    return Ok(accept);
                }
            }
        }
        if any { Err(Refusal::NotAcceptable) } else { Ok(Self { form: Form::Whole, yaml: false }) }
    }

    fn entry(entry: &str) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        let yaml = match parts.next()? {
            "application/json" | "application/*" | "*/*" => false,
            "application/yaml" => true,
            _ => return None,
        };
        let (mut target, mut group, mut version) = (None, None, None);
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("as", value)) => target = Some(value),
                Some(("g", value)) => group = Some(value),
                Some(("v", value)) => version = Some(value),
                _ => {}
            }
        }
        let form = match (target, group, version) {
            (None, ..) => Form::Whole,
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Form::Table,
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1"),
            ) => Form::Metadata,
            _ => return None,
        };
        Some(Self { form, yaml })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &'static str) -> Option<Accept> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, text.parse().unwrap());
        Accept::of(&headers).ok()
    }

    #[test]
    fn the_first_form_that_can_be_served_is_chosen() {
        let whole = Accept { form: Form::Whole, yaml: false };
        for (text, expected) in [
            ("application/json", whole),
            ("*/*", whole),
            ("application/vnd.kubernetes.protobuf, */*", whole),
            ("application/vnd.kubernetes.protobuf,application/json", whole),
            ("application/yaml", Accept { form: Form::Whole, yaml: true }),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Accept { form: Form::Table, yaml: false },
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Accept { form: Form::Metadata, yaml: false },
            ),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", whole),
        ] {
            assert_eq!(accept(text), Some(expected), "{text}");
        }
        assert_eq!(Accept::of(&HeaderMap::new()).ok(), Some(whole), "no header means anything");
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        assert_eq!(accept("text/html"), None);
        assert_eq!(accept("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(accept("application/json;as=Unknown;v=v1;g=meta.k8s.io"), None);
    }
}
