//! Schema definitions by name, as `components.schemas` of an `OpenAPI` document has them.
//!
//! The built-in ones come from k8s-openapi's schemars implementation: one definition per Kubernetes type, referring to
//! each other by `$ref`. A custom kind adds one definition that refers to nothing but `ObjectMeta`.

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::JsonSchema;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value;

/// Where a `$ref` to a definition points.
pub(in crate::local::server) const REFERENCE: &str = "#/components/schemas/";

/// Every type that some served kind reaches, by its Kubernetes name (`io.k8s.api.core.v1.Pod`).
#[derive(Debug)]
pub(in crate::local::server) struct Definitions(Map<String, Value>);

impl Definitions {
    pub(in crate::local::server) fn builtin() -> Self {
        let mut generator = SchemaSettings::openapi3().into_generator();
        let generator = &mut generator;
        reach::<api::core::v1::Namespace>(generator);
        reach::<api::core::v1::ConfigMap>(generator);
        reach::<api::core::v1::Secret>(generator);
        reach::<api::core::v1::Event>(generator);
        reach::<api::core::v1::ServiceAccount>(generator);
        reach::<api::core::v1::Node>(generator);
        reach::<api::core::v1::Pod>(generator);
        reach::<api::core::v1::Binding>(generator);
        reach::<api::events::v1::Event>(generator);
        reach::<api::batch::v1::Job>(generator);
        reach::<api::coordination::v1::Lease>(generator);
        reach::<CustomResourceDefinition>(generator);
        reach::<meta::DeleteOptions>(generator);
        reach::<meta::Patch>(generator);
        reach::<meta::Status>(generator);
        reach::<meta::ListMeta>(generator);
        Self(generator.take_definitions(false))
    }

    /// The same, made once: a property test needs it hundreds of times.
    #[cfg(test)]
    pub(in crate::local::server) fn builtin_for_tests() -> &'static Self {
        static DEFINITIONS: std::sync::LazyLock<Definitions> = std::sync::LazyLock::new(Definitions::builtin);
        &DEFINITIONS
    }

    pub(super) fn insert(&mut self, name: String, schema: Value) {
        self.0.insert(name, schema);
    }

    pub(in crate::local::server) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    #[cfg(test)]
    pub(in crate::local::server) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

/// The definition name in a `$ref`, whatever prefix the generator gave it.
pub(in crate::local::server) fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

fn reach<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_behind_a_pod_are_there_and_refer_to_each_other() {
        let definitions = Definitions::builtin();
        let pod = definitions.get("io.k8s.api.core.v1.Pod").expect("pod");
        let reference =
            pod.pointer("/properties/metadata/$ref").or(pod.pointer("/properties/metadata/allOf/0/$ref"));
        let reference = reference.and_then(Value::as_str).expect("metadata refers");
        assert!(reference.starts_with(REFERENCE), "{reference}");
        assert!(definitions.get(name_of(reference)).is_some());
    }
}
