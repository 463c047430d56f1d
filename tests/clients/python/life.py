"""The whole life of a Job, driven by Google's own Python client over plaintext gRPC or REST.

Usage: life.py ADDRESS NAMESPACE grpc|rest

Ends with 0 if everything was as a user of Cloud Run expects it. Each step prints what it has shown.
"""

import sys

import grpc
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.cloud.run_v2.services.executions import transports as of_executions
from google.cloud.run_v2.services.jobs import transports as of_jobs
from google.cloud.run_v2.services.tasks import transports as of_tasks
from google.protobuf import duration_pb2, json_format
from google.rpc import error_details_pb2

# Long enough for a busy machine; every wait ends with what it waits for.
PATIENCE = 120


def shell(script, **task):
    """A Job whose container runs `script`; without retries, so that a failure is one."""
    container = run_v2.Container(image="none", command=["/bin/sh", "-c", script, "sh"])
    template = run_v2.TaskTemplate(containers=[container], **{"max_retries": 0, **task})
    return run_v2.Job(template=run_v2.ExecutionTemplate(template=template))


def said(step):
    print(f"ok: {step}", flush=True)


def refused(kind, call):
    """The exception of that kind that `call` ends with. Over REST the client knows no more than the HTTP status."""
    try:
        found = call()
    except exceptions.GoogleAPICallError as error:
        assert isinstance(error, kind) or (not error.grpc_status_code and error.code == kind.code), repr(error)
        return error
    raise AssertionError(f"no {kind.__name__}, but {found!r}")


def detail(error, kind):
    """What of that kind an exception brought; over REST as it stood in the JSON."""
    for one in error.details:
        if isinstance(one, kind):
            return one
        if isinstance(one, dict) and one["@type"].endswith(f"/{kind.DESCRIPTOR.full_name}"):
            return json_format.ParseDict({key: one[key] for key in one if key != "@type"}, kind())
    raise AssertionError(f"no {kind.DESCRIPTOR.full_name} in {error.details!r}")


class Life:
    def __init__(self, address, namespace, protocol):
        if protocol == "grpc":
            how = {"channel": grpc.insecure_channel(address)}
            jobs, executions, tasks = (
                of_jobs.JobsGrpcTransport,
                of_executions.ExecutionsGrpcTransport,
                of_tasks.TasksGrpcTransport,
            )
        else:
            how = {"host": address, "url_scheme": "http", "credentials": AnonymousCredentials()}
            jobs, executions, tasks = (
                of_jobs.JobsRestTransport,
                of_executions.ExecutionsRestTransport,
                of_tasks.TasksRestTransport,
            )
        self.jobs = run_v2.JobsClient(transport=jobs(**how))
        self.executions = run_v2.ExecutionsClient(transport=executions(**how))
        self.tasks = run_v2.TasksClient(transport=tasks(**how))
        self.parent = f"projects/{namespace}/locations/us-central1"

    def create(self, name, job):
        operation = self.jobs.create_job(parent=self.parent, job=job, job_id=name)
        made = operation.result(timeout=PATIENCE)
        assert made.name == f"{self.parent}/jobs/{name}", made.name
        ready = made.terminal_condition
        assert ready.type_ == "Ready" and ready.state == run_v2.Condition.State.CONDITION_SUCCEEDED, ready
        return made

    def made_and_read(self):
        made = self.create("life", shell("true", timeout=duration_pb2.Duration(seconds=30)))
        assert self.jobs.get_job(name=made.name) == made
        task = made.template.template
        assert "max_retries" in task and task.max_retries == 0 and task.timeout.seconds == 30
        assert [job.name for job in self.jobs.list_jobs(parent=self.parent)] == [made.name]
        said("a job is created, read and listed")
        taken = refused(exceptions.AlreadyExists, lambda: self.create("life", shell("true")))
        info = detail(taken, error_details_pb2.ResourceInfo)
        assert info.resource_name.endswith("life"), info
        said("a name that is taken is refused with what has it")
        return made

    def run(self, job):
        operation = self.jobs.run_job(name=job.name)
        begun = operation.metadata
        assert begun.name.startswith(f"{job.name}/executions/life-"), begun.name
        ended = operation.result(timeout=PATIENCE)
        assert (ended.name, ended.succeeded_count, ended.failed_count) == (begun.name, 1, 0), ended
        assert ended.completion_time >= ended.start_time >= ended.create_time
        assert self.executions.get_execution(name=ended.name) == ended
        assert [one.name for one in self.executions.list_executions(parent=job.name)] == [ended.name]
        [task] = self.tasks.list_tasks(parent=ended.name)
        assert task.index == 0 and task.last_attempt_result.exit_code == 0, task
        assert self.tasks.get_task(name=task.name) == task
        said("a run is waited for, read and listed, with its task")

    def run_with_overrides(self, job):
        override = run_v2.RunJobRequest.Overrides.ContainerOverride(
            args=["--loud"], env=[run_v2.EnvVar(name="WORD", value="$(literally)")]
        )
        overrides = run_v2.RunJobRequest.Overrides(
            container_overrides=[override], task_count=3, timeout=duration_pb2.Duration(seconds=77)
        )
        request = run_v2.RunJobRequest(name=job.name, overrides=overrides)
        ended = self.jobs.run_job(request=request).result(timeout=PATIENCE)
        [container] = ended.template.containers
        assert (ended.task_count, ended.succeeded_count) == (3, 3), ended
        assert (list(container.args), container.env[0].value) == (["--loud"], "$(literally)"), container
        assert self.jobs.get_job(name=job.name).template.task_count == 1
        said("a run has its overrides, and the job has not")

    def failure(self):
        job = self.create("broken", shell("echo no luck >&2; exit 3"))
        operation = self.jobs.run_job(name=job.name)
        error = refused(exceptions.Unknown, lambda: operation.result(timeout=PATIENCE))
        assert "exit code 3" in str(error) and "no luck" in str(error), error
        [task] = self.tasks.list_tasks(parent=operation.metadata.name)
        assert task.last_attempt_result.exit_code == 3, task
        said("a run that fails is an exception that says why")

    def cancelled(self):
        job = self.create("long", shell("exec sleep 300"))
        running = self.jobs.run_job(name=job.name)
        name = running.metadata.name
        stopped = self.executions.cancel_execution(name=name).result(timeout=PATIENCE)
        assert stopped.cancelled_count == 1 and not stopped.reconciling, stopped
        reasons = [one.execution_reason for one in stopped.conditions if one.type_ == "Completed"]
        assert reasons == [run_v2.Condition.ExecutionReason.CANCELLED], stopped.conditions
        refused(exceptions.Cancelled, lambda: running.result(timeout=PATIENCE))
        said("a run is cancelled, and who waits for it hears of that")
        self.executions.delete_execution(name=name).result(timeout=PATIENCE)
        refused(exceptions.NotFound, lambda: self.executions.get_execution(name=name))
        said("a run is deleted, and gone at once")
        operation = self.jobs.run_job(name=job.name)
        operation.cancel()
        refused(exceptions.Cancelled, lambda: operation.result(timeout=PATIENCE))
        said("an operation is cancelled")

    def changed(self, job):
        read = self.jobs.get_job(name=job.name)
        assert read.etag == job.etag, "runs leave the etag alone"
        read.template.task_count = 2
        written = self.jobs.update_job(job=read).result(timeout=PATIENCE)
        assert written.template.task_count == 2 and written.etag != read.etag
        refused(exceptions.Aborted, lambda: self.jobs.update_job(job=read))
        said("a job is updated, and a stale update is refused")
        request = run_v2.UpdateJobRequest(
            job=run_v2.Job(shell("true"), name=f"{self.parent}/jobs/new"), allow_missing=True
        )
        assert self.jobs.update_job(request=request).result(timeout=PATIENCE).generation == 1
        said("an update may create")

    def refusals(self, job):
        odd = shell("true")
        odd.template.template.vpc_access = run_v2.VpcAccess(connector="c")
        odd.template.template.containers[0].image = ""
        error = refused(exceptions.InvalidArgument, lambda: self.create("odd", odd))
        bad = detail(error, error_details_pb2.BadRequest)
        fields = sorted(one.field for one in bad.field_violations)
        assert fields == ["job.template.template.containers[0].image", "job.template.template.vpc_access"], fields
        said("what cannot be honoured is refused by name")
        request = run_v2.DeleteJobRequest(name=job.name, validate_only=True)
        self.jobs.delete_job(request=request)
        assert self.jobs.get_job(name=job.name)
        refused(exceptions.MethodNotImplemented, lambda: self.jobs.get_iam_policy({"resource": job.name}))
        said("validating changes nothing, and there are no policies")

    def deleted(self, job):
        gone = self.jobs.delete_job(name=job.name).result(timeout=PATIENCE)
        assert gone.delete_time and gone.uid == job.uid, gone
        refused(exceptions.NotFound, lambda: self.jobs.get_job(name=job.name))
        names = [one.name for one in self.jobs.list_jobs(parent=self.parent)]
        assert job.name not in names, names
        said("a job is deleted, and gone at once")

    def whole(self):
        job = self.made_and_read()
        self.run(job)
        self.run_with_overrides(job)
        self.failure()
        self.cancelled()
        self.changed(job)
        self.refusals(job)
        self.deleted(job)


if __name__ == "__main__":
    Life(*sys.argv[1:]).whole()
