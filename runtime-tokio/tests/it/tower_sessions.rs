//! Row B34: requests for sessions that a service answers, beside ordinary ones.

use std::convert::Infallible;
use std::future::pending;

use aqueduct_tokio::Session;
use aqueduct_tokio::error::{OpenSessionError, RejectError};
use aqueduct_tokio::protocol::head::Protocol;
use aqueduct_tokio::protocol::webtransport::{ConnectAnswer, ConnectRequest};
use aqueduct_tokio::tower::{
    AnswerError, Body, WebTransport, answer_session, serve, serve_sessions,
};
use axum::routing::{connect, get};
use axum::{Extension, Router};
use http::{Request, Response, StatusCode};
use tokio::sync::oneshot;

use crate::harness::{Pair, within};

type Asked = Extension<WebTransport>;

/// A handler of a session's request, as any other of a router.
async fn echo(Extension(asked): Asked, protocol: Extension<Protocol>) -> Result<(), StatusCode> {
    assert_eq!(protocol.0, Protocol::new("webtransport"));
    let asked = asked.take().expect("nobody else is asked");
    let session = asked.accept().map_err(|_| StatusCode::GONE)?;
    while let Ok(datagram) = session.recv_datagram().await {
        session.send_datagram_wait(&datagram).await.expect("open");
    }
    Ok(())
}

/// One that cannot start: what it would need is not there.
async fn broken(Extension(asked): Asked) -> Result<(), StatusCode> {
    let asked = asked.take().expect("nobody else is asked");
    let begun: Result<(), StatusCode> = Err(StatusCode::BAD_GATEWAY);
    begun?;
    drop(asked.accept());
    Ok(())
}

/// One that is no better.
async fn wrong(Extension(asked): Asked) {
    let asked = asked.take().expect("nobody else is asked");
    let answer = ConnectAnswer::new().protocol("not offered");
    asked.accept_with(answer).expect_err("cannot be");
}

fn app() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", connect(echo).get(async || "for people"))
        .route("/broken", connect(broken))
        .route("/wrong", connect(wrong))
        .route("/idle", connect(async || "nobody takes it"))
        .route("/no", connect(async || (StatusCode::CONFLICT, "not now")))
}

async fn open(pair: &Pair, path: &str) -> Result<Session, OpenSessionError> {
    let url = format!("https://localhost{path}").parse().expect("a URI");
    pair.client.open_session(ConnectRequest::new(url)).await
}

#[tokio::test]
async fn a_router_accepts_a_session_beside_requests() {
    within(async {
        let pair = Pair::new().await;
        tokio::spawn(serve(pair.server.clone(), app()));
        tokio::spawn(serve_sessions(pair.server.clone(), app()));
        let session = open(&pair, "/echo").await.expect("is accepted");
        session.send_datagram(b"to and fro").expect("open");
        assert_eq!(session.recv_datagram().await.expect("open"), "to and fro");
        for (path, content) in [("/", "hello"), ("/echo", "for people")] {
            let uri = format!("https://localhost{path}").parse().expect("a URI");
            let mut stream = pair.client.get(uri).await.expect("is sent");
            assert_eq!(stream.recv_response().await.expect("arrives").status(), 200);
            assert_eq!(stream.read_to_end(100).await.expect("whole"), content);
        }
        assert_eq!(session.send_datagram(b"still open"), Ok(()));
    })
    .await;
}

#[tokio::test]
async fn what_a_service_says_without_a_session_rejects_it() {
    within(async {
        let pair = Pair::new().await;
        tokio::spawn(serve_sessions(pair.server.clone(), app()));
        for (path, wanted) in [
            ("/nowhere", 404),
            // There is only a page.
            ("/", 405),
            ("/idle", 404),
            ("/no", 409),
            // Row B4: an error while it starts.
            ("/broken", 500),
            ("/wrong", 500),
        ] {
            let error = open(&pair, path).await.expect_err(path);
            let OpenSessionError::Rejected { status, .. } = error else {
                panic!("{path}: {error:?}");
            };
            assert_eq!(status, wanted, "{path}");
        }
    })
    .await;
}

/// What becomes of a request for a session that a service answers so; and its client.
async fn answered<F>(
    service: impl Fn(Request<Body>) -> F,
) -> (Result<(), AnswerError>, OpenSessionError)
where
    F: Future<Output = Result<Response<String>, std::fmt::Error>>,
{
    let pair = Pair::new().await;
    let (client, server) = tokio::join!(open(&pair, "/"), async {
        let request = pair.server.accept_session().await.expect("arrives");
        answer_session(tower::service_fn(service), request).await
    });
    (server, client.expect_err("there is no session"))
}

#[tokio::test]
async fn a_service_that_fails_is_500() {
    within(async {
        let (server, client) = answered(async |_| Err(std::fmt::Error)).await;
        assert!(matches!(server, Err(AnswerError::Service(_))), "{server:?}");
        let told = matches!(client, OpenSessionError::Rejected { status, .. } if status == 500);
        assert!(told, "{client:?}");
        let no_status = async |_| {
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::from_u16(999).expect("a status");
            Ok(response)
        };
        let (server, client) = answered(no_status).await;
        let why = AnswerError::Reject(RejectError::InvalidStatus);
        assert_eq!(format!("{server:?}"), format!("{:?}", Err::<(), _>(why)));
        let told = matches!(client, OpenSessionError::Rejected { status, .. } if status == 500);
        assert!(told, "{client:?}");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_given_up_ends_what_is_done_for_it() {
    within(async {
        let pair = Pair::new().await;
        let (dropped, is_dropped) = oneshot::channel::<Infallible>();
        let mut kept = Some(dropped);
        let service = tower::service_fn(move |_: Request<Body>| {
            let kept = kept.take();
            async move {
                let _kept = kept;
                pending::<Result<Response<String>, Infallible>>().await
            }
        });
        let answering = tokio::select! {
            request = pair.server.accept_session() => {
                tokio::spawn(answer_session(service, request.expect("arrives")))
            }
            session = open(&pair, "/") => panic!("nobody answers: {session:?}"),
        };
        // Its client was dropped in the middle of it.
        is_dropped.await.expect_err("what the service held is gone");
        let error = answering.await.expect("no panic").expect_err("given up");
        assert!(
            matches!(error, AnswerError::SessionCancelled(_)),
            "{error:?}"
        );
    })
    .await;
}
