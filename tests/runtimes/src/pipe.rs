//! One stream of an event-driven end: what it sends and what it has received.

use aqueduct_core::connection;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::id::{SessionKey, StreamKey};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;
use http::HeaderMap;

use crate::trace::Digest;

/// A connection of an endpoint.
pub type Access<'a> = connection::Access<'a, QuinnTransport<'a>>;

/// Bytes a stream keeps of what it receives.
const KEPT: usize = 1000;

/// How a sending half ends.
#[derive(Debug)]
pub enum Last {
    /// It has ended, or goes on.
    Nothing,
    /// With its content.
    Fin,
    /// With trailers.
    Trailers(HeaderMap),
}

/// A stream.
#[derive(Debug)]
pub struct Pipe {
    /// For the trace.
    pub name: String,
    /// What is to be sent, and its end.
    out: Vec<Bytes>,
    /// What follows it.
    pub last: Last,
    /// Whether what comes goes back.
    pub echo: bool,
    /// Whether there is more to receive.
    pub receives: bool,
    /// What has been received, and its first bytes.
    pub content: Digest,
    /// Those.
    pub kept: Vec<u8>,
    /// Whose stream it is, where that matters.
    pub session: Option<SessionKey>,
}

impl Pipe {
    /// A stream that receives and has nothing to say yet.
    #[must_use]
    pub fn receiving(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            out: Vec::new(),
            last: Last::Nothing,
            echo: false,
            receives: true,
            content: Digest::default(),
            kept: Vec::new(),
            session: None,
        }
    }

    /// A stream that sends this and ends.
    #[must_use]
    pub fn sending(name: &str, content: Bytes) -> Self {
        let mut pipe = Self::receiving(name);
        pipe.receives = false;
        pipe.send(content, Last::Fin);
        pipe
    }

    /// Sends this and ends.
    pub fn send(&mut self, content: Bytes, last: Last) {
        self.out.push(content);
        self.last = last;
    }

    /// Writes and reads until neither goes on; `true` when the end has just been
    /// received.
    ///
    /// # Panics
    /// When the peer gives the stream up.
    pub fn pump(&mut self, access: &mut Access<'_>, key: StreamKey) -> bool {
        loop {
            let blocked = self.write(access, key);
            // An echo takes no more than it gives back.
            if !self.receives || (self.echo && blocked) {
                return false;
            }
            let mut chunks = [const { Bytes::new() }; 16];
            let mut half = access.recv(key).expect("is read to its end");
            let read = half.read(1 << 16, &mut chunks).expect("whole");
            for chunk in chunks.into_iter().take(read.chunks) {
                self.content.add(&chunk);
                let room = KEPT.saturating_sub(self.kept.len()).min(chunk.len());
                self.kept.extend_from_slice(&chunk[..room]);
                if self.echo {
                    self.out.push(chunk);
                }
            }
            match read.state {
                ReadState::Open => {}
                ReadState::Blocked if blocked || self.out.is_empty() => return false,
                ReadState::Blocked => {}
                ReadState::Finished => {
                    self.receives = false;
                    return true;
                }
            }
        }
    }

    /// Whether the peer has to take something first.
    fn write(&mut self, access: &mut Access<'_>, key: StreamKey) -> bool {
        if !self.out.is_empty() {
            let mut half = access.send(key).expect("has not ended");
            half.write(&mut self.out).expect("is wanted");
            self.out.retain(|chunk| !chunk.is_empty());
        }
        if !self.out.is_empty() {
            return true;
        }
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::Nothing => {}
            Last::Fin => {
                let mut half = access.send(key).expect("has not ended");
                half.finish().expect("once");
            }
            Last::Trailers(fields) => access.trailers(key, &fields).expect("once"),
        }
        false
    }
}
