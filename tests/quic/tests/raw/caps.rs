//! What bounds a connection: streams of the peer's, streams that wait, work in one turn.

use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{self, Config, Shutdown};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use bytes::Bytes;

use super::talk::Talk;

/// Further streams wait in QUIC, and come when the application has heard of the end of others:
/// nothing else has to happen.
#[test]
fn streams_beyond_the_cap_come_when_others_end() {
    let mut talk = Talk::with(|_, quic| quic.server = quic.server.clone().open_streams(2));
    let ours = [(); 5].map(|()| talk.start(Side::Client, Dir::Uni));
    for stream in ours {
        talk.write(Side::Client, stream, b"all at once");
        talk.shutdown(Side::Client, stream, Shutdown::Graceful);
    }
    let mut come = talk.opened(Side::Server);
    for (at, stream) in ours.into_iter().enumerate() {
        assert_eq!(come.len(), 2.min(5 - at), "from {at}");
        let theirs = come.remove(0);
        assert_eq!(theirs.id(), stream.id());
        assert_eq!(talk.read(Side::Server, theirs).0, b"all at once");
        // The loss of a wake-up would show here: no datagram comes any more.
        come.extend(talk.opened(Side::Server));
    }
    assert_eq!(talk.live(Side::Server), 0);
}

/// The rest of a turn is due at once.
#[test]
fn a_turn_accepts_as_many_as_its_work() {
    let mut server = Config::default();
    server.work = 3;
    let mut pair = LoopbackQuic::new(Config::default(), server, Knobs::default());
    pair.drive();
    pair.events(Side::Server);
    for _ in 0..10 {
        let stream = pair.client().start(Dir::Uni, quic::Start::new());
        let stream = stream.expect("begins");
        let taken = pair.client().write(stream, &mut [Bytes::from_static(b"x")]);
        assert_eq!(taken, Ok(1));
    }
    while pair.step() {}
    assert!(pair.server().live_streams() <= 3);
    let now = pair.now();
    let mut turns = 0;
    loop {
        let (connection, end) = pair.connection(Side::Server);
        let Some(due) = connection.poll_timeout() else {
            break;
        };
        assert_eq!(due.at, now);
        let before = connection.live_streams();
        connection.handle_timeout(end, now);
        assert!(connection.live_streams() - before <= 3);
        turns += 1;
    }
    assert!(turns >= 3, "{turns}");
    assert_eq!(pair.server().live_streams(), 10);
}
