//! Lines for a reader that may be slow, or have stopped reading: a bounded queue, and a thread
//! that writes.
//!
//! A pipe that nobody empties blocks whoever writes to it. So what a server tells while it serves,
//! and every log, goes through here: [`Outlet::push`] never waits. Lines that find no room are
//! dropped and counted, and the count is told as soon as there is room.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait, with what the queue itself takes for each line.
pub const ROOM: usize = 1 << 20;
/// What a line costs beside its bytes.
const LINE: usize = 64;
/// How often a pipe that somebody has made non-blocking is tried again.
const AGAIN: Duration = Duration::from_millis(10);

/// What became of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushed {
    /// It waits for its reader.
    Taken,
    /// There was no room.
    Dropped {
        /// The first one since there was room.
        first: bool,
    },
}

/// A queue before something that may block. Clones share it.
#[derive(Clone)]
pub struct Outlet(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
    room: usize,
    /// The line that tells how many were dropped.
    note: fn(u64) -> String,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Cost of the lines, the one that is being written among them.
    held: usize,
    /// Whether the thread is at a line.
    writing: bool,
    /// Lines dropped since the last note.
    dropped: u64,
    /// The reader is gone for good.
    gone: Option<io::ErrorKind>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.writing && self.dropped == 0
    }

    fn put(&mut self, line: Vec<u8>) {
        self.held += line.len() + LINE;
        self.lines.push_back(line);
    }
}

impl Outlet {
    /// Starts the thread that writes to `to`. At most `room` bytes wait.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        to: impl Write + Send + 'static,
        room: usize,
        note: fn(u64) -> String,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            room,
            note,
        });
        let outlet = Self(Arc::clone(&shared));
        thread::Builder::new()
            .name("outlet".to_owned())
            .spawn(move || shared.write_all(to))?;
        Ok(outlet)
    }

    /// The same for the life of the program, as its output is.
    #[must_use]
    pub fn for_ever(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// Takes a line, with its end, or drops it. Never blocks.
    ///
    /// # Errors
    /// When the reader is gone.
    pub fn push(&self, line: impl Into<Vec<u8>>) -> io::Result<Pushed> {
        let line = line.into();
        let mut state = self.0.lock();
        if let Some(kind) = state.gone {
            return Err(kind.into());
        }
        // Half of it is free before lines are taken again: a note for many, not one for each.
        let room = match state.dropped {
            0 => self.0.room,
            _ => self.0.room / 2,
        };
        if state.held + line.len() + LINE > room {
            state.dropped += 1;
            let first = state.dropped == 1;
            self.0.filled.notify_one();
            return Ok(Pushed::Dropped { first });
        }
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            state.put((self.0.note)(dropped).into());
        }
        state.put(line);
        self.0.filled.notify_one();
        Ok(Pushed::Taken)
    }

    /// Waits until everything is written, and the last count told, or for `limit`; gives how many
    /// lines were not.
    pub fn flush(&self, limit: Duration) -> u64 {
        let end = Instant::now() + limit;
        let mut state = self.0.lock();
        while !state.is_empty() && state.gone.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return state.lines.len() as u64 + u64::from(state.writing) + state.dropped;
            }
            let waited = self.0.emptied.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's work, until the reader is gone.
    fn write_all(&self, mut to: impl Write) {
        loop {
            let line = self.next();
            let written = patiently(&mut to, &line);
            let mut state = self.lock();
            state.writing = false;
            state.held = state.held.saturating_sub(line.len() + LINE);
            if let Err(error) = written {
                *state = State {
                    gone: Some(error.kind()),
                    ..State::default()
                };
                self.emptied.notify_all();
                return;
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if state.lines.is_empty() && state.dropped > 0 {
                let dropped = std::mem::take(&mut state.dropped);
                state.put((self.note)(dropped).into());
            }
            if let Some(line) = state.lines.pop_front() {
                state.writing = true;
                return line;
            }
            self.emptied.notify_all();
            let waited = self.filled.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes a whole line, also to a pipe that somebody else has made non-blocking.
fn patiently(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => line = line.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("held", &self.0.lock().held)
            .finish_non_exhaustive()
    }
}

/// Standard output, without the lock that others could wait for while this thread is blocked.
pub fn stdout() -> Box<dyn Write + Send> {
    own(io::stdout())
}

/// Standard error, likewise.
pub fn stderr() -> Box<dyn Write + Send> {
    own(io::stderr())
}

#[cfg(unix)]
fn own(stream: impl std::os::fd::AsFd + Write + Send + 'static) -> Box<dyn Write + Send> {
    match stream.as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(std::fs::File::from(fd)),
        Err(_) => Box::new(stream),
    }
}

/// Consoles want the standard library's conversion.
#[cfg(not(unix))]
fn own(stream: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(stream)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes a line when it is told to.
    struct Reader {
        turns: mpsc::Receiver<()>,
        lines: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.turns.recv().map_err(gone)?;
            // The test may have seen enough.
            let _ = self.lines.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn outlet(room: usize) -> (Outlet, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (turn, turns) = mpsc::channel();
        let (lines, read) = mpsc::channel();
        let note = |count| format!("{count} dropped\n");
        let outlet = Outlet::start(Reader { turns, lines }, room, note).unwrap();
        (outlet, turn, read)
    }

    const FIRST: Pushed = Pushed::Dropped { first: true };
    const MORE: Pushed = Pushed::Dropped { first: false };
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_without_room_are_dropped_and_the_count_told_in_their_place() {
        let (outlet, turn, read) = outlet(4 * (2 + LINE));
        let push = |line: &str| outlet.push(format!("{line}\n")).unwrap();
        // As many as there is room for, and one beyond.
        for line in ["a", "b", "c", "d"] {
            assert_eq!(push(line), Pushed::Taken);
        }
        assert_eq!((push("e"), push("f")), (FIRST, MORE));
        assert_eq!(outlet.flush(Duration::ZERO), 6);

        // One is read: not yet enough for a note.
        turn.send(()).unwrap();
        assert_eq!(read.recv().unwrap(), "a\n");
        assert_eq!(push("g"), MORE);
        for _ in 0..4 {
            turn.send(()).unwrap();
        }
        let seen: Vec<_> = read.iter().take(4).collect();
        assert_eq!(seen, ["b\n", "c\n", "d\n", "3 dropped\n"]);
        assert_eq!(push("h"), Pushed::Taken);
        turn.send(()).unwrap();
        assert_eq!(read.recv().unwrap(), "h\n");
        assert_eq!(outlet.flush(LONG), 0);
    }

    #[test]
    fn a_line_longer_than_the_room_is_dropped_and_told() {
        let (outlet, turn, read) = outlet(100);
        assert_eq!(outlet.push("x".repeat(100 - LINE)).unwrap(), Pushed::Taken);
        turn.send(()).unwrap();
        assert_eq!(read.recv().unwrap().len(), 100 - LINE);
        assert_eq!(outlet.flush(LONG), 0);
        assert_eq!(outlet.push("x".repeat(101 - LINE)).unwrap(), FIRST);
        turn.send(()).unwrap();
        assert_eq!(outlet.flush(LONG), 0);
        assert_eq!(read.recv().unwrap(), "1 dropped\n");
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_keeps_nothing() {
        let (outlet, turn, _read) = outlet(ROOM);
        outlet.push("a\n").unwrap();
        drop(turn);
        assert_eq!(outlet.flush(LONG), 0);
        let error = outlet.push("b\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(outlet.0.lock().held, 0);
    }
}
