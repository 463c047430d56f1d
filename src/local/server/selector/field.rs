//! Field selectors: `metadata.name=a,status.phase!=Running`, over the few fields that each kind offers.

use serde_json::Value;

use crate::local::server::kinds::Kind;

/// A field that a selector may name, and where its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local::server) struct Selectable {
    field: String,
    /// JSON pointers; the first that holds something counts.
    pointers: Vec<String>,
    /// The value of a field that is not there.
    absent: &'static str,
}

impl Selectable {
    /// A field that is selected by its own path.
    pub(in crate::local::server) fn at(field: &str) -> Self {
        Self { field: field.to_owned(), pointers: vec![pointer(field)], absent: "" }
    }

    /// …that is read elsewhere.
    pub(in crate::local::server) fn reading(mut self, paths: &[&str]) -> Self {
        self.pointers = paths.iter().map(|path| pointer(path)).collect();
        self
    }

    pub(in crate::local::server) fn absent(mut self, value: &'static str) -> Self {
        self.absent = value;
        self
    }

    fn holds(&self, object: &Value, expected: &str) -> bool {
        let found = self.pointers.iter().filter_map(|pointer| object.pointer(pointer));
        for value in found {
            match value {
                Value::Null => {}
                Value::String(text) if text.is_empty() => {}
                Value::String(text) => return text == expected,
                other => {
                    let shown = other.to_string();
                    return shown == expected;
                }
            }
        }
        self.absent == expected
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// Terms that an object must all meet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::local::server) struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: Selectable,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// The error is the API server's sentence for this kind.
    pub(in crate::local::server) fn parse(text: &str, kind: &Kind) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split(text).filter(|part| !part.is_empty()) {
            let (name, equal, value) = operator(part)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value).map_err(|problem| format!("{problem} in '{part}'"))?;
            terms.push(Term { field: resolve(name, kind)?, value, equal });
        }
        Ok(Self { terms })
    }

    /// The name that every match must have, if the selector fixes one: a watch of one object needs no scan.
    pub(in crate::local::server) fn name(&self) -> Option<&str> {
        let fixed = |term: &&Term| term.equal && term.field.field == "metadata.name";
        self.terms.iter().find(fixed).map(|term| term.value.as_str())
    }

    pub(in crate::local::server) fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| term.field.holds(object, &term.value) == term.equal)
    }
}

fn resolve(name: &str, kind: &Kind) -> Result<Selectable, String> {
    if name == "metadata.name" || name == "metadata.namespace" {
        return Ok(Selectable::at(name));
    }
    if let Some(known) = kind.selectable.iter().find(|known| known.field == name) {
        return Ok(known.clone());
    }
    let label = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod" | "Secret" | "Node" | "Namespace" | "Event") => "field label not supported: ",
        ("batch", "Job") => return Err(format!("field label {name:?} not supported for Job")),
        _ if kind.custom => "field label not supported: ",
        _ => {
            return Err(format!(
                "{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ));
        }
    };
    Err(format!("{label}{name}"))
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c: char| {
        let separator = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separator
    })
}

/// The first operator that is not escaped: (name, whether equal, value).
fn operator(term: &str) -> Option<(&str, bool, &str)> {
    let mut escaped = false;
    for (at, c) in term.char_indices() {
        if !escaped {
            let (name, rest) = term.split_at_checked(at)?;
            for (symbol, equal) in [("!=", false), ("==", true), ("=", true)] {
                if let Some(value) = rest.strip_prefix(symbol) {
                    return Some((name, equal, value));
                }
            }
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: unescaped character in value: \\".to_owned()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            c => text.push(c),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::server::kinds::Kinds;
    use serde_json::json;

    fn parse(text: &str, group: &str, plural: &str) -> Result<FieldSelector, String> {
        let kinds = Kinds::new(&[]).unwrap();
        FieldSelector::parse(text, kinds.find(group, "v1", plural).unwrap())
    }

    fn matches(text: &str, object: &Value) -> bool {
        parse(text, "", "pods").unwrap().matches(object)
    }

    #[test]
    fn pods_are_selected_by_what_kubectl_uses() {
        let pod = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"nodeName": "k"}, "status": {"phase": "Running"}});
        for (selector, expected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a", true),
            ("metadata.name!=a", false),
            ("metadata.namespace=n,spec.nodeName=k", true),
            ("spec.nodeName=", false),
            ("status.phase!=Succeeded,status.phase!=Failed", true),
            ("status.podIP=", true),
            ("status.podIP!=", false),
            ("metadata.name=a\\,b", false),
        ] {
            assert_eq!(matches(selector, &pod), expected, "{selector}");
        }
    }

    #[test]
    fn absent_values_read_as_gos_zero_values() {
        let jobs = parse("status.successful=0", "batch", "jobs").unwrap();
        assert!(jobs.matches(&json!({"status": {}})));
        assert!(!jobs.matches(&json!({"status": {"succeeded": 2}})));
        assert!(
            parse("status.successful=2", "batch", "jobs")
                .unwrap()
                .matches(&json!({"status": {"succeeded": 2}}))
        );
        assert!(parse("spec.unschedulable=false", "", "nodes").unwrap().matches(&json!({"spec": {}})));
    }

    #[test]
    fn an_events_source_falls_back_to_the_reporting_component() {
        let source = parse("source=kakehi", "", "events").unwrap();
        assert!(source.matches(&json!({"source": {}, "reportingComponent": "kakehi"})));
        assert!(source.matches(&json!({"source": {"component": "kakehi"}, "reportingComponent": "x"})));
    }

    #[test]
    fn an_escaped_comma_belongs_to_the_value() {
        assert!(matches("metadata.name=a\\,b\\=c", &json!({"metadata": {"name": "a,b=c"}})));
    }

    #[test]
    fn unknown_fields_and_broken_terms_are_refused_in_the_api_servers_words() {
        assert_eq!(parse("spec.x=1", "", "pods").unwrap_err(), "field label not supported: spec.x");
        assert_eq!(
            parse("spec.x=1", "batch", "jobs").unwrap_err(),
            "field label \"spec.x\" not supported for Job"
        );
        assert!(parse("metadata.name", "", "pods").is_err());
        assert!(parse("metadata.name=a=b", "", "pods").is_err());
    }

    #[test]
    fn the_fixed_name_is_known() {
        assert_eq!(parse("metadata.name=a", "", "pods").unwrap().name(), Some("a"));
        assert_eq!(parse("metadata.name!=a", "", "pods").unwrap().name(), None);
    }
}
