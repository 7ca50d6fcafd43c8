//! Streams of types that the application claims for protocols of its own.

use aqueduct_core::id::Dir;
use aqueduct_core::webtransport::OpenStreamError as Refusal;

use crate::connection::Connection;
use crate::error::OpenStreamError;
use crate::place::{ConnTopic, Place};
use crate::share::PRICE;
use crate::shared::{Locked, Step, wait_for};
use crate::stream::{Make, RecvStream, SendStream, both, receiving, sending};
use crate::table::Stream;
use crate::wait::open_with;

/// A stream of the peer's whose type the application claims.
///
/// What follows the type is read and written as it is. Codes of resets and stops are
/// HTTP/3 error codes of the protocol's own; dropping a half early tells code 0.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClaimedStream {
    /// The type: its first integer.
    pub ty: u64,
    /// The way back, if it is bidirectional.
    pub send: Option<SendStream>,
    /// What the peer sends.
    pub recv: RecvStream,
}

impl Connection {
    /// The next stream of a type that the configuration claims
    /// ([`claimed_uni`](aqueduct_core::config::Config::claimed_uni),
    /// [`claimed_bidi`](aqueduct_core::config::Config::claimed_bidi)); `None` when the
    /// connection is over. Many tasks may wait at once; cancel safe. Those that wait are
    /// bounded by what QUIC lets the peer open.
    pub async fn accept_claimed(&self) -> Option<ClaimedStream> {
        let conn = &self.0;
        let place = Place::Conn(conn.at, ConnTopic::Claimed);
        wait_for(&conn.shared, |locked| {
            if let Some(wait) = locked.rest_at(place) {
                return wait;
            }
            let Some((at, ty)) = locked.conn(conn.at).claimed.pop_front() else {
                return self.end_or_wait(locked, place);
            };
            locked.take_share(conn.at, PRICE);
            let key = locked.conn(conn.at).streams[at].key;
            let recv = receiving(conn, locked, at, key);
            let send = (key.id().dir() == Dir::Bi).then(|| sending(conn, locked, at, key));
            Step::Done(Some(ClaimedStream { ty, send, recv }))
        })
        .await
    }

    /// Opens a bidirectional stream of a type that the configuration claims; waits for
    /// the handshake and for stream credit. Cancel safe: a dropped future has opened
    /// nothing.
    ///
    /// # Errors
    /// [`OpenStreamError`].
    pub async fn open_claimed_bi(
        &self,
        ty: u64,
    ) -> Result<(SendStream, RecvStream), OpenStreamError> {
        self.open_claimed(Dir::Bi, ty, both).await
    }

    /// Opens a unidirectional one, as [`open_claimed_bi`](Self::open_claimed_bi).
    ///
    /// # Errors
    /// [`OpenStreamError`].
    pub async fn open_claimed_uni(&self, ty: u64) -> Result<SendStream, OpenStreamError> {
        self.open_claimed(Dir::Uni, ty, sending).await
    }

    async fn open_claimed<S>(
        &self,
        dir: Dir,
        ty: u64,
        make: Make<S>,
    ) -> Result<S, OpenStreamError> {
        let conn = &self.0;
        self.connected()
            .await
            .map_err(OpenStreamError::Connection)?;
        let open = |locked: &mut Locked<'_>| {
            let opened = locked.core(conn.key, |core| core.open_claimed(dir, ty));
            let key = opened.unwrap_or(Err(Refusal::Closed))?;
            // The entry exists before the lock goes, so no event of it is missed.
            let at = locked
                .conn(conn.at)
                .insert_stream(Stream::claimed(key, true));
            Ok(make(conn, locked, at, key))
        };
        Ok(open_with(conn, dir, None, open).await?)
    }
}
