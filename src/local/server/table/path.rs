//! The part of `JSONPath` that printer columns use: fields, quoted fields, indexes, `[*]`, and filters by equality
//! (`.status.conditions[?(@.type=="Ready")].status`).

use serde_json::Value;

/// A parsed path. One that cannot be parsed finds nothing, as a column with nothing to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items in which the value below `path` is the text.
    Where {
        path: Vec<String>,
        equals: bool,
        text: String,
    },
    Nothing,
}

impl JsonPath {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
        Self(steps(text).unwrap_or_else(|| vec![Step::Nothing]))
    }

    /// The first value that the path finds.
    pub(super) fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        walk(value, &self.0)
    }
}

fn walk<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Field(name) => walk(value.get(name)?, rest),
        Step::Index(index) => {
            let items = value.as_array()?;
            let index = if *index < 0 { i64::try_from(items.len()).ok()? + index } else { *index };
            walk(items.get(usize::try_from(index).ok()?)?, rest)
        }
        Step::All => match value {
            Value::Array(items) => items.iter().find_map(|item| walk(item, rest)),
            Value::Object(fields) => fields.values().find_map(|item| walk(item, rest)),
            _ => None,
        },
        Step::Where { path, equals, text } => value.as_array()?.iter().find_map(|item| {
            let found = path.iter().try_fold(item, |at, name| at.get(name))?;
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            let same = found == *text;
            if same == *equals { walk(item, rest) } else { None }
        }),
        Step::Nothing => None,
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after)?;
            steps.push(step);
            rest = after;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            if after.starts_with('[') {
                rest = after;
                continue;
            }
            let (name, after) = name(after);
            match name.as_str() {
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        }
    }
    Some(steps)
}

/// A field name up to the next `.` or `[`; a backslash takes the next character as it is.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => name.extend(characters.next().map(|(_, c)| c)),
            '.' | '[' => return (name, text.get(at..).unwrap_or_default()),
            c => name.push(c),
        }
    }
    (name, "")
}

/// What follows `[`: the step, and the text behind `]`.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let (filter, rest) = filter.split_once(")]")?;
        return Some((condition(filter)?, rest));
    }
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return Some((Step::Field(name.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (inside, rest) = text.split_once(']')?;
    match inside.trim() {
        "*" => Some((Step::All, rest)),
        index => Some((Step::Index(index.parse().ok()?), rest)),
    }
}

/// `@.type=="Ready"`.
fn condition(text: &str) -> Option<Step> {
    let (left, right, equals) = match text.split_once("==") {
        Some((left, right)) => (left, right, true),
        None => text.split_once("!=").map(|(left, right)| (left, right, false))?,
    };
    let path = left.trim().strip_prefix("@.")?.split('.').map(str::to_owned).collect();
    let text = right.trim().trim_matches(['"', '\'']).to_owned();
    Some(Step::Where { path, equals, text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_printer_columns_find_their_values() {
        let object = json!({
            "spec": {"a.b": 1, "list": [{"n": 1}, {"n": 2}], "job": {"name": "resize"}},
            "status": {"conditions": [{"type": "Started", "status": "True"}, {"type": "Ready", "status": "False"}]},
            "metadata": {"annotations": {"x/y": "z"}},
        });
        for (path, expected) in [
            (".spec.job.name", json!("resize")),
            ("{.spec.job.name}", json!("resize")),
            ("$.spec.job.name", json!("resize")),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!("False")),
            (r".status.conditions[?(@.type=='Started')].status", json!("True")),
            (r#".status.conditions[?(@.type!="Started")].type"#, json!("Ready")),
            (".spec.list[1].n", json!(2)),
            (".spec.list[-1].n", json!(2)),
            (".spec.list[*].n", json!(1)),
            (".spec['a.b']", json!(1)),
            (r".spec.a\.b", json!(1)),
            (".metadata.annotations['x/y']", json!("z")),
        ] {
            assert_eq!(JsonPath::parse(path).first(&object), Some(&expected), "{path}");
        }
        for path in [
            ".spec.none",
            ".spec.list[7]",
            ".spec.list[x]",
            "..spec",
            ".status.conditions[?(@.type==\"X\")].status",
        ] {
            assert_eq!(JsonPath::parse(path).first(&object), None, "{path}");
        }
    }
}
