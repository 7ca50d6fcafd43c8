//! Streams that are kept alive by a byte now and then.

use std::time::{Duration, Instant};

use quinn_proto::StreamId;

use crate::conn::Conn;

/// Streams and when they last got a byte.
#[derive(Debug)]
pub struct Drip {
    /// The streams, in the order in which they were opened.
    pub streams: Vec<StreamId>,
    last: Instant,
}

impl Default for Drip {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            last: Instant::now(),
        }
    }
}

impl Drip {
    /// Opens as many bidirectional streams as the server's credit allows; `first` gives the
    /// first bytes of one from how many streams there are.
    pub fn open<'a>(&mut self, conn: &mut Conn, first: impl Fn(usize) -> &'a [u8]) {
        while let Some(id) = conn.request(first(self.streams.len())) {
            self.streams.push(id);
            conn.ops += 1;
        }
    }

    /// Gives each stream a byte when more than `pause` has passed since the last.
    pub fn fall(&mut self, conn: &mut Conn, pause: Duration) {
        if self.last.elapsed() > pause {
            self.last = Instant::now();
            for id in &self.streams {
                conn.write(*id, b"x");
            }
        }
    }
}
