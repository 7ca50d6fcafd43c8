//! Requests and responses.

use aqueduct_tokio::error::{InvalidHead, ReadError, RequestError, WriteError};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::error::RequestError as Refusal;
use aqueduct_tokio::{Connection, ServerRequest};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use crate::harness::{Pair, http, pattern, request, within};

fn ok() -> Response<()> {
    Response::new(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_streams_both_ways_at_once() {
    // Rows A8, D4, D6
    within(async {
        let pair = Pair::new().await;
        let (client, mut server) = pair.post().await;
        let echo = tokio::spawn(async move {
            server.send_response(ok()).expect("not sent yet");
            let (mut send, mut recv) = server.split();
            while let Some(chunk) = recv.recv_data().await.expect("whole") {
                send.send_data(chunk).await.expect("the client reads");
            }
            let trailers = recv
                .recv_trailers()
                .await
                .expect("whole")
                .expect("were sent");
            send.send_trailers(&trailers.headers)
                .expect("not finished yet");
            send.stopped().await.expect("acknowledged")
        });
        let data = pattern(5 << 20);
        let (mut send, mut recv) = client.split();
        let copy = data.clone();
        let upload = tokio::spawn(async move {
            send.send_data(copy).await.expect("the server reads");
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("42"));
            send.send_trailers(&trailers).expect("not finished yet");
            assert_eq!(
                send.finish(),
                Err(WriteError::Finished),
                "trailers end the message"
            );
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
            .expect("are echoed");
        assert_eq!(trailers.headers["x-sum"], "42");
        upload.await.expect("no panic");
        assert_eq!(echo.await.expect("no panic"), None, "nothing was stopped");
    })
    .await;
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one() {
    // Row A8
    within(async {
        let pair = Pair::new().await;
        let (mut client, mut server) = pair.post().await;
        let early = Response::builder()
            .status(103)
            .header("link", "</s.css>")
            .body(());
        server
            .send_interim(early.expect("valid"))
            .expect("before the head");
        assert_eq!(
            server.send_interim(ok()),
            Err(WriteError::InvalidHead(InvalidHead::new(
                ":status",
                "is not an interim one"
            ))),
            "200 is final"
        );
        server.send_response(ok()).expect("not sent yet");
        server.finish().expect("not finished yet");

        let interim = client.recv_interim().await.expect("arrives").expect("one");
        assert_eq!(
            (interim.status().as_u16(), &interim.headers()["link"]),
            (103, &"</s.css>".parse().expect("valid"))
        );
        assert!(client.recv_interim().await.expect("arrives").is_none());
        assert_eq!(client.recv_response().await.expect("arrives").status(), 200);
        assert_eq!(
            client.recv_response().await.expect_err("taken"),
            ReadError::WrongState
        );
        assert_eq!(client.recv_data().await, Ok(None));
        assert!(client.recv_trailers().await.expect("whole").is_none());
    })
    .await;
}

/// Answers each request with its path as content.
async fn serve(server: Connection) {
    while let Some((request, mut stream)) = server.accept_request().await {
        tokio::spawn(async move {
            stream.send_response(ok()).expect("not sent yet");
            let path = Bytes::from(request.uri().path().to_owned());
            stream.send_data(path).await.expect("the client reads");
            stream.finish().expect("not finished yet");
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_at_once_and_a_thousand_in_all() {
    // Row D19
    within(async {
        let pair = Pair::new().await;
        let serving = tokio::spawn(serve(pair.server.clone()));
        let mut tasks = Vec::new();
        for task in 0..100 {
            let client = pair.client.clone();
            tasks.push(tokio::spawn(async move {
                for turn in 0..10 {
                    let path = format!("/{task}/{turn}");
                    let uri = format!("https://localhost{path}").parse();
                    let sent = client.get(uri.expect("valid")).await;
                    let mut stream = sent.expect("is sent");
                    assert_eq!(stream.recv_response().await.expect("arrives").status(), 200);
                    assert_eq!(stream.read_to_end(100).await.expect("whole"), path);
                }
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(pair.client.stats().expect("open").requests, 1000);
        pair.client.close(Code::H3_NO_ERROR, "done");
        serving.await.expect("ends with the connection");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_request_is_cancelled() {
    // Row D9
    within(async {
        let pair = Pair::new().await;
        let (client, mut server) = pair.post().await;
        server.send_response(ok()).expect("not sent yet");
        drop(client);
        let cancelled = http(Code::H3_REQUEST_CANCELLED);
        assert_eq!(server.recv_data().await, Err(ReadError::Reset(cancelled)));
        assert_eq!(server.send.stopped().await, Ok(Some(cancelled)));
    })
    .await;
}

#[tokio::test]
async fn an_unanswered_request_is_cancelled_and_a_rejected_one_is_not_processed() {
    // http3.md §6
    within(async {
        let pair = Pair::new().await;
        let pair = &pair;
        let outcome = |drop_it: fn(ServerRequest)| async move {
            let (mut client, server) = pair.post().await;
            drop_it(server);
            let error = client.recv_response().await.expect_err("no answer");
            (error, client.send.stopped().await)
        };
        let cancelled = http(Code::H3_REQUEST_CANCELLED);
        assert_eq!(
            outcome(drop).await,
            (ReadError::Reset(cancelled), Ok(Some(cancelled)))
        );
        let rejected = http(Code::H3_REQUEST_REJECTED);
        let told = outcome(ServerRequest::reject).await;
        assert_eq!(told, (ReadError::Reset(rejected), Ok(Some(rejected))));
    })
    .await;
}

#[tokio::test]
async fn an_early_answer_stops_the_request_without_error() {
    // http3.md §6
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.post().await;
        let (mut answer, content) = server.split();
        drop(content);
        let (mut send, mut recv) = client.split();
        assert_eq!(send.stopped().await, Ok(Some(http(Code::H3_NO_ERROR))));
        let sent = send.send_data(Bytes::from_static(b"late")).await;
        assert_eq!(sent, Err(WriteError::Stopped(http(Code::H3_NO_ERROR))));
        answer.send_response(ok()).expect("not sent yet");
        answer
            .send_data(Bytes::from_static(b"enough"))
            .await
            .expect("the client reads");
        answer.finish().expect("not finished yet");
        assert_eq!(recv.recv_response().await.expect("arrives").status(), 200);
        assert_eq!(recv.read_to_end(10).await.expect("whole"), "enough");
    })
    .await;
}

#[tokio::test]
async fn a_truncated_answer_is_never_a_clean_end() {
    // Row D8
    within(async {
        let pair = Pair::new().await;
        let (mut client, mut server) = pair.post().await;
        client.finish().expect("not finished yet");
        let length = Response::builder().header("content-length", "10").body(());
        server
            .send_response(length.expect("valid"))
            .expect("not sent yet");
        server
            .send_data(Bytes::from_static(b"four"))
            .await
            .expect("the client reads");
        assert_eq!(server.finish(), Err(WriteError::ContentLength));
        assert_eq!(client.recv_response().await.expect("arrives").status(), 200);
        assert_eq!(
            client.recv_data().await,
            Ok(Some(Bytes::from_static(b"four")))
        );
        drop(server);
        let cancelled = http(Code::H3_REQUEST_CANCELLED);
        assert_eq!(client.recv_data().await, Err(ReadError::Reset(cancelled)));
    })
    .await;
}

#[tokio::test]
async fn answers_without_content_end_at_once() {
    within(async {
        let pair = Pair::new().await;
        let (mut client, mut server) = pair.post().await;
        client.finish().expect("not finished yet");
        let empty = Response::builder().status(StatusCode::NO_CONTENT).body(());
        server
            .send
            .send_empty(empty.expect("valid"))
            .expect("not sent yet");
        assert_eq!(
            server.finish(),
            Err(WriteError::Finished),
            "the head ended it"
        );
        assert_eq!(client.recv_response().await.expect("arrives").status(), 204);
        assert_eq!(client.recv_data().await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_by_name() {
    within(async {
        let pair = Pair::new().await;
        let refused = pair
            .server
            .request(request("GET"))
            .await
            .expect_err("a server");
        assert_eq!(refused, RequestError::Refused(Refusal::WrongSide));
        let connection = Request::builder()
            .uri("https://localhost/")
            .header("connection", "close")
            .body(())
            .expect("valid in HTTP/1.1");
        let refused = pair
            .client
            .request(connection)
            .await
            .expect_err("not in HTTP/3");
        assert_eq!(
            refused,
            RequestError::Refused(Refusal::InvalidHead(InvalidHead::new(
                "connection",
                "is not allowed in HTTP/3"
            )))
        );
    })
    .await;
}
