//! Services of the tower world on HTTP/3.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use aqueduct_tokio::error::{ReadError, WriteError};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::tower::{AnswerError, Body, answer, serve};
use aqueduct_tokio::{Cancelled, RequestStream};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body as _, Frame};

use crate::harness::{Pair, http, pattern, request, within};

fn at(method: &str, path: &str) -> http::Request<()> {
    let uri = format!("https://localhost{path}");
    http::Request::builder()
        .method(method)
        .uri(uri)
        .body(())
        .expect("valid")
}

fn app() -> Router {
    Router::new()
        .route("/", get(|| async { "hello from axum" }))
        .route(
            "/echo",
            post(|request: Request| async { request.into_body() }),
        )
        .route(
            "/old",
            get(|| async { ([("connection", "close")], "old habits").into_response() }),
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_answers_beside_a_session() {
    within(async {
        let pair = Pair::new().await;
        tokio::spawn(serve(pair.server.clone(), app()));
        let mut stream = pair
            .client
            .request_empty(at("GET", "/"))
            .await
            .expect("is sent");
        assert_eq!(stream.recv_response().await.expect("arrives").status(), 200);
        assert_eq!(
            stream.read_to_end(100).await.expect("whole"),
            "hello from axum"
        );

        let mut stream = pair
            .client
            .request_empty(at("GET", "/nowhere"))
            .await
            .expect("is sent");
        assert_eq!(stream.recv_response().await.expect("arrives").status(), 404);

        let mut stream = pair
            .client
            .request_empty(at("GET", "/old"))
            .await
            .expect("is sent");
        let response = stream.recv_response().await.expect("arrives");
        assert_eq!(response.headers().get("connection"), None);

        // Row A14: the same connection carries sessions.
        let (session, _server_session) = pair.session().await;
        session.close(0, "").expect("open");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_and_trailers_pass_through() {
    within(async {
        let pair = Pair::new().await;
        tokio::spawn(serve(pair.server.clone(), app()));
        let echo = at("POST", "/echo");
        let (mut send, mut recv) = pair.client.request(echo).await.expect("is sent").split();
        let data = pattern(3 << 20);
        let copy = data.clone();
        tokio::spawn(async move {
            send.send_data(copy).await.expect("is read");
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("42"));
            send.send_trailers(&trailers).expect("not finished");
        });
        assert_eq!(recv.recv_response().await.expect("arrives").status(), 200);
        assert!(
            recv.read_to_end(1 << 23).await.expect("whole") == data,
            "the echo differs"
        );
        let trailers = recv
            .recv_trailers()
            .await
            .expect("whole")
            .expect("are kept");
        assert_eq!(trailers.headers["x-sum"], "42");
    })
    .await;
}

/// What a body says of itself: whether it is over, and how long it is.
fn hints(body: &Body) -> (bool, Option<u64>) {
    (body.is_end_stream(), body.size_hint().exact())
}

/// Its next content.
async fn content(body: &mut Body) -> Option<Bytes> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.expect("whole").into_data().expect("content"))
}

/// Sends a request, and gives its body as a service gets it.
async fn body_of(pair: &Pair, head: http::Request<()>) -> (RequestStream, Body) {
    let client = pair.client.request(head).await.expect("is sent");
    let (head, server) = pair.server.accept_request().await.expect("arrives");
    let (give, mut given) = tokio::sync::mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        give.send(request.into_body()).expect("is awaited");
        std::future::pending::<Result<Response<String>, Infallible>>()
    });
    tokio::spawn(answer(service, head, server));
    (client, given.recv().await.expect("is called"))
}

#[tokio::test]
async fn a_body_knows_what_is_left_of_it() {
    within(async {
        let pair = Pair::new().await;
        let mut post = at("POST", "/");
        let length = HeaderValue::from_static("10");
        post.headers_mut().insert("content-length", length);
        for (head, all, rest) in [(post, Some(10), Some(6)), (at("POST", "/"), None, None)] {
            let (mut client, mut body) = body_of(&pair, head).await;
            assert_eq!(hints(&body), (false, all), "nothing has come");
            client.send_data("1234".into()).await.expect("is taken");
            assert_eq!(content(&mut body).await.expect("more"), "1234");
            assert_eq!(hints(&body), (false, rest), "some is still to come");
            client.send_data("567890".into()).await.expect("is taken");
            client.finish().expect("open");
            assert_eq!(content(&mut body).await.expect("more"), "567890");
            assert_eq!(content(&mut body).await, None);
            assert_eq!(hints(&body), (true, Some(0)), "all has come");
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_ended_with_its_head_is_over() {
    within(async {
        let pair = Pair::new().await;
        let service = tower::service_fn(|request: http::Request<Body>| async move {
            let told = format!("{:?}", hints(request.body()));
            Ok::<_, Infallible>(Response::new(told))
        });
        tokio::spawn(serve(pair.server.clone(), service));
        let stream = pair.client.request_empty(at("GET", "/")).await;
        let mut stream = stream.expect("is sent");
        stream.recv_response().await.expect("arrives");
        let told = stream.read_to_end(100).await.expect("whole");
        assert_eq!(told, "(true, Some(0))");
    })
    .await;
}

/// A body without end that counts how far it was asked for.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 16 * 1024])))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_asked_for_no_more_than_is_taken() {
    within(async {
        let pair = Pair::new().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            drop(request);
            let body = Endless(count.clone());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        tokio::spawn(serve(pair.server.clone(), service));
        let mut stream = pair
            .client
            .request_empty(at("GET", "/"))
            .await
            .expect("is sent");
        let response = stream.recv_response().await.expect("arrives");
        assert_eq!(response.status(), StatusCode::OK);
        // A body that is asked without regard to the peer is ahead of it at once.
        let mut taken = 0;
        while taken < 32 << 20 {
            let data = stream
                .recv_data()
                .await
                .expect("whole")
                .expect("is endless");
            taken += data.len();
            let made = asked.load(Ordering::Relaxed) * 16 * 1024;
            assert!(
                made - taken < 24 << 20,
                "{made} bytes were made, {taken} taken"
            );
        }
    })
    .await;
}

/// A body that fails at once.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::fmt::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::fmt::Error>>> {
        Poll::Ready(Some(Err(std::fmt::Error)))
    }
}

#[tokio::test]
async fn a_service_that_fails_is_500() {
    within(async {
        let pair = Pair::new().await;
        let (mut client, server) = pair.post().await;
        let service = tower::service_fn(|_: http::Request<Body>| async {
            Err::<Response<String>, _>(std::fmt::Error)
        });
        let answered = answer(service, request("POST"), server).await;
        let error = answered.expect_err("the service fails");
        assert!(matches!(error, AnswerError::Service(_)), "{error:?}");
        assert_eq!(client.recv_response().await.expect("arrives").status(), 500);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_fails_is_a_reset() {
    within(async {
        let pair = Pair::new().await;
        let (mut client, server) = pair.post().await;
        let service = tower::service_fn(|_: http::Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Broken))
        });
        let answered = answer(service, request("POST"), server).await;
        let error = answered.expect_err("the body fails");
        assert!(matches!(error, AnswerError::Body(_)), "{error:?}");
        // Before the head was sent, which the reset takes along.
        let read = client.recv_response().await.expect_err("cut short");
        assert_eq!(read, ReadError::Reset(http(Code::H3_INTERNAL_ERROR)));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_answer() {
    within(async {
        let pair = Pair::new().await;
        let (mut client, server) = pair.post().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let body = Endless(asked.clone());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let answering = tokio::spawn(answer(service, request("POST"), server));
        client.recv_response().await.expect("arrives");
        client.recv.stop(Code::H3_REQUEST_CANCELLED).expect("open");
        let error = answering.await.expect("no panic").expect_err("not taken");
        let stopped = Cancelled::Stopped(http(Code::H3_REQUEST_CANCELLED));
        assert!(
            matches!(&error, AnswerError::Cancelled(why) if *why == stopped),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_belies_its_length_is_not_sent() {
    within(async {
        let pair = Pair::new().await;
        let (_client, server) = pair.post().await;
        let service = tower::service_fn(|_: http::Request<Body>| async {
            let response = Response::builder().header("content-length", 1);
            Ok::<_, Infallible>(response.body(Endless(Arc::default())).expect("valid"))
        });
        let answered = answer(service, request("POST"), server).await;
        let error = answered.expect_err("it is longer");
        assert!(
            matches!(&error, AnswerError::Write(why) if *why == WriteError::ContentLength),
            "{error:?}"
        );
    })
    .await;
}

/// Tells when it is dropped.
struct Guard(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.take().map(|sender| sender.send(()));
    }
}

/// A service that would work for an hour, and what tells that it began, and that it
/// was dropped.
fn slow() -> (
    Router,
    tokio::sync::oneshot::Receiver<()>,
    tokio::sync::oneshot::Receiver<()>,
) {
    let (began, has_begun) = tokio::sync::oneshot::channel();
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    let once = Arc::new(std::sync::Mutex::new(Some((began, Guard(Some(ended))))));
    let work = move |request: Request| {
        let once = once.clone();
        async move {
            let (began, guard) = once.lock().expect("no panic").take().expect("asked once");
            began.send(()).expect("is awaited");
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
            drop((request, guard));
            "done"
        }
    };
    (
        Router::new().route("/", axum::routing::any(work)),
        has_begun,
        has_ended,
    )
}

#[tokio::test]
async fn a_slow_service_is_dropped_when_its_request_is() {
    for variant in ["stop", "reset", "drop", "close"] {
        within(async {
            let pair = Pair::new().await;
            let (app, has_begun, has_ended) = slow();
            tokio::spawn(serve(pair.server.clone(), app));
            let mut stream = pair.client.request(at("POST", "/")).await.expect("is sent");
            has_begun.await.expect("it begins");
            match variant {
                "stop" => stream.recv.stop(Code::H3_REQUEST_CANCELLED).expect("open"),
                "reset" => stream.send.reset(Code::H3_REQUEST_CANCELLED).expect("open"),
                "drop" => drop(stream),
                _ => pair.client.close(Code::H3_NO_ERROR, ""),
            }
            has_ended.await.expect("it is dropped");
        })
        .await;
    }
}
