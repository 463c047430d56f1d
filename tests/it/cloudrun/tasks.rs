//! The service Tasks: computed from what there is.

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use tonic::Code;
use v2::condition::State;

use super::{Api, fields, job};

#[tokio::test]
async fn each_task_says_how_it_went() {
    let mut api = Api::start().await;
    let mut wanted = job("[ $CLOUD_RUN_TASK_INDEX = 1 ] && { echo no luck; exit 7; }; true");
    wanted.template.as_mut().unwrap().task_count = 3;
    api.create("three", wanted).await;
    let run = api.run_to_its_end("three").await;
    assert_eq!((run.succeeded_count, run.failed_count), (2, 1));

    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            v2::ListTasksRequest { parent: run.name.clone(), page_size: 2, page_token, show_deleted: false };
        let page = api.tasks.list_tasks(request).await.unwrap().into_inner();
        seen.extend(page.tasks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1, 2]);
    let end = |task: &v2::Task| {
        task.conditions.iter().find(|condition| condition.r#type == "Completed").unwrap().state()
    };
    let wanted = [State::ConditionSucceeded, State::ConditionFailed, State::ConditionSucceeded];
    assert_eq!(seen.iter().map(end).collect::<Vec<_>>(), wanted);
    let last = seen[1].last_attempt_result.as_ref().unwrap();
    assert_eq!((last.exit_code, last.term_signal), (7, 0));
    assert!(last.status.as_ref().unwrap().message.contains("no luck"), "{last:?}");
    assert!(seen[1].start_time.is_some() && seen[1].completion_time.is_some());
    let id = run.name.rsplit('/').next().unwrap();
    assert_eq!(seen[1].name, format!("{}/tasks/{id}-task1", run.name));

    let one =
        api.tasks.get_task(v2::GetTaskRequest { name: seen[1].name.clone() }).await.unwrap().into_inner();
    assert_eq!(one, seen[1]);
    for parent in [format!("{}/executions/-", api.name("three")), format!("{}/executions/-", api.name("-"))] {
        let request = v2::ListTasksRequest { parent, ..v2::ListTasksRequest::default() };
        assert_eq!(api.tasks.list_tasks(request).await.unwrap().into_inner().tasks, seen);
    }
    let missing = v2::GetTaskRequest { name: format!("{}/tasks/{id}-task3", run.name) };
    assert_eq!(api.tasks.get_task(missing).await.unwrap_err().code(), Code::NotFound);
    let foreign = v2::GetTaskRequest { name: format!("{}/tasks/other-task0", run.name) };
    assert_eq!(fields(&api.tasks.get_task(foreign).await.unwrap_err()), ["name"]);
}
