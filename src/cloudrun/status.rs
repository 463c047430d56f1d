//! A [`Fault`] as gRPC says it: a status with the rich details that Google's clients unpack.

use prost::Message;
use prost_types::Any;
use tonic::Status;

use super::fault::{About, Detail, Fault, Violation};
use super::messages::rpc::bad_request::FieldViolation;
use super::messages::rpc::{self, BadRequest, ResourceInfo};

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Fault { code, message, detail } = fault;
        let details: Vec<Any> = match detail {
            Detail::None => Vec::new(),
            Detail::Fields(violations) => vec![fields(violations)],
            Detail::Resource(about) => vec![resource(about)],
        };
        if details.is_empty() {
            return Status::new(code, message);
        }
        let rich = rpc::Status { code: code.into(), message: message.clone(), details };
        Status::with_details(code, message, rich.encode_to_vec().into())
    }
}

fn fields(violations: Vec<Violation>) -> Any {
    let violation =
        |Violation { field, description }| FieldViolation { field, description, ..FieldViolation::default() };
    let message = BadRequest { field_violations: violations.into_iter().map(violation).collect() };
    packed("google.rpc.BadRequest", &message)
}

fn resource(About { kind, name }: About) -> Any {
    let message = ResourceInfo {
        resource_type: kind,
        resource_name: name,
        owner: String::new(),
        description: String::new(),
    };
    packed("google.rpc.ResourceInfo", &message)
}

/// A message with its type, as `google.protobuf.Any` carries it. The message crate does not name its types.
pub(super) fn packed(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}
