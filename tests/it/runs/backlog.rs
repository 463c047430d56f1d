//! The bound on runs that wait, at the doors: who is sent away, who is not, and what it takes to be let in again.

use axum::Router;
use axum::body::Body;
use http::Request;
use http::StatusCode;
use http::header::LOCATION;
use http::header::RETRY_AFTER;
use kakehi::sink::Options;
use kakehi::sink::Sink;
use kakehi::triggers::Triggers;
use tower::ServiceExt;

use super::*;

/// A sink before the machine.
struct Door {
    sink: Router,
    triggers: Triggers,
    path: String,
    _open: DropGuard,
}

impl Door {
    async fn to(house: &House, job: &str) -> Self {
        let shutdown = CancellationToken::new();
        let triggers = Triggers::new(house.client.clone()).within(&house.namespace);
        let sink = Sink::new(house.client.clone(), triggers.clone(), Options::default(), shutdown.clone());
        let (live, until) = (triggers.clone(), shutdown.clone());
        tokio::spawn(async move { live.run(until).await });
        let path = format!("/namespaces/{}/jobs/{job}", house.namespace);
        let door = Self { sink: sink.router(), triggers, path, _open: shutdown.drop_guard() };
        door.knows(house, job, |_| true).await;
        door
    }

    /// Waits until the sink has seen the Job in that state.
    async fn knows(&self, house: &House, job: &str, wanted: impl Fn(&Job) -> bool) {
        eventually("the sink knows the job", async || match self.triggers.job(&house.namespace, job).await {
            Ok(Some(found)) if wanted(found.job()) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    async fn post(&self, content: &str, body: String, id: Option<&str>) -> http::Response<Body> {
        let mut request = Request::post(&self.path).header("content-type", content);
        if let Some(id) = id {
            let head = [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/s"), ("ce-type", "t")];
            for (name, value) in head {
                request = request.header(name, value);
            }
        }
        self.sink.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
    }

    async fn send(&self, id: &str) -> StatusCode {
        let answer = self.post("application/json", "{}".to_owned(), Some(id)).await;
        let (status, headers) = (answer.status(), answer.headers());
        assert_eq!(status == StatusCode::ACCEPTED, headers.contains_key(LOCATION));
        assert_eq!(status == StatusCode::TOO_MANY_REQUESTS, headers.contains_key(RETRY_AFTER));
        status
    }

    async fn send_all(&self, ids: &[&str]) -> StatusCode {
        let event =
            |id: &&str| serde_json::json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t"});
        let batch = serde_json::Value::Array(ids.iter().map(event).collect());
        self.post("application/cloudevents-batch+json", batch.to_string(), None).await.status()
    }
}

const TAKEN: StatusCode = StatusCode::ACCEPTED;
const FULL: StatusCode = StatusCode::TOO_MANY_REQUESTS;

#[tokio::test(flavor = "multi_thread")]
async fn what_this_sink_accepted_counts_before_anybody_has_counted_it() {
    let house = House::without_controllers().await;
    house.job("held", "exit 0", "{suspend: true, concurrency: {queueLimit: 3}}").await;
    let door = Door::to(&house, "held").await;
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let answers = futures::future::join_all(ids.iter().map(|id| door.send(id))).await;
    assert_eq!(answers.iter().filter(|answer| **answer == TAKEN).count(), 3);
    assert_eq!(answers.iter().filter(|answer| **answer == FULL).count(), 17);
    let again = futures::future::join_all(ids.iter().map(|id| door.send(id))).await;
    assert_eq!(again, answers, "whoever has a run is told so again, and nobody else slips in");
    assert_eq!(house.api::<Execution>().list(&ListParams::default()).await.unwrap().items.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sends_away_everybody_but_those_who_are_in_it_until_there_is_room() {
    let (house, yard) = (House::start().await, tempfile::tempdir().unwrap());
    let gate = yard.path().join("open");
    let script = format!("until test -e {}; do sleep 0.02; done", gate.display());
    let job = house.job("full", &script, "{concurrency: {policy: Queue, queueLimit: 2}}").await;
    let door = Door::to(&house, "full").await;
    assert_eq!(door.send("1").await, TAKEN);
    let first = house.send(&job, "away").await.execution;
    assert_eq!(door.send("2").await, TAKEN);
    door.knows(&house, "full", |job| {
        let status = job.status.clone().unwrap_or_default();
        (status.running_count, status.queued_count) == (1, 2)
    })
    .await;
    assert_eq!((door.send("3").await, door.send("2").await, door.send("1").await), (FULL, TAKEN, TAKEN));
    assert_eq!((door.send_all(&["1", "2"]).await, door.send_all(&["1", "3"]).await), (TAKEN, FULL));
    let by_hand = ops::run(&house.client, &house.namespace, "full", None).await.unwrap_err();
    assert_eq!(by_hand.to_string(), "the queue of job full is full: it lets 2 runs wait");
    assert!(by_hand.is_transient());
    std::fs::write(&gate, "").unwrap();
    house.ended(&first).await;
    eventually("there is room again", async || match door.send("3").await {
        TAKEN => Ok(()),
        other => Err(other),
    })
    .await;
}
