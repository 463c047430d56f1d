//! Who may do what, on a real API server: every call of every service and every route, by callers of every kind.
//!
//! Without one there is nobody to ask about tokens and rights, and these scenarios are skipped with a notice.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use googleapis_tonic_google_cloud_run_v2::google::iam::v1 as iam;
use googleapis_tonic_google_cloud_run_v2::google::longrunning;
use http::Method;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http_body_util::BodyExt;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kakehi::api::Job;
use kakehi::auth::{Gate, Reviews};
use kakehi::cloudrun::CloudRun;
use kakehi::listen::Listener;
use kakehi::ops;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower::ServiceExt;

use longrunning::operations_client::OperationsClient;
use v2::executions_client::ExecutionsClient;
use v2::jobs_client::JobsClient;
use v2::tasks_client::TasksClient;

use crate::support::cluster;
use crate::support::cluster::Place;
use crate::support::eventually;

/// For whom tokens are.
const AUDIENCE: &str = "https://kakehi.example";

/// What a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A right to read.
    Reading,
    /// A right to change something.
    Writing,
    /// To be somebody.
    Token,
}

/// What came of a call, in the code of gRPC, and the words.
type Came = Result<(), (Code, String)>;
type Call = Box<dyn Fn(&World, Option<String>) -> BoxFuture<'static, Came> + Send + Sync>;

/// A call that everybody tries. None changes anything, so that all can try it.
struct Row {
    name: String,
    takes: Takes,
    call: Call,
}

/// The API before the real API server, with a Job and a run of it.
struct World {
    place: Place,
    router: Router,
    channel: Channel,
    execution: String,
    _running: DropGuard,
}

impl World {
    async fn start() -> Option<Self> {
        if cluster::real().await.is_none() {
            cluster::say("skipped: who may do what in the API of Cloud Run; it takes a real API server");
            return None;
        }
        let place = cluster::place().await;
        let client = place.client.clone();
        let gate = Gate::reviews(Reviews::new(client.clone()), vec![AUDIENCE.to_owned()]);
        let server = CloudRun::new(client.clone(), gate).within(&place.namespace);
        let shutdown = CancellationToken::new();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let channel = Channel::from_shared(format!("http://{}", listener.address())).unwrap();
        tokio::spawn(listener.serve(server.router(), shutdown.clone(), Duration::ZERO));
        let (router, token) = (server.router(), shutdown.clone());
        tokio::spawn(async move { server.run(token).await });
        let job: Job = serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": "resize", "namespace": place.namespace},
            "spec": {"template": {"spec": {"template": {"spec": {
                "containers": [{"name": "main", "image": "none", "command": ["true"]}]
            }}}}},
        }))
        .unwrap();
        place.api::<Job>().create(&PostParams::default(), &job).await.unwrap();
        let execution = ops::run(&client, &place.namespace, "resize", None).await.unwrap().execution;
        let channel = channel.connect().await.unwrap();
        Some(Self { place, router, channel, execution, _running: shutdown.drop_guard() })
    }

    fn parent(&self) -> String {
        format!("projects/{}/locations/here", self.place.namespace)
    }

    fn job(&self) -> String {
        format!("{}/jobs/resize", self.parent())
    }

    fn run(&self) -> String {
        format!("{}/executions/{}", self.job(), self.execution)
    }

    fn operation(&self) -> String {
        format!("{}/operations/run.resize.{}.none.1", self.parent(), self.execution)
    }

    fn message(&self) -> v2::Job {
        let mut job = super::job("true");
        job.name = self.job();
        job
    }

    /// An account with those rights.
    async fn account(&self, name: &str, rules: Vec<PolicyRule>) {
        let metadata = || ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata: metadata(), ..ServiceAccount::default() };
        self.place.api::<ServiceAccount>().create(&PostParams::default(), &account).await.unwrap();
        let role = Role { metadata: metadata(), rules: Some(rules) };
        self.place.api::<Role>().create(&PostParams::default(), &role).await.unwrap();
        let binding = RoleBinding {
            metadata: metadata(),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Role".to_owned(),
                name: name.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: name.to_owned(),
                namespace: Some(self.place.namespace.clone()),
                ..Subject::default()
            }]),
        };
        self.place.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
    }

    async fn token_for(&self, account: &str, audience: &str, bound: Option<BoundObjectReference>) -> String {
        token(&self.place.client, &self.place.namespace, account, audience, bound).await
    }

    async fn token(&self, account: &str) -> String {
        self.token_for(account, AUDIENCE, None).await
    }

    /// A token that was good: the object that it was bound to is gone.
    async fn revoked(&self, account: &str) -> String {
        let secrets = self.place.api::<Secret>();
        let mut secret = Secret::default();
        secret.metadata.name = Some("bound".to_owned());
        let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: made.metadata.name,
            uid: made.metadata.uid,
        };
        let token = self.token_for(account, AUDIENCE, Some(bound)).await;
        secrets.delete("bound", &DeleteParams::default()).await.unwrap();
        token
    }

    /// A token that was good in every respect, and whose time is over: signed with the key of the API server itself.
    /// None where the key is not known; the caller is one without a token then.
    async fn expired(&self, account: &str) -> Option<String> {
        let Some(key) = std::env::var_os("KAKEHI_TEST_TOKEN_KEY") else {
            cluster::say("skipped: an expired token; KAKEHI_TEST_TOKEN_KEY names no key to make one with");
            return None;
        };
        let good = self.token(account).await;
        let gate = Gate::reviews(Reviews::new(self.place.client.clone()), vec![AUDIENCE.to_owned()]);
        // The same token signed anew is good: so it is not the signature that a later one is refused for.
        let headers =
            |token: &str| [(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())].into_iter().collect();
        gate.admit(&headers(&signed(&good, &key, 0))).await.unwrap();
        let token = signed(&good, &key, -3600);
        assert!(matches!(gate.admit(&headers(&token)).await, Err(kakehi::auth::Error::Unauthenticated)));
        Some(token)
    }
}

/// That token with its times moved by seconds, signed with that key (RFC 7515 §3.1, RFC 7518 §3.4).
fn signed(token: &str, key: &OsStr, seconds: i64) -> String {
    let mut parts = token.split('.');
    let (head, claims) =
        (parts.next().unwrap(), BASE64_URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap());
    let mut claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    for name in ["iat", "nbf", "exp"] {
        claims[name] = json!(claims[name].as_i64().unwrap() + seconds);
    }
    let body = format!("{head}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let (key, random) = (std::fs::read(key).unwrap(), SystemRandom::new());
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random).unwrap();
    let signature = key.sign(&random, body.as_bytes()).unwrap();
    format!("{body}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audience: &str,
    bound: Option<BoundObjectReference>,
) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let wanted = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![audience.to_owned()]),
            expiration_seconds: Some(600),
            bound_object_ref: bound,
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let made = accounts.create_token_request(account, &PostParams::default(), &wanted).await.unwrap();
    made.status.unwrap().token.unwrap()
}

fn rule(verbs: &str, group: &str, resources: &str) -> PolicyRule {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    PolicyRule {
        verbs: words(verbs),
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(words(resources)),
        ..PolicyRule::default()
    }
}

const OURS: &str = "run.kakehi.dev";

fn reader() -> Vec<PolicyRule> {
    vec![rule("get list", OURS, "jobs executions"), rule("get", "", "pods/log")]
}

fn full() -> Vec<PolicyRule> {
    let mut rules = reader();
    rules.push(rule("create update patch delete", OURS, "jobs executions"));
    rules.push(rule("create", OURS, "jobs/override"));
    rules
}

fn with<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

fn came(answer: Result<(), Status>) -> Came {
    answer.map_err(|status| (status.code(), status.message().to_owned()))
}

/// A call of gRPC: its path, what it takes, and how it is made.
macro_rules! rpc {
    ($path:literal, $takes:ident, $client:ident.$method:ident, |$world:ident| $message:expr) => {
        Row {
            name: $path.to_owned(),
            takes: Takes::$takes,
            call: Box::new(|$world, token| {
                let (channel, message) = ($world.channel.clone(), $message);
                async move {
                    let request = with(message, token.as_deref());
                    came($client::new(channel).$method(request).await.map(drop))
                }
                .boxed()
            }),
        }
    };
}

/// A call of REST: what follows the namespace of v1, or a whole path.
fn rest(method: Method, path: &'static str, takes: Takes, body: &'static str) -> Row {
    let name = format!("{method} {path}");
    let call: Call = Box::new(move |world, token| {
        let (namespace, router, method) = (&world.place.namespace, world.router.clone(), method.clone());
        let place = |text: &str| {
            let text = text.replace("{namespace}", namespace).replace("{*path}", "anything");
            text.replace("{execution}", &world.execution)
        };
        let (uri, body) = (place(path), place(body));
        async move {
            let mut request = http::Request::builder().method(method).uri(uri);
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let answer = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            let (parts, body) = answer.into_parts();
            let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let asks = parts.headers.contains_key(WWW_AUTHENTICATE);
            assert_eq!(asks, parts.status.as_u16() == 401, "{parts:?}");
            let code = match parts.status.as_u16() {
                200..300 => return Ok(()),
                401 => Code::Unauthenticated,
                403 => Code::PermissionDenied,
                404 => Code::NotFound,
                501 => Code::Unimplemented,
                503 => Code::Unavailable,
                _ => Code::Unknown,
            };
            Err((code, text))
        }
        .boxed()
    });
    Row { name, takes, call }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rpcs() -> Vec<Row> {
    vec![
        rpc!("/google.cloud.run.v2.Jobs/CreateJob", Writing, JobsClient.create_job, |world| {
            let job = v2::Job { name: String::new(), ..world.message() };
            let (parent, job_id) = (world.parent(), "other".to_owned());
            v2::CreateJobRequest { parent, job_id, job: Some(job), validate_only: true }
        }),
        rpc!("/google.cloud.run.v2.Jobs/GetJob", Reading, JobsClient.get_job, |world| v2::GetJobRequest {
            name: world.job()
        }),
        rpc!("/google.cloud.run.v2.Jobs/ListJobs", Reading, JobsClient.list_jobs, |world| {
            v2::ListJobsRequest { parent: world.parent(), ..Default::default() }
        }),
        rpc!("/google.cloud.run.v2.Jobs/UpdateJob", Writing, JobsClient.update_job, |world| {
            v2::UpdateJobRequest { job: Some(world.message()), validate_only: true, allow_missing: false }
        }),
        rpc!("/google.cloud.run.v2.Jobs/DeleteJob", Writing, JobsClient.delete_job, |world| {
            v2::DeleteJobRequest { name: world.job(), validate_only: true, etag: String::new() }
        }),
        rpc!("/google.cloud.run.v2.Jobs/RunJob", Writing, JobsClient.run_job, |world| v2::RunJobRequest {
            name: world.job(),
            validate_only: true,
            ..Default::default()
        }),
        rpc!("/google.cloud.run.v2.Jobs/GetIamPolicy", Token, JobsClient.get_iam_policy, |world| {
            iam::GetIamPolicyRequest { resource: world.job(), options: None }
        }),
        rpc!("/google.cloud.run.v2.Jobs/SetIamPolicy", Token, JobsClient.set_iam_policy, |world| {
            iam::SetIamPolicyRequest { resource: world.job(), ..Default::default() }
        }),
        rpc!(
            "/google.cloud.run.v2.Jobs/TestIamPermissions",
            Token,
            JobsClient.test_iam_permissions,
            |world| { iam::TestIamPermissionsRequest { resource: world.job(), permissions: Vec::new() } }
        ),
        rpc!(
            "/google.cloud.run.v2.Executions/GetExecution",
            Reading,
            ExecutionsClient.get_execution,
            |world| v2::GetExecutionRequest { name: world.run() }
        ),
        rpc!(
            "/google.cloud.run.v2.Executions/ListExecutions",
            Reading,
            ExecutionsClient.list_executions,
            |world| v2::ListExecutionsRequest { parent: world.job(), ..Default::default() }
        ),
        rpc!(
            "/google.cloud.run.v2.Executions/DeleteExecution",
            Writing,
            ExecutionsClient.delete_execution,
            |world| v2::DeleteExecutionRequest {
                name: world.run(),
                validate_only: true,
                etag: String::new()
            }
        ),
        rpc!(
            "/google.cloud.run.v2.Executions/CancelExecution",
            Writing,
            ExecutionsClient.cancel_execution,
            |world| v2::CancelExecutionRequest {
                name: world.run(),
                validate_only: true,
                etag: String::new()
            }
        ),
        rpc!("/google.cloud.run.v2.Tasks/GetTask", Reading, TasksClient.get_task, |world| {
            v2::GetTaskRequest { name: format!("{}/tasks/{}-task0", world.run(), world.execution) }
        }),
        rpc!("/google.cloud.run.v2.Tasks/ListTasks", Reading, TasksClient.list_tasks, |world| {
            v2::ListTasksRequest { parent: world.run(), ..Default::default() }
        }),
        rpc!(
            "/google.longrunning.Operations/ListOperations",
            Reading,
            OperationsClient.list_operations,
            |world| longrunning::ListOperationsRequest { name: world.parent(), ..Default::default() }
        ),
        rpc!(
            "/google.longrunning.Operations/GetOperation",
            Reading,
            OperationsClient.get_operation,
            |world| longrunning::GetOperationRequest { name: world.operation() }
        ),
        rpc!(
            "/google.longrunning.Operations/DeleteOperation",
            Reading,
            OperationsClient.delete_operation,
            |world| longrunning::DeleteOperationRequest { name: world.operation() }
        ),
        rpc!(
            "/google.longrunning.Operations/CancelOperation",
            Writing,
            OperationsClient.cancel_operation,
            |world| longrunning::CancelOperationRequest { name: world.operation() }
        ),
        rpc!(
            "/google.longrunning.Operations/WaitOperation",
            Reading,
            OperationsClient.wait_operation,
            |world| longrunning::WaitOperationRequest { name: world.operation(), timeout: None }
        ),
    ]
}

/// A Job in the form of v1 of that name.
const V1_JOB: &str = r#"{"apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": "resize"},
    "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "none"}]}}}}}}"#;
const V1_NEW_JOB: &str = r#"{"apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": "fresh"},
    "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "none"}]}}}}}}"#;
const LOGS: &str =
    r#"{"resourceNames": ["projects/{namespace}"], "filter": "resource.type = cloud_run_job"}"#;

fn routes() -> Vec<Row> {
    use Takes::{Reading, Token, Writing};
    const V1: &str = "/apis/run.googleapis.com/v1/namespaces/{namespace}";
    // What a path of v1 is about, in the words of its table of calls.
    let v1 = |method: Method, path: &'static str, takes: Takes, body: &'static str| {
        let whole: &'static str = Box::leak(format!("{V1}/{path}").into_boxed_str());
        Row { name: v1_name(&method, path), ..rest(method, whole, takes, body) }
    };
    vec![
        v1(Method::GET, "jobs", Reading, ""),
        v1(Method::POST, "jobs?dryRun=All", Writing, V1_NEW_JOB),
        v1(Method::GET, "jobs/resize", Reading, ""),
        v1(Method::PUT, "jobs/resize?dryRun=All", Writing, V1_JOB),
        v1(Method::DELETE, "jobs/resize?dryRun=All", Writing, ""),
        // Of a Job that is not there: nothing is run.
        v1(Method::POST, "jobs/missing:run", Writing, "{}"),
        v1(Method::GET, "executions", Reading, ""),
        v1(Method::GET, "executions/{execution}", Reading, ""),
        v1(Method::POST, "executions/missing:cancel", Writing, "{}"),
        v1(Method::DELETE, "executions/{execution}?dryRun=All", Writing, ""),
        v1(Method::GET, "tasks?labelSelector=run.googleapis.com%2Fexecution%3D{execution}", Reading, ""),
        v1(Method::GET, "tasks/{execution}-task0", Reading, ""),
        rest(Method::POST, "/v2/entries:list", Reading, LOGS),
        rest(Method::GET, "/v1/projects/{*path}", Token, ""),
        rest(Method::GET, "/console/namespaces/{namespace}/executions/{execution}", Reading, ""),
        // Where there is nothing.
        rest(Method::GET, "/v1/{*path}", Token, ""),
        rest(Method::GET, "/apis/{*path}", Token, ""),
        rest(Method::PUT, "/{*path}", Token, ""),
    ]
    .into_iter()
    .chain(routes_of_v2())
    .collect()
}

/// A Job in the form of v2.
const V2_JOB: &str = r#"{"template": {"template": {"containers": [{"image": "none"}]}}}"#;
const VALIDATE: &str = r#"{"validateOnly": true}"#;

/// The same API as that of gRPC, so the same rights.
fn routes_of_v2() -> Vec<Row> {
    use Takes::{Reading, Token, Writing};
    let v2 = |method: Method, path: &str, takes: Takes, body: &'static str| {
        let whole = format!("/v2/projects/{{namespace}}/locations/here/{path}");
        let name = v2_name(&method, &whole);
        Row { name, ..rest(method, Box::leak(whole.into_boxed_str()), takes, body) }
    };
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let (job, run) = ("jobs/resize", "jobs/resize/executions/{execution}");
    let operation = "operations/run.resize.{execution}.none.1";
    vec![
        v2(post.clone(), "jobs?jobId=fresh&validateOnly=true", Writing, V2_JOB),
        v2(get.clone(), "jobs", Reading, ""),
        v2(get.clone(), job, Reading, ""),
        v2(Method::PATCH, &format!("{job}?validateOnly=true"), Writing, V2_JOB),
        v2(delete.clone(), &format!("{job}?validateOnly=true"), Writing, ""),
        v2(post.clone(), &format!("{job}:run"), Writing, VALIDATE),
        v2(get.clone(), &format!("{job}:getIamPolicy"), Token, ""),
        v2(post.clone(), &format!("{job}:setIamPolicy"), Token, "{}"),
        v2(post.clone(), &format!("{job}:testIamPermissions"), Token, "{}"),
        v2(get.clone(), &format!("{job}/executions"), Reading, ""),
        v2(get.clone(), run, Reading, ""),
        v2(delete.clone(), &format!("{run}?validateOnly=true"), Writing, ""),
        v2(post.clone(), &format!("{run}:cancel"), Writing, VALIDATE),
        v2(get.clone(), &format!("{run}/tasks"), Reading, ""),
        v2(get.clone(), &format!("{run}/tasks/{{execution}}-task0"), Reading, ""),
        v2(get.clone(), "operations", Reading, ""),
        v2(get, operation, Reading, ""),
        v2(delete, operation, Reading, ""),
        v2(post.clone(), &format!("{operation}:wait"), Reading, "{}"),
        v2(post, &format!("{operation}:cancel"), Writing, "{}"),
    ]
}

/// How the table of calls of v2 names what that path asks for: method, collection or one of it, and verb.
fn v2_name(method: &Method, path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let (path, verb) =
        path.split_once(':').map_or((path, String::new()), |(path, verb)| (path, format!(":{verb}")));
    let parts: Vec<&str> = path.trim_start_matches("/v2/").split('/').collect();
    let (kind, is_one) = match parts.as_slice() {
        [.., kind, _] if parts.len().is_multiple_of(2) => (kind.trim_end_matches('s'), true),
        [.., kind] => (*kind, false),
        [] => panic!("{path}"),
    };
    let (first, rest) = kind.split_at(1);
    assert_eq!(is_one, !rest.ends_with('s'), "{path}");
    let method =
        if verb.ends_with("IamPolicy") || verb.ends_with("IamPermissions") { "_" } else { method.as_str() };
    format!("v2 {method} {}{rest} {verb}", first.to_uppercase())
}

/// How the table of calls of v1 names what that path asks for: method, kind, verb, and whether there is a name.
fn v1_name(method: &Method, path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let (kind, name) = path.split_once('/').map_or((path, None), |(kind, name)| (kind, Some(name)));
    let verb = name.and_then(|name| name.split_once(':')).map_or("", |(_, verb)| verb);
    format!("v1 {method} {kind} {verb:?} {}", if name.is_some() { "Some" } else { "None" })
}

/// The calls that services are generated with.
fn generated() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(env!("OUT_DIR")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let paths = text.split('"').filter(|word| word.starts_with("/google."));
        found.extend(paths.map(str::to_owned));
    }
    found
}

/// The services that are served: others that are generated nobody reaches.
fn served() -> BTreeSet<String> {
    let source = include_str!("../../../src/cloudrun/grpc.rs");
    generated()
        .into_iter()
        .filter(|path| {
            let service = path.split('/').nth(1).and_then(|name| name.rsplit('.').next()).unwrap();
            source.contains(&format!("{service}Server::new("))
        })
        .collect()
}

/// The routes of REST, read from the sources that make them.
fn made() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let call = include_str!("../../../src/cloudrun/v1/call.rs");
    for line in call.lines().filter(|line| line.trim_start().starts_with("(\"") && line.contains("=> Call::"))
    {
        let words: Vec<&str> = line.split('"').collect();
        let [_, method, _, kind, _, verb, name] = words.as_slice() else { panic!("{line}") };
        let name = if name.contains("Some") { "Some" } else { "None" };
        found.insert(format!("v1 {method} {kind} {verb:?} {name}"));
    }
    // Arms of several lines begin as those of one do.
    let call = include_str!("../../../src/cloudrun/v2/call.rs");
    for line in call.lines().map(str::trim_start).filter(|line| line.contains(", Collection::")) {
        let Some((pattern, _)) = line.strip_prefix('(').and_then(|line| line.split_once(") =>")) else {
            continue;
        };
        let (method, rest) = pattern.split_once(", Collection::").unwrap();
        let (collection, verbs) = rest.split_once(", ").unwrap();
        for verb in verbs.split(" | ") {
            found.insert(format!("v2 {} {collection} {}", method.trim_matches('"'), verb.trim_matches('"')));
        }
    }
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloudrun");
    let mut folders = vec![sources];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let routes = text.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
            // These are taken apart by the tables of calls.
            let is_table = |route: &str| route.contains("/v1/namespaces/") || route == "/v2/{*path}";
            found.extend(routes.filter(|route| !is_table(route)).map(str::to_owned));
        }
    }
    found
}

#[test]
fn no_call_and_no_route_is_left_out() {
    let named = |rows: &[Row]| -> BTreeSet<String> {
        let path = |row: &Row| match row.name.get(..3) {
            Some("v1 " | "v2 ") => row.name.clone(),
            _ => row.name.rsplit(' ').next().unwrap().to_owned(),
        };
        rows.iter().map(path).collect()
    };
    assert!(generated().len() >= 20 && made().len() >= 34, "{:?} {:?}", generated(), made());
    let left_out: Vec<_> = served().difference(&named(&rpcs())).cloned().collect();
    assert_eq!(left_out, [""; 0], "calls that the matrix does not try");
    let left_out: Vec<_> = made().difference(&named(&routes())).cloned().collect();
    assert_eq!(left_out, [""; 0], "routes that the matrix does not try");
}

/// What somebody is told.
fn verdict(came: &Came) -> &'static str {
    match came {
        Err((Code::Unauthenticated, _)) => "unknown",
        Err((Code::PermissionDenied, words)) => {
            assert!(words.contains("cannot ") && words.contains("in the namespace"), "{words}");
            "forbidden"
        }
        Err((Code::Unavailable, words)) => panic!("{words}"),
        Ok(()) | Err(_) => "passed",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_kubernetes_does_not_let_him() {
    let Some(world) = World::start().await else { return };
    world.account("nobody", Vec::new()).await;
    world.account("reader", reader()).await;
    world.account("full", full()).await;
    let callers = [
        ("no token", None),
        ("garbage", Some("garbage".to_owned())),
        ("revoked", Some(world.revoked("full").await)),
        ("expired", world.expired("full").await),
        ("other audience", Some(world.token_for("full", "https://other.example", None).await)),
        ("no rights", Some(world.token("nobody").await)),
        ("read-only", Some(world.token("reader").await)),
        ("full", Some(world.token("full").await)),
    ];
    // RBAC is followed by the API server, too.
    eventually("the roles have come", async || {
        let gate = Gate::reviews(Reviews::new(world.place.client.clone()), vec![AUDIENCE.to_owned()]);
        let (_, token) = callers.last().unwrap();
        let token = token.as_deref().unwrap();
        let headers = [(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())].into_iter().collect();
        let caller = gate.admit(&headers).await.map_err(|error| error.to_string())?;
        let right = kakehi::auth::Right::to(kakehi::auth::Verb::Create, "jobs", &world.place.namespace);
        gate.check(&caller, &[right.named("resize").below("override")])
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let mut wrong = Vec::new();
    for row in rpcs().into_iter().chain(routes()) {
        for (caller, token) in &callers {
            let came = (row.call)(&world, token.clone()).await;
            let expected = match (*caller, row.takes) {
                ("no token" | "garbage" | "revoked" | "expired" | "other audience", _) => "unknown",
                ("full", _) | (_, Takes::Token) | ("read-only", Takes::Reading) => "passed",
                _ => "forbidden",
            };
            let found = verdict(&came);
            if found != expected {
                wrong.push(format!("{} by {caller}: {found}, not {expected}: {came:?}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_who_made_it_and_who_changed_it_last() {
    const V1: &str = "/apis/run.googleapis.com/v1/namespaces/{namespace}/jobs/fresh";
    const FORGED: &str = r#"{"metadata": {"name": "fresh", "annotations": {"run.googleapis.com/creator": "me",
        "run.googleapis.com/lastModifier": "me"}}, "spec": {"template": {"spec": {"template": {
        "spec": {"containers": [{"image": "none"}]}}}}}}"#;
    let Some(world) = World::start().await else { return };
    for account in ["maker", "other"] {
        world.account(account, full()).await;
    }
    let name = |account: &str| format!("system:serviceaccount:{}:{account}", world.place.namespace);
    let tokens = [world.token("maker").await, world.token("other").await];
    eventually("the roles have come", async || {
        for token in &tokens {
            let request = v2::ListJobsRequest { parent: world.parent(), ..v2::ListJobsRequest::default() };
            let came = JobsClient::new(world.channel.clone()).list_jobs(with(request, Some(token))).await;
            came.map_err(|status| status.to_string())?;
        }
        Ok::<_, String>(())
    })
    .await;
    let [maker, other] = tokens;
    let mut jobs = JobsClient::new(world.channel.clone());
    let request = v2::CreateJobRequest {
        parent: world.parent(),
        job: Some(v2::Job { name: String::new(), ..world.message() }),
        job_id: "fresh".to_owned(),
        validate_only: false,
    };
    jobs.create_job(with(request, Some(&maker))).await.unwrap();
    let get = || v2::GetJobRequest { name: format!("{}/jobs/fresh", world.parent()) };
    let made = jobs.get_job(with(get(), Some(&maker))).await.unwrap().into_inner();
    assert_eq!((made.creator, made.last_modifier), (name("maker"), name("maker")));
    (rest(Method::PUT, V1, Takes::Writing, FORGED).call)(&world, Some(other.clone())).await.unwrap();
    let changed = jobs.get_job(with(get(), Some(&other))).await.unwrap().into_inner();
    assert_eq!((changed.creator, changed.last_modifier), (name("maker"), name("other")));
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_and_accounts_take_rights_of_their_own() {
    let Some(world) = World::start().await else { return };
    let mut rules = reader();
    rules.push(rule("create update", OURS, "jobs executions"));
    world.account("author", rules.clone()).await;
    rules.push(PolicyRule {
        resource_names: Some(vec!["robot".to_owned()]),
        ..rule("use", "", "serviceaccounts")
    });
    rules.push(PolicyRule {
        resource_names: Some(vec!["resize".to_owned()]),
        ..rule("create", OURS, "jobs/override")
    });
    world.account("trusted", rules).await;
    let run = |task_count| v2::RunJobRequest {
        name: world.job(),
        validate_only: true,
        overrides: Some(v2::run_job_request::Overrides { task_count, ..Default::default() }),
        ..Default::default()
    };
    let create = |account: &str| {
        let mut job = v2::Job { name: String::new(), ..world.message() };
        let task = job.template.as_mut().unwrap().template.as_mut().unwrap();
        task.service_account = account.to_owned();
        v2::CreateJobRequest {
            parent: world.parent(),
            job: Some(job),
            job_id: "other".to_owned(),
            validate_only: true,
        }
    };
    let update = |account: &str| {
        let mut job = create(account).job.unwrap();
        job.name = world.job();
        v2::UpdateJobRequest { job: Some(job), validate_only: true, allow_missing: false }
    };
    let mut jobs = JobsClient::new(world.channel.clone());
    let (author, trusted) = (world.token("author").await, world.token("trusted").await);
    eventually("the roles have come", async || {
        let came = JobsClient::new(world.channel.clone()).run_job(with(run(2), Some(&trusted))).await;
        came.map(drop).map_err(|status| status.to_string())
    })
    .await;
    jobs.run_job(with(run(0), Some(&author))).await.unwrap();
    let refused = jobs.run_job(with(run(2), Some(&author))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("cannot create resource \"jobs/override\""), "{refused}");
    jobs.create_job(with(create("default"), Some(&author))).await.unwrap();
    for account in ["robot", "robot@project.iam.gserviceaccount.com"] {
        let refused = jobs.create_job(with(create(account), Some(&author))).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let words = "serviceaccounts \"robot\" is forbidden";
        assert!(refused.message().contains(words), "{refused}");
        let refused = jobs.update_job(with(update(account), Some(&author))).await.unwrap_err();
        assert!(refused.message().contains(words), "{refused}");
        jobs.create_job(with(create(account), Some(&trusted))).await.unwrap();
        jobs.update_job(with(update(account), Some(&trusted))).await.unwrap();
    }
    let refused = jobs.create_job(with(create("other"), Some(&trusted))).await.unwrap_err();
    assert!(refused.message().contains("serviceaccounts \"other\""), "{refused}");
    for (row, words) in beyond() {
        let refused = (row.call)(&world, Some(author.clone())).await.unwrap_err();
        assert!(
            refused.0 == Code::PermissionDenied && refused.1.contains(words),
            "{}: {refused:?}",
            row.name
        );
    }
}

/// What takes more than the right to write Jobs and to run them, over REST.
fn beyond() -> Vec<(Row, &'static str)> {
    const CHANGED: &str = r#"{"validateOnly": true, "overrides": {"taskCount": 2}}"#;
    const AS_ROBOT: &str =
        r#"{"template": {"template": {"serviceAccount": "robot", "containers": [{"image": "none"}]}}}"#;
    const V1_AS_ROBOT: &str = r#"{"metadata": {"name": "fresh"}, "spec": {"template": {"spec": {"template": {
        "spec": {"serviceAccountName": "robot", "containers": [{"image": "none"}]}}}}}}"#;
    const V1: &str = "/apis/run.googleapis.com/v1/namespaces/{namespace}/jobs";
    const V2: &str = "/v2/projects/{namespace}/locations/here/jobs";
    let (overrides, account) = ("jobs/override", "serviceaccounts");
    [
        (V1, Method::POST, "/resize:run", r#"{"overrides": {"taskCount": 2}}"#, overrides),
        (V1, Method::POST, "?dryRun=All", V1_AS_ROBOT, account),
        (V1, Method::PUT, "/resize?dryRun=All", V1_AS_ROBOT, account),
        (V2, Method::POST, "/resize:run", CHANGED, overrides),
        (V2, Method::POST, "?jobId=fresh&validateOnly=true", AS_ROBOT, account),
        (V2, Method::PATCH, "/resize?validateOnly=true", AS_ROBOT, account),
    ]
    .into_iter()
    .map(|(base, method, path, body, words)| {
        let whole = Box::leak(format!("{base}{path}").into_boxed_str());
        (rest(method, whole, Takes::Writing, body), words)
    })
    .collect()
}
