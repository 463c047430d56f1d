//! Reads manifests: YAML with any number of documents, or JSON, from files, directories or standard input.
//!
//! Every object remembers where it stood, so that a refusal by the server can name the file, the document and the
//! line. Values are read as kubectl reads them (`defaultMode: 0644` is octal).

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use super::Error;

/// Largest file that is read. An object in etcd has at most 1.5 MiB; this holds a bundle of them.
const MAX_FILE: u64 = 32 * 1024 * 1024;
/// Deepest directory that is searched; deeper is a loop of links.
const MAX_DEPTH: usize = 32;
/// Ends of the file names that a directory is searched for.
const EXTENSIONS: &[&str] = &["yaml", "yml", "json"];

/// An object to apply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// Where it stood: `jobs.yaml, document 2 (line 14)`.
    pub(crate) origin: String,
    /// The object; it has an `apiVersion`, a `kind` and a name.
    pub(crate) object: Value,
}

impl Manifest {
    /// `Job/resize`, for messages.
    pub(crate) fn label(&self) -> String {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{}/{}", word(&self.object["kind"]), word(&self.object["metadata"]["name"]))
    }
}

/// Reads everything that `-f` names, in the order given, directories by file name.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>, Error> {
    let mut manifests = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = bounded(io::stdin().lock()).context("read standard input").map_err(Error::Usage)?;
            parse("standard input", &text, &mut manifests).map_err(Error::Usage)?;
            continue;
        }
        let files = files(path).map_err(Error::Usage)?;
        if files.is_empty() {
            return Err(Error::usage(format!("{}: no .yaml, .yml or .json file in it", path.display())));
        }
        for file in files {
            let text = open(&file).map_err(Error::Usage)?;
            parse(&file.display().to_string(), &text, &mut manifests).map_err(Error::Usage)?;
        }
    }
    if manifests.is_empty() && !paths.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::usage(format!("{}: no object in it", names.join(", "))));
    }
    Ok(manifests)
}

/// A whole text file.
pub(crate) fn open(path: &Path) -> anyhow::Result<String> {
    let file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    bounded(file).with_context(|| format!("read {}", path.display()))
}

fn bounded(reader: impl io::Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = reader.take(MAX_FILE + 1).read_to_string(&mut text)?;
    anyhow::ensure!(u64::try_from(read)? <= MAX_FILE, "more than {} MiB", MAX_FILE / 1024 / 1024);
    Ok(text)
}

/// The file itself, or every manifest below a directory, sorted.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let what = fs::metadata(path).with_context(|| format!("open {}", path.display()))?;
    if !what.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, MAX_DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    anyhow::ensure!(depth > 0, "{}: more than {MAX_DEPTH} directories deep", directory.display());
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry.with_context(|| format!("read {}", directory.display()))?.path();
        if path.is_dir() {
            walk(&path, depth - 1, found)?;
        } else if path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known)) {
            found.push(path);
        }
    }
    Ok(())
}

/// Parses one text into objects.
pub(crate) fn parse(name: &str, text: &str, into: &mut Vec<Manifest>) -> anyhow::Result<()> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // As kubectl tells them apart: JSON begins with a brace.
    if text.trim_start().starts_with('{') {
        for (index, value) in serde_json::Deserializer::from_str(text).into_iter::<Value>().enumerate() {
            let origin = if index == 0 { name.to_owned() } else { format!("{name}, value {}", index + 1) };
            let value = value.map_err(|error| anyhow!("{origin}: {error}"))?;
            unpack(&origin, value, into)?;
        }
        return Ok(());
    }
    for (index, document) in documents(text).into_iter().enumerate() {
        let origin = format!("{name}, document {} (line {})", index + 1, document.line);
        if let Some(value) = decode(name, index, &document)? {
            unpack(&origin, value, into)?;
        }
    }
    Ok(())
}

/// One YAML document of a text.
struct Document<'a> {
    text: &'a str,
    /// The line of the text that it begins on, from 1; its separator is not counted.
    line: usize,
}

/// Splits at the `---` lines. Only comments, blank lines and directives between two of them are no document.
fn documents(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_separator(line) {
            found.push((start, at, start_line));
            // What stands on the separator's own line belongs to the document that it opens.
            let bare = line.trim_end().len() == 3;
            (start, start_line) = if bare { (at + line.len(), index + 2) } else { (at, index + 1) };
        }
        at += line.len();
    }
    found.push((start, at, start_line));
    let slices = found.into_iter().filter_map(|(from, to, line)| {
        let text = text.get(from..to)?;
        let blank = text.lines().take_while(|line| !holds_content(line)).count();
        text.lines().any(holds_content).then_some(Document { text, line: line + blank })
    });
    slices.collect()
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

fn holds_content(line: &str) -> bool {
    let line = line.trim();
    !(line.is_empty() || line.starts_with('#') || line.starts_with('%') || line == "..." || line == "---")
}

fn decode(name: &str, index: usize, document: &Document<'_>) -> anyhow::Result<Option<Value>> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let value: Value = serde_saphyr::from_str_with_options(document.text, options).map_err(|error| {
        let blank = document.text.lines().take_while(|line| !holds_content(line)).count();
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        // Both count from 1, and the document's own first lines may be blank.
        let line = line.map_or(document.line, |line| (document.line + line).saturating_sub(blank + 1));
        anyhow!("{name}, document {}, line {line}: {}", index + 1, without_location(&error))
    })?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// The parser's words without its own line number, which counts from the document's start.
fn without_location(error: &serde_saphyr::Error) -> String {
    let words = error.without_snippet().to_string();
    match words.find(" at line ") {
        Some(at) => words.chars().take(words.get(..at).map_or(0, |head| head.chars().count())).collect(),
        None => words,
    }
}

/// Takes an object, or the items of a `List`.
fn unpack(origin: &str, value: Value, into: &mut Vec<Manifest>) -> anyhow::Result<()> {
    let kind = required(origin, &value, "kind")?;
    required(origin, &value, "apiVersion")?;
    if kind.ends_with("List")
        && let Some(items) = value.get("items").and_then(Value::as_array)
    {
        for (index, item) in items.iter().enumerate() {
            unpack(&format!("{origin}, item {}", index + 1), item.clone(), into)?;
        }
        return Ok(());
    }
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err(anyhow!("{origin}: {kind} has no metadata.name"));
    }
    into.push(Manifest { origin: origin.to_owned(), object: value });
    Ok(())
}

fn required(origin: &str, value: &Value, field: &str) -> anyhow::Result<String> {
    let Value::Object(members) = value else {
        return Err(anyhow!("{origin}: not an object of Kubernetes"));
    };
    match members.get(field).and_then(Value::as_str) {
        Some(word) if !word.is_empty() => Ok(word.to_owned()),
        _ => Err(anyhow!("{origin}: no {field}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(text: &str) -> Vec<Manifest> {
        let mut found = Vec::new();
        parse("f.yaml", text, &mut found).unwrap();
        found
    }

    fn refusal(text: &str) -> String {
        parse("f.yaml", text, &mut Vec::new()).unwrap_err().to_string()
    }

    const TWO: &str = "# about\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n# empty\n---\n\nkind: B\napiVersion: v1\nmetadata: {name: b}\n";

    #[test]
    fn documents_are_counted_without_the_empty_ones() {
        let found = objects(TWO);
        let origins: Vec<&str> = found.iter().map(|manifest| manifest.origin.as_str()).collect();
        assert_eq!(origins, ["f.yaml, document 1 (line 3)", "f.yaml, document 2 (line 10)"]);
        assert_eq!(found[1].label(), "B/b");
    }

    #[test]
    fn separators_inside_a_block_of_text_do_not_split() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    ---\n    y\n";
        let found = objects(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].object["data"]["x"], "---\ny\n");
    }

    #[test]
    fn content_on_the_separator_line_counts() {
        let found = objects(
            "--- {apiVersion: v1, kind: A, metadata: {name: a}}\n--- # next\napiVersion: v1\nkind: B\nmetadata: {name: b}\n...\n",
        );
        assert_eq!(found.iter().map(Manifest::label).collect::<Vec<_>>(), ["A/a", "B/b"]);
    }

    #[test]
    fn a_list_is_unpacked() {
        let found = objects(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n- {apiVersion: v1, kind: B, metadata: {name: b}}\n",
        );
        assert_eq!(found[1].origin, "f.yaml, document 1 (line 1), item 2");
    }

    #[test]
    fn json_may_hold_several_values_and_tabs() {
        let one = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"A\", \"metadata\": {\"name\": \"a\"}}";
        let found = objects(&format!("{one}\n{one}"));
        assert_eq!(found[1].origin, "f.yaml, value 2");
        assert!(refusal("{\"kind\": ").starts_with("f.yaml: EOF"));
    }

    #[test]
    fn scalars_read_as_kubectl_reads_them() {
        let text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nvalues: {octal: 0644, new: 0o644, hex: 0x1F, float: 1.5, date: 2026-01-01, version: \"1.0\", nothing: ~, truth: true, big: 9007199254740993}\n";
        let values = &objects(text)[0].object["values"];
        assert_eq!(
            *values,
            json!({"octal": 420, "new": 420, "hex": 31, "float": 1.5, "date": "2026-01-01", "version": "1.0", "nothing": null, "truth": true, "big": 9_007_199_254_740_993_i64})
        );
    }

    #[test]
    fn mistakes_name_file_document_and_line() {
        let table = [
            ("kind: A\n", "f.yaml, document 1 (line 1): no apiVersion"),
            ("---\napiVersion: v1\n", "f.yaml, document 1 (line 2): no kind"),
            ("apiVersion: v1\nkind: A\n", "f.yaml, document 1 (line 1): A has no metadata.name"),
            ("- a\n", "f.yaml, document 1 (line 1): not an object of Kubernetes"),
            ("just words\n", "f.yaml, document 1 (line 1): not an object of Kubernetes"),
        ];
        for (text, words) in table {
            assert_eq!(refusal(text), words);
        }
        let broken = refusal(&format!("{TWO}---\napiVersion: v1\nkind: [A\nmetadata: {{name: a}}\n"));
        assert!(broken.starts_with("f.yaml, document 3, line 1"), "{broken}");
        let twice = refusal("---\n# c\n\napiVersion: v1\nkind: A\nkind: B\n");
        assert!(twice.starts_with("f.yaml, document 1, line 6: "), "{twice}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\na0: &a0 [x]\n".to_owned();
        for level in 1..30 {
            let below = vec![format!("*a{}", level - 1); 9].join(", ");
            text.extend([format!("a{level}: &a{level} [{below}]\n")]);
        }
        assert!(!refusal(&text).is_empty());
    }

    #[test]
    fn directories_are_searched_by_name_and_other_files_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let object = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n");
        fs::create_dir(dir.path().join("sub")).unwrap();
        for (name, kind) in [("b.yaml", "B"), ("a.yml", "A"), ("sub/c.json", "C"), ("readme.md", "No")] {
            fs::write(dir.path().join(name), object(kind)).unwrap();
        }
        let found = read(&[dir.path().to_owned()]).unwrap();
        assert_eq!(found.iter().map(Manifest::label).collect::<Vec<_>>(), ["A/x", "B/x", "C/x"]);
    }

    #[test]
    fn nothing_to_read_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("e.yaml");
        fs::write(&empty, "# nothing\n").unwrap();
        for path in [dir.path().join("missing"), empty] {
            assert!(matches!(read(&[path]), Err(Error::Usage(_))));
        }
        let bare = tempfile::tempdir().unwrap();
        assert!(matches!(read(&[bare.path().to_owned()]), Err(Error::Usage(_))));
    }
}
