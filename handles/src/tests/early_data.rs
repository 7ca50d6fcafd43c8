//! Row A18: early data by the handles, accepted, rejected and not known yet.

use std::sync::Arc;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::head::Early;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::transport::EarlyData;
use http::{Request, Response, StatusCode};

use super::{Net, both};
use crate::error::{ReadError, WriteError};
use crate::{Connection, MemoryTickets};

/// A client with tickets, and TLS of a server that keeps its sessions.
struct World {
    store: Arc<MemoryTickets>,
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
}

impl World {
    /// A client that has been connected to a server that takes early data.
    fn acquainted() -> (Self, Net) {
        let identity = Identity::localhost();
        let world = Self {
            store: Arc::default(),
            client: identity.client_arc(),
            server: Arc::new(identity.server()),
        };
        let mut net = world.net(Config::default());
        let ours = world.connect(&net);
        assert!(!ours.may_send_early());
        net.run(ours.connected()).expect("shakes hands");
        assert_eq!(ours.early_data(), Some(EarlyData::None));
        let theirs = net.run(net.server.clone().accept()).expect("arrives");
        assert!(net.run(ours.ticket()));
        ours.close(Code::H3_NO_ERROR, "");
        net.settle();
        drop(theirs);
        (world, net)
    }

    fn net(&self, http: Config) -> Net {
        let config = EndpointConfig::server(self.server.clone(), http);
        let config = config.and_then(|config| config.early_data(true));
        Net::of(config.expect("suits"))
    }

    fn connect(&self, net: &Net) -> Connection {
        let target = Target::new(net.server.local_addr(), "localhost", self.client.clone())
            .tickets(self.store.clone())
            .early_data(true);
        let connecting = net.client.connect_with(target).expect("begins");
        connecting.early()
    }
}

fn request(method: &str, early: Early) -> Request<()> {
    let request = Request::builder().method(method).uri("https://localhost/");
    request.extension(early).body(()).expect("valid")
}

#[test]
fn a_request_is_accepted_before_the_handshake_is_complete() {
    let (world, mut net) = World::acquainted();
    let ours = world.connect(&net);
    assert!(ours.may_send_early());
    assert_eq!(ours.early_data(), None, "not known yet");
    let (asks, server) = (request("GET", Early::IfSafe), net.server.clone());
    let mut asked = net.run(ours.request_empty(asks)).expect("goes early");
    let theirs = net.run(server.accept()).expect("arrives");
    let (_, mut came) = net.run(theirs.accept_request()).expect("arrives");
    assert!(came.is_early());
    let answer = Response::builder().status(StatusCode::TOO_EARLY).body(());
    came.send_response(answer.expect("valid")).expect("goes");
    came.finish().expect("goes");
    let answer = net.run(asked.recv_response()).expect("arrives");
    assert_eq!(answer.status(), StatusCode::TOO_EARLY);
    assert_eq!(ours.early_data(), Some(EarlyData::Accepted));
    // It is accepted once, and is like any other from here on.
    net.run(theirs.connected()).expect("shakes hands");
    net.settle();
    assert_eq!(theirs.early_data(), Some(EarlyData::Accepted));
    net.session(&ours, &theirs);
    let (_, came) = net.post(&ours, &theirs);
    assert!(!came.is_early());
    assert!(super::poll(std::pin::pin!(server.accept())).is_none());
}

#[test]
fn rejected_requests_say_so_and_are_not_sent_again() {
    let (world, _) = World::acquainted();
    let mut less = Config::default();
    less.limits.field_section /= 2;
    let mut net = world.net(less);
    let ours = world.connect(&net);
    let mut open = net
        .run(ours.request(request("POST", Early::Always)))
        .expect("goes early");
    let ended = net.run(ours.request_empty(request("GET", Early::IfSafe)));
    let (mut send, mut recv) = ended.expect("goes early").split();
    let later = ours.request_empty(request("POST", Early::IfSafe));
    let server = net.server.clone();
    let (later, theirs) = net.run(both(later, server.accept()));
    let theirs = theirs.expect("arrives");
    assert_eq!(ours.early_data(), Some(EarlyData::Rejected));
    for error in [
        net.run(open.recv_response()).map(drop),
        net.run(recv.recv_response()).map(drop),
    ] {
        assert_eq!(error, Err(ReadError::EarlyDataRejected));
        assert!(error.is_err_and(|error| error.is_retryable()));
    }
    let error = net.run(open.send_data("x".into()));
    assert_eq!(error, Err(WriteError::EarlyDataRejected));
    drop(send.finish());
    // What has waited for the handshake is the first that the server hears of.
    let (head, came) = net.run(theirs.accept_request()).expect("arrives");
    assert_eq!(head.method(), http::Method::POST);
    assert!(!came.is_early());
    assert_eq!(later.expect("goes").id(), came.id());
    net.settle();
    assert!(super::poll(std::pin::pin!(theirs.accept_request())).is_none());
}
