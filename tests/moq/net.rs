//! `moq-net`, which polls its sessions (web-transport-trait 0.4).

use std::time::Instant;

use aqueduct_tokio::{Connection, Session};
use bytes::Bytes;
use moq_net::{Client, Hop, Server, Timestamp, Version, origin, time, track};

use crate::{Meeting, groups, within};

fn origin(hop: u64) -> origin::Producer {
    let config = origin::Config::new(Hop::new(hop).expect("not zero"));
    let (producer, driver) = origin::Producer::new(config);
    tokio::spawn(time::run(driver));
    producer
}

/// A program's session with the relay: its own side, as `client` says, the relay's, and
/// the relay's connection, which ends when nobody has it.
async fn join(
    meeting: &Meeting,
    version: Version,
    client: Client,
    relay: &origin::Producer,
) -> (moq_net::Session, moq_net::Session, Connection) {
    let (ours, theirs, connection) = meeting.session(version.alpn()).await;
    let connect = async move {
        let (session, driver) = client
            .connect(Instant::now(), ours)
            .await
            .expect("shakes hands");
        tokio::spawn(time::run(driver));
        session
    };
    let accept = async move {
        let server = Server::new().with_origin(relay.clone());
        let accepted = server.accept::<Session>(Instant::now(), theirs).await;
        let (session, driver) = accepted.expect("shakes hands");
        tokio::spawn(time::run(driver));
        session
    };
    let (ours, theirs) = tokio::join!(connect, accept);
    (ours, theirs, connection)
}

/// The next group of a track, whole.
async fn read(track: &mut track::Subscriber) -> Vec<Bytes> {
    let mut group = track.recv_group().await.expect("live").expect("arrives");
    let mut frames = Vec::new();
    while let Some(frame) = group.read_frame().await.expect("goes on") {
        frames.push(frame.payload.to_vec().into());
    }
    frames
}

/// A track by way of a relay: all groups, a datagram, the end, and the relay's goodbye.
async fn relayed(version: &str) {
    let version: Version = version.parse().expect("a version");
    let (meeting, relay) = (Meeting::new(), origin(1));

    let published = origin(2);
    let broadcast = published.create_broadcast("room/alice").expect("free");
    let mut track = broadcast.create_track("video", None).expect("free");
    broadcast.announce(Default::default()).expect("live");
    let client = Client::new().with_publisher(&published);
    let _publisher = join(&meeting, version, client, &relay).await;

    let wanted = origin(3);
    let client = Client::new().with_subscriber(wanted.clone());
    let (subscriber, relays, _connection) = join(&meeting, version, client, &relay).await;
    let consumer = wanted.consume();
    consumer.routed("room/alice").await.expect("is announced");
    let remote = consumer.request_broadcast("room/alice").await;
    let remote = remote.expect("is there").track("video").expect("a name");
    let mut reader = remote.subscribe(None).await.expect("is served");

    let at = Timestamp::from_millis(40).expect("fits");
    track
        .insert_datagram(7, at, Bytes::from_static(b"beside"))
        .expect("fits");
    let datagram = reader
        .recv_datagram()
        .await
        .expect("live")
        .expect("arrives");
    assert_eq!(datagram.payload.to_vec(), b"beside");

    for frames in groups() {
        let mut group = track.append_group().expect("open");
        for frame in &frames {
            group.write_frame(at, frame.clone()).expect("open");
        }
        group.finish().expect("open");
        assert!(read(&mut reader).await == frames);
    }
    track.finish().expect("open");
    let end = reader.recv_group().await.expect("ends well");
    assert!(end.is_none());

    relays.abort(moq_net::Error::App(17));
    let end = subscriber.closed().await;
    assert!(end.to_string().contains("17"), "{end}");
}

#[tokio::test]
async fn a_relay_of_moq_lite_runs_on_our_sessions() {
    within(relayed("moq-lite-05")).await;
}

#[tokio::test]
async fn a_relay_of_moq_transport_runs_on_our_sessions() {
    within(relayed("moq-transport-17")).await;
}
