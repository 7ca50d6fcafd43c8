//! The server's side of the chat: one room, and a behaviour for each connection in it.
//!
//! ```text
//!   a member's stream ─▶ lines ─▶ Heard ─▶ its behaviour ─▶ Line ─▶ the behaviours of the
//!                                                                   others ─▶ their streams
//! ```
//!
//! Nothing here knows what loop it runs in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_core::behaviour::{
    Accept, Action, Actions, At, Behaviour, ConnectionClosed, ConnectionResult, Context, Failure,
    Mode, Opened, StreamAction, StreamBehaviour, StreamContext, StreamResult,
};
use aqueduct_core::bytes::Bytes;
use aqueduct_core::id::{Dir, StreamKey};

use crate::lines::Lines;

/// The way to somebody's behaviour, a mailbox of whatever loop it runs in. What does not fit
/// is lost: a member who does not read misses lines, and keeps nobody waiting.
pub(crate) type Way = Box<dyn Fn(Said) + Send>;

/// What a member's behaviour is told.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// By its own stream: a line has come; the first is the name.
    Heard(StreamKey, String),
    /// By others: a line for this member.
    Line(Bytes),
    /// By others: this one is typing.
    Typing(String),
}

/// Who is in the room.
#[derive(Clone, Default)]
pub(crate) struct Room(Arc<Mutex<Members>>);

#[derive(Default)]
struct Members {
    ways: BTreeMap<u64, Way>,
    next: u64,
}

impl Room {
    /// The behaviour of a connection, which others reach by that way.
    pub(crate) fn member(&self, way: Way) -> Member {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.next += 1;
        let id = members.next;
        members.ways.insert(id, way);
        Member {
            room: self.clone(),
            id,
            joined: None,
        }
    }

    /// Tells all but this one.
    fn tell_others(&self, id: u64, said: &Said) {
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, way) in members.ways.iter().filter(|(other, _)| **other != id) {
            way(said.clone());
        }
    }

    fn leave(&self, id: u64) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let way = members.ways.remove(&id);
        drop(members);
        drop(way);
    }
}

/// One connection.
pub(crate) struct Member {
    room: Room,
    id: u64,
    /// Its stream and its name, once it has said that.
    joined: Option<(StreamKey, String)>,
}

impl Member {
    fn say(&self, text: String) {
        println!("{text}");
        self.room
            .tell_others(self.id, &Said::Line(Bytes::from(text + "\n")));
    }
}

impl Behaviour for Member {
    type Message = Said;

    /// A member has one stream. Others, and those of one way, are nobody's and refused.
    fn new_stream(
        &mut self,
        _: &Context<'_>,
        _: StreamKey,
        opened: Opened,
    ) -> Result<Accept<Said>, Failure> {
        if opened.dir == Dir::Uni || self.joined.is_some() {
            return Ok(Accept::Orphan);
        }
        Ok(Accept::Own(Box::new(Ear::default()), Mode::Active))
    }

    fn message(&mut self, _: &Context<'_>, said: Said) -> ConnectionResult<Said> {
        Ok(match (said, &self.joined) {
            (Said::Heard(stream, name), None) => {
                self.say(format!("{name} comes in"));
                self.joined = Some((stream, name));
                Actions::new()
            }
            (Said::Heard(_, line), Some((_, name))) => {
                self.say(format!("{name}: {line}"));
                Actions::new()
            }
            (Said::Line(line), Some((stream, _))) => {
                Action::Stream(*stream, StreamAction::Send(line)).into()
            }
            (Said::Typing(name), Some(_)) => Action::Datagram(name.into()).into(),
            // Not in the room yet.
            (Said::Line(_) | Said::Typing(_), None) => Actions::new(),
        })
    }

    /// Whatever is in it, it says that somebody is typing.
    fn datagram(&mut self, _: &Context<'_>, _: Bytes) -> ConnectionResult<Said> {
        if let Some((_, name)) = &self.joined {
            self.room.tell_others(self.id, &Said::Typing(name.clone()));
        }
        Ok(Actions::new())
    }

    fn closed(&mut self, _: &Context<'_>, _: &ConnectionClosed) {
        if let Some((_, name)) = &self.joined {
            self.say(format!("{name} goes"));
        }
    }
}

/// A connection that is dropped with its loop leaves as well.
impl Drop for Member {
    fn drop(&mut self) {
        self.room.leave(self.id);
    }
}

/// A member's stream: tells its connection each line. Of one that says nonsense only the
/// stream ends.
#[derive(Default)]
struct Ear(Lines);

impl StreamBehaviour<Said> for Ear {
    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<Said> {
        let lines = self.0.take(&data)?;
        let heard = |line| StreamAction::Tell(Said::Heard(cx.key(), line));
        let mut actions: Actions<_> = lines.into_iter().map(heard).collect();
        if at.end {
            actions.push(StreamAction::Finish);
        }
        Ok(actions)
    }
}
