//! Row A14: streams of claimed types through handles, beside a session and a request.

use aqueduct_core::config::Config;
use aqueduct_core::error::PeerCode;
use aqueduct_core::webtransport::OpenStreamError as Refusal;

use super::{Net, both};
use crate::Connection;
use crate::error::{OpenStreamError, ReadError};

const UNI: u64 = 0x1f0;
const BIDI: u64 = 0x1f1;

fn claiming() -> Config {
    let mut config = Config::default();
    (config.claimed_uni, config.claimed_bidi) = (vec![UNI], vec![BIDI]);
    config
}

/// Opens a stream of each kind and says something on it, which comes back on one of them.
async fn say(connection: &Connection) {
    let mut uni = connection.open_claimed_uni(UNI).await.expect("open");
    uni.write_all(b"one way").await.expect("open");
    uni.finish().expect("open");
    let (mut send, mut recv) = connection.open_claimed_bi(BIDI).await.expect("open");
    send.write_all(b"both ways").await.expect("open");
    send.finish().expect("open");
    assert_eq!(recv.read_to_end(100).await.expect("whole"), "both ways");
}

async fn hear(connection: &Connection) {
    for _ in 0..2 {
        let mut stream = connection.accept_claimed().await.expect("arrives");
        let said = stream.recv.read_to_end(100).await.expect("whole");
        match (stream.ty, stream.send) {
            (UNI, None) => assert_eq!(said, "one way"),
            (BIDI, Some(mut send)) => {
                send.write_all(&said).await.expect("open");
                send.finish().expect("open");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn both_ends_open_streams_of_their_own() {
    let mut net = Net::with(claiming());
    let (ours, theirs) = net.connect_as(claiming());
    let (session, _there) = net.session(&ours, &theirs);
    net.run(both(say(&ours), hear(&theirs)));
    net.run(both(say(&theirs), hear(&ours)));
    let refused = net.run(ours.open_claimed_uni(7)).map(drop);
    let why = OpenStreamError::Refused(Refusal::NotClaimed);
    assert_eq!(refused, Err(why));
    assert!(session.send_datagram(b"still open").is_ok());
    ours.close(aqueduct_core::code::Code::H3_NO_ERROR, "");
    assert!(net.run(theirs.accept_claimed()).is_none());
}

#[test]
fn a_half_that_is_dropped_tells_code_0() {
    let mut net = Net::with(claiming());
    let (ours, theirs) = net.connect_as(claiming());
    let mut send = net.run(ours.open_claimed_uni(UNI)).expect("open");
    net.run(send.write_all(b"begun")).expect("open");
    let mut stream = net.run(theirs.accept_claimed()).expect("arrives");
    drop(send);
    let cut = net.run(async {
        loop {
            match stream.recv.read_chunk(100).await {
                Ok(Some(_)) => {}
                other => break other,
            }
        }
    });
    assert_eq!(cut, Err(ReadError::Reset(PeerCode::http(0))));
}

#[test]
fn a_stream_that_is_over_keeps_no_connection() {
    let mut net = Net::with(claiming());
    let (ours, theirs) = net.connect_as(claiming());
    let (mut send, mut recv) = net.run(ours.open_claimed_bi(BIDI)).expect("open");
    let mut uni = net.run(ours.open_claimed_uni(UNI)).expect("open");
    net.run(both(
        async {
            send.write_all(b"both ways").await.expect("open");
            send.finish().expect("open");
            recv.read_to_end(100).await.expect("whole");
            uni.write_all(b"one way").await.expect("open");
            uni.finish().expect("open");
        },
        hear(&theirs),
    ));
    // Their handles may be in scope for as long as they like.
    drop(ours);
    let client = net.client.clone();
    net.run(client.wait_idle());
    drop((send, recv, uni));
}
