//! Field paths that cost nothing until one is printed: a linked list on the stack of the walk.

use std::fmt;

/// Where a walk stands. Printed as the API server prints paths: `spec.template.containers[0].name`.
#[derive(Debug, Clone, Copy)]
pub(in crate::local::server) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Root,
    Field(&'a str),
    /// A key of a map, which some messages print in brackets.
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    pub(in crate::local::server) const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root };

    pub(in crate::local::server) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Field(name) }
    }

    pub(in crate::local::server) fn key(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Key(name) }
    }

    pub(in crate::local::server) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), segment: Segment::Index(index) }
    }

    pub(super) fn is_root(&self) -> bool {
        matches!(self.segment, Segment::Root)
    }

    /// The path with map keys in brackets (`data[key]`), as hand-written validation and CEL rules name them. The root
    /// is `<nil>`.
    pub(in crate::local::server) fn bracketed(&self) -> String {
        if self.is_root() {
            return "<nil>".to_owned();
        }
        let mut text = String::new();
        self.write(&mut text, true);
        text
    }

    fn write(&self, text: &mut String, brackets: bool) {
        if let Some(parent) = self.parent {
            parent.write(text, brackets);
        }
        match self.segment {
            Segment::Root => {}
            Segment::Key(name) if brackets => {
                text.push('[');
                text.push_str(name);
                text.push(']');
            }
            Segment::Field(name) | Segment::Key(name) => dotted(text, name),
            Segment::Index(index) => {
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
        }
    }
}

fn dotted(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(name);
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text, false);
        formatter.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_the_api_server_prints_it() {
        let spec = Path::ROOT.field("spec");
        let containers = spec.field("containers");
        let first = containers.index(0);
        assert_eq!(first.field("name").to_string(), "spec.containers[0].name");
        let data = Path::ROOT.field("data");
        assert_eq!(data.key("a b").bracketed(), "data[a b]");
        assert_eq!(data.key("a").to_string(), "data.a");
        assert_eq!(Path::ROOT.bracketed(), "<nil>");
        assert_eq!(Path::ROOT.to_string(), "");
    }
}
