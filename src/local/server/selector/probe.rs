//! Selectors as somebody outside sees them, for the properties that the fuzz targets check (`tests/fuzz`). They are no part
//! of what the server offers.

use serde_json::Value;

use super::field::FieldSelector;
use super::label::LabelSelector;
use crate::local::server::kinds::Kinds;

/// Selects Pods.
#[doc(hidden)]
#[derive(Debug)]
pub struct Selectors {
    kinds: Kinds,
}

impl Selectors {
    /// Selectors over the kinds that every server has.
    pub fn new() -> Self {
        Self { kinds: Kinds::reviewed(&[], &[]).expect("the built-in kinds agree with each other") }
    }

    /// Whether a label selector selects the Pod, or the API server's sentence about what is wrong with it.
    pub fn by_labels(&self, selector: &str, pod: &Value) -> Result<bool, String> {
        Ok(LabelSelector::parse(selector)?.matches(pod))
    }

    /// The same of a field selector.
    pub fn by_fields(&self, selector: &str, pod: &Value) -> Result<bool, String> {
        let kind = self.kinds.find("", "v1", "pods").expect("Pods are built in");
        Ok(FieldSelector::parse(selector, kind)?.matches(pod))
    }
}

impl Default for Selectors {
    fn default() -> Self {
        Self::new()
    }
}
