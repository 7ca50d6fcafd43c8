//! Sessions, their streams and datagrams.

use std::time::Duration;

use aqueduct_tokio::error::{DatagramError, OpenSessionError, ReadError, WriteError};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::id::Side;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use aqueduct_tokio::{RecvStream, Session};
use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Pair, http, pattern, within};

/// Echoes everything of a session until it ends.
async fn echo(session: Session) {
    let streams = async {
        while let Ok((mut send, mut recv)) = session.accept_bi().await {
            tokio::spawn(async move {
                while let Some(chunk) = recv.read_chunk(usize::MAX).await? {
                    send.write_chunk(chunk).await.expect("the peer reads");
                }
                send.finish().expect("not finished yet");
                Ok::<_, ReadError>(())
            });
        }
    };
    let uni = async {
        while let Ok(recv) = session.accept_uni().await {
            let session = session.clone();
            tokio::spawn(async move { echo_uni(&session, recv).await });
        }
    };
    let datagrams = async {
        while let Ok(datagram) = session.recv_datagram().await {
            session.send_datagram(&datagram).expect("room");
        }
    };
    tokio::join!(streams, uni, datagrams);
}

async fn echo_uni(session: &Session, mut recv: RecvStream) {
    let all = recv.read_to_end(1 << 24).await.expect("whole");
    let mut send = session.open_uni().await.expect("opens");
    send.write_chunk(all).await.expect("the peer reads");
    send.finish().expect("not finished yet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_echoes_streams_and_datagrams() {
    // Rows B7, B12, B27
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let echo = tokio::spawn(echo(server));

        // Both ways, through the AsyncRead and AsyncWrite traits.
        let (mut send, mut recv) = client.open_bi().await.expect("opens");
        let data = pattern(3 << 20);
        let copy = data.clone();
        let writer = tokio::spawn(async move {
            AsyncWriteExt::write_all(&mut send, &copy)
                .await
                .expect("the peer reads");
            send.shutdown().await.expect("ends");
            send.shutdown().await.expect("again is harmless");
        });
        let mut back = Vec::new();
        AsyncReadExt::read_to_end(&mut recv, &mut back)
            .await
            .expect("whole");
        writer.await.expect("no panic");
        assert!(back == data, "the echo differs");

        // One way and back on another.
        let mut send = client.open_uni().await.expect("opens");
        send.write_all(b"one way").await.expect("the peer reads");
        send.finish().expect("ends");
        let mut back = client.accept_uni().await.expect("arrives");
        assert_eq!(back.read_to_end(100).await.expect("whole"), "one way");
        assert_eq!(
            send.stopped().await,
            Ok(None),
            "everything was acknowledged"
        );

        // Datagrams.
        let size = client.max_datagram_size().expect("datagrams are on");
        assert!(size > 1000, "{size}");
        client
            .send_datagram_wait(&pattern(1000))
            .await
            .expect("fits");
        assert_eq!(
            client.recv_datagram().await.expect("comes back"),
            pattern(1000)
        );
        let too_large = vec![0; size + 1];
        assert!(matches!(
            client.send_datagram(&too_large),
            Err(DatagramError::TooLargeForPath | DatagramError::TooLarge)
        ));

        let stats = client.stats().expect("alive");
        assert_eq!(
            (stats.opened_bi, stats.opened_uni, stats.accepted_uni),
            (1, 1, 1)
        );
        client.close(0, "").expect("open");
        echo.await.expect("ends with the session");
    })
    .await;
}

#[tokio::test]
async fn a_silent_stream_delays_no_other() {
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        // Two tasks wait for streams at once; none of them waits for bytes.
        let accept = |session: Session| {
            tokio::spawn(async move { session.accept_bi().await.expect("arrives") })
        };
        let (first, second) = (accept(server.clone()), accept(server.clone()));
        let (silent, _silent_recv) = client.open_bi().await.expect("opens");
        let (mut loud, _loud_recv) = client.open_bi().await.expect("opens");
        loud.write_all(b"hello").await.expect("room");
        loud.finish().expect("ends");
        let accepted = [
            first.await.expect("no panic"),
            second.await.expect("no panic"),
        ];
        let mut heard = None;
        for (_send, mut recv) in accepted {
            if recv.id() == loud.id() {
                heard = Some(recv.read_to_end(10).await.expect("whole"));
            } else {
                assert_eq!(recv.id(), silent.id());
                // Keeps it open until the other has been heard.
                std::mem::forget(recv);
            }
        }
        assert_eq!(heard.as_deref(), Some(&b"hello"[..]));
    })
    .await;
}

#[tokio::test]
async fn a_dropped_read_future_loses_nothing() {
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let data = pattern(200_000);
        let mut send = client.open_uni().await.expect("opens");
        let mut rest = data.clone();
        let writer = tokio::spawn(async move {
            while !rest.is_empty() {
                // Little at a time, so that reads have to wait.
                let mut chunks = [rest.split_to(rest.len().min(4000))];
                while !chunks[0].is_empty() {
                    // A write that does not end in time is dropped and begun again.
                    let part = Duration::from_micros(50);
                    let write = send.write_chunks(&mut chunks);
                    if let Ok(taken) = tokio::time::timeout(part, write).await {
                        taken.expect("the peer reads");
                    }
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            send.finish().expect("ends");
            send.stopped().await.expect("is read");
        });
        let mut recv = server.accept_uni().await.expect("arrives");
        let (mut got, mut dropped) = (Vec::new(), 0);
        loop {
            let part = Duration::from_micros(100);
            match tokio::time::timeout(part, recv.read_chunk(1000)).await {
                Ok(Ok(Some(chunk))) => got.extend_from_slice(&chunk),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => dropped += 1,
            }
        }
        writer.await.expect("no panic");
        assert!(dropped > 0, "no read was dropped");
        assert!(got == data, "bytes were lost after {dropped} dropped reads");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_accept_future_loses_no_stream() {
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let opened = async {
            for number in 0..20u8 {
                let mut send = client.open_uni().await.expect("opens");
                send.write_all(&[number]).await.expect("room");
                send.finish().expect("ends");
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        };
        let accepted = async {
            let (mut numbers, mut dropped) = (Vec::new(), 0);
            while numbers.len() < 20 {
                let part = Duration::from_micros(200);
                match tokio::time::timeout(part, server.accept_uni()).await {
                    Ok(recv) => {
                        let mut recv = recv.expect("the session is open");
                        numbers.extend_from_slice(&recv.read_to_end(1).await.expect("whole"));
                    }
                    Err(_) => dropped += 1,
                }
            }
            numbers.sort_unstable();
            (numbers, dropped)
        };
        let ((), (numbers, dropped)) = tokio::join!(opened, accepted);
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert!(dropped > 0, "no accept was dropped");
    })
    .await;
}

#[tokio::test]
async fn dropped_streams_reset_and_stop_with_code_zero() {
    // Rows B13, B14
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let (mut send, recv) = client.open_bi().await.expect("opens");
        send.write_all(b"cut").await.expect("room");
        let (mut back, mut forth) = server.accept_bi().await.expect("arrives");
        assert_eq!(
            forth.read_chunk(3).await.expect("bytes"),
            Some(Bytes::from_static(b"cut"))
        );

        drop(send);
        match forth.read_chunk(1).await {
            Err(ReadError::Reset(code)) => assert_eq!(code.app, Some(0)),
            other => panic!("{other:?}"),
        }
        drop(recv);
        assert_eq!(
            back.stopped()
                .await
                .expect("told")
                .and_then(|code| code.app),
            Some(0)
        );
        match back.write_all(b"x").await {
            Err(WriteError::Stopped(code)) => assert_eq!(code.app, Some(0)),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn reset_and_stop_carry_application_codes() {
    // Row B14
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let (mut send, mut recv) = client.open_bi().await.expect("opens");
        send.write_all(b"x").await.expect("room");
        let (mut back, mut forth) = server.accept_bi().await.expect("arrives");
        forth.read_chunk(1).await.expect("a byte");

        send.reset(u32::MAX).expect("open");
        assert_eq!(
            send.write_all(b"y").await,
            Err(WriteError::Reset),
            "reset by this side"
        );
        match forth.read_chunk(1).await {
            Err(ReadError::Reset(code)) => assert_eq!(code.app, Some(u32::MAX)),
            other => panic!("{other:?}"),
        }
        recv.stop(29).expect("open");
        assert_eq!(
            recv.read_chunk(1).await,
            Err(ReadError::Closed),
            "stopped by this side"
        );
        assert_eq!(
            back.stopped()
                .await
                .expect("told")
                .and_then(|code| code.app),
            Some(29)
        );
        back.reset(7).ok();
    })
    .await;
}

#[tokio::test]
async fn a_dropped_session_closes_and_its_streams_end() {
    // Rows B17, B19
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let (mut send, _recv) = client.open_bi().await.expect("opens");
        send.write_all(b"x").await.expect("room");
        let (_back, mut forth) = server.accept_bi().await.expect("arrives");
        forth.read_chunk(1).await.expect("a byte");

        drop(client);
        let closed = SessionClose::Closed {
            by: Side::Client,
            code: 0,
            reason: String::new(),
        };
        assert_eq!(server.closed().await, closed);
        assert_eq!(
            forth.read_chunk(1).await,
            Err(ReadError::Session(closed.clone()))
        );
        assert_eq!(
            send.write_all(b"y").await,
            Err(WriteError::Session(closed.clone()))
        );
        assert_eq!(server.accept_bi().await.expect_err("over"), closed);
        assert_eq!(
            server.send_datagram(b"z"),
            Err(DatagramError::Session(closed))
        );

        // The connection goes on.
        let (again, _server) = pair.session().await;
        assert!(again.open_uni().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn close_code_and_reason_reach_the_other_side() {
    // Row B17
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        assert!(server.close(1, &"x".repeat(1025)).is_err(), "too long");
        server.close(4242, "enough").expect("open");
        let closed = SessionClose::Closed {
            by: Side::Server,
            code: 4242,
            reason: "enough".into(),
        };
        assert_eq!(client.closed().await, closed);
        assert_eq!(server.closed().await, closed, "this side is told the same");
    })
    .await;
}

#[tokio::test]
async fn sessions_are_rejected_by_status() {
    // Rows B32, B36
    within(async {
        let pair = Pair::new().await;
        let request = || ConnectRequest::new("https://localhost/none".parse().expect("a URI"));
        let reject = async {
            let request = pair.server.accept_session().await.expect("arrives");
            assert_eq!(request.uri().path(), "/none");
            request
                .reject(StatusCode::NOT_FOUND)
                .expect("a rejecting status");
            drop(pair.server.accept_session().await.expect("arrives"));
        };
        let ask = async {
            let mut statuses = Vec::new();
            for _ in 0..2 {
                match pair.client.open_session(request()).await {
                    Err(OpenSessionError::Rejected { status, .. }) => {
                        statuses.push(status.as_u16());
                    }
                    other => panic!("{other:?}"),
                }
            }
            statuses
        };
        let (statuses, ()) = tokio::join!(ask, reject);
        assert_eq!(statuses, [404, 500], "a dropped request is answered 500");
        assert!(pair.client.close_reason().is_none());
    })
    .await;
}

#[tokio::test]
async fn draining_is_advice() {
    // Row B20
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        server.drain().expect("open");
        assert!(client.draining().await);
        assert!(client.open_uni().await.is_ok(), "streams still open");
        client.close(0, "").expect("open");
        assert!(!server.draining().await, "it ended without");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_waits_for_stream_credit() {
    // Row B27
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let reader = tokio::spawn(async move {
            for _ in 0..400 {
                let mut recv = server.accept_uni().await.expect("arrives");
                recv.read_to_end(10).await.expect("whole");
            }
        });
        for _ in 0..400 {
            // Far more than the peer lets be open at once.
            let mut send = client.open_uni().await.expect("opens");
            send.write_all(b"x").await.expect("room");
            send.finish().expect("ends");
        }
        reader.await.expect("no panic");
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_told_as_often_as_it_is_asked() {
    // Row B27
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let (mut send, mut recv) = client.open_bi().await.expect("opens");
        send.write_all(b"to the end").await.expect("room");
        send.finish().expect("open");
        let (mut back, mut there) = server.accept_bi().await.expect("arrives");
        there.read_to_end(100).await.expect("whole");
        assert_eq!(send.stopped().await, Ok(None));
        back.reset(7).expect("open");
        // Both halves are over with the first answer.
        for _ in 0..3 {
            let Err(ReadError::Reset(code)) = recv.read_to_end(100).await else {
                panic!("not as a reset");
            };
            assert_eq!(code.app, Some(7));
        }

        let (mut request, mut answer) = pair.post().await;
        request.finish().expect("open");
        answer.read_to_end(100).await.expect("whole");
        answer.reset(Code::H3_INTERNAL_ERROR);
        for _ in 0..3 {
            let told = request.recv_data().await;
            assert_eq!(told, Err(ReadError::Reset(http(Code::H3_INTERNAL_ERROR))));
        }
    })
    .await;
}
