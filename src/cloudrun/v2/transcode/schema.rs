//! What the fields of the messages are called, by their tags.

use crate::cloudrun::messages::{api, v2};

/// What there is in a message.
#[derive(Debug)]
pub(in crate::cloudrun::v2) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) tag: u32,
    /// In the words of the protocol: `snake_case`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether it is a list.
    pub(super) many: bool,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Bool,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// One of a few words.
    Words(Words),
    /// Text to text.
    Map,
    /// `google.protobuf.Timestamp`.
    Time,
    /// `google.protobuf.Duration`.
    Span,
    /// `google.protobuf.Any`.
    Any,
    Message(&'static Message),
}

/// The values of an enum.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) name: fn(i32) -> Option<&'static str>,
    pub(super) number: fn(&str) -> Option<i32>,
}

/// The message of a type that comes in an `Any`.
pub(super) fn by_type(type_url: &str) -> Option<&'static Message> {
    let found = match type_url.rsplit('/').next()? {
        "google.cloud.run.v2.Job" => &JOB,
        "google.cloud.run.v2.Execution" => &EXECUTION,
        "google.cloud.run.v2.Task" => &TASK,
        "google.rpc.BadRequest" => &BAD_REQUEST,
        "google.rpc.ResourceInfo" => &RESOURCE_INFO,
        _ => return None,
    };
    Some(found)
}

type Held = (Kind, bool);

const TEXT: Held = (Kind::Text, false);
const TEXTS: Held = (Kind::Text, true);
const BOOL: Held = (Kind::Bool, false);
const INT: Held = (Kind::Int, false);
const LONG: Held = (Kind::Long, false);
const MAP: Held = (Kind::Map, false);
const TIME: Held = (Kind::Time, false);
const SPAN: Held = (Kind::Span, false);
const ANY: Held = (Kind::Any, false);
const ANYS: Held = (Kind::Any, true);

const fn one(message: &'static Message) -> Held {
    (Kind::Message(message), false)
}

const fn many(message: &'static Message) -> Held {
    (Kind::Message(message), true)
}

const fn field(tag: u32, name: &'static str, (kind, many): Held) -> Field {
    Field { tag, name, kind, many }
}

macro_rules! words {
    ($words:ty) => {
        (
            Kind::Words(Words {
                name: |number| <$words>::try_from(number).ok().map(|word| word.as_str_name()),
                number: |name| <$words>::from_str_name(name).map(i32::from),
            }),
            false,
        )
    };
}

/// A message: tag, name and kind of each field.
macro_rules! message {
    ($message:ident { $($tag:literal $name:ident $kind:expr),* $(,)? }) => {
        pub(in crate::cloudrun::v2) static $message: Message =
            Message { fields: &[$(field($tag, stringify!($name), $kind)),*] };
    };
}

message!(STATUS { 1 code INT, 2 message TEXT, 3 details ANYS });
message!(FIELD_VIOLATION { 1 field TEXT, 2 description TEXT, 3 reason TEXT });
message!(BAD_REQUEST { 1 field_violations many(&FIELD_VIOLATION) });
message!(RESOURCE_INFO { 1 resource_type TEXT, 2 resource_name TEXT, 3 owner TEXT, 4 description TEXT });
message!(OPERATION { 1 name TEXT, 2 metadata ANY, 3 done BOOL, 4 error one(&STATUS), 5 response ANY });
message!(LIST_OPERATIONS_RESPONSE {
    1 operations many(&OPERATION), 2 next_page_token TEXT, 3 unreachable TEXTS,
});
message!(WAIT_OPERATION_REQUEST { 1 name TEXT, 2 timeout SPAN });
message!(BINARY_AUTHORIZATION { 2 breakglass_justification TEXT, 1 use_default BOOL, 3 policy TEXT });
message!(CLOUD_STORAGE_SOURCE { 1 bucket TEXT, 2 object TEXT, 3 generation LONG });
message!(SOURCE_CODE { 1 cloud_storage_source one(&CLOUD_STORAGE_SOURCE) });
message!(SECRET_KEY_SELECTOR { 1 secret TEXT, 2 version TEXT });
message!(ENV_VAR_SOURCE { 1 secret_key_ref one(&SECRET_KEY_SELECTOR) });
message!(ENV_VAR { 1 name TEXT, 2 value TEXT, 3 value_source one(&ENV_VAR_SOURCE) });
message!(RESOURCE_REQUIREMENTS { 1 limits MAP, 2 cpu_idle BOOL, 3 startup_cpu_boost BOOL });
message!(CONTAINER_PORT { 1 name TEXT, 3 container_port INT });
message!(VOLUME_MOUNT { 1 name TEXT, 3 mount_path TEXT, 4 sub_path TEXT });
message!(HTTP_HEADER { 1 name TEXT, 2 value TEXT });
message!(HTTP_GET_ACTION { 1 path TEXT, 4 http_headers many(&HTTP_HEADER), 5 port INT });
message!(TCP_SOCKET_ACTION { 1 port INT });
message!(GRPC_ACTION { 1 port INT, 2 service TEXT });
message!(PROBE {
    1 initial_delay_seconds INT, 2 timeout_seconds INT, 3 period_seconds INT, 4 failure_threshold INT,
    5 http_get one(&HTTP_GET_ACTION), 6 tcp_socket one(&TCP_SOCKET_ACTION), 7 grpc one(&GRPC_ACTION),
});
message!(BUILD_INFO { 1 function_target TEXT, 2 source_location TEXT });
message!(CONTAINER {
    1 name TEXT, 2 image TEXT, 3 command TEXTS, 4 args TEXTS, 5 env many(&ENV_VAR),
    6 resources one(&RESOURCE_REQUIREMENTS), 7 ports many(&CONTAINER_PORT),
    8 volume_mounts many(&VOLUME_MOUNT), 9 working_dir TEXT, 10 liveness_probe one(&PROBE),
    11 startup_probe one(&PROBE), 12 depends_on TEXTS, 13 base_image_uri TEXT,
    14 readiness_probe one(&PROBE), 15 build_info one(&BUILD_INFO), 17 source_code one(&SOURCE_CODE),
});
message!(VERSION_TO_PATH { 1 path TEXT, 2 version TEXT, 3 mode INT });
message!(SECRET_VOLUME_SOURCE { 1 secret TEXT, 2 items many(&VERSION_TO_PATH), 3 default_mode INT });
message!(CLOUD_SQL_INSTANCE { 1 instances TEXTS });
message!(EMPTY_DIR_VOLUME_SOURCE { 1 medium words!(v2::empty_dir_volume_source::Medium), 2 size_limit TEXT });
message!(NFS_VOLUME_SOURCE { 1 server TEXT, 2 path TEXT, 3 read_only BOOL });
message!(GCS_VOLUME_SOURCE { 1 bucket TEXT, 2 read_only BOOL, 3 mount_options TEXTS });
message!(VOLUME {
    1 name TEXT, 2 secret one(&SECRET_VOLUME_SOURCE), 3 cloud_sql_instance one(&CLOUD_SQL_INSTANCE),
    4 empty_dir one(&EMPTY_DIR_VOLUME_SOURCE), 5 nfs one(&NFS_VOLUME_SOURCE),
    6 gcs one(&GCS_VOLUME_SOURCE),
});
message!(NETWORK_INTERFACE { 1 network TEXT, 2 subnetwork TEXT, 3 tags TEXTS });
message!(VPC_ACCESS {
    1 connector TEXT, 2 egress words!(v2::vpc_access::VpcEgress),
    3 network_interfaces many(&NETWORK_INTERFACE),
});
message!(NODE_SELECTOR { 1 accelerator TEXT });
message!(TASK_TEMPLATE {
    1 containers many(&CONTAINER), 2 volumes many(&VOLUME), 3 max_retries INT, 4 timeout SPAN,
    5 service_account TEXT, 6 execution_environment words!(v2::ExecutionEnvironment),
    7 encryption_key TEXT, 8 vpc_access one(&VPC_ACCESS), 11 node_selector one(&NODE_SELECTOR),
    12 gpu_zonal_redundancy_disabled BOOL,
});
message!(EXECUTION_TEMPLATE {
    1 labels MAP, 2 annotations MAP, 3 parallelism INT, 4 task_count INT, 5 template one(&TASK_TEMPLATE),
});
message!(CONDITION {
    1 type TEXT, 2 state words!(v2::condition::State), 3 message TEXT, 4 last_transition_time TIME,
    5 severity words!(v2::condition::Severity), 6 reason words!(v2::condition::CommonReason),
    9 revision_reason words!(v2::condition::RevisionReason), 11 execution_reason words!(v2::condition::ExecutionReason),
});
message!(EXECUTION_REFERENCE {
    1 name TEXT, 2 create_time TIME, 3 completion_time TIME,
    4 completion_status words!(v2::execution_reference::CompletionStatus), 5 delete_time TIME,
});
message!(JOB {
    1 name TEXT, 2 uid TEXT, 3 generation LONG, 4 labels MAP, 5 annotations MAP, 6 create_time TIME,
    7 update_time TIME, 8 delete_time TIME, 9 expire_time TIME, 10 creator TEXT, 11 last_modifier TEXT,
    12 client TEXT, 13 client_version TEXT, 14 launch_stage words!(api::LaunchStage),
    15 binary_authorization one(&BINARY_AUTHORIZATION), 16 template one(&EXECUTION_TEMPLATE),
    17 observed_generation LONG, 18 terminal_condition one(&CONDITION), 19 conditions many(&CONDITION),
    20 execution_count INT, 22 latest_created_execution one(&EXECUTION_REFERENCE), 23 reconciling BOOL,
    25 satisfies_pzs BOOL, 26 start_execution_token TEXT, 27 run_execution_token TEXT, 99 etag TEXT,
});
message!(EXECUTION {
    1 name TEXT, 2 uid TEXT, 3 generation LONG, 4 labels MAP, 5 annotations MAP, 6 create_time TIME,
    7 completion_time TIME, 8 update_time TIME, 9 delete_time TIME, 10 expire_time TIME,
    11 launch_stage words!(api::LaunchStage), 12 job TEXT, 13 parallelism INT, 14 task_count INT,
    15 template one(&TASK_TEMPLATE), 16 reconciling BOOL, 17 conditions many(&CONDITION),
    18 observed_generation LONG, 19 running_count INT, 20 succeeded_count INT, 21 failed_count INT,
    22 start_time TIME, 24 cancelled_count INT, 25 retried_count INT, 26 log_uri TEXT,
    27 satisfies_pzs BOOL, 32 creator TEXT, 99 etag TEXT,
});
message!(TASK_ATTEMPT_RESULT { 1 status one(&STATUS), 2 exit_code INT, 3 term_signal INT });
message!(TASK {
    1 name TEXT, 2 uid TEXT, 3 generation LONG, 4 labels MAP, 5 annotations MAP, 6 create_time TIME,
    7 completion_time TIME, 8 update_time TIME, 9 delete_time TIME, 10 expire_time TIME, 12 job TEXT,
    13 execution TEXT, 14 containers many(&CONTAINER), 15 volumes many(&VOLUME), 16 max_retries INT,
    17 timeout SPAN, 18 service_account TEXT, 20 execution_environment words!(v2::ExecutionEnvironment),
    21 reconciling BOOL, 22 conditions many(&CONDITION), 23 observed_generation LONG, 24 index INT,
    25 retried INT, 26 last_attempt_result one(&TASK_ATTEMPT_RESULT), 27 start_time TIME,
    28 encryption_key TEXT, 29 vpc_access one(&VPC_ACCESS), 32 log_uri TEXT, 33 satisfies_pzs BOOL,
    34 scheduled_time TIME, 36 node_selector one(&NODE_SELECTOR), 37 gpu_zonal_redundancy_disabled BOOL,
    99 etag TEXT,
});
message!(CONTAINER_OVERRIDE { 1 name TEXT, 2 args TEXTS, 3 env many(&ENV_VAR), 4 clear_args BOOL });
message!(OVERRIDES { 1 container_overrides many(&CONTAINER_OVERRIDE), 2 task_count INT, 4 timeout SPAN });
message!(RUN_JOB_REQUEST { 1 name TEXT, 2 validate_only BOOL, 3 etag TEXT, 4 overrides one(&OVERRIDES) });
message!(CANCEL_EXECUTION_REQUEST { 1 name TEXT, 2 validate_only BOOL, 3 etag TEXT });
message!(LIST_JOBS_RESPONSE { 1 jobs many(&JOB), 2 next_page_token TEXT });
message!(LIST_EXECUTIONS_RESPONSE { 1 executions many(&EXECUTION), 2 next_page_token TEXT });
message!(LIST_TASKS_RESPONSE { 1 tasks many(&TASK), 2 next_page_token TEXT });
