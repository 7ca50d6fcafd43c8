//! Standard input and output on a connection, to the end of both.

use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::Mailbox;
use aqueduct_tokio::protocol::error::CloseReason;
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Stdin};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::pipe::{Ends, Plan, Printed, Say, Told};
use crate::args::QuicTalk;
use crate::chunks::CHUNK;
use crate::client;
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted, visible};
use crate::silence::silence;

/// The longest line; the rest of a longer one is another.
const LINE: u64 = 1 << 20;
/// How long a peer that is to read everything may take to close, before this side does.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes that are printed at once.
const GATHERED: usize = 1 << 18;

/// Standard input, from one connection to the next.
pub(super) struct Input {
    stdin: BufReader<Stdin>,
    /// Part of a line that has been read.
    line: Vec<u8>,
    ended: bool,
}

impl Input {
    pub(super) fn new() -> Self {
        Self {
            stdin: BufReader::with_capacity(CHUNK, tokio::io::stdin()),
            line: Vec::new(),
            ended: false,
        }
    }

    /// As many bytes as there are; `None` at the end. Cancel safe.
    async fn bytes(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = BytesMut::with_capacity(CHUNK);
        let count = (&mut self.stdin)
            .take(CHUNK as u64)
            .read_buf(&mut piece)
            .await?;
        self.ended |= count == 0;
        Ok((count > 0).then(|| piece.freeze()))
    }

    /// The next line without its end. Cancel safe.
    async fn line(&mut self) -> io::Result<Option<Bytes>> {
        let room = LINE.saturating_sub(self.line.len() as u64).max(1);
        let mut limited = (&mut self.stdin).take(room);
        let count = limited.read_until(b'\n', &mut self.line).await?;
        if count == 0 && self.line.is_empty() {
            self.ended = true;
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(Some(line.into()))
    }
}

/// A conversation on one connection.
pub(super) struct Talk<'a> {
    pub(super) plan: Plan,
    pub(super) options: &'a QuicTalk,
    pub(super) output: Output,
    pub(super) mailbox: Mailbox<Say>,
    /// Whether the peer, which may not have read everything, has a moment to close first.
    pub(super) waits_for_close: bool,
}

/// How what is printed ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    End,
    Reset(u64),
    /// With the connection.
    Cut,
    /// Nothing was to come.
    Nothing,
}

/// What is known of the end.
#[derive(Debug)]
struct State {
    heard: Option<Heard>,
    /// Standard input has been said, as far as anybody wants it.
    said: bool,
    /// What was sent has arrived.
    over: bool,
    stopped: Option<u64>,
    closed: Option<CloseReason>,
}

impl Talk<'_> {
    /// Talks until everything has been said and heard, or the connection is over, and closes it.
    pub(super) async fn run(&self, ends: Ends, input: &mut Input) -> Result<(), Failure> {
        let Ends {
            mut told,
            printed,
            datagrams,
            room,
        } = ends;
        let mut state = State {
            heard: (!self.plan.prints()).then_some(Heard::Nothing),
            said: false,
            over: false,
            stopped: None,
            closed: None,
        };
        let done = self
            .talk(&mut told, printed, datagrams, room, input, &mut state)
            .await;
        let code = self.options.code;
        let waits = self.waits_for_close && code.is_none() && done.is_ok();
        if state.closed.is_none() && waits {
            let closed = tokio::time::timeout(GRACE, self.closed(&mut told)).await;
            state.closed = closed.ok();
        }
        if state.closed.is_none() {
            let reason = Bytes::from(self.options.reason.clone());
            let _ = self
                .mailbox
                .send(Say::Close(code.unwrap_or(0), reason))
                .await;
            // Nothing depends on what the peer makes of it.
            let _ = tokio::time::timeout(GRACE, self.closed(&mut told)).await;
        }
        done?;
        self.verdict(&state)
    }

    async fn closed(&self, told: &mut mpsc::UnboundedReceiver<Told>) -> CloseReason {
        while let Some(told) = told.recv().await {
            if let Told::Closed(reason) = told {
                return reason;
            }
        }
        std::future::pending().await
    }

    async fn talk(
        &self,
        told: &mut mpsc::UnboundedReceiver<Told>,
        printed: mpsc::UnboundedReceiver<Printed>,
        datagrams: mpsc::Receiver<Bytes>,
        room: Arc<Semaphore>,
        input: &mut Input,
        state: &mut State,
    ) -> Result<(), Failure> {
        let (last, mut heard) = watch::channel(Instant::now());
        let mut printing = pin!(self.print(printed, datagrams, last));
        let mut sends = self.plan.datagrams;
        let typed = io::stdin().is_terminal();
        let mut saying = pin!(self.say(input, room));
        let mut printing_over = false;
        let mut quiet_from = None;
        loop {
            // What has been told counts, whatever else has ended meanwhile.
            while let Ok(what) = told.try_recv() {
                sends |= self.learn(what, state)?;
            }
            if self.is_done(state) || state.closed.is_some() && printing_over {
                return Ok(());
            }
            // Whoever types ends with the peer.
            if typed && !state.said && matches!(state.heard, Some(Heard::End)) {
                state.said = true;
                let _ = self.mailbox.send(Say::End).await;
            }
            tokio::select! {
                ended = &mut printing, if !printing_over => {
                    printing_over = true;
                    let ended = ended?;
                    state.heard.get_or_insert(ended);
                }
                said = &mut saying, if sends && !state.said => {
                    said?;
                    state.said = true;
                    quiet_from = Some(Instant::now());
                }
                Some(what) = told.recv(), if state.closed.is_none() => {
                    sends |= self.learn(what, state)?;
                }
                () = silence(&mut heard, self.options.quiet, quiet_from),
                    if self.plan.datagrams && quiet_from.is_some() => return Ok(()),
                else => return Ok(()),
            }
        }
    }

    /// Takes what the connection tells; whether there is a stream to send on.
    fn learn(&self, what: Told, state: &mut State) -> Result<bool, Failure> {
        match what {
            Told::Connected(_) => {}
            Told::NotStarted(why) => {
                let doing = "cannot open a stream";
                return Err(Failure::because(Exit::Failure, doing, why));
            }
            Told::Sends(true) => return Ok(true),
            Told::Sends(false) => (state.said, state.over) = (true, true),
            Told::Stopped(code) => {
                state.stopped = Some(code);
                (state.said, state.over) = (true, true);
            }
            Told::SendOver => state.over = true,
            Told::DatagramFailed { error, len, most } => {
                let most = most.map(|most| format!(" (at most {most} fit)"));
                let most = most.unwrap_or_default();
                let doing = format!("cannot send a datagram of {len} bytes{most}");
                return Err(Failure::because(Exit::Failure, doing, error));
            }
            Told::Closed(reason) => state.closed = Some(reason),
        }
        Ok(false)
    }

    /// Whether all has been said and heard.
    fn is_done(&self, state: &State) -> bool {
        if self.plan.datagrams {
            return false;
        }
        let said = state.said && (state.over || self.options.no_fin);
        let heard = match state.heard {
            // Without an end of ours the peer's is what there is to wait for.
            Some(Heard::Nothing) => !self.options.no_fin,
            Some(Heard::End | Heard::Reset(_)) => true,
            // How the connection has ended is told.
            Some(Heard::Cut) | None => false,
        };
        said && heard
    }

    /// What the end means.
    fn verdict(&self, state: &State) -> Result<(), Failure> {
        let failed = |what: String| Err(Failure::new(Exit::Failure, what));
        if let Some(Heard::Reset(code)) = state.heard {
            return failed(format!("the peer reset the stream with code {code}"));
        }
        if let Some(code) = state.stopped {
            return failed(format!("the peer stopped the stream with code {code}"));
        }
        match &state.closed {
            None | Some(CloseReason::Local { .. }) => Ok(()),
            Some(reason @ CloseReason::Remote { code, .. }) if code.value() != 0 => {
                failed(super::ended(reason))
            }
            Some(reason @ CloseReason::Remote { .. }) => {
                self.output.remark(&super::ended(reason));
                let cut = matches!(state.heard, None | Some(Heard::Cut));
                if self.plan.datagrams || state.said && !cut {
                    return Ok(());
                }
                let what = if cut {
                    "before the end of the stream"
                } else {
                    "before all was sent"
                };
                failed(format!("{} {what}", super::ended(reason)))
            }
            // After everything, nothing depends on how the connection ends.
            Some(_) if self.is_done(state) => Ok(()),
            Some(reason) => Err(client::closed("the connection is over".to_owned(), reason)),
        }
    }

    /// Sends standard input to its end.
    async fn say(&self, input: &mut Input, room: Arc<Semaphore>) -> Result<(), Failure> {
        loop {
            // It is never closed.
            let Ok(permit) = room.acquire().await else {
                return Ok(());
            };
            let next = match (input.ended, self.plan.datagrams) {
                (true, _) => Ok(None),
                (false, true) if !self.options.raw => input.line().await,
                (false, _) => input.bytes().await,
            };
            let Some(piece) = next.doing(|| "cannot read standard input".to_owned())? else {
                break;
            };
            // It comes back when this is taken.
            permit.forget();
            let say = match self.plan.datagrams {
                true => Say::Datagram(piece),
                false => Say::Input(piece),
            };
            if self.mailbox.send(say).await.is_err() {
                // The end of the connection is told elsewhere.
                return std::future::pending().await;
            }
        }
        let last = match self.options.reset {
            _ if self.plan.datagrams || self.options.no_fin => return Ok(()),
            Some(code) => Say::Reset(code),
            None => Say::End,
        };
        // As above.
        let _ = self.mailbox.send(last).await;
        Ok(())
    }

    /// Prints what comes, to its end.
    async fn print(
        &self,
        mut printed: mpsc::UnboundedReceiver<Printed>,
        mut datagrams: mpsc::Receiver<Bytes>,
        last: watch::Sender<Instant>,
    ) -> Result<Heard, Failure> {
        let mut printer = Printer::new(self.options.raw, self.output);
        let mut gathered = BytesMut::new();
        loop {
            tokio::select! {
                biased;
                Some(datagram) = datagrams.recv() => {
                    last.send_replace(Instant::now());
                    printer.datagram(&datagram).await?;
                }
                next = printed.recv() => {
                    let mut next = next;
                    let mut end = None;
                    loop {
                        match next {
                            Some(Printed::Data(data)) => gathered.extend_from_slice(&data),
                            Some(Printed::Paused) => {
                                printer.bytes(&mut gathered).await?;
                                // Where it is over nothing more comes.
                                let _ = self.mailbox.send(Say::More).await;
                            }
                            Some(Printed::End) => end = Some(Heard::End),
                            Some(Printed::Reset(code)) => end = Some(Heard::Reset(code)),
                            None => end = Some(Heard::Cut),
                        }
                        if end.is_some() || gathered.len() >= GATHERED {
                            break;
                        }
                        match printed.try_recv() {
                            Ok(more) => next = Some(more),
                            Err(_) => break,
                        }
                    }
                    printer.bytes(&mut gathered).await?;
                    if let Some(end) = end {
                        return Ok(end);
                    }
                }
            }
        }
    }
}

/// Prints what comes.
struct Printer {
    output: Output,
    raw: bool,
    /// What a terminal would obey is escaped.
    terminal: bool,
    stdout: tokio::io::Stdout,
}

impl Printer {
    fn new(raw: bool, output: Output) -> Self {
        Self {
            output,
            raw,
            terminal: io::stdout().is_terminal(),
            stdout: tokio::io::stdout(),
        }
    }

    /// Of a stream, as they are.
    async fn bytes(&mut self, bytes: &mut BytesMut) -> Result<(), Failure> {
        let bytes = bytes.split().freeze();
        if bytes.is_empty() {
            return Ok(());
        }
        if self.output.is_json() {
            return self.received("stream", &bytes);
        }
        match self.terminal && !self.raw {
            true => {
                self.write(visible(&String::from_utf8_lossy(&bytes)).as_bytes())
                    .await
            }
            false => self.write(&bytes).await,
        }
    }

    /// A line, whatever the peer has sent.
    async fn datagram(&mut self, datagram: &[u8]) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.received("datagram", datagram);
        }
        if self.raw {
            return self.write(datagram).await;
        }
        let mut line = aqueduct_tokio::protocol::escape::escaped(datagram)
            .limit(usize::MAX)
            .to_string();
        line.push('\n');
        self.write(line.as_bytes()).await
    }

    fn received(&self, by: &str, piece: &[u8]) -> Result<(), Failure> {
        let fields = match std::str::from_utf8(piece) {
            Ok(text) => json!({ "by": by, "bytes": piece.len(), "text": text }),
            Err(_) => json!({ "by": by, "bytes": piece.len(), "base64": BASE64.encode(piece) }),
        };
        self.output
            .result("received", "", fields)
            .map_err(unprinted)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written: io::Result<()> = async {
            self.stdout.write_all(bytes).await?;
            self.stdout.flush().await
        }
        .await;
        written.map_err(unprinted)
    }
}

/// Waits for the end of the handshake: what is known of the connection then.
///
/// # Errors
/// Why there is none.
pub(super) async fn connected(
    told: &mut mpsc::UnboundedReceiver<Told>,
    run: impl Future,
) -> Result<Option<Box<aqueduct_tokio::protocol::quic::About>>, CloseReason> {
    let mut run = pin!(run);
    let mut over = false;
    loop {
        tokio::select! {
            biased;
            what = told.recv() => match what {
                Some(Told::Connected(about)) => return Ok(about),
                Some(Told::Closed(reason)) => return Err(reason),
                Some(_) => {}
                None => std::future::pending().await,
            },
            _ = &mut run, if !over => over = true,
        }
    }
}
