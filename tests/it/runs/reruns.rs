//! Runs that repeat earlier ones.

use kakehi::api::CauseKind;
use kakehi::plan::NotRerun;

use super::*;

/// A directory in which tasks leave word, and the script that does: tasks of odd index fail until there is a gate.
struct Notes(tempfile::TempDir);

impl Notes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn script(&self) -> String {
        let place = self.0.path().display();
        format!(
            "echo \"$CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT for $CE_ID\" >> {place}/notes; \
             [ -e {place}/gate ] || [ $((CLOUD_RUN_TASK_INDEX % 2)) = 0 ]"
        )
    }

    fn open(&self) {
        std::fs::write(self.0.path().join("gate"), "").unwrap();
    }

    /// What was left since the last time, in order.
    fn taken(&self) -> Vec<String> {
        let path = self.0.path().join("notes");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }
}

async fn flaky(house: &House, notes: &Notes) -> (Job, Execution) {
    let job = house.job_of("flaky", &notes.script(), "{taskCount: 4}", "{maxRetries: 0}").await;
    let ended = house.run(&job).await;
    assert_eq!(counts(&ended), [2, 2, 0, 0]);
    assert_eq!(notes.taken(), ["0 of 4 for 1", "1 of 4 for 1", "2 of 4 for 1", "3 of 4 for 1"]);
    (job, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_repeated_with_its_snapshot_and_its_event() {
    let (house, notes) = (House::start().await, Notes::new());
    let (_, old) = flaky(&house, &notes).await;
    // What the Job is by now does not matter.
    house.patch_job("flaky", serde_json::json!({"spec": {"template": {"spec": {"taskCount": 1}}}})).await;
    notes.open();
    let started = ops::rerun(&house.client, &old, false, Some("once")).await.unwrap();
    let again = ops::rerun(&house.client, &old, false, Some("once")).await.unwrap();
    assert_eq!(
        (started.len(), &started[0].execution),
        (1, &again[0].execution),
        "the same request, the same run"
    );
    let new = house.ended(&started[0].execution).await;
    assert_completed(&new, "Succeeded", "4 tasks succeeded");
    assert_eq!(notes.taken(), ["0 of 4 for 1", "1 of 4 for 1", "2 of 4 for 1", "3 of 4 for 1"]);
    let cause = &new.spec.cause;
    assert_eq!(cause.kind, CauseKind::Rerun);
    let of = cause.rerun_of.as_ref().unwrap();
    assert_eq!((Some(&of.name), Some(&of.uid)), (old.metadata.name.as_ref(), old.metadata.uid.as_ref()));
    assert_eq!(of.task, None);
    let other = ops::rerun(&house.client, &old, false, None).await.unwrap();
    assert_ne!(other[0].execution, started[0].execution, "another request is another run");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_failed_tasks_are_repeated_as_what_they_were() {
    let (house, notes) = (House::start().await, Notes::new());
    let (_, old) = flaky(&house, &notes).await;
    let started = ops::rerun(&house.client, &old, true, None).await.unwrap();
    assert_eq!(started.len(), 2);
    let mut last = None;
    for (one, index) in started.iter().zip([1, 3]) {
        let ended = house.ended(&one.execution).await;
        assert_completed(
            &ended,
            "NonZeroExitCode",
            &format!("task {index} failed after 1 attempt: exit code 1"),
        );
        last = Some(ended);
    }
    assert_eq!(notes.taken(), ["1 of 4 for 1", "3 of 4 for 1"]);
    notes.open();
    // A failed task that was repeated alone is the same when it is repeated again.
    let started = ops::rerun(&house.client, &last.unwrap(), true, None).await.unwrap();
    assert_eq!(counts(&house.ended(&started[0].execution).await), [1, 0, 0, 0]);
    assert_eq!(notes.taken(), ["3 of 4 for 1"]);
    let nothing = ops::rerun(&house.client, &house.execution(&started[0].execution).await, true, None).await;
    assert!(matches!(nothing, Err(ops::Error::NotRerun(NotRerun::NoneFailed(_)))), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_is_another_one_by_now_is_not_repeated() {
    let (house, notes) = (House::start().await, Notes::new());
    let (_, old) = flaky(&house, &notes).await;
    ops::delete::<Job>(&house.client, &house.namespace, "flaky").await.unwrap();
    let refused = |result: Result<Vec<Accepted>, ops::Error>| {
        matches!(result, Err(ops::Error::NotRerun(NotRerun::JobGone(..))))
    };
    eventually("the job is gone", async || {
        let gone = house.api::<Job>().get_opt("flaky").await.unwrap();
        if gone.is_none() { Ok(()) } else { Err(gone) }
    })
    .await;
    assert!(refused(ops::rerun(&house.client, &old, false, None).await));
    house.job("flaky", "exit 0", "{}").await;
    assert!(refused(ops::rerun(&house.client, &old, false, None).await));
}
