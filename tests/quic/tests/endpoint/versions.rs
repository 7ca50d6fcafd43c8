//! Which versions of QUIC are spoken.

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{Arrival, Endpoint, EndpointConfig};
use aqueduct_core::testing::cert::Identity;
use bytes::BytesMut;

/// The first 1,200 bytes of a stranger who speaks a version: so many that they may be the
/// beginning of a handshake.
fn initial(version: u32) -> BytesMut {
    let mut datagram = BytesMut::zeroed(1200);
    datagram[0] = 0xc0;
    datagram[1..5].copy_from_slice(&version.to_be_bytes());
    datagram[5] = 8;
    datagram[14] = 8;
    datagram
}

/// The versions that a server offers to who speaks this one, if it does not speak it.
fn offered_to(version: u32) -> Option<Vec<u32>> {
    let now = aqueduct_core::testing::epoch();
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::server(tls, Config::default()).expect("suits");
    let mut server = Endpoint::new(config).expect("suits");
    let arrival = Arrival::new(([192, 0, 2, 1], 4433).into());
    server.handle_datagram(now, arrival, initial(version));
    let mut out = Vec::new();
    let sent = server.poll_transmit(now, 1, &mut out)?;
    assert_eq!(sent.size, out.len());
    // RFC 9000 section 17.2.1: a first byte, version 0, both connection ids, versions.
    assert_eq!(out[1..5], [0; 4], "version negotiation");
    let versions = out[7 + 8 + 8..].chunks_exact(4);
    let versions = versions.map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four")));
    // Those that are reserved are for exercise.
    Some(
        versions
            .filter(|v| v & 0x0f0f_0f0f != 0x0a0a_0a0a)
            .collect(),
    )
}

/// RFC 9000 section 15: version 1. The drafts 29 to 34, which quinn also takes, and
/// version 2, which it lacks, are answered with version negotiation.
#[test]
fn version_1_alone() {
    assert_eq!(offered_to(1), None);
    let drafts = 0xff00_001d..=0xff00_0022;
    for version in drafts.chain([0x6b33_43cf, 0x1a2a_3a4a]) {
        assert_eq!(offered_to(version), Some(vec![1]), "{version:#x}");
    }
}
