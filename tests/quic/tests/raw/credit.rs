//! QUIC's stream credit comes back: a connection is as good after ten thousand streams as it
//! was before, and no larger.

use std::time::Duration;

use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{Shutdown, Start};
use bytes::Bytes;

use super::talk::Talk;

/// Streams that are under way at once: fewer than the credit there is.
const BATCH: usize = 40;

#[test]
fn ten_thousand_streams_one_after_another() {
    let mut talk = Talk::with(|options, _| options.record = false);
    let memory = |talk: &mut Talk| talk.end(Side::Server).info().memory();
    let mut before = None;
    for number in 0..10_000 / BATCH {
        let dir = if number % 2 == 0 { Dir::Bi } else { Dir::Uni };
        let side = if number % 3 == 0 {
            Side::Server
        } else {
            Side::Client
        };
        let at_once = Start::new().fail_blocked();
        for at in 0..BATCH {
            let ours = talk.act(side, |access| access.start(dir, at_once));
            let ours = ours.unwrap_or_else(|error| panic!("batch {number}: {error}"));
            let mut chunks = [Bytes::from_static(b"0123456789")];
            let taken = talk.act(side, |access| access.write(ours, &mut chunks));
            assert_eq!(taken, Ok(10));
            let ends = [
                Shutdown::Graceful,
                Shutdown::AbortSend(1),
                Shutdown::Abort(2),
            ];
            talk.shutdown(side, ours, ends[at % ends.len()]);
        }
        // Each end reads what came and ends what it can.
        for side in [side.peer(), side] {
            talk.pair.advance(Duration::from_millis(30));
            for stream in talk.act(side, |it| it.streams().collect::<Vec<_>>()) {
                let _ = talk.try_read(side, stream);
                let _ = talk.act(side, |it| it.shutdown(stream, Shutdown::Graceful));
            }
        }
        talk.pair.advance(Duration::from_millis(60));
        talk.told(Side::Client);
        talk.told(Side::Server);
        let live = (talk.live(Side::Client), talk.live(Side::Server));
        assert_eq!(live, (0, 0), "after batch {number}");
        if number == 50 {
            before = Some(memory(&mut talk));
        }
    }
    assert_eq!(Some(memory(&mut talk)), before);
}
