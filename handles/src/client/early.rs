//! Which requests may be early data (0-RTT), and what becomes of them.

use aqueduct_core::head::{Early, End, RequestHead};

use super::hub::Hub;

/// What became of a request that went out as early data (0-RTT): among the extensions of
/// its answer, or of the error ([`Error::early_data`](super::Error::early_data)). Of a
/// request that waited for the handshake nothing is told.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum EarlyOutcome {
    /// The server took it: the answer is one to early data, 425 (Too Early) among others.
    Accepted,
    /// The server did not take it and has seen nothing of it: it may be sent again,
    /// whatever its method.
    Rejected,
    /// The connection came to nothing before the server could say. It may have acted upon
    /// the request.
    Unknown,
}

/// Whether a request may go out early. One whose end does not go with its head may only if
/// its caller says so.
//= https://www.rfc-editor.org/rfc/rfc8470#section-4
// What is not safe goes early only where the caller knows better.
pub(super) fn may_go(hub: &Hub, head: &mut RequestHead, end: End) -> bool {
    if !hub.settings.early_data {
        return false;
    }
    if end == End::More && head.early != Early::Always {
        head.early = Early::Never;
    }
    head.may_be_early()
}
