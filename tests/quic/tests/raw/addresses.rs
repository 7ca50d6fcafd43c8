//! Rows E2, E4, E20: what is known of a connection from its beginning, and that a change of
//! address is told, whoever moved.

use std::net::{IpAddr, SocketAddr};

use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{self, About};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::TransportEvent;

use super::talk::Talk;

#[test]
fn both_ends_know_name_protocol_and_address() {
    let mut talk = Talk::new();
    let addrs = [talk.pair.client.addr, talk.pair.server.addr];
    let mut about = |side| {
        talk.act(side, |access| access.about().cloned())
            .expect("known")
    };
    let (client, server) = (about(Side::Client), about(Side::Server));
    assert_eq!([server.remote, client.remote], addrs);
    for about in [client, server] {
        assert_eq!(about.alpn, b"chat");
        assert_eq!(about.server_name.as_deref(), Some("localhost"));
        assert!(!about.resumed);
        assert!(about.certificates.is_empty(), "nobody is to confirm them");
    }
}

/// A NAT forgets, and what the client sends next comes from elsewhere.
#[test]
fn a_nat_that_rebinds_is_told_to_the_server() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.pair.rebind_client();
    talk.write(Side::Client, ours, b"from elsewhere");
    let addr = talk.pair.client.addr;
    let moved = quic::Event::PeerAddress(addr);
    assert_eq!(count(&talk.events(Side::Server), &moved), 1);
    let about = talk.act(Side::Server, |access| access.about().cloned());
    assert_eq!(about.expect("known").remote, addr);
    assert_eq!(talk.read(Side::Server, theirs).0, b"from elsewhere");
    assert_eq!(
        talk.events(Side::Client),
        [],
        "a client hears nothing of it"
    );
}

/// A client moves by its own will, and says so at once.
#[test]
fn a_client_that_migrates_is_told_to_the_server() {
    let mut talk = Talk::new();
    talk.pair.rebind_client();
    talk.pair.client.endpoint.handle_rebind(talk.pair.now);
    let moved = quic::Event::PeerAddress(talk.pair.client.addr);
    assert_eq!(talk.events(Side::Server), [moved]);
    let [ours, _] = talk.stream(Side::Client, Dir::Bi);
    assert!(talk.act(Side::Client, |access| access.has_stream(ours)));
}

/// What a socket says of the address that the peer has used.
#[test]
fn another_local_address_is_told() {
    let config = quic::Config::default();
    let mut pair = LoopbackQuic::new(config.clone(), config, Knobs::default());
    pair.drive();
    let remote = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut about = About::new(remote);
    let mut tell = |about: &About| {
        pair.tell(Side::Client, TransportEvent::About(Box::new(about.clone())));
        pair.events(Side::Client)
    };
    tell(&about);
    assert_eq!(tell(&about), [], "the same");
    about.local_ip = Some(IpAddr::from([192, 0, 2, 9]));
    let local = quic::Event::LocalAddress(about.local_ip);
    assert_eq!(tell(&about), [Event::Quic(local)]);
    about.remote.set_port(2);
    let peer = quic::Event::PeerAddress(about.remote);
    assert_eq!(tell(&about), [Event::Quic(peer)]);
}

fn count(events: &[quic::Event], of: &quic::Event) -> usize {
    events.iter().filter(|event| *event == of).count()
}
