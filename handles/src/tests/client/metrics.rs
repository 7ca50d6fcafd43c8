//! Row D17: what a client tells whoever counts, by the names of its page.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use aqueduct_core::head::Protocol;

use super::*;
use crate::client::{DatagramDrop, Metric};

/// What was told: names, each with what matters of the rest.
#[derive(Clone, Default)]
struct Told(
    Arc<Mutex<Vec<(&'static str, String)>>>,
    Arc<OnceLock<Client>>,
);

impl Told {
    fn hook(&self) -> impl Fn(&Metric<'_>) + Send + Sync + 'static {
        let told = self.clone();
        move |metric: &Metric<'_>| {
            // No lock is held: it may look at the client, and at its endpoint.
            if let Some(client) = told.1.get() {
                assert!(client.hub().endpoint.shared().is_free());
                let _ = client.stats();
            }
            let rest = match metric {
                Metric::HandshakeException { failure, .. } => format!("{failure:?}"),
                Metric::QueueException { error, .. } => format!("{error:?}"),
                Metric::RequestException { error, .. } => format!("{error:?}"),
                Metric::RequestStop { status, method, .. } => format!("{method} {status:?}"),
                Metric::Draining { origin, by } => format!("{origin} {by:?}"),
                Metric::DatagramSent { count, bytes, .. }
                | Metric::DatagramReceived { count, bytes, .. } => format!("{count} {bytes}"),
                Metric::DatagramDropped { count, why, .. } => format!("{count} {why:?}"),
                metric => format!("{:?}", metric.took()),
            };
            let mut told = told.0.lock().expect("no panic");
            told.push((metric.name(), rest));
        }
    }

    fn names(&self) -> BTreeSet<&'static str> {
        let told = self.0.lock().expect("no panic");
        told.iter().map(|(name, _)| *name).collect()
    }

    /// What was told by a name, since it was asked last.
    fn take(&self, name: &str) -> Vec<String> {
        let mut told = self.0.lock().expect("no panic");
        let taken = told.extract_if(.., |(one, _)| *one == name);
        taken.map(|(_, rest)| rest).collect()
    }
}

/// The names of the table in the documentation.
fn documented() -> BTreeSet<&'static str> {
    let lines = include_str!("../../client/metrics.rs").lines();
    let rows = lines.filter_map(|line| line.strip_prefix("/// | `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

fn connect() -> Request<()> {
    let request = Request::builder().method("CONNECT").uri(URI);
    let request = request.extension(Protocol::new("echo")).body(());
    request.expect("valid")
}

#[test]
fn each_name_of_the_page_is_told() {
    let told = Told::default();
    let resolve = |host: &str, _| -> Resolving {
        match host {
            "localhost" => Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) }),
            _ => unresolved(),
        }
    };
    let mut http = Config::client();
    http.limits.datagrams = 2;
    let builder = builder().http(http).resolver(resolve);
    let mut lab = Lab::with(builder.metrics(told.hook()));
    assert!(told.1.set(lab.client.clone()).is_ok());

    // One that is answered, and one that is not.
    let asked = lab.get();
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    reply(&mut server);
    drop(lab.finish(&asked).expect("is answered"));
    let client = lab.client.clone();
    let nowhere = lab.spawn(async move { client.get("https://nowhere/").await });
    lab.finish(&nowhere).expect_err("no such name");
    assert_eq!(told.take("request.stop"), ["GET Some(200)"]);

    // Datagrams: of five that come at once two are kept.
    let client = lab.client.clone();
    let open = lab.spawn(async move { client.open(connect()).await });
    let (_, server) = lab.request(&theirs);
    let open = lab.finish(&open).expect("is sent");
    assert_eq!(told.take("request.stop"), ["CONNECT None"]);
    let (ours, channel) = (open.stream.datagrams(), server.datagrams());
    ours.send(b"four").expect("room");
    lab.run(channel.recv()).expect("open");
    (0..5).for_each(|_| channel.send(b"three").expect("room"));
    lab.settle();
    lab.run(ours.recv()).expect("open");
    assert_eq!(told.take("datagram.sent"), ["1 4"]);
    assert_eq!(told.take("datagram.received"), ["1 5"]);
    assert_eq!(told.take("datagram.dropped"), ["3 Overflowed"]);
    let mut rest = Vec::new();
    assert_eq!(ours.try_recv_many(&mut rest, 9), 1);
    assert_eq!(told.take("datagram.received"), ["1 5"]);
    assert_eq!(told.take("datagram.dropped"), [""; 0], "told once");

    theirs.drain(Duration::from_secs(10));
    lab.settle();
    assert_eq!(
        told.take("draining"),
        ["https://localhost:2 Server"],
        "one for a connection"
    );
    let names: BTreeSet<_> = Metric::NAMES.into_iter().collect();
    assert_eq!(documented(), names);
    // Those that have been looked at are not there any more.
    let looked = [
        "request.stop",
        "datagram.sent",
        "datagram.received",
        "datagram.dropped",
        "draining",
    ];
    let seen: BTreeSet<_> = told.names().into_iter().chain(looked).collect();
    assert_eq!(seen, names);
}

/// What is dropped is told as given up.
#[test]
fn each_beginning_has_an_end() {
    let told = Told::default();
    let mut lab = Lab::with(builder().metrics(told.hook()));
    lab.net.ends[0].1.nobody = vec![lab.net.server.local_addr()];
    let client = lab.client.clone();
    let mut asking = Box::pin(async move { client.get(URI).await });
    assert!(poll(asking.as_mut()).is_none());
    lab.settle();
    assert!(poll(asking.as_mut()).is_none(), "waits");
    drop(asking);
    lab.client.drain();
    lab.pass(Duration::from_secs(11));
    for kind in ["request", "queue", "handshake"] {
        assert_eq!(told.take(&format!("{kind}.start")).len(), 1, "{kind}");
        assert_eq!(told.take(&format!("{kind}.exception")), ["None"], "{kind}");
    }
    assert!(told.names().is_empty());
}

/// Row D16: datagrams of a request that has no channel are dropped, told, and end it
/// (RFC 9297 §2); others are not touched.
#[test]
fn datagrams_of_a_request_without_channel_are_told() {
    let told = Told::default();
    let mut lab = Lab::with(builder().metrics(told.hook()));
    let (asked, other) = (lab.get(), lab.get());
    let theirs = lab.accept();
    let (_, server) = lab.request(&theirs);
    let (_, mut beside) = lab.request(&theirs);
    server.datagrams().send(b"unasked").expect("room");
    let error = lab.finish(&asked).expect_err("is ended");
    let Error::Answer(ReadError::Malformed(_)) = error else {
        panic!("{error:?}");
    };
    assert!(!error.is_unprocessed());
    let stopped = lab.run(server.send.stopped()).expect("is told");
    let code = stopped.expect("is told").wire;
    assert_eq!(code, Code::H3_DATAGRAM_ERROR);
    let why = DatagramDrop::NoChannel;
    assert_eq!(told.take("datagram.dropped"), [format!("1 {why:?}")]);
    reply(&mut beside);
    lab.finish(&other).expect("is answered");
}
