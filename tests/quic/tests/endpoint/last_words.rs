//! What a peer says just before it closes the connection is heard, though both come at one
//! time.

use aqueduct_core::code::Code;
use aqueduct_core::connection::Command;
use aqueduct_core::event::Event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::webtransport::{SessionClose, SessionEvent};

use crate::order::session;

/// Rows B16, B17: sessions have the codes and reasons they were closed with, and not the
/// connection's.
#[test]
fn sessions_closed_right_before_their_connection_have_their_codes() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let sessions = [7, 8, 9].map(|code| (session(&mut pair, client, server), code));
    for (session, code) in sessions {
        let close = Command::CloseSession(session, code, format!("session {code}"));
        pair.client_command(client, close).expect("is open");
    }
    // Sent, and not yet there.
    pair.step();
    let close = Command::Close(Code::H3_NO_ERROR, "".into());
    pair.client_command(client, close).expect("is open");
    pair.drive();
    let heard = pair.server.take(server);
    let closes = heard.iter().filter_map(|event| match event {
        Event::WebTransport(_, SessionEvent::Closed(close)) => Some((**close).clone()),
        _ => None,
    });
    let said = sessions.map(|(_, code)| SessionClose::Closed {
        by: Side::Client,
        code,
        reason: format!("session {code}"),
    });
    assert_eq!(closes.collect::<Vec<_>>(), said);
    assert!(matches!(heard.last(), Some(Event::Closed(_))), "{heard:?}");
}
