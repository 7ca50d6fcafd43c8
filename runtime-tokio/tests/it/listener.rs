//! Row E18: a listener on real sockets, bound, locked, reloaded, moved and stopped.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::endpoint::tls::{self, Identity as Own, Trust};
use aqueduct_tokio::protocol::error::{CloseReason, TransportFailure};
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Connection, Endpoint, Listener, Stop};

use crate::harness::{ANY, request, target, within};

fn config() -> EndpointConfig {
    let tls = Identity::localhost().server().into();
    EndpointConfig::server(tls, Config::default()).expect("suits")
}

/// A client's connection to the listener, and the server's end of it.
async fn connect(client: &Endpoint, to: &Listener) -> (Connection, Connection) {
    let connecting = client.connect_with(target(to.endpoint())).expect("begins");
    let (ours, theirs) = tokio::join!(connecting, to.endpoint().accept());
    (ours.expect("shakes hands"), theirs.expect("arrives"))
}

/// Whether requests get through.
async fn serves((ours, theirs): &(Connection, Connection)) {
    let (sent, came) = tokio::join!(ours.request(request("POST")), theirs.accept_request());
    sent.expect("is sent");
    came.expect("arrives");
}

/// Waits until nobody has the port.
async fn freed(addr: SocketAddr) -> UdpSocket {
    loop {
        match UdpSocket::bind(addr) {
            Ok(socket) => return socket,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn both_families_are_served() {
    within(async {
        for host in [ANY, SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            let listener = Listener::bind(config(), host).expect("binds");
            assert_eq!(listener.local_addr().ip(), host.ip());
            let client = Endpoint::client(host).expect("binds");
            serves(&connect(&client, &listener).await).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_locked_one_refuses_and_lets_live() {
    within(async {
        let listener = Listener::bind(config(), ANY).expect("binds");
        let client = Endpoint::client(ANY).expect("binds");
        let before = connect(&client, &listener).await;
        listener.lock();
        let refused = client.connect_with(target(listener.endpoint()));
        let refused = refused.expect("begins").await.expect_err("is refused");
        //= https://www.rfc-editor.org/rfc/rfc9000#section-20.1
        // CONNECTION_REFUSED.
        let CloseReason::Transport(TransportFailure::ClosedByPeer { code, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(code, 0x2);
        serves(&before).await;
        listener.unlock();
        serves(&connect(&client, &listener).await).await;
    })
    .await;
}

#[tokio::test]
async fn a_restarted_one_serves_at_another_port_and_lets_live() {
    within(async {
        let mut listener = Listener::bind(config(), ANY).expect("binds");
        let client = Endpoint::client(ANY).expect("binds");
        let old = listener.local_addr();
        let before = connect(&client, &listener).await;
        listener.restart(ANY, Stop::LetLive).expect("binds");
        assert_ne!(listener.local_addr(), old);
        serves(&connect(&client, &listener).await).await;
        serves(&before).await;
        drop(before);
        freed(old).await;
    })
    .await;
}

#[tokio::test]
async fn a_stopped_one_closes_as_asked_and_frees_its_port() {
    within(async {
        let listener = Listener::bind(config(), ANY).expect("binds");
        let client = Endpoint::client(ANY).expect("binds");
        let addr = listener.local_addr();
        let (ours, theirs) = connect(&client, &listener).await;
        listener.stop(Stop::Close(Code::new(0x1234)));
        let closed = ours.closed().await;
        let remote = matches!(&closed, CloseReason::Remote { code, .. } if code.value() == 0x1234);
        assert!(remote, "{closed:?}");
        drop(theirs);
        freed(addr).await;
    })
    .await;
}

#[tokio::test]
async fn a_stopped_one_drains_as_asked() {
    within(async {
        let listener = Listener::bind(config(), ANY).expect("binds");
        let client = Endpoint::client(ANY).expect("binds");
        let addr = listener.local_addr();
        let (ours, theirs) = connect(&client, &listener).await;
        listener.stop(Stop::Drain(Duration::from_secs(5)));
        assert_eq!(ours.closed().await, CloseReason::PeerDrained);
        drop(theirs);
        freed(addr).await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_one_frees_its_port() {
    within(async {
        let listener = Listener::bind(config(), ANY).expect("binds");
        let addr = listener.local_addr();
        let taken = Listener::bind(config(), addr).expect_err("somebody is there");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        freed(addr).await;
    })
    .await;
}

#[tokio::test]
async fn a_reloaded_certificate_outlives_a_restart() {
    within(async {
        let mut listener = Listener::bind(config(), ANY).expect("binds");
        let renewed = Own::self_signed(["localhost"], SystemTime::now()).expect("a name");
        let trust = tls::client_config(Trust::hashes([renewed.hash()])).expect("suits");
        let trust = Arc::new(trust);
        let renewed = tls::server_config(renewed.chain, renewed.key).expect("the key fits");
        let client = Endpoint::client(ANY).expect("binds");
        listener.reload(Arc::new(renewed)).expect("suits");
        for restarts in [false, true] {
            if restarts {
                listener.restart(ANY, Stop::LetLive).expect("binds");
            }
            let to = listener.local_addr();
            let connecting = client.connect(to, "localhost", Arc::clone(&trust));
            let (ours, _) = tokio::join!(connecting.expect("begins"), listener.endpoint().accept());
            ours.expect("believes the new one");
        }
        // One that does not suit replaces nothing.
        let mut unfit = Identity::localhost().server();
        unfit.alpn_protocols = vec![b"other".to_vec()];
        listener.reload(Arc::new(unfit)).expect_err("no HTTP/3");
        let to = listener.local_addr();
        let connecting = client.connect(to, "localhost", trust).expect("begins");
        let (ours, _) = tokio::join!(connecting, listener.endpoint().accept());
        ours.expect("believes the new one still");
    })
    .await;
}
