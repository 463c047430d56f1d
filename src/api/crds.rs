//! The custom resource definitions, made from the Rust types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::execution::Execution;
use super::job::Job;
use super::trigger::Trigger;

/// The definitions of our kinds, ready for `kubectl apply`.
///
/// Descriptions are cut to their first sentence: whole, those of the Pod fields would push an object past the
/// 256 KiB that a client-side apply can annotate.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![Job::crd(), Execution::crd(), Trigger::crd()];
    for version in definitions.iter_mut().flat_map(|definition| &mut definition.spec.versions) {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            shorten(schema);
        }
    }
    definitions
}

/// Cuts the descriptions of a schema and of everything below it.
fn shorten(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        *description = first_sentence(description);
    }
    schema.properties.iter_mut().flatten().for_each(|(_, property)| shorten(property));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => shorten(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(shorten),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        shorten(values);
    }
}

fn first_sentence(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    line.split_once(". ").map_or(line.clone(), |(sentence, _)| format!("{sentence}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limit of the annotation that a client-side apply writes.
    const ANNOTATION_LIMIT: usize = 256 * 1024;

    #[test]
    fn definitions_fit_a_client_side_apply() {
        for definition in crds() {
            let size = serde_json::to_vec(&definition).unwrap().len();
            assert!(size < ANNOTATION_LIMIT, "{:?}: {size} bytes", definition.metadata.name);
        }
    }

    #[test]
    fn plurals_are_what_knative_guesses() {
        for definition in crds() {
            let names = &definition.spec.names;
            assert_eq!(names.plural, format!("{}s", names.kind.to_lowercase()));
            assert_eq!(names.categories.as_deref(), Some(&["kakehi".to_owned()][..]));
        }
    }

    #[test]
    fn every_rule_compiles_and_is_affordable() {
        for definition in crds() {
            for version in &definition.spec.versions {
                let schema =
                    version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).unwrap();
                let schema = serde_json::to_value(schema).unwrap();
                walk(&schema, &mut |node| {
                    for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                        assert!(rule["message"].is_string(), "a rule without a message: {rule}");
                    }
                });
            }
        }
    }

    fn walk(node: &serde_json::Value, visit: &mut impl FnMut(&serde_json::Value)) {
        visit(node);
        match node {
            serde_json::Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
            _ => {}
        }
    }

    #[test]
    fn a_description_is_cut_to_its_first_sentence() {
        assert_eq!(first_sentence("One. Two."), "One.");
        assert_eq!(first_sentence("one\ntwo\n\nthree"), "one two");
    }
}
