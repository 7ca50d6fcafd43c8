//! Row A18: requests that go out before the handshake is complete.

use aqueduct_core::error::Class;
use aqueduct_core::head::Early;
use aqueduct_core::pool::PoolError;
use aqueduct_core::transport::EarlyData;
use http::StatusCode;
use rustls::server::StoresServerSessions;

use super::*;
use crate::MemoryTickets;
use crate::client::EarlyOutcome;

/// What a client and its server remember.
struct World {
    store: Arc<MemoryTickets>,
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

impl World {
    fn new() -> Self {
        freeze();
        let identity = Identity::localhost();
        Self {
            store: Arc::default(),
            server: identity.server().into(),
            client: identity.client_arc(),
        }
    }

    fn net(&self, http: Config) -> Net {
        let config = EndpointConfig::server(self.server.clone(), http);
        let config = config.and_then(|config| config.early_data(true));
        Net::of(config.expect("suits"))
    }

    fn builder(&self) -> ClientBuilder {
        let builder = ClientBuilder::with_tls(self.client.clone());
        builder.tickets(self.store.clone()).early_data(true)
    }

    /// A client that has been connected to its server, and is not any more.
    fn acquainted(&self, builder: ClientBuilder) -> Lab {
        let mut lab = Lab::on(self.net(Config::default()), builder);
        let asked = lab.get();
        let theirs = lab.accept();
        let (_, mut came) = lab.request(&theirs);
        assert!(!came.is_early(), "there is no ticket yet");
        reply(&mut came);
        let answer = lab.finish(&asked).expect("is answered");
        assert_eq!(answer.extensions().get::<EarlyOutcome>(), None);
        drop(answer);
        part(&mut lab, &theirs);
        assert!(!self.store.is_empty());
        lab
    }
}

/// The connection ends; the ticket has come.
fn part(lab: &mut Lab, theirs: &Connection) {
    lab.settle();
    theirs.close(Code::H3_NO_ERROR, "");
    lab.settle();
}

fn request(method: &str, early: Early, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(URI);
    request.extension(early).body(body).expect("valid")
}

fn ask(lab: &Lab, request: Request<Body>) -> Later<Answer> {
    let client = lab.client.clone();
    lab.spawn(async move { client.request(request).await })
}

/// Everybody has done what he can before anything is on the wire.
fn depart(lab: &mut Lab) {
    for _ in 0..3 {
        lab.poll_tasks(&mut Context::from_waker(Waker::noop()));
    }
}

#[test]
fn safe_requests_go_early_and_are_accepted() {
    let world = World::new();
    let mut lab = world.acquainted(world.builder());
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        // One for which the connection is made, and one that comes meanwhile.
        let asked = [(); 2].map(|()| {
            let asked = ask(&lab, request(method, Early::IfSafe, Body::empty()));
            depart(&mut lab);
            asked
        });
        let theirs = lab.accept();
        // Too Early is an answer, and nothing is sent again.
        for (later, status) in asked.iter().zip([StatusCode::OK, StatusCode::TOO_EARLY]) {
            let (_, mut came) = lab.request(&theirs);
            assert!(came.is_early(), "{method}");
            let answer = Response::builder().status(status).body(()).expect("valid");
            came.send.send_empty(answer).expect("not sent yet");
            let answer = lab.finish(later).expect("is answered");
            assert_eq!(answer.status(), status);
            let outcome = answer.extensions().get::<EarlyOutcome>();
            assert_eq!(outcome, Some(&EarlyOutcome::Accepted));
        }
        assert_eq!(lab.active(), 0);
        part(&mut lab, &theirs);
        assert!(poll(pin!(theirs.accept_request())).is_none_or(|more| more.is_none()));
    }
    assert_eq!(lab.client.stats().dials, 5);
}

#[test]
fn what_is_not_safe_waits_for_the_handshake() {
    let world = World::new();
    let mut lab = world.acquainted(world.builder());
    let late = |lab: &mut Lab, early: bool| {
        depart(lab);
        let theirs = lab.accept();
        let (_, mut came) = lab.request(&theirs);
        assert_eq!(came.is_early(), early);
        reply(&mut came);
        theirs
    };
    for (request, early) in [
        (request("POST", Early::IfSafe, Body::empty()), false),
        (request("DELETE", Early::IfSafe, Body::empty()), false),
        (request("GET", Early::Never, Body::empty()), false),
        // Content does not go with the head.
        (request("GET", Early::IfSafe, "content".into()), false),
        // The caller knows better.
        (request("POST", Early::Always, "content".into()), true),
    ] {
        let asked = ask(&lab, request);
        let theirs = late(&mut lab, early);
        let answer = lab.finish(&asked).expect("is answered");
        let outcome = answer.extensions().get::<EarlyOutcome>();
        assert_eq!(outcome.is_some(), early);
        drop(answer);
        part(&mut lab, &theirs);
    }
    // What is to be a tunnel, or anything of its own, is no early data.
    let client = lab.client.clone();
    let open = Request::get(URI).extension(Early::Always).body(());
    let open = lab.spawn(async move { client.open(open.expect("valid")).await });
    late(&mut lab, false);
    lab.finish(&open).expect("is sent");
}

/// A18: it is told as unprocessed, and not sent again; the connection serves others.
#[test]
fn a_rejected_request_is_unprocessed() {
    let world = World::new();
    drop(world.acquainted(world.builder()));
    let mut less = Config::default();
    less.limits.field_section /= 2;
    let mut lab = Lab::on(world.net(less), world.builder());
    let (asked, waits) = (lab.get(), lab.post(Body::empty()));
    let theirs = lab.accept();
    let error = lab.finish(&asked).expect_err("is rejected");
    assert_eq!(error.early_data(), Some(EarlyOutcome::Rejected));
    assert!(error.is_unprocessed() && error.is_retryable(), "{error:?}");
    // The first that the server hears of is what has waited.
    let (head, mut came) = lab.request(&theirs);
    assert_eq!((head.method().as_str(), came.is_early()), ("POST", false));
    reply(&mut came);
    lab.finish(&waits).expect("is answered");
    lab.settle();
    assert!(
        poll(pin!(theirs.accept_request())).is_none(),
        "not sent again"
    );
    assert_eq!(lab.active(), 0);
    let again = lab.get();
    let (_, mut came) = lab.request(&theirs);
    assert!(!came.is_early());
    reply(&mut came);
    lab.finish(&again).expect("is answered");
    assert_eq!(lab.client.stats().dials, 1);
}

/// Sessions of a server that does not look at what it has promised with them: it says of
/// each that it is from the latest of its configurations.
#[derive(Debug)]
struct Careless {
    kept: Arc<dyn StoresServerSessions>,
    /// What is kept with each session to be compared: its length in four bytes and a mark of
    /// eight at its end.
    latest: Mutex<Vec<u8>>,
}

fn terms_of(value: &[u8]) -> usize {
    let (rest, _) = value.split_last_chunk::<8>().expect("a mark");
    let (rest, len) = rest.split_last_chunk::<4>().expect("a length");
    rest.len() - u32::from_be_bytes(*len) as usize
}

impl StoresServerSessions for Careless {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        *self.latest.lock().expect("no panic") = value[terms_of(&value)..].to_vec();
        self.kept.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = self.kept.take(key)?;
        value.truncate(terms_of(&value));
        value.extend_from_slice(&self.latest.lock().expect("no panic"));
        Some(value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// RFC 9114 section 7.2.4.2, RFC 9000 section 7.4.1: a server that has restarted takes early
/// data by old tickets, and not what it has promised with them. The connection is over, and
/// the next does not begin with another of these tickets.
#[test]
fn a_server_that_breaks_its_word_is_asked_without_early_data() {
    let mut less = Config::default();
    less.limits.field_section /= 2;
    let mut fewer = TransportSettings::default();
    fewer.max_streams_bidi /= 2;
    for (http, quic) in [(less, None), (Config::default(), Some(fewer))] {
        let mut world = World::new();
        let tls = Arc::make_mut(&mut world.server);
        tls.session_storage = Arc::new(Careless {
            kept: tls.session_storage.clone(),
            latest: Mutex::default(),
        });
        drop(world.acquainted(world.builder()));
        assert!(world.store.len() > 1, "there are more of them");
        let config = EndpointConfig::server(world.server.clone(), http);
        let mut config = config.and_then(|config| config.early_data(true));
        if let Some(quic) = quic {
            config = config.and_then(|config| config.transport(quic));
        }
        let mut lab = Lab::on(Net::of(config.expect("suits")), world.builder());
        // The server has said to somebody else what it says since it restarted.
        let stranger = lab.net.connect();
        drop(stranger);

        let asked = lab.get();
        let error = lab.finish(&asked).expect_err("the connection is over");
        assert!(!error.is_unprocessed(), "{error:?}");
        // Whoever is there for a moment only is not asked again at once.
        lab.pass(Duration::from_secs(1));
        let again = lab.get();
        lab.settle();
        let mut theirs = lab.accept();
        while theirs.close_reason().is_some() {
            theirs = lab.accept();
        }
        let (_, mut came) = lab.request(&theirs);
        assert!(!came.is_early());
        reply(&mut came);
        lab.finish(&again).expect("is answered");
    }
}

#[test]
fn a_request_whose_handshake_fails_is_unknown() {
    let world = World::new();
    let mut lab = world.acquainted(world.builder().connect_timeout(Duration::from_secs(2)));
    lab.net.ends[0].1.nobody = vec![lab.net.server.local_addr()];
    let (asked, waits) = (lab.get(), lab.post(Body::empty()));
    lab.pass(Duration::from_secs(3));
    let error = lab.finish(&asked).expect_err("nobody is there");
    assert_eq!(error.early_data(), Some(EarlyOutcome::Unknown));
    let Error::EarlyDataUnknown { source } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(source, Some(PoolError::Dial(_))), "{source:?}");
    assert!(!error.is_unprocessed() && error.class() == Class::Transient);
    // What has waited was not sent.
    let error = lab.finish(&waits).expect_err("nobody is there");
    assert!(error.is_unprocessed() && error.early_data().is_none());
    lab.settle();
    assert_eq!(lab.net.client.open_connections(), 0);
}

/// RFC 8305 beside RFC 8470: a request went to an address that another one overtook.
#[test]
fn a_request_to_an_address_that_loses_is_unknown() {
    let addresses = |_: &str, _| -> Resolving {
        let there = ([127, 0, 0, 1], 0).into();
        Box::pin(async move { Ok(vec![([127, 0, 0, 2], 0).into(), there]) })
    };
    let world = World::new();
    drop(world.acquainted(world.builder()));
    let net = world.net(Config::default());
    let mut lab = Lab::on(net, world.builder().resolver(addresses));
    lab.net.ends[0].1.nobody = vec!["127.0.0.2:2".parse().expect("an address")];
    let asked = lab.get();
    lab.pass(Duration::from_millis(300));
    let error = lab.finish(&asked).expect_err("went elsewhere");
    assert!(matches!(error, Error::EarlyDataUnknown { source: None }));
    assert!(!error.is_unprocessed() && error.is_retryable());
    lab.settle();
    assert_eq!(lab.net.client.open_connections(), 1, "the other is over");
    assert_eq!(lab.active(), 0);
}

/// Off by default: a ticket makes the handshake shorter and nothing else.
#[test]
fn nothing_goes_early_unless_asked() {
    let world = World::new();
    drop(world.acquainted(world.builder()));
    let net = world.net(Config::default());
    let mut lab = Lab::on(net, world.builder().early_data(false));
    let asked = lab.get();
    let theirs = lab.accept();
    let (_, mut came) = lab.request(&theirs);
    assert!(!came.is_early());
    reply(&mut came);
    lab.finish(&asked).expect("is answered");
    assert_eq!(
        theirs.early_data(),
        Some(EarlyData::None),
        "none was offered"
    );
}
