//! Row D18: where else an origin is served, over real sockets.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aqueduct_tokio::http_client::{Error, Resolve, Resolving, ResolvingHttps};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::pool::{
    AltSvcLimits, Alternative, HttpsRecord, Origin, PlanConfig, StoredAlternative,
};
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Client, ClientBuilder, Connection, Endpoint, client};
use http::Response;

use crate::harness::{ANY, within};

/// A place at which the origin may be served.
#[derive(Clone)]
struct Place {
    endpoint: Endpoint,
    says: Arc<Mutex<Says>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

#[derive(Default)]
struct Says {
    alt_svc: Option<String>,
    misdirected: bool,
}

/// A request: `:authority`, the name in TLS, `alt-used`.
type Asked = (String, String, Option<String>);

impl Place {
    fn new() -> Self {
        Self::of(Identity::localhost())
    }

    fn of(identity: Identity) -> Self {
        let config = EndpointConfig::server(identity.server().into(), Config::default());
        let place = Self {
            endpoint: Endpoint::server(config.expect("suits"), ANY).expect("binds"),
            says: Arc::default(),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        tokio::spawn(place.clone().serve());
        place
    }

    async fn serve(self) {
        while let Some(connection) = self.endpoint.accept().await {
            let place = self.clone();
            let mut connections = place.connections.lock().expect("no panic");
            connections.push(connection.clone());
            drop(connections);
            tokio::spawn(async move {
                while let Some((request, mut stream)) = connection.accept_request().await {
                    let used = request.headers().get("alt-used");
                    let used = used.map(|used| used.to_str().expect("text").to_owned());
                    let authority = request.uri().authority().expect("is there");
                    let name = connection.server_name().unwrap_or_default();
                    let mut asked = place.asked.lock().expect("no panic");
                    asked.push((authority.to_string(), name, used));
                    drop(asked);
                    // The client may have gone.
                    let _ = stream.send.send_empty(place.answer());
                }
            });
        }
    }

    fn answer(&self) -> Response<()> {
        let says = self.says.lock().expect("no panic");
        let mut answer = Response::builder().status(if says.misdirected { 421 } else { 200 });
        if let Some(alt_svc) = &says.alt_svc {
            answer = answer.header("alt-svc", alt_svc);
        }
        answer.body(()).expect("valid")
    }

    fn says(&self, alt_svc: impl Into<String>) {
        self.says.lock().expect("no panic").alt_svc = Some(alt_svc.into());
    }

    fn port(&self) -> u16 {
        self.endpoint.local_addr().port()
    }

    fn origin(&self) -> Origin {
        Origin::new("localhost", self.port()).expect("an origin")
    }

    fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no panic"))
    }

    fn count(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }
}

/// An origin, and another place for it.
struct World {
    origin: Place,
    other: Place,
    client: Client,
}

impl World {
    fn new() -> Self {
        Self::with(|_, _, builder| builder)
    }

    fn with(change: impl FnOnce(&Place, &Place, ClientBuilder) -> ClientBuilder) -> Self {
        let (origin, other) = (Place::new(), Place::new());
        let builder = ClientBuilder::with_tls(Identity::localhost().client_arc());
        let client = client(change(&origin, &other, builder)).expect("suits");
        Self {
            origin,
            other,
            client,
        }
    }

    /// A request on a new connection; tells how many came to the origin's own place and to
    /// the other one.
    async fn ask(&self) -> (usize, usize) {
        self.try_ask().await.expect("is answered")
    }

    async fn try_ask(&self) -> Result<(usize, usize), Error> {
        for place in [&self.origin, &self.other] {
            for connection in place.connections.lock().expect("no panic").drain(..) {
                connection.close(Code::H3_NO_ERROR, "");
            }
        }
        while self.client.stats().all.connections > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = (self.origin.count(), self.other.count());
        self.again().await?;
        Ok((
            self.origin.count() - before.0,
            self.other.count() - before.1,
        ))
    }

    async fn again(&self) -> Result<Response<()>, Error> {
        let uri = format!("https://localhost:{}/", self.origin.port());
        Ok(self.client.get(uri).await?.map(drop))
    }
}

const HERE: (usize, usize) = (1, 0);
const THERE: (usize, usize) = (0, 1);

#[tokio::test]
async fn an_origin_is_dialled_where_it_says_until_it_clears_that() {
    within(async {
        let world = World::new();
        let (port, other) = (world.origin.port(), world.other.port());
        world.origin.says(format!(r#"h3=":{other}"; ma=600"#));
        assert_eq!(world.ask().await, HERE);
        // The connection that is there serves on.
        world.again().await.expect("is answered");
        assert_eq!(world.origin.count(), 2);
        assert_eq!(world.ask().await, THERE);
        // It is asked for the origin, by its name, and knows as which place.
        let authority = format!("localhost:{port}");
        let used = Some(format!("localhost:{other}"));
        assert_eq!(
            world.other.take(),
            [(authority.clone(), "localhost".into(), used)]
        );
        assert!(world.origin.take().iter().all(|asked| asked.2.is_none()));
        // What it says is said of the origin.
        assert_eq!(world.client.alternatives().len(), 1);
        world.other.says("clear");
        assert_eq!(world.ask().await, THERE);
        assert!(world.client.alternatives().is_empty());
        world.origin.says("clear");
        assert_eq!(world.ask().await, HERE);
    })
    .await;
}

#[tokio::test]
async fn only_http3_that_is_still_true_is_an_alternative() {
    within(async {
        let world = World::new();
        let other = world.other.port();
        for said in [
            format!(r#"h2=":{other}", h3-29=":{other}""#),
            format!(r#"h3=":{other}"; ma=0"#),
            format!(r#"h3=":{other}"#),
        ] {
            world.origin.says(said);
            assert_eq!(world.ask().await, HERE);
            assert_eq!(world.ask().await, HERE);
        }
        let world = World::with(|_, _, builder| builder.alternatives(None));
        world
            .origin
            .says(format!(r#"h3=":{}""#, world.other.port()));
        assert_eq!(world.ask().await, HERE);
        assert_eq!(world.ask().await, HERE, "nobody listens");
    })
    .await;
}

/// Row D18: whatever a server names, the origin's own place is tried.
#[tokio::test]
async fn many_alternatives_leave_room_for_the_origin() {
    within(async {
        let mut limits = AltSvcLimits::default();
        limits.alternatives = 32;
        let world = World::with(|_, _, builder| builder.alternatives(limits));
        let silent: Vec<_> = (0..32)
            .map(|_| std::net::UdpSocket::bind(ANY).expect("binds"))
            .collect();
        let port = |socket: &std::net::UdpSocket| socket.local_addr().expect("bound").port();
        let services = silent.iter().map(|one| format!(r#"h3=":{}""#, port(one)));
        world.origin.says(services.collect::<Vec<_>>().join(","));
        assert_eq!(world.ask().await, HERE);
        assert_eq!(world.client.alternatives().len(), 32);
        assert_eq!(world.ask().await, HERE);
    })
    .await;
}

#[tokio::test]
async fn an_alternative_that_does_not_work_is_passed_by() {
    within(async {
        let world = World::new();
        let silent = std::net::UdpSocket::bind(ANY).expect("binds");
        let silent = silent.local_addr().expect("bound").port();
        let impostor = Place::of(Identity::new(7, &["elsewhere.example"]));
        for port in [silent, impostor.port()] {
            world.origin.says(format!(r#"h3=":{port}""#));
            assert_eq!(world.ask().await, HERE);
            // It falls back, and leaves it alone from then on.
            let dials = || world.client.stats().dials;
            let before = dials();
            assert_eq!(world.ask().await, HERE);
            let began = std::time::Instant::now();
            assert_eq!(world.ask().await, HERE);
            assert!(began.elapsed() < Duration::from_millis(200));
            assert_eq!(dials() - before, 2);
        }
        assert_eq!(impostor.count(), 0, "nothing is told to another");
        assert_eq!(impostor.endpoint.stats().accepted, 1, "asked once");
    })
    .await;
}

#[tokio::test]
async fn an_alternative_that_does_not_serve_the_origin_is_forgotten() {
    within(async {
        let world = World::new();
        world.other.says.lock().expect("no panic").misdirected = true;
        world
            .origin
            .says(format!(r#"h3=":{}""#, world.other.port()));
        assert_eq!(world.ask().await, HERE);
        world.origin.says("clear");
        assert_eq!(world.ask().await, THERE);
        assert!(world.client.alternatives().is_empty());
        // Its connection gets nothing more.
        world.again().await.expect("is answered");
        assert_eq!((world.origin.count(), world.other.count()), (2, 1));
    })
    .await;
}

/// Row D18: RFC 7838 §6. One that names itself in its 421 would be asked for ever.
#[tokio::test]
async fn what_an_answer_421_says_of_alternatives_is_ignored() {
    within(async {
        let world = World::new();
        let here = format!(r#"h3=":{}""#, world.other.port());
        world.other.says.lock().expect("no panic").misdirected = true;
        world.other.says(here.clone());
        world.origin.says(here);
        assert_eq!(world.ask().await, HERE);
        assert_eq!(world.ask().await, THERE);
        assert!(world.client.alternatives().is_empty());
        assert_eq!(world.ask().await, HERE);
    })
    .await;
}

#[tokio::test]
async fn what_is_known_is_kept_from_one_client_to_the_next() {
    within(async {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = kept.clone();
        let world = World::with(|_, _, builder| {
            builder.keep_alternatives(move |all| *keep.lock().expect("no panic") = all)
        });
        let other = world.other.port();
        world.origin.says(format!(r#"h3=":{other}"; ma=600"#));
        assert_eq!(world.ask().await, HERE);
        let known = std::mem::take(&mut *kept.lock().expect("no panic"));
        assert_eq!(world.client.alternatives().len(), known.len());
        assert_eq!(known[0].origin, world.origin.origin());
        assert_eq!(known[0].alternative.port, other);
        // On another network it does not count.
        world.client.network_changed();
        assert!(world.client.alternatives().is_empty());

        let hour = SystemTime::now() + Duration::from_secs(3_600);
        for (expires, went) in [(hour, THERE), (SystemTime::UNIX_EPOCH, HERE)] {
            let world = World::with(|origin, other, builder| {
                let there = Alternative::h3(other.port());
                let known = StoredAlternative::new(origin.origin(), there, expires);
                builder.known_alternatives([known])
            });
            assert_eq!(world.ask().await, went);
        }
    })
    .await;
}

/// A resolver that knows records: of names, RDATA.
struct Records(Vec<(String, Vec<u8>)>);

impl Resolve for Records {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) })
    }

    fn https(&self, name: &str) -> Option<ResolvingHttps> {
        let records = self.0.iter().filter(|(of, _)| of == name);
        let records: Vec<_> = records
            .map(|(_, rdata)| HttpsRecord::parse(rdata).expect("a record"))
            .collect();
        // Later than the addresses.
        let pause = tokio::time::sleep(Duration::from_millis(10));
        Some(Box::pin(async move {
            pause.await;
            Ok(records)
        }))
    }
}

/// RDATA: a priority, a target, and, but for an alias, a port of h3.
fn rdata(priority: u16, target: &str, port: u16) -> Vec<u8> {
    let mut rdata = priority.to_be_bytes().to_vec();
    for label in target.split('.').filter(|label| !label.is_empty()) {
        rdata.push(label.len() as u8);
        rdata.extend(label.bytes());
    }
    rdata.push(0);
    if priority > 0 {
        rdata.extend([0, 1, 0, 3, 2, b'h', b'3', 0, 3, 0, 2]);
        rdata.extend(port.to_be_bytes());
    }
    rdata
}

/// Records are waited for however busy the machine is.
fn patient(builder: ClientBuilder) -> ClientBuilder {
    let mut plan = PlanConfig::default();
    plan.resolution_delay = Duration::from_secs(5);
    builder.plan(plan)
}

#[tokio::test]
async fn https_records_say_where_to_connect() {
    within(async {
        let asked = |origin: &Place| format!("_{}._https.localhost", origin.port());
        let world = World::with(|origin, other, builder| {
            patient(builder).resolver(Records(vec![(asked(origin), rdata(1, "", other.port()))]))
        });
        assert_eq!(world.ask().await, THERE);
        let (authority, name, used) = world.other.take().remove(0);
        assert_eq!(authority, format!("localhost:{}", world.origin.port()));
        assert_eq!((name.as_str(), used), ("localhost", None));

        // By way of an alias; and of one that leads in a circle.
        let alias = "svc.example".to_owned();
        let world = World::with(|origin, other, builder| {
            patient(builder).resolver(Records(vec![
                (asked(origin), rdata(0, &alias, 0)),
                (alias.clone(), rdata(1, "", other.port())),
            ]))
        });
        assert_eq!(world.ask().await, THERE);
        let world = World::with(|origin, _, builder| {
            patient(builder).resolver(Records(vec![
                (asked(origin), rdata(0, &alias, 0)),
                (alias.clone(), rdata(0, &alias, 0)),
            ]))
        });
        assert_eq!(world.ask().await, HERE);
        // None, and one whose place does not answer.
        let world = World::with(|_, _, builder| patient(builder).resolver(Records(Vec::new())));
        assert_eq!(world.ask().await, HERE);
        let silent = std::net::UdpSocket::bind(ANY).expect("binds");
        let silent = silent.local_addr().expect("bound").port();
        let world = World::with(|origin, _, builder| {
            patient(builder).resolver(Records(vec![(asked(origin), rdata(1, "", silent))]))
        });
        assert_eq!(world.ask().await, HERE);
    })
    .await;
}
