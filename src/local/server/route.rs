//! From a path to what it names.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What a resource path names. Whether any of it exists is not asked here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub namespace: Option<String>,
    pub plural: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Target {
    /// Reads `/api/{version}/…` and `/apis/{group}/{version}/…`. Nothing for any other path, including the discovery
    /// documents themselves.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = Vec::new();
        for part in path.strip_prefix('/')?.split('/') {
            parts.push(percent_decode_str(part).decode_utf8().ok()?);
        }
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop();
        }
        let (group, version, rest) = match parts.as_slice() {
            [root, version, rest @ ..] if root == "api" => (String::new(), version, rest),
            [root, group, version, rest @ ..] if root == "apis" => (group.to_string(), version, rest),
            _ => return None,
        };
        let text = |part: &Cow<'_, str>| Some(part.to_string());
        let (namespace, plural, name, subresource) = match rest {
            // A namespace is an object too: two words after it are its subresources, anything else is inside of it.
            [spaces] if spaces == "namespaces" => (None, spaces, None, None),
            [spaces, name] if spaces == "namespaces" => (None, spaces, text(name), None),
            [spaces, name, sub] if spaces == "namespaces" && (sub == "status" || sub == "finalize") => {
                (None, spaces, text(name), text(sub))
            }
            [spaces, namespace, plural] if spaces == "namespaces" => (text(namespace), plural, None, None),
            [spaces, namespace, plural, name] if spaces == "namespaces" => {
                (text(namespace), plural, text(name), None)
            }
            [spaces, namespace, plural, name, sub] if spaces == "namespaces" => {
                (text(namespace), plural, text(name), text(sub))
            }
            [plural] => (None, plural, None, None),
            [plural, name] => (None, plural, text(name), None),
            [plural, name, sub] => (None, plural, text(name), text(sub)),
            _ => return None,
        };
        let empty = |part: &Option<String>| part.as_deref() == Some("");
        if empty(&namespace) || empty(&name) || plural.is_empty() {
            return None;
        }
        Some(Self {
            group,
            version: version.to_string(),
            namespace,
            plural: plural.to_string(),
            name,
            subresource,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Option<String> {
        let Target { group, version, namespace, plural, name, subresource } = Target::parse(path)?;
        let or = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
        Some(format!("{group} {version} {} {plural} {} {}", or(namespace), or(name), or(subresource)))
    }

    #[test]
    fn paths_are_read_like_the_api_server_reads_them() {
        for (path, expected) in [
            ("/api/v1/pods", " v1 - pods - -"),
            ("/api/v1/namespaces", " v1 - namespaces - -"),
            ("/api/v1/namespaces/", " v1 - namespaces - -"),
            ("/api/v1/namespaces/a", " v1 - namespaces a -"),
            ("/api/v1/namespaces/a/status", " v1 - namespaces a status"),
            ("/api/v1/namespaces/a/finalize", " v1 - namespaces a finalize"),
            ("/api/v1/namespaces/a/pods", " v1 a pods - -"),
            ("/api/v1/namespaces/a/pods/b", " v1 a pods b -"),
            ("/api/v1/namespaces/a/pods/b/log", " v1 a pods b log"),
            ("/api/v1/nodes/n/status", " v1 - nodes n status"),
            ("/apis/batch/v1/jobs", "batch v1 - jobs - -"),
            ("/apis/run.kakehi.dev/v1alpha1/namespaces/a/jobs/b", "run.kakehi.dev v1alpha1 a jobs b -"),
            ("/apis/batch/v1/namespaces/a/jobs/b%3Ac", "batch v1 a jobs b:c -"),
        ] {
            assert_eq!(parsed(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn other_paths_name_no_resource() {
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/batch",
            "/apis/batch/v1",
            "/version",
            "/openapi/v3/api/v1",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
        assert_eq!(parsed("/api/v1/namespaces//pods"), None, "an empty namespace");
        assert_eq!(parsed("/api/v1/namespaces/a/pods/b/c/d"), None, "too deep");
        assert_eq!(parsed("/api/v1/namespaces/a/pods/%ff"), None, "not UTF-8");
    }
}
