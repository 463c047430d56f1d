//! What `gcloud` asks of Google's other services while it works on jobs: whether the API is enabled, what a project is,
//! where there are locations, and who may do what.

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{any, post};
use http::Method;
use serde_json::{Value, json};
use tonic::Code;

use super::LOCATION;
use super::logs;
use crate::cloudrun::CloudRun;
use crate::cloudrun::fault::Fault;
use crate::cloudrun::metrics;
use crate::cloudrun::rest::answer;
use crate::triggers::is_object_name;

/// The routes of the other services.
pub(super) fn routes() -> Router<CloudRun> {
    Router::new().route("/v1/projects/{*path}", any(project)).route("/v2/entries:list", post(logs::entries))
}

async fn project(method: Method, Path(path): Path<String>) -> Response {
    metrics::Method::get_project.at(answer(about(&method, &path)))
}

/// What is asked about a project, by the path after `projects/`.
fn about(method: &Method, path: &str) -> Result<Value, Fault> {
    let parts: Vec<&str> = path.split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        // Resource Manager. There are no numbers; a client only wants to see that the project is there.
        ("GET", [project]) if is_object_name(project) => Ok(json!({
            "projectId": project,
            "projectNumber": "0",
            "name": project,
            "lifecycleState": "ACTIVE",
        })),
        ("GET", [project, "locations"]) if is_object_name(project) => {
            let location = json!({
                "name": format!("projects/{project}/locations/{LOCATION}"),
                "locationId": LOCATION,
                "displayName": LOCATION,
            });
            Ok(json!({"locations": [location]}))
        }
        // Service Usage.
        ("GET", [project, "services", service]) if is_object_name(project) => Ok(json!({
            "name": format!("projects/{project}/services/{service}"),
            "parent": format!("projects/{project}"),
            "config": {"name": service},
            "state": if *service == "run.googleapis.com" { "ENABLED" } else { "DISABLED" },
        })),
        (_, [_, "locations", _, "jobs", job]) if is_about_access(job) => Err(Fault::new(
            // Not UNIMPLEMENTED, which is an HTTP status that `gcloud` repeats for half a minute.
            Code::FailedPrecondition,
            "access is a matter of Kubernetes RBAC; there are no IAM policies here",
        )),
        _ => Err(Fault::no_such_route(method, &format!("/v1/projects/{path}"))),
    }
}

fn is_about_access(job: &str) -> bool {
    let verb = job.split_once(':').map(|(_, verb)| verb);
    matches!(verb, Some("getIamPolicy" | "setIamPolicy" | "testIamPermissions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gcloud_asks_beside_jobs_is_answered() {
        let enabled = about(&Method::GET, "shop/services/run.googleapis.com").unwrap();
        assert_eq!(enabled["state"], "ENABLED");
        assert_eq!(about(&Method::GET, "shop").unwrap()["projectNumber"], "0");
        let places = about(&Method::GET, "shop/locations").unwrap();
        assert_eq!(places["locations"][0]["locationId"], "local");
    }

    #[test]
    fn there_are_no_policies_and_nobody_asks_twice() {
        for (method, verb) in [(Method::GET, "getIamPolicy"), (Method::POST, "setIamPolicy")] {
            let fault = about(&method, &format!("shop/locations/x/jobs/resize:{verb}")).unwrap_err();
            assert_eq!(fault.code, Code::FailedPrecondition);
        }
        assert_eq!(about(&Method::GET, "shop/elsewhere").unwrap_err().code, Code::NotFound);
    }
}
