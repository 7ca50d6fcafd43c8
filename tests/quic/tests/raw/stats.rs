//! Row E16: numbers of a connection, by name.

use std::collections::BTreeMap;

use aqueduct_core::endpoint::connection_stats;
use aqueduct_core::id::{ConnKey, Dir};
use aqueduct_core::quic::{Shutdown, Start};
use aqueduct_core::testing::pair::Pair;
use bytes::Bytes;

use super::chat;

fn numbers(pair: &mut Pair, client: ConnKey) -> BTreeMap<&'static str, u64> {
    let mut connection = pair.client_quic(client);
    let all = connection.all_stats();
    all.map(|(stat, value)| (stat.name, value)).collect()
}

#[test]
fn a_connection_says_what_it_has_counted() {
    let (mut pair, client, server) = Pair::connected(chat());
    let before = numbers(&mut pair, client);
    let theirs = pair.server_quic(server).all_stats();
    let theirs: BTreeMap<_, _> = theirs.map(|(stat, value)| (stat.name, value)).collect();
    assert_eq!(before["send_pend"], 0);
    assert_eq!((before["streams"], before["datagram_pend"]), (0, 0));
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    let stream = access.start(Dir::Uni, Start::new()).expect("begins");
    let taken = access.write(stream, &mut [Bytes::from(vec![7; 10_000])]);
    assert_eq!(taken, Ok(10_000));
    access.shutdown(stream, Shutdown::Graceful).expect("ends");
    let sent = access.send_datagram(Bytes::from_static(b"hello"));
    sent.expect("is sent");
    let during = numbers(&mut pair, client);
    assert_eq!((during["send_pend"], during["streams"]), (1, 1));
    assert_eq!(during["datagram_pend"], 5 + 32);
    assert_eq!(
        during["streams_available_uni"],
        before["streams_available_uni"] - 1
    );
    pair.drive();

    let after = numbers(&mut pair, client);
    assert_eq!((after["send_pend"], after["datagram_pend"]), (0, 0));
    assert_eq!(after["send_datagrams"], 1);
    assert!(after["send_oct"] > before["send_oct"] + 10_000);
    assert!(after["send_cnt"] > before["send_cnt"]);
    // Nothing was lost, and there is no other connection.
    let mut server = pair.server_quic(server);
    for (ours, same) in [
        ("send_oct", "recv_oct"),
        ("send_cnt", "recv_cnt"),
        ("recv_oct", "send_oct"),
        ("recv_cnt", "send_cnt"),
        ("send_datagrams", "recv_datagrams"),
    ] {
        let more = server.stat(same).map(|now| now - theirs[same]);
        assert_eq!(more, Some(after[ours] - before[ours]), "{ours}");
    }
    assert_eq!((after["packets_lost"], after["bytes_lost"]), (0, 0));
    // Links of 10 ms each way, and a delay of acknowledgements.
    assert!((20_000..50_000).contains(&after["rtt_us"]), "{after:?}");
    assert_eq!(after["min_rtt_us"], 20_000);
    assert!(after["cwnd"] >= 12_000);
    assert!(after["mtu"] >= 1200);
}

#[test]
fn a_name_that_none_has_is_none() {
    let (mut pair, client, _) = Pair::connected(chat());
    let mut connection = pair.client_quic(client);
    assert_eq!(connection.stat("recv_avg"), None);
    assert_eq!(connection.stat(""), None);
    assert!(connection.stat("recv_cnt").is_some());
    assert!(connection_stats().iter().all(|stat| !stat.says.is_empty()));
}
