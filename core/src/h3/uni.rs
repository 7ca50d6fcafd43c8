//! What is this stream? Reads the first integers of streams the peer opened.

use bytes::Bytes;

use super::budget::{NOTICE, STREAM};
use super::connection::{CHUNK, H3};
use super::exchange::Exchange;
use super::streams::{Kind, Recv, Slot, StreamHead};
use super::{Claims, H3Event};
use crate::code::Code;
use crate::fault::{Fault, Violation};
use crate::id::{Dir, Side, StreamId, StreamKey};
use crate::transport::{ReadState, Transport};
use crate::wire::cursor::HeadReader;
use crate::wire::seen::Seen;
use crate::wire::stream_type::UniType;

impl H3 {
    /// Takes in every stream the peer opened since the last call.
    pub(super) fn accept<T: Transport>(&mut self, t: &mut T, dir: Dir) -> Result<(), Fault> {
        loop {
            if !self.budget.spend(STREAM) {
                self.budget.accept[dir as usize] = true;
                return Ok(());
            }
            let Some(id) = t.accept(dir) else {
                return Ok(());
            };
            //= https://www.rfc-editor.org/rfc/rfc9114#section-6.1
            // Without an extension that allows them, the server opens none.
            if dir == Dir::Bi && self.side == Side::Client && !self.server_may_open() {
                return Err(Fault::Connection(Violation::ServerBidi));
            }
            let slot = Slot::new(id, self.side, Kind::Unidentified(HeadReader::new()));
            let key = self.table.insert(slot);
            let result = self.identify(t, key);
            self.await_head(key);
            // One bad stream does not keep the others from being seen.
            self.settle_fault(t, result)?;
        }
    }

    /// Whether there may be bidirectional streams that the server opens (client).
    fn server_may_open(&self) -> bool {
        self.claims.bidi.is_some() || !self.config.claimed_bidi.is_empty()
    }

    /// The server's SETTINGS make no sessions possible (client): what it opens is no
    /// stream of one.
    pub(crate) fn take_no_sessions(&mut self) -> Result<(), Fault> {
        self.claims = Claims::default();
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.1
        // Those that came before the SETTINGS had nothing to be allowed by, either.
        let seen = self.table.was_seen(StreamId::new(Side::Server, Dir::Bi, 0));
        if seen && !self.server_may_open() {
            return Err(Fault::Connection(Violation::ServerBidi));
        }
        Ok(())
    }

    /// Reads on until the stream's use is known, then does what it calls for.
    pub(super) fn identify<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        let mut ended = false;
        let (ty, session) = loop {
            let claims = self.claims;
            let Some(slot) = self.table.get_mut(key) else {
                return Ok(());
            };
            let Kind::Unidentified(reader) = &mut slot.kind else {
                return Ok(());
            };
            let claimed = match key.id.dir() {
                Dir::Bi => claims.bidi,
                Dir::Uni => claims.uni,
            };
            let before = slot.held.len();
            let found = reader.read(&mut slot.held, |ty| Some(ty) == claimed);
            t.seen(key.id, Seen::Structure(before - slot.held.len()));
            if let Some(found) = found {
                break found;
            }
            if ended {
                return self.ended_unidentified(t, key);
            }
            let mut out = [Bytes::new()];
            match t.read(key.id, CHUNK, &mut out) {
                Ok(read) => {
                    let [chunk] = out;
                    slot.held = chunk;
                    slot.read += read.bytes as u64;
                    self.received += read.bytes as u64;
                    ended = read.state == ReadState::Finished;
                    if read.bytes == 0 && !ended {
                        return Ok(());
                    }
                }
                //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2
                // A stream may end before its type is known; that is no error.
                Err(_) => {
                    return self.reset_unidentified(t, key);
                }
            }
        };
        let own = session.is_none() && self.config.claims(key.id.dir(), ty);
        if key.id.dir() == Dir::Uni || session.is_some() || own {
            self.await_no_more(key);
        }
        match (key.id.dir(), session) {
            (dir, Some(id)) => {
                let stream = key;
                self.claim(key, H3Event::Claimed { stream, dir, id }, ended);
                Ok(())
            }
            _ if own => {
                self.claim(
                    key,
                    H3Event::ClaimedByApplication { stream: key, ty },
                    ended,
                );
                Ok(())
            }
            (Dir::Uni, None) => self.begin_uni(t, key, UniType::new(ty), ended),
            (Dir::Bi, None) => self.begin_exchange(t, key, ty, ended),
        }
    }

    fn claim(&mut self, key: StreamKey, event: H3Event, ended: bool) {
        if let Some(slot) = self.table.get_mut(key) {
            slot.kind = Kind::Raw(StreamHead::default());
            if ended {
                slot.recv = Recv::Finished;
            }
            self.events.push_back(event);
        }
    }

    fn ended_unidentified<T: Transport>(&mut self, t: &mut T, key: StreamKey) -> Result<(), Fault> {
        let Some(slot) = self.table.get_mut(key) else {
            return Ok(());
        };
        slot.recv = Recv::Closed;
        if key.id.dir() == Dir::Bi {
            let Kind::Unidentified(reader) = &slot.kind else {
                return Ok(());
            };
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.1
            // The end cut the first frame's type in two.
            if reader.first().is_none() && reader.is_mid_integer() {
                return Err(Fault::Connection(Violation::FrameTruncated));
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
            // A request stream that ends without a request.
            return self.refuse_unidentified(t, key, Code::H3_REQUEST_INCOMPLETE);
        }
        self.settle(key);
        self.nuisance(1)
    }

    fn reset_unidentified<T: Transport>(&mut self, t: &mut T, key: StreamKey) -> Result<(), Fault> {
        if let Some(slot) = self.table.get_mut(key) {
            slot.recv = Recv::Closed;
        }
        self.refuse_unidentified(t, key, Code::H3_REQUEST_CANCELLED)
    }

    /// Ends whatever is open of a stream that nobody has been told about.
    pub(super) fn refuse_unidentified<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: Code,
    ) -> Result<(), Fault> {
        self.abandon(t, key, code);
        self.nuisance(1)
    }

    /// Ends a stream whose use is known and not wanted.
    fn turn_away<T: Transport>(&mut self, t: &mut T, key: StreamKey, code: Code) {
        if let Some(slot) = self.table.get_mut(key) {
            slot.kind = Kind::Refused;
        }
        self.abandon(t, key, code);
    }

    /// Turns a request away of which nothing was looked at.
    fn reject_unread<T: Transport>(&mut self, t: &mut T, key: StreamKey) -> Result<(), Fault> {
        self.turn_away(t, key, Code::H3_REQUEST_REJECTED);
        self.cancel_reading(t, key)
    }

    fn begin_uni<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        ty: UniType,
        ended: bool,
    ) -> Result<(), Fault> {
        let (seen, kind) = match ty {
            UniType::Control => (&mut self.peer_streams.control, Kind::Control),
            UniType::QpackEncoder => (&mut self.peer_streams.encoder, Kind::QpackEncoder),
            UniType::QpackDecoder => (&mut self.peer_streams.decoder, Kind::QpackDecoder),
            UniType::Push => {
                return Err(Fault::Connection(match self.side {
                    //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.2
                    // Only servers push.
                    Side::Server => Violation::PushStreamFromClient,
                    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.6
                    // We never send MAX_PUSH_ID, so no push id is allowed.
                    Side::Client => Violation::PushNotAllowed,
                }));
            }
            _ => {
                //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2
                // Unknown types are no error: stop the stream and forget it.
                self.stats.unknown_streams += 1;
                self.turn_away(t, key, Code::H3_STREAM_CREATION_ERROR);
                return self.nuisance(1);
            }
        };
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
        // One control stream and one QPACK stream of each kind per side.
        if std::mem::replace(seen, true) {
            return Err(Fault::Connection(Violation::StreamTwice));
        }
        if let Some(slot) = self.table.get_mut(key) {
            slot.kind = kind;
        }
        self.read_critical(t, key, ended)
    }

    fn begin_exchange<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        frame_type: u64,
        ended: bool,
    ) -> Result<(), Fault> {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.1
        // What the server opens is for extensions only.
        if self.side == Side::Client {
            return Err(Fault::Connection(Violation::ServerBidi));
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
        // Requests at or above the id of our GOAWAY are refused unprocessed.
        if self.goaway_sent.is_some_and(|limit| key.id.wire() >= limit) {
            self.reject_unread(t, key)?;
            // Some were on their way when it was sent, or it is not known yet.
            return self.charge(NOTICE);
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
        // Refused before any work was done for it, so it may be sent again.
        if self.is_full() {
            self.reject_unread(t, key)?;
            return self.one_too_many();
        }
        let exchange = Exchange::received(frame_type, &self.rules(), ended)
            .map_err(|error| Fault::Connection(error.into()))?;
        if let Some(slot) = self.table.get_mut(key) {
            slot.kind = Kind::Exchange(Box::new(exchange));
            self.exchanges += 1;
            self.idle_since = None;
        }
        self.pump(t, key)
    }
}
