//! The election over a Lease whose requests fare badly, in paused time.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::jiff::SignedDuration;
use kube::client::Body;
use kube::core::Status;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An API server that keeps one Lease. It is ours because time is paused here, and a real one has threads that a paused
/// clock does not wait for.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<(u64, Option<Lease>)>>);

impl Server {
    fn answer(&self, method: &Method, sent: Option<Lease>) -> Response<Body> {
        let (version, stored) = &mut *self.0.lock();
        let version_of = |lease: &Lease| lease.metadata.resource_version.clone();
        let (code, reason) = match (method, sent, stored.is_some()) {
            (&Method::GET, _, true) => (200, ""),
            (&Method::GET | &Method::PUT, _, false) => (404, "NotFound"),
            (&Method::POST, _, true) => (409, "AlreadyExists"),
            (&Method::PUT, Some(lease), true)
                if version_of(&lease) != stored.as_ref().and_then(version_of) =>
            {
                (409, "Conflict")
            }
            (_, Some(mut lease), _) => {
                *version += 1;
                lease.metadata.resource_version = Some(version.to_string());
                *stored = Some(lease);
                (200, "")
            }
            other => panic!("unexpected: {other:?}"),
        };
        let body = if code == 200 {
            serde_json::to_vec(&stored)
        } else {
            serde_json::to_vec(&Status::failure(reason, reason).with_code(code))
        };
        let mut response = Response::new(Body::from(body.unwrap()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }

    fn spec(&self) -> k8s_openapi::api::coordination::v1::LeaseSpec {
        self.0.lock().1.clone().unwrap().spec.unwrap()
    }
}

/// What happens to a request on its way.
#[derive(Debug, Clone, Copy)]
struct Way {
    there: Duration,
    back: Duration,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    /// It never arrives.
    Lost,
    /// It arrives, and the answer does not.
    AnswerLost,
}

const STRAIGHT: Way = Way { there: Duration::ZERO, back: Duration::ZERO, fate: Fate::Arrives };

type Route = Arc<dyn Fn() -> Way + Send + Sync>;

fn client(server: &Server, route: Route) -> Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (server, way) = (server.clone(), route());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let sent = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap());
            // What was sent arrives even if nobody waits for the answer any more.
            let arriving = tokio::spawn(async move {
                sleep(way.there).await;
                (way.fate != Fate::Lost).then(|| server.answer(&head.method, sent))
            });
            match arriving.await.unwrap() {
                Some(answer) if way.fate == Fate::Arrives => {
                    sleep(way.back).await;
                    Ok::<_, tower::BoxError>(answer)
                }
                _ => std::future::pending().await,
            }
        }
    });
    Client::new(service, "default")
}

/// A time in which a process could write.
#[derive(Debug, Clone)]
struct Term {
    who: &'static str,
    from: Instant,
    /// The last write that passed its fence.
    to: Instant,
}

type Terms = Arc<Mutex<Vec<Term>>>;

impl Standing {
    fn leads(&self) -> bool {
        self.0.lock().leads.get() == 1
    }
}

/// One process, with work that writes all the time and goes on for `slow` after it was told to end.
struct Process {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
    standing: Standing,
}

fn process(
    who: &'static str,
    server: &Server,
    route: Route,
    (clock, slow): (fn() -> Timestamp, Duration),
    terms: &Terms,
) -> Process {
    let options = LeaseOptions {
        namespace: "default".to_owned(),
        name: "l".to_owned(),
        identity: who.to_owned(),
        timing: Timing::default(),
    };
    // What the work writes to answers at once; only the fence is in its way.
    let working = Client::new(
        tower::service_fn(async |_: Request<Body>| Ok::<_, tower::BoxError>(Response::new(Body::empty()))),
        "default",
    );
    let mut election = Election::new(client(server, route), working, options);
    election.clock = clock;
    let (shutdown, standing, terms) = (CancellationToken::new(), election.standing(), terms.clone());
    let work = move |client: Client, stop: CancellationToken| {
        let terms = terms.clone();
        async move {
            let begun = Instant::now();
            let number = {
                let mut terms = terms.lock();
                terms.push(Term { who, from: begun, to: begun });
                terms.len() - 1
            };
            let mut told = None;
            while told.is_none_or(|told: Instant| told.elapsed() < slow) {
                let sent = Instant::now();
                if client.send(Request::get("/").body(Body::empty()).unwrap()).await.is_ok() {
                    terms.lock()[number].to = sent;
                }
                sleep(SECOND / 20).await;
                if stop.is_cancelled() {
                    told = told.or(Some(Instant::now()));
                }
            }
        }
    };
    let task = tokio::spawn(election.run(work, shutdown.clone()));
    Process { shutdown, task, standing }
}

fn straight() -> Route {
    Arc::new(|| STRAIGHT)
}

/// A route that breaks when the token is cancelled.
fn breakable(broken: &CancellationToken) -> Route {
    let broken = broken.clone();
    Arc::new(move || Way { fate: if broken.is_cancelled() { Fate::Lost } else { Fate::Arrives }, ..STRAIGHT })
}

/// Half a century. Clocks are wrong here, but they go.
const SKEW: SignedDuration = SignedDuration::from_hours(24 * 365 * 50);

fn late() -> Timestamp {
    Timestamp::now() - SKEW
}

fn early() -> Timestamp {
    Timestamp::now() + SKEW
}

#[track_caller]
fn never_two(terms: &[Term]) {
    for (index, one) in terms.iter().enumerate() {
        for other in &terms[index + 1..] {
            assert!(one.to < other.from || other.to < one.from, "two led at once: {one:?} {other:?}");
        }
    }
}

async fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() <= within, "{what}: not within {within:?}");
        sleep(SECOND / 10).await;
    }
    begun.elapsed()
}

fn count(terms: &Terms) -> usize {
    terms.lock().len()
}

#[tokio::test(start_paused = true)]
async fn of_two_one_leads_and_whoever_ends_in_order_is_followed_at_once() {
    let (server, terms) = (Server::default(), Terms::default());
    let one = process("one", &server, straight(), (late, SECOND), &terms);
    until("a first leader", SECOND, || count(&terms) == 1).await;
    let two = process("two", &server, straight(), (early, SECOND), &terms);
    sleep(SECOND * 300).await;
    assert_eq!(count(&terms), 1);
    assert!(one.standing.leads() && !two.standing.leads());
    assert_eq!(server.spec().lease_transitions, Some(0));
    one.shutdown.cancel();
    one.task.await.unwrap().unwrap();
    let spec = server.spec();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some(""), Some(1)));
    until("a successor", SECOND * 5, || count(&terms) == 2).await;
    assert_eq!(server.spec().lease_transitions, Some(1));
    two.shutdown.cancel();
    two.task.await.unwrap().unwrap();
    never_two(&terms.lock());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_after_the_duration_whatever_the_clocks_say() {
    for clocks in [[late, early], [early, late]] {
        let (server, terms) = (Server::default(), Terms::default());
        let one = process("one", &server, straight(), (clocks[0], SECOND), &terms);
        until("a first leader", SECOND, || count(&terms) == 1).await;
        let _two = process("two", &server, straight(), (clocks[1], SECOND), &terms);
        sleep(SECOND * 30).await;
        one.task.abort();
        let took = until("a successor", SECOND * 25, || count(&terms) == 2).await;
        // It saw the last renewal up to two seconds before the death, and looks every two to four seconds.
        assert!(took > SECOND * 12, "{took:?}");
        never_two(&terms.lock());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_has_stopped_before_the_next_begins() {
    let (server, terms, cut) = (Server::default(), Terms::default(), CancellationToken::new());
    // Its work goes on for as long as is allowed: only the fence stops it.
    let slow = Timing::default().stop().mul_f64(0.9);
    let one = process("one", &server, breakable(&cut), (late, slow), &terms);
    until("a first leader", SECOND, || count(&terms) == 1).await;
    let _two = process("two", &server, straight(), (late, SECOND), &terms);
    sleep(SECOND * 60).await;
    cut.cancel();
    let begun = Instant::now();
    until("the fence", SECOND * 11, || terms.lock()[0].to.elapsed() > SECOND).await;
    until("a successor", SECOND * 25, || count(&terms) == 2).await;
    let terms = terms.lock().clone();
    never_two(&terms);
    assert!(terms[0].to < begun + SECOND * 10, "it stopped at the deadline");
    assert!(terms[1].from > begun + SECOND * 12, "the next waited for the duration");
    assert!(!one.task.is_finished(), "it is a candidate again");
    assert!(!one.standing.leads());
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_end_ends_the_process() {
    let (server, terms, cut) = (Server::default(), Terms::default(), CancellationToken::new());
    let one = process("one", &server, breakable(&cut), (late, SECOND * 3600), &terms);
    until("a first leader", SECOND, || count(&terms) == 1).await;
    cut.cancel();
    let ended = timeout(SECOND * 15, one.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(Error::Stuck(_))), "{ended:?}");
    assert!(terms.lock()[0].to < Instant::now() - SECOND * 3, "the fence was shut all the while");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_took_is_not_fought_for() {
    let (server, terms) = (Server::default(), Terms::default());
    let one = process("one", &server, straight(), (late, Duration::ZERO), &terms);
    until("a first leader", SECOND, || count(&terms) == 1).await;
    // An administrator's edit: the version moves on, the holder is another one.
    {
        let (version, lease) = &mut *server.0.lock();
        *version += 1;
        let lease = lease.as_mut().unwrap();
        lease.metadata.resource_version = Some(version.to_string());
        lease.spec.as_mut().unwrap().holder_identity = Some("two".to_owned());
    }
    let took = until("the end", SECOND * 5, || !one.standing.leads()).await;
    assert!(took <= SECOND * 4, "{took:?}");
    assert_eq!(server.spec().holder_identity.as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_by_itself_is_a_fault() {
    let options = LeaseOptions {
        namespace: "default".to_owned(),
        name: "l".to_owned(),
        identity: "one".to_owned(),
        timing: Timing::default(),
    };
    let lease = client(&Server::default(), straight());
    let election = Election::new(lease.clone(), lease, options);
    let ended = election.run(async |_, _| {}, CancellationToken::new()).await;
    assert!(matches!(ended, Err(Error::Ended)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_heard_until_the_api_server_is_silent() {
    let (server, terms, cut) = (Server::default(), Terms::default(), CancellationToken::new());
    let _one = process("one", &server, straight(), (late, SECOND), &terms);
    until("a first leader", SECOND, || count(&terms) == 1).await;
    let two = process("two", &server, breakable(&cut), (late, SECOND), &terms);
    let (heard, alive) = (two.standing.is_heard(SECOND * 15), two.standing.is_alive());
    assert!(heard().unwrap().contains("was not read yet"), "nobody was asked so far");
    sleep(SECOND * 100).await;
    assert_eq!((heard(), alive()), (None, None));
    cut.cancel();
    sleep(SECOND * 20).await;
    assert!(heard().unwrap().contains("the lease could not be read for"));
    assert_eq!(alive(), None);
    two.task.abort();
    sleep(STUCK + SECOND * 20).await;
    assert!(alive().unwrap().contains("stuck"));
}

/// How requests fare, and when.
#[derive(Debug, Clone)]
struct Weather {
    ways: Vec<Way>,
    /// Seconds from and to which nothing arrives.
    cut: (u64, u64),
    slow: u64,
}

fn weather() -> impl Strategy<Value = Weather> {
    let fate = prop_oneof![6 => Just(Fate::Arrives), 1 => Just(Fate::Lost), 1 => Just(Fate::AnswerLost)];
    let delay = prop_oneof![4 => 0..50u64, 1 => 0..3_000u64, 1 => 0..20_000u64];
    let way = (delay.clone(), delay, fate).prop_map(|(there, back, fate)| Way {
        there: Duration::from_millis(there),
        back: Duration::from_millis(back),
        fate,
    });
    let ways = prop::collection::vec(way, 1..40);
    (ways, 0..80u64, 0..60u64, 0..3_500u64).prop_map(|(ways, from, length, slow)| Weather {
        ways,
        cut: (from, from + length),
        slow,
    })
}

/// Bad weather lasts so long, and then requests arrive.
const STORM: u64 = 150;

async fn sail(weathers: [Weather; 3]) {
    let (server, terms, begun) = (Server::default(), Terms::default(), Instant::now());
    let names = ["one", "two", "three"];
    let clocks = [late, early, Timestamp::now];
    let processes: Vec<_> = weathers
        .into_iter()
        .enumerate()
        .map(|(index, Weather { ways, cut, slow })| {
            let number = AtomicU64::new(0);
            let route: Route = Arc::new(move || {
                let (now, number) = (begun.elapsed().as_secs(), number.fetch_add(1, Ordering::Relaxed));
                if now > STORM {
                    STRAIGHT
                } else if (cut.0..cut.1).contains(&now) {
                    Way { fate: Fate::Lost, ..STRAIGHT }
                } else {
                    ways[usize::try_from(number).unwrap() % ways.len()]
                }
            });
            process(names[index], &server, route, (clocks[index], Duration::from_millis(slow)), &terms)
        })
        .collect();
    // One ends in order in the middle of it.
    sleep(SECOND * 100).await;
    processes[0].shutdown.cancel();
    sleep(Duration::from_secs(STORM - 100 + 60)).await;
    let terms = terms.lock().clone();
    never_two(&terms);
    for one in &processes[1..] {
        assert!(!one.task.is_finished(), "a candidate gave up");
    }
    assert!(processes[0].task.is_finished(), "the one that was told to end did not");
    let last = terms.iter().map(|term| term.to).max().unwrap();
    assert!(last.elapsed() < SECOND, "nobody leads although all is well again: {terms:?}");
    assert_ne!(terms.last().unwrap().who, "one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn two_never_lead_at_once_whatever_happens_to_requests(weathers in [weather(), weather(), weather()]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(sail(weathers));
    }
}
