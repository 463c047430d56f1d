//! What is true of every rendering: its parts fit together, and it asks for no more than it needs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{DEFAULT, EVERYTHING, RENDERINGS, Rendering, WATCHED, items, word};

/// The kinds that have no namespace.
const CLUSTER_WIDE: [&str; 4] =
    ["ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

/// The roles of the program that are always there.
const ROLES: [&str; 2] = ["sink", "controller"];

/// The roles that a rendering has.
fn roles(rendering: Rendering) -> Vec<&'static str> {
    let has_api = rendering.of("Deployment").iter().any(|one| word(one, "/metadata/name").ends_with("-api"));
    ROLES.into_iter().chain(has_api.then_some("api")).collect()
}

#[test]
fn the_api_is_there_when_it_is_asked_for() {
    assert_eq!((roles(DEFAULT).len(), roles(EVERYTHING).len(), roles(WATCHED).len()), (2, 3, 2));
}

/// Whether `labels` has everything that `selector` asks for. A selector that asks for nothing would select everything.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().filter(|selector| !selector.is_empty());
    selector.is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// The Deployment of that role.
fn deployment(rendering: Rendering, role: &str) -> Value {
    let mut found = rendering.of("Deployment");
    found.retain(|object| word(object, "/metadata/name").ends_with(&format!("-{role}")));
    assert_eq!(found.len(), 1, "{rendering:?} {role}");
    found.remove(0)
}

fn pod_labels(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["metadata"]["labels"]
}

fn container(deployment: &Value) -> &Value {
    let containers = items(deployment, "/spec/template/spec/containers");
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// The value of `--flag=value`.
fn flag<'a>(deployment: &'a Value, flag: &str) -> Option<&'a str> {
    let mut arguments = items(container(deployment), "/args").iter().filter_map(Value::as_str);
    arguments.find_map(|argument| argument.strip_prefix(flag)?.strip_prefix('='))
}

/// The number of the port of that name.
fn port(deployment: &Value, name: &str) -> Option<u64> {
    let ports = items(container(deployment), "/ports");
    ports.iter().find(|port| port["name"] == name).and_then(|port| port["containerPort"].as_u64())
}

/// The rules of all roles, each with the name of its role.
fn rules(rendering: Rendering) -> Vec<(String, Value)> {
    let roles = rendering.of("ClusterRole").into_iter().chain(rendering.of("Role"));
    roles
        .flat_map(|role| {
            let name = word(&role, "/metadata/name").to_owned();
            items(&role, "/rules").iter().map(|rule| (name.clone(), rule.clone())).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_object_says_what_and_whose_it_is() {
    for rendering in RENDERINGS {
        let mut seen = BTreeSet::new();
        for object in rendering.objects() {
            let (kind, name) = (word(&object, "/kind"), word(&object, "/metadata/name"));
            assert!(
                !kind.is_empty() && !name.is_empty() && !word(&object, "/apiVersion").is_empty(),
                "{object}"
            );
            assert!(seen.insert((kind.to_owned(), name.to_owned())), "{kind} {name} twice");
            let namespace = match rendering.watched {
                _ if CLUSTER_WIDE.contains(&kind) => "",
                // Names of what is outside of the release's namespace say which one that is.
                Some(watched) if name.starts_with(&format!("{}:", rendering.namespace)) => watched,
                _ => rendering.namespace,
            };
            assert_eq!(word(&object, "/metadata/namespace"), namespace, "{kind} {name}");
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], rendering.release, "{kind} {name}");
            assert_eq!(labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"), "{kind} {name}");
        }
    }
}

#[test]
fn the_renderings_together_show_every_kind() {
    let kinds: BTreeSet<String> = RENDERINGS
        .iter()
        .flat_map(|rendering| rendering.objects())
        .map(|object| word(&object, "/kind").to_owned())
        .collect();
    let wanted = [
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    assert_eq!(kinds, wanted.into_iter().map(str::to_owned).collect());
    let default: BTreeSet<String> =
        DEFAULT.objects().iter().map(|object| word(object, "/kind").to_owned()).collect();
    for optional in ["HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor"] {
        assert!(!default.contains(optional), "{optional} is there unasked");
    }
}

#[test]
fn rights_are_named_one_by_one_and_none_is_about_secrets() {
    let forbidden = [
        "secrets",
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "pods/proxy",
        "nodes",
        "nodes/proxy",
        "serviceaccounts",
        "serviceaccounts/token",
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "customresourcedefinitions",
    ];
    for rendering in RENDERINGS {
        let rules = rules(rendering);
        assert!(rules.len() > 15, "{} rules", rules.len());
        for (role, rule) in rules {
            assert!(rule.get("nonResourceURLs").is_none(), "{role}: {rule}");
            for part in ["/apiGroups", "/resources", "/verbs"] {
                let words: Vec<&str> = items(&rule, part).iter().filter_map(Value::as_str).collect();
                assert!(!words.is_empty() && words.iter().all(|word| !word.contains('*')), "{role}: {rule}");
                assert!(words.iter().all(|word| !forbidden.contains(word)), "{role}: {rule}");
                let powers = ["escalate", "bind", "impersonate"];
                assert!(words.iter().all(|word| !powers.contains(word)), "{role}: {rule}");
            }
        }
    }
}

#[test]
fn the_lease_is_one_object_of_the_own_namespace() {
    for rendering in RENDERINGS {
        for role in rendering.of("ClusterRole") {
            assert!(!role.to_string().contains("leases"), "{role}");
        }
        let mut roles = rendering.of("Role");
        roles.retain(|role| role.to_string().contains("leases"));
        assert_eq!(roles.len(), 1);
        assert_eq!(word(&roles[0], "/metadata/namespace"), rendering.namespace);
        let lease = flag(&deployment(rendering, "controller"), "--lease-name").unwrap().to_owned();
        for rule in items(&roles[0], "/rules") {
            assert_eq!(rule["resources"], serde_json::json!(["leases"]));
            let named = items(rule, "/resourceNames");
            let creates = rule["verbs"] == serde_json::json!(["create"]);
            assert!(creates && named.is_empty() || named == [Value::from(lease.clone())], "{rule}");
        }
        let namespace = flag(&deployment(rendering, "controller"), "--lease-namespace").map(str::to_owned);
        assert_eq!(namespace.as_deref(), Some(rendering.namespace));
    }
}

/// Row 3 of the checklist: Knative's resolver reads Jobs through this role.
#[test]
fn row_3_knative_may_read_the_address_of_a_job() {
    for rendering in RENDERINGS {
        let mut roles = rendering.of("ClusterRole");
        roles.retain(|role| role["metadata"]["labels"]["duck.knative.dev/addressable"] == "true");
        assert_eq!(roles.len(), 1, "{rendering:?}");
        let wanted = serde_json::json!([{
            "apiGroups": ["run.kakehi.dev"], "resources": ["jobs", "jobs/status"], "verbs": ["get", "list", "watch"],
        }]);
        assert_eq!(roles[0]["rules"], wanted);
    }
}

/// Rows 2 and 4 of the checklist, on the definition as it is installed.
#[test]
fn rows_2_and_4_the_installed_definition_is_found_by_knative() {
    let text = std::fs::read_to_string(super::root().join("charts/kakehi/crds/job.yaml")).unwrap();
    let definition = super::objects(&text).remove(0);
    assert_eq!(definition["metadata"]["labels"]["duck.knative.dev/addressable"], "true");
    let names = &definition["spec"]["names"];
    assert_eq!(names["plural"], format!("{}s", word(names, "/kind").to_lowercase()));
}

#[test]
fn bindings_bind_what_there_is() {
    for rendering in RENDERINGS {
        let named =
            |kind: &str, name: &str| rendering.of(kind).iter().any(|o| word(o, "/metadata/name") == name);
        let bindings = rendering.of("ClusterRoleBinding").into_iter().chain(rendering.of("RoleBinding"));
        let mut bound = BTreeSet::new();
        for binding in bindings {
            let (kind, name) = (word(&binding, "/roleRef/kind"), word(&binding, "/roleRef/name"));
            // Kubernetes' own: to ask who somebody is and what he may do.
            assert!(named(kind, name) || name == "system:auth-delegator", "{binding}");
            let of_cluster = word(&binding, "/metadata/namespace").is_empty();
            // What a role of others is made of can only be said for the whole cluster; bound, it is of the namespace.
            let is_gathered = name.ends_with("-addressables");
            assert!(is_gathered || (kind == "ClusterRole") == of_cluster, "{binding}");
            for subject in items(&binding, "/subjects") {
                assert_eq!(subject["kind"], "ServiceAccount");
                assert_eq!(subject["namespace"], rendering.namespace);
                bound.insert(word(subject, "/name").to_owned());
            }
        }
        let used: BTreeSet<String> = roles(rendering)
            .iter()
            .map(|role| {
                word(&deployment(rendering, role), "/spec/template/spec/serviceAccountName").to_owned()
            })
            .collect();
        assert_eq!(used, bound, "{rendering:?}");
        assert_eq!(used.len(), roles(rendering).len(), "one ServiceAccount each");
        let existing = if rendering.release == EVERYTHING.release { Some("existing") } else { None };
        assert!(used.iter().all(|name| named("ServiceAccount", name) || Some(name.as_str()) == existing));
    }
}

/// The rules of a role of the program: those for all namespaces, or those for the watched one.
fn rules_of(rendering: Rendering, kind: &str, role: &str) -> Vec<Value> {
    let name = format!("{0}:{0}-{role}", rendering.namespace);
    let roles = rendering.of(kind);
    let found = roles.iter().find(|object| word(object, "/metadata/name") == name);
    items(found.unwrap_or_else(|| panic!("{kind} {name}")), "/rules").to_vec()
}

#[test]
fn whoever_looks_after_one_namespace_has_the_same_rights_in_it_and_none_elsewhere() {
    assert_eq!(WATCHED.of("ClusterRoleBinding"), Vec::<Value>::new());
    for role in WATCHED.of("ClusterRole") {
        // This one takes others in, and is bound in that namespace alone.
        if role["aggregationRule"].is_object() {
            continue;
        }
        // Nobody has these by the chart: others' roles take them in.
        let labels = role["metadata"]["labels"].as_object().unwrap();
        let taken_in = |label: &String| {
            label.starts_with("rbac.authorization.k8s.io/aggregate-to-")
                || label == "duck.knative.dev/addressable"
        };
        assert!(labels.keys().any(taken_in), "{role}");
    }
    for role in ROLES {
        let mut everywhere = rules_of(DEFAULT, "ClusterRole", role);
        for rule in &mut everywhere {
            // A list of namespaces is one of all of them.
            if rule["resources"] == serde_json::json!(["namespaces"]) {
                rule["verbs"] = serde_json::json!(["get"]);
            }
        }
        assert_eq!(rules_of(WATCHED, "Role", role), everywhere, "{role}");
        assert_eq!(flag(&deployment(WATCHED, role), "--watch-namespace"), WATCHED.watched);
        assert_eq!(flag(&deployment(DEFAULT, role), "--watch-namespace"), None);
    }
    assert_eq!(flag(&deployment(WATCHED, "sink"), "--default-namespace"), WATCHED.watched);
    assert_eq!(flag(&deployment(DEFAULT, "sink"), "--default-namespace"), Some("default"));
}

#[test]
fn selectors_find_what_they_are_for() {
    for rendering in RENDERINGS {
        let deployments: Vec<_> =
            roles(rendering).into_iter().map(|role| deployment(rendering, role)).collect();
        let selected =
            |selector: &Value| deployments.iter().filter(|one| selects(selector, pod_labels(one))).count();
        for one in &deployments {
            assert_eq!(selected(&one["spec"]["selector"]["matchLabels"]), 1, "{one}");
        }
        for service in rendering.of("Service") {
            let both = word(&service, "/metadata/name").ends_with("-metrics");
            assert_eq!(
                selected(&service["spec"]["selector"]),
                if both { deployments.len() } else { 1 },
                "{service}"
            );
        }
        for budget in rendering.of("PodDisruptionBudget") {
            assert_eq!(selected(&budget["spec"]["selector"]["matchLabels"]), 1, "{budget}");
        }
        for policy in rendering.of("NetworkPolicy") {
            assert_eq!(selected(&policy["spec"]["podSelector"]["matchLabels"]), 1, "{policy}");
        }
        for monitor in rendering.of("ServiceMonitor") {
            let selector = &monitor["spec"]["selector"]["matchLabels"];
            let services = rendering.of("Service");
            let found: Vec<_> =
                services.iter().filter(|service| selects(selector, &service["metadata"]["labels"])).collect();
            assert_eq!(found.len(), 1);
            let ports: Vec<_> = items(found[0], "/spec/ports").iter().map(|port| &port["name"]).collect();
            assert!(items(&monitor, "/spec/endpoints").iter().all(|end| ports.contains(&&end["port"])));
        }
        for scaler in rendering.of("HorizontalPodAutoscaler") {
            let target = word(&scaler, "/spec/scaleTargetRef/name");
            let scaled = deployments.iter().find(|one| word(one, "/metadata/name") == target).unwrap();
            assert!(
                scaled["spec"].get("replicas").is_none(),
                "helm and the autoscaler would fight over replicas"
            );
        }
    }
}

#[test]
fn ports_agree() {
    for rendering in RENDERINGS {
        for role in roles(rendering) {
            let deployment = deployment(rendering, role);
            let admin = port(&deployment, "admin");
            let listens = |name: &str| flag(&deployment, name)?.rsplit_once(':')?.1.parse().ok();
            assert_eq!(listens("--admin-address"), admin);
            assert_eq!(listens("--sink-address"), port(&deployment, "events"));
            assert_eq!(port(&deployment, "events").is_some(), role == "sink");
            assert_eq!(listens("--api-address"), port(&deployment, "cloud-run"));
            assert_eq!(port(&deployment, "cloud-run").is_some(), role == "api");
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                assert_eq!(container(&deployment)[probe]["httpGet"]["port"], "admin", "{role} {probe}");
            }
        }
        let all: Vec<_> = roles(rendering).into_iter().map(|role| deployment(rendering, role)).collect();
        let leads = |selector: &Value, name: &str| {
            all.iter().any(|one| selects(selector, pod_labels(one)) && port(one, name).is_some())
        };
        for service in rendering.of("Service") {
            for entry in items(&service, "/spec/ports") {
                assert!(leads(&service["spec"]["selector"], word(entry, "/targetPort")), "{service}");
            }
        }
        for policy in rendering.of("NetworkPolicy") {
            for entry in items(&policy, "/spec/ingress").iter().flat_map(|rule| items(rule, "/ports")) {
                let selector = &policy["spec"]["podSelector"]["matchLabels"];
                assert!(leads(selector, word(entry, "/port")), "{policy}");
            }
        }
    }
}

/// Row 1 of the checklist: the address that Jobs publish is that of the Service.
#[test]
fn row_1_the_address_of_a_job_leads_to_the_service() {
    for (rendering, domain) in [(DEFAULT, "cluster.local"), (EVERYTHING, "cluster.example")] {
        let mut services = rendering.of("Service");
        services.retain(|service| word(service, "/metadata/name").ends_with("-sink"));
        let name = word(&services[0], "/metadata/name");
        let port = match items(&services[0], "/spec/ports")[0]["port"].as_u64().unwrap() {
            80 => String::new(),
            other => format!(":{other}"),
        };
        let url = format!("http://{name}.{}.svc.{domain}{port}", rendering.namespace);
        assert_eq!(flag(&deployment(rendering, "controller"), "--sink-url"), Some(url.as_str()));
    }
}

#[test]
fn each_container_is_a_command_line_of_the_program() {
    for rendering in RENDERINGS {
        for role in roles(rendering) {
            let deployment = deployment(rendering, role);
            let arguments = items(container(&deployment), "/args").iter().map(|word| word.as_str().unwrap());
            let line = || ["kakehi"].into_iter().chain(arguments.clone()).map(std::ffi::OsString::from);
            if let Err(error) = kakehi::cli::parse(line()) {
                panic!("{role}: {error}");
            }
            assert!(kakehi::cli::parse(line().chain(["--no-such-flag".into()])).is_err());
        }
    }
}

#[test]
fn pods_ask_for_no_privilege() {
    for rendering in RENDERINGS {
        for role in roles(rendering) {
            let deployment = deployment(rendering, role);
            let pod = &deployment["spec"]["template"]["spec"];
            for forbidden in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"] {
                assert!(pod.get(forbidden).is_none(), "{role}: {forbidden}");
            }
            // A certificate, and nothing else.
            let volumes = items(&deployment, "/spec/template/spec/volumes");
            assert!(volumes.iter().all(|one| role == "api" && one["name"] == "tls"), "{role}: {volumes:?}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["enableServiceLinks"], false);
            let security = &container(&deployment)["securityContext"];
            let wanted = serde_json::json!({
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false,
                "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            });
            assert_eq!(*security, wanted);
            assert!(container(&deployment)["resources"]["limits"]["memory"].is_string());
        }
    }
}

#[test]
fn pods_are_given_the_time_that_they_are_told_to_take() {
    for rendering in RENDERINGS {
        for role in roles(rendering) {
            let deployment = deployment(rendering, role);
            let grace: u64 = flag(&deployment, "--grace-period").unwrap().parse().unwrap();
            let given = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
            assert!(given > Some(grace), "{role}: {given:?}");
        }
    }
}
