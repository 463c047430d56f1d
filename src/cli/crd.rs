//! `kakehi crd`: the definitions of our kinds.

use anyhow::Context as _;
use clap::ValueEnum;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::output::{Output, yaml};
use super::{Error, Exit};
use crate::api;

/// Print the definitions of our kinds
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kakehi crd | kubectl apply -f -\n  kakehi crd job > job.yaml")]
pub(crate) struct Args {
    /// Only this kind: job, execution or trigger
    #[arg(value_name = "KIND", value_parser = kinds())]
    kind: Option<String>,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t = Form::Yaml)]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One document per definition
    Yaml,
    /// One definition, or a List of them
    Json,
}

/// The kinds by name, lower case, as the parser takes them.
fn kinds() -> clap::builder::PossibleValuesParser {
    ["job", "execution", "trigger"].into()
}

/// Prints what was asked for.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Error> {
    let mut definitions = api::crds();
    if let Some(kind) = &args.kind {
        definitions.retain(|definition| definition.spec.names.singular.as_ref() == Some(kind));
    }
    let text = match args.output {
        Form::Yaml => stream(&definitions)?,
        Form::Json => json(&definitions)?,
    };
    output.text(&text)?;
    Ok(Exit::Success)
}

fn stream(definitions: &[CustomResourceDefinition]) -> Result<String, Error> {
    let mut text = String::new();
    for definition in definitions {
        // Through a value: members come out sorted, so that a regenerated file differs only where the type does.
        let value = serde_json::to_value(definition).context("encode a definition")?;
        text.push_str("---\n");
        text.push_str(&yaml(&value)?);
    }
    Ok(text)
}

fn json(definitions: &[CustomResourceDefinition]) -> Result<String, Error> {
    let text = match definitions {
        [one] => serde_json::to_string_pretty(one),
        many => serde_json::to_string_pretty(
            &serde_json::json!({"apiVersion": "v1", "kind": "List", "items": many}),
        ),
    };
    Ok(text.context("encode the definitions")? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_stream_reads_back_as_the_definitions() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&stream(&api::crds()).unwrap()).unwrap();
        let wanted: Vec<Value> =
            api::crds().iter().map(|definition| serde_json::to_value(definition).unwrap()).collect();
        assert_eq!(documents, wanted);
    }

    #[test]
    fn every_kind_can_be_asked_for() {
        let known: Vec<String> =
            api::crds().into_iter().filter_map(|definition| definition.spec.names.singular).collect();
        assert_eq!(known, ["job", "execution", "trigger"]);
    }

    #[test]
    fn json_is_one_value() {
        let list: Value = serde_json::from_str(&json(&api::crds()).unwrap()).unwrap();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
        let one: Value = serde_json::from_str(&json(&api::crds()[..1]).unwrap()).unwrap();
        assert_eq!(one["kind"], "CustomResourceDefinition");
    }
}
