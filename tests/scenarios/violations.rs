//! Every rule a peer can break, broken: a violation that no scenario raises fails
//! here by its name.

pub(super) mod connection;
mod log;
mod session;
mod stream;

use aqueduct_core::code::Code;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::fault::Violation;
use aqueduct_core::id::StreamId;
use aqueduct_core::testing::raw::RawPeer;
use aqueduct_core::webtransport::{SessionClose, SessionEvent};

/// How far a violation goes, and who is told of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    /// The connection closes: `CloseReason::PeerMisbehaved`.
    Connection,
    /// One stream is reset or stopped: `StreamEvent::Malformed`.
    Stream,
    /// One CONNECT stream is reset: `SessionClose::PeerMisbehaved`.
    Session,
    /// One stream is reset or stopped, of which the application has not heard yet, or
    /// has heard the end.
    Unheard,
}

/// What a scripted peer does wrong, and how far that goes.
type Scenario = (Violation, Scope, fn() -> RawPeer);

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let all = [connection::ALL, stream::ALL, session::ALL];
    all.into_iter().flatten()
}

/// Each violation the application was told of, in order.
fn told(events: &[Event]) -> Vec<(Scope, Violation, Option<Code>)> {
    let told = events.iter().filter_map(|event| match event {
        Event::Closed(reason) => match **reason {
            CloseReason::PeerMisbehaved { code, why } => Some((Scope::Connection, why, Some(code))),
            _ => None,
        },
        Event::Stream(_, StreamEvent::Malformed(why)) => Some((Scope::Stream, *why, None)),
        Event::WebTransport(_, SessionEvent::Closed(close)) => match **close {
            SessionClose::PeerMisbehaved { code, why } => Some((Scope::Session, why, Some(code))),
            _ => None,
        },
        _ => None,
    });
    told.collect()
}

/// The streams that our side reset or stopped with a code.
fn ended(peer: &RawPeer, code: Code) -> Vec<StreamId> {
    let ended = |reset: Option<Code>, stop: Option<Code>| [reset, stop].contains(&Some(code));
    let streams = peer.streams();
    let streams = streams.filter(|(_, seen)| ended(seen.reset, seen.stop));
    streams.map(|(id, _)| id).collect()
}

/// Each scenario raises its violation, once, and nothing else; the peer sees its code
/// on what its scope says.
#[test]
fn each_goes_as_far_as_it_should() {
    for (rule, scope, scenario) in scenarios() {
        let (mut peer, raised) = log::raised(scenario);
        assert_eq!(raised, [*rule], "{rule:?}");
        let code = match scope {
            Scope::Connection | Scope::Session => Some(rule.code()),
            Scope::Stream | Scope::Unheard => None,
        };
        let expected = match scope {
            Scope::Unheard => vec![],
            _ => vec![(*scope, *rule, code)],
        };
        assert_eq!(told(&peer.events()), expected, "{rule:?}");

        let (closed, ended) = (peer.closed(), ended(&peer, rule.code()));
        match scope {
            Scope::Connection => {
                assert_eq!(closed, Some(rule.code()), "{rule:?}");
                assert_eq!(peer.closed_because().as_deref(), Some(rule.text()));
            }
            _ => assert_eq!((closed, ended.len()), (None, 1), "{rule:?}: {ended:?}"),
        }
    }
}

/// A violation that nothing raises has no place in the table.
#[test]
fn each_has_a_scenario() {
    let shown = |rule: &Violation| scenarios().filter(|(shown, ..)| shown == rule).count();
    let all = Violation::ALL.iter().copied();
    let never: Vec<Violation> = all.filter(|rule| shown(rule) == 0).collect();
    // What an application reads by itself is shown beside the table.
    assert_eq!(never, [session::OF_AN_APPLICATION], "raised by no scenario");
    for rule in Violation::ALL {
        assert!(shown(rule) <= 1, "{rule:?} is shown twice");
    }
}

/// Logs and closes name a rule by its text.
#[test]
fn each_has_a_text_of_its_own() {
    for (n, rule) in Violation::ALL.iter().enumerate() {
        let same = |other: &&Violation| other.to_string() == rule.to_string();
        let first = Violation::ALL.iter().position(|other| same(&other));
        assert_eq!(first, Some(n), "{rule:?}");
    }
}
