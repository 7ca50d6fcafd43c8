//! Connections to a proxy that is to carry QUIC, on paths that are narrow, and to nobody.

use std::net::{SocketAddr, UdpSocket as Plain};
use std::time::Duration;

use aqueduct_core::testing::cert::Identity;
use aqueduct_tokio::Endpoint;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_tokio::protocol::error::{CloseReason, TransportFailure};
use tokio::net::UdpSocket;

use crate::proxy::{World, fetch_through, udp_echo};

/// A path to `there` on which packets of more than `most` bytes are lost, both ways: where it
/// begins. It is one client's.
fn narrow(there: SocketAddr, most: usize) -> SocketAddr {
    let bind = || {
        let socket = Plain::bind("127.0.0.1:0").expect("binds");
        socket.set_nonblocking(true).expect("a socket");
        UdpSocket::from_std(socket).expect("a socket")
    };
    let (front, back) = (bind(), bind());
    let begin = front.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut there_and, mut back_again) = (vec![0; 65_536], vec![0; 65_536]);
        let mut client = begin;
        loop {
            let _ = tokio::select! {
                Ok((len, from)) = front.recv_from(&mut there_and) => {
                    client = from;
                    match len <= most {
                        true => back.send_to(&there_and[..len], there).await,
                        false => Ok(0),
                    }
                }
                Ok((len, _)) = back.recv_from(&mut back_again) => match len <= most {
                    true => front.send_to(&back_again[..len], client).await,
                    false => Ok(0),
                },
                else => return,
            };
        }
    });
    begin
}

/// Where no packet passes into which QUIC's smallest fit, they go in capsules.
#[tokio::test]
async fn quic_goes_through_a_tunnel_on_a_narrow_path() {
    let world = World::behind(|proxy| narrow(proxy, 1250)).await;
    let tunnel = world.udp(udp_echo().await).await;
    assert!(tunnel.uses_capsules());
    // All that UDP takes fits.
    for len in [0, 1200, 9000] {
        let payload = vec![len as u8; len];
        tunnel.send(&payload).await.expect("fits");
        assert_eq!(tunnel.recv().await.expect("comes back"), payload);
    }
    fetch_through(world).await;
}

/// On a path that takes them, datagrams are used, though it be just so.
#[tokio::test]
async fn datagrams_are_used_where_they_are_large_enough() {
    let world = World::behind(|proxy| narrow(proxy, 1350)).await;
    let tunnel = world.udp(udp_echo().await).await;
    assert!(!tunnel.uses_capsules());
    assert!(tunnel.max_payload().expect("open") >= 1200);
    fetch_through(world).await;
}

/// What a small packet brings to light is told, whatever has become of the large ones.
#[tokio::test]
async fn why_there_is_no_connection_is_told_on_a_narrow_path() {
    let other = Identity::new(7, &["elsewhere.example"]).server();
    let config = EndpointConfig::server(other.into(), Config::default());
    let local = "127.0.0.1:0".parse().expect("an address");
    let server = Endpoint::server(config.expect("suits"), local).expect("binds");
    let to = narrow(server.local_addr(), 1250);
    let client = Endpoint::client(local).expect("binds");
    let target = Target::new(to, "localhost", Identity::localhost().client_arc());
    let failed = client.connect_carrier(target).expect("begins").await;
    let Err(CloseReason::Transport(TransportFailure::Error { code, .. })) = failed else {
        panic!("{failed:?}");
    };
    assert!((0x100..0x200).contains(&code), "{code:x}");
}

/// Nobody answers: packets of both sizes have asked.
#[tokio::test]
async fn large_packets_that_nobody_answers_are_not_all() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let to = silent.local_addr().expect("bound");
    let client = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("binds");
    let target = Target::new(to, "localhost", Identity::localhost().client_arc());
    let connecting = tokio::spawn(client.connect_carrier(target).expect("begins"));
    let (mut sizes, mut buffer) = (Vec::new(), [0; 2048]);
    while sizes.last() != Some(&1200) {
        let packet = tokio::time::timeout(Duration::from_secs(8), silent.recv(&mut buffer)).await;
        sizes.push(packet.expect("more packets").expect("a socket"));
    }
    assert!(sizes.len() >= 3 && sizes[..2] == [1350; 2], "{sizes:?}");
    connecting.abort();
}
