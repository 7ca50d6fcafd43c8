//! The room: who is in it, and lines for everybody.
//!
//! A member who reads slowly delays nobody: each has a queue of its own, lines are
//! put into it without waiting, and whoever lets it run full is sent out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_tokio::{RecvStream, Session};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use crate::Anything;

/// Lines that wait for a member.
const QUEUE: usize = 64;

/// Longest line in bytes, its end included.
pub(crate) const LINE: usize = 1000;

/// Application codes with which the room closes sessions.
const BAD_LINE: u32 = 1;
const TOO_SLOW: u32 = 2;

#[derive(Default)]
pub(crate) struct Room(Mutex<Members>);

#[derive(Default)]
struct Members {
    next: u64,
    list: Vec<Member>,
}

struct Member {
    number: u64,
    queue: mpsc::Sender<Bytes>,
    /// Dropped with the entry, which is how a member learns that it is out.
    _inside: oneshot::Sender<()>,
}

/// A member's own end.
struct Place {
    number: u64,
    queue: mpsc::Receiver<Bytes>,
    out: oneshot::Receiver<()>,
}

impl Room {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Place {
        let mut members = self.members();
        let number = members.next;
        members.next += 1;
        let (sender, queue) = mpsc::channel(QUEUE);
        let (inside, out) = oneshot::channel();
        members.list.push(Member {
            number,
            queue: sender,
            _inside: inside,
        });
        Place { number, queue, out }
    }

    fn leave(&self, number: u64) {
        self.members().list.retain(|member| member.number != number);
    }

    /// Puts a line into every queue; whoever has no room for it is out. Never
    /// waits. O(members).
    pub(crate) fn say(&self, line: &str) {
        let line = Bytes::copy_from_slice(line.as_bytes());
        self.members()
            .list
            .retain(|member| member.queue.try_send(line.clone()).is_ok());
    }
}

/// One member from entering to leaving.
pub(crate) async fn member(session: Session, room: Arc<Room>) {
    match talk(&session, &room).await {
        Ok(end) => println!("{}: {end}", session.id()),
        Err(error) => println!("{}: {error}", session.id()),
    }
}

async fn talk(session: &Session, room: &Room) -> Result<&'static str, Anything> {
    let (mut send, recv) = session.accept_bi().await?;
    let mut lines = Lines(BufReader::new(recv));
    let Some(name) = lines.next().await? else {
        return Ok("came without a name");
    };
    let place = room.enter();
    let Place {
        number,
        mut queue,
        out,
    } = place;
    room.say(&format!("* {name} is here\n"));
    let reading = async {
        while let Some(line) = lines.next().await? {
            room.say(&format!("{name}: {line}\n"));
        }
        Ok::<_, Anything>("left")
    };
    let writing = async {
        while let Some(line) = queue.recv().await {
            send.write_chunk(line).await?;
        }
        // Nobody fills the queue any more, so it is out.
        std::future::pending::<Result<_, Anything>>().await
    };
    let end = tokio::select! {
        end = reading => end,
        end = writing => end,
        _ = out => {
            session.close(TOO_SLOW, "you do not keep up").ok();
            Ok("was too slow")
        }
    };
    if end.is_err() {
        session.close(BAD_LINE, "that was no line").ok();
    }
    room.leave(number);
    room.say(&format!("* {name} is gone\n"));
    end
}

/// Lines of text from a stream, none longer than [`LINE`].
pub(crate) struct Lines(pub(crate) BufReader<RecvStream>);

impl Lines {
    /// The next line without its end; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Anything> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(LINE as u64);
        limited.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err("a line is too long or has no end".into());
        }
        // Nobody shall move another member's cursor.
        let line = String::from_utf8(line)?.replace(char::is_control, " ");
        Ok(Some(line))
    }
}
