//! What each set of dialects looks like in our SETTINGS.

use aqueduct_core::config::Config;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::RawPeer;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_tests::wt::{limits, speaking};
use aqueduct_tests::{announced, config};

/// The settings of one side that concern sessions, in the order of their ids.
fn sent(side: Side, config: Config, reliable_reset: bool) -> Vec<(u64, u64)> {
    let knobs = Knobs {
        reliable_reset,
        ..Knobs::default()
    };
    let peer = RawPeer::over(side, config, Loopback::new(knobs));
    let mut pairs = announced(&peer);
    let general = |id: u64| [0x01, 0x06, 0x07].contains(&id) || (id - 0x08) % 0x1f == 0x19;
    pairs.retain(|(id, _)| !general(*id));
    pairs.sort_unstable();
    pairs
}

const BASE: &[(u64, u64)] = &[(0x08, 1), (0x33, 1), (0xff_d277, 1)];
const A: &[(u64, u64)] = &[(0x2b60_3742, 1), (0xc671_706a, 1)];
const B: &[(u64, u64)] = &[
    (0x2b61, 9),
    (0x2b64, 7),
    (0x2b65, 8),
    (0x14e9_cd29, 16),
    (0x2b60_3742, 1),
    (0x2c7c_f000, 1),
];
const C: &[(u64, u64)] = &[(0x2b60_3742, 1), (0x2c7c_f000, 1), (0xc671_706a, 1)];

/// `base` and a set, in the order of ids, as a side announces them.
fn expected(side: Side, set: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut pairs = [BASE, set].concat();
    // A client takes no extended CONNECT.
    pairs.retain(|(id, _)| side == Side::Server || *id != 0x08);
    pairs.sort_unstable();
    pairs
}

/// Row B1: the sets A, B and C, to the number.
#[test]
fn each_set_on_the_wire() {
    let flow = Some(limits(9, 8, 7));
    for side in [Side::Client, Side::Server] {
        for (set, flow, pairs) in [
            (Dialects::SET_A, flow, A),
            (Dialects::SET_A, None, A),
            (Dialects::SET_B, flow, B),
            (Dialects::SET_C, None, C),
        ] {
            let tolerant = speaking(set, flow);
            assert_eq!(
                sent(side, tolerant, false),
                expected(side, pairs),
                "{set:?}"
            );
            let strict = config(|c| (c.webtransport.dialects, c.webtransport.flow) = (set, flow));
            assert_eq!(sent(side, strict, true), expected(side, pairs), "{set:?}");
        }
    }
}

/// Rows B1, B15: without RESET_STREAM_AT the drafts that need it are left out,
/// and first limits with them.
#[test]
fn what_the_transport_cannot_do_is_not_announced() {
    let draft02 = &[(0x2b60_3742, 1)][..];
    for (set, pairs) in [
        (Dialects::SET_A, A),
        (Dialects::SET_B, draft02),
        (Dialects::SET_C, A),
        (Dialects::NONE, &[]),
    ] {
        let strict = config(|c| c.webtransport.dialects = set);
        let sent = sent(Side::Server, strict, false);
        assert_eq!(sent, expected(Side::Server, pairs), "{set:?}");
    }
}
