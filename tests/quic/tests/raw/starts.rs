//! Row E6: streams that the peer's limit does not allow yet fail at once, or wait for it in
//! their order, whatever is done with them meanwhile.

use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::quic::{
    Config, Shutdown, ShutdownError, Start, StartError, StreamEvent, WriteError,
};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use super::talk::{Talk, closed, of};

/// A client that may have one stream of each kind open at once, and has.
fn blocked(dir: Dir) -> (Talk, StreamKey) {
    let mut talk = Talk::with(|options, quic| {
        options.transport.max_streams_bidi = 1;
        options.transport.max_streams_uni = 1;
        quic.client.queued_starts = 4;
    });
    let first = talk.start(Side::Client, dir);
    talk.write(Side::Client, first, b"first");
    talk.events(Side::Client);
    (talk, first)
}

/// Ends what the server knows, so that one more may begin.
fn let_one_begin(talk: &mut Talk, ours: StreamKey) {
    talk.shutdown(Side::Client, ours, Shutdown::Abort(0));
    talk.pair.drive();
}

#[test]
fn a_stream_that_must_begin_at_once_is_blocked() {
    let (mut talk, _) = blocked(Dir::Bi);
    let start = Start::new().fail_blocked();
    let refused = talk.act(Side::Client, |access| access.start(Dir::Bi, start));
    assert_eq!(refused, Err(StartError::Blocked));
    assert_eq!(talk.live(Side::Client), 1);
}

#[test]
fn streams_that_wait_begin_in_their_order_with_the_ids_they_were_given() {
    for dir in [Dir::Bi, Dir::Uni] {
        let (mut talk, first) = blocked(dir);
        let queued = [(); 4].map(|()| talk.start(Side::Client, dir));
        let one_more = talk.act(Side::Client, |access| access.start(dir, Start::new()));
        assert_eq!(one_more, Err(StartError::TooMany));
        for (at, stream) in (1..).zip(queued) {
            assert_eq!(stream.id().number(), at, "as predicted");
        }
        let mut before = first;
        for stream in queued {
            assert_eq!(of(&talk.events(Side::Client), stream), []);
            let_one_begin(&mut talk, before);
            let events = talk.events(Side::Client);
            assert_eq!(of(&events, stream), [StreamEvent::Started], "{events:?}");
            talk.write(Side::Client, stream, b"mine");
            let theirs = *talk.opened(Side::Server).last().expect("arrives");
            assert_eq!(theirs.id(), stream.id());
            assert_eq!(talk.read(Side::Server, theirs).0, b"mine");
            before = stream;
        }
    }
}

/// Bytes are taken when it has begun, and that is told.
#[test]
fn a_stream_that_waits_takes_no_bytes_and_says_when_it_does() {
    let (mut talk, first) = blocked(Dir::Uni);
    let waits = talk.start(Side::Client, Dir::Uni);
    let mut chunks = [Bytes::from_static(b"too early")];
    let taken = talk.act(Side::Client, |access| access.write(waits, &mut chunks));
    assert_eq!(taken, Ok(0));
    let_one_begin(&mut talk, first);
    let events = talk.of(Side::Client, waits);
    assert_eq!(events, [StreamEvent::Started, StreamEvent::Writable]);
}

/// Its end goes out when it has begun.
#[test]
fn a_stream_that_is_finished_while_it_waits_is_an_empty_one() {
    let (mut talk, first) = blocked(Dir::Uni);
    let waits = talk.start(Side::Client, Dir::Uni);
    talk.shutdown(Side::Client, waits, Shutdown::Graceful);
    let mut chunks = [Bytes::from_static(b"late")];
    let taken = talk.act(Side::Client, |access| access.write(waits, &mut chunks));
    assert_eq!(taken, Err(WriteError::Finished));
    let_one_begin(&mut talk, first);
    let theirs = *talk.opened(Side::Server).last().expect("arrives");
    assert_eq!(theirs.id(), waits.id());
    assert_eq!(
        talk.read(Side::Server, theirs),
        (vec![], ReadState::Finished)
    );
    let over = StreamEvent::SendOver { graceful: true };
    let events = talk.of(Side::Client, waits);
    assert_eq!(
        events,
        [StreamEvent::Started, over, closed(false, false, None)]
    );
}

/// Those behind it keep their ids, and the peer hears of it with its code.
#[test]
fn a_stream_that_is_abandoned_while_it_waits_keeps_its_place() {
    for how in [Shutdown::Abort(77), Shutdown::Immediate(77)] {
        let (mut talk, first) = blocked(Dir::Bi);
        let abandoned = talk.start(Side::Client, Dir::Bi);
        let behind = talk.start(Side::Client, Dir::Bi);
        talk.shutdown(Side::Client, abandoned, how);
        let over = StreamEvent::SendOver { graceful: false };
        let events = talk.of(Side::Client, abandoned);
        assert_eq!(events, [over, closed(true, false, Some(77))], "at once");
        let gone = talk.act(Side::Client, |access| access.shutdown(abandoned, how));
        assert_eq!(gone, Err(ShutdownError::Gone));
        talk.events(Side::Server);
        let_one_begin(&mut talk, first);
        let events = talk.events(Side::Server);
        let theirs = super::opened(&events)[0];
        assert_eq!(theirs.id(), abandoned.id());
        let told = of(&events, theirs);
        assert!(told.contains(&StreamEvent::Reset(77)), "{told:?}");
        assert!(told.contains(&StreamEvent::Stopped(77)), "{told:?}");
        assert_eq!(told.last(), Some(&closed(false, true, Some(77))));
        let events = talk.of(Side::Client, behind);
        assert_eq!(events, [StreamEvent::Started]);
        talk.write(Side::Client, behind, b"behind");
        assert_eq!(talk.opened(Side::Server)[0].id(), behind.id());
    }
}

#[test]
fn half_of_a_stream_that_waits_can_be_abandoned() {
    let (mut talk, first) = blocked(Dir::Bi);
    let waits = talk.start(Side::Client, Dir::Bi);
    talk.shutdown(Side::Client, waits, Shutdown::AbortReceive(5));
    assert_eq!(talk.of(Side::Client, waits), []);
    talk.events(Side::Server);
    let_one_begin(&mut talk, first);
    assert_eq!(talk.of(Side::Client, waits), [StreamEvent::Started]);
    talk.write(Side::Client, waits, b"one way");
    let events = talk.events(Side::Server);
    let theirs = super::opened(&events)[0];
    assert!(of(&events, theirs).contains(&StreamEvent::Stopped(5)));
    assert_eq!(talk.read(Side::Server, theirs).0, b"one way");
}

/// The urgent one goes first, however late it was written.
#[test]
fn higher_priorities_go_first() {
    let mut talk = Talk::new();
    let bulk = vec![7; 12_000];
    let mut begin = |priority| {
        let start = Start::new().priority(priority);
        let key = talk.act(Side::Client, |access| access.start(Dir::Uni, start));
        let key = key.expect("begins");
        let mut chunks = [Bytes::from(bulk.clone())];
        let taken = talk.act(Side::Client, |access| access.write(key, &mut chunks));
        assert_eq!(taken, Ok(bulk.len()));
        key
    };
    let (slow, urgent) = (begin(-1), begin(3));
    let mut got = [0, 0];
    // While the first flight comes in, only the urgent one has bytes.
    for _ in 0..400 {
        talk.pair.advance(std::time::Duration::from_millis(1));
        for theirs in talk.act(Side::Server, |it| it.streams().collect::<Vec<_>>()) {
            let (bytes, _) = talk.read(Side::Server, theirs);
            got[usize::from(theirs.id() == urgent.id())] += bytes.len();
        }
        if got[0] > 0 {
            break;
        }
    }
    assert!(got[1] > 10_000, "{got:?}");
    let _ = slow;
}

/// It has the priority it was begun with, or given while it waited.
#[test]
fn a_stream_that_waits_begins_with_its_priority() {
    let knobs = Knobs {
        uni_streams: 1,
        ..Knobs::default()
    };
    let mut pair = LoopbackQuic::new(Config::new(), Config::new(), knobs);
    pair.drive();
    let mut client = pair.client();
    let first = client.start(Dir::Uni, Start::new()).expect("begins");
    let waits = client.start(Dir::Uni, Start::new().priority(3));
    let (waits, set) = (waits.expect("waits"), client.start(Dir::Uni, Start::new()));
    let set = set.expect("waits");
    client.set_priority(set, -4).expect("waits");
    for (before, stream, priority) in [(first, waits, 3), (waits, set, -4)] {
        let ended = pair.client().shutdown(before, Shutdown::Immediate(0));
        ended.expect("ends");
        pair.drive();
        let theirs: Vec<_> = pair.server().streams().collect();
        for key in theirs {
            let _ = pair.server().read(key, 1, &mut [Bytes::new()]);
        }
        pair.drive();
        let told = pair.net.end(Side::Client).priority(stream.id());
        assert_eq!(told, Some(priority), "{stream:?}");
    }
}
