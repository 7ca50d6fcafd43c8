//! How connections and endpoints end, and what both sides are told.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::Endpoint;
use aqueduct_tokio::error::{OpenSessionError, ReadError, RequestError, WriteError};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::error::RequestError as Refusal;
use aqueduct_tokio::protocol::error::{CloseReason, TransportFailure};
use aqueduct_tokio::protocol::id::Side;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::protocol::webtransport::OpenSessionError as SessionRefusal;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use bytes::Bytes;
use http::Response;

use crate::harness::{ANY, Pair, pattern, request, target, within};

#[tokio::test]
async fn a_close_is_told_to_everybody_with_its_author() {
    // Rows A14, B36
    within(async {
        let pair = Pair::new().await;
        let (session, _server_session) = pair.session().await;
        let (mut stream, mut server_stream) = pair.post().await;
        let reason = format!("bad day, the {}th", 13);
        pair.server.close(Code::H3_INTERNAL_ERROR, reason);

        let remote = CloseReason::Remote {
            code: Code::H3_INTERNAL_ERROR,
            reason: Bytes::from_static(b"bad day, the 13th"),
        };
        assert_eq!(pair.client.closed().await, remote);
        assert_eq!(
            session.closed().await,
            SessionClose::Connection(remote.clone())
        );
        let error = stream.recv_response().await.expect_err("no answer");
        assert_eq!(error, ReadError::Connection(remote.clone()));
        let sent = stream.send_data(Bytes::from_static(b"x")).await;
        assert_eq!(sent, Err(WriteError::Connection(remote.clone())));
        let opened = pair.client.request(request("GET")).await.expect_err("over");
        assert_eq!(opened, RequestError::Connection(remote));

        let local = CloseReason::Local {
            code: Code::H3_INTERNAL_ERROR,
            reason: Bytes::from_static(b"bad day, the 13th"),
        };
        assert_eq!(pair.server.closed().await, local);
        let error = server_stream.recv_data().await.expect_err("over");
        assert_eq!(error, ReadError::Connection(local));
        assert!(pair.server.accept_request().await.is_none());
        assert!(pair.server.accept_session().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_closes_the_connection_without_error() {
    // Row E19
    within(async {
        let pair = Pair::new().await;
        let (stream, mut server_stream) = pair.post().await;
        drop(pair.client);
        // A request keeps the connection open.
        server_stream
            .send_response(Response::new(()))
            .expect("not sent yet");
        let (send, mut recv) = stream.split();
        recv.recv_response().await.expect("arrives");
        drop((send, recv));
        let remote = CloseReason::Remote {
            code: Code::H3_NO_ERROR,
            reason: Bytes::new(),
        };
        assert_eq!(pair.server.closed().await, remote);
        // The other side learns it too, before its endpoint is gone.
        pair.client_endpoint.wait_idle().await;
        assert_eq!(pair.client_endpoint.open_connections(), 0);
    })
    .await;
}

/// Whoever drops everything in the middle is heard at once, not by an idle timeout.
#[tokio::test]
async fn the_last_handle_is_heard_while_data_is_in_flight() {
    within(async {
        for round in 0..20 {
            let pair = Pair::new().await;
            let (mut stream, mut server_stream) = pair.post().await;
            let answered = server_stream.send_response(Response::new(()));
            answered.expect("not sent yet");
            // Both sides send what windows and paces take, and nobody reads.
            let much = pattern(50_000 + 45_000 * round);
            let both = async {
                let to_server = stream.send_data(much.clone());
                let to_client = server_stream.send_data(much.clone());
                let _ = tokio::join!(to_server, to_client);
            };
            let _ = tokio::time::timeout(Duration::from_millis(2), both).await;
            drop((stream, pair.client));
            let reason = pair.server.closed().await;
            let no_error = CloseReason::Remote {
                code: Code::H3_NO_ERROR,
                reason: Bytes::new(),
            };
            assert_eq!(reason, no_error, "round {round}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_drain_lets_work_finish_and_refuses_new_work() {
    // Rows A12, D7, D8
    within(async {
        let pair = Pair::new().await;
        let (session, _server_session) = pair.session().await;
        let (mut client, mut server) = pair.post().await;
        pair.server_endpoint.drain(Duration::from_secs(10));
        assert_eq!(pair.client.draining().await, Some(Side::Server));
        assert!(session.draining().await);
        assert!(pair.server_endpoint.accept().await.is_none());
        let refused = pair
            .client
            .request(request("GET"))
            .await
            .expect_err("draining");
        assert_eq!(refused, RequestError::Refused(Refusal::Draining));

        client
            .send_data(pattern(1000))
            .await
            .expect("the server reads");
        client.finish().expect("not finished yet");
        assert_eq!(
            server.read_to_end(1000).await.expect("whole"),
            pattern(1000)
        );
        server
            .send_response(Response::new(()))
            .expect("not sent yet");
        server.finish().expect("not finished yet");
        assert_eq!(client.recv_response().await.expect("arrives").status(), 200);
        assert_eq!(client.recv_data().await, Ok(None));
        session.close(0, "").expect("open");
        drop((client, server));
        // Who has read all there is to read closes.
        assert_eq!(pair.client.closed().await, CloseReason::PeerDrained);
        let remote = pair.server.closed().await;
        assert!(
            matches!(&remote, CloseReason::Remote { code, .. } if *code == Code::H3_NO_ERROR),
            "{remote}"
        );
        pair.server_endpoint.wait_idle().await;
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_by_its_deadline() {
    within(async {
        let pair = Pair::new().await;
        let (_client, _server) = pair.post().await;
        pair.server.drain(Duration::from_millis(100));
        assert_eq!(pair.server.closed().await, CloseReason::Drained);
    })
    .await;
}

#[tokio::test]
async fn a_handshake_with_a_stranger_fails_on_both_sides() {
    within(async {
        let pair = Pair::new().await;
        let mut target = target(&pair.server_endpoint);
        target.tls = Arc::new(Identity::new(9, &["localhost"]).client());
        let connecting = pair.client_endpoint.connect_with(target).expect("begins");
        let reason = connecting.await.expect_err("not trusted");
        // A TLS alert, found on this side (RFC 9001 §4.8).
        assert!(
            matches!(&reason, CloseReason::Transport(TransportFailure::Error { code, .. }) if (0x100..0x200).contains(code)),
            "{reason:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_server_without_webtransport_is_told_apart() {
    // Row B2
    within(async {
        let identity = Identity::localhost();
        let mut http = aqueduct_tokio::protocol::config::Config::default();
        http.webtransport.enabled = false;
        let config = EndpointConfig::server(identity.server().into(), http).expect("suits");
        let server = Endpoint::server(config, ANY).expect("binds");
        let client = Endpoint::client(ANY).expect("binds");
        let connecting = client.connect_with(target(&server)).expect("begins");
        let (client, _server) = tokio::join!(connecting, server.accept());
        let client = client.expect("shakes hands");
        let request = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
        let refused = client.open_session(request).await.expect_err("not spoken");
        assert_eq!(
            refused,
            OpenSessionError::Refused(SessionRefusal::WebTransportNotEnabled)
        );
    })
    .await;
}

#[tokio::test]
async fn connections_survive_a_new_socket() {
    // Row E4
    within(async {
        let pair = Pair::new().await;
        let (session, server) = pair.session().await;
        let before = pair.server.remote_address().expect("open");
        let socket = UdpSocket::bind(ANY).expect("binds");
        pair.client_endpoint.rebind(socket).expect("suits");
        assert_ne!(pair.client_endpoint.local_addr(), before);

        let mut send = session.open_uni().await.expect("opens");
        let writing = async {
            let written = send.write_chunk(pattern(100_000)).await;
            written.expect("the server reads");
            send.finish().expect("ends");
        };
        let reading = async {
            let mut recv = server.accept_uni().await.expect("arrives");
            recv.read_to_end(1 << 20).await.expect("whole")
        };
        let ((), read) = tokio::join!(writing, reading);
        assert!(read == pattern(100_000));
        assert_eq!(
            pair.server.remote_address(),
            Some(pair.client_endpoint.local_addr())
        );
    })
    .await;
}

#[test]
fn handles_that_outlive_the_runtime_are_told() {
    let first = tokio::runtime::Runtime::new().expect("starts");
    let (pair, mut stream, _server_stream) = first.block_on(async {
        let pair = Pair::new().await;
        let (stream, server_stream) = pair.post().await;
        (pair, stream, server_stream)
    });
    drop(first);
    let second = tokio::runtime::Runtime::new().expect("starts");
    second.block_on(within(async {
        let reason = pair.client.closed().await;
        assert!(matches!(&reason, CloseReason::Transport(_)), "{reason}");
        assert!(matches!(
            stream.recv_response().await,
            Err(ReadError::Connection(_))
        ));
        assert!(stream.send_data(Bytes::from_static(b"x")).await.is_err());
    }));
}

#[tokio::test]
async fn what_the_handshake_agreed_on_can_be_asked() {
    // Rows E2, E20
    within(async {
        let pair = Pair::new().await;
        assert_eq!(pair.client.alpn().as_deref(), Some(&b"h3"[..]));
        assert_eq!(pair.server.server_name().as_deref(), Some("localhost"));
        assert_eq!(
            pair.client.remote_address(),
            Some(pair.server_endpoint.local_addr())
        );
        assert_eq!(
            pair.client.peer_certificates(),
            [Identity::localhost().cert]
        );
        assert!(pair.client.rtt().expect("open") < Duration::from_secs(1));
        assert_eq!(
            (pair.client.side(), pair.server.side()),
            (Side::Client, Side::Server)
        );
        assert!(pair.client.settings().await.is_ok());
        let (mut ours, mut theirs) = ([0; 32], [0; 32]);
        pair.client
            .export_keying_material(&mut ours, b"label", b"")
            .expect("complete");
        pair.server
            .export_keying_material(&mut theirs, b"label", b"")
            .expect("complete");
        assert_eq!(ours, theirs);
        assert_ne!(ours, [0; 32]);
    })
    .await;
}

/// Row D8: what arrived before the connection's end is not lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_came_before_the_end_can_be_read_after_it() {
    within(async {
        let pair = Pair::new().await;
        let (mut client, mut server) = pair.post().await;
        let data = pattern(100_000);
        server
            .send_response(Response::new(()))
            .expect("not sent yet");
        server.send_data(data.clone()).await.expect("is taken");
        server.finish().expect("not finished yet");
        server
            .send
            .stopped()
            .await
            .expect("all of it is acknowledged");
        pair.server.close(Code::H3_NO_ERROR, "done");
        pair.client.closed().await;
        assert_eq!(
            client.recv_response().await.expect("had arrived").status(),
            200
        );
        assert!(client.read_to_end(1 << 20).await.expect("had arrived") == data);
    })
    .await;
}
