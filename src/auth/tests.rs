//! Both reviews answered by a fake, so that time can be paused and questions counted.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use http::HeaderValue;
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::advance;

use super::*;

/// What an API server was asked, and how it is.
#[derive(Default)]
struct Server {
    questions: Mutex<Vec<String>>,
    is_away: Mutex<bool>,
    /// Whether nobody has any right any more.
    is_strict: Mutex<bool>,
    /// Whether one of its authorizers fails.
    is_broken: Mutex<bool>,
}

impl Server {
    fn away(&self) -> Option<(StatusCode, Json<Value>)> {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable", "code": 503});
        self.is_away.lock().then_some((StatusCode::SERVICE_UNAVAILABLE, Json(status)))
    }

    fn asked(&self) -> usize {
        self.questions.lock().len()
    }
}

/// Knows the token `good`, which is for `kakehi`, and `plain`, whose authenticator knows no audiences. Its owner may do
/// anything to jobs.
fn server() -> (Arc<Server>, Client) {
    let server = Arc::new(Server::default());
    let (who, may) = (server.clone(), server.clone());
    let tokens = move |Json(mut review): Json<TokenReview>| {
        let server = who.clone();
        async move {
            if let Some(away) = server.away() {
                return Err(away);
            }
            let token = review.spec.token.clone();
            server.questions.lock().push(token.clone());
            let asked = review.spec.audiences.clone().unwrap_or_else(|| vec!["server".to_owned()]);
            let is_for = |audience: &str| asked.iter().any(|one| one == audience);
            let user = json!({"username": "ann", "uid": "7", "groups": ["all"], "extra": {"k": ["v"]}});
            review.status = Some(
                serde_json::from_value(match token.as_str() {
                    "good" if is_for("kakehi") => {
                        json!({"authenticated": true, "user": user, "audiences": ["kakehi"]})
                    }
                    "plain" => json!({"authenticated": true, "user": user}),
                    _ => json!({"authenticated": false, "error": "who is that?"}),
                })
                .unwrap(),
            );
            Ok(Json(review))
        }
    };
    let rights = move |Json(mut review): Json<SubjectAccessReview>| {
        let server = may.clone();
        async move {
            if let Some(away) = server.away() {
                return Err(away);
            }
            let spec = &review.spec;
            assert_eq!((spec.user.as_deref(), spec.uid.as_deref()), (Some("ann"), Some("7")));
            assert_eq!(spec.extra.as_ref().unwrap()["k"], ["v"]);
            let right = spec.resource_attributes.clone().unwrap();
            let resource = right.resource.unwrap_or_default();
            server.questions.lock().push(format!("{} {resource}", right.verb.unwrap_or_default()));
            let allowed = resource == "jobs" && !*server.is_strict.lock();
            let mut status = json!({"allowed": allowed});
            if *server.is_broken.lock() {
                status["evaluationError"] = json!("the webhook is away");
            }
            review.status = Some(serde_json::from_value(status).unwrap());
            Ok(Json(review))
        }
    };
    let router = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(tokens))
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(rights));
    (server, Client::new(router, "default"))
}

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
}

fn gate(client: Client) -> Gate {
    Gate::reviews(Reviews::new(client), vec!["kakehi".to_owned()])
}

#[test]
fn a_token_is_one_word_after_bearer() {
    for value in ["Bearer abc", "bearer abc", "BEARER  abc "] {
        assert_eq!(bearer(&headers(&[value])).unwrap(), "abc", "{value}");
    }
    for values in [
        [].as_slice(),
        &["abc"],
        &["Bearer"],
        &["Bearer "],
        &["Basic abc"],
        &["Bearer a b"],
        &["Bearer a", "Bearer a"],
    ] {
        assert!(matches!(bearer(&headers(values)), Err(Error::Missing)), "{values:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_again_after_ten_seconds() {
    let (server, client) = server();
    let gate = gate(client);
    let may = [Right::to(Verb::Get, "jobs", "shop").named("resize")];
    let admitted = headers(&["Bearer good"]);
    for _ in 0..3 {
        let caller = gate.admit(&admitted).await.unwrap();
        assert_eq!(caller.identity().unwrap().user, "ann");
        gate.check(&caller, &may).await.unwrap();
    }
    assert_eq!(*server.questions.lock(), ["good", "get jobs"]);
    advance(FRESH.saturating_sub(Duration::from_millis(1))).await;
    let caller = gate.admit(&admitted).await.unwrap();
    assert_eq!(server.asked(), 2);
    *server.is_strict.lock() = true;
    gate.check(&caller, &may).await.unwrap();
    advance(Duration::from_millis(1)).await;
    let caller = gate.admit(&admitted).await.unwrap();
    assert!(matches!(gate.check(&caller, &may).await, Err(Error::Forbidden(_))));
    assert_eq!(server.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_is_not_let_in_and_not_asked_about_again_and_again() {
    let (server, client) = server();
    let gate = gate(client);
    for _ in 0..3 {
        for token in ["bad", "plain"] {
            let refused = gate.admit(&headers(&[&format!("Bearer {token}")])).await;
            assert!(matches!(refused, Err(Error::Unauthenticated)), "{token}: {refused:?}");
        }
    }
    assert_eq!(server.asked(), 2);
    assert!(matches!(gate.admit(&HeaderMap::new()).await, Err(Error::Missing)));
}

#[tokio::test]
async fn a_token_is_for_one_audience() {
    let (server, client) = server();
    let reviews = Reviews::new(client);
    let own = ["kakehi".to_owned(), "other".to_owned()];
    assert_eq!(reviews.identify("good", &own).await.unwrap().identity().unwrap().audiences, ["kakehi"]);
    // The same token asked about for somebody else is another question.
    let refused = reviews.identify("good", &["other".to_owned()]).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    assert!(reviews.identify("plain", &[]).await.is_ok());
    assert_eq!(server.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_lets_nobody_in_and_is_asked_again() {
    let (server, client) = server();
    let gate = gate(client);
    let admitted = headers(&["Bearer good"]);
    *server.is_away.lock() = true;
    assert!(matches!(gate.admit(&admitted).await, Err(Error::Unavailable(_))));
    *server.is_away.lock() = false;
    let caller = gate.admit(&admitted).await.unwrap();
    *server.is_away.lock() = true;
    let may = [Right::to(Verb::List, "jobs", "shop")];
    assert!(matches!(gate.check(&caller, &may).await, Err(Error::Unavailable(_))));
    *server.is_away.lock() = false;
    gate.check(&caller, &may).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_says_nothing_is_not_waited_for() {
    let router = Router::new().fallback(async || std::future::pending::<()>().await);
    let refused = gate(Client::new(router, "default")).admit(&headers(&["Bearer good"])).await;
    assert!(matches!(refused, Err(Error::Unavailable(Unavailable::TimedOut(_)))), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_names_the_first_right_and_any_of_them_is_enough() {
    let (_, client) = server();
    let gate = gate(client);
    let caller = gate.admit(&headers(&["Bearer good"])).await.unwrap();
    let account = |verb| Right::to_core(verb, "serviceaccounts", "shop").named("robot");
    let refused = gate.check(&caller, &[account(Verb::Use), account(Verb::Impersonate)]).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "serviceaccounts \"robot\" is forbidden: User \"ann\" cannot use resource \"serviceaccounts\" in API group \"\" in the namespace \"shop\""
    );
    let over = Right::to(Verb::Create, "executions", "shop").named("x").below("override");
    let words = gate.check(&caller, std::slice::from_ref(&over)).await.unwrap_err().to_string();
    assert!(words.starts_with("executions.run.kakehi.dev \"x\" is forbidden"), "{words}");
    assert!(words.contains("resource \"executions/override\" in API group \"run.kakehi.dev\""), "{words}");
    gate.check(&caller, &[account(Verb::Use), Right::to(Verb::Get, "jobs", "shop")]).await.unwrap();
    let nothing = gate.check(&caller, &[]).await;
    assert!(matches!(nothing, Err(Error::Forbidden(_))), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_answers_are_kept_than_fit() {
    let cache = cache::Cache::new(FRESH, 4);
    let key = |number: u8| [number; 32];
    for number in 0..100 {
        cache.put(key(number), number, tokio::time::Instant::now());
    }
    assert_eq!(cache.len(), 4);
    assert_eq!((cache.get(&key(95)), cache.get(&key(96)), cache.get(&key(99))), (None, Some(96), Some(99)));
    for _ in 0..100 {
        cache.put(key(99), 1, tokio::time::Instant::now());
    }
    assert_eq!(cache.get(&key(99)), Some(1));
    advance(FRESH).await;
    assert_eq!(cache.get(&key(99)), None);
    cache.put(key(1), 1, tokio::time::Instant::now());
    assert_eq!(cache.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_file_is_that_of_the_file_as_it_is_now() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    assert!(TokenFile::open(path.clone()).await.is_err());
    std::fs::write(&path, " \n").unwrap();
    assert!(matches!(TokenFile::open(path.clone()).await, Err(TokenFileError::Empty(_))));
    std::fs::write(&path, "first\n").unwrap();
    let gate = Gate::token(TokenFile::open(path.clone()).await.unwrap());
    let admit = async |token: &str| gate.admit(&headers(&[&format!("Bearer {token}")])).await;
    let caller = admit("first").await.unwrap();
    gate.check(&caller, &[Right::to(Verb::Delete, "jobs", "shop")]).await.unwrap();
    for wrong in ["firs", "first1", "second"] {
        assert!(matches!(admit(wrong).await, Err(Error::Unauthenticated)), "{wrong}");
    }
    assert!(matches!(gate.admit(&HeaderMap::new()).await, Err(Error::Missing)));
    std::fs::write(&path, "second\n").unwrap();
    advance(Duration::from_secs(2)).await;
    assert!(matches!(admit("first").await, Err(Error::Unauthenticated)));
    admit("second").await.unwrap();
    std::fs::remove_file(&path).unwrap();
    advance(Duration::from_secs(2)).await;
    assert!(matches!(admit("second").await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn an_authorizer_that_fails_has_not_said_no() {
    let (server, client) = server();
    let gate = gate(client);
    let caller = gate.admit(&headers(&["Bearer good"])).await.unwrap();
    *server.is_broken.lock() = true;
    let allowed = [Right::to(Verb::Get, "jobs", "shop")];
    gate.check(&caller, &allowed).await.expect("another one said yes");
    let other = [Right::to(Verb::Get, "executions", "shop")];
    let refused = gate.check(&caller, &other).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Unavailable(Unavailable::Authorizer(words)) if words == "the webhook is away")
    );
    // Nor is that kept.
    *server.is_broken.lock() = false;
    assert!(matches!(gate.check(&caller, &other).await, Err(Error::Forbidden(_))));
}
