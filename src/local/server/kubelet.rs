//! `pods/{name}/log`: asks the kubelet of the pod's node and streams its answer through.

use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::Response;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Limited;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::local::server::codec;
use crate::local::server::objects;
use crate::local::server::objects::Call;
use crate::local::server::refusal::Refusal;

/// How much of a kubelet's complaint is passed on.
const COMPLAINT: usize = 16 << 10;

/// What a client may ask of a log; handed to the kubelet unread.
const PARAMETERS: &[&str] =
    &["follow", "tailLines", "timestamps", "limitBytes", "sinceSeconds", "sinceTime", "previous", "stream"];

/// Logs that are streamed at a time. Each holds a connection on both sides for as long as it is followed; more than this
/// is not somebody who reads.
const STREAMS: usize = 256;

/// The connections to kubelets.
#[derive(Debug, Clone)]
pub(super) struct Kubelets {
    client: Client<HttpConnector, Body>,
    /// One permit per log that is being streamed.
    streams: Arc<Semaphore>,
}

impl Kubelets {
    pub(super) fn new() -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, streams: Arc::new(Semaphore::new(STREAMS)) }
    }

    /// A place for one more stream.
    fn admit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let streams = Arc::clone(&self.streams);
        streams.try_acquire_owned().map_err(|_| Refusal::TooMany("too many logs are being read"))
    }
}

/// `GET pods/{name}/log`.
pub(super) async fn log(call: &Call, name: &str) -> Result<Response, Refusal> {
    let (_, pod) = call.find(name)?;
    let container = container(&pod, name, call.query.get("container"))?;
    let Some(node) = pod.pointer("/spec/nodeName").and_then(Value::as_str).filter(|node| !node.is_empty())
    else {
        // Nothing runs anywhere yet: nothing is logged.
        return Ok(([(header::CONTENT_TYPE, "text/plain")], "").into_response());
    };
    let address = address(call, node)?;
    let namespace = call.namespace.as_deref().unwrap_or_default();
    let mut path = format!("{address}/containerLogs/{namespace}/{name}/{container}");
    let mut separator = "?";
    for parameter in PARAMETERS {
        if let Some(value) = call.query.get(parameter) {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            path.extend([separator, parameter, "="]);
            path.extend(value);
            separator = "&";
        }
    }
    let uri: Uri = path.parse().map_err(|error| Refusal::Node(format!("{path:?} is no address: {error}")))?;
    let request =
        Request::get(uri.clone()).body(Body::empty()).map_err(|error| Refusal::Node(error.to_string()))?;
    let place = call.server.kubelets.admit()?;
    let answer = call.server.kubelets.client.request(request).await;
    let answer = answer.map_err(|error| Refusal::Node(format!("Get \"{uri}\": {error}")))?;
    let (parts, body) = answer.into_parts();
    if parts.status.is_success() {
        let content_type = parts.headers.get(header::CONTENT_TYPE).cloned();
        // The place is taken until the last frame was read, or nobody reads any more.
        let body = body.map_frame(move |frame| {
            let _held = &place;
            frame
        });
        let mut response = Response::new(Body::new(body));
        if let Some(content_type) = content_type {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        return Ok(response);
    }
    let complaint = Limited::new(body, COMPLAINT).collect().await;
    let complaint = complaint.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
    let complaint = complaint.unwrap_or_else(|_| "the kubelet's answer cannot be read".to_owned());
    Err(match parts.status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Refusal::BadRequest(complaint),
        _ => Refusal::Node(complaint),
    })
}

/// The container whose log is meant.
fn container(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, Refusal> {
    let names = |list: &str| -> Vec<String> {
        let list = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        let named = list.into_iter().flatten().filter_map(|container| container.get("name")?.as_str());
        named.map(str::to_owned).collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    match asked {
        Some(asked) if containers.iter().chain(&init).any(|name| name == asked) => Ok(asked.to_owned()),
        Some(asked) => Err(Refusal::BadRequest(format!("container {asked} is not valid for pod {name}"))),
        None => match containers.as_slice() {
            [only] => Ok(only.clone()),
            many => Err(Refusal::BadRequest(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            ))),
        },
    }
}

/// Where the kubelet of a node listens, from the node's status.
fn address(call: &Call, node: &str) -> Result<String, Refusal> {
    let kind = call.server.kinds.find("", "v1", "nodes").ok_or(Refusal::NoSuchResource)?;
    let Some(row) = call.server.store.get(&objects::key(kind, None, node))? else {
        return Err(Refusal::Node(format!("nodes \"{node}\" not found")));
    };
    let object = codec::decode(&row)?;
    let addresses = object.pointer("/status/addresses").and_then(Value::as_array);
    let internal = addresses.into_iter().flatten().find(|address| address["type"] == "InternalIP");
    let ip = internal.and_then(|address| address["address"].as_str());
    let port = object.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    match (ip, port) {
        // An IPv6 address needs brackets before a port.
        (Some(ip), Some(port)) if ip.contains(':') => Ok(format!("http://[{ip}]:{port}")),
        (Some(ip), Some(port)) => Ok(format!("http://{ip}:{port}")),
        _ => Err(Refusal::Node(format!("node {node} names no kubelet endpoint"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logs_are_read_by_a_bounded_number_at_a_time() {
        let kubelets = Kubelets::new();
        let mut places: Vec<_> = (0..STREAMS).map(|_| kubelets.admit().unwrap()).collect();
        let refusal = kubelets.admit().unwrap_err();
        assert_eq!(refusal.status()["code"], 429);
        places.pop();
        assert!(kubelets.admit().is_ok(), "a place that was left is free");
    }

    #[test]
    fn a_log_is_of_one_container() {
        let pod = json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&pod, "p", None).unwrap(), "a");
        assert_eq!(container(&pod, "p", Some("i")).unwrap(), "i");
        assert!(container(&pod, "p", Some("x")).is_err());
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let message = container(&two, "p", None).unwrap_err().to_string();
        assert_eq!(message, "a container name must be specified for pod p, choose one of: [a b]");
    }
}
