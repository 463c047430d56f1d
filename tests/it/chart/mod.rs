//! The chart: what it renders is looked at here without helm, from files that helm wrote.

mod accounts;
mod api;
mod cluster;
mod helm;
mod image;
mod narrow;
mod render;
mod rights;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A committed rendering: what helm makes of the values that it is named after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendering {
    pub(crate) release: &'static str,
    pub(crate) namespace: &'static str,
    /// The only namespace that is looked after; none for all of them.
    pub(crate) watched: Option<&'static str>,
    file: &'static str,
    values: Option<&'static str>,
}

/// With no values, as most people install it.
pub(crate) const DEFAULT: Rendering =
    Rendering { release: "kakehi", namespace: "kakehi", watched: None, file: "default.yaml", values: None };
/// For one namespace alone.
pub(crate) const WATCHED: Rendering =
    Rendering { watched: Some("shop"), file: "watched.yaml", values: Some("watched.values.yaml"), ..DEFAULT };
/// With every value but that of the watched namespace set to something else.
pub(crate) const EVERYTHING: Rendering = Rendering {
    release: "pipe",
    namespace: "water",
    watched: None,
    file: "everything.yaml",
    values: Some("everything.values.yaml"),
};
pub(crate) const RENDERINGS: [Rendering; 3] = [DEFAULT, EVERYTHING, WATCHED];

impl Rendering {
    fn path(name: &str) -> PathBuf {
        root().join("tests/data/chart").join(name)
    }

    /// Its file.
    pub(crate) fn file(self) -> PathBuf {
        Self::path(self.file)
    }

    /// The values that it was made with.
    pub(crate) fn values(self) -> Option<PathBuf> {
        self.values.map(Self::path)
    }

    /// Its objects.
    pub(crate) fn objects(self) -> Vec<Value> {
        objects(&fs::read_to_string(self.file()).unwrap())
    }

    /// Its objects of that kind.
    pub(crate) fn of(self, kind: &str) -> Vec<Value> {
        let mut found = self.objects();
        found.retain(|object| object["kind"] == kind);
        found
    }
}

/// The objects of a stream of YAML documents.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let mut found: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    found.retain(|object| !object.is_null());
    found
}

/// A member of an object as text; empty where there is none.
pub(crate) fn word<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list in an object; none where there is no list.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
