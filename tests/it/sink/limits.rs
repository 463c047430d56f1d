//! Bodies that are too large, too slow or too many.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use kakehi::listen::Listener;
use kakehi::sink::Options;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use super::SHORT;
use super::World;
use super::event;
use super::setup;
use crate::support::DEADLINE;

const JOB: &str = "/namespaces/apps/jobs/resize";
/// Limit of these scenarios.
const LIMIT: usize = 64 * 1024;

fn limited() -> Options {
    Options { max_event_bytes: LIMIT, ..Options::default() }
}

fn with_body(id: &str, body: Body) -> Request {
    let mut request = event(JOB, id);
    *request.body_mut() = body;
    request
}

/// A body without an end, in chunks of 1 KiB, and how many bytes of it were taken.
fn endless() -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let chunks = stream::repeat_with(move || {
        counter.fetch_add(1024, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]))
    });
    (Body::from_stream(chunks), taken)
}

fn never() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test]
async fn the_limit_is_the_last_size_that_fits() {
    let world = setup().job("resize").options(limited()).start().await;
    for (id, size, code) in [("fits", LIMIT, 202), ("one more", LIMIT + 1, 413)] {
        let answer = world.send(with_body(id, Body::from(vec![b'x'; size]))).await;
        assert_eq!(answer.code(), code, "{size}");
        let pieces =
            stream::iter(vec![b'x'; size].chunks(1000).map(Bytes::copy_from_slice).collect::<Vec<_>>());
        let answer = world.send(with_body(id, Body::from_stream(pieces.map(Ok::<_, std::io::Error>)))).await;
        assert_eq!(answer.code(), code, "{size} in pieces");
        if code == 413 {
            assert!(answer.detail().contains("65536"));
        }
    }
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn half_a_mebibyte_is_taken_by_default() {
    let world = setup().job("resize").start().await;
    assert_eq!(world.send(with_body("1", Body::from(vec![b'x'; 400 * 1024]))).await.code(), 202);
    assert_eq!(world.send(with_body("2", Body::from(vec![b'x'; 512 * 1024 + 1]))).await.code(), 413);
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let world = setup().job("resize").options(limited()).start().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let body = Announced { size: 1 << 40, polls: counter };
    let mut request = with_body("1", Body::new(body));
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    assert_eq!(world.send(request).await.code(), 413);
    tokio::task::yield_now().await;
    assert_eq!(taken.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_endless_body_is_refused_at_the_limit() {
    let world = setup().job("resize").options(limited()).start().await;
    let (body, taken) = endless();
    let answer = tower::ServiceExt::oneshot(world.router.clone(), with_body("1", body)).await.unwrap();
    let taken = taken.load(Ordering::SeqCst);
    assert_eq!(answer.status(), 413);
    assert!(taken <= LIMIT + 1024, "{taken} bytes were read");
}

#[tokio::test]
async fn a_slow_body_is_given_up_and_may_be_sent_again() {
    let options = Options { body_timeout: SHORT, ..Options::default() };
    let world = setup().job("resize").options(options).start().await;
    let answer = world.send(with_body("1", never())).await;
    assert_eq!(answer.code(), 503);
    assert!(answer.detail().contains("in time"));
    assert_eq!(world.post_event("1").await.code(), 202);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_event() {
    let world = setup().job("resize").start().await;
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))]);
    let answer = world.send(with_body("1", Body::from_stream(broken))).await;
    assert_eq!(answer.code(), 400);
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn more_requests_than_fit_are_shed_and_the_rest_go_on() {
    let options = Options { max_requests: 2, ..Options::default() };
    let world = setup().job("resize").options(options).start().await;
    let held: Vec<_> = (0..2)
        .map(|id| {
            let router = world.router.clone();
            let request = with_body(&id.to_string(), never());
            tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for _ in 0..5 {
        let answer = world.post_event("shed").await;
        assert_eq!(answer.code(), 429);
        answer.detail();
    }
    // Probes are not shed.
    let probe = Request::get("/readyz").body(Body::empty()).unwrap();
    assert_eq!(world.send(probe).await.code(), 200);
    for task in held {
        task.abort();
        drop(task.await);
    }
    assert_eq!(world.post_event("shed").await.code(), 202);
}

#[tokio::test]
async fn memory_for_bodies_is_bounded_over_all_requests() {
    let options = Options { max_buffered_bytes: 4 * LIMIT, ..limited() };
    let world = setup().job("resize").options(options).start().await;
    // Each holds 60 KiB and waits for more; four of them leave room for 16 KiB.
    let held: Vec<_> = (0..4)
        .map(|id| {
            let router = world.router.clone();
            let start = stream::once(async { Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 60 * 1024])) });
            let request = with_body(&id.to_string(), Body::from_stream(start.chain(stream::pending())));
            tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let answer = world.send(with_body("large", Body::from(vec![b'x'; 17 * 1024]))).await;
    assert_eq!(answer.code(), 429);
    answer.detail();
    assert_eq!(world.send(with_body("small", Body::from(vec![b'x'; 16 * 1024]))).await.code(), 202);
    for task in held {
        task.abort();
        drop(task.await);
    }
    assert_eq!(world.send(with_body("large", Body::from(vec![b'x'; 17 * 1024]))).await.code(), 202);
}

#[tokio::test]
async fn a_sink_that_has_finished_reads_nothing_any_more() {
    let world = setup().start().await;
    let (body, taken) = endless();
    let request = Request::post("/namespaces/apps/executions/x").body(body).unwrap();
    assert_eq!(world.send(request).await.code(), 405);
    tokio::time::timeout(DEADLINE, world.sink.finish()).await.expect("what is left over is bounded");
    let taken = taken.load(Ordering::SeqCst);
    assert!(
        taken > 1024 * 1024,
        "only {taken} bytes of the refused body were read when the sink had finished"
    );
}

/// A body that announces a size and counts who asks for it.
struct Announced {
    size: u64,
    polls: Arc<AtomicUsize>,
}

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        std::task::Poll::Pending
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.size)
    }
}

/// The sink of that world on a port.
async fn serve(world: &World) -> (TcpStream, DropGuard) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.address();
    let shutdown = CancellationToken::new();
    tokio::spawn(listener.serve(world.router.clone(), shutdown.clone(), Duration::from_secs(1)));
    (TcpStream::connect(address).await.unwrap(), shutdown.drop_guard())
}

const HEAD: &str = "POST /namespaces/apps/jobs/resize HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n";

/// What arrives until the head of an answer is complete.
async fn head_of_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut received = Vec::new();
    let reading = async {
        while !received.windows(4).any(|window| window == b"\r\n\r\n") {
            let read = stream.read_buf(&mut received).await.unwrap();
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&received));
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("an answer in time");
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_told_before_it_sends_anything() {
    let world = setup().job("resize").options(limited()).start().await;
    let (mut stream, _serving) = serve(&world).await;
    let head = format!("{HEAD}content-length: 1000000\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = head_of_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let world = setup().job("resize").options(limited()).start().await;
    let (mut stream, _serving) = serve(&world).await;
    stream
        .write_all(format!("{HEAD}content-length: 2\r\nexpect: 100-continue\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let answer = head_of_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");
    stream.write_all(b"{}").await.unwrap();
    let answer = head_of_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_without_end_is_told_while_it_sends() {
    let world = setup().job("resize").options(limited()).start().await;
    let (stream, _serving) = serve(&world).await;
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
        let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
        loop {
            writing.write_all(&chunk).await?;
            tokio::task::yield_now().await;
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        Ok::<(), std::io::Error>(())
    });
    let answer = head_of_answer(&mut reading).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    sending.abort();
}

/// The head of an event with that many extensions, each with a value of that length.
fn head_with(id: &str, extensions: usize, length: usize) -> String {
    let value = "x".repeat(length);
    let more: Vec<_> = (0..extensions).map(|number| format!("ce-e{number}: {value}\r\n")).collect();
    let more = more.concat();
    format!("{HEAD}{more}\r\n").replacen("ce-id: 1", &format!("ce-id: {id}"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded_by_number_and_size() {
    let world = setup().job("resize").start().await;
    for (id, extensions, length, expected) in [
        // As many as an event may have; then one more, then more than a head may have.
        ("all", 128, 10, "202"),
        ("more", 129, 10, "400"),
        ("many", 300, 10, "431"),
        ("large", 60, 1000, "202"),
        ("larger", 70, 1000, "431"),
        ("one", 1, 100_000, "431"),
    ] {
        let (mut stream, _serving) = serve(&world).await;
        // Whoever refuses need not read to the end.
        drop(stream.write_all(head_with(id, extensions, length).as_bytes()).await);
        let answer = head_of_answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{id}: {answer}");
    }
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_follow_each_other_on_one_connection() {
    let world = setup().job("resize").options(limited()).start().await;
    let (mut stream, _serving) = serve(&world).await;
    for (body, expected) in [("{}", "202"), ("", "202")] {
        let request = format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = head_of_answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
        assert!(answer.contains("content-length: 0"), "{answer}");
    }
}
