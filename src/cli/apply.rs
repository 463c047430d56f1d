//! `kakehi apply`: server-side apply of manifests, for those without kubectl, and for `dev -f` and `try -f`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::connect::{Connected, connect};
use super::manifests::{self, Manifest};
use super::output::{Format, Output, qualified_name};
use super::{Error, Exit, Global};
use crate::api::DEFAULT_NAMESPACE;

/// Field manager of what people apply.
const MANAGER: &str = "kakehi-apply";

/// Apply manifests to the server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kakehi apply -f job.yaml
  kakehi apply -f jobs/ -n shop
  cat job.yaml | kakehi apply -f -")]
pub(crate) struct Args {
    /// A file, a directory that is searched for YAML and JSON, or `-` for standard input; may be repeated
    #[arg(short, long, value_name = "FILE|DIR", required = true)]
    filename: Vec<PathBuf>,
    /// Take over fields that somebody else has set
    #[arg(long)]
    force_conflicts: bool,
    /// How to print what was applied
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Applies what was named.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let manifests = manifests::read(&args.filename)?;
    let connected = connect(global).await?;
    let mut applier = Applier::new(&connected, args.force_conflicts);
    let mut objects = Vec::new();
    for manifest in in_order(&manifests) {
        let one = applier.apply(manifest).await?;
        if args.output == Format::Table {
            output.line(one.line())?;
        }
        objects.push(one.object);
    }
    match (args.output, objects.as_slice()) {
        (Format::Table, _) => {}
        (format, [one]) => output.object(format, one)?,
        (format, many) => output.list(format, many)?,
    }
    Ok(Exit::Success)
}

/// What became of a manifest.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The object as the server has it now.
    pub(crate) object: Value,
    /// `created`, `configured` or `unchanged`.
    pub(crate) outcome: &'static str,
}

impl Applied {
    /// `job.run.kakehi.dev/resize created`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", qualified_name(&self.object), self.outcome)
    }
}

/// Manifests in the order of their application: what others stand on goes first, the rest stays as it was written.
pub(crate) fn in_order(manifests: &[Manifest]) -> Vec<&Manifest> {
    let mut sorted: Vec<&Manifest> = manifests.iter().collect();
    sorted.sort_by_key(|manifest| match manifest.object["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        Some("ServiceAccount" | "Secret" | "ConfigMap") => 2,
        _ => 3,
    });
    sorted
}

/// Applies manifests one by one; what a kind is called in URLs is asked once.
pub(crate) struct Applier<'a> {
    connected: &'a Connected,
    force: bool,
    kinds: HashMap<GroupVersionKind, (ApiResource, Scope)>,
}

impl<'a> Applier<'a> {
    /// Applies to that server; `force` takes over fields of others.
    pub(crate) fn new(connected: &'a Connected, force: bool) -> Self {
        Self { connected, force, kinds: HashMap::new() }
    }

    /// Applies one manifest.
    pub(crate) async fn apply(&mut self, manifest: &Manifest) -> Result<Applied, Error> {
        let object: DynamicObject = serde_json::from_value(manifest.object.clone())
            .map_err(|error| Error::usage(format!("{}: {}: {error}", manifest.origin, manifest.label())))?;
        let types = object.types.clone().unwrap_or_default();
        let gvk = GroupVersionKind::try_from(&types)
            .with_context(|| format!("{}: {}", manifest.origin, manifest.label()))
            .map_err(Error::Usage)?;
        let (resource, scope) = self.kind(manifest, gvk).await?;
        let client = self.connected.client.clone();
        let api = match scope {
            Scope::Cluster => Api::<DynamicObject>::all_with(client, &resource),
            Scope::Namespaced => {
                let namespace = object.namespace().unwrap_or_else(|| self.connected.namespace.clone());
                Api::namespaced_with(client, &namespace, &resource)
            }
        };
        let name = object.name_any();
        let before = api.get_metadata_opt(&name).await.map_err(|error| self.refused(manifest, error))?;
        // What the server would leave out is a mistake of the writer's.
        let parameters = PatchParams { force: self.force, ..PatchParams::apply(MANAGER).validation_strict() };
        let patched = api.patch(&name, &parameters, &Patch::Apply(&manifest.object)).await;
        let after = patched.map_err(|error| self.refused(manifest, error))?;
        let outcome = match before {
            None => "created",
            Some(before) if before.metadata.resource_version == after.metadata.resource_version => {
                "unchanged"
            }
            Some(_) => "configured",
        };
        let object = serde_json::to_value(&after).context("encode the object")?;
        Ok(Applied { object, outcome })
    }

    async fn kind(
        &mut self,
        manifest: &Manifest,
        gvk: GroupVersionKind,
    ) -> Result<(ApiResource, Scope), Error> {
        if let Some(known) = self.kinds.get(&gvk) {
            return Ok(known.clone());
        }
        let (resource, capabilities) = match pinned_kind(&self.connected.client, &gvk).await {
            Ok(found) => found,
            Err(kube::Error::Discovery(_)) => return Err(unknown(manifest, &gvk)),
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(unknown(manifest, &gvk)),
            Err(error) => return Err(self.refused(manifest, error)),
        };
        let known = (resource, capabilities.scope);
        self.kinds.insert(gvk, known.clone());
        Ok(known)
    }

    /// A refusal names the file and the document; a server that does not answer needs neither.
    fn refused(&self, manifest: &Manifest, error: kube::Error) -> Error {
        match self.connected.explain(error) {
            Error::Failed(error) => {
                let context = format!("{}: {} cannot be applied", manifest.origin, manifest.label());
                Error::Failed(error.context(context))
            }
            other => other,
        }
    }
}

fn unknown(manifest: &Manifest, gvk: &GroupVersionKind) -> Error {
    let hint = if gvk.group == crate::api::GROUP {
        " (`kakehi crd | kubectl apply -f -` adds our kinds)"
    } else {
        ""
    };
    let place = &manifest.origin;
    Error::Failed(anyhow!("{place}: the server has no kind {} in {}{hint}", gvk.kind, gvk.api_version()))
}

/// The namespaces that manifests name and do not bring along, besides the one that is always there.
fn missing_namespaces(namespace: &str, manifests: &[Manifest]) -> BTreeSet<String> {
    let named = manifests.iter().filter_map(|manifest| manifest.object["metadata"]["namespace"].as_str());
    let brought = |name: &&str| {
        manifests
            .iter()
            .any(|one| one.object["kind"] == "Namespace" && one.object["metadata"]["name"] == *name)
    };
    let missing = named.chain([namespace]).filter(|name| *name != DEFAULT_NAMESPACE && !brought(name));
    missing.map(str::to_owned).collect()
}

/// Applies everything to the server in this process, with a line for each object. Namespaces are made on the way:
/// whoever starts a server of his own cannot have made them before.
pub(crate) async fn apply_all(
    client: &Client,
    namespace: &str,
    manifests: &[Manifest],
    mut tell: impl FnMut(&Applied) -> Result<(), Error>,
) -> Result<(), Error> {
    let connected = Connected::local(client.clone(), namespace);
    let mut applier = Applier::new(&connected, true);
    for name in missing_namespaces(namespace, manifests) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        applier.apply(&Manifest { origin: format!("namespace {name}"), object }).await?;
    }
    for manifest in in_order(manifests) {
        tell(&applier.apply(manifest).await?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_stand_on_goes_first() {
        let manifests: Vec<Manifest> = ["Job", "ConfigMap", "Trigger", "Namespace"]
            .iter()
            .map(|kind| Manifest {
                origin: String::new(),
                object: json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}),
            })
            .collect();
        let order: Vec<String> = in_order(&manifests).iter().map(|manifest| manifest.label()).collect();
        assert_eq!(order, ["Namespace/x", "ConfigMap/x", "Job/x", "Trigger/x"]);
    }

    #[test]
    fn namespaces_are_made_unless_they_are_brought_along() {
        let object = |kind: &str, name: &str, namespace: &str| Manifest {
            origin: String::new(),
            object: json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}}),
        };
        let manifests =
            [object("Job", "a", "shop"), object("Job", "b", "own"), object("Namespace", "own", "default")];
        let missing: Vec<String> = missing_namespaces("mine", &manifests).into_iter().collect();
        assert_eq!(missing, ["mine", "shop"]);
        assert!(missing_namespaces("default", &[]).is_empty());
    }

    #[test]
    fn the_line_reads_like_kubectls() {
        let object =
            json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "x"}});
        assert_eq!(Applied { object, outcome: "created" }.line(), "job.run.kakehi.dev/x created");
    }
}
