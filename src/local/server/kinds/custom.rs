//! Kinds from `CustomResourceDefinition`s: one per served version.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;
use serde_json::Value;
use serde_json::json;

use crate::local::server::kinds::Definitions;
use crate::local::server::kinds::Error;
use crate::local::server::kinds::Kind;
use crate::local::server::kinds::Stored;
use crate::local::server::schema::Parser;
use crate::local::server::schema::Schema;
use crate::local::server::selector::Selectable;
use crate::local::server::table;

/// The served versions of a definition. Their schemas join `definitions`.
pub(super) fn kinds(
    crd: &CustomResourceDefinition,
    definitions: &mut Definitions,
) -> Result<Vec<Kind>, Error> {
    let name = || format!("{}.{}", crd.spec.names.plural, crd.spec.group);
    let stored =
        crd.spec.versions.iter().find(|version| version.storage).map(|version| version.name.as_str());
    let mut kinds = Vec::new();
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let stored = match stored {
            Some(stored) if stored != version.name => {
                Stored::Renamed { api_version: format!("{}/{stored}", crd.spec.group) }
            }
            _ => Stored::Same,
        };
        kinds.push(kind(crd, version, stored, definitions)?);
    }
    if kinds.is_empty() { Err(Error::NothingServed { name: name() }) } else { Ok(kinds) }
}

fn kind(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
    stored: Stored,
    definitions: &mut Definitions,
) -> Result<Kind, Error> {
    let names = &crd.spec.names;
    let group = &crd.spec.group;
    let name = format!("{}.{group}", names.plural);
    let props = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let Some(mut document) = props.and_then(|props| serde_json::to_value(props).ok()) else {
        return Err(Error::NoSchema { name, version: version.name.clone() });
    };
    let has_status = version.subresources.as_ref().is_some_and(|all| all.status.is_some());
    let schema = Schema::custom(&document, has_status, &mut Parser::new(definitions))
        .map_err(|reason| Error::Schema { name, version: version.name.clone(), reason })?;
    let definition = definition_name(group, &version.name, &names.kind);
    complete(&mut document);
    definitions.insert(definition.clone(), document);
    let selectable = version.selectable_fields.iter().flatten();
    Ok(Kind {
        group: group.clone(),
        version: version.name.clone(),
        kind: names.kind.clone(),
        plural: names.plural.clone(),
        singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
        list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: crd.spec.scope == "Namespaced",
        has_status,
        custom: true,
        read_only: false,
        schema,
        review: None,
        columns: table::custom_columns(version),
        selectable: selectable.map(|field| Selectable::at(field.json_path.trim_start_matches('.'))).collect(),
        definition,
        stored,
    })
}

/// `dev.kakehi.run.v1alpha1.Execution`: the group's labels from the right, as the API server names them.
fn definition_name(group: &str, version: &str, kind: &str) -> String {
    let mut labels: Vec<&str> = group.split('.').collect();
    labels.reverse();
    format!("{}.{version}.{kind}", labels.join("."))
}

/// Adds what every object has, for documents: apiVersion, kind, metadata.
fn complete(document: &mut Value) {
    let Some(properties) =
        document.as_object_mut().map(|all| all.entry("properties").or_insert_with(|| json!({})))
    else {
        return;
    };
    properties["apiVersion"] = json!({
        "type": "string",
        "description": "The versioned schema of this representation of an object, as group/version.",
    });
    properties["kind"] = json!({"type": "string", "description": "The REST resource that this object represents, in CamelCase."});
    properties["metadata"] = json!({
        "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],
        "description": "Standard object's metadata.",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_named_by_the_reversed_group() {
        assert_eq!(
            definition_name("run.kakehi.dev", "v1alpha1", "Execution"),
            "dev.kakehi.run.v1alpha1.Execution"
        );
    }
}
