//! What a session costs the core and QUIC together.

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::TransportSettings;
use aqueduct_core::webtransport::SessionFlow;

use super::{Attack, HELD};

/// So many sessions that tables that grow by doubling are nearly full, and so when there
/// are twice as many.
const MANY: usize = 500;

/// A server that allows that many, and limits each.
pub(super) fn roomy() -> (Config, TransportSettings) {
    let (mut config, mut transport) = (Config::default(), TransportSettings::default());
    config.limits.sessions = 2 * MANY;
    config.limits.open_requests = 2 * MANY + 1;
    config.limits.head_bytes = 16 << 20;
    config.webtransport.flow = Some(SessionFlow::default());
    transport.max_streams_bidi = 2 * MANY as u64 + 1;
    // However slow the machine is.
    transport.idle_timeout = None;
    (config, transport)
}

/// Of the connection's first session, and of each further one. Half of what a further
/// one holds is QUIC's.
#[test]
fn a_session_holds_little() {
    let (config, transport) = roomy();
    let mut attack = Attack::of(config, transport);
    // Not the sessions', but kept here.
    attack.heard.reserve(64);
    attack.before = HELD.get();
    attack.sessions(1);
    let first = attack.held();
    attack.sessions(MANY - 1);
    let before = attack.held();
    attack.sessions(MANY);
    let further = (attack.held() - before) / MANY as isize;
    println!("the first session {first} bytes, a further one {further}");
    assert!(further <= 1433, "a further session holds {further} bytes");
    assert!(first <= 3 * 1024, "the first session holds {first} bytes");
}
