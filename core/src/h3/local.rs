//! Our own control and QPACK streams: opened when credit allows, bytes kept
//! until the transport takes them.

use bytes::{Bytes, BytesMut};

use crate::id::{Dir, StreamId};
use crate::transport::Transport;

/// One of the three critical streams of this side.
#[derive(Debug)]
pub(crate) struct LocalStream {
    id: Option<StreamId>,
    owed: BytesMut,
}

impl LocalStream {
    /// A stream of the given type, not opened yet.
    pub(crate) fn new(ty: u8) -> Self {
        Self {
            id: None,
            owed: BytesMut::from([ty].as_slice()),
        }
    }

    /// Whether this is the stream.
    pub(crate) fn is(&self, id: StreamId) -> bool {
        self.id == Some(id)
    }

    /// Whether the peer has allowed it.
    pub(crate) fn is_open(&self) -> bool {
        self.id.is_some()
    }

    /// Bytes to be sent next. Whoever appends keeps them bounded.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.owed
    }

    /// Whether everything was handed to the transport.
    pub(crate) fn is_flushed(&self) -> bool {
        self.id.is_some() && self.owed.is_empty()
    }

    /// Opens the stream if need be and writes what the transport takes.
    pub(crate) fn flush<T: Transport>(&mut self, t: &mut T) {
        if self.id.is_none() {
            self.id = t.open(Dir::Uni);
            if let Some(id) = self.id {
                // Everything else waits for what these streams say.
                t.set_priority(id, i32::MAX);
            }
        }
        let Some(id) = self.id else { return };
        while !self.owed.is_empty() {
            let mut chunk: [Bytes; 1] = [self.owed.split().freeze()];
            // A stop of this stream arrives as an event of its own and ends the
            // connection there.
            let Ok(taken) = t.write(id, &mut chunk) else {
                return;
            };
            let [rest] = chunk;
            if !rest.is_empty() {
                // The transport is the only other holder and has let go of the
                // part it did not take.
                self.owed = BytesMut::from(rest);
                if taken == 0 {
                    return;
                }
            }
        }
    }
}
