//! `quic listen --echo`: whatever comes goes back.

use std::collections::BTreeMap;

use aqueduct_tokio::protocol::behaviour::{
    Accept, Action, Actions, Behaviour, ConnectionClosed, ConnectionResult, Context, Mode,
    NewStream, Opened, Owner, StreamAction,
};
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::id::{Dir, Side, StreamKey};
use aqueduct_tokio::protocol::quic::{Shutdown, StartError};
use aqueduct_tokio::protocol::transport::EarlyData;
use bytes::Bytes;
use serde_json::{Value, json};

use super::half::{Heard, PIECES, Teller};
use super::shown::Peer;
use crate::output::Output;

/// Echoes everything of one connection.
#[derive(Debug)]
pub(super) struct Echo {
    output: Output,
    /// By the stream that it comes on.
    streams: BTreeMap<StreamKey, Back>,
    /// By the stream that it goes on, where that is another.
    sources: BTreeMap<StreamKey, StreamKey>,
    /// Unidirectional streams whose answer has not begun, in order.
    waiting: Vec<StreamKey>,
    peer: Peer,
    connected: bool,
}

/// Where a stream goes back to.
#[derive(Debug, Default)]
struct Back {
    to: Option<StreamKey>,
    /// Pieces that QUIC has not taken.
    unsent: u32,
    /// It has given what it was asked for.
    paused: bool,
}

/// What the connection is told: what happens on its streams.
#[derive(Debug)]
pub(super) struct Said(StreamKey, Heard);

impl From<(StreamKey, Heard)> for Said {
    fn from((key, heard): (StreamKey, Heard)) -> Self {
        Self(key, heard)
    }
}

impl Echo {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            streams: BTreeMap::new(),
            sources: BTreeMap::new(),
            waiting: Vec::new(),
            peer: Peer::default(),
            connected: false,
        }
    }

    fn event(&self, event: &str, fields: Value) {
        // A reader that has gone away is no reason to stop serving.
        if self.output.is_json()
            && let Err(error) = self.output.event(event, fields)
        {
            tracing::debug!(%error, "cannot print an event");
        }
    }

    /// What comes on a stream goes there from now on.
    fn begin(&mut self, from: StreamKey, to: StreamKey) -> Action<Said> {
        if let Some(back) = self.streams.get_mut(&from) {
            back.to = Some(to);
        }
        go_on(from)
    }

    fn on_stream(&mut self, side: Side, key: StreamKey, heard: Heard) -> Actions<Action<Said>> {
        if key.id().initiator() == side {
            return self.on_answer(key, heard);
        }
        match heard {
            Heard::Started => match key.id().dir() {
                Dir::Bi => return self.begin(key, key).into(),
                Dir::Uni => {
                    self.waiting.push(key);
                    let answer = NewStream::new(Dir::Uni, Teller::owner());
                    return Action::from(answer).into();
                }
            },
            Heard::Data(data, at) => {
                if let Some(back) = self.streams.get_mut(&key)
                    && let Some(to) = back.to
                {
                    let mut actions = Actions::new();
                    if !data.is_empty() {
                        back.unsent += 1;
                        actions.push(Action::Stream(to, StreamAction::Send(data)));
                    }
                    if at.end {
                        actions.push(Action::Stream(to, StreamAction::Finish));
                    }
                    return actions;
                }
            }
            Heard::Passive => {
                if let Some(back) = self.streams.get_mut(&key) {
                    back.paused = true;
                }
                return self.ask(key);
            }
            Heard::Sent => return self.on_sent(key),
            Heard::Reset(code) => {
                self.event(
                    "stream_reset",
                    json!({ "stream": key.id().wire(), "code": code }),
                );
                if let Some(to) = self.streams.get(&key).and_then(|back| back.to) {
                    let reset = Shutdown::AbortSend(code);
                    return Action::Stream(to, StreamAction::Shutdown(reset)).into();
                }
            }
            Heard::Stopped(code) => return self.on_stopped(key, key, code),
            Heard::SendOver => {}
            Heard::Closed => {
                self.streams.remove(&key);
            }
        }
        Actions::new()
    }

    /// Of a unidirectional stream of ours.
    fn on_answer(&mut self, key: StreamKey, heard: Heard) -> Actions<Action<Said>> {
        match heard {
            Heard::Started if !self.waiting.is_empty() => {
                let from = self.waiting.remove(0);
                if !self.streams.contains_key(&from) {
                    // It was reset before it could be answered.
                    return Action::Stream(key, StreamAction::Abandon(0)).into();
                }
                self.sources.insert(key, from);
                self.begin(from, key).into()
            }
            Heard::Sent => match self.sources.get(&key).copied() {
                Some(from) => self.on_sent(from),
                None => Actions::new(),
            },
            Heard::Stopped(code) => match self.sources.get(&key).copied() {
                Some(from) => self.on_stopped(key, from, code),
                None => Actions::new(),
            },
            Heard::Closed => {
                self.sources.remove(&key);
                Actions::new()
            }
            _ => Actions::new(),
        }
    }

    fn on_sent(&mut self, from: StreamKey) -> Actions<Action<Said>> {
        if let Some(back) = self.streams.get_mut(&from) {
            back.unsent = back.unsent.saturating_sub(1);
        }
        self.ask(from)
    }

    /// Asks for more when all that came has gone.
    fn ask(&mut self, from: StreamKey) -> Actions<Action<Said>> {
        match self.streams.get_mut(&from) {
            Some(back) if back.paused && back.unsent == 0 => {
                back.paused = false;
                go_on(from).into()
            }
            _ => Actions::new(),
        }
    }

    fn on_stopped(&self, key: StreamKey, from: StreamKey, code: u64) -> Actions<Action<Said>> {
        self.event(
            "stream_stopped",
            json!({ "stream": key.id().wire(), "code": code }),
        );
        if self.streams.contains_key(&from) {
            let stop = StreamAction::Shutdown(Shutdown::AbortReceive(code));
            return Action::Stream(from, stop).into();
        }
        Actions::new()
    }
}

fn go_on(stream: StreamKey) -> Action<Said> {
    Action::Stream(stream, StreamAction::SetMode(Mode::Times(PIECES)))
}

impl Behaviour for Echo {
    type Message = Said;

    fn connected(&mut self, cx: &Context<'_>, _early: EarlyData) -> ConnectionResult<Said> {
        self.peer = Peer::of(cx.about());
        self.connected = true;
        self.output.remark(&format!("{} has connected", self.peer));
        self.event("connected", self.peer.to_json());
        Ok(Actions::new())
    }

    fn new_stream(
        &mut self,
        _cx: &Context<'_>,
        stream: StreamKey,
        _opened: Opened,
    ) -> Result<Accept<Said>, aqueduct_tokio::protocol::behaviour::Failure> {
        self.streams.insert(stream, Back::default());
        Ok(Accept::Own(Teller::owner(), Mode::Passive))
    }

    fn not_started(
        &mut self,
        _cx: &Context<'_>,
        _why: StartError,
        _owner: Owner<Said>,
    ) -> ConnectionResult<Said> {
        // The last that was asked for.
        let from = self.waiting.pop();
        let abandon = |from| Action::Stream(from, StreamAction::Abandon(0));
        Ok(from.map(abandon).into_iter().collect())
    }

    fn datagram(&mut self, _cx: &Context<'_>, datagram: Bytes) -> ConnectionResult<Said> {
        // Where there is no room it is lost, as on the way.
        Ok(Action::Datagram(datagram).into())
    }

    fn peer_address_changed(
        &mut self,
        cx: &Context<'_>,
        address: std::net::SocketAddr,
    ) -> ConnectionResult<Said> {
        if cx.is_established() && self.connected {
            tracing::info!(remote = %address, "a client has moved");
            self.event("moved", json!({ "remote": address.to_string() }));
        }
        Ok(Actions::new())
    }

    fn message(&mut self, cx: &Context<'_>, Said(key, heard): Said) -> ConnectionResult<Said> {
        Ok(self.on_stream(cx.side(), key, heard))
    }

    fn closed(&mut self, cx: &Context<'_>, how: &ConnectionClosed) {
        if !how.handshake_completed {
            let peer = Peer::of(cx.about());
            tracing::info!(reason = %how.reason, "no connection came of a handshake");
            self.event(
                "refused",
                json!({ "remote": peer.remote(), "why": how.reason.to_string() }),
            );
            return;
        }
        let fields = match &how.reason {
            CloseReason::Remote { code, reason } => json!({
                "remote": self.peer.remote(),
                "code": code.value(),
                "reason": String::from_utf8_lossy(reason),
            }),
            other => json!({ "remote": self.peer.remote(), "why": other.to_string() }),
        };
        self.output.remark(&format!(
            "{} has gone: {}",
            self.peer,
            super::ended(&how.reason)
        ));
        self.event("closed", fields);
    }
}
