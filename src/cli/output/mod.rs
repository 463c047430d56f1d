//! The only place that prints.
//!
//! What was asked for goes to standard output and what accompanies it to standard error, so that
//! `kakehi list -o json | jq` always works. A failed write is an error like any other ([`super::Error::Output`]): a
//! closed pipe ends the command quietly instead of by a panic. Colours appear on terminals only, and `NO_COLOR` is
//! heeded (anstream decides).

mod age;
mod table;

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

pub(crate) use age::{age, between, duration, span};
pub(crate) use table::{Rows, one_line};

/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is still under way.
pub(crate) const PENDING: Style = AnsiColor::Yellow.on_default();
/// What only accompanies.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What to look at.
pub(crate) const STRONG: Style = Style::new().bold();

/// How objects are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs; several objects are one `List`.
    Json,
    /// YAML, ready to be applied again.
    Yaml,
    /// `kind.group/name`, one per line.
    Name,
}

/// The two streams of the process, with a progress bar between them where there is a terminal.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    bars: MultiProgress,
    live: bool,
}

impl Output {
    /// On standard output and standard error.
    pub(crate) fn new() -> Self {
        let live = io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), live }
    }

    /// Whether a person watches: progress can be drawn.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// One line of result.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        self.text(&format!("{}\n", text.as_ref()))
    }

    /// Text of the result, as it is.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        self.bars.suspend(|| {
            let mut out = anstream::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        })
    }

    /// One line that accompanies the result. That it cannot be written stops nobody.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.bars.suspend(|| drop(writeln!(anstream::stderr().lock(), "{}", text.as_ref())));
    }

    /// A progress bar of `length` steps, drawn below everything else; invisible without a terminal.
    pub(crate) fn bar(&self, length: u64, what: &'static str) -> ProgressBar {
        let style = ProgressStyle::with_template("{spinner} {msg}  [{bar:30}] {pos}/{len}  {elapsed}")
            .expect("the template is a constant")
            .progress_chars("=> ");
        let bar = self.bars.add(
            ProgressBar::new(length)
                .with_style(style)
                .with_message(what)
                .with_finish(ProgressFinish::AndClear),
        );
        if self.live {
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
        }
        bar
    }

    /// One object in a format for programs; YAML opens with `---`, so that several can follow each other.
    pub(crate) fn object(&self, format: Format, object: &Value) -> io::Result<()> {
        self.text(&render(format, object)?)
    }

    /// Objects in a format for programs, wrapped in a `List` as kubectl does. Tables are the caller's own.
    pub(crate) fn list(&self, format: Format, objects: &[Value]) -> io::Result<()> {
        match format {
            Format::Table | Format::Name => self.text(&names(objects)),
            Format::Json | Format::Yaml => {
                let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
                self.object(format, &list)
            }
        }
    }
}

/// Whether standard error shows colours.
pub(crate) fn colourful() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Paints text where colours are shown; anstream takes them out elsewhere.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

fn render(format: Format, object: &Value) -> io::Result<String> {
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(object)? + "\n"),
        Format::Yaml => Ok(format!("---\n{}", yaml(object)?)),
        Format::Table | Format::Name => Ok(names(std::slice::from_ref(object))),
    }
}

fn names(objects: &[Value]) -> String {
    objects.iter().map(|object| qualified_name(object) + "\n").collect()
}

/// A value as a YAML document.
pub(crate) fn yaml(value: &impl Serialize) -> io::Result<String> {
    // Folded blocks (`>`) would change long lines that hold significant spaces for readers of the text.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let mut text = serde_saphyr::to_string_with_options(value, options).map_err(io::Error::other)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// `kind.group/name` of an object, `kind/name` in the core group.
pub(crate) fn qualified_name(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = word(&object["kind"]).to_lowercase();
    let name = word(&object["metadata"]["name"]);
    match object["apiVersion"].as_str().and_then(|version| version.split_once('/')) {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str) -> Value {
        json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}})
    }

    #[test]
    fn documents_can_follow_each_other() {
        let text: String =
            [job("a"), job("b")].iter().map(|job| render(Format::Yaml, job).unwrap()).collect();
        assert_eq!(serde_saphyr::from_multiple::<Value>(&text).unwrap(), [job("a"), job("b")]);
        let text: String =
            [job("a"), job("b")].iter().map(|job| render(Format::Json, job).unwrap()).collect();
        let back: Vec<Value> =
            serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(back, [job("a"), job("b")]);
    }

    #[test]
    fn names_carry_the_group() {
        assert_eq!(names(&[job("a"), job("b")]), "job.run.kakehi.dev/a\njob.run.kakehi.dev/b\n");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        assert_eq!(qualified_name(&pod), "pod/p");
    }

    #[test]
    fn yaml_comes_back_as_it_was() {
        let tricky = json!({
            "strings": ["true", "no", "012", "1e3", "", " lead", "a: b", "#c", "2026-01-01", "~", "x\ny\n", "tab\there"],
            "long": format!("{}  two spaces {}", "a ".repeat(60), "b ".repeat(60)),
            "numbers": [1, -1, 0.5],
            "empty": {"map": {}, "list": []},
            "nothing": null,
        });
        let text = yaml(&tricky).unwrap();
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, tricky, "{text}");
    }
}
